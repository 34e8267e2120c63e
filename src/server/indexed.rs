//! Rows, items and streams of an archive, as the routes answer them: by its indexes.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value as Json, json};

use super::api::MAX_LIMIT;
use super::{delivered, steered};
use crate::deliver::Delivery;
use crate::investigate::Browse;
use crate::item::Item;
use crate::kfl::LeftOff;
use crate::packet::StreamName;
use crate::store::StoreError;

/// Time that one request looks for rows before it answers with what it has and a cursor to go on
/// from.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// What is wrong, with the status that says whose fault it is.
pub(super) type Refusal = (StatusCode, String);

/// What is answered when an archive cannot be read so.
pub(super) fn refusal(error: &StoreError) -> Refusal {
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
    delivery: &Delivery<'_>,
    before: Option<u64>,
    limit: usize,
    end: u64,
) -> Result<Json, Refusal> {
    let limit = limit.clamp(1, MAX_LIMIT);
    let page = browse
        .page(
            delivery.query().clone(),
            delivery.now(),
            before,
            limit,
            PATIENCE,
        )
        .map_err(|error| refusal(&error))?;
    let rows: Vec<Json> = page
        .items
        .iter()
        .filter_map(|(number, item)| {
            let delivered = delivered::stored_match(delivery, item);
            delivered::row(&delivered, *number, item.node())
        })
        .collect();
    let left_off = left_off(browse, delivery)?;
    let is_past = |row: &Json| {
        left_off.as_ref().is_some_and(|(number, item)| {
            row["n"] == *number || row["timestamp"].as_i64() < Some(item.start.millis())
        })
    };
    let (rows, next) = steered::cut(delivery.query(), rows, page.next, &is_past);
    Ok(json!({"rows": rows, "next": next, "scanned": page.looked, "end": end}))
}

/// The item after which delivery resumes, with its number.
fn left_off(browse: &Browse, delivery: &Delivery<'_>) -> Result<Option<(u64, Item)>, Refusal> {
    match &delivery.query().steering().left_off {
        Some(LeftOff::After(id)) => match id.split_once('/') {
            Some((worker, id)) => named(browse, worker, id, delivery),
            None => Ok(None),
        },
        _ => Ok(None),
    }
}

/// One item with all its fields; `None` when it is not for whoever asks.
pub(super) fn item(
    browse: &Browse,
    number: u64,
    delivery: &Delivery<'_>,
) -> Result<Option<Json>, Refusal> {
    let item = browse.item(number).map_err(|error| refusal(&error))?;
    Ok(detail(number, &item, delivery))
}

/// The same by node, stream and index within it; `None` when there is none, or the id is no such.
pub(super) fn item_by_id(
    browse: &Browse,
    worker: &str,
    id: &str,
    delivery: &Delivery<'_>,
) -> Result<Option<Json>, Refusal> {
    let found = named(browse, worker, id, delivery)?;
    Ok(found.and_then(|(number, item)| detail(number, &item, delivery)))
}

fn named(
    browse: &Browse,
    worker: &str,
    id: &str,
    delivery: &Delivery<'_>,
) -> Result<Option<(u64, Item)>, Refusal> {
    let parts = id
        .rsplit_once('-')
        .and_then(|(stream, index)| Some((StreamName::parse(stream)?, index.parse().ok()?)));
    let Some((stream, index)) = parts else {
        return Ok(None);
    };
    browse
        .named(worker, stream, index, delivery.now())
        .map_err(|error| refusal(&error))
}

fn detail(number: u64, item: &Item, delivery: &Delivery<'_>) -> Option<Json> {
    delivered::detail(delivered::stored(delivery, item), number, item.node())
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
