// How well the chosen pictures go together, and the offered paintings in that order. Files that are not sent yet go
// as small copies; what the farm has not looked at yet is asked for again a little later.
import { swap } from "../swap.js";
import { form } from "./form.js";
import { boxes } from "./pictures.js";

const PAUSE_MS = 400; // after a change, before the farm is asked
const AGAIN_MS = 1500; // while it looks at the pictures
const MOST_TIMES = 12;
const SIDE = 256; // px, longest of a small copy
const copies = new WeakMap(); // thumbnail -> its small copy
const section = () => document.getElementById("suit");

let timer = 0;
let asked = "";
let times = 0;
let request = new AbortController();

function copyOf(picture) {
  if (!copies.has(picture)) {
    const scale = Math.min(1, SIDE / Math.max(picture.naturalWidth, picture.naturalHeight));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(picture.naturalWidth * scale));
    canvas.height = Math.max(1, Math.round(picture.naturalHeight * scale));
    const brush = canvas.getContext("2d");
    brush.imageSmoothingQuality = "high";
    brush.drawImage(picture, 0, 0, canvas.width, canvas.height);
    copies.set(picture, new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92)));
  }
  return copies.get(picture);
}

const thumbnails = (name) =>
  [...boxes.get(name).element.querySelectorAll("[data-chosen] img")].filter((picture) => picture.naturalWidth);
const picks = (name, checked) => [...form.querySelectorAll(`input[name=${name}_pick]${checked ? ":checked" : ""}`)];

// What is chosen: thumbnails of files, values of tiles. A file comes before a tile.
function choice() {
  const [photograph] = thumbnails("content");
  const files = boxes.get("content").files.length > 0;
  const [pick] = files ? [] : picks("content", true);
  const paintings = picks("style", true).map((box) => box.value);
  return { photograph, pick: pick?.value, files: thumbnails("style"), paintings };
}

const nameOf = ({ photograph, pick, files, paintings }) =>
  JSON.stringify([photograph?.alt, photograph?.src, pick, files.map(({ alt, src }) => [alt, src]), paintings]);

async function compose({ photograph, pick, files, paintings }) {
  const data = new FormData();
  for (const name of ["csrf_token", "from_job"]) data.set(name, form.elements[name].value);
  if (photograph) data.set("photograph", await copyOf(photograph), photograph.alt);
  else data.set("photograph", pick);
  for (const painting of paintings) data.append("painting", painting);
  for (const file of files) data.append("painting", await copyOf(file), file.alt);
  for (const box of picks("style", false)) data.append("offered", box.value);
  return data;
}

// In place, and only while nobody is among them and their order decides nothing: several are blended in it.
function sortTiles() {
  if (picks("style", true).length > 1) return;
  const order = (section().dataset.order || "").split(" ");
  for (const tiles of form.querySelectorAll('[data-field="style"] .tiles')) {
    if (tiles.contains(document.activeElement) || tiles.matches(":hover")) continue;
    const known = [...tiles.querySelectorAll(".tile")].filter((tile) => order.includes(tile.firstElementChild.value));
    const place = (tile) => order.indexOf(tile.firstElementChild.value);
    const sorted = [...known].sort((one, other) => place(one) - place(other));
    const others = [...tiles.querySelectorAll(".tile")].filter((tile) => !known.includes(tile));
    if (sorted.some((tile, number) => tile !== known[number])) tiles.append(...sorted, ...others);
  }
}

function forget() {
  section().hidden = true;
  section().dataset.order = "";
}

async function ask() {
  const chosen = choice();
  if (!chosen.photograph && !chosen.pick) {
    asked = "";
    forget();
    return;
  }
  const now = nameOf(chosen);
  if (now !== asked) times = 0;
  else if (!("pending" in section().dataset) || times >= MOST_TIMES) return;
  asked = now;
  times += 1;
  request.abort();
  request = new AbortController();
  try {
    const answer = await fetch(form.dataset.suit, {
      method: "POST",
      body: await compose(chosen),
      signal: request.signal,
    });
    if (!answer.ok) throw new Error(String(answer.status));
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (now !== asked) return;
    swap(page);
    sortTiles();
    if ("pending" in section().dataset) timer = setTimeout(ask, AGAIN_MS);
  } catch (error) {
    if (error.name === "AbortError") return;
    asked = ""; // the next change asks again
    forget(); // it is no refusal: the form says nothing
  }
}

function soon() {
  clearTimeout(timer);
  timer = setTimeout(ask, PAUSE_MS);
}

for (const kind of ["change", "click", "paintings", "draft"]) form.addEventListener(kind, soon);
form.addEventListener("load", soon, true); // of thumbnails; it does not bubble
soon();
