// Settings of a recipe, put into the form as a person types them.
import { form } from "./form.js";

const balance = document.getElementById("balance");

/** A setting as it is typed: lists and weights by commas. */
export function typed(value) {
  if (value === null || value === undefined) return "";
  if (Array.isArray(value)) return value.map(typed).join(",");
  if (typeof value === "object") return Object.entries(value).map(([name, weight]) => `${name}=${weight}`).join(",");
  return String(value);
}

// The weight of the photograph, as a place of the slider if it has such a place.
function fillBalance(weight) {
  const weights = JSON.parse(balance.dataset.weights);
  const place = weights.findIndex((each) => Math.abs(weight / each - 1) < 1e-4);
  balance.value = place < 0 ? 0 : Number(balance.min) + place * Number(balance.step);
  form.elements.content_weight.value = place < 0 ? typed(weight) : "";
}

/** Put these settings into the form; those that it does not have are left. */
export function fill(values) {
  const version = form.elements.version.value;
  for (const name of form.dataset.settings.split(" ")) {
    const field = form.elements[name];
    if (field && name in values) field.value = typed(values[name]);
  }
  // On a page of another version the places of the slider mean other weights.
  if ("content_weight" in values && form.elements.version.value === version) fillBalance(values.content_weight);
  form.elements.look_taken.value = ""; // whoever takes a look says so afterwards
  form.dispatchEvent(new Event("draft"));
  form.dispatchEvent(new Event("change", { bubbles: true }));
}
