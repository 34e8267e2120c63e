import assert from "node:assert/strict";
import { test } from "node:test";

import { elsewhere, exchange, isSame, isUnanswered, kept, linkOf, rowsModel } from "../lib/rows.js";

// A server with items 0 to `end`, read as the page reads it.
const server = (end) => (before, limit = 500) => {
  const top = before ?? end;
  const from = Math.max(0, top - limit);
  const rows = Array.from({ length: top - from }, (_, index) => ({ n: top - 1 - index }));
  return { rows, next: from > 0 ? from : null };
};

test("rows from elsewhere have numbers of their own and stay when memory goes on", () => {
  const numbers = new Map();
  const number = (id) => numbers.get(id) ?? numbers.set(id, -1 - numbers.size).get(id);
  const model = rowsModel();
  const row = (n, id, from) => ({ n, id, from, timestamp: id.charCodeAt(0), src: { ip: "10.0.0.1", port: "1" }, dst: { ip: "10.0.0.2", port: "80" }, method: "GET", summary: "/", status: "200" });
  model.reset({ rows: [row(9, "i"), row(8, "h")], next: null });
  model.goOn("1000");
  const found = elsewhere([row(3, "h", "spool"), row(8, "g", "spool"), row(1, "f", "s3://reels")], new Set(model.all().map(exchange)), number);
  assert.deepEqual(found.map((one) => [one.id, one.n, one.far]), [["g", -1, "spool"], ["f", -2, "s3://reels"]]);
  assert.equal(model.prepend({ rows: found, next: null }, "1000"), 2);
  assert.deepEqual([0, 1, 2, 3].map((index) => model.at(index).id), ["f", "g", "h", "i"]);
  model.append([{ n: 700, id: "z" }]);
  assert.equal(model.trim(600), 0);
  assert.equal(model.count(), 5);
  // The same row again has the number that it had.
  assert.equal(elsewhere([row(8, "g", "spool")], new Set(), number)[0].n, -1);
});

test("older pages come in front and keep the order", () => {
  const read = server(1200);
  const model = rowsModel();
  model.reset(read(null));
  while (model.next() !== null) {
    const cursor = model.next();
    model.prepend(read(cursor), cursor);
  }
  assert.equal(model.count(), 1200);
  assert.deepEqual([0, 1, 700, 1199].map((index) => model.at(index).n), [0, 1, 700, 1199]);
  assert.equal(model.indexOf(33), 33);
  assert.equal(model.at(1200), null);
});

test("rows far from the eye are dropped and read again", () => {
  const read = server(100000);
  const model = rowsModel(5000);
  model.reset(read(null));
  while (model.next() !== null) {
    const cursor = model.next();
    model.prepend(read(cursor), cursor);
    model.evict(0);
  }
  assert.equal(model.count(), 100000);
  assert.ok(model.loaded() <= 5500, String(model.loaded()));
  assert.equal(model.at(90000), null);
  for (const page of model.missing(90000, 90030)) model.fill(page, read(page.cursor, page.count).rows);
  assert.equal(model.at(90000).n, 90000);
  assert.equal(model.at(90029).n, 90029);
});

test("live rows are added, closed in pages, and read again by their numbers", () => {
  const model = rowsModel(1000);
  model.reset({ rows: [], next: null });
  for (let n = 0; n < 4000; n += 1) {
    model.append([{ n }]);
    model.evict(model.count() - 1);
  }
  assert.equal(model.count(), 4000);
  assert.equal(model.at(3999).n, 3999);
  const read = server(4000);
  const [page] = model.missing(10, 20);
  model.fill(page, read(page.cursor, page.count).rows);
  assert.equal(model.at(10).n, 10);
});

test("what the server has dropped goes in front", () => {
  const model = rowsModel();
  model.reset({ rows: [], next: null });
  for (let n = 0; n < 2000; n += 1) model.append([{ n }]);
  assert.equal(model.trim(1100), 1000);
  assert.equal(model.at(0).n, 1000);
  assert.equal(model.count(), 1000);
});

test("with a feed that leaves rows out the newest alone are kept", () => {
  const model = rowsModel();
  model.reset({ rows: [], next: null });
  model.append(Array.from({ length: 3000 }, (_, n) => ({ n: n * 7 })));
  model.keep(1000);
  assert.equal(model.count(), 1000);
  assert.equal(model.at(999).n, 2999 * 7);
  assert.equal(model.next(), 2000 * 7);
});

test("an item of another run is not the one that was listed, whatever its number and id", () => {
  assert.equal(isSame({ id: "a/1", timestamp: 5 }, { id: "a/1", timestamp: 5 }), true);
  assert.equal(isSame({ id: "a/1", timestamp: 9 }, { id: "a/1", timestamp: 5 }), false);
  assert.equal(isSame({ id: "a/2", timestamp: 5 }, { id: "a/1", timestamp: 5 }), false);
});

test("an item of another run is found by its time and its place in its stream", () => {
  const row = (id, timestamp, summary, index = 3) => ({ id, timestamp, summary, stream: "000000000007.pcap", index, method: "GET", status: "200", src: { ip: "10.0.0.1", port: "1" }, dst: { ip: "10.0.0.2", port: "80" } });
  const link = ["192.0.2.2:8897/000000000007.pcap-3", 1704164645006];
  const stored = row("vm/000000000007.pcap-3", link[1], "/a");
  assert.equal(kept([row("vm/000000000007.pcap-3", link[1] + 1, "/a"), row("vm/000000000007.pcap-4", link[1], "/a", 4), stored], ...link), stored);
  // The spool has it without an id, and a second store once more.
  assert.equal(kept([row(undefined, link[1], "/a"), stored, { ...stored }], ...link), stored);
  assert.equal(kept([row(undefined, link[1], "/a")], ...link).summary, "/a");
  // Two that differ are a guess.
  assert.equal(kept([stored, row("other/000000000007.pcap-3", link[1], "/b")], ...link), null);
  assert.equal(kept([], ...link), null);
});

test("a row of the spool is found again by its run and its key, whatever its place in its stream", () => {
  const row = (run, key, index) => ({ id: null, n: null, from: "spool", timestamp: 5, node: "a", run, key, stream: "000000000007.pcap", index, method: "GET", summary: "/", status: "200", src: { ip: "10.0.0.1", port: "1" }, dst: { ip: "10.0.0.2", port: "80" } });
  const link = linkOf(row(2, "k", 3));
  assert.equal(link, "spool/a/2/000000000007.pcap/k");
  assert.equal(kept([row(1, "k", 3), row(2, "k.1", 3), row(2, "k", 0)], link, 5).index, 0);
  assert.equal(kept([row(1, "k", 3)], link, 5), null);
  assert.equal(kept([row(2, "k", 3)], link, 6), null);
  // Two exchanges that nothing but the key tells apart have numbers of their own.
  const numbers = new Map();
  const number = (id) => numbers.get(id) ?? numbers.set(id, -1 - numbers.size).get(id);
  assert.deepEqual(elsewhere([row(2, "k", 3), row(2, "k.1", 3), row(2, "k", 0)], new Set(), number).map((one) => one.n), [-1, -2, -1]);
});

test("an answer that is wrong is an answer", () => {
  assert.equal(isUnanswered({ error: { type: "connection", msg: "closed" }, responseSize: 0 }), true);
  assert.equal(isUnanswered({ error: { type: "protocol", msg: "cut off" }, responseSize: 12 }), false);
  assert.equal(isUnanswered({ error: null, responseSize: 0 }), false);
});
