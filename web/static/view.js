// The viewer: fit, 100 %, zoom at the pointer, drag. The preview first, the full size when it is decoded.
const STEP = 1.25; // of one press of a button or a key
const LARGEST = 8; // screen points for one of the picture
const ARROW = 80; // screen points
const ARROWS = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const WHEEL_LINE = 16; // screen points in a line, for wheels that count in lines
const WHEEL = 0.0015; // of one screen point of a wheel
const PINCH = 0.01; // the same for a pinch on a touchpad, which comes as a wheel with Ctrl
const QUIET_MS = 300; // without movement

const stage = document.getElementById("stage");
const sheet = document.getElementById("sheet");
const width = Number(stage.dataset.width);
const height = Number(stage.dataset.height);
const pointers = new Map();
let scale = 1;
let x = 0; // of the picture's corner in the stage
let y = 0;
let fitted = true;
let settled; // timer

// Where it lies ----------------------------------------------------------------------------------

const fitScale = () => Math.min(stage.clientWidth / width, stage.clientHeight / height);

function inside(at, length, room) {
  return length <= room ? (room - length) / 2 : Math.min(0, Math.max(room - length, at));
}

function draw() {
  x = inside(x, width * scale, stage.clientWidth);
  y = inside(y, height * scale, stage.clientHeight);
  // Whole points at 100 % and beyond, or every point of the picture would be smeared over two.
  const [left, top] = scale >= 1 ? [Math.round(x), Math.round(y)] : [x, y];
  sheet.style.transform = `translate(${left}px, ${top}px) scale(${scale})`;
  const percent = `${Number((scale * 100).toFixed(scale < 0.1 ? 1 : 0))} %`;
  document.getElementById("zoom").textContent = percent;
  press("fit", fitted);
  press("actual", scale === 1);
  stage.classList.add("is-moving");
  clearTimeout(settled);
  settled = setTimeout(() => settle(percent), QUIET_MS);
}

function press(act, pressed) {
  document.querySelector(`[data-act=${act}]`).setAttribute("aria-pressed", String(pressed));
}

function settle(percent) {
  const spoken = document.getElementById("spoken");
  const words = fitted ? `Fitted, ${percent}` : percent;
  if (spoken.textContent !== words) spoken.textContent = words;
  if (!pointers.size) stage.classList.remove("is-moving");
}

function fit() {
  fitted = true;
  scale = fitScale();
  draw();
}

const middle = () => [stage.clientWidth / 2, stage.clientHeight / 2];

/** Zoom so that the point of the picture under (atX, atY) of the stage stays there. */
function zoomTo(wanted, [atX, atY] = middle()) {
  const least = Math.min(fitScale(), 1);
  const next = Math.min(Math.max(LARGEST, fitScale()), Math.max(least, wanted));
  x = atX - ((atX - x) * next) / scale;
  y = atY - ((atY - y) * next) / scale;
  scale = next;
  fitted = next === fitScale();
  draw();
}

function move(byX, byY) {
  x += byX;
  y += byY;
  draw();
}

const ACTS = {
  fit,
  actual: () => zoomTo(1),
  in: () => zoomTo(scale * STEP),
  out: () => zoomTo(scale / STEP),
};

// Pointers: one drags, two pinch -----------------------------------------------------------------

function place(event) {
  const box = stage.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

/** The middle of all pointers, and how far the first two are apart. */
function grip() {
  const all = [...pointers.values()];
  const mean = (axis) => all.reduce((sum, point) => sum + point[axis], 0) / all.length;
  const [[ax, ay], [bx, by]] = [all[0], all[1] ?? all[0]];
  return { at: [mean(0), mean(1)], apart: Math.hypot(ax - bx, ay - by) };
}

stage.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  stage.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, place(event));
  stage.classList.add("is-moving");
});
stage.addEventListener("pointermove", (event) => {
  if (!pointers.has(event.pointerId)) return;
  const before = grip();
  pointers.set(event.pointerId, place(event));
  const after = grip();
  x += after.at[0] - before.at[0];
  y += after.at[1] - before.at[1];
  if (before.apart && after.apart) zoomTo((scale * after.apart) / before.apart, after.at);
  else draw();
});
for (const name of ["pointerup", "pointercancel"]) {
  stage.addEventListener(name, (event) => {
    if (pointers.delete(event.pointerId)) draw();
  });
}
stage.addEventListener(
  "wheel",
  (event) => {
    event.preventDefault();
    const points = event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? event.deltaY : event.deltaY * WHEEL_LINE;
    zoomTo(scale * Math.exp(-points * (event.ctrlKey ? PINCH : WHEEL)), place(event));
  },
  { passive: false },
);
stage.addEventListener("dblclick", (event) => {
  if (fitted) zoomTo(1, place(event));
  else fit();
});

// Keys, buttons, the window ----------------------------------------------------------------------

function leave() {
  const back = document.getElementById("back");
  if (document.referrer === back.href && history.length > 1) history.back(); // to where they had scrolled
  else location.assign(back.href);
}

const KEYS = { f: "fit", 0: "fit", 1: "actual", "+": "in", "=": "in", "-": "out", _: "out" };

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") leave();
  else if (event.key in ARROWS) move(...ARROWS[event.key].map((way) => way * ARROW));
  else if (event.key.toLowerCase() in KEYS) ACTS[KEYS[event.key.toLowerCase()]]();
  else return;
  event.preventDefault();
});
for (const button of document.querySelectorAll("[data-act]")) {
  button.addEventListener("click", () => ACTS[button.dataset.act]());
}
new ResizeObserver(() => (fitted ? fit() : zoomTo(scale))).observe(stage);

// The full size ----------------------------------------------------------------------------------

async function showFull() {
  const note = document.getElementById("note");
  const late = setTimeout(() => (note.textContent = "The full size is on its way …"), QUIET_MS);
  const full = new Image(width, height);
  full.id = "full";
  full.alt = "";
  full.draggable = false;
  full.src = stage.dataset.full;
  try {
    await full.decode();
    sheet.append(full); // over the preview, which stays, so that nothing blinks
    note.textContent = "";
  } catch {
    note.textContent = "The full size could not be loaded; this is a preview.";
  } finally {
    clearTimeout(late);
  }
}

document.documentElement.classList.add("js");
sheet.style.width = `${width}px`;
sheet.style.height = `${height}px`;
fit();
showFull();
