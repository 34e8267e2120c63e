//! The live feed: rows that match, pushed in batches as they come.
//!
//! Messages to the client, JSON text:
//! `{"type":"rows","rows":[...]}`, `{"type":"position","end":n,"skipped":n}`. The client sends nothing.
//! A client that falls behind is skipped forward and told by how many items.

use std::time::{Duration, Instant};

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State as Extract};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::api::{Ask, State, refuse, refuse_query, show};
use crate::kfl;

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
    Query(ask): Query<Ask>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let query = match kfl::compile(&ask.q, &state.view.schema) {
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
    let from = ask.from.unwrap_or(end).min(end);
    // Clients have nothing to say that is longer than a control frame.
    upgrade
        .max_message_size(4096)
        .on_upgrade(move |socket| follow(socket, state, query, from))
}

/// Tells the run that somebody looks through the query.
async fn looked(state: &State, query: &kfl::Query) -> Result<(), tokio::task::JoinError> {
    let (view, query) = (state.view.clone(), query.clone());
    tokio::task::spawn_blocking(move || view.run.look(&query)).await
}

async fn follow(mut socket: WebSocket, mut state: State, query: kfl::Query, mut from: u64) {
    let mut end = state.view.rows.follow();
    // When the filter was set: what `now` in it means.
    let now = state.view.clock.now();
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
        let to = latest.min(from + MAX_LOOKED_AT);
        if from < to {
            let state = state.clone();
            let asked = query.clone();
            let range = from..to;
            let found = tokio::task::spawn_blocking(move || {
                let mut reached = range.end;
                let mut rows = Vec::new();
                for row in state.view.rows.page(range, usize::MAX) {
                    if let Some((number, shown)) = show(&state, &asked, &row, now) {
                        rows.push(shown);
                        if rows.len() == MAX_ROWS {
                            reached = number + 1;
                            break;
                        }
                    }
                }
                (rows, reached)
            });
            let Ok((rows, reached)) = found.await else {
                return;
            };
            from = reached;
            if !rows.is_empty() && !send(&mut socket, &json!({"type": "rows", "rows": rows})).await
            {
                return;
            }
            let position = json!({"type": "position", "end": from, "skipped": skipped});
            if !send(&mut socket, &position).await {
                return;
            }
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

async fn send(socket: &mut WebSocket, message: &serde_json::Value) -> bool {
    socket
        .send(Message::Text(message.to_string().into()))
        .await
        .is_ok()
}
