// The clause that a value of a list row stands for. Pure, but for the columns that it is told once.

import { moment } from "./format.js";
import { clause, groupClause } from "./kfl.js";

// Where the names of these members stand alone, KFL2 reads them as the fields of HTTP that they are there (E3).
const OF_HTTP = ["request.method", "request.path", "request.url", "response.status"];
const HTTP = ["http", "http2", "grpc", "gql"];

// {abbr: {method, status, summary}}: the fields that these columns show, by protocol.
let fields = {};

export function know(columns) {
  fields = columns;
}

// The protocol that the clause of a member must name to be read as the member of this protocol; null for none.
const ownerOf = ({ macro }, path) => (OF_HTTP.includes(path) && !HTTP.includes(macro) ? macro : null);

// Whether a member has the name of one of HTTP, so that its clause may have to name its protocol.
export const mayBeOfHttp = (names) => OF_HTTP.includes(names.join("."));

// Of protocols those that show a member of this name in the list; HTTP and what goes over it not among them.
export const othersWith = (protocols, names) => protocols.filter(({ abbr, macro }) => !HTTP.includes(macro) && Object.values(fields[abbr] ?? {}).includes(names.join(".")));

// A clause about a member, with the protocol that it must name.
export const owned = (protocol, names, text) => [ownerOf(protocol, names.join(".")), text].filter(Boolean).join(" and ");

// The clause of a member of an item.
export function valueClause(protocol, names, value) {
  return owned(protocol, names, clause(names, value));
}

const named = (side, of) => (of.name ? clause([side, "name"], of.name) : clause([side, "ip"], of.ip));
const space = (side, of) => (of.namespace ? clause([side, "namespace"], of.namespace) : null);

// Of a column, or of a part of one: src, dst, srcIp, srcPort, srcSpace, dstIp, dstPort, dstSpace, arrow. Null where
// there is nothing to ask for.
export function rowClause(row, name) {
  switch (name) {
    case "protocol": return row.protocol.macro;
    case "status": case "method": case "summary": {
      const path = fields[row.protocol.abbr]?.[name];
      const value = row[name];
      return path && value ? groupClause({ protocol: ownerOf(row.protocol, path), clauses: [{ path, value, pattern: false }] }) : null;
    }
    case "src": case "from": return named("src", row.src);
    case "dst": case "to": return named("dst", row.dst);
    case "srcIp": return clause(["src", "ip"], row.src.ip);
    case "dstIp": return clause(["dst", "ip"], row.dst.ip);
    case "srcPort": return clause(["src", "port"], row.src.port);
    case "dstPort": return clause(["dst", "port"], row.dst.port);
    case "srcSpace": return space("src", row.src);
    case "dstSpace": return space("dst", row.dst);
    case "arrow": return `outgoing == ${Boolean(row.outgoing)}`;
    case "node": return row.node ? clause(["node", "name"], row.node) : null;
    case "took": return row.error ? null : `elapsedTime >= ${row.elapsed * 1000}`;
    case "size": return `size >= ${row.size}`;
    case "stream": return streamClause(row);
    case "time": return `timestamp >= datetime("${moment(row.timestamp)}")`;
    default: return null;
  }
}

// Columns that hold several values.
const PARTS = { who: ["src", "dst", "arrow"], addresses: ["srcIp", "srcPort", "dstIp", "dstPort", "arrow"], namespace: ["srcSpace", "dstSpace", "arrow"] };

// The clauses of all values that these columns show of a row, each once.
export function rowClauses(row, columns) {
  const names = columns.flatMap((name) => PARTS[name] ?? [name]);
  return [...new Set(names.map((name) => rowClause(row, name)).filter(Boolean))];
}

// Streams of several workers may have one name.
export function streamClause({ worker, stream }) {
  return worker ? `${clause(["worker"], worker)} and ${clause(["stream"], stream)}` : clause(["stream"], stream);
}
