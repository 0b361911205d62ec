// All tokens, and the keys that sign them.
import { html, useMemo, useState } from "../../vendor/preact.js";
import { get } from "../api.js";
import { createToken, dropKey, rotateKey } from "../dialogs/token.js";
import { useAsked } from "../live.js";
import { refusal } from "../session.js";
import { Head } from "../shell.js";
import { Button, Card, Empty, Loading, Search, Time, Trouble } from "../ui/parts.js";
import { Check } from "../ui/fields.js";
import { state, TokenTable } from "../ui/tokens.js";

export function Tokens() {
  const asked = useAsked("tokens", () => get("/v1/tokens"), { on: (event) => event.kind.startsWith("token.") });
  const keys = useAsked("keys", () => get("/v1/keys"), { on: (event) => event.kind.startsWith("key."), skip: Boolean(refusal()) });
  const [text, type] = useState(""), [all, show] = useState(false);
  const shown = useMemo(() => (asked.data || []).filter((one) => (all || state(one)[0] === "valid") && `${one.name} ${one.service} ${one.scope} ${one.id}`.toLowerCase().includes(text.toLowerCase())), [asked.data, text, all]);
  const make = html`<${Button} look="first" icon="plus" changes onClick=${() => createToken("", asked.reload)}>Create a token</${Button}>`;
  return html`<${Head} title="Tokens" about="Who may send requests to services, and who may look at or change this page." actions=${make} />
    <div class="stack">${asked.problem && html`<${Trouble} problem=${asked.problem} retry=${asked.reload} />`}${asked.loading && html`<${Loading} lines=${6} />`}
    ${asked.data && html`<div><div class="toolbar"><${Search} value=${text} change=${type} label="Search name, service, scope" /><${Check} value=${all} change=${show}>Also revoked and expired ones</${Check}></div>
      <${Card} flush>${shown.length ? html`<${TokenTable} tokens=${shown} reload=${asked.reload} where />` : html`<${Empty} icon="tokens" title=${asked.data.length ? "No token is like that" : "There is no token yet"}><p>A token opens one service’s endpoint, or all. Its text is shown once, when it is made.</p></${Empty}>`}</${Card}></div>`}
    ${keys.data && html`<${Card} title="Signing keys" flush actions=${html`<${Button} look="tiny" icon="again" changes onClick=${() => rotateKey(keys.reload)}>Make a new key</${Button}>`}><div class="table-wrap"><table class="table cards"><thead><tr><th>Key</th><th>Made</th><th>State</th><th><span class="hidden-text">What to do</span></th></tr></thead><tbody>
      ${keys.data.map((key) => html`<tr key=${key.kid}><td><code>${key.kid}</code></td><td data-name="Made"><${Time} of=${key.created_at} past /></td><td data-name="State"><span class="tag ${key.signs ? "good" : ""}">${key.signs ? "signs new tokens" : "still valid"}</span></td><td class="actions">${!key.signs && html`<${Button} look="tiny" changes onClick=${() => dropKey(key, keys.reload)} name="Drop the key ${key.kid}">Drop</${Button}>`}</td></tr>`)}</tbody></table></div></${Card}>`}</div>`;
}
