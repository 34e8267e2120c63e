// The columns of the list: what there is, and which ones somebody chose. Pure but for the storage it is given.

import * as format from "./format.js";

const KEY = "tapedeck.columns";

// {name, title, width: of a CSS grid, value: what is compared, number: sorts as one}
export const COLUMNS = [
  { name: "protocol", title: "Protocol", short: "Proto", width: "54px", value: (row) => row.protocol.abbr },
  { name: "status", title: "Status", width: "56px", value: (row) => (/^\d+$/.test(row.status) ? Number(row.status) : row.status) },
  { name: "method", title: "Method", width: "minmax(var(--method, 64px), 1fr)", value: (row) => row.method },
  { name: "summary", title: "What", width: "minmax(var(--what, 80px), 4fr)", value: (row) => row.summary },
  { name: "who", title: "From and to", width: "minmax(var(--who, 200px), 4fr)", value: (row) => `${row.src.name || row.src.ip} ${format.peer(row.dst)}` },
  { name: "from", title: "From", width: "minmax(90px, 2fr)", value: (row) => row.src.name || row.src.ip, other: true },
  { name: "to", title: "To", width: "minmax(90px, 2fr)", value: (row) => format.peer(row.dst), other: true },
  { name: "addresses", title: "Addresses", width: "minmax(240px, 3fr)", value: (row) => `${row.src.ip}:${row.src.port} ${row.dst.ip}:${row.dst.port}`, other: true },
  { name: "namespace", title: "Namespaces", width: "minmax(120px, 2fr)", value: (row) => `${row.src.namespace} ${row.dst.namespace}`, other: true },
  { name: "node", title: "Node", width: "minmax(70px, 1fr)", value: (row) => row.node ?? "", other: true },
  { name: "took", title: "Took", width: "56px", number: true, value: (row) => (row.error ? -1 : row.elapsed) },
  { name: "size", title: "Size", width: "70px", number: true, value: (row) => row.size, other: true },
  { name: "stream", title: "Stream", width: "minmax(70px, 1fr)", value: (row) => row.stream, other: true },
  { name: "trace", title: "Trace id", width: "minmax(80px, 1fr)", value: (row) => row.trace ?? "", other: true },
  { name: "time", title: "Time", width: "var(--time, 92px)", number: true, value: (row) => row.timestamp },
];

const usual = () => COLUMNS.filter((column) => !column.other).map((column) => column.name);

export function chosen(storage) {
  try {
    const kept = JSON.parse(storage.getItem(KEY) ?? "null");
    const known = Array.isArray(kept) ? kept.filter((name, at) => COLUMNS.some((column) => column.name === name) && kept.indexOf(name) === at) : [];
    return known.length ? known : usual();
  } catch {
    return usual();
  }
}

export function choose(storage, names) {
  try {
    if (names === null) storage.removeItem(KEY);
    else storage.setItem(KEY, JSON.stringify(names));
  } catch {
    // A full or forbidden storage costs the choice, nothing else.
  }
}

// The names with one moved by so many places.
export function moved(names, name, by) {
  const at = names.indexOf(name);
  const to = Math.min(names.length - 1, Math.max(0, at + by));
  const rest = names.filter((one) => one !== name);
  return [...rest.slice(0, to), name, ...rest.slice(to)];
}

// Rows in the order of a column; equal ones stay as they are, by time.
export function sorted(rows, name, down) {
  const { value } = COLUMNS.find((column) => column.name === name);
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
  return rows.map((row) => [value(row), row]).sort(([a], [b]) => compare(a, b) * (down ? -1 : 1)).map(([, row]) => row);
}
