// Values as people read them. Pure.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function bytes(count) {
  let unit = 0;
  let value = count;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 1 : 0)} ${UNITS[unit]}`;
}

export function count(number) {
  return Number(number).toLocaleString("en-US");
}

// A count with what is counted: 1 reel, 2 reels.
export const some = (number, one) => `${count(number)} ${one}${Number(number) === 1 ? "" : "s"}`;

// Whether times are shown as this computer keeps them, or in UTC.
let local = false;

export function useLocal(wanted) {
  local = wanted;
}

export const isLocal = () => local;

// ISO 8601 without a zone, in the chosen zone.
function iso(millis) {
  const shift = local ? new Date(millis).getTimezoneOffset() * 60000 : 0;
  return new Date(millis - shift).toISOString().slice(0, 23);
}

export function time(millis) {
  return iso(millis).slice(11);
}

export function dateTime(millis) {
  return `${iso(millis).replace("T", " ")} ${zone(millis)}`;
}

// What the clock shows at a moment is off UTC: +05:30. Summer and winter differ.
function zone(millis) {
  if (!local) return "UTC";
  const off = -new Date(millis).getTimezoneOffset();
  const pad = (number) => String(number).padStart(2, "0");
  return `${off < 0 ? "-" : "+"}${pad(Math.floor(Math.abs(off) / 60))}:${pad(Math.abs(off) % 60)}`;
}

// The chosen zone by name, for times without one.
export const zoneName = () => (local ? Intl.DateTimeFormat().resolvedOptions().timeZone ?? "local time" : "UTC");

// A moment of RFC 3339 in the chosen zone, with as many digits as it has.
export function exact(text) {
  const millis = Date.parse(text);
  const digits = /\.\d+/.exec(text)?.[0];
  return Number.isNaN(millis) ? text : dateTime(millis).replace(/\.\d+/, digits ?? "");
}

// A moment of RFC 3339 in the chosen zone, to the second.
export function rfc(text) {
  const millis = Date.parse(text);
  return Number.isNaN(millis) ? text : dateTime(millis).replace(/\.\d+/, "");
}

// A share of a whole, in percent.
export function share(part, whole) {
  if (!whole || !part) return "0 %";
  const percent = (part / whole) * 100;
  return percent < 0.1 ? "< 0.1 %" : `${percent < 10 ? percent.toFixed(1) : Math.round(percent)} %`;
}

// A moment as the query language's datetime() takes it.
export function moment(millis) {
  const date = new Date(millis);
  const pad = (number, width = 2) => String(number).padStart(width, "0");
  const hour = date.getUTCHours();
  return `${date.getUTCMonth() + 1}/${date.getUTCDate()}/${date.getUTCFullYear()}, ${hour % 12 || 12}:${pad(date.getUTCMinutes())}:${pad(date.getUTCSeconds())}.${pad(date.getUTCMilliseconds(), 3)} ${hour < 12 ? "AM" : "PM"}`;
}

// The clauses of a time range, its end left out.
export function between(from, to) {
  return `timestamp >= datetime("${moment(from)}") and timestamp < datetime("${moment(to)}")`;
}

// A bound of time in either dialect, which alone or with others narrows what is beside it.
const TIME_CLAUSE = /(?:^|\s*(?:\band\b|&&)\s*)timestamp\s*(?:>=|<=|>|<)\s*(?:datetime|timestamp)\("[^"]*"\)(?!\s*(?:or\b|\|\|))/g;

// A filter without its time range.
export function withoutTime(filter) {
  return filter.replace(TIME_CLAUSE, "").replace(/^\s*(?:and\b|&&)\s*/, "").trim();
}

export function took(millis) {
  if (millis < 1) return "< 1 ms";
  return millis < 1000 ? `${millis} ms` : `${(millis / 1000).toFixed(2)} s`;
}

// Response codes of DNS (RFC 1035 section 4.1.1) in the words of dig.
const CODES = {
  "No Error": "OK", "Format Error": "FORMERR", "Server Failure": "SERVFAIL", "Non-Existent Domain": "NXDOM",
  "Not Implemented": "NOTIMP", "Query Refused": "REFUSED",
};

export function shortStatus(status) {
  return CODES[status] ?? status.slice(0, 8);
}

export function peer(side) {
  return `${side.name || side.ip}:${side.port}`;
}

// Text of a base64 body: UTF-8 when it is, null when it is binary.
export function decodeText(base64) {
  const raw = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(raw);
    return /[\u0000-\u0008\u000e-\u001f]/.test(text) ? null : text;
  } catch {
    return null;
  }
}

export function hexDump(base64, limit = 4096) {
  const raw = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0)).subarray(0, limit);
  const lines = [];
  for (let at = 0; at < raw.length; at += 16) {
    const part = raw.subarray(at, at + 16);
    const hex = Array.from(part, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = Array.from(part, (byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : ".")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${hex.padEnd(47)}  ${text}`);
  }
  return lines.join("\n");
}

const JSON_PIECE = /"[^"\\]*(?:\\.[^"\\]*)*"|[[\]{}:,]|[^\s[\]{}:,"]+/g;
const MAX_DEPTH = 200;
const MAX_PRETTY = 8_000_000;

// Indented JSON when the text is JSON, the text itself otherwise. Numbers, doubled names and escapes stay as they
// were sent. What is nested too deep to be read stays as it is.
export function pretty(text) {
  const start = text.trimStart()[0];
  if (start !== "{" && start !== "[") return text;
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  let out = "";
  let depth = 0;
  let last = "";
  const line = () => `\n${"  ".repeat(depth)}`;
  for (const [piece] of text.matchAll(JSON_PIECE)) {
    const closes = piece === "}" || piece === "]";
    if (closes) depth -= 1;
    if (closes ? last !== "{" && last !== "[" : last === "{" || last === "[" || last === ",") out += line();
    out += piece === ":" ? ": " : piece;
    if (piece === "{" || piece === "[") depth += 1;
    if (depth > MAX_DEPTH || out.length > MAX_PRETTY) return text;
    last = piece;
  }
  return out;
}

// A count in few characters: 1.2k, 34M.
export function short(number) {
  if (number < 1000) return String(Math.round(number * 100) / 100);
  const steps = [[1e9, "G"], [1e6, "M"], [1e3, "k"]];
  const [size, letter] = steps.find(([least]) => number >= least);
  const value = number / size;
  return `${value < 10 ? Math.round(value * 10) / 10 : Math.round(value)}${letter}`;
}
