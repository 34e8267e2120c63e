// The health of the run: the way of a packet with its rates, what was lost where, versions.

import { el } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { facts } from "./recordings.js";

const SPAN = 5;

export function healthView() {
  const road = el("div", { class: "road" });
  const losses = el("section", { class: "card" });
  const more = el("section", { class: "card" });
  const node = el("div", { class: "page" }, el("section", { class: "card" }, el("h2", {}, "The way of a packet"), road), losses, more);
  const seen = [];

  function rate(read) {
    const [first, last] = [seen[0], seen.at(-1)];
    const seconds = (last.at - first.at) / 1000;
    return seconds > 0 ? (read(last.status) - read(first.status)) / seconds : 0;
  }
  function scriptsStage(scripts) {
    const trouble = (scripts.broken ?? 0) + (scripts.quarantined ?? 0) + (scripts.restarting ?? 0);
    const words = ["running", "loading", "restarting", "quarantined", "broken", "off"].filter((word) => scripts[word]);
    const tone = (word) => ({ broken: "bad", quarantined: "bad", restarting: "warn" })[word] ?? "";
    return stage("Scripts", [...words.map((word) => [format.count(scripts[word]), word, tone(word)]),
      scripts.itemsLost ? [format.count(scripts.itemsLost), "items lost", "bad"] : null, scripts.restarts ? [format.count(scripts.restarts), "restarts", "warn"] : null].filter(Boolean), trouble ? "trouble" : "");
  }
  const items = (status) => Object.values(status.counts.items).reduce((sum, some) => sum + some, 0);
  function stage(title, rows, tone = "") {
    return el("div", { class: `stage ${tone}` }, el("h3", {}, title), rows.map(([value, unit, mark]) => el("div", { class: mark ?? "" }, el("b", {}, value), ` ${unit}`)));
  }
  function status(now) {
    seen.push({ at: performance.now(), status: now });
    if (seen.length > SPAN + 1) seen.shift();
    const { counts, run, rows } = now;
    const lost = counts.kernelDropped + counts.interfaceDropped;
    const recorded = (run.recordings ?? []).reduce((sum, one) => sum + (one.packets ?? 0), 0);
    const stages = [
      stage(run.live ? "Capture" : "Source", [
        [format.count(Math.round(rate((s) => s.counts.packets))), "packets/s"], [`${format.bytes(Math.round(rate((s) => s.counts.bytes)))}/s`, ""],
        [format.count(counts.packets), "packets"], [format.count(lost), "dropped", lost ? "bad" : ""]], lost ? "trouble" : ""),
      stage("Streams", [
        [format.count(counts.streamsOpen), "open"], [format.count(counts.streams), "in all"], [format.count(counts.behind ?? 0), "packets behind", counts.behind ? "warn" : ""],
        [format.count(counts.notDissected ?? 0), "not dissected", counts.notDissected ? "bad" : ""]], counts.notDissected ? "trouble" : ""),
      stage("Items", [
        [format.count(Math.round(rate(items))), "items/s"], [format.count(items(now)), "in all"], [format.count(rows.end - rows.first), "held here"], [format.bytes(rows.bytes), `of ${format.bytes(rows.maxBytes)} for them`]]),
    ];
    if (run.spool) {
      const { onDisk, segments, overwritten, notWritten } = run.spool;
      stages.splice(1, 0, stage("Spool", [[format.bytes(onDisk), "on disk"], [format.count(segments), segments === 1 ? "segment" : "segments"], [format.count(overwritten), "packets overwritten"],
        [format.count(notWritten), "not written", notWritten ? "bad" : ""]], notWritten ? "trouble" : ""));
    }
    if (run.recordings?.length) {
      stages.push(stage("Record", [[format.count(run.recordings.length), run.recordings.length === 1 ? "recording" : "recordings"], [format.count(recorded), "packets"],
        [format.count(run.recordings.reduce((sum, one) => sum + (one.reels ?? 0), 0)), "reels"]]));
    }
    if (run.outbox) {
      stages.push(stage("Outbox", [[format.count(run.outbox.waiting), "waiting", run.outbox.lastError ? "bad" : ""], [format.bytes(run.outbox.waitingBytes), ""],
        [format.count(run.outbox.uploaded), "uploaded"], [format.count(run.outbox.dropped), "dropped", run.outbox.dropped ? "bad" : ""]], run.outbox.lastError ? "trouble" : ""));
    }
    if (Object.keys(run.scripts ?? {}).some((word) => !["itemsLost", "restarts"].includes(word))) stages.push(scriptsStage(run.scripts));
    road.replaceChildren(...stages.flatMap((one, index) => (index ? [el("span", { class: "arrow", "aria-hidden": "true" }, "\u2192"), one] : [one])));
    losses.replaceChildren(el("h2", {}, "What is missing, and why"), facts([
      ["dropped by the kernel", counts.kernelDropped, "the buffer was full: raise tap.bufferSize, or narrow with --bpf"],
      ["dropped by the interface", counts.interfaceDropped, "before the kernel saw them"],
      ["malformed", counts.malformed, "headers that do not add up"],
      ["damaged places in files", counts.damaged, "what could be read was read"],
      ["not dissected", counts.notDissected, "overwritten in the spool before their turn came"],
      ["not read for want of memory", counts.memoryShort, "raise its limit, or narrow what is captured"],
      ["streams given up in the middle", counts.givenUp, "memory was short: what was open in them is not shown"],
      ["not written to the spool", counts.spoolNotWritten, "the disk was full or refused: they cannot be looked back at"],
      ["of tapedeck itself", counts.own, "left out on purpose"],
      ["thrown away before the targets were known", counts.targetsUnknown, "the hub had not said which pods are captured"],
      ["waiting for the targets", counts.waiting, "lost unless the hub says which pods are captured"],
      ["of pods that are no targets", counts.notTargeted, "left out on purpose"],
      ["seen twice", counts.duplicates, "counted once"],
      ["TLS handshakes not decrypted", counts.tls ? counts.tls.handshakes - counts.tls.decrypted : 0, "give --tls-keylog to read them"],
    ].map(([name, count, why]) => [name, `${format.count(count ?? 0)} \u2013 ${why}`, count && !/on purpose|once/.test(why) ? "warn" : ""])));
    more.replaceChildren(el("h2", {}, "This run"), facts([
      ["version", now.version], ["source", run.source ?? ""],
      ...(run.nodes ?? []).map((node) => [`node ${node.name}`, `${node.ip}, ${node.version}, ${node.connected ? "connected" : `missing: ${node.why || "no connection"}`} since ${format.rfc(node.since)}`, node.connected ? "" : "bad"]),
      ...Object.entries(counts.items).map(([name, count]) => [`${name} items`, format.count(count)]),
      ...(counts.warnings ?? []).map((sentence) => ["warning", sentence, "warn"]), ...(run.remarks ?? []).map((sentence) => ["remark", sentence, "warn"]),
    ]));
  }
  return { node, show() {}, status };
}
