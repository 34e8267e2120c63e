// The only place that speaks to the server.

// What the server refused, with its status: 403 is a missing role, 409 a conflict, 0 silence.
export class Refused extends Error {
  constructor(sentence, status) {
    super(sentence);
    this.status = status;
  }
}

async function ask(path, { method = "GET", body, text = false, signal } = {}) {
  let response;
  let said;
  try {
    response = await fetch(path, { method, body, signal, credentials: "same-origin" });
    said = await response.text();
  } catch {
    throw new Refused("tapedeck does not answer; is it still running?", 0);
  }
  if (response.ok && text) return said;
  let answer = null;
  try {
    answer = JSON.parse(said);
  } catch {
    answer = { error: said };
  }
  if (!response.ok) throw new Refused(answer.error || `the server answered ${response.status}`, response.status);
  return answer;
}

const post = (path, body) => ask(path, { method: "POST", body });

// Parameters of a query; what is null or undefined is left out, and a place that is empty: `place` is the store
// that is meant, see /archive/stores, and none is what is open.
function query(path, { place, ...parameters }) {
  const given = Object.entries({ ...parameters, place: place || null }).filter(([, value]) => value !== null && value !== undefined);
  return `/api/v1${path}${given.length ? `?${new URLSearchParams(given)}` : ""}`;
}

// What is asked again and again is not waited for longer than this.
const SOON_MS = 10000;

export const session = () => ask("/api/v1/session");
export const signOut = () => ask("/signout", { method: "POST", text: true });
export const columns = () => ask("/api/v1/columns");
export const targeted = () => ask("/api/v1/targets");
export const target = (wanted) => post("/api/v1/targets", JSON.stringify(wanted));
export const matchesLink = (q, place) => query("/pcaps/matching", { q, place });
export const audit = (limit) => ask(query("/audit", { limit }));
export const coverage = (place, signal) => ask(query("/coverage", { place }), { signal });
export const narrowed = (q, clause) => ask(query("/query/narrow", { q, clause }));
export const recordings = () => ask("/api/v1/recordings");
// Of what is open here, or of a store.
export const backtest = (q, store) => ask(query("/recordings/backtest", { q, store: store || null }));
export const addRecording = (declared) => post("/api/v1/recordings/add", JSON.stringify(declared));
export const removeRecording = (name) => post(query("/recordings/remove", { name }));
export const sealRecording = (name) => post(query("/recordings/seal", { name }));
export const scriptFiles = () => ask("/api/v1/scripts/files");
export const scriptSource = (path) => ask(query("/scripts/source", { path }));
export const scriptTypes = () => ask("/api/v1/scripts/tapedeck.d.ts", { text: true });
export const checkScript = (path, code) => post(query("/scripts/check", { path }), code);
export const saveScript = (path, sha256, code) => post(query("/scripts/save", { path, sha256 }), code);
export const removeScript = (path, sha256) => post(query("/scripts/remove", { path, sha256 }));
export const switchScript = (path, on) => post(query("/scripts/switch", { path, on }));
export const stores = () => ask("/api/v1/archive/stores");
export const archiveDays = (store) => ask(query("/archive/days", { store }));
// Reels of a day whose names hold each word of `find`, behind the cursor `after`.
export const reels = (store, day, find, after) => ask(query("/archive/reels", { store, day, find: find || null, after }));
export const objectLink = (store, key, version) => query("/archive/object", { store, key, version });
export const proof = (store) => ask(query("/archive/proof", { store }));
// `deep` reads and hashes every byte as well.
export const stopVerify = (store) => post(query("/archive/verify/stop", { store }));
export const verify = (store, deep) => post(query("/archive/verify", { store, deep: deep || null }));
export const replayShown = (number) => ask(`/api/v1/replay/${number}`);
export const replay = (number, sha256, pace) => post(query(`/replay/${number}`, { sha256, ...pace }));
export const status = () => ask("/api/v1/status", { signal: AbortSignal.timeout(SOON_MS) });
export const validate = (q) => ask(`/api/v1/query/validate?q=${encodeURIComponent(q)}`);
export const complete = (q, cursor) => ask(`/api/v1/query/complete?q=${encodeURIComponent(q)}&cursor=${cursor}`);
// One item as the query `q` delivers it.
export const item = (number, q, place) => ask(query(`/item/${number}`, { q: q || null, place }));
export const itemById = (id, q, place) => ask(itemLink(id, q, place));
export const timeline = (q, place, slots, signal) => ask(query("/timeline", { q, place, limit: slots }), { signal });
export const groups = (q, place, by, limit, signal) => ask(query("/groups", { q, place, by, limit }), { signal });
// Connections of the newest items that match, behind the number `before`.
export const flows = (q, place, before, limit, signal) => ask(query("/flows", { q, place, before, limit }), { signal });
export const map = (q, place, by, limit, signal) => ask(query("/map", { q, place, by, limit }), { signal });
export const scripts = () => ask("/api/v1/scripts");
export const consoleLines = (after) => ask(`/api/v1/console?after=${after}`);
export const fields = () => ask("/api/v1/fields");
// Streams of several nodes or runs, and of an archive, may have one name: the node, the run or the item tells which.
export const packets = (stream, worker, n, place, run) => ask(query(`/packets/${encodeURIComponent(stream)}`, { worker: worker ?? "", n, place, run }));
export const jobs = () => ask("/api/v1/jobs");
export const scheduler = () => ask("/api/v1/jobs/scheduler");
// run, remove, start or stop; run and remove without a tag mean all jobs.
export const jobsDo = (act, tag) => post(query("/jobs/do", { act, tag }));
export const itemLink = (id, q, place) => query(`/item/${id.split("/").map(encodeURIComponent).join("/")}`, { q: q || null, place });
export const pcapLink = (stream, worker, n, place) => query(`/pcaps/download/${[worker, stream].filter(Boolean).map(encodeURIComponent).join("/")}`, { n, place });

// Lets the browser save what a link leads to; what the server refuses is thrown instead of saved.
export async function save(link, name) {
  let response;
  try {
    response = await fetch(link, { credentials: "same-origin" });
  } catch {
    throw new Refused("tapedeck does not answer; is it still running?", 0);
  }
  if (!response.ok) {
    const answer = await response.json().catch(() => ({}));
    throw new Refused(answer.error || `the server answered ${response.status}`, response.status);
  }
  const told = /filename="([^"]+)"/.exec(response.headers.get("content-disposition") ?? "");
  saveBlob(await response.blob(), name ?? told?.[1] ?? "download");
}

export function saveBlob(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  Object.assign(link, { href: url, download: name });
  link.click();
  // The browser reads it after the click.
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}

export const items = (q, before, limit, place, signal) => ask(query("/items", { q, limit, before, place }), { signal });

// Rows that are no longer held here: of spools and archives, of all nodes. `before` is next of the answer
// before, or milliseconds, or empty for the newest; `place` is where alone they are from, empty for everywhere.
export const search = (q, before, limit, place, signal, from) => ask(query("/search", { q, before, limit, place, from }), { signal });

// Follows matching rows from item `from` of an `instance` on, a sample of them when more than `limit` come at
// once; calls back with each position and the rows up to it until closed, or until limit() of the query is
// reached. Reconnects by itself, and ends where another instance answers, whose numbers mean other items.
export function follow(q, from, limit, instance, { onPosition, onState, onOther }) {
  let socket = null;
  let closed = false;
  let next = from;
  let wait = 500;
  let came = [];
  const open = () => {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    socket = new WebSocket(`${scheme}://${location.host}/api/v1/ws?q=${encodeURIComponent(q)}&from=${next}&limit=${limit}&sample=true`);
    socket.onopen = () => {
      wait = 500;
      onState(true);
    };
    socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      // What a position does not follow yet may be of another instance.
      if (message.type === "rows") came = message.rows;
      if (message.type === "position") {
        if (instance && message.instance !== instance) {
          stop();
          return onOther();
        }
        const rows = came;
        came = [];
        next = message.end;
        if (message.ended) stop();
        onPosition(message, rows);
      }
    };
    socket.onclose = () => {
      if (closed) return;
      onState(false);
      setTimeout(() => !closed && open(), wait);
      wait = Math.min(wait * 2, 8000);
    };
  };
  const stop = () => {
    closed = true;
    socket?.close();
  };
  open();
  return stop;
}
