//! The live feed: rows that match, pushed in batches as they come.
//!
//! Messages to the client, JSON text:
//! `{"type":"rows","rows":[...]}`, `{"type":"position","end":n,"skipped":n,"instance":text}`. The client
//! sends nothing. The numbers are of this instance alone, which the status names as well.
//! When as many rows were sent as `limit()` in the query says, a last position has `"ended":true`.
//! A client that falls behind is skipped forward and told by how many items. One that asks for a
//! sample gets the newest matches of each moment, `limit` at most, and is told of the rest in the same
//! way. A feed ends with the session of whoever opened it.

use std::time::{Duration, Instant};

use axum::extract::State as Extract;
use axum::extract::ws::{Message, WebSocket};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value as Json, json};

use super::api::{Ask, Asked, State, refuse, show};
use super::queries::refuse_query;
use super::socket::Socket;
use super::{delivered, steered};
use crate::deliver::Delivered;
use crate::item::json::AsJson as NodeJson;
use crate::kfl;
use crate::time::Timestamp;

/// Time between two messages at least.
const PACE: Duration = Duration::from_millis(100);

/// Matching rows of one message at most.
const MAX_ROWS: usize = 500;

/// Items looked at for one message at most.
const MAX_LOOKED_AT: u64 = 20_000;

/// Items that a client may be behind before it is skipped forward.
const MAX_BEHIND: u64 = 200_000;

/// Time without rows after which the run is told that somebody still looks.
const STILL: Duration = Duration::from_secs(20);

/// Upgrades the request when its query is valid.
pub(super) async fn open(
    Extract(state): Extract<State>,
    socket: Socket,
    Asked(ask): Asked<Ask>,
) -> Response {
    let query = match state.view.query(&ask.q) {
        Ok(query) => query,
        Err(error) => return refuse_query(&ask.q, &error),
    };
    if looked(&state, &query).await.is_err() {
        return refuse(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the rows cannot be looked at",
        );
    }
    let end = state.view.rows.held().end;
    // A client that names a place has what was before it.
    let from = match ask.from {
        Some(from) => Some(from.min(end)),
        None => begins(&state, &query, end).await,
    };
    let Some(from) = from else {
        return refuse(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the rows cannot be looked at",
        );
    };
    let pace = Pace {
        rows: ask.limit.unwrap_or(MAX_ROWS).clamp(1, MAX_ROWS),
        sample: ask.sample,
    };
    // Clients have nothing to say that is longer than a control frame.
    socket.open(4096, move |socket| follow(socket, state, query, from, pace))
}

/// Where a stream begins, see [`steered::start`]; `None` when that cannot be found out.
async fn begins(state: &State, query: &kfl::Query, from: u64) -> Option<u64> {
    let (view, query) = (state.view.clone(), query.clone());
    let found =
        tokio::task::spawn_blocking(move || steered::start(&view, &query, from, view.clock.now()));
    found.await.ok()
}

/// Longest query that a client sends.
const MAX_QUERY: usize = 64 << 10;

/// Upgrades to the feed of whole items, as older clients use it: what the client sends is its query.
pub(super) async fn open_full(Extract(state): Extract<State>, socket: Socket) -> Response {
    socket.open(MAX_QUERY, move |socket| follow_full(socket, state))
}

/// Sends one message for each item that matches the last query that came: the item, or `{"error"}`;
/// ends after as many as `limit()` in the query says.
async fn follow_full(mut socket: WebSocket, mut state: State) {
    let mut end = state.view.rows.follow();
    let mut from = *end.borrow_and_update();
    let mut query: Option<kfl::Query> = None;
    let mut left = u64::MAX;
    let mut now = state.view.clock.now();
    loop {
        let wait = async {
            tokio::time::sleep(PACE).await;
            if from >= *end.borrow() {
                let _ = tokio::time::timeout(STILL, end.changed()).await;
            }
        };
        let heard = tokio::select! {
            () = wait => None,
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => Some(text),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => None,
            },
            _ = state.stopped.wait_for(|stop| *stop) => return,
        };
        match heard.map(|text| state.view.query(&text)) {
            None => {}
            Some(Ok(asked)) => {
                if looked(&state, &asked).await.is_err() {
                    return;
                }
                now = state.view.clock.now();
                let Some(begins) = begins(&state, &asked, from).await else {
                    return;
                };
                from = begins;
                left = asked.steering().limit.unwrap_or(u64::MAX);
                query = Some(asked);
            }
            Some(Err(error)) if !send(&mut socket, &json!({"error": error.to_string()})).await => {
                return;
            }
            Some(Err(_)) => {}
        }
        let latest = *end.borrow_and_update();
        from = from.max(latest.saturating_sub(MAX_BEHIND));
        let to = latest.min(from + MAX_ROWS as u64);
        let Some(asked) = query.clone().filter(|_| from < to) else {
            // Without a query nothing is wanted.
            from = if query.is_none() { latest } else { from };
            continue;
        };
        let (looking, range) = (state.clone(), from..to);
        let found = tokio::task::spawn_blocking(move || {
            let delivery = looking.view.delivery(asked, now);
            let page = looking.view.rows.page(range, usize::MAX);
            let nodes = page.iter().filter_map(|row| row.node());
            let wanted = nodes.filter_map(|node| match delivered::held(&delivery, node) {
                Delivered::Whole => serde_json::to_string(&NodeJson(node)).ok(),
                Delivered::Altered(copy) => Some(copy.to_string()),
                Delivered::Nothing | Delivered::Undecided => None,
            });
            wanted.collect::<Vec<String>>()
        });
        let Ok(items) = found.await else { return };
        from = to;
        for item in items {
            if left == 0 {
                break;
            }
            if socket.send(Message::Text(item.into())).await.is_err() {
                return;
            }
            left -= 1;
        }
        if left == 0 {
            // Whoever asked for so many knows that these were all.
            let _ = socket.send(Message::Close(None)).await;
            return;
        }
    }
}

/// Tells the run that somebody looks through the query.
async fn looked(state: &State, query: &kfl::Query) -> Result<(), tokio::task::JoinError> {
    let (view, query) = (state.view.clone(), query.clone());
    tokio::task::spawn_blocking(move || view.run.look(&query)).await
}

/// How much one message may hold.
#[derive(Debug, Clone, Copy)]
struct Pace {
    rows: usize,
    /// Whether the rest is left out instead of sent later.
    sample: bool,
}

/// Rows that match, in rising order, how far was looked, and how many items were passed over.
fn matches(
    state: &State,
    query: &kfl::Query,
    range: std::ops::Range<u64>,
    pace: Pace,
    now: Timestamp,
) -> (Vec<Json>, u64, u64) {
    let mut rows = Vec::new();
    let delivery = state.view.delivery(query.clone(), now);
    let page = state.view.rows.page(range.clone(), usize::MAX);
    if pace.sample {
        for (looked, row) in (1_u64..).zip(page.iter().rev()) {
            rows.extend(show(state, &delivery, row).map(|(_, shown)| shown));
            if rows.len() == pace.rows {
                rows.reverse();
                let all = page.len() as u64;
                return (rows, range.end, all.saturating_sub(looked));
            }
        }
        rows.reverse();
        return (rows, range.end, 0);
    }
    for row in page {
        if let Some((number, shown)) = show(state, &delivery, &row) {
            rows.push(shown);
            if rows.len() == pace.rows {
                return (rows, number + 1, 0);
            }
        }
    }
    (rows, range.end, 0)
}

async fn follow(
    mut socket: WebSocket,
    mut state: State,
    query: kfl::Query,
    mut from: u64,
    pace: Pace,
) {
    let mut end = state.view.rows.follow();
    let instance = state.instance.clone();
    // When the filter was set: what `now` in it means.
    let now = state.view.clock.now();
    let mut left = query.steering().limit.unwrap_or(u64::MAX);
    let mut told = Instant::now();
    loop {
        if told.elapsed() >= STILL {
            told = Instant::now();
            if looked(&state, &query).await.is_err() {
                return;
            }
        }
        let latest = *end.borrow_and_update();
        let mut skipped = 0;
        if latest.saturating_sub(from) > MAX_BEHIND {
            skipped = latest - MAX_BEHIND - from;
            from += skipped;
        }
        if pace.sample && latest.saturating_sub(from) > MAX_LOOKED_AT {
            skipped += latest - MAX_LOOKED_AT - from;
            from = latest - MAX_LOOKED_AT;
        }
        let to = latest.min(from + MAX_LOOKED_AT);
        if from < to {
            let state = state.clone();
            let asked = query.clone();
            let range = from..to;
            let wanted = usize::try_from(left).unwrap_or(usize::MAX);
            let pace = Pace {
                rows: pace.rows.min(wanted),
                ..pace
            };
            let found =
                tokio::task::spawn_blocking(move || matches(&state, &asked, range, pace, now));
            let Ok((rows, reached, left_out)) = found.await else {
                return;
            };
            from = reached;
            skipped += left_out;
            left = left.saturating_sub(rows.len() as u64);
            if !rows.is_empty() && !send(&mut socket, &json!({"type": "rows", "rows": rows})).await
            {
                return;
            }
            let mut position = json!({
                "type": "position", "end": from, "skipped": skipped, "instance": &*instance,
            });
            if left == 0 {
                position["ended"] = true.into();
            }
            if !send(&mut socket, &position).await {
                return;
            }
        }
        if left == 0 {
            return until_closed(socket, state).await;
        }
        let wait = async {
            tokio::time::sleep(PACE).await;
            if from >= *end.borrow() {
                let _ = tokio::time::timeout(STILL, end.changed()).await;
            }
        };
        tokio::select! {
            () = wait => {}
            message = socket.recv() => match message {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
            _ = state.stopped.wait_for(|stop| *stop) => return,
        }
    }
}

/// Waits for the client to go, without another row.
async fn until_closed(mut socket: WebSocket, mut state: State) {
    loop {
        tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
            _ = state.stopped.wait_for(|stop| *stop) => return,
        }
    }
}

async fn send(socket: &mut WebSocket, message: &serde_json::Value) -> bool {
    socket
        .send(Message::Text(message.to_string().into()))
        .await
        .is_ok()
}
