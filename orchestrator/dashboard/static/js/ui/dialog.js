// Dialogs. The browser's own: it keeps the focus inside, gives it back after, and closes with Escape.
import { html, signal, useId, useLayoutEffect, useRef, useState } from "../../vendor/preact.js";
import { Problem } from "../api.js";
import { Button, Trouble } from "./parts.js";

const open = signal([]);
let number = 0;

/** Show a dialog: `show((close) => html\`<...>\`)`. */
export function show(make) {
  const id = ++number;
  const close = () => { open.value = open.value.filter((one) => one.id !== id); };
  open.value = [...open.value, { id, view: make(close) }];
  return close;
}

export const closeAll = () => { open.value = []; };
export const anyOpen = () => open.value.length > 0;
export const Dialogs = () => open.value.map((one) => html`<${one.view.type} key=${one.id} ...${one.view.props} />`);

export function Dialog({ title, close, children, foot, wide = false, class: more = "", frame = true }) {
  const self = useRef(null), id = useId();
  useLayoutEffect(() => {
    const dialog = self.current;
    dialog.showModal();
    dialog.querySelector("[data-first]")?.focus();
    return () => dialog.close();
  }, []);
  return html`<dialog ref=${self} class="dialog ${wide ? "wide" : ""} ${more}" aria-labelledby=${id} onCancel=${(event) => {
    event.preventDefault();
    close();
  }} onMouseDown=${(event) => {
    if (event.target !== self.current) return;
    const box = self.current.getBoundingClientRect();
    const out = event.clientX < box.left || event.clientX > box.right || event.clientY < box.top || event.clientY > box.bottom;
    if (out && !self.current.querySelector("form")) close();
  }}>
    ${frame ? html`<div class="frame"><div class="head"><h2 id=${id}>${title}</h2><${Button} look="plain tiny" icon="close" name="Close" onClick=${close} /></div>
    <div class="body">${children}</div>${foot && html`<div class="foot">${foot}</div>`}</div>` : html`<h2 class="hidden-text" id=${id}>${title}</h2>${children}`}</dialog>`;
}

/**
 * A dialog with one thing to do. `submit()` does it and may refuse with a Problem: then it stays open, with all that was
 * typed. `children({wrong})`: the message for each field by name.
 */
export function Form({ title, close, submit, done = "Save", risky = false, children, wide = false, off = "", left, look }) {
  const self = useRef(null), id = useId();
  const [busy, work] = useState(false);
  const [problem, refuse] = useState(null);
  useLayoutEffect(() => {
    const dialog = self.current;
    dialog.showModal();
    (dialog.querySelector("[data-first]") || dialog.querySelector(".body input, .body select, .body textarea, .body button"))?.focus();
    return () => dialog.close();
  }, []);
  const send = async (event) => {
    event.preventDefault();
    if (busy) return;
    work(true);
    refuse(null);
    try {
      await submit();
      close();
    } catch (error) {
      refuse(error instanceof Problem ? error : new Problem({ detail: String(error.message || error) }));
      work(false);
      self.current?.querySelector(".body")?.scrollTo({ top: 0 });
    }
  };
  const wrong = problem?.fields || {};
  return html`<dialog ref=${self} class="dialog ${wide ? "wide" : ""}" aria-labelledby=${id} onCancel=${(event) => {
    event.preventDefault();
    close();
  }}><form onSubmit=${send} novalidate>
    <div class="head"><h2 id=${id}>${title}</h2><${Button} look="plain tiny" icon="close" name="Close" onClick=${close} /></div>
    <div class="body">${problem && html`<${Trouble} problem=${problem} what="This" />`}${typeof children === "function" ? children({ wrong, problem }) : children}</div>
    <div class="foot">${left && html`<span class="left row">${left}</span>`}<${Button} onClick=${close}>Cancel</${Button}>
      <${Button} type="submit" look="first ${risky ? "risky" : ""} ${look || ""}" changes busy=${busy} off=${off}>${done}</${Button}></div></form></dialog>`;
}
