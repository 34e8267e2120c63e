// The list of items: draws only the rows that are seen, of as many as there are.

import { visible } from "../lib/bidi.js";
import { COLUMNS } from "../lib/columns.js";
import { el } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { rowClause, rowClauses } from "../lib/row-clauses.js";
import { scroller } from "../lib/scroll.js";
import { pick } from "./dialog.js";
import { isPressed, whenReleased } from "./pressing.js";

const ROW = 28;
const MARGIN = 8;
const SLOW_MS = 1000;
const PLUS = 18;

// `source`: {count(), at(index), indexOf(n)}; what it has not at hand is drawn as a blank row.
export function list({ source, columns, onChoose, onClause, onTop, onPinned, onMissing, onSort, onColumns }) {
  const space = el("div", { class: "space", role: "presentation" });
  const head = el("div", { class: "head", role: "row" });
  const node = el("div", { class: "list", tabindex: 0, role: "grid", "aria-label": "Items", "aria-keyshortcuts": "f", "aria-description": "Up and Down choose a row, f filters by a value of it" }, head, space);
  const scroll = scroller();
  let chosen = null;
  let pinned = true;
  let queued = false;
  let shown = columns;
  let order = null;
  let setting = null;
  // What is drawn, by number of the item.
  let drawn = new Map();

  const soon = () => whenReleased(space, () => {
    if (queued) return;
    queued = true;
    requestAnimationFrame(draw);
  });
  const room = () => node.clientHeight - ROW;
  function size() {
    scroll.size(source.count() * ROW, room());
    space.style.height = `${scroll.height()}px`;
  }
  function barTo(at) {
    setting = Math.round(at);
    node.scrollTop = setting;
  }
  // Rows that are drawn already stay as they are; scrolling makes those alone that come into sight.
  function draw() {
    queued = false;
    if (isPressed(space)) return soon();
    size();
    if (pinned) barTo(scroll.go(source.count() * ROW));
    const count = source.count();
    const first = Math.max(0, Math.floor(scroll.top() / ROW) - MARGIN);
    const last = Math.min(count, Math.ceil((scroll.top() + room()) / ROW) + MARGIN);
    if (node.getAttribute("aria-rowcount") !== String(count + 1)) node.setAttribute("aria-rowcount", count + 1);
    const seen = new Map();
    let blank = false;
    let before = null;
    for (let index = first; index < last; index += 1) {
      const row = source.at(index);
      blank ||= row === null;
      const known = row && drawn.get(row.n);
      const one = known ?? (row ? rowNode(row) : el("div", { class: "row blank", role: "row" }, el("span", { role: "gridcell" }, "\u2026")));
      place(one, index);
      if (row) seen.set(row.n, one);
      else one.blank = true;
      if (!known) {
        if (before) before.after(one);
        else space.prepend(one);
      }
      before = one;
    }
    for (const one of [...space.children]) if ((one.blank && !one.fresh) || (!one.blank && seen.get(one.n) !== one)) one.remove();
    for (const one of space.children) one.fresh = false;
    drawn = seen;
    if (blank) onMissing(first, last);
    const there = chosen && drawn.has(chosen.n);
    if (there) node.setAttribute("aria-activedescendant", `row-${chosen.n}`);
    else node.removeAttribute("aria-activedescendant");
  }
  function place(one, index) {
    const top = scroll.place(index * ROW);
    if (one.top !== top) one.style.top = `${top}px`;
    if (one.index !== index) one.setAttribute("aria-rowindex", index + 2);
    Object.assign(one, { top, index, fresh: true });
  }
  // What all rows look like is another now.
  function anew() {
    drawn = new Map();
    soon();
  }
  function drawHead() {
    node.style.setProperty("--columns", shown.map((name) => COLUMNS.find((one) => one.name === name).width).join(" "));
    head.setAttribute("aria-rowindex", 1);
    head.replaceChildren(...shown.map((name) => {
      const column = COLUMNS.find((one) => one.name === name);
      const mine = order?.by === name;
      return el("span", { role: "columnheader", class: column.number ? "number" : "", "aria-sort": mine ? (order.down ? "descending" : "ascending") : "none" },
        el("button", { onclick: () => onSort(name), title: `Sort by ${column.title.toLowerCase()}` }, column.short ?? column.title, mine ? (order.down ? " \u2193" : " \u2191") : ""));
    }), el("span", { role: "columnheader", class: "more" }, el("button", { onclick: onColumns, title: "Choose and order columns", "aria-label": "Columns" }, "\u22ee")));
  }

  // What a row has in common with the chosen one.
  function kin(row) {
    if (!chosen || chosen.n === row.n) return "";
    if (chosen.stream === row.stream) return "same";
    if (chosen.trace && chosen.trace === row.trace) return "same-trace";
    const pod = (side) => (side.name ? `${side.name}.${side.namespace}` : side.ip);
    return [row.src, row.dst].some((side) => pod(side) === pod(chosen.src)) ? "same-pod" : "";
  }
  const KIN = { same: "same stream as the chosen row", "same-trace": "same trace as the chosen row", "same-pod": "same pod as the chosen row's sender" };
  function classes(row) {
    return ["row", chosen?.n === row.n ? "chosen" : "", kin(row), row.failed ? "failed" : "", row.passed ? "passed" : ""].filter(Boolean).join(" ");
  }
  function rowNode(row) {
    const linked = kin(row);
    const one = el("div", {
      id: `row-${row.n}`, class: classes(row), role: "row", "aria-selected": chosen?.n === row.n ? "true" : "false",
      title: KIN[linked] ?? null, onclick: () => choose(row),
    }, shown.map((name) => cellNode(name, row)));
    return Object.assign(one, { n: row.n, row });
  }
  function cellNode(name, row) {
    const one = CELLS[name](row);
    one.column = name;
    return one;
  }
  // Another row is chosen: what is drawn says so.
  function recolour() {
    for (const one of drawn.values()) {
      one.className = classes(one.row);
      one.setAttribute("aria-selected", chosen?.n === one.n ? "true" : "false");
      const title = KIN[kin(one.row)];
      if (title) one.title = title;
      else one.removeAttribute("title");
    }
  }
  const cell = (name, content, attributes = {}) => el("span", { class: name, role: "gridcell", ...attributes }, content);
  const part = (name, text) => Object.assign(el("span", { class: "part" }, text), { piece: name });
  const CELLS = {
    protocol: (row) => el("span", {
      class: "stripe", role: "gridcell", style: { background: row.protocol.background, color: row.protocol.foreground },
      title: `Filter: ${row.protocol.macro}`, onclick: (event) => {
        event.stopPropagation();
        onClause(row.protocol.macro);
      },
    }, row.protocol.abbr),
    status: (row) => cell(`status ${row.tone}`, `${row.error ? "\u26a0" : format.shortStatus(row.status)}${row.failed ? " \u2717" : row.passed ? " \u2713" : ""}`, { title: [row.error || row.status, row.failed ? "failed a script's test" : row.passed ? "passed a script's test" : ""].filter(Boolean).join("; ") }),
    method: (row) => cell("method", row.method),
    summary: (row) => cell("summary", row.summary, { title: row.summary }),
    who: (row) => cell("who", [part("src", row.src.name || row.src.ip), arrow(row), part("dst", format.peer(row.dst))], { title: `${address(row.src)} \u2192 ${address(row.dst)}` }),
    from: (row) => cell("who", row.src.name || row.src.ip, { title: address(row.src) }),
    to: (row) => cell("who", format.peer(row.dst), { title: address(row.dst) }),
    addresses: (row) => cell("who", [part("srcIp", row.src.ip), ":", part("srcPort", row.src.port), arrow(row), part("dstIp", row.dst.ip), ":", part("dstPort", row.dst.port)]),
    namespace: (row) => cell("who", row.src.namespace || row.dst.namespace ? [part("srcSpace", row.src.namespace || "\u2013"), arrow(row), part("dstSpace", row.dst.namespace || "\u2013")] : ""),
    node: (row) => cell("who", row.node ?? ""),
    took: (row) => cell(`took ${row.error ? "none" : row.elapsed >= SLOW_MS ? "slow" : ""}`, row.error ? "\u2013" : format.took(row.elapsed)),
    size: (row) => cell("took", format.bytes(row.size)),
    stream: (row) => cell("who", row.stream, { title: row.stream }),
    trace: (row) => cell("who", row.trace ?? "", { title: row.trace ?? "" }),
    time: (row) => cell("time", clock(format.time(row.timestamp)), { title: format.dateTime(row.timestamp) }),
  };
  const clock = (time) => [time.slice(0, 8), el("span", { class: "millis" }, time.slice(8))];
  const arrow = (row) => Object.assign(el("span", { class: `arrow ${row.outgoing ? "out" : "in"}`, title: row.outgoing ? "outgoing: the node or one of its pods asked" : "incoming" }, " \u2192 "), { piece: "arrow" });

  // A plus at the value under the pointer, which adds the clause of this value.
  const plus = el("button", { class: "plus", tabindex: -1, "aria-hidden": "true", hidden: true, onclick: (event) => {
    event.stopPropagation();
    const { clause } = plus;
    hidePlus();
    if (clause) onClause(clause);
  } }, "+");
  node.append(plus);
  function hidePlus() {
    plus.hidden = true;
    plus.at = null;
  }
  let pointer = null;
  node.addEventListener("pointermove", (event) => {
    pointer = { x: event.clientX, y: event.clientY };
    showPlus(event.target);
  });
  node.addEventListener("pointerleave", () => {
    pointer = null;
    hidePlus();
  });
  // Another row lies under the pointer, perhaps.
  function lookAgain() {
    plus.at = null;
    if (pointer) requestAnimationFrame(() => pointer && showPlus(document.elementFromPoint(pointer.x, pointer.y)));
  }
  function showPlus(target) {
    if (target === plus) return;
    const value = target?.closest?.(".part, .arrow, [role=gridcell]");
    const row = value?.closest(".row")?.row;
    if (!row || value === plus.at) return row ? undefined : hidePlus();
    const clause = rowClause(row, value.piece ?? value.closest("[role=gridcell]").column);
    plus.at = value;
    plus.clause = clause;
    plus.hidden = !clause;
    if (!clause) return;
    const box = value.getBoundingClientRect();
    const outer = node.getBoundingClientRect();
    Object.assign(plus.style, { left: `${beside(value, box, outer) - outer.left}px`, top: `${box.top - outer.top + node.scrollTop + (box.height - PLUS) / 2}px` });
    plus.title = visible(`Filter: ${clause}`);
  }

  // Where the plus covers least: behind the last value, before numbers, over the end of others. Never under the
  // pointer, where it would take the click that a row was to have.
  function beside(value, box, outer) {
    const isLast = !value.nextElementSibling && value.matches(".row > *");
    const right = Math.min(isLast ? box.right + 2 : box.right - PLUS, outer.right - PLUS - 6);
    const places = value.matches(".took") ? [box.left, right] : [right, box.left, box.left - PLUS];
    const isFree = (left) => !pointer || pointer.x < left - 1 || pointer.x > left + PLUS + 1;
    return places.find(isFree) ?? right;
  }

  // What the plus offers the pointer, for whoever is here with the keys.
  async function offer(row) {
    const clause = await pick({ title: "Filter by a value of this row", choices: rowClauses(row, shown), none: "No value of this row can be asked for." });
    node.focus();
    if (clause) onClause(clause);
  }
  function choose(row) {
    chosen = row;
    recolour();
    soon();
    onChoose(row);
  }
  function pin(to) {
    if (pinned === to) return;
    pinned = to;
    onPinned(pinned);
  }
  function reveal(index) {
    const top = index * ROW;
    if (top < scroll.top()) barTo(scroll.go(top));
    else if (top + ROW > scroll.top() + room()) barTo(scroll.go(top + ROW - room()));
    soon();
  }
  function move(by) {
    const count = source.count();
    if (count === 0) return;
    const at = chosen ? source.indexOf(chosen.n) : -1;
    const next = Math.min(count - 1, Math.max(0, at < 0 ? count - 1 : at + by));
    pin(next === count - 1 && pinned);
    reveal(next);
    const row = source.at(next);
    if (row) choose(row);
    if (next === 0) onTop();
  }

  node.addEventListener("scroll", () => {
    const at = node.scrollTop;
    if (setting !== null && Math.abs(at - setting) < 1) {
      setting = null;
      return;
    }
    setting = null;
    lookAgain();
    const to = scroll.moved(at);
    if (to !== null) barTo(to);
    pin(scroll.top() + room() >= source.count() * ROW - ROW);
    if (scroll.top() < ROW * 4) onTop();
    soon();
  });
  node.addEventListener("keydown", (event) => {
    if (event.target !== node) return;
    if (event.key === "f" && chosen && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      offer(chosen);
      return;
    }
    const page = Math.max(1, Math.floor(room() / ROW) - 1);
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -source.count(), End: source.count() }[event.key];
    if (!by) return;
    event.preventDefault();
    move(by);
  });
  new ResizeObserver(() => {
    hidePlus();
    lookAgain();
    soon();
  }).observe(node);
  drawHead();

  return {
    node,
    // All rows are others now: shows their end, or their start.
    set(atEnd = true) {
      pinned = atEnd;
      if (atEnd) onPinned(true);
      anew();
      size();
      barTo(scroll.go(atEnd ? source.count() * ROW : 0));
      soon();
    },
    // Rows came at the end.
    grown: soon,
    // `count` rows were put in front, or went from there when it is negative: keep what is seen where it is.
    shifted(count) {
      const top = scroll.top();
      size();
      barTo(scroll.go(top + count * ROW));
      soon();
    },
    draw: soon,
    chosen: () => chosen,
    mark(row) {
      chosen = row;
      recolour();
      soon();
    },
    toBottom() {
      pin(true);
      soon();
    },
    // Stays where it is while rows come.
    unpin: () => pin(false),
    columns(names) {
      shown = names;
      drawHead();
      anew();
    },
    // Values are written otherwise now.
    anew,
    order(now) {
      order = now;
      drawHead();
    },
    focus: () => node.focus(),
    isPinned: () => pinned,
    // The index of the first row that is seen.
    first: () => Math.floor(scroll.top() / ROW),
  };
}

function address(side) {
  return `${side.name || "[Unresolved]"} ${side.ip}:${side.port}${side.namespace ? ` (${side.namespace})` : ""}`;
}
