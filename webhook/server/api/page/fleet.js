// What the fleet offers, as a table; and where a pod runs: its pools, and the GPU with its slice.

import { $, fill, gib, h, sentence } from "./dom.js";

// The menu for pods of `namespace`.  `ask(row)` writes the annotation.
export function menu(rows, namespace, ask) {
  const head = ["Slice", "GPU", "Memory", "On a GPU", "On a node", "Instance types", "Pool", "Resource"];
  const body = rows.map((row) =>
    h(
      "tr",
      row.permitted ? {} : { class: "quiet" },
      h("th", { scope: "row" }, row.permitted ? button(row, ask) : [h("code", {}, row.slice), h("p", {}, `not for namespace ${namespace}`)], row.mode === "shadow" && h("p", {}, "in shadow")),
      h("td", {}, row.gpu),
      h("td", {}, row.memory_mib ? gib(row.memory_mib) : "–"),
      h("td", { class: "number" }, String(row.per_gpu)),
      h("td", { class: "number" }, [...new Set(Object.values(row.per_node))].join(", ")),
      h("td", {}, Object.keys(row.per_node).join(", ")),
      h("td", {}, row.pool),
      h("td", {}, h("code", {}, row.resource)),
    ),
  );
  $("menu").replaceChildren(h("table", {}, h("thead", {}, h("tr", {}, head.map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, body)));
}

const button = (row, ask) =>
  h("button", { type: "button", class: "slice", "aria-label": `Ask for ${row.slice} of ${row.gpu}`, onclick: () => ask(row) }, row.slice);

let chosen = "";

export function where(shown, rows) {
  const pools = shown?.pools || [];
  $("gpu").hidden = !pools.length;
  if (!pools.length) return;
  $("gpu-title").textContent = shown.shadow ? "Where it would run" : "Where it runs";
  const serving = pools.filter((pool) => pool.serves);
  if (!serving.some((pool) => pool.name === chosen)) chosen = serving[0]?.name || "";
  draw(shown, serving, rows);
  fill($("pools"), JSON.stringify([pools, chosen]), () => {
    const other = pools.filter((pool) => !pool.serves);
    const choose = (name) => {
      chosen = name;
      where(shown, rows);
      $("pools").querySelector("[aria-pressed=true]")?.focus();
    };
    return [
      serving.length > 0 && h("h3", {}, serving.length === 1 ? "This pool serves it" : "These pools serve it"),
      serving.length > 0 && h("ul", { class: "pools" }, serving.map((pool) => h("li", {}, yes(pool, choose)))),
      other.length > 0 && h("h3", {}, serving.length ? "The others do not" : "No pool serves it"),
      other.length > 0 && h("ul", { class: "pools" }, other.map((pool) => h("li", {}, sign("–", "calm"), h("div", {}, h("b", {}, pool.name), " ", h("span", { class: "quiet" }, pool.gpu), h("p", {}, sentence(pool.why)))))),
    ];
  });
}

const sign = (text, kind) => h("span", { class: `badge ${kind}`, "aria-hidden": "true" }, text);

const yes = (pool, choose) =>
  h(
    "button",
    { type: "button", "aria-pressed": String(pool.name === chosen), onclick: () => choose(pool.name) },
    sign("✓", "good"),
    h("span", {}, h("b", {}, pool.name), " ", h("span", { class: "quiet" }, pool.gpu), h("span", { class: "many" }, `${pool.pods} such pod${pool.pods === 1 ? "" : "s"} on a ${pool.node}`)),
  );

function draw(shown, serving, rows) {
  const pool = serving.find((each) => each.name === chosen);
  const given = shown.given[0];
  fill($("picture"), JSON.stringify([pool, shown.given]), () => {
    if (!pool || !given) return [];
    const names = new Map(rows.filter((row) => row.pool === pool.name).map((row) => [row.resource, row.slice]));
    const left = Object.entries(pool.left).map(([resource, count]) => `${count} × ${names.get(resource) || resource}`);
    const address = `/drawing?${new URLSearchParams({ pool: pool.name, resource: given.resource, count: given.count })}`;
    const told = `One GPU of pool ${pool.name}, with ${given.count} × ${given.slice} for this pod`;
    return [
      h("img", { src: address, alt: told, width: "512" }),
      h("p", {}, "A ", h("b", {}, pool.node), " takes ", h("b", {}, `${pool.pods} such pod${pool.pods === 1 ? "" : "s"}`), `. Beside one of them it has ${left.join(", ")} left.`),
    ];
  });
}
