// The words of a query by kind, for colours. Pure: the parts put together are the text.

const TOKEN = /("(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?)|(\b\d+(?:\.\d+)?\b)|\b(and|or|not|in|true|false|nil|null)\b|([A-Za-z_][\w]*)(?=\s*\()|(==|!=|>=|<=|&&|\|\||[<>!])/g;
const KINDS = ["text", "num", "word", "call", "op"];

// [{text, kind}], kind null for what has no colour.
export function words(query) {
  const parts = [];
  let at = 0;
  for (const match of query.matchAll(TOKEN)) {
    if (match.index > at) parts.push({ text: query.slice(at, match.index), kind: null });
    const kind = KINDS[match.slice(1).findIndex((group) => group !== undefined)];
    parts.push({ text: match[0], kind });
    at = match.index + match[0].length;
  }
  if (at < query.length) parts.push({ text: query.slice(at), kind: null });
  return parts;
}

// The same with the marked span cut out: parts before, within and after it.
export function split(query, span) {
  const cut = (from, to) => words(query).reduce(({ at, out }, part) => {
    const start = Math.max(from, at);
    const end = Math.min(to, at + part.text.length);
    if (start < end) out.push({ text: part.text.slice(start - at, end - at), kind: part.kind });
    return { at: at + part.text.length, out };
  }, { at: 0, out: [] }).out;
  if (!span) return [cut(0, query.length), [], []];
  return [cut(0, span.start), cut(span.start, span.end), cut(span.end, query.length)];
}
