import assert from "node:assert/strict";
import test from "node:test";

import { curl } from "../lib/curl.js";

const request = { method: "POST", path: "/a", url: "/a?b=1", headers: { Host: "shop:8080", "Content-Length": "3", "X-Name": "it's" }, postData: { text: "x=1" } };

test("a request is a command that a shell takes as it is", () => {
  assert.equal(curl({ request, dst: {}, tls: false }), "curl --globoff --path-as-is -X POST 'http://shop:8080/a?b=1' -H 'X-Name: it'\\''s' --data-raw 'x=1'");
});

test("the pseudo headers of HTTP/2 become the address", () => {
  const h2 = { ...request, headers: { ":authority": "shop", ":method": "GET", a: "b" }, postData: null };
  assert.equal(curl({ request: h2, dst: {}, tls: true }), "curl --globoff --path-as-is -X POST 'https://shop/a?b=1' -H 'a: b'");
});

test("what a shell or curl would read into a path stays a path", () => {
  const odd = { ...request, method: "GET", url: "/a/../{b,c}[1-3]", headers: { Host: "shop", "X-None": "" }, postData: null };
  assert.equal(curl({ request: odd, dst: {} }), "curl --globoff --path-as-is -X GET 'http://shop/a/../{b,c}[1-3]' -H 'X-None;'");
});

test("what is no request, or was cut, has no command", () => {
  assert.equal(curl({ request: { questions: [] }, dst: {} }), null);
  assert.equal(curl({ request: { ...request, postData: { text: "x", truncated: true } }, dst: {} }), null);
});
