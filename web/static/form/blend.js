// A slider for each painting as soon as there are two; together they write the setting `blend`.
import { form, make } from "./form.js";

const section = document.getElementById("blend-sliders");
const place = section.querySelector("[data-sliders]");
const field = document.getElementById("blend");
const MAX = 100;
let shown = "";

// Titles in the order in which the farm takes them: what was picked, then files.
function paintings() {
  const picked = [...form.querySelectorAll("input[name=style_pick]:checked")];
  const files = [...form.querySelector("input[type=file][name=style]").files];
  return [...picked.map((box) => box.closest("label").textContent.trim()), ...files.map((file) => file.name)];
}

function weights(count) {
  const typed = field.value.split(",").map(Number).filter(Number.isFinite);
  if (!field.value.trim() || typed.length !== count) return Array(count).fill(MAX / 2);
  const largest = Math.max(...typed) || 1;
  return typed.map((weight) => Math.round((weight / largest) * MAX));
}

function write() {
  const values = [...place.querySelectorAll("input")].map((slider) => Number(slider.value));
  const whole = values.reduce((sum, value) => sum + value, 0);
  [...place.querySelectorAll("output")].forEach((output, number) => {
    output.textContent = whole ? `${Math.round((values[number] / whole) * 100)} %` : "–";
  });
  return values;
}

function slider(title, value, number) {
  const id = `blend-${number}`;
  const row = make("div", { className: "blend-row" });
  const label = make("label", { htmlFor: id, textContent: title });
  const input = make("input", { type: "range", className: "form-range", id, min: 0, max: MAX, step: 5, value });
  input.addEventListener("input", () => {
    const values = write();
    field.value = values.every((other) => other === values[0]) && values[0] ? "" : values.join(",");
  });
  row.append(label, input, make("output"));
  return row;
}

function show() {
  const titles = paintings();
  const now = JSON.stringify([titles, field.value]);
  if (now === shown || place.contains(document.activeElement)) return;
  shown = now;
  section.hidden = titles.length < 2;
  if (titles.length !== field.value.split(",").length && document.activeElement !== field) field.value = "";
  const values = weights(titles.length);
  place.replaceChildren(...titles.map((title, number) => slider(title, values[number], number)));
  write();
}

for (const kind of ["change", "click"]) form.addEventListener(kind, () => queueMicrotask(show));
form.addEventListener("paintings", show); // files came or went
form.addEventListener("draft", show);
show();
