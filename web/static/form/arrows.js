// Arrows over the photograph: strokes run along them. They are drawn where the brush paints, while their button is
// pressed, and written into their setting, from which they are read again.
import { rest } from "./brush.js";
import { form } from "./form.js";
import { typed } from "./fill.js";

const SVG = "http://www.w3.org/2000/svg";
const MAX = 64;
const SHORTEST = 0.02; // of the longest side; less is a click
const HEAD = 0.03; // of the longest side

const brush = document.getElementById("brush");
const stage = brush.querySelector(".brush-stage");
const canvas = stage.querySelector("canvas");
const ring = stage.querySelector(".brush-ring");
const sheet = stage.querySelector("svg");
const field = form.elements.stroke_arrows;
const words = document.getElementById("arrow-words");
const button = (name) => brush.querySelector(`[data-arrows=${name}]`);

let arrows = []; // [x0, y0, x1, y1], shares of the sides
let drawn = null; // the one that is being drawn
let shown = "";

const drawing = () => button("draw").getAttribute("aria-pressed") === "true";

function read() {
  const numbers = field.value.split(/[\s,;]+/).filter(Boolean).map(Number);
  if (numbers.length % 4 || !numbers.every((number) => number >= 0 && number <= 1)) return []; // the farm will say
  return Array.from({ length: numbers.length / 4 }, (_, number) => numbers.slice(4 * number, 4 * number + 4));
}

function line(points) {
  const found = document.createElementNS(SVG, "polyline");
  found.setAttribute("points", points.map((point) => point.join()).join(" "));
  return found;
}

// A line and its head, in px of the canvas.
function outline([x0, y0, x1, y1]) {
  const [from, to] = [[x0 * canvas.width, y0 * canvas.height], [x1 * canvas.width, y1 * canvas.height]];
  const angle = Math.atan2(to[1] - from[1], to[0] - from[0]);
  const head = HEAD * Math.max(canvas.width, canvas.height);
  const [left, right] = [2.6, -2.6].map((turn) => [to[0] + head * Math.cos(angle + turn), to[1] + head * Math.sin(angle + turn)]);
  return [line([from, to]), line([left, to, right])];
}

function show() {
  const all = drawn ? [...arrows, drawn] : arrows;
  const now = JSON.stringify([arrows, drawn, canvas.width, canvas.height]);
  if (now === shown) return;
  shown = now;
  sheet.setAttribute("viewBox", `0 0 ${canvas.width} ${canvas.height}`);
  sheet.replaceChildren(...all.flatMap(outline));
  const count = `${arrows.length} ${arrows.length === 1 ? "arrow" : "arrows"}`;
  words.textContent = arrows.length ? `${count}: strokes run along ${arrows.length === 1 ? "it" : "them"}.` : "No arrows yet.";
  for (const name of ["back", "clear"]) button(name).disabled = !arrows.length;
}

function look() {
  arrows = read();
  show();
}

function write() {
  field.value = typed(arrows.map((arrow) => arrow.map((share) => Number(share.toFixed(3)))));
  field.dispatchEvent(new Event("change", { bubbles: true }));
}

function begin(place) {
  drawn = [...place, ...place];
  show();
}

function lead(place) {
  if (!drawn) return;
  drawn = [drawn[0], drawn[1], ...place];
  show();
}

function end() {
  if (!drawn) return;
  const [x0, y0, x1, y1] = drawn;
  const longest = Math.max(canvas.width, canvas.height);
  const long = Math.hypot((x1 - x0) * canvas.width, (y1 - y0) * canvas.height) >= SHORTEST * longest;
  if (long && arrows.length < MAX) arrows.push(drawn);
  drawn = null;
  show();
  if (!long) words.textContent = "That arrow has no length: draw from one place to another.";
  else write();
}

const within = (share) => Math.min(1, Math.max(0, share));

function place({ clientX, clientY }) {
  const box = canvas.getBoundingClientRect();
  return [within((clientX - box.left) / box.width), within((clientY - box.top) / box.height)];
}

// Where the brush is, which the arrow keys move.
const placeOfRing = () => [parseFloat(ring.style.left) / 100, parseFloat(ring.style.top) / 100].map(within);

stage.addEventListener(
  "pointerdown",
  (event) => {
    if (!drawing() || event.button !== 0 || !event.isPrimary) return;
    event.stopPropagation(); // the brush does not paint
    canvas.setPointerCapture(event.pointerId);
    canvas.focus({ preventScroll: true });
    begin(place(event));
  },
  true,
);
stage.addEventListener("pointermove", (event) => event.isPrimary && lead(place(event)));
for (const kind of ["pointerup", "pointercancel"]) stage.addEventListener(kind, end);
stage.addEventListener(
  "keydown",
  (event) => {
    const undo = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z";
    if (!drawing() || (event.key !== " " && !undo)) return;
    event.preventDefault();
    event.stopPropagation();
    if (undo) button("back").click();
    else if (!drawn) begin(placeOfRing());
  },
  true,
);
stage.addEventListener("keydown", () => lead(placeOfRing())); // once the brush has moved
stage.addEventListener("keyup", (event) => event.key === " " && end());
canvas.addEventListener("blur", end);

function press(on) {
  button("draw").setAttribute("aria-pressed", String(on));
  stage.classList.toggle("draws-arrows", on);
  rest(on);
}

button("draw").addEventListener("click", () => press(!drawing()));
button("back").addEventListener("click", () => {
  arrows.pop();
  show();
  write();
});
button("clear").addEventListener("click", () => {
  arrows = [];
  show();
  write();
});
// Whoever takes up the brush again paints.
brush.querySelector("[data-colours]").addEventListener("click", () => press(false));
brush.querySelector("[data-act=erase]").addEventListener("click", () => press(false));
field.addEventListener("input", look);
for (const kind of ["change", "draft"]) form.addEventListener(kind, look);
new ResizeObserver(show).observe(canvas); // another photograph
look();
