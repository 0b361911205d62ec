// The files of a model folder: looked at, brought, fetched, deleted.
import { html, useRef, useState } from "../../vendor/preact.js";
import { ask, deep, del, get, part } from "../api.js";
import { confirm } from "../dialogs/confirm.js";
import { bytes, percent } from "../format.js";
import { useAsked } from "../live.js";
import { to } from "../router.js";
import { refusal } from "../session.js";
import { Icon } from "../ui/icons.js";
import { Button, Card, Empty, Loading, sentence, Time, Trouble } from "../ui/parts.js";
import { tell } from "../ui/toast.js";
import { forget, resume, stop, upload, uploads } from "./upload.js";

export function Files({ model, at, reload }) {
  const asked = useAsked(`files ${model.name} ${at}`, () => get(`/v1/models/${part(model.name)}/files`, { path: at }), { on: (event) => event.kind.startsWith("service.") });
  const [over, hover] = useState(false);
  const file = useRef(null), folder = useRef(null), depth = useRef(0);
  const why = refusal() || (model.writable === false ? "The daemon may not write into this folder." : "");
  const bring = (list) => {
    if (why) return tell(why, "bad");
    const wanted = list.map(({ file: one, path }) => ({ file: one, path: at ? `${at}/${path}` : path }));
    return upload(model.name, wanted, (path) => { asked.reload(); if (/\.(ya?ml|toml)$/.test(path)) reload(); });
  };
  const chosen = (event) => {
    bring([...event.target.files].map((one) => ({ file: one, path: one.webkitRelativePath || one.name })));
    event.target.value = "";
  };
  const drag = (by) => (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    depth.current = Math.max(0, depth.current + by);
    hover(depth.current > 0);
  };
  const drop = async (event) => {
    event.preventDefault();
    depth.current = 0;
    hover(false);
    bring(await dropped(event.dataTransfer));
  };
  const mine = uploads.value.filter((one) => one.model === model.name);
  const list = (asked.data || []).map((one) => ({ ...one, name: one.path.split("/").at(-1) })).sort((a, b) => (a.kind === b.kind ? a.name.localeCompare(b.name) : a.kind === "folder" ? -1 : 1));
  return html`<div class="drop ${over ? "over" : ""}" onDragEnter=${drag(1)} onDragLeave=${drag(-1)} onDragOver=${(event) => event.preventDefault()} onDrop=${drop}>
    <div class="stack">
    ${mine.length > 0 && html`<${Card} title="Uploads" flush actions=${mine.every((one) => one.state === "done") && html`<${Button} look="plain tiny" onClick=${() => mine.forEach((one) => forget(one.id))}>Clear</${Button}>`}>${mine.map((one) => html`<${Upload} key=${one.id} one=${one} />`)}</${Card}>`}
    <${Card} title=${at ? html`<${Path} model=${model} at=${at} />` : "Files"} flush aria-label="Files" actions=${html`<input type="file" multiple hidden ref=${file} onChange=${chosen} data-upload /><input type="file" hidden ref=${folder} webkitdirectory onChange=${chosen} />
        <${Button} icon="folder" look="tiny" changes off=${why} onClick=${() => folder.current.click()}>Upload a folder</${Button}><${Button} icon="up" look="tiny first" changes off=${why} onClick=${() => file.current.click()}>Upload files</${Button}>`}>
      ${asked.problem && html`<div style=${{ padding: "14px 16px" }}><${Trouble} problem=${asked.problem} retry=${asked.reload} /></div>`}
      ${asked.loading ? html`<div style=${{ padding: "14px 16px" }}><${Loading} /></div>` : list.length ? html`<div class="table-wrap"><table class="table cards"><thead><tr><th>Name</th><th class="number">Size</th><th>Changed</th><th><span class="hidden-text">What to do</span></th></tr></thead><tbody>
        ${at && html`<tr><td colspan="4"><a class="row" href=${to("models", model.name, "files", ...at.split("/").slice(0, -1))}><span class="fileicon"><${Icon} name="folder" /></span>..</a></td></tr>`}
        ${list.map((one) => html`<${File} key=${one.path} one=${one} model=${model} why=${why} reload=${asked.reload} />`)}</tbody></table></div>`
      : !asked.problem && html`<${Empty} icon="up" title="This folder is empty"><p>Drop files here, or choose them: the model’s weights, a server, and a <code>model-definition.yml</code>.</p>
          <div class="row wrap"><${Button} icon="up" look="first" changes off=${why} onClick=${() => file.current.click()}>Upload files</${Button}><a class="button" href=${to("models", model.name, "definition")}>Write a definition</a></div></${Empty}>`}</${Card}></div></div>`;
}

const Path = ({ model, at }) => html`<a href=${to("models", model.name)}>${model.name}</a>${at.split("/").map((step, n, all) => html` / <a href=${to("models", model.name, "files", ...all.slice(0, n + 1))}>${step}</a>`)}`;

function File({ one, model, why, reload }) {
  const is = one.kind === "folder", definition = one.path === model.definition;
  return html`<tr><td><span class="row"><span class="fileicon"><${Icon} name=${is ? "folder" : "file"} /></span>${is ? html`<a href=${to("models", model.name, "files", ...one.path.split("/"))}>${one.name}</a>` : definition ? html`<a href=${to("models", model.name, "definition")}>${one.name}</a> <span class="tag accent">definition</span>` : one.name}</span></td>
    <td class="number" data-name="Size">${is ? "" : bytes(one.size)}</td><td data-name="Changed" class="nowrap"><${Time} of=${one.modified_at} past /></td>
    <td class="actions">${!is && html`<${Button} look="plain tiny" icon="down" name="Download ${one.name}" onClick=${() => download(model, one)} />`}<${Button} look="plain tiny" icon="trash" name="Delete ${one.name}" changes off=${why} onClick=${() => remove(model, one, reload)} /></td></tr>`;
}

function Upload({ one }) {
  const share = one.size ? one.sent / one.size : one.state === "done" ? 1 : 0;
  const said = { waits: "waits", runs: `${bytes(one.sent)} of ${bytes(one.size)}, ${percent(share)}`, done: `${bytes(one.size)}, done`, failed: sentence(one.problem?.detail), stopped: `stopped at ${bytes(one.sent)}` }[one.state];
  return html`<div class="upload"><div class="stack tight" style=${{ gap: 0 }}><span class="strong cut">${one.path}</span><span class="small ${one.state === "failed" ? "status bad" : "quiet"} break" aria-live="polite" style=${{ whiteSpace: "normal" }}>${said}</span></div>
    <div class="row">${["waits", "runs"].includes(one.state) && html`<${Button} look="tiny" onClick=${() => stop(one.id)} name="Stop ${one.path}">Stop</${Button}>`}
      ${["failed", "stopped"].includes(one.state) && html`<${Button} look="tiny first" onClick=${() => resume(one.id)} name="Go on with ${one.path}">Go on</${Button}>`}
      ${!["waits", "runs"].includes(one.state) && html`<${Button} look="plain tiny" icon="close" name="Leave ${one.path} out of this list" onClick=${() => forget(one.id)} />`}</div>
    ${one.state !== "done" && html`<div class="meter" role="progressbar" aria-label="Upload of ${one.path}" aria-valuenow=${Math.round(share * 100)} aria-valuemin="0" aria-valuemax="100"><i style=${{ width: `${share * 100}%` }}></i></div>`}</div>`;
}

/** What was dropped, with all that is in dropped folders. */
async function dropped(transfer) {
  const entries = [...transfer.items].map((one) => one.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => ({ file, path: file.name }));
  const found = [];
  const walk = async (entry, prefix) => {
    if (entry.isFile) found.push({ file: await new Promise((yes, no) => entry.file(yes, no)), path: prefix + entry.name });
    else {
      const reader = entry.createReader();
      for (let some; (some = await new Promise((yes, no) => reader.readEntries(yes, no))).length; ) for (const one of some) await walk(one, `${prefix}${entry.name}/`);
    }
  };
  for (const entry of entries) await walk(entry, "");
  return found;
}

const address = (model, one) => `/v1/models/${part(model.name)}/files/${deep(one.path)}`;

async function download(model, one) {
  try {
    const blob = await (await ask("GET", address(model, one))).blob();
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = one.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  } catch (problem) {
    tell(sentence(problem.detail), "bad");
  }
}

const remove = (model, one, reload) => confirm({
  title: `Delete ${one.name}`, done: "Delete", risky: true, type: one.kind === "folder" ? one.name : "",
  text: one.path === model.definition ? "This is the definition: what is served from it ends." : one.kind === "folder" ? "It is deleted with all that is in it." : "It is deleted from the folder. That cannot be taken back.",
  run: async () => {
    await del(address(model, one));
    tell(`${one.name} is deleted`);
    reload();
  },
});
