// A plain editor for scripts: colours, line numbers, findings in place, proposals from tapedeck.d.ts.
//
// The text is that of a text area, so that selection, undo, screen readers and IMEs work as everywhere;
// the same text lies coloured behind it. Tab indents; Escape, then Tab leaves the editor.

import { el } from "../lib/dom.js";
import { lines } from "../lib/js-words.js";
import { complete } from "../lib/types.js";
import { completing } from "./complete.js";

const CHECK_MS = 700;
const MAX_COLOURED = 200000;

export function editor({ onCheck, onChange, onSave, types }) {
  const area = el("textarea", { class: "code", spellcheck: "false", autocomplete: "off", autocapitalize: "off", wrap: "off", "aria-label": "Script", "aria-describedby": "editor-keys" });
  const under = el("div", { class: "under", "aria-hidden": "true" });
  const gutter = el("div", { class: "gutter", "aria-hidden": "true" });
  const list = completing({ area, ask: propose, onShow: place });
  const findings = el("ul", { class: "findings", "aria-label": "Findings" });
  const node = el("div", { class: "editor" }, el("div", { class: "paper" }, gutter, el("div", { class: "sheet" }, under, area, list.node)), findings,
    el("p", { id: "editor-keys", class: "soft keys" }, "Ctrl+S saves, Ctrl+Space proposes, Tab indents; Escape, then Tab leaves the editor."));
  let found = [];
  let leaving = false;
  let checking = null;
  let known = null;
  let asked = 0;

  function draw() {
    const code = area.value;
    // As it is: it lies behind the same text.
    const exact = (text) => document.createTextNode(text);
    const marked = new Map(found.map((one) => [one.line, one.severity]));
    const all = code.length > MAX_COLOURED ? code.split("\n").map((text) => (text ? [{ text, kind: null }] : [])) : lines(code);
    under.replaceChildren(...all.map((parts, index) => el("div", { class: marked.get(index + 1) ?? "" },
      parts.length ? parts.map(({ text, kind }) => (kind ? el("span", { class: kind }, exact(text)) : exact(text))) : "\u200b")));
    gutter.replaceChildren(...all.map((_, index) => el("div", { class: marked.get(index + 1) ?? "" }, index + 1)));
    follow();
  }
  function follow() {
    under.scrollTop = area.scrollTop;
    under.scrollLeft = area.scrollLeft;
    gutter.scrollTop = area.scrollTop;
  }
  function tell() {
    findings.replaceChildren(...found.map((one) => el("li", { class: one.severity === "error" ? "bad" : "warn" },
      el("button", { onclick: () => go(one) }, one.line ? `Line ${one.line}: ` : "", one.message))));
  }
  function go({ line, column }) {
    const starts = area.value.split("\n");
    const at = starts.slice(0, Math.max(0, line - 1)).reduce((sum, text) => sum + text.length + 1, 0) + Math.max(0, column - 1);
    area.focus();
    area.setSelectionRange(at, at);
    area.scrollTop = Math.max(0, (line - 6) * 18);
  }
  async function check() {
    const mine = (asked += 1);
    const result = await onCheck(area.value);
    if (mine !== asked || !result) return;
    found = result;
    draw();
    tell();
  }
  async function propose(code, cursor, wanted) {
    known ??= await types().catch(() => null);
    if (!known) return null;
    const result = complete(code, cursor, known);
    return wanted || code[cursor - 1] === "." || cursor - result.from >= 2 ? result : null;
  }
  // Proposals stand below the cursor; the text is of one width.
  function place() {
    const before = area.value.slice(0, area.selectionStart);
    const row = before.split("\n").length;
    const column = before.length - before.lastIndexOf("\n") - 1;
    Object.assign(list.node.style, { top: `${row * 18 + 6 - area.scrollTop}px`, left: `${Math.max(0, Math.min(column * 7.3 - area.scrollLeft, area.clientWidth - 430))}px` });
  }
  function indent(back) {
    const { selectionStart: start, selectionEnd: end, value } = area;
    const first = value.lastIndexOf("\n", start - 1) + 1;
    if (!back && start === end) return area.setRangeText("  ", start, end, "end");
    const block = value.slice(first, end);
    const moved = back ? block.replace(/^ {1,2}/gm, "") : block.replace(/^/gm, "  ");
    area.setRangeText(moved, first, end, "preserve");
  }

  area.addEventListener("input", () => {
    asked += 1;
    found = [];
    draw();
    onChange(area.value);
    clearTimeout(checking);
    checking = setTimeout(check, CHECK_MS);
  });
  area.addEventListener("scroll", follow);
  area.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "s") {
      event.preventDefault();
      return onSave();
    }
    if (list.key(event)) return;
    if (event.key === "Tab" && !leaving && !area.readOnly) {
      event.preventDefault();
      indent(event.shiftKey);
      area.dispatchEvent(new Event("input"));
    }
    leaving = event.key === "Escape";
  });

  return {
    node,
    get: () => area.value,
    set(code, readOnly) {
      area.value = code;
      area.readOnly = readOnly;
      area.scrollTop = 0;
      found = [];
      draw();
      tell();
      check();
    },
    focus: () => area.focus(),
  };
}
