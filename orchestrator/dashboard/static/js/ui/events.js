// Events as a list of what happened, newest first.
import { html } from "../../vendor/preact.js";
import { to } from "../router.js";
import { coded, Time } from "./parts.js";

const BAD = /(failed|died|unhealthy|lost|broke|invalid|rolled_back|down)$/;
const GOOD = /(healthy|good|finished|returned|observed)$/;
const BUSY = /(starting|created|started|pulling|fetching|advanced|promoted|switched|added|changed|scaled)$/;
const WARN = /(held|waiting|vanished|draining|removing|pending|ended|gone|revoked|dropped)$/;

export function tint(event) {
  if (event.kind === "service.status") return { HEALTHY: "good", UNHEALTHY: "bad", INVALID: "bad", DEGRADED: "warn", PROVISIONING: "busy" }[event.cause] || "";
  if (BAD.test(event.kind)) return "bad";
  if (GOOD.test(event.kind)) return "good";
  return BUSY.test(event.kind) ? "busy" : WARN.test(event.kind) ? "warn" : "";
}

/** `fresh`: the seq above which an event is new here. `where`: name the service too. */
export const EventList = ({ events, fresh = Infinity, where = false }) => html`<ol class="events" aria-label="Events, newest first">
  ${events.map((event) => html`<li class="event ${tint(event)} ${event.seq > fresh ? "new" : ""}" key=${event.seq}>
    <${Time} of=${event.time} /><span class="kind cut" title=${event.kind}>${event.kind}</span>
    <span class="said">${where && event.service && html`<a class="strong" href=${to("services", event.service)}>${event.service}</a> `}${coded(event.cause)}${event.routing && html` <code class="quiet">${event.routing}</code>`}</span></li>`)}</ol>`;
