import assert from "node:assert/strict";
import { test } from "node:test";

import { complete, parse } from "../lib/types.js";

const TYPES = `// Types
/** Files of the script. */
declare const file: {
  /** Writes a file. */
  write(path: string, content: string): void;
  deep: {
    /** Inner. */
    inner(): number;
  };
};
/** Runs later. */
declare function setTimeout(call: () => void, ms: number): number;
interface Hooks {
  /** Tells of an item. */
  onItemCaptured: { (data: Item): void; kfl?: string };
}
interface Envelope {
  /** Its stream. */
  stream: string;
}
interface Item extends Envelope {
  /** What was asked. */
  request: {
    /** The method. */
    method: string;
  };
}
`;
const types = parse(TYPES);
const proposed = (code) => complete(code, code.length, types).proposals.map(({ text }) => text);

test("globals, members and hooks are proposed with their sentence", () => {
  assert.deepEqual(complete("file.wr", 7, types), { from: 5, proposals: [{ text: "write", kind: "(path: string, content: string): void", doc: "Writes a file." }] });
  assert.deepEqual(proposed("file.deep."), ["inner"]);
  assert.deepEqual(proposed("setT"), ["setTimeout"]);
  assert.deepEqual(proposed("onI"), ["onItemCaptured"]);
});

test("the item goes by the name that the hook gives it", () => {
  assert.deepEqual(proposed("function onItemCaptured(item) { item.re"), ["request"]);
  assert.deepEqual(proposed("function onItemCaptured(item) { item.request."), ["method"]);
  assert.deepEqual(proposed("data.st"), ["stream"]);
  assert.deepEqual(proposed("function onItemCaptured(item) { data."), []);
});

test("nothing is proposed in texts, comments and out of nothing", () => {
  assert.deepEqual(proposed("// fi"), []);
  assert.deepEqual(proposed('"fi'), []);
  assert.deepEqual(proposed("x = "), []);
  assert.deepEqual(proposed("nobody."), []);
});
