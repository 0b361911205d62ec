// What the service is, resolved from its definition and all that lies over it.
import { html } from "../../vendor/preact.js";
import { to } from "../router.js";
import { Button, Card, copy, said } from "../ui/parts.js";

export function Definition({ one }) {
  const text = yaml(one.spec);
  const name = one.folder.split("/").filter(Boolean).at(-1);
  return html`<div class="stack">${one.problems.length > 0 && html`<${Card} title="Problems" flush>${one.problems.map((problem) => html`<div class="problem"><span class="where">${problem.line ? `line ${problem.line}` : problem.severity}</span><span>${said(problem.message)}${problem.hint && html`<span class="hint">→ ${said(problem.hint)}</span>`}</span></div>`)}</${Card}>`}
    <${Card} title="Resolved definition" actions=${html`<${Button} look="tiny" icon="copy" onClick=${() => copy(text)}>Copy</${Button}>${one.source === "folder" && html`<a class="button tiny" href=${to("models", name, "definition")}>Edit the definition</a>`}`}>
      <p class="quiet small" style=${{ marginBottom: "10px" }}>Every value that counts: the definition, the file beside it, defaults and overrides taken together. Secrets are hidden.</p><pre class="code scroll" tabindex="0" aria-label="Resolved definition">${text}</pre></${Card}></div>`;
}

/** Plain data as YAML to read: what it quotes is only what would else mean something different. */
export function yaml(value, depth = 0) {
  const pad = "  ".repeat(depth);
  if (Array.isArray(value)) return value.map((one) => (nested(one) ? `${pad}- ${yaml(one, depth + 1).trimStart()}` : `${pad}- ${scalar(one)}`)).join("\n");
  return Object.entries(value ?? {}).map(([key, one]) => (nested(one) ? `${pad}${scalar(key)}:\n${yaml(one, depth + 1)}` : `${pad}${scalar(key)}: ${scalar(one)}`)).join("\n");
}
const nested = (value) => value !== null && typeof value === "object" && Object.keys(value).length > 0;
function scalar(value) {
  if (value === null || value === undefined) return "null";
  if (typeof value === "object") return Array.isArray(value) ? "[]" : "{}";
  if (typeof value !== "string") return String(value);
  return /^[A-Za-z/_.][\w./ @+-]*$/.test(value) && !/^(true|false|null|yes|no|on|off)$/i.test(value) ? value : JSON.stringify(value);
}
