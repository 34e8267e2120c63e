// The state that a link carries: filter and selected item. No secret is ever in it.

export function read() {
  const params = new URLSearchParams(location.search);
  return { q: params.get("q"), item: params.get("item"), tab: params.get("tab") };
}

export function write(state) {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(state)) {
    if (value !== null && value !== undefined && value !== "") params.set(key, value);
  }
  const query = params.toString();
  history.replaceState(null, "", query ? `?${query}` : location.pathname);
}
