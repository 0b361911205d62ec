// A change of revision that is under way: how far it is, and the two words that steer it.
import { html } from "../../vendor/preact.js";
import { post, service as of } from "../api.js";
import { confirm } from "../dialogs/confirm.js";
import { Button, Card, said, sentence, Time } from "../ui/parts.js";
import { tell } from "../ui/toast.js";

const NAMES = { rolling: "Rolling", recreate: "Recreate", blue_green: "Blue-green", canary: "Canary" };
const PHASES = ["replacing", "ready", "judging", "baking"];

export function Rollout({ one }) {
  const { rollout } = one;
  const waits = rollout.phase === "ready" || rollout.phase === "judging" || /wait/.test(rollout.said);
  return html`<${Card} title="Rollout of revision ${rollout.revision}" actions=${html`<span class="tag busy">${NAMES[rollout.strategy] || rollout.strategy}</span>
      <${Button} icon="check" look="tiny ${waits ? "first" : ""}" changes onClick=${() => promote(one)}>Promote</${Button}>
      <${Button} icon="back" look="tiny risky" changes onClick=${() => abort(one)}>Abort</${Button}>`}>
    <div class="stack close"><p aria-live="polite">${sentence(rollout.said)}${rollout.said.endsWith(".") ? "" : "."}${rollout.holding && html` <span class="tag warn">Requests wait at the gateway</span>`}</p>
    ${rollout.strategy === "canary" ? html`<${Canary} rollout=${rollout} />` : html`<${Steps} names=${PHASES.filter((_, n) => rollout.strategy === "blue_green" || n !== 1).filter((name) => name !== "judging")} phase=${rollout.phase} />`}
    <p class="quiet small">${said(rollout.cause)}, <${Time} of=${rollout.began_at} past /></p></div></${Card}>`;
}

const Canary = ({ rollout }) => html`<div class="row"><div class="grow"><div class="meter" role="img" aria-label="${rollout.weight} percent of the requests go to the new revision"><i style=${{ width: `${rollout.weight}%` }}></i></div></div><b>${rollout.weight} %</b></div>
  ${rollout.steps > 0 && html`<p class="small quiet">${rollout.step ? `Step ${rollout.step} of ${rollout.steps}` : rollout.phase === "returning" ? "Going back" : "Beyond its steps"}: so much of the requests goes to the new revision.</p>`}`;

const Steps = ({ names, phase }) => {
  const at = names.indexOf(phase);
  return html`<div><div class="steps" aria-hidden="true">${names.map((_, n) => html`<i class=${n < at ? "done" : n === at ? "at" : ""}></i>`)}</div>
    <p class="small quiet">${phase === "returning" ? "Going back to the last good revision" : `Phase ${at + 1} of ${names.length}: ${phase}`}</p></div>`;
};

const promote = (one) => confirm({
  title: `Promote revision ${one.rollout.revision} of ${one.name}`, done: "Promote",
  text: one.rollout.strategy === "canary" ? "All requests go to the new revision as soon as its routings are there. No more of its steps are waited for." : "The rollout goes on now instead of waiting.",
  run: async () => { await post(of(one.name, "/promote")); tell(`${one.name}: the rollout goes on`); },
});
const abort = (one) => confirm({
  title: `Abort the rollout of ${one.name}`, done: "Abort the rollout", risky: true,
  text: "The last good revision takes over again. The new one is marked as rolled back, and its definition is not followed again until it changes.",
  run: async () => { await post(of(one.name, "/abort")); tell(`${one.name}: going back`); },
});
