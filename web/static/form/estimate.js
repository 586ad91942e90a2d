// What the picture will need, below its size and on each usual size, and how long a grid of drafts takes:
// asked anew when a setting or the photograph changes.
import { swap } from "../swap.js";
import { form } from "./form.js";

const PAUSE_MS = 400; // of typing, before the farm is asked
const GRID = ["across", "across_values", "down", "down_values", "cell_size"];
const FILM = ["clip", "frames_from", "frames_to", "every", "spacing", "film_format"];
const names = [...form.dataset.settings.split(" "), ...GRID, ...FILM];
const grown = form.dataset.grownFrom ? { init: "picture", grown_from: form.dataset.grownFrom } : {}; // which are no fields then
const lines = [...form.querySelectorAll("#estimate, #grid-estimate, [data-size] small")];

let timer = 0;
let asked = "";
let request = new AbortController();

// Width and height in px, [] while there is no photograph whose size the browser knows.
function photographSize() {
  const box = form.querySelector('[data-drop="content"]');
  const picture = box.querySelector("[data-chosen] img");
  if (picture?.dataset.width) return [picture.dataset.width, picture.dataset.height]; // of a clip
  if (picture?.naturalWidth) return [picture.naturalWidth, picture.naturalHeight];
  if (box.querySelector("input[type=file]").files.length) return []; // not read yet, or not readable here
  const pick = form.querySelector("input[name=content_pick]:checked");
  return pick ? [Number(pick.dataset.width), Number(pick.dataset.height)] : [];
}

const SMALL = 64; // px, at which transparency is looked for
const seen = new WeakMap(); // pictures, by whether they have any

// Whether the chosen photograph has transparency, as far as the browser can read it.
function isTransparent() {
  const picture = form.querySelector('[data-drop="content"] [data-chosen] img');
  if (!picture?.naturalWidth) return false;
  const known = seen.get(picture);
  if (known?.address === picture.src) return known.found;
  const canvas = new OffscreenCanvas(SMALL, SMALL);
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0, SMALL, SMALL);
  const alpha = context.getImageData(0, 0, SMALL, SMALL).data.filter((_, at) => at % 4 === 3);
  const found = alpha.some((value) => value < 255);
  seen.set(picture, { address: picture.src, found });
  return found;
}

// WIDTHxHEIGHT in px of each painting whose size the browser knows.
function paintingSizes() {
  const chosen = [...form.querySelectorAll('[data-drop="style"] [data-chosen] img')];
  const picked = [...form.querySelectorAll("input[name=style_pick]:checked")];
  const sizes = [
    ...chosen.map((picture) => [picture.naturalWidth, picture.naturalHeight]),
    ...picked.map((pick) => [Number(pick.dataset.width), Number(pick.dataset.height)]),
  ];
  return sizes.filter(([width]) => width).map((size) => size.join("x"));
}

// Empty while nobody knows the photograph's size, or the farm still looks at the clip.
function question() {
  const [width, height] = photographSize();
  const values = new FormData(form);
  if (!width || ("film" in form.dataset && !values.get("clip"))) return "";
  const settings = names.map((name) => [name, grown[name] ?? values.get(name) ?? ""]);
  const paintings = paintingSizes().map((size) => ["painting", size]);
  const chosen = (name) => form.querySelector(`input[type=file][name=${name}]`).files.length;
  const guides = [["masks", chosen("mask")], ...(chosen("keep") || isTransparent() ? [["keeps", 1]] : [])];
  return String(new URLSearchParams([["width", width], ["height", height], ...paintings, ...guides, ...settings]));
}

async function ask() {
  const now = question();
  if (now === asked) return;
  asked = now;
  request.abort();
  request = new AbortController();
  try {
    const answer = await fetch(`${form.dataset.estimate}?${now}`, { signal: request.signal });
    if (!answer.ok) throw new Error(String(answer.status));
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (now === asked) swap(page);
  } catch (error) {
    if (error.name === "AbortError") return;
    asked = null; // the next change asks again
    for (const line of lines) line.textContent = "";
  }
}

function soon() {
  clearTimeout(timer);
  timer = setTimeout(ask, PAUSE_MS);
}

for (const kind of ["input", "change", "click", "draft", "regions"]) form.addEventListener(kind, soon);
for (const kind of ["load", "error"]) form.addEventListener(kind, soon, true); // of thumbnails; these do not bubble
soon();
