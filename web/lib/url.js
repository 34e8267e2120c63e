// The state that a link carries: source and the place of what is listed, view, filter with its time, selected item, tab. No secret is ever in it.

export function read() {
  const params = new URLSearchParams(location.search);
  return Object.fromEntries(["source", "place", "q", "view", "by", "item", "tab", "tz"].map((name) => [name, params.get(name)]));
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

export function write(state) {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(state)) {
    if (value !== null && value !== undefined && value !== "") params.set(key, value);
  }
  const query = params.toString();
  history.replaceState(null, "", query ? `?${query}` : location.pathname);
}
