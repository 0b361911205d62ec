// The small parts: buttons, notices, empty places, things to copy.
import { html, useEffect, useState } from "../../vendor/preact.js";
import { ago, at, full } from "../format.js";
import { refusal } from "../session.js";
import { Icon } from "./icons.js";
import { tell } from "./toast.js";

/**
 * A button. `changes`: it changes something, so a token that may only read cannot press it and is told why. `off`: why
 * it cannot be pressed now. `busy`: what was asked is under way.
 */
export function Button({ icon, children, onClick, look = "", changes = false, off = "", busy = false, type = "button", name, ...rest }) {
  const why = (changes && refusal()) || off;
  const bare = icon && !children;
  const press = (event) => {
    if (!why && !busy) return onClick?.(event);
    event.preventDefault();
    if (why) tell(why, "bad");
    return undefined;
  };
  return html`<button type=${type} class="button ${look} ${bare ? "icon" : ""}" onClick=${press} aria-disabled=${why || busy ? "true" : undefined}
    title=${why || (bare ? name : undefined)} aria-label=${name} ...${rest}>
    ${busy ? html`<span class="spin" aria-hidden="true"></span>` : icon && html`<${Icon} name=${icon} />`}${children}</button>`;
}

export const Notice = ({ kind = "", icon, title, children, action, role }) => html`<div class="notice ${kind}" role=${role}>
  <${Icon} name=${icon || (kind === "good" ? "check" : kind ? "alert" : "info")} />
  <div class="words">${title && html`<p class="strong">${title}</p>`}${children}</div>${action}</div>`;

/** What the daemon refused or could not do, in its words. A route that it does not have is no fault of anybody. */
export function Trouble({ problem, retry, what = "This part" }) {
  if (!problem) return null;
  if (problem.missing)
    return html`<${Notice} title="${what} is not offered by this daemon.">
      <p class="hint">A newer version of the orchestrator has it.</p></${Notice}>`;
  return html`<${Notice} kind="bad" role="alert" action=${retry && html`<${Button} look="tiny" icon="again" onClick=${retry}>Try again</${Button}>`}>
    <p class="pre">${said(problem.detail || problem.message)}</p>${problem.hint && html`<p class="hint">${said(problem.hint)}</p>`}</${Notice}>`;
}

export const sentence = (text = "") => text && text[0].toUpperCase() + text.slice(1);

/** Words of the daemon's; what stands between backticks is code. They may begin with a name, whose case counts. */
export function coded(text = "") {
  const parts = text.split("`");
  return parts.length < 3 ? text : parts.map((one, n) => (n % 2 ? html`<code>${one}</code>` : one));
}

/** The same as a sentence. */
export const said = (text = "") => coded(sentence(text));

export const Empty = ({ icon, title, children }) => html`<div class="empty"><${Icon} name=${icon} /><h2>${title}</h2>${children}</div>`;

export const Card = ({ title, actions, children, flush = false, class: more = "", ...rest }) => html`<section class="card ${more}" aria-label=${title} ...${rest}>
  ${title && html`<div class="head"><h2>${title}</h2>${actions}</div>`}<div class="body ${flush ? "flush" : ""}">${children}</div></section>`;

export const Loading = ({ lines = 4 }) => html`<div class="stack close" role="status" aria-label="Loading">
  ${Array.from({ length: lines }, () => html`<div class="skeleton"></div>`)}</div>`;

export async function copy(text, what = "Copied") {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    (document.querySelector("dialog[open]") || document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  tell(what);
}

export function Copy({ text, what = "Copied", name = "Copy" }) {
  const [done, set] = useState(false);
  useEffect(() => {
    if (!done) return undefined;
    const timer = setTimeout(() => set(false), 1500);
    return () => clearTimeout(timer);
  }, [done]);
  return html`<${Button} look="plain tiny" icon=${done ? "check" : "copy"} name=${name} onClick=${(event) => {
    event.stopPropagation();
    copy(text, what);
    set(true);
  }} />`;
}

export const Copyable = ({ text, what, name }) => html`<span class="copyable"><code title=${text}>${text}</code><${Copy} text=${text} what=${what} name=${name} /></span>`;

/** A time; the exact one on hover. `past`: how long ago, kept true. */
export function Time({ of, past = false }) {
  const [, tick] = useState(0);
  useEffect(() => {
    if (!past) return undefined;
    const timer = setInterval(() => tick((n) => n + 1), 20_000);
    return () => clearInterval(timer);
  }, [past]);
  if (!of) return html`<span class="quiet">–</span>`;
  return html`<time datetime=${of} title=${full(of)}>${past ? ago(of) : at(of)}</time>`;
}

export const Segments = ({ label, of, value, choose }) => html`<div class="segments" role="group" aria-label=${label}>
  ${of.map(([key, name]) => html`<button type="button" aria-pressed=${value === key ? "true" : "false"} onClick=${() => choose(key)}>${name}</button>`)}</div>`;

export function Search({ value, change, label, id = "search" }) {
  return html`<div class="search"><${Icon} name="search" />
    <input class="input" type="search" id=${id} data-search value=${value} placeholder=${label} aria-label=${label} autocomplete="off" spellcheck=${false}
      onInput=${(event) => change(event.target.value)} onKeyDown=${(event) => {
        if (event.key !== "Escape") return;
        if (value) change("");
        else event.target.blur();
        event.preventDefault();
      }} /><kbd aria-hidden="true">/</kbd></div>`;
}
