import assert from "node:assert/strict";
import test from "node:test";

import { ABOVE_RIM, GAP, bow, loop } from "../lib/loop.js";

// Half of the widest line, and what letters of ten pixels take below and above their base line.
const HALF = 3.5;
const BELOW = 3;
const ABOVE = 9;

const at = (points, t) => [0, 1].map((axis) => {
  const [a, b, c, d] = points.map((point) => point[axis]);
  return (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t ** 2 * c + t ** 3 * d;
});

test("the label of a line to itself stands clear of the line, within its room", () => {
  for (const r of [3, 6, 12, 23]) {
    const node = { x: 100, y: 200, r };
    const { d, label } = loop(node);
    assert.match(d, /^M100,[\d.]+ C/);
    const points = Array.from({ length: 101 }, (_, index) => at(bow(node), index / 100));
    const highest = Math.min(...points.map(([, y]) => y));
    assert.ok(label.y + BELOW < highest - HALF, `${r}: ${label.y} over ${highest}`);
    assert.ok(label.y - ABOVE > node.y - r - ABOVE_RIM, `${r}`);
    const sides = points.map(([x]) => x);
    assert.ok(label.x > Math.min(...sides) && label.x < Math.max(...sides));
    // It ends before the rim.
    const [x, y] = points.at(-1);
    assert.ok(Math.abs(Math.hypot(x - node.x, y - node.y) - r - GAP) < 1e-9);
  }
});
