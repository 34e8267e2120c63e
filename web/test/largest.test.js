import assert from "node:assert/strict";
import { test } from "node:test";

import { BOUNDS, boundFor } from "../lib/largest.js";

const of = (values) => {
  const asked = [];
  return { asked, count: async (bound) => asked.push(bound) && values.filter((value) => value >= bound).length };
};

test("the largest values are those from the lowest bound on that few enough reach", async () => {
  const values = Array.from({ length: 10000 }, (_, at) => at);
  const { asked, count } = of(values);
  const found = await boundFor(100, count);
  assert.ok(found.count <= 100 && found.count > 0, JSON.stringify(found));
  assert.equal(values.filter((value) => value >= found.bound).length, found.count);
  assert.ok(asked.length < 25, String(asked.length));
  // One that is far above the others is found too.
  assert.equal((await boundFor(5, of([...Array(1000).fill(3), 70000]).count)).count, 1);
});

test("few rows need no bound, and none helps where all are alike", async () => {
  assert.equal(await boundFor(10, of([1, 2, 3]).count), null);
  assert.equal(await boundFor(10, of(Array(100).fill(7)).count), null);
  assert.equal(await boundFor(10, async () => 1e9), null);
});

test("a bound is a clause of the query language", () => {
  assert.equal(BOUNDS.took(250), "elapsedTime >= 250000");
  assert.equal(BOUNDS.size(1024), "size >= 1024");
});
