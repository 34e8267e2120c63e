// Where the pointer is pressed: a button that goes away between press and release is not clicked.

let pressed = null;
// By node, what is drawn in it once it is released.
const waiting = new Map();

function release() {
  pressed = null;
  const due = [...waiting.values()];
  waiting.clear();
  for (const act of due) act();
}
addEventListener("pointerdown", (event) => { pressed = event.target; }, true);
// The click comes after this.
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => setTimeout(release), true);
// Of a release outside the page, or at a scroll bar, nothing is heard.
addEventListener("pointermove", (event) => pressed && event.buttons === 0 && release(), true);

// Whether the pointer is pressed on something in `node`.
export const isPressed = (node) => pressed !== null && pressed !== node && node.contains(pressed);

// Calls `act`, which draws `node`, as soon as nothing in it is pressed; of several that wait the last.
export function whenReleased(node, act) {
  if (isPressed(node)) waiting.set(node, act);
  else act();
}
