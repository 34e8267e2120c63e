// When the items of a stream were asked and answered, as a waterfall around the chosen one.

import * as api from "../lib/api.js";
import { apart, el } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { streamClause } from "../lib/row-clauses.js";
import { isUnanswered } from "../lib/rows.js";
import { loading, trouble } from "./dialog.js";

const MAX_ROWS = 200;

// `place` is the store that the item is of; `packets` reads those of its stream, null where they may not be.
export async function showTiming(node, row, item, place, packets) {
  node.replaceChildren(loading("the stream"));
  const ended = isUnanswered(item) && packets ? await endOf(packets) : null;
  const without = ended === null ? "no answer" : `no answer in ${format.took(ended - item.timestamp)}, until the last packet of the stream`;
  const facts = el("section", {}, el("h3", {}, "This item"), el("table", {}, [
    ["asked", format.dateTime(item.timestamp)], ["answered", row.error ? "\u2013" : format.dateTime(item.timestamp + item.elapsedTime)], ["took", row.error ? without : format.took(item.elapsedTime)],
    ["sent", format.bytes(item.requestSize)], ["received", format.bytes(item.responseSize)],
  ].map(([name, value]) => el("tr", {}, el("td", {}, name), el("td", {}, value)))));
  try {
    const { rows, next } = await api.items(streamClause(item), null, MAX_ROWS, place);
    node.replaceChildren(facts, waterfall(rows.reverse(), row.number ?? row.n, next !== null, ended));
  } catch (error) {
    node.replaceChildren(facts, trouble(error));
  }
}

// When the last packet of a stream came, in milliseconds; null where that is not known.
async function endOf(packets) {
  const found = await packets().catch(() => null);
  return found?.packets.length && !found.more ? Number(BigInt(found.packets.at(-1).at) / 1000000n) : null;
}

// What was not answered lasts until the stream ended, where that is known.
function waterfall(rows, chosen, more, ended) {
  const lasted = (row) => (row.error && !row.elapsed && ended !== null ? Math.max(0, ended - row.timestamp) : Math.max(0, row.elapsed));
  const from = Math.min(...rows.map((row) => row.timestamp));
  const last = Math.max(...rows.map((row) => row.timestamp + lasted(row)));
  const to = Math.max(last, from + 1);
  const share = (millis) => `${((millis / (to - from)) * 100).toFixed(3)}%`;
  return el("section", {}, el("h3", {}, last > from ? `Items of the stream, ${format.took(last - from)}` : "Items of the stream"), more ? el("p", { class: "said" }, `The newest ${MAX_ROWS}; the filter shows all.`) : null,
    el("table", { class: "waterfall" }, rows.map((row) => el("tr", { class: row.n === chosen ? "chosen" : "" },
      el("td", {}, apart(row.method, row.summary)),
      el("td", {}, el("span", { class: `bar ${row.tone}`, style: { marginLeft: share(row.timestamp - from), width: share(Math.max(lasted(row), (to - from) / 300)) } })),
      el("td", { class: "number" }, row.error ? "\u2013" : format.took(row.elapsed))))));
}
