// The only place that speaks to the server.

async function ask(path) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin" });
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

export const status = () => ask("/api/status");
export const validate = (q) => ask(`/api/query/validate?q=${encodeURIComponent(q)}`);
export const complete = (q, cursor) => ask(`/api/query/complete?q=${encodeURIComponent(q)}&cursor=${cursor}`);
export const item = (number) => ask(`/api/item/${number}`);
export const itemById = (id) => ask(`/item/${id.split("/").map(encodeURIComponent).join("/")}`);
export const scripts = () => ask("/api/scripts");
export const consoleLines = (after) => ask(`/api/console?after=${after}`);
export const pcapLink = (stream) => `/api/pcaps/download/${encodeURIComponent(stream)}`;

export function items(q, before, limit) {
  const cursor = before === null ? "" : `&before=${before}`;
  return ask(`/api/items?q=${encodeURIComponent(q)}&limit=${limit}${cursor}`);
}

// Follows matching rows from item `from` on; calls back until closed. Reconnects by itself.
export function follow(q, from, { onRows, onPosition, onState }) {
  let socket = null;
  let closed = false;
  let next = from;
  let wait = 500;
  const open = () => {
    const host = location.host;
    socket = new WebSocket(`ws://${host}/api/ws?q=${encodeURIComponent(q)}&from=${next}`);
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
