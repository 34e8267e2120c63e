// Sends a recorded request once more, after a confirmation that shows its very bytes and where they go.

import * as api from "../lib/api.js";
import { el } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { confirm } from "./dialog.js";

export async function replay(number) {
  let shown;
  try {
    shown = await api.replayShown(number);
  } catch (error) {
    await say("This request cannot be sent again", [error.message]);
    return;
  }
  const pace = paceFields();
  const sure = await confirm({
    title: `Send this to ${shown.to}?`, act: "Send it", danger: true,
    lines: [`These ${format.count(shown.bytes)} bytes go from the machine that tapedeck runs on to ${shown.to}, with the credentials that were recorded. What it does there cannot be taken back, and it is noted in the audit log.`,
      el("pre", { tabindex: 0 }, shown.text), pace.node],
  });
  if (!sure) return;
  try {
    const answer = await api.replay(number, shown.sha256, pace.read());
    const statuses = Object.entries(answer.statuses).map(([status, count]) => `${format.count(count)} with ${status}`).join(", ");
    const all = answer.sent > 1 ? `It was sent ${format.count(answer.sent)} times: ${statuses || "no answer"}${answer.failed ? `, ${format.count(answer.failed)} not answered` : ""}. The first answer:` : "";
    await say(`${shown.to} answered after ${format.took(answer.took)}`, [all, el("pre", { tabindex: 0 }, answer.text || "(nothing)"), answer.cut ? "There was more; it was not read." : ""]);
  } catch (error) {
    await say("It was not sent", [error.message]);
  }
}

// How often it is sent.
function paceFields() {
  const number = (label, value, max) => {
    const input = el("input", { type: "number", min: 1, max, value, "aria-label": label });
    return [input, el("label", {}, `${label} `, input)];
  };
  const [count, countField] = number("Times", 1, 1000);
  const [delay, delayField] = number("Microseconds between two", 100, 10000000);
  const concurrent = el("input", { type: "checkbox" });
  return {
    node: el("p", { class: "pace" }, countField, " ", delayField, " ", el("label", {}, concurrent, " several at once")),
    read: () => ({ count: Number(count.value) || 1, delay: Number(delay.value) || 0, concurrent: concurrent.checked }),
  };
}

const say = (title, lines) => confirm({ title, lines: lines.filter(Boolean), act: "Close", cancel: "Back" });
