import assert from "node:assert/strict";
import { test } from "node:test";

import { choose, chosen, moved, sorted } from "../lib/columns.js";

function storage() {
  const kept = new Map();
  return { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value), removeItem: (key) => kept.delete(key) };
}

test("chosen columns are kept, unknown and doubled ones left out", () => {
  const kept = storage();
  assert.ok(chosen(kept).includes("summary"));
  choose(kept, ["time", "moon", "status", "time"]);
  assert.deepEqual(chosen(kept), ["time", "status"]);
  choose(kept, null);
  assert.ok(chosen(kept).length > 2);
  kept.setItem("tapedeck.columns", "{");
  assert.ok(chosen(kept).length > 2);
});

test("a column moves within its list", () => {
  assert.deepEqual(moved(["a", "b", "c"], "a", 1), ["b", "a", "c"]);
  assert.deepEqual(moved(["a", "b", "c"], "a", -1), ["a", "b", "c"]);
  assert.deepEqual(moved(["a", "b", "c"], "c", -2), ["c", "a", "b"]);
});

test("statuses sort as numbers, and words among them as words", () => {
  const rows = ["500", "OK", "200", "7"].map((status) => ({ status }));
  assert.deepEqual(sorted(rows, "status", false).map(({ status }) => status), ["7", "200", "500", "OK"]);
  assert.deepEqual(sorted(rows, "status", true).map(({ status }) => status), ["OK", "500", "200", "7"]);
});
