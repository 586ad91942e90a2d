// What was typed and chosen stays when the page is loaded again, files too, until it is sent.
import { form } from "./form.js";

const KEY = "style-farm draft"; // of the files
const SETTINGS_KEY = `${KEY} ${form.elements.version.value}`; // those of an older version mean something else
const SENT_KEY = `${KEY} sent`; // there until the files of a form that was sent are forgotten
const FILES = [...form.querySelectorAll("input[type=file]")];
const NOT_KEPT = new Set(["csrf_token", "from_job", "once", "clip", "clip_name", ...FILES.map((input) => input.name)]);
let timer = 0;

function database() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(KEY, 1);
    request.onupgradeneeded = () => request.result.createObjectStore("files");
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function store(mode, act) {
  const files = (await database()).transaction("files", mode).objectStore("files");
  return new Promise((resolve, reject) => {
    const request = act(files);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function keep() {
  const typed = [...new FormData(form)].filter(([name]) => !NOT_KEPT.has(name));
  localStorage.setItem(SETTINGS_KEY, JSON.stringify(typed));
}

function keepFiles(input) {
  store("readwrite", (files) => files.put([...input.files], input.name)).catch(() => {}); // a private window
}

// The page is left at this moment, so files, which take a while, are the next form's to forget.
function forget() {
  clearTimeout(timer);
  localStorage.removeItem(SETTINGS_KEY);
  localStorage.setItem(SENT_KEY, "true");
}

async function forgetFiles() {
  await store("readwrite", (files) => files.clear());
  localStorage.removeItem(SENT_KEY);
}

function fill(typed) {
  for (const field of form.elements) {
    if (!field.name || NOT_KEPT.has(field.name)) continue;
    const values = typed.filter(([name]) => name === field.name).map(([, value]) => value);
    if (field.type === "radio" || field.type === "checkbox") field.checked = values.includes(field.value);
    else if (values.length) field.value = values[0];
  }
}

async function fillFiles() {
  if (localStorage.getItem(SENT_KEY)) await forgetFiles();
  for (const input of FILES) {
    const files = (await store("readonly", (kept) => kept.get(input.name))) ?? [];
    if (!files.length || input.files.length) continue;
    const transfer = new DataTransfer();
    for (const file of files) transfer.items.add(file);
    input.files = transfer.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }
}

async function bringBack() {
  const typed = localStorage.getItem(SETTINGS_KEY);
  if (typed) fill(JSON.parse(typed));
  await fillFiles().catch(() => {});
  form.dispatchEvent(new Event("draft"));
}

if (form.dataset.draft === "keep") {
  const broughtBack = bringBack();
  for (const kind of ["input", "change", "click"]) {
    form.addEventListener(kind, () => {
      clearTimeout(timer);
      timer = setTimeout(keep, 300);
    });
  }
  for (const kind of ["paintings", "regions"]) {
    form.addEventListener(kind, async () => {
      await broughtBack; // else a file that is chosen at once would take the place of those still to come
      FILES.forEach(keepFiles);
    });
  }
  form.addEventListener("sent", forget);
}
