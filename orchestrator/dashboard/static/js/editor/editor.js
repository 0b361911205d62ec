// The editor of definitions. It lives in a shadow root: there its styles need no exception from the page's policy.
import { autocompletion, closeBrackets, closeBracketsKeymap, Compartment, completionKeymap, defaultKeymap, drawSelection, EditorState, EditorView, foldGutter, foldKeymap, highlightActiveLine, highlightActiveLineGutter, highlightSelectionMatches, HighlightStyle, history, historyKeymap, hoverTooltip, indentOnInput, indentUnit, indentWithTab, keymap, lineNumbers, lintGutter, lintKeymap, search, searchKeymap, setDiagnostics, syntaxHighlighting, tags, yaml } from "../../vendor/codemirror.js";
import { indentAfter, placeAt, siblings } from "./place.js";
import { begins, keysAt, schemasAt, valuesAt, words } from "./schema.js";

const looks = EditorView.theme({
  "&": { height: "100%", fontSize: "13px", color: "var(--text)", backgroundColor: "var(--surface)" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.6" },
  ".cm-content": { caretColor: "var(--accent)", padding: "10px 0" },
  ".cm-cursor": { borderLeftColor: "var(--accent)", borderLeftWidth: "2px" },
  ".cm-gutters": { backgroundColor: "var(--surface)", color: "var(--quiet)", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--softer)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { background: "color-mix(in srgb, var(--accent) 24%, transparent) !important" },
  ".cm-selectionMatch, .cm-searchMatch": { backgroundColor: "color-mix(in srgb, var(--warn) 28%, transparent)" },
  ".cm-tooltip": { backgroundColor: "var(--raised)", color: "var(--text)", border: "1px solid var(--line-strong)", borderRadius: "8px", boxShadow: "var(--shadow-2)", overflow: "hidden" },
  ".cm-tooltip-autocomplete > ul": { fontFamily: "var(--mono)", maxHeight: "16em" },
  ".cm-tooltip-autocomplete > ul > li": { padding: "3px 10px" },
  ".cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "var(--accent-soft)", color: "var(--accent-strong)" },
  ".cm-completionDetail": { color: "var(--quiet)", fontStyle: "normal", marginLeft: "10px", fontFamily: "var(--sans)" },
  ".cm-completionMatchedText": { textDecoration: "none", fontWeight: "700" },
  ".cm-completionInfo, .about": { padding: "8px 12px", maxWidth: "400px", fontFamily: "var(--sans)", fontSize: "13px", lineHeight: "1.45" },
  ".about b": { fontFamily: "var(--mono)" }, ".about p": { margin: "2px 0" }, ".about .more": { color: "var(--quiet)" },
  ".cm-diagnostic": { borderLeftWidth: "3px", padding: "6px 12px", fontFamily: "var(--sans)", fontSize: "13px", maxWidth: "460px" },
  ".cm-diagnostic-error": { borderLeftColor: "var(--bad)" }, ".cm-diagnostic-warning": { borderLeftColor: "var(--warn)" },
  ".cm-lintRange-error": { backgroundImage: "none", textDecoration: "underline wavy var(--bad)", textUnderlineOffset: "3px", textDecorationSkipInk: "none" },
  ".cm-lintRange-warning": { backgroundImage: "none", textDecoration: "underline wavy var(--warn)", textUnderlineOffset: "3px", textDecorationSkipInk: "none" },
  ".cm-lint-marker": { content: "normal", width: "9px", height: "9px", margin: "5px 0 0 2px", borderRadius: "50%" },
  ".cm-lint-marker-error": { content: "normal", background: "var(--bad)" },
  ".cm-lint-marker-warning": { content: "normal", background: "var(--warn)", clipPath: "polygon(50% 0, 100% 100%, 0 100%)", borderRadius: "0" },
  ".cm-lintPoint:after": { borderBottomColor: "var(--bad)" },
  ".cm-panels": { backgroundColor: "var(--soft)", color: "var(--text)", borderColor: "var(--line)" },
  ".cm-panel input, .cm-panel button": { font: "inherit", background: "var(--surface)", color: "var(--text)", border: "1px solid var(--line-strong)", borderRadius: "5px", backgroundImage: "none" },
  ".cm-foldPlaceholder": { background: "var(--soft)", border: "1px solid var(--line)", color: "var(--quiet)" },
});

const colours = HighlightStyle.define([
  { tag: [tags.definition(tags.propertyName), tags.propertyName], color: "var(--code-key)" },
  { tag: [tags.string, tags.content, tags.attributeValue], color: "var(--code-text)" },
  { tag: [tags.number, tags.bool, tags.null, tags.keyword, tags.literal], color: "var(--code-number)" },
  { tag: [tags.comment, tags.lineComment], color: "var(--code-note)", fontStyle: "italic" },
  { tag: [tags.punctuation, tags.separator, tags.brace, tags.squareBracket], color: "var(--quiet)" },
]);

const linesOf = (state) => state.doc.toString().split("\n");

function about(root, key, schema) {
  const box = document.createElement("div");
  box.className = "about";
  const add = (tag, text, name = "") => { const one = document.createElement(tag); one.textContent = text; one.className = name; box.append(one); };
  const told = words(root, schema);
  add("b", key);
  if (told.said) add("p", told.said);
  add("p", [told.kind, told.bounds, told.usual && `default ${told.usual}`].filter(Boolean).join(" · "), "more");
  if (told.example) add("p", `for example ${told.example}`, "more");
  return box;
}

const short = (kind) => { const said = kind.replace(/ or null\b/, ""); return said.length < 26 ? said : ""; };

const completes = (schema) => (context) => {
  const root = schema();
  if (!root) return null;
  const line = context.state.doc.lineAt(context.pos), column = context.pos - line.from;
  const lines = linesOf(context.state), row = line.number - 1;
  const before = line.text.slice(0, column);
  if (/^\s*#|\s#/.test(before)) return null;
  const place = placeAt(lines, row, column);
  const word = context.matchBefore(/[\w.-]*$/);
  if (place.inValue) {
    if (!context.explicit && word.from === word.to) return null;
    const typed = line.text.slice(word.from - line.from).trim();
    const options = valuesAt(root, [...place.path, place.key]).filter((one) => one !== typed).map((label) => ({ label, type: "constant" }));
    return options.length && !/^[\d.]+$/.test(typed) ? { from: word.from, options, validFor: /^[\w.-]*$/ } : null;
  }
  if (!/^\s*(?:-\s+)*[\w.-]*$/.test(before)) return null;
  const blank = !line.text.trim();
  if (!context.explicit && word.from === word.to && !blank) return null;
  const there = siblings(lines, row, place.indent);
  const options = keysAt(root, place.path).filter((one) => !there.has(one.key)).map(({ key, schema: its, required }) => {
    const begin = begins(root, its), told = words(root, its), pad = " ".repeat(place.indent + 2);
    return { label: key, detail: required ? "required" : short(told.kind), type: "property", boost: required ? 1 : 0, info: () => about(root, key, its),
      apply: key + (begin === "map" ? `:\n${pad}` : begin === "list" ? `:\n${pad}- ` : ": ") };
  });
  if (!options.length && place.path.at(-1) === "-") return null;
  return options.length ? { from: word.from, options, validFor: /^[\w.-]*$/ } : null;
};

function newline(view) {
  const { state } = view, range = state.selection.main, line = state.doc.lineAt(range.head);
  const before = line.text.slice(0, range.head - line.from);
  if (state.readOnly || !range.empty || !before.trim()) return false;
  view.dispatch(state.update(state.replaceSelection(`\n${" ".repeat(indentAfter(before))}`), { scrollIntoView: true, userEvent: "input" }));
  return true;
}

const explains = (schema) => hoverTooltip((view, pos) => {
  const root = schema(), line = view.state.doc.lineAt(pos);
  if (!root) return null;
  const place = placeAt(linesOf(view.state), line.number - 1, pos - line.from);
  const at = line.text.indexOf(place.key ?? "\0");
  if (!place.key || pos - line.from < at || pos - line.from > at + place.key.length) return null;
  const found = schemasAt(root, place.path).find((one) => one.properties?.[place.key])?.properties[place.key];
  return found ? { pos: line.from + at, end: line.from + at + place.key.length, above: true, create: () => ({ dom: about(root, place.key, found) }) } : null;
});

/** Problems of the daemon as marks in the text: exactly at their line and column, up to the end of the word. */
function marks(state, problems) {
  return problems.filter((one) => one.line > 0).map((one) => {
    const line = state.doc.line(Math.min(one.line, state.doc.lines));
    const from = Math.min(line.to, line.from + Math.max(0, (one.column || 1) - 1));
    const rest = state.doc.sliceString(from, line.to);
    const to = Math.max(Math.min(line.to, from + (/^("[^"]*"|'[^']*'|[^\s:,[\]{}]+)/.exec(rest)?.[0].length || rest.trimEnd().length)), from);
    return { from: from === to ? line.from : from, to: from === to ? line.to : to, severity: one.severity === "error" ? "error" : "warning", message: one.message + (one.hint ? `\n${one.hint}` : "") };
  }).sort((a, b) => a.from - b.from);
}

/**
 * Puts an editor into `host`. → {text(), set(text), problems(list), goTo(line, column), editable(yes), destroy()}
 */
export function edit(host, { text, schema, change, save, label }) {
  const root = host.shadowRoot || host.attachShadow({ mode: "open" });
  const frame = document.createElement("div");
  frame.style.height = "100%";
  root.append(frame);
  const locked = new Compartment();
  const extensions = [
    lineNumbers(), highlightActiveLineGutter(), highlightActiveLine(), foldGutter(), lintGutter(), history(), drawSelection(), indentOnInput(), closeBrackets(), highlightSelectionMatches(), search({ top: true }),
    indentUnit.of("  "), EditorState.tabSize.of(2), EditorView.lineWrapping, yaml(), syntaxHighlighting(colours), looks,
    autocompletion({ override: [completes(schema)], activateOnTyping: true, icons: false }), explains(schema), locked.of([]),
    keymap.of([{ key: "Enter", run: newline }, { key: "Mod-s", preventDefault: true, run: () => { save(); return true; } }, { key: "Escape", run: () => false }, ...closeBracketsKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap, ...foldKeymap, ...completionKeymap, ...lintKeymap, indentWithTab]),
    EditorView.updateListener.of((update) => { if (update.docChanged) change(update.state.doc.toString()); }),
    EditorView.contentAttributes.of({ "aria-label": label, spellcheck: "false" }),
  ];
  const view = new EditorView({ state: EditorState.create({ doc: text, extensions }), parent: frame, root });
  return {
    text: () => view.state.doc.toString(),
    set: (next) => view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: next } }),
    problems: (list) => view.dispatch(setDiagnostics(view.state, marks(view.state, list))),
    goTo: (row, column = 1) => {
      const line = view.state.doc.line(Math.max(1, Math.min(row, view.state.doc.lines)));
      view.dispatch({ selection: { anchor: Math.min(line.to, line.from + Math.max(0, column - 1)) }, effects: EditorView.scrollIntoView(line.from, { y: "center" }) });
      view.focus();
    },
    editable: (yes) => view.dispatch({ effects: locked.reconfigure(yes ? [] : [EditorState.readOnly.of(true)]) }),
    destroy: () => { view.destroy(); frame.remove(); },
  };
}
