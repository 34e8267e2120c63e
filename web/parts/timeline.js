// The timeline: how many items, how they went, how long they took. Drag over it to narrow the time, or do so by keys.

import { gaps, read, told } from "../lib/coverage.js";
import { el } from "../lib/dom.js";
import * as format from "../lib/format.js";
import * as latency from "../lib/latency.js";
import { moved, spanOf } from "../lib/pointing.js";
import uPlot from "../vendor/uplot.js";

const HEIGHT = 112;
// Below the bars, for reels and uploads, above the times.
const LANE = 13;
const TICKS_APART = 15;
const SLOT_PX = 8;
// Protocols with a colour of their own in a bar.
const PROTOCOLS = 8;
const HELP = "Bars of the timeline. Left and Right move from bar to bar, Home and End to the ends; with Shift they select a span. Enter narrows the time to it, Escape takes it back.";

export function timeline({ onRange, onWhole }) {
  const holder = el("div", { class: "plot", tabindex: 0, role: "application", "aria-label": HELP, onkeydown: steer, onblur: leave });
  const said = el("span", { class: "said", role: "status" });
  const whole = el("button", { hidden: true, onclick: onWhole, title: "Take the time range out of the filter" }, "Whole time");
  const keys = el("span", { class: "cover-keys" });
  const by = el("select", { "aria-label": "Bars by", onchange: () => drawn && redraw() }, el("option", { value: "status" }, "by status"), el("option", { value: "protocol" }, "by protocol"));
  const node = el("section", { class: "timeline", "aria-label": "Timeline" }, el("div", { class: "line-head" }, said, keys, whole, by), holder);
  let plot = null;
  let look = "";
  let drawn = null;
  let cover = read({ captured: [], lost: [], reels: [] });
  // The bar that the keys are at and the one where their span begins, by their times; null for none.
  let pointed = null;
  let anchor = null;

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const bars = uPlot.paths.bars({ size: [0.9, 40], align: 1 });

  // The parts of a bar: colour, name and how many items. Each is drawn from the bottom up, the sum of it and all
  // behind it first, so that they look stacked.
  function parts() {
    if (by.value === "status") {
      return [["--bar-good", "good", (slot) => slot.good], ["--bar-warn", "4xx and alike", (slot) => slot.warn], ["--bar-bad", "failed", (slot) => slot.bad]].map(([name, title, count]) => ({ colour: colour(name), title, count }));
    }
    const counts = Object.entries(drawn.all.protocols ?? {}).sort((a, b) => b[1] - a[1]);
    const first = counts.slice(0, PROTOCOLS).map(([abbr]) => ({ colour: drawn.protocols[abbr]?.background ?? colour("--soft"), title: abbr, count: (slot) => slot.protocols[abbr] ?? 0 }));
    const rest = counts.slice(PROTOCOLS).map(([abbr]) => abbr);
    return rest.length ? [...first, { colour: colour("--soft"), title: "others", count: (slot) => rest.reduce((sum, abbr) => sum + (slot.protocols[abbr] ?? 0), 0) }] : first;
  }
  const options = (shown) => ({
    width: Math.max(200, holder.clientWidth), height: HEIGHT, legend: { show: false }, padding: [6, 4, 0, 0],
    cursor: { y: false, drag: { x: true, y: false, setScale: false } },
    // The last bar is as wide as the others.
    scales: { x: { time: true, range: (_, min, max) => [min, max + (drawn?.width ?? 0) / 1000] }, n: { range: (_, __, max) => [0, Math.max(1, max * 1.05)] }, ms: { distr: 4, asinh: 1, range: (_, __, max) => [latency.BOTTOM, latency.topOf(max)] } },
    axes: [
      { stroke: colour("--soft"), grid: { show: false }, ticks: { stroke: colour("--line"), size: LANE }, gap: 1, size: LANE + 15, space: 120, values: (_, ticks) => ticks.map((tick) => label(tick * 1000, ticks.some((one) => one % 1))) },
      { scale: "n", stroke: colour("--soft"), grid: { stroke: colour("--line") }, ticks: { show: false }, size: 50, space: 30, values: (_, ticks) => ticks.map((tick) => format.short(tick)) },
      {
        scale: "ms", side: 1, stroke: colour("--soft"), grid: { show: false }, ticks: { stroke: colour("--line"), size: 4 }, size: 60,
        splits: (self, _, __, top) => latency.ticks(top, self.bbox.height / devicePixelRatio, TICKS_APART), filter: (_, ticks) => ticks,
        values: (_, ticks) => ticks.map((tick) => (tick < 1000 ? format.took(tick) : `${format.short(tick / 1000)} s`)),
      },
    ],
    series: [
      {},
      ...shown.map((part) => ({ scale: "n", paths: bars, fill: part.colour, stroke: part.colour, points: { show: false } })),
      ...[{ stroke: colour("--p50") }, { stroke: colour("--p99"), dash: [4, 3] }].map((line) => ({ scale: "ms", width: 1.5, points: { show: false }, ...line })),
    ],
    hooks: {
      drawClear: [shade],
      draw: [mark, dash],
      setSelect: [(self) => {
        if (self.select.width < 3) return;
        const from = self.posToVal(self.select.left, "x") * 1000;
        const to = self.posToVal(self.select.left + self.select.width, "x") * 1000;
        self.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        const width = drawn.width;
        onRange(Math.floor(from / width) * width, Math.ceil(to / width) * width);
      }],
      setCursor: [(self) => {
        const slot = drawn?.slots[self.cursor.idx];
        if (pointed === null) say(self.cursor.left >= 0 && slot ? slot : null);
      }],
    },
  });
  // What was not captured lies hatched behind the bars, what was lost or left out as a band above them.
  function shade(self) {
    const { ctx, bbox } = self;
    const box = (one, top, height) => {
      const left = Math.max(bbox.left, self.valToPos(one.from / 1000, "x", true));
      const right = Math.min(bbox.left + bbox.width, self.valToPos(one.to / 1000, "x", true));
      if (right < bbox.left || left > bbox.left + bbox.width) return;
      ctx.fillRect(left, top, Math.max(2, right - left), height);
    };
    ctx.save();
    const { min, max } = self.scales.x;
    ctx.fillStyle = hatch(ctx);
    for (const gap of gaps(cover.captured, min * 1000, max * 1000)) box(gap, bbox.top, bbox.height);
    const band = 4 * devicePixelRatio;
    for (const [spans, name] of [[cover.left, "--bar-warn"], [cover.lost, "--bar-bad"]]) {
      ctx.fillStyle = colour(name);
      for (const one of spans) box(one, bbox.top, band);
    }
    ctx.restore();
  }
  // Latencies without one beside them, to which no line leads, as wide as their bars.
  function dash(self) {
    const { ctx } = self;
    const height = 1.5 * devicePixelRatio;
    ctx.save();
    self.data.slice(-2).forEach((values, line) => {
      ctx.fillStyle = colour(["--p50", "--p99"][line]);
      for (const at of latency.alone(values)) {
        const left = self.valToPos(self.data[0][at], "x", true);
        const right = self.valToPos(self.data[0][at] + drawn.width / 1000, "x", true);
        ctx.fillRect(left, self.valToPos(values[at], "ms", true) - height / 2, (right - left) * 0.9, height);
      }
    });
    ctx.restore();
  }
  // Reels as lines in the lane below the bars, uploads as marks below them.
  function mark(self) {
    const { ctx, bbox } = self;
    const at = (millis) => self.valToPos(millis / 1000, "x", true);
    const inside = (x) => x >= bbox.left && x <= bbox.left + bbox.width;
    const dot = devicePixelRatio;
    const bottom = bbox.top + bbox.height;
    ctx.save();
    const lane = bottom + 3 * dot;
    for (const one of cover.reels) {
      ctx.fillStyle = colour("--reel");
      const left = Math.max(bbox.left, at(one.from));
      const right = Math.min(bbox.left + bbox.width, at(one.to));
      if (right >= bbox.left && left <= bbox.left + bbox.width) ctx.fillRect(left, lane, Math.max(2 * dot, right - left - dot), 3 * dot);
      const up = at(one.uploaded);
      if (!inside(up)) continue;
      ctx.fillStyle = colour("--upload");
      ctx.beginPath();
      ctx.moveTo(up, lane + 4 * dot);
      ctx.lineTo(up - 4 * dot, lane + 10 * dot);
      ctx.lineTo(up + 4 * dot, lane + 10 * dot);
      ctx.fill();
    }
    ctx.restore();
  }
  function hatch(ctx) {
    const tile = document.createElement("canvas");
    tile.width = 8;
    tile.height = 8;
    const pen = tile.getContext("2d");
    pen.strokeStyle = colour("--line");
    pen.lineWidth = 2;
    for (const shift of [-8, 0, 8]) {
      pen.moveTo(shift, 8);
      pen.lineTo(shift + 8, 0);
    }
    pen.stroke();
    return ctx.createPattern(tile, "repeat");
  }
  function drawKeys() {
    const key = (name, text) => el("span", {}, el("i", { class: name }), text);
    const { scales } = plot ?? {};
    const shown = scales?.x?.min === null || !scales ? [] : gaps(cover.captured, scales.x.min * 1000, scales.x.max * 1000);
    const protocols = by.value === "protocol" && drawn ? parts().map((part) => el("span", {}, el("i", { style: { background: part.colour } }), part.title)) : [];
    const timed = drawn && drawn.all.p50 !== null;
    keys.replaceChildren(...protocols, ...[
      timed ? key("p50", "p50") : null, timed ? key("p99", "p99") : null,
      shown.length ? key("hatched", "not captured") : null, cover.lost.length ? key("lost", "lost") : null, cover.left.length ? key("left", "left out") : null,
      cover.reels.length ? key("reel", "reels") : null, cover.reels.some((one) => one.uploaded) ? key("upload", "uploads") : null,
    ].filter(Boolean));
  }
  // Milliseconds only where a second is more than one tick.
  const label = (millis, fine) => (drawn && drawn.to - drawn.from > 36 * 3600 * 1000 ? format.dateTime(millis).slice(5, 16) : format.time(millis).slice(0, fine ? 12 : 8));
  const sums = (sum) => [
    format.some(sum.count, "item"), `${format.count(sum.bad)} failed (${format.share(sum.bad, sum.count)})`,
    sum.p50 === null ? "" : `p50 ${format.took(sum.p50)}, p99 ${format.took(sum.p99)}`,
  ].filter(Boolean).join(" \u00b7 ");
  const say = (slot) => {
    if (!drawn) return;
    const where = slot ? format.dateTime(slot.at) : `${format.dateTime(drawn.from)} \u2013 ${format.dateTime(drawn.to)}`;
    const wait = drawn.behind ? ` \u00b7 ${format.count(drawn.behind)} items still to be counted` : "";
    const since = drawn.since ? ` \u00b7 counted from ${format.dateTime(drawn.since)} on` : "";
    const span = slot && anchor !== null ? spanOf(drawn, anchor, pointed) : null;
    const selected = span ? ` \u00b7 selected ${format.time(span.from)} \u2013 ${format.time(span.to)}` : "";
    const around = slot ? told(cover, slot.at, slot.at + drawn.width).map((line) => ` \u00b7 ${line}`).join("") : "";
    said.textContent = drawn.all.count === 0 ? "No item matches yet." : `${where} \u00b7 ${sums(slot ?? drawn.all)}${slot ? selected + around : ""}${wait}${since}`;
  };

  const atPointed = () => (pointed === null || !drawn ? null : drawn.slots.find((slot) => slot.at <= pointed && pointed < slot.at + drawn.width) ?? null);
  function steer(event) {
    if (!plot || !drawn?.slots.length || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter") {
      if (pointed === null) return;
      const { from, to } = spanOf(drawn, anchor ?? pointed, pointed);
      leave();
      onRange(from, to);
    } else if (event.key === "Escape") {
      if (pointed === null) return;
      leave();
    } else {
      const next = moved(drawn.slots, pointed, event.key);
      if (next === null) return;
      anchor = event.shiftKey ? anchor ?? pointed ?? next : null;
      pointed = next;
      point();
    }
    event.preventDefault();
    // Escape would close the details as well.
    event.stopPropagation();
  }
  // Draws where the keys are, and says it.
  function point() {
    const slot = atPointed();
    if (!plot || !slot) return;
    const at = (millis) => plot.valToPos(millis / 1000, "x");
    plot.setCursor({ left: at(slot.at + drawn.width / 4), top: 0 }, false);
    const { from, to } = spanOf(drawn, anchor ?? pointed, pointed);
    const left = Math.max(0, at(from));
    plot.setSelect({ left, width: Math.max(1, at(to) - left), top: 0, height: plot.bbox.height / devicePixelRatio }, false);
    say(slot);
  }
  function leave() {
    if (pointed === null) return;
    pointed = anchor = null;
    plot?.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    plot?.setCursor({ left: -10, top: -10 }, false);
    say(null);
  }

  function redraw() {
    const shown = parts();
    const sum = (from) => drawn.slots.map((slot) => shown.slice(from).reduce((all, part) => all + part.count(slot), 0) || null);
    const data = [drawn.slots.map((slot) => slot.at / 1000), ...shown.map((_, at) => sum(at)), drawn.slots.map((slot) => slot.p50), drawn.slots.map((slot) => slot.p99)];
    const wanted = [colour("--soft"), format.isLocal(), ...shown.map((part) => part.title)].join(" ");
    if (!plot || look !== wanted) {
      plot?.destroy();
      look = wanted;
      plot = new uPlot(options(shown), data, holder);
    } else {
      plot.setData(data);
    }
    drawKeys();
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn && redraw());
  new ResizeObserver(() => plot?.setSize({ width: Math.max(200, holder.clientWidth), height: HEIGHT })).observe(holder);

  return {
    node,
    slots: () => Math.min(400, Math.max(20, Math.floor(node.clientWidth / SLOT_PX))),
    draw(found, q) {
      by.hidden = holder.hidden = false;
      said.classList.remove("bad");
      drawn = fill(found);
      node.dataset.q = q;
      whole.hidden = format.withoutTime(q) === q.trim();
      redraw();
      if (atPointed()) point();
      else say(null);
      drawKeys();
    },
    // What is known of captures, losses, reels and uploads.
    cover(found, live) {
      cover = read(found, live);
      plot?.redraw();
      drawKeys();
    },
    // What was drawn is of another place.
    clear() {
      this.none("Counting\u2026");
    },
    // Nothing is drawn, for a reason; with no room for it where nothing will be.
    none(sentence, isLasting = false) {
      holder.hidden = isLasting;
      said.classList.remove("bad");
      plot?.destroy();
      plot = null;
      drawn = null;
      pointed = anchor = null;
      cover = read({ captured: [], lost: [], reels: [] });
      delete node.dataset.q;
      by.hidden = whole.hidden = true;
      said.textContent = sentence;
      drawKeys();
    },
    fail(sentence) {
      said.classList.add("bad");
      holder.hidden = !drawn;
      said.textContent = sentence;
    },
  };
}

const MAX_FILL = 2000;

// The timeline with the slots in which nothing happened.
function fill(found) {
  const { slots, width } = found;
  if (slots.length < 2) return found;
  const first = slots[0].at;
  const count = (slots.at(-1).at - first) / width + 1;
  if (count > MAX_FILL) return found;
  const at = new Map(slots.map((slot) => [slot.at, slot]));
  const filled = Array.from({ length: count }, (_, index) => at.get(first + index * width)
    ?? { at: first + index * width, count: 0, good: 0, warn: 0, bad: 0, bytes: 0, p50: null, p99: null, protocols: {} });
  return { ...found, slots: filled };
}
