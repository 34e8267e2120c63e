//! The reels of an archive, found by their keys alone.
//!
//! In: a store and a time range. Out: for each reel its packets, index, names and manifest as
//! listed. Never: bodies; more of the listing than the partitions that the range can need.
//!
//! Partitions are by the time of a reel's first packet. A look-back may begin long before what made
//! the recording take the stream, so partitions of [`LOOK_BACK`] before the range are listed too;
//! what lies in them and ends before the range is ruled out by the span in its index's key.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::group::{Place, named_second, reel_stem};
use super::ranges::Used;
use super::{OpenError, Options};
use crate::index;
use crate::record::PREFIX;
use crate::store::cloud;
use crate::store::folder::FolderStore;
use crate::store::s3::S3Store;
use crate::store::{Entry, Store, StoreError, s3_parts};
use crate::time::Timestamp;

/// How long before its matches a reel may begin and still be found by a time range.
const LOOK_BACK: Duration = Duration::from_secs(24 * 3600);

/// How long after its request an exchange may end and still be found by a time range.
const LONGEST_EXCHANGE: Duration = Duration::from_secs(3600);

/// Reels that are listed at most, some 600 bytes each: a month of a large cluster.
const MAX_REELS: usize = 1_000_000;

/// Partitions that are listed at the same time.
const PARALLEL: usize = 8;

/// Keys of one page of a listing.
const PAGE_KEYS: u64 = 1000;

/// A time range, both ends optional and within it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first moment.
    pub from: Option<Timestamp>,
    /// The last moment.
    pub to: Option<Timestamp>,
}

impl Span {
    /// Whether a moment lies in it.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= at) && self.to.is_none_or(|to| at <= to)
    }

    /// Whether any moment from `first` to `last`, in nanoseconds, may lie in it.
    pub(super) fn touches(&self, first: i64, last: i64) -> bool {
        self.from.is_none_or(|from| from.nanos() <= last)
            && self.to.is_none_or(|to| first <= to.nanos())
    }
}

/// The objects of one reel.
#[derive(Debug, Default, Clone)]
pub(super) struct Reel {
    /// What all its keys have in common.
    pub(super) stem: String,
    pub(super) packets: Vec<Entry>,
    pub(super) index: Option<Entry>,
    pub(super) names: Option<Entry>,
    pub(super) manifest: Option<Entry>,
}

impl Reel {
    /// Nanoseconds within which its items lie, as far as its keys tell.
    pub(super) fn span(&self) -> (i64, i64) {
        let nanos = |second: i64| second.saturating_mul(1_000_000_000);
        match self
            .index
            .as_ref()
            .and_then(|entry| index::span_of(&entry.key))
        {
            Some((first, last)) => (nanos(first), nanos(last).saturating_add(999_999_999)),
            // The first packet of a reel is hardly later than its first item.
            None => (named_second(&self.stem).map_or(i64::MIN, nanos), i64::MAX),
        }
    }

    /// Its node, run and recording, and its number in the run.
    pub(super) fn number(&self) -> Option<(String, u64)> {
        let entry = self.index.as_ref().or(self.packets.first())?;
        let number = self.stem.rsplit('-').next()?.parse().ok()?;
        Some((Place::of(&entry.key)?.key, number))
    }

    /// Whether there is anything of items in it: signs of life have none.
    fn has_items(&self) -> bool {
        self.index.is_some() || !self.packets.is_empty()
    }
}

/// A store with reels in it.
pub struct Archive {
    pub(super) store: Arc<dyn Store>,
    /// What stands in front of `reels/`.
    base: String,
    /// What was asked for below it: empty, or whole partitions.
    below: String,
    pub(super) used: Arc<Used>,
}

impl Archive {
    /// The archive that `spec` names: a folder, `s3://bucket`, or a prefix of either; `None` when
    /// there are no reels.
    ///
    /// # Errors
    /// What the store says.
    pub fn open(spec: &str, options: &Options) -> Result<Option<Archive>, OpenError> {
        if let Some((bucket, rest)) = s3_parts(spec) {
            let mut s3 = options.store.s3.clone();
            s3.bucket = bucket.to_owned();
            s3.prefix = String::new();
            return Ok(Archive::of(Arc::new(S3Store::new(s3)?), rest)?);
        }
        if let Some((scheme, bucket, rest)) = cloud::parts(spec) {
            let store = cloud::CloudStore::new(scheme, bucket, "", &options.store.cloud)?;
            return Ok(Archive::of(Arc::new(store), rest)?);
        }
        let path = Path::new(spec.strip_prefix("file://").unwrap_or(spec));
        if !path.is_dir() {
            return Ok(None);
        }
        Ok(Archive::of(Arc::new(FolderStore::open(path)?), "")?)
    }

    /// The archive in a store; `None` when there are no reels.
    ///
    /// # Errors
    /// What the store says.
    pub fn over(store: Arc<dyn Store>) -> Result<Option<Archive>, StoreError> {
        Archive::of(store, "")
    }

    pub(super) fn of(store: Arc<dyn Store>, rest: &str) -> Result<Option<Archive>, StoreError> {
        let rest = match rest.is_empty() || rest.ends_with('/') {
            true => rest.to_owned(),
            false => format!("{rest}/"),
        };
        let (base, below) = rest.split_at(rest.find(PREFIX).unwrap_or(rest.len()));
        let below = below.strip_prefix(PREFIX).unwrap_or(below);
        let archive = Archive {
            base: base.to_owned(),
            below: below.to_owned(),
            used: Arc::default(),
            store,
        };
        let has_reels = !archive.folders(&archive.root())?.is_empty() || !below.is_empty();
        Ok(has_reels.then_some(archive))
    }

    /// What reading took so far.
    pub fn used(&self) -> &Used {
        &self.used
    }

    pub(super) fn root(&self) -> String {
        format!("{}{PREFIX}{}", self.base, self.below)
    }

    fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        Used::add(&self.used.lists, 1);
        self.store.folders(prefix)
    }

    /// The reels that may hold items of `span`, in no order.
    pub(super) fn reels(&self, span: &Span) -> Result<Vec<Reel>, StoreError> {
        let mut reels = Vec::new();
        for days in self.partitions(span)?.chunks(PARALLEL) {
            self.add(days, span, &mut reels)?;
        }
        Ok(reels)
    }

    /// The same, the newest days first: each call gives the reels of some days more, and the end of
    /// what the days behind can hold.
    pub(super) fn by_day(&self, span: &Span) -> Result<Days<'_>, StoreError> {
        let mut partitions = self.partitions(span)?;
        // The newest stands last, so that it is taken first.
        partitions.sort_by_key(|partition| day_of(partition));
        Ok(Days {
            archive: self,
            partitions,
            span: *span,
        })
    }

    fn add(&self, days: &[String], span: &Span, reels: &mut Vec<Reel>) -> Result<(), StoreError> {
        let found: Vec<Result<Vec<Reel>, StoreError>> = std::thread::scope(|scope| {
            let threads: Vec<_> = days
                .iter()
                .map(|day| scope.spawn(move || self.list(day, span)))
                .collect();
            let ended = threads.into_iter().map(|thread| {
                let lost = || Err(StoreError::Unavailable("a listing ended early".into()));
                thread.join().unwrap_or_else(|_| lost())
            });
            ended.collect()
        });
        for day in found {
            reels.extend(day?);
        }
        Ok(())
    }

    /// The days of all clusters that the range can need; the whole when there are no such folders.
    pub(super) fn partitions(&self, span: &Span) -> Result<Vec<String>, StoreError> {
        let root = self.root();
        let mut open = vec![root.clone()];
        let mut days = Vec::new();
        // Cluster, then date: deeper ones are listed as they are.
        for _ in 0..2 {
            let mut next = Vec::new();
            for folder in std::mem::take(&mut open) {
                if day_of(&folder).is_some() {
                    days.push(folder);
                    continue;
                }
                next.extend(self.folders(&folder)?);
            }
            open = next;
        }
        days.extend(open);
        days.retain(|day| {
            let Some(start) = day_of(day) else {
                return true;
            };
            let end = start + Duration::from_secs(24 * 3600);
            let late = span.to.is_some_and(|to| start > to + LONGEST_EXCHANGE);
            let early = span.from.is_some_and(|from| end + LOOK_BACK < from);
            !(late || early)
        });
        Ok(days)
    }

    /// The reels of one partition.
    pub(super) fn list(&self, partition: &str, span: &Span) -> Result<Vec<Reel>, StoreError> {
        let mut reels: BTreeMap<String, Reel> = BTreeMap::new();
        let mut keys = 0u64;
        self.store.list(partition, &mut |entry| {
            keys += 1;
            if is_late(&entry.key, span) {
                return false;
            }
            let Some(stem) = reel_stem(&entry.key) else {
                return true;
            };
            let reel = reels.entry(stem.to_owned()).or_insert_with(|| Reel {
                stem: stem.to_owned(),
                ..Reel::default()
            });
            let file = entry.key.rsplit('/').next().unwrap_or_default();
            if file.ends_with(index::ENDING) {
                reel.index = Some(entry);
            } else if file.ends_with(".manifest.json") {
                reel.manifest = Some(entry);
            } else if file.ends_with(".names.jsonl") {
                reel.names = Some(entry);
            } else if super::plan::kind_of(file) == Some(super::plan::Kind::Capture) {
                reel.packets.push(entry);
            }
            reels.len() < MAX_REELS
        })?;
        Used::add(&self.used.lists, keys.div_ceil(PAGE_KEYS).max(1));
        let mut reels: Vec<Reel> = reels.into_values().collect();
        reels.retain(|reel| {
            let (first, last) = reel.span();
            reel.has_items() && span.touches(first, last)
        });
        Ok(reels)
    }
}

/// Whether the hour of a key begins so long after the range that neither it nor a later one can hold
/// what was asked in the range.
fn is_late(key: &str, span: &Span) -> bool {
    let hour = key.split('/').find_map(|part| part.strip_prefix("hour="));
    let hour = hour.and_then(|hour| hour.parse::<u64>().ok());
    match (day_of(key), hour, span.to) {
        (Some(day), Some(hour), Some(to)) => {
            day + Duration::from_secs(hour * 3600) > to + LONGEST_EXCHANGE
        }
        _ => false,
    }
}

/// Reels, the newest days first.
pub(super) struct Days<'a> {
    archive: &'a Archive,
    partitions: Vec<String>,
    span: Span,
}

impl Days<'_> {
    /// The reels of the next day, of all clusters, and of the day before it at first; `None` when
    /// there are no more.
    pub(super) fn next(&mut self) -> Result<Option<Vec<Reel>>, StoreError> {
        let Some(newest) = self.partitions.last() else {
            return Ok(None);
        };
        let newest = day_of(newest);
        let mut days = Vec::new();
        while let Some(partition) = self.partitions.pop_if(|last| day_of(last) == newest) {
            days.push(partition);
        }
        let mut reels = Vec::new();
        for days in days.chunks(PARALLEL) {
            self.archive.add(days, &self.span, &mut reels)?;
        }
        Ok(Some(reels))
    }

    /// Nanoseconds behind which no reel that is not listed yet has an item.
    pub(super) fn bound(&self) -> i64 {
        match self.partitions.last() {
            None => i64::MIN,
            Some(partition) => day_of(partition).map_or(i64::MAX, |start| {
                (start + Duration::from_secs(24 * 3600) + LOOK_BACK).nanos()
            }),
        }
    }
}

/// Start of the day of a `date=YYYY-MM-DD/` folder.
fn day_of(folder: &str) -> Option<Timestamp> {
    let date = folder
        .split('/')
        .find_map(|part| part.strip_prefix("date="))?;
    let day = chrono::NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?;
    let start = day.and_hms_opt(0, 0, 0)?.and_utc().timestamp();
    Some(Timestamp::from_secs(start, 0))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::store::conformance;
    use crate::store::memory::MemoryStore;

    const HOUR: i64 = 3600;

    /// A reel of a day and hour whose items lie between two seconds.
    fn put(store: &MemoryStore, date: &str, hour: u32, first: i64, last: i64) {
        let folder = format!(
            "x/reels/cluster=c/date={date}/hour={hour:02}/node=n/recording=r/{}T{hour:02}0000Z-5-000001",
            date.replace('-', "")
        );
        for ending in [
            "pcapng.zst".to_owned(),
            index::ending(Some((first, last))),
            "manifest.json".to_owned(),
        ] {
            conformance::put(store, &format!("{folder}-0123456789abcdef.{ending}"), b"x").unwrap();
        }
    }

    fn second(text: &str) -> i64 {
        Timestamp::parse(text).unwrap().secs()
    }

    #[test]
    fn keys_alone_tell_which_reels_a_range_needs() {
        let store = Arc::new(MemoryStore::new());
        let noon = second("2026-11-24T12:00:00Z");
        put(
            &store,
            "2026-11-20",
            3,
            noon - 105 * HOUR,
            noon - 104 * HOUR,
        );
        // A look-back over midnight, into the range.
        put(&store, "2026-11-23", 23, noon - 13 * HOUR, noon + 60);
        put(&store, "2026-11-24", 11, noon - HOUR, noon - 60);
        put(&store, "2026-11-24", 12, noon, noon + 600);
        put(&store, "2026-11-25", 1, noon + 13 * HOUR, noon + 14 * HOUR);
        let archive = Archive::of(store, "x").unwrap().unwrap();
        let span = Span {
            from: Some(Timestamp::from_secs(noon, 0)),
            to: Some(Timestamp::from_secs(noon + HOUR, 0)),
        };
        let reels = archive.reels(&span).unwrap();
        let firsts: Vec<i64> = reels
            .iter()
            .map(|reel| reel.span().0 / 1_000_000_000)
            .collect();
        assert_eq!(firsts, [noon - 13 * HOUR, noon]);
        // Folders of clusters (twice) and of dates, and two days.
        assert_eq!(archive.used.lists.load(Ordering::Relaxed), 5);
    }

    #[test]
    fn days_come_the_newest_first_with_what_the_rest_can_hold() {
        let store = Arc::new(MemoryStore::new());
        for (date, at) in [
            ("2026-11-23", "2026-11-23T05:00:00Z"),
            ("2026-11-24", "2026-11-24T05:00:00Z"),
        ] {
            put(&store, date, 5, second(at), second(at));
        }
        let archive = Archive::of(store, "x/").unwrap().unwrap();
        let mut days = archive.by_day(&Span::default()).unwrap();
        let first = days.next().unwrap().unwrap();
        assert!(first[0].stem.contains("date=2026-11-24"));
        let bound = second("2026-11-25T00:00:00Z");
        assert_eq!(days.bound(), bound * 1_000_000_000);
        assert_eq!(days.next().unwrap().unwrap().len(), 1);
        assert!(days.next().unwrap().is_none());
        assert_eq!(days.bound(), i64::MIN);
    }

    #[test]
    fn a_place_without_reels_is_no_archive() {
        let store = Arc::new(MemoryStore::new());
        conformance::put(&*store, "x/a.pcap", b"x").unwrap();
        assert!(Archive::of(store, "x").unwrap().is_none());
    }
}
