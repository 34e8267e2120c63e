// The largest values of a column among more rows than a page holds: by the lowest bound that leaves few enough. Pure.

// Columns that the query language bounds from below, as the list has their values.
export const BOUNDS = {
  took: (millis) => `elapsedTime >= ${millis * 1000}`,
  size: (bytes) => `size >= ${bytes}`,
};

const HIGHEST = 2 ** 50;
// A bound is near enough when it is off by so small a part of itself.
const NEAR = 1 / 16;

// The lowest whole bound that `most` values reach at most, and how many do; `count` tells how many reach a bound.
// Null where all of them are few enough, and where too many share the largest value.
export async function boundFor(most, count) {
  let [low, high, left] = [0, 1, 0];
  if (await count(low) <= most) return null;
  while ((left = await count(high)) > most) {
    if (high >= HIGHEST) return null;
    low = high;
    high *= 2;
  }
  while (high - low > 1 && (left === 0 || high - low > high * NEAR)) {
    const middle = Math.floor((low + high) / 2);
    const reached = await count(middle);
    if (reached > most) low = middle;
    else [high, left] = [middle, reached];
  }
  return left > 0 ? { bound: high, count: left } : null;
}
