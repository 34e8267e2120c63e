// The state bar: captured, dropped, recorded, uploaded, waiting.

import { el } from "../lib/dom.js";
import * as format from "../lib/format.js";

// What a sentence says before its reason, which the pointer shows.
const brief = (sentence) => sentence.split(": ")[0];

export function stateBar() {
  const failed = el("div", { class: "wrong", role: "alert" });
  const facts = el("div", { class: "facts" });
  const node = el("footer", { class: "state", "aria-label": "State" }, failed, facts);
  const fact = (label, value, tone = "", title = "") => el("span", { class: tone, title }, `${label} `, el("b", {}, value));
  return {
    node,
    // `place` is what is looked at instead of the run itself.
    show(status, shown, place) {
      const { counts, run, rows } = status;
      const dropped = counts.kernelDropped + counts.interfaceDropped;
      const items = Object.values(counts.items).reduce((sum, some) => sum + some, 0);
      const ofPlace = place ? [shown === null ? null : fact("listed", format.count(shown), "", `of ${place}`), el("span", { class: "soft" }, "the live run:")].filter(Boolean) : [];
      if (place) shown = null;
      const parts = [
        ...ofPlace, fact("items", shown === null ? format.count(items) : `${format.count(shown)} of ${format.count(items)} shown`, "", Object.entries(counts.items).map(([name, some]) => `${name} ${some}`).join(", ")),
      ];
      // What is looked at by its index is not captured here.
      const byIndex = status.archive && counts.packets === 0;
      if (byIndex) {
        const { reels, reads, bytes, cached } = status.archive;
        parts.push(fact("looked into", format.some(reels, "reel"), "", "of which items were shown"), fact("read", `${format.bytes(bytes)} in ${format.some(reads, "request")}`, "", `${format.bytes(cached)} of it from the cache`));
      } else {
        parts.push(fact("captured", `${format.some(counts.packets, "packet")}, ${format.bytes(counts.bytes)}`), fact("streams", format.count(counts.streams), "", `${counts.streamsOpen} open`),
          fact("dropped", format.count(dropped), dropped ? "bad" : "", "by the kernel or the interface"));
      }
      if (counts.behind) parts.push(fact("behind", format.count(counts.behind), "warn", "packets in the spool that are still to be dissected"));
      if (counts.notDissected) parts.push(fact("not dissected", format.count(counts.notDissected), "bad", "packets that the spool had no longer when their turn came"));
      if (counts.own) parts.push(fact("own", format.count(counts.own), "", "packets of tapedeck itself, left out"));
      if (status.undecided) parts.push(fact("undecided", format.count(status.undecided), "warn", "items that filters left out because they took too many steps; simplify the filter"));
      for (const recording of run.recordings ?? []) {
        if (recording.undecided) parts.push(fact(`undecided in ${recording.name}`, format.count(recording.undecided), "warn", "streams that were kept because the query took too many steps"));
        parts.push(fact(recording.name === "recording" ? "recording" : `recording ${recording.name}`, `${format.some(recording.streams ?? 0, "stream")}, ${format.bytes(recording.bytes ?? 0)}`, "", recording.kfl));
      }
      if (run.outbox) {
        parts.push(fact("uploaded", format.some(run.outbox.uploaded, "reel")));
        const { waiting, waitingBytes, oldest, bytesPerSecond, full, dropped, lastError } = run.outbox;
        const said = [lastError, oldest && `the oldest since ${oldest}`, `${format.bytes(bytesPerSecond ?? 0)} a second`].filter(Boolean).join("; ");
        parts.push(fact("waiting", waiting ? `${format.count(waiting)}, ${format.bytes(waitingBytes ?? 0)}` : "0", lastError || full ? "bad" : "", said));
        if (full) parts.push(fact("recording", "stopped", "bad", "the outbox is full; make the store reachable or raise tap.storageLimit"));
        if (dropped) parts.push(fact("not uploaded", format.some(dropped, "reel"), "bad", "dropped because the outbox was full"));
      }
      for (const [store, lock] of Object.entries(run.locks ?? {})) {
        if (lock) parts.push(fact("lock", brief(lock), /^on/.test(lock) ? "" : "warn", `${lock} (${store})`));
      }
      for (const [store, kept] of Object.entries(run.kept ?? {})) {
        parts.push(fact("reels", brief(kept), /^locked/.test(kept) ? "" : "warn", `${kept} (${store})`));
      }
      for (const sentence of (run.remarks ?? []).concat(counts.warnings).slice(0, 3)) parts.push(el("span", { class: "warn" }, sentence));
      if (counts.progress && !counts.ended) {
        const [done, all] = counts.progress;
        parts.push(el("span", {}, "reading ", el("meter", { min: 0, max: all || 1, value: done })));
      }
      if (!byIndex) parts.push(el("span", { title: `At most ${format.count(rows.maxRows)} rows in ${format.bytes(rows.maxBytes)} of memory are held here; the oldest go first (tap.dashboard.entriesLimit, tap.capture.dbMaxSize).` }, `rows ${format.count(rows.first)}\u2013${format.count(rows.end)}`));
      parts.push(el("span", { class: "clock" }, format.dateTime(Date.now()).replace(/\.\d+/, "")));
      facts.replaceChildren(...parts);
    },
    // Why there are no figures; it goes with the next ones.
    lost(sentence) {
      facts.replaceChildren(el("span", { class: "bad" }, el("b", {}, sentence)));
    },
    // What went wrong stands beside the figures until somebody has seen it, or something else went wrong.
    fail(sentence) {
      failed.replaceChildren(el("span", {}, sentence), el("button", { onclick: () => failed.replaceChildren() }, "Dismiss"));
    },
  };
}
