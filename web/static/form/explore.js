// The two axes of a grid of drafts: usual values, and what Enter does there.
import { form } from "./form.js";

const axes = ["across", "down"].map((name) => form.elements[name]);

// Another axis has other values.
function showUsual(axis) {
  form.elements[`${axis.name}_values`].placeholder = axis.selectedOptions[0]?.dataset.usual ?? "";
}

for (const axis of axes) {
  showUsual(axis);
  axis.addEventListener("change", () => {
    form.elements[`${axis.name}_values`].value = "";
    showUsual(axis);
  });
}
form.addEventListener("draft", () => axes.forEach(showUsual));
form.querySelector(".explore").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.target.localName !== "input") return;
  event.preventDefault(); // elsewhere it paints
  document.getElementById("explore").click();
});
