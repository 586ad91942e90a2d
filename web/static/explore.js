// An exploration's page while its cells are painted: each is shown as it grows.
import { duration } from "./duration.js";
import { gone } from "./gone.js";
import { live } from "./follow.js";

const ENDED = ["succeeded", "failed", "cancelled"];
const WORDS = {
  queued: "Waiting",
  running: "Painting",
  cancelling: "Stopping",
  succeeded: "Finished",
  failed: "Failed",
  cancelled: "Cancelled",
};
const page = document.getElementById("exploration");

async function showPicture(place, cell) {
  if (!cell.preview || cell.preview === place.dataset.shown) return;
  place.dataset.shown = cell.preview;
  const next = new Image();
  next.src = cell.preview;
  await next.decode(); // shown when it is whole, so that the picture never blinks
  const shown = place.querySelector(".look img");
  shown.src = next.src;
  shown.classList.remove("not-begun");
}

function show(cell) {
  const place = page.querySelector(`[data-id="${cell.id}"]`);
  place.dataset.state = cell.state;
  const share = cell.state === "running" && cell.progress ? `, ${Math.round(cell.progress * 100)} %` : "";
  place.querySelector("[data-state-words]").textContent = WORDS[cell.state] + share;
  return showPicture(place, cell);
}

live(
  page.dataset.url,
  async (found) => {
    await Promise.allSettled(found.cells.map(show));
    const finished = found.cells.filter((cell) => ENDED.includes(cell.state)).length;
    document.getElementById("progress").value = found.progress;
    document.getElementById("done").textContent = `${finished} of ${found.cells.length} are finished.`;
    const left = found.eta_seconds === null ? "" : `${duration(found.eta_seconds)} to go`;
    page.querySelector('[data-live="eta"]').textContent = left;
    if (finished === found.cells.length) page.querySelector(".exploring").remove();
    return finished < found.cells.length;
  },
  (lost) => {
    document.getElementById("lost").hidden = !lost;
  },
  gone,
);
