// Clauses to click, for those who do not know the query language: what there is, and a small form.

import * as api from "../lib/api.js";
import { el } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { FAILURES, clause, literal, namesOf, path, valueOf } from "../lib/kfl.js";
import { mayBeOfHttp, othersWith, owned } from "../lib/row-clauses.js";

const USUAL = [
  ["failures", FAILURES, "a status of 500 or more, an error of a database, no answer, a broken connection"],
  ["4xx", "(response.status >= 400 and response.status < 500)", "a mistake of whoever asked"],
  ["slow", "elapsedTime > 1000000", "answers that took more than a second"],
];
const OPERATORS = ["==", "!=", ">", ">=", "<", "<="];
let lists = 0;

export function chips({ onClause }) {
  const kinds = el("span", {});
  const fields = el("datalist", { id: `fields-${lists += 1}` });
  const field = el("input", { list: fields.id, placeholder: "field", "aria-label": "Field", size: 22, oninput: () => {
    field.setCustomValidity("");
    const written = namesOf(field.value.trim()) ?? [];
    name.hidden = !typesOf(written).includes("Map");
    offer(written);
  } });
  // Headers and the like have names that no list knows.
  const name = el("input", { hidden: true, placeholder: "name", "aria-label": "Name in the field", size: 14 });
  // Alone, some names are read as those of HTTP, whichever protocols have them as well.
  const of = el("select", { hidden: true, "aria-label": "Protocol of the field" });
  const operator = el("select", { "aria-label": "Operator" }, OPERATORS.map((one) => el("option", {}, one)));
  const value = el("input", { placeholder: "value", "aria-label": "Value", size: 16 });
  const form = el("form", { hidden: true, onsubmit: (event) => {
    event.preventDefault();
    const written = namesOf(field.value.trim());
    if (!written) {
      field.setCustomValidity('A field is written as request.path or request.headers["Host"]');
      return field.reportValidity();
    }
    const inside = name.hidden ? "" : name.value.trim();
    if (!inside && typesOf(written).every((type) => type === "Map") && !name.hidden) return name.focus();
    if (value.value === "") return value.focus();
    const names = inside ? [...written, inside] : written;
    const given = valueOf(value.value, typesOf(names));
    const text = operator.value === "==" ? clause(names, given) : `${path(names)} ${operator.value} ${literal(given)}`;
    onClause(of.hidden ? text : owned({ macro: of.value }, names, text));
    value.value = "";
  } }, field, name, of, operator, value, el("button", {}, "Add"), fields);
  const more = el("button", { class: "chip", "aria-expanded": "false", onclick: open }, "+ clause");
  const chip = (text, query, title, style) => el("button", { class: "chip", title: `${title ?? ""}\n${query}`.trim(), style, onclick: () => onClause(query) }, text);
  const node = el("div", { class: "chips" }, kinds, USUAL.map(([text, query, title]) => chip(text, query, title)), more, form);
  let known = "";
  // Protocols that were seen, the most frequent one first.
  let protocols = [];
  // Types by path; protocols may differ.
  const types = new Map();

  // What is in a map is text.
  const typesOf = (names) => types.get(path(names)) ?? (types.get(path(names.slice(0, -1)))?.includes("Map") ? ["Text"] : []);
  // Of which protocol a field is, where that must be said; what was chosen stays.
  function offer(names) {
    const others = mayBeOfHttp(names) ? othersWith(protocols, names) : [];
    const all = others.length ? protocols.filter((one) => one.macro === "http" || others.includes(one)) : [];
    const chosen = of.value;
    of.hidden = others.length === 0;
    of.replaceChildren(...all.map(({ abbr, macro }) => el("option", { value: macro }, abbr)));
    if (all.some(({ macro }) => macro === chosen)) of.value = chosen;
  }
  async function open() {
    form.hidden = !form.hidden;
    more.setAttribute("aria-expanded", String(!form.hidden));
    if (form.hidden) return;
    field.focus();
    if (fields.childElementCount) return;
    const all = await api.fields().catch(() => []);
    for (const { path: where, type } of all) types.set(where, [...(types.get(where) ?? []), type]);
    fields.replaceChildren(...all.filter((one) => !/Object|List/.test(one.type)).map((one) => el("option", { value: one.path }, one.doc)));
  }
  return {
    node,
    // Protocols that were seen at a place, by the counts of the run.
    async seen(counts, place) {
      const now = place ? `at ${place}` : Object.keys(counts).join();
      if (now === known) return;
      known = now;
      const found = place === "spool" ? { groups: [] } : await api.groups("", place, "protocol", 20).catch(() => ({ groups: [] }));
      if (now !== known) return;
      protocols = found.groups.map((group) => ({ abbr: group.labels[0], macro: group.protocol }));
      kinds.replaceChildren(...found.groups.map((group) => chip(group.labels[0], group.protocol, `${format.count(group.count)} items`)));
    },
  };
}
