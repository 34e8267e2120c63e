// The packets of a stream: as a table with their bytes, or as a conversation of both sides.

import * as api from "../lib/api.js";
import { el } from "../lib/dom.js";
import * as format from "../lib/format.js";

// Shows the packets of the stream of an item, number `n` at a place, in `node`, in the manner of the tab.
export async function showPackets(node, { stream, worker, run }, n, tab, place) {
  node.replaceChildren(el("div", { class: "empty" }, "Reading the packets\u2026"));
  let found;
  try {
    found = await api.packets(stream, worker, n, place, run);
  } catch (error) {
    node.replaceChildren(el("div", { class: "empty" }, el("h2", {}, "The packets cannot be had"), error.message));
    return;
  }
  const more = found.more ? el("p", { class: "said" }, "The stream goes on; the PCAP holds all of it.") : null;
  node.replaceChildren(...(tab === "packets" ? table(found.packets) : conversation(found.packets)), ...(more ? [more] : []));
}

function table(packets) {
  const bytes = el("pre", { class: "hex", tabindex: 0 });
  const first = packets.length ? BigInt(packets[0].at) : 0n;
  const rows = packets.map((packet) => {
    const row = el("tr", {
      class: `leads ${packet.toServer === false ? "back" : ""}`, tabindex: 0, onclick: () => choose(row, packet),
      onkeydown: (event) => {
        if (event.key === "Enter") choose(row, packet);
        const to = { ArrowDown: row.nextSibling, ArrowUp: row.previousSibling }[event.key];
        if (!to) return;
        event.preventDefault();
        to.focus();
        to.click();
      },
    }, [packet.n, seconds(BigInt(packet.at) - first), packet.src ? `${packet.src} \u2192 ${packet.dst}` : "", packet.info, packet.length].map((cell) => el("td", {}, cell)));
    return row;
  });
  const choose = (row, packet) => {
    for (const one of rows) one.classList.toggle("chosen", one === row);
    const cut = packet.captured > 2048 ? "\n\u2026" : "";
    bytes.textContent = format.hexDump(packet.bytes) + cut;
  };
  if (rows.length) choose(rows[0], packets[0]);
  return [
    el("section", { class: "packets" }, el("table", { class: "grid" }, el("thead", {}, el("tr", {}, ["No.", "Seconds", "From, to", "What", "Bytes"].map((name) => el("th", {}, name)))), el("tbody", {}, rows))),
    el("section", {}, el("h3", {}, "Bytes"), bytes),
  ];
}

// Consecutive payloads of one side are one turn; bytes are shown as they were captured, repeats included.
function conversation(packets) {
  const turns = [];
  for (const packet of packets) {
    if (!packet.payload) continue;
    const raw = atob(packet.bytes).slice(packet.payload.start, packet.payload.start + packet.payload.length);
    const last = turns.at(-1);
    if (last && last.toServer === packet.toServer) last.raw += raw;
    else turns.push({ toServer: packet.toServer, at: packet.at, raw });
  }
  if (turns.length === 0) return [el("div", { class: "empty" }, "No side sent anything.")];
  return turns.map((turn) => {
    const encoded = btoa(turn.raw);
    const text = format.decodeText(encoded);
    return el("section", { class: `turn ${turn.toServer ? "" : "back"}` },
      el("h3", {}, turn.toServer ? "client" : "server", el("span", {}, `${format.bytes(turn.raw.length)} \u00b7 ${format.time(Number(BigInt(turn.at) / 1000000n))}`)),
      el("pre", { tabindex: 0 }, text ?? format.hexDump(encoded)));
  });
}

function seconds(nanos) {
  return `${nanos / 1000000000n}.${String(nanos % 1000000000n).padStart(9, "0").slice(0, 6)}`;
}
