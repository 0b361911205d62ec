// One service: how it is and why, and everything that can be done with it.
import { html } from "../../vendor/preact.js";
import { get, service as of } from "../api.js";
import { modifyService, resetOverrides, restartHeld, retryService, scaleService, terminateService } from "../dialogs/service.js";
import { useAsked } from "../live.js";
import { Tabs, to } from "../router.js";
import { Access } from "../service/access.js";
import { Definition } from "../service/definition.js";
import { ServiceEvents } from "../service/events.js";
import { Logs } from "../service/logs.js";
import { Overview } from "../service/overview.js";
import { Revisions } from "../service/revisions.js";
import { ServiceTokens } from "../service/tokens.js";
import { TryIt } from "../service/try.js";
import { Head } from "../shell.js";
import { Icon } from "../ui/icons.js";
import { Menu } from "../ui/menu.js";
import { Button, Copyable, Empty, Loading, Notice, said, Trouble } from "../ui/parts.js";
import { Status } from "../ui/status.js";

const TABS = [
  ["", "Overview", Overview], ["logs", "Logs", Logs], ["events", "Events", ServiceEvents], ["revisions", "Revisions", Revisions],
  ["tokens", "Tokens", ServiceTokens], ["try", "Try it", TryIt], ["access", "Access", Access], ["definition", "Definition", Definition],
];

export function Service({ name, tab = "", rest }) {
  const asked = useAsked(`service ${name}`, () => get(of(name)), {
    on: (event) => event.service.toLowerCase() === name.toLowerCase() || event.kind.startsWith("engine."), every: 30,
  });
  const one = asked.data;
  const broken = useAsked("services", () => get("/v1/services"), { skip: asked.problem?.status !== 404 }).data?.find((each) => each.name.toLowerCase() === name.toLowerCase());
  if (asked.problem?.status === 404 && broken) return html`<${Broken} one=${broken} />`;
  if (asked.problem?.status === 404) return html`<${Head} title=${name} crumbs=${[["Services", to("services")]]} /><${Gone} problem=${asked.problem} known=${one} />`;
  const View = (TABS.find(([key]) => key === tab) || TABS[0])[2];
  return html`<${Head} title=${one?.name || name} crumbs=${[["Services", to("services")]]}
      after=${one && html`<${Status} of=${one.status} pill />${one.open_to_public ? html`<span class="tag warn" title="No token is asked for"><${Icon} name="globe" />Public</span>` : html`<span class="tag" title="Requests need a token"><${Icon} name="lock" />Token</span>`}`}
      about=${one?.endpoint && html`<${Copyable} text=${one.endpoint} what="Endpoint copied" name="Copy the endpoint" />`} actions=${one && html`<${Actions} one=${one} />`} />
    <div class="stack">
    ${asked.problem && html`<${Trouble} problem=${asked.problem} retry=${asked.reload} />`}
    ${one && html`<${Standing} one=${one} />`}
    <div><${Tabs} label="Parts of the service" tabs=${TABS.map(([key, title]) => [title, key ? to("services", name, key) : to("services", name), key === tab])} />
    ${one ? html`<${View} key=${tab} one=${one} reload=${asked.reload} rest=${rest} />` : asked.loading && html`<${Loading} lines=${8} />`}</div></div>`;
}

function Actions({ one }) {
  return html`<${Button} icon="scale" changes onClick=${() => scaleService(one)}>Scale</${Button}>
    <${Button} icon="wrench" changes onClick=${() => modifyService(one.name)}>Modify</${Button}>
    <${Menu} name="More" items=${[
      { name: "Clear error and retry", icon: "again", changes: true, run: () => retryService(one) },
      one.overrides && Object.keys(one.overrides).length && { name: "Reset to the file", icon: "back", changes: true, run: () => resetOverrides(one) },
      { name: "Terminate", icon: "trash", risky: true, changes: true, run: () => terminateService(one) },
    ]} />`;
}

/** What somebody should know or decide, whichever part of the service is looked at. */
function Standing({ one }) {
  return html`${one.held && html`<${Notice} kind="warn" title="Its removal waits for a word." action=${html`<${Button} look="tiny" changes onClick=${() => restartHeld(one)}>Let it go on</${Button}>`}><p>${said(one.held)}</p></${Notice}>`}
    ${one.rejected && html`<${Notice} kind="warn" title="Its definition asks for a revision that was rolled back."><p>${said(one.rejected)}</p></${Notice}>`}
    ${one.pending && html`<${Notice} title="A change waits." action=${html`<a class="button tiny" href=${to("changes")}>See it</a>`}><p>${said(one.pending)}</p></${Notice}>`}`;
}

/** Its definition was never valid, so nothing of it runs and nothing is recorded. */
function Broken({ one }) {
  const folder = one.folder.split("/").filter(Boolean).at(-1);
  return html`<${Head} title=${one.name} crumbs=${[["Services", to("services")]]} after=${html`<${Status} of=${one.status} pill />`} about=${html`<code class="break">${one.folder}</code>`}
      actions=${html`<a class="button first" href=${to("models", folder, "definition")}>Edit the definition</a>`} />
    <${Notice} kind="odd" title="Its definition is not valid, so nothing of it runs."><ul class="stack tight" style=${{ marginTop: "6px" }}>${one.problems.map((problem) => html`<li>
      ${problem.line > 0 && html`<code>${problem.line}:${problem.column}</code> `}${said(problem.message)}${problem.hint && html`<div class="hint">→ ${said(problem.hint)}</div>`}</li>`)}${!one.problems.length && html`<li>${said(one.cause)}</li>`}</ul></${Notice}>`;
}

function Gone({ problem, known }) {
  return html`<div class="card"><${Empty} icon="services" title=${known ? "It is gone" : "There is no such service"}>
    <p>${known ? "It was terminated, or its folder went away. Its tokens are revoked." : said(problem.hint || problem.detail)}</p>
    <a class="button" href=${to("services")}>All services</a></${Empty}></div>`;
}
