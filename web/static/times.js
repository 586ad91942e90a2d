// Moments in the time and the words of whoever reads; without it they stand there in UTC.
const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

/** Rewrite the moments of a page, or of one that was fetched before it is shown. */
export function localise(root) {
  for (const time of root.querySelectorAll("time[data-as]")) {
    const moment = new Date(time.dateTime);
    if (time.dataset.as === "age") time.title = MOMENT.format(moment);
    else time.textContent = (time.dataset.as === "clock" ? CLOCK : MOMENT).format(moment);
  }
}

localise(document);
