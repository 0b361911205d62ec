// Asks before something is done. `type`: a word that has to be typed first, for what cannot be taken back.
import { html, useState } from "../../vendor/preact.js";
import { Form, show } from "../ui/dialog.js";
import { Field, Input } from "../ui/fields.js";

export const confirm = (asked) => show((close) => html`<${Confirm} close=${close} ...${asked} />`);

function Confirm({ close, title, text, done, risky = false, type = "", run, children }) {
  const [typed, set] = useState("");
  const off = type && typed !== type ? `Type ${type} first.` : "";
  return html`<${Form} title=${title} close=${close} submit=${run} done=${done} risky=${risky} off=${off}>
    <p>${text}</p>${children}
    ${type && html`<${Field} label=${html`Type <b>${type}</b> to confirm`}><${Input} mono value=${typed} change=${set} data-first /></${Field}>`}</${Form}>`;
}
