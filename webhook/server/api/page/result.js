// The answer, as one reads it: the verdict, what the text contains, remarks, and what changes.

import { $, fill, h, prose, sentence } from "./dom.js";

const OUTCOMES = {
  sliced: ["✓", "good", "Admitted, with its slice"],
  unchanged: ["✓", "good", "Admitted, it already has its slice"],
  untouched: ["–", "calm", "Nothing changes"],
  denied: ["✕", "bad", "Denied"],
  unknown: ["?", "calm", "Not known"],
  unread: ["!", "bad", "Cannot be read"],
};
const SHADOW = {
  sliced: ["◐", "calm", "Not changed, in shadow"],
  denied: ["◐", "calm", "Not denied, in shadow"],
};
const COUNTED = {
  denied: ["denied"],
  "cannot be read": ["unread"],
  admitted: ["sliced", "unchanged"],
  "in shadow": ["shadow"],
  "without a slice": ["untouched"],
  "not known": ["unknown"],
};
const LEVELS = { error: ["✕", "bad"], warning: ["▲", "warn"], note: ["●", "note"] };

const badge = (sign, kind) => h("span", { class: `badge ${kind}`, "aria-hidden": "true" }, sign);
const told = ({ outcome, shadow }) => (shadow && SHADOW[outcome]) || OUTCOMES[outcome];
const title = (entry) => entry.title + (entry.template && !entry.title.endsWith(entry.template) ? `, ${entry.template}` : "");

// What a screen reader is told while one types: the outcome and the sentence, once for each that is new.
function say(text) {
  if ($("said").textContent !== text) $("said").textContent = text;
}

export function problem(text) {
  $("verdict").dataset.key = "";
  $("verdict").replaceChildren(h("div", { class: "verdict bad" }, h("h3", {}, badge("!", "bad"), "No answer"), h("p", {}, text)));
  say(text);
}

// Shows `answer`.  `paragraphs`: why and what to do, by code.  `go(line, column)` and `correct(value)` act in the editor.
// `cut`: what is wrong with the link that was followed.
export function show(answer, paragraphs, { go, correct, choose }, cut) {
  const { entries, shown } = answer;
  entriesOf(answer, choose);
  if (!shown) {
    const empty = [badge("–", "calm"), "Nothing to look at yet", "Write a pod, drop a file, or choose an example."];
    const broken = [badge("!", "bad"), "This link cannot be read", `${cut} Ask for the whole link, or for the pod itself, and paste it here.`];
    const [sign, headline, text] = cut ? broken : empty;
    fill($("verdict"), `empty ${cut}`, () => [h("div", { class: `verdict ${cut ? "bad" : "calm"}` }, h("h3", {}, sign, headline), h("p", {}, text))]);
    for (const id of ["notes", "views"]) fill($(id), "", () => []);
    say(cut ? `${headline}. ${text}` : "The text contains no objects");
    return;
  }
  const known = paragraphs.size > 0;
  const marks = answer.marks.filter((mark) => mark.of === answer.index);
  fill($("verdict"), JSON.stringify([shown, known]), () => [verdict(shown, marks, paragraphs, go, correct, entries[answer.index])]);
  fill($("notes"), JSON.stringify([shown.warnings, shown.advice, known, marks]), () => remarks(shown, marks, paragraphs, go));
  fill($("views"), JSON.stringify([shown.outcome, shown.diff, shown.patch, shown.yaml]), () => views(shown));
  say(`${told(shown)[2]}. ${shown.sentence}`);
}

function verdict(shown, marks, paragraphs, go, correct, entry) {
  const [sign, kind, headline] = told(shown);
  const head = h("h3", {}, badge(sign, kind), headline, shown.denial && code(shown.denial.code));
  const subject = h("p", { class: "subject" }, title(entry), shown.shadow && ": the webhook says what follows, and leaves the pod as it is");
  if (!shown.denial) {
    const given = shown.outcome === "sliced" ? shown.given.map((each) => gets(each, shown.shadow ? "would get" : "gets")) : [];
    const pools = shown.pools.filter((pool) => pool.serves).map((pool) => pool.name);
    const where = given.length ? `In ${pools.length === 1 ? "pool" : "one of the pools"} ${pools.join(", ")}.` : sentence(shown.sentence);
    const mark = shown.outcome === "unread" && marks[0];
    const text = mark ? where.replace(/^text:\d+: /, "") : where;
    return h("div", { class: `verdict ${kind}` }, head, subject, given, h("p", { class: "sentence" }, text), mark && at(mark, `line ${mark.line}`, go));
  }
  const { field, problem, hint, position } = shown.denial;
  const mark = marks.find((each) => each.level === "error");
  return h(
    "div",
    { class: `verdict ${kind}` },
    head,
    subject,
    h("p", { class: "sentence" }, sentence(problem)),
    position !== null && shown.value !== null && caret(shown.value, position),
    h("div", { class: "instead" }, h("h4", {}, hint.startsWith("Write ") ? "What to write" : "What to do"), h("p", {}, sentence(hint)), shown.correction && h("button", { type: "button", class: "primary", onclick: () => correct(shown.correction) }, "Replace it with ", h("code", {}, shown.correction))),
    mark ? at(mark, h("code", {}, field), go) : h("p", { class: "where" }, "At ", h("code", {}, field)),
    paragraph(shown.denial.code, paragraphs),
  );
}

const at = (mark, name, go) =>
  h("p", { class: "where" }, "At ", h("button", { type: "button", class: "link", onclick: () => go(mark.line, mark.start) }, name));

const gets = ({ container, slice, count, resource }, verb) =>
  h("p", { class: "gets" }, h("b", {}, container), ` ${verb} `, h("b", {}, `${count} × ${slice}`), " as ", h("code", {}, resource));

const code = (name) => h("span", { class: "code", title: "The code of this message" }, name);

// The annotation, with a caret under the character that does not fit.
function caret(value, position) {
  const characters = [...value].map((character) => (/\p{C}/u.test(character) ? "␦" : character));
  const before = characters.slice(0, position).join("");
  const label = `gpu-slice: ${value}. The mistake is at character ${position + 1}.`;
  return h(
    "pre",
    { class: "caret", tabindex: "0", role: "img", "aria-label": label },
    `gpu-slice: ${before}`,
    h("mark", {}, characters[position] || " "),
    `${characters.slice(position + 1).join("")}\n${" ".repeat("gpu-slice: ".length + position)}^`,
  );
}

function paragraph(name, paragraphs) {
  const parts = paragraphs.get(name);
  return parts && h("div", { class: "paragraph" }, h("p", {}, h("b", {}, "Why: "), prose(parts[0])), h("p", {}, h("b", {}, "What to do: "), prose(parts[1])));
}

function remarks(shown, marks, paragraphs, go) {
  const all = [...shown.warnings.map((each) => ["warning", each]), ...shown.advice.map((each) => ["note", each])];
  if (!all.length) return [];
  const items = all.map(([level, { code: name, message }]) => {
    const mark = marks.find((each) => each.code === name && each.message.endsWith(message));
    return h(
      "li",
      { class: LEVELS[level][1] },
      h("p", {}, badge(...LEVELS[level]), h("b", {}, level === "warning" ? "Warning" : "Note"), code(name)),
      h("p", {}, message),
      mark && h("p", { class: "where" }, h("button", { type: "button", class: "link", onclick: () => go(mark.line, mark.start) }, `line ${mark.line}`)),
      paragraphs.has(name) && h("details", {}, h("summary", {}, "Why, and what to do"), paragraph(name, paragraphs)),
    );
  });
  return [h("ul", { class: "remarks" }, items)];
}

function entriesOf(answer, choose) {
  const nav = $("entries");
  const { entries } = answer;
  nav.hidden = entries.length < 2;
  fill(nav, JSON.stringify([entries, answer.more]), () => {
    const many = Object.entries(COUNTED)
      .map(([name, outcomes]) => [entries.filter((entry) => outcomes.includes(entry.shadow ? "shadow" : entry.outcome)).length, name])
      .filter(([count]) => count);
    const counts = many.map(([count, name]) => `${count} ${name}`).join(", ");
    const head = `${answer.more ? `The first ${entries.length}` : entries.length} pods and objects: ${counts}${answer.more ? ". The text has more" : ""}.`;
    const buttons = entries.map((entry, index) => {
      const [sign, kind, headline] = told(entry);
      const name = entry.title || "a document";
      return h("li", {}, h("button", { type: "button", onclick: () => choose(index) }, badge(sign, kind), h("span", { class: "name" }, name), h("span", { class: "outcome" }, headline.split(",")[0])));
    });
    return [h("p", { class: "quiet" }, head), h("ol", {}, buttons)];
  });
  nav.querySelectorAll("button").forEach((button, index) => {
    const current = index === answer.index;
    if (current === button.hasAttribute("aria-current")) return;
    button.toggleAttribute("aria-current", current);
    if (current) button.setAttribute("aria-current", "true");
    if (current) reveal(button.parentElement);
  });
}

// Scrolls the list to `item`, and not the page.
function reveal(item) {
  const list = item.parentElement;
  const top = item.offsetTop - list.offsetTop;
  const below = top + item.offsetHeight - list.scrollTop - list.clientHeight;
  if (top < list.scrollTop || below > 0) list.scrollTop = top;
}

let chosen = "Diff";

// The three views of what changes, as tabs.
function views(shown) {
  if (!shown.patch.length && !shown.yaml) return [];
  const contents = {
    Diff: () => (shown.diff.length ? h("pre", {}, shown.diff.map(diffLine)) : h("p", { class: "quiet" }, "Nothing changes.")),
    Patch: () => h("pre", {}, JSON.stringify(shown.patch, null, 2)),
    Pod: () => h("pre", {}, shown.yaml),
  };
  const names = Object.keys(contents);
  const panel = h("div", { role: "tabpanel", id: "panel", tabindex: "0" });
  const tabs = names.map((name) => h("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "panel", onclick: () => select(name) }, name));
  const bar = h("div", { role: "tablist", "aria-label": "What changes" }, tabs);
  bar.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = names[(names.indexOf(chosen) + step + names.length) % names.length];
    select(next);
    tabs[names.indexOf(next)].focus();
    event.preventDefault();
  });
  function select(name) {
    chosen = name;
    tabs.forEach((tab, number) => {
      tab.setAttribute("aria-selected", String(names[number] === name));
      tab.tabIndex = names[number] === name ? 0 : -1;
    });
    panel.setAttribute("aria-labelledby", `tab-${name}`);
    panel.replaceChildren(contents[name]());
  }
  select(chosen);
  return [bar, panel];
}

function diffLine(text, number) {
  const kind = number < 2 ? "head" : { "+": "added", "-": "removed", "@": "hunk" }[text[0]] || "same";
  return h("span", { class: kind }, `${text}\n`);
}
