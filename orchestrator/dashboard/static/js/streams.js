// Answers that go on: lines of JSON, and server-sent events that come back by themselves after a break.
import { ask } from "./api.js";
import { token } from "./session.js";

const SILENCE = 12_000;
/** Milliseconds without a byte (the daemon sends one every 2 s) after which the connection counts as dead. */
const FIRST_WAIT = 500;
const LONGEST_WAIT = 15_000;
const HIDDEN = 15_000;
/** A hidden tab gives its connection back after so long: a browser has six for one daemon. */

async function* chunks(response, signal) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let timer;
  const quiet = () => new Promise((_, fail) => { timer = setTimeout(() => fail(new Error("silent")), SILENCE); });
  try {
    while (true) {
      const turn = await Promise.race([reader.read(), quiet()]);
      clearTimeout(timer);
      if (turn.done || signal?.aborted) return;
      yield turn.value;
    }
  } finally {
    clearTimeout(timer);
    reader.cancel().catch(() => {});
  }
}

/** Each line of an answer as an object; heartbeats are left out. */
export async function* lines(response, signal) {
  let rest = "";
  for await (const chunk of chunks(response, signal)) {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop();
    for (const one of parts) if (one.trim()) yield JSON.parse(one);
  }
  if (rest.trim()) yield JSON.parse(rest);
}

/** Each server-sent event of an answer as {id, type, data}. */
export async function* messages(response, signal) {
  let rest = "";
  for await (const chunk of chunks(response, signal)) {
    const parts = (rest + chunk.replaceAll("\r\n", "\n")).split("\n\n");
    rest = parts.pop();
    for (const one of parts) {
      const found = message(one);
      if (found) yield found;
    }
  }
}

function message(text) {
  const found = { id: "", type: "message", data: [] };
  for (const line of text.split("\n")) {
    const at = line.indexOf(":");
    if (at < 1) continue;
    const value = line.slice(at + 1).replace(/^ /, "");
    if (line.startsWith("id:")) found.id = value;
    else if (line.startsWith("event:")) found.type = value;
    else if (line.startsWith("data:")) found.data.push(value);
  }
  return found.data.length ? { ...found, data: found.data.join("\n") } : null;
}

/** `leave()` once the tab has been hidden for a while, `back()` when it is seen again, or the network is. → what ends it. */
export function whenHidden(leave, back) {
  let timer = 0;
  const turn = () => {
    clearTimeout(timer);
    if (document.visibilityState === "visible") back();
    else timer = setTimeout(leave, HIDDEN);
  };
  document.addEventListener("visibilitychange", turn);
  window.addEventListener("online", turn);
  return () => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", turn);
    window.removeEventListener("online", turn);
  };
}

/**
 * Follow a path until the returned function is called. `take(data, id)` gets each event; `state(word)` is told
 * "connecting", "live", "reconnecting" (and how often in a row) or "paused" (a hidden tab); `fail(problem)` a refusal
 * that trying again does not mend, `done()` an end that the daemon meant.
 */
export function follow(path, { query = {}, take, state = () => {}, fail = () => {}, done, last = "" }) {
  let id = last, stopped = false, tries = 0, wake = () => {}, control = new AbortController();
  const unwatch = whenHidden(() => control.abort(), () => wake());
  const pause = (ms) => new Promise((go) => { wake = go; if (ms) setTimeout(go, ms); });

  async function once() {
    control = new AbortController();
    const headers = { Accept: "text/event-stream", ...(id ? { "Last-Event-ID": id } : {}) };
    const answer = await ask("GET", path, { query, headers, signal: control.signal });
    state("live");
    tries = 0;
    for await (const one of messages(answer, control.signal)) {
      if (one.type === "error") throw new Error("ended");
      if (one.type === "end") return true;
      if (one.id) id = one.id;
      take(JSON.parse(one.data), one.id);
    }
    return false;
  }

  async function run() {
    state("connecting");
    while (!stopped) {
      try {
        if ((await once()) && done) return done();
      } catch (error) {
        const settled = error.status >= 400 && error.status < 500 && error.status !== 429;
        if (!stopped && settled) return fail(error);
      }
      control.abort();
      if (stopped || !token.value) return undefined;
      if (document.visibilityState !== "visible") {
        state("paused");
        await pause(0);
      } else {
        state("reconnecting", ++tries);
        await pause(Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** (tries - 1)) * (0.75 + Math.random() / 2));
      }
    }
    return undefined;
  }

  run();
  return () => {
    stopped = true;
    unwatch();
    control.abort();
    wake();
  };
}
