// The scripts: states and figures, jobs, console.

import * as api from "../lib/api.js";
import { el } from "../lib/dom.js";
import * as format from "../lib/format.js";

const AGAIN_MS = 1500;
const MAX_LINES = 2000;

export function scriptsView(frame) {
  const scripts = el("tbody", {});
  const jobs = el("tbody", {});
  const lines = el("div", { class: "console", role: "log", "aria-label": "Console", tabindex: 0 });
  const search = el("input", { type: "search", placeholder: "Search the console", "aria-label": "Search the console", oninput: () => drawLines() });
  const none = el("div", { class: "empty", hidden: true }, el("h2", {}, "No script runs"), "Put a .js file into the folder of scripting.source; to begin: tapedeck scripts new NAME");
  const head = (names) => el("thead", {}, el("tr", {}, names.map((name) => el("th", {}, name))));
  const node = el("div", { class: "page scripts" }, none,
    el("section", { class: "card" }, el("h2", {}, "Scripts"), el("table", { class: "grid" }, head(["Script", "State", "Told", "Lost", "Restarts", "Memory", "Calls", "Time a call"]), scripts)),
    el("section", { class: "card" }, el("h2", {}, "Jobs"), el("table", { class: "grid" }, head(["Job", "Schedule (UTC)", "Runs", "Last", "Next", "Action"]), jobs)),
    el("section", { class: "card grow" }, el("h2", {}, "Console", search, el("button", { onclick: () => {
      held = [];
      drawLines();
    } }, "Clear")), lines));
  let held = [];
  let after = 0;
  let timer = null;

  async function load() {
    clearTimeout(timer);
    try {
      const [all, planned, said] = await Promise.all([api.scripts(), api.jobs(), api.consoleLines(after)]);
      none.hidden = all.length > 0;
      scripts.replaceChildren(...all.map(scriptRow));
      jobs.replaceChildren(...planned.map(jobRow));
      if (said.lines.length) {
        after = said.lines.at(-1).n;
        held = held.concat(said.lines).slice(-MAX_LINES);
        drawLines();
      }
    } catch (error) {
      frame.fail(error.message);
    }
    timer = setTimeout(() => node.isConnected && load(), AGAIN_MS);
  }
  function scriptRow(one) {
    const state = one.state ?? "";
    const why = one.reason ?? one.broken ?? "";
    const tone = { running: "good", broken: "bad", quarantined: "bad", restarting: "warn", off: "soft" }[state] ?? "";
    const calls = (one.calls ?? []).filter((call) => call.calls > 0);
    return el("tr", {},
      el("td", {}, el("b", {}, one.title), el("div", { class: "soft" }, `${one.path}${one.role === "hub" ? " (hub)" : ""}`)),
      el("td", {}, el("span", { class: tone, title: why }, state), why && el("div", { class: "soft" }, why)),
      el("td", { class: "number" }, format.count(one.told)), el("td", { class: `number ${one.dropped ? "bad" : ""}` }, format.count(one.dropped)),
      el("td", { class: `number ${one.restarts ? "warn" : ""}` }, format.count(one.restarts)),
      el("td", { class: "number", title: "held, and the most it may have" }, one.memory ? `${format.bytes(one.memory)} of ${format.bytes(one.allowed.memory)}` : ""),
      el("td", {}, calls.map((call) => el("div", {}, `${call.name} ${format.count(call.calls)}${call.errors ? `, ${format.count(call.errors)} failed` : ""}`))),
      el("td", { class: "number" }, calls.map((call) => el("div", {}, timeOf(call)))));
  }
  function timeOf(call) {
    const micros = (nanos) => `${(nanos / 1000).toFixed(nanos < 10000 ? 1 : 0)} \u00b5s`;
    if (call.p50Nanos) return `p50 ${micros(call.p50Nanos)}, p99 ${micros(call.p99Nanos)}`;
    return call.nanos === undefined ? "" : micros(call.nanos / call.calls);
  }
  function jobRow(job) {
    const when = (at) => (at ? at.replace("T", " ").slice(0, 19) : "\u2013");
    return el("tr", {}, el("td", {}, job.tag), el("td", {}, el("code", {}, job.cron)), el("td", { class: "number" }, `${job.runs}${job.limit ? ` of ${job.limit}` : ""}`),
      el("td", {}, job.running ? "running" : when(job.last)), el("td", {}, when(job.next)),
      el("td", {}, el("button", { onclick: () => api.runJob(job.tag).then(load, (error) => frame.fail(error.message)) }, "Run now")));
  }
  function drawLines() {
    const wanted = search.value.toLowerCase();
    const shown = held.filter((line) => !wanted || `${line.title} ${line.file} ${line.text}`.toLowerCase().includes(wanted));
    const pinned = lines.scrollTop + lines.clientHeight >= lines.scrollHeight - 20;
    lines.replaceChildren(...shown.map((line) => el("div", { class: line.error ? "bad" : "" },
      el("span", { class: "soft" }, `${line.at.slice(11, 23)} ${line.file} `), line.text)));
    if (pinned) lines.scrollTop = lines.scrollHeight;
  }
  return { node, show: load, hide: () => clearTimeout(timer) };
}
