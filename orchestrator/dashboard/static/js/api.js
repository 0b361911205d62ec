// Asks the daemon. Whatever it refuses becomes a Problem in the daemon's own words.
import { signOut, token } from "./session.js";

export class Problem extends Error {
  constructor({ status = 0, code = "", detail = "", hint = "", errors = [], problems = [] }) {
    super(detail);
    Object.assign(this, { status, code, detail, hint, errors, problems });
  }

  /** The daemon has no such route: it is an older one. */
  get missing() {
    return this.code === "no_such_route";
  }

  /** Message by the name of the field that is wrong. */
  get fields() {
    return Object.fromEntries((this.errors || []).map((one) => [one.field, one.message]));
  }
}

const unreachable = () =>
  new Problem({
    code: "unreachable",
    detail: "cannot reach the daemon: it does not answer",
    hint: "see whether it runs: orchestrator status, or journalctl -u orchestrator",
  });

/** The answer as it comes; a refusal is raised. `raw`: body as it is, else `body` is sent as JSON. */
export async function ask(method, path, { query, body, raw, headers = {}, signal, as } = {}) {
  const given = as ?? token.value;
  const init = { method, signal, headers: { Authorization: `Bearer ${given}`, ...headers }, cache: "no-store" };
  if (raw !== undefined) init.body = raw;
  else if (body !== undefined) {
    init.headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(body);
  }
  const answer = await sent(address(path, query), init);
  if (answer.ok || answer.headers.has("X-Upstream-Status")) return answer;
  throw await refused(answer, as === undefined && given === token.value);
}

/** What only reads is asked again after a break: a browser drops requests whenever the machine's network changes. */
async function sent(url, init) {
  for (let tries = init.method === "GET" ? AGAIN.length : 0; ; tries -= 1) {
    try {
      return await fetch(url, init);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      if (tries <= 0) throw unreachable();
      await new Promise((go) => setTimeout(go, AGAIN[tries - 1]));
    }
  }
}

const AGAIN = [700, 150];
/** Milliseconds before each try but the first, the last one first. */

export function address(path, query = {}) {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined || value === null || value === "") continue;
    for (const one of Array.isArray(value) ? value : [value]) given.append(name, one);
  }
  return given.size ? `${path}?${given}` : path;
}

async function refused(answer, mine) {
  let told = {};
  try {
    told = await answer.json();
  } catch {
    told = { detail: `the daemon answered ${answer.status} ${answer.statusText}`.trim() };
  }
  if (answer.status === 429) {
    const wait = answer.headers.get("Retry-After");
    if (wait) told.hint = `try again in ${wait} s`;
  }
  if (answer.status === 401 && mine) signOut("Your token is no longer valid here. Sign in again.");
  return new Problem({ ...told, status: answer.status });
}

const json = async (answer) => (answer.status === 204 ? null : answer.json());
export const get = (path, query, more) => ask("GET", path, { query, ...more }).then(json);
export const post = (path, body, more) => ask("POST", path, { body, ...more }).then(json);
export const put = (path, body, more) => ask("PUT", path, { body, ...more }).then(json);
export const patch = (path, body, more) => ask("PATCH", path, { body, ...more }).then(json);
export const del = (path, query, more) => ask("DELETE", path, { query, ...more }).then(json);

/** A module that is needed only now, asked for again where the browser dropped it. */
export async function later(load) {
  for (let tries = 0; ; tries += 1) {
    try {
      return await load();
    } catch (error) {
      if (tries === 3) throw error;
      await new Promise((go) => setTimeout(go, 250 * (tries + 1)));
    }
  }
}

/** One part of an address. */
export const part = encodeURIComponent;
/** A path of a file, whose slashes stay. */
export const deep = (path) => path.split("/").map(encodeURIComponent).join("/");
export const service = (ref, rest = "") => `/v1/services/${part(ref)}${rest}`;
