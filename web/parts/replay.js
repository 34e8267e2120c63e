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
  const sure = await confirm({
    title: `Send this to ${shown.to}?`, act: "Send it", danger: true,
    lines: [`These ${format.count(shown.bytes)} bytes go from the machine that tapedeck runs on to ${shown.to}, with the credentials that were recorded. What it does there cannot be taken back, and it is noted in the audit log.`,
      el("pre", { tabindex: 0 }, shown.text)],
  });
  if (!sure) return;
  try {
    const answer = await api.replay(number, shown.sha256);
    await say(`${shown.to} answered after ${format.took(answer.took)}`, [el("pre", { tabindex: 0 }, answer.text || "(nothing)"), answer.cut ? "There was more; it was not read." : ""]);
  } catch (error) {
    await say("It was not sent", [error.message]);
  }
}

const say = (title, lines) => confirm({ title, lines: lines.filter(Boolean), act: "Close", cancel: "Back" });
