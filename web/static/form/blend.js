// A slider for each painting as soon as there are two; together they write the setting `blend`. A painting keeps
// its weight while others come and go.
import { showErrors } from "./errors.js";
import { form, make } from "./form.js";
import { listPaintings } from "./pictures.js";

const section = document.getElementById("blend-sliders");
const place = section.querySelector("[data-sliders]");
const note = section.querySelector("[data-note]");
const field = document.getElementById("blend");
const MAX = 100;
const known = new Map(); // painting -> weight on its slider
let last = []; // paintings that the field was about
let shown = "";

// The weights that stand in the field, the largest MAX; [] for none.
function typed() {
  const texts = field.value.split(",").map((text) => text.trim());
  if (texts.every((text) => !text)) return [];
  const weights = texts.map(Number);
  const largest = Math.max(...weights) || 1;
  return weights.map((weight) => Math.round((weight / largest) * MAX) || 0); // no number: the farm will say
}

function remember(keys, weights) {
  keys.forEach((key, number) => known.set(key, weights[number]));
}

const weightOf = (key) => known.get(key) ?? MAX / 2;

function writeField(weights) {
  field.value = weights.every((other) => other === weights[0]) && weights[0] ? "" : weights.join(",");
}

function showShares() {
  const values = [...place.querySelectorAll("input")].map((slider) => Number(slider.value));
  const whole = values.reduce((sum, value) => sum + value, 0);
  [...place.querySelectorAll("output")].forEach((output, number) => {
    output.textContent = whole ? `${Math.round((values[number] / whole) * 100)} %` : "–";
  });
  return values;
}

function slider({ title }, value, number) {
  const id = `blend-${number}`;
  const row = make("div", { className: "blend-row" });
  const label = make("label", { htmlFor: id, textContent: title });
  const input = make("input", { type: "range", className: "form-range", id, min: 0, max: MAX, step: 5, value });
  input.addEventListener("input", () => {
    const values = showShares();
    remember(last, values);
    writeField(values);
    complain(0, 0);
  });
  row.append(label, input, make("output"));
  return row;
}

// Weights that go with other paintings stay where they were typed, and it is said.
function complain(weights, count) {
  const wrong = weights > 0 && weights !== count;
  const words = `Blend has ${weights} ${weights === 1 ? "weight" : "weights"} for ${count} ${count === 1 ? "painting" : "paintings"}.`;
  showErrors("blend", wrong ? [words] : []);
  note.textContent = wrong ? words : note.dataset.note;
  note.classList.toggle("is-wrong", wrong);
}

function show() {
  const found = listPaintings();
  const keys = found.map(({ key }) => key);
  const now = JSON.stringify([found, field.value]);
  if (now === shown || place.contains(document.activeElement)) return;
  const weights = typed();
  if (weights.length === keys.length) {
    remember(keys, weights);
  } else if (weights.length === last.length && weights.length) {
    remember(last, weights); // paintings came or went: each takes its weight along
    writeField(keys.length > 1 ? keys.map(weightOf) : []);
  } else if (!weights.length && keys.length === last.length) {
    keys.forEach((key) => known.delete(key)); // it was emptied: all alike
  } else if (!weights.length && keys.some((key) => known.has(key))) {
    writeField(keys.length > 1 ? keys.map(weightOf) : []); // one that had left is back
  }
  last = keys;
  complain(typed().length, keys.length);
  shown = JSON.stringify([found, field.value]);
  section.hidden = keys.length < 2;
  place.replaceChildren(...found.map((painting, number) => slider(painting, weightOf(painting.key), number)));
  showShares();
}

for (const kind of ["change", "click"]) form.addEventListener(kind, () => queueMicrotask(show));
form.addEventListener("paintings", show); // files came or went
form.addEventListener("draft", show);
show();
