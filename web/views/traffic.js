// The traffic: the list of items that match, and the details of one.

import * as api from "../lib/api.js";
import { counted } from "../lib/asking.js";
import { chosen, COLUMNS, sorted } from "../lib/columns.js";
import { el } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { redactions } from "../lib/kfl.js";
import { BOUNDS, boundFor } from "../lib/largest.js";
import { elsewhere, exchange, isSpooled, kept, linkOf, rowsModel } from "../lib/rows.js";
import { orderOf, orderText } from "../lib/url.js";
import { columnsDialog } from "../parts/columns.js";
import { details } from "../parts/details.js";
import { trouble } from "../parts/dialog.js";
import { list } from "../parts/list.js";

const PAGE = 500;
// The first rows, which fill the eye at once.
const FIRST = 200;
// Rows that are sorted at most: sorting needs all of them at hand.
const MAX_SORTED = 5000;
// Rows of one message of the feed, and rows that are kept while it leaves some out.
const SAMPLE = 100;
const KEPT_SAMPLED = 1000;
// How long a feed that left rows out is said to do so.
const SAMPLED_MS = 3000;
const RESTARTED = "tapedeck was started again; the list begins anew with what it holds now";

export function trafficView(frame) {
  const model = rowsModel();
  // Numbers of rows from elsewhere, by what tells them apart.
  const numbers = new Map();
  const number = (key) => {
    if (!numbers.has(key)) numbers.set(key, -1 - numbers.size);
    return numbers.get(key);
  };
  const held = { end: 0, loading: false, q: null, order: null, sampled: 0, gappy: false, still: false, limit: Infinity, left: Infinity, failed: false, cut: false, place: "", turn: 0, instance: null, missing: [] };
  // The first rows on their way: of a filter that is about to be applied, and of the one that is listed.
  let begun = null;
  let taken = null;
  let order = [];
  // Over when the first rows are there.
  let loaded = null;
  let stopFeed = () => {};
  const source = {
    count: () => (held.order ? order.length : model.count()),
    at: (index) => (held.order ? order[index] ?? null : model.at(index)),
    indexOf: (n) => (held.order ? order.findIndex((row) => row.n === n) : model.indexOf(n)),
  };
  const pane = details({ frame, onClause: frame.addClause, onTab: (tab) => frame.remember({ tab }), onClose: close, onOpen: (row) => {
    table.mark(row);
    choose(row);
  } });
  const dialog = columnsDialog({ onChange: (names) => table.columns(names) });
  const table = list({
    source, columns: chosen(window.localStorage), onChoose: choose, onClause: frame.addClause, onTop: older, onMissing: again,
    onSort: sort, onColumns: dialog.open,
    onPinned(pinned) {
      jump.hidden = pinned || held.still || Boolean(held.order);
      if (!pinned && held.gappy) whole();
    },
  });
  const jump = el("button", { class: "main new-rows", hidden: true, onclick: newest }, "\u2193 Newest");
  const told = el("div", { class: "told", role: "status", hidden: true });
  const note = el("div", { class: "empty", hidden: true });
  const old = el("button", { class: "fetch-old", hidden: true, onclick: fetchOld, title: "Looks through the spools and the archives for what memory holds no longer" }, "\u2191 Fetch old records");
  const holder = el("div", { class: "list-holder" }, told, old, table.node, note, jump, dialog.node);
  const node = el("div", { class: "main-area alone" }, holder, pane.node);

  function say(title, sentence, action) {
    note.hidden = !title;
    table.node.style.display = title ? "none" : "";
    note.replaceChildren(el("h2", {}, title ?? ""), el("p", {}, sentence ?? ""), action ?? "");
  }
  function tell(sentence, act, does) {
    const text = sentence ?? "";
    if (told.dataset.text === text) return;
    told.dataset.text = text;
    told.hidden = !sentence;
    told.replaceChildren(text, act ? el("button", { onclick: does }, act) : "");
  }
  function choose(row) {
    node.classList.remove("alone");
    frame.remember({ item: linkOf(row), at: row.timestamp });
    pane.show(row);
  }
  // No details are shown.
  function shut() {
    node.classList.add("alone");
    pane.clear();
    table.mark(null);
  }
  function drop() {
    shut();
    frame.remember({ item: null });
  }
  function close() {
    drop();
    table.focus();
  }
  // Asks for the first rows, unless they are asked for already.
  function ask(q, place) {
    const question = `${place}\n${q}`;
    if (begun?.question === question) return begun;
    begun?.control.abort();
    const control = new AbortController();
    const answer = place ? api.search(q, "", FIRST, place, control.signal) : api.items(q, null, FIRST, "", control.signal);
    // Whoever loads is told what went wrong.
    answer.catch(() => {});
    begun = { question, control, answer };
    return begun;
  }
  function forget() {
    begun?.control.abort();
    begun = null;
  }
  function load(q) {
    loaded = readFirst(q);
    return loaded;
  }
  async function readFirst(q) {
    stopFeed();
    Object.assign(held, { loading: true, q, order: null, sampled: 0, gappy: false, still: false, far: false, limit: Infinity, left: Infinity, failed: false, cut: false, missing: [] });
    numbers.clear();
    Object.assign(held, { place: frame.state.place, instance: null });
    const turn = (held.turn += 1);
    old.hidden = true;
    table.order(null);
    tell(null);
    model.reset(null);
    table.set();
    taken?.control.abort();
    taken = ask(q, held.place);
    begun = null;
    if (held.place) return loadPlace(q, taken.answer);
    try {
      const page = await taken.answer;
      if (held.turn !== turn) return;
      held.end = page.end;
      held.instance = page.instance;
      // What limit() of the filter says, and how many rows of that may still come.
      held.limit = page.limit ?? Infinity;
      held.left = held.limit - page.rows.length;
      reset(page);
      held.loading = false;
      table.set();
      node.dataset.q = q;
      emptyOrNot();
      if (held.left <= 0) return ended();
      if (!frame.state.paused) feed();
      older();
    } catch (error) {
      if (held.turn !== turn) return;
      failed(error);
    }
  }
  function failed(error) {
    Object.assign(held, { loading: false, failed: true });
    frame.feed("not listed");
    say("", "");
    note.hidden = false;
    note.replaceChildren(trouble(error, anew));
    table.node.style.display = "none";
  }
  // What a spool or a store has stands still, and has the cursors of a search.
  async function loadPlace(q, asked) {
    frame.feed("recorded");
    const { turn } = held;
    try {
      const found = await asked;
      if (held.turn !== turn) return;
      held.far = true;
      model.reset(farther(found), "");
      held.loading = false;
      table.set();
      node.dataset.q = q;
      emptyOrNot();
      older();
    } catch (error) {
      if (held.turn !== turn) return;
      failed(error);
    }
  }
  // A live run is read again by numbers, since its newest page is another one later.
  function reset(page) {
    model.reset(page, frame.state.status?.run.live ? (page.rows[0]?.n ?? -1) + 1 : null);
  }
  function emptyOrNot() {
    if (source.count() > 0 || model.next() !== null) return say(null);
    const live = frame.state.status?.run.live;
    // What cannot be read is not empty.
    if (held.place && held.missing.length) return failed(new Error(held.missing.map(({ what, why }) => (what === held.place ? why : `${what}: ${why}`)).join("; ")));
    if (held.place) return say(held.q ? "Nothing matches" : "Nothing there", held.place === "spool" ? "The spools hold no more than memory does, or nothing of it matches." : "This store holds no reels yet, or no item of them matches.");
    const all = el("button", { onclick: () => frame.apply("") }, "Show everything");
    if (held.q) say("Nothing matches", `No item held here matches this filter; loosen it, or ${live ? "wait for more traffic" : "open a source of another time"}.`, all);
    else say("No items yet", live ? "Waiting for traffic on the interface; is there any, and does the capture filter let it through?" : "The source holds no traffic.");
  }
  // As many rows were listed as limit() of the filter says: no older one is read, and no newer one comes.
  function ended() {
    stopFeed();
    held.left = 0;
    frame.feed("ended");
    tell(`The list has ended: the filter says limit(${held.limit}).`, "Read again", () => load(held.q));
  }
  // A page of rows: of memory by a number, of spools and archives by a text.
  async function read(q, cursor, limit) {
    if (typeof cursor === "number" || cursor === null) return ofInstance(await api.items(q, cursor, limit));
    return farther(await api.search(q, cursor, limit, held.place));
  }
  // Numbers are of one instance alone: a page of another one is not put beside rows of this.
  function ofInstance(page) {
    if (page.instance === held.instance) return page;
    begunAnew();
    throw new Error(RESTARTED);
  }
  // tapedeck was started again: the rows are of a run that is over. The item that is open is looked for anew.
  function begunAnew() {
    if (held.instance === null) return;
    held.instance = null;
    forget();
    shut();
    frame.fail(RESTARTED);
    openLinked(anew());
  }
  function farther(found) {
    held.missing = found.missing;
    // Where nothing is listed, it is said instead of the list.
    const isNone = found.rows.length === 0 && found.next === null && source.count() === 0;
    if (!held.place || !isNone) for (const { what, why } of found.missing) frame.fail(`${what}: ${why}`);
    const known = new Set(model.all().slice(0, PAGE).filter((row) => !row.far).map(exchange));
    return { rows: elsewhere(found.rows, known, number), next: found.next };
  }
  // What memory has no longer is looked for elsewhere, where somebody asks for it.
  function fetchOld() {
    const oldest = model.all()[0];
    model.goOn(String(oldest ? oldest.timestamp + 1 : Date.now() + 1));
    old.hidden = true;
    older();
  }
  function offerOld() {
    old.hidden = !(frame.state.status?.run.live && model.next() === null && !held.order && !held.far && held.left > 0 && held.q !== null);
  }
  async function older() {
    if (held.loading || held.order || held.left <= 0 || model.next() === null) return offerOld();
    held.loading = true;
    const { q, turn } = held;
    const cursor = model.next();
    held.far = typeof cursor === "string";
    let came = 1;
    try {
      const page = await read(q, cursor, Math.min(PAGE, held.left));
      if (held.turn !== turn || model.next() !== cursor) return;
      page.rows = page.rows.slice(0, held.left);
      came = model.prepend(page, cursor);
      held.left -= came;
      table.shifted(came);
      model.evict(0);
      emptyOrNot();
    } catch (error) {
      // Who scrolls up again asks again.
      return held.turn === turn && frame.fail(error.message);
    } finally {
      if (held.turn === turn) held.loading = false;
    }
    if (held.left <= 0) return ended();
    // A filter that hardly matches gives pages with few rows, or none.
    if ((model.count() < PAGE / 2 || came === 0) && model.next() !== null && held.q === q) older();
    else offerOld();
  }
  // Rows that were let go are read again where they are seen.
  async function again(from, to) {
    const { q, turn } = held;
    for (const page of model.missing(from, to)) {
      if (page.asked) continue;
      page.asked = true;
      try {
        const found = await read(q, page.cursor, page.count);
        if (held.q !== q) return;
        model.fill(page, found.rows);
        table.draw();
        model.evict(from);
      } catch (error) {
        if (held.turn === turn) frame.fail(error.message);
      } finally {
        page.asked = false;
      }
    }
  }
  function feed() {
    stopFeed();
    stopFeed = api.follow(held.q, held.end, SAMPLE, held.instance, {
      onOther: begunAnew,
      onPosition({ end, skipped, ended: isLast }, came) {
        const rows = came.slice(0, held.left);
        held.left -= rows.length;
        if (skipped > 0) {
          held.sampled = performance.now();
          // Whoever looks at older rows gets none with gaps among them.
          if (!table.isPinned()) return stand();
          held.gappy = true;
        }
        held.end = end;
        if (rows.length) {
          model.append(rows);
          emptyOrNot();
        }
        if (held.gappy) {
          model.keep(KEPT_SAMPLED);
          held.far = false;
          sampling();
        } else {
          model.evict(table.isPinned() ? model.count() - 1 : table.first());
        }
        if (rows.length) table.grown();
        if (isLast || held.left <= 0) ended();
      },
      onState: frame.feed,
    });
  }
  function stand() {
    stopFeed();
    held.still = true;
    jump.hidden = true;
    frame.feed(false);
    still();
  }
  const still = () => tell("The list stands still while you look.", "Go on", newest);
  function sampling() {
    if (performance.now() - held.sampled > SAMPLED_MS) {
      tell(null);
      return;
    }
    tell("More items come than can be read: only a sample is listed. All are counted and kept; scroll up or pause to see each.");
  }
  // After a sample: the newest rows without a gap, standing still.
  async function whole() {
    held.gappy = false;
    stand();
    tell("Reading what the sample left out\u2026");
    const { q, turn } = held;
    try {
      const page = ofInstance(await api.items(q, held.end, PAGE));
      if (held.q !== q) return;
      reset(page);
      table.set(true);
      table.unpin();
      still();
    } catch (error) {
      if (held.turn !== turn) return;
      still();
      frame.fail(error.message);
    }
  }
  function newest() {
    frame.remember({ sort: null });
    return held.still || held.order ? load(held.q) : table.toBottom();
  }
  function sort(by) {
    const first = !held.order || held.order.by !== by;
    // The third time takes the order away again.
    return !first && !held.order.first ? newest() : arrange({ by, down: first ? true : !held.order.down, first });
  }
  function anew() {
    load(held.q);
    arrangeLinked();
    return loaded;
  }
  // The order that the link says, once the first rows are there.
  async function arrangeLinked() {
    const wanted = orderOf(frame.state.sort, COLUMNS.map(({ name }) => name));
    await loaded;
    if (held.failed) return;
    const is = held.order && orderText(held.order);
    if (wanted && frame.state.sort === orderText(wanted) && is !== orderText(wanted)) await arrange({ ...wanted, first: wanted.down });
    else if (!wanted && is) await load(held.q);
  }
  async function arrange(wanted) {
    const { by, down } = wanted;
    stopFeed();
    frame.feed("sorted");
    held.order = wanted;
    frame.remember({ sort: orderText(wanted) });
    table.order(held.order);
    tell("Reading what is to be sorted\u2026");
    const { turn } = held;
    const mine = held.order;
    const isOver = () => held.turn !== turn || held.order !== mine;
    const rows = model.all();
    // What is there already fills the eye while the rest is read.
    order = sorted(rows, by, down);
    table.set(false);
    let largest = null;
    let cursor = model.next();
    try {
      // More than a page holds: the largest of all, and not those that are large among the newest.
      if (down && BOUNDS[by] && cursor !== null && held.place !== "spool") largest = await boundFor(Math.min(MAX_SORTED, held.limit), (bound) => countFrom(by, bound));
      if (isOver()) return;
      if (largest) {
        rows.length = 0;
        cursor = held.place ? "" : null;
      }
      const q = largest ? (await api.narrowed(held.q, BOUNDS[by](largest.bound))).query : held.q;
      for (let more = Boolean(largest) || cursor !== null; more && rows.length < MAX_SORTED; more = cursor !== null) {
        const page = await read(q, cursor, 1000);
        if (isOver()) return;
        rows.unshift(...page.rows.reverse());
        cursor = page.next;
      }
    } catch (error) {
      if (!isOver()) frame.fail(error.message);
    }
    if (isOver()) return;
    order = sorted(rows.slice(-Math.min(MAX_SORTED, held.limit)), by, down);
    const which = largest ? "The largest" : cursor === null && rows.length <= MAX_SORTED ? "All" : "The newest";
    tell(`${which} ${format.count(order.length)} matches by ${by}; the list stands still.`, "Newest first again", newest);
    table.set(false);
  }
  // How many matches have a value of a column from a bound on.
  async function countFrom(by, bound) {
    const q = bound > 0 ? (await api.narrowed(held.q, BOUNDS[by](bound))).query : held.q;
    return (await counted(() => api.timeline(q, held.place, 1))).all.count;
  }
  // The row that a link is about. Ids are of one run: an item of another time is another one, and that of
  // the link is looked for by its time where items are kept.
  async function linkedRow(id, at, store) {
    let why = "This link is of a run of tapedeck that has ended";
    const hidden = redactions(frame.state.q);
    try {
      const { row } = isSpooled(id) ? {} : await api.itemById(id, hidden, store);
      if (row && (!at || row.timestamp === at)) return row;
    } catch (error) {
      if (!at || error.status !== 404) throw error;
      why = "This item is held in memory no longer";
    }
    if (isSpooled(id) && !at) throw new api.Refused("This link does not say when its item was; it was cut", 400);
    const places = isSpooled(id) ? ["spool"] : store ? [store] : [...(await api.stores()).stores, "spool"];
    const q = [format.between(at, at + 1), hidden].filter(Boolean).join(" and ");
    for (const place of places) {
      const { rows } = await api.search(q, String(at + 1), FIRST, place, undefined, at);
      const found = kept(elsewhere(rows, new Set(), number), id, at);
      if (found) return found;
    }
    if (isSpooled(id)) throw new api.Refused("The spool has the packets of this item no longer; look for it in the archive", 410);
    throw new api.Refused(`${why}, and neither the spool nor a store that is open here has it`, 410);
  }
  async function openLinked(loaded) {
    const { item: wanted, at, place } = frame.state;
    const open = table.chosen();
    if (!wanted || (open && linkOf(open) === wanted && (!at || open.timestamp === Number(at)))) return;
    try {
      const store = place === "spool" ? "" : place;
      let [row] = await Promise.all([linkedRow(wanted, Number(at), store), loaded]);
      if (store && !row.far) [row] = elsewhere([{ ...row, from: store }], new Set(), number);
      // An archive of a live run may have it, with a number of its own.
      else if (!row.far && frame.state.status?.run.live && source.at(source.indexOf(row.n))?.id !== wanted) row.far = "elsewhere";
      table.mark(row);
      choose(row);
    } catch (error) {
      if (frame.state.item !== wanted || frame.state.place !== place) return;
      table.mark(null);
      pane.clear();
      pane.fail(error);
      node.classList.remove("alone");
    }
  }

  return {
    node, drop,
    // A filter is about to be applied: what it lists is asked for while the filter is looked at.
    begin(q) {
      ask(q, frame.state.place);
    },
    show(q) {
      pane.setTab(frame.state.tab);
      pane.filtered();
      const isListed = held.q === q && held.place === frame.state.place;
      // What was asked for in advance is not kept for another time.
      if (isListed) forget();
      if (isListed) table.anew();
      else load(q);
      openLinked(loaded);
      arrangeLinked();
      return loaded;
    },
    // Nothing follows rows for somebody who is signed out.
    stop() {
      stopFeed();
      held.cut = true;
      frame.feed(false);
    },
    // The server answers again.
    goOn() {
      if (held.failed) {
        forget();
        anew();
      } else if (held.cut && held.instance !== null && !held.still && !held.order && held.left > 0 && !frame.state.paused) feed();
      held.cut = false;
    },
    status({ rows, instance }) {
      if (held.instance !== null && instance !== held.instance) return begunAnew();
      if (held.order || held.still || !table.isPinned()) return;
      const gone = model.trim(rows.first);
      if (gone) table.shifted(-gone);
    },
    pause(paused) {
      if (paused) {
        stopFeed();
        if (held.gappy) whole();
      } else if (held.failed) frame.feed("not listed");
      else if (held.order) frame.feed("sorted");
      else if (held.left <= 0) frame.feed("ended");
      else if (held.place) frame.feed("recorded");
      else if (held.still) newest();
      else feed();
    },
    count: () => source.count(),
    key(event) {
      if (event.key === "Escape") close();
      if ((event.key === "ArrowDown" || event.key === "ArrowUp") && event.target === document.body) table.focus();
    },
  };
}
