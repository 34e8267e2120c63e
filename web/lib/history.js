// Filters of before and filters with a name, kept in this browser.

const MAX_BEFORE = 30;
const KEY = "tapedeck.filters";

function read(storage) {
  try {
    const kept = JSON.parse(storage.getItem(KEY) ?? "{}");
    return { before: Array.isArray(kept.before) ? kept.before : [], named: kept.named && typeof kept.named === "object" ? kept.named : {} };
  } catch {
    return { before: [], named: {} };
  }
}

function write(storage, kept) {
  try {
    storage.setItem(KEY, JSON.stringify(kept));
  } catch {
    // A full or forbidden storage costs the history, nothing else.
  }
}

export function filters(storage) {
  return {
    all: () => read(storage),
    used(query) {
      if (query.trim() === "") return;
      const kept = read(storage);
      kept.before = [query, ...kept.before.filter((one) => one !== query)].slice(0, MAX_BEFORE);
      write(storage, kept);
    },
    name(name, query) {
      const kept = read(storage);
      kept.named[name] = query;
      write(storage, kept);
    },
    forget(name) {
      const kept = read(storage);
      delete kept.named[name];
      write(storage, kept);
    },
  };
}
