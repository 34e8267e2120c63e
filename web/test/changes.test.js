import assert from "node:assert/strict";
import test from "node:test";

import { changes } from "../lib/changes.js";

const group = (name, count, bad = 0, p99 = 10) => ({ labels: [name], clauses: [], count, bad, p50: 5, p99 });

test("what appeared, vanished, broke and slowed is told apart", () => {
  const before = [group("a", 100), group("b", 100), group("c", 100), group("gone", 9), group("twice", 100)];
  const after = [group("a", 100), group("b", 100, 20), group("c", 100, 0, 50), group("new", 9), group("twice", 200)];
  const rows = changes(before, after, 60000, 60000);
  const verdict = Object.fromEntries(rows.map((row) => [row.labels[0], row.verdict]));
  assert.deepEqual(verdict, { a: "same", b: "worse", c: "slower", gone: "vanished", new: "appeared", twice: "more" });
  const heaviest = rows.reduce((a, b) => (a.weight >= b.weight ? a : b));
  assert.equal(heaviest.labels[0], "b");
});

test("what appeared and fails comes before what only got faster", () => {
  const rows = changes([group("fast", 400, 0, 100), group("mended", 400, 400)], [group("fast", 400, 0, 10), group("mended", 400), group("hang", 1, 1, null), group("new", 1)], 60000, 60000);
  rows.sort((a, b) => b.weight - a.weight);
  assert.deepEqual(rows.map((row) => [row.labels[0], row.verdict]), [["hang", "appeared, failing"], ["mended", "better"], ["fast", "faster"], ["new", "appeared"]]);
});

test("of what is only among the largest of one span nothing is said but how it fails", () => {
  const [before, after] = [[group("both", 9), group("old", 9)], [group("both", 9), group("new", 9), group("hang", 9, 9)]];
  const verdicts = (cut) => Object.fromEntries(changes(before, after, 60000, 60000, cut).map((row) => [row.labels[0], row.verdict]));
  assert.deepEqual(verdicts({ before: true, after: true }), { both: "same", new: "unknown", hang: "unknown", old: "unknown" });
  assert.deepEqual(verdicts({ before: true, after: false }), { both: "same", new: "unknown", hang: "unknown", old: "vanished" });
  const rows = changes(before, after, 60000, 60000, { before: true, after: true });
  assert.equal(rows.reduce((a, b) => (a.weight >= b.weight ? a : b)).labels[0], "hang");
});

test("spans of different length are compared by rate", () => {
  const [row] = changes([group("a", 100)], [group("a", 50)], 120000, 60000);
  assert.equal(row.verdict, "same");
  assert.equal(row.rate, 0);
});
