// The player of a film: clip and painted frames on one canvas, drawn from the frames that are there; and, once it is
// finished, the film itself in their place. Without this script the film, the strip of frames and the downloads do.
import { addHandle } from "./handle.js";

const MAX_PICTURES = 400; // kept, of both kinds; browsers drop what they decoded of them as they like
const AHEAD = 10; // frames that are loaded before they are shown
const NARROW = 560; // CSS px, below which two wide pictures stand one above the other
const UNPAINTED = 0.45; // opacity
const EDGE = 8; // CSS px beside the frame that is shown

const player = document.getElementById("player");
const views = document.getElementById("player-views");
const whole = document.getElementById("film-whole"); // null until it is finished, and where browsers play no such file
const video = whole?.querySelector("video");
const stage = document.getElementById("player-stage");
const canvas = document.getElementById("player-picture");
const place = document.getElementById("player-place");
const words = document.getElementById("player-words");
const button = document.getElementById("player-play");
const still = document.getElementById("player-still");
const context = canvas.getContext("2d");
const { base, version } = player.dataset;
const width = Number(player.dataset.width);
const height = Number(player.dataset.height);
const numbers = JSON.parse(player.dataset.numbers); // of the clip's frames, in their order
const times = JSON.parse(player.dataset.times); // ms, when each begins, and at last when the film ends
const pictures = new Map(); // their addresses -> pictures, the least used first
let painted = new Set(); // numbers of the frames that are there
let view = whole ? "film" : "over";
let share = 50; // of the clip, from the left
let run = 0; // which run it is that plays
let playing = false;

const at = () => Number(place.value);
const strip = () => document.getElementById("strip");
const urlOf = (kind, number) => `${base}/${kind}/${number}/small?v=${version}`;

// A picture, which may not be there yet.
function load(url) {
  let found = pictures.get(url);
  pictures.delete(url);
  if (!found) {
    const picture = new Image();
    picture.src = url;
    found = { picture, whole: false, ready: null };
    found.ready = picture.decode().then(() => (found.whole = true), () => pictures.delete(url));
  }
  pictures.set(url, found);
  if (pictures.size > MAX_PICTURES) pictures.delete(pictures.keys().next().value);
  return found;
}

const loadFrame = (number) => ({
  clip: load(urlOf("clip", number)),
  paint: painted.has(number) ? load(urlOf("frames", number)) : null,
});

function put(picture, left, top) {
  if (picture?.whole) context.drawImage(picture.picture, left, top, width, height);
}

// What is to come: the clip's frame, faint.
function putPainted({ clip, paint }, left, top) {
  if (paint) {
    put(paint, left, top);
    return;
  }
  context.save();
  context.globalAlpha = UNPAINTED;
  context.filter = "grayscale(0.85)";
  put(clip, left, top);
  context.restore();
}

function draw() {
  const frame = loadFrame(numbers[at()]);
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (view === "beside") {
    put(frame.clip, 0, 0);
    putPainted(frame, canvas.width - width, canvas.height - height);
    return;
  }
  putPainted(frame, 0, 0);
  context.save();
  context.beginPath();
  context.rect(0, 0, (width * share) / 100, height);
  context.clip();
  context.clearRect(0, 0, width, height);
  put(frame.clip, 0, 0);
  context.restore();
}

const clock = (ms) => `${Math.floor(ms / 60000)}:${((ms % 60000) / 1000).toFixed(2).padStart(5, "0")}`;

function describe() {
  const number = numbers[at()];
  const there = painted.has(number);
  const text = `Frame ${at() + 1} of ${numbers.length}, ${clock(times[at()])}`;
  words.textContent = there ? text : `${text}, not painted yet`;
  place.setAttribute("aria-valuetext", words.textContent);
  canvas.setAttribute("aria-label", `${words.textContent}: the clip on the left, painted on the right`);
  still.hidden = !there;
  still.href = `${base}/frames/${number}?v=${version}`;
}

// Marks the strip's frame that is shown, or the last one before it, and brings it into the strip's view.
function mark() {
  const before = [...strip().querySelectorAll("[data-frame]")].filter((link) => Number(link.dataset.frame) <= numbers[at()]);
  for (const link of strip().querySelectorAll("[aria-current]")) link.removeAttribute("aria-current");
  const link = before.at(-1);
  if (!link) return;
  link.setAttribute("aria-current", "true");
  const { left, right } = link.getBoundingClientRect();
  const shown = strip().getBoundingClientRect();
  if (left < shown.left) strip().scrollLeft += left - shown.left - EDGE;
  else if (right > shown.right) strip().scrollLeft += right - shown.right + EDGE;
}

// Returns when both pictures are there; what comes first is drawn at once.
async function show(index) {
  place.value = index;
  describe();
  mark();
  draw();
  const { clip, paint } = loadFrame(numbers[index]);
  for (let next = 1; next <= AHEAD; next += 1) loadFrame(numbers[(index + next) % numbers.length]);
  await Promise.all([clip.ready, paint?.ready]);
  if (at() === index) draw();
}

const step = (by) => show((at() + by + numbers.length) % numbers.length);

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function play() {
  const mine = (run += 1);
  while (mine === run && playing) {
    const shown = performance.now();
    const index = at();
    const next = loadFrame(numbers[(index + 1) % numbers.length]);
    await Promise.all([next.clip.ready, next.paint?.ready]);
    await pause(times[index + 1] - times[index] - (performance.now() - shown));
    if (mine === run && playing && at() === index) show((index + 1) % numbers.length);
  }
}

function setPlaying(wanted) {
  playing = wanted;
  button.setAttribute("aria-label", playing ? "Pause" : "Play");
  button.classList.toggle("is-playing", playing);
  if (playing) play();
}

function setView(wanted) {
  view = wanted;
  for (const chip of views.querySelectorAll("[data-view]")) chip.setAttribute("aria-pressed", String(chip.dataset.view === view));
  if (whole) whole.hidden = view !== "film";
  player.hidden = view === "film";
  const beside = view === "beside";
  const stacked = beside && width > height && stage.clientWidth < NARROW;
  canvas.width = beside && !stacked ? 2 * width : width;
  canvas.height = stacked ? 2 * height : height;
  handle.hidden = beside;
  draw();
}

// From the film to its frames, and back, at the same moment.
function turnTo(wanted) {
  if (view === "film" && wanted !== "film") {
    video.pause();
    const ms = 1000 * video.currentTime;
    const later = times.findIndex((time) => time > ms);
    if (ms) show((later < 1 ? numbers.length : later) - 1);
  } else if (wanted === "film") {
    setPlaying(false);
  }
  setView(wanted);
}

// A browser without the film's codec shows its frames; it may say so more than once.
function giveUpFilm() {
  const chip = views.querySelector("[data-view=film]");
  if (!chip) return;
  chip.remove();
  turnTo("over");
}

// Which frames are painted, as the newest strip has it: "0-23 48 50-72".
function read() {
  const runs = strip().dataset.painted.split(" ").filter(Boolean);
  const known = painted.size;
  painted = new Set();
  for (const [first, last] of runs.map((each) => each.split("-").map(Number))) {
    for (let number = first; number <= (last ?? first); number += 1) painted.add(number);
  }
  if (painted.size !== known) show(at());
  else mark(); // which a newer strip does not have
}

const handle = addHandle(stage, { label: "How much of the clip shows", words: "clip" }, (percent) => {
  share = percent;
  draw();
});
for (const chip of views.querySelectorAll("[data-view]")) chip.addEventListener("click", () => turnTo(chip.dataset.view));
for (const each of player.querySelectorAll("[data-step]")) {
  each.addEventListener("click", () => {
    setPlaying(false);
    step(Number(each.dataset.step));
  });
}
button.addEventListener("click", () => setPlaying(!playing));
place.addEventListener("input", () => {
  setPlaying(false);
  show(at());
});
player.addEventListener("keydown", (event) => {
  if (event.key !== " " || event.target.closest("button, a")) return;
  event.preventDefault();
  setPlaying(!playing);
});
document.addEventListener("click", (event) => {
  const link = event.target.closest("#strip [data-frame]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  setPlaying(false);
  if (view === "film") turnTo("over");
  show(numbers.indexOf(Number(link.dataset.frame)));
  player.scrollIntoView({ block: "nearest" });
});
addEventListener("resize", () => setView(view));
document.addEventListener("swapped", read);
setView(view);
read();
show(0);
if (video) {
  video.querySelector("source").addEventListener("error", giveUpFilm);
  video.addEventListener("error", giveUpFilm);
  if (video.error || video.networkState === HTMLMediaElement.NETWORK_NO_SOURCE) giveUpFilm(); // before this script came
}
