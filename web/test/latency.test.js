import assert from "node:assert/strict";
import test from "node:test";

import { alone, ticks, topOf } from "../lib/latency.js";

test("fast answers and slow ones have a scale", () => {
  assert.deepEqual(ticks(topOf(0), 70, 16), [0, 1, 10]);
  assert.deepEqual(ticks(topOf(null), 70, 16), [0, 1, 10]);
  assert.deepEqual(ticks(topOf(439), 70, 16), [0, 10, 100]);
  assert.deepEqual(ticks(topOf(30000), 70, 16), [0, 100, 10000]);
});

test("no two ticks stand in each other's way, whatever the height", () => {
  for (const height of [0, 20, 70, 400]) {
    for (const most of [0, 1, 9, 99, 5000, 1e7, 1e12]) {
      const found = ticks(topOf(most), height, 16);
      assert.equal(found[0], 0);
      assert.ok(found.every((one, at) => at === 0 || one > found[at - 1]) && found.at(-1) <= topOf(most));
      assert.ok(found.length <= height / 16 + 1);
    }
  }
});

test("values without a neighbour stand alone", () => {
  assert.deepEqual(alone([1, null, 2, 3, null, 0]), [0, 5]);
  assert.deepEqual(alone([null, null]), []);
  assert.deepEqual(alone([4]), [0]);
});
