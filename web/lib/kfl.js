// KFL clauses out of values. Pure.

import { visible } from "./bidi.js";

// What the server counts as failed, as a clause.
export const FAILURES = "(response.status >= 500 or response.success == false or error)";

const WORD = /^[A-Za-z_][A-Za-z0-9_]*$/;

// The path of a member as KFL writes it: request.headers["Content-Type"].
export function path(names) {
  return names.reduce((text, name) => {
    if (typeof name === "number") return `${text}[${name}]`;
    if (text === "") return name;
    return WORD.test(name) ? `${text}.${name}` : `${text}[${quote(name)}]`;
  }, "");
}

const STEP = /\.?([^.[\]"'`\s]+)|\[(\d+)\]|\[("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\]/y;

// The names of a path that somebody wrote, as request.headers["Host"]; null where it is none.
export function namesOf(text) {
  const found = [];
  STEP.lastIndex = 0;
  while (STEP.lastIndex < text.length) {
    const step = STEP.exec(text);
    if (!step || (found.length === 0 && !WORD.test(step[1] ?? ""))) return null;
    found.push(step[1] ?? (step[2] === undefined ? step[3].slice(1, -1).replace(/\\(?:u([\da-f]{4})|(.))/gi, (_, code, one) => (code ? String.fromCharCode(parseInt(code, 16)) : one)) : Number(step[2])));
  }
  return found.length ? found : null;
}

// What somebody wrote as a value of a field of these types, of which none is known where the list is empty.
export function valueOf(text, types) {
  const may = (type) => types.length === 0 || types.includes(type);
  if (types.includes("Bool") && /^(true|false)$/.test(text)) return text === "true";
  return may("Int") && /^-?\d{1,15}(\.\d{1,15})?$/.test(text) ? Number(text) : text;
}

// A text may not hold a line feed as it is, and what turns text around would do so in the filter box.
export function quote(text) {
  return `"${visible(String(text).replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n"))}"`;
}

export function literal(value) {
  return typeof value === "string" ? quote(value) : String(value);
}

export function clause(names, value) {
  return `${path(names)} == ${literal(value)}`;
}

// Adds a clause with `and`, so that it narrows what is there.
export function narrow(filter, added) {
  const kept = filter.trim();
  if (kept === "") return added;
  // and and or group to the right in this language, so what is there is taken as one.
  return /\bor\b/.test(kept) ? `(${kept}) and ${added}` : `${kept} and ${added}`;
}

// Comments, texts and names of a query, and each other character by itself.
const PIECE = /\/\/[^\n]*|\/\*[^]*?\*\/|#[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`|[\p{L}_][\p{L}\p{Nd}_]*|[^]/gu;

// What a filter redacts, as a filter that fits every item; empty when it redacts nothing. An item that is
// looked at by itself may no longer match, since now() moves on, and is shown with as little all the same.
export function redactions(filter) {
  const pieces = [...filter.matchAll(PIECE)].map(([text]) => text).filter((text) => !/^(\s|#|\/\/|\/\*)/.test(text));
  const calls = [];
  for (let at = 0; at < pieces.length; at += 1) {
    if (pieces[at] !== "redact" || pieces[at + 1] !== "(" || pieces[at - 1] === ".") continue;
    let open = 0;
    let end = at + 1;
    do {
      open += { "(": 1, ")": -1 }[pieces[end]] ?? 0;
      end += 1;
    } while (open > 0 && end < pieces.length);
    if (open === 0) calls.push(pieces.slice(at, end).join(""));
  }
  return calls.join(" and ");
}

// The clause that leads to the items of a group that the server made.
export function groupClause({ protocol, clauses }) {
  const parts = clauses.map(({ path: where, value, pattern }) => {
    const names = where.split(".").map((name) => (/^\d+$/.test(name) ? Number(name) : name));
    const number = !pattern && /^\d{1,15}$/.test(value) && !/^(src|dst)\./.test(where);
    // A regular expression stands as it is, but for the quote that would end it.
    const right = pattern ? `r"${value.replaceAll('"', '\\"')}"` : number ? value : quote(value);
    return `${path(names)} == ${right}`;
  });
  return [protocol, ...parts].filter(Boolean).join(" and ");
}
