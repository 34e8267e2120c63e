//! The reels of an archive, found by their keys alone.
//!
//! In: a store and a time range. Out: for each reel its packets, index, names and manifest as
//! listed. Never: bodies; more of the listing than the partitions that the range can need.
//!
//! Partitions are by the time of a reel's first packet. A look-back may begin long before what made
//! the recording take the stream, so partitions of [`LOOK_BACK`] before the range are listed too;
//! what lies in them and ends before the range is ruled out by the span in its index's key.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::days::{Days, Piece, day_of, hour_beside, is_late};
use super::kept::Rereading;
use super::plan::folder_of;
use super::ranges::{Readers, Used};
use super::reel::{Gathered, Reel};
use super::rollups::Rollups;
use super::span::Span;
use super::{OpenError, Options};
use crate::index::Reader;
use crate::record::{PREFIX, ROLLUPS};
use crate::store::cloud;
use crate::store::folder::FolderStore;
use crate::store::memory::MemoryStore;
use crate::store::s3::S3Store;
use crate::store::{Store, StoreError, s3_parts};

/// How long before its matches a reel may begin and still be found by a time range.
pub(super) const LOOK_BACK: Duration = Duration::from_secs(24 * 3600);

/// How long after its request an exchange may end and still be found by a time range.
pub(super) const LONGEST_EXCHANGE: Duration = Duration::from_secs(3600);

/// Listings that are asked for at the same time.
const PARALLEL: usize = 16;

/// Keys of one page of a listing.
const PAGE_KEYS: u64 = 1000;

/// How long listings hold for whoever looks again and again.
const LISTING_HOLDS: Duration = Duration::from_secs(30);

/// Listings that are kept for them, and reels in them.
const KEPT_LISTINGS: usize = 64;
const KEPT_REELS: usize = 100_000;

/// Sentences that are kept until somebody asks.
const MAX_WARNINGS: usize = 16;

/// A store with reels in it.
pub struct Archive {
    pub(super) store: Arc<dyn Store>,
    /// What stands in front of `reels/`.
    pub(super) base: String,
    /// What was asked for below it: empty, or whole partitions.
    pub(super) below: String,
    pub(super) used: Arc<Used>,
    /// Indexes that are open.
    pub(super) readers: Readers,
    /// What was listed, for whoever looks again and again.
    listings: Option<Mutex<Listings>>,
    /// Folders at its root, as they were when it was opened, until they are needed.
    opened: Mutex<Option<Vec<String>>>,
    /// Roll-ups and marks of what came late, and when they were listed.
    rollups: Mutex<Option<(Instant, Arc<Rollups>)>>,
    /// All there is, where an index was made of a source that is no archive.
    only: Option<Arc<Reel>>,
    /// Reads that source again.
    pub(super) source: Option<Arc<Rereading>>,
    /// What went wrong with what is beside the reels.
    warnings: Mutex<Vec<String>>,
}

/// The reels of a partition, and when they were listed.
type Day = (String, Instant, Arc<Vec<Arc<Reel>>>);

/// Listings, the one used last at the end.
#[derive(Default)]
struct Listings {
    partitions: Option<(Instant, Arc<Vec<String>>)>,
    days: Vec<Day>,
}

/// Which piece was listed, and the reels in it.
type Listed = (usize, Vec<Arc<Reel>>);

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
            readers: Readers::default(),
            listings: None,
            opened: Mutex::default(),
            rollups: Mutex::default(),
            only: None,
            source: None,
            warnings: Mutex::default(),
            store,
        };
        let folders = archive.folders(&archive.root())?;
        let has_reels = !folders.is_empty() || !below.is_empty();
        *archive
            .opened
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(folders);
        Ok(has_reels.then_some(archive))
    }

    /// One index of a source that people call `name` and that is no archive; `again` reads it for
    /// what the index lacks.
    pub(super) fn of_index(name: &str, reader: Reader, again: Rereading) -> Archive {
        let only = Arc::new(Reel {
            stem: name.to_owned(),
            ..Reel::default()
        });
        let archive = Archive {
            store: Arc::new(MemoryStore::new()),
            base: String::new(),
            below: String::new(),
            used: Arc::default(),
            readers: Readers::default(),
            listings: None,
            opened: Mutex::default(),
            rollups: Mutex::default(),
            only: Some(only),
            source: Some(Arc::new(again)),
            warnings: Mutex::default(),
        };
        archive.readers.keep(name, &Arc::new(reader));
        archive
    }

    /// What reading took so far.
    pub fn used(&self) -> &Used {
        &self.used
    }

    /// What people call it.
    pub fn name(&self) -> String {
        match &self.only {
            Some(only) => only.stem.clone(),
            None => self.store.name(),
        }
    }

    /// What went wrong with what is beside the reels, one sentence each; takes the sentences out.
    pub(super) fn warnings(&self) -> Vec<String> {
        std::mem::take(&mut *self.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn warn(&self, sentence: String) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if warnings.len() < MAX_WARNINGS && !warnings.contains(&sentence) {
            warnings.push(sentence);
        }
    }

    /// All there is, where an index was made of a source that is no archive.
    pub(super) fn only(&self) -> Option<&Arc<Reel>> {
        self.only.as_ref()
    }

    /// Keeps what it lists for a while.
    pub(super) fn keep_listings(&mut self) {
        self.listings = Some(Mutex::default());
    }

    pub(super) fn root(&self) -> String {
        format!("{}{PREFIX}{}", self.base, self.below)
    }

    fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        Used::add(&self.used.lists, 1);
        self.store.folders(prefix)
    }

    /// The reels that may hold items of `span`, in no order.
    pub(super) fn reels(&self, span: &Span) -> Result<Vec<Arc<Reel>>, StoreError> {
        let mut reels = Vec::new();
        self.add(&self.pieces(span)?, span, &mut reels)?;
        Ok(reels)
    }

    /// The same, the newest days first: each call gives the reels of some days more, and the end of
    /// what the days behind can hold.
    pub(super) fn by_day(self: &Arc<Self>, span: &Span) -> Result<Days, StoreError> {
        Ok(Days::new(self.clone(), self.pieces(span)?, *span))
    }

    /// The reel before one (`by` -1) or behind it (`by` 1) of the same node, run and recording;
    /// `None` when there is none within an hour.
    pub(super) fn beside(&self, reel: &Reel, by: i64) -> Result<Option<Arc<Reel>>, StoreError> {
        let Some((chain, number)) = reel.number() else {
            return Ok(None);
        };
        let Some(wanted) = number.checked_add_signed(by) else {
            return Ok(None);
        };
        let folder = format!("{}/", folder_of(&reel.stem));
        let other = hour_beside(&folder, by);
        for folder in std::iter::once(folder).chain(other) {
            let found = self.list_all(&folder)?.into_iter().find(|other| {
                let number = other.number();
                number.is_some_and(|(other, number)| other == chain && number == wanted)
            });
            if let Some(found) = found {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Adds the reels of all `pieces` that may hold items of `span`, in the order of the pieces.
    pub(super) fn add(
        &self,
        pieces: &[Piece],
        span: &Span,
        reels: &mut Vec<Arc<Reel>>,
    ) -> Result<(), StoreError> {
        let next = AtomicUsize::new(0);
        let list = || -> Result<Vec<Listed>, StoreError> {
            let mut found = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(piece) = pieces.get(at) else {
                    return Ok(found);
                };
                found.push((at, self.list_piece(piece, span)?));
            }
        };
        let found: Vec<Result<Vec<Listed>, StoreError>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..PARALLEL.min(pieces.len()))
                .map(|_| scope.spawn(list))
                .collect();
            let ended = threads.into_iter().map(|thread| {
                let lost = || Err(StoreError::Unavailable("a listing ended early".into()));
                thread.join().unwrap_or_else(|_| lost())
            });
            ended.collect()
        });
        let mut listed = Vec::with_capacity(pieces.len());
        for some in found {
            listed.extend(some?);
        }
        listed.sort_unstable_by_key(|(at, _)| *at);
        reels.extend(listed.into_iter().flat_map(|(_, some)| some));
        Ok(())
    }

    /// Whether nothing but reels lies in its folders.
    pub(super) fn is_alone(&self) -> Result<bool, StoreError> {
        if !self.below.is_empty() {
            return Ok(true);
        }
        let ours = [PREFIX, ROLLUPS].map(|folder| format!("{}{folder}", self.base));
        let folders = self.folders(&self.base)?;
        Ok(folders.iter().all(|folder| ours.contains(folder)))
    }

    /// The days of all clusters that the range can need; the whole when there are no such folders.
    pub(super) fn partitions(&self, span: &Span) -> Result<Vec<String>, StoreError> {
        let mut days = match &self.listings {
            None => self.all_partitions()?,
            Some(kept) => {
                let kept = || kept.lock().unwrap_or_else(PoisonError::into_inner);
                let found = kept().partitions.clone();
                match found.filter(|(at, _)| at.elapsed() < LISTING_HOLDS) {
                    Some((_, days)) => days.to_vec(),
                    None => {
                        let days = self.all_partitions()?;
                        kept().partitions = Some((Instant::now(), Arc::new(days.clone())));
                        days
                    }
                }
            }
        };
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

    fn all_partitions(&self) -> Result<Vec<String>, StoreError> {
        if self.only.is_some() {
            return Ok(vec![String::new()]);
        }
        let root = self.root();
        if day_of(&root).is_some() {
            return Ok(vec![root]);
        }
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let clusters = match opened.take() {
            Some(folders) => folders,
            None => self.folders(&root)?,
        };
        drop(opened);
        std::thread::scope(|scope| {
            // Needed for each day; whoever needs it then is told when it fails.
            scope.spawn(|| self.rollups());
            // Cluster, then date: deeper ones are listed as they are.
            let mut days = Vec::new();
            for folder in clusters {
                match day_of(&folder) {
                    Some(_) => days.push(folder),
                    None => days.extend(self.folders(&folder)?),
                }
            }
            Ok(days)
        })
    }

    /// All that lies in one partition, signs of life among it.
    pub(super) fn gathered(&self, partition: &str) -> Result<Vec<Arc<Reel>>, StoreError> {
        match &self.only {
            Some(only) => Ok(vec![only.clone()]),
            None => Ok(self.gather(partition, &Span::default())?.all()),
        }
    }

    /// The reels of one partition that may hold items of `span`.
    pub(super) fn list(&self, partition: &str, span: &Span) -> Result<Vec<Arc<Reel>>, StoreError> {
        if let Some(only) = &self.only {
            return Ok(vec![only.clone()]);
        }
        let mut reels = match &self.listings {
            None => self.list_until(partition, span)?,
            Some(kept) => {
                let kept = || kept.lock().unwrap_or_else(PoisonError::into_inner);
                let found = kept().of(partition);
                match found {
                    Some(reels) => reels,
                    None => {
                        let reels = self.list_all(partition)?;
                        kept().keep(partition, &reels);
                        reels
                    }
                }
            }
        };
        reels.retain(|reel| {
            let (first, last) = reel.span();
            span.touches(first, last)
        });
        Ok(reels)
    }

    fn list_all(&self, prefix: &str) -> Result<Vec<Arc<Reel>>, StoreError> {
        self.list_until(prefix, &Span::default())
    }

    /// The reels below a prefix, up to the hour at whose start `span` is over.
    fn list_until(&self, prefix: &str, span: &Span) -> Result<Vec<Arc<Reel>>, StoreError> {
        Ok(self.gather(prefix, span)?.reels())
    }

    fn gather(&self, prefix: &str, span: &Span) -> Result<Gathered, StoreError> {
        let mut found = Gathered::default();
        if day_of(prefix).is_some() {
            let rollups = self.rollups()?;
            if let Some(entries) = self.rolled_up(&rollups, prefix)? {
                entries.into_iter().all(|entry| found.add(entry));
                return Ok(found);
            }
        }
        let mut keys = 0u64;
        self.store.list(prefix, &mut |entry| {
            keys += 1;
            !is_late(&entry.key, span) && found.add(entry)
        })?;
        self.count_listed(keys);
        Ok(found)
    }

    /// Counts the pages of a listing.
    pub(super) fn count_listed(&self, keys: u64) {
        Used::add(&self.used.lists, keys.div_ceil(PAGE_KEYS).max(1));
    }

    /// Roll-ups of its days; none where they may not be listed.
    pub(super) fn rollups(&self) -> Result<Arc<Rollups>, StoreError> {
        let mut known = self.rollups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, found)) = &*known
            && at.elapsed() < LISTING_HOLDS
        {
            return Ok(found.clone());
        }
        let found = match self.list_rollups() {
            // Whoever may read the reels alone does without.
            Err(StoreError::Denied(_)) => Rollups::default(),
            found => found?,
        };
        let found = Arc::new(found);
        *known = Some((Instant::now(), found.clone()));
        Ok(found)
    }
}

impl Listings {
    /// The reels of a partition, by its own listing or by one that it is part of.
    fn of(&mut self, partition: &str) -> Option<Vec<Arc<Reel>>> {
        self.days.retain(|(_, at, _)| at.elapsed() < LISTING_HOLDS);
        let found = self
            .days
            .iter()
            .find(|(whole, ..)| partition.starts_with(whole.as_str()));
        found.map(|(_, _, reels)| {
            let inside = reels.iter().filter(|reel| reel.stem.starts_with(partition));
            inside.cloned().collect()
        })
    }

    fn keep(&mut self, partition: &str, reels: &[Arc<Reel>]) {
        let kept = |days: &[Day]| days.iter().map(|(_, _, reels)| reels.len()).sum::<usize>();
        while self.days.len() >= KEPT_LISTINGS
            || !self.days.is_empty() && kept(&self.days) + reels.len() > KEPT_REELS
        {
            self.days.remove(0);
        }
        let reels = Arc::new(reels.to_vec());
        self.days
            .push((partition.to_owned(), Instant::now(), reels));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index;
    use crate::store::conformance;
    use crate::time::Timestamp;

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
        // Folders of clusters and of dates, roll-ups, and of the day before and the day itself the
        // hours from noon and up to two.
        assert_eq!(archive.used.lists.load(Ordering::Relaxed), 3 + 12 + 15);
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
        let archive = Arc::new(Archive::of(store, "x/").unwrap().unwrap());
        let mut days = archive.by_day(&Span::default()).unwrap();
        let first = days.next().unwrap().unwrap();
        assert!(first[0].stem.contains("date=2026-11-24"));
        let bound = second("2026-11-25T00:00:00Z");
        assert_eq!(days.bound(), bound * 1_000_000_000 - 1);
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
