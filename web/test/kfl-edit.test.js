import assert from "node:assert/strict";
import test from "node:test";

import { applied, moved } from "../lib/kfl-edit.js";

test("a proposal replaces what is there of the word", () => {
  assert.deepEqual(applied("http && stat && dns", 12, 8, "status_code"), { text: "http && status_code && dns", cursor: 19 });
  assert.deepEqual(applied("", 0, 0, "http"), { text: "http", cursor: 4 });
});

test("keys go round the list", () => {
  assert.equal(moved(-1, 3, "ArrowDown"), 0);
  assert.equal(moved(2, 3, "ArrowDown"), 0);
  assert.equal(moved(0, 3, "ArrowUp"), 2);
  assert.equal(moved(-1, 0, "ArrowDown"), -1);
});
