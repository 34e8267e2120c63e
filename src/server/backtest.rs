//! What a recording would have kept of the traffic that is held.
//!
//! In: the rows, a query. Out: counts of items, streams and bytes, by namespace and a day. A stream is
//! recorded as a whole, so each counts with all its items. Bytes are those of messages; headers of
//! packets come on top. Never: memory that grows beyond [`MAX_STREAMS`].

use std::collections::{BTreeMap, HashMap};

use ahash::RandomState;
use serde_json::{Value as Json, json};

use crate::item::{Node, lookup};
use crate::kfl;
use crate::pipeline::Rows;
use crate::time::Timestamp;

/// Streams that are counted one by one; items of later ones are counted, their streams are not.
const MAX_STREAMS: usize = 500_000;

/// Rows that are looked up under one lock.
const STEP: usize = 2048;

#[derive(Debug, Default)]
struct Stream {
    bytes: u64,
    items: u64,
    wanted: bool,
    namespace: String,
}

/// Tries a query on all rows.
///
/// ```text
/// {"kfl", "items", "itemsSeen", "undecided", "streams", "streamsSeen", "bytes", "bytesSeen",
///  "from": ms, "to": ms, "bytesPerDay", "byNamespace": [{"namespace","streams","bytes","bytesPerDay"}]}
/// ```
pub(super) fn try_on(rows: &Rows, query: &kfl::Query, now: Timestamp) -> Json {
    let mut streams: HashMap<String, Stream, RandomState> = HashMap::default();
    let (mut items, mut seen, mut undecided, mut bytes_seen) = (0_u64, 0_u64, 0_u64, 0_u64);
    let mut span: Option<(i64, i64)> = None;
    let held = rows.held();
    let mut next = held.start;
    while next < held.end {
        let page = rows.page(next..held.end, STEP);
        let Some(last) = page.last().and_then(|row| row.node()) else {
            break;
        };
        next = last.number() + 1;
        for node in page.iter().filter_map(|row| row.node()) {
            let text = |path: &str| {
                lookup(node, path)
                    .and_then(Node::text)
                    .unwrap_or_default()
                    .into_owned()
            };
            let int = |path: &str| lookup(node, path).and_then(Node::int).unwrap_or_default();
            seen += 1;
            let bytes = u64::try_from(int("size")).unwrap_or_default();
            bytes_seen += bytes;
            let at = int("timestamp");
            let (from, to) = span.unwrap_or((at, at));
            span = Some((from.min(at), to.max(at)));
            let wanted = match query.matches(node, now) {
                kfl::Verdict::NoMatch => false,
                kfl::Verdict::Match => {
                    items += 1;
                    true
                }
                // A recording keeps what it cannot decide.
                kfl::Verdict::Undecided => {
                    undecided += 1;
                    true
                }
            };
            let name = text("stream");
            if streams.len() >= MAX_STREAMS && !streams.contains_key(&name) {
                continue;
            }
            let stream = streams.entry(name).or_default();
            stream.bytes += bytes;
            stream.items += 1;
            if wanted && !stream.wanted {
                stream.wanted = true;
                stream.namespace = Some(text("dst.namespace"))
                    .filter(|namespace| !namespace.is_empty())
                    .unwrap_or_else(|| text("src.namespace"));
            }
        }
    }
    let (from, to) = span.unwrap_or_default();
    let days = ((to - from) as f64 / 86_400_000.0).max(1.0 / 86_400.0);
    let a_day = |bytes: u64| (bytes as f64 / days) as u64;
    let mut by_namespace: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let mut total = (0_u64, 0_u64);
    for stream in streams.values().filter(|stream| stream.wanted) {
        let sum = by_namespace.entry(&stream.namespace).or_default();
        for (count, bytes) in [sum, &mut total] {
            *count += 1;
            *bytes += stream.bytes;
        }
    }
    let by_namespace: Vec<Json> = by_namespace
        .into_iter()
        .map(|(namespace, (count, bytes))| {
            json!({
                "namespace": namespace, "streams": count, "bytes": bytes, "bytesPerDay": a_day(bytes),
            })
        })
        .collect();
    json!({
        "kfl": query.text(),
        "items": items,
        "itemsSeen": seen,
        "undecided": undecided,
        "streams": total.0,
        "streamsSeen": streams.len(),
        "bytes": total.1,
        "bytesSeen": bytes_seen,
        "from": from,
        "to": to,
        "bytesPerDay": a_day(total.1),
        "byNamespace": by_namespace,
    })
}
