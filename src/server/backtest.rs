//! What a recording would have kept of the traffic that is held, or of what an archive has.
//!
//! In: the rows, or an archive by its indexes, and a query. Out: counts of items, streams and bytes,
//! by namespace and a day. A stream is recorded as a whole, so each counts with all its items. Bytes
//! are those of messages; headers of packets come on top. Never: memory that grows beyond
//! [`MAX_STREAMS`], an archive read for longer than [`PATIENCE`].

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use ahash::RandomState;
use serde_json::{Value as Json, json};

use crate::investigate::{Browse, Scan};
use crate::item::{Node, lookup};
use crate::kfl;
use crate::pipeline::Rows;
use crate::store::StoreError;
use crate::time::Timestamp;

/// Streams that are counted one by one; items of later ones are counted, their streams are not.
const MAX_STREAMS: usize = 500_000;

/// Rows that are looked up under one lock.
const STEP: usize = 2048;

/// Time for each of the two passes over an archive.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is read of each item of an archive.
const PATHS: [&str; 10] = [
    "timestamp",
    "size",
    "stream",
    "worker",
    "src.ip",
    "src.port",
    "src.namespace",
    "dst.ip",
    "dst.port",
    "dst.namespace",
];

#[derive(Debug, Default)]
struct Stream {
    bytes: u64,
    wanted: bool,
    namespace: String,
}

/// What was seen so far.
#[derive(Debug, Default)]
struct Trial {
    streams: HashMap<u64, Stream, RandomState>,
    items: u64,
    seen: u64,
    undecided: u64,
    bytes_seen: u64,
    span: Option<(i64, i64)>,
}

fn text<'a, N: Node<'a>>(item: N, path: &str) -> String {
    let found = lookup(item, path).and_then(Node::text);
    found.unwrap_or_default().into_owned()
}

fn int<'a, N: Node<'a>>(item: N, path: &str) -> i64 {
    lookup(item, path).and_then(Node::int).unwrap_or_default()
}

impl Trial {
    /// Tells streams apart. Streams of other nodes and other runs may have one name, so both ends
    /// count too, in either order.
    fn key<'a, N: Node<'a>>(&self, item: N) -> u64 {
        let end = |side: &str| {
            let (ip, port) = (format!("{side}.ip"), format!("{side}.port"));
            (text(item, &ip), text(item, &port))
        };
        let (src, dst) = (end("src"), end("dst"));
        let ends = if src <= dst { (src, dst) } else { (dst, src) };
        let name = (text(item, "worker"), text(item, "stream"));
        self.streams.hasher().hash_one((name, ends))
    }

    fn stream<'a, N: Node<'a>>(&mut self, item: N) -> Option<&mut Stream> {
        let key = self.key(item);
        if self.streams.len() >= MAX_STREAMS && !self.streams.contains_key(&key) {
            return None;
        }
        Some(self.streams.entry(key).or_default())
    }

    /// Counts an item of any stream.
    fn see<'a, N: Node<'a>>(&mut self, item: N) {
        let bytes = u64::try_from(int(item, "size")).unwrap_or_default();
        let at = int(item, "timestamp");
        self.seen += 1;
        self.bytes_seen += bytes;
        let (from, to) = self.span.unwrap_or((at, at));
        self.span = Some((from.min(at), to.max(at)));
        if let Some(stream) = self.stream(item) {
            stream.bytes += bytes;
        }
    }

    /// Notes that an item makes its stream wanted.
    fn want<'a, N: Node<'a>>(&mut self, item: N, verdict: kfl::Verdict) {
        match verdict {
            kfl::Verdict::NoMatch => return,
            kfl::Verdict::Match => self.items += 1,
            // A recording keeps what it cannot decide.
            kfl::Verdict::Undecided => self.undecided += 1,
        }
        let namespace = Some(text(item, "dst.namespace")).filter(|name| !name.is_empty());
        if let Some(stream) = self.stream(item).filter(|stream| !stream.wanted) {
            stream.wanted = true;
            stream.namespace = namespace.unwrap_or_else(|| text(item, "src.namespace"));
        }
    }

    fn json(&self, query: &kfl::Query) -> Json {
        let (from, to) = self.span.unwrap_or_default();
        let days = ((to - from) as f64 / 86_400_000.0).max(1.0 / 86_400.0);
        let a_day = |bytes: u64| (bytes as f64 / days) as u64;
        let mut by_namespace: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        let mut total = (0_u64, 0_u64);
        for stream in self.streams.values().filter(|stream| stream.wanted) {
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
            "items": self.items,
            "itemsSeen": self.seen,
            "undecided": self.undecided,
            "streams": total.0,
            "streamsSeen": self.streams.len(),
            "bytes": total.1,
            "bytesSeen": self.bytes_seen,
            "from": from,
            "to": to,
            "since": Json::Null,
            "bytesPerDay": a_day(total.1),
            "byNamespace": by_namespace,
        })
    }
}

/// Tries a query on all rows.
///
/// ```text
/// {"kfl", "items", "itemsSeen", "undecided", "streams", "streamsSeen", "bytes", "bytesSeen",
///  "from": ms, "to": ms, "since": ms before which an archive was not read or null, "bytesPerDay",
///  "byNamespace": [{"namespace","streams","bytes","bytesPerDay"}]}
/// ```
pub(super) fn try_on(rows: &Rows, query: &kfl::Query, now: Timestamp) -> Json {
    let mut trial = Trial::default();
    let held = rows.held();
    let mut next = held.start;
    while next < held.end {
        let page = rows.page(next..held.end, STEP);
        let Some(last) = page.last().and_then(|row| row.node()) else {
            break;
        };
        next = last.number() + 1;
        for node in page.iter().filter_map(|row| row.node()) {
            trial.see(node);
            trial.want(node, query.matches(node, now));
        }
    }
    trial.json(query)
}

/// Tries a query on what an archive has, the newest reels first, in the same shape.
///
/// What streams hold is read once, and which of them match once more: a query may need what no index
/// holds.
///
/// # Errors
/// When the archive cannot be listed.
pub(super) fn try_on_archive(
    browse: &Browse,
    query: &kfl::Query,
    everything: &kfl::Query,
    now: Timestamp,
) -> Result<Json, StoreError> {
    let paths = || PATHS.iter().map(|path| (*path).to_owned()).collect();
    let mut trial = Trial::default();
    let mut all = browse.scan(everything.clone(), now, paths())?;
    let whole = read(&mut all, &mut |item| trial.see(item.node()))?;
    let first = trial.span.map_or(i64::MIN, |(from, _)| from);
    let since = match whole {
        true => all.since().map(|since| since.nanos().div_euclid(1_000_000)),
        false => trial.span.map(|(from, _)| from),
    };
    let mut matching = browse.scan(query.clone(), now, paths())?;
    read(&mut matching, &mut |item| {
        let node = item.node();
        // What lies before was not seen as a whole.
        if int(node, "timestamp") >= since.unwrap_or(first) {
            trial.want(node, kfl::Verdict::Match);
        }
    })?;
    browse.warn(matching.warnings());
    let mut told = trial.json(query);
    told["since"] = since.into();
    Ok(told)
}

/// Reads on until the end, or until the patience is over; whether it was the end.
fn read(scan: &mut Scan, each: &mut dyn FnMut(&crate::item::Item)) -> Result<bool, StoreError> {
    let until = Instant::now() + PATIENCE;
    while !scan.is_over() && Instant::now() < until {
        scan.step(until, each)?;
    }
    Ok(scan.is_over())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::sample;

    #[test]
    fn a_stream_counts_with_all_its_items() {
        let schema = kfl::Schema::empty();
        let query = kfl::compile("response.status == 500", &schema).unwrap();
        let mut trial = Trial::default();
        let failed = sample::http();
        let mut other = sample::http();
        other.src.endpoint.port += 1;
        for item in [&failed, &failed, &other] {
            trial.see(item.node());
        }
        trial.want(
            failed.node(),
            query.matches(failed.node(), Timestamp::default()),
        );
        trial.want(other.node(), kfl::Verdict::NoMatch);
        let told = trial.json(&query);
        assert_eq!(
            (&told["streams"], &told["streamsSeen"]),
            (&json!(1), &json!(2))
        );
        assert_eq!((&told["items"], &told["itemsSeen"]), (&json!(1), &json!(3)));
        let size = u64::try_from(int(failed.node(), "size")).unwrap();
        assert_eq!(told["bytes"], 2 * size);
        assert_eq!(told["byNamespace"][0]["namespace"], "shop");
    }
}
