// The list: ask for this very page now and then, and replace the cards that changed.
import { poll } from "./poll.js";

const EVERY_MS = 3000;

const changed = (one, other) => one.outerHTML !== other.outerHTML;
const box = (card) => card.querySelector('input[name="ids"]');

function refreshCard(shown, fresh) {
  const focused = shown.contains(document.activeElement);
  const picture = shown.querySelector("img");
  const next = fresh.querySelector("img");
  if (picture.getAttribute("src") === next.getAttribute("src")) next.replaceWith(picture); // does not blink
  box(fresh).checked = box(shown).checked;
  const at = document.activeElement?.matches?.("input") ? "input" : "a";
  shown.replaceWith(fresh);
  if (focused) fresh.querySelector(at).focus();
}

function refreshList(fresh) {
  const list = document.getElementById("jobs");
  const ids = (root) => [...root.querySelectorAll("[data-id]")].map((card) => card.dataset.id).join();
  if (!ids(list) || !ids(fresh)) {
    if (ids(list) !== ids(fresh)) location.reload(); // the first picture, or the last one is gone
    return;
  }
  if (ids(list) !== ids(fresh)) {
    for (const card of fresh.querySelectorAll("[data-id]")) {
      const shown = list.querySelector(`[data-id="${card.dataset.id}"]`);
      if (shown) box(card).checked = box(shown).checked;
    }
    list.replaceWith(fresh);
    return;
  }
  for (const card of fresh.querySelectorAll("[data-id]")) {
    const shown = list.querySelector(`[data-id="${card.dataset.id}"]`);
    if (changed(shown, card)) refreshCard(shown, card.cloneNode(true));
  }
}

poll(
  location.href,
  EVERY_MS,
  async (response) => {
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const id of ["filters", "farm-now"]) {
      const shown = document.getElementById(id);
      const fresh = page.getElementById(id);
      if (changed(shown, fresh)) shown.replaceWith(fresh);
    }
    refreshList(page.getElementById("jobs"));
    document.dispatchEvent(new Event("list-refreshed"));
    return true;
  },
  (lost) => {
    document.getElementById("lost").hidden = !lost;
  },
);
