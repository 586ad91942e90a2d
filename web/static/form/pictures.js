// Pictures that were chosen: thumbnails before anything is sent, what is not taken and why, and what they weigh.
import { showErrors } from "./errors.js";
import { form, make } from "./form.js";

const OVERHEAD = 64 * 1024; // bytes; what a form needs besides its pictures
const limit = Number(form.dataset.bodyLimit);
const sending = document.getElementById("sending");
const paint = document.getElementById("send");
const PAINT = paint.textContent;

/** The two boxes by their names, `content` and `style`; see makeBox. */
export const boxes = new Map();

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

// A browser knows no type for some pictures; the farm looks at their bytes.
const isPicture = (file) => !file.type || file.type.startsWith("image/");
const isTaken = { style: isPicture, content: (file) => isPicture(file) || /^video\/|zip/.test(file.type) };

function makeBox(element) {
  const input = element.querySelector("input[type=file]");
  const chosen = element.querySelector("[data-chosen]");
  const many = input.name === "style"; // several are blended; several photographs are a batch
  const most = Number(many ? form.dataset.mostStyles : form.dataset.mostPhotographs);
  let files = [];
  input.multiple = true;

  function keep(list) {
    files = list.slice(0, most);
    const transfer = new DataTransfer();
    for (const file of files) transfer.items.add(file);
    input.files = transfer.files;
    chosen.replaceChildren(
      ...files.map((file) => thumbnail(file, () => keep(files.filter((other) => other !== file)))),
    );
    element.classList.toggle("has-files", files.length > 0);
    if (files.length) showErrors(input.name, []);
    if (list.length > most) showErrors(input.name, [`Only the first ${most} are kept: that is the most.`]);
    if (!many) showBatch(files.length);
    showWeight();
    form.dispatchEvent(new Event("paintings"));
  }

  /** Take files besides those that are there; photographs take the place of others. Says what is not taken. */
  function take(list, said = []) {
    const pictures = list.filter(isTaken[input.name]);
    const others = list.filter((file) => !pictures.includes(file));
    if (pictures.length) keep(many ? [...files, ...pictures] : pictures);
    const reasons = [...said, ...others.map((file) => `${file.name} is not taken: it is no picture.`)];
    if (reasons.length) showErrors(input.name, reasons);
  }

  /** Show this in place of what the browser makes of the first file; its own size is another, px. */
  function showThumbnail(src, width, height) {
    const figure = chosen.querySelector("figure");
    figure.classList.remove("no-thumbnail");
    figure.querySelector("img")?.remove();
    const picture = make("img", { src, alt: figure.querySelector("figcaption").textContent });
    Object.assign(picture.dataset, { width, height });
    figure.prepend(picture);
  }

  input.addEventListener("change", () => {
    if (input.files.length) take([...input.files]);
    else keep(files); // the dialog was closed without a choice
  });
  boxes.set(input.name, {
    element,
    keep,
    take,
    showThumbnail,
    get files() {
      return files;
    },
    get isEmpty() {
      return !files.length && !form.querySelector(`input[name=${input.name}_pick]:checked`);
    },
  });
  if (input.files.length) keep([...input.files]); // the browser brought them back
}

/** The paintings in the order in which the farm takes them: what was picked, then files. */
export function listPaintings() {
  const picked = [...form.querySelectorAll("input[name=style_pick]:checked")];
  const files = [...form.querySelector("input[type=file][name=style]").files];
  return [
    ...picked.map((box) => ({ key: `pick ${box.value}`, title: box.closest("label").textContent.trim() })),
    ...files.map((file) => ({ key: keyOf(file), title: file.name })),
  ];
}

/** What tells a file from others. */
export const keyOf = (file) => `${file.name} ${file.size} ${file.lastModified}`;

// Several photographs are as many pictures.
function showBatch(count) {
  const words = document.getElementById("batch");
  words.hidden = count < 2;
  words.textContent = `${count} photographs: each becomes a picture of its own, with these paintings and settings.`;
  paint.textContent = count < 2 ? PAINT : `Paint ${count} pictures`;
}

/** Say that this is more than may be sent at once; returns whether it may be sent. */
export function showWeight() {
  const weigh = (name) => (boxes.get(name)?.files ?? []).map((file) => file.size);
  const paintings = weigh("style").reduce((sum, size) => sum + size, 0);
  const contents = "film" in form.dataset ? [] : weigh("content"); // a clip was sent before
  const bytes = paintings + Math.max(0, ...contents); // photographs of a batch are sent one by one
  const over = bytes + OVERHEAD > limit;
  sending.textContent = over
    ? `These pictures are ${Math.ceil(bytes / 1e6)} MB together; the limit is ${form.dataset.megabytes} MB.`
    : "";
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

for (const element of form.querySelectorAll("[data-drop]")) makeBox(element);
