// Completion in a text box: what may stand at the cursor, in a list that the keys of the box drive.

import { el } from "../lib/dom.js";
import { applied, moved } from "../lib/kfl-edit.js";

const SHOWN = 100;
const PROPOSE_MS = 120;
let lists = 0;

// Proposes while somebody types in `area`, and with Ctrl+Space. `ask(text, cursor, wanted)` answers with
// {from, proposals: [{text, kind, doc}]}, or null for none; `onShow` is told when the list was drawn.
export function completing({ area, ask, onShow = () => {} }) {
  const list = proposalList({ onPick: insert });
  area.setAttribute("aria-autocomplete", "list");
  area.setAttribute("aria-controls", list.id);
  let from = 0;
  let asked = 0;
  let timer = null;

  function insert(proposal) {
    const made = applied(area.value, area.selectionStart, from, proposal.text);
    area.value = made.text;
    area.setSelectionRange(made.cursor, made.cursor);
    area.removeAttribute("aria-activedescendant");
    area.dispatchEvent(new Event("input"));
  }
  async function propose(wanted) {
    const mine = (asked += 1);
    const found = await Promise.resolve(ask(area.value, area.selectionStart, wanted)).catch(() => null);
    // What was proposed for another text would go to another place.
    if (mine !== asked || document.activeElement !== area) return;
    if (!found) return list.hide();
    from = found.from;
    const there = area.value.slice(from, area.selectionStart);
    list.show(found.proposals.filter((proposal) => proposal.text !== there));
    onShow();
  }
  area.addEventListener("input", () => {
    clearTimeout(timer);
    asked += 1;
    list.hide();
    timer = setTimeout(() => propose(false), PROPOSE_MS);
  });
  area.addEventListener("blur", hide);
  // Also what was asked for and did not come yet.
  function hide() {
    clearTimeout(timer);
    asked += 1;
    list.hide();
  }
  return {
    node: list.node,
    hide,
    // Whether the key was for the list.
    key(event) {
      if (event.key === " " && event.ctrlKey) {
        event.preventDefault();
        propose(true);
        return true;
      }
      const taken = list.key(event);
      const active = list.active();
      if (active) area.setAttribute("aria-activedescendant", active);
      else area.removeAttribute("aria-activedescendant");
      return taken;
    },
  };
}

function proposalList({ onPick }) {
  const id = `proposals-${(lists += 1)}`;
  // What scrolls can be focused; a press on its rim leaves the focus in the box.
  const node = el("ul", { class: "proposals", id, role: "listbox", "aria-label": "Proposals", tabindex: 0, hidden: true, onmousedown: (event) => event.preventDefault() });
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
