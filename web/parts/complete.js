// The list of proposals below the filter box, driven by the keys of the box.

import { el } from "../lib/dom.js";
import { moved } from "../lib/kfl-edit.js";

const SHOWN = 100;
let lists = 0;

export function proposalList({ onPick }) {
  const id = `proposals-${(lists += 1)}`;
  const node = el("ul", { class: "proposals", id, role: "listbox", "aria-label": "Proposals", hidden: true });
  let proposals = [];
  let chosen = -1;

  const choose = (index) => {
    chosen = index;
    [...node.children].forEach((row, at) => row.setAttribute("aria-selected", String(at === chosen)));
    node.children[chosen]?.scrollIntoView({ block: "nearest" });
  };
  const hide = () => {
    proposals = [];
    chosen = -1;
    node.hidden = true;
    node.replaceChildren();
  };
  const pick = (index) => {
    const proposal = proposals[index];
    hide();
    if (proposal) onPick(proposal);
  };
  return {
    node,
    id,
    hide,
    open: () => !node.hidden,
    active: () => (chosen >= 0 ? `${id}-${chosen}` : ""),
    show(found) {
      proposals = found.slice(0, SHOWN);
      node.hidden = proposals.length === 0;
      node.replaceChildren(...proposals.map((proposal, index) => el("li", {
        id: `${id}-${index}`, role: "option", "aria-selected": "false",
        // Before the box loses the focus.
        onmousedown: (event) => {
          event.preventDefault();
          pick(index);
        },
      }, el("code", {}, proposal.text), el("span", { class: "kind" }, proposal.kind), el("span", { class: "doc" }, proposal.doc))));
      chosen = -1;
    },
    // Whether the key was for the list.
    key(event) {
      if (node.hidden) return false;
      if (["ArrowDown", "ArrowUp"].includes(event.key)) choose(moved(chosen, proposals.length, event.key));
      else if (event.key === "Tab" && !event.shiftKey) pick(Math.max(chosen, 0));
      else if (event.key === "Enter" && chosen >= 0) pick(chosen);
      else if (event.key === "Escape") hide();
      else return false;
      event.preventDefault();
      return true;
    },
  };
}
