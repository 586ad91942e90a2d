// A webhook's deliveries on a job's page, while one of them is still to be sent.
import { poll } from "./poll.js";

const EVERY_MS = 2000;
const section = document.getElementById("webhook");
const list = section.querySelector(".deliveries");
const form = (action) => [...list.querySelectorAll("form")].find((one) => one.action === action);

function show(fresh) {
  const focused = list.contains(document.activeElement) && document.activeElement.form?.action;
  list.replaceChildren(...document.importNode(fresh.querySelector(".deliveries"), true).children);
  if (focused) form(focused)?.querySelector("button").focus(); // whoever stands there stays there
}

if ("unsettled" in section.dataset) {
  poll(
    section.dataset.url,
    EVERY_MS,
    async (response) => {
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const fresh = page.getElementById("webhook");
      show(fresh);
      return "unsettled" in fresh.dataset;
    },
    () => {},
  );
}
