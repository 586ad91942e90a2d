// The page that asks whether an exploration shall be deleted, while it is still painted: it is loaded anew
// once that has ended.
import { gone } from "./gone.js";
import { live } from "./follow.js";

const ENDED = ["succeeded", "failed", "cancelled"];

live(
  document.getElementById("ending").dataset.url,
  async ({ cells }) => {
    const over = cells.every((cell) => ENDED.includes(cell.state));
    if (over) location.reload();
    return !over;
  },
  (lost) => {
    document.getElementById("lost").hidden = !lost;
  },
  gone,
);
