// Looks: a button fills in the settings of one, and those that stand in the form are saved as another.
import { showAnswer, showErrors, showNotice } from "./errors.js";
import { fill, typed } from "./fill.js";
import { form } from "./form.js";

const section = document.getElementById("looks");
const names = new Set([...section.dataset.settings.split(" "), "balance"]);
// These come anew when a look was saved.
const words = () => document.getElementById("look-words");
const taken = () => form.elements.look_taken;

function mark(id) {
  taken().value = id;
  for (const button of section.querySelectorAll("[data-look]")) {
    button.setAttribute("aria-pressed", String(button.value === id));
  }
}

// The settings that a look changes, by the names they have in the form.
function describe({ name, settings }) {
  const set = Object.entries(settings).filter(([setting]) => setting !== "version");
  const titles = set.map(([setting, value]) => {
    const title = form.elements[setting]?.labels?.[0]?.textContent.trim() ?? setting;
    return `${title.toLowerCase()} ${typed(value)}`;
  });
  if (!titles.length) return `“${name}”: all settings of the manner are as usual again.`;
  return `“${name}” set ${titles.join("; ")}. Change what you like.`;
}

async function take(button) {
  try {
    const answer = await fetch(button.dataset.look, { cache: "no-cache" });
    if (!answer.ok) throw new Error(String(answer.status));
    const look = await answer.json();
    fill(look.manner);
    mark(look.id);
    taken().dispatchEvent(new Event("input", { bubbles: true })); // for the draft that is kept
    words().textContent = describe(look);
  } catch {
    showNotice("This look cannot be had just now; perhaps it was deleted. Nothing was changed.");
  }
}

function replaceBy(page) {
  const open = section.querySelector("details").open;
  section.replaceChildren(...page.getElementById("looks").childNodes);
  section.querySelector("details").open = open;
}

async function save() {
  const data = new FormData(form);
  for (const name of ["content", "style", "look"]) data.delete(name); // no look has pictures
  const button = document.getElementById("save-look");
  button.disabled = true;
  try {
    const headers = { "X-Requested-With": "XMLHttpRequest" };
    const answer = await fetch(button.formAction, { method: "POST", body: data, headers });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (answer.status !== 201) showAnswer(page);
    else {
      showErrors("look_name", []);
      const text = page.getElementById("look-words").textContent;
      page.getElementById("look-words").textContent = "";
      replaceBy(page);
      words().textContent = text; // said after it is there, or nobody would hear it
      document.getElementById("look_name").focus();
    }
  } catch {
    showNotice("The farm does not answer. Nothing is lost; try again.");
  }
  document.getElementById("save-look").disabled = false;
}

section.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  event.preventDefault(); // without this script the farm fills in the form
  if (button.dataset.look) take(button);
  else save();
});
section.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.target.id !== "look_name") return;
  event.preventDefault(); // elsewhere it paints
  save();
});
form.addEventListener("input", ({ target }) => {
  const setting = target.name || target.dataset.sliderOf; // a slider beside a number has no name
  if (names.has(setting)) mark("");
});
form.addEventListener("draft", () => mark(taken().value));
