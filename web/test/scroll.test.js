import assert from "node:assert/strict";
import { test } from "node:test";

import { MOST, scroller } from "../lib/scroll.js";

const ROWS = 10_000_000;
const ROW = 28;
const VIEW = 600;

test("a short list scrolls as it is", () => {
  const scroll = scroller();
  scroll.size(5000, VIEW);
  assert.equal(scroll.height(), 5000);
  assert.equal(scroll.moved(1234), null);
  assert.equal(scroll.top(), 1234);
  assert.equal(scroll.place(1234), 1234);
});

test("ten million rows fit into an element that browsers draw", () => {
  const scroll = scroller();
  scroll.size(ROWS * ROW, VIEW);
  assert.equal(scroll.height(), MOST);
  // The end of the bar is the end of the list, its middle the middle.
  scroll.moved(MOST - VIEW);
  assert.equal(scroll.top(), ROWS * ROW - VIEW);
  scroll.moved((MOST - VIEW) / 2);
  assert.equal(scroll.top(), (ROWS * ROW - VIEW) / 2);
  scroll.moved(0);
  assert.equal(scroll.top(), 0);
});

test("a small move moves by as many pixels, so that every row can be reached", () => {
  const scroll = scroller();
  scroll.size(ROWS * ROW, VIEW);
  let bar = scroll.go(5_000_000 * ROW);
  for (let step = 1; step <= 300; step += 1) {
    bar += 100;
    bar = scroll.moved(bar) ?? bar;
    assert.equal(scroll.top(), 5_000_000 * ROW + step * 100);
  }
  // What is seen stands where the element shows it.
  assert.equal(scroll.place(scroll.top()), bar);
});

test("small moves reach both ends", () => {
  const scroll = scroller();
  scroll.size(MOST * 3, VIEW);
  let bar = scroll.go(30_000);
  for (let step = 0; step < 400; step += 1) {
    bar = Math.max(0, bar - 100);
    bar = scroll.moved(bar) ?? bar;
  }
  assert.equal(scroll.top(), 0);
  assert.equal(bar, 0);
  bar = scroll.go(MOST * 3 - VIEW - 30_000);
  for (let step = 0; step < 400; step += 1) {
    bar = Math.min(MOST - VIEW, bar + 100);
    bar = scroll.moved(bar) ?? bar;
  }
  assert.equal(scroll.top(), MOST * 3 - VIEW);
});
