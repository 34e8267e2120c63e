import assert from "node:assert/strict";
import test from "node:test";

import { allow, unless, whyNot } from "../lib/roles.js";

const operate = { role: "operate", may: { investigate: true, operate: true, editScripts: false, replay: true } };

test("what a role lacks is told with the role that has it", () => {
  const view = { role: "view", may: { investigate: false, operate: false, editScripts: false, replay: false } };
  assert.match(whyNot(view, "investigate"), /the role investigate, and yours is view/);
  assert.match(whyNot(view, "editScripts"), /the role operate, and yours is view/);
  assert.equal(whyNot(operate, "operate"), "");
  assert.equal(whyNot(null, "operate"), "Sign in first");
});

test("what the configuration forbids is told with its key", () => {
  assert.match(whyNot(operate, "editScripts"), /tap\.dashboard\.editScripts is false/);
  assert.equal(whyNot(operate, "replay"), "");
});

test("a button that cannot be pressed says why in its title", () => {
  assert.deepEqual(unless("", { title: "Seals" }), { disabled: false, title: "Seals" });
  assert.deepEqual(unless("no", { title: "Seals" }), { disabled: true, title: "no" });
  const button = { hidden: true };
  assert.deepEqual(allow(button, "no", "Seals"), { hidden: true, disabled: true, title: "no" });
  assert.deepEqual(allow(button, ""), { hidden: true, disabled: false, title: "" });
});
