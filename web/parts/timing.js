// When the items of a stream were asked and answered, as a waterfall around the chosen one.

import * as api from "../lib/api.js";
import { el } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { streamClause } from "../lib/row-clauses.js";
import { loading, trouble } from "./dialog.js";

const MAX_ROWS = 200;

// `place` is the store that the item is of.
export async function showTiming(node, row, item, place) {
  node.replaceChildren(loading("the stream"));
  const facts = el("section", {}, el("h3", {}, "This item"), el("table", {}, [
    ["asked", format.dateTime(item.timestamp)], ["answered", row.error ? "\u2013" : format.dateTime(item.timestamp + item.elapsedTime)], ["took", row.error ? "no answer" : format.took(item.elapsedTime)],
    ["sent", format.bytes(item.requestSize)], ["received", format.bytes(item.responseSize)],
  ].map(([name, value]) => el("tr", {}, el("td", {}, name), el("td", {}, value)))));
  try {
    const { rows, next } = await api.items(streamClause(item), null, MAX_ROWS, place);
    node.replaceChildren(facts, waterfall(rows.reverse(), row.number ?? row.n, next !== null));
  } catch (error) {
    node.replaceChildren(facts, trouble(error));
  }
}

function waterfall(rows, chosen, more) {
  const from = Math.min(...rows.map((row) => row.timestamp));
  const to = Math.max(...rows.map((row) => row.timestamp + Math.max(0, row.elapsed)), from + 1);
  const share = (millis) => `${((millis / (to - from)) * 100).toFixed(3)}%`;
  return el("section", {}, el("h3", {}, `Items of the stream, ${format.took(to - from)}`), more ? el("p", { class: "said" }, `The newest ${MAX_ROWS}; the filter shows all.`) : null,
    el("table", { class: "waterfall" }, rows.map((row) => el("tr", { class: row.n === chosen ? "chosen" : "" },
      el("td", {}, `${row.method} ${row.summary}`.trim()),
      el("td", {}, el("span", { class: `bar ${row.tone}`, style: { marginLeft: share(row.timestamp - from), width: share(Math.max(row.elapsed, (to - from) / 300)) } })),
      el("td", { class: "number" }, row.error ? "\u2013" : format.took(row.elapsed))))));
}
