// The traffic page: filter, list, details, state.

import * as api from "../lib/api.js";
import { el } from "../lib/dom.js";
import { narrow } from "../lib/kfl.js";
import * as url from "../lib/url.js";
import { details } from "../parts/details.js";
import { filterBar } from "../parts/filter.js";
import { list } from "../parts/list.js";
import { stateBar } from "../parts/statebar.js";

const PAGE = 500;
const MAX_ROWS = 300000;
const STATUS_MS = 1000;

export async function trafficPage() {
  const state = { q: "", item: null, tab: null, rows: [], next: null, end: 0, paused: false, live: false, loading: false };
  let stopFeed = () => {};

  const bar = stateBar();
  const pane = details({ onClause: addClause, onTab: (tab) => remember({ tab }) });
  const table = list({ onChoose: choose, onClause: addClause, onTop: older, onPinned: (pinned) => { jump.hidden = pinned; } });
  const jump = el("button", { class: "main new-rows", hidden: true, onclick: () => table.toBottom() }, "\u2193 Newest");
  const dot = el("span", { class: "dot" });
  const word = el("span", {}, "connecting");
  const pause = el("button", { onclick: togglePause, title: "p" }, "Pause");
  const source = el("span", { class: "source" });
  const note = el("div", { class: "empty", hidden: true });
  const area = el("main", { class: "main-area alone" }, el("div", { class: "list-holder", style: { display: "grid", minHeight: 0, position: "relative" } }, table.node, note), pane.node);
  const filter = filterBar({ text: "", onApply: apply });
  document.body.append(
    el("header", { class: "top" },
      el("h1", {}, el("img", { src: "icon.svg", alt: "" }), "tapedeck"), source,
      el("span", { role: "status" }, dot, word), pause,
      el("button", { onclick: theme, title: "Light or dark" }, "Theme")),
    filter.node, area, bar.node, jump);

  function remember(change) {
    Object.assign(state, change);
    url.write({ q: state.q, item: state.item, tab: state.tab });
  }
  function say(title, sentence) {
    note.hidden = !title;
    table.node.style.display = title ? "none" : "";
    note.replaceChildren(el("h2", {}, title ?? ""), sentence ?? "");
  }
  function addClause(added) {
    filter.set(narrow(filter.get(), added));
  }
  function choose(row) {
    area.classList.remove("alone");
    remember({ item: row.id });
    pane.show(row);
  }
  function theme() {
    const dark = document.documentElement.dataset.theme === "dark" || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
    document.documentElement.dataset.theme = dark ? "light" : "dark";
  }
  function togglePause() {
    state.paused = !state.paused;
    pause.textContent = state.paused ? "Resume" : "Pause";
    if (state.paused) stopFeed();
    else feed();
    showFeed(!state.paused);
  }
  function showFeed(on) {
    dot.className = `dot ${on ? "on" : "off"}`;
    word.textContent = state.paused ? "paused" : on ? "streaming" : "not connected";
  }
  async function apply(q) {
    stopFeed();
    remember({ q, rows: [], next: null, loading: true });
    table.set(state.rows);
    try {
      const page = await api.items(q, null, PAGE);
      state.rows = page.rows.reverse();
      state.next = page.next;
      state.end = page.end;
      state.loading = false;
      table.set(state.rows);
      emptyOrNot();
      if (!state.paused) feed();
      if (state.rows.length < PAGE / 2 && state.next !== null) older();
    } catch (error) {
      say("The items cannot be had", error.message);
    }
  }
  function emptyOrNot() {
    if (state.rows.length > 0 || state.next !== null) return say(null);
    if (state.q) say("Nothing matches", "No item held here matches this filter; loosen it, or wait for more traffic.");
    else say("No items yet", state.live ? "Waiting for traffic on the interface; is there any, and does the capture filter let it through?" : "The source holds no traffic.");
  }
  async function older() {
    if (state.loading || state.next === null || state.rows.length >= MAX_ROWS) return;
    state.loading = true;
    try {
      const page = await api.items(state.q, state.next, PAGE);
      state.next = page.next;
      state.rows.unshift(...page.rows.reverse());
      table.shifted(page.rows.length);
      emptyOrNot();
    } catch (error) {
      bar.fail(error.message);
    }
    state.loading = false;
  }
  function feed() {
    stopFeed = api.follow(state.q, state.end, {
      onRows(rows) {
        state.rows.push(...rows);
        const over = state.rows.length - MAX_ROWS;
        if (over > 0) {
          state.rows.splice(0, over);
          state.next = state.rows[0].n;
        }
        emptyOrNot();
        table.grown();
      },
      onPosition({ end }) {
        state.end = end;
      },
      onState: showFeed,
    });
  }
  async function refresh() {
    try {
      const status = await api.status();
      state.live = Boolean(status.run.live);
      source.textContent = status.run.source ?? "";
      source.title = source.textContent;
      bar.show(status, state.rows.length);
      return status;
    } catch (error) {
      bar.fail(error.message);
      return null;
    }
  }
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
    if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.key === "/") {
      event.preventDefault();
      filter.focus();
    }
    if (event.key === "p") togglePause();
    if (event.key === "Escape") {
      area.classList.add("alone");
      pane.clear();
      table.mark(null);
      remember({ item: null });
    }
    if ((event.key === "ArrowDown" || event.key === "ArrowUp") && event.target === document.body) table.focus();
  });

  const wanted = url.read();
  const status = await refresh();
  state.tab = wanted.tab;
  pane.setTab(wanted.tab);
  await filter.set(wanted.q ?? status?.defaultFilter ?? "");
  if (wanted.item) {
    try {
      const { row } = await api.itemById(wanted.item);
      table.mark(row);
      choose(row);
    } catch (error) {
      bar.fail(error.message);
    }
  }
  setInterval(refresh, STATUS_MS);
}

