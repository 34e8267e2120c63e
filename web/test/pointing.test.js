import assert from "node:assert/strict";
import test from "node:test";

import { moved, spanOf } from "../lib/pointing.js";

const slots = [{ at: 100 }, { at: 110 }, { at: 120 }];

test("keys lead from bar to bar and stay at the ends", () => {
  assert.equal(moved(slots, null, "ArrowRight"), 100);
  assert.equal(moved(slots, null, "ArrowLeft"), 120);
  assert.equal(moved(slots, 100, "ArrowRight"), 110);
  assert.equal(moved(slots, 120, "ArrowRight"), 120);
  assert.equal(moved(slots, 100, "ArrowLeft"), 100);
  assert.equal(moved(slots, 115, "ArrowRight"), 120);
  assert.equal(moved(slots, 110, "Home"), 100);
  assert.equal(moved(slots, 110, "End"), 120);
  assert.equal(moved(slots, 110, "x"), null);
  assert.equal(moved([], null, "ArrowRight"), null);
});

test("a span holds the bars at both of its ends", () => {
  assert.deepEqual(spanOf({ width: 10 }, 120, 100), { from: 100, to: 130 });
  assert.deepEqual(spanOf({ width: 10 }, 110, 110), { from: 110, to: 120 });
});
