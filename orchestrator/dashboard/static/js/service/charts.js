// What the service carried and used, over time.
import { html, useState } from "../../vendor/preact.js";
import { get } from "../api.js";
import { bytes, cores, rate, seconds, whole } from "../format.js";
import { useAsked } from "../live.js";
import { Chart } from "../ui/chart.js";
import { Segments, Trouble } from "../ui/parts.js";

const MIB = 2 ** 20;
const WINDOWS = [["300", "5 min"], ["900", "15 min"], ["3600", "1 h"]];

export function Charts({ name }) {
  const [window, choose] = useState("900");
  const { data, problem, reload } = useAsked(`series ${name} ${window}`, () => get("/v1/series", { service: name, window }), { every: 10 });
  if (problem && !data) return html`<${Trouble} problem=${problem} retry=${reload} what="The record of requests and load over time" />`;
  const points = data?.points || [];
  const times = points.map((one) => (typeof one.time === "number" ? one.time : Date.parse(one.time) / 1000));
  const of = (key) => points.map((one) => one[key] ?? null);
  const number = (show) => (value) => (value === null || value === undefined ? "–" : show(value));
  return html`<section aria-label="Over time"><div class="row spread" style=${{ marginBottom: "10px" }}><h2>Over time</h2><${Segments} label="Time shown" of=${WINDOWS} value=${window} choose=${choose} /></div>
    <div class="charts">
      <${Chart} title="Requests per second" times=${times} window=${Number(window)} show=${number(rate)} lines=${[{ name: "all", values: of("requests") }, { name: "errors", values: of("errors"), tone: "bad" }]} />
      <${Chart} title="Latency" least=${0.01} times=${times} window=${Number(window)} show=${number(seconds)} lines=${[{ name: "p50", values: of("p50") }, { name: "p95", values: of("p95") }, { name: "p99", values: of("p99") }]} />
      <${Chart} title="Requests at the gateway" least=${2} times=${times} window=${Number(window)} show=${number(rate)} lines=${[{ name: "open", values: of("open") }, { name: "queued", values: of("queued") }]} />
      <${Chart} title="Routings" times=${times} window=${Number(window)} step show=${number(whole)} lines=${[{ name: "healthy", values: of("healthy") }, { name: "wanted", values: of("desired") }]} />
      <${Chart} title="CPU cores" least=${0.1} times=${times} window=${Number(window)} show=${number(cores)} lines=${[{ name: "cores", values: of("cpu") }]} />
      <${Chart} title="Memory" least=${MIB} base=${2} times=${times} window=${Number(window)} show=${number(bytes)} lines=${[{ name: "memory", values: of("memory") }]} />
    </div></section>`;
}
