// The access log: each request with its token, its status and where its time went.
import { html, useMemo, useState } from "../../vendor/preact.js";
import { get, part } from "../api.js";
import { bytes, full, seconds } from "../format.js";
import { useAsked } from "../live.js";
import { Card, Empty, Loading, Search, Time, Trouble } from "../ui/parts.js";

const TAIL = 300;
const tone = (status) => (status >= 500 ? "bad" : status >= 400 ? "warn" : "good");

export function Access({ one }) {
  const asked = useAsked(`access ${one.name}`, () => get(`/v1/access/${part(one.name)}`, { tail: TAIL }), { every: 5 });
  const [text, type] = useState("");
  const shown = useMemo(() => {
    const wanted = text.toLowerCase();
    return (asked.data || []).filter((entry) => `${entry.method} ${entry.path} ${entry.status} ${entry.token_name} ${entry.request_id} ${entry.client}`.toLowerCase().includes(wanted)).sort((a, b) => (a.time < b.time ? 1 : -1));
  }, [asked.data, text]);
  if (asked.problem && !asked.data) return html`<${Trouble} problem=${asked.problem} retry=${asked.reload} what="The access log" />`;
  if (!asked.data) return html`<${Loading} />`;
  return html`<div class="toolbar"><${Search} value=${text} change=${type} label="Search path, status, token, request" /><span class="spacer"></span><span class="quiet small">the latest ${TAIL} at most</span></div>
    <${Card} flush>${shown.length ? html`<div class="table-wrap"><table class="table cards"><thead><tr><th>Time</th><th>Request</th><th>Status</th><th>Token</th><th class="number">Took</th><th class="number">First byte</th><th class="number">In, out</th><th>Routing</th></tr></thead>
      <tbody>${shown.map((entry) => html`<tr key=${entry.request_id + entry.time}><td class="nowrap" title=${full(entry.time)}><${Time} of=${entry.time} /></td><td data-name="Request"><code class="break" title="Request id ${entry.request_id}">${entry.method} ${entry.path}</code></td>
        <td data-name="Status"><span class="tag ${tone(entry.status)}">${entry.status}</span></td><td data-name="Token">${entry.token_name || (entry.token_id ? html`<code>${entry.token_id.slice(0, 8)}</code>` : html`<span class="quiet">none</span>`)}</td>
        <td data-name="Took" class="number" title=${where(entry.seconds)}>${seconds(entry.seconds?.total)}</td><td data-name="First byte" class="number">${seconds(entry.seconds?.first_byte)}</td>
        <td data-name="In, out" class="number">${bytes(entry.bytes_in)}, ${bytes(entry.bytes_out)}</td><td data-name="Routing">${entry.routing ? html`<code class="quiet">${entry.routing}</code>` : "–"}</td></tr>`)}</tbody></table></div>`
      : html`<${Empty} icon="activity" title=${text ? "No request is like that" : "No request yet"}><p>Each request to the endpoint stands here, with its token and where its time went.</p></${Empty}>`}</${Card}>`;
}

const where = (parts = {}) => Object.entries(parts).filter(([, value]) => value !== null).map(([name, value]) => `${name.replace("_", " ")}: ${seconds(value)}`).join("\n");
