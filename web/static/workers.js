// The workers' page: asks now and then who is there, and shows it where it stands.
import { poll } from "./poll.js";

const EVERY_MS = 5000;

poll(
  location.href,
  EVERY_MS,
  async (response) => {
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const [shown, fresh] = [document, page].map((root) => root.getElementById("workers"));
    if (!fresh) throw new Error("this is not the page"); // somebody signed out
    if (shown.innerHTML !== fresh.innerHTML) shown.replaceWith(fresh);
    return true;
  },
  (lost) => {
    document.getElementById("lost").hidden = !lost;
  },
);
