// What axe does not look at, as a function to be called in the page: keyboard focus that is seen, and in
// the order of reading; links within the page that lead somewhere; edges and icons that stand out; sliders
// whose value can be told. Returns sentences, each with the element it is about.
() => {
  const NON_TEXT = 3; // contrast, WCAG 1.4.11
  const TABBABLE = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']";
  const LOOKS = ["outline", "boxShadow", "borderColor", "backgroundColor", "color", "textDecorationLine", "opacity", "top"];
  const found = [];
  const say = (what, element) => found.push(`${what}: ${element.outerHTML.replace(/\s+/g, " ").slice(0, 160)}`);

  // Colours --------------------------------------------------------------------------------------

  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  function rgba(colour) {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, alpha / 255];
  }
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  function ground(element) {
    if (!element) return [255, 255, 255, 1];
    const own = rgba(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own : over(own, ground(element.parentElement));
  }
  function luminance(colour) {
    const linear = colour.slice(0, 3).map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  }
  function contrast(colour, below) {
    const [dark, light] = [luminance(over(rgba(colour), below)), luminance(below)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  }

  // What can be reached --------------------------------------------------------------------------

  const shown = (element) => element.checkVisibility({ visibilityProperty: true }) && element.getClientRects().length > 0;
  const open = document.querySelector("dialog:modal") ?? document; // the rest cannot be reached meanwhile
  const reached = [...open.querySelectorAll(TABBABLE)].filter((element) => !element.disabled && shown(element));

  function looks(element) {
    const near = [element, element.closest("label"), element.parentElement, element.parentElement?.parentElement, element.nextElementSibling];
    return JSON.stringify(
      near.filter(Boolean).map((each) => ["", "::before", "::after"].map((part) => {
        const style = getComputedStyle(each, part);
        return LOOKS.map((name) => style[name]);
      })),
    );
  }

  function isCovered(control) {
    const element = getComputedStyle(control).opacity === "0" ? control.parentElement : control; // which stands for it
    const box = element.getBoundingClientRect();
    const x = Math.min(innerWidth - 1, Math.max(0, box.x + box.width / 2));
    const y = Math.min(innerHeight - 1, Math.max(0, box.y + box.height / 2));
    const top = document.elementFromPoint(x, y);
    return !(top && (element.contains(top) || top.contains(element) || top.closest("label")?.control === element));
  }

  for (const element of reached) {
    document.activeElement?.blur();
    const before = looks(element);
    element.focus();
    if (looks(element) === before) say("its focus is not seen", element);
    if (isCovered(element)) say("focused, it is covered", element);
    const style = getComputedStyle(element);
    const around = ground(element.parentElement);
    if (style.outlineStyle !== "none" && parseFloat(style.outlineOffset) >= 0 && contrast(style.outlineColor, around) < NON_TEXT) {
      say("its focus does not stand out", element);
    }
  }
  document.activeElement?.blur();
  scrollTo(0, 0);

  const isStill = (element) => {
    for (let each = element; each; each = each.parentElement) {
      if (["fixed", "sticky"].includes(getComputedStyle(each).position)) return false;
    }
    return !element.matches(".skip");
  };
  const inOrder = reached.filter(isStill);
  inOrder.slice(1).forEach((element, number) => {
    const [last, box] = [inOrder[number], element].map((each) => each.getBoundingClientRect());
    const sameColumn = last.left < box.right - 1 && box.left < last.right - 1;
    if (sameColumn && box.bottom <= last.top) say("focus goes up to it", element);
  });

  // Edges, icons, sliders, links -----------------------------------------------------------------

  for (const element of document.querySelectorAll("input:not([type=hidden], [type=range], [type=file]), select, textarea")) {
    const style = getComputedStyle(element);
    if (!shown(element) || style.appearance === "auto" || style.opacity === "0") continue;
    const around = ground(element.parentElement);
    const edges = [style.borderTopColor, style.backgroundColor].map((colour) => contrast(colour, around));
    if (Math.max(...edges) < NON_TEXT) say(`its edge has a contrast of ${Math.max(...edges).toFixed(1)}`, element);
  }
  for (const element of document.querySelectorAll("a svg, button svg")) {
    const control = element.closest("a, button");
    if (!shown(element) || control.disabled) continue;
    const ratio = contrast(getComputedStyle(element).color, ground(element.parentElement));
    if (ratio < NON_TEXT) say(`its icon has a contrast of ${ratio.toFixed(1)}`, control);
  }
  for (const element of document.querySelectorAll("[role=slider]")) {
    const [least, value, most] = ["min", "now", "max"].map((name) => parseFloat(element.getAttribute(`aria-value${name}`)));
    if (!(least <= value && value <= most)) say("a slider without its value", element);
  }
  for (const element of document.querySelectorAll('a[href^="#"]')) {
    if (!document.getElementById(element.hash.slice(1))) say("leads nowhere", element);
  }
  for (const name of ["aria-describedby", "aria-labelledby", "aria-controls"]) {
    for (const element of document.querySelectorAll(`[${name}]`)) {
      const missing = element.getAttribute(name).split(/\s+/).filter((id) => !document.getElementById(id));
      if (missing.length) say(`${name} names ${missing}, which is not there`, element);
    }
  }
  return found;
}
