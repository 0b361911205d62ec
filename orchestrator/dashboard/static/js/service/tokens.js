// Who may send requests to the service.
import { html } from "../../vendor/preact.js";
import { get } from "../api.js";
import { createToken } from "../dialogs/token.js";
import { useAsked } from "../live.js";
import { Button, Card, Copy, Empty, Loading, Trouble } from "../ui/parts.js";
import { TokenTable } from "../ui/tokens.js";

export function ServiceTokens({ one }) {
  const asked = useAsked(`tokens ${one.name}`, () => get("/v1/tokens", { service: one.name }), { on: (event) => event.kind.startsWith("token.") });
  const make = html`<${Button} icon="plus" look="first" changes onClick=${() => createToken(one.name, asked.reload)}>Create a token</${Button}>`;
  const call = `curl -H 'Authorization: BackendAI TOKEN' ${one.endpoint}/`;
  return html`<div class="stack">${asked.problem && html`<${Trouble} problem=${asked.problem} retry=${asked.reload} />`}
    ${asked.data ? html`<${Card} title="Tokens of ${one.name}" flush actions=${asked.data.length > 0 && make}>${asked.data.length ? html`<${TokenTable} tokens=${asked.data} reload=${asked.reload} />`
      : html`<${Empty} icon="tokens" title="Nobody has a token yet"><p>${one.open_to_public ? "The service is open to the public: requests need none." : "Requests are refused until they bring one. Create one for each who uses the service."}</p>${make}</${Empty}>`}</${Card}>
    <${Card} title="How to use one"><div class="row"><code class="code grow">${call}</code><${Copy} text=${call} name="Copy the command" /></div></${Card}>` : asked.loading && html`<${Loading} />`}</div>`;
}
