// Sending the form without leaving it: how far that is, what is wrong, and no file is lost. Several photographs are
// sent one after the other, each as a picture of its own.
import { clipReady } from "./clip.js";
import { showAnswer, showErrors, showNotice } from "./errors.js";
import { form } from "./form.js";
import { boxes, showWeight } from "./pictures.js";

const NAME_LENGTH = form.elements.name.maxLength;
const once = form.elements.once;
const sending = document.getElementById("sending");
const buttons = form.querySelectorAll("button[type=submit]");

function ready() {
  for (const each of buttons) each.disabled = false;
  showWeight();
}

// Resolves with the request, whatever became of it.
function post(target, data, which) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest(); // fetch does not tell how much was sent
    request.upload.addEventListener("progress", (event) => {
      const share = Math.round((event.loaded / event.total) * 100);
      sending.textContent = share < 100 ? `Sending${which}, ${share} %` : `Looking at the pictures${which} …`;
    });
    request.addEventListener("loadend", () => resolve(request));
    request.open("POST", target);
    request.setRequestHeader("X-Requested-With", "XMLHttpRequest");
    request.send(data);
  });
}

function showRefusal(request) {
  ready();
  if (request.status === 0) showNotice("The farm does not answer. Nothing is lost; try again.");
  else showAnswer(new DOMParser().parseFromString(request.responseText, "text/html"));
}

async function sendOne(target) {
  const looked = await clipReady();
  if (!looked) {
    ready();
    boxes.get("content").element.scrollIntoView({ block: "center" });
    return;
  }
  const data = new FormData(form);
  if (data.get("clip")) data.delete("content"); // the farm has it
  const request = await post(target, data, "");
  if (request.status !== 201) {
    showRefusal(request);
    return;
  }
  if (target.href === form.action) form.dispatchEvent(new Event("sent")); // an exploration is not the end
  location.assign(request.getResponseHeader("Location")); // until then, nothing can be sent again
}

function only(photograph) {
  const data = new FormData(form);
  data.set("content", photograph);
  if (data.get("name").trim()) data.set("name", `${data.get("name")}: ${photograph.name}`.slice(0, NAME_LENGTH));
  return data;
}

// What was sent leaves the box, so that after a refusal the others can be sent.
async function sendAll(target, photographs) {
  for (const [number, photograph] of photographs.entries()) {
    const request = await post(target, only(photograph), ` ${number + 1} of ${photographs.length}`);
    if (request.status !== 201) {
      boxes.get("content").keep(photographs.slice(number));
      showRefusal(request);
      showErrors("content", [`${photograph.name} is the one that was refused; ${number} before it ${number === 1 ? "waits" : "wait"} already.`]);
      return;
    }
  }
  form.dispatchEvent(new Event("sent"));
  location.assign(form.dataset.jobs);
}

function send(button) {
  const target = new URL(button.getAttribute("formaction") ?? form.action, location.href);
  const photographs = boxes.get("content").files;
  if (photographs.length > 1 && target.href !== form.action) {
    showErrors("content", [`An exploration takes one photograph; ${photographs.length} are chosen.`]);
    boxes.get("content").element.scrollIntoView({ block: "center" });
    return;
  }
  for (const each of buttons) each.disabled = true;
  if (photographs.length > 1) sendAll(target, photographs);
  else sendOne(target);
}

// Whoever goes back to this page finds the same form, also if the farm was asked for it anew.
if (history.state?.once) once.value = history.state.once;
else history.replaceState({ once: once.value }, "");
addEventListener("pageshow", ready); // whoever comes back may send it again
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (showWeight()) send(event.submitter ?? document.getElementById("send"));
});
