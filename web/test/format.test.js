import assert from "node:assert/strict";
import test from "node:test";

import * as format from "../lib/format.js";

test("sizes carry binary units", () => {
  assert.equal(format.bytes(0), "0 B");
  assert.equal(format.bytes(1536), "1.5 KiB");
  assert.equal(format.bytes(64 * 1024 * 1024), "64 MiB");
});

test("bodies that are not text are shown as hex", () => {
  assert.equal(format.decodeText(btoa("hello")), "hello");
  assert.equal(format.decodeText(btoa("\x00\x01")), null);
  assert.equal(format.hexDump(btoa("AB")).trim(), "000000  41 42                                            AB");
});

test("JSON is indented and other text left alone", () => {
  assert.equal(format.pretty('{"a":1}'), '{\n  "a": 1\n}');
  assert.equal(format.pretty("{broken"), "{broken");
});

test("a status looks as it is", () => {
  assert.equal(format.statusClass("500", null), "bad");
  assert.equal(format.statusClass("404", null), "warn");
  assert.equal(format.statusClass("200", null), "good");
  assert.equal(format.statusClass("No Error", null), "good");
  assert.equal(format.statusClass("Non-Existent Domain", null), "warn");
  assert.equal(format.statusClass("0", null), "good");
  assert.equal(format.statusClass("35", null), "warn");
  assert.equal(format.statusClass("42P01", null), "bad");
  assert.equal(format.statusClass("TLS 1.3", null), "plain");
  assert.equal(format.statusClass("Access-Reject", null), "warn");
  assert.equal(format.statusClass("200", "cut off"), "bad");
});

test("long status texts have short ones", () => {
  assert.equal(format.shortStatus("404"), "404");
  assert.equal(format.shortStatus("Non-Existent Domain"), "NXDOM");
});
