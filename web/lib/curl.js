// An HTTP request as a curl command. Pure.

import { decodeText } from "./format.js";

// Headers that curl makes itself, or that belong to the connection it was sent on.
const LEFT_OUT = new Set(["host", "content-length", "connection", "transfer-encoding", "upgrade", "http2-settings"]);

const quote = (text) => `'${String(text).replaceAll("'", "'\\''")}'`;

// Null when the item is no HTTP request, or its body is not text.
export function curl(item) {
  const { request, dst, tls } = item;
  if (!request?.method || !request.path || !request.headers) return null;
  const headers = Object.entries(request.headers);
  const host = headers.find(([name]) => name.toLowerCase() === "host" || name === ":authority")?.[1] ?? `${dst.name || dst.ip}:${dst.port}`;
  const target = request.url?.startsWith("/") ? request.url : request.path;
  // Without them braces and brackets of a path make several requests of it, and dots another path.
  const parts = ["curl", "--globoff", "--path-as-is", "-X", request.method, quote(`${tls ? "https" : "http"}://${host}${target}`)];
  // A header without a value has a semicolon, or is left out.
  for (const [name, value] of headers) {
    if (name.startsWith(":") || LEFT_OUT.has(name.toLowerCase())) continue;
    for (const one of [value].flat()) parts.push("-H", quote(one === "" ? `${name};` : `${name}: ${one}`));
  }
  const body = request.postData;
  if (body?.text) {
    const text = body.encoding === "base64" ? decodeText(body.text) : body.text;
    if (text === null || body.truncated) return null;
    parts.push("--data-raw", quote(text));
  }
  return parts.join(" ");
}
