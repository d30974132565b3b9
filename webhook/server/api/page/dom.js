// Elements from data.  Text is always text: nothing here reads HTML.

export function h(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== undefined && value !== null) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false && child !== ""));
  return element;
}

// `text` with a full stop, unless it ends with one.
export const sentence = (text) => (/[.!?]$/.test(text) ? text : `${text}.`);

export const $ = (id) => document.getElementById(id);

// Fills `place` with `children`, unless it was filled for the same `key` before: what a reader has unfolded stays so.
export function fill(place, key, children) {
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  place.replaceChildren(...children().filter(Boolean));
}

// A sentence with `names` in backticks, and [words](links), as an array of nodes.
export function prose(text) {
  return text
    .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
    .split("`")
    .map((part, number) => (number % 2 ? h("code", {}, part) : part));
}

// Rounded as in the drawings.
const two = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2, roundingMode: "halfEven", useGrouping: false });
export const gib = (mib) => `${two.format(mib / 1024)} GiB`;
