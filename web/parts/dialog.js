// Dialogs: a question before something is done, with what will happen in words.

import { el } from "../lib/dom.js";

// Opens a dialog and resolves with true when it was confirmed. `lines` are sentences or nodes.
export function confirm({ title, lines, act, cancel = "Cancel", danger = false }) {
  return new Promise((resolve) => {
    let confirmed = false;
    const dialog = el("dialog", { class: "ask", "aria-label": title, onclose: () => {
      dialog.remove();
      resolve(confirmed);
    } },
    el("h2", {}, title),
    lines.map((line) => (typeof line === "string" ? el("p", {}, line) : line)),
    el("div", { class: "acts" },
      el("button", { onclick: () => dialog.close() }, cancel),
      el("button", { class: danger ? "main danger" : "main", onclick: () => {
        confirmed = true;
        dialog.close();
      } }, act)));
    document.body.append(dialog);
    dialog.showModal();
  });
}

// Offers choices, which are texts; resolves with the one that was taken, or null. Up and Down move among them.
export function pick({ title, choices, none }) {
  return new Promise((resolve) => {
    let taken = null;
    const buttons = choices.map((choice) => el("button", { onclick: () => {
      taken = choice;
      dialog.close();
    } }, choice));
    const move = (event) => {
      const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!by || buttons.length === 0) return;
      event.preventDefault();
      buttons[(buttons.indexOf(document.activeElement) + by + buttons.length) % buttons.length].focus();
    };
    const dialog = el("dialog", { class: "ask pick", "aria-label": title, onkeydown: move, onclose: () => {
      dialog.remove();
      resolve(taken);
    } },
    el("h2", {}, title), buttons.length ? el("div", { class: "choices" }, buttons) : el("p", {}, none),
    el("div", { class: "acts" }, el("button", { onclick: () => dialog.close() }, "Cancel")));
    document.body.append(dialog);
    dialog.showModal();
  });
}

// What a view shows instead of itself: title, what to do next, and a button where there is one.
export function notice(title, sentence, action) {
  return el("div", { class: "empty" }, el("h2", {}, title), el("p", {}, sentence), action ?? null);
}

// The same for an error, told apart by what can be done about it.
export function trouble(error, again) {
  if (error.status === 403) return notice("Your token does not allow this", allowed(error.message));
  if (error.status === 401) return Object.assign(notice("You are signed out", "Reload the page and sign in again.", el("button", { class: "main", onclick: () => location.reload() }, "Reload")), { className: "empty trouble" });
  return Object.assign(notice("This cannot be shown", sentence(error.message), again ? el("button", { onclick: again }, "Try again") : null), { className: "empty trouble" });
}

// Who to ask, unless the server said so.
function allowed(message) {
  return /\bask whoever\b/i.test(message) ? sentence(message) : `${sentence(message)} Ask whoever runs this tapedeck for a token that does.`;
}

// As it stands alone.
function sentence(text) {
  const whole = /[.?!]$/.test(text) ? text : `${text}.`;
  return /^[a-z]+ /.test(whole) ? whole[0].toUpperCase() + whole.slice(1) : whole;
}

export const loading = (what) => el("div", { class: "empty", role: "status" }, `Reading ${what}\u2026`);
