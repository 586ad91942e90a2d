// Which jobs of the list are selected: one by one, a range with Shift, all of the page.

const bar = document.getElementById("bulk");
const words = document.getElementById("picked");
const all = document.getElementById("pick-all");
const search = document.getElementById("pick-search"); // the whole list, on however many pages
const most = Number(bar.dataset.most);
let last = null; // id of the box that was clicked before

const boxes = () => [...document.querySelectorAll('input[name="ids"]')];

const picked = () => boxes().filter((box) => box.checked);

function show() {
  const count = picked().length;
  document.getElementById("list").toggleAttribute("data-still", count > 0); // what is being chosen from stays
  bar.classList.toggle("is-open", count > 0);
  const text = `${count} selected${count > most ? `; at most ${most} at once` : ""}`;
  if (words.textContent !== text) words.textContent = text;
  for (const button of bar.querySelectorAll("[type=submit]")) button.disabled = count > most;
  if (search) {
    search.hidden = count === 0 || count < boxes().length;
    if (search.hidden) search.querySelector("input").checked = false;
  }
  if (!all) return;
  all.checked = count > 0 && count === boxes().length;
  all.indeterminate = count > 0 && !all.checked;
}

function tick(some, checked) {
  for (const box of some) box.checked = checked;
  show();
}

function range(from, to) {
  const ids = boxes().map((box) => box.value);
  const [one, other] = [ids.indexOf(from), ids.indexOf(to)].sort((a, b) => a - b);
  return one < 0 ? [] : boxes().slice(one, other + 1);
}

document.getElementById("list").parentElement.addEventListener("click", (event) => {
  const box = event.target.closest('input[name="ids"]');
  if (!box) return;
  tick(event.shiftKey && last ? range(last, box.value) : [], box.checked);
  last = box.value;
});
all?.addEventListener("change", () => tick(boxes(), all.checked));
document.getElementById("unpick").addEventListener("click", () => {
  tick(boxes(), false);
  (all ?? document.getElementById("q")).focus();
});
document.addEventListener("swapped", show);
addEventListener("pageshow", show); // a browser may bring ticks back
show();
