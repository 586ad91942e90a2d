// Photograph and painting as one picture with a handle between them: pointer, touch and keys.
const KEYS = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -10, PageUp: 10 };

const box = document.getElementById("compare");
const handle = document.createElement("div");
let at = 50;

function show(percent) {
  at = Math.min(100, Math.max(0, percent));
  box.style.setProperty("--at", `${at}%`);
  handle.setAttribute("aria-valuenow", String(Math.round(at)));
  handle.setAttribute("aria-valuetext", `${Math.round(at)} % photograph`);
}

function follow(event) {
  const { left, width } = box.getBoundingClientRect();
  show(((event.clientX - left) / width) * 100);
}

handle.className = "compare-handle";
handle.tabIndex = 0;
for (const [name, value] of Object.entries({
  role: "slider",
  "aria-label": "How much of the photograph shows",
  "aria-orientation": "horizontal",
  "aria-valuemin": "0",
  "aria-valuemax": "100",
})) {
  handle.setAttribute(name, value);
}
handle.addEventListener("keydown", (event) => {
  const ends = { Home: 0, End: 100 };
  if (event.key in KEYS) show(at + KEYS[event.key]);
  else if (event.key in ends) show(ends[event.key]);
  else return;
  event.preventDefault();
});
box.addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || event.target.closest("a")) return;
  event.preventDefault(); // no dragging of the image itself
  box.setPointerCapture(event.pointerId);
  handle.focus({ preventScroll: true });
  follow(event);
});
box.addEventListener("pointermove", (event) => {
  if (box.hasPointerCapture(event.pointerId)) follow(event);
});
box.append(handle);
box.classList.add("is-live");
show(at);
