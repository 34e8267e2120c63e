// Connections put together: those of several answers, and those of one pair of peers as a flow. Pure.

import { clause } from "./kfl.js";

const keyOf = ({ worker, stream }) => `${worker}\n${stream}`;
// What is not known of one is not known of both.
const sum = (a, b) => (a === null || b === null ? null : a + b);
// Of one stream told twice the later count holds the earlier one.
const later = (a, b) => (a === null || b === null ? a ?? b : Math.max(a, b));

// Two of one key, the newer one first; `add` puts their packets together.
function joined(newer, older, add) {
  const protocols = { ...newer.protocols };
  for (const [name, count] of Object.entries(older.protocols)) protocols[name] = (protocols[name] ?? 0) + count;
  return {
    ...newer, protocols, end: newer.end || older.end, packets: add(newer.packets, older.packets), bytes: add(newer.bytes, older.bytes),
    first: Math.min(newer.first, older.first), last: Math.max(newer.last, older.last),
    ...Object.fromEntries(["items", "failed", "requestBytes", "responseBytes"].map((name) => [name, newer[name] + older[name]])),
  };
}

// Connections with those of older items: a connection may have items of both.
export function merged(newer, older) {
  const all = new Map(newer.map((one) => [keyOf(one), one]));
  for (const one of older) all.set(keyOf(one), all.has(keyOf(one)) ? joined(all.get(keyOf(one)), one, later) : one);
  return [...all.values()];
}

// How many items connections are of, and when the first of them was.
export const extent = (connections) => connections.reduce(({ items, first }, one) => ({ items: items + one.items, first: Math.min(first, one.first) }), { items: 0, first: Infinity });

const nameOf = (side) => (side.name ? `${side.name}${side.namespace ? `.${side.namespace}` : ""}` : side.ip);

// Connections by transport, client, server and port of the server, as flows with their connections.
export function flowsOf(connections) {
  const flows = new Map();
  for (const one of connections) {
    const labels = { transport: one.transport, from: nameOf(one.src), to: nameOf(one.dst), port: one.dst.port };
    const key = Object.values(labels).join("\n");
    const known = flows.get(key);
    flows.set(key, { ...(known ? joined(known, one, sum) : one), ...labels, key, connections: [...(known?.connections ?? []), one] });
  }
  return [...flows.values()];
}

// The clause of a side, by name where it has one.
const sideClause = (side, of) => (of.name ? [clause([side, "name"], of.name), ...(of.namespace ? [clause([side, "namespace"], of.namespace)] : [])] : [clause([side, "ip"], of.ip)]);

// The clause that leads to the items of a flow.
export function flowClause({ src, dst }) {
  return [...sideClause("src", src), ...sideClause("dst", dst), clause(["dst", "port"], dst.port)].join(" and ");
}
