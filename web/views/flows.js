// The flows: connections below the protocols, by client, server and port, and the items of each.

import * as api from "../lib/api.js";
import { asking } from "../lib/asking.js";
import { apart, el } from "../lib/dom.js";
import { extent, flowClause, flowsOf, merged } from "../lib/flows.js";
import * as format from "../lib/format.js";
import { streamClause } from "../lib/row-clauses.js";
import { loading, notice, trouble } from "../parts/dialog.js";
import { sortable } from "../parts/table.js";

const AGAIN_MS = 3000;
const ITEMS = 2000;
// Rows that are drawn of either table.
const SHOWN = 500;
// What a dash where packets are not known means.
const WHY_NOT = "they are counted where the spool holds the whole stream, and where no protocol reads it; the tab Packets of an item shows those that are there";
const NOT_KNOWN = `Not known: ${WHY_NOT}`;

export function flowsView(frame) {
  const said = el("span", { class: "said", role: "status" });
  const older = el("button", { onclick: readOlder, hidden: true, title: "Reads the connections of older items too" }, "Older");
  const halt = el("span", { class: "halt", hidden: true }, el("span", { role: "status" }), " ", el("button", { onclick: follow }, "Follow again"));
  const known = (value, shown) => (value === null ? el("span", { title: NOT_KNOWN }, "\u2013") : shown(value));
  const number = (name, title, shown, hint) => ({ name, title, hint, number: true, value: (row) => row[name], cell: (row) => shown(row[name], row) });
  const figures = [
    number("items", "Items", (count, row) => el("span", { title: Object.entries(row.protocols).map(([name, some]) => `${name} ${format.count(some)}`).join(", ") }, format.count(count))),
    number("failed", "Failed", (count, row) => el("span", { class: count ? "bad" : "" }, format.share(count, row.items))),
    number("requestBytes", "Sent", (bytes) => format.bytes(bytes), "Bytes of the requests, without headers of packets"),
    number("responseBytes", "Received", (bytes) => format.bytes(bytes), "Bytes of the responses, without headers of packets"),
    number("packets", "Packets", (count) => known(count, format.count), `Packets of both directions. A dash where they are not known: ${WHY_NOT}`),
    number("bytes", "On the wire", (bytes) => known(bytes, format.bytes), `Bytes of the packets of both directions, headers included. A dash where they are not known: ${WHY_NOT}`),
    number("first", "First", (at) => el("span", { title: format.dateTime(at) }, format.time(at))),
    number("last", "Last", (at) => el("span", { title: format.dateTime(at) }, format.time(at))),
  ];
  const table = sortable({
    label: "Flows", sorted: "last", key: (row) => row.key, onRow: choose,
    columns: [
      { name: "transport", title: "Over", value: (row) => row.transport.toUpperCase() },
      { name: "from", title: "Client", value: (row) => row.from }, { name: "to", title: "Server", value: (row) => row.to },
      { name: "port", title: "Port", number: true, value: (row) => Number(row.port), cell: (row) => port(row.port) },
      { name: "connections", title: "Connections", number: true, value: (row) => row.connections.length, cell: (row) => format.count(row.connections.length) },
      ...figures,
    ],
  });
  const inside = sortable({
    label: "Connections", sorted: "last", key: streamClause, onRow: (row) => {
      frame.addClause(streamClause(row));
      frame.open("traffic");
    },
    columns: [
      { name: "from", title: "From", value: (row) => address(row.src) }, { name: "to", title: "To", value: (row) => address(row.dst) },
      { name: "protocols", title: "Protocols", value: (row) => Object.keys(row.protocols).join(", ") },
      ...figures,
      { name: "took", title: "Lasted", number: true, value: (row) => row.last - row.first, cell: (row) => format.took(row.last - row.first) },
      { name: "end", title: "End", value: (row) => row.end },
      { name: "node", title: "Node", value: (row) => row.node },
    ],
  });
  const title = el("span", {});
  const part = el("section", { class: "card", hidden: true, tabindex: -1, "aria-label": "Connections of a flow" },
    el("h2", {}, title, el("span", {}, el("button", { onclick: () => {
      frame.addClause(flowClause(flow()));
      frame.open("traffic");
    } }, "Show its items"), " ", el("button", { title: "Esc", onclick: close }, "Close"))), inside.node);
  // What a link names may be of items that are not read yet.
  const missed = el("div", { class: "note", role: "status", hidden: true }, el("span", {}), " ", el("button", { onclick: close }, "Dismiss"));
  const empty = el("div", {}, loading("the flows"));
  const node = el("div", { class: "page flows" }, el("div", { class: "tools" }, older, halt, said), missed, empty, part, table.node);
  let connections = [];
  let flows = [];
  let next = null;
  // Whether older ones were read, so that the newest alone are not read again.
  let isLong = false;
  let chosen = frame.state.flow;
  // The place and the filter whose connections are shown.
  let shown = null;
  let timer = null;
  const asked = asking();

  // Some transports have no ports.
  const port = (number) => (number === "0" ? "" : number);
  const at = (name, number) => (port(number) ? `${name.includes(":") ? `[${name}]` : name}:${number}` : name);
  const address = (side) => at(side.ip, side.port);
  const flow = () => flows.find((one) => one.key === chosen);
  function choose(row) {
    chosen = row.key;
    frame.remember({ flow: chosen });
    draw();
    part.focus();
  }
  function close() {
    const was = chosen;
    chosen = null;
    frame.remember({ flow: null });
    draw();
    [...table.node.querySelectorAll("tr")].find((one) => one.dataset.key === was)?.focus();
  }
  function instead(what) {
    said.textContent = "";
    table.node.hidden = part.hidden = older.hidden = halt.hidden = missed.hidden = true;
    empty.hidden = false;
    empty.replaceChildren(what);
  }
  // Whether what is shown may be another soon.
  const grows = () => frame.state.status?.run.live !== false && !frame.state.place;
  const question = () => `${frame.state.place}\n${frame.state.q}`;
  async function load() {
    clearTimeout(timer);
    const { q, place } = frame.state;
    const other = frame.unsummed();
    if (other) {
      asked.giveUp();
      shown = null;
      return instead(other);
    }
    const now = question();
    if (shown !== now) {
      isLong = false;
      // What was shown is of another place.
      if (shown?.split("\n")[0] !== place) instead(loading("the flows"));
    }
    try {
      if (!isLong) {
        const found = await asked.ask(now, (signal) => api.flows(q, place, null, ITEMS, signal));
        if (!found || !node.isConnected) return;
        shown = now;
        take(found.connections, found.next);
      }
    } catch (error) {
      shown = null;
      instead(trouble(error, load));
    }
    if (grows()) timer = setTimeout(() => node.isConnected && !frame.state.paused && load(), AGAIN_MS);
  }
  async function readOlder() {
    const { q, place } = frame.state;
    older.disabled = true;
    try {
      const found = await asked.ask(`older\n${question()}`, (signal) => api.flows(q, place, next, ITEMS, signal));
      if (!found) return;
      isLong = true;
      take(merged(connections, found.connections), found.next);
    } catch (error) {
      frame.fail(error.message);
    } finally {
      older.disabled = false;
    }
  }
  // The newest ones again, as they come.
  async function follow() {
    isLong = false;
    await load();
    if (!isLong) older.focus();
  }
  function take(all, cursor) {
    connections = all;
    next = cursor;
    flows = flowsOf(connections);
    draw();
  }
  function draw() {
    table.set(flows.slice(0, SHOWN));
    const one = flow();
    part.hidden = !one;
    missed.hidden = !chosen || Boolean(one);
    missed.firstChild.textContent = next === null ? "No item that is held here is of the flow of this link." : "The flow of this link is not among those of the newest items; Older reads more.";
    if (one) {
      title.replaceChildren(...apart(one.transport.toUpperCase(), one.from, "\u2192", at(one.to, one.port)));
      inside.set(one.connections.slice(0, SHOWN));
    }
    table.node.hidden = flows.length === 0;
    empty.hidden = flows.length > 0;
    older.hidden = next === null;
    halt.hidden = !(isLong && grows());
    halt.firstChild.textContent = halt.hidden ? "" : "Not following: older flows are shown";
    empty.replaceChildren(notice("No flows", frame.state.q ? "No item held here matches this filter; loosen it." : "No items yet; flows come with them."));
    const more = flows.length > SHOWN ? `; the newest ${format.count(SHOWN)} are drawn` : "";
    said.textContent = flows.length === 0 ? "" : `${format.some(flows.length, "flow")}, ${format.some(connections.length, "connection")}${next === null ? "" : ` ${ofItems()}`}${more}. A click shows the connections of a flow, another the items of a connection.`;
  }
  // What the figures are of, where older items are not read.
  function ofItems() {
    const { items, first } = extent(connections);
    const day = format.dateTime(first).slice(0, 10) === format.dateTime(Date.now()).slice(0, 10);
    return `of the newest ${format.some(items, "item")}, since ${day ? format.time(first).slice(0, 8) : format.dateTime(first)}`;
  }
  return {
    node,
    show() {
      chosen = frame.state.flow ?? null;
      if (isLong) draw();
      load();
    },
    hide() {
      clearTimeout(timer);
      asked.giveUp();
    },
    key: (event) => event.key === "Escape" && chosen !== null && close(),
  };
}
