// Saves what the filter matches: the packets of its streams, or the rows as CSV.

import * as api from "../lib/api.js";
import * as csv from "../lib/csv.js";
import { el } from "../lib/dom.js";
import * as format from "../lib/format.js";

const PAGE = 1000;
const MAX_ROWS = 100000;

// `place` gives the place that is looked at: a store, spool, or nothing for what is open.
export function saveDialog({ current, whyNot, place }) {
  const said = el("p", { role: "status" });
  const packets = el("button", { class: "main", onclick: savePackets }, "Packets (.tar.gz)");
  const rows = el("button", { class: "main", onclick: saveRows }, "Rows (.csv)");
  const node = el("dialog", { class: "ask", "aria-label": "Save what matches", onclose: () => { going = null; } },
    el("h2", {}, "Save what matches"),
    el("p", {}, "Packets: all streams with an item that matches, whole, in order of time, with the names of their addresses. ", el("code", {}, "tapedeck tap --pcap FILE"), " opens the file."),
    el("p", {}, `Rows: one line for each item that matches, the newest ${format.count(MAX_ROWS)} at most.`),
    said, el("div", { class: "acts" }, el("button", { onclick: () => node.close() }, "Close"), rows, packets));
  let going = null;

  async function run(act) {
    const mine = (going = {});
    packets.disabled = rows.disabled = true;
    try {
      await act(() => going === mine);
    } catch (error) {
      said.textContent = error.message;
    } finally {
      letPackets();
      rows.disabled = false;
    }
  }
  function letPackets() {
    const why = whyNot("investigate") || (place() === "spool" ? "Packets of the spools are saved stream by stream, from their details" : "");
    packets.disabled = why !== "";
    packets.title = why;
  }
  function savePackets() {
    return run(async () => {
      said.textContent = "Reading the packets\u2026";
      await api.save(api.matchesLink(current(), place()));
      said.textContent = "The packets were saved.";
    });
  }
  function saveRows() {
    return run(async (goesOn) => {
      const q = current();
      const at = place();
      const read = (before) => (at === "spool" ? api.search(q, before ?? "", PAGE, at) : api.items(q, before, PAGE, at));
      const parts = [csv.head()];
      let count = 0;
      let before = null;
      do {
        const page = await read(before);
        if (!goesOn()) return;
        parts.push(csv.lines(page.rows));
        count += page.rows.length;
        before = page.next;
        said.textContent = `${format.count(count)} rows\u2026`;
      } while (before !== null && count < MAX_ROWS);
      api.saveBlob(new Blob(parts, { type: "text/csv" }), "items.csv");
      said.textContent = `${format.count(count)} rows were saved${before === null ? "" : "; older ones match too, narrow the time to get them"}.`;
    });
  }
  return {
    node,
    open() {
      said.textContent = place() ? `Saved is what matches in ${place() === "spool" ? "the spools" : place()}.` : "";
      letPackets();
      node.showModal();
    },
  };
}
