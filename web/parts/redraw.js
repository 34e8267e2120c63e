// Draws rows anew while somebody is at one of their buttons: the button in the same place has the focus then.

import { whenFree } from "./pressing.js";

export function redraw(where, rows) {
  whenFree(where, () => {
    const focused = document.activeElement;
    const row = [...where.children].findIndex((one) => one.contains(focused));
    const button = row < 0 ? -1 : [...where.children[row].querySelectorAll("button")].indexOf(focused);
    where.replaceChildren(...rows);
    if (button >= 0) rows[row]?.querySelectorAll("button")[button]?.focus({ preventScroll: true });
  });
}
