import assert from "node:assert/strict";
import { test } from "node:test";

import { follow } from "../lib/api.js";

// Sockets that a test opens, and what it has them say.
class Socket {
  static opened = [];
  constructor(url) {
    this.url = url;
    this.closed = false;
    Socket.opened.push(this);
  }
  say(message) {
    this.onmessage({ data: JSON.stringify(message) });
  }
  close() {
    this.closed = true;
    this.onclose?.();
  }
}
globalThis.WebSocket = Socket;
globalThis.location = { protocol: "http:", host: "localhost" };

function heard() {
  Socket.opened = [];
  const said = [];
  const stop = follow("dns", 7, 100, "first", {
    onPosition: ({ end }, rows) => said.push(["rows", rows], ["position", end]), onState: (on) => said.push(["state", on]), onOther: () => said.push(["other"]),
  });
  return { said, stop, socket: () => Socket.opened.at(-1) };
}

test("a feed goes on where it was when its instance answers again", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { said, stop, socket } = heard();
  socket().say({ type: "rows", rows: [{ n: 7 }] });
  socket().say({ type: "position", end: 8, skipped: 0, instance: "first" });
  socket().say({ type: "position", end: 9, skipped: 0, instance: "first" });
  assert.deepEqual(said, [["rows", [{ n: 7 }]], ["position", 8], ["rows", []], ["position", 9]]);
  socket().onclose();
  t.mock.timers.tick(500);
  assert.equal(Socket.opened.length, 2);
  assert.match(socket().url, /from=9/);
  stop();
});

test("a feed of another instance ends, and none of its rows are taken for those of the one before", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { said, socket } = heard();
  socket().onclose();
  t.mock.timers.tick(500);
  socket().say({ type: "rows", rows: [{ n: 7 }] });
  socket().say({ type: "position", end: 8, skipped: 0, instance: "second" });
  assert.deepEqual(said, [["state", false], ["other"]]);
  assert.equal(socket().closed, true);
  t.mock.timers.tick(60000);
  assert.equal(Socket.opened.length, 2);
});
