import assert from "node:assert/strict";
import { test } from "node:test";

import { about, leads, ofView, ofViews, orderOf, orderText, spansOf, spansText } from "../lib/url.js";

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

test("a link holds what the view that it leads to keeps, and nothing of others", () => {
  const state = { view: "map", nodes: "pod", labels: null, flow: "tcp", q: "http" };
  assert.deepEqual(ofView(state), { nodes: "pod", labels: null });
  assert.deepEqual(ofView({ ...state, view: "traffic", sort: "-took" }), { sort: "-took" });
  assert.deepEqual(ofViews(state), { sort: null, spans: null, compare: null, nodes: "pod", labels: null, flow: "tcp", store: null, day: null, script: null });
});

test("spans of time come back out of a link", () => {
  const spans = [[1704164645006, 1704164646006], [1704164646006, 1704164647006]];
  assert.deepEqual(spansOf(spansText(spans)), spans);
  for (const text of [null, "", "1-2", "1-2,3-x", "1-2,3-4,5-6", "-1-2,3-4", `1-2,3-${"9".repeat(16)}`]) assert.equal(spansOf(text), null, text);
});

test("an entry of the history brings back what its view kept, and leaves other views alone", () => {
  const state = { nodes: "pod", labels: "p99", flow: "tcp", by: "status" };
  Object.assign(state, about({ q: "http", view: "map", nodes: "namespace", labels: null }));
  assert.deepEqual(state, { q: "http", view: "map", place: "", item: null, at: null, tab: null, by: null, nodes: "namespace", labels: null, flow: "tcp" });
  assert.equal(about({ q: "" }).view, "traffic");
});

test("an order of the list comes back out of a link, and no other text does", () => {
  for (const order of [{ by: "took", down: true }, { by: "status", down: false }]) assert.deepEqual(orderOf(orderText(order), ["took", "status"]), order);
  for (const text of [null, "", "-", "--took", "toString", "took-"]) assert.equal(orderOf(text, ["took", "status"]), null, text);
});
