// One item: head, request, response, raw JSON.

import * as api from "../lib/api.js";
import { el } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { curl } from "../lib/curl.js";
import { clause } from "../lib/kfl.js";
import { showPackets } from "./packets.js";

export function details({ onClause, onTab }) {
  const node = el("aside", { class: "details", "aria-label": "Details", tabindex: -1 });
  let tab = "request";
  let shown = null;

  const draw = () => {
    if (!shown) return;
    const { row, item } = shown;
    const tabs = ["request", "response", "both", "packets", "conversation", "raw"].concat(item.data ? ["data"] : []);
    if (!tabs.includes(tab)) tab = "request";
    node.replaceChildren(head(row, item), tabBar(tabs), panel(item));
  };
  const head = (row, item) => el("header", {},
    el("h2", {}, `${row.method} ${row.summary}`.trim() || item.protocol.longName),
    badge(item.protocol.abbr, item.protocol.macro, { background: row.protocol.background, color: row.protocol.foreground }),
    row.status && el("span", { class: `badge status ${row.tone}` }, row.status),
    el("span", { class: "badge" }, `${format.bytes(item.requestSize)} \u2191 ${format.bytes(item.responseSize)} \u2193`),
    el("span", { class: "badge" }, format.took(item.elapsedTime)),
    value(["startTime"], item.startTime, `timestamp >= datetime("${format.moment(item.timestamp)}")`),
    badge(`stream ${item.stream}`, clause(["stream"], item.stream)),
    el("a", { href: api.pcapLink(item.stream, item.worker), download: item.stream, class: "badge" }, "PCAP"),
    curl(item) && el("button", { class: "badge", title: "Copy as a curl command", onclick: () => navigator.clipboard?.writeText(curl(item)) }, "curl"),
    el("table", {}, side("src", item.src), side("dst", item.dst)),
    item.error && el("div", { class: "error" }, `${item.error.type}: ${item.error.msg}`));
  const side = (name, peer) => el("tr", {}, el("td", {}, name === "src" ? "from" : "to"), el("td", {},
    value([name, "name"], peer.name || "[Unresolved]", peer.name ? undefined : `${name}.name == ""`), " ",
    peer.namespace ? value([name, "namespace"], peer.namespace) : "", " ",
    value([name, "ip"], peer.ip), ":", value([name, "port"], peer.port)));
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
    return adding(filter ?? clause(names, shownValue), { class: "clause" }, String(shownValue));
  };
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
    if (tab === "raw") return el("section", { role: "tabpanel" }, el("h3", {}, "Item"), el("pre", {}, colour(JSON.stringify(item, null, 2))));
    if (tab === "packets" || tab === "conversation") {
      const holder = el("div", { role: "tabpanel" });
      showPackets(holder, item, tab);
      return holder;
    }
    if (tab === "both") {
      const side = (name) => el("div", {}, el("h3", {}, name), Object.keys(item[name] ?? {}).length ? sections(name, item[name], value) : el("div", { class: "empty" }, `No ${name} was seen.`));
      return el("div", { role: "tabpanel", class: "both" }, side("request"), side("response"));
    }
    const part = item[tab];
    if (!part || Object.keys(part).length === 0) return el("div", { class: "empty" }, `No ${tab} was seen.`);
    return el("div", { role: "tabpanel" }, sections(tab, part, value));
  };

  return {
    node,
    async show(row) {
      try {
        shown = await api.item(row.n);
        draw();
      } catch (error) {
        shown = null;
        node.replaceChildren(el("div", { class: "empty" }, el("h2", {}, "This item cannot be shown"), error.message));
      }
    },
    clear() {
      shown = null;
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
  return [el("section", {}, el("h3", {}, "Details"), el("table", {}, plain)), ...tables, body];
}

function tableOf(title, names, members, value) {
  const rows = Object.entries(members).map(([name, member]) => rowOf(name, [...names, name], member, value));
  return el("section", {}, el("h3", {}, title), el("table", {}, rows));
}

function rowOf(name, names, member, value) {
  const shown = member !== null && typeof member === "object" ? JSON.stringify(member) : member;
  const cell = member !== null && typeof member === "object" ? String(shown) : value(names, shown ?? "");
  return el("tr", {}, el("td", {}, name), el("td", {}, cell));
}

function bodySection(content) {
  const encoded = content?.encoding === "base64";
  const source = content?.text ?? "";
  if (source === "") return null;
  const text = encoded ? format.decodeText(source) : source;
  const pre = el("pre", {});
  const boxes = { pretty: true, decode: true };
  const draw = () => {
    if (!boxes.decode) pre.textContent = encoded ? source : btoa(unescape(encodeURIComponent(source)));
    else if (text === null) pre.textContent = format.hexDump(source);
    else {
      const nice = boxes.pretty ? format.pretty(text) : text;
      pre.replaceChildren(nice !== text || looksJson(nice) ? colour(nice) : nice);
    }
  };
  const box = (name, label) => el("label", {}, el("input", {
    type: "checkbox", checked: true, onchange: (event) => {
      boxes[name] = event.target.checked;
      draw();
    },
  }), ` ${label}`);
  draw();
  const cut = content.truncated ? el("div", { class: "error" }, "Cut: the whole body is in the stream's PCAP.") : null;
  return el("section", {}, el("h3", {}, `Body (${format.bytes(content.size ?? source.length)})`,
    el("span", { class: "controls" }, box("pretty", "pretty"), box("decode", "decode"),
      el("button", { onclick: () => navigator.clipboard?.writeText(text ?? source) }, "Copy"))), cut, pre);
}

const looksJson = (text) => /^[[{]/.test(text.trimStart());

const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const MAX_COLOURED = 100000;

// JSON text as coloured spans.
function colour(text) {
  const out = document.createDocumentFragment();
  if (text.length > MAX_COLOURED) {
    out.append(text);
    return out;
  }
  let at = 0;
  for (const match of text.matchAll(TOKEN)) {
    out.append(text.slice(at, match.index));
    const kind = match[2] ? "key" : match[1] ? "text" : match[3] ? "word" : "num";
    out.append(el("span", { class: kind }, match[1] ?? match[0]));
    if (match[2]) out.append(match[2]);
    at = match.index + match[0].length;
  }
  out.append(text.slice(at));
  return out;
}
