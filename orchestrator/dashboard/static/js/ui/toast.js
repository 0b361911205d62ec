// What was done, told in a corner, and read out by screen readers.
import { html, signal } from "../../vendor/preact.js";
import { Icon } from "./icons.js";

const shown = signal([]);
let number = 0;

export function tell(text, kind = "good") {
  const id = ++number;
  shown.value = [...shown.value.filter((one) => one.text !== text).slice(-3), { id, text, kind }];
  setTimeout(() => drop(id), kind === "bad" ? 8000 : 4000);
}

const drop = (id) => { shown.value = shown.value.filter((one) => one.id !== id); };

export const Toasts = () => html`<div class="toasts" role="status" aria-live="polite" popover="manual" ref=${(self) => {
  // In the top layer, so that what a dialog did is told above it.
  if (!self?.showPopover) return;
  if (self.matches(":popover-open")) self.hidePopover();
  if (shown.value.length) self.showPopover();
}}>
  ${shown.value.map((one) => html`<div class="toast ${one.kind}" key=${one.id}>
    <${Icon} name=${one.kind === "bad" ? "alert" : "check"} /><span class="words">${one.text}</span>
    <button type="button" class="button plain tiny icon" aria-label="Dismiss" onClick=${() => drop(one.id)}><${Icon} name="close" /></button></div>`)}</div>`;
