import assert from "node:assert/strict";
import test from "node:test";

import { head, lines } from "../lib/csv.js";

const side = { name: "", namespace: "", ip: "10.0.0.1", port: "80" };
const row = { timestamp: 0, protocol: { abbr: "HTTP" }, status: "200", method: "GET", summary: '/a,"b"', src: side, dst: side, elapsed: 3, size: 9, stream: "s", id: "i" };

test("a row has a cell for each column", () => {
  const [names] = head().split("\r\n");
  const text = lines([row]);
  assert.ok(text.startsWith('1970-01-01T00:00:00.000Z,HTTP,200,GET,"/a,""b""",'));
  assert.ok(text.endsWith("\r\n"));
  const cells = text.trim().replace('"/a,""b"""', "x").split(",");
  assert.equal(cells.length, names.split(",").length);
});

test("traffic is no formula", () => {
  for (const summary of ["=1+1", "+1", "@a", "-cmd", "\tx"]) assert.ok(lines([{ ...row, summary }]).includes(`,'${summary}`), summary);
  assert.ok(lines([{ ...row, summary: "-12.5" }]).includes(",-12.5,"));
});
