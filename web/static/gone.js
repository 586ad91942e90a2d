// What a page is about was deleted while somebody looked: the page says so, in place of what it showed.

/** Show the page's own words for it, and have them read aloud. */
export function gone() {
  const words = document.getElementById("gone");
  if (!words) return; // a page that goes without
  const main = document.getElementById("main");
  main.replaceChildren(words.content.cloneNode(true));
  document.title = `${main.querySelector("h1").textContent} · Style Farm`;
  main.focus();
}
