// The annotation's grammar, completed from what the fleet offers.

import { gib } from "./dom.js";

const KEY = /(["']?)gpu-slice\1[ \t]*:[ \t]*(["']?)/;

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
    info: having.map((row) => `${row.pool}: ${row.per_gpu} on a GPU${row.memory_mib ? `, ${gib(row.memory_mib)}` : ""}${row.mode === "shadow" ? ", in shadow" : ""}`).join("\n"),
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
