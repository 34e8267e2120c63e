// Scrolling over more rows than an element can be high. Pure.
//
// Browsers cut elements off somewhere above 16 million pixels. Beyond `MOST`, the element stays that
// high: small moves of its bar move the view by as many pixels, large ones by their share of the whole.

export const MOST = 8_000_000;

export function scroller() {
  let whole = 0;
  let view = 0;
  let seen = 0;
  let bar = 0;

  const room = () => Math.max(0, whole - view);
  const barRoom = () => Math.max(0, Math.min(whole, MOST) - view);
  const clamp = (at) => Math.min(room(), Math.max(0, at));
  const share = () => (whole <= MOST ? seen : room() === 0 ? 0 : (seen / room()) * barRoom());

  return {
    // Height of the element.
    height: () => Math.min(whole, MOST),
    // First pixel that is seen, of all.
    top: () => seen,
    // Where a row whose first pixel is `at` stands in the element.
    place: (at) => bar + (at - seen),
    // Sizes in pixels; the view stays where it is as far as it can.
    size(wholeNow, viewNow) {
      whole = wholeNow;
      view = viewNow;
      seen = clamp(seen);
      if (whole <= MOST) bar = seen;
      else bar = Math.min(barRoom(), Math.max(0, bar));
    },
    // The bar was moved to `to`; answers where it is to be set, null when it may stay.
    moved(to) {
      const by = to - bar;
      if (whole <= MOST) seen = clamp(to);
      else if (Math.abs(by) <= view * 2) seen = clamp(seen + by);
      else seen = clamp(barRoom() === 0 ? 0 : (to / barRoom()) * room());
      // The last pixels of the bar stand for more than one of the list.
      if (whole > MOST && to <= 0 && seen < view) seen = 0;
      if (whole > MOST && to >= barRoom() && room() - seen < view) seen = room();
      bar = to;
      // At an end of its way although there is more to see, or the other way round.
      const stuck = whole > MOST && ((to < view && seen > to) || (to > barRoom() - view && room() - seen > barRoom() - to) || seen === 0 || seen === room());
      if (!stuck || Math.abs(share() - to) < 1) return null;
      bar = share();
      return bar;
    },
    // Goes to a pixel of the whole; answers where the bar is to be set.
    go(at) {
      seen = clamp(at);
      bar = share();
      return bar;
    },
  };
}
