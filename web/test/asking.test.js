import assert from "node:assert/strict";
import { test } from "node:test";

import { asking, counted } from "../lib/asking.js";

// An answer that comes when it is told to, or fails when it is given up.
function later() {
  const one = {};
  one.make = (signal) => new Promise((resolve, reject) => {
    Object.assign(one, { resolve, reject, signal });
    signal.addEventListener("abort", () => reject(new Error("given up")));
  });
  return one;
}

test("a new question gives up the one before, and nobody is told of that", async () => {
  const asked = asking();
  const [first, second] = [later(), later()];
  const one = asked.ask("a", first.make);
  const two = asked.ask("b", second.make);
  assert.equal(first.signal.aborted, true);
  assert.equal(await one, null);
  second.resolve(7);
  assert.equal(await two, 7);
});

test("the same question asked again waits for its answer", async () => {
  const asked = asking();
  const first = later();
  const one = asked.ask("a", first.make);
  assert.equal(await asked.ask("a", () => assert.fail("asked twice")), null);
  assert.equal(first.signal.aborted, false);
  first.resolve(1);
  assert.equal(await one, 1);
  assert.equal(await asked.ask("a", async () => 2), 2);
});

test("what goes wrong is thrown, unless the question was given up", async () => {
  const asked = asking();
  await assert.rejects(asked.ask("a", async () => { throw new Error("no"); }), /no/);
  const first = later();
  const one = asked.ask("a", first.make);
  asked.giveUp();
  assert.equal(await one, null);
});

test("what is still counted is asked for until all is", async () => {
  const answers = [{ behind: 20 }, { behind: 5 }, { behind: 0, all: 7 }];
  const told = [];
  assert.deepEqual(await counted(async () => answers.shift(), (behind) => told.push(behind)), { behind: 0, all: 7 });
  assert.deepEqual(told, [20, 5]);
});
