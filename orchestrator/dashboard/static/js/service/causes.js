// Why a service is not as it should be: the chain of causes, what to do about each, the log's end.
import { html } from "../../vendor/preact.js";
import { get, service as of } from "../api.js";
import { retryService } from "../dialogs/service.js";
import { concerns } from "../pages/services.js";
import { useAsked } from "../live.js";
import { to } from "../router.js";
import { Button, Notice, said, Time } from "../ui/parts.js";

const KIND = { UNHEALTHY: "bad", INVALID: "odd", DEGRADED: "warn" };
const TITLE = {
  UNHEALTHY: "Why it is unhealthy", INVALID: "Its definition is not valid", DEGRADED: "Why only part of it is healthy",
  PROVISIONING: "What it waits for", DESTROYING: "It is being removed", STOPPED: "Why it is stopped",
};

export function Causes({ one }) {
  const asked = useAsked(`explain ${one.name} ${one.status}`, () => get(of(one.name, "/explain")), {
    on: (event) => event.service === one.name && concerns(event), every: one.status === "HEALTHY" ? 0 : 10, skip: one.status === "HEALTHY",
  });
  const causes = asked.data?.causes || [];
  if (one.status === "HEALTHY" || (!causes.length && !one.problems.length)) return null;
  const shown = causes.length ? causes : one.problems.map((problem) => ({ message: problem.message, hint: problem.hint, code: problem.path }));
  const failing = one.attempts > 0 || ["UNHEALTHY", "DEGRADED"].includes(one.status);
  return html`<${Notice} kind=${KIND[one.status] || ""} title=${TITLE[one.status] || "Why it is not healthy"} role="region"
      action=${failing && html`<${Button} icon="again" look="tiny" changes onClick=${() => retryService(one)}>Clear error and retry</${Button}>`}>
    <div class="causes">${shown.map((cause) => html`<${Cause} key=${cause.code + cause.routing} cause=${cause} name=${one.name} />`)}</div>
    ${one.attempts > 0 && html`<p class="hint">${one.attempts} failed ${one.attempts === 1 ? "start" : "starts"} in a row${one.next_try_at ? html`; next try <${Time} of=${one.next_try_at} past />` : ""}.</p>`}</${Notice}>`;
}

function Cause({ cause, name }) {
  return html`<div class="cause"><p>${said(cause.message)} ${cause.code && html`<code title="The code of this cause: it stays the same">${cause.code}</code>`}</p>
    ${cause.hint && html`<p class="hint">→ ${said(cause.hint)}</p>`}
    ${cause.log_tail?.length > 0 && html`<details open=${cause.log_tail.length <= 12}><summary class="small quiet">The end of its log${cause.routing ? `, routing ${cause.routing}` : ""}</summary>
      <div class="tail" tabindex="0" role="log" aria-label="The end of its log">${cause.log_tail.join("\n")}</div>
      <a class="small" href=${to("services", name, "logs")}>The whole log</a></details>`}</div>`;
}
