// Make what is shown equal to what was fetched, and touch only what differs: focus, scroll positions, open
// details and ticks stay, live regions are read aloud only where their words changed, pictures do not blink.

import { localise } from "./times.js";

const coming = new WeakMap(); // a picture that is shown -> the address that it will show

let news = 0; // items that a list holds back
let held = null; // the page that has them
let asked = false; // somebody wants to see them

const key = (node) =>
  node.getAttribute?.("id") || node.dataset?.id || (node.localName === "form" && node.getAttribute("action")) || "";

const byKey = (root, id) => root.querySelector(`[data-id="${CSS.escape(id)}"]`);

async function decoded(src) {
  if (document.hidden) return; // nobody sees a blink, and browsers decode nothing there
  const picture = new Image();
  picture.src = src;
  await picture.decode().catch(() => {}); // a broken one is shown as one
}

/** Resolves when all pictures of a page are there. */
export const load = (page) => Promise.all([...page.images].map((picture) => decoded(picture.getAttribute("src"))));

function copyAttributes(shown, fresh) {
  for (const { name } of [...shown.attributes]) {
    if (!fresh.hasAttribute(name) && name !== "open" && name !== "data-still") shown.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (shown.getAttribute(name) !== value && name !== "open") shown.setAttribute(name, value);
  }
}

// Shown when it is whole, with the words that go with it.
async function changePicture(shown, fresh) {
  const src = fresh.getAttribute("src");
  if (coming.get(shown) === src) return;
  coming.set(shown, src);
  if (shown.getAttribute("src") !== src) await decoded(src);
  if (coming.get(shown) !== src) return; // a newer one came meanwhile
  coming.delete(shown);
  copyAttributes(shown, fresh);
}

function match(from, wanted) {
  for (let node = from; node; node = node.nextSibling) {
    if (node.nodeName === wanted.nodeName && key(node) === key(wanted)) return node;
  }
  return null;
}

function removeFrom(node) {
  while (node) {
    const next = node.nextSibling;
    node.remove();
    node = next;
  }
}

function changeChildren(shown, fresh) {
  const wanted = new Set([...fresh.childNodes].map(key).filter(Boolean));
  for (const node of [...shown.childNodes]) if (key(node) && !wanted.has(key(node))) node.remove();
  let place = shown.firstChild;
  for (const next of fresh.childNodes) {
    const node = match(place, next);
    if (!node) {
      shown.insertBefore(document.importNode(next, true), place);
      continue;
    }
    while (place !== node && !key(place)) {
      const unwanted = place;
      place = place.nextSibling;
      unwanted.remove(); // rather than move what comes after it, which would lose the focus
    }
    if (place === node) place = place.nextSibling;
    else shown.insertBefore(node, place);
    change(node, next);
  }
  removeFrom(place);
}

// What is being chosen from stays where it is: none of its items comes, goes or moves.
function changeItems(shown, fresh) {
  for (const next of fresh.querySelectorAll("[data-id]")) {
    const item = byKey(shown, next.dataset.id);
    if (item) change(item, next);
  }
}

const items = (root) => [...root.children].map((item) => item.dataset.id);

// A list stays as it is while it is looked at, until what is new in it is asked for.
function isHeld(shown, fresh) {
  if (!("hold" in shown.dataset) || document.hidden || asked) return false;
  const known = new Set(items(shown));
  const more = items(fresh).filter((id) => !known.has(id)).length;
  news += more;
  return more > 0;
}

function showNews(fresh) {
  held = news ? fresh : null;
  const button = document.getElementById("news");
  if (!button) return;
  button.textContent = news === 1 ? "1 new picture" : `${news} new pictures`;
  button.hidden = !news;
}

document.getElementById("news")?.addEventListener("click", () => {
  asked = true;
  if (held) swap(held);
  asked = false;
});

function change(shown, fresh) {
  if (shown.isEqualNode(fresh)) return;
  if (shown instanceof CharacterData) shown.data = fresh.data;
  else if (shown instanceof HTMLImageElement) changePicture(shown, fresh);
  else if (shown.hasAttribute("data-still") || isHeld(shown, fresh)) changeItems(shown, fresh);
  else {
    copyAttributes(shown, fresh);
    changeChildren(shown, fresh);
  }
}

/** Take the title and the icon of the tab from a fetched page, if it has them. */
export function showTab(fresh) {
  if (fresh.title) document.title = fresh.title;
  const [shown, next] = [document, fresh].map((root) => root.querySelector("link[rel=icon]"));
  if (next && shown.href !== next.href) shown.href = next.href;
}

/**
 * Change each element of this page that is in a fetched one, too, found by its id.
 *
 * @param {Document} fresh its body's children are the elements; its title and icon, if it has them, are the page's
 */
export function swap(fresh) {
  const focused = document.activeElement;
  news = 0;
  localise(fresh);
  for (const next of fresh.body.children) {
    const shown = document.getElementById(next.id);
    if (shown) change(shown, next);
  }
  showNews(fresh);
  showTab(fresh);
  if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
  document.dispatchEvent(new Event("swapped"));
}
