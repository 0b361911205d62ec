// Sends files in parts. What was sent stays sent: a part that fails is tried again, a file that was begun goes on.
import { signal } from "../../vendor/preact.js";
import { ask, deep, part, Problem } from "../api.js";

const PART = 8 << 20;
const PATIENCE = 6;
const TAIL = 64 << 10;

/** [{id, name, model, path, size, sent, state: waits | runs | done | failed | stopped, problem}] */
export const uploads = signal([]);
let number = 0, running = false;
const files = new Map(), controls = new Map(), begun = new Set();

const change = (id, fields) => { uploads.value = uploads.value.map((one) => (one.id === id ? { ...one, ...fields } : one)); };

/** `list`: [{file, path}], paths within the folder. */
export function upload(model, list, done) {
  for (const { file, path } of list) {
    const id = ++number;
    files.set(id, { file, done });
    uploads.value.filter((one) => one.model === model && one.path === path && one.state !== "runs").forEach((one) => forget(one.id));
    uploads.value = [...uploads.value, { id, model, path, size: file.size, sent: 0, state: "waits", problem: null }];
  }
  work();
}

export function stop(id) {
  controls.get(id)?.abort();
  change(id, { state: "stopped" });
}
export function resume(id) {
  change(id, { state: "waits", problem: null });
  work();
}
export function forget(id) {
  files.delete(id);
  uploads.value = uploads.value.filter((one) => one.id !== id);
}

async function work() {
  if (running) return;
  running = true;
  for (let next; (next = uploads.value.find((one) => one.state === "waits")); ) await send(next);
  running = false;
}

async function send({ id, model, path }) {
  const { file, done } = files.get(id), control = new AbortController();
  const address = `/v1/models/${part(model)}/files/${deep(path)}`;
  controls.set(id, control);
  change(id, { state: "runs", problem: null });
  try {
    let at = await received(address, file, begun.has(id), control.signal), tries = 0;
    change(id, { sent: at });
    do {
      try {
        const told = await ask("PUT", address, { query: { offset: at, total: file.size }, raw: file.slice(at, at + PART), signal: control.signal, headers: { "Content-Type": "application/octet-stream" } });
        at = (await told.json()).received;
        tries = 0;
        begun.add(id);
        change(id, { sent: at });
      } catch (problem) {
        if (problem.name === "AbortError" || (problem.status >= 400 && problem.status < 500 && problem.status !== 409) || ++tries > PATIENCE) throw problem;
        await new Promise((go) => setTimeout(go, 400 * 2 ** tries));
        at = await received(address, file, true, control.signal).catch(() => at);
      }
    } while (at < file.size);
    change(id, { state: "done", sent: file.size });
    files.delete(id);
    done?.(path);
  } catch (problem) {
    if (problem.name !== "AbortError") change(id, { state: "failed", problem: problem instanceof Problem ? problem : new Problem({ detail: "cannot read the file any more", hint: "choose it again" }) });
  }
  controls.delete(id);
}

/** How much of this very file is there already; 0 where what is there began as another one. */
async function received(address, file, ours, signal) {
  const told = await (await ask("GET", address, { query: { part: true }, signal })).json();
  if (told.done || told.total !== file.size || told.received > file.size) return 0;
  return ours || (await ends(file.slice(Math.max(0, told.received - TAIL), told.received))) === told.tail ? told.received : 0;
}

/** SHA-256 of a piece; null where the browser offers none (a page without TLS on another machine): then nothing is taken on. */
async function ends(piece) {
  if (!window.crypto?.subtle) return null;
  const digest = await crypto.subtle.digest("SHA-256", await piece.arrayBuffer());
  return [...new Uint8Array(digest)].map((one) => one.toString(16).padStart(2, "0")).join("");
}

window.addEventListener("beforeunload", (event) => {
  if (uploads.value.some((one) => one.state === "runs" || one.state === "waits")) event.preventDefault();
});
