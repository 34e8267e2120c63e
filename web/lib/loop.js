// The line from a node of the map to itself: a bow above it on the right, with its label over the bow. Pure.

// Pixels above the node's rim that bow and label take.
export const ABOVE_RIM = 36;

// Pixels before the rim at which the line ends, so that its arrow touches the node.
export const GAP = 6;

// The bow of a node at `x`, `y` with radius `r`: points of a cubic curve, from the top of the node to its right.
export function bow({ x, y, r }) {
  const top = y - r;
  return [[x, top], [x + 30, top - 34], [x + 44, top + 10], [x + r + GAP, y]];
}

// The bow as a path, and where the middle of its label's base line stands.
export function loop(node) {
  const [from, ...points] = bow(node);
  return { d: `M${from} C${points.join(" ")}`, label: { x: node.x + 22, y: node.y - node.r - 23 } };
}
