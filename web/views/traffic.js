// The traffic view: list and details.

import * as api from "../lib/api.js";
import { el } from "../lib/dom.js";
import { details } from "../parts/details.js";
import { list } from "../parts/list.js";

const PAGE = 500;
const MAX_ROWS = 300000;

export function trafficView(frame) {
  const held = { rows: [], next: null, end: 0, loading: false, q: null };
  let stopFeed = () => {};
  const pane = details({ onClause: frame.addClause, onTab: (tab) => frame.remember({ tab }) });
  const table = list({ onChoose: choose, onClause: frame.addClause, onTop: older, onPinned: (pinned) => { jump.hidden = pinned; } });
  const jump = el("button", { class: "main new-rows", hidden: true, onclick: () => table.toBottom() }, "\u2193 Newest");
  const note = el("div", { class: "empty", hidden: true });
  const holder = el("div", { class: "list-holder" }, table.node, note, jump);
  const node = el("div", { class: "main-area alone" }, holder, pane.node);

  function say(title, sentence) {
    note.hidden = !title;
    table.node.style.display = title ? "none" : "";
    note.replaceChildren(el("h2", {}, title ?? ""), sentence ?? "");
  }
  function choose(row) {
    node.classList.remove("alone");
    frame.remember({ item: row.id });
    pane.show(row);
  }
  async function load(q) {
    stopFeed();
    Object.assign(held, { rows: [], next: null, loading: true, q });
    table.set(held.rows);
    try {
      const page = await api.items(q, null, PAGE);
      if (held.q !== q) return;
      held.rows = page.rows.reverse();
      held.next = page.next;
      held.end = page.end;
      held.loading = false;
      table.set(held.rows);
      node.dataset.q = q;
      emptyOrNot();
      if (!frame.state.paused) feed();
      if (held.rows.length < PAGE / 2 && held.next !== null) older();
    } catch (error) {
      say("The items cannot be had", error.message);
    }
  }
  function emptyOrNot() {
    if (held.rows.length > 0 || held.next !== null) return say(null);
    if (held.q) say("Nothing matches", "No item held here matches this filter; loosen it, or wait for more traffic.");
    else say("No items yet", frame.state.status?.run.live ? "Waiting for traffic on the interface; is there any, and does the capture filter let it through?" : "The source holds no traffic.");
  }
  async function older() {
    if (held.loading || held.next === null || held.rows.length >= MAX_ROWS) return;
    held.loading = true;
    const q = held.q;
    try {
      const page = await api.items(q, held.next, PAGE);
      if (held.q !== q) return;
      held.next = page.next;
      held.rows.unshift(...page.rows.reverse());
      table.shifted(page.rows.length);
      emptyOrNot();
    } catch (error) {
      frame.fail(error.message);
    }
    held.loading = false;
  }
  function feed() {
    stopFeed();
    stopFeed = api.follow(held.q, held.end, {
      onRows(rows) {
        held.rows.push(...rows);
        const over = held.rows.length - MAX_ROWS;
        if (over > 0) {
          held.rows.splice(0, over);
          held.next = held.rows[0].n;
        }
        emptyOrNot();
        table.grown();
      },
      onPosition({ end }) {
        held.end = end;
      },
      onState: frame.feed,
    });
  }
  async function openLinked() {
    const wanted = frame.state.item;
    if (!wanted || table.chosen()?.id === wanted) return;
    try {
      const { row } = await api.itemById(wanted);
      table.mark(row);
      choose(row);
    } catch (error) {
      frame.fail(error.message);
    }
  }

  return {
    node,
    show(q) {
      pane.setTab(frame.state.tab);
      if (held.q !== q) load(q);
      else table.grown();
      openLinked();
    },
    pause(paused) {
      if (paused) stopFeed();
      else feed();
    },
    count: () => held.rows.length,
    key(event) {
      if (event.key === "Escape") {
        node.classList.add("alone");
        pane.clear();
        table.mark(null);
        frame.remember({ item: null });
      }
      if ((event.key === "ArrowDown" || event.key === "ArrowUp") && event.target === document.body) table.focus();
    },
  };
}
