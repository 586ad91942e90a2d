// Sending the form without leaving it: how far that is, what is wrong, and no file is lost.
import { showAnswer, showNotice } from "./errors.js";
import { form } from "./form.js";
import { showWeight } from "./pictures.js";

const once = form.elements.once;
const buttons = form.querySelectorAll("button[type=submit]");

function ready() {
  for (const each of buttons) each.disabled = false;
  showWeight();
}

function send(button) {
  const target = new URL(button.getAttribute("formaction") ?? form.action, location.href);
  const request = new XMLHttpRequest(); // fetch does not tell how much was sent
  const sending = document.getElementById("sending");
  for (const each of buttons) each.disabled = true;
  request.upload.addEventListener("progress", (event) => {
    const share = Math.round((event.loaded / event.total) * 100);
    sending.textContent = share < 100 ? `Sending, ${share} %` : "Looking at the pictures …";
  });
  request.addEventListener("loadend", () => {
    if (request.status === 201) {
      if (target.href === form.action) form.dispatchEvent(new Event("sent")); // an exploration is not the end
      location.assign(request.getResponseHeader("Location")); // until then, nothing can be sent again
      return;
    }
    ready();
    if (request.status === 0) {
      showNotice("The farm does not answer. Nothing is lost; try again.");
    } else {
      showAnswer(new DOMParser().parseFromString(request.responseText, "text/html"));
    }
  });
  request.open("POST", target);
  request.setRequestHeader("X-Requested-With", "XMLHttpRequest");
  request.send(new FormData(form));
}

// Whoever goes back to this page finds the same form, also if the farm was asked for it anew.
if (history.state?.once) once.value = history.state.once;
else history.replaceState({ once: once.value }, "");
addEventListener("pageshow", ready); // whoever comes back may send it again
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (showWeight()) send(event.submitter ?? document.getElementById("send"));
});
