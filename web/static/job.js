// A job's page while it waits or is painted: shows what changed, and loads anew at its end.
import { duration } from "./duration.js";
import { gone } from "./gone.js";
import { live } from "./follow.js";

const DETAILS_MS = 4000; // between two looks at the loss curve, the timeline and the log
const SPOKEN_SHARE = 0.1; // a screen reader hears of every tenth part
const ENDED = ["succeeded", "failed", "cancelled"];

const page = document.getElementById("job");
const part = (name) => page.querySelector(`[data-live="${name}"]`);
let detailsAt = 0;
let spoken = 0;

function eta(job) {
  if (job.eta_seconds === null) return "";
  const spread = Math.round(job.eta_spread_seconds ?? 0);
  return `${duration(job.eta_seconds)}${spread ? ` ± ${duration(spread)}` : ""} to go`;
}

function showProgress(job) {
  const percent = `${Math.round(job.progress * 100)} %`;
  part("progress").value = job.progress;
  part("percent").textContent = percent;
  part("eta").textContent = eta(job);
  part("steps").textContent = job.levels
    ? `Level ${job.level} of ${job.levels} · iteration ${job.iteration} of ${job.iterations}`
    : "";
  part("network").hidden = !job.features;
  part("network").textContent = job.features ? `network ${job.features}` : "";
  part("waiting").textContent = job.waiting_for ?? "";
  part("estimate").textContent = job.estimate?.message ?? "";
  document.title = `${percent} · ${job.name} · Style Farm`;
  if (Math.abs(job.progress - spoken) >= SPOKEN_SHARE) {
    spoken = job.progress;
    part("spoken").textContent = `${percent} painted`;
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

async function fetched(url, type) {
  const response = await fetch(url);
  const text = await response.text();
  return response.ok && text ? new DOMParser().parseFromString(text, type) : null;
}

async function showDetails() {
  if (performance.now() < detailsAt) return; // a clock that nobody sets
  detailsAt = performance.now() + DETAILS_MS;
  const [curve, history] = await Promise.all([
    fetched(page.dataset.losses, "image/svg+xml"),
    fetched(page.dataset.history, "text/html"),
  ]);
  if (curve) document.getElementById("losses").replaceChildren(document.importNode(curve.documentElement, true));
  if (history) document.getElementById("history").replaceChildren(...history.body.children);
}

live(
  page.dataset.url,
  async (job) => {
    if (job.state !== page.dataset.state || String(job.attempt) !== page.dataset.attempt) {
      if (ENDED.includes(job.state)) await showPreview(job).catch(() => {});
      location.reload(); // other buttons
      return false;
    }
    showProgress(job);
    await Promise.allSettled([showPreview(job), showDetails()]);
    return true;
  },
  (lost) => {
    part("lost").hidden = !lost;
  },
  gone,
);
