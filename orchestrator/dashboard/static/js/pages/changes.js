// What waits for a word: changes of folders under apply = manual, and removals that are held.
import { html, useState } from "../../vendor/preact.js";
import { get, post } from "../api.js";
import { confirm } from "../dialogs/confirm.js";
import { plural, span } from "../format.js";
import { useAsked } from "../live.js";
import { to } from "../router.js";
import { Head } from "../shell.js";
import { Form, show } from "../ui/dialog.js";
import { Check } from "../ui/fields.js";
import { Button, Card, Empty, Loading, Notice, said, sentence, Trouble } from "../ui/parts.js";
import { tell } from "../ui/toast.js";

const CHANGE = { create: ["New", "good"], hot: ["In place", "busy"], rolling: ["Rolling", "busy"], recreate: ["Recreate", "warn"], remove: ["Remove", "bad"], none: ["No change", ""] };

export function Changes() {
  const plan = useAsked("plan", () => get("/v1/plans"), { on: (event) => /^(plan|service|rollout|revision)\./.test(event.kind), every: 30 });
  const all = plan.data?.services || [];
  const held = all.filter((one) => one.held), waits = all.filter((one) => !one.held && one.change !== "none");
  const [applied, follow] = useState(null);
  const manual = plan.data?.apply === "manual";
  const apply = () => show((close) => html`<${Apply} close=${close} plan=${plan.data} held=${held} waits=${waits} done=${(told) => { follow(told); plan.reload(); }} />`);
  return html`<${Head} title="Changes" about=${plan.data && (manual ? "Changes of model folders wait here until they are applied." : "Changes of model folders take effect by themselves. What needs a word is here.")}
      actions=${waits.length + held.length > 0 && html`<${Button} look="first" icon="check" changes onClick=${apply}>Apply…</${Button}>`} />
    <div class="stack">${plan.problem && html`<${Trouble} problem=${plan.problem} retry=${plan.reload} />`}${plan.loading && html`<${Loading} lines=${6} />`}
    ${applied && html`<${Progress} applied=${applied} end=${() => follow(null)} />`}
    ${held.length > 0 && html`<${Card} title="Held removals" flush actions=${html`<${Button} look="tiny risky" changes onClick=${() => removal(held, true)}>Let all go on</${Button}>`}>${held.map((one) => html`<div key=${one.service} class="row spread wrap" style=${{ padding: "11px 16px", borderBottom: "1px solid var(--line)" }}><div class="grow"><a class="strong" href=${to("services", one.service)}>${one.service}</a><p class="small quiet break">${said(one.why)}</p></div>
        <${Button} look="tiny risky" changes onClick=${() => removal([one])} name="Let the removal of ${one.service} go on">Let it go on</${Button}></div>`)}</${Card}>`}
    ${waits.map((one) => html`<${Change} key=${one.service + one.folder} one=${one} />`)}
    ${plan.data && !waits.length && !held.length && html`<div class="card"><${Empty} icon="changes" title="Nothing waits"><p>${manual ? "What changes in a model folder is planned here first: what it does, whether it fits, how long nothing answers." : html`Set <code>apply = "manual"</code> in config.toml to see what each change of a folder does before it is done.`}</p></${Empty}></div>`}
    ${plan.data?.notes.map((note) => html`<${Notice} key=${note}><p>${said(note)}</p></${Notice}>`)}</div>`;
}

function Change({ one }) {
  const [name, kind] = CHANGE[one.change] || [one.change, ""];
  const stands = one.downtime !== "none";
  return html`<${Card} title=${one.service} actions=${html`<span class="tag ${kind}">${name}</span>${one.revision > 0 && one.change !== "remove" && html`<span class="tag">revision ${one.revision}</span>`}${!one.fits && html`<span class="tag bad">does not fit</span>`}`}>
    <div class="stack close">${one.why && html`<p class="quiet">${said(one.why)}</p>`}
    ${one.problems.map((problem) => html`<${Notice} key=${problem.message + problem.line} kind=${problem.severity === "error" ? "bad" : "warn"}><p>${problem.line ? html`<code>${problem.line}:${problem.column}</code> ` : ""}${problem.path && html`<code>${problem.path}</code> `}${said(problem.message)}</p>${problem.hint && html`<p class="hint">→ ${said(problem.hint)}</p>`}</${Notice}>`)}
    ${one.lacks.map((lack) => html`<${Notice} key=${lack} kind="bad"><p>${sentence(lack)}</p></${Notice}>`)}
    ${one.fields.length > 0 && html`<div class="table-wrap"><table class="table cards" aria-label="What changes"><thead><tr><th>Key</th><th>From</th><th>To</th><th>Kind</th></tr></thead><tbody>${one.fields.map((field) => html`<tr key=${field.path}><td><code>${field.path}</code></td><td data-name="From"><code class="break status bad" style=${{ whiteSpace: "pre-wrap" }}>${field.from ?? "–"}</code></td><td data-name="To"><code class="break status good" style=${{ whiteSpace: "pre-wrap" }}>${field.to ?? "–"}</code></td><td data-name="Kind"><span class="tag">${field.class}</span></td></tr>`)}</tbody></table></div>`}
    ${one.operations.length > 0 && html`<div><h3>What is done, in order</h3><ol class="doing">${one.operations.map((each, n) => html`<li key=${n}><span>${sentence(each)}</span></li>`)}</ol></div>`}
    <p class="row wrap small"><span class="tag ${stands ? "warn" : "good"}">${stands ? (one.downtime_seconds ? `nothing answers for about ${span(one.downtime_seconds)}` : one.change === "remove" ? "ends for good" : "downtime") : "no downtime"}</span>${stands && html`<span class="quiet">${sentence(one.downtime)}</span>`}</p>
    ${one.notes.map((note) => html`<p class="small quiet" key=${note}>${said(note)}</p>`)}</div></${Card}>`;
}

function Apply({ close, plan, held, waits, done }) {
  const [yes, set] = useState(false);
  const submit = async () => {
    const told = await post("/v1/applies", held.length && !yes ? { plan } : { plan, yes }).catch((problem) => {
      if (problem.code === "world_moved") problem.hint = "close this: behind it is the plan as it is now";
      throw problem;
    });
    tell(told.targets.length ? `${plural(told.targets.length, "change")} taken over` : "Nothing was taken over", told.targets.length ? "good" : "bad");
    done(told);
  };
  return html`<${Form} title="Apply what waits" close=${close} submit=${submit} done="Apply" off=${waits.length || yes ? "" : "Only held removals wait: tick the box to apply them."}>
    ${waits.length > 0 && html`<ul class="stack tight">${waits.map((one) => html`<li class="row" key=${one.service}><span class="tag ${CHANGE[one.change]?.[1] || ""}">${CHANGE[one.change]?.[0] || one.change}</span><b class="cut">${one.service}</b>${one.downtime !== "none" && html`<span class="tag warn">downtime</span>`}</li>`)}</ul>`}
    ${(!plan.fits || !plan.valid) && html`<${Notice} kind="warn"><p>${!plan.valid ? "Definitions that are not valid are left out." : "Not everything fits: what does not waits for room."}</p></${Notice}>`}
    ${held.length > 0 && html`<${Check} value=${yes} change=${set} hint=${held.map((one) => one.service).join(", ")}>Also remove what is held</${Check}>`}
    <p class="quiet small">It is carried out as it is shown. If the world has changed meanwhile, nothing is done.</p></${Form}>`;
}

const removal = (held, all = false) => confirm({
  title: held.length === 1 ? `Let the removal of ${held[0].service} go on` : `Let ${held.length} removals go on`, done: "Remove", risky: true,
  text: `Routings of ${held.map((one) => one.service).join(", ")} are drained and ended.`,
  run: async () => {
    await post("/v1/removals/confirm", { service: all ? null : held[0].service });
    tell(plural(held.length, "removal goes on", "removals go on"));
  },
});

const STATES = { under_way: ["Under way", "busy"], done: ["Done", "good"], waits: ["Waits for a promotion", "warn"], rolled_back: ["Rolled back", "bad"], superseded: ["Superseded", ""] };

function Progress({ applied, end }) {
  const target = applied.targets.map((one) => `${one.id}@${one.revision}`);
  const { data } = useAsked(`applied ${target.join()}`, () => get("/v1/applies", { target }), { on: (event) => /^(service|rollout|revision|routing|image)\./.test(event.kind), every: 5, skip: !target.length });
  return html`<${Card} title="Being applied" flush actions=${html`<${Button} look="plain tiny" icon="close" name="Hide" onClick=${end} />`}>
    ${(data || []).map((one, n) => html`<div key=${one.id} class="row spread wrap" style=${{ padding: "10px 16px", borderBottom: "1px solid var(--line)" }}><a class="strong" href=${to("services", one.name || applied.targets[n].service)}>${one.name || applied.targets[n].service}</a><span class="quiet grow">${sentence(one.message)}</span><span class="tag ${STATES[one.state]?.[1]}">${STATES[one.state]?.[0] || one.state}</span></div>`)}
    ${Object.entries(applied.left).map(([name, why]) => html`<div key=${name} class="row spread wrap" style=${{ padding: "10px 16px" }}><b>${name}</b><span class="quiet grow">${sentence(why)}</span><span class="tag warn">Left</span></div>`)}</${Card}>`;
}
