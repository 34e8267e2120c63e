// The endpoints view: items grouped, with counts, failures and latency.

import * as api from "../lib/api.js";
import { asking } from "../lib/asking.js";
import { apart, el } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { groupClause } from "../lib/kfl.js";
import { loading, notice, trouble } from "../parts/dialog.js";
import { sortable } from "../parts/table.js";

const KINDS = { endpoint: "Endpoint", destination: "Destination", source: "Source", namespace: "Namespace", status: "Status", protocol: "Protocol" };
const LIMIT = 500;
const AGAIN_MS = 3000;

export function endpointsView(frame) {
  const kind = el("select", { "aria-label": "Group by", onchange: () => {
    frame.remember({ by: kind.value === "endpoint" ? null : kind.value });
    load();
  } }, Object.entries(KINDS).map(([name, title]) => el("option", { value: name }, title)));
  const said = el("span", { class: "said", role: "status" });
  const number = (name, title, shown) => ({ name, title, number: true, value: (row) => row[name], cell: (row) => shown(row[name], row) });
  const table = sortable({
    label: "Groups", sorted: "count", key: (row) => row.labels.join("\n"), onRow: (row) => {
      frame.addClause(groupClause(row));
      frame.open("traffic");
    },
    columns: [
      { name: "labels", title: "What", wide: true, value: (row) => row.labels.join(" "), cell: (row) => names(row) },
      number("count", "Count", (count, row) => bar(count, row)),
      { name: "failed", title: "Failed", number: true, value: (row) => row.bad / row.count, cell: (row) => el("span", { class: row.bad ? "bad" : "" }, format.share(row.bad, row.count)) },
      { name: "warned", title: "4xx and alike", number: true, value: (row) => row.warn / row.count, cell: (row) => el("span", { class: row.warn ? "warn" : "" }, format.share(row.warn, row.count)) },
      number("p50", "p50", took), number("p99", "p99", took),
      number("bytes", "Bytes", (bytes) => format.bytes(bytes)),
      number("last", "Last", (last) => format.time(last)),
    ],
  });
  const empty = el("div", {}, loading("the groups"));
  const node = el("div", { class: "page" }, el("div", { class: "tools" }, el("label", {}, "Group by ", kind), said), empty, table.node);
  const asked = asking();
  let most = 1;
  let shown = "";
  let timer = null;

  function took(millis) {
    return millis === null ? "\u2013" : el("span", { class: millis >= 1000 ? "warn" : "" }, format.took(millis));
  }
  function bar(count, row) {
    const width = `${Math.max(1, (count / most) * 100)}%`;
    const bad = `${(row.bad / row.count) * 100}%`;
    return [el("span", { class: "share" }, el("span", { style: { width } }, el("span", { style: { width: bad } }))), format.count(count)];
  }
  function names(row) {
    if (frame.state.by && frame.state.by !== "endpoint") return apart(...row.labels.map((label) => label || "(none)"));
    const [abbr, method, path, to] = row.labels;
    return [el("span", { class: "badge" }, abbr), " ", el("b", {}, method), " ", el("code", {}, path), " ", el("span", { class: "soft" }, `\u2192 ${to}`)];
  }
  function instead(what) {
    said.textContent = "";
    table.node.hidden = true;
    empty.hidden = false;
    empty.replaceChildren(what);
  }
  async function load() {
    clearTimeout(timer);
    const { q, place } = frame.state;
    const other = frame.unsummed();
    if (other) {
      asked.giveUp();
      return instead(other);
    }
    // What was shown is of another place.
    if (shown !== place) instead(loading("the groups"));
    shown = place;
    try {
      const found = await asked.ask([place, q, kind.value].join("\n"), (signal) => api.groups(q, place, kind.value, LIMIT, signal));
      if (!found || !node.isConnected) return;
      most = Math.max(1, ...found.groups.map((group) => group.count));
      table.set(found.groups);
      empty.hidden = found.groups.length > 0;
      table.node.hidden = found.groups.length === 0;
      empty.replaceChildren(found.behind ? loading("the groups") : notice("Nothing to group", q ? "No item held here matches this filter; loosen it." : "No items yet; they are grouped as they come."));
      const more = found.more ? `, ${format.count(found.more)} smaller ones not shown` : "";
      const behind = found.behind ? `; ${format.count(found.behind)} items still to be counted` : "";
      said.textContent = `${format.some(found.groups.length, "group")} of ${format.some(found.all.count, "item")}${more}${behind}. A click shows the items of one.`;
    } catch (error) {
      instead(trouble(error, load));
    }
    timer = setTimeout(() => node.isConnected && !frame.state.paused && load(), AGAIN_MS);
  }
  return {
    node,
    show() {
      kind.value = frame.state.by && KINDS[frame.state.by] ? frame.state.by : "endpoint";
      load();
    },
    hide() {
      clearTimeout(timer);
      asked.giveUp();
    },
  };
}
