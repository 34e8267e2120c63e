// What came before an item: in its stream, in its trace, and at whoever asked.

import * as api from "../lib/api.js";
import { apart, el } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { clause, narrow } from "../lib/kfl.js";
import { streamClause } from "../lib/row-clauses.js";
import { loading, trouble } from "./dialog.js";

const ROWS = 25;
const SPAN_MS = 60000;

// `trace` is the clause of the item's trace, or null; `hides` is what the filter redacts; `place` the store that
// the item is of; `onOpen` is told the row that is chosen, `onFilter` the filter that shows a whole list.
export async function showBefore(node, row, item, { trace, hides, place, onOpen, onFilter }) {
  node.replaceChildren(loading("what came before"));
  const at = (millis) => `datetime("${format.moment(millis)}")`;
  const asker = item.src.name ? ["name", item.src.name] : ["ip", item.src.ip];
  const side = (which) => clause([which, asker[0]], asker[1]);
  const until = `timestamp <= ${at(row.timestamp)}`;
  const lists = [
    trace ? ["Of its trace", `${trace} and ${until}`] : null,
    ["Of its stream", `${streamClause(item)} and ${until}`],
    [`Of ${asker[1]} in the minute before`, `(${side("src")} or ${side("dst")}) and timestamp >= ${at(row.timestamp - SPAN_MS)} and ${until}`],
  ].filter(Boolean).map(([title, q]) => [title, hides ? narrow(q, hides) : q]);
  try {
    const found = await Promise.all(lists.map(([, q]) => api.items(q, null, ROWS, place)));
    for (const one of found) if (place) one.rows = one.rows.map((other) => ({ ...other, far: place, number: other.n }));
    node.replaceChildren(...lists.map(([title, q], index) => section(title, q, found[index], row, { onOpen, onFilter })));
  } catch (error) {
    node.replaceChildren(trouble(error));
  }
}

const cut = (...texts) => el("td", { class: "cut", title: texts.join(" ").trim() }, apart(...texts));

function section(title, q, { rows, next }, chosen, { onOpen, onFilter }) {
  // Clauses have milliseconds; within one, the number tells what came first.
  const number = chosen.number ?? chosen.n;
  const others = rows.filter((one) => one.n < number || (one.n !== number && one.timestamp < chosen.timestamp)).sort((a, b) => b.timestamp - a.timestamp || b.n - a.n);
  const line = (one) => el("tr", { class: "leads", tabindex: 0, onclick: () => onOpen(one), onkeydown: (event) => event.key === "Enter" && onOpen(one) },
    el("td", {}, format.time(one.timestamp)), el("td", { class: one.tone }, one.error ? "\u26a0" : format.shortStatus(one.status)), one.method || one.summary ? cut(one.method, one.summary) : cut(one.protocol.abbr), cut(one.src.name || one.src.ip, "\u2192", format.peer(one.dst)));
  return el("section", {}, el("h3", {}, title, el("button", { class: "badge", onclick: () => onFilter(q), title: q }, "Show in the list")),
    others.length ? el("table", { class: "earlier" }, el("tbody", {}, others.map(line))) : el("p", { class: "inside soft" }, "Nothing that was captured."),
    next !== null && rows.length === ROWS ? el("p", { class: "inside soft" }, `The last ${ROWS}; the list has the others.`) : null);
}
