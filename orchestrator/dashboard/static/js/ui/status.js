// A status: a shape, a colour and its word, the same wherever it is seen.
import { html } from "../../vendor/preact.js";

export const STATUSES = ["UNHEALTHY", "INVALID", "DEGRADED", "PROVISIONING", "HEALTHY", "STOPPED", "DESTROYING"];
/** Worst first: what needs somebody comes before what does well. */

const LOOKS = {
  HEALTHY: ["good", "Healthy", "disc"],
  DEGRADED: ["warn", "Degraded", "half"],
  PROVISIONING: ["busy", "Provisioning", "ring"],
  UNHEALTHY: ["bad", "Unhealthy", "triangle"],
  INVALID: ["odd", "Invalid", "diamond"],
  STOPPED: ["", "Stopped", "square"],
  DESTROYING: ["", "Destroying", "crossed"],
  TERMINATING: ["", "Terminating", "crossed"],
  FAILED_TO_START: ["bad", "Failed to start", "triangle"],
  ok: ["good", "ok", "disc"],
  warn: ["warn", "warning", "half"],
  fail: ["bad", "fails", "triangle"],
  none: ["", "Not served", "hollow"],
};

const SHAPES = {
  disc: html`<circle cx="8" cy="8" r="7" fill="currentColor" /><path d="m4.800 8.200 2.200 2.200 4.200-4.600" fill="none" stroke="var(--surface)" stroke-width="1.800" stroke-linecap="round" stroke-linejoin="round" />`,
  half: html`<circle cx="8" cy="8" r="6.200" fill="none" stroke="currentColor" stroke-width="1.700" /><path d="M8 1.800a6.200 6.200 0 0 1 0 12.400Z" fill="currentColor" />`,
  ring: html`<circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" stroke-width="2.200" stroke-dasharray="25 13" stroke-linecap="round" />`,
  triangle: html`<path d="M8 1.200 15.400 14.600H.6Z" fill="currentColor" /><path d="M8 6v4M8 12.200v.1" stroke="var(--surface)" stroke-width="1.700" stroke-linecap="round" />`,
  diamond: html`<path d="M8 .6 15.400 8 8 15.400.6 8Z" fill="currentColor" /><path d="m5.800 5.800 4.400 4.400M10.200 5.800l-4.400 4.400" stroke="var(--surface)" stroke-width="1.600" stroke-linecap="round" />`,
  square: html`<rect x="2.500" y="2.500" width="11" height="11" rx="2" fill="currentColor" />`,
  crossed: html`<circle cx="8" cy="8" r="6.200" fill="none" stroke="currentColor" stroke-width="1.700" stroke-dasharray="3 2.200" /><path d="M4.500 11.500 11.500 4.500" stroke="currentColor" stroke-width="1.700" />`,
  hollow: html`<circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" stroke-width="1.700" />`,
};

export const look = (status) => LOOKS[status] || ["", status || "unknown", "hollow"];
export const word = (status) => look(status)[1];
export const tone = (status) => look(status)[0];

export function Status({ of, pill = false, word: said }) {
  const [kind, name, shape] = look(of);
  return html`<span class="status ${kind} ${pill ? "pill" : ""}" data-status=${of}>
    <svg viewBox="0 0 16 16" aria-hidden="true">${SHAPES[shape]}</svg>${said || name}</span>`;
}
