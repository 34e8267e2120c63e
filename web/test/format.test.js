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
  assert.equal(format.pretty(' {"a": [ ], "b":{},"c":[1, {"d":"x, {y}: \\" z"}] } '), '{\n  "a": [],\n  "b": {},\n  "c": [\n    1,\n    {\n      "d": "x, {y}: \\" z"\n    }\n  ]\n}');
});

test("indented JSON holds what was sent and nothing else", () => {
  assert.equal(format.pretty('{"id":12345678901234567890,"price":1.10,"dup":1,"dup":2,"e":1E+2,"u":"\\u0041","n":-0}'),
    '{\n  "id": 12345678901234567890,\n  "price": 1.10,\n  "dup": 1,\n  "dup": 2,\n  "e": 1E+2,\n  "u": "\\u0041",\n  "n": -0\n}');
  const deep = "[".repeat(5000) + "]".repeat(5000);
  assert.equal(format.pretty(deep), deep);
  const long = `["${"a\\n".repeat(1_500_000)}"]`;
  assert.equal(format.pretty(long), `[\n  ${long.slice(1, -1)}\n]`);
});

test("a time range goes into the filter and out again", () => {
  const range = format.between(Date.UTC(2026, 10, 3, 9, 5, 7, 8), Date.UTC(2026, 10, 3, 13, 0));
  assert.equal(range, 'timestamp >= datetime("11/3/2026, 9:05:07.008 AM") and timestamp < datetime("11/3/2026, 1:00:00.000 PM")');
  assert.equal(format.withoutTime(`http and ${range}`), "http");
  assert.equal(format.withoutTime(range), "");
  assert.equal(format.withoutTime(`${range} and dns`), "dns");
  assert.equal(format.withoutTime("http or dns"), "http or dns");
  assert.equal(format.withoutTime(`http and ${range} and ${range}`), "http");
  const second = 'timestamp >= timestamp("2026-11-23T22:28:01Z") && timestamp < timestamp("2026-11-23T22:28:02.953Z")';
  assert.equal(format.withoutTime(`http && status_code > 1 && ${second}`), "http && status_code > 1");
  assert.equal(format.withoutTime(`${second} && dns`), "dns");
  // What narrows only a part of the filter is no range of it.
  assert.equal(format.withoutTime('timestamp > datetime("1/2/2024, 3:04:05.006 AM") or dns'), 'timestamp > datetime("1/2/2024, 3:04:05.006 AM") or dns');
});

test("shares are short", () => {
  assert.equal(format.share(0, 5), "0 %");
  assert.equal(format.share(1, 3), "33 %");
  assert.equal(format.share(1, 40), "2.5 %");
  assert.equal(format.share(1, 40000), "< 0.1 %");
});

test("long status texts have short ones", () => {
  assert.equal(format.shortStatus("404"), "404");
  assert.equal(format.shortStatus("Non-Existent Domain"), "NXDOM");
});

test("a moment of the computer's clock says how far that is off UTC", () => {
  const was = process.env.TZ;
  try {
    format.useLocal(true);
    process.env.TZ = "America/New_York";
    assert.equal(format.exact("2026-11-27T03:24:40.487549432Z"), "2026-11-26 22:24:40.487549432 -05:00");
    assert.equal(format.dateTime(Date.UTC(2026, 6, 1)), "2026-06-30 20:00:00.000 -04:00");
    process.env.TZ = "Asia/Kolkata";
    assert.equal(format.rfc("2026-11-27T03:24:40Z"), "2026-11-27 08:54:40 +05:30");
  } finally {
    format.useLocal(false);
    if (was === undefined) delete process.env.TZ;
    else process.env.TZ = was;
  }
  assert.equal(format.exact("2026-11-27T03:24:40.487549432Z"), "2026-11-27 03:24:40.487549432 UTC");
});
