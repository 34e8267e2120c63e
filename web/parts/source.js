// What is looked at: the name of the source, and in a live run the places whose items can be listed by themselves.

import * as api from "../lib/api.js";
import { el } from "../lib/dom.js";

const AGAIN_MS = 10000;

// `onPlace` is told the place that was chosen: empty for the live run itself, spool, or a store.
export function sourceMenu({ onPlace }) {
  const name = el("span", { class: "source" });
  const select = el("select", { class: "source", "aria-label": "Source", hidden: true, onchange: () => onPlace(select.value) });
  const node = el("span", { class: "sources" }, name, select);
  let shown = null;
  let stores = null;
  let place = "";

  function draw(run) {
    const places = run.live && stores ? [["", run.source], ["spool", "spools: what memory has not"], ...stores.map((store) => [store, store])] : [];
    // A link may name a store that is not recorded to any more.
    if (place && places.length && !places.some(([value]) => value === place)) places.push([place, place]);
    const text = JSON.stringify([run.source, places]);
    if (text === shown) return;
    shown = text;
    name.textContent = name.title = run.source ?? "";
    name.hidden = places.length > 0;
    select.hidden = places.length === 0;
    select.replaceChildren(...places.map(([value, title]) => el("option", { value }, title)));
    select.value = place;
  }
  return {
    node,
    show: draw,
    // The place that is listed now.
    set(now) {
      place = now;
      select.value = now;
    },
    // Reads which stores there are, now and from time to time.
    async load(run) {
      try {
        stores = (await api.stores()).stores;
        const known = run();
        if (known) draw(known);
      } catch {
        // Without the stores the name stands there.
      }
      setTimeout(() => this.load(run), AGAIN_MS);
    },
  };
}
