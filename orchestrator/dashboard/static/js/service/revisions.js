// The line of revisions: what each changed, what became of it, how two differ, and the way back.
import { html, useState } from "../../vendor/preact.js";
import { get, post, service as of } from "../api.js";
import { confirm } from "../dialogs/confirm.js";
import { useAsked } from "../live.js";
import { go, to } from "../router.js";
import { Diff } from "../ui/diff.js";
import { Select } from "../ui/fields.js";
import { Button, Card, Empty, Loading, Segments, said, Time, Trouble } from "../ui/parts.js";
import { tell } from "../ui/toast.js";
import { useSmall } from "../ui/virtual.js";

const TONE = { serving: "good", "rolling out": "busy", good: "", "rolled back": "bad", superseded: "" };

export function Revisions({ one, rest }) {
  const asked = useAsked(`revisions ${one.name}`, () => get(of(one.name, "/revisions")), { on: (event) => event.service === one.name && /^(revision|rollout|service)\./.test(event.kind) });
  if (asked.problem && !asked.data) return html`<${Trouble} problem=${asked.problem} retry=${asked.reload} />`;
  if (!asked.data) return html`<${Loading} />`;
  if (!asked.data.length) return html`<div class="card"><${Empty} icon="changes" title="There is no revision yet"><p>The first one is made when its definition is valid.</p></${Empty}></div>`;
  return html`<div class="stack"><${Card} title="History" flush><div class="table-wrap"><table class="table cards"><thead><tr><th>Revision</th><th>What</th><th>State</th><th>Asked by</th><th>When</th><th><span class="hidden-text">What to do</span></th></tr></thead>
    <tbody>${asked.data.map((each) => html`<tr key=${each.number}><td><b>${each.number}</b> <code class="quiet" title="Equal hashes run equal things">${each.revision.slice(0, 8)}</code></td>
      <td data-name="What"><div class="break">${each.what || "–"}</div><div class="small quiet break">${said(each.cause)}</div></td>
      <td data-name="State"><span class="tag ${TONE[each.state]}" title=${each.outcome}>${each.state}</span>${each.state === "rolled back" && html`<div class="small quiet break">${said(each.outcome)}</div>`}</td>
      <td data-name="Asked by">${each.by || "–"}</td><td data-name="When" class="nowrap"><${Time} of=${each.at} past /></td>
      <td class="actions"><div class="row" style=${{ justifyContent: "flex-end" }}>${each.number > 1 && asked.data.some((other) => other.number === each.number - 1) && html`<a class="button tiny" href=${to("services", one.name, "revisions", `${each.number - 1}..${each.number}`)}>Changes</a>`}
        ${each.state !== "serving" && each.state !== "rolling out" && html`<${Button} look="tiny" icon="back" changes onClick=${() => back(one, each)} name="Go back to revision ${each.number}">Go back</${Button}>`}</div></td></tr>`)}</tbody></table></div></${Card}>
    <${Compare} one=${one} all=${asked.data} asked=${rest[0]} /></div>`;
}

const back = (one, each) => confirm({
  title: `Go back to revision ${each.number}`, done: "Go back",
  text: `What runs then is a new revision that is equal to ${each.number}. It is rolled out like any other change. The count and what is open to the public stay as they are.`,
  run: async () => {
    await post(of(one.name, "/rollback"), { revision: each.number });
    tell(`${one.name}: going back to revision ${each.number}`);
  },
});

function Compare({ one, all, asked }) {
  const numbers = all.map((each) => each.number);
  const given = /^(\d+)\.\.(\d+)$/.exec(asked || "");
  const after = given ? Number(given[2]) : numbers[0], before = given ? Number(given[1]) : numbers[1];
  const small = useSmall(), [wanted, arrange] = useState("one");
  if (numbers.length < 2) return null;
  const pick = (a, b) => go(to("services", one.name, "revisions", `${a}..${b}`), { replace: true });
  const choices = all.map((each) => [String(each.number), `Revision ${each.number}`]);
  return html`<${Card} title="Difference" flush actions=${html`<div class="row wrap"><${Select} aria-label="Before" value=${String(before)} change=${(value) => pick(value, after)} of=${choices} /><span class="quiet">to</span><${Select} aria-label="After" value=${String(after)} change=${(value) => pick(before, value)} of=${choices} />
      ${!small && html`<${Segments} label="Arrangement" of=${[["one", "Unified"], ["two", "Side by side"]]} value=${wanted} choose=${arrange} />`}</div>`}>
    <${Differences} key="${before}..${after}" one=${one} before=${before} after=${after} side=${wanted === "two" && !small} /></${Card}>`;
}

function Differences({ one, before, after, side }) {
  const { data, problem } = useAsked(`differences ${one.name} ${before} ${after}`, () => Promise.all([before, after].map((number) => get(of(one.name, `/revisions/${number}`)))));
  if (problem) return html`<div style=${{ padding: "14px 16px" }}><${Trouble} problem=${problem} /></div>`;
  if (!data) return html`<div style=${{ padding: "14px 16px" }}><${Loading} /></div>`;
  const [a, b] = data.map(texts);
  const names = [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((name) => a[name] !== b[name]);
  if (!names.length) return html`<p class="quiet" style=${{ padding: "14px 16px" }}>Both run the same.</p>`;
  return names.map((name) => html`<div key=${name}><h3 style=${{ padding: "10px 16px 6px" }}>${name}</h3><${Diff} before=${a[name] || ""} after=${b[name] || ""} side=${side} name=${name} /></div>`);
}

/** What a revision is, as named texts. */
function texts(detail) {
  return { ...detail.definition, "What runs (resolved)": JSON.stringify(detail.spec, null, 2), ...Object.fromEntries(Object.entries(detail.files || {}).map(([path, text]) => [`File written before the start: ${path}`, text])) };
}
