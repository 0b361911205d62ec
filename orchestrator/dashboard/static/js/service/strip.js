// Health over time: each status as long as it lasted, from the service's events.
import { html } from "../../vendor/preact.js";
import { get } from "../api.js";
import { ago, span } from "../format.js";
import { useAsked } from "../live.js";
import { Card, Time } from "../ui/parts.js";
import { Status, tone, word } from "../ui/status.js";

const SHOWN = 8;

export function Strip({ one }) {
  const { data } = useAsked(`history ${one.name}`, () => get("/v1/events", { service: one.name, limit: 2000 }), { on: (event) => event.service === one.name && event.kind === "service.status" });
  if (!data) return null;
  const told = data.filter((event) => event.kind === "service.status");
  if (!told.length) return null;
  const now = Date.now(), begin = new Date(told[0].time).getTime(), whole = Math.max(1, now - begin);
  const parts = told.map((event, n) => {
    const from = new Date(event.time).getTime(), to = n + 1 < told.length ? new Date(told[n + 1].time).getTime() : now;
    return { status: event.cause, time: event.time, seconds: (to - from) / 1000, share: ((to - from) / whole) * 100 };
  });
  const healthy = parts.filter((part) => part.status === "HEALTHY").reduce((sum, part) => sum + part.share, 0);
  return html`<${Card} title="Health" actions=${html`<span class="small quiet">healthy ${healthy.toFixed(healthy > 99.9 || healthy < 1 ? 0 : 1)} % since ${ago(told[0].time)}</span>`}>
    <div class="stack close"><div class="strip" role="img" aria-label="Healthy ${healthy.toFixed(0)} percent of the last ${span(whole / 1000)}">
      ${parts.map((part) => html`<i class=${tone(part.status)} style=${{ width: `${part.share}%` }} title="${word(part.status)} for ${span(part.seconds)}"></i>`)}</div>
    <ul class="stack tight">${parts.slice(-SHOWN).reverse().map((part, n) => html`<li class="row spread small"><${Status} of=${part.status} /><span class="quiet">${n ? `for ${span(part.seconds)}` : `for ${span(part.seconds)}, now`}</span><span class="quiet"><${Time} of=${part.time} /></span></li>`)}</ul></div></${Card}>`;
}
