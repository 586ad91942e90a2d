// What is wrong, beside the field that it is about and above the form.
import { form, make } from "./form.js";

const summary = document.getElementById("summary");

/** Show these messages beside a field, in place of others. */
export function showErrors(name, messages) {
  const place = form.querySelector(`[data-errors="${name}"]`);
  if (!place) return;
  place.replaceChildren(...messages.map((textContent) => make("p", { textContent })));
  const field = place.closest("[data-field]");
  field?.querySelector(".form-control, .form-select, .drop")?.classList.toggle("is-invalid", messages.length > 0);
  field?.querySelector("[aria-invalid]")?.setAttribute("aria-invalid", String(messages.length > 0));
}

/** Show one message above the form, in place of others. */
export function showNotice(text) {
  const box = make("div", { className: "notice notice-danger", textContent: text });
  box.setAttribute("role", "alert");
  summary.replaceChildren(box);
  summary.focus();
}

function showFields(page) {
  for (const place of page.querySelectorAll("[data-errors]")) {
    showErrors(place.dataset.errors, [...place.children].map((line) => line.textContent));
  }
  for (const { id } of page.querySelectorAll("details[id][open]")) document.getElementById(id).open = true;
}

/** Show what is wrong according to the page that came back instead of a job. */
export function showAnswer(page) {
  const fresh = page.getElementById("summary");
  if (!fresh) {
    showNotice(page.getElementById("detail")?.textContent ?? "The farm refused this without a reason.");
  } else {
    summary.replaceChildren(...fresh.children);
    summary.querySelector(".forgotten")?.remove(); // here they are kept
    showFields(page);
    summary.focus();
  }
  summary.scrollIntoView({ block: "start" });
}
