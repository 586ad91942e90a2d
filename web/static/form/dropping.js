// Files that are dropped anywhere on the page, or pasted: into the box they are dropped on, else into the one that
// is still empty, else into the nearest. A finished picture of a farm's brings its settings back.
import { showErrors, showNotice } from "./errors.js";
import { form } from "./form.js";
import { boxes } from "./pictures.js";
import { bringBack } from "./recipe.js";

const LINK = "That came as a link and not as a file: save the picture, then drop the file.";

// What is dropped on a field of its own goes there by itself.
const hasField = (event) => event.target.closest?.("input[type=file]:not(.drop-input)");
const hasFiles = (event) => event.dataTransfer?.types.includes("Files") && !hasField(event);
const isLink = (event) => event.dataTransfer?.types.includes("text/uri-list");

function distance({ clientX, clientY }, element) {
  const { left, right, top, bottom } = element.getBoundingClientRect();
  return Math.hypot(Math.max(left - clientX, 0, clientX - right), Math.max(top - clientY, 0, clientY - bottom));
}

function boxFor(event) {
  const all = [...boxes.values()];
  const over = all.find((box) => box.element.contains(event.target));
  const empty = all.filter((box) => box.isEmpty);
  if (over) return over;
  if (empty.length === 1 || event.type === "paste") return empty[0] ?? boxes.get("style");
  return all.sort((one, other) => distance(event, one.element) - distance(event, other.element))[0];
}

function mark(box) {
  for (const { element } of boxes.values()) element.classList.toggle("is-over", element === box?.element);
}

// Files, and what is said about those that are none.
function read(transfer) {
  const files = [];
  const said = [];
  for (const item of [...transfer.items].filter(({ kind }) => kind === "file")) {
    const entry = item.webkitGetAsEntry?.();
    if (entry?.isDirectory) said.push(`${entry.name} is a folder: drop the pictures that are in it.`);
    else files.push(item.getAsFile());
  }
  return { files, said };
}

async function take(box, { files, said }) {
  if ("grownFrom" in form.dataset) {
    showNotice("This picture grows out of a finished one, with its photograph and paintings. Begin anew to choose others.");
    return;
  }
  const [first] = files;
  if (files.length === 1 && (await bringBack(first, () => box.take(files)))) return;
  box.take(files, said);
}

addEventListener("dragover", (event) => {
  if (!hasFiles(event) && !(isLink(event) && event.target.closest?.("[data-drop]"))) return;
  event.preventDefault(); // or the browser would open what is dropped
  mark(boxFor(event));
});
addEventListener("dragleave", (event) => event.relatedTarget ?? mark(null)); // it left the window
addEventListener("drop", (event) => {
  const box = boxFor(event);
  mark(null);
  if (hasFiles(event)) {
    event.preventDefault();
    take(box, read(event.dataTransfer));
  } else if (isLink(event) && box.element.contains(event.target)) {
    event.preventDefault();
    showErrors(box.element.dataset.drop, [LINK]);
  }
});
addEventListener("paste", (event) => {
  if (!event.clipboardData?.files.length) return; // words, into a field
  event.preventDefault();
  take(boxFor(event), read(event.clipboardData));
});
form.addEventListener("dragend", () => mark(null));
