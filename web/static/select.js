// Choosing jobs in the list: a bar with what can be done to them, all of the page at once, ranges with shift.
const bar = document.getElementById("bulk");
const all = document.getElementById("select-all");
const boxes = () => [...document.querySelectorAll('#jobs input[name="ids"]')];
let last = null;

function show() {
  const chosen = boxes().filter((box) => box.checked).length;
  document.getElementById("selected").textContent = chosen ? `${chosen} selected` : "Select pictures to cancel, try again or delete them.";
  for (const button of bar.querySelectorAll("button")) button.disabled = !chosen;
  all.checked = chosen > 0 && chosen === boxes().length;
  all.indeterminate = chosen > 0 && !all.checked;
}

if (bar) {
  all.addEventListener("change", () => {
    for (const box of boxes()) box.checked = all.checked;
    show();
  });
  document.addEventListener("click", (event) => {
    const box = event.target.closest?.('#jobs input[name="ids"]');
    if (!box) return;
    const here = boxes();
    if (event.shiftKey && last && here.includes(last)) {
      const [from, to] = [here.indexOf(last), here.indexOf(box)].sort((one, other) => one - other);
      for (const between of here.slice(from, to + 1)) between.checked = box.checked;
    }
    last = box;
    show();
  });
  document.addEventListener("list-refreshed", show);
  addEventListener("pageshow", show); // the back button brings the choice back
  show();
}
