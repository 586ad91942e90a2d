// A job's page while it waits or is painted: ask each second, show what changed, load anew at its end.
import { poll } from "./poll.js";

const EVERY_MS = 1000;
const CURVE_MS = 4000;
const SPOKEN_SHARE = 0.1; // a screen reader hears of every tenth part
const ENDED = ["succeeded", "failed", "cancelled"];

const page = document.getElementById("job");
const live = (name) => page.querySelector(`[data-live="${name}"]`);
let curveAt = 0;
let spoken = 0;

function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  if (hours) return minutes ? `${hours} h ${minutes} min` : `${hours} h`;
  if (!minutes) return `${whole} s`;
  return whole % 60 && minutes < 10 ? `${minutes} min ${whole % 60} s` : `${minutes} min`;
}

function showProgress(job) {
  const percent = `${Math.round(job.progress * 100)} %`;
  live("progress").value = job.progress;
  live("percent").textContent = percent;
  live("eta").textContent = job.eta_seconds === null ? "" : `${duration(job.eta_seconds)} to go`;
  live("steps").textContent = job.levels
    ? `Level ${job.level} of ${job.levels} · iteration ${job.iteration} of ${job.iterations}`
    : "";
  live("waiting").textContent = job.waiting_for ?? "";
  live("estimate").textContent = job.estimate?.message ?? "";
  document.title = `${percent} · ${job.name} · Style Farm`;
  if (Math.abs(job.progress - spoken) >= SPOKEN_SHARE) {
    spoken = job.progress;
    live("spoken").textContent = `${percent} painted`;
  }
}

async function showPreview(job) {
  const version = `${job.attempt}-${job.preview_version}`;
  if (!job.links.preview || version === page.dataset.preview) return;
  page.dataset.preview = version;
  const next = new Image();
  next.src = job.links.preview;
  await next.decode(); // shown when it is whole, so that the picture never blinks
  const shown = document.getElementById("preview");
  shown.src = next.src;
  shown.alt = "The picture as it stands";
  shown.classList.remove("not-begun");
}

async function showCurve() {
  if (Date.now() - curveAt < CURVE_MS) return;
  const response = await fetch(page.dataset.losses);
  const text = await response.text();
  if (!response.ok || !text) return;
  curveAt = Date.now();
  const drawing = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  document.getElementById("losses").replaceChildren(document.importNode(drawing, true));
}

poll(
  page.dataset.url,
  EVERY_MS,
  async (response) => {
    const job = await response.json();
    if (job.state !== page.dataset.state || String(job.attempt) !== page.dataset.attempt) {
      if (ENDED.includes(job.state)) await showPreview(job).catch(() => {});
      location.reload(); // other buttons, a new line in the timeline
      return false;
    }
    showProgress(job);
    await Promise.allSettled([showPreview(job), showCurve()]);
    return true;
  },
  (lost) => {
    live("lost").hidden = !lost;
  },
);
