//! Rows, items and streams of an archive, as the routes answer them: by its indexes.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value as Json, json};

use super::api::MAX_LIMIT;
use super::row_json;
use crate::investigate::Browse;
use crate::item::Item;
use crate::item::json::AsJson as NodeJson;
use crate::kfl::Query;
use crate::packet::StreamName;
use crate::store::StoreError;
use crate::time::Timestamp;

/// Time that one request looks for rows before it answers with what it has and a cursor to go on
/// from.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// What is wrong, with the status that says whose fault it is.
pub(super) type Refusal = (StatusCode, String);

fn refusal(error: &StoreError) -> Refusal {
    let status = match error {
        StoreError::Missing(_) => StatusCode::NOT_FOUND,
        StoreError::Refused(_) => StatusCode::BAD_REQUEST,
        _ => StatusCode::BAD_GATEWAY,
    };
    (status, error.to_string())
}

/// Rows behind the one numbered `before`, the newest first; `end` is where the live feed goes on.
pub(super) fn page(
    browse: &Browse,
    query: Query,
    now: Timestamp,
    before: Option<u64>,
    limit: usize,
    end: u64,
) -> Result<Json, Refusal> {
    let limit = limit.clamp(1, MAX_LIMIT);
    let page = browse
        .page(query, now, before, limit, PATIENCE)
        .map_err(|error| refusal(&error))?;
    let rows: Vec<Json> = page
        .items
        .iter()
        .map(|(number, item)| row_json(*number, item.node()))
        .collect();
    Ok(json!({"rows": rows, "next": page.next, "scanned": page.looked, "end": end}))
}

/// One item with all its fields.
pub(super) fn item(browse: &Browse, number: u64) -> Result<Json, Refusal> {
    let item = browse.item(number).map_err(|error| refusal(&error))?;
    Ok(detail(number, &item))
}

/// The same by node, stream and index within it; `None` when there is none, or the id is no such.
pub(super) fn item_by_id(
    browse: &Browse,
    worker: &str,
    id: &str,
    now: Timestamp,
) -> Result<Option<Json>, Refusal> {
    let parts = id
        .rsplit_once('-')
        .and_then(|(stream, index)| Some((StreamName::parse(stream)?, index.parse().ok()?)));
    let Some((stream, index)) = parts else {
        return Ok(None);
    };
    let found = browse
        .named(worker, stream, index, now)
        .map_err(|error| refusal(&error))?;
    Ok(found.map(|(number, item)| detail(number, &item)))
}

fn detail(number: u64, item: &Item) -> Json {
    let whole = serde_json::to_value(NodeJson(item.node())).unwrap_or_default();
    json!({"row": row_json(number, item.node()), "item": whole})
}

/// What reading the archive took, for the state of the run.
pub(super) fn status(browse: &Browse) -> Json {
    use std::sync::atomic::Ordering::Relaxed;
    let used = browse.used();
    json!({
        "name": browse.name(),
        "reels": browse.reels(),
        "listings": used.lists.load(Relaxed),
        "reads": used.gets.load(Relaxed),
        "bytes": used.bytes.load(Relaxed),
        "cached": used.cached.load(Relaxed),
        "warnings": browse.warnings(),
    })
}
