import assert from "node:assert/strict";
import test from "node:test";

import { split, words } from "../lib/highlight.js";

const join = (parts) => parts.map((part) => part.text).join("");

test("the parts put together are the query", () => {
  for (const query of ['http and request.path == r"^/a\\"b" or x(1.5) != nil', 'broken "string', "", "a&&b||!c", "timestamp >= now()"]) {
    assert.equal(join(words(query)), query);
    assert.equal(split(query, { start: 2, end: 5 }).map(join).join(""), query);
  }
});

test("words have their kind", () => {
  const kinds = Object.fromEntries(words('http and x == "a" or f(2)').filter((part) => part.kind).map((part) => [part.text, part.kind]));
  assert.deepEqual(kinds, { and: "word", "==": "op", '"a"': "text", or: "word", f: "call", 2: "num" });
});

test("the marked span is cut out of the middle of words", () => {
  assert.deepEqual(split("abc == 1", { start: 1, end: 5 }).map(join), ["a", "bc =", "= 1"]);
});
