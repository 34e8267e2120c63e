//! What a query asks of the stream that delivers it: `limit`, `rlimit`, `leftOff` (reference section 9).
//!
//! In: a query, rows or the ring. Out: where a stream begins, where it ends, what of a page is left.
//! Never: an effect of the filter that an operator imposes; only whoever asks steers.

use serde_json::Value as Json;

use super::{View, api, looking};
use crate::kfl::{LeftOff, Query};
use crate::pipeline::Rows;
use crate::time::Timestamp;

/// Rows that are delivered at most of what is stored.
pub(super) fn most(query: &Query) -> Option<u64> {
    query.steering().most()
}

/// The same as a bound of a page.
pub(super) fn limit_of(query: &Query, limit: usize) -> usize {
    let most = most(query).map_or(usize::MAX, |most| {
        usize::try_from(most).unwrap_or(usize::MAX)
    });
    limit.min(most)
}

/// A page, newest first, as far as the query wants it; `is_past` says whether a row is the one after
/// which delivery resumes, or one before it.
pub(super) fn cut(
    query: &Query,
    mut rows: Vec<Json>,
    next: Option<u64>,
    is_past: &dyn Fn(&Json) -> bool,
) -> (Vec<Json>, Option<u64>) {
    let mut next = next;
    match &query.steering().left_off {
        None => {}
        Some(LeftOff::Latest) => return (Vec::new(), None),
        Some(LeftOff::After(_)) => {
            if let Some(at) = rows.iter().position(is_past) {
                rows.truncate(at);
                next = None;
            }
        }
    }
    if let Some(most) = most(query)
        && rows.len() as u64 >= most
    {
        rows.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        next = None;
    }
    (rows, next)
}

/// The number of the row after which delivery resumes; `None` for all that is held.
pub(super) fn left_off(rows: &Rows, query: &Query) -> Option<u64> {
    match query.steering().left_off.as_ref()? {
        LeftOff::Latest => rows.held().end.checked_sub(1),
        LeftOff::After(id) => match id.parse() {
            Ok(number) => rows.held().contains(&number).then_some(number),
            Err(_) => api::row_with_id(rows, id)?.node().map(|node| node.number()),
        },
    }
}

/// Where a live stream begins: at `from`, unless the query names another place. May take a second.
pub(super) fn start(view: &View, query: &Query, from: u64, now: Timestamp) -> u64 {
    let steering = query.steering();
    let held = view.rows.held();
    let mut start = from;
    if steering.left_off.is_some() {
        start = left_off(&view.rows, query).map_or(held.start, |number| number.saturating_add(1));
    }
    if let Some(last) = steering.rlimit {
        let last = usize::try_from(last).unwrap_or(usize::MAX);
        let found = looking::newest(&view.rows, query, now, None, last);
        let oldest = found.rows.last().and_then(|row| Some(row.node()?.number()));
        let least = match found.rows.len() < last {
            true => found.next.unwrap_or(held.start),
            false => oldest.unwrap_or(held.end),
        };
        start = match steering.left_off {
            Some(_) => start.max(least),
            None => least,
        };
    }
    start.min(held.end)
}
