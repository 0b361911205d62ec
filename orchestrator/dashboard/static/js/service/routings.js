// What runs: each routing with its share of the requests.
import { html, useState } from "../../vendor/preact.js";
import { del, part, Problem, put } from "../api.js";
import { confirm } from "../dialogs/confirm.js";
import { scaleService } from "../dialogs/service.js";
import { to } from "../router.js";
import { refusal } from "../session.js";
import { Menu } from "../ui/menu.js";
import { Button, Card, Copyable, said, sentence, Time } from "../ui/parts.js";
import { Status } from "../ui/status.js";
import { tell } from "../ui/toast.js";

export function Routings({ one, reload }) {
  const live = one.routings.filter((routing) => routing.status !== "FAILED_TO_START");
  const even = new Set(live.map((routing) => routing.traffic_ratio)).size <= 1;
  return html`<${Card} title="Routings" flush actions=${html`<span class="quiet small">${one.healthy} of ${one.desired_routing_count} healthy</span>`}>
    ${one.routings.length ? html`<div class="table-wrap"><table class="table cards"><thead><tr><th>Routing</th><th>Status</th><th>Address</th><th>Revision</th><th>Age</th><th>Share</th><th><span class="hidden-text">What to do</span></th></tr></thead>
      <tbody>${one.routings.map((routing) => html`<${Row} key=${routing.id} routing=${routing} one=${one} reload=${reload} even=${even} />`)}</tbody></table></div>`
    : html`<div class="empty"><p>${one.desired_routing_count ? "None is there yet." : "None is wanted: it is stopped."}</p>${one.desired_routing_count === 0 && html`<${Button} icon="scale" changes onClick=${() => scaleService(one)}>Scale up</${Button}>`}</div>`}</${Card}>`;
}

function Row({ routing, one, reload, even }) {
  const failed = routing.status === "FAILED_TO_START";
  const about = [routing.cause, routing.exit_code !== null && `exit code ${routing.exit_code}`, routing.oom && "out of memory", routing.devices.length && `devices ${routing.devices.join(", ")}`].filter(Boolean).join(" · ");
  return html`<tr><td><code>${routing.id}</code>${one.rollout?.strategy === "blue_green" && html` <span class="tag">${routing.side}</span>`}</td>
    <td data-name="Status"><div class="stack tight" style=${{ gap: "1px" }}><${Status} of=${routing.status} />${(routing.status !== "HEALTHY" || routing.oom) && html`<span class="small quiet break">${said(about)}</span>`}</div></td>
    <td data-name="Address">${routing.address && html`<${Copyable} text=${routing.address} name="Copy the address of ${routing.id}" />`}</td>
    <td data-name="Revision">${routing.revision}</td><td data-name="Age" class="nowrap"><${Time} of=${routing.created_at} past /></td>
    <td data-name="Share">${!failed && html`<${Ratio} routing=${routing} reload=${reload} even=${even} />`}</td>
    <td class="actions"><${Menu} name="More for routing ${routing.id}" look="plain tiny" items=${[
      { name: "Its log", icon: "terminal", href: `${to("services", one.name, "logs")}?routing=${routing.id}` },
      !failed && { name: "Replace it", icon: "again", changes: true, run: () => remove(routing, one, true, reload) },
      !failed && { name: "Remove it", icon: "minus", risky: true, changes: true, run: () => remove(routing, one, false, reload) },
    ]} /></td></tr>`;
}

function Ratio({ routing, reload }) {
  const [text, type] = useState(null), [busy, work] = useState(false);
  const value = text ?? String(routing.traffic_ratio);
  const may = !refusal();
  const send = async (event) => {
    event.preventDefault();
    const ratio = Number(value);
    if (!value.trim() || !(ratio >= 0 && ratio <= 1000)) return tell("A share is a number from 0 to 1000.", "bad");
    work(true);
    try {
      await put(`/v1/routings/${part(routing.id)}`, { traffic_ratio: ratio });
      tell(`Routing ${routing.id}: share ${ratio}`);
      await reload();
      type(null);
    } catch (problem) {
      tell(sentence(problem.detail), "bad");
    }
    return work(false);
  };
  return html`<form class="ratio" onSubmit=${send}><input class="input" inputmode="decimal" aria-label="Share of the requests of routing ${routing.id}" disabled=${!may} value=${value}
      title=${refusal() || "Its share of the requests against the other routings"} onInput=${(event) => type(event.target.value)} onKeyDown=${(event) => event.key === "Escape" && type(null)} />
    ${text !== null && text !== String(routing.traffic_ratio) && html`<${Button} type="submit" look="tiny first" busy=${busy}>Set</${Button}>`}</form>`;
}

const remove = (routing, one, replace, reload) => confirm({
  title: `${replace ? "Replace" : "Remove"} routing ${routing.id}`, done: replace ? "Replace it" : "Remove it", risky: !replace,
  text: replace ? "It is drained and ended, and another one takes its place. Requests that run are let to finish." : `It is drained and ended, and ${one.name} is scaled to ${Math.max(0, one.desired_routing_count - 1)}. Requests that run are let to finish.`,
  run: async () => {
    try {
      await del(`/v1/routings/${part(routing.id)}`, { replace });
    } catch (problem) {
      if (problem.code !== "method_not_allowed") throw problem;
      throw new Problem({ detail: "this daemon cannot remove a single routing", hint: "scale the service instead" });
    }
    tell(`Routing ${routing.id} ends`);
    reload();
  },
});
