// Rows of the list as CSV (RFC 4180). Pure.

const COLUMNS = [
  ["time", (row) => new Date(row.timestamp).toISOString()], ["protocol", (row) => row.protocol.abbr], ["status", (row) => row.status], ["method", (row) => row.method],
  ["what", (row) => row.summary], ["src.name", (row) => row.src.name], ["src.namespace", (row) => row.src.namespace], ["src.ip", (row) => row.src.ip], ["src.port", (row) => row.src.port],
  ["dst.name", (row) => row.dst.name], ["dst.namespace", (row) => row.dst.namespace], ["dst.ip", (row) => row.dst.ip], ["dst.port", (row) => row.dst.port],
  ["elapsedMs", (row) => (row.error ? "" : row.elapsed)], ["bytes", (row) => row.size], ["error", (row) => row.error ?? ""], ["trace", (row) => row.trace ?? ""],
  ["node", (row) => row.node ?? ""], ["stream", (row) => row.stream], ["id", (row) => row.id],
];

// A cell that a spreadsheet would take for a formula begins with a quote, so that traffic computes nothing there.
function cell(value) {
  const text = String(value ?? "");
  const safe = /^[=+@\t\r]|^-(?![\d.]+$)/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

const line = (cells) => `${cells.join(",")}\r\n`;

export const head = () => line(COLUMNS.map(([name]) => name));

export const lines = (rows) => rows.map((row) => line(COLUMNS.map(([, read]) => cell(read(row))))).join("");
