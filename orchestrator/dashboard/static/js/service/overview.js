// The first thing one sees of a service: what is wrong, what changes, what it carries, what runs.
import { html } from "../../vendor/preact.js";
import { bytes, plural } from "../format.js";
import { to } from "../router.js";
import { Card, Copyable, Time } from "../ui/parts.js";
import { Causes } from "./causes.js";
import { Charts } from "./charts.js";
import { Rollout } from "./rollout.js";
import { Routings } from "./routings.js";
import { Strip } from "./strip.js";

export function Overview({ one, reload }) {
  return html`<div class="stack">
    <${Causes} one=${one} />
    ${one.rollout && html`<${Rollout} one=${one} />`}
    <${Charts} name=${one.name} />
    <${Routings} one=${one} reload=${reload} />
    <div class="halves"><${Facts} one=${one} /><${Strip} one=${one} /></div></div>`;
}

const overridden = (one, field) => one.overrides?.[field] && html` <span class="tag accent" title="In the file: ${JSON.stringify(one.overrides[field].in_file)}">override</span>`;

function Facts({ one }) {
  const { routing = {}, metadata = {} } = one.spec;
  const asked = Object.entries(routing.resources || {});
  const rows = [
    ["About", metadata.description],
    ["Wanted", html`${plural(one.desired_routing_count, "routing")}${one.override_desired !== null && one.override_desired !== undefined ? html` <span class="tag accent" title="The file says ${one.desired_in_file}">override</span>` : overridden(one, "count")}`],
    ["Revision", html`<a href=${to("services", one.name, "revisions")}>${one.revision_number}</a>`],
    ["Source", one.source === "api" ? "Started by the API" : "A folder’s definition"],
    ["Folder", one.folder && html`<${Copyable} text=${one.folder} name="Copy the folder" />`],
    ["Image", routing.image && html`<code class="break">${routing.image}</code>`],
    ["Command", routing.command && html`<code class="break">${Array.isArray(routing.command) ? routing.command.join(" ") : routing.command}</code>`],
    ["Port", routing.port],
    ["Health check", routing.health?.path ? html`<code>${routing.health.path}</code> every ${routing.health.interval} s` : "its port accepts connections"],
    ["Resources", asked.length ? asked.map(([name, count]) => html`<div>${/mem|shm/.test(name) ? bytes(count) : count} ${name}</div>`) : "none reserved"],
    ["Open to", html`${one.open_to_public ? "everybody" : "holders of a token"}${overridden(one, "public")}`],
    ["Also at", one.endpoints.length > 1 && one.endpoints.slice(1).map((address) => html`<${Copyable} text=${address} />`)],
    ["Owner", `${one.owner}, project ${one.project}`],
    ["Here since", html`<${Time} of=${one.created_at} past />`],
  ];
  return html`<${Card} title="Details"><dl class="facts">${rows.filter(([, value]) => value).map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl></${Card}>`;
}
