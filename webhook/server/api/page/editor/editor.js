// The editor: CodeMirror for YAML, in a shadow root, where its styles are constructed sheets and no inline ones.

import { autocompletion, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { HighlightStyle, bracketMatching, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { EditorState } from "@codemirror/state";
import { EditorView, drawSelection, highlightActiveLine, highlightActiveLineGutter, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";

const colours = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--key)" },
  { tag: [tags.string, tags.content, tags.attributeValue], color: "var(--ink)" },
  { tag: [tags.number, tags.bool, tags.null, tags.keyword], color: "var(--number)" },
  { tag: tags.comment, color: "var(--quiet)", fontStyle: "italic" },
  { tag: [tags.meta, tags.labelName, tags.typeName, tags.separator, tags.punctuation], color: "var(--quiet)" },
]);

const underlined = (colour) => ({
  backgroundImage: "none",
  textDecoration: `underline wavy ${colour} 1.5px`,
  textDecorationSkipInk: "none",
  textUnderlineOffset: "3px",
});
const signs = { error: ["✕", "bad"], warning: ["▲", "warn"], info: ["●", "note"] };
const markers = Object.fromEntries(
  Object.entries(signs).flatMap(([level, [sign, colour]]) => [
    [`.cm-lint-marker-${level}`, { content: "normal" }], // and not an image
    [`.cm-lint-marker-${level}::before`, { content: `"${sign}"`, color: `var(--${colour})`, fontWeight: "700" }],
  ]),
);

const look = EditorView.theme({
  "&": { height: "100%", fontSize: "14px", color: "var(--ink)", backgroundColor: "var(--card)" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.6" },
  ".cm-content": { padding: "12px 0", caretColor: "var(--ink)" },
  ".cm-line": { padding: "0 14px 0 6px" },
  ".cm-gutters": { backgroundColor: "var(--card)", color: "var(--quiet)", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--hover)" },
  ".cm-cursor": { borderLeftColor: "var(--ink)", borderLeftWidth: "2px" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "var(--selected)" },
  ".cm-tooltip": { backgroundColor: "var(--card)", color: "var(--ink)", border: "1px solid var(--line)", borderRadius: "8px", boxShadow: "var(--shadow)", overflow: "hidden" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { fontFamily: "var(--mono)", maxHeight: "16em" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li": { padding: "3px 10px" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--on-accent)" },
  ".cm-completionDetail": { fontStyle: "normal", fontFamily: "var(--sans)", opacity: ".8", marginLeft: "1em" },
  ".cm-completionInfo": { whiteSpace: "pre-line", padding: "8px 10px", fontFamily: "var(--sans)" },
  ".cm-completionIcon": { display: "none" },
  ".cm-diagnostic": { padding: "8px 12px", fontFamily: "var(--sans)", maxWidth: "30rem", border: "none" },
  ".cm-lintRange-error": underlined("var(--bad)"),
  ".cm-lintRange-warning": underlined("var(--warn)"),
  ".cm-lintRange-info": underlined("var(--note)"),
  ".cm-lintRange-active": { backgroundColor: "transparent" },
  ".cm-lint-marker": { display: "grid", placeItems: "center", fontSize: ".8em", lineHeight: "1" },
  ...markers,
  ".cm-lintPoint:after": { border: "none" },
});

const SEVERITY = { error: "error", warning: "warning", note: "info" };

// An editor of `text` in `place`.  `complete(before, above, text)` gives completions for a line up to the cursor; `changed()` and
// `moved(line)` are called when the text changes, and when the cursor goes to another line.
export function create(place, { label, description, text, complete, changed, moved }) {
  const root = place.attachShadow({ mode: "open" });
  const holder = document.createElement("div");
  const sheet = new CSSStyleSheet();
  sheet.replaceSync("div:first-of-type { height: 100%; }");
  root.adoptedStyleSheets = [sheet];
  root.append(holder);

  function source(context) {
    const line = context.state.doc.lineAt(context.pos);
    const above = context.state.doc.slice(0, line.from).toString().split("\n").slice(-40);
    const found = complete(line.text.slice(0, context.pos - line.from), above, context.state.doc.toString());
    return found && { from: line.from + found.from, options: found.options, validFor: /^[^,|=@\s]*$/ };
  }

  let at = 1;
  const view = new EditorView({
    doc: text,
    root,
    parent: holder,
    extensions: [
      lineNumbers(),
      lintGutter(),
      history(),
      drawSelection(),
      bracketMatching(),
      highlightActiveLine(),
      highlightActiveLineGutter(),
      indentUnit.of("  "),
      yaml(),
      syntaxHighlighting(colours),
      autocompletion({ override: [source], icons: false }),
      keymap.of([...completionKeymap, ...lintKeymap, ...historyKeymap, ...defaultKeymap]),
      EditorState.tabSize.of(2),
      EditorView.contentAttributes.of({ "aria-label": label, "aria-description": description, tabindex: "0" }),
      EditorView.updateListener.of((update) => {
        const line = update.state.doc.lineAt(update.state.selection.main.head).number;
        const elsewhere = line !== at;
        at = line;
        if (update.docChanged) changed();
        else if (elsewhere) moved(line);
      }),
      look,
    ],
  });

  return {
    text: () => view.state.doc.toString(),
    line: () => at,
    focus: () => view.focus(),
    replace(from, to, insert) {
      view.dispatch({ changes: { from, to, insert }, selection: { anchor: from + insert.length }, scrollIntoView: true });
    },
    write(text) {
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text }, selection: { anchor: 0 } });
    },
    go(line, column = 0) {
      const { from, to } = view.state.doc.line(Math.min(line, view.state.doc.lines));
      view.dispatch({ selection: { anchor: Math.min(from + column, to) }, effects: EditorView.scrollIntoView(from, { y: "start", yMargin: 24 }) });
    },
    mark(marks) {
      const found = marks.map(({ line, start, end, level, message }) => {
        const { from, to } = view.state.doc.line(Math.min(line, view.state.doc.lines));
        return { from: Math.min(from + start, to), to: Math.min(from + end, to), severity: SEVERITY[level], message };
      });
      view.dispatch(setDiagnostics(view.state, found));
    },
  };
}
