// The comparison: what changed between two spans of time.

import * as api from "../lib/api.js";
import { asking, counted } from "../lib/asking.js";
import { apart, el } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { groupClause } from "../lib/kfl.js";
import { changes } from "../lib/changes.js";
import { spansOf, spansText } from "../lib/url.js";
import { loading, notice, trouble } from "../parts/dialog.js";
import { sortable } from "../parts/table.js";

const LIMIT = 1000;
const PAUSE_MS = 500;
const KINDS = ["endpoint", "destination", "source", "status", "protocol", "namespace"];

export function compareView(frame) {
  const field = (label) => el("input", { type: "datetime-local", step: "0.001", "aria-label": label, onchange: () => {
    // A clock face changes with each digit.
    clearTimeout(typing);
    asked.giveUp();
    stale();
    typing = setTimeout(load, PAUSE_MS);
  } });
  const spans = { before: [field("Before, from"), field("Before, to")], after: [field("After, from"), field("After, to")] };
  const fields = [...spans.before, ...spans.after];
  const by = el("select", { "aria-label": "Compare", onchange: () => load() }, KINDS.map((name) => el("option", { value: name }, name)));
  const said = el("span", { class: "said", role: "status" });
  const number = (name, title, value, shown) => ({ name, title, number: true, value, cell: shown });
  const pair = (row, read, shown) => {
    const side = (one) => (one ? shown(read(one)) : row.verdict === "unknown" ? "?" : "\u2013");
    return `${side(row.before)} \u2192 ${side(row.after)}`;
  };
  const table = sortable({
    label: "What changed", sorted: "weight", onRow: (row) => {
      frame.addClause(`${groupClause(row)} and ${between(row.after ? "after" : "before")}`, format.withoutTime(frame.state.q));
      frame.open("traffic");
    },
    columns: [
      { name: "what", title: "What", wide: true, value: (row) => row.labels.join(" "), cell: (row) => apart(...row.labels) },
      { name: "verdict", title: "Change", whole: true, value: (row) => row.verdict, cell: (row) => el("span", { class: { "appeared, failing": "bad", vanished: "warn", worse: "bad", slower: "warn", better: "good", faster: "good" }[row.verdict] ?? "" }, row.verdict) },
      number("count", "Rate per minute", (row) => row.rate, (row) => pair(row, (one) => one.rate, (rate) => rate.toFixed(rate < 10 ? 1 : 0))),
      number("failed", "Failed", (row) => row.failed, (row) => pair(row, (one) => one, (one) => format.share(one.bad, one.count))),
      number("p50", "p50", (row) => row.p50, (row) => pair(row, (one) => one.p50, tookOrNone)),
      number("p99", "p99", (row) => row.p99, (row) => pair(row, (one) => one.p99, tookOrNone)),
      number("weight", "Weight", (row) => row.weight, (row) => row.weight.toFixed(1)),
    ],
  });
  const asked = asking();
  // The place that the spans were taken from, and the question that the rows answer.
  let place = null;
  let shown = null;
  let typing = null;
  const zones = [el("span", { class: "soft" }), el("span", { class: "soft" })];
  const span = (name, [from, to], zone) => el("span", { class: "span" }, el("b", {}, name), el("label", {}, "from ", from), el("label", {}, "to ", to), zone);
  const empty = el("div", {});
  const node = el("div", { class: "page" },
    el("div", { class: "tools" }, el("label", {}, "Compare ", by), span("before", spans.before, zones[0]), span("after", spans.after, zones[1]),
      el("button", { class: "main", onclick: load }, "Compare"), el("button", { onclick: halves }, "First half, second half")),
    el("div", { class: "tools" }, said), empty, table.node);

  function tookOrNone(millis) {
    return millis === null ? "\u2013" : format.took(millis);
  }
  // The moment that a field was filled with holds until somebody changes the field: an hour that a clock shows
  // twice is two moments.
  const written = new Map();
  let local = format.isLocal();
  const read = (input) => {
    const filled = written.get(input);
    if (filled && filled.value === input.value) return filled.millis;
    return input.value ? new Date(local ? input.value : `${input.value}Z`).getTime() : NaN;
  };
  const write = (input, millis) => {
    input.value = format.dateTime(millis).slice(0, 23).replace(" ", "T");
    written.set(input, { value: input.value, millis });
  };
  // Another clock shows the same moments.
  function turnClock() {
    for (const zone of zones) zone.textContent = format.zoneName();
    if (local === format.isLocal()) return;
    const moments = fields.map((input) => [input, read(input)]);
    local = format.isLocal();
    for (const [input, millis] of moments) if (!Number.isNaN(millis)) write(input, millis);
  }
  function between(which) {
    const [from, to] = spans[which].map(read);
    return format.between(from, to);
  }
  // Rows of another question are not shown while this one is asked.
  const stale = () => instead(loading("both spans"));
  function instead(what) {
    shown = null;
    said.textContent = "";
    table.node.hidden = true;
    empty.replaceChildren(what);
  }
  async function halves() {
    clearTimeout(typing);
    place = frame.state.place;
    stale();
    const q = format.withoutTime(frame.state.q);
    try {
      const found = await asked.ask(["halves", place, q].join("\n"), (signal) => ofAll((at) => api.timeline(q, at, 2, signal)));
      if (!found) return;
      if (found.all.count === 0) return instead(notice("Nothing to compare", "No item matches; loosen the filter."));
      // Ends are left out, and no span is empty.
      const middle = Math.max(found.from + 1, Math.round((found.from + found.to) / 2));
      write(spans.before[0], found.from);
      write(spans.before[1], middle);
      write(spans.after[0], middle);
      write(spans.after[1], Math.max(found.to, middle) + 1);
      await load();
    } catch (error) {
      instead(trouble(error, halves));
    }
  }
  async function load() {
    clearTimeout(typing);
    const limits = fields.map(read);
    if (limits.some(Number.isNaN) || limits[0] >= limits[1] || limits[2] >= limits[3]) {
      asked.giveUp();
      return instead(notice("These are no two spans", "Give both spans a start and a later end."));
    }
    frame.remember({ spans: spansText([limits.slice(0, 2), limits.slice(2)]), compare: by.value });
    const base = format.withoutTime(frame.state.q);
    const both = ["before", "after"].map(between);
    const question = [place, by.value, base, ...both].join("\n");
    if (shown !== question) stale();
    try {
      // The server writes the spans in the dialect of the filter.
      const found = await asked.ask(question, (signal) => Promise.all(both.map(async (span) => {
        const { query } = await api.narrowed(base, span);
        return ofAll((at) => api.groups(query, at, by.value, LIMIT, signal));
      })));
      if (!found) return;
      const [before, after] = found;
      shown = question;
      const rows = changes(before.groups, after.groups, limits[1] - limits[0], limits[3] - limits[2], { before: before.more > 0, after: after.more > 0 });
      table.set(rows);
      table.node.hidden = rows.length === 0;
      empty.replaceChildren(rows.length ? "" : notice("Nothing to compare", "No item lies in either span; choose others, or loosen the filter."));
      const unknown = rows.filter((row) => row.verdict === "unknown").length;
      const changed = rows.filter((row) => !["same", "unknown"].includes(row.verdict)).length;
      const left = unknown ? ` Of ${format.count(unknown)} it is not known: they are among the ${format.count(LIMIT)} largest of one span alone, and smaller groups of the other are not read; narrow the filter to tell.` : "";
      said.textContent = `${format.count(before.all.count)} items before, ${format.count(after.all.count)} after; ${format.count(changed)} of ${format.count(rows.length)} groups changed.${left}`;
    } catch (error) {
      instead(trouble(error, load));
    }
  }
  // Asks until all items of the place are counted.
  function ofAll(ask) {
    const at = place;
    return counted(() => ask(at), (behind) => {
      said.textContent = `${format.count(behind)} items still to be counted`;
    });
  }
  // The spans of a link, or of an entry of the history.
  function linked() {
    if (KINDS.includes(frame.state.compare)) by.value = frame.state.compare;
    const limits = fields.map(read);
    const found = spansOf(frame.state.spans);
    if (!found || found.flat().every((millis, at) => millis === limits[at])) return;
    place = frame.state.place;
    found.flat().forEach((millis, at) => write(fields[at], millis));
  }
  return {
    node,
    show() {
      turnClock();
      linked();
      const other = frame.unsummed();
      if (other) {
        asked.giveUp();
        place = null;
        instead(other);
      } else if (place !== frame.state.place || !spans.before[0].value) halves();
      else load();
    },
    hide() {
      clearTimeout(typing);
      asked.giveUp();
    },
  };
}
