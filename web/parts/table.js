// A table whose columns sort: [{name, title, value: (row) => what is compared, cell: (row) => what is shown, number, whole: not broken, wide: has room
// in narrow windows, hint: what the title means}].
// With `key`, a text of each row, whoever is in the table with the keys stays there when rows change.

import { el } from "../lib/dom.js";
import { isSelected, whenFree } from "./pressing.js";

export function sortable({ columns, sorted, down: first, onRow, label, key }) {
  const node = el("table", { class: "grid", "aria-label": label });
  let by = sorted;
  let down = first ?? true;
  let rows = [];

  const focusable = () => node.querySelectorAll("thead button, tbody tr");
  const draw = () => {
    const column = columns.find((one) => one.name === by);
    const order = [...rows].sort((a, b) => compare(column.value(a), column.value(b)) * (down ? -1 : 1));
    node.replaceChildren(
      el("thead", {}, el("tr", {}, columns.map((one) => el("th", {
        class: one.number ? "number" : "", "aria-sort": one.name === by ? (down ? "descending" : "ascending") : "none",
      }, el("button", { "data-key": `by ${one.name}`, title: one.hint ?? null, onclick: () => sort(one) }, one.title, one.name === by ? (down ? " \u2193" : " \u2191") : ""))))),
      el("tbody", {}, order.map((row) => el("tr", onRow ? {
        tabindex: 0, class: "leads", "data-key": key?.(row), onclick: ({ currentTarget }) => !isSelected(currentTarget) && onRow(row), onkeydown: (event) => event.key === "Enter" && onRow(row),
      } : {}, columns.map((one) => el("td", { class: ["number", "whole", "wide"].find((name) => one[name]) ?? "" }, one.cell ? one.cell(row) : one.value(row)))))));
  };
  const sort = (column) => {
    down = column.name === by ? !down : Boolean(column.number);
    by = column.name;
    draw();
    node.querySelector(`th[aria-sort]:not([aria-sort="none"]) button`)?.focus();
  };
  return {
    node,
    set(all) {
      rows = all;
      whenFree(node, () => {
        const focused = key && node.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
        draw();
        if (focused !== undefined) [...focusable()].find((one) => one.dataset.key === focused)?.focus({ preventScroll: true });
      });
    },
  };
}

function compare(a, b) {
  if (typeof a === "number" || typeof b === "number") return (a ?? -1) - (b ?? -1);
  return String(a ?? "").localeCompare(String(b ?? ""));
}
