// A link that carries the document: compressed, in the fragment, so that it never leaves the browser.

export const LONGEST = 512 * 1024;

async function through(bytes, stream) {
  const reader = new Blob([bytes]).stream().pipeThrough(stream).getReader();
  const parts = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.length;
    if (size > LONGEST) throw new RangeError("too long");
    parts.push(value);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

export async function write(text, namespace) {
  const packed = await through(new TextEncoder().encode(text), new CompressionStream("deflate-raw"));
  let binary = "";
  for (const byte of packed) binary += String.fromCharCode(byte);
  const code = btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  return `#${namespace === "default" ? "" : `n=${encodeURIComponent(namespace)}&`}d=${code}`; // the end is what is cut
}

// What the fragment carries; null where it carries nothing.  Throws where it cannot be read, RangeError where it is too
// long.
export async function read(fragment) {
  const parts = new URLSearchParams(fragment.replace(/^#/, ""));
  if (!parts.has("d") && !parts.has("n")) return null;
  const code = parts.get("d") || "";
  const binary = atob(code.replaceAll("-", "+").replaceAll("_", "/"));
  const packed = Uint8Array.from(binary, (character) => character.charCodeAt(0));
  const bytes = await through(packed, new DecompressionStream("deflate-raw"));
  return { text: new TextDecoder("utf-8", { fatal: true }).decode(bytes), namespace: parts.get("n") || "default" };
}
