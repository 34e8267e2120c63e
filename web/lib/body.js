// Bodies as people read them: which views there are for one, and the text of each. Pure.

import { decodeText, hexDump, pretty } from "./format.js";
import { decode as decodeProtobuf } from "./protobuf.js";

// Kinds that a picture element shows without running anything.
const IMAGES = /^image\/(png|jpeg|gif|webp|avif|bmp|x-icon|vnd\.microsoft\.icon)$/;
const MAX_INDENTED = 2_000_000;

// The bytes of a body as base64, whatever the item holds.
function base64(content) {
  if (content.encoding === "base64") return content.text;
  return btoa(String.fromCharCode(...new TextEncoder().encode(content.text.slice(0, MAX_INDENTED))));
}

// {kind: text, image, fields} by view name, in the order in which they are offered; the first is the best.
export function views(content) {
  const mime = (content.mimeType ?? "").split(";")[0].trim().toLowerCase();
  const text = content.encoding === "base64" ? decodeText(content.text) : content.text;
  const found = {};
  if (IMAGES.test(mime) && content.encoding === "base64" && !content.truncated) found.image = { kind: "image", url: `data:${mime};base64,${content.text}` };
  if (text !== null) {
    if (mime === "application/x-www-form-urlencoded") found.form = { kind: "fields", fields: [...new URLSearchParams(text)] };
    const nice = /json$/.test(mime) || /^\s*[[{]/.test(text) ? pretty(text) : /xml$|^text\/html$/.test(mime) || /^\s*<(\?xml|[A-Za-z])/.test(text) ? xml(text) : text;
    if (nice !== text || /^\s*[[{]/.test(nice)) found.pretty = { kind: "text", text: nice };
    found.text = { kind: "text", text };
  }
  if (/protobuf|^application\/grpc/.test(mime) && content.encoding === "base64") {
    const read = decodeProtobuf(content.text, mime.startsWith("application/grpc"));
    if (read !== null) found.protobuf = { kind: "text", text: read };
  }
  found.hex = { kind: "text", text: hexDump(base64(content)) };
  found.base64 = { kind: "text", text: base64(content) };
  if (text === null && found.protobuf) return { protobuf: found.protobuf, ...found };
  return found;
}

const PIECE = /<!--[\s\S]*?-->|<!\[CDATA\[[\s\S]*?\]\]>|<[?!][^>]*>|<\/[^>]+>|<[^>]+>|[^<]+|</g;
const EMPTY = /^<(area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr)\b/i;

// Elements on lines of their own, indented; what is no markup stays as it is.
export function xml(text) {
  if (text.length > MAX_INDENTED) return text;
  const out = [];
  let depth = 0;
  let inline = "";
  const put = (piece, at = depth) => out.push("  ".repeat(Math.max(0, at)) + piece);
  for (const [piece] of text.matchAll(PIECE)) {
    if (!piece.startsWith("<") || piece === "<") {
      if (piece.trim()) inline += piece.trim();
      continue;
    }
    if (piece.startsWith("</")) {
      depth -= 1;
      const last = out.at(-1)?.trim() ?? "";
      // <a>text</a> on one line.
      if (last.startsWith(`<${piece.slice(2, -1).trim()}`) && !last.includes("</") && !last.endsWith("/>")) out[out.length - 1] += inline + piece;
      else {
        if (inline) put(inline, depth + 1);
        put(piece);
      }
      inline = "";
      continue;
    }
    if (inline) put(inline);
    inline = "";
    put(piece);
    if (!/^<[?!]/.test(piece) && !piece.endsWith("/>") && !EMPTY.test(piece)) depth += 1;
  }
  if (inline) put(inline);
  return out.join("\n");
}
