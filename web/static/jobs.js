// The list: ask for what changes by itself now and then, and replace only what did.
import { poll } from "./poll.js";
import { picked, show } from "./pick.js";

const EVERY_MS = 3000;
const ALONE = ["filters", "farm-now"]; // parts that are replaced whole

const items = (root) => [...root.querySelectorAll("[data-id]")];
const changed = (one, other) => one.outerHTML !== other.outerHTML;

function replaceItem(shown, fresh) {
  const focused = shown.contains(document.activeElement) && document.activeElement;
  const picture = shown.querySelector("img");
  const next = fresh.querySelector("img");
  if (picture.getAttribute("src") === next.getAttribute("src")) next.replaceWith(picture); // does not blink
  fresh.querySelector("input").checked = shown.querySelector("input").checked;
  shown.replaceWith(fresh);
  if (focused) fresh.querySelector(focused.localName)?.focus({ preventScroll: true });
}

/** What is in both lists, where it is. */
function refreshItems(list, fresh) {
  const shown = new Map(items(list).map((item) => [item.dataset.id, item]));
  for (const item of items(fresh)) {
    const old = shown.get(item.dataset.id);
    if (old && changed(old, item)) replaceItem(old, item.cloneNode(true));
  }
}

/** The same items in the same order as in the fresh list; those that stay are not touched. */
function follow(list, fresh) {
  const wanted = items(fresh);
  const ids = new Set(wanted.map((item) => item.dataset.id));
  for (const item of items(list)) if (!ids.has(item.dataset.id)) item.remove();
  const shown = new Map(items(list).map((item) => [item.dataset.id, item]));
  wanted.forEach((item, place) => {
    const here = items(list)[place];
    if (here?.dataset.id === item.dataset.id) return;
    list.insertBefore(shown.get(item.dataset.id) ?? item.cloneNode(true), here ?? null);
  });
}

function refreshList(part, fresh) {
  const [list, next] = [part, fresh].map((root) => root.querySelector("#jobs"));
  if (!list || !next || list.localName !== next.localName) {
    if (changed(part, fresh)) part.replaceWith(fresh);
    return;
  }
  refreshItems(list, next);
  if (picked().length) return; // what is being chosen from stays where it is
  follow(list, next);
  const [paging, newPaging] = [part, fresh].map((root) => root.querySelector(".paging"));
  paging?.remove();
  if (newPaging) part.append(newPaging);
}

poll(
  `${location.pathname}/list${location.search}`,
  EVERY_MS,
  async (response) => {
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const id of ALONE) {
      const [shown, fresh] = [document, page].map((root) => root.getElementById(id));
      if (changed(shown, fresh)) shown.replaceWith(fresh);
    }
    refreshList(document.getElementById("list"), page.getElementById("list"));
    show();
    return true;
  },
  (lost) => {
    document.getElementById("lost").hidden = !lost;
  },
);
