// All services: how each is, what it carries, where it answers.
import { html, useEffect, useMemo, useRef, useState } from "../../vendor/preact.js";
import { get } from "../api.js";
import { startService } from "../dialogs/launch.js";
import { modifyService, restartHeld, scaleService, terminateService } from "../dialogs/service.js";
import { plural, rate, seconds } from "../format.js";
import { rows } from "../keys.js";
import { useAsked } from "../live.js";
import { useRates } from "../rates.js";
import { go, here, to } from "../router.js";
import { Head } from "../shell.js";
import { Icon } from "../ui/icons.js";
import { Menu } from "../ui/menu.js";
import { Button, Copy, Empty, Loading, Search, Trouble } from "../ui/parts.js";
import { Spark } from "../ui/spark.js";
import { Status, STATUSES } from "../ui/status.js";
import { useSmall, Virtual } from "../ui/virtual.js";

const COLUMNS = [["status", "Status"], ["name", "Service"], ["rate", "Requests/s", "number"], ["p95", "p95", "number"], ["healthy", "Routings"], ["endpoint", "Endpoint"]];

const orders = (rates) => ({
  status: (one) => STATUSES.indexOf(one.status),
  name: (one) => one.name.toLowerCase(),
  rate: (one) => -(rates.by.get(one.name)?.requests_per_second ?? -1),
  p95: (one) => -(rates.by.get(one.name)?.p95 ?? -1),
  healthy: (one) => -one.desired_routing_count,
  endpoint: (one) => one.endpoint,
});

export const concerns = (event) => /^(service|routing|rollout|revision|plan|engine)\./.test(event.kind);

export function Services() {
  const asked = useAsked("services", () => get("/v1/services"), { on: concerns, every: 60 });
  const rates = useRates();
  const [text, type] = useState(here.value.query.get("q") || "");
  const [only, filter] = useState(here.value.query.get("status") || "");
  const [order, sort] = useState(["name", 1]);
  useEffect(() => {
    const query = new URLSearchParams({ ...(text && { q: text }), ...(only && { status: only }) });
    go(`#/services${query.size ? `?${query}` : ""}`, { replace: true });
  }, [text, only]);
  const all = asked.data || [];
  const shown = useMemo(() => select(all, { text, only, order, rates }), [asked.data, text, only, order, rates.by]);
  return html`<${Head} title="Services" about=${asked.data && summary(all)}
    actions=${html`<${Button} look="first" icon="plus" onClick=${() => startService()} changes>Start a service</${Button}>`} />
  <div class="stack">
    ${asked.problem && html`<${Trouble} problem=${asked.problem} retry=${asked.reload} />`}
    ${asked.loading ? html`<${Loading} lines=${6} />` : all.length ? html`<div>
      <${Totals} all=${all} rates=${rates} />
      <div class="toolbar"><${Search} value=${text} change=${type} label="Search name, model, folder, cause" /><${Filters} all=${all} only=${only} choose=${filter} /></div>
      ${shown.length ? html`<${List} shown=${shown} rates=${rates} order=${order} sort=${sort} />` : html`<${NoneFound} clear=${() => { type(""); filter(""); }} />`}</div>`
    : !asked.problem && html`<${First} />`}
  </div>`;
}

function select(all, { text, only, order: [by, way], rates }) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const value = orders(rates)[by];
  return all
    .filter((one) => !only || one.status === only)
    .filter((one) => words.every((each) => `${one.name} ${one.model} ${one.folder} ${one.cause}`.toLowerCase().includes(each)))
    .map((one) => [value(one), one])
    .sort(([a, one], [b, other]) => (a < b ? -way : a > b ? way : one.name.localeCompare(other.name)))
    .map(([, one]) => one);
}

const ROOMLESS = ["over_quota", "no_capacity"];

/** In one sentence how many are healthy, and what the others need or wait for. */
export function summary(all) {
  const count = (test) => all.filter(test).length;
  const healthy = count((one) => one.status === "HEALTHY"), roomless = count((one) => one.status === "PROVISIONING" && ROOMLESS.includes(one.cause_code));
  const bad = count((one) => ["UNHEALTHY", "INVALID", "DEGRADED"].includes(one.status)), starting = count((one) => one.status === "PROVISIONING") - roomless;
  const stopped = count((one) => one.status === "STOPPED"), ending = count((one) => one.status === "DESTROYING");
  if (!all.length) return "Nothing is served yet.";
  if (healthy === all.length) return healthy === 1 ? "The one service is healthy." : `All ${healthy} services are healthy.`;
  const others = [bad && `${bad} ${bad === 1 ? "needs" : "need"} a look`, roomless && `there is no room for ${roomless}`, starting && `${starting} ${starting === 1 ? "starts" : "start"}`,
    stopped && `${stopped} ${stopped === 1 ? "is" : "are"} stopped`, ending && `${ending} ${ending === 1 ? "is" : "are"} being removed`];
  return `${healthy} of ${plural(all.length, "service")} ${healthy === 1 || all.length === 1 ? "is" : "are"} healthy; ${others.filter(Boolean).join(", ")}.`;
}

function Totals({ all, rates }) {
  const sum = (of) => [...rates.by.values()].reduce((total, one) => total + (one[of] || 0), 0);
  const healthy = all.reduce((total, one) => total + one.healthy, 0), wanted = all.reduce((total, one) => total + one.desired_routing_count, 0);
  const known = !rates.problem && rates.by.size > 0;
  return html`<dl class="totals">
    <div class="total"><dt>Healthy services</dt><dd>${all.filter((one) => one.status === "HEALTHY").length} <small>of ${all.length}</small></dd></div>
    <div class="total"><dt>Routings</dt><dd>${healthy} <small>of ${wanted} wanted</small></dd></div>
    <div class="total"><dt>Requests</dt><dd>${known ? rate(sum("requests_per_second")) : "–"} <small>per second</small></dd></div>
    <div class="total"><dt>Errors</dt><dd>${known ? rate(sum("errors_per_second")) : "–"} <small>per second</small></dd></div></dl>`;
}

function Filters({ all, only, choose }) {
  const counts = Object.fromEntries(STATUSES.map((status) => [status, all.filter((one) => one.status === status).length]));
  return html`<div class="chips" role="group" aria-label="Only with status">
    <button type="button" class="chip" aria-pressed=${only ? "false" : "true"} onClick=${() => choose("")}>All <b>${all.length}</b></button>
    ${STATUSES.filter((status) => counts[status] || only === status).map((status) => html`<button type="button" class="chip" aria-pressed=${only === status ? "true" : "false"}
      onClick=${() => choose(only === status ? "" : status)}><${Status} of=${status} /><b>${counts[status]}</b></button>`)}</div>`;
}

function List({ shown, rates, order, sort }) {
  const small = useSmall();
  const [at, move] = useState(-1), where = useRef(-1);
  useEffect(() => {
    rows.value = {
      move: (by) => { where.current = Math.max(0, Math.min(shown.length - 1, where.current + by)); move(where.current); },
      open: () => shown[where.current] && go(to("services", shown[where.current].name)),
    };
    return () => { rows.value = null; };
  }, [shown]);
  const head = ([key, name, look]) => html`<span role="columnheader" class="${look || ""} ${key === "endpoint" ? "endpoint-cell" : ""}" aria-sort=${order[0] === key ? (order[1] > 0 ? "ascending" : "descending") : undefined}>
    <button type="button" data-on=${order[0] === key || undefined} onClick=${() => sort([key, order[0] === key ? -order[1] : 1])}>${name}
      ${order[0] === key && html`<${Icon} name=${order[1] > 0 ? "asc" : "desc"} />`}</button></span>`;
  return html`<div class="service-list" role="table" aria-label="Services" aria-rowcount=${shown.length + 1}>
    <div class="service-row service-head" role="row" aria-rowindex="1">${COLUMNS.map(head)}<span role="columnheader"><span class="hidden-text">What to do</span></span></div>
    <${Virtual} class="service-body" count=${shown.length} height=${small ? 92 : 58} at=${at} row=${(n, style) => html`<${Row} key=${shown[n].id || shown[n].name} one=${shown[n]} rates=${rates} style=${style} n=${n} at=${n === at} />`} /></div>`;
}

function Row({ one, rates, style, n, at }) {
  const now = rates.by.get(one.name);
  const about = one.rollout ? one.rollout.said : one.cause.replace(`${one.folder}/`, "") || one.pending || [one.model !== one.name && one.model, one.source === "api" ? "started here" : ""].filter(Boolean).join(" · ") || one.folder.split("/").slice(-2).join("/");
  const bad = ["UNHEALTHY", "INVALID"].includes(one.status);
  return html`<div class="service-row ${bad || !now || (!one.healthy && one.cause) ? "told" : ""}" role="row" aria-rowindex=${n + 2} style=${style} data-at=${at || undefined}>
    <span role="cell" class="status-cell"><${Status} of=${one.status} /></span>
    <span role="cell" class="name-cell stack tight" style=${{ gap: 0 }}><a class="name cut" href=${to("services", one.name)}>${one.name}</a><span class="about cut ${bad ? "bad" : ""}" title=${about}>${about}</span></span>
    <span role="cell" class="rate-cell number"><span class="rate"><${Spark} values=${rates.past(one.name)} /><span>${now ? rate(now.requests_per_second) : "–"}</span></span></span>
    <span role="cell" class="p95-cell number">${seconds(now?.p95)}</span>
    <span role="cell" class="pips-cell"><${Pips} one=${one} /></span>
    <span role="cell" class="endpoint-cell row" style=${{ gap: 0 }}>${one.endpoint ? html`<code class="cut quiet" title=${one.endpoint}>${shortened(one.endpoint)}</code><${Copy} text=${one.endpoint} name="Copy the endpoint of ${one.name}" what="Endpoint copied" />` : html`<span class="quiet">–</span>`}</span>
    <span role="cell" class="menu-cell"><${ServiceMenu} one=${one} /></span></div>`;
}

const shortened = (address) => address.replace(/^https?:\/\//, "");

function Pips({ one }) {
  const many = Math.max(one.desired_routing_count, one.healthy);
  const said = `${one.healthy}/${one.desired_routing_count}`;
  return html`<span class="row" style=${{ gap: "7px" }} title="${one.healthy} of ${one.desired_routing_count} routings are healthy">${many > 0 && many <= 8 && html`<span class="pips" aria-hidden="true">
    ${Array.from({ length: many }, (_, n) => html`<i class=${n < one.healthy ? "" : ["UNHEALTHY", "DEGRADED"].includes(one.status) ? "off bad-edge" : "off"}></i>`)}</span>`}<span>${said}</span></span>`;
}

function ServiceMenu({ one }) {
  return html`<${Menu} name="More for ${one.name}" look="plain tiny" items=${[
    { name: "Open", icon: "right", href: to("services", one.name) },
    { name: "Logs", icon: "terminal", href: to("services", one.name, "logs") },
    { name: "Try it", icon: "send", href: to("services", one.name, "try") },
    one.id && { name: "Scale", icon: "scale", changes: true, run: () => scaleService(one) },
    one.id && { name: "Modify", icon: "wrench", changes: true, run: () => modifyService(one.name) },
    one.held && { name: "Let its removal go on", icon: "check", changes: true, run: () => restartHeld(one) },
    one.id && { name: "Terminate", icon: "trash", risky: true, changes: true, run: () => terminateService(one) },
  ]} />`;
}

const NoneFound = ({ clear }) => html`<div class="card"><${Empty} icon="search" title="No service is like that">
  <${Button} onClick=${clear}>Show all</${Button}></${Empty}></div>`;

const First = () => html`<div class="card"><${Empty} icon="services" title="Nothing is served yet">
  <p>A folder with a model and a <code>model-definition.yml</code> becomes a service by itself. This is the smallest one:</p>
  <pre class="code">models:
  - name: hello
    service:
      start_command: [python, -m, http.server, "{port}"]
      port: 8000</pre>
  <p>Put it into a folder below <code>models_dirs</code>, or make that folder here.</p>
  <div class="row wrap"><${Button} look="first" icon="models" onClick=${() => go(to("models"))}>Make a model folder</${Button}><${Button} icon="plus" changes onClick=${() => startService()}>Start a service</${Button}></div></${Empty}></div>`;

