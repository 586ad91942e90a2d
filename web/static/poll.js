// Ask an address again and again, gently: only what changed, slower when nobody looks or nothing answers.

const HIDDEN_MS = 15000;
const LONGEST_MS = 30000;

const pause = (ms) =>
  new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", done);
      resolve();
    };
    const timer = setTimeout(done, document.hidden ? Math.max(ms, HIDDEN_MS) : ms);
    document.addEventListener("visibilitychange", done); // whoever comes back sees the present
  });

/**
 * @param {string} url
 * @param {number} every milliseconds between two questions
 * @param {(response: Response) => Promise<boolean>} changed a new answer; returns whether to go on
 * @param {(lost: boolean) => void} connection told after every question
 * @param {() => void} gone there is nothing at this address any more
 */
export async function poll(url, every, changed, connection, gone = () => {}) {
  let tag = null;
  let wait = every;
  for (;;) {
    await pause(wait);
    try {
      const headers = tag ? { "If-None-Match": tag } : {};
      const response = await fetch(url, { headers, cache: "no-store", signal: AbortSignal.timeout(10000) });
      if (response.status === 404) return gone();
      if (!response.ok && response.status !== 304) throw new Error(String(response.status));
      connection(false);
      wait = every;
      if (response.status === 304) continue;
      tag = response.headers.get("ETag");
      if (!(await changed(response))) return;
    } catch {
      connection(true);
      wait = Math.min(wait * 2, LONGEST_MS);
    }
  }
}
