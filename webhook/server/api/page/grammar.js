// The annotation's grammar, completed from what the fleet offers.

import { gib } from "./dom.js";

export const KEY = /(["']?)gpu-slice\1[ \t]*:[ \t]*(["']?)/;

// The annotations that ask for `rows` of the menu: with the GPU where a slice of that name is on several.
export function annotationOf(row, rows) {
  const gpus = new Set(rows.filter((other) => other.slice === row.slice).map((other) => other.gpu));
  return gpus.size > 1 ? `${row.slice}@${row.gpu}` : row.slice;
}

// What may stand at the end of `before`, a line up to the cursor.  `names`: the containers.  Null where nothing is known.
export function complete(before, above, names, rows) {
  const key = KEY.exec(before);
  if (!key) return underAnnotations(before, above);
  const value = before.slice(key.index + key[0].length);
  const word = /[^,|=@ ]*$/.exec(value)[0];
  const count = /^\d+x/.exec(word)?.[0] || "";
  const from = before.length - word.length + count.length;
  const separator = value.slice(0, value.length - word.length).trimEnd().at(-1) || "";
  if (separator === "@") {
    const slice = /([^,|=@ ]*) *@ *[^,|=@ ]*$/.exec(value)[1].replace(/^\d+x/, "");
    const having = rows.filter((row) => row.slice === slice);
    const gpus = new Set((having.length ? having : rows).flatMap((row) => [row.family, row.gpu]));
    return { from, options: [...gpus].map((label) => ({ label, detail: "GPU", type: "type" })) };
  }
  const options = [...slices(rows), ...sizes(rows)];
  if (!count && (separator === "," || separator === "")) {
    const taken = value.split(",").map((part) => part.split("=")[0].trim());
    const free = names.length > 1 ? names.filter((name) => !taken.includes(name)) : [];
    options.unshift(...free.map((name) => ({ label: `${name}=`, detail: "container", type: "variable", boost: separator ? 2 : -1 })));
  }
  return { from, options };
}

function slices(rows) {
  const seen = new Map();
  for (const row of rows) {
    const known = seen.get(row.slice) || [];
    known.push(row);
    seen.set(row.slice, known);
  }
  return [...seen].map(([label, having]) => ({
    label,
    type: "constant",
    boost: 1,
    detail: [...new Set(having.map((row) => row.gpu))].join(", "),
    info: having.map((row) => `${row.pool}: ${row.per_gpu} on a GPU${row.memory_mib ? `, ${gib(row.memory_mib)}` : ""}`).join("\n"),
  }));
}

function sizes(rows) {
  const mig = rows.filter((row) => /^\d+g\./.test(row.slice));
  if (!mig.length) return [];
  const memory = [...new Set(mig.map((row) => Number(/\.(\d+)gb/.exec(row.slice)[1])))].sort((one, other) => one - other);
  return [
    ...["1/7", "2/7", "1/2"].map((label) => ({ label, detail: "of a GPU, at least", type: "keyword", boost: -2 })),
    ...memory.map((size) => ({ label: `${size}gb`, detail: "of memory, at least", type: "keyword", boost: -3 })),
  ];
}

// The key itself, in a mapping of annotations.
function underAnnotations(before, above) {
  const typed = /^(\s+)(g[\w-]*)$/.exec(before);
  if (!typed) return null;
  for (const line of above.toReversed()) {
    const indent = /^\s*/.exec(line)[0].length;
    if (line.trim() && indent < typed[1].length) {
      const inside = /^\s*annotations:\s*$/.test(line);
      return inside ? { from: typed[1].length, options: [{ label: "gpu-slice: ", detail: "asks for a slice", type: "property" }] } : null;
    }
  }
  return null;
}

export const containers = (text) => [...new Set([...text.matchAll(/^\s*-\s+name:\s*["']?([a-z0-9-]+)/gm)].map((match) => match[1]))];

// `text` with `value` as its annotation, in the lines from `first` to before `last`: {from, to, insert}; null where no
// place for it is found.
export function place(text, first, last, template, value) {
  const lines = text.split("\n");
  const starts = [0];
  for (const line of lines) starts.push(starts.at(-1) + line.length + 1);
  const range = [];
  for (let number = first - 1; number < Math.min(last - 1, lines.length); number += 1) range.push(number);
  for (const number of range) {
    const key = KEY.exec(lines[number]);
    if (!key) continue;
    const from = key.index + key[0].length;
    const rest = lines[number].slice(from);
    const end = key[2] ? rest.indexOf(key[2]) : /\s+#|\s*$|[}\]]/.exec(rest).index;
    return { from: starts[number] + from, to: starts[number] + from + Math.max(end, 0), insert: value };
  }
  const indentOf = (number) => /^[\s-]*/.exec(lines[number])[0].length;
  const top = template ? indentOf(first - 1) : -1;
  const metadata = range.find((number) => /^\s*metadata:\s*$/.test(lines[number]) && indentOf(number) > top);
  const at = (number, added) => ({ from: starts[number + 1], to: starts[number + 1], insert: `${added}\n` });
  if (metadata !== undefined && metadata + 1 < lines.length) {
    const inner = " ".repeat(indentOf(metadata) + 2);
    const annotations = range.find((number) => number > metadata && lines[number] === `${inner}annotations:`);
    if (annotations !== undefined) return at(annotations, `${inner}  gpu-slice: ${value}`);
    return at(metadata, `${inner}annotations:\n${inner}  gpu-slice: ${value}`);
  }
  if (template && first < lines.length) {
    const inner = " ".repeat(top + 2);
    return at(first - 1, `${inner}metadata:\n${inner}  annotations:\n${inner}    gpu-slice: ${value}`);
  }
  return null;
}
