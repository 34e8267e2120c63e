// The filter box: validated and completed while typing, applied with Enter or Ctrl+Enter.

import * as api from "../lib/api.js";
import { visible } from "../lib/bidi.js";
import { el } from "../lib/dom.js";
import { split } from "../lib/highlight.js";
import { filters } from "../lib/history.js";
import { FAILURES } from "../lib/kfl.js";
import { allow } from "../lib/roles.js";
import { chips } from "./chips.js";
import { completing } from "./complete.js";
import { saveDialog } from "./save.js";

const PAUSE_MS = 500;

const CHEATS = [
  ["http", "all HTTP/1 exchanges; also dns, redis, ..."],
  ["http and response.status == 500", "one status"],
  [FAILURES, "every failure: 500 and more, errors of databases, no answer, broken connections"],
  ["response.status >= 400 and response.status < 500", "mistakes of whoever asked"],
  ['request.path == "/health"', "one path"],
  ['request.headers["Content-Type"] == r"json"', "a header that matches a regular expression"],
  ['src.name == "web" and dst.namespace == "shop"', "who asked whom"],
  ["elapsedTime > 1000000", "slower than a second"],
  ["dns and response.code != \"No Error\"", "names that were not found"],
  ["!(http or dns)", "everything else"],
];

// `onBegin` is told a filter that is about to be applied, `onApply` one that is valid.
export function filterBar({ text, onApply, onBegin, onClause, onRecord, whyNot, place }) {
  const kept = filters(window.localStorage);
  const quick = chips({ onClause });
  const say = el("div", { class: "say", role: "status", "aria-live": "polite" });
  const area = el("textarea", {
    rows: 1, spellcheck: "false", autocomplete: "off", "aria-label": "KFL filter",
    placeholder: "Filter, for example: http and response.status >= 500",
  });
  area.value = text;
  // Behind the box, whose own text is not painted, lies the same text with colours and underline.
  const under = el("div", { class: "under", "aria-hidden": "true" });
  const list = completing({ area, ask: propose });
  let timer = null;
  let asked = 0;
  // The filters that were found valid and invalid last.
  let sound = "";
  let wrong = null;
  let width = 0;

  function underline(span) {
    const coloured = (parts) => parts.map(({ text: part, kind }) => (kind ? el("span", { class: kind }, document.createTextNode(part)) : part));
    const [before, wrong, after] = split(area.value, span).map(coloured);
    under.replaceChildren(...before, ...(span ? [el("mark", {}, ...wrong)] : []), ...after);
    grow();
    under.scrollTop = area.scrollTop;
  }
  // Nothing is proposed unasked where nothing was begun.
  function propose(query, cursor, wanted) {
    return wanted || /[A-Za-z0-9_."']$/.test(query.slice(0, cursor)) ? api.complete(query, cursor) : null;
  }

  const check = async () => {
    const q = area.value;
    const mine = (asked += 1);
    if (q.trim() === "") return show("", "");
    try {
      const answer = await api.validate(q);
      if (answer.valid) sound = q;
      else wrong = q;
      if (mine !== asked) return answer;
      underline(answer.valid ? null : answer.span);
      if (answer.valid) show("valid", answer.warnings.join("\n"), "warn");
      else show("invalid", answer.message, "bad");
      return answer;
    } catch (error) {
      show("invalid", error.message, "bad");
      return { valid: false };
    }
  };
  const show = (state, sentence, tone = "") => {
    area.className = state;
    say.textContent = visible(sentence);
    say.className = `say ${sentence ? tone : ""}`;
    return { valid: state !== "invalid" };
  };
  const apply = async () => {
    clearTimeout(timer);
    list.hide();
    const q = area.value;
    // The answer is on its way while the filter is looked at.
    if (q !== wrong) onBegin(q.trim());
    const checked = check();
    if (q !== sound && !(await checked).valid) return false;
    if (area.value !== q) return true;
    kept.used(q.trim());
    await onApply(q.trim());
    return true;
  };
  // The box is as high as what stands in it, up to its greatest height.
  const grow = () => {
    area.style.height = "";
    if (area.value) area.style.height = `${area.scrollHeight + area.offsetHeight - area.clientHeight}px`;
  };
  new ResizeObserver(([{ contentRect }]) => {
    if (contentRect.width === width) return;
    width = contentRect.width;
    grow();
  }).observe(area);

  area.addEventListener("input", () => {
    clearTimeout(timer);
    asked += 1;
    area.className = "";
    underline(null);
    timer = setTimeout(check, PAUSE_MS);
  });
  area.addEventListener("scroll", () => { under.scrollTop = area.scrollTop; });
  area.addEventListener("keydown", (event) => {
    if (list.key(event)) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      apply();
    }
    if (event.key === "Escape") area.blur();
  });

  const help = cheatSheet((query) => {
    area.value = query;
    apply();
  });
  const past = historyDialog(kept, () => area.value, (query) => {
    area.value = query;
    apply();
  });
  const save = saveDialog({ current: () => area.value.trim(), whyNot, place });
  const record = el("button", { hidden: true, onclick: () => onRecord(area.value.trim()) }, "Record\u2026");
  const node = el("div", { class: "filter", role: "search", "aria-label": "Filter" },
    el("div", { class: "box" }, el("div", { class: "edit" }, under, area, list.node), say, quick.node),
    el("button", { class: "main", onclick: apply, title: "Enter or Ctrl+Enter" }, "Apply"),
    el("button", { onclick: () => help.showModal(), title: "Fields and examples" }, "Examples"),
    el("button", { onclick: () => past.open(), title: "Filters of before, and filters with a name" }, "Filters"),
    el("button", { onclick: () => save.open(), title: "Packets or rows of what matches, as a file" }, "Save\u2026"),
    record, help, past.node, save.node);
  return {
    node,
    focus: () => area.focus(),
    // Whether recordings can be made here.
    records(can) {
      record.hidden = !can;
      allow(record, whyNot("operate"), "Makes a recording of what matches");
    },
    seen: quick.seen,
    // Applies a filter; false where it is not valid, and the one before stays.
    set: (query) => {
      area.value = query;
      underline(null);
      return apply();
    },
    get: () => area.value,
  };
}

function cheatSheet(onPick) {
  const dialog = el("dialog", { "aria-label": "Filter examples" });
  const pick = (query) => () => {
    dialog.close();
    onPick(query);
  };
  dialog.append(
    el("h2", {}, "Filter examples"),
    el("table", {}, CHEATS.map(([query, meaning]) => el("tr", {},
      el("td", {}, el("button", { onclick: pick(query) }, el("code", {}, query))),
      el("td", {}, meaning)))),
    el("p", {}, "Keys: / filter, Ctrl+Space proposals, Tab takes one, arrows rows, Esc close, p pause, 1 to 9 and 0 views."),
    el("button", { onclick: () => dialog.close() }, "Close"));
  return dialog;
}

function historyDialog(kept, current, onPick) {
  const node = el("dialog", { "aria-label": "Saved filters" });
  const name = el("input", { "aria-label": "Name", placeholder: "Name for the filter in the box" });
  const pick = (query) => {
    node.close();
    onPick(query);
  };
  const line = (query, title, more) => el("tr", {}, el("td", {}, title), el("td", {}, el("button", { onclick: () => pick(query) }, el("code", {}, query))), el("td", {}, more ?? ""));
  const draw = () => {
    const { before, named } = kept.all();
    const saved = Object.entries(named);
    node.replaceChildren(
      el("h2", {}, "Saved filters"),
      el("form", { onsubmit: (event) => {
        event.preventDefault();
        if (!name.value.trim() || !current().trim()) return;
        kept.name(name.value.trim(), current().trim());
        name.value = "";
        draw();
      } }, name, " ", el("button", { class: "main" }, "Save")),
      el("table", {}, saved.map(([title, query]) => line(query, title, el("button", { "aria-label": `Forget ${title}`, onclick: () => {
        kept.forget(title);
        draw();
      } }, "Forget")))),
      el("h2", {}, "Used before"),
      before.length ? el("table", {}, before.map((query) => line(query, ""))) : el("p", {}, "None yet."),
      el("button", { onclick: () => node.close() }, "Close"));
  };
  return {
    node,
    open() {
      draw();
      node.showModal();
    },
  };
}
