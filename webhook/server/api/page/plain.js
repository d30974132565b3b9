// A text area in place of the editor, where the editor was not built.

export function create(place, { label, text, changed, moved }) {
  const area = document.createElement("textarea");
  area.setAttribute("aria-label", label);
  area.spellcheck = false;
  area.autocapitalize = "off";
  area.value = text;
  place.append(area);
  const lineAt = (position) => area.value.slice(0, position).split("\n").length;
  const offset = (line, column) => {
    const before = area.value.split("\n").slice(0, line - 1);
    return before.reduce((sum, text) => sum + text.length + 1, 0) + column;
  };
  let at = 1;
  area.addEventListener("input", () => {
    at = lineAt(area.selectionStart);
    changed();
  });
  document.addEventListener("selectionchange", () => {
    if (document.activeElement !== area || lineAt(area.selectionStart) === at) return;
    at = lineAt(area.selectionStart);
    moved(at);
  });
  return {
    text: () => area.value,
    line: () => at,
    focus: () => area.focus(),
    replace(from, to, insert) {
      area.setRangeText(insert, from, to, "end");
      changed();
    },
    write(text) {
      area.value = text;
      area.setSelectionRange(0, 0);
      at = 1;
      changed();
    },
    go(line, column = 0) {
      area.setSelectionRange(offset(line, column), offset(line, column));
      area.scrollTop = (line - 2) * parseFloat(getComputedStyle(area).lineHeight);
      if (line !== at) moved((at = line));
    },
    mark() {},
  };
}
