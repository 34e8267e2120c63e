// A plain editor for scripts: colours, line numbers, findings in place, proposals from tapedeck.d.ts.
//
// The text is that of a text area, so that selection, undo, screen readers and IMEs work as everywhere;
// the same text lies coloured behind it. Tab indents; Escape, then Tab leaves the editor.

import { el } from "../lib/dom.js";
import { lines } from "../lib/js-words.js";
import { applied } from "../lib/kfl-edit.js";
import { complete } from "../lib/types.js";
import { proposalList } from "./complete.js";

const PROPOSE_MS = 120;
const CHECK_MS = 700;
const MAX_COLOURED = 200000;

export function editor({ onCheck, onChange, onSave, types }) {
  const area = el("textarea", { class: "code", spellcheck: "false", autocomplete: "off", autocapitalize: "off", wrap: "off", "aria-label": "Script", "aria-describedby": "editor-keys", "aria-autocomplete": "list" });
  const under = el("div", { class: "under", "aria-hidden": "true" });
  const gutter = el("div", { class: "gutter", "aria-hidden": "true" });
  const list = proposalList({ onPick: insert });
  const findings = el("ul", { class: "findings", "aria-label": "Findings" });
  const node = el("div", { class: "editor" }, el("div", { class: "paper" }, gutter, el("div", { class: "sheet" }, under, area, list.node)), findings,
    el("p", { id: "editor-keys", class: "soft keys" }, "Ctrl+S saves, Ctrl+Space proposes, Tab indents; Escape, then Tab leaves the editor."));
  area.setAttribute("aria-controls", list.id);
  let found = [];
  let leaving = false;
  let proposing = null;
  let checking = null;
  let from = 0;
  let known = null;
  let asked = 0;

  function draw() {
    const code = area.value;
    const marked = new Map(found.map((one) => [one.line, one.severity]));
    const all = code.length > MAX_COLOURED ? code.split("\n").map((text) => (text ? [{ text, kind: null }] : [])) : lines(code);
    under.replaceChildren(...all.map((parts, index) => el("div", { class: marked.get(index + 1) ?? "" },
      parts.length ? parts.map(({ text, kind }) => (kind ? el("span", { class: kind }, text) : text)) : "\u200b")));
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
  function insert(proposal) {
    const made = applied(area.value, area.selectionStart, from, proposal.text);
    area.value = made.text;
    area.setSelectionRange(made.cursor, made.cursor);
    area.dispatchEvent(new Event("input"));
  }
  async function propose(wanted) {
    known ??= await types().catch(() => null);
    if (!known || document.activeElement !== area) return;
    const result = complete(area.value, area.selectionStart, known);
    from = result.from;
    const dot = area.value[area.selectionStart - 1] === ".";
    if (!wanted && !dot && area.selectionStart - from < 2) return list.hide();
    list.show(result.proposals);
    place();
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
    list.hide();
    asked += 1;
    found = [];
    draw();
    onChange(area.value);
    clearTimeout(proposing);
    clearTimeout(checking);
    proposing = setTimeout(() => propose(false), PROPOSE_MS);
    checking = setTimeout(check, CHECK_MS);
  });
  area.addEventListener("scroll", follow);
  area.addEventListener("blur", () => list.hide());
  area.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "s") {
      event.preventDefault();
      return onSave();
    }
    if (event.key === " " && event.ctrlKey) {
      event.preventDefault();
      return propose(true);
    }
    const taken = list.key(event);
    const active = list.active();
    if (active) area.setAttribute("aria-activedescendant", active);
    else area.removeAttribute("aria-activedescendant");
    if (taken) return;
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
