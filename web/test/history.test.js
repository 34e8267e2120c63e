import assert from "node:assert/strict";
import test from "node:test";

import { filters } from "../lib/history.js";

function memory(start) {
  const held = new Map(start);
  return { getItem: (key) => held.get(key) ?? null, setItem: (key, value) => held.set(key, value) };
}

test("the newest filter stands first, each once", () => {
  const kept = filters(memory());
  for (const query of ["a", "b", " ", "a"]) kept.used(query);
  assert.deepEqual(kept.all().before, ["a", "b"]);
  for (let number = 0; number < 100; number += 1) kept.used(`q${number}`);
  assert.equal(kept.all().before.length, 30);
});

test("names are kept until they are forgotten", () => {
  const storage = memory();
  filters(storage).name("errors", "response.status >= 500");
  assert.deepEqual(filters(storage).all().named, { errors: "response.status >= 500" });
  filters(storage).forget("errors");
  assert.deepEqual(filters(storage).all().named, {});
});

test("a storage that holds something else is an empty history", () => {
  assert.deepEqual(filters(memory([["tapedeck.filters", "{broken"]])).all(), { before: [], named: {} });
  const refusing = { getItem: () => null, setItem: () => { throw new Error("full"); } };
  filters(refusing).used("a");
});
