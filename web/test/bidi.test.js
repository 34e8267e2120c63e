import assert from "node:assert/strict";
import test from "node:test";

import { visible } from "../lib/bidi.js";

test("what turns text around is written as an escape", () => {
  assert.equal(visible("/raw/\u202efdp.exe"), "/raw/\\u202efdp.exe");
  for (const one of ["\u061c", "\u200e", "\u200f", "\u202a", "\u202b", "\u202c", "\u202d", "\u2066", "\u2067", "\u2068", "\u2069"]) assert.match(visible(`a${one}b`), /^a\\u[0-9a-f]{4}b$/);
});

test("text in other directions and joined letters stay as they are", () => {
  for (const text of ["/\u05e9\u05dc\u05d5\u05dd", "\u{1f469}\u200d\u{1f4bb}", "\u0001\u001b[31m", ""]) assert.equal(visible(text), text);
});
