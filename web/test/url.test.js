import assert from "node:assert/strict";
import { test } from "node:test";

import { leads } from "../lib/url.js";

test("filter, view, place and item are entries of the history, and nothing else is", () => {
  const before = { q: "http", view: null, place: "", item: null, tab: null };
  assert.equal(leads(null, before, false), false);
  assert.equal(leads(before, { ...before, tab: "raw", tz: "local" }, false), false);
  assert.equal(leads(before, { ...before, item: undefined }, false), false);
  for (const change of [{ q: "dns" }, { view: "map" }, { place: "spool" }, { item: "a/1" }]) assert.equal(leads(before, { ...before, ...change }, true), true);
});

test("going from item to item by keys is one entry, and a click is one each", () => {
  const before = { q: "", item: "a/1" };
  assert.equal(leads(before, { q: "", item: "a/2" }, true), false);
  assert.equal(leads(before, { q: "", item: "a/2" }, false), true);
  assert.equal(leads(before, { q: "", item: null }, true), true);
});
