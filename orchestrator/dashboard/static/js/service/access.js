// The access log: each request with its token, its status and where its time went.
import { html, useMemo, useState } from "../../vendor/preact.js";
import { part } from "../api.js";
import { useFollowed } from "../followed.js";
import { bytes, full, plural, seconds } from "../format.js";
import { Card, Empty, Loading, Search, Time, Trouble } from "../ui/parts.js";

const TAIL = 300, MOST = 1000;
const tone = (status) => (status === null ? "" : status >= 500 ? "bad" : status >= 400 ? "warn" : "good");

export function Access({ one }) {
  const seen = useFollowed(`/v1/access/${part(one.name)}`, { tail: TAIL, most: MOST });
  const [text, type] = useState("");
  const shown = useMemo(() => {
    const wanted = text.toLowerCase();
    return seen.all.filter((entry) => `${entry.method} ${entry.path} ${entry.status} ${entry.token_name} ${entry.request_id} ${entry.client}`.toLowerCase().includes(wanted)).reverse();
  }, [seen.all, text]);
  if (seen.problem) return html`<${Trouble} problem=${seen.problem} what="The access log" />`;
  if (seen.state === "connecting") return html`<${Loading} />`;
  return html`<div class="toolbar"><${Search} value=${text} change=${type} label="Search path, status, token, request" /><span class="spacer"></span><span class="quiet small">${plural(shown.length, "request")}, the latest first</span></div>
    <${Card} flush>${shown.length ? html`<div class="table-wrap"><table class="table cards"><thead><tr><th>Time</th><th>Request</th><th>Status</th><th>Token</th><th class="number">Took</th><th class="number">First byte</th><th class="number">In, out</th><th>Routing</th></tr></thead>
      <tbody>${shown.map((entry) => html`<tr key=${entry.key}><td class="nowrap" title=${full(entry.time)}><${Time} of=${entry.time} /></td><td data-name="Request"><code class="break" title="Request id ${entry.request_id}">${entry.method} ${entry.path}</code></td>
        <td data-name="Status"><span class="tag ${tone(entry.status)}" title=${entry.end && entry.end !== "--" ? `HAProxy ended it with ${entry.end}` : undefined}>${entry.status ?? "left"}</span></td><td data-name="Token">${entry.token_name || (entry.token_id ? html`<code>${entry.token_id.slice(0, 8)}</code>` : html`<span class="quiet">none</span>`)}</td>
        <td data-name="Took" class="number" title=${where(entry.seconds)}>${seconds(entry.seconds?.total)}</td><td data-name="First byte" class="number">${seconds(entry.seconds?.first_byte)}</td>
        <td data-name="In, out" class="number">${bytes(entry.bytes_in)}, ${bytes(entry.bytes_out)}</td><td data-name="Routing">${entry.routing ? html`<code class="quiet">${entry.routing}</code>` : "–"}</td></tr>`)}</tbody></table></div>`
      : html`<${Empty} icon="activity" title=${text ? "No request is like that" : "No request yet"}><p>Each request to the endpoint stands here, with its token and where its time went.</p></${Empty}>`}</${Card}>`;
}

const where = (parts = {}) => Object.entries(parts).filter(([, value]) => value !== null).map(([name, value]) => `${name.replace("_", " ")}: ${seconds(value)}`).join("\n");
