// The audit log: who looked at which payload, downloaded what, changed what.

import * as api from "../lib/api.js";
import { el } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { loading, notice, trouble } from "../parts/dialog.js";
import { sortable } from "../parts/table.js";

const LIMIT = 1000;

export function auditView() {
  const said = el("span", { class: "said", role: "status" });
  const search = el("input", { type: "search", placeholder: "Search", "aria-label": "Search the audit log", oninput: draw });
  const body = el("div", {});
  const table = sortable({
    label: "Audit log", sorted: "at", down: true,
    columns: [
      { name: "at", title: "Time", value: (one) => one.at, cell: (one) => format.rfc(one.at) },
      { name: "who", title: "Who", value: (one) => one.who },
      { name: "role", title: "Role", value: (one) => one.role },
      { name: "from", title: "From", value: (one) => one.from },
      { name: "method", title: "Did", value: (one) => one.method, cell: did },
      { name: "path", title: "What", value: (one) => one.path + one.query, cell: (one) => el("code", {}, `${one.path}${one.query ? `?${decode(one.query)}` : ""}`) },
      { name: "status", title: "Answer", number: true, value: (one) => one.status, cell: (one) => el("span", { class: one.status >= 400 ? "warn" : "" }, String(one.status)) },
    ],
  });
  const node = el("div", { class: "page" }, el("div", { class: "tools" }, search, el("button", { onclick: load }, "Read again"), said), body);
  let found = { entries: [], file: "", more: false };

  async function load() {
    if (!found.entries.length) body.replaceChildren(loading("the audit log"));
    try {
      found = await api.audit(LIMIT);
      draw();
    } catch (error) {
      body.replaceChildren(trouble(error, load));
    }
  }
  function draw() {
    const wanted = search.value.toLowerCase();
    const shown = found.entries.filter((one) => `${one.who} ${one.from} ${one.path} ${decode(one.query)}`.toLowerCase().includes(wanted));
    said.textContent = `${format.count(shown.length)} entries${found.more ? "; older ones are in the file" : ""}: ${found.file}`;
    if (shown.length) {
      table.set(shown);
      body.replaceChildren(table.node);
    } else {
      body.replaceChildren(wanted ? notice("No entry has that", "Search for something else, or read the file itself.") : notice("Nobody looked at a payload yet", "Views of payloads, downloads and changes are noted here."));
    }
  }
  return { node, show: load };
}

function did({ method, path }) {
  if (method !== "GET") return "did";
  return /^\/(pcaps\/download|archive\/object)/.test(path) ? "downloaded" : "looked at";
}

function decode(query) {
  try {
    return decodeURIComponent(query.replaceAll("+", " "));
  } catch {
    return query;
  }
}
