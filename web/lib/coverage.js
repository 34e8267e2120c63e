// Coverage as the timeline shades it. Pure.

// Reasons by what they mean to somebody who misses an item.
const LEFT_OUT = new Set(["recording_limit", "prefilter", "not_targeted", "recording_refused"]);
const NAMES = {
  kernel_dropped: "dropped by the kernel", interface_dropped: "dropped by the interface", not_dissected: "not dissected in time",
  memory_short: "not dissected because memory was short",
  spool_not_written: "not written to the spool", spool_overwritten: "overwritten in the spool", recording_limit: "beyond the limit of a recording's day",
  not_targeted: "of pods that are not targeted", targets_unknown: "thrown away before the hub said which pods are captured",
  targets_awaited: "waiting for the hub to say which pods are captured", outbox_dropped: "dropped because the outbox was full",
  recording_not_written: "that a recording could not write", look_back_overwritten: "overwritten in the spool before a recording had copied them",
};

export const reason = (why) => NAMES[why] ?? why.replaceAll("_", " ");

const span = ({ from, to }) => ({ from: Date.parse(from), to: Date.parse(to) });
const sound = ({ from, to }) => from <= to;

// {captured, lost, left, reels} with times in milliseconds; captured spans are joined and in order, and the
// last one of a live run goes on.
export function read({ captured, lost, reels }, live = false) {
  const joined = [];
  for (const one of captured.map(span).filter(sound).sort((a, b) => a.from - b.from)) {
    const last = joined.at(-1);
    if (last && one.from <= last.to + 1000) last.to = Math.max(last.to, one.to);
    else joined.push(one);
  }
  if (live && joined.length) joined.at(-1).to = Infinity;
  const losses = lost.map((one) => ({ ...span(one), why: one.why, packets: one.packets })).filter(sound);
  return {
    captured: joined,
    lost: losses.filter((one) => !LEFT_OUT.has(one.why)),
    left: losses.filter((one) => LEFT_OUT.has(one.why)),
    reels: reels.map((one) => ({ ...span(one), recording: one.recording, sealed: Date.parse(one.sealed), uploaded: Date.parse(one.uploaded), bytes: one.bytes })).filter(sound),
  };
}

// Parts of from..to that no captured span covers; none when nothing is known.
export function gaps(captured, from, to) {
  if (captured.length === 0) return [];
  const found = [];
  let at = from;
  for (const one of captured) {
    if (one.from > at) found.push({ from: at, to: Math.min(one.from, to) });
    at = Math.max(at, one.to);
    if (at >= to) break;
  }
  if (at < to) found.push({ from: at, to });
  return found.filter((one) => one.from < one.to);
}

// Sentences about a moment, or about all of from..to.
export function told(cover, from, to) {
  const within = (one) => one.from < to && one.to >= from;
  const lines = [];
  if (gaps(cover.captured, from, to).some((gap) => gap.to - gap.from > (to - from) / 2)) lines.push("not captured");
  const sums = new Map();
  for (const one of [...cover.lost, ...cover.left].filter(within)) sums.set(one.why, (sums.get(one.why) ?? 0) + one.packets);
  for (const [why, packets] of sums) lines.push(`${packets.toLocaleString("en-US")} packets ${reason(why)}`);
  const reels = cover.reels.filter(within);
  if (reels.length) lines.push(`${reels.length} ${reels.length === 1 ? "reel" : "reels"} of ${[...new Set(reels.map((one) => one.recording))].join(", ")}`);
  return lines;
}
