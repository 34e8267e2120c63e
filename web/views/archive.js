// The archive: stores, days, reels with what their manifests say, and proof. Nothing is ever deleted here.

import * as api from "../lib/api.js";
import { el } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { outcome, verdict } from "../lib/proof.js";
import { allow, unless } from "../lib/roles.js";
import { copyButton } from "../parts/copy.js";
import { confirm, loading, notice, trouble } from "../parts/dialog.js";
import { facts } from "./recordings.js";

const AGAIN_MS = 1000;
const PROOF = "Compares names, sizes, locks and the checksums that the store keeps with what was sealed; the bytes of reels are not read";
const REELS_AT_ONCE = 100;
const PAUSE_MS = 300;

export function archiveView(frame) {
  const store = el("select", { "aria-label": "Store", onchange: () => openStore(store.value) });
  const search = el("input", { type: "search", size: 32, placeholder: "Find by recording, node, hour=14", "aria-label": "Find reels of the day", oninput: () => {
    clearTimeout(typing);
    typing = setTimeout(() => day && openDay(day), PAUSE_MS);
  } });
  const prove = el("button", { onclick: () => verify(false), title: PROOF }, "Verify");
  const said = el("span", { class: "said", role: "status" });
  const days = el("ul", { class: "days", "aria-label": "Days" });
  const reels = el("div", { class: "reels" });
  const proof = el("section", { class: "card", hidden: true, "aria-label": "Proof" });
  const body = el("div", { class: "split narrow" }, el("section", { class: "card" }, el("h2", {}, "Days"), days), reels);
  const empty = el("div", {});
  const node = el("div", { class: "page archive" }, el("div", { class: "tools" }, el("label", {}, "Store ", store), el("button", { onclick: () => openStore(store.value) }, "Read again"), search, prove, said), empty, proof, body);
  // The stores that are open here.
  let open = [];
  let day = null;
  let timer = null;
  let typing = null;
  // What the last look at the store found.
  let report = null;

  async function load() {
    try {
      const { stores } = await api.stores();
      if (stores.length === 0) {
        body.hidden = true;
        prove.hidden = true;
        empty.replaceChildren(frame.state.store ? notOpen(frame.state.store) : notice("No archive is open", "A single file has no reels. Open what a recording was sent to: tapedeck tap --pcap s3://BUCKET/"));
        return;
      }
      // A link's store comes first, then the place that is looked at.
      const linked = frame.state.store || store.value;
      const chosen = linked || (stores.includes(frame.state.place) ? frame.state.place : stores[0]);
      open = stores;
      const listed = stores.includes(chosen) ? stores : [chosen, ...stores];
      store.replaceChildren(...listed.map((one) => el("option", { value: one }, stores.includes(one) ? one : `${one} (not open here)`)));
      store.value = chosen;
      // What is shown already stays until it is read again.
      await openStore(chosen, day !== null);
    } catch (error) {
      empty.replaceChildren(trouble(error, load));
    }
  }
  async function openStore(name, isAgain = false) {
    prove.hidden = !open.includes(name);
    frame.remember({ store: name });
    if (!isAgain) {
      day = report = null;
      days.replaceChildren();
      reels.replaceChildren(loading("the days"));
      proof.hidden = true;
    }
    if (prove.hidden) return instead(notOpen(name));
    body.hidden = false;
    empty.replaceChildren();
    askProof();
    try {
      const found = await api.archiveDays(name);
      if (store.value !== name) return;
      if (found.days.length === 0) {
        return instead(frame.state.status?.run.live === false
          ? notice("There are no reels here", "Nothing is recorded while a source is looked at. Open what a recording was sent to: tapedeck tap --pcap s3://BUCKET/")
          : notice("There are no reels yet", "The first one is sealed a minute after the first match of a recording."));
      }
      days.replaceChildren(...found.days.map((one) => el("li", {}, el("button", { "data-day": one, onclick: () => openDay(one) }, ...dayName(one)))));
      const next = [frame.state.day, day].find((one) => found.days.includes(one)) ?? found.days[0];
      openDay(next, next === day);
    } catch (error) {
      if (store.value === name) instead(trouble(error, () => openStore(name)));
    }
  }
  const notOpen = (name) => notice("This store is not open here", `The link is of ${name}. ${open.length ? "Choose another store above, or open" : "Open"} that one: tapedeck tap --pcap ${quote(name)}`);
  function instead(what) {
    day = null;
    body.hidden = true;
    empty.replaceChildren(what);
  }
  function dayName(one) {
    const part = (name) => new RegExp(`${name}=([^/]+)`).exec(one)?.[1];
    return [el("b", {}, part("date") ?? one), " ", el("span", { class: "soft" }, part("cluster") ?? "")];
  }
  async function openDay(one, isAgain = false) {
    day = one;
    frame.remember({ store: store.value, day });
    for (const button of days.querySelectorAll("button")) button.setAttribute("aria-current", String(button.dataset.day === one));
    if (!isAgain) reels.replaceChildren(loading("the reels"));
    await more(null, true);
  }
  async function more(after, first) {
    const asked = day;
    const name = store.value;
    const find = search.value.trim();
    // Stores have days of the same names.
    const isOver = () => asked !== day || name !== store.value || find !== search.value.trim();
    try {
      const found = await api.reels(name, asked, find, after);
      if (isOver()) return;
      const cards = found.reels.map(reelCard);
      if (first) reels.replaceChildren();
      else reels.lastChild?.remove();
      reels.append(...cards);
      if (first && cards.length === 0 && find) reels.replaceChildren(notice("No reel of this day is called so", `Each word of ${find} has to stand in the name of a reel: its hour, node, recording or time.`));
      else if (first && cards.length === 0) reels.replaceChildren(notice("This day has no reels", "Only signs of life: the recorder ran and nothing matched."));
      drawVerified();
      if (found.next) reels.append(el("button", { onclick: () => more(found.next, false) }, `The next ${REELS_AT_ONCE} reels`));
    } catch (error) {
      if (!isOver()) reels.replaceChildren(trouble(error, () => openDay(asked)));
    }
  }
  function reelCard(reel) {
    const from = Date.parse(reel.from);
    const to = Date.parse(reel.to);
    const range = Number.isNaN(from) || Number.isNaN(to) ? null : format.between(from, to + 1);
    const why = frame.whyNot("investigate");
    const iso = (millis) => new Date(millis).toISOString();
    const command = `tapedeck export ${quote(store.value)}${range ? ` --from ${iso(from)} --to ${iso(to + 1)}` : ""}${reel.kfl ? ` --kfl ${quote(reel.kfl)}` : ""} -o reel.pcapng`;
    return el("section", { class: "card reel" },
      el("h2", {}, el("span", {}, reel.recording ?? "reel", " ", el("span", { class: "soft" }, span(from, to))),
        el("span", { class: "acts" },
          range ? el("button", { onclick: () => {
            frame.look(store.value, range);
          }, title: "Shows the items of its time" }, "Open") : null,
          el("button", unless(range ? why : "When it was captured is not known", { onclick: (event) => exportReel(event.target, reel, range), title: "Saves what it recorded as .tar.gz, with the names of its addresses" }), "Export"),
          copyButton(command, { title: command }, "Copy export command"))),
      facts([
        ["filter", el("code", {}, reel.kfl || "\u2013")],
        ["node", `${reel.node ?? ""}${reel.cluster ? ` in ${reel.cluster}` : ""}${reel.sequence === undefined ? "" : `, reel ${reel.sequence} of the run of ${format.rfc(iso(reel.run * 1000))}`}`],
        reel.sealed ? ["sealed", `${format.rfc(reel.sealed)} (${reel.why})`] : null,
        reel.counts ? ["holds", `${format.some(reel.counts.streams, "stream")}, ${format.some(reel.counts.packets, "packet")}, ${format.some(reel.counts.items, "item")}; ${format.bytes(reel.bytes)} as stored`] : ["stored", format.bytes(reel.bytes)],
        ["lock", lockOf(reel.lock), reel.lock?.state === "locked" ? "good" : "warn"],
        ["verified", el("span", { class: "verified", "data-name": reel.name, "data-sealed": reel.sealed ?? "" })],
        ["signature", reel.signed ? "signed" : "none", reel.signed ? "good" : ""],
        ...Object.entries(reel.coverage ?? {}).filter(([, one]) => one.packets).map(([why, one]) => ["missing", `${format.some(one.packets, "packet")}: ${why.replaceAll("_", " ")}${one.from ? `, ${format.rfc(one.from)} to ${format.rfc(one.to)}` : ""}, since the run began`, "warn"]),
        ...(reel.remarks ?? []).map((sentence) => ["remark", sentence, "warn"]),
        ["objects", el("span", { class: "objects" }, reel.parts.map((part) => el("span", { title: why }, why === ""
          ? el("a", { href: api.objectLink(store.value, part.key, part.version ?? undefined), download: part.key.split("/").at(-1) }, part.role)
          : part.role, ` ${format.bytes(part.size)}`)))],
      ].filter(Boolean)));
  }
  function lockOf(lock) {
    if (!lock) return "not known: the manifest cannot be read";
    const hold = lock.legalHold ? "; legal hold" : "";
    if (lock.state === "locked") return `${lock.mode ?? "locked"}, cannot be deleted until ${lock.until ? format.rfc(lock.until) : "its lock ends"}${hold}`;
    return (lock.state === "not-locked" || lock.state === "notLocked" ? "none: this object can be deleted by whoever may" : "not verified: the recorder may not read locks back") + hold;
  }
  function span(from, to) {
    if (Number.isNaN(from)) return "";
    return `${format.rfc(new Date(from).toISOString())} \u2013 ${format.time(to).slice(0, 8)}`;
  }
  // The streams of its time that its filter matches.
  async function exportReel(button, reel, range) {
    const name = store.value;
    button.disabled = true;
    said.textContent = "Reading the packets\u2026";
    try {
      const { query } = await api.narrowed(reel.kfl ?? "", range);
      await api.save(api.matchesLink(query, name));
      said.textContent = "The packets were saved.";
    } catch (error) {
      said.textContent = error.message;
    } finally {
      button.disabled = false;
    }
  }
  function drawVerified() {
    for (const cell of reels.querySelectorAll(".verified")) {
      const [tone, text] = verdict(report, cell.dataset);
      cell.className = `verified ${tone}`;
      cell.textContent = text;
    }
  }
  // What is asked of a store is drawn while that one is shown.
  async function ofStore(ask) {
    const name = store.value;
    try {
      const found = await ask(name);
      if (store.value === name) drawProof(found);
    } catch (error) {
      if (store.value === name) said.textContent = error.message;
    }
  }
  const verify = (deep) => ofStore((name) => api.verify(name, deep));
  async function readAll() {
    const sure = await confirm({ title: "Read every byte?", act: "Read", lines: [`${format.some(report.counts.reels, "reel")} of ${store.value} had ${format.bytes(report.counts.bytes)} when they were looked at. All of it is fetched and hashed, which takes time, and costs what the store asks for it.`] });
    if (sure) await verify(true);
  }
  const askProof = () => ofStore(api.proof);
  function stopLook(event) {
    event.target.disabled = true;
    return ofStore(api.stopVerify);
  }
  function drawProof(found) {
    clearTimeout(timer);
    proof.hidden = found.state === "none";
    allow(prove, found.state === "running" ? "It is looked at" : frame.whyNot("investigate"), PROOF);
    const head = (text, tone, act) => el("h2", {}, el("span", { class: tone, role: "status" }, text), act ? el("span", { class: "acts" }, act) : null);
    if (found.state === "running") {
      const read = found.bytes ? ` ${format.bytes(found.read)} of ${format.bytes(found.bytes)} are read.` : "";
      const stop = el("button", unless(frame.whyNot("investigate"), { onclick: stopLook, title: "What was compared until then is told" }), "Stop");
      proof.replaceChildren(head(`Comparing every object with what was sealed\u2026${read}`, "soft", stop));
      timer = setTimeout(() => node.isConnected && askProof(), AGAIN_MS);
    } else if (found.state === "stopped") {
      proof.replaceChildren(head("It was stopped before all objects were listed", "soft"));
    } else if (found.state === "failed") {
      proof.replaceChildren(head("It could not be looked at", "bad"), el("p", { class: "inside" }, found.sentence));
    } else if (found.state === "done") {
      report = found.report;
      const { counts } = report;
      const [tone, words] = outcome(report);
      drawVerified();
      proof.replaceChildren(
        head(words, tone, el("button", unless(frame.whyNot("investigate"), { onclick: readAll, title: "Fetches every reel and compares its SHA-256 with the sealed one" }), "Read all bytes\u2026")),
        facts([
          ["looked at", `${format.rfc(report.at)}`],
          ["objects", `${format.count(counts.objects)}: ${format.count(counts.manifests)} manifests, ${format.count(counts.reels)} reels with ${format.bytes(counts.bytes)}; ${format.count(counts.checksums)} equal checksums, ${format.count(counts.read)} read and hashed`],
          ["locks", `${format.count(counts.locked)} hold, ${format.count(counts.lockEnded)} ended, ${format.count(counts.notLocked)} never were, ${format.count(counts.lockUnknown)} unknown; ${format.count(counts.held)} under legal hold`],
          ["signatures", `${format.count(counts.signed)} hold, ${format.count(counts.notChecked)} not checked for want of a key`],
          ...report.chains.map((chain) => ["chain", `${chain.head.node}: ${format.some(chain.manifests, "manifest")} of ${format.some(chain.runs, "run")}, ${format.rfc(chain.from)} to ${format.rfc(chain.to)}${chain.ended ? ", ended" : ""}`]),
          ...report.findings.slice(0, 200).map((one) => [one.what.replaceAll("-", " "), one.sentence, "bad"]),
          ...report.remarks.map((sentence) => ["remark", sentence, "warn"]),
          ...report.blindSpots.map((sentence) => ["not seen", sentence, "soft"]),
        ]));
    }
  }
  return { node, show: load, hide: () => [timer, typing].forEach(clearTimeout) };
}

const quote = (text) => (/^[\w./:@=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
