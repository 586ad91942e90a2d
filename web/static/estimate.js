// What the picture will need, below its size and on each usual size, and how long a grid of drafts takes:
// asked anew when a setting or the photograph changes.
const form = document.getElementById("new");
const line = document.getElementById("estimate");
const gridLine = document.getElementById("grid-estimate");
const settings = form.dataset.settings.split(" ");
const chips = [...form.querySelectorAll("[data-size]")];
const axes = ["across", "down"].map((name) => form.elements[name]);
const PAUSE_MS = 400; // of typing, before the farm is asked
const NO_PHOTOGRAPH = gridLine.textContent;

let timer = 0;

// Width and height in px, [] while there is no photograph whose size the browser knows.
function photographSize() {
  const box = form.querySelector('[data-drop="content"]');
  const picture = box.querySelector("[data-chosen] img");
  if (picture?.naturalWidth) return [picture.naturalWidth, picture.naturalHeight];
  if (box.querySelector("input[type=file]").files.length) return []; // not read yet, or not readable here
  const pick = form.querySelector("input[name=content_pick]:checked");
  return pick ? [Number(pick.dataset.width), Number(pick.dataset.height)] : [];
}

// The settings that were typed, and the photograph's size; null while nobody knows that.
function typed() {
  const [width, height] = photographSize();
  if (!width) return null;
  const values = new FormData(form);
  const own = settings.map((name) => [name, String(values.get(name) ?? "").trim()]).filter(([, text]) => text);
  return { ...Object.fromEntries(own), width, height };
}

// Numbers where they are some, else words: `-2, 0, 2`; null for the usual ones.
function listed(text) {
  const parts = text.split(",").map((part) => part.trim()).filter(Boolean);
  return parts.length ? parts.map((part) => (Number.isNaN(Number(part)) ? part : Number(part))) : null;
}

function sizesQuestion(own) {
  return { ...own, sizes: chips.map((chip) => Number(chip.dataset.size)) };
}

function gridQuestion(own) {
  const { across, across_values, down, down_values, cell_size } = form.elements;
  return {
    ...own,
    across: across.value,
    across_values: listed(across_values.value),
    down: down.value,
    down_values: listed(down_values.value),
    cell_size: Number(cell_size.value),
  };
}

function duration(seconds) {
  if (seconds < 60) return "< 1 min";
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return minutes < 600 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${Math.round(minutes / 60)} h`;
}

function showOnChip(chip, found) {
  const megapixels = found && `${Number(((found.width * found.height) / 1e6).toPrecision(2))} MP`;
  const time = found?.seconds == null ? "" : ` · ${duration(found.seconds)}`;
  chip.querySelector("small").textContent = found ? megapixels + (found.fits === false ? " · too large" : time) : "";
  chip.classList.toggle("is-too-large", found?.fits === false);
}

function show(found) {
  const own = found?.items.at(-1);
  chips.forEach((chip, number) => showOnChip(chip, found?.items[number] ?? null));
  line.textContent = own?.message ?? "";
  line.classList.toggle("is-wrong", own?.fits === false);
}

function showGrid(found) {
  gridLine.textContent = found?.message ? `${found.message}.` : typed() ? "" : NO_PHOTOGRAPH;
  gridLine.classList.toggle("is-wrong", found?.fits === false);
}

/** Returns what asks the farm one question, if it is another than before; what it shows is null while a
 * setting is half typed: sending the form says what is wrong. */
function asker(url, question, shown) {
  let asked = "";
  let request = new AbortController();
  return async (own) => {
    const body = own ? JSON.stringify(question(own)) : "";
    if (body === asked) return;
    asked = body;
    request.abort();
    request = new AbortController();
    if (!body) return shown(null);
    try {
      const headers = { "Content-Type": "application/json" };
      const answer = await fetch(url, { method: "POST", headers, body, signal: request.signal });
      const found = answer.ok ? await answer.json() : null;
      if (body === asked) shown(found);
    } catch (error) {
      if (error.name === "AbortError") return;
      asked = ""; // the next change asks again
      shown(null);
    }
  };
}

const askers = [
  asker(form.dataset.estimate, sizesQuestion, show),
  asker(form.dataset.gridEstimate, gridQuestion, showGrid),
];

function soon() {
  clearTimeout(timer);
  timer = setTimeout(() => {
    const own = typed();
    for (const ask of askers) ask(own);
  }, PAUSE_MS);
}

// Another axis has other values.
function showUsual(axis) {
  form.elements[`${axis.name}_values`].placeholder = axis.selectedOptions[0]?.dataset.usual ?? "";
}

for (const axis of axes) {
  showUsual(axis);
  axis.addEventListener("change", () => {
    form.elements[`${axis.name}_values`].value = "";
    showUsual(axis);
  });
}
form.addEventListener("draft", () => axes.forEach(showUsual));
for (const kind of ["input", "change", "click", "draft"]) form.addEventListener(kind, soon);
for (const kind of ["load", "error"]) form.addEventListener(kind, soon, true); // of thumbnails; these do not bubble
soon();
