// What the picture will need, below its size and on each usual size: asked anew when a setting or the
// photograph changes.
const form = document.getElementById("new");
const line = document.getElementById("estimate");
const settings = form.dataset.settings.split(" ");
const chips = [...form.querySelectorAll("[data-size]")];
const PAUSE_MS = 400; // of typing, before the farm is asked

let timer = 0;
let asked = "";
let request = new AbortController();

// Width and height in px, [] while there is no photograph whose size the browser knows.
function photographSize() {
  const box = form.querySelector('[data-drop="content"]');
  const picture = box.querySelector("[data-chosen] img");
  if (picture?.naturalWidth) return [picture.naturalWidth, picture.naturalHeight];
  if (box.querySelector("input[type=file]").files.length) return []; // not read yet, or not readable here
  const pick = form.querySelector("input[name=content_pick]:checked");
  return pick ? [Number(pick.dataset.width), Number(pick.dataset.height)] : [];
}

function question() {
  const [width, height] = photographSize();
  if (!width) return "";
  const values = new FormData(form);
  const typed = settings.map((name) => [name, String(values.get(name) ?? "").trim()]).filter(([, text]) => text);
  const sizes = chips.map((chip) => Number(chip.dataset.size));
  return JSON.stringify({ ...Object.fromEntries(typed), width, height, sizes });
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

function show(text, wrong = false, sizes = []) {
  chips.forEach((chip, number) => showOnChip(chip, sizes[number] ?? null));
  line.textContent = text;
  line.classList.toggle("is-wrong", wrong);
}

async function ask() {
  const body = question();
  if (body === asked) return;
  asked = body;
  request.abort();
  request = new AbortController();
  if (!body) return show("");
  try {
    const headers = { "Content-Type": "application/json" };
    const answer = await fetch(form.dataset.estimate, { method: "POST", headers, body, signal: request.signal });
    if (body !== asked) return;
    if (!answer.ok) return show(""); // a setting is half typed; sending the form says what is wrong
    const { items } = await answer.json();
    const own = items.at(-1);
    if (body === asked) show(own?.message ?? "", own?.fits === false, items);
  } catch (error) {
    if (error.name === "AbortError") return;
    asked = ""; // the next change asks again
    show("");
  }
}

function soon() {
  clearTimeout(timer);
  timer = setTimeout(ask, PAUSE_MS);
}

for (const kind of ["input", "change", "click"]) form.addEventListener(kind, soon);
for (const kind of ["load", "error"]) form.addEventListener(kind, soon, true); // of thumbnails; these do not bubble
soon();
