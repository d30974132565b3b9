// The page: an editor, and the answer to what is written in it.

import { $, h, sentence } from "./dom.js";
import { examples } from "./examples.js";
import { menu, where } from "./fleet.js";
import { annotationOf, complete, containers } from "./grammar.js";
import * as link from "./link.js";
import { problem, show } from "./result.js";

const LARGE = 20_000; // characters from which on a short pause is waited for
const PAUSE = 120; // milliseconds

// Stands in for the editor while that is loaded: the first answer does not wait for it.
const draft = (text) => ({
  text: () => text,
  line: () => 1,
  go() {},
  replace: (from, to, insert) => editor.write(text.slice(0, from) + insert + text.slice(to)),
  write: (written) => ((editor = draft(written)), changed()),
  focus() {},
  mark() {},
});

let editor = draft("");
let ready = false; // whether it is the real one
let answer = null;
let answered = null; // the text that `answer` is about
let index = null; // the entry that was chosen in the list, until the cursor moves
let asking = null;
let waiting = 0;
let landing = false; // a whole document came: what is wrong in it is shown first
let pending = true; // whether an answer is waited for
let cut = ""; // what is wrong with the link that was followed
let rows = [];
let asker = "default"; // the namespace whose permission `rows` tells
let list = []; // the examples
const paragraphs = new Map();
const namespace = () => $("namespace").value.trim() || "default";


const fleet = fetch("/fleet").then(async (response) => {
  const told = await response.json();
  rows = told.slices;
  return told;
});

function busy(is) {
  pending = is;
  $("result").setAttribute("aria-busy", String(is || !ready));
}

// Shows what the fleet offers, and examples of it that the namespace may use.
function offer() {
  const live = usable().filter((row) => row.mode !== "shadow");
  list = examples(live.length ? live : usable());
  $("example").replaceChildren(h("option", { value: "" }, "choose one"), ...list.map(([name], number) => h("option", { value: number }, name)));
  menu(rows, asker, order);
}

function usable() {
  const permitted = rows.filter((row) => row.permitted);
  return permitted.length ? permitted : rows;
}

// Asks again what is offered, for the namespace as it is now.  A name that no namespace has is told by the dry run.
async function offerAgain() {
  const mine = (asker = namespace());
  const response = await fetch(`/fleet?${new URLSearchParams({ namespace: mine })}`).catch(() => null);
  await fleet;
  if (!response?.ok) return;
  const told = await response.json();
  if (mine !== asker) return;
  rows = told.slices;
  offer();
}

function changed() {
  if (namespace() !== asker) offerAgain();
  busy(true);
  index = null;
  clearTimeout(waiting);
  const size = editor.text().length;
  if (size > LARGE) waiting = setTimeout(ask, PAUSE);
  else ask();
  remember();
}

function moved(line) {
  if (!answer || answered !== editor.text() || answer.entries.length < 2) return;
  const before = answer.entries.filter((entry) => entry.line <= line).length - 1;
  if (Math.max(before, 0) === answer.index) return;
  index = null;
  ask();
}

// Asks for the answer to the text as it is; with `write`, also where to write that annotation.  A newer question ends an
// older one, so no old answer is shown.
async function ask(write) {
  busy(true);
  clearTimeout(waiting);
  asking?.abort();
  const mine = (asking = new AbortController());
  const text = editor.text();
  const query = new URLSearchParams({ namespace: namespace(), line: editor.line() });
  if (index !== null) query.set("index", index);
  if (write) query.set("write", write);
  try {
    const response = await fetch(`/dry-run?${query}`, { method: "POST", headers: { "Content-Type": "application/yaml" }, body: text, signal: mine.signal });
    const [body] = await Promise.all([response.text(), fleet]);
    if (mine.signal.aborted || editor.text() !== text) return; // a text that has changed since is asked about again
    $("namespace").setAttribute("aria-invalid", String(response.status === 422));
    if (response.ok) take(text, JSON.parse(body), write);
    else refuse(sentence(body));
  } catch (error) {
    if (error.name !== "AbortError") refuse("The server does not answer. Is it still running?");
  }
}

function take(text, found, write) {
  [answer, answered] = [found, text];
  if (text) cut = "";
  const denied = found.entries.findIndex((entry) => entry.outcome === "denied");
  const elsewhere = landing && denied >= 0 && found.entries[found.index].outcome !== "denied";
  landing = false;
  render();
  busy(false);
  if (write) put(found, write);
  else if (elsewhere) choose(denied);
}

function render() {
  show(answer, paragraphs, { go, correct, choose }, cut);
  where(answer.shown, rows);
  editor.mark(answer.marks);
}

function refuse(text) {
  answer = null;
  editor.mark([]);
  $("gpu").hidden = true;
  for (const id of ["entries", "notes", "views"]) $(id).replaceChildren((delete $(id).dataset.key, ""));
  problem(text);
  busy(false);
}

// Shows `written`, with line ends as the editor has them.
function bring(written) {
  const text = written.replace(/\r\n?/g, "\n");
  landing = true;
  if (editor.text() === text) changed();
  else editor.write(text);
}

function go(line, column) {
  editor.go(line, column);
  $("editor").scrollIntoView({ block: "nearest" });
  editor.focus();
}

function choose(number) {
  index = number;
  editor.go(answer.entries[number].line);
  index = number;
  ask();
}

function correct(value) {
  ask(value);
  editor.focus();
}

// Asks for a row of the menu, in the entry that is shown.
function order(row) {
  if (editor.text().trim()) ask(annotationOf(row, rows));
  else editor.write(examples([row])[0][1]);
}

// Writes what the server found for the annotation `value`, which may be nothing.
function put({ edit, instead }, value) {
  if (!edit) return tell(instead);
  editor.replace(edit.start, edit.end, edit.insert);
  index = edit.index;
  ask();
  tell(`The pod asks for ${value}`);
}

function tell(text) {
  const told = h("div", { class: "told", role: "status" }, text);
  document.querySelector(".told")?.remove();
  document.body.append(told);
  setTimeout(() => told.remove(), Math.max(4000, 60 * text.length));
}

let remembering = 0;

// Keeps the document in the address, so that a copy of it, and a reload, show the same.
function remember() {
  clearTimeout(remembering);
  remembering = setTimeout(async () => {
    try {
      history.replaceState(null, "", await link.write(editor.text(), namespace()));
    } catch {
      history.replaceState(null, "", location.pathname); // too long, or a browser without compression
    }
  }, 300);
}

async function copy() {
  try {
    const address = new URL(await link.write(editor.text(), namespace()), location.href).href;
    history.replaceState(null, "", address);
    await navigator.clipboard.writeText(address);
    tell("The link is copied. It carries the whole document.");
  } catch {
    tell("The link is in the address bar: copy it from there.");
  }
}

async function open() {
  try {
    const carried = await link.read(location.hash);
    if (!carried) return false;
    $("namespace").value = carried.namespace;
    cut = "";
    bring(carried.text);
  } catch (error) {
    cut = error instanceof RangeError ? `It carries more than ${link.LONGEST / 1024} KiB.` : "It was probably cut on its way.";
    bring("");
  }
  return true;
}

async function read(files) {
  const texts = await Promise.all([...files].map((file) => (file.size > link.LONGEST ? null : file.arrayBuffer())));
  if (texts.includes(null)) return tell("A file is larger than 512 KiB. gpu-slice preview FILE has no limit.");
  try {
    const decoder = new TextDecoder("utf-8", { fatal: true });
    bring(texts.map((text) => decoder.decode(text)).join("\n---\n"));
    editor.focus();
  } catch {
    tell("The file is no text in UTF-8.");
  }
}

function listen() {
  $("namespace").addEventListener("input", changed);
  $("copy").addEventListener("click", copy);
  $("open").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => read($("file").files));
  addEventListener("hashchange", open);
  for (const name of ["dragenter", "dragover"]) {
    document.addEventListener(name, (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      document.body.classList.add("dropping");
    }, true);
  }
  document.addEventListener("dragleave", (event) => event.relatedTarget || document.body.classList.remove("dropping"), true);
  document.addEventListener("drop", (event) => {
    document.body.classList.remove("dropping");
    if (!event.dataTransfer?.files.length) return;
    event.preventDefault();
    event.stopPropagation();
    read(event.dataTransfer.files);
  }, true);
}

async function start() {
  const opened = await open();
  const { cluster } = await fleet;
  $("cluster").textContent = `Cluster ${cluster}.`;
  offer();
  if (!opened) bring(list[0][1]);
  const messages = fetch("/page/messages.json").then((response) => response.json());
  // Only now, because it keeps the browser busy for a while.  It is loaded already: see index.html.
  const module = await import("./editor.bundle.js").catch(() => ($("plain").hidden = false, import("./plain.js")));
  editor = module.create($("editor"), {
    label: "YAML of a pod or a workload",
    description: $("write-help").textContent,
    text: editor.text(),
    complete: (before, above, text) => complete(before, above, containers(text), usable()),
    changed,
    moved,
  });
  for (const [code, parts] of Object.entries(await messages)) paragraphs.set(code, parts);
  ready = true;
  busy(pending);
  if (answer) render();
  if (index !== null) choose(index);
  $("example").addEventListener("change", () => $("example").value && bring(list[$("example").value][1]));
  listen();
}

start().catch(() => refuse("The server does not answer. Reload the page in a moment."));
