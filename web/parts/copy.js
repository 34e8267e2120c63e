// Copying: over HTTP from another address the browser has no clipboard for pages, and the text is shown selected.

import { el } from "../lib/dom.js";

const COPIED_MS = 900;

// Whether a text was copied; where it was not, it is there to be copied by hand.
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return byHand(text);
  }
}

function byHand(text) {
  const area = el("textarea", { class: "code", rows: 6, readonly: true, "aria-label": "Text to copy" });
  area.value = text;
  const dialog = el("dialog", { class: "ask", "aria-label": "Copy", onclose: () => dialog.remove() },
    el("h2", {}, "Copy"), el("p", {}, "The browser lets this page copy nothing by itself, as over HTTP without TLS. The text is selected: Ctrl+C copies it, or Command+C."), area,
    el("div", { class: "acts" }, el("button", { onclick: () => dialog.close() }, "Close")));
  document.body.append(dialog);
  dialog.showModal();
  area.focus();
  area.select();
  // The older way, which many browsers allow after a click.
  if (!document.execCommand("copy")) return false;
  dialog.close();
  return true;
}

// A button that copies a text, and says that it did. `text` may be a function.
export function copyButton(text, attributes = { class: "copy", "aria-label": "Copy", title: "Copy" }, label = "\u29c9") {
  const button = el("button", { ...attributes, onclick: async () => {
    if (!(await copy(typeof text === "function" ? text() : text))) return;
    button.textContent = "\u2713";
    setTimeout(() => { button.textContent = label; }, COPIED_MS);
  } }, label);
  return button;
}
