// A brush over the photograph: each painting gets the part that is painted in its colour, and one colour is for what
// stays as it is. What was painted is written into the fields for masks as PNGs; nothing painted leaves them alone.
import { form, make } from "./form.js";
import { boxes, keyOf, listPaintings } from "./pictures.js";
import { readMap, Regions, share } from "./regions.js";

const LONGEST = 1024; // px of a map; its edges are soft anyway
const SHORTEST = 512; // px of a small photograph's, which is painted larger than it is
const PAUSE_MS = 300; // without a stroke, before the fields are written
const KEEP = "what stays";
const REST = "rest-"; // begins the name of a mask that is what the others leave
const VEIL = 0.62; // how much of the photograph its colours cover
const COLOURS = [[217, 77, 38], [43, 96, 214], [22, 138, 108], [214, 158, 18], [140, 70, 180], [226, 96, 152], [38, 162, 196], [128, 88, 56]];
const KEEP_COLOUR = [240, 240, 236];
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const where = document.getElementById("where");
const brush = document.getElementById("brush");
const waits = document.getElementById("brush-waits");
const words = document.getElementById("brush-words");
const stage = brush.querySelector(".brush-stage");
const picture = stage.querySelector("img");
const canvas = brush.querySelector("canvas");
const ring = brush.querySelector(".brush-ring");
const colours = brush.querySelector("[data-colours]");
const size = document.getElementById("brush-size");
const softness = document.getElementById("brush-softness");
const masks = form.querySelector("input[type=file][name=mask]");
const keep = form.querySelector("input[type=file][name=keep]");
const kept = form.querySelector("input[name=kept_guides]");
const context = canvas.getContext("2d");
const WAITS = waits.textContent;

let regions = null;
let photograph = ""; // that the regions are of
let paintings = [];
let chosen = ""; // whose colour is on the brush
let erasing = false;
let resting = false; // arrows are drawn instead
let painted = false; // by hand, so that the fields are to be written
let at = [0, 0]; // the brush, px of the map
let timer = 0;

// What there is to paint on ----------------------------------------------------------------------

// The photograph's key and address; null: there is none, or several.
function findPhotograph() {
  const { files } = boxes.get("content");
  if (files.length > 1) return null;
  if (files.length) return { key: keyOf(files[0]), file: files[0] };
  const pick = form.querySelector("input[name=content_pick]:checked");
  return pick && { key: `pick ${pick.value}`, url: pick.closest("label").querySelector("img").src, pick };
}

async function load(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  return image;
}

// Show another photograph; what was painted on the one before it goes.
async function show(found) {
  const before = photograph;
  photograph = found.key;
  const url = found.file ? URL.createObjectURL(found.file) : found.url;
  const image = await load(url).catch(() => null);
  if (photograph !== found.key) return; // another one came meanwhile
  if (!image) {
    regions = null;
    update();
    waits.textContent = "This browser cannot show this photograph: send masks from files.";
    return;
  }
  if (before && painted) forget();
  else if (before && kept) kept.checked = false;
  const width = Number(found.pick?.dataset.width) || image.naturalWidth;
  const height = Number(found.pick?.dataset.height) || image.naturalHeight;
  const longest = Math.max(width, height);
  const scale = Math.min(LONGEST, Math.max(SHORTEST, longest)) / longest;
  regions = new Regions(Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale)));
  [canvas.width, canvas.height] = [regions.width, regions.height];
  picture.src = url;
  stage.style.setProperty("--proportion", regions.width / regions.height);
  stage.style.setProperty("--width", `${regions.width}px`);
  at = [regions.width / 2, regions.height / 2];
  await readFields();
  update();
}

function forget() {
  painted = false;
  masks.value = "";
  keep.value = "";
  if (kept) kept.checked = false;
}

// Maps that came with the page, as files or from an earlier picture, to go on from.
async function readFields() {
  const there = regions;
  const addresses = (input) => [...input.files].map((file) => URL.createObjectURL(file));
  const own = masks.files.length || keep.files.length || !kept?.checked;
  const found = own ? addresses(masks) : JSON.parse(kept.dataset.masks);
  const stays = own ? addresses(keep) : [kept.dataset.keep].filter(Boolean);
  const keys = [...listPaintings().slice(0, found.length).map(({ key }) => key), ...stays.map(() => KEEP)];
  for (const [number, url] of [...found, ...stays].entries()) {
    if (own && masks.files[number]?.name.startsWith(REST)) continue;
    const image = await load(url).catch(() => null);
    if (own) URL.revokeObjectURL(url);
    if (image && keys[number] && regions === there) regions.layer(keys[number]).set(readImage(image));
  }
}

function readImage(image) {
  const sheet = make("canvas", { width: regions.width, height: regions.height }).getContext("2d", { willReadFrequently: true });
  sheet.drawImage(image, 0, 0, regions.width, regions.height);
  return readMap(sheet.getImageData(0, 0, regions.width, regions.height));
}

// What it looks like -----------------------------------------------------------------------------

const assign = () => regions.assign(paintings.map(({ key }) => key), KEEP);
const keys = () => [...paintings.map(({ key }) => key), KEEP];
const colourOf = (key) => (key === KEEP ? KEEP_COLOUR : COLOURS[keys().indexOf(key) % COLOURS.length]);

function draw({ left, top, right, bottom } = { left: 0, top: 0, right: regions.width, bottom: regions.height }) {
  const sheet = context.createImageData(right - left, bottom - top);
  const layers = keys().filter((key) => regions.layers.has(key)).map((key) => [regions.layers.get(key), colourOf(key)]);
  let target = 0;
  for (let row = top; row < bottom; row += 1) {
    for (let place = row * regions.width + left; place < row * regions.width + right; place += 1) {
      let whole = 0;
      for (const [layer, colour] of layers) {
        const part = layer[place];
        if (!part) continue;
        whole += part;
        for (let channel = 0; channel < 3; channel += 1) sheet.data[target + channel] += (colour[channel] - sheet.data[target + channel]) * (part / whole);
      }
      sheet.data[target + 3] = whole * VEIL;
      target += 4;
    }
  }
  context.putImageData(sheet, left, top);
}

function chip({ key, title }) {
  const button = make("button", { type: "button", className: "chip", title });
  const spot = make("i");
  spot.style.backgroundColor = `rgb(${colourOf(key).join(" ")})`;
  button.append(spot, make("b", { textContent: title }));
  button.dataset.key = key;
  button.setAttribute("aria-pressed", String(isPressed(key)));
  button.addEventListener("click", () => {
    chosen = key;
    setErasing(false);
  });
  return button;
}

const isPressed = (key) => key === chosen && !erasing && !resting;

function markTool() {
  brush.querySelector("[data-act=erase]").setAttribute("aria-pressed", String(erasing && !resting));
  for (const each of colours.children) each.setAttribute("aria-pressed", String(isPressed(each.dataset.key)));
}

function setErasing(on) {
  erasing = on;
  markTool();
}

/** Lay the brush aside for the arrows, or take it up again; its colour stays on it. */
export function rest(on) {
  resting = on;
  markTool();
}

function describe() {
  const percent = (layer) => `${Math.round(100 * share(layer))} %`;
  const { masks: parts, keep: stays } = assign();
  const said = parts.map((layer, number) => `${paintings[number].title} ${percent(layer)}`);
  if (stays) said.push(`as it is ${percent(stays)}`);
  words.textContent = said.length ? `${said.join(", ")}.` : "Nothing painted yet: each painting paints everywhere.";
  brush.querySelector("[data-act=undo]").disabled = !regions.done.length;
  brush.querySelector("[data-act=redo]").disabled = !regions.undone.length;
}

function update() {
  const ready = Boolean(regions && paintings.length && findPhotograph());
  brush.hidden = !ready;
  waits.hidden = ready;
  waits.textContent = WAITS;
  if (!ready) return;
  if (!keys().includes(chosen)) chosen = paintings[0].key;
  colours.replaceChildren(...(where.open ? [...paintings.map(chip), chip({ key: KEEP, title: "Leave as it is" })] : []));
  draw();
  describe();
}

// Look what the form holds now. Until this part of it is opened, there is nothing to do.
function look() {
  const found = findPhotograph();
  const now = listPaintings();
  const changed = JSON.stringify(now) !== JSON.stringify(paintings);
  paintings = now;
  if (changed && regions && [...regions.layers.keys()].some((key) => regions.has(key))) soon();
  if (!where.open && !regions) return;
  if (found && found.key !== photograph) show(found);
  else if (changed || brush.hidden === Boolean(found && regions && now.length)) update();
}

// What is sent -----------------------------------------------------------------------------------

function makeFile(levels, name) {
  const sheet = make("canvas", { width: regions.width, height: regions.height }).getContext("2d");
  const image = sheet.createImageData(regions.width, regions.height);
  for (let place = 0; place < levels.length; place += 1) image.data.fill(levels[place], 4 * place, 4 * place + 3);
  for (let place = 3; place < image.data.length; place += 4) image.data[place] = 255;
  sheet.putImageData(image, 0, 0);
  const bytes = atob(sheet.canvas.toDataURL("image/png").split(",")[1]);
  return new File([Uint8Array.from(bytes, (letter) => letter.charCodeAt(0))], name, { type: "image/png" });
}

function fill(input, files) {
  const transfer = new DataTransfer();
  for (const file of files) transfer.items.add(file);
  input.files = transfer.files;
}

function write() {
  clearTimeout(timer);
  if (!painted || !regions) return;
  if (!findPhotograph()) forget(); // several photographs: each is another picture
  else {
    const { masks: parts, keep: stays } = assign();
    const name = ({ key }, number) => `${regions.has(key) ? "mask-" : REST}${number + 1}.png`;
    fill(masks, parts.map((levels, number) => makeFile(levels, name(paintings[number], number))));
    fill(keep, stays ? [makeFile(stays, "keep.png")] : []);
    if (kept) kept.checked = false;
  }
  form.dispatchEvent(new Event("regions"));
}

function soon() {
  painted = true;
  clearTimeout(timer);
  timer = setTimeout(write, PAUSE_MS);
}

// Pointer and keys -------------------------------------------------------------------------------

const radius = () => Math.max(1, (Math.max(regions.width, regions.height) * size.value) / 200);

function showRing() {
  const wide = (200 * radius()) / regions.width;
  Object.assign(ring.style, { left: `${(100 * at[0]) / regions.width}%`, top: `${(100 * at[1]) / regions.height}%`, width: `${wide}%` });
  ring.hidden = false;
}

function moveTo(x, y) {
  at = [Math.min(regions.width, Math.max(0, x)), Math.min(regions.height, Math.max(0, y))];
  showRing();
}

function lead() {
  const changed = regions.lead(...at, radius(), softness.value / 100);
  if (changed) draw(changed);
}

function begin() {
  clearTimeout(timer); // half a stroke is not written
  regions.begin(erasing ? null : chosen);
  lead();
}

function end() {
  if (!regions?.stroke) return;
  regions.end();
  describe();
  soon();
}

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [((event.clientX - box.left) / box.width) * regions.width, ((event.clientY - box.top) / box.height) * regions.height];
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || !event.isPrimary) return;
  canvas.setPointerCapture(event.pointerId);
  moveTo(...place(event));
  begin();
});
canvas.addEventListener("pointermove", (event) => {
  if (!event.isPrimary) return;
  const events = event.getCoalescedEvents?.() ?? [];
  for (const each of events.length ? events : [event]) {
    moveTo(...place(each));
    if (regions.stroke) lead();
  }
});
for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, end);
canvas.addEventListener("pointerleave", () => {
  ring.hidden = document.activeElement !== canvas;
});
canvas.addEventListener("focus", showRing);
canvas.addEventListener("blur", () => {
  end();
  ring.hidden = true;
});
canvas.addEventListener("keydown", (event) => {
  const key = event.key.toLowerCase();
  if (event.key in ARROWS) {
    const step = event.shiftKey ? 1 : Math.max(1, radius() / 2);
    const [x, y] = ARROWS[event.key];
    moveTo(at[0] + x * step, at[1] + y * step);
    if (regions.stroke) lead();
  } else if (event.key === " ") {
    if (!regions.stroke) begin();
  } else if ((event.ctrlKey || event.metaKey) && (key === "z" || key === "y")) {
    act(key === "y" || event.shiftKey ? "redo" : "undo");
  } else {
    return;
  }
  event.preventDefault();
});
canvas.addEventListener("keyup", (event) => event.key === " " && end());

function act(name) {
  if (name === "erase") {
    setErasing(resting || !erasing);
    return;
  }
  if (regions.stroke) end();
  regions[name]();
  draw();
  describe();
  soon();
}

for (const button of brush.querySelectorAll("[data-act]")) {
  button.addEventListener("click", () => act(button.dataset.act));
}
size.addEventListener("input", showRing);

// Somebody chose files for masks, or a draft came back.
async function reread() {
  if (!regions) return;
  painted = false;
  regions = new Regions(regions.width, regions.height);
  await readFields();
  update();
}

for (const input of [masks, keep]) input.addEventListener("change", reread);
kept?.addEventListener("change", reread);
for (const kind of ["change", "click"]) form.addEventListener(kind, () => queueMicrotask(look));
for (const kind of ["paintings", "draft"]) form.addEventListener(kind, look);
form.addEventListener("submit", write, true); // before it is read
where.addEventListener("toggle", () => {
  look();
  update();
});
look();
