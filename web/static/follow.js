// What changes is told by the farm (server-sent events), while somebody looks; where that cannot be had,
// it is asked for again and again.
import { poll } from "./poll.js";

const EVERY_MS = 1000; // between two questions
const MOST_FAILURES = 4; // of the stream in a row, before questions are asked instead

/**
 * @param {string} url of the thing itself; its stream is at url + "/stream"
 * @param {(found: object) => Promise<boolean>} changed how it stands now; returns whether to go on
 * @param {(lost: boolean) => void} connection whether the farm does not answer
 * @param {() => void} gone it was deleted
 */
export function live(url, changed, connection, gone) {
  let source = null;
  let failures = 0;
  let over = false;

  function end() {
    over = true;
    source?.close();
    document.removeEventListener("visibilitychange", look);
  }

  function ask() {
    end();
    poll(url, EVERY_MS, async (response) => changed(await response.json()), connection, gone);
  }

  async function tell(event) {
    failures = 0;
    connection(false);
    if (!(await changed(JSON.parse(event.data)))) end();
  }

  function open() {
    source = new EventSource(`${url}/stream`);
    source.addEventListener("state", tell);
    source.addEventListener("open", () => {
      failures = 0; // whoever waits may hear nothing for many streams
      connection(false);
    });
    source.addEventListener("end", () => source.close());
    source.addEventListener("gone", () => {
      end();
      gone();
    });
    source.addEventListener("error", () => {
      if (over || source.readyState === EventSource.CLOSED || ++failures > MOST_FAILURES) return over || ask();
      connection(failures > 1); // a stream ends now and then, and is opened again
    });
  }

  // A browser holds few connections to one farm: pages in the background give theirs back.
  function look() {
    source?.close();
    if (!document.hidden && !over) open();
  }

  document.addEventListener("visibilitychange", look);
  look();
}
