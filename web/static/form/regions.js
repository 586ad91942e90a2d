// Who has which part of a photograph: a layer of bytes for each painting and one for what stays, painted by strokes.
// Together no pixel is had by more than 255.
const MAX_UNDO = 60; // strokes

export class Regions {
  /** Of a map of this size, px. */
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.layers = new Map(); // by painting
    this.done = []; // strokes, for undo
    this.undone = [];
  }

  /** The layer of a painting, empty before its first stroke. */
  layer(key) {
    if (!this.layers.has(key)) this.layers.set(key, new Uint8ClampedArray(this.width * this.height));
    return this.layers.get(key);
  }

  /** Whether anything was painted for it. */
  has(key) {
    return this.layers.get(key)?.some(Boolean) ?? false;
  }

  /** Begin a stroke that paints for a painting, or with null erases. */
  begin(key) {
    if (key !== null) this.layer(key);
    const before = new Map([...this.layers].map(([name, layer]) => [name, layer.slice()]));
    this.stroke = { key, before, tip: new Uint8ClampedArray(this.width * this.height), area: null, at: null };
  }

  /** Lead the stroke on to a place; returns what changed. Radius in px, softness 0 to 1. */
  lead(x, y, radius, softness) {
    const { at } = this.stroke;
    const far = at ? Math.hypot(x - at[0], y - at[1]) : 0;
    const steps = Math.max(1, Math.ceil(far / Math.max(1, radius / 4)));
    let changed = null;
    for (let step = 1; step <= steps; step += 1) {
      const part = at ? step / steps : 1;
      const place = at ? [at[0] + (x - at[0]) * part, at[1] + (y - at[1]) * part] : [x, y];
      changed = join(changed, this.#press(...place, radius, softness));
    }
    this.stroke.at = [x, y];
    if (changed) this.#mix(changed);
    this.stroke.area = join(this.stroke.area, changed);
    return changed;
  }

  /** End the stroke, which can be undone from then on. */
  end() {
    const { before, area } = this.stroke;
    this.stroke = null;
    if (area) this.#remember(before, area);
  }

  /** Take everything away, which can be undone, too. */
  clear() {
    const before = new Map([...this.layers].map(([name, layer]) => [name, layer.slice()]));
    for (const layer of this.layers.values()) layer.fill(0);
    this.#remember(before, { left: 0, top: 0, right: this.width, bottom: this.height });
  }

  undo() {
    return this.#swap(this.done, this.undone, "before");
  }

  redo() {
    return this.#swap(this.undone, this.done, "after");
  }

  // Raise the stroke to the brush's tip at a place; within a stroke nothing is painted twice.
  #press(x, y, radius, softness) {
    const area = {
      left: Math.max(0, Math.floor(x - radius)),
      top: Math.max(0, Math.floor(y - radius)),
      right: Math.min(this.width, Math.ceil(x + radius) + 1),
      bottom: Math.min(this.height, Math.ceil(y + radius) + 1),
    };
    if (area.left >= area.right || area.top >= area.bottom) return null;
    const { tip } = this.stroke;
    const edge = Math.max(1, radius * softness); // px over which it fades
    for (let row = area.top; row < area.bottom; row += 1) {
      for (let column = area.left; column < area.right; column += 1) {
        const inside = radius + 0.5 - Math.hypot(column + 0.5 - x, row + 0.5 - y);
        if (inside <= 0) continue;
        const part = Math.min(1, inside / edge);
        const place = row * this.width + column;
        tip[place] = Math.max(tip[place], 255 * part * part * (3 - 2 * part));
      }
    }
    return area;
  }

  // The layers before the stroke, under the stroke.
  #mix({ left, top, right, bottom }) {
    const { key, before, tip } = this.stroke;
    for (const [name, layer] of this.layers) {
      const old = before.get(name);
      const gain = name === key ? 1 : 0;
      for (let row = top; row < bottom; row += 1) {
        for (let place = row * this.width + left; place < row * this.width + right; place += 1) {
          layer[place] = old[place] + ((gain * 255 - old[place]) * tip[place]) / 255;
        }
      }
    }
  }

  #remember(before, area) {
    const cut = (layers) => new Map([...layers].map(([name, layer]) => [name, this.#cut(layer, area)]));
    this.done.push({ area, before: cut(before), after: cut(this.layers) });
    if (this.done.length > MAX_UNDO) this.done.shift();
    this.undone = [];
  }

  #cut(layer, { left, top, right, bottom }) {
    const part = new Uint8ClampedArray((right - left) * (bottom - top));
    for (let row = top; row < bottom; row += 1) {
      const start = row * this.width;
      part.set(layer.subarray(start + left, start + right), (row - top) * (right - left));
    }
    return part;
  }

  #swap(from, to, state) {
    const stroke = from.pop();
    if (!stroke) return null;
    const { left, top, right, bottom } = stroke.area;
    for (const [name, part] of stroke[state]) {
      const layer = this.layer(name);
      for (let row = top; row < bottom; row += 1) {
        const start = (row - top) * (right - left);
        layer.set(part.subarray(start, start + right - left), row * this.width + left);
      }
    }
    to.push(stroke);
    return stroke.area;
  }

  /** Return the masks of these paintings, none if none has a part, and what stays, null for nothing. A painting without
      a part of its own gets what the others leave; where there is none such, that stays. */
  assign(keys, stays) {
    const painted = keys.filter((key) => this.has(key));
    const own = this.has(stays) ? this.layers.get(stays) : null;
    if (!painted.length) return { masks: [], keep: own };
    const shared = painted.length < keys.length;
    const rest = new Uint8ClampedArray(this.width * this.height).fill(255);
    for (const layer of [...painted.map((key) => this.layers.get(key)), ...(own && shared ? [own] : [])]) {
      for (let place = 0; place < rest.length; place += 1) rest[place] -= layer[place];
    }
    if (!shared) return { masks: keys.map((key) => this.layers.get(key)), keep: rest.some(Boolean) ? rest : null };
    return { masks: keys.map((key) => (painted.includes(key) ? this.layers.get(key) : rest)), keep: own };
  }
}

/** The share of the picture that a layer has, 0 to 1. */
export const share = (layer) => layer.reduce((sum, value) => sum + value, 0) / (255 * layer.length);

/** The smallest area that holds both; null is none. */
function join(one, other) {
  if (!one || !other) return one ?? other;
  return {
    left: Math.min(one.left, other.left),
    top: Math.min(one.top, other.top),
    right: Math.max(one.right, other.right),
    bottom: Math.max(one.bottom, other.bottom),
  };
}

const ONE_COLOUR = 3; // levels between colours that a lossy format makes of one

/** The levels of a map (ImageData), as the farm reads it: brightness over black, or where all that shows of a
    transparent picture has one colour, its alpha. */
export function readMap({ data, width, height }) {
  const levels = new Uint8ClampedArray(width * height);
  const lowest = [255, 255, 255];
  const highest = [0, 0, 0];
  let transparent = false;
  for (let at = 0; at < data.length; at += 4) {
    if (data[at + 3] < 255) transparent = true;
    if (!data[at + 3]) continue;
    for (let channel = 0; channel < 3; channel += 1) {
      lowest[channel] = Math.min(lowest[channel], data[at + channel]);
      highest[channel] = Math.max(highest[channel], data[at + channel]);
    }
  }
  const byAlpha = transparent && highest.every((high, channel) => high - lowest[channel] <= ONE_COLOUR);
  for (let place = 0; place < levels.length; place += 1) {
    const at = 4 * place;
    const brightness = 0.2126 * data[at] + 0.7152 * data[at + 1] + 0.0722 * data[at + 2];
    levels[place] = byAlpha ? data[at + 3] : (brightness * data[at + 3]) / 255;
  }
  return levels;
}
