// Whether names stay where they belong: within their tile and the window, over nothing else that is read
// or clicked, and whole in a tooltip where they are cut. A function to be called in the page with the names;
// returns sentences, each with the element it is about.
(names) => {
  const SLACK = 1.5; // px of rounding
  const LEADING = 0.2; // share of a line's box that lies above and below its letters
  const TILES = "li, td, th, figure, fieldset, header, [role=dialog], dialog, main";
  const CONTROLS = "a[href], button, input:not([type=hidden]), select, textarea, summary";
  const found = [];
  const say = (what, element) => found.push(`${what}: ${element.outerHTML.replace(/\s+/g, " ").slice(0, 120)}`);

  const flat = (text) => text.replace(/\s+/g, " ").trim();
  const isName = (text) => names.some((name) => flat(text).includes(name));
  const isForEars = (element) => element && (getComputedStyle(element).clipPath === "inset(50%)" || isForEars(element.parentElement));
  // A bar that stays in the window lies over what is scrolled below it, and nothing of that is lost.
  const stays = (element) => element && (getComputedStyle(element).position === "sticky" || stays(element.parentElement));
  const shown = (element) => !stays(element) && element.checkVisibility({ visibilityProperty: true }) && !element.closest(".visually-hidden, .skip, datalist") && !isForEars(element);

  // What of a box can be seen: cut by every ancestor that hides what flows over; one that scrolls hides, too,
  // but brings it forth again.
  function seen(box, element, hides) {
    let { left, top, right, bottom } = box;
    for (let each = element; each && each !== document.body; each = each.parentElement) {
      const style = getComputedStyle(each);
      if (!hides.includes(style.overflowY)) continue;
      const edge = each.getBoundingClientRect();
      [left, top] = [Math.max(left, edge.left), Math.max(top, edge.top)];
      [right, bottom] = [Math.min(right, edge.right), Math.min(bottom, edge.bottom)];
    }
    return { left, top, right, bottom };
  }

  // All that is read, with its box.
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!flat(walker.currentNode.data) || !shown(element)) continue;
    const range = document.createRange();
    range.selectNodeContents(walker.currentNode);
    const lines = [...range.getClientRects()].map((line) => {
      const off = (line.height * LEADING) / 2;
      return seen({ left: line.left, right: line.right, top: line.top + off, bottom: line.bottom - off }, element, ["hidden", "clip", "auto", "scroll"]);
    });
    texts.push({ element, whole: range.getBoundingClientRect(), lines: lines.filter(({ left, right, top, bottom }) => left < right && top < bottom), named: isName(walker.currentNode.data) });
  }

  const controls = [...document.querySelectorAll(CONTROLS)].filter(shown);
  const meet = (one, other) =>
    Math.min(one.right, other.right) - Math.max(one.left, other.left) > SLACK &&
    Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top) > SLACK;

  for (const { element, whole, lines } of texts.filter(({ named }) => named)) {
    const tile = element.closest(TILES);
    const edge = tile.getBoundingClientRect();
    if (!lines.length && !element.closest(".job-lines")) say("no letter of the name is seen", element);
    for (const line of lines) {
      if (line.left < -SLACK || line.right > innerWidth + SLACK) say("it leaves the window", element);
      else if (line.left < edge.left - SLACK || line.right > edge.right + SLACK || line.top < edge.top - SLACK || line.bottom > edge.bottom + SLACK) {
        say(`it leaves its ${tile.localName}`, element);
      }
    }
    const part = seen(whole, element, ["hidden", "clip"]);
    if (part.right < whole.right - SLACK || part.left > whole.left + SLACK || part.bottom < whole.bottom - SLACK || part.top > whole.top + SLACK) {
      const told = element.closest("[title]");
      if (!told || !tile.contains(told) || !isName(told.title)) say("it is cut, and nothing tells the whole of it", element);
    }
    for (const other of texts) {
      if (other.element !== element && other.lines.some((line) => lines.some((own) => meet(own, line)))) say(`it lies over “${flat(other.element.textContent).slice(0, 30)}”`, element);
    }
    for (const control of controls) {
      if (control.contains(element) || element.contains(control) || control.closest("label")?.contains(element)) continue;
      if (lines.some((line) => meet(line, control.getBoundingClientRect()))) say(`it lies over ${control.outerHTML.slice(0, 60)}`, element);
    }
  }
  if (document.documentElement.scrollWidth > innerWidth) say(`the page is ${document.documentElement.scrollWidth} px wide`, document.documentElement);
  return [...new Set(found)];
}
