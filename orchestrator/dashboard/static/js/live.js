// What is shown stays true: the daemon's events say what to ask again, and nothing is asked more often than that.
import { signal, useEffect, useRef, useState } from "../vendor/preact.js";
import { get } from "./api.js";
import { follow } from "./streams.js";

/** "connecting", "live", "reconnecting", "paused". */
export const link = signal("connecting");
const listeners = new Set();
const kept = new Map();
let stop = null, broken = false;

/** Begin to follow the daemon's events, from now on. */
export async function connect() {
  if (stop) return;
  const mine = (stop = () => {});
  let last = "";
  try {
    last = String((await get("/v1/events", { limit: 1 })).at(-1)?.seq ?? "");
  } catch {
    // the stream below says what is wrong
  }
  if (stop !== mine) return; // signed out meanwhile, and perhaps in again
  stop = follow("/v1/events", {
    query: { follow: true, limit: 1000 },
    last,
    take: (event) => listeners.forEach((one) => one(event)),
    state: (word, tries = 0) => {
      if (word === "live" && broken) listeners.forEach((one) => one(null));
      broken = word !== "live";
      // A break that the first try mends is nobody's concern.
      if (word !== "reconnecting" || tries > 1) link.value = word;
    },
    fail: () => { link.value = "reconnecting"; },
  });
}

export function disconnect() {
  stop?.();
  stop = null;
  kept.clear();
  link.value = "connecting";
}

/** `take(event)`: each event from now on; null: the connection came back, anything may have happened. */
export function useEvents(take) {
  const latest = useRef(take);
  latest.current = take;
  useEffect(() => {
    const one = (event) => latest.current(event);
    listeners.add(one);
    return () => listeners.delete(one);
  }, []);
}

/**
 * What `load()` answers, kept by `key` so that a page that was seen before is there at once.
 * `on(event)`: whether an event changes it. `every`: seconds after which it is asked again while somebody looks.
 * → {data, problem, loading, reload, set}. On a refusal the last data stays beside the problem.
 */
export function useAsked(key, load, { on = () => false, every = 0, skip = false } = {}) {
  const [seen, show] = useState(() => ({ key, data: kept.get(key), problem: null, loading: !kept.has(key) }));
  const run = useRef(null);
  const latest = useRef({ load, on });
  latest.current = { load, on };

  useEffect(() => {
    if (skip) return undefined;
    let gone = false, timer = 0, beat = 0, busy = false, again = false, took = 0;
    if (kept.has(key)) show({ key, data: kept.get(key), problem: null, loading: false });
    else show((one) => (one.key === key ? one : { key, data: undefined, problem: null, loading: true }));
    async function look() {
      if (busy) return void (again = true);
      busy = true;
      const began = performance.now();
      try {
        const data = await latest.current.load();
        if (gone) return; // whoever is signed in by now may be somebody else
        kept.set(key, data);
        show({ key, data, problem: null, loading: false });
      } catch (problem) {
        if (!gone) show((one) => ({ ...one, key, problem, loading: false }));
      }
      busy = false;
      took = performance.now() - began;
      if (gone) return;
      if (again) {
        again = false;
        soon();
      } else rest();
    }
    // Many events are one reason to look, and what takes the daemon long is asked less often.
    const soon = () => { timer ||= setTimeout(() => { timer = 0; look(); }, Math.max(120, 3 * took)); };
    const rest = () => {
      clearTimeout(beat);
      if (every) beat = setTimeout(() => (document.visibilityState === "visible" ? look() : rest()), every * 1000);
    };
    const hear = (event) => { if (event === null || latest.current.on(event)) soon(); };
    run.current = { look, set: (data) => { kept.set(key, data); show({ key, data, problem: null, loading: false }); } };
    listeners.add(hear);
    look();
    return () => {
      gone = true;
      clearTimeout(timer);
      clearTimeout(beat);
      listeners.delete(hear);
    };
  }, [key, every, skip]);

  const mine = seen.key === key ? seen : { data: kept.get(key), problem: null, loading: !kept.has(key) };
  return { ...mine, reload: () => run.current?.look(), set: (data) => run.current?.set(data) };
}
