import assert from "node:assert/strict";
import { test } from "node:test";

import { gaps, read, told } from "../lib/coverage.js";

const at = (second) => new Date(second * 1000).toISOString();

const found = {
  captured: [{ from: at(100), to: at(200) }, { from: at(10), to: at(50) }, { from: at(150), to: at(250) }],
  lost: [{ why: "kernel_dropped", packets: 7, from: at(20), to: at(21) }, { why: "recording_limit", packets: 3, from: at(30), to: at(40) }, { why: "outbox_dropped", packets: 1, from: null, to: null }],
  reels: [{ recording: "errors", from: at(10), to: at(40), sealed: at(41), uploaded: at(42), bytes: 9 }],
};

test("captured spans are joined, and what lies between is a gap", () => {
  const cover = read(found);
  assert.deepEqual(cover.captured, [{ from: 10000, to: 50000 }, { from: 100000, to: 250000 }]);
  assert.deepEqual(gaps(cover.captured, 0, 300000), [{ from: 0, to: 10000 }, { from: 50000, to: 100000 }, { from: 250000, to: 300000 }]);
  assert.deepEqual(gaps([], 0, 9), []);
});

test("losses are told apart from what was left out on purpose", () => {
  const cover = read(found);
  assert.deepEqual(cover.lost.map(({ why }) => why), ["kernel_dropped"]);
  assert.deepEqual(cover.left.map(({ why }) => why), ["recording_limit"]);
});

test("a moment is told in words", () => {
  const cover = read(found);
  assert.deepEqual(told(cover, 20000, 22000), ["7 packets dropped by the kernel", "1 reel of errors"]);
  assert.deepEqual(told(cover, 60000, 70000), ["not captured"]);
});
