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

export function time(millis) {
  return new Date(millis).toISOString().slice(11, 23);
}

export function dateTime(millis) {
  return new Date(millis).toISOString().replace("T", " ").replace("Z", " UTC");
}

export function took(millis) {
  if (millis < 1) return "< 1 ms";
  return millis < 1000 ? `${millis} ms` : `${(millis / 1000).toFixed(2)} s`;
}

// good, warn, bad or nothing: how a status looks.
export function statusClass(status, error) {
  if (error) return "bad";
  const code = Number(status);
  if (code >= 500) return "bad";
  if (code >= 400) return "warn";
  if (code >= 100 || code === 0) return "good";
  if (/^(no ?error|ok|success)$/i.test(status)) return "good";
  // SQLSTATE (SQL:2016), and words that say that something went wrong.
  if (/^[0-9][0-9A-Z]{4}$/.test(status)) return "bad";
  return code > 0 || /error|fail|refus|reject|denied|invalid|non-existent|unreach|exceeded|aborted|reset/i.test(status) ? "warn" : "plain";
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

// Indented JSON when the text is JSON, the text itself otherwise.
export function pretty(text) {
  const start = text.trimStart()[0];
  if (start !== "{" && start !== "[") return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
