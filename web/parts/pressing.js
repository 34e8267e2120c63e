// Where the pointer is pressed, and where text is selected: a button that goes away between press and release is not
// clicked, and text that is drawn anew is no longer selected.

const HELD = "Stays as it is while text in it is selected";

let pressed = null;
// By node, what is drawn in it once nothing keeps it, and what may keep it.
const waiting = new Map();

// Whether the pointer is pressed on something in `node`.
export const isPressed = (node) => pressed !== null && pressed !== node && node.contains(pressed);

// Whether text in `node` is selected.
export function isSelected(node) {
  const { isCollapsed, anchorNode, focusNode } = getSelection();
  return !isCollapsed && (node.contains(anchorNode) || node.contains(focusNode));
}

function goOn() {
  for (const [node, { act, keeps }] of [...waiting]) {
    if (keeps(node)) continue;
    waiting.delete(node);
    hold(node, false);
    act();
  }
}
function release() {
  pressed = null;
  goOn();
}
addEventListener("pointerdown", (event) => { pressed = event.target; }, true);
// The click comes after this.
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => setTimeout(release), true);
// Of a release outside the page, or at a scroll bar, nothing is heard.
addEventListener("pointermove", (event) => pressed && event.buttons === 0 && release(), true);
document.addEventListener("selectionchange", () => waiting.size > 0 && setTimeout(goOn));

// Says of a node that it stands still.
function hold(node, on) {
  node.classList.toggle("held", on);
  if (on) node.title = HELD;
  else node.removeAttribute("title");
}

// Calls `act`, which draws `node`, as soon as nothing in it is pressed; of several that wait the last.
export const whenReleased = (node, act) => when(node, act, isPressed);

// The same, and as soon as no text in it is selected.
export function whenFree(node, act) {
  when(node, act, (one) => isPressed(one) || isSelected(one));
  if (waiting.has(node) && isSelected(node)) hold(node, true);
}

function when(node, act, keeps) {
  if (keeps(node)) return waiting.set(node, { act, keeps });
  waiting.delete(node);
  return act();
}
