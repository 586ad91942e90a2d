// The recipe that a finished picture carries, back in the form.
import { fill } from "./fill.js";
import { form, make } from "./form.js";

const NEARBY = 256 * 1024; // bytes from either end of the file, in which all formats carry it
const BEGINNINGS = ['{"version":', '{"size":'];
const summary = document.getElementById("summary");

// What stands from an opening brace to the one that closes it; "" where it is not closed.
function braces(text, start) {
  let depth = 0;
  for (let place = start; place < text.length; place += 1) {
    if (text[place] === "{") depth += 1;
    if (text[place] === "}") depth -= 1;
    if (!depth) return text.slice(start, place + 1);
  }
  return "";
}

function find(text) {
  for (const beginning of BEGINNINGS) {
    const start = text.indexOf(beginning);
    if (start < 0) continue;
    try {
      const found = JSON.parse(braces(text, start));
      if (found.preset && found.style_layers) return found;
    } catch {
      // something else that begins so
    }
  }
  return null;
}

async function readRecipe(file) {
  const ends = [file.slice(0, NEARBY), file.slice(Math.max(NEARBY, file.size - NEARBY))];
  for (const end of ends) {
    const found = find(new TextDecoder("latin1").decode(await end.arrayBuffer()));
    if (found) return found;
  }
  return null;
}

// Settings that are not in a recipe came later and have their defaults: the first choice, or what empty means.
function complete(recipe) {
  const values = { version: "0.1", ...recipe }; // the first version named none
  for (const name of form.dataset.settings.split(" ")) {
    if (!(name in values)) values[name] = form.elements[name]?.options?.[0].value ?? "";
  }
  return values;
}

function tell(file, useAsPicture) {
  const box = make("div", { className: "notice" });
  const words = `${file.name} was painted on a farm: its settings are in the form now. Choose a photograph and paintings for them.`;
  const button = make("button", { type: "button", className: "link-button", textContent: "Take it as a picture instead" });
  button.addEventListener("click", () => {
    box.remove();
    useAsPicture();
  });
  box.append(make("h2", { textContent: "Settings brought back" }), make("p", { textContent: words }), button);
  summary.replaceChildren(box);
  summary.focus();
  summary.scrollIntoView({ block: "start" });
}

/** Put the settings of a finished picture into the form; returns whether the file is one. */
export async function bringBack(file, useAsPicture) {
  const recipe = await readRecipe(file).catch(() => null);
  if (!recipe) return false;
  fill(complete(recipe));
  tell(file, useAsPicture);
  return true;
}
