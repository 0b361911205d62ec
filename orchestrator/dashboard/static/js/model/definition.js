// The definition, edited where it lies: checked by the daemon as one types, written whole or not at all.
import { html, useEffect, useRef, useState } from "../../vendor/preact.js";
import { get, later, part, post, put } from "../api.js";
import { confirm } from "../dialogs/confirm.js";
import { validate } from "../dialogs/validate.js";
import { plural } from "../format.js";
import { refusal } from "../session.js";
import { Icon } from "../ui/icons.js";
import { Button, Loading, Notice, said, sentence, Trouble } from "../ui/parts.js";
import { tell } from "../ui/toast.js";
import { yaml } from "../service/definition.js";

const QUIET = 350;
/** Milliseconds without a key after which the text is checked. */
const START = (name) => `models:\n  - name: ${name}\n    service:\n      start_command: [python, -m, http.server, "{port}"]\n      port: 8000\n      health_check:\n        path: /\n`;

export function DefinitionEditor({ model, reload }) {
  const [kept, keep] = useState(null), [problem, refuse] = useState(null), [text, type] = useState(""), [checked, check] = useState(null), [busy, work] = useState(false), [clash, meet] = useState(null);
  const host = useRef(null), editor = useRef(null), schema = useRef(null), now = useRef("");
  const address = `/v1/models/${part(model.name)}/definition`;
  const why = refusal() || (model.writable === false ? "The daemon may not write into this folder." : "");
  now.current = text;
  const load = async () => {
    try {
      const found = await get(address), first = found.digest === null ? START(model.name) : found.text;
      keep(found);
      type(first);
      editor.current?.set(first);
      refuse(null);
    } catch (error) {
      refuse(error);
    }
  };
  useEffect(() => {
    load();
    get("/v1/schema").then((found) => { schema.current = found; }).catch(() => {});
  }, [model.name]);
  useEffect(() => {
    if (!kept || editor.current) return undefined;
    let gone = false;
    later(() => import("../editor/editor.js")).then(({ edit }) => {
      if (gone) return;
      editor.current = edit(host.current, { text: now.current, schema: () => schema.current, change: type, save: () => saver.current(), label: "Definition" });
      if (why) editor.current.editable(false);
      check((one) => one && { ...one });
    });
    return () => {
      gone = true;
      editor.current?.destroy();
      editor.current = null;
    };
  }, [Boolean(kept)]);
  useEffect(() => {
    if (!kept) return undefined;
    const control = new AbortController();
    const timer = setTimeout(() => post("/v1/validate", { text, model: model.name }, { signal: control.signal }).then(check, (error) => error.name !== "AbortError" && check({ valid: null, problems: [], missing: error })), QUIET);
    return () => {
      clearTimeout(timer);
      control.abort();
    };
  }, [text, Boolean(kept)]);
  useEffect(() => { if (checked) editor.current?.problems(checked.problems); }, [checked]);
  const changed = kept && text !== kept.text;
  useEffect(() => {
    const leave = (event) => { if (changed) event.preventDefault(); };
    window.addEventListener("beforeunload", leave);
    return () => window.removeEventListener("beforeunload", leave);
  }, [changed]);

  const save = async (over) => {
    if (why) return tell(why, "bad");
    work(true);
    meet(null);
    try {
      const made = await put(address, { text, digest: over ?? kept.digest });
      keep(made);
      tell(`${made.file} is written`);
      reload();
    } catch (error) {
      if (error.code === "changed") meet(error);
      else {
        if (error.problems?.length) check({ valid: false, problems: error.problems });
        tell(sentence(error.detail), "bad");
      }
    }
    return work(false);
  };
  const saver = useRef(() => {});
  saver.current = () => { if (changed) save(); };
  const theirs = async () => {
    meet(null);
    await load();
  };
  const mine = async () => {
    const found = await get(address).catch(() => null);
    save(found?.digest ?? null);
  };

  if (problem) return html`<${Trouble} problem=${problem} retry=${load} what="Reading and writing definitions" />`;
  if (!kept) return html`<${Loading} lines=${8} />`;
  const errors = checked?.problems.filter((one) => one.severity === "error") || [];
  const off = why || (checked && checked.valid === false ? "It has errors: mend them first." : !changed ? "Nothing was changed." : "");
  return html`<div class="stack">
    ${clash && html`<${Notice} kind="warn" role="alert" title="Somebody else changed the file meanwhile." action=${html`<div class="row wrap"><${Button} look="tiny" onClick=${theirs}>Take theirs</${Button}><${Button} look="tiny" onClick=${() => confirm({ title: "Write over their change", done: "Write mine", risky: true, text: "What they wrote is lost.", run: mine })}>Write mine</${Button}></div>`}><p>${sentence(clash.detail)} What you typed is still here.</p></${Notice}>`}
    <div class="card editor-frame"><div class="row wrap" style=${{ padding: "10px 14px", borderBottom: "1px solid var(--line)" }}>
        <${Icon2} /><b>${kept.file || "model-definition.yml"}</b>${kept.digest === null ? html`<span class="tag accent">new</span>` : changed && html`<span class="tag warn">not saved</span>`}
        <span class="spacer"></span><span role="status" class="small">${checked === null ? html`<span class="quiet">Checking…</span>` : checked.missing ? html`<span class="quiet">${checked.missing.missing ? "It is checked when it is saved" : "It could not be checked"}</span>` : errors.length ? html`<span class="status bad">${plural(errors.length, "error")}</span>` : checked.problems.length ? html`<span class="status warn">${plural(checked.problems.length, "warning")}</span>` : html`<span class="status good"><${Icon} name="check" />Valid</span>`}</span>
        <${Button} look="tiny" icon="check" changes off=${changed ? "Save it first: a try runs what lies in the folder." : ""} onClick=${() => validate({ folder: model.folder })}>Try it once</${Button}>
        <${Button} look="tiny first" busy=${busy} off=${off} onClick=${() => save()}>Save</${Button}></div>
      <div class="editor" ref=${host}></div>
      ${checked?.problems.length > 0 && html`<ul aria-label="Problems">${checked.problems.map((one, n) => html`<li key=${n}><button type="button" class="problem" onClick=${() => editor.current?.goTo(one.line, one.column)}>
        <span class="status ${one.severity === "error" ? "bad" : "warn"}"><${Icon} name=${one.severity === "error" ? "close" : "alert"} /><span class="hidden-text">${one.severity}</span></span><span class="where">${one.line ? `${one.line}:${one.column}` : "whole"}</span><span>${one.path && html`<code>${one.path}</code> `}${said(one.message)}${one.hint && html`<span class="hint">→ ${said(one.hint)}</span>`}</span></button></li>`)}</ul>`}</div>
    ${checked?.resolved && html`<details class="card"><summary style=${{ padding: "12px 16px", cursor: "pointer" }}><b>What would run</b> <span class="quiet small">the definition with all that lies under and over it</span></summary><pre class="code scroll" style=${{ border: 0, borderRadius: 0 }} tabindex="0">${yaml(checked.resolved)}</pre></details>`}</div>`;
}

const Icon2 = () => html`<span class="fileicon"><${Icon} name="file" /></span>`;
