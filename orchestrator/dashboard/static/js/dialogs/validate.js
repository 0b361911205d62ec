// A try: the definition really run once in a scratch routing. Finished says that it came to its end, passed that it works.
import { html, useEffect, useRef, useState } from "../../vendor/preact.js";
import { ask, del, part, post } from "../api.js";
import { follow, lines } from "../streams.js";
import { Dialog, show } from "../ui/dialog.js";
import { Icon } from "../ui/icons.js";
import { Button, coded, Notice, said, sentence, Time, Trouble } from "../ui/parts.js";

/** `request`: {folder, model?, image?, environ?, resources?} */
export const validate = (request) => show((close) => html`<${Validate} close=${close} request=${request} />`);

const NOTHING = { steps: [], log: [], state: "running", passed: null, result: null, problem: null };
const ICON = { passed: "check", failed: "close", info: "info" };
const MARK = { passed: "good", failed: "bad" };

/** One more event: a step is shown once, as it is now. */
export function taken(now, event) {
  if (event.step === "log") return { ...now, log: [...now.log, { text: event.message, stream: event.detail?.stream }].slice(-2000) };
  if (event.step === "result") return { ...now, passed: event.state === "passed", result: event };
  const last = now.steps.at(-1);
  const same = last && last.step === event.step && last.state !== "passed" && last.state !== "failed";
  return { ...now, steps: same ? [...now.steps.slice(0, -1), { ...event, began: last.began }] : [...now.steps, { ...event, began: event.at }] };
}

function Validate({ close, request }) {
  const [seen, see] = useState(NOTHING), [round, again] = useState(0);
  const run = useRef({ cancel: () => {} }), console_ = useRef(null);
  useEffect(() => {
    let gone = false, stop = () => {}, id = "";
    const control = new AbortController();
    const take = (event) => !gone && see((now) => taken(now, event));
    const end = (state, problem = null) => !gone && see((now) => ({ ...now, state: now.state === "running" ? state : now.state, problem }));
    see(NOTHING);
    const asked = Object.fromEntries(Object.entries(request).filter(([, value]) => value && (typeof value !== "object" || Object.keys(value).length)));
    async function begin() {
      try {
        id = (await post("/v1/tries", asked)).id;
        if (gone) return void del(`/v1/tries/${part(id)}`).catch(() => {});
        stop = follow(`/v1/tries/${part(id)}/events`, { take: (event) => {
          take(event);
          if (event.step === "result") {
            end("finished");
            stop();
          }
        }, fail: (problem) => end("lost", problem), done: () => end("finished") });
      } catch (problem) {
        if (!problem.missing) return end("refused", problem);
        await asStream();
      }
      return undefined;
    }
    async function asStream() {
      try {
        for await (const event of lines(await ask("POST", "/v1/try", { body: asked, signal: control.signal }), control.signal)) take(event);
        end("finished");
      } catch (problem) {
        if (!gone && problem.name !== "AbortError") end("refused", problem);
      }
    }
    begin();
    const over = () => {
      stop();
      control.abort();
      if (id) del(`/v1/tries/${part(id)}`).catch(() => {});
    };
    run.current.cancel = () => { end("cancelled"); over(); };
    return () => {
      gone = true;
      over();
    };
  }, [round]);
  useEffect(() => { if (console_.current) console_.current.scrollTop = console_.current.scrollHeight; }, [seen.log.length]);
  const running = seen.state === "running", detail = seen.result?.detail || {};
  const tail = seen.log.length ? seen.log : (detail.log_tail || []).map((text) => ({ text }));
  const name = request.folder.split("/").filter(Boolean).at(-1);
  return html`<${Dialog} title="Validate ${name}" close=${close} wide foot=${html`
      ${running ? html`<${Button} onClick=${() => run.current.cancel()}>Cancel the try</${Button}>` : html`<${Button} icon="again" onClick=${() => again((n) => n + 1)}>Try again</${Button}>`}
      <${Button} look=${running ? "" : "first"} onClick=${close}>Close</${Button}>`}>
    <p class="quiet">It is run once for real, in a routing of its own that gets no requests and is gone after.</p>
    ${seen.problem && html`<${Trouble} problem=${seen.problem} what="A try" />`}
    <div class="verdict" role="status"><div class="box"><span class="quiet small">The try</span><b data-run=${seen.state}>${running ? html`<span class="spin" aria-hidden="true"></span>Running` : html`<${Icon} name=${seen.state === "finished" ? "check" : "close"} />${sentence(seen.state === "lost" ? "no longer known" : seen.state)}`}</b><span class="small quiet">${running ? "It has not come to its end." : seen.state === "finished" ? "It came to its end. Whether it works stands beside." : "It did not come to its end."}</span></div>
      <div class="box"><span class="quiet small">The definition</span><b class="status ${seen.passed === null ? "" : seen.passed ? "good" : "bad"}" style=${{ fontSize: "15px" }} data-passed=${String(seen.passed)}>${seen.passed === null ? "Not known yet" : html`<${Icon} name=${seen.passed ? "check" : "alert"} />${seen.passed ? "Passed" : "Failed"}`}</b><span class="small quiet">${seen.passed === null ? "Only a try that finished tells." : seen.passed ? sentence(seen.result.message) : "See why below."}</span></div></div>
    ${seen.passed === false && html`<${Notice} kind="bad"><p class="pre">${said(seen.result.message)} ${detail.code && html`<code>${detail.code}</code>`}</p>${detail.hint && html`<p class="hint">→ ${said(detail.hint)}</p>`}</${Notice}>`}
    <section aria-label="Steps"><h3>Steps</h3><ol>${seen.steps.map((step, n) => html`<li class="try-step" key=${n}><span class="status ${MARK[step.state] || "busy"}">${step.state === "started" && running ? html`<span class="spin" aria-hidden="true"></span>` : html`<${Icon} name=${ICON[step.state] || "right"} />`}</span>
      <b>${step.step}</b><span class="said break">${coded(step.message)}${step.detail?.total > 0 && html`<span class="meter" style=${{ display: "block", marginTop: "4px" }}><i style=${{ width: `${(100 * step.detail.current) / step.detail.total}%` }}></i></span>`}</span><span class="small quiet nowrap"><${Time} of=${step.at} /></span></li>`)}
      ${!seen.steps.length && html`<li class="quiet">Nothing yet.</li>`}</ol></section>
    <section aria-label="Log"><h3 style=${{ marginBottom: "6px" }}>Its log</h3><div class="console" ref=${console_} tabindex="0" role="log" aria-label="Log of the try">${tail.length ? tail.map((line) => html`<div class=${line.stream === "err" ? "status bad" : ""} style=${{ display: "block", font: "inherit", whiteSpace: "pre-wrap" }}>${line.text}</div>`) : html`<span class="quiet">${running ? "It has printed nothing yet." : "It printed nothing."}</span>`}</div></section></${Dialog}>`;
}
