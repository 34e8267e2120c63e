import assert from "node:assert/strict";
import { test } from "node:test";

import { consequences, declare } from "../lib/recording.js";

const plain = {
  name: "errors", kfl: "http", destination: "", start: "", duration: "", iterations: "", expiry: "", format: "pcapng",
  mode: "", days: "", acknowledge: "", legalHold: false, lookBack: true, bytesPerDay: "", redact: false, payload: "full",
};

test("a plain form is a name and a query", () => {
  assert.deepEqual(declare(plain), { declared: { name: "errors", kfl: "http" } });
});

test("all fields of a form are declared", () => {
  const { declared } = declare({
    ...plain, destination: " s3://b/x ", start: "22:00", duration: "8h", iterations: "5", expiry: "7d", format: "pcap",
    mode: "COMPLIANCE", days: "30", acknowledge: "30", legalHold: true, lookBack: false, bytesPerDay: "1Gi", redact: true, payload: "headers",
  });
  assert.deepEqual(declared, {
    name: "errors", kfl: "http", destination: "s3://b/x", schedule: { start: "22:00", iterations: 5, duration: "8h", expiry: "7d" },
    format: "pcap", retention: { mode: "COMPLIANCE", days: 30, acknowledgeDays: 30 }, legalHold: true, lookBack: false,
    limits: { bytesPerDay: "1Gi" }, redact: "credentials", payload: "headers",
  });
});

test("what is wrong is said at its field", () => {
  const field = (values) => declare({ ...plain, ...values }).wrong?.field;
  assert.equal(field({ name: "No Good" }), "name");
  assert.equal(field({ kfl: " " }), "kfl");
  assert.equal(field({ start: "25:00" }), "start");
  assert.equal(field({ duration: "soon" }), "duration");
  assert.equal(field({ mode: "GOVERNANCE" }), "days");
  assert.equal(field({ mode: "COMPLIANCE", days: "30", acknowledge: "3" }), "acknowledge");
});

test("a lock that nobody can lift is said in words", () => {
  const said = (retention) => consequences({ name: "a", kfl: "http", retention }, "s3://b/", null).join("\n");
  assert.match(said({ mode: "COMPLIANCE", days: 30 }), /nobody can delete or shorten it/);
  assert.match(said({ mode: "GOVERNANCE", days: 30 }), /bypass GOVERNANCE/);
  assert.match(said(undefined), /No lock is asked for/);
});
