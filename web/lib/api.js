// The only place that speaks to the server.

async function ask(path, method = "GET") {
  let response;
  try {
    response = await fetch(path, { method, credentials: "same-origin" });
  } catch {
    throw new Error("tapedeck does not answer; is it still running?");
  }
  const body = await response.text();
  let answer = null;
  try {
    answer = JSON.parse(body);
  } catch {
    answer = { error: body };
  }
  if (!response.ok) throw new Error(answer.error || `the server answered ${response.status}`);
  return answer;
}

export const status = () => ask("/api/v1/status");
export const validate = (q) => ask(`/api/v1/query/validate?q=${encodeURIComponent(q)}`);
export const complete = (q, cursor) => ask(`/api/v1/query/complete?q=${encodeURIComponent(q)}&cursor=${cursor}`);
export const item = (number) => ask(`/api/v1/item/${number}`);
export const itemById = (id) => ask(`/api/v1/item/${id.split("/").map(encodeURIComponent).join("/")}`);
export const timeline = (q, slots) => ask(`/api/v1/timeline?q=${encodeURIComponent(q)}&limit=${slots}`);
export const groups = (q, by, limit) => ask(`/api/v1/groups?q=${encodeURIComponent(q)}&by=${by}&limit=${limit}`);
export const map = (q, by, limit) => ask(`/api/v1/map?q=${encodeURIComponent(q)}&by=${by}&limit=${limit}`);
export const scripts = () => ask("/api/v1/scripts");
export const consoleLines = (after) => ask(`/api/v1/console?after=${after}`);
export const fields = () => ask("/api/v1/fields");
export const packets = (stream, worker) => ask(`/api/v1/packets/${encodeURIComponent(stream)}?worker=${encodeURIComponent(worker)}`);
export const jobs = () => ask("/api/v1/jobs");
export const runJob = (tag) => ask(`/api/v1/jobs/run?tag=${encodeURIComponent(tag)}`, "POST");
export const pcapLink = (stream, worker) => `/api/v1/pcaps/download/${encodeURIComponent(worker)}/${encodeURIComponent(stream)}`;

export function items(q, before, limit) {
  const cursor = before === null ? "" : `&before=${before}`;
  return ask(`/api/v1/items?q=${encodeURIComponent(q)}&limit=${limit}${cursor}`);
}

// Follows matching rows from item `from` on; calls back until closed. Reconnects by itself.
export function follow(q, from, { onRows, onPosition, onState }) {
  let socket = null;
  let closed = false;
  let next = from;
  let wait = 500;
  const open = () => {
    const host = location.host;
    socket = new WebSocket(`ws://${host}/api/v1/ws?q=${encodeURIComponent(q)}&from=${next}`);
    socket.onopen = () => {
      wait = 500;
      onState(true);
    };
    socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      if (message.type === "rows") onRows(message.rows);
      if (message.type === "position") {
        next = message.end;
        onPosition(message);
      }
    };
    socket.onclose = () => {
      if (closed) return;
      onState(false);
      setTimeout(() => !closed && open(), wait);
      wait = Math.min(wait * 2, 8000);
    };
  };
  open();
  return () => {
    closed = true;
    socket?.close();
  };
}
