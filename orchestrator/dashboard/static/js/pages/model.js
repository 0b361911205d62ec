// One model folder: its files, its definition, what is served from it.
import { html } from "../../vendor/preact.js";
import { del, get, part } from "../api.js";
import { confirm } from "../dialogs/confirm.js";
import { startService } from "../dialogs/launch.js";
import { validate } from "../dialogs/validate.js";
import { useAsked } from "../live.js";
import { DefinitionEditor } from "../model/definition.js";
import { Files } from "../model/files.js";
import { go, Tabs, to } from "../router.js";
import { Head } from "../shell.js";
import { Menu } from "../ui/menu.js";
import { Button, Empty, Loading, sentence, Trouble } from "../ui/parts.js";
import { Status } from "../ui/status.js";
import { tell } from "../ui/toast.js";

export function Model({ name, tab = "files", rest }) {
  const asked = useAsked(`model ${name}`, () => get(`/v1/models/${part(name)}`), { on: (event) => /^(service|plan)\./.test(event.kind), every: 30 });
  const one = asked.data;
  const crumbs = [["Models", to("models")]];
  if (asked.problem && !one) return html`<${Head} title=${name} crumbs=${crumbs} />${asked.problem.status === 404 && !asked.problem.missing ? html`<div class="card"><${Empty} icon="models" title="There is no such folder"><p>${sentence(asked.problem.hint || asked.problem.detail)}</p><a class="button" href=${to("models")}>All models</a></${Empty}></div>` : html`<${Trouble} problem=${asked.problem} retry=${asked.reload} what="Model folders" />`}`;
  return html`<${Head} title=${name} crumbs=${crumbs} after=${one && html`<${Status} of=${one.status} pill />${one.definition && html`<span class="tag ${one.valid ? "good" : "bad"}">${one.valid ? "definition valid" : "definition not valid"}</span>`}`}
      about=${one && html`<code class="break">${one.folder}</code>${one.services.length > 0 && html` serves ${one.services.map((each, n) => html`${n ? ", " : ""}<a href=${to("services", each)}>${each}</a>`)}`}`}
      actions=${one && html`<${Button} icon="check" changes off=${one.definition ? "" : "It has no definition yet."} onClick=${() => validate({ folder: one.folder })}>Validate</${Button}>
        <${Button} icon="play" look="first" changes off=${one.definition ? "" : "It has no definition yet."} onClick=${() => startService(one.name)}>Start a service</${Button}>
        <${Menu} name="More" items=${[{ name: "Delete the folder", icon: "trash", risky: true, changes: true, off: one.writable === false ? "The daemon may not write here." : "", run: () => remove(one) }]} />`} />
    <${Tabs} label="Parts of the model" tabs=${[["Files", to("models", name), tab === "files"], ["Definition", to("models", name, "definition"), tab === "definition", one?.problems.filter((problem) => problem.severity === "error").length]]} />
    ${!one ? html`<${Loading} />` : tab === "definition" ? html`<${DefinitionEditor} model=${one} reload=${asked.reload} />` : html`<${Files} model=${one} at=${rest.join("/")} reload=${asked.reload} />`}`;
}

const remove = (one) => confirm({
  title: `Delete ${one.name}`, done: "Delete", risky: true, type: one.name,
  text: `The folder is deleted with all that is in it${one.services.length ? `, and ${one.services.join(", ")} ${one.services.length > 1 ? "end" : "ends"} with it` : ""}. That cannot be taken back.`,
  run: async () => {
    await del(`/v1/models/${part(one.name)}`, { force: one.services.length > 0 || undefined });
    tell(`${one.name} is deleted`);
    go(to("models"));
  },
});
