// What one types into: a label, the control, a hint, and what is wrong with it.
import { cloneElement, html, useId } from "../../vendor/preact.js";
import { Button } from "./parts.js";
import { Icon } from "./icons.js";

export function Field({ label, hint, wrong, children, class: more = "" }) {
  const id = useId();
  const said = [hint && `${id}-hint`, wrong && `${id}-wrong`].filter(Boolean).join(" ") || undefined;
  const control = cloneElement(children, { id, "aria-describedby": said, "aria-invalid": wrong ? "true" : undefined });
  return html`<div class="field ${more}"><label for=${id}>${label}</label>${control}
    ${wrong && html`<span class="wrong" id="${id}-wrong">${wrong}</span>`}${hint && html`<span class="hint" id="${id}-hint">${hint}</span>`}</div>`;
}

export const Input = ({ change, mono = false, ...rest }) => html`<input class="input ${mono ? "mono" : ""}" autocomplete="off" spellcheck=${false}
  onInput=${(event) => change(event.target.value)} ...${rest} />`;
export const Area = ({ change, ...rest }) => html`<textarea class="area" spellcheck=${false} onInput=${(event) => change(event.target.value)} ...${rest}></textarea>`;
export const Select = ({ change, of, value, ...rest }) => html`<select class="select" value=${value} onChange=${(event) => change(event.target.value)} ...${rest}>
  ${of.map(([key, name]) => html`<option value=${key} selected=${key === value}>${name}</option>`)}</select>`;
export const Check = ({ change, value, children, hint, ...rest }) => html`<label class="check"><input type="checkbox" checked=${value}
  onChange=${(event) => change(event.target.checked)} ...${rest} /><span>${children}${hint && html`<span class="hint">${hint}</span>`}</span></label>`;

/** Names and values as rows; `pairs`: [[name, value]]. An empty row is left out when it is sent. */
export function Pairs({ label, hint, wrong, pairs, change, names = "Name", values = "Value" }) {
  const set = (at, side, value) => change(pairs.map((one, n) => (n === at ? (side ? [one[0], value] : [value, one[1]]) : one)));
  return html`<fieldset class="fieldset"><legend>${label}</legend><div class="pairs">
    ${pairs.map(([name, value], at) => html`<div class="pair" key=${at}>
      <input class="input mono" aria-label="${label}: ${names} ${at + 1}" placeholder=${names} value=${name} onInput=${(event) => set(at, 0, event.target.value)} autocomplete="off" spellcheck=${false} />
      <input class="input mono" aria-label="${label}: ${values} ${at + 1}" placeholder=${values} value=${value} onInput=${(event) => set(at, 1, event.target.value)} autocomplete="off" spellcheck=${false} />
      <${Button} icon="close" look="plain" name="Remove ${name || `row ${at + 1}`}" onClick=${() => change(pairs.filter((_, n) => n !== at))} /></div>`)}
    <div><button type="button" class="button tiny" onClick=${() => change([...pairs, ["", ""]])}><${Icon} name="plus" />Add</button></div></div>
    ${wrong && html`<span class="wrong">${wrong}</span>`}${hint && html`<span class="quiet small">${hint}</span>`}</fieldset>`;
}

export const asPairs = (map) => Object.entries(map || {}).map(([name, value]) => [name, String(value)]);
export const asMap = (pairs) => Object.fromEntries(pairs.filter(([name]) => name.trim()).map(([name, value]) => [name.trim(), value]));
