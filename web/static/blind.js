// Which is nearer: the arrow keys choose and Escape skips, once both pictures are there to be seen.
const form = document.getElementById("blind");
const KEYS = { ArrowLeft: "left", ArrowRight: "right", Escape: "skip" };
const isShown = (picture) => picture.complete;

addEventListener("keydown", (event) => {
  const value = KEYS[event.key];
  const modified = event.ctrlKey || event.metaKey || event.altKey || event.shiftKey;
  if (!value || modified || event.repeat || ![...form.querySelectorAll("img")].every(isShown)) return;
  event.preventDefault();
  form.querySelector(`button[value=${value}]`).click();
});
