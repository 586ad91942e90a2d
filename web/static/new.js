// The form: thumbnails before anything is sent, the balance in words, and errors without losing files.
const form = document.getElementById("new");
const limit = Number(form.dataset.bodyLimit);
const OVERHEAD = 64 * 1024; // bytes; what a form needs besides its pictures

// Pictures ---------------------------------------------------------------------------------------

function thumbnail(file, remove) {
  const figure = document.createElement("figure");
  const picture = document.createElement("img");
  picture.src = URL.createObjectURL(file);
  picture.alt = file.name;
  picture.addEventListener("load", () => {
    figure.title = `${file.name}, ${picture.naturalWidth} × ${picture.naturalHeight} px`;
    URL.revokeObjectURL(picture.src);
  });
  picture.addEventListener("error", () => {
    picture.remove(); // a TIFF, or no picture at all: the farm will say
    figure.classList.add("no-thumbnail");
  });
  const caption = document.createElement("figcaption");
  caption.textContent = file.name;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "remove";
  button.textContent = "×";
  button.setAttribute("aria-label", `Remove ${file.name}`);
  button.addEventListener("click", remove);
  figure.append(picture, caption, button);
  return figure;
}

function makeDrop(box) {
  const input = box.querySelector("input[type=file]");
  const chosen = box.querySelector("[data-chosen]");
  let files = [];

  function keep(list) {
    files = input.multiple ? list.slice(0, Number(form.dataset.mostStyles)) : list.slice(-1);
    const transfer = new DataTransfer();
    for (const file of files) transfer.items.add(file);
    input.files = transfer.files;
    chosen.replaceChildren(
      ...files.map((file) => thumbnail(file, () => keep(files.filter((other) => other !== file)))),
    );
    box.classList.toggle("has-files", files.length > 0);
    if (files.length) showErrors(input.name, []);
    if (input.multiple && list.length > files.length) {
      showErrors(input.name, [`Only the first ${files.length} are kept: that is the most.`]);
    }
    checkWeight();
    form.dispatchEvent(new Event("paintings"));
  }

  input.addEventListener("change", () => {
    if (input.files.length) keep(input.multiple ? [...files, ...input.files] : [...input.files]);
    else keep(files); // the dialog was closed without a choice
  });
  for (const name of ["dragenter", "dragover"]) {
    input.addEventListener(name, () => box.classList.add("is-over"));
  }
  for (const name of ["dragleave", "drop"]) {
    input.addEventListener(name, () => box.classList.remove("is-over"));
  }
  if (input.files.length) keep([...input.files]); // the browser brought them back
}

function checkWeight() {
  const files = [...form.querySelectorAll("input[type=file]")].flatMap((input) => [...input.files]);
  const bytes = files.reduce((sum, file) => sum + file.size, 0);
  const over = bytes + OVERHEAD > limit;
  const sending = document.getElementById("sending");
  sending.textContent = over
    ? `These pictures are ${Math.ceil(bytes / 1e6)} MB together; the limit is ${form.dataset.megabytes} MB.`
    : `Up to ${form.dataset.megabytes} MB in all.`;
  sending.classList.toggle("is-wrong", over);
  return !over;
}

// A sample that was picked can be left again: a second click takes it back.
for (const radio of form.querySelectorAll("input[type=radio][name=content_pick]")) {
  let was = radio.checked;
  radio.closest("label").addEventListener("pointerdown", () => {
    was = radio.checked;
  });
  radio.addEventListener("click", () => {
    if (was) radio.checked = false;
    was = false;
  });
}

// Balance, size ----------------------------------------------------------------------------------

const balance = document.getElementById("balance");
const weight = document.getElementById("content_weight");
const weights = JSON.parse(balance.dataset.weights); // of the photograph, at each place of the slider

function sayBalance() {
  const place = (Number(balance.value) - Number(balance.min)) / Number(balance.step);
  const less = Number(balance.dataset.weight) / (weight.value ? Number(weight.value) : weights[place]);
  const times = Math.max(less, 1 / less);
  const factor = times >= 10 ? times.toFixed(0) : String(Number(times.toFixed(1)));
  let words = "In the middle: both have their say.";
  if (less > 4) words = `The paintings rule; the photograph counts ${factor} times less.`;
  else if (less > 1) words = `More painting: the photograph counts ${factor} times less.`;
  else if (less < 1 / 4) words = `The photograph rules; it counts ${factor} times more.`;
  else if (less < 1) words = `More photograph: it counts ${factor} times more.`;
  if (weight.value && !(less > 0 && less < Infinity)) words = "As the content weight below says.";
  document.getElementById("balance-words").textContent = words;
  balance.setAttribute("aria-valuetext", words);
}

balance.addEventListener("input", () => {
  weight.value = "";
  sayBalance();
});
weight.addEventListener("input", sayBalance);

const size = document.getElementById("size");
const sizeWords = document.getElementById("size-words");
const ANY_SIZE = sizeWords.textContent;

function markSize() {
  sizeWords.textContent = ANY_SIZE;
  for (const chip of form.querySelectorAll("[data-size]")) {
    const usual = chip.dataset.size === size.value;
    chip.setAttribute("aria-pressed", String(usual));
    if (usual) sizeWords.textContent = `${size.value} px: ${chip.title}.`;
  }
}

size.addEventListener("input", markSize);
for (const chip of form.querySelectorAll("[data-size]")) {
  chip.addEventListener("click", () => {
    size.value = chip.dataset.size;
    markSize();
  });
}

// Sending ----------------------------------------------------------------------------------------

const once = form.elements.once;
const buttons = form.querySelectorAll("button[type=submit]");

function showErrors(name, messages) {
  const place = form.querySelector(`[data-errors="${name}"]`);
  if (!place) return;
  place.replaceChildren(
    ...messages.map((message) => Object.assign(document.createElement("p"), { textContent: message })),
  );
  const field = place.closest("[data-field]");
  field?.querySelector(".form-control, .form-select, .drop")?.classList.toggle("is-invalid", messages.length > 0);
  field?.querySelector("[aria-invalid]")?.setAttribute("aria-invalid", String(messages.length > 0));
}

function showAnswer(page) {
  const summary = document.getElementById("summary");
  const fresh = page.getElementById("summary");
  if (!fresh) {
    const text = page.getElementById("detail")?.textContent ?? "The farm refused this without a reason.";
    summary.replaceChildren(notice(text));
  } else {
    summary.replaceChildren(...fresh.children);
    summary.querySelector(".forgotten")?.remove(); // here they are kept
    for (const place of page.querySelectorAll("[data-errors]")) {
      showErrors(place.dataset.errors, [...place.children].map((line) => line.textContent));
    }
    if (page.querySelector("details.advanced[open]")) form.querySelector("details.advanced").open = true;
  }
  summary.focus();
  summary.scrollIntoView({ block: "start" });
}

function notice(text) {
  const box = document.createElement("div");
  box.className = "notice notice-danger";
  box.setAttribute("role", "alert");
  box.textContent = text;
  return box;
}

function ready() {
  for (const each of buttons) each.disabled = false;
  checkWeight();
}

function send(button) {
  const target = new URL(button.getAttribute("formaction") ?? form.action, location.href);
  const request = new XMLHttpRequest(); // fetch does not tell how much was sent
  const sending = document.getElementById("sending");
  for (const each of buttons) each.disabled = true;
  request.upload.addEventListener("progress", (event) => {
    const share = Math.round((event.loaded / event.total) * 100);
    sending.textContent = share < 100 ? `Sending, ${share} %` : "Looking at the pictures …";
  });
  request.addEventListener("loadend", () => {
    if (request.status === 201) {
      if (target.href === form.action) form.dispatchEvent(new Event("sent")); // an exploration is not the end
      location.assign(request.getResponseHeader("Location")); // until then, nothing can be sent again
      return;
    }
    ready();
    if (request.status === 0) {
      document.getElementById("summary").replaceChildren(notice("The farm does not answer. Nothing is lost; try again."));
      document.getElementById("summary").focus();
    } else {
      showAnswer(new DOMParser().parseFromString(request.responseText, "text/html"));
    }
  });
  request.open("POST", target);
  request.setRequestHeader("X-Requested-With", "XMLHttpRequest");
  request.send(new FormData(form));
}

// Whoever goes back to this page finds the same form, also if the farm was asked for it anew.
if (history.state?.once) once.value = history.state.once;
else history.replaceState({ once: once.value }, "");
addEventListener("pageshow", ready); // whoever comes back may send it again
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (checkWeight()) send(event.submitter ?? document.getElementById("send"));
});
form.querySelector(".explore").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.target.localName !== "input") return;
  event.preventDefault(); // elsewhere it paints
  document.getElementById("explore").click();
});
for (const box of form.querySelectorAll("[data-drop]")) makeDrop(box);
sayBalance();
markSize();
