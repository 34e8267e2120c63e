import assert from "node:assert/strict";
import test from "node:test";

import { know, mayBeOfHttp, othersWith, owned, rowClause, rowClauses, streamClause, valueClause } from "../lib/row-clauses.js";

const row = {
  protocol: { abbr: "HTTP", macro: "http" }, status: "500", method: "GET", summary: "/a", error: null, elapsed: 12, size: 90, outgoing: true,
  src: { name: "web", ip: "10.0.0.1", port: "4000", namespace: "shop" }, dst: { name: "", ip: "10.0.0.2", port: "80", namespace: "" },
  timestamp: Date.UTC(2024, 0, 2, 3, 4, 5, 6), stream: "1.pcap", worker: "10.0.0.9:8897", node: "node-a",
};

test("each value of a row has its clause", () => {
  know({ HTTP: { method: "request.method", status: "response.status", summary: "request.path" } });
  const wanted = {
    protocol: "http", status: "response.status == 500", method: 'request.method == "GET"', summary: 'request.path == "/a"',
    src: 'src.name == "web"', dst: 'dst.ip == "10.0.0.2"', srcIp: 'src.ip == "10.0.0.1"', dstIp: 'dst.ip == "10.0.0.2"', srcPort: 'src.port == "4000"', dstPort: 'dst.port == "80"', arrow: "outgoing == true",
    srcSpace: 'src.namespace == "shop"', dstSpace: null, node: 'node.name == "node-a"', took: "elapsedTime >= 12000",
    time: 'timestamp >= datetime("1/2/2024, 3:04:05.006 AM")', stream: 'worker == "10.0.0.9:8897" and stream == "1.pcap"', moon: null,
  };
  for (const [name, clause] of Object.entries(wanted)) assert.equal(rowClause(row, name), clause, name);
});

test("the values of a row are offered once each", () => {
  know({ HTTP: { method: "request.method", summary: "request.path" } });
  assert.deepEqual(rowClauses({ ...row, error: "reset" }, ["protocol", "method", "who", "from", "took"]), ["http", 'request.method == "GET"', 'src.name == "web"', 'dst.ip == "10.0.0.2"', "outgoing == true"]);
});

test("what a protocol does not show has none", () => {
  know({});
  assert.equal(rowClause(row, "status"), null);
  assert.equal(streamClause({ stream: "1.pcap" }), 'stream == "1.pcap"');
});

test("a name that alone is a field of HTTP is said to be of its protocol", () => {
  know({ AMQP: { method: "request.method", status: "request.replyCode" }, MYSQL: { status: "response.status" }, REDIS: { method: "request.command" }, gRPC: { method: "request.method" } });
  const of = (abbr, macro, method, status) => ({ ...row, protocol: { abbr, macro }, method, status });
  const cases = [
    [of("AMQP", "amqp", "basic publish", "403"), 'amqp and request.method == "basic publish"', "request.replyCode == 403"],
    [of("MYSQL", "mysql", "", "OK"), null, 'mysql and response.status == "OK"'],
    [of("REDIS", "redis", "GET", ""), 'request.command == "GET"', null],
    [of("gRPC", "grpc", "POST", ""), 'request.method == "POST"', null],
  ];
  for (const [one, method, status] of cases) {
    assert.equal(rowClause(one, "method"), method);
    assert.equal(rowClause(one, "status"), status);
  }
  assert.equal(valueClause({ macro: "ws" }, ["request", "url"], "/a"), 'ws and request.url == "/a"');
  assert.equal(valueClause({ macro: "http2" }, ["request", "url"], "/a"), 'request.url == "/a"');
  assert.equal(valueClause({ macro: "ws" }, ["request", "headers", "Host"], "a"), 'request.headers.Host == "a"');
});

test("a field that HTTP has as well is of the protocol that is named", () => {
  know({ HTTP: { method: "request.method" }, gRPC: { method: "request.method" }, AMQP: { method: "request.method", summary: "request.summary" }, DNS: {} });
  const seen = [{ abbr: "HTTP", macro: "http" }, { abbr: "AMQP", macro: "amqp" }, { abbr: "gRPC", macro: "grpc" }, { abbr: "DNS", macro: "dns" }];
  const names = ["request", "method"];
  assert.equal(mayBeOfHttp(names), true);
  assert.equal(mayBeOfHttp(["request", "summary"]), false);
  assert.deepEqual(othersWith(seen, names), [seen[1]]);
  assert.equal(owned(seen[1], names, 'request.method == "queue declare"'), 'amqp and request.method == "queue declare"');
  assert.equal(owned(seen[0], names, 'request.method == "GET"'), 'request.method == "GET"');
  assert.equal(owned(seen[1], ["request", "summary"], 'request.summary != "x"'), 'request.summary != "x"');
});
