// A notice of the browser's when what the page is about has ended, for whoever asked for one. Kept for all jobs
// that this browser shows.
const KEY = "notice";

const box = document.getElementById("notice");
const words = document.getElementById("notice-words");
const USUAL = words.textContent;
const IN_THE_TAB = "The title and the icon of this tab say when it is done.";
const INSECURE = `Browsers show notices only for pages with https, which this one is not. ${IN_THE_TAB}`;
const REFUSED = `This browser blocks notices of this farm; its settings of this page can allow them. ${IN_THE_TAB}`;

function remember(wanted) {
  try {
    if (wanted) localStorage.setItem(KEY, "yes");
    else localStorage.removeItem(KEY);
  } catch {
    // storage may be forbidden; for this page it holds
  }
}

function remembered() {
  try {
    return localStorage.getItem(KEY) === "yes";
  } catch {
    return false;
  }
}

function show(wanted) {
  const refused = !("Notification" in window) || Notification.permission === "denied";
  box.checked = wanted && !refused && Notification.permission === "granted";
  box.disabled = !isSecureContext;
  words.textContent = !isSecureContext ? INSECURE : refused ? REFUSED : USUAL;
}

async function choose() {
  const wanted = box.checked;
  if (wanted && isSecureContext && "Notification" in window) await Notification.requestPermission();
  show(wanted);
  remember(box.checked);
}

function notify(title) {
  if (!box.checked || (document.hasFocus() && !document.hidden)) return; // whoever looks sees it
  const options = { icon: document.getElementById("preview")?.src, tag: location.pathname, data: location.href };
  try {
    const notice = new Notification(title, options);
    notice.addEventListener("click", () => window.focus());
  } catch {
    notifyByWorker(title, options).catch(() => (words.textContent = REFUSED)); // as telephones want it
  }
}

async function notifyByWorker(title, options) {
  const registration = await navigator.serviceWorker.register(new URL("notice-worker.js", import.meta.url));
  const worker = registration.installing ?? registration.waiting ?? registration.active;
  while (worker.state !== "activated") {
    if (worker.state === "redundant") throw new Error("not installed");
    await new Promise((resolve) => worker.addEventListener("statechange", resolve, { once: true }));
  }
  await registration.showNotification(title, options);
}

box.addEventListener("change", choose);
document.addEventListener("ended", (event) => notify(event.detail));
show(remembered());
