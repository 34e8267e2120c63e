// What differs between groups of two spans of time. Pure.

const MUCH = 1.5;
// What went well weighs less than what broke.
const WELL = 0.15;

// Groups by their labels, each with both sides, a verdict and a weight: the more it matters, the higher. `cut` says
// of which span only the largest groups are there: what it has not may be among its smaller ones.
export function changes(before, after, beforeMs, afterMs, cut = { before: false, after: false }) {
  const key = (group) => group.labels.join("\n");
  const rated = (group, ms) => (group ? { ...group, rate: group.count / (ms / 60000) } : null);
  const old = new Map(before.map((group) => [key(group), group]));
  const rows = after.map((group) => {
    const earlier = old.get(key(group));
    old.delete(key(group));
    return judge(group, rated(earlier, beforeMs), rated(group, afterMs), cut);
  });
  for (const group of old.values()) rows.push(judge(group, rated(group, beforeMs), null, cut));
  return rows;
}

function judge({ labels, protocol, clauses }, before, after, cut) {
  const bad = (one) => (one ? one.bad / one.count : 0);
  const failed = bad(after) - bad(before);
  const ratio = (name) => (before?.[name] > 0 && after?.[name] > 0 ? after[name] / before[name] : 1);
  const row = { labels, protocol, clauses, before, after, failed, rate: (after?.rate ?? 0) - (before?.rate ?? 0), p50: (after?.p50 ?? 0) - (before?.p50 ?? 0), p99: (after?.p99 ?? 0) - (before?.p99 ?? 0) };
  const slow = Math.max(ratio("p50"), ratio("p99"));
  const fast = Math.min(ratio("p50"), ratio("p99"));
  const share = Math.log1p((before?.count ?? 0) + (after?.count ?? 0));
  const broken = share * (1 + failed * 10);
  if (!before && cut.before) return { ...row, verdict: "unknown", weight: share * failed * 10 };
  if (!after && cut.after) return { ...row, verdict: "unknown", weight: 0 };
  if (!before) return { ...row, verdict: failed > 0.01 ? "appeared, failing" : "appeared", weight: broken };
  if (!after) return { ...row, verdict: "vanished", weight: share };
  if (failed > 0.01) return { ...row, verdict: "worse", weight: broken };
  if (failed < -0.01) return { ...row, verdict: "better", weight: share * (1 - failed * 5) * WELL };
  if (slow >= MUCH) return { ...row, verdict: "slower", weight: share * Math.log2(slow) };
  if (fast <= 1 / MUCH) return { ...row, verdict: "faster", weight: share * -Math.log2(fast) * WELL };
  const rate = after.rate / before.rate;
  if (rate >= MUCH || rate <= 1 / MUCH) return { ...row, verdict: rate > 1 ? "more" : "fewer", weight: share * Math.abs(Math.log2(rate)) * 0.5 };
  return { ...row, verdict: "same", weight: 0 };
}
