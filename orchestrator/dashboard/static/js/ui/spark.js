import { html } from "../../vendor/preact.js";

/** A small line of the latest values, for the eye only: the number stands beside it. */
export function Spark({ values }) {
  if (values.length < 2) return html`<svg class="spark" viewBox="0 0 72 22" aria-hidden="true"></svg>`;
  const most = Math.max(...values, 0.2), step = 72 / (values.length - 1);
  const points = values.map((value, at) => `${(at * step).toFixed(1)} ${(20.500 - (value / most) * 18).toFixed(1)}`);
  const line = `M${points.join("L")}`;
  return html`<svg class="spark" viewBox="0 0 72 22" aria-hidden="true"><path class="fill" d="${line}L72 22L0 22Z" /><path d=${line} /></svg>`;
}
