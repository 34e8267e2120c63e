// The scale of latencies beside the timeline: as wide below a millisecond as linear, logarithmic above. Pure.

// Milliseconds that the top of the scale is at; a few are not drawn as if they were many.
export const topOf = (most) => Math.max(10, (most ?? 0) * 1.2);

// Below zero, so that a line at zero stands clear of the axis.
export const BOTTOM = -0.3;

// Where a value stands, from 0 at the bottom to 1 at the top.
const place = (millis, top) => (Math.asinh(millis) - Math.asinh(BOTTOM)) / (Math.asinh(top) - Math.asinh(BOTTOM));

// Where values without one beside them stand, which no line leads to.
export const alone = (values) => values.map((_, at) => at).filter((at) => known(values[at]) && !known(values[at - 1]) && !known(values[at + 1]));
const known = (value) => value !== null && value !== undefined;

// Milliseconds to write beside the scale, rising, at least `apart` of `height` pixels from one to the next: zero, powers
// of ten from the highest on, then what stands between them.
export function ticks(top, height, apart) {
  const powers = Array.from({ length: Math.floor(Math.log10(top)) + 1 }, (_, exponent) => 10 ** exponent).reverse();
  const taken = [0];
  for (const one of [...powers, ...[5, 2].flatMap((times) => powers.map((power) => power * times))]) {
    if (one <= top && taken.every((other) => Math.abs(place(one, top) - place(other, top)) * height >= apart)) taken.push(one);
  }
  return taken.sort((a, b) => a - b);
}
