// A cell of a grid, large, while the page stays where it is: leafed through with buttons, arrow keys or a
// finger. It shows what the cell shows, also as that changes.
const SWIPE_PX = 40; // that a finger goes before it leafs

const dialog = document.getElementById("lightbox");
const part = (name) => document.getElementById(`lightbox-${name}`);
const grid = document.querySelector("[data-columns]");
const cells = [...grid.querySelectorAll(".cell")];
const columns = Number(grid.dataset.columns);
const STEPS = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
let place = 0;
let start = null; // where a finger was put down

const setText = (element, text) => {
  if (element.textContent !== text) element.textContent = text; // or it would be read aloud again
};

function show() {
  const cell = cells[place];
  const [across, down] = ["b", "span"].map((name) => cell.querySelector(`.chosen-by ${name}`).textContent);
  const picture = cell.querySelector("img");
  const large = part("picture");
  if (large.getAttribute("src") !== picture.getAttribute("src")) large.src = picture.src;
  for (const name of ["width", "height"]) large.setAttribute(name, picture.getAttribute(name));
  large.className = picture.className;
  large.alt = picture.classList.contains("not-begun") ? "The photograph, not yet painted" : `Draft: ${across}, ${down}`;
  setText(part("title"), `${across}, ${down}`);
  setText(part("place"), `${place + 1} of ${cells.length}`);
  setText(part("state"), `· ${cell.querySelector("[data-state-words]").textContent}`);
  part("choose").href = cell.querySelector(".choose").href;
  part("details").href = cell.querySelector(".details").href;
}

function leaf(steps) {
  place = (place + steps + cells.length) % cells.length;
  show();
}

cells.forEach((cell, number) => {
  cell.querySelector("[data-look]").addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // another tab
    event.preventDefault();
    place = number;
    show();
    dialog.showModal();
  });
});

for (const button of dialog.querySelectorAll("[data-leaf]")) {
  button.addEventListener("click", () => leaf(Number(button.dataset.leaf)));
}
dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close()); // beside it
dialog.addEventListener("close", () => cells[place].querySelector("[data-look]").focus());
dialog.addEventListener("keydown", (event) => {
  if (!(event.key in STEPS) || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  leaf(STEPS[event.key]);
});

const stage = part("stage");
stage.addEventListener("pointerdown", (event) => {
  start = event.pointerType === "mouse" || !event.isPrimary ? null : event;
});
stage.addEventListener("pointerup", (event) => {
  if (!start || !event.isPrimary || visualViewport.scale > 1) return; // a picture that was zoomed is moved
  const [x, y] = [event.clientX - start.clientX, event.clientY - start.clientY];
  start = null;
  if (Math.abs(x) > SWIPE_PX && Math.abs(x) > 2 * Math.abs(y)) leaf(x < 0 ? 1 : -1);
});

new MutationObserver(() => dialog.open && show()).observe(grid, {
  subtree: true,
  childList: true,
  characterData: true,
  attributeFilter: ["src", "class"],
});
