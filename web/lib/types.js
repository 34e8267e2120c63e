// What tapedeck.d.ts says, for proposals. Pure.

// {globals, types}: by name {doc, kind, signature, members}; `members` of the same shape, or null.
export function parse(text) {
  const globals = {};
  const types = {};
  const open = [];
  let doc = "";
  const entry = (signature, members) => {
    const made = { doc, signature, members };
    doc = "";
    return made;
  };
  for (const line of text.split("\n").map((one) => one.trim())) {
    const comment = /^\/\*\*\s*(.*?)\s*\*\/$/.exec(line);
    if (comment) {
      doc = comment[1];
      continue;
    }
    const scope = open.at(-1);
    const block = /^(?:declare const |interface )?("?[\w$.-]+"?)(\?)?[^({]*\{$/.exec(line);
    const call = /^(?:declare function )?("?[\w$-]+"?)\s*(\(.*\).*);$/.exec(line);
    const value = /^(?:declare const )?("?[\w$-]+"?)\??:\s*(.*);$/.exec(line);
    if (block) {
      const name = block[1].replaceAll('"', "");
      const made = entry("", {});
      if (line.startsWith("declare")) globals[name] = made;
      else if (line.startsWith("interface")) types[name] = made;
      else if (scope) scope.members[name] = made;
      open.push(made);
    } else if (line.startsWith("}")) {
      open.pop();
    } else if (call) {
      const made = entry(call[2], null);
      if (line.startsWith("declare")) globals[call[1]] = made;
      else if (scope) scope.members[call[1].replaceAll('"', "")] = made;
    } else if (value) {
      const made = entry(value[2], null);
      if (line.startsWith("declare")) globals[value[1]] = made;
      else if (scope) scope.members[value[1].replaceAll('"', "")] = made;
    } else {
      doc = "";
    }
  }
  return { globals, types };
}

// The names by which a script calls an item: the first parameters of its item hooks.
function itemNames(code) {
  const names = [...code.matchAll(/\bonItem(?:Captured|Queried)\s*(?:=\s*(?:async\s*)?(?:function\s*)?)?\(\s*([A-Za-z_$][\w$]*)/g)].map((match) => match[1]);
  return new Set(names.length ? names : ["data"]);
}

const LANGUAGE = ["const", "let", "var", "function", "return", "if", "else", "for", "while", "try", "catch", "throw", "new", "JSON", "Math", "Date", "Object", "Array", "String", "Number"];

// {from, proposals: [{text, kind, doc}]} for the cursor in a script.
export function complete(code, cursor, { globals, types }) {
  const before = code.slice(0, cursor);
  const path = /([A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*)*\.)?([A-Za-z_$][\w$]*)?$/.exec(before);
  const [, owner, begun = ""] = path;
  const from = cursor - begun.length;
  // Within a comment or text nothing is proposed.
  const line = before.slice(before.lastIndexOf("\n") + 1);
  if (/\/\//.test(line) || (line.match(/"/g) ?? []).length % 2 === 1) return { from, proposals: [] };
  let found = null;
  if (owner) {
    const [first, ...rest] = owner.slice(0, -1).split(".");
    const item = { ...types.Envelope?.members, ...types.Item?.members };
    found = itemNames(code).has(first) ? item : globals[first]?.members;
    for (const name of rest) found = found?.[name]?.members;
  } else {
    if (!begun) return { from, proposals: [] };
    found = { ...globals, ...types.Hooks?.members, ...Object.fromEntries(LANGUAGE.map((word) => [word, { doc: "", signature: "", members: null }])) };
  }
  const proposals = Object.entries(found ?? {})
    .filter(([name]) => name.toLowerCase().startsWith(begun.toLowerCase()) && name !== begun)
    .map(([name, { doc, signature, members }]) => ({ text: name, kind: members ? "object" : signature.startsWith("(") ? signature.slice(0, 60) : signature.slice(0, 30), doc }));
  return { from, proposals };
}
