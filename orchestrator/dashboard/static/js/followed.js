// A list that grows at its end while somebody looks: log lines, requests that have ended.
import { useEffect, useRef, useState } from "../vendor/preact.js";
import { ask } from "./api.js";
import { lines, messages, whenHidden } from "./streams.js";

const AGAIN = 1500;
const OFTEN = 120;
/** Milliseconds between two looks at what has come: it is taken up a few times a second, not line by line. */

/**
 * Follows `path` with `tail` older entries. While `paused` what comes is kept back. At most `most` are kept; older ones
 * are dropped. A hidden tab follows no longer, and goes on when it is seen. → {all, state: "connecting" | "live" | "reconnecting", problem}
 */
export function useFollowed(path, { tail, most, paused = false }) {
  const [seen, see] = useState({ all: [], state: "connecting", problem: null });
  const still = useRef(paused);
  still.current = paused;
  useEffect(() => {
    let gone = false, control = new AbortController(), timer = 0, wake = () => {}, last = "", held = [], number = 0, anew = false;
    see({ all: [], state: "connecting", problem: null });
    const unwatch = whenHidden(() => control.abort(), () => wake());
    const flush = setInterval(() => {
      if (still.current || (!held.length && !anew)) return;
      const news = held, begin = anew;
      held = [];
      anew = false;
      see((now) => ({ ...now, all: [...(begin ? [] : now.all), ...news].slice(-most) }));
    }, OFTEN);
    const take = (entry) => {
      held.push({ ...entry, key: ++number });
      if (held.length > most) held.shift();
    };
    const finish = async (answer) => {
      if (!answer.headers.get("Content-Type").startsWith("text/event-stream")) {
        for await (const one of lines(answer, control.signal)) {
          if (one.error) return;
          take(one);
        }
        return;
      }
      for await (const one of messages(answer, control.signal)) {
        if (one.type === "error") return;
        last = one.id || last;
        take(JSON.parse(one.data));
      }
    };
    async function run() {
      while (!gone) {
        control = new AbortController();
        try {
          const headers = { Accept: "text/event-stream, application/x-ndjson;q=0.5", ...(last && { "Last-Event-ID": last }) };
          const answer = await ask("GET", path, { query: { follow: true, tail: last ? undefined : tail }, headers, signal: control.signal });
          see((now) => ({ ...now, state: "live", problem: null }));
          if (!last) {
            held = [];
            anew = true;
          }
          await finish(answer);
        } catch (problem) {
          if (gone) return;
          const settled = problem.status >= 400 && problem.status < 500;
          if (settled) return void see((now) => ({ ...now, problem, state: "reconnecting" }));
        }
        control.abort();
        if (gone) return;
        see((now) => ({ ...now, state: "reconnecting" }));
        await new Promise((next) => {
          wake = next;
          if (document.visibilityState === "visible") timer = setTimeout(next, AGAIN);
        });
        clearTimeout(timer);
      }
    }
    run();
    return () => {
      gone = true;
      unwatch();
      control.abort();
      clearInterval(flush);
      clearTimeout(timer);
    };
  }, [path]);
  return seen;
}
