// The list of items: draws only the rows that are seen.

import { el } from "../lib/dom.js";
import * as format from "../lib/format.js";

const ROW = 28;
const MARGIN = 12;
const SLOW_MS = 1000;

export function list({ onChoose, onClause, onTop, onPinned }) {
  const space = el("div", { class: "space", role: "rowgroup" });
  const node = el("div", { class: "list", tabindex: 0, role: "grid", "aria-label": "Items" }, space);
  let rows = [];
  let chosen = null;
  let pinned = true;
  let queued = false;

  const draw = () => {
    queued = false;
    space.style.height = `${rows.length * ROW}px`;
    node.setAttribute("aria-rowcount", rows.length);
    const first = Math.max(0, Math.floor(node.scrollTop / ROW) - MARGIN);
    const last = Math.min(rows.length, Math.ceil((node.scrollTop + node.clientHeight) / ROW) + MARGIN);
    const drawn = [];
    for (let index = first; index < last; index += 1) drawn.push(rowNode(rows[index], index));
    space.replaceChildren(...drawn);
    if (chosen) node.setAttribute("aria-activedescendant", `row-${chosen.n}`);
    else node.removeAttribute("aria-activedescendant");
  };
  const soon = () => {
    if (queued) return;
    queued = true;
    requestAnimationFrame(draw);
  };
  const toBottom = () => {
    space.style.height = `${rows.length * ROW}px`;
    node.scrollTop = node.scrollHeight;
  };

  const rowNode = (row, index) => {
    const same = chosen && chosen.stream === row.stream && chosen.n !== row.n;
    const classes = ["row", chosen?.n === row.n ? "chosen" : "", same ? "same" : "",
      row.failed ? "failed" : "", row.passed ? "passed" : ""];
    return el("div", {
      id: `row-${row.n}`, class: classes.filter(Boolean).join(" "), role: "row", "aria-rowindex": index + 1, "aria-selected": chosen?.n === row.n ? "true" : "false",
      style: { top: `${index * ROW}px` }, onclick: () => choose(row),
    },
    el("span", {
      class: "stripe", role: "gridcell", style: { background: row.protocol.background, color: row.protocol.foreground },
      title: `Filter: ${row.protocol.macro}`, onclick: (event) => {
        event.stopPropagation();
        onClause(row.protocol.macro);
      },
    }, row.protocol.abbr),
    el("span", { class: `status ${row.tone}`, role: "gridcell", title: row.error || row.status },
      row.error ? "\u26a0" : format.shortStatus(row.status)),
    el("span", { class: "method", role: "gridcell" }, row.method),
    el("span", { class: "summary", role: "gridcell", title: row.summary }, row.summary),
    el("span", { class: "who", role: "gridcell", title: `${address(row.src)} \u2192 ${address(row.dst)}` },
      `${row.src.name || row.src.ip} \u2192 ${format.peer(row.dst)}`),
    el("span", { class: `took ${row.error ? "none" : row.elapsed >= SLOW_MS ? "slow" : ""}`, role: "gridcell" },
      row.error ? "\u2013" : format.took(row.elapsed)),
    el("span", { class: "time", role: "gridcell", title: format.dateTime(row.timestamp) }, format.time(row.timestamp)));
  };

  const choose = (row) => {
    chosen = row;
    soon();
    onChoose(row);
  };
  const move = (by) => {
    if (rows.length === 0) return;
    const at = chosen ? rows.findIndex((row) => row.n === chosen.n) : -1;
    const next = Math.min(rows.length - 1, Math.max(0, at < 0 ? rows.length - 1 : at + by));
    const top = next * ROW;
    if (top < node.scrollTop) node.scrollTop = top;
    if (top + ROW > node.scrollTop + node.clientHeight) node.scrollTop = top + ROW - node.clientHeight;
    choose(rows[next]);
  };

  node.addEventListener("scroll", () => {
    const atBottom = node.scrollTop + node.clientHeight >= node.scrollHeight - ROW;
    if (atBottom !== pinned) {
      pinned = atBottom;
      onPinned(pinned);
    }
    if (node.scrollTop < ROW * 2) onTop();
    soon();
  });
  node.addEventListener("keydown", (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 20, PageUp: -20 }[event.key];
    if (by) {
      event.preventDefault();
      move(by);
    }
    if (event.key === "Home" || event.key === "End") {
      event.preventDefault();
      move(event.key === "Home" ? -rows.length : rows.length);
    }
  });
  new ResizeObserver(() => {
    if (pinned) toBottom();
    soon();
  }).observe(node);

  return {
    node,
    set(all) {
      rows = all;
      pinned = true;
      toBottom();
      soon();
    },
    // New rows came at the end of the array that `set` was given.
    grown() {
      if (pinned) toBottom();
      soon();
    },
    // `count` rows were put in front: keep what is seen where it is.
    shifted(count) {
      space.style.height = `${rows.length * ROW}px`;
      node.scrollTop += count * ROW;
      soon();
    },
    chosen: () => chosen,
    mark(row) {
      chosen = row;
      soon();
    },
    toBottom() {
      toBottom();
      soon();
    },
    focus: () => node.focus(),
    isPinned: () => pinned,
  };
}

function address(side) {
  return `${side.name ? `${side.name} ` : ""}${side.ip}:${side.port}${side.namespace ? ` (${side.namespace})` : ""}`;
}

