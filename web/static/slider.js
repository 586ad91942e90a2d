// A slider between photograph and painting: the two drafts that are nearest, blended on a canvas. It works with
// the keyboard as any slider does, and by drawing across the picture; without this script the drafts are a grid.
const section = document.getElementById("live-slider");
const canvas = document.getElementById("slider-picture");
const slider = document.getElementById("slider-place");
const choice = document.getElementById("slider-row");
const words = document.getElementById("slider-words");
const choose = document.getElementById("slider-choose");
const context = canvas.getContext("2d");
const pictures = new Map(); // their addresses -> pictures that can be drawn at once

let rows = [];
let given = ""; // what `rows` were read from
let row = null;
let due = false; // to be drawn with the next frame

// The drafts on both sides, and how far it is from the first to the second, 0 to 1.
function nearest() {
  const place = Number(slider.value);
  const first = Math.min(Math.floor(place), row.cells.length - 2);
  return { first: row.cells[first], second: row.cells[first + 1], share: place - first };
}

function describe({ first, second, share }) {
  if (share < 0.01) return first.label;
  if (share > 0.99) return second.label;
  return `${Math.round(share * 100)} % of the way from “${first.label}” to “${second.label}”`;
}

// From cell to cell it is the weight's logarithm that grows evenly.
function weight({ first, second, share }) {
  const between = first.weight ** (1 - share) * second.weight ** share;
  return share < 0.01 ? first.weight : share > 0.99 ? second.weight : Number(between.toPrecision(3));
}

function draw() {
  due = false;
  const place = nearest();
  const [one, other] = [place.first, place.second].map((cell) => pictures.get(cell.src));
  context.globalAlpha = 1;
  context.drawImage(one, 0, 0, canvas.width, canvas.height);
  if (place.share > 0) {
    context.globalAlpha = place.share;
    context.drawImage(other, 0, 0, canvas.width, canvas.height);
  }
  const text = describe(place);
  words.textContent = text;
  slider.setAttribute("aria-valuetext", text);
  canvas.setAttribute("aria-label", `Painted: ${text}`);
  const cell = place.share < 0.5 ? place.first : place.second;
  choose.href = `${section.dataset.form}?${new URLSearchParams({ from: cell.id, content_weight: weight(place) })}`;
}

function drawSoon() {
  if (due) return; // however often it moves, once a frame
  due = true;
  requestAnimationFrame(draw);
}

async function load(src) {
  if (pictures.has(src)) return;
  const picture = new Image();
  picture.src = src;
  await picture.decode();
  pictures.set(src, await createImageBitmap(picture));
}

async function show() {
  const chosen = rows[choice.selectedIndex];
  await Promise.all(chosen.cells.map(({ src }) => load(src)));
  if (chosen !== rows[choice.selectedIndex]) return; // another was chosen meanwhile
  const share = row ? Number(slider.value) / Number(slider.max) : 0.5;
  row = chosen;
  [canvas.width, canvas.height] = [row.cells[0].width, row.cells[0].height];
  slider.max = row.cells.length - 1;
  slider.value = share * slider.max;
  section.hidden = false;
  draw();
}

function read() {
  const text = document.querySelector("[data-slider]")?.dataset.slider ?? "[]";
  if (text === given) return;
  given = text;
  rows = JSON.parse(text);
  if (!rows.length) {
    section.hidden = true;
    return;
  }
  const before = choice.selectedIndex;
  choice.replaceChildren(...rows.map(({ label }) => new Option(label)));
  choice.selectedIndex = before >= 0 && before < rows.length ? before : Math.floor((rows.length - 1) / 2);
  document.getElementById("slider-row-label").hidden = rows.length < 2;
  show().catch(() => (section.hidden = true)); // a picture is gone: the grid says more
}

function follow({ clientX }) {
  const { left, width } = canvas.getBoundingClientRect();
  slider.value = ((clientX - left) / width) * Number(slider.max);
  drawSoon();
}

slider.addEventListener("input", drawSoon);
choice.addEventListener("change", () => show().catch(() => (section.hidden = true)));
canvas.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  event.preventDefault();
  canvas.setPointerCapture(event.pointerId);
  slider.focus({ preventScroll: true });
  follow(event);
});
canvas.addEventListener("pointermove", (event) => canvas.hasPointerCapture(event.pointerId) && follow(event));
document.addEventListener("swapped", read); // drafts were finished
read();
