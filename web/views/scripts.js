// The scripts: files, editor, states and figures, jobs, console.

import * as api from "../lib/api.js";
import { el } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { allow, unless } from "../lib/roles.js";
import { TEMPLATES } from "../lib/templates.js";
import { parse } from "../lib/types.js";
import { confirm, notice, trouble } from "../parts/dialog.js";
import { editor } from "../parts/editor.js";
import { redraw } from "../parts/redraw.js";

const AGAIN_MS = 1500;
const MAX_LINES = 2000;

export function scriptsView(frame) {
  const files = el("ul", { class: "files", "aria-label": "Scripts" });
  const none = el("div", { hidden: true });
  const jobs = el("tbody", {});
  const lines = el("div", { class: "console", role: "log", "aria-label": "Console", tabindex: 0 });
  const search = el("input", { type: "search", placeholder: "Search the console", "aria-label": "Search the console", oninput: () => drawLines() });
  const title = el("span", { class: "path" }, "No script is open");
  const said = el("span", { class: "said", role: "status" });
  const save = el("button", { class: "main", onclick: store, disabled: true }, "Save");
  const revert = el("button", { onclick: () => open(opened.path), disabled: true }, "Discard changes");
  const remove = el("button", { onclick: discard, hidden: true }, "Delete\u2026");
  const make = el("button", { onclick: create }, "New script");
  const text = editor({ onCheck: check, onChange: changed, onSave: store, types: async () => parse(await api.scriptTypes()) });
  const desk = el("section", { class: "card desk" }, el("h2", {}, title, said, el("span", { class: "acts" }, remove, revert, save)), text.node);
  const head = (names) => el("thead", {}, el("tr", {}, names.map((name) => el("th", { scope: "col" }, name))));
  const jobActs = el("span", { class: "acts" });
  const jobsCard = el("section", { class: "card" }, el("h2", {}, "Jobs", jobActs), el("table", { class: "grid" }, head(["Job", "Script", "Schedule (UTC)", "Status", "Runs", "Last", "Next", "Action"]), jobs));
  const consoleCard = el("section", { class: "card grow" }, el("h2", {}, "Console", search, el("button", { onclick: () => {
    held = [];
    drawLines();
  } }, "Clear")), lines);
  const node = el("div", { class: "page scripts" }, none,
    el("div", { class: "split" }, el("section", { class: "card" }, el("h2", {}, "Scripts", make), files), desk), jobsCard, consoleCard);
  let opened = { path: null, sha256: "", code: "" };
  let folder = { folders: [], files: [], editable: false };
  let held = [];
  let after = 0;
  let timer = null;
  let denied = null;
  let follow = true;
  // What a link opens, once.
  let linked = frame.state.script;

  async function load() {
    clearTimeout(timer);
    try {
      const [all, planned, { running }] = await Promise.all([api.scripts(), api.jobs(), api.scheduler()]);
      if (!denied) await loadFiles();
      drawFiles(all);
      if (linked && !denied) open(linked);
      linked = null;
      jobsCard.hidden = planned.length === 0;
      redraw(jobs, planned.map((job) => jobRow(job, all)));
      drawJobActs(running);
      if (!denied) await loadConsole();
    } catch (error) {
      none.hidden = false;
      none.replaceChildren(trouble(error, load));
    }
    // Of two readings at a time one goes on.
    clearTimeout(timer);
    timer = setTimeout(() => node.isConnected && load(), AGAIN_MS);
  }
  async function loadFiles() {
    try {
      folder = await api.scriptFiles();
    } catch (error) {
      if (error.status !== 403) throw error;
      denied = error;
      desk.replaceChildren(trouble(error));
      lines.replaceChildren(trouble(error));
    }
    make.hidden = folder.folders.length === 0;
    allow(make, frame.whyNot("editScripts"));
  }
  async function loadConsole() {
    const found = await api.consoleLines(after);
    if (!found.lines.length) return;
    after = found.lines.at(-1).n;
    held = held.concat(found.lines).slice(-MAX_LINES);
    drawLines();
  }

  // Scripts with their instances; tests, and files that no script runs from, beside them.
  function drawFiles(all) {
    const known = new Map();
    for (const one of all) known.set(one.path, [...(known.get(one.path) ?? []), one]);
    for (const { path } of folder.files) if (!known.has(path)) known.set(path, []);
    none.hidden = known.size > 0;
    if (known.size === 0) {
      none.replaceChildren(!make.hidden && !make.disabled
        ? notice("No script yet", "Make one here, or put a .js file into the folder.")
        : notice("No script runs", frame.state.status?.run.live ? "Set scripting.source in the configuration to a folder of .js files; to begin: tapedeck scripts new NAME" : "Scripts run in live runs; to try some over this source: tapedeck run SCRIPT --pcap SRC"));
    }
    node.querySelector(".split").hidden = known.size === 0 && make.hidden;
    redraw(files, [...known].map(([path, instances]) => fileRow(path, instances)));
  }
  function fileRow(path, instances) {
    const name = path.split("/").at(-1);
    const test = /\.test\.js$/.test(name);
    const first = instances[0];
    const off = first?.state === "off";
    return el("li", { class: opened.path === path ? "chosen" : "" },
      el("button", { class: "file", "aria-current": opened.path === path ? "true" : null, onclick: () => choose(path) },
        el("b", {}, first?.title ?? name), el("span", { class: "soft" }, test ? `${name}, tests` : name)),
      first ? el("button", unless(frame.whyNot("operate"), { class: "switch", role: "switch", "aria-checked": String(!off), "aria-label": `${first.title} runs`, onclick: () => turn(first, off) }), off ? "off" : "on") : null,
      instances.map(figures));
  }
  function figures(one) {
    const tone = { running: "good", broken: "bad", quarantined: "bad", restarting: "warn" }[one.state] ?? "soft";
    const why = one.reason ?? one.broken ?? "";
    const calls = (one.calls ?? []).filter((call) => call.calls > 0);
    return el("div", { class: "figures" },
      el("div", {}, el("span", { class: tone }, one.state), one.role === "hub" ? " at the hub" : "", one.index === undefined ? "" : ` \u00b7 number ${one.index}`,
        ` \u00b7 ${format.count(one.told)} items told`, one.dropped ? el("span", { class: "bad" }, ` \u00b7 ${format.count(one.dropped)} lost`) : "",
        one.restarts ? el("span", { class: "warn" }, ` \u00b7 ${format.count(one.restarts)} restarts`) : ""),
      why && el("div", { class: "bad" }, why),
      el("div", { class: "soft" }, budgets(one)),
      calls.length ? el("table", {}, calls.map((call) => el("tr", { class: call.errors ? "warn" : "" }, el("td", {}, call.name), el("td", { class: "number" }, `${format.count(call.calls)}\u00d7`), el("td", {}, timeOf(call)), el("td", {}, call.errors ? `${format.count(call.errors)} failed` : "")))) : null);
  }
  function budgets(one) {
    const parts = [];
    if (one.memory) parts.push(`${format.bytes(one.memory)} of ${format.bytes(one.allowed.memory)} memory`);
    const ms = (name) => one.allowed?.[name];
    if (ms("hookMillis")) parts.push(`${format.took(ms("hookMillis"))} a call`);
    if (ms("jobMillis")) parts.push(`${format.took(ms("jobMillis"))} a job`);
    return parts.join(", ");
  }
  function timeOf(call) {
    const micros = (nanos) => (nanos < 1e6 ? `${(nanos / 1000).toFixed(nanos < 10000 ? 1 : 0)} \u00b5s` : format.took(Math.round(nanos / 1e6)));
    if (call.p50Nanos) return `p50 ${micros(call.p50Nanos)}, p99 ${micros(call.p99Nanos)}`;
    return call.nanos === undefined ? "" : micros(call.nanos / call.calls);
  }
  function jobRow(job, all) {
    const when = (at) => (at ? format.rfc(at) : "\u2013");
    const script = all.find((one) => one.index === job.script && (one.node ?? "") === (job.node ?? ""));
    return el("tr", {}, el("td", {}, job.tag), el("td", {}, script?.title ?? "", job.node ? el("span", { class: "soft" }, ` on ${job.node}`) : ""), el("td", {}, el("code", {}, job.cron)),
      el("td", {}, job.running ? el("span", { class: "good" }, "running") : job.next ? "waiting" : job.limit && job.runs >= job.limit ? "done" : "stopped"), el("td", { class: "number" }, `${job.runs}${job.limit ? ` of ${job.limit}` : ""}`),
      el("td", {}, when(job.last)), el("td", {}, when(job.next)),
      el("td", {}, el("span", { class: "acts" }, operates("Run now", () => act("run", job.tag), { "aria-label": `Run now: ${job.tag}` }),
        operates("Remove", () => removeJobs(job.tag), { "aria-label": `Remove: ${job.tag}` }))));
  }
  const operates = (text, onclick, more = {}) => el("button", unless(frame.whyNot("operate"), { onclick, ...more }), text);
  function drawJobActs(running) {
    redraw(jobActs, [el("span", { class: running ? "good" : "warn" }, running ? "scheduler runs" : "scheduler is stopped"),
      el("span", {}, operates(running ? "Stop" : "Start", () => act(running ? "stop" : "start"))), el("span", {}, operates("Run all now", () => act("run"))), el("span", {}, operates("Remove all", () => removeJobs()))]);
  }
  function act(what, tag) {
    return api.jobsDo(what, tag).then(load, (error) => frame.fail(error.message));
  }
  async function removeJobs(tag) {
    const sure = await confirm({ title: tag ? `Remove the job ${tag}?` : "Remove all jobs?", act: "Remove", danger: true, lines: ["It runs no more, until its script schedules it again: when the script is saved, or tapedeck starts anew."] });
    if (sure) await act("remove", tag);
  }
  async function discard() {
    const sure = await confirm({ title: `Delete ${opened.path}?`, act: "Delete", danger: true, lines: ["The file is removed from its folder; the script ends and its jobs with it. There is no way back from here."] });
    if (!sure) return;
    try {
      await api.removeScript(opened.path, opened.sha256);
      opened = { path: null, sha256: "", code: "" };
      title.textContent = "No script is open";
      said.textContent = "The file was deleted.";
      text.set("", true);
      changed();
      load();
    } catch (error) {
      said.textContent = error.message;
    }
  }
  async function turn(one, on) {
    const sure = on || await confirm({ title: `Switch ${one.title} off?`, act: "Switch off", lines: ["Its process ends and its jobs stop. It stays off until somebody switches it on again or tapedeck starts anew; then the configuration decides."] });
    if (!sure) return;
    await api.switchScript(one.path, on).then(load, (error) => frame.fail(error.message));
  }
  const dirty = () => opened.path !== null && text.get() !== opened.code;
  // Whether what is in the editor may go: nothing is lost, or somebody said so.
  const mayGo = async () => !dirty() || confirm({ title: "Discard the changes?", act: "Discard", danger: true, lines: [`${opened.path} has changes that are not saved.`] });
  const hold = (event) => event.preventDefault();
  async function choose(path) {
    if (await mayGo()) await open(path);
  }
  async function open(path) {
    try {
      opened = opened.sha256 === "" && opened.path === path ? { ...opened } : await api.scriptSource(path);
      frame.remember({ script: path });
      title.textContent = opened.path;
      const why = frame.whyNot("editScripts");
      said.textContent = why && `Read only. ${why}.`;
      text.set(opened.code, !frame.may("editScripts"));
      changed();
    } catch (error) {
      said.textContent = error.message;
    }
  }
  function changed() {
    save.disabled = !frame.may("editScripts") || opened.path === null || !(dirty() || opened.sha256 === "");
    // The browser asks before the page goes.
    window[dirty() ? "addEventListener" : "removeEventListener"]("beforeunload", hold);
    revert.disabled = !dirty();
    remove.hidden = !opened.sha256;
    allow(remove, frame.whyNot("editScripts"));
  }
  async function check(code) {
    if (!opened.path || !frame.may("operate")) return null;
    try {
      return (await api.checkScript(opened.path, code)).findings;
    } catch (error) {
      said.textContent = error.message;
      return null;
    }
  }
  async function store() {
    if (save.disabled) return;
    const code = text.get();
    try {
      const saved = await api.saveScript(opened.path, opened.sha256, code);
      opened = { path: saved.path, sha256: saved.sha256, code };
      said.textContent = `Saved at ${format.time(Date.now()).slice(0, 8)}; it is loaded in a moment.`;
      changed();
      load();
    } catch (error) {
      said.textContent = error.message;
      if (error.status === 409) await conflict(code);
    }
  }
  async function conflict(code) {
    const sure = await confirm({
      title: "This script was changed meanwhile", act: "Show the other version", cancel: "Keep mine in the editor",
      lines: ["Nothing was saved. Your text can be copied before the other version is opened:", el("textarea", { class: "code", rows: 8, readonly: true, "aria-label": "Your text" }, code)],
    });
    if (sure) await open(opened.path);
  }
  async function create() {
    const name = el("input", { "aria-label": "File name", value: "my_script.js" });
    const where = el("select", { "aria-label": "Folder" }, folder.folders.map((one) => el("option", { value: one }, one)));
    const template = el("select", { "aria-label": "Begin with" }, Object.entries(TEMPLATES).map(([key, { title: about }]) => el("option", { value: key }, about)));
    const sure = await confirm({ title: "New script", act: "Begin", lines: [el("p", {}, where, " / ", name), el("p", {}, el("label", {}, "Begin with ", template)), "It is a file once it is saved; it runs then."] });
    if (!sure || !(await mayGo())) return;
    const { code } = TEMPLATES[template.value];
    opened = { path: `${where.value.replace(/\/$/, "")}/${name.value.trim()}`, sha256: "", code };
    title.textContent = opened.path;
    said.textContent = "new, not saved yet";
    text.set(code, false);
    changed();
    text.focus();
  }
  function drawLines() {
    const wanted = search.value.toLowerCase();
    const shown = held.filter((line) => !wanted || `${line.title} ${line.file} ${line.text}`.toLowerCase().includes(wanted));
    const pinned = follow && lines.scrollTop + lines.clientHeight >= lines.scrollHeight - 20;
    lines.replaceChildren(...(shown.length ? shown.map((line) => el("div", { class: line.error ? "bad" : "" },
      el("span", { class: "soft" }, `${format.time(Date.parse(line.at))} ${line.file} `), line.text)) : [el("div", { class: "soft" }, wanted ? "No line has that." : "No script printed anything yet.")]));
    if (pinned) lines.scrollTop = lines.scrollHeight;
  }
  // A click stops the lines where they are; going to the end lets them come again.
  lines.addEventListener("click", () => { follow = false; });
  lines.addEventListener("keydown", (event) => {
    if (event.key !== "PageDown" && event.key !== "End") return;
    follow = true;
    if (event.key === "End" || lines.scrollTop + 2 * lines.clientHeight >= lines.scrollHeight) lines.scrollTop = lines.scrollHeight;
  });
  // Anywhere in the view; the editor takes it first.
  node.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || !(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "s") return;
    event.preventDefault();
    store();
  });
  drawLines();
  text.set("", true);
  return {
    node,
    show() {
      if (frame.state.script && frame.state.script !== opened.path && !dirty()) linked = frame.state.script;
      load();
    },
    hide: () => clearTimeout(timer),
  };
}
