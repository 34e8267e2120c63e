// The state that a link carries: source and the place of what is listed, view, filter with its time, selected item, tab, and what the view alone knows. No secret is ever in it.

// What a view keeps beside that, in links that lead to it.
const OF_VIEWS = { traffic: ["sort"], compare: ["spans", "compare"], map: ["nodes", "labels"], flows: ["flow"], archive: ["store", "day"], scripts: ["script"] };

// That of all views.
export const ofViews = (state) => pick(state, Object.values(OF_VIEWS).flat());
// That of the view that is shown.
export const ofView = (state) => pick(state, OF_VIEWS[state.view] ?? []);
// What an entry of the history, or a link, is about; nothing of views that it does not lead to.
export const about = (entry) => {
  const view = entry.view ?? "traffic";
  return { ...pick(entry, ["item", "at", "tab", "by"]), ...ofView({ ...entry, view }), q: entry.q ?? "", view, place: entry.place ?? "" };
};
const pick = (state, names) => Object.fromEntries(names.map((name) => [name, state[name] ?? null]));

// The order of a list in a link: a column, or a minus and a column whose largest come first. Null where it is none of them.
export const orderText = ({ by, down }) => `${down ? "-" : ""}${by}`;
export function orderOf(text, columns) {
  const by = (text ?? "").replace(/^-/, "");
  return columns.includes(by) ? { by, down: text.startsWith("-") } : null;
}

// Spans of time in a link: 1704164645006-1704164646006,1704164646006-1704164647006. Null where it is none.
export const spansText = (spans) => spans.map((span) => span.join("-")).join(",");
export function spansOf(text) {
  const found = /^(\d{1,15})-(\d{1,15}),(\d{1,15})-(\d{1,15})$/.exec(text ?? "");
  if (!found) return null;
  const [a, b, c, d] = found.slice(1).map(Number);
  return [[a, b], [c, d]];
}

export function read() {
  const params = new URLSearchParams(location.search);
  return { madeFor: history.state?.madeFor ?? null, ...Object.fromEntries(["source", "place", "q", "view", "by", "item", "at", "tab", "tz", ...Object.values(OF_VIEWS).flat()].map((name) => [name, params.get(name)])) };
}

// The link that somebody opened before signing in elsewhere, once.
export function comeBack() {
  try {
    const search = sessionStorage.getItem("tapedeck.link");
    sessionStorage.removeItem("tapedeck.link");
    if (search && !location.search) history.replaceState(null, "", search);
  } catch {
    // A forbidden storage costs the link.
  }
}

// What somebody did last, and what the newest entry of the history is of: each deed makes one entry at most.
let done = 0;
let entered = 0;
let isKey = false;
// What Back leads to; tabs and clocks are none of it.
const LED_TO = ["q", "view", "place", "item"];

// Counts what somebody does from here on; `onBack` is told the state of an entry that was gone back to.
export function follow(onBack) {
  for (const name of ["keydown", "mouseup", "click", "change"]) {
    addEventListener(name, () => {
      done += 1;
      isKey = name === "keydown";
    }, true);
  }
  addEventListener("popstate", ({ state }) => {
    if (!state) return;
    entered = done;
    onBack(state);
  });
}

// Whether a state is worth an entry behind the one before; arrow keys go from item to item without one.
export function leads(before, now, byKey) {
  const other = LED_TO.filter((name) => (before?.[name] || null) !== (now[name] || null));
  if (!before || other.length === 0) return false;
  return !(byKey && other.length === 1 && other[0] === "item" && before.item && now.item);
}

// The source that a link was made for, where that is not what is open: an entry of the history keeps it when the page is loaded again.
let madeFor = null;

export function keepMadeFor(source) {
  madeFor = source;
  history.replaceState({ ...history.state, madeFor }, "");
}

export function write(state) {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(state)) {
    if (value !== null && value !== undefined && value !== "") params.set(key, value);
  }
  const query = params.toString();
  const isNew = entered !== done && leads(history.state, state, isKey);
  if (isNew) entered = done;
  try {
    history[isNew ? "pushState" : "replaceState"]({ ...state, madeFor }, "", query ? `?${query}` : location.pathname);
  } catch {
    // A browser that is told too often takes a later one.
  }
}
