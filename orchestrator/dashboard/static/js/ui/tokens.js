// Tokens as a table. Their text is nowhere: it was shown when they were made.
import { html } from "../../vendor/preact.js";
import { revokeToken } from "../dialogs/token.js";
import { to } from "../router.js";
import { Button, Time } from "./parts.js";

export function state(token) {
  if (token.revoked_at) return ["revoked", "bad"];
  if (token.expires_at && new Date(token.expires_at) < Date.now()) return ["expired", ""];
  return ["valid", "good"];
}

export const TokenTable = ({ tokens, reload, where = false }) => html`<div class="table-wrap"><table class="table cards"><thead><tr><th>Name</th>${where && html`<th>Service</th>`}<th>Scope</th><th>State</th><th>Valid until</th><th>Last used</th><th>Made</th><th><span class="hidden-text">What to do</span></th></tr></thead>
  <tbody>${tokens.map((token) => html`<tr key=${token.id}><td><b>${token.name || "without a name"}</b> <code class="quiet" title=${token.id}>${token.id.slice(0, 8)}</code></td>
    ${where && html`<td data-name="Service">${token.service === "*" ? "all" : html`<a href=${to("services", token.service)}>${token.service}</a>`}</td>`}
    <td data-name="Scope"><span class="tag ${token.scope === "admin" ? "warn" : ""}">${token.scope}</span></td><td data-name="State"><span class="tag ${state(token)[1]}">${state(token)[0]}</span></td>
    <td data-name="Valid until" class="nowrap"><${Time} of=${token.expires_at} past /></td><td data-name="Last used" class="nowrap">${token.last_used_at ? html`<${Time} of=${token.last_used_at} past />` : html`<span class="quiet">never</span>`}</td>
    <td data-name="Made" class="nowrap"><${Time} of=${token.issued_at} past /></td>
    <td class="actions">${state(token)[0] === "valid" && html`<${Button} look="tiny" changes onClick=${() => revokeToken(token, reload)} name="Revoke the token ${token.name || token.id}">Revoke</${Button}>`}</td></tr>`)}</tbody></table></div>`;
