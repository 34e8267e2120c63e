// Protocol Buffers without their descriptors: fields by number, as the wire format tells them
// (https://protobuf.dev/programming-guides/encoding/). Pure.

const MAX_DEPTH = 20;
const MAX_FIELDS = 5000;

// Indented text of a message in base64; of gRPC each message behind its prefix of five bytes. Null when it is none.
export function decode(base64, grpc) {
  const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  const budget = { left: MAX_FIELDS };
  if (!grpc) return message(bytes, 0, budget)?.join("\n") ?? null;
  const out = [];
  let at = 0;
  while (at + 5 <= bytes.length) {
    const length = new DataView(bytes.buffer, at + 1, 4).getUint32(0);
    const body = bytes.subarray(at + 5, at + 5 + length);
    if (body.length < length) return null;
    const read = bytes[at] === 0 ? message(body, 0, budget) : [`compressed message of ${length} bytes`];
    if (!read) return null;
    out.push(`# message ${out.length + 1}, ${length} bytes`, ...read);
    at += 5 + length;
  }
  return at === bytes.length && out.length ? out.join("\n") : null;
}

// Lines of a message; null when the bytes are none.
function message(bytes, depth, budget) {
  const indent = "  ".repeat(depth);
  const lines = [];
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      if (at >= bytes.length) return null;
      const byte = bytes[at];
      at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return null;
  };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  while (at < bytes.length) {
    budget.left -= 1;
    if (budget.left < 0) return [...lines, `${indent}...`];
    const key = varint();
    if (key === null) return null;
    const number = key >> 3n;
    const type = Number(key & 7n);
    if (number === 0n || number > 0x1fffffffn) return null;
    if (type === 0) {
      const value = varint();
      if (value === null) return null;
      lines.push(`${indent}${number}: ${value}`);
    } else if (type === 1 || type === 5) {
      const size = type === 1 ? 8 : 4;
      if (at + size > bytes.length) return null;
      const whole = type === 1 ? view.getBigUint64(at, true) : view.getUint32(at, true);
      const real = type === 1 ? view.getFloat64(at, true) : view.getFloat32(at, true);
      lines.push(`${indent}${number}: ${whole} or ${Number(real.toPrecision(7))}`);
      at += size;
    } else if (type === 2) {
      const length = varint();
      if (length === null || BigInt(at) + length > BigInt(bytes.length)) return null;
      const part = bytes.subarray(at, at + Number(length));
      at += Number(length);
      const text = readable(part);
      const inner = text === null && depth < MAX_DEPTH ? message(part, depth + 1, budget) : null;
      if (inner?.length) lines.push(`${indent}${number} {`, ...inner, `${indent}}`);
      else lines.push(`${indent}${number}: ${text === null ? hex(part) : JSON.stringify(text)}`);
    } else {
      return null;
    }
  }
  return lines;
}

function readable(bytes) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return /[\u0000-\u0008\u000e-\u001f]/.test(text) ? null : text;
  } catch {
    return null;
  }
}

const hex = (bytes) => `${Array.from(bytes.subarray(0, 64), (byte) => byte.toString(16).padStart(2, "0")).join(" ")}${bytes.length > 64 ? " ..." : ""}`;
