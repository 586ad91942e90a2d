// Parts of a page that change by themselves: the farm makes their HTML, and says when it changed.
//
// A part is an element with an id that names the address of its newest HTML (data-fragment) and the least time
// between two questions in ms (data-every). With the address of a stream (data-stream, server-sent events) it
// is asked for only when the stream says that something changed; without one, or where it cannot be had, again
// and again. A part that comes without data-fragment changes no more. Where data-whole differs, the whole page
// looks otherwise by now, and is loaded anew. A part with data-titled comes with the page's title and icon: it
// alone is asked for while the page is hidden, so that its tab says how it stands.
import { gone } from "./gone.js";
import { load, showTab, swap } from "./swap.js";

const HIDDEN_MS = 5000; // between two questions while nobody looks; browsers make it longer after some minutes
const LONGEST_MS = 30000; // between two questions while nobody answers
const PATIENCE_MS = 10000; // for an answer
const MAX_FAILURES = 4; // of a stream in a row, before questions are asked instead

const unreachable = new Set(); // parts and streams
const streams = new Map(); // by their addresses

function showConnection(what, lost) {
  if (lost) unreachable.add(what);
  else unreachable.delete(what);
  const words = document.getElementById("lost");
  if (words) words.hidden = !unreachable.size;
}

// Resolves when the page can be seen.
async function visible() {
  while (document.hidden) await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
}

function pause(ms) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", end);
      resolve();
    };
    const timer = setTimeout(end, document.hidden ? Math.max(ms, HIDDEN_MS) : ms);
    document.addEventListener("visibilitychange", end); // whoever comes back sees the present
  });
}

/** Something that one waits for; what comes before somebody waits is not lost. */
class Bell {
  #rung = false;
  #wake = () => {};

  ring() {
    this.#rung = true;
    this.#wake();
  }

  async heard() {
    if (!this.#rung) await new Promise((resolve) => (this.#wake = resolve));
    this.#rung = false;
  }
}

/** Rings a bell for each part that hangs on it when something changed. */
class Stream {
  refused = false;
  #url;
  #bells = [];
  #titled = []; // of those, the bells that ring while the page is hidden
  #source = null;
  #hidden = 0; // timer
  #failures = 0;
  #over = false;

  constructor(url) {
    this.#url = url;
    // A browser holds few connections to one farm: pages in the background give theirs back.
    document.addEventListener("visibilitychange", () => this.#look());
    this.#look();
  }

  bell(titled) {
    const bell = new Bell();
    this.#bells.push(bell);
    if (titled) this.#titled.push(bell);
    return bell;
  }

  #look() {
    this.#source?.close();
    clearInterval(this.#hidden);
    if (this.#over) return;
    if (document.hidden) this.#hidden = setInterval(() => this.#titled.forEach((bell) => bell.ring()), HIDDEN_MS);
    else this.#open();
  }

  #open() {
    this.#source = new EventSource(this.#url);
    this.#source.addEventListener("changed", () => this.#changed());
    this.#source.addEventListener("open", () => this.#answered()); // whoever waits may hear nothing for long
    this.#source.addEventListener("end", () => this.#end());
    this.#source.addEventListener("gone", () => {
      this.#end();
      gone();
    });
    this.#source.addEventListener("error", () => this.#failed());
  }

  #answered() {
    this.#failures = 0;
    showConnection(this, false);
  }

  #changed() {
    this.#answered();
    for (const bell of this.#bells) bell.ring();
  }

  #failed() {
    if (this.#over) return;
    this.#failures += 1; // a stream ends now and then, and is opened again by the browser
    if (this.#source.readyState !== EventSource.CLOSED && this.#failures <= MAX_FAILURES) {
      showConnection(this, this.#failures > 1);
      return;
    }
    this.#end();
    this.refused = true;
    this.#changed();
  }

  #end() {
    this.#over = true;
    this.#source.close();
    clearInterval(this.#hidden);
  }
}

function streamAt(url) {
  if (!streams.has(url)) streams.set(url, new Stream(url));
  return streams.get(url);
}

class Part {
  #id;
  #url;
  #every;
  #stream;
  #bell;
  #tag = null;

  constructor(element) {
    const { fragment, stream, every } = element.dataset;
    this.#id = element.id;
    this.#url = fragment;
    this.#every = Number(every);
    this.#stream = stream ? streamAt(stream) : null;
    this.#bell = this.#stream?.bell("titled" in element.dataset);
  }

  /** Keep it up to date until it changes no more. */
  async keep() {
    let wait = this.#every;
    if (this.#stream) await this.#bell.heard();
    else await pause(wait);
    for (;;) {
      const answer = await this.#fetch();
      showConnection(this, !answer);
      if (answer && !(await this.#show(answer))) return;
      wait = answer ? this.#every : Math.min(wait * 2, LONGEST_MS);
      await pause(wait);
      if (answer && this.#stream && !this.#stream.refused) await this.#bell.heard();
    }
  }

  // Its status and what was sent; null where nobody answers as the farm does.
  async #fetch() {
    try {
      const headers = this.#tag ? { "If-None-Match": this.#tag } : {};
      const response = await fetch(this.#url, { headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
      if (response.status === 401) location.reload(); // signed out elsewhere: the farm asks who it is
      if (!response.ok) return response.status === 304 || response.status === 404 ? response : null;
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      if (!page.getElementById(this.#id)) return null; // somebody signed out
      this.#tag = response.headers.get("ETag");
      return { status: response.status, page };
    } catch {
      return null;
    }
  }

  // Returns whether it may change again.
  async #show({ status, page }) {
    if (status === 404) gone();
    if (!page) return status === 304;
    const [shown, fresh] = [document, page].map((root) => root.getElementById(this.#id));
    if (!shown) return false; // what the page is about is gone
    const goesOn = "fragment" in fresh.dataset;
    if (!goesOn && page.title) document.dispatchEvent(new CustomEvent("ended", { detail: page.title }));
    if (fresh.dataset.whole !== shown.dataset.whole) {
      showTab(page);
      if (!goesOn) await visible();
      await load(page); // so that they are there at once
      location.reload();
      return false;
    }
    swap(page);
    return goesOn;
  }
}

for (const element of document.querySelectorAll("[data-fragment]")) new Part(element).keep();
