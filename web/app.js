// The frame around all views: head, tabs, filter, timeline, state bar; what is applied and where it leads.

import * as api from "./lib/api.js";
import { asking } from "./lib/asking.js";
import { el } from "./lib/dom.js";
import * as format from "./lib/format.js";
import { whyNot } from "./lib/roles.js";
import { know } from "./lib/row-clauses.js";
import * as url from "./lib/url.js";
import { filterBar } from "./parts/filter.js";
import { notice } from "./parts/dialog.js";
import { menu } from "./parts/menu.js";
import { sourceMenu } from "./parts/source.js";
import { stateBar } from "./parts/statebar.js";
import { targetsBanner } from "./parts/targets.js";
import { timeline } from "./parts/timeline.js";
import { archiveView } from "./views/archive.js";
import { auditView } from "./views/audit.js";
import { compareView } from "./views/compare.js";
import { endpointsView } from "./views/endpoints.js";
import { flowsView } from "./views/flows.js";
import { healthView } from "./views/health.js";
import { mapView } from "./views/map.js";
import { recordingsView } from "./views/recordings.js";
import { scriptsView } from "./views/scripts.js";
import { trafficView } from "./views/traffic.js";

const STATUS_MS = 1000;
const TIMELINE_MS = 3000;
const COVERAGE_MS = 10000;
// What a store has is counted anew now and then.
const PLACE_MS = 60000;
const COUNTING_MS = 150;
const LIST_FIRST_MS = 1000;

// Every view: its name in links and on its tab, what makes it, and whether the filter and the place are its
// business; where they are not, what it is about.
const VIEWS = [
  { name: "traffic", title: "Traffic", make: trafficView, filtered: true },
  { name: "endpoints", title: "Endpoints", make: endpointsView, filtered: true },
  { name: "map", title: "Map", make: mapView, filtered: true },
  { name: "flows", title: "Flows", make: flowsView, filtered: true },
  { name: "compare", title: "Compare", make: compareView, filtered: true },
  { name: "recordings", title: "Recordings", make: recordingsView, about: "the recordings of the live run" },
  { name: "archive", title: "Archive", make: archiveView, about: "all stores of the live run" },
  { name: "scripts", title: "Scripts", make: scriptsView, about: "the scripts of the live run" },
  { name: "health", title: "Health", make: healthView, about: "the live run" },
  { name: "audit", title: "Audit", make: auditView, about: "whoever asked this tapedeck" },
];

// What this browser keeps; a forbidden storage keeps nothing.
function kept(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}
function keep(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // It holds until the page is left.
  }
}

export async function app() {
  const state = { q: "", view: "traffic", place: "", item: null, tab: null, by: null, tz: null, paused: false, status: null, session: null, failed: null };
  const bar = stateBar();
  const dot = el("span", { class: "dot" });
  const word = el("span", {}, "connecting");
  const source = sourceMenu({ onPlace: (place) => lookAt(place) });
  const pause = el("button", { onclick: togglePause, title: "p" }, "Pause");
  const clock = el("button", { onclick: switchClock, title: "Times in UTC or as this computer shows them" });
  const shape = el("button", { onclick: switchLayout, title: "Details beside the list or below it" });
  const who = el("span", { class: "soft" });
  const note = el("div", { class: "note", role: "alert", hidden: true });
  const hold = el("main", { class: "hold" });
  const where = el("div", { class: "where", role: "status", hidden: true });
  const filter = filterBar({ text: "", onApply: apply, onBegin: begin, onClause: addClause, onRecord: record, whyNot: (what) => frame.whyNot(what), place: () => state.place });
  const pods = targetsBanner({ whyNot: (what) => frame.whyNot(what), place: () => state.place });
  const line = timeline({ onRange: (from, to) => addClause(format.between(from, to), format.withoutTime(filter.get())), onWhole: wholeTime });
  const tabs = el("nav", { class: "views", role: "tablist", "aria-label": "Views" });

  // What views may use of the frame.
  const frame = {
    state, addClause, remember, fail: bar.fail,
    // Whether whoever looks may do something: investigate, operate, editScripts, replay.
    may: (what) => Boolean(state.session?.may[what]),
    // Why not, in a sentence; empty where they may.
    whyNot: (what) => whyNot(state.session, what),
    apply: (q) => filter.set(q),
    open: (view) => show(view),
    // Shows what a place has: empty for the live run, spool, or a store; with another filter if one is given.
    look: (place, q) => lookAt(place, q),
    // What a view shows that sums up where that cannot be had; null where it can.
    unsummed: () => (state.place === "spool" ? notice("The spools are not summed up", "They have no index, only the list of the traffic reads them. Choose the live run or a store to see this.", backButton()) : null),
    // Whether rows come to the list, or a word for why no more will: ended, recorded, sorted, not listed.
    feed: (on) => {
      fed = on;
      tellFeed();
    },
  };
  let fed = false;
  let statusAsked = null;
  const views = new Map();
  const [lineAsked, coverAsked] = [asking(), asking()];
  let counting = null;

  function remember(change) {
    Object.assign(state, change);
    url.write({ source: state.status?.run.source, place: state.place, q: state.q, view: state.view === "traffic" ? null : state.view, by: state.by, item: state.item, at: state.item && state.at, tab: state.tab, tz: state.tz, ...url.ofView(state) });
  }
  function view() {
    const known = VIEWS.find((one) => one.name === state.view) ?? VIEWS[0];
    if (!views.has(known.name)) views.set(known.name, known.make(frame));
    return { ...known, ...views.get(known.name) };
  }
  function show(name) {
    if (state.view !== name) view().hide?.();
    remember({ view: name });
    const now = view();
    filter.node.hidden = !now.filtered;
    line.node.hidden = !now.filtered;
    tellPlace(now);
    tabs.replaceChildren(...VIEWS.map((one) => el("button", {
      role: "tab", "aria-selected": one.name === now.name ? "true" : "false", tabindex: one.name === now.name ? 0 : -1,
      onclick: () => show(one.name), onkeydown: (event) => turn(event, one.name),
    }, one.title)));
    // Keys scroll what is higher than the window.
    if (now.node.classList.contains("page")) Object.assign(now.node, { tabIndex: 0, role: "region", ariaLabel: now.title });
    hold.replaceChildren(now.node);
    tellFeed();
    now.show(state.q);
    if (state.status) now.status?.(state.status);
  }
  function turn(event, name) {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const at = VIEWS.findIndex((one) => one.name === name);
    show(VIEWS[(at + by + VIEWS.length) % VIEWS.length].name);
    tabs.querySelector('[aria-selected="true"]').focus();
  }
  // The server writes the clause in the dialect that the filter box holds.
  async function addClause(added, to = filter.get()) {
    try {
      return await filter.set((await api.narrowed(to, added)).query);
    } catch (error) {
      bar.fail(error.message);
      return null;
    }
  }
  function backButton() {
    return el("button", { onclick: () => lookAt("") }, "Back to the live run");
  }
  // What the last request said comes first: nothing streams from a server that does not answer. Beside the
  // list nothing follows rows, and what is shown is asked for again and again.
  function tellFeed() {
    const listed = state.view === "traffic" ? fed : state.place ? "recorded" : Boolean(state.status);
    const lost = state.failed && (state.failed.status === 401 ? "signed out" : "not connected");
    const on = lost ? false : listed;
    dot.className = `dot ${state.paused ? "off" : ["ended", "not listed"].includes(on) ? "" : on ? "on" : "off"}`;
    word.textContent = lost ?? (state.paused ? "paused" : typeof on === "string" ? on : !on ? "not connected" : state.status?.run.live === false ? "recorded" : "streaming");
  }
  // Which place is looked at, and whether the view is about it.
  function tellPlace({ filtered, about }) {
    where.hidden = !state.place;
    if (!state.place) return;
    const named = state.place === "spool" ? "what the spools hold and memory does not" : `what ${state.place} holds`;
    where.replaceChildren(filtered ? `Shown is ${named}, and nothing of the live run beside it.` : `This is about ${about}, and not about ${named}.`, backButton());
  }
  function wholeTime() {
    return filter.set(format.withoutTime(filter.get()));
  }
  // A filter is about to be applied: what is counted for the one before is not waited for.
  function begin(q) {
    lineAsked.giveUp();
    clearTimeout(counting);
    view().begin?.(q);
  }
  async function apply(q) {
    // Another filter lists the newest first.
    remember({ q, sort: q === state.q ? state.sort : null });
    // The list comes first: counting everything takes the server's time as well.
    await Promise.race([view().show(q), new Promise((over) => setTimeout(over, LIST_FIRST_MS))]);
    if (state.q === q) drawTimeline();
  }
  // The place is another one than `before`, perhaps.
  function takePlace(before) {
    if (before !== state.place) {
      lineAsked.giveUp();
      coverAsked.giveUp();
      clearTimeout(counting);
      line.clear();
    }
    if (!state.item) views.get("traffic")?.drop();
    source.set(state.place);
    tellPlace(view());
    tellFeed();
    readCoverage();
    seenProtocols();
    tellState();
  }
  // Back to what an entry of the history says, or forward.
  function goBack(entry) {
    const before = state.place;
    const was = view();
    Object.assign(state, url.about(entry));
    if (!state.status?.run.live) state.place = "";
    if (was.name !== view().name) was.hide?.();
    takePlace(before);
    filter.set(state.q);
    if (was.name !== view().name) show(view().name);
  }
  function lookAt(place, q) {
    const { run, defaultFilter } = state.status ?? {};
    const now = run?.live ? place : "";
    const before = state.place;
    // Details are of an item of the place before.
    remember({ place: now, item: now === state.place ? state.item : null });
    takePlace(before);
    if (!view().filtered) show("traffic");
    // The filter of a live run lets nothing pass that was before.
    const applied = now && state.q === defaultFilter ? "" : state.q;
    // What was typed and is not applied yet stays in the box.
    return q === undefined && filter.get().trim() !== state.q ? apply(applied) : filter.set(q ?? applied);
  }
  async function drawTimeline() {
    if (line.node.hidden) return;
    const { q, place } = state;
    if (place === "spool") return line.none("The spools have no index, so what they hold is listed and not counted.", true);
    try {
      const found = await lineAsked.ask(`${place}\n${q}`, (signal) => api.timeline(q, place, line.slots(), signal));
      if (!found || q !== state.q || place !== state.place) return;
      line.draw(found, q);
      // What is still to be counted is asked for at once.
      clearTimeout(counting);
      if (found.behind && !state.paused) counting = setTimeout(drawTimeline, COUNTING_MS);
    } catch (error) {
      line.fail(error.message);
    }
  }
  async function readCoverage() {
    const { place } = state;
    try {
      const found = await coverAsked.ask(place, (signal) => api.coverage(place, signal));
      if (found && place === state.place) line.cover(found, state.status?.run.live && !place);
    } catch (error) {
      line.fail(error.message);
    }
  }
  const tellState = () => state.status && bar.show(state.status, view().count?.() ?? null, state.place);
  const seenProtocols = () => filter.seen(state.status?.counts.items ?? {}, state.place);
  function togglePause() {
    state.paused = !state.paused;
    pause.textContent = state.paused ? "Resume" : "Pause";
    tellFeed();
    view().pause?.(state.paused);
  }
  function record(q) {
    show("recordings");
    view().make?.(q);
  }
  function tellClock() {
    clock.textContent = `Times: ${format.isLocal() ? "local" : "UTC"}`;
  }
  const stacked = (now) => {
    document.documentElement.dataset.layout = now ? "stacked" : "beside";
    shape.textContent = `Details: ${now ? "below" : "beside"}`;
  };
  function switchLayout() {
    const now = document.documentElement.dataset.layout !== "stacked";
    stacked(now);
    keep("tapedeck.layout", now ? "stacked" : "beside");
  }
  function wholeScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else document.documentElement.requestFullscreen().catch((error) => bar.fail(error.message));
  }
  async function leave() {
    try {
      await api.signOut();
      location.assign("/");
    } catch (error) {
      bar.fail(error.message);
    }
  }
  function switchClock() {
    format.useLocal(!format.isLocal());
    tellClock();
    remember({ tz: format.isLocal() ? "local" : null });
    view().show(state.q);
    drawTimeline();
  }
  // The theme of this browser, unless another one was chosen.
  const themed = (wanted) => {
    if (wanted) document.documentElement.dataset.theme = wanted;
    else delete document.documentElement.dataset.theme;
  };
  function theme() {
    const own = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    const other = (document.documentElement.dataset.theme ?? own) === "dark" ? "light" : "dark";
    themed(other === own ? "" : other);
    keep("tapedeck.theme", other === own ? "" : other);
    drawTimeline();
    view().show(state.q);
  }
  // The server answers again, or not any more: whether it does, and lets this page in, is told at once.
  function answered(error) {
    const was = state.failed;
    state.failed = error;
    tellFeed();
    const signedOut = error?.status === 401;
    if (signedOut && was?.status !== 401) {
      views.get("traffic")?.stop();
      note.hidden = false;
      note.replaceChildren("You are signed out. ", el("button", { onclick: () => location.reload() }, "Sign in"));
    }
    if (was?.status === 401 && !signedOut) note.hidden = true;
    if (!was || error) return;
    views.get("traffic")?.goOn();
    // A view that shows why it could not be had asks again.
    if (state.view !== "traffic" && hold.querySelector(".empty.trouble")) view().show(state.q);
  }
  // One request at a time: those that are not answered would pile up.
  function refresh() {
    statusAsked ??= readStatus().finally(() => { statusAsked = null; });
    return statusAsked;
  }
  async function readStatus() {
    try {
      const status = await api.status();
      state.status = status;
      answered(null);
      source.show(status.run);
      filter.records(status.run.live);
      tellState();
      seenProtocols();
      view().status?.(status);
      return status;
    } catch (error) {
      bar.lost(error.message);
      answered(error);
      return null;
    }
  }

  const kind = kept("tapedeck.theme");
  themed(["light", "dark"].includes(kind) ? kind : "");
  document.body.append(
    el("header", { class: "top" },
      el("h1", {}, el("img", { src: "icon.svg", alt: "" }), "tapedeck"), tabs, source.node,
      pods.node, who, el("span", { role: "status" }, dot, word), pause,
      menu("View", [clock, el("button", { onclick: theme }, "Theme: light or dark"), shape, el("button", { onclick: wholeScreen }, "Full screen"), el("button", { onclick: leave }, "Sign out")])),
    pods.dialog, note, where, filter.node, line.node, hold, bar.node);

  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
    if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.key === "/" && !filter.node.hidden) {
      event.preventDefault();
      filter.focus();
    }
    if (event.key === "p") togglePause();
    // The tenth view has the key behind that of the ninth.
    const at = /^\d$/.test(event.key) ? VIEWS[(Number(event.key) + 9) % 10] : null;
    if (at) show(at.name);
    view().key?.(event);
  });

  url.comeBack();
  url.follow(goBack);
  const wanted = url.read();
  state.session = await api.session().catch(() => null);
  who.textContent = state.session && state.session.role !== "operate" ? `role ${state.session.role}` : "";
  const status = await refresh();
  Object.assign(state, { view: wanted.view ?? "traffic", place: status?.run.live ? wanted.place ?? "" : "", item: wanted.item, at: wanted.at, tab: wanted.tab, by: wanted.by, tz: wanted.tz, q: wanted.q ?? status?.defaultFilter ?? "", ...url.ofViews(wanted) });
  format.useLocal(wanted.tz === "local");
  source.set(state.place);
  tellClock();
  stacked(kept("tapedeck.layout") === "stacked");
  const made = wanted.madeFor ?? wanted.source;
  const other = made && status && made !== status.run.source;
  note.hidden = !other;
  if (other) {
    url.keepMadeFor(made);
    note.replaceChildren(`This link was made for ${made}, and ${status.run.source} is open here: what it shows may differ. `, el("button", { onclick: () => {
      note.hidden = true;
      url.keepMadeFor(null);
    } }, "Dismiss"));
  }
  show(view().name);
  if (await filter.set(state.q) === false) line.none("The filter of this link is not valid, so nothing is counted.", true);
  api.columns().then(know, () => {});
  pods.load();
  source.load(() => state.status?.run);
  readCoverage();
  setInterval(readCoverage, COVERAGE_MS);
  setInterval(refresh, STATUS_MS);
  setInterval(() => state.place || drawTimeline(), TIMELINE_MS);
  setInterval(() => state.place && drawTimeline(), PLACE_MS);
}
