// What differs between two texts, line by line: one below the other, or side by side.
import { html } from "../../vendor/preact.js";

const MOST = 4000;
/** Edits beyond which two texts count as wholly different: the search takes time with their square. */
const AROUND = 3;

/** Lines as [sign, text, number before, number after]: " " both, "-" only before, "+" only after. (Myers, greedy.) */
export function compare(before, after) {
  const a = before.split("\n"), b = after.split("\n");
  let head = 0, end = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  while (end < a.length - head && end < b.length - head && a[a.length - 1 - end] === b[b.length - 1 - end]) end += 1;
  const middle = edits(a.slice(head, a.length - end), b.slice(head, b.length - end));
  const signs = [...a.slice(0, head).map((text) => [" ", text]), ...middle, ...a.slice(a.length - end, a.length).map((text) => [" ", text])];
  let left = 0, right = 0;
  return signs.map(([sign, text]) => [sign, text, sign === "+" ? 0 : ++left, sign === "-" ? 0 : ++right]);
}

function edits(a, b) {
  const all = () => [...a.map((text) => ["-", text]), ...b.map((text) => ["+", text])];
  if (!a.length || !b.length) return all();
  const trail = [];
  let best = new Map([[1, 0]]);
  for (let d = 0; d <= Math.min(a.length + b.length, MOST); d += 1) {
    trail.push(best);
    const next = new Map(best);
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && (best.get(k - 1) ?? -1) < (best.get(k + 1) ?? -1));
      let x = down ? (best.get(k + 1) ?? 0) : best.get(k - 1) + 1, y = x - k;
      while (x < a.length && y < b.length && a[x] === b[y]) { x += 1; y += 1; }
      next.set(k, x);
      if (x >= a.length && y >= b.length) return walked(trail, a, b);
    }
    best = next;
  }
  return all();
}

function walked(trail, a, b) {
  const found = [];
  let x = a.length, y = b.length;
  for (let d = trail.length - 1; d >= 0; d -= 1) {
    const best = trail[d], k = x - y;
    const down = k === -d || (k !== d && (best.get(k - 1) ?? -1) < (best.get(k + 1) ?? -1));
    const from = down ? k + 1 : k - 1, px = d ? best.get(from) ?? 0 : 0, py = d ? px - from : 0;
    while (x > px && y > py && x > 0 && y > 0 && a[x - 1] === b[y - 1]) { found.push([" ", a[x - 1]]); x -= 1; y -= 1; }
    if (d) {
      if (down) { found.push(["+", b[y - 1]]); y -= 1; }
      else { found.push(["-", a[x - 1]]); x -= 1; }
    }
  }
  return found.reverse();
}

/** Only what differs and a few lines around it; null: a gap. */
export function cropped(lines) {
  const near = lines.map(() => false);
  lines.forEach(([sign], n) => { if (sign !== " ") for (let k = Math.max(0, n - AROUND); k <= Math.min(lines.length - 1, n + AROUND); k += 1) near[k] = true; });
  const found = [];
  lines.forEach((line, n) => {
    if (near[n]) found.push(line);
    else if (found.at(-1) !== null) found.push(null);
  });
  return found;
}

const KIND = { "+": "add", "-": "del", " ": "" };

export function Diff({ before, after, side = false, name }) {
  const lines = compare(before, after);
  if (!lines.some(([sign]) => sign !== " ")) return html`<p class="quiet small" style=${{ padding: "10px 16px" }}>No difference.</p>`;
  const shown = cropped(lines);
  return html`<div class="diff" tabindex="0" role="region" aria-label="Differences of ${name}"><table>${side ? html`<colgroup><col class="at" /><col /><col class="at" /><col /></colgroup>` : html`<colgroup><col class="at" /><col class="at" /><col class="sign" /><col /></colgroup>`}
    <tbody>${side ? pairs(shown).map(Both) : shown.map(One)}</tbody></table></div>`;
}

const Gap = () => html`<tr class="gap"><td colspan="4">⋯</td></tr>`;
const One = (line) => (line === null ? Gap() : html`<tr class=${KIND[line[0]]}><td class="at">${line[2] || ""}</td><td class="at">${line[3] || ""}</td><td class="sign">${line[0]}</td><td>${line[1]}</td></tr>`);
const Both = (pair) => (pair === null ? Gap() : html`<tr>${pair.map((line, n) => html`<td class="at ${line ? KIND[line[0]] : "none"}">${line ? line[n ? 3 : 2] : ""}</td><td class=${line ? KIND[line[0]] : "none"}>${line ? html`${line[0] !== " " ? html`<span class="hidden-text">${line[0] === "+" ? "added" : "removed"}: </span>` : ""}${line[1]}` : ""}</td>`)}</tr>`);

/** Removed lines beside those that were added in their place. */
function pairs(lines) {
  const found = [];
  let gone = [], come = [];
  const flush = () => {
    for (let n = 0; n < Math.max(gone.length, come.length); n += 1) found.push([gone[n], come[n]]);
    gone = [];
    come = [];
  };
  for (const line of lines) {
    if (line?.[0] === "-") gone.push(line);
    else if (line?.[0] === "+") come.push(line);
    else {
      flush();
      found.push(line === null ? null : [line, line]);
    }
  }
  flush();
  return found;
}
