// Who used what: requests, errors and bytes by service, token and day.
import { html, useMemo, useState } from "../../vendor/preact.js";
import { get } from "../api.js";
import { bytes, percent, seconds, span, whole } from "../format.js";
import { useAsked } from "../live.js";
import { to } from "../router.js";
import { Button, Card, Empty, Loading, Segments, Trouble } from "../ui/parts.js";

const DAYS = [["1", "Today"], ["7", "7 days"], ["30", "30 days"], ["90", "90 days"]];
const BY = [["service", "By service"], ["token", "By token"], ["day", "By day"]];

export function Usage() {
  const [days, choose] = useState("7"), [by, sort] = useState("service");
  const asked = useAsked(`usage ${days}`, () => get("/v1/usage", { days }), { every: 60 });
  const rows = useMemo(() => summed(asked.data || [], by), [asked.data, by]);
  const most = Math.max(1, ...rows.map((one) => one.requests));
  if (asked.problem && !asked.data) return html`<${Trouble} problem=${asked.problem} retry=${asked.reload} what="The record of usage" />`;
  if (!asked.data) return html`<${Loading} lines=${8} />`;
  return html`<div class="toolbar"><${Segments} label="Days" of=${DAYS} value=${days} choose=${choose} /><${Segments} label="Summed" of=${BY} value=${by} choose=${sort} /><span class="spacer"></span>
      ${rows.length > 0 && html`<${Button} look="tiny" icon="down" onClick=${() => save(asked.data)}>As CSV</${Button}>`}</div>
    <${Card} flush>${rows.length ? html`<div class="table-wrap"><table class="table cards"><thead><tr><th>${{ service: "Service", token: "Token", day: "Day" }[by]}</th><th>Requests</th><th class="number">Errors</th><th class="number">In</th><th class="number">Out</th><th class="number">Mean time</th></tr></thead>
      <tbody>${rows.map((one) => html`<tr key=${one.key}><td>${by === "service" ? html`<a href=${to("services", one.name)}>${one.name}</a>` : one.name}</td><td data-name="Requests"><div class="row"><span style=${{ minWidth: "64px" }}>${whole(one.requests)}</span><div class="meter grow" style=${{ maxWidth: "220px" }} aria-hidden="true"><i style=${{ width: percent(one.requests / most).replace(" ", "") }}></i></div></div></td>
        <td class="number" data-name="Errors">${whole(one.errors)} <span class="quiet small">(${percent(one.requests ? one.errors / one.requests : 0)})</span></td><td class="number" data-name="In">${bytes(one.bytes_in)}</td><td class="number" data-name="Out">${bytes(one.bytes_out)}</td><td class="number" data-name="Mean time" title="${span(one.seconds)} in all">${seconds(one.requests ? one.seconds / one.requests : null)}</td></tr>`)}</tbody></table></div>`
    : html`<${Empty} icon="activity" title="Nothing was used in that time"><p>Requests are counted by service, token and day. Give each user a token with a name of its own, and their share can be told apart.</p></${Empty}>`}</${Card}>`;
}

function summed(all, by) {
  const found = new Map();
  for (const one of all) {
    const key = by === "token" ? one.token_id || "" : one[by];
    const name = by === "token" ? one.token_name || (one.token_id ? one.token_id.slice(0, 8) : "without a token") : one[by];
    const sum = found.get(key) || { key, name, requests: 0, errors: 0, bytes_in: 0, bytes_out: 0, seconds: 0 };
    for (const each of ["requests", "errors", "bytes_in", "bytes_out", "seconds"]) sum[each] += one[each] || 0;
    found.set(key, sum);
  }
  return [...found.values()].sort((a, b) => (by === "day" ? (a.key < b.key ? 1 : -1) : b.requests - a.requests));
}

function save(all) {
  const columns = ["day", "service", "token_id", "token_name", "requests", "errors", "bytes_in", "bytes_out", "seconds"];
  // A cell that begins like a formula is no formula: tables would run it.
  const cell = (value) => { const text = String(value ?? ""); return `"${(/^[=+\-@\t]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`; };
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([[columns, ...all.map((one) => columns.map((key) => one[key]))].map((row) => row.map(cell).join(",")).join("\r\n")], { type: "text/csv" }));
  link.download = "usage.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
