// The words of JavaScript by kind, for colours. Pure: the parts put together are the text.

const KEYWORDS = new Set(["await", "async", "break", "case", "catch", "class", "const", "continue", "default", "delete", "do", "else", "extends", "finally", "for", "from", "function", "if", "import", "in", "instanceof", "let", "new", "of", "return", "static", "super", "switch", "this", "throw", "try", "typeof", "var", "void", "while", "yield"]);
const VALUES = new Set(["true", "false", "null", "undefined", "NaN", "Infinity"]);

// Comments, texts, templates, numbers, names; a slash begins a regular expression where no value ends before it.
const TOKEN = /(\/\/[^\n]*|\/\*[\s\S]*?(?:\*\/|$))|("(?:[^"\\\n]|\\[\s\S])*"?|'(?:[^'\\\n]|\\[\s\S])*'?|`(?:[^`\\]|\\[\s\S])*`?)|(\/(?![*/])(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*)|(0[xXbBoO][\da-fA-F_]+|\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?)|([A-Za-z_$][\w$]*)|([)\]}])|([^\s])/g;

// [{text, kind}], kind null for what has no colour.
export function words(code) {
  const parts = [];
  let at = 0;
  let value = false;
  const plain = (to) => to > at && parts.push({ text: code.slice(at, to), kind: null });
  TOKEN.lastIndex = 0;
  for (let match = TOKEN.exec(code); match; match = TOKEN.exec(code)) {
    const [all, comment, text, pattern, number, name, close] = match;
    if (pattern && value) {
      // A division: only its sign is taken.
      TOKEN.lastIndex = match.index + 1;
      value = false;
      continue;
    }
    let kind = null;
    if (comment) kind = "comment";
    else if (text || pattern) kind = "text";
    else if (number) kind = "num";
    else if (name) kind = KEYWORDS.has(name) ? "word" : VALUES.has(name) ? "num" : code[TOKEN.lastIndex] === "(" ? "call" : null;
    if (!comment) value = Boolean(text || number || close || (name && !KEYWORDS.has(name)));
    if (!kind) continue;
    plain(match.index);
    parts.push({ text: all, kind });
    at = match.index + all.length;
  }
  plain(code.length);
  return parts;
}

// The parts line by line, so that a line can be drawn for itself.
export function lines(code) {
  const all = [[]];
  for (const { text, kind } of words(code)) {
    text.split("\n").forEach((piece, index) => {
      if (index > 0) all.push([]);
      if (piece) all.at(-1).push({ text: piece, kind });
    });
  }
  return all;
}
