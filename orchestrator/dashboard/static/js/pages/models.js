// The model folders: what lies in them, whether it is valid, what is served from it.
import { html, useMemo, useState } from "../../vendor/preact.js";
import { get, post } from "../api.js";
import { plural } from "../format.js";
import { useAsked } from "../live.js";
import { go, to } from "../router.js";
import { Head } from "../shell.js";
import { Form, show } from "../ui/dialog.js";
import { Field, Input } from "../ui/fields.js";
import { Button, Empty, Loading, Search, Time, Trouble } from "../ui/parts.js";
import { Status } from "../ui/status.js";
import { tell } from "../ui/toast.js";

export function Models() {
  const asked = useAsked("models", () => get("/v1/models"), { on: (event) => /^(service|plan)\./.test(event.kind), every: 30 });
  const [text, type] = useState("");
  const shown = useMemo(() => (asked.data || []).filter((one) => one.name.toLowerCase().includes(text.toLowerCase())), [asked.data, text]);
  const make = html`<${Button} look="first" icon="plus" changes onClick=${createModel}>New model folder</${Button}>`;
  return html`<${Head} title="Models" about="Folders that hold a model and its definition." actions=${!asked.problem?.missing && make} />
    ${asked.problem && html`<${Trouble} problem=${asked.problem} retry=${asked.reload} what="The list of model folders" />`}
    ${asked.loading && html`<${Loading} lines=${6} />`}
    ${asked.data && (asked.data.length ? html`<div class="toolbar"><${Search} value=${text} change=${type} label="Search models" /><span class="spacer"></span><span class="quiet small">${plural(shown.length, "folder")}</span></div>
      <ul class="model-grid">${shown.map((one) => html`<${Card} key=${one.name} one=${one} />`)}</ul>${!shown.length && html`<div class="card"><${Empty} icon="search" title="No folder is called that" /></div>`}`
    : html`<div class="card"><${Empty} icon="models" title="There is no model folder yet"><p>Make one, put a model and a <code>model-definition.yml</code> into it, and it is served by itself.</p>${make}</${Empty}></div>`)}`;
}

function Card({ one }) {
  const errors = one.problems.filter((problem) => problem.severity === "error").length;
  return html`<li class="card model-card"><div class="row spread top"><a class="cover cut" href=${to("models", one.name)}>${one.name}</a><${Status} of=${one.status} /></div>
    <div class="row wrap"><span class="tag ${one.definition ? (one.valid ? "good" : "bad") : ""}">${one.definition ? (one.valid ? "valid" : plural(errors || 1, "problem")) : "no definition"}</span>
      ${!one.writable && html`<span class="tag" title="The daemon may not write into it">read only</span>`}${one.services.length > 0 && html`<span class="small quiet cut">serves ${one.services.join(", ")}</span>`}</div>
    <p class="small quiet">Changed <${Time} of=${one.modified_at} past /></p></li>`;
}

const createModel = () => show((close) => html`<${Create} close=${close} />`);

function Create({ close }) {
  const [name, type] = useState("");
  const submit = async () => {
    await post("/v1/models", { name: name.trim() });
    tell(`The folder ${name.trim()} is there`);
    go(to("models", name.trim()));
  };
  return html`<${Form} title="New model folder" close=${close} submit=${submit} done="Make it" off=${name.trim() ? "" : "Give it a name."}>
    ${({ wrong }) => html`<${Field} label="Name" wrong=${wrong.name} hint="Below models_dirs. It is served once it holds a valid definition."><${Input} value=${name} change=${type} data-first /></${Field}>`}</${Form}>`;
}
