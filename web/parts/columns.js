// The dialog that chooses and orders the columns of the list.

import { COLUMNS, choose, chosen, moved } from "../lib/columns.js";
import { el } from "../lib/dom.js";

export function columnsDialog({ onChange }) {
  const rows = el("ul", { class: "columns" });
  const node = el("dialog", { "aria-label": "Columns" }, el("h2", {}, "Columns"), rows,
    el("div", { class: "acts" }, el("button", { onclick: () => keep(null) }, "As usual"), el("button", { class: "main", onclick: () => node.close() }, "Close")));

  function keep(names) {
    choose(window.localStorage, names);
    onChange(chosen(window.localStorage));
    draw();
  }
  function draw(focused) {
    const names = chosen(window.localStorage);
    const others = COLUMNS.map((column) => column.name).filter((name) => !names.includes(name));
    const button = (name, by, text, disabled) => el("button", {
      disabled, "aria-label": `Move ${title(name)} ${by < 0 ? "to the left" : "to the right"}`, "data-move": `${name}${by}`, onclick: () => {
        keep(moved(names, name, by));
        rows.querySelector(`[data-move="${name}${by}"]`)?.focus();
      },
    }, text);
    rows.replaceChildren(...[...names, ...others].map((name) => {
      const at = names.indexOf(name);
      const box = el("input", { type: "checkbox", "data-name": name, checked: at >= 0, disabled: at >= 0 && names.length === 1, onchange: () => {
        keep(at >= 0 ? names.filter((one) => one !== name) : [...names, name]);
        rows.querySelector(`input[data-name="${name}"]`)?.focus();
      } });
      return el("li", {}, el("label", {}, box, ` ${title(name)}`), at >= 0 ? [button(name, -1, "\u2191", at === 0), button(name, 1, "\u2193", at === names.length - 1)] : null);
    }));
    if (focused) rows.querySelector("input")?.focus();
  }
  return {
    node,
    open() {
      draw(true);
      node.showModal();
    },
  };
}

const title = (name) => COLUMNS.find((column) => column.name === name).title;
