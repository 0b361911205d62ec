// A chart over time. The numbers are said in words beside it; lines differ by stroke as well as by colour.
import { html, useEffect, useRef } from "../../vendor/preact.js";
import { later } from "../api.js";
import { colour, painted } from "../theme.js";

const DASHES = [[], [6, 4], [2, 3]];
let library = null;
const uplot = () => (library ||= later(() => import("../../vendor/uplot.js")).then((found) => found.uPlot, (error) => { library = null; throw error; }));

/**
 * `times`: seconds since the epoch; `window`: seconds that are shown, up to the last of them; `lines`: [{name, values, tone?}]; `show(value)`: a value in words;
 * `least`: how far up the axis goes at least, so that next to nothing looks like it; `base`: what the axis counts by, 10 or (bytes) 2. A value that is null now is said as
 * such, not as what it was last.
 */
export function Chart({ title, times, lines, show, window: past, step = false, least = 1, base = 10 }) {
  const place = useRef(null), drawn = useRef(null), latest = useRef(null);
  latest.current = { times, lines, show, step, past, least, base };
  const kind = lines.map((one) => one.name).join();
  useEffect(() => {
    let gone = false;
    uplot().then((uPlot) => {
      if (gone || !place.current) return;
      drawn.current = draw(uPlot, place.current, latest.current);
    });
    const size = new ResizeObserver(([entry]) => drawn.current?.setSize({ width: Math.max(80, entry.contentRect.width), height: 118 }));
    size.observe(place.current);
    return () => {
      gone = true;
      size.disconnect();
      drawn.current?.destroy();
      drawn.current = null;
    };
  }, [kind, past, painted.value]);
  useEffect(() => { drawn.current?.setData([times, ...lines.map((one) => one.values)]); }, [times]);
  const last = (values) => values.at(-1);
  const said = lines.map((one) => `${one.name} ${show(last(one.values))}`).join(", ");
  return html`<figure class="card chart"><figcaption class="head"><h3>${title}</h3><span class="now"><b>${show(last(lines[0].values))}</b></span></figcaption>
    <div class="plot" ref=${place} role="img" aria-label="${title} over time. Now: ${said}"></div>
    <div class="keys" aria-hidden="true">${lines.length > 1 && lines.map((one, n) => html`<span class="key ${one.tone === "bad" ? "kbad" : `k${n + 1}`}">${one.name} ${show(last(one.values))}</span>`)}</div></figure>`;
}

/** Of a line's values those with none beside them: no line leads there. */
export const alone = (values) => values.flatMap((value, n) => (value !== null && (values[n - 1] ?? null) === null && (values[n + 1] ?? null) === null ? [n] : []));

/** What a step of the axis may be: 1, 2 or 5 of each power of ten, or each power of two. */
const STEPS = { 10: Array.from({ length: 13 }, (_, n) => [1, 2, 5].map((one) => Number(`${one}e${n - 3}`))).flat(), 2: Array.from({ length: 50 }, (_, n) => 2 ** n) };

function draw(uPlot, place, { times, lines, show, step, past, least, base }) {
  const quiet = colour("quiet"), grid = colour("line");
  const axis = { stroke: quiet, grid: { stroke: grid, width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  const series = lines.map((one, n) => {
    const stroke = colour(one.tone || `line-${n + 1}`);
    return { label: one.name, stroke, width: 1.6, dash: one.tone === "bad" ? DASHES[1] : DASHES[n], points: { size: 5, fill: stroke, filter: (u, of, shown) => (shown ? null : alone(u.data[of])) }, spanGaps: false,
      fill: n === 0 ? stroke.replace("rgb(", "rgba(").replace(")", ", 0.1)") : undefined, paths: step ? uPlot.paths.stepped({ align: 1 }) : undefined };
  });
  const most = (_, low, high) => [0, Math.max(least, high * 1.15)];
  return new uPlot({
    width: Math.max(80, place.clientWidth), height: 118, padding: [8, 4, 0, 0], legend: { show: false },
    cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
    scales: { x: { time: true, range: (u) => { const end = u.data[0].at(-1) ?? Date.now() / 1000; return [end - past, end]; } }, y: { range: most } },
    axes: [{ ...axis, size: 22, space: 70, values: (_, ticks) => ticks.map(clock) }, { ...axis, size: 52, space: 26, incrs: STEPS[base], values: (_, ticks) => ticks.map(show) }],
    series: [{}, ...series], plugins: [tip(lines, show)],
  }, [times, ...lines.map((one) => one.values)], place);
}

const clock = (value) => new Date(value * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });

function tip(lines, show) {
  let box;
  return { hooks: {
    init: (u) => {
      box = document.createElement("div");
      box.className = "chart-tip";
      box.hidden = true;
      u.over.append(box);
      u.over.addEventListener("mouseleave", () => { box.hidden = true; });
    },
    setCursor: (u) => {
      const { idx, left } = u.cursor;
      if (idx === null || idx === undefined || left < 0) return void (box.hidden = true);
      const rows = lines.map((one, n) => `${one.name}: ${show(u.data[n + 1][idx])}`);
      box.innerText = [new Date(u.data[0][idx] * 1000).toLocaleTimeString("en-GB"), ...rows].join("\n");
      box.hidden = false;
      const over = left > u.over.clientWidth / 2;
      box.style.left = over ? "" : `${left + 10}px`;
      box.style.right = over ? `${u.over.clientWidth - left + 10}px` : "";
      box.style.top = "4px";
    },
  } };
}
