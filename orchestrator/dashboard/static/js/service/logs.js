// The logs of a service as they are written: searched, held still, one routing at a time.
import { html, useEffect, useMemo, useRef, useState } from "../../vendor/preact.js";
import { part } from "../api.js";
import { useFollowed } from "../followed.js";
import { plural } from "../format.js";
import { here } from "../router.js";
import { Button, copy, Search, Trouble } from "../ui/parts.js";
import { Select } from "../ui/fields.js";

const MOST = 5000;
/** Lines kept; older ones are dropped. */
const TAIL = 500;

export function Logs({ one }) {
  const [routing, choose] = useState(here.value.query.get("routing") || "");
  const [text, type] = useState(""), [stream, only] = useState(""), [paused, pause] = useState(false);
  const log = useFollowed(`/v1/logs/${part(routing || one.id || one.name)}`, { tail: TAIL, most: MOST, paused });
  const box = useRef(null), below = useRef(true), [follows, setFollows] = useState(true);
  const shown = useMemo(() => select(log.all, text, stream), [log.all, text, stream]);
  useEffect(() => { if (below.current && !paused && box.current) box.current.scrollTop = box.current.scrollHeight; }, [shown]);
  const scroll = () => {
    const { scrollHeight, scrollTop, clientHeight } = box.current;
    below.current = scrollHeight - scrollTop - clientHeight < 40;
    setFollows(below.current);
  };
  const toEnd = () => { below.current = true; pause(false); box.current.scrollTop = box.current.scrollHeight; };
  const save = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([shown.map((entry) => `${entry.time} ${entry.routing} ${entry.stream} ${entry.text}\n`).join("")], { type: "text/plain" }));
    link.download = `${one.name}.log`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const known = one.routings.map((each) => each.id);
  return html`<div class="toolbar"><${Search} value=${text} change=${type} label="Search in the log" />
      <${Select} aria-label="Routing" value=${routing} change=${choose} of=${[["", "All routings"], ...new Set([...known, ...(routing ? [routing] : [])])].map((each) => (Array.isArray(each) ? each : [each, `Routing ${each}`]))} />
      <${Select} aria-label="Stream" value=${stream} change=${only} of=${[["", "Out and err"], ["out", "Only out"], ["err", "Only err"]]} />
      <span class="spacer"></span>
      <${Button} icon=${paused ? "play" : "pause"} aria-pressed=${paused ? "true" : "false"} onClick=${() => pause(!paused)}>${paused ? "Go on" : "Pause"}</${Button}>
      <${Button} look="plain" icon="copy" name="Copy what is shown" off=${shown.length ? "" : "There is nothing yet."} onClick=${() => copy(shown.map((entry) => entry.text).join("\n"), "Log copied")} />
      <${Button} look="plain" icon="down" name="Save what is shown as a file" off=${shown.length ? "" : "There is nothing yet."} onClick=${save} /></div>
    ${log.problem && html`<${Trouble} problem=${log.problem} />`}
    <div class="card log-frame"><div class="log" ref=${box} onScroll=${scroll} tabindex="0" role="log" aria-label="Log of ${one.name}" aria-live="off">
      ${shown.length ? shown.map((entry) => html`<${Line} key=${entry.key} entry=${entry} text=${text} many=${!routing} />`)
      : html`<div class="empty"><p>${log.all.length ? `No line has “${text || stream}”.` : log.state === "live" ? "Nothing was written yet. What its routings print comes here at once." : "Waiting for the log…"}</p></div>`}</div>
      <div class="log-foot"><span class="link-state" data-state=${paused ? "paused" : log.state}><span class="dot" aria-hidden="true"></span>${paused ? "Held still" : log.state === "live" ? "Follows" : "Reconnecting…"}</span>
        <span>${text || stream ? `${plural(shown.length, "line")} of ${log.all.length}` : plural(shown.length, "line")}${log.all.length >= MOST ? ", older ones are dropped" : ""}</span><span class="spacer"></span>
        ${(!follows || paused) && html`<${Button} look="tiny" icon="down" onClick=${toEnd}>To the end</${Button}>`}</div></div>`;
}

function select(all, text, stream) {
  const wanted = text.toLowerCase();
  return all.filter((entry) => (!stream || entry.stream === stream) && (!wanted || entry.text.toLowerCase().includes(wanted))).slice(-2000);
}

function Line({ entry, text, many }) {
  return html`<div class="log-line ${entry.stream === "err" ? "err" : ""}"><time datetime=${entry.time} title=${entry.time}>${new Date(entry.time).toLocaleTimeString("en-GB")}</time>
    ${many && html`<span class="who" title="Routing ${entry.routing}">${entry.routing.slice(0, 6)}</span>`}<span class="out">${entry.stream}</span><span class="text">${marked(entry.text, text)}</span></div>`;
}

function marked(line, text) {
  if (!text) return line;
  const parts = [], low = line.toLowerCase(), wanted = text.toLowerCase();
  let at = 0;
  for (let next = low.indexOf(wanted); next >= 0; next = low.indexOf(wanted, at)) {
    parts.push(line.slice(at, next), html`<mark>${line.slice(next, next + wanted.length)}</mark>`);
    at = next + wanted.length;
  }
  return [...parts, line.slice(at)];
}
