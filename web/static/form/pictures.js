// Pictures that are chosen or dropped: thumbnails before anything is sent, and how much they weigh.
import { showErrors } from "./errors.js";
import { form, make } from "./form.js";

const OVERHEAD = 64 * 1024; // bytes; what a form needs besides its pictures
const limit = Number(form.dataset.bodyLimit);
const sending = document.getElementById("sending");

function thumbnail(file, remove) {
  const figure = make("figure");
  const picture = make("img", { src: URL.createObjectURL(file), alt: file.name });
  picture.addEventListener("load", () => {
    figure.title = `${file.name}, ${picture.naturalWidth} × ${picture.naturalHeight} px`;
    URL.revokeObjectURL(picture.src);
  });
  picture.addEventListener("error", () => {
    picture.remove(); // a TIFF, or no picture at all: the farm will say
    figure.classList.add("no-thumbnail");
  });
  const button = make("button", { type: "button", className: "remove", textContent: "×" });
  button.setAttribute("aria-label", `Remove ${file.name}`);
  button.addEventListener("click", remove);
  figure.append(picture, make("figcaption", { textContent: file.name }), button);
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
    showWeight();
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

/** Say how much may be sent, or that this is more; returns whether it may be sent. */
export function showWeight() {
  const files = [...form.querySelectorAll("input[type=file]")].flatMap((input) => [...input.files]);
  const bytes = files.reduce((sum, file) => sum + file.size, 0);
  const over = bytes + OVERHEAD > limit;
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

for (const box of form.querySelectorAll("[data-drop]")) makeDrop(box);
