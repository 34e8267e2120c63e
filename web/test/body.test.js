import assert from "node:assert/strict";
import { test } from "node:test";

import { views, xml } from "../lib/body.js";
import { decode } from "../lib/protobuf.js";

const base64 = (bytes) => Buffer.from(bytes).toString("base64");
const names = (content) => Object.keys(views(content));

test("the best view of a body comes first", () => {
  assert.equal(names({ mimeType: "application/json", text: '{"a":1}' })[0], "pretty");
  assert.equal(names({ mimeType: "image/png", encoding: "base64", text: base64([137, 80, 0, 255]) })[0], "image");
  assert.equal(names({ mimeType: "application/x-www-form-urlencoded", text: "a=1&b=2" })[0], "form");
  assert.equal(names({ mimeType: "text/plain", text: "hello" })[0], "text");
  assert.equal(names({ mimeType: "", encoding: "base64", text: base64([0, 255]) })[0], "hex");
});

test("a picture that could run something is not shown as one", () => {
  assert.ok(!names({ mimeType: "image/svg+xml", encoding: "base64", text: base64("<svg onload='x'/>") }).includes("image"));
  assert.ok(!names({ mimeType: "image/png", encoding: "base64", truncated: true, text: base64([137]) }).includes("image"));
});

test("markup is indented", () => {
  assert.equal(xml('<?xml version="1.0"?><a x="1"><b>text</b><c/><d><e>1</e></d></a>'),
    '<?xml version="1.0"?>\n<a x="1">\n  <b>text</b>\n  <c/>\n  <d>\n    <e>1</e>\n  </d>\n</a>');
  assert.equal(xml("a < b"), "a<b");
});

test("a message without descriptors is told by its fields", () => {
  // 1: 150, 2: "testing", 3 {1: 150}: the examples of the format's own page.
  const bytes = [0x08, 0x96, 0x01, 0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67, 0x1a, 0x03, 0x08, 0x96, 0x01];
  assert.equal(decode(base64(bytes), false), '1: 150\n2: "testing"\n3 {\n  1: 150\n}');
  assert.equal(decode(base64([0, 0, 0, 0, bytes.length, ...bytes]), true).split("\n")[0], "# message 1, 17 bytes");
  assert.equal(decode(base64([0x0f, 0xff]), false), null);
  assert.equal(decode(base64([0x12, 0x7f, 1]), false), null);
});

test("no bytes make the decoder fail", () => {
  let seed = 7;
  for (let round = 0; round < 2000; round += 1) {
    const bytes = Array.from({ length: round % 40 }, () => {
      seed = (seed * 1103515245 + 12345) % 2147483648;
      return seed % 256;
    });
    decode(base64(bytes), round % 2 === 0);
  }
});
