import assert from "node:assert/strict";
import { test } from "node:test";

import { lines, words } from "../lib/js-words.js";

const kinds = (code) => words(code).filter(({ kind }) => kind).map(({ text, kind }) => `${kind}:${text}`);

test("the parts together are the text", () => {
  for (const code of ["", "var a = 1; // x\n", "/* open", "`a${b}`", "a / b / c", "\"unended\nx", "😀 = /[/]/g.test('é')"]) {
    assert.equal(words(code).map(({ text }) => text).join(""), code);
  }
});

test("words have their kinds", () => {
  assert.deepEqual(kinds("if (file.write('x', 0x1F)) return null; // end"),
    ["word:if", "call:write", "text:'x'", "num:0x1F", "word:return", "num:null", "comment:// end"]);
});

test("a slash divides behind a value and begins a pattern elsewhere", () => {
  assert.deepEqual(kinds("a / b / c"), []);
  assert.deepEqual(kinds("x = /a[/]b/g"), ["text:/a[/]b/g"]);
  assert.deepEqual(kinds("(a) / 2"), ["num:2"]);
});

test("a comment over lines is coloured in each", () => {
  const found = lines("a /* b\nc */ d");
  assert.deepEqual(found.map((line) => line.map(({ text, kind }) => `${kind}:${text}`)), [["null:a ", "comment:/* b"], ["comment:c */", "null: d"]]);
});
