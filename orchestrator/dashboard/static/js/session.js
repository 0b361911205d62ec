// Who is signed in here: the token, and what it may do. Kept for this tab, or, when asked to, for this browser.
import { signal } from "../vendor/preact.js";

const KEY = "orchestrator.token";

export const token = signal(read());
/** {access: "read" | "admin", name, expires_at}; null: not asked yet. */
export const who = signal(null);
/** Why somebody who was signed in no longer is. */
export const ended = signal("");

function stored(kind) {
  try {
    return window[kind];
  } catch {
    return null;
  }
}

/** A token that the address brought (`orchestrator open --token-in-url`): taken out of it at once, kept for this tab. */
function brought() {
  const found = /^#token=([^&/?]+)$/.exec(location.hash);
  if (!found) return "";
  history.replaceState(null, "", location.pathname + location.search);
  try {
    const text = decodeURIComponent(found[1]);
    stored("sessionStorage")?.setItem(KEY, text);
    return text;
  } catch {
    return "";
  }
}

function read() {
  return brought() || stored("sessionStorage")?.getItem(KEY) || stored("localStorage")?.getItem(KEY) || "";
}

export function signIn(text, { remember, as }) {
  stored("sessionStorage")?.setItem(KEY, text);
  if (remember) stored("localStorage")?.setItem(KEY, text);
  ended.value = "";
  who.value = as;
  token.value = text;
}

export function signOut(why = "") {
  stored("sessionStorage")?.removeItem(KEY);
  stored("localStorage")?.removeItem(KEY);
  ended.value = why;
  who.value = null;
  token.value = "";
}

/** Why whoever is signed in may change nothing; empty: may. */
export function refusal() {
  return who.value?.access === "read" ? "You are signed in with a token that may read only. Changes need an admin token." : "";
}
