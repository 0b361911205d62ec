// Events, as they come; searched, and older ones on demand.
import { html, useEffect, useMemo, useRef, useState } from "../../vendor/preact.js";
import { get } from "../api.js";
import { plural } from "../format.js";
import { useEvents } from "../live.js";
import { EventList } from "../ui/events.js";
import { Button, Empty, Loading, Search, Trouble } from "../ui/parts.js";
import { Select } from "../ui/fields.js";

const PAGE = 200, MOST = 10_000;
const KINDS = [["", "All kinds"], ["service", "Services"], ["routing", "Routings"], ["rollout", "Rollouts"], ["revision", "Revisions"], ["image", "Images"], ["action", "Actions"], ["plan", "Plans"], ["token", "Tokens"], ["gateway", "Gateway"], ["engine", "Engine"], ["daemon", "Daemon"]];

export function EventBrowser({ service = "" }) {
  const [events, set] = useState(null), [problem, refuse] = useState(null), [limit, grow] = useState(PAGE);
  const [text, type] = useState(""), [kind, only] = useState("");
  const fresh = useRef(Infinity), asked = useRef(0), come = useRef([]);
  const load = async () => {
    const mine = ++asked.current;
    come.current = [];
    try {
      const found = (await get("/v1/events", { service, limit })).reverse();
      if (mine !== asked.current) return;
      const last = found[0]?.seq ?? 0;
      fresh.current = Math.min(fresh.current, last);
      // What came by the stream while the answer was on its way is not in it.
      set([...come.current.filter((one) => one.seq > last), ...found]);
      come.current = null;
      refuse(null);
    } catch (error) {
      if (mine !== asked.current) return;
      come.current = null;
      refuse(error);
    }
  };
  useEffect(() => { load(); }, [limit, service]);
  useEvents((event) => {
    if (event === null) return load();
    if (service && event.service !== service) return undefined;
    come.current?.unshift(event);
    set((now) => (now && event.seq > (now[0]?.seq ?? 0) ? [event, ...now].slice(0, MOST) : now));
    return undefined;
  });
  const shown = useMemo(() => {
    const wanted = text.toLowerCase();
    return (events || []).filter((one) => (!kind || one.kind.startsWith(`${kind}.`)) && (!wanted || `${one.kind} ${one.service} ${one.routing} ${one.cause}`.toLowerCase().includes(wanted)));
  }, [events, text, kind]);
  if (problem && !events) return html`<${Trouble} problem=${problem} retry=${load} />`;
  if (!events) return html`<${Loading} lines=${8} />`;
  return html`<div class="toolbar"><${Search} value=${text} change=${type} label="Search events" /><${Select} aria-label="Kind of event" value=${kind} change=${only} of=${KINDS} />
      <span class="spacer"></span><span class="quiet small">${plural(shown.length, "event")}</span></div>
    <div class="card">${shown.length ? html`<${EventList} events=${shown} fresh=${fresh.current} where=${!service} />` : html`<${Empty} icon="activity" title="Nothing like that has happened"><p>Starts, stops, changes and failures are told here as they happen.</p></${Empty}>`}</div>
    ${events.length >= limit && limit < MOST && html`<div class="row" style=${{ justifyContent: "center", marginTop: "14px" }}><${Button} onClick=${() => grow(Math.min(MOST, limit * 5))}>Older events</${Button}></div>`}`;
}
