// Sends a request to the endpoint, through the daemon, and shows what comes as it comes.
import { html, useEffect, useRef, useState } from "../../vendor/preact.js";
import { ask, Problem, service as of } from "../api.js";
import { bytes, seconds } from "../format.js";
import { refusal } from "../session.js";
import { Area, asMap, Field, Input, Pairs, Select } from "../ui/fields.js";
import { Button, Card, copy, Notice, Segments, Trouble } from "../ui/parts.js";
import { Chat, useModels } from "./chat.js";

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"].map((one) => [one, one]);
const SHOWN = 1 << 20;

/** One request through the daemon; → {status, headers, body: the stream of its answer}. */
export async function send(one, { method, path, headers, body }, signal) {
  const answer = await ask("POST", of(one.id, "/ask"), { body: { method, path, headers, ...(body ? { body } : {}) }, signal });
  const status = Number(answer.headers.get("X-Upstream-Status") || answer.status);
  let told = {};
  try {
    told = JSON.parse(answer.headers.get("X-Upstream-Headers") || "{}");
  } catch {
    // an answer without headers of its own
  }
  return { status, headers: told, body: answer.body };
}

export function TryIt({ one }) {
  const models = useModels(one);
  const [mode, choose] = useState("");
  const now = mode || (models.list?.length ? "chat" : "request");
  const why = refusal();
  if (why) return html`<${Notice} kind="warn"><p>${why}</p></${Notice}>`;
  return html`<div class="stack">${one.healthy === 0 && html`<${Notice} kind="warn"><p>No routing is healthy now: requests are refused or wait.</p></${Notice}>`}
    ${models.list?.length > 0 && html`<div><${Segments} label="How to try it" of=${[["chat", "Chat"], ["request", "Request"]]} value=${now} choose=${choose} /></div>`}
    ${now === "chat" ? html`<${Chat} one=${one} models=${models.list} />` : html`<${Request} one=${one} />`}</div>`;
}

function Request({ one }) {
  const health = one.spec.routing?.health?.path;
  const [form, set] = useState({ method: "GET", path: health || "/", headers: [["Content-Type", "application/json"]], body: "" });
  const [answer, show] = useState(null), [problem, refuse] = useState(null), [busy, work] = useState(false);
  const control = useRef(null), box = useRef(null);
  const into = (key) => (value) => set((now) => ({ ...now, [key]: value }));
  useEffect(() => () => control.current?.abort(), []);
  const run = async (event) => {
    event.preventDefault();
    if (busy) return control.current?.abort();
    control.current = new AbortController();
    work(true);
    refuse(null);
    show(null);
    const began = performance.now();
    try {
      if (!form.path.startsWith("/")) throw new Problem({ detail: "cannot send it: a path begins with /" });
      const made = await send(one, { ...form, headers: asMap(form.headers), body: ["GET", "HEAD"].includes(form.method) ? "" : form.body }, control.current.signal);
      const first = (performance.now() - began) / 1000;
      let text = "", size = 0;
      const reader = made.body.getReader(), decoder = new TextDecoder();
      const tell = (ended) => show({ ...made, text: ended ? pretty(text, made.headers) : text, size, first, took: (performance.now() - began) / 1000, ended });
      tell(false);
      for (let turn; !(turn = await reader.read()).done; ) {
        size += turn.value.length;
        if (text.length < SHOWN) text += decoder.decode(turn.value, { stream: true });
        tell(false);
        if (box.current) box.current.scrollTop = box.current.scrollHeight;
      }
      tell(true);
      if (box.current) box.current.scrollTop = 0;
    } catch (error) {
      if (error.name === "AbortError") show((now) => now && { ...now, ended: true, stopped: true });
      else refuse(error instanceof Problem ? error : new Problem({ detail: "the answer broke off", hint: "the service's log may say why" }));
    }
    return work(false);
  };
  const bodied = !["GET", "HEAD"].includes(form.method);
  return html`<div class="try"><${Card} title="Request"><form class="stack close" onSubmit=${run}>
      <div class="row top"><div style=${{ width: "112px", flex: "none" }}><${Field} label="Method"><${Select} value=${form.method} change=${into("method")} of=${METHODS} /></${Field}></div><div class="grow"><${Field} label="Path"><${Input} mono value=${form.path} change=${into("path")} /></${Field}></div></div>
      <${Pairs} label="Headers" pairs=${form.headers} change=${into("headers")} hint="The daemon adds what lets it in: no token is needed here." />
      ${bodied && html`<${Field} label="Body"><${Area} rows="8" value=${form.body} change=${into("body")} placeholder='{"prompt": "Hello"}' /></${Field}>`}
      <div class="row"><${Button} type="submit" look=${busy ? "" : "first"} icon=${busy ? "pause" : "send"}>${busy ? "Stop" : "Send"}</${Button}><${Button} look="plain" icon="copy" onClick=${() => copy(curl(one, form), "Command copied")}>As curl</${Button}></div></form></${Card}>
    <${Card} title="Answer" flush actions=${answer && html`<span class="row wrap"><span class="tag ${answer.status >= 500 ? "bad" : answer.status >= 400 ? "warn" : "good"}" data-answer>${answer.status}</span><span class="small quiet">${answer.ended ? seconds(answer.took) : "comes…"} · first byte ${seconds(answer.first)} · ${bytes(answer.size)}</span></span>`}>
      ${problem && html`<div style=${{ padding: "14px 16px" }}><${Trouble} problem=${problem} what="Trying a service from here" /></div>`}
      ${answer ? html`<details style=${{ padding: "8px 16px", borderBottom: "1px solid var(--line)" }}><summary class="small quiet">Headers (${Object.keys(answer.headers).length})</summary><pre class="small" style=${{ whiteSpace: "pre-wrap", overflowWrap: "anywhere", paddingTop: "6px" }}>${Object.entries(answer.headers).map(([name, value]) => `${name}: ${value}`).join("\n")}</pre></details>
        <div class="answer ${answer.ended ? "" : "caret"}" ref=${box} tabindex="0" role="region" aria-label="Body of the answer">${answer.text || (answer.ended ? html`<span class="quiet">No body.</span>` : "")}${answer.stopped && html`<span class="quiet">\n(stopped)</span>`}</div>`
      : !problem && html`<div class="empty"><p>${busy ? "Waiting for the first byte…" : "What the service answers comes here, as it streams."}</p></div>`}</${Card}></div>`;
}

function pretty(text, headers) {
  const kind = Object.entries(headers).find(([name]) => name.toLowerCase() === "content-type")?.[1] || "";
  if (!kind.includes("json") || text.length > 200_000) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
function curl(one, form) {
  const words = ["curl", "-i", "-X", form.method, ...(one.open_to_public ? [] : ["-H", quoted("Authorization: BackendAI TOKEN")])];
  for (const [name, value] of Object.entries(asMap(form.headers))) words.push("-H", quoted(`${name}: ${value}`));
  if (form.body && !["GET", "HEAD"].includes(form.method)) words.push("-d", quoted(form.body));
  return [...words, quoted(one.endpoint + form.path)].join(" ");
}
