// The recordings: what is kept, where it goes, and how much of it there is.

import { el } from "../lib/dom.js";
import * as format from "../lib/format.js";

export function recordingsView(frame) {
  const node = el("div", { class: "page" });

  function draw(status) {
    const { run } = status;
    const all = run.recordings ?? [];
    const parts = [];
    if (all.length === 0) {
      parts.push(el("div", { class: "empty" }, el("h2", {}, run.live ? "Nothing is recorded" : "A recorded source is open"),
        run.live ? "Set RECORDING_KFL under scripting.env in the configuration, for example: http and response.status == 500" : "Recordings are made in live runs; see: tapedeck tap --help"));
    }
    for (const one of all) parts.push(card(one, run));
    if (run.outbox) {
      const { outbox } = run;
      parts.push(el("section", { class: "card" }, el("h2", {}, "Outbox"), facts([
        ["waiting", `${format.count(outbox.waiting)} reels, ${format.bytes(outbox.waitingBytes)}`],
        ["oldest of them", outbox.oldest ? `sealed at ${outbox.oldest}` : "none"],
        ["uploaded", `${format.count(outbox.uploaded)} reels, ${format.bytes(outbox.uploadedBytes)}; ${format.bytes(outbox.bytesPerSecond ?? 0)} a second in the last minute`],
        ["when it is full", outbox.onFull === "stop" ? "recording stops" : "the oldest reels are dropped", outbox.full ? "bad" : ""],
        ["dropped", format.count(outbox.dropped), outbox.dropped ? "bad" : ""],
        ["last error", outbox.lastError ?? "none", outbox.lastError ? "bad" : ""],
      ])));
    }
    const locks = Object.entries(run.locks ?? {});
    const kept = Object.entries(run.kept ?? {}).map(([store, lock]) => [`reels in ${store}`, lock, /^locked/.test(lock) ? "good" : "warn"]);
    if (locks.length || kept.length) parts.push(el("section", { class: "card" }, el("h2", {}, "Immutability"), facts(locks.map(([store, lock]) => [store, lock ?? "not asked yet", /^on/.test(lock ?? "") ? "good" : "warn"]).concat(kept))));
    node.replaceChildren(...parts);
  }
  function card(one) {
    return el("section", { class: "card" }, el("h2", {}, one.name, el("button", { onclick: () => {
      frame.apply(one.kfl);
      frame.open("traffic");
    } }, "Show what it matches")),
    facts([
      ["filter", el("code", {}, one.kfl)],
      ["destination", one.destination || "none"],
      ["recorded", `${format.count(one.streams ?? 0)} streams, ${format.count(one.packets ?? 0)} packets, ${format.bytes(one.bytes ?? 0)}`],
      ["open", `${format.count(one.openStreams ?? 0)} streams, ${format.count(one.openPackets ?? 0)} packets not yet sealed`],
      ["reels", format.count(one.reels ?? 0)],
      ["last match", one.lastMatch ?? "none yet"],
      one.undecided ? ["undecided", `${format.count(one.undecided)} streams kept because the query took too many steps`, "warn"] : null,
      one.refused ? ["refused", `${format.count(one.refused)} streams: too many are open`, "bad"] : null,
      one.notWritten ? ["not written", `${format.count(one.notWritten)} packets`, "bad"] : null,
      one.error ? ["error", one.error, "bad"] : null,
    ].filter(Boolean)));
  }
  return { node, show: () => frame.state.status && draw(frame.state.status), status: draw };
}

export function facts(pairs) {
  return el("table", { class: "facts" }, pairs.map(([name, value, tone]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", { class: tone ?? "" }, value))));
}
