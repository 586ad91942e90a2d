// A handle between two pictures that lie over each other: pointer, touch and keys.
const KEYS = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -10, PageUp: 10 };
const ENDS = { Home: 0, End: 100 };

/**
 * Put a handle into a box, at its middle; the box has its place as `--at`.
 *
 * @param {HTMLElement} box
 * @param {{label: string, words: string}} texts its name, and what the share to its left is of
 * @param {(percent: number) => void} moved is called with each new place, 0 to 100
 */
export function addHandle(box, { label, words }, moved = () => {}) {
  const handle = document.createElement("div");
  let at = 50;

  function show(percent) {
    at = Math.min(100, Math.max(0, percent));
    box.style.setProperty("--at", `${at}%`);
    handle.setAttribute("aria-valuenow", String(Math.round(at)));
    handle.setAttribute("aria-valuetext", `${Math.round(at)} % ${words}`);
    moved(at);
  }

  function follow(event) {
    const { left, width } = box.getBoundingClientRect();
    show(((event.clientX - left) / width) * 100);
  }

  handle.className = "compare-handle";
  handle.tabIndex = 0;
  for (const [name, value] of Object.entries({
    role: "slider",
    "aria-label": label,
    "aria-orientation": "horizontal",
    "aria-valuemin": "0",
    "aria-valuemax": "100",
  })) {
    handle.setAttribute(name, value);
  }
  handle.addEventListener("keydown", (event) => {
    if (event.key in KEYS) show(at + KEYS[event.key]);
    else if (event.key in ENDS) show(ENDS[event.key]);
    else return;
    event.preventDefault();
  });
  box.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || handle.hidden || event.target.closest("a, button")) return;
    event.preventDefault(); // no dragging of the image itself
    box.setPointerCapture(event.pointerId);
    handle.focus({ preventScroll: true });
    follow(event);
  });
  box.addEventListener("pointermove", (event) => {
    if (box.hasPointerCapture(event.pointerId)) follow(event);
  });
  box.append(handle);
  show(at);
  return handle;
}
