// The keyboard: one letter where nothing is typed, and a palette that finds everything.
import { html, signal, useEffect, useRef, useState } from "../vendor/preact.js";
import { get } from "./api.js";
import { startService } from "./dialogs/launch.js";
import { useAsked } from "./live.js";
import { go, to } from "./router.js";
import { PAGES } from "./shell.js";
import { anyOpen, Dialog, show } from "./ui/dialog.js";
import { Icon } from "./ui/icons.js";
import { Status } from "./ui/status.js";

const LIST = [
  [["/"], "Search on this page"], [["Ctrl", "K"], "Go to a service, a model or a page"], [["n"], "Start a service"],
  [["j"], "Next row"], [["k"], "Row before"], [["Enter"], "Open the row"], [["Esc"], "Close, or leave the search"],
  ...PAGES.map(([, name, key]) => [["g", key], name]), [["?"], "This list"],
];

export const openKeys = () => show((close) => html`<${Dialog} title="Keyboard shortcuts" close=${close}>
  <dl class="keys-list">${LIST.map(([keys, what]) => html`<dt>${keys.map((one) => html`<kbd>${one}</kbd> `)}</dt><dd>${what}</dd>`)}</dl></${Dialog}>`);
export const openPalette = () => show((close) => html`<${Palette} close=${close} />`);

/** Moves among the rows of a list: pages set it to {move(by), open()}. */
export const rows = signal(null);

const typing = (target) => target.closest("input, textarea, select, [contenteditable], .editor, dialog");

export function Keys() {
  useEffect(() => {
    let before = "";
    const press = (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k" && !event.target.closest(".editor")) {
        event.preventDefault();
        if (!anyOpen()) openPalette();
        return;
      }
      if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || anyOpen()) return;
      const key = event.key, page = before === "g" && PAGES.find(([, , letter]) => letter === key);
      before = key === "g" ? "g" : "";
      const run = page ? () => go(to(page[0])) : {
        "/": () => document.querySelector("[data-search]")?.focus(),
        "?": openKeys, n: () => startService(), j: () => rows.value?.move(1), k: () => rows.value?.move(-1),
        Enter: event.target === document.body && rows.value ? () => rows.value.open() : null,
      }[key];
      if (!run) return;
      event.preventDefault();
      run();
    };
    document.addEventListener("keydown", press);
    return () => document.removeEventListener("keydown", press);
  }, []);
  return null;
}

function Palette({ close }) {
  const [text, type] = useState(""), [at, move] = useState(0);
  const list = useRef(null);
  const services = useAsked("services", () => get("/v1/services")).data || [];
  const models = useAsked("models", () => get("/v1/models")).data || [];
  const wanted = text.toLowerCase().trim();
  const all = [
    ...PAGES.map(([key, name]) => ({ name, kind: "Page", icon: key, address: to(key) })),
    { name: "Start a service", kind: "Action", icon: "plus", run: () => startService() },
    ...services.map((one) => ({ name: one.name, kind: html`<${Status} of=${one.status} />`, icon: "services", address: to("services", one.name) })),
    ...models.map((one) => ({ name: one.name, kind: "Model folder", icon: "models", address: to("models", one.name) })),
  ];
  const score = (name) => (name.startsWith(wanted) ? 0 : name.includes(wanted) ? 1 : 2);
  const found = all.filter((one) => score(one.name.toLowerCase()) < 2).sort((a, b) => score(a.name.toLowerCase()) - score(b.name.toLowerCase())).slice(0, 40);
  const choose = (one) => {
    close();
    if (one?.address) go(one.address);
    else one?.run();
  };
  const press = (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by && found.length) {
      event.preventDefault();
      const next = (at + by + found.length) % found.length;
      move(next);
      list.current.children[next]?.scrollIntoView({ block: "nearest" });
    }
    if (event.key === "Enter" && found[at]) choose(found[at]);
  };
  return html`<${Dialog} title="Go to" close=${close} class="palette" frame=${false}>
    <input class="input" data-first placeholder="Go to a service, a model, a page…" aria-label="Go to" role="combobox" aria-expanded="true" aria-controls="palette-list"
      aria-activedescendant=${found[at] ? `palette-${at}` : undefined} value=${text} onInput=${(event) => { type(event.target.value); move(0); }} onKeyDown=${press} autocomplete="off" spellcheck=${false} />
    <ul role="listbox" id="palette-list" aria-label="Found" ref=${list}>${found.map((one, n) => html`<li role="option" id="palette-${n}" aria-selected=${n === at ? "true" : "false"}
      onClick=${() => choose(one)} onPointerMove=${() => n !== at && move(n)}><${Icon} name=${one.icon} /><span class="grow cut">${one.name}</span><span class="quiet small">${one.kind}</span></li>`)}</ul>
    ${!found.length && html`<div class="empty"><p>Nothing is called “${text}”.</p></div>`}</${Dialog}>`;
}
