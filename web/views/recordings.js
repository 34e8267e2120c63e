// The recordings: what is kept, where it goes, and how much of it there is; making, sealing, stopping.

import * as api from "../lib/api.js";
import { el } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { allow, unless } from "../lib/roles.js";
import { confirm, loading, notice, trouble } from "../parts/dialog.js";
import { recordingForm } from "../parts/recording-form.js";
import { redraw } from "../parts/redraw.js";
import { trialForm } from "../parts/trial.js";

const AGAIN_MS = 2000;

export function recordingsView(frame) {
  const list = el("div", {}, loading("the recordings"));
  const around = el("div", {});
  const said = el("span", { class: "said", role: "status" });
  const form = recordingForm(frame, { destination: () => destination, done: (sentence) => load(sentence) });
  const make = el("button", { class: "main", disabled: true, title: frame.whyNot("operate"), onclick: () => form.open() }, "New recording");
  const sealAll = el("button", { onclick: () => seal(null) }, "Seal all now");
  const tools = el("div", { class: "tools" }, make, sealAll, said);
  const trial = trialForm();
  const node = el("div", { class: "page" }, tools, form.node, list, trial.node, around);
  let destination = "";
  let all = [];
  let timer = null;

  async function load(sentence) {
    clearTimeout(timer);
    if (sentence) said.textContent = sentence;
    try {
      all = await api.recordings();
      destination = destination || (await api.stores()).stores[0] || "";
      draw();
    } catch (error) {
      list.replaceChildren(trouble(error, () => load()));
    }
    // Of two readings at a time one goes on.
    clearTimeout(timer);
    timer = setTimeout(() => node.isConnected && load(), AGAIN_MS);
  }
  function draw() {
    const run = frame.state.status?.run ?? {};
    tools.hidden = !run.live;
    trial.node.hidden = run.live !== false;
    if (!trial.node.hidden) trial.begin(frame.state.q);
    const why = frame.whyNot("operate");
    for (const button of [make, sealAll]) allow(button, why);
    sealAll.hidden = all.every((one) => !one.openStreams);
    if (all.length === 0) {
      list.replaceChildren(run.live
        ? notice("Nothing is recorded", why === "" ? "Make a recording here, or set RECORDING_KFL under scripting.env in the configuration." : "Ask whoever runs tapedeck to make a recording; your token may only look.")
        : notice("A recorded source is open", "Recordings are made in live runs; see: tapedeck tap --help"));
      return;
    }
    redraw(list, all.map((one) => card(one, why)));
  }
  function status({ run }) {
    const parts = [];
    if (run.outbox) {
      const { outbox } = run;
      parts.push(el("section", { class: "card" }, el("h2", {}, "Outbox"), facts([
        ["waiting", `${format.some(outbox.waiting, "reel")}, ${format.bytes(outbox.waitingBytes)}`],
        ["oldest of them", outbox.oldest ? `sealed at ${format.rfc(outbox.oldest)}` : "none"],
        ["uploaded", `${format.some(outbox.uploaded, "reel")}, ${format.bytes(outbox.uploadedBytes)}; ${format.bytes(outbox.bytesPerSecond ?? 0)} a second in the last minute`],
        ["when it is full", outbox.onFull === "stop" ? "recording stops" : "the oldest reels are dropped", outbox.full ? "bad" : ""],
        ["dropped", format.count(outbox.dropped), outbox.dropped ? "bad" : ""],
        ["last error", outbox.lastError ?? "none", outbox.lastError ? "bad" : ""],
      ])));
    }
    const locks = Object.entries(run.locks ?? {});
    const kept = Object.entries(run.kept ?? {}).map(([store, lock]) => [`reels in ${store}`, lock, /^locked/.test(lock) ? "good" : "warn"]);
    if (locks.length || kept.length) parts.push(el("section", { class: "card" }, el("h2", {}, "Immutability"), facts(locks.map(([store, lock]) => [store, lock ?? "not asked yet", /^on/.test(lock ?? "") ? "good" : "warn"]).concat(kept))));
    around.replaceChildren(...parts);
  }
  function card(one, why) {
    const button = (text, act, not = "") => el("button", unless(not, { onclick: act }), text);
    return el("section", { class: "card", "data-name": one.name }, el("h2", {}, el("span", {}, one.name, " ", el("span", { class: `badge ${one.state === "on" ? "good" : "soft"}` }, one.state ?? "on")),
      el("span", { class: "acts" },
        button("Show what it matches", () => {
          frame.apply(one.kfl);
          frame.open("traffic");
        }),
        one.openStreams ? button("Seal now", () => seal(one), why) : null,
        one.source === "added" ? button("Stop", () => stop(one), why) : null,
        one.source === "configuration" ? el("span", { class: "soft" }, "from the configuration") : null,
        one.source === "script" ? el("span", { class: "soft" }, "made by a script") : null)),
    figures(one));
  }
  function figures(one) {
    const planning = [
      ["filter", el("code", {}, one.kfl)],
      ["destination", one.destination || "none"],
      one.schedule ? ["schedule", planned(one)] : null,
    ];
    // Of what ended before tapedeck was started nothing is counted; what it recorded is in its destination.
    if (one.streams === undefined) return facts([...planning, one.state === "ended" ? ["recorded", "see its reels in the archive"] : null, one.error ? ["error", one.error, "bad"] : null].filter(Boolean));
    return facts([
      ...planning,
      ["recorded", `${format.some(one.streams, "stream")}, ${format.some(one.packets ?? 0, "packet")}, ${format.bytes(one.bytes ?? 0)}${one.forecast ? `; about ${format.bytes(one.forecast)} a day at the rate of its last hour, or since it began` : ""}`],
      one.bytesPerDay ? ["limit a day", `${format.bytes(one.bytesToday ?? 0)} of ${format.bytes(one.bytesPerDay)} today`] : null,
      ["open", `${format.some(one.openStreams ?? 0, "stream")}, ${format.some(one.openPackets ?? 0, "packet")} not yet sealed`],
      ["reels", format.count(one.reels ?? 0)],
      ["last match", one.lastMatch ? format.rfc(one.lastMatch) : "none yet"],
      one.limited ? ["limited", `${format.some(one.limited, "stream")} left out: the limit of a day is reached`, "warn"] : null,
      one.undecided ? ["undecided", `${format.some(one.undecided, "stream")} kept because the query took too many steps`, "warn"] : null,
      one.refused ? ["refused", `${format.some(one.refused, "stream")}: too many are open`, "bad"] : null,
      one.notWritten ? ["not written", format.some(one.notWritten, "packet"), "bad"] : null,
      one.error ? ["error", one.error, "bad"] : null,
    ].filter(Boolean));
  }
  function planned({ schedule, state, nextStart, until }) {
    const hours = (seconds) => (seconds % 3600 ? `${Math.round(seconds / 60)} min` : `${seconds / 3600} h`);
    const days = schedule.iterations === 0 ? "every day" : `on ${schedule.iterations} ${schedule.iterations === 1 ? "day" : "days"}`;
    return [
      schedule.start ? `at ${schedule.start} UTC ${days}` : "from its making on",
      schedule.durationSeconds ? `for ${hours(schedule.durationSeconds)}` : null,
      schedule.expirySeconds ? `ends for good after ${hours(schedule.expirySeconds)}` : null,
      nextStart ? `next at ${format.rfc(nextStart)}` : null,
      until ? `${state === "ended" ? "ended at" : "until"} ${format.rfc(until)}` : null,
    ].filter(Boolean).join(", ");
  }
  async function seal(one) {
    const sure = await confirm({
      title: one ? `Seal ${one.name} now?` : "Seal all recordings now?", act: "Seal",
      lines: ["What is open becomes a reel and is uploaded; recording goes on.",
        "A sealed reel is never changed. Where objects are locked, it cannot be deleted until its lock ends."],
    });
    if (!sure) return;
    await done(api.sealRecording(one?.name), (count) => `${format.some(count, "reel")} ${count === 1 ? "was" : "were"} sealed.`);
  }
  async function stop(one) {
    const sure = await confirm({
      title: `Stop ${one.name}?`, act: "Stop recording", danger: true,
      lines: ["No further stream is taken; what is open is sealed and uploaded.",
        `What was recorded stays in ${one.destination}. To record again, make a new recording.`],
    });
    if (!sure) return;
    await done(api.removeRecording(one.name), () => `${one.name} was stopped.`);
  }
  async function done(asked, sentence) {
    try {
      await load(sentence(await asked));
    } catch (error) {
      said.textContent = error.message;
    }
  }
  return {
    node,
    show: () => {
      if (frame.state.status) status(frame.state.status);
      load();
    },
    hide: () => clearTimeout(timer),
    make: (kfl) => form.open(kfl),
    status,
  };
}

export function facts(pairs) {
  return el("table", { class: "facts" }, pairs.map(([name, value, tone]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", { class: tone ?? "" }, value))));
}
