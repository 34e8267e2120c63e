//! What a recording would have kept of the traffic that is held, or of an archive.
//!
//! In: the rows, or the items of an archive by its indexes; a query. Out: counts of items, streams
//! and bytes, by namespace and a day. A stream is recorded as a whole, so each counts with all its
//! items. Bytes are those of messages; headers of packets come on top. Never: memory that grows
//! beyond [`MAX_STREAMS`].
//!
//! An archive is read bit by bit: each request reads on for a while, and says how much is left.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ahash::RandomState;
use serde_json::{Value as Json, json};

use super::View;
use crate::investigate::{Browse, Scan};
use crate::item::{Node, int_at, lookup, text_at};
use crate::kfl;
use crate::pipeline::Rows;
use crate::time::Timestamp;

/// Streams that are counted one by one; items of later ones are counted, their streams are not.
const MAX_STREAMS: usize = 500_000;

/// Queries whose outcome over an archive is kept; the one asked for longest ago goes first.
const MAX_KEPT: usize = 4;

/// Time that one request reads an archive on for.
const PATIENCE: Duration = Duration::from_millis(800);

/// How long an outcome holds that was read to its end: the archive may grow.
const HOLDS: Duration = Duration::from_secs(300);

/// What is read of each item of an archive.
const PATHS: [&str; 11] = [
    "timestamp",
    "elapsedTime",
    "size",
    "stream",
    "worker",
    "src.ip",
    "src.port",
    "dst.ip",
    "dst.port",
    "src.namespace",
    "dst.namespace",
];

/// Tries of queries on an archive.
#[derive(Default)]
pub(super) struct Tries {
    kept: Mutex<Vec<(String, Arc<Mutex<Try>>)>>,
}

/// One query on an archive.
struct Try {
    made: Instant,
    /// What matches, then everything: both are read to the same reel.
    matching: Scan,
    all: Scan,
    tally: Tally,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tries {
    /// Tries a query on all that `view` has.
    ///
    /// ```text
    /// {"kfl", "items", "itemsSeen", "undecided", "streams", "streamsSeen", "bytes", "bytesSeen",
    ///  "from": ms, "to": ms, "bytesPerDay", "byNamespace": [{"namespace","streams","bytes","bytesPerDay"}],
    ///  "behind": items still to be read}
    /// ```
    ///
    /// With a `store` of the run, on what that has.
    ///
    /// # Errors
    /// One sentence, when an archive cannot be listed.
    pub(super) fn of(&self, view: &View, query: &kfl::Query, store: &str) -> Result<Json, String> {
        let now = view.clock.now();
        if !store.is_empty() {
            let browse = reach(view, store)?;
            return self.of_archive(&browse, &view.for_archive(query), store, now);
        }
        match view.indexed.get() {
            None => Ok(held(&view.rows, query, now)),
            Some(browse) => self.of_archive(browse, query, store, now),
        }
    }

    fn of_archive(
        &self,
        browse: &Browse,
        query: &kfl::Query,
        store: &str,
        now: Timestamp,
    ) -> Result<Json, String> {
        let key = format!("{store}\n{}", query.text());
        let mut kept = lock(&self.kept);
        let known = kept
            .iter()
            .position(|(known, _)| *known == key)
            .map(|at| kept.remove(at).1)
            .filter(|known| !lock(known).is_stale());
        let tried = match known {
            Some(known) => known,
            None => {
                let all = kfl::compile("", &kfl::Schema::empty()).map_err(|e| e.to_string())?;
                let scan = |query| {
                    let scan = browse.scan(query, now, PATHS.map(str::to_owned).into());
                    scan.map_err(|error| error.to_string())
                };
                Arc::new(Mutex::new(Try {
                    made: Instant::now(),
                    matching: scan(query.clone())?,
                    all: scan(all)?,
                    tally: Tally::default(),
                }))
            }
        };
        kept.push((key, tried.clone()));
        if kept.len() > MAX_KEPT {
            kept.remove(0);
        }
        drop(kept);
        lock(&tried).read_on(browse, query)
    }
}

/// The archive in a store of the run.
fn reach(view: &View, store: &str) -> Result<Browse, String> {
    if !view.run.stores().iter().any(|known| known == store) {
        let sentence = format!("{store:?} is no store of this run");
        return Err(format!("{sentence}; the view Archive shows those it has"));
    }
    let archive = view.run.archive(store)?;
    let archive = archive.ok_or_else(|| format!("{store} holds no reels yet"))?;
    let reading = view.reading.clone();
    let reading = reading.ok_or("the configuration does not let archives be read")?;
    Ok(Browse::new(archive, reading, None))
}

impl Try {
    fn is_over(&self) -> bool {
        self.matching.is_over() && self.all.is_over()
    }

    fn is_stale(&self) -> bool {
        self.is_over() && self.made.elapsed() > HOLDS
    }

    fn read_on(&mut self, browse: &Browse, query: &kfl::Query) -> Result<Json, String> {
        let until = Instant::now() + PATIENCE;
        let more = || Instant::now() < until;
        let Try {
            matching,
            all,
            tally,
            ..
        } = self;
        if !matching.is_over() {
            matching
                .step(&more, &mut |item| tally.note(item.node()))
                .map_err(|error| error.to_string())?;
            browse.warn(matching.warnings());
        }
        if matching.is_over() && !all.is_over() && more() {
            all.step(&more, &mut |item| tally.see_noted(item.node()))
                .map_err(|error| error.to_string())?;
            browse.warn(all.warnings());
        }
        let behind = matching.behind() + all.behind();
        // What nobody began is not over.
        let behind = if self.is_over() { 0 } else { behind.max(1) };
        Ok(self.tally.json(query.text(), behind))
    }
}

/// Tries a query on all rows that are held.
fn held(rows: &Rows, query: &kfl::Query, now: Timestamp) -> Json {
    let mut tally = Tally::default();
    let Ok(()) = rows.try_each(|row| {
        if let Some(node) = row.node() {
            tally.see(node);
            tally.want(node, query.matches(node, now));
        }
        Ok::<(), Infallible>(())
    });
    tally.json(query.text(), 0)
}

#[derive(Debug, Default)]
struct Stream {
    bytes: u64,
    is_seen: bool,
    is_wanted: bool,
    namespace: String,
}

/// Node, name and ends of a stream: names are of one run.
type Name = [String; 6];

/// What was counted so far.
#[derive(Debug, Default)]
struct Tally {
    streams: HashMap<Name, Stream, RandomState>,
    /// Exchanges of an archive that match, before their streams are known: where the packets had to
    /// be asked, streams have other names than in the indexes.
    noted: HashSet<u64, RandomState>,
    items: u64,
    seen: u64,
    undecided: u64,
    bytes_seen: u64,
    span: Option<(i64, i64)>,
}

impl Tally {
    fn stream<'a, N: Node<'a>>(&mut self, node: N) -> Option<&mut Stream> {
        let name = [
            "worker", "stream", "src.ip", "src.port", "dst.ip", "dst.port",
        ];
        let name = name.map(|path| match lookup(node, path).and_then(Node::int) {
            Some(number) => number.to_string(),
            None => text_at(node, path),
        });
        let has_room = self.streams.len() < MAX_STREAMS || self.streams.contains_key(&name);
        has_room.then(|| self.streams.entry(name).or_default())
    }

    /// Counts an item, whatever the query says.
    fn see<'a, N: Node<'a>>(&mut self, node: N) {
        let int = |path: &str| int_at(node, path);
        let bytes = u64::try_from(int("size")).unwrap_or_default();
        self.seen += 1;
        self.bytes_seen += bytes;
        let at = int("timestamp");
        let (from, to) = self.span.unwrap_or((at, at));
        self.span = Some((from.min(at), to.max(at)));
        if let Some(stream) = self.stream(node) {
            stream.bytes += bytes;
            stream.is_seen = true;
        }
    }

    /// Counts an item that matches; its stream is wanted when it is seen.
    fn note<'a, N: Node<'a>>(&mut self, node: N) {
        self.items += 1;
        let exchange = self.exchange(node);
        if self.noted.len() < MAX_STREAMS {
            self.noted.insert(exchange);
        }
    }

    /// Counts an item, and its stream as wanted when it was noted.
    fn see_noted<'a, N: Node<'a>>(&mut self, node: N) {
        self.see(node);
        if self.noted.contains(&self.exchange(node)) {
            self.want_stream(node);
        }
    }

    /// What an exchange is known by in every reading.
    fn exchange<'a, N: Node<'a>>(&self, node: N) -> u64 {
        let int = |path: &str| lookup(node, path).and_then(Node::int);
        let ends = ["worker", "src.ip", "src.port", "dst.ip", "dst.port"];
        let ends = ends.map(|path| text_at(node, path));
        let times = [int("timestamp"), int("elapsedTime")];
        self.noted.hasher().hash_one((ends, times))
    }

    /// Counts what the query says of an item.
    fn want<'a, N: Node<'a>>(&mut self, node: N, verdict: kfl::Verdict) {
        match verdict {
            kfl::Verdict::NoMatch => return,
            kfl::Verdict::Match => self.items += 1,
            // A recording keeps what it cannot decide.
            kfl::Verdict::Undecided => self.undecided += 1,
        }
        self.want_stream(node);
    }

    fn want_stream<'a, N: Node<'a>>(&mut self, node: N) {
        if let Some(stream) = self.stream(node)
            && !stream.is_wanted
        {
            stream.is_wanted = true;
            stream.namespace = Some(text_at(node, "dst.namespace"))
                .filter(|namespace| !namespace.is_empty())
                .unwrap_or_else(|| text_at(node, "src.namespace"));
        }
    }

    fn json(&self, kfl: &str, behind: u64) -> Json {
        let (from, to) = self.span.unwrap_or_default();
        let days = ((to - from) as f64 / 86_400_000.0).max(1.0 / 86_400.0);
        let a_day = |bytes: u64| (bytes as f64 / days) as u64;
        let mut by_namespace: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        let mut total = (0_u64, 0_u64);
        for stream in self.streams.values().filter(|stream| stream.is_wanted) {
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
            "kfl": kfl,
            "items": self.items,
            "itemsSeen": self.seen,
            "undecided": self.undecided,
            "streams": total.0,
            "streamsSeen": self.streams.values().filter(|stream| stream.is_seen).count(),
            "bytes": total.1,
            "bytesSeen": self.bytes_seen,
            "from": from,
            "to": to,
            "bytesPerDay": a_day(total.1),
            "byNamespace": by_namespace,
            "behind": behind,
        })
    }
}
