// A clip where a photograph goes: it is sent as soon as it is chosen, so that the farm says at once what it is, or
// what is wrong with it; the form itself then sends only which one it was. One that the farm has, a sample or that of an
// earlier film, is looked at in the same way when it is picked.
import { showErrors } from "./errors.js";
import { form, make } from "./form.js";
import { boxes, keyOf, showWeight } from "./pictures.js";

const HEAD = 1 << 16; // bytes that tell a clip from a picture
const STILL = ["heic", "heix", "heim", "heis", "hevc", "mif1", "msf1", "avif", "avis"]; // brands of pictures

const facts = document.getElementById("clip-facts");
const options = document.getElementById("film-options");
const grid = form.querySelector(".explore");
const send = document.getElementById("send");
const hint = facts.innerHTML; // without a clip

let current = ""; // key of the clip that the form is about
let request = null;
let pending = Promise.resolve(true);

/** Resolves, once the clip was looked at, with whether the form may be sent; at once without a clip. */
export const clipReady = () => pending;

const ascii = (bytes, at, length) => String.fromCharCode(...bytes.subarray(at, at + length));

// Whether a chunk of this name comes before the pixels.
function isAnimatedPng(bytes) {
  const view = new DataView(bytes.buffer);
  for (let at = 8; at + 8 <= bytes.length; at += 12 + view.getUint32(at)) {
    const name = ascii(bytes, at + 4, 4);
    if (name === "acTL" || name === "IDAT") return name === "acTL";
  }
  return false;
}

/** Whether a file is a clip, by its first bytes; the farm looks closer. */
async function isClip(file) {
  if (file.type.startsWith("video/")) return true;
  const bytes = new Uint8Array(await file.slice(0, HEAD).arrayBuffer());
  if (ascii(bytes, 0, 4) === "GIF8" || ascii(bytes, 0, 4) === "PK\x03\x04") return true;
  if (ascii(bytes, 0, 4) === "\x1a\x45\xdf\xa3") return true; // EBML: WebM and MKV
  if (ascii(bytes, 4, 4) === "ftyp") return !STILL.includes(ascii(bytes, 8, 4));
  if (ascii(bytes, 0, 4) === "RIFF" && ascii(bytes, 8, 8) === "WEBPVP8X") return (bytes[20] & 2) !== 0;
  return ascii(bytes, 1, 3) === "PNG" && isAnimatedPng(bytes);
}

function show(film) {
  form.toggleAttribute("data-film", film);
  options.classList.toggle("is-clip", film);
  options.open = film;
  grid.hidden = film;
  if (film) send.textContent = "Paint the film"; // pictures.js says it for pictures
  showWeight();
}

function say(text) {
  facts.querySelector(".clip-facts")?.remove();
  facts.append(make("p", { className: "clip-facts", textContent: text }));
}

// Resolves with the answer; its status is 0 where nobody answers.
function post(clip) {
  const data = new FormData();
  data.set("csrf_token", form.elements.csrf_token.value);
  if (clip instanceof File) data.set("content", clip);
  else for (const [name, value] of [[clip.name, clip.value], ["from_job", form.elements.from_job.value]]) data.set(name, value);
  request = new XMLHttpRequest(); // fetch does not tell how much was sent
  const mine = request;
  return new Promise((resolve) => {
    mine.upload.addEventListener("progress", (event) => {
      const share = Math.round((event.loaded / event.total) * 100);
      if (mine === request) say(share < 100 ? `Sending the clip, ${share} %` : "Looking at the clip …");
    });
    mine.addEventListener("loadend", () => resolve(mine));
    mine.open("POST", facts.dataset.clipCheck);
    mine.send(data);
  });
}

function refuse(words) {
  facts.innerHTML = hint;
  showErrors("content", words);
  return false;
}

// Whether a file, or the box of a clip that the farm has, can be painted.
async function check(clip) {
  const answer = await post(clip);
  if (answer !== request) return false; // another one was chosen meanwhile
  if (answer.status === 0) return refuse(["The farm does not answer. Choose the clip again when it does."]);
  const page = new DOMParser().parseFromString(answer.responseText, "text/html");
  const found = page.getElementById("clip-facts");
  if (!found) return refuse([page.getElementById("detail")?.textContent ?? "The farm refused this clip without a reason."]);
  const wrong = [...found.querySelectorAll("[data-wrong]")].map((line) => line.textContent);
  if (wrong.length) return refuse(wrong);
  facts.replaceChildren(...found.children);
  const { thumbnail, width, height } = facts.querySelector(".clip-facts").dataset;
  if (clip instanceof File) {
    form.elements.clip_name.value = clip.name;
    boxes.get("content").showThumbnail(thumbnail, width, height);
  } else Object.assign(clip.dataset, { width, height });
  form.dispatchEvent(new Event("change"));
  return true;
}

async function look() {
  const { files } = boxes.get("content");
  const clips = await Promise.all(files.map(isClip));
  if (files !== boxes.get("content").files) return;
  const picked = files.length ? null : form.querySelector("input[name=content_pick][data-clip]:checked");
  const clip = files.find((_, place) => clips[place]) ?? picked;
  const key = picked ? `pick ${picked.value}` : clip ? keyOf(clip) : "";
  if (clip && files.length > 1) {
    boxes.get("content").keep([clip]); // which looks again
    showErrors("content", ["A clip is painted alone; the other files were left out."]);
    return;
  }
  show(Boolean(clip));
  if (key === current) return;
  current = key;
  request?.abort();
  facts.innerHTML = hint;
  const most = Number(form.dataset.clipMegabytes);
  if (!clip) pending = Promise.resolve(true);
  else if (clip.size > most * 1e6) {
    const weight = Math.ceil(clip.size / 1e6);
    pending = Promise.resolve(refuse([`This clip has ${weight} MB; the limit is ${most} MB.`]));
  } else pending = check(clip);
}

form.addEventListener("paintings", look);
form.addEventListener("draft", look); // which may bring back what was picked
form.addEventListener("click", (event) => event.target.name === "content_pick" && look());
look();
