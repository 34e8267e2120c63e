// The filter box: validated while typing, applied with Enter or Ctrl+Enter.

import * as api from "../lib/api.js";
import { el } from "../lib/dom.js";

const PAUSE_MS = 500;

const CHEATS = [
  ["http", "all HTTP/1 exchanges; also dns, redis, ..."],
  ["http and response.status == 500", "one status"],
  ["response.status >= 400", "every failure"],
  ['request.path == "/health"', "one path"],
  ['request.headers["Content-Type"] == r"json"', "a header that matches a regular expression"],
  ['src.name == "web" and dst.namespace == "shop"', "who asked whom"],
  ["elapsedTime > 1000", "slower than a second"],
  ["dns and response.code != \"No Error\"", "names that were not found"],
  ["!(http or dns)", "everything else"],
];

export function filterBar({ text, onApply }) {
  const say = el("div", { class: "say", role: "status", "aria-live": "polite" });
  const area = el("textarea", {
    rows: 1, spellcheck: "false", autocomplete: "off", "aria-label": "KFL filter",
    placeholder: "Filter, for example: http and response.status >= 500",
  });
  area.value = text;
  let timer = null;
  let asked = 0;

  const check = async () => {
    const q = area.value;
    const mine = (asked += 1);
    if (q.trim() === "") return show("", "");
    try {
      const answer = await api.validate(q);
      if (mine !== asked) return answer;
      if (answer.valid) show("valid", answer.warnings.join("\n"), "warn");
      else show("invalid", `${q.split("\n")[0]}\n${" ".repeat(Math.min(answer.offset ?? 0, 200))}^ ${answer.message}`, "bad");
      return answer;
    } catch (error) {
      show("invalid", error.message, "bad");
      return { valid: false };
    }
  };
  const show = (state, sentence, tone = "") => {
    area.className = state;
    say.textContent = sentence;
    say.className = `say ${sentence ? tone : ""}`;
    return { valid: state !== "invalid" };
  };
  const apply = async () => {
    clearTimeout(timer);
    const answer = await check();
    if (answer.valid) onApply(area.value.trim());
  };

  area.addEventListener("input", () => {
    clearTimeout(timer);
    area.className = "";
    timer = setTimeout(check, PAUSE_MS);
  });
  area.addEventListener("keydown", (event) => {
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
  const node = el("div", { class: "filter" },
    el("div", { class: "box" }, area, say),
    el("button", { class: "main", onclick: apply, title: "Enter or Ctrl+Enter" }, "Apply"),
    el("button", { onclick: () => help.showModal(), title: "Fields and examples" }, "Examples"),
    help);
  return {
    node,
    focus: () => area.focus(),
    set: (query) => {
      area.value = query;
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
    el("p", {}, "Keys: / filter, arrows rows, Esc close, p pause."),
    el("button", { onclick: () => dialog.close() }, "Close"));
  return dialog;
}
