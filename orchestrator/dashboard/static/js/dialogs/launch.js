// Start a service, or modify one: the same dialog, the second time filled in with what runs.
import { html, useEffect, useMemo, useState } from "../../vendor/preact.js";
import { get, patch, post, Problem, service as of } from "../api.js";
import { useAsked } from "../live.js";
import { go, to } from "../router.js";
import { refusal } from "../session.js";
import { Form, show } from "../ui/dialog.js";
import { Area, asMap, asPairs, Field, Input, Pairs, Select } from "../ui/fields.js";
import { Button, Loading, Notice, said, sentence } from "../ui/parts.js";
import { tell } from "../ui/toast.js";
import { validate } from "./validate.js";

export function startService(folder = "") {
  const why = refusal();
  if (why) return tell(why, "bad");
  return show((close) => html`<${Launch} close=${close} begin=${{ folder }} />`);
}
export function modify(name) {
  const why = refusal();
  if (why) return tell(why, "bad");
  return show((close) => html`<${Modify} close=${close} name=${name} />`);
}

const EMPTY = { folder: "", name: "", count: "", public: "", image: "", cpu: "", mem: "", shm: "", definition: "", destination: "", mounts: "", resources: [], environ: [], cluster_mode: "", cluster_size: "", resource_group: "", start_timeout: "", unhealthy_timeout: "", stop_grace: "", retry: "" };

/** A launch as the daemon tells it, as the texts of the fields. */
export function filled(told) {
  const text = (value) => (value === null || value === undefined ? "" : String(value));
  const kept = Object.fromEntries(Object.keys(EMPTY).map((key) => [key, text(told[key])]));
  const choice = (value) => (value === null || value === undefined ? "" : value ? "yes" : "no");
  return { ...kept, public: choice(told.public), retry: choice(told.retry),
    mounts: (told.mounts || []).join("\n"), resources: asPairs(told.resources), environ: asPairs(told.environ) };
}

/** The fields as the request says them; a wrong number is named before anything is sent. */
export function asked(form) {
  const number = (key, whole) => {
    const text = form[key].trim();
    if (!text) return null;
    const value = Number(text);
    if (!Number.isFinite(value) || (whole && !Number.isInteger(value))) throw wrong(key, whole ? "give a whole number" : "give a number, like 1.5");
    return value;
  };
  const words = (key) => form[key].trim() || null;
  const choice = (key) => (form[key] === "" ? null : form[key] === "yes");
  return { folder: words("folder"), name: words("name"), count: number("count", true), public: choice("public"), image: words("image"),
    cpu: number("cpu"), mem: words("mem"), shm: words("shm"), definition: words("definition"), destination: words("destination"),
    mounts: form.mounts.split("\n").map((one) => one.trim()).filter(Boolean), resources: asMap(form.resources), environ: asMap(form.environ),
    cluster_mode: words("cluster_mode"), cluster_size: number("cluster_size", true), resource_group: words("resource_group"),
    start_timeout: number("start_timeout"), unhealthy_timeout: number("unhealthy_timeout"), stop_grace: number("stop_grace"), retry: choice("retry") };
}

const wrong = (field, message) => new Problem({ status: 400, detail: `cannot read the form: ${field}: ${message}`, errors: [{ field, message }] });
const empty = (value) => value === null || (typeof value === "object" && !Object.keys(value).length);

/** Which fields this daemon takes. */
function useKnown() {
  const { data } = useAsked("openapi", () => get("/openapi.json"));
  return useMemo(() => {
    const found = data?.components?.schemas?.LaunchRequest?.properties;
    return (name) => !found || name in found;
  }, [data]);
}

function Launch({ close, begin }) {
  const [form, set] = useState({ ...EMPTY, ...begin });
  const known = useKnown();
  const submit = async () => {
    if (!form.folder.trim()) throw wrong("folder", "choose the folder that holds the model and its definition");
    const made = Object.entries(asked(form)).filter(([key, value]) => !empty(value) && known(key));
    const one = await post("/v1/services", Object.fromEntries(made));
    tell(`${one.name} starts`);
    go(to("services", one.name));
  };
  return html`<${Form} title="Start a service" close=${close} submit=${submit} done="Start" wide
    left=${html`<${Button} look="plain" icon="check" changes off=${form.folder.trim() ? "" : "Choose a folder first."} onClick=${() => validate(trial(form))}>Validate…</${Button}>`}>
    ${({ wrong: bad }) => html`<p class="quiet">What is left empty is as the definition says.</p><${Fields} form=${form} set=${set} bad=${bad} known=${known} choose />`}</${Form}>`;
}

const trial = (form) => ({ folder: form.folder.trim(), image: form.image.trim(), environ: asMap(form.environ), resources: asMap(form.resources) });

function Modify({ close, name }) {
  const [one, know] = useState(null), [problem, refuse] = useState(null);
  const [form, set] = useState(null), [first, remember] = useState(null), [declared, declare] = useState(null);
  const known = useKnown();
  useEffect(() => {
    get(of(name)).then((told) => {
      const now = filled(told.launch || derived(told));
      know(told);
      set(now);
      remember(now);
    }, refuse);
  }, []);
  const submit = async (edit = false) => {
    const before = asked(first), now = asked(form);
    const changed = Object.keys(now).filter((key) => key !== "folder" && known(key) && JSON.stringify(before[key]) !== JSON.stringify(now[key]));
    if (!changed.length) throw new Problem({ detail: "nothing was changed" });
    try {
      await patch(of(one.id), { ...Object.fromEntries(changed.map((key) => [key, now[key]])), ...(edit && { edit: true }) });
    } catch (refused) {
      declare(refused.code === "declared_in_file" ? refused : null);
      throw refused;
    }
    tell(`${one.name} is modified`);
  };
  const write = async () => {
    try {
      await submit(true);
      close();
    } catch (refused) {
      tell(sentence(refused.detail), "bad");
    }
  };
  return html`<${Form} title="Modify ${name}" close=${close} submit=${() => submit()} done="Apply" wide off=${form ? "" : "It is still being read."}
      left=${declared && html`<${Button} icon="file" changes onClick=${write}>Write it into the file</${Button}>`}>
    ${({ wrong: bad }) => html`${problem && html`<${Notice} kind="bad"><p>${said(problem.detail)}</p></${Notice}>`}
      ${form ? html`${one.source === "folder" && html`<${Notice}><p>This service is declared in <code>${one.folder}</code>. What takes effect in place (the count, what is open to the public, times) is changed here as an override; for the rest its file is edited.</p></${Notice}>`}
      <${Fields} form=${form} set=${set} bad=${bad} known=${known} />` : !problem && html`<${Loading} />`}`}</${Form}>`;
}

/** What runs, of a daemon that does not tell the launch itself. */
function derived(one) {
  const { routing } = one.spec, { cpu, mem, ...rest } = routing.resources || {};
  return { name: one.name, folder: one.folder, count: one.desired_routing_count, public: one.open_to_public, image: routing.image, cpu, mem, resources: rest, environ: routing.environ, destination: routing.model_mount };
}

function Fields({ form, set, bad, known, choose = false }) {
  const models = useAsked("models", () => get("/v1/models"), { skip: !choose }).data || [];
  const input = (key, label, hint, more = {}) => known(key) && html`<${Field} label=${label} hint=${hint} wrong=${bad[key]} class=${more.class}>
    <${Input} name=${key} value=${form[key]} change=${(value) => set((now) => ({ ...now, [key]: value }))} ...${more} /></${Field}>`;
  const into = (key) => (value) => set((now) => ({ ...now, [key]: value }));
  return html`<div class="fields">
      ${choose ? html`<${Field} label="Model folder" class="wide" wrong=${bad.folder} hint="A name below models_dirs, or an absolute path."><${Input} name="folder" value=${form.folder} change=${into("folder")} list="model-folders" data-first /></${Field}>
        <datalist id="model-folders">${models.map((one) => html`<option value=${one.name}>${one.valid ? "" : "its definition is not valid"}</option>`)}</datalist>` : ""}
      ${choose && input("name", "Service name", "Empty: as the definition names it.")}
      ${input("count", "Desired routing count", "How many run side by side.", { inputmode: "numeric" })}
      ${known("public") && html`<${Field} label="Open to public" wrong=${bad.public} hint="Public: requests need no token."><${Select} value=${form.public} change=${into("public")} of=${[...(choose || form.public === "" ? [["", "As the definition says"]] : []), ["no", "No: requests need a token"], ["yes", "Yes: open to everybody"]]} /></${Field}>`}
      ${input("image", "Image", "Containers only.", { mono: true })}
    </div>
    <fieldset class="fieldset"><legend>Resources of each routing</legend><div class="fields three">
      ${input("cpu", "CPU cores", "", { inputmode: "decimal", placeholder: "2" })}${input("mem", "Memory", "", { placeholder: "8g" })}${input("shm", "Shared memory", "", { placeholder: "1g" })}
      ${input("resource_group", "Resource group", "", { placeholder: "default" })}</div></fieldset>
    ${known("resources") && html`<${Pairs} label="Accelerators and other slots" names="Slot (cuda.device)" values="Amount" pairs=${form.resources} change=${into("resources")} wrong=${starting(bad, "resources")} />`}
    ${known("environ") && html`<${Pairs} label="Environment" pairs=${form.environ} change=${into("environ")} wrong=${starting(bad, "environ")} />`}
    ${known("stop_grace") && html`<details class="more" open=${["start_timeout", "unhealthy_timeout", "stop_grace", "retry"].some((key) => bad[key])}><summary>Times and retries</summary><div class="fields">
      ${input("start_timeout", "Start timeout (s)", "It fails if it has not passed its health check within.", { inputmode: "decimal" })}
      ${input("unhealthy_timeout", "Unhealthy timeout (s)", "After so long without a pass it is replaced.", { inputmode: "decimal" })}
      ${input("stop_grace", "Stop grace (s)", "So long it may take to end by itself.", { inputmode: "decimal" })}
      <${Field} label="Retry on another routing" wrong=${bad.retry} hint="Requests whose routing dies before the first byte."><${Select} value=${form.retry} change=${into("retry")} of=${[...(choose || form.retry === "" ? [["", "As the definition says"]] : []), ["yes", "Yes"], ["no", "No"]]} /></${Field}></div></details>`}
    <details class="more" open=${["definition", "destination", "mounts", "cluster_mode", "cluster_size"].some((key) => bad[key])}><summary>Folder, mounts and cluster</summary><div class="fields">
      ${input("definition", "Definition file", "Its name within the folder.", { mono: true, placeholder: "model-definition.yaml" })}
      ${input("destination", "Destination of the folder", "Where the routing sees it.", { mono: true, placeholder: "/models" })}
      ${known("mounts") && html`<${Field} label="Additional mounts" class="wide" wrong=${starting(bad, "mounts")} hint="One a line: SOURCE[:TARGET[:ro|rw]]"><${Area} value=${form.mounts} change=${into("mounts")} rows="2" /></${Field}>`}
      ${known("cluster_mode") && html`<${Field} label="Cluster mode" wrong=${bad.cluster_mode}><${Select} value=${form.cluster_mode} change=${into("cluster_mode")} of=${[["", "As the definition says"], ["single-node", "Single node"], ["multi-node", "Multi node"]]} /></${Field}>`}
      ${known("cluster_size") && input("cluster_size", "Nodes of a routing", "", { inputmode: "numeric" })}
    </div></details>`;
}

const starting = (bad, name) => Object.entries(bad).filter(([key]) => key === name || key.startsWith(`${name}.`)).map(([key, said]) => (key === name ? said : `${key.slice(name.length + 1)}: ${said}`)).join("; ");
