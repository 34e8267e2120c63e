// Where keys lead among the bars of the timeline. Pure.

// The time of the bar that a key leads to from the bar at a time, null for none; null where the key leads nowhere.
export function moved(slots, at, key) {
  const last = slots.length - 1;
  const now = at === null ? -1 : slots.findLastIndex((slot) => slot.at <= at);
  const next = {
    ArrowRight: Math.min(last, now + 1), ArrowLeft: now < 0 ? last : Math.max(0, now - 1), Home: 0, End: last,
  }[key];
  return next === undefined ? null : slots[next]?.at ?? null;
}

// The span of the bars from one time to another, either first, its end left out.
export function spanOf({ width }, one, other) {
  return { from: Math.min(one, other), to: Math.max(one, other) + width };
}
