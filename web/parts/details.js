// One item: head, request, response, packets, timing, raw JSON.

import * as api from "../lib/api.js";
import { visible } from "../lib/bidi.js";
import { views } from "../lib/body.js";
import { curl } from "../lib/curl.js";
import { apart, el } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { clause, redactions } from "../lib/kfl.js";
import { unless } from "../lib/roles.js";
import { streamClause, valueClause } from "../lib/row-clauses.js";
import { exchange, isSame, isUnanswered, storeOf } from "../lib/rows.js";
import { showBefore } from "./before.js";
import { copyButton } from "./copy.js";
import { loading, notice, trouble } from "./dialog.js";
import { showPackets } from "./packets.js";
import { replay } from "./replay.js";
import { showTiming } from "./timing.js";

const SLOW_MS = 200;
// What stands instead of packets while the filter redacts: they would show what it hides.
const NO_PACKETS = "Packets cannot be redacted; leave redact() out of the filter to see them.";
// What stands instead of packets of a store that this tapedeck does not read itself.
const NOT_OF_PLACE = "This item is of a store that only its node reads; open the store there to see its packets.";

export function details({ frame, onClause, onTab, onClose, onOpen }) {
  const node = el("aside", { class: "details", "aria-label": "Details", tabindex: -1 });
  let tab = "request";
  // The row and the item; the place that they are of, and the number there, null where it is not known.
  let shown = null;
  let asked = 0;
  // The row that is looked at, and what the filter redacted when it was asked for.
  let wanted = null;
  let hidden = "";

  const draw = () => {
    if (!shown) return;
    const { row, item } = shown;
    const tabs = ["request", "response", "both", "before", "packets", "conversation", "timing", "raw"].concat(item.data ? ["data"] : []);
    if (!tabs.includes(tab)) tab = "request";
    node.replaceChildren(head(row, item), tabBar(tabs), panel(item));
  };
  const head = (row, item) => el("header", {},
    el("h2", {}, row.method || row.summary ? apart(row.method, row.summary) : item.protocol.longName),
    item.protocol.referenceLink ? el("a", { class: "badge", href: item.protocol.referenceLink, target: "_blank", rel: "noreferrer noopener", title: `${item.protocol.longName}: its specification, on the web` }, "spec \u2197") : null,
    badge(item.protocol.abbr, item.protocol.macro, { background: row.protocol.background, color: row.protocol.foreground }),
    isUnanswered(item) ? el("span", { class: "badge bad" }, "no answer") : row.status && el("span", { class: `badge status ${row.tone}` }, row.status),
    el("span", { class: "badge" }, `${format.bytes(item.requestSize)} \u2191 ${format.bytes(item.responseSize)} \u2193`),
    isUnanswered(item) ? null : el("span", { class: "badge" }, format.took(item.elapsedTime)),
    value(["startTime"], format.exact(item.startTime), `timestamp >= datetime("${format.moment(item.timestamp)}")`),
    badge(`stream ${item.stream}`, streamClause(item)),
    badge(`index ${item.index}`, `${streamClause(item)} and index == ${item.index}`),
    item.node?.name ? badge(`node ${item.node.name}`, clause(["node", "name"], item.node.name)) : null,
    pcap(item),
    linkButton(),
    curl(item) && copyButton(curl(item), { class: "badge", title: "Copy as a curl command" }, "curl"),
    shown.number !== null && !shown.place && !hidden && /^1/.test(item.protocol.version) && item.protocol.name === "http" ? el("button", unless(frame.whyNot("replay"), { class: "badge", title: "Shows what would be sent where, and asks first", onclick: () => replay(shown.number) }), "Send again\u2026") : null,
    row.trace ? badge(`trace ${row.trace.slice(0, 12)}`, traceClause(item, row.trace)) : null,
    item.tls ? el("span", { class: "badge", title: "It went over TLS and was decrypted" }, "TLS") : null,
    row.passed ? el("span", { class: "badge good" }, "\u2713 passed a test") : null,
    row.failed ? el("span", { class: "badge bad" }, "\u2717 failed a test") : null,
    el("button", { class: "badge close", title: "Esc", onclick: onClose, "aria-label": "Close the details" }, "\u00d7"),
    el("table", {}, side("src", item.src), side("dst", item.dst)),
    item.error && el("div", { class: "error" }, `${item.error.type}: ${item.error.msg}`));
  const linkButton = () => copyButton(() => location.href, { class: "badge send", title: "Copy the address of this page: it opens this item with this filter; whoever opens it needs a token of their own" }, "Copy link");
  const side = (name, peer) => el("tr", {}, el("td", {}, name === "src" ? "from" : "to"), el("td", {},
    value([name, "name"], peer.name || "[Unresolved]", peer.name ? undefined : `${name}.name == ""`), " ",
    peer.namespace ? value([name, "namespace"], peer.namespace) : "", " ",
    value([name, "ip"], peer.ip), ":", value([name, "port"], peer.port)));
  // A stream whose packets are gone says so, and is not asked for again.
  const pcap = (item) => {
    const why = noPackets();
    const link = el("a", { href: api.pcapLink(item.stream, item.worker, shown.number, shown.place), download: item.stream, class: "badge", title: why, "aria-disabled": why ? "true" : null, onclick: async (event) => {
      event.preventDefault();
      if (link.getAttribute("aria-disabled")) return;
      try {
        await api.save(link.href, item.stream);
      } catch (error) {
        link.setAttribute("aria-disabled", "true");
        link.title = error.message;
        frame.fail(error.message);
      }
    } }, "PCAP");
    return link;
  };
  // The field that holds the id, as this item writes it.
  const traceClause = (item, trace) => {
    const [name, value] = Object.entries(item.request?.headers ?? {}).find(([, value]) => String(value).includes(trace)) ?? [];
    if (!name) return streamClause(item);
    return String(value) === trace ? clause(["request", "headers", name], trace) : `request.headers[${JSON.stringify(name)}] == r"${trace}"`;
  };
  // A span and not a button, so that the text can be selected; keys work all the same.
  const adding = (filter, attributes, text) => el("span", {
    ...attributes, role: "button", tabindex: 0, title: `Filter: ${filter}`, onclick: () => onClause(filter),
    onkeydown: (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      onClause(filter);
    },
  }, text);
  const badge = (text, filter, style) => adding(filter, { class: "badge clause", style }, text);
  const value = (names, shownValue, filter) => {
    if (shownValue === "") return "";
    return adding(filter ?? valueClause((shown?.row ?? wanted).protocol, names, shownValue), { class: "clause" }, String(shownValue));
  };
  // What only a spool has: its packets, and what the list says.
  const inSpool = (row) => {
    shown = null;
    const holder = el("div", {});
    node.replaceChildren(el("header", {},
      el("h2", {}, `${row.method} ${row.summary}`.trim()),
      row.status && el("span", { class: `badge status ${row.tone}` }, row.status),
      el("span", { class: "badge" }, format.dateTime(row.timestamp)), badge(`stream ${row.stream}`, streamClause(row)), linkButton(),
      el("button", { class: "badge close", title: "Esc", onclick: onClose, "aria-label": "Close the details" }, "\u00d7"),
      el("table", {}, side("src", row.src), side("dst", row.dst)),
      el("p", { class: "soft" }, "Memory holds this item no longer. Below are the packets of its stream, as far as the spool has them.")), holder);
    if (hidden) return holder.replaceChildren(withheld());
    return showPackets(holder, row, null, "packets");
  };
  // Why packets are not to be had; null where they are.
  const noPackets = () => (hidden ? NO_PACKETS : shown?.isLoose ? NOT_OF_PLACE : null);
  const withheld = () => notice("Packets are not shown", noPackets() ?? NO_PACKETS);
  const tabBar = (tabs) => el("div", { class: "tabs", role: "tablist" }, tabs.map((name) => el("button", {
    role: "tab", "aria-selected": name === tab ? "true" : "false", tabindex: name === tab ? 0 : -1,
    onclick: () => choose(name),
    onkeydown: (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      choose(tabs[(tabs.indexOf(name) + by + tabs.length) % tabs.length]);
      node.querySelector('[aria-selected="true"]').focus();
    },
  }, name[0].toUpperCase() + name.slice(1))));
  const choose = (name) => {
    tab = name;
    onTab(name);
    draw();
  };
  const panel = (item) => {
    if (tab === "raw") {
      const text = JSON.stringify(item, null, 2);
      return el("section", { role: "tabpanel" }, el("h3", {}, "Item", el("span", { class: "controls" }, el("a", { href: api.itemLink(item.id, hidden, shown.place), target: "_blank" }, "JSON alone"), copyButton(text))), el("pre", { tabindex: 0 }, colour(text)));
    }
    if (tab === "packets" || tab === "conversation") {
      const holder = el("div", { role: "tabpanel" });
      if (noPackets()) holder.append(withheld());
      else showPackets(holder, item, shown.number, tab, shown.place);
      return holder;
    }
    if (tab === "before") {
      const holder = el("div", { role: "tabpanel" });
      const { row } = shown;
      showBefore(holder, row, item, { trace: row.trace ? traceClause(item, row.trace) : null, hides: hidden, place: shown.place, onOpen, onFilter: frame.apply });
      return holder;
    }
    if (tab === "timing") {
      const holder = el("div", { role: "tabpanel" });
      const { row, place, number } = shown;
      // Only packets tell when nothing more came.
      const packets = noPackets() || !frame.may("investigate") ? null : () => api.packets(item.stream, item.worker, number, place);
      showTiming(holder, row, item, place, packets);
      return holder;
    }
    if (tab === "both") {
      const side = (name) => el("div", {}, el("h3", {}, name), isThere(item, name) ? sections(name, item[name], value) : unseen(item, name));
      return el("div", { role: "tabpanel", class: "both" }, side("request"), side("response"));
    }
    if (!isThere(item, tab)) return unseen(item, tab);
    return el("div", { role: "tabpanel" }, sections(tab, item[tab], value));
  };
  // A response that never came has members all the same, which are empty.
  const isThere = (item, name) => Object.keys(item[name] ?? {}).length > 0 && !(name === "response" && isUnanswered(item));
  const unseen = (item, name) => el("div", { class: "empty" }, name === "response" && isUnanswered(item) ? `No answer: ${item.error.msg}.` : `No ${name} was seen.`);

  // An item where it is from.
  const itemOf = async (row) => {
    const place = storeOf(row);
    if (!row.far) {
      const found = await api.item(row.n, hidden);
      // A tapedeck that was started again counts from the start, and so do its ids.
      if (!isSame(found.row, row)) throw new api.Refused("This item is no longer held: tapedeck was started again since it was listed", 410);
      return { ...found, place: "", number: row.n };
    }
    if (!place) return { ...await api.itemById(row.id, hidden), place: "", number: null };
    try {
      return { ...await api.item(row.number, hidden, place), place, number: row.number };
    } catch (error) {
      // A folder of a node is read there alone; ids are of one run, so another item may have it.
      const found = await api.itemById(row.id, hidden).catch(() => null);
      if (!found || exchange(found.row) !== exchange(row)) throw error;
      return { ...found, place: "", number: null, isLoose: true };
    }
  };

  return {
    node,
    async show(row) {
      const mine = (asked += 1);
      wanted = row;
      hidden = redactions(frame.state.q);
      if (row.far && !row.id) return inSpool(row);
      const slow = setTimeout(() => mine === asked && node.replaceChildren(loading("the item")), SLOW_MS);
      try {
        const found = await itemOf(row);
        if (mine !== asked) return;
        shown = found;
        draw();
      } catch (error) {
        if (mine === asked) this.fail(error);
      } finally {
        clearTimeout(slow);
      }
    },
    // Why an item is not shown, until it is closed.
    fail(error) {
      shown = null;
      node.replaceChildren(trouble(error), el("button", { onclick: onClose }, "Close"));
    },
    // The filter is another one: what it redacts is asked for anew.
    filtered() {
      if (wanted && redactions(frame.state.q) !== hidden) this.show(wanted);
    },
    clear() {
      asked += 1;
      shown = null;
      wanted = null;
      node.replaceChildren();
    },
    setTab(name) {
      tab = name || "request";
      draw();
    },
  };
}

// Scalars in one table, each object or list of objects in a table of its own, the body last.
function sections(side, part, value) {
  const plain = [];
  const tables = [];
  let body = null;
  for (const [name, member] of Object.entries(part)) {
    if (name === "content" || name === "postData") {
      body = bodySection(member);
      if (member?.mimeType) plain.push(rowOf(`${name}.mimeType`, [side, name, "mimeType"], member.mimeType, value));
    } else if (Array.isArray(member) && member.some((inner) => inner && typeof inner === "object")) {
      member.forEach((inner, index) => tables.push(tableOf(`${name} ${index + 1}`, [side, name, index], inner, value)));
    } else if (member && typeof member === "object" && !Array.isArray(member)) {
      if (Object.keys(member).length > 0) tables.push(tableOf(name, [side, name], member, value));
    } else {
      plain.push(rowOf(name, [side, name], member, value));
    }
  }
  return [fold("Details", el("table", {}, plain)), ...tables, body];
}

// Sections that somebody folded stay so for the next item.
const folded = new Set();

function fold(title, ...inside) {
  const node = el("details", { class: "fold", open: !folded.has(title), ontoggle: () => (node.open ? folded.delete(title) : folded.add(title)) }, el("summary", {}, title), inside);
  return node;
}

function tableOf(title, names, members, value) {
  const rows = Object.entries(members).map(([name, member]) => rowOf(name, [...names, name], member, value));
  return fold(title, el("table", {}, rows));
}

function rowOf(name, names, member, value) {
  const shown = member !== null && typeof member === "object" ? JSON.stringify(member) : member;
  const cell = member !== null && typeof member === "object" ? String(shown) : value(names, shown ?? "");
  return el("tr", {}, el("td", {}, name), el("td", {}, cell, shown === "" || shown === null || shown === undefined ? null : copyButton(String(shown))));
}

function bodySection(content) {
  if (!content?.text) return null;
  const all = views(content);
  const holder = el("div", {});
  let shown = Object.keys(all)[0];
  const bar = el("span", { class: "controls", role: "group", "aria-label": "Body as" });
  let numbers = false;
  const paper = (text) => el("pre", { tabindex: 0, class: shown === "hex" ? "hex" : "" }, looksJson(text) ? colour(text) : text);
  const numbered = (text) => el("div", { class: "numbered" }, el("pre", { class: "gutter", "aria-hidden": "true" }, text.split("\n").map((_, at) => at + 1).join("\n")), paper(text));
  const draw = () => {
    const { kind, text, url, fields } = all[shown];
    if (kind === "image") holder.replaceChildren(el("img", { class: "preview", src: url, alt: "Picture in the body" }));
    else if (kind === "fields") holder.replaceChildren(el("table", {}, fields.map(([name, value]) => el("tr", {}, el("td", {}, name), el("td", {}, value)))));
    else holder.replaceChildren(numbers && shown !== "hex" ? numbered(text) : paper(text));
    bar.replaceChildren(...Object.keys(all).map((name) => el("button", { "aria-pressed": String(name === shown), onclick: () => {
      shown = name;
      draw();
      bar.querySelector('[aria-pressed="true"]').focus();
    } }, name)), el("button", { "aria-pressed": String(numbers), onclick: () => {
      numbers = !numbers;
      draw();
    } }, "lines"), copyButton(all[shown].text ?? content.text, { title: "Copy", "aria-label": "Copy the body" }));
  };
  draw();
  const cut = content.truncated ? el("div", { class: "error" }, "Cut: the whole body is in the stream's PCAP.") : null;
  return fold("Body", el("h3", {}, format.bytes(content.size ?? content.text.length), bar), cut, holder);
}

const looksJson = (text) => /^[[{]/.test(text.trimStart());

const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const MAX_COLOURED = 100000;

// JSON text as coloured spans.
function colour(text) {
  const out = document.createDocumentFragment();
  if (text.length > MAX_COLOURED) {
    out.append(visible(text));
    return out;
  }
  let at = 0;
  for (const match of text.matchAll(TOKEN)) {
    out.append(visible(text.slice(at, match.index)));
    const kind = match[2] ? "key" : match[1] ? "text" : match[3] ? "word" : "num";
    out.append(el("span", { class: kind }, match[1] ?? match[0]));
    if (match[2]) out.append(match[2]);
    at = match.index + match[0].length;
  }
  out.append(visible(text.slice(at)));
  return out;
}
