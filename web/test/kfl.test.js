import assert from "node:assert/strict";
import test from "node:test";

import { clause, groupClause, namesOf, narrow, path, redactions, valueOf } from "../lib/kfl.js";

test("names that are no words stand in brackets", () => {
  assert.equal(clause(["request", "headers", "Content-Type"], "text/plain"), 'request.headers["Content-Type"] == "text/plain"');
  assert.equal(clause(["response", "answers", 0, "ip"], "10.0.0.1"), 'response.answers[0].ip == "10.0.0.1"');
  assert.equal(clause(["response", "status"], 500), "response.status == 500");
});

test("a path that somebody wrote is read with its brackets", () => {
  assert.deepEqual(namesOf('request.headers["Host"]'), ["request", "headers", "Host"]);
  assert.deepEqual(namesOf("request.headers['X-Name']"), ["request", "headers", "X-Name"]);
  assert.deepEqual(namesOf("request.headers.Content-Type"), ["request", "headers", "Content-Type"]);
  assert.deepEqual(namesOf("response.answers[0].ip"), ["response", "answers", 0, "ip"]);
  for (const names of [["a", 'x"]\\ y'], ["a", "\u202eb"], ["src", "name"]]) assert.deepEqual(namesOf(path(names)), names);
  for (const wrong of ["", '["Host"]', "a b", 'a["b', "a[", "a]", "a..b", "a.", ".", "9.b"]) assert.equal(namesOf(wrong), null, wrong);
});

test("a number is a text where the field is one", () => {
  assert.equal(valueOf("443", ["Text"]), "443");
  assert.equal(valueOf("443", ["Int"]), 443);
  assert.equal(valueOf("443", ["Text", "Int"]), 443);
  assert.equal(valueOf("443", []), 443);
  assert.equal(valueOf("12345678901234567890", ["Int"]), "12345678901234567890");
  assert.equal(valueOf("true", ["Bool"]), true);
  assert.equal(valueOf("true", ["Text"]), "true");
});

test("quotes and backslashes of the traffic stay inside the text", () => {
  assert.equal(clause(["a"], 'x" or true or "'), 'a == "x\\" or true or \\""');
  assert.equal(clause(["a"], "one\ntwo"), 'a == "one\\ntwo"');
  assert.equal(clause(["a"], "\u202efdp"), 'a == "\\u202efdp"');
});

test("a clause narrows what is there", () => {
  assert.equal(narrow("", "dns"), "dns");
  assert.equal(narrow("http", "src.ip == \"1\""), 'http and src.ip == "1"');
  assert.equal(narrow("http or dns", "tls"), "(http or dns) and tls");
});

test("a group leads back to its items", () => {
  const clauses = [{ path: "request.method", value: "GET", pattern: false }, { path: "request.path", value: '^/a\\.b/[^/?]+($|\\?)"', pattern: true }, { path: "response.answers.0.ip", value: "7", pattern: false }];
  assert.equal(groupClause({ protocol: "http", clauses }), 'http and request.method == "GET" and request.path == r"^/a\\.b/[^/?]+($|\\?)\\"" and response.answers[0].ip == 7');
  assert.equal(groupClause({ protocol: null, clauses: [{ path: "dst.name", value: "80", pattern: false }] }), 'dst.name == "80"');
});

test("what a filter redacts holds for an item by itself", () => {
  assert.equal(redactions("http and response.status == 500"), "");
  assert.equal(redactions(`timestamp >= now() and redact("request.path", '..["a)b"]') and limit(5)`), `redact("request.path",'..["a)b"]')`);
  assert.equal(redactions('(http and redact ( "a" )) or redact(r"b\\")" /* ) */)\nand dns'), 'redact("a") and redact(r"b\\")")');
  assert.equal(redactions('request.path == "redact(1)" // redact("a")\n and x.redact("a") and redacted("a") # redact("b")'), "");
  assert.equal(redactions('redact("a"'), "");
});
