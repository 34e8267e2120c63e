// What a recording would have kept, in words and by namespace; and a form that only tries.

import * as api from "../lib/api.js";
import { el } from "../lib/dom.js";
import * as format from "../lib/format.js";

const SPACES = 8;
const PAUSE_MS = 600;

// Tries a query on `store`, or on what is open here, and shows in `node` what it came to so far, as long as
// somebody `waits`. An archive is read bit by bit. Answers the whole outcome, or null when nobody waits any more.
export async function tryOn(kfl, store, node, waits) {
  node.replaceChildren("Reading\u2026");
  for (;;) {
    const found = await api.backtest(kfl, store);
    if (!waits()) return null;
    node.replaceChildren(...outcome(found, store));
    node.dataset.q = kfl;
    if (!found.behind) return found;
  }
}

function outcome(found, store) {
  if (found.itemsSeen === 0 && found.behind) return ["Reading\u2026"];
  if (found.itemsSeen === 0) return [store ? `${store} has no items that it could be tried on.` : "No items are held yet that it could be tried on."];
  const rows = found.byNamespace.slice().sort((a, b) => b.bytes - a.bytes).slice(0, SPACES);
  return [
    el("p", {}, `Over ${store || "the traffic held here"}, ${format.rfc(new Date(found.from).toISOString())} to ${format.rfc(new Date(found.to).toISOString())}, `, el("b", {}, `${format.count(found.streams)} of ${format.count(found.streamsSeen)} streams`),
      ` with ${format.count(found.items)} matching items and ${format.bytes(found.bytes)} of messages would have been kept: about `, el("b", {}, `${format.bytes(found.bytesPerDay)} a day`), "."),
    found.behind ? el("p", { class: "soft" }, `About ${format.count(found.behind)} items are still to be read.`) : null,
    found.undecided ? el("p", { class: "warn" }, `${format.count(found.undecided)} items took the query too many steps; a recording keeps those.`) : null,
    rows.length > 1 ? el("table", { class: "facts" }, rows.map((row) => el("tr", {}, el("th", { scope: "row" }, row.namespace || "no namespace"), el("td", {}, `${format.some(row.streams, "stream")}, ${format.bytes(row.bytes)}, ${format.bytes(row.bytesPerDay)} a day`)))) : null,
  ].filter(Boolean);
}

// Tries a query over what is open, where nothing can be recorded.
export function trialForm() {
  const kfl = el("textarea", { rows: 2, spellcheck: "false", id: "trial-kfl", placeholder: "http and response.status >= 500" });
  const tried = el("div", { class: "tried", role: "status" });
  const node = el("form", { class: "card form", "aria-label": "Try a recording", onsubmit: (event) => event.preventDefault() },
    el("h2", {}, "What would a recording have kept of this?"),
    el("div", { class: "fields" }, el("div", { class: "field" }, el("label", { for: kfl.id }, "What to record (KFL)"), kfl, el("small", { class: "soft" }, "true records everything"))), tried);
  let timer = null;
  let asked = 0;
  async function run() {
    const query = kfl.value.trim();
    const mine = (asked += 1);
    if (!query) return tried.replaceChildren();
    try {
      await tryOn(query, null, tried, () => mine === asked);
    } catch (error) {
      if (mine === asked) tried.replaceChildren(el("span", { class: "bad" }, error.message));
    }
  }
  kfl.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(run, PAUSE_MS);
  });
  return {
    node,
    // Begins with the filter of the page, as long as nobody wrote another.
    begin(query) {
      if (kfl.value || !query) return;
      kfl.value = query;
      run();
    },
  };
}
