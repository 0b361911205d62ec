// Every change that somebody asked for: who, what, before and after.
import { html, useMemo, useState } from "../../vendor/preact.js";
import { get } from "../api.js";
import { plural } from "../format.js";
import { useAsked } from "../live.js";
import { to } from "../router.js";
import { refusal } from "../session.js";
import { Diff } from "../ui/diff.js";
import { Button, Card, Empty, Loading, Notice, Search, sentence, Time, Trouble } from "../ui/parts.js";
import { yaml } from "../service/definition.js";

export function Audit() {
  const [limit, grow] = useState(200), [text, type] = useState("");
  const asked = useAsked(`audit ${limit}`, () => get("/v1/audit", { limit }), { on: (event) => /^(service|token|rollout|plan|routing\.ratio|key)/.test(event.kind), every: 30, skip: Boolean(refusal()) });
  const shown = useMemo(() => {
    const wanted = text.toLowerCase();
    return [...(asked.data || [])].reverse().filter((one) => `${one.who} ${one.action} ${one.service} ${one.path} ${one.status}`.toLowerCase().includes(wanted));
  }, [asked.data, text]);
  if (refusal()) return html`<${Notice} kind="warn"><p>The audit log is for administrators. You are signed in with a token that may read only.</p></${Notice}>`;
  if (asked.problem && !asked.data) return html`<${Trouble} problem=${asked.problem} retry=${asked.reload} what="The audit log" />`;
  if (!asked.data) return html`<${Loading} lines=${8} />`;
  return html`<div class="toolbar"><${Search} value=${text} change=${type} label="Search who, what, service" /><span class="spacer"></span><span class="quiet small">${plural(shown.length, "change")}</span></div>
    <${Card} flush>${shown.length ? html`<div class="table-wrap"><table class="table cards"><thead><tr><th>Time</th><th>Who</th><th>What</th><th>Service</th><th>Outcome</th><th><span class="hidden-text">More</span></th></tr></thead><tbody>${shown.map((one) => html`<${Entry} key=${one.seq} one=${one} />`)}</tbody></table></div>`
      : html`<${Empty} icon="activity" title=${text ? "No change is like that" : "Nobody has changed anything yet"}><p>Each change that is asked for, by this page, the commands or the API, is written down here.</p></${Empty}>`}</${Card}>
    ${asked.data.length >= limit && html`<div class="row" style=${{ justifyContent: "center", marginTop: "14px" }}><${Button} onClick=${() => grow(limit * 5)}>Older changes</${Button}></div>`}`;
}

const readable = (value) => (value === null || value === undefined ? "" : typeof value === "string" ? value : yaml(value));

function Entry({ one }) {
  const [open, set] = useState(false);
  const more = [one.before, one.after, one.request].some((value) => readable(value));
  return html`<tr><td class="nowrap"><${Time} of=${one.time} /></td><td data-name="Who"><b>${one.who}</b> ${one.access === "read" ? html`<span class="tag">read</span>` : ""}</td><td data-name="What">${sentence(one.action)}<div class="small quiet"><code class="break">${one.method} ${one.path}</code></div></td>
      <td data-name="Service">${one.service === "*" ? "all" : one.service && html`<a href=${to("services", one.service)}>${one.service}</a>`}</td><td data-name="Outcome"><span class="tag ${one.status < 400 ? "good" : "bad"}">${one.status < 400 ? "done" : "refused"} ${one.status}</span></td>
      <td class="actions">${more && html`<${Button} look="plain tiny" icon=${open ? "asc" : "desc"} name="What it said" aria-expanded=${open ? "true" : "false"} onClick=${() => set(!open)} />`}</td></tr>
    ${open && html`<tr><td colspan="6" style=${{ padding: 0 }}>${readable(one.request) && html`<div style=${{ padding: "8px 16px" }}><p class="small quiet">Asked for</p><pre class="code">${readable(one.request)}</pre></div>`}${(readable(one.before) || readable(one.after)) && html`<${Diff} before=${readable(one.before)} after=${readable(one.after)} name="before and after" />`}</td></tr>`}`;
}
