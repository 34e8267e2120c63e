// Editing KFL text: where a proposal goes. Pure.

// The text with a proposal in its place, and where the cursor stands then.
export function applied(text, cursor, from, proposal) {
  const front = text.slice(0, from) + proposal;
  return { text: front + text.slice(cursor), cursor: front.length };
}

// The index of the proposal that a key leads to; wraps around.
export function moved(index, count, key) {
  if (count === 0) return -1;
  if (key === "ArrowDown") return (index + 1) % count;
  if (key === "ArrowUp") return (index <= 0 ? count : index) - 1;
  if (key === "Home") return 0;
  if (key === "End") return count - 1;
  return index;
}
