// The longest side: usual sizes as buttons, and a word for each.
import { form } from "./form.js";

const size = document.getElementById("size");
const sizeWords = document.getElementById("size-words");
const ANY_SIZE = sizeWords.textContent;

function markSize() {
  sizeWords.textContent = ANY_SIZE;
  for (const chip of form.querySelectorAll("[data-size]")) {
    const usual = chip.dataset.size === size.value;
    chip.setAttribute("aria-pressed", String(usual));
    if (usual) sizeWords.textContent = `${size.value} px: ${chip.title}.`;
  }
}

size.addEventListener("input", markSize);
for (const chip of form.querySelectorAll("[data-size]")) {
  chip.addEventListener("click", () => {
    size.value = chip.dataset.size;
    markSize();
  });
}
form.addEventListener("draft", markSize);
markSize();
