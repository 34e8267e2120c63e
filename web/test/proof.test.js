import assert from "node:assert/strict";
import { test } from "node:test";

import { hasBytes, outcome, verdict } from "../lib/proof.js";

const counts = (some) => ({ parts: 4, read: 0, checksums: 0, ...some });
const report = (some) => ({ at: "2024-01-02T03:04:05Z", clean: true, findings: [], moreFindings: 0, counts: counts(), ...some });
const reel = { name: "tapedeck/v1/reel-1", sealed: "2024-01-02T03:00:00Z" };

test("sizes alone do not prove bytes", () => {
  assert.equal(hasBytes(counts({ checksums: 3 })), false);
  assert.equal(outcome(report())[0], "warn");
  assert.deepEqual(verdict(report(), reel), ["warn", "size as sealed, bytes not read, 2024-01-02 03:04:05 UTC"]);
});

test("bytes are known by reading or by checksums", () => {
  for (const some of [{ read: 4 }, { checksums: 4 }]) {
    assert.equal(outcome(report({ counts: counts(some) }))[0], "good");
    assert.equal(verdict(report({ counts: counts(some) }), reel)[0], "good");
  }
});

test("what was found is told of the reel that it is of", () => {
  const found = report({ clean: false, counts: counts({ read: 4 }), findings: [{ key: "tapedeck/v1/reel-1.pcapng.zst", sentence: "it was changed" }] });
  assert.deepEqual(outcome(found), ["bad", "1 object is not as it was sealed"]);
  assert.deepEqual(verdict(found, reel), ["bad", "it was changed"]);
  assert.equal(verdict(found, { ...reel, name: "tapedeck/v1/reel-2" })[0], "good");
  assert.equal(verdict({ ...found, moreFindings: 3 }, { ...reel, name: "tapedeck/v1/reel-2" })[0], "soft");
  assert.equal(verdict(report(), { ...reel, sealed: "2024-01-02T04:00:00Z" })[0], "soft");
  assert.equal(verdict(null, reel)[0], "soft");
});
