//! Counts, rates and percentiles of the rows that are held: timelines and groups of the page.
//!
//! ```text
//! GET /api/groups?q=&by=src.name,response.status&every=60000&percentiles=elapsedTime&top=10
//! {"groups": [{"time": ms or null, "values": ["web","500"], "count": 3,
//!              "percentiles": {"min","p50","p90","p95","p99","max"} or null}],
//!  "others": 0, "scanned": 4096, "next": number of the row to go on before, or null}
//! ```

use std::time::Duration;

use axum::Json as AsJson;
use axum::extract::{Query, State as Extract};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::api::{MAX_SCAN, SCAN_STEP, State, aside, refuse_query};
use crate::investigate::aggregate::{Aggregate, Wanted};
use crate::kfl;

/// Groups that one answer holds at most.
const MAX_GROUPS: usize = 1000;

#[derive(Debug, Deserialize)]
pub(super) struct Ask {
    #[serde(default)]
    q: String,
    #[serde(default)]
    by: String,
    /// Milliseconds.
    every: Option<u64>,
    percentiles: Option<String>,
    top: Option<usize>,
    before: Option<u64>,
}

pub(super) async fn groups(Extract(state): Extract<State>, Query(ask): Query<Ask>) -> Response {
    let query = match kfl::compile(&ask.q, &state.view.schema) {
        Ok(query) => query,
        Err(error) => return refuse_query(&ask.q, &error),
    };
    match aside(move || counted(&state, &query, &ask)).await {
        Ok(found) => AsJson(found).into_response(),
        Err(response) => response,
    }
}

fn counted(state: &State, query: &kfl::Query, ask: &Ask) -> Json {
    let view = &state.view;
    let fields = ask.by.split(',').filter(|field| !field.is_empty());
    let mut groups = Aggregate::new(Wanted {
        by: fields.map(str::to_owned).collect(),
        every: ask
            .every
            .filter(|every| *every > 0)
            .map(Duration::from_millis),
        percentiles: ask.percentiles.clone(),
        top: ask.top,
    });
    let held = view.rows.held();
    let now = view.clock.now();
    let mut end = ask.before.unwrap_or(held.end).min(held.end);
    let mut scanned = 0;
    while end > held.start && scanned < MAX_SCAN {
        let start = end.saturating_sub(SCAN_STEP).max(held.start);
        for row in view.rows.page(start..end, SCAN_STEP as usize) {
            scanned += 1;
            let Some(node) = row.node() else { continue };
            if query.matches(node, now) == kfl::Verdict::Match {
                groups.add(node);
            }
        }
        end = start;
    }
    let mut rows = groups.rows();
    let left_out: u64 = rows.iter().skip(MAX_GROUPS).map(|row| row.count).sum();
    rows.truncate(MAX_GROUPS);
    let shown = rows.iter().map(|row| {
        json!({
            "time": row.time.map(|time| time.millis()),
            "values": row.values,
            "count": row.count,
            "percentiles": row.percentiles,
        })
    });
    json!({
        "groups": shown.collect::<Vec<_>>(),
        "others": groups.others() + left_out,
        "scanned": scanned,
        "next": (end > held.start).then_some(end),
    })
}
