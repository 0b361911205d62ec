// A new token: for whom, for how long; its text is shown once.
import { html, useState } from "../../vendor/preact.js";
import { del, part, post } from "../api.js";
import { full } from "../format.js";
import { Dialog, Form, show } from "../ui/dialog.js";
import { Check, Field, Input, Select } from "../ui/fields.js";
import { Button, copy, Notice } from "../ui/parts.js";
import { tell } from "../ui/toast.js";
import { confirm } from "./confirm.js";

const LONG = [["1h", "1 hour"], ["1d", "1 day"], ["1w", "1 week"], ["30d", "30 days"], ["3mo", "3 months"], ["1yr", "1 year"], ["other", "Until…"]];
const SCOPES = [["infer", "infer: send requests to the endpoint"], ["read", "read: look at this page and the API"], ["admin", "admin: change everything here"]];

export const createToken = (service, done) => show((close) => html`<${Create} close=${close} service=${service} done=${done} />`);

function Create({ close, service, done }) {
  const [form, set] = useState({ service: service || "*", name: "", long: "30d", until: "", scope: "infer" });
  const into = (key) => (value) => set((now) => ({ ...now, [key]: value }));
  const api = form.scope !== "infer";
  const submit = async () => {
    const expires = form.long === "other" ? (form.until ? new Date(form.until).toISOString() : "") : form.long;
    const made = await post("/v1/tokens", { service: api ? "*" : form.service.trim(), name: form.name.trim(), scope: form.scope, expires: expires || null });
    show((shut) => html`<${Created} close=${shut} made=${made} />`);
    done?.();
  };
  return html`<${Form} title=${service ? `Create a token for ${service}` : "Create a token"} close=${close} submit=${submit} done="Create">
    ${({ wrong }) => html`<${Field} label="Name" hint="Who or what uses it: it stands in the access log and in the usage." wrong=${wrong.name}><${Input} value=${form.name} change=${into("name")} data-first /></${Field}>
    <div class="fields"><${Field} label="Valid for" wrong=${wrong.expires}><${Select} value=${form.long} change=${into("long")} of=${LONG} /></${Field}>
      ${form.long === "other" ? html`<${Field} label="Valid until"><${Input} type="datetime-local" value=${form.until} change=${into("until")} /></${Field}>` : html`<span></span>`}
      <${Field} label="Scope" wrong=${wrong.scope} class="wide"><${Select} value=${form.scope} change=${into("scope")} of=${SCOPES} /></${Field}></div>
    ${api ? html`<${Notice} kind="warn"><p>${form.scope === "admin" ? "Whoever has it can change and end everything here." : "Whoever has it sees all services, logs and events."} It is valid for this page and the API, not for endpoints.</p></${Notice}>`
    : html`<${Field} label="Service" hint="Its name, or * for all." wrong=${wrong.service}><${Input} value=${form.service} change=${into("service")} readonly=${Boolean(service)} /></${Field}>`}`}</${Form}>`;
}

function Created({ close, made }) {
  const [seen, see] = useState(false);
  return html`<${Dialog} title="The token, this once" close=${close} foot=${html`<${Button} look=${seen ? "first" : ""} onClick=${close}>Done</${Button}>`}>
    <${Notice} kind="warn"><p>Copy it now. It is not kept here and cannot be shown again.</p></${Notice}>
    <div class="secret"><code data-token>${made.token}</code><${Button} look="first" icon="copy" data-first onClick=${() => { copy(made.token, "Token copied"); see(true); }}>Copy</${Button}></div>
    <p class="quiet">${made.scope === "infer" ? html`Send it with each request: <code>Authorization: BackendAI …</code>` : html`Sign in with it, or give it to the commands as <code>ORCHESTRATOR_TOKEN</code>.`} Valid until ${full(made.expires_at)}.</p></${Dialog}>`;
}

export const revokeToken = (token, done) => show((close) => html`<${Revoke} close=${close} token=${token} done=${done} />`);

function Revoke({ close, token, done }) {
  const [now, set] = useState(false);
  const submit = async () => {
    await del(`/v1/tokens/${part(token.id)}`, { now: now || undefined });
    tell("The token is revoked");
    done?.();
  };
  return html`<${Form} title="Revoke ${token.name ? `the token ${token.name}` : "this token"}" close=${close} submit=${submit} done="Revoke" risky>
    <p>From now on requests with it are refused. That cannot be taken back.</p>
    <${Check} value=${now} change=${set} hint="Otherwise streams that run with it are let to finish.">End running requests too</${Check}></${Form}>`;
}

export const dropKey = (key, done) => confirm({
  title: `Drop the key ${key.kid}`, done: "Drop the key", risky: true, type: key.kid, text: "All tokens that it signed are refused from now on.",
  run: async () => { await del(`/v1/keys/${part(key.kid)}`); tell("The key is dropped"); done?.(); },
});
export const rotateKey = (done) => confirm({
  title: "Make a new signing key", done: "Make a new key", text: "New tokens are signed with it. The old keys stay valid until they are dropped, so nothing that runs is refused.",
  run: async () => { await post("/v1/keys"); tell("New tokens are signed with a new key"); done?.(); },
});
