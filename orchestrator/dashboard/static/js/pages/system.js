// The daemon itself: how it is, what it checks, what it was told.
import { html, useState } from "../../vendor/preact.js";
import { get, put } from "../api.js";
import { plural, span } from "../format.js";
import { useAsked } from "../live.js";
import { Tabs, to } from "../router.js";
import { refusal } from "../session.js";
import { Head } from "../shell.js";
import { Select } from "../ui/fields.js";
import { Button, Card, Copyable, Loading, Notice, Search, said, sentence, Time, Trouble } from "../ui/parts.js";
import { Status, STATUSES } from "../ui/status.js";
import { Check } from "../ui/fields.js";
import { tell } from "../ui/toast.js";

const TABS = [["status", "Status", State], ["checks", "Checks", Checks], ["config", "Configuration", Config]];

export function System({ tab = "status" }) {
  const [, , View] = TABS.find(([key]) => key === tab) || TABS[0];
  return html`<${Head} title="System" about="The daemon, what it depends on, and what it was told." actions=${html`<a class="button" href="/docs">The API, described</a>`} />
    <${Tabs} label="Parts of the system" tabs=${TABS.map(([key, name]) => [name, key === "status" ? to("system") : to("system", key), key === tab])} /><${View} />`;
}

function State() {
  const { data, problem, reload } = useAsked("status", () => get("/v1/status"), { every: 15, on: (event) => /^(engine|gateway|store|daemon|service)\./.test(event.kind) });
  if (problem && !data) return html`<${Trouble} problem=${problem} retry=${reload} />`;
  if (!data) return html`<${Loading} lines=${8} />`;
  const up = data.gateway.state === "up", writes = data.store.state === "writable";
  const parts = [["Daemon", "ok", "runs", `version ${data.version}, for ${span(data.uptime)}`], ["Runtime", data.observed_ok ? "ok" : "fail", data.observed_ok ? "observed" : "does not answer", `${data.runtime} ${data.runtime_version}`],
    ["Gateway", up ? "ok" : "fail", up ? "up" : data.gateway.state, `HAProxy ${(data.gateway.version || "").split("-")[0]}`], ["Store", writes ? "ok" : "fail", writes ? "writable" : data.store.state, data.store.schema ? `schema ${data.store.schema}` : "what was told and tried"]];
  const counts = Object.entries(data.services).sort(([a], [b]) => STATUSES.indexOf(a) - STATUSES.indexOf(b));
  return html`<div class="stack"><dl class="totals">${parts.map(([name, state, said, more]) => html`<div class="total" key=${name}><dt>${name}</dt><dd style=${{ fontSize: "15px" }}><${Status} of=${state} word=${said} /></dd><dd style=${{ fontSize: "12.5px", fontWeight: 400 }} class="quiet">${more}</dd></div>`)}</dl>
    <div class="split"><${Card} title="Daemon"><dl class="facts">
      <dt>Started</dt><dd><${Time} of=${data.started_at} past /></dd><dt>Process</dt><dd>${data.pid}</dd><dt>State directory</dt><dd><${Copyable} text=${data.state_dir} name="Copy the state directory" /></dd>
      <dt>Runtime</dt><dd>${data.runtime} ${data.runtime_version}${data.runtime_reason && html`<div class="quiet small">${said(data.runtime_reason)}</div>`}</dd>
      <dt>Gateway</dt><dd><${Copyable} text=${data.gateway.url} name="Copy the gateway’s address" /></dd>
      ${Object.entries(data.gateway).filter(([key]) => !["url", "state"].includes(key)).map(([key, value]) => html`<dt>Gateway ${key.replaceAll("_", " ")}</dt><dd>${value}</dd>`)}
      ${Object.entries(data.store).filter(([key]) => key !== "state").map(([key, value]) => html`<dt>Store ${key}</dt><dd class="break">${value}</dd>`)}</dl></${Card}>
    <div class="stack"><${Card} title="Services"><ul class="stack tight">${counts.map(([status, count]) => html`<li class="row spread" key=${status}><${Status} of=${status} /><b>${count}</b></li>`)}${!counts.length && html`<li class="quiet">None yet.</li>`}</ul></${Card}>
      <${Card} title="Routings"><ul class="stack tight">${Object.entries(data.routings).map(([status, count]) => html`<li class="row spread" key=${status}><${Status} of=${status} /><b>${count}</b></li>`)}${!Object.keys(data.routings).length && html`<li class="quiet">None yet.</li>`}</ul></${Card}><${LogLevel} /></div></div></div>`;
}

function LogLevel() {
  const asked = useAsked("log", () => get("/v1/log"));
  const change = async (level) => {
    try {
      asked.set(await put("/v1/log", { level }));
      tell(`The daemon logs at level ${level}`);
    } catch (problem) {
      tell(sentence(problem.detail), "bad");
    }
  };
  if (!asked.data) return asked.problem && html`<${Trouble} problem=${asked.problem} what="The level of the daemon’s log" />`;
  return html`<${Card} title="Log level"><div class="stack close"><${Select} aria-label="Log level of the daemon" value=${asked.data.level} change=${change} disabled=${Boolean(refusal())} of=${["debug", "info", "warning", "error"].map((one) => [one, one])} />
    <p class="small quiet">${refusal() || "What is chosen here counts until the daemon is restarted."}</p></div></${Card}>`;
}

function Checks() {
  const { data, problem, reload, loading } = useAsked("doctor", () => get("/v1/doctor"));
  const [busy, work] = useState(false);
  const again = async () => { work(true); await reload(); work(false); };
  if (problem && !data) return html`<${Trouble} problem=${problem} retry=${reload} />`;
  if (loading) return html`<${Loading} lines=${8} />`;
  const bad = data.filter((one) => one.state === "fail").length, odd = data.filter((one) => one.state === "warn").length;
  return html`<${Card} title=${bad ? `${plural(bad, "check")} ${bad === 1 ? "fails" : "fail"}` : odd ? plural(odd, "warning") : "All is well"} flush actions=${html`<${Button} look="tiny" icon="again" busy=${busy} onClick=${again}>Check again</${Button}>`}>
    <ul class="checks">${data.map((one) => html`<li key=${one.name}><${Status} of=${one.state} /><span class="name">${one.name}</span><span class="said break grow">${one.message}${one.hint && html`<span class="quiet"><br />→ ${said(one.hint)}</span>`}</span></li>`)}</ul></${Card}>`;
}

const set = (one) => Boolean(one.set) && one.set !== "default";
/** Where a key was set: the file's line, or the variable. */
const place = (said) => (said === true ? "set" : String(said).split("/").at(-1));

function Config() {
  const { data, problem, reload } = useAsked("config", () => get("/v1/config"), { skip: Boolean(refusal()) });
  const [text, type] = useState(""), [mine, only] = useState(false);
  if (refusal()) return html`<${Notice} kind="warn"><p>The configuration is for administrators. You are signed in with a token that may read only.</p></${Notice}>`;
  if (problem && !data) return html`<${Trouble} problem=${problem} retry=${reload} what="The configuration" />`;
  if (!data) return html`<${Loading} lines=${8} />`;
  const said = (value) => (value === null || value === undefined || value === "" ? "–" : typeof value === "string" ? value : JSON.stringify(value));
  const shown = data.keys.filter((one) => (!mine || set(one)) && `${one.key} ${said(one.value)}`.toLowerCase().includes(text.toLowerCase()));
  return html`<div class="toolbar"><${Search} value=${text} change=${type} label="Search keys and values" /><${Check} value=${mine} change=${only}>Only what was set</${Check}><span class="spacer"></span>${data.file && html`<${Copyable} text=${data.file} name="Copy the file’s path" />`}</div>
    <${Card} flush><div class="table-wrap"><table class="table cards"><thead><tr><th>Key</th><th>Value</th><th>Default</th></tr></thead><tbody>${shown.map((one) => html`<tr key=${one.key}><td><code>${one.key}</code> ${set(one) && html`<span class="tag accent" title=${`Set by ${one.set}`}>${place(one.set)}</span>`}</td><td data-name="Value"><code class="break">${said(one.value)}</code></td><td data-name="Default"><code class="break quiet">${said(one.default)}</code></td></tr>`)}</tbody></table></div>${!shown.length && html`<p class="empty">No key is like that.</p>`}</${Card}>`;
}
