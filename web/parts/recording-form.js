// The form of a new recording: back-tested while it is written, confirmed in words before it starts.

import * as api from "../lib/api.js";
import { el } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { consequences, declare } from "../lib/recording.js";
import { confirm } from "./dialog.js";
import { tryOn } from "./trial.js";

const PAUSE_MS = 600;

export function recordingForm(frame, { destination, done }) {
  const said = el("p", { class: "bad", role: "alert" });
  const tried = el("div", { class: "tried", role: "status" });
  const inputs = {};
  const field = (name, label, input, hint) => {
    inputs[name] = input;
    input.id = `recording-${name}`;
    if (hint) input.setAttribute("aria-describedby", `recording-${name}-hint`);
    return el("div", { class: "field" }, el("label", { for: input.id }, label), input, hint ? el("small", { id: `recording-${name}-hint`, class: "soft" }, hint) : null);
  };
  const text = (attributes = {}) => el("input", { type: "text", autocomplete: "off", spellcheck: "false", ...attributes });
  const choice = (pairs) => el("select", {}, pairs.map(([value, label]) => el("option", { value }, label)));
  const check = (name, label, checked) => {
    inputs[name] = el("input", { type: "checkbox", id: `recording-${name}`, checked });
    return el("label", { class: "check" }, inputs[name], ` ${label}`);
  };
  const over = el("select", { onchange: () => backtest() }, el("option", { value: "" }, "the traffic held here"));
  const days = field("days", "Days", text({ inputmode: "numeric", size: 6 }));
  const acknowledge = field("acknowledge", "Days once more", text({ inputmode: "numeric", size: 6 }), "nobody can lift a COMPLIANCE lock");
  const node = el("form", { class: "card form", hidden: true, "aria-label": "New recording", onsubmit: start },
    el("h2", {}, "New recording"),
    el("div", { class: "fields" },
      field("name", "Name", text({ required: true, maxlength: 63 }), "a folder of the object keys: a to z, 0 to 9 and -"),
      field("kfl", "What to record (KFL)", el("textarea", { rows: 2, spellcheck: "false", required: true }), "true records everything"),
      field("destination", "Destination", text(), ""),
      field("payload", "Payloads", choice([["full", "whole"], ["headers", "heads of messages only"], ["none", "none"]])),
      field("bytesPerDay", "Limit a day", text({ placeholder: "10Gi", size: 8 }), "streams beyond it are left out; 0 is no limit"),
      field("format", "Format", choice([["pcapng", "pcapng"], ["pcap", "pcap"]]))),
    el("fieldset", {}, el("legend", {}, "Schedule"), el("div", { class: "fields" },
      field("start", "Start (UTC)", el("input", { type: "time" }), "empty: now"),
      field("duration", "Duration", text({ placeholder: "8h", size: 8 }), "empty: until it is stopped"),
      field("iterations", "Days", text({ inputmode: "numeric", placeholder: "1", size: 4 }), "0 is every day"),
      field("expiry", "Ends for good after", text({ placeholder: "7d", size: 8 })))),
    el("fieldset", {}, el("legend", {}, "Lock"), el("div", { class: "fields" },
      field("mode", "Object lock", choice([["", "the bucket's own rules"], ["GOVERNANCE", "GOVERNANCE"], ["COMPLIANCE", "COMPLIANCE"]])),
      days, acknowledge, check("legalHold", "legal hold", false))),
    el("div", { class: "checks" }, check("lookBack", "packets from before the match", true), check("redact", "overwrite credentials before sealing", false)),
    el("p", { class: "trial" }, el("label", {}, "Try it over ", over)),
    tried, said,
    el("div", { class: "acts" }, el("button", { type: "button", onclick: close }, "Cancel"), el("button", { class: "main" }, "Start recording\u2026")));
  let timer = null;
  let last = null;
  let asked = 0;

  const values = () => Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, input.type === "checkbox" ? input.checked : input.value]));
  function locks() {
    days.hidden = !inputs.mode.value;
    acknowledge.hidden = inputs.mode.value !== "COMPLIANCE";
  }
  async function backtest() {
    const kfl = inputs.kfl.value.trim();
    const mine = (asked += 1);
    last = null;
    if (!kfl) return tried.replaceChildren();
    try {
      last = await tryOn(kfl, over.value, tried, () => mine === asked);
      if (!last) return;
      inputs.kfl.removeAttribute("aria-invalid");
    } catch (error) {
      if (mine !== asked) return;
      inputs.kfl.setAttribute("aria-invalid", "true");
      // A recording may be made although its archive cannot be tried.
      if (over.value) last = { kfl, itemsSeen: 0 };
      tried.replaceChildren(el("span", { class: "bad" }, error.message));
    }
  }
  async function start(event) {
    event.preventDefault();
    said.textContent = "";
    const { declared, wrong } = declare(values());
    if (wrong) {
      said.textContent = wrong.sentence;
      inputs[wrong.field].focus();
      return;
    }
    clearTimeout(timer);
    if (last?.kfl !== declared.kfl) await backtest();
    if (last?.kfl !== declared.kfl) return inputs.kfl.focus();
    const sure = await confirm({ title: `Start recording ${declared.name}?`, lines: consequences(declared, destination(), last), act: "Start" });
    if (!sure) return;
    try {
      await api.addRecording(declared);
      close();
      done(`${declared.name} records.`);
    } catch (error) {
      said.textContent = error.message;
    }
  }
  function close() {
    node.hidden = true;
  }
  inputs.kfl.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(backtest, PAUSE_MS);
  });
  inputs.mode.addEventListener("change", locks);
  locks();
  return {
    node,
    open(kfl) {
      node.hidden = false;
      said.textContent = "";
      inputs.destination.placeholder = destination();
      if (kfl || !inputs.kfl.value) inputs.kfl.value = kfl || frame.state.q;
      api.stores().then(({ stores }) => {
        const known = [...over.options].map((one) => one.value);
        over.append(...stores.filter((store) => !known.includes(store)).map((store) => el("option", { value: store }, store)));
      }, () => {});
      backtest();
      inputs.name.focus();
    },
  };
}
