// The rows of the list: pages that were read, of which only those near the eye are kept. Pure.
//
// A page is known by the cursor that it was read with, so that it can be read again; what was dropped
// costs a few words. Rows stand in rising order, the newest last. Rows from elsewhere than memory have cursors
// that are texts, and numbers below zero, which nothing else has.

const PAGE = 500;

// What tells exchanges of one moment apart wherever they are read: numbers and ids differ.
export const exchange = ({ timestamp, src, dst, method, summary, status }) => [timestamp, src.ip, src.port, dst.ip, dst.port, method, summary, status].join(" ");

// Whether the row that came with an item is the one that was listed: numbers and ids are of one run.
export const isSame = (found, listed) => found.id === listed.id && found.timestamp === listed.timestamp;

// Whether an item was asked and nothing came back.
export const isUnanswered = ({ error, responseSize }) => Boolean(error) && !responseSize;

// What a link calls a row. Rows of spools have no id; their run and key are the same whenever they are read.
export const linkOf = ({ id, node, run, stream, key }) => id || [SPOOLED, node, run, stream, key].join("/");
export const isSpooled = (link) => link.startsWith(`${SPOOLED}/`);
const SPOOLED = "spool";

// Rows of spools and archives, newest first, as the model takes them: without those whose exchanges are
// `known`, each with a number of its own, which `number` gives for a text, and its number there.
export function elsewhere(rows, known, number) {
  const others = rows.filter((row) => !known.has(exchange(row)));
  return others.map((row) => ({ ...row, number: row.n, n: number(`${row.from} ${row.node} ${row.stream} ${row.key ?? row.n} ${exchange(row)}`), far: row.from }));
}

// Of rows from elsewhere the one that an item of another run is: of its time, and of its place in its stream. Null
// where there is none, or several that differ; one exchange may be kept several times.
export function kept(rows, id, timestamp) {
  if (isSpooled(id)) return rows.find((row) => row.timestamp === timestamp && linkOf(row) === id) ?? null;
  const alike = rows.filter((row) => row.timestamp === timestamp && id.endsWith(`/${row.stream}-${row.index}`));
  const [first] = alike.filter((row) => row.id).concat(alike);
  return first && alike.every((row) => exchange(row) === exchange(first)) ? first : null;
}

// The store that a row is of; empty for what is elsewhere.
export const storeOf = ({ far }) => (["live", "spool", "elsewhere"].includes(far) ? "" : far ?? "");

export function rowsModel(maxLoaded = 20000) {
  // {cursor, rows or null, count, last: number of its newest row}
  let pages = [];
  // Place of each page's first row; pages of older rows have negative ones.
  let starts = [];
  let end = 0;
  let loaded = 0;
  let next = null;

  const first = () => starts[0] ?? end;
  function pageOf(place) {
    let low = 0;
    let high = pages.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (starts[middle] <= place) low = middle;
      else high = middle - 1;
    }
    return low;
  }
  const model = {
    // Begins anew with the newest page as the server gives it, newest row first, and the cursor that it can
    // be read again with; null is the newest page of what no longer grows.
    reset(page, cursor = null) {
      pages = [];
      starts = [];
      end = 0;
      loaded = 0;
      next = page?.next ?? null;
      const rows = (page?.rows ?? []).slice().reverse();
      if (rows.length === 0) return;
      starts.push(0);
      pages.push({ cursor, rows, count: rows.length, last: rows.at(-1).n, open: false });
      end = rows.length;
      loaded = rows.length;
    },
    count: () => end - first(),
    loaded: () => loaded,
    next: () => next,
    // Where to go on when memory has no more.
    goOn(cursor) {
      next = cursor;
    },
    // The row at an index from the oldest known on; null when it is not kept.
    at(index) {
      if (pages.length === 0) return null;
      const place = first() + index;
      const number = pageOf(place);
      return pages[number].rows?.[place - starts[number]] ?? null;
    },
    indexOf(n) {
      for (let number = pages.length - 1; number >= 0; number -= 1) {
        const within = pages[number].rows?.findIndex((row) => row.n === n) ?? -1;
        if (within >= 0) return starts[number] + within - first();
      }
      return -1;
    },
    // A page of older rows, newest first, that was read with `cursor`; answers how many rows came.
    prepend(page, cursor) {
      next = page.next;
      const rows = page.rows.slice().reverse();
      if (rows.length) {
        starts.unshift(first() - rows.length);
        pages.unshift({ cursor, rows, count: rows.length, last: rows.at(-1).n, open: false });
        loaded += rows.length;
      }
      return rows.length;
    },
    // Newer rows, oldest first.
    append(rows) {
      for (const row of rows) {
        let page = pages.at(-1);
        if (!page?.open || page.count >= PAGE || !page.rows) {
          page = { cursor: null, rows: [], count: 0, last: 0, open: true };
          starts.push(end);
          pages.push(page);
        }
        page.rows.push(row);
        page.count += 1;
        page.last = row.n;
        page.cursor = row.n + 1;
        end += 1;
        loaded += 1;
      }
    },
    // Pages with rows from index `from` to `to` that must be read again.
    missing(from, to) {
      if (pages.length === 0) return [];
      const found = [];
      for (let number = pageOf(first() + from); number < pages.length && starts[number] < first() + to; number += 1) {
        if (!pages[number].rows) found.push(pages[number]);
      }
      return found;
    },
    // Rows of a page that were read again, newest first; those the server has no longer are left out.
    fill(page, rows) {
      if (page.rows || !pages.includes(page)) return;
      page.rows = rows.slice(0, page.count).reverse();
      loaded += page.rows.length;
    },
    // Lets go of rows far from the index in sight, while there are too many.
    evict(index) {
      if (loaded <= maxLoaded || pages.length === 0) return;
      const here = pageOf(first() + index);
      const far = pages.map((page, number) => ({ page, far: Math.abs(number - here) }))
        .filter(({ page, far: away }) => page.rows && away > 2)
        .sort((a, b) => b.far - a.far);
      for (const { page } of far) {
        if (loaded <= maxLoaded * 0.8) return;
        loaded -= page.rows.length;
        page.rows = null;
      }
    },
    // Forgets pages of items before the number `held`, which the server has no longer; answers how many rows went.
    trim(held) {
      let gone = 0;
      while (pages.length > 1 && pages[0].last >= 0 && pages[0].last < held) {
        const page = pages.shift();
        starts.shift();
        gone += page.count;
        if (page.rows) loaded -= page.rows.length;
      }
      if (gone) next = null;
      return gone;
    },
    // Keeps the newest rows alone, as long as the feed leaves some out.
    keep(newest) {
      const rows = [];
      for (let number = pages.length - 1; number >= 0 && rows.length < newest; number -= 1) rows.unshift(...(pages[number].rows ?? []));
      const kept = rows.slice(-newest);
      model.reset({ rows: kept.slice().reverse(), next: kept[0]?.n ?? null });
    },
    all: () => pages.flatMap((page) => page.rows ?? []),
  };
  return model;
}
