// Makes DOM out of data. Text goes in as text, never as markup, and what would turn it around is shown instead.

import { visible } from "./bidi.js";

// What is read, and not what is computed with.
const READ = ["title", "aria-label", "aria-description", "alt", "placeholder"];
// What holds text to be edited, chosen or copied has it as it is.
const EXACT = ["textarea", "option"];

export function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (key === "class") node.className = value;
    else if (key === "style") Object.assign(node.style, value);
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : READ.includes(key) ? visible(String(value)) : value);
  }
  const shown = children.flat().filter((child) => child !== null && child !== undefined && child !== false);
  node.append(...shown.map((child) => (typeof child === "string" && !EXACT.includes(name) ? visible(child) : child)));
  return node;
}

// Values beside one another, none of which decides where another one stands.
export function apart(...texts) {
  return texts.filter((text) => text !== "").flatMap((text, at) => [at ? " " : "", el("bdi", {}, text)]);
}
