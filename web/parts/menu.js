// A button that opens a list of further ones.

import { el } from "../lib/dom.js";

// `items`: nodes, most of them buttons; a click on one closes the list, unless it `stays`.
export function menu(title, items, { stays = false } = {}) {
  const list = el("div", { class: "items" }, items);
  const head = el("summary", {}, title);
  const node = el("details", { class: "menu" }, head, list);
  list.addEventListener("click", (event) => !stays && event.target.closest("button") && close(false));
  node.addEventListener("keydown", (event) => event.key === "Escape" && node.open && close(true));
  document.addEventListener("pointerdown", (event) => node.open && !node.contains(event.target) && close(false));
  function close(focus) {
    node.open = false;
    if (focus) head.focus();
  }
  return node;
}
