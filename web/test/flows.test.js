import assert from "node:assert/strict";
import test from "node:test";

import { extent, flowClause, flowsOf, merged } from "../lib/flows.js";

const side = (name, ip, port) => ({ name, ip, port, namespace: name ? "shop" : "" });
const connection = (stream, client, port, more = {}) => ({
  worker: "w", stream, transport: "tcp", src: side(client, "10.0.0.1", port), dst: side("cart", "10.0.0.2", "80"),
  items: 1, failed: 0, requestBytes: 10, responseBytes: 20, packets: null, bytes: null, end: "", first: 5, last: 6, protocols: { HTTP: 1 }, ...more,
});

test("a connection with items of two answers is one", () => {
  const older = [connection("a", "web", "1", { first: 1, last: 2, failed: 1, protocols: { HTTP: 1, TLS: 2 } }), connection("b", "web", "2")];
  const all = merged([connection("a", "web", "1"), connection("a", "web", "1", { worker: "other" })], older);
  assert.deepEqual(all.map(({ worker, stream }) => `${worker} ${stream}`), ["w a", "other a", "w b"]);
  const { items, failed, requestBytes, first, last, protocols, packets } = all[0];
  assert.deepEqual({ items, failed, requestBytes, first, last, protocols, packets }, { items: 2, failed: 1, requestBytes: 20, first: 1, last: 6, protocols: { HTTP: 2, TLS: 2 }, packets: null });
});

test("packets of a stream that is in two answers count once", () => {
  const told = (newer, older) => {
    const [{ packets, bytes }] = merged([connection("a", "web", "1", newer)], [connection("a", "web", "1", older)]);
    return [packets, bytes];
  };
  assert.deepEqual(told({ packets: 9, bytes: 900 }, { packets: 8, bytes: 800 }), [9, 900]);
  assert.deepEqual(told({}, { packets: 8, bytes: 800 }), [8, 800]);
  assert.deepEqual(told({ packets: 3 }, {}), [3, null]);
  assert.deepEqual(told({}, {}), [null, null]);
});

test("connections of one client to one port of a server are one flow", () => {
  const flows = flowsOf([
    connection("a", "web", "1", { packets: 3 }), connection("b", "web", "2", { packets: 4, end: "fin", last: 9 }), connection("c", "", "3"),
    connection("d", "web", "4", { transport: "udp" }),
  ]);
  assert.deepEqual(flows.map(({ transport, from, to, port, connections }) => [transport, from, to, port, connections.length]), [
    ["tcp", "web.shop", "cart.shop", "80", 2], ["tcp", "10.0.0.1", "cart.shop", "80", 1], ["udp", "web.shop", "cart.shop", "80", 1],
  ]);
  assert.deepEqual([flows[0].items, flows[0].packets, flows[0].last, flows[0].requestBytes], [2, 7, 9, 20]);
  assert.equal(flowsOf([connection("a", "web", "1", { packets: 3 }), connection("b", "web", "2")])[0].packets, null);
});

test("a flow leads to its items", () => {
  assert.equal(flowClause(connection("a", "web", "1")), 'src.name == "web" and src.namespace == "shop" and dst.name == "cart" and dst.namespace == "shop" and dst.port == "80"');
  assert.match(flowClause(connection("a", "", "1")), /^src\.ip == "10\.0\.0\.1" and dst\.name/);
});

test("connections say how many items they are of, and since when", () => {
  assert.deepEqual(extent([connection("a", "web", "1", { items: 3, first: 7 }), connection("b", "web", "2", { items: 2, first: 5 })]), { items: 5, first: 5 });
});
