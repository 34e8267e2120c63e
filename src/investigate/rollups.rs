//! Roll-ups: what the folders of an archive hold, in one object an hour or a day.
//!
//! In: folders that are over. Out: a list of their objects, written once beside the reels; from such
//! lists the reels again, without listing. What comes into a folder after that is marked by whoever
//! puts it there, and the marks lie beside the roll-ups, so that one listing tells both. Never:
//! needed; trusted beyond what a listing is: parts are held against their manifests, and `verify`
//! lists.
//!
//! ```text
//! rollups/cluster=<c>/date=<d>/[hour=<h>/]<hash>.rollup.zst      zstd of lines of JSON:
//!     {"format":1,"folder":"reels/cluster=<c>/date=<d>/","objects":n}
//!     [key behind the folder, size, version or null, nanoseconds of its time of writing]
//! rollups/cluster=<c>/date=<d>/hour=<h>/node=<n>/recording=<r>/<YYYYMMDDTHH>.late
//! ```

use std::collections::{BTreeMap, HashSet};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::days::{day_of, hour_folder};
use super::ranges::Used;
use super::reels::Archive;
use super::span::Span;
use crate::record::{PREFIX, ROLLUPS, SETTLED_AFTER, of_late_mark};
use crate::store::{Body, Digest, Entry, PutOptions, StoreError, hex};
use crate::time::Timestamp;

/// Ending of a roll-up.
const ENDING: &str = ".rollup.zst";

/// Version of the lines.
const FORMAT: u32 = 1;

/// Bytes of one roll-up that are read, unpacked: a day of a very large cluster.
const MAX_BYTES: u64 = 512 << 20;

/// Length of a line: a key has 1024 bytes at most.
const MAX_LINE: u64 = 8192;

/// Hours of a day of which there must be a roll-up before the others are listed one by one.
const MANY_HOURS: usize = 12;

/// Folders of a day into which something came late before all of it is listed.
const MAX_LATE: usize = 24;

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    format: u32,
    folder: String,
    objects: usize,
}

/// One object: key behind the folder, size, version, time of writing.
type Line = (String, u64, Option<String>, i64);

/// What lies beside the reels of an archive.
#[derive(Debug, Default)]
pub(super) struct Rollups {
    /// Roll-ups by the folders that they tell of, the newest of each.
    by_folder: BTreeMap<String, Entry>,
    /// Folders into which something came late, and the end of the hour in which it last did.
    late: BTreeMap<String, Timestamp>,
}

impl Rollups {
    /// Folders below that of a roll-up into which something may have come since it was written.
    fn late(&self, folder: &str, written: Timestamp) -> Vec<&str> {
        let below = self.late.range(folder.to_owned()..);
        let below = below.take_while(|(late, _)| late.starts_with(folder));
        // It was listed some time before it was written.
        let since = below.filter(|(_, came)| **came + SETTLED_AFTER > written);
        since.map(|(late, _)| late.as_str()).collect()
    }

    /// Whether a day is told by roll-ups instead of a listing.
    pub(super) fn tells(&self, day: &str) -> bool {
        let known = |folder: &str| self.by_folder.contains_key(folder);
        known(day)
            || (0..24)
                .filter(|hour| known(&hour_folder(day, *hour)))
                .count()
                >= MANY_HOURS
    }

    /// Whether a folder needs no roll-up: it has one, and nothing came later.
    fn is_told(&self, folder: &str) -> bool {
        let entry = self.by_folder.get(folder);
        entry.is_some_and(|entry| self.late(folder, entry.modified).is_empty())
    }
}

/// A roll-up that was written or checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolledUp {
    /// The folder, as `reels/cluster=c/date=2026-11-24/`.
    pub folder: String,
    /// Objects in it.
    pub objects: usize,
    /// Objects that the listing has and the roll-up has not, or the other way round; empty when both
    /// agree or it was written now.
    pub differs: Vec<String>,
}

impl Archive {
    /// The roll-ups that there are.
    pub(super) fn list_rollups(&self) -> Result<Rollups, StoreError> {
        let prefix = format!("{}{ROLLUPS}{}", self.base, self.below);
        let mut found = Rollups::default();
        let mut keys = 0;
        self.store.list(&prefix, &mut |entry| {
            keys += 1;
            let below = entry.key.strip_prefix(&self.base);
            let Some(below) = below.and_then(|below| below.strip_prefix(ROLLUPS)) else {
                return true;
            };
            if let Some((folder, came)) = of_late_mark(below) {
                let folder = format!("{}{PREFIX}{folder}/", self.base);
                let last = found.late.entry(folder).or_insert(came);
                *last = came.max(*last);
            } else if let Some((folder, _)) = below.rsplit_once('/')
                && below.ends_with(ENDING)
            {
                let folder = format!("{}{PREFIX}{folder}/", self.base);
                let known = found.by_folder.get(&folder);
                if known.is_none_or(|known| known.modified <= entry.modified) {
                    found.by_folder.insert(folder, entry);
                }
            }
            true
        })?;
        self.count_listed(keys);
        Ok(found)
    }

    /// The objects of a day by roll-ups; `None` when it is better listed.
    pub(super) fn rolled_up(
        &self,
        rollups: &Rollups,
        day: &str,
    ) -> Result<Option<Vec<Entry>>, StoreError> {
        if !rollups.tells(day) {
            return Ok(None);
        }
        let folders = match rollups.by_folder.contains_key(day) {
            true => vec![day.to_owned()],
            false => (0..24).map(|hour| hour_folder(day, hour)).collect(),
        };
        let mut entries = Vec::new();
        let mut late = Vec::new();
        for folder in &folders {
            match rollups.by_folder.get(folder) {
                Some(entry) => {
                    late.extend(rollups.late(folder, entry.modified));
                    entries.extend(self.read_rollup(folder, entry)?);
                }
                None => entries.extend(self.list_folder(folder)?),
            }
        }
        if late.len() > MAX_LATE {
            return Ok(None);
        }
        self.add_late(&late, &mut entries)?;
        Ok(Some(entries))
    }

    /// Adds what lies in `late` folders and is not among the entries.
    fn add_late(&self, late: &[&str], entries: &mut Vec<Entry>) -> Result<(), StoreError> {
        if late.is_empty() {
            return Ok(());
        }
        let known: HashSet<String> = entries.iter().map(|entry| entry.key.clone()).collect();
        for folder in late {
            let listed = self.list_folder(folder)?.into_iter();
            entries.extend(listed.filter(|entry| !known.contains(&entry.key)));
        }
        entries.sort_by(|left, right| left.key.cmp(&right.key));
        Ok(())
    }

    fn list_folder(&self, folder: &str) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        self.store.list(folder, &mut |entry| {
            entries.push(entry);
            true
        })?;
        self.count_listed(entries.len() as u64);
        Ok(entries)
    }

    fn read_rollup(&self, folder: &str, entry: &Entry) -> Result<Vec<Entry>, StoreError> {
        Used::add(&self.used.gets, 1);
        Used::add(&self.used.bytes, entry.size);
        let body = self.store.get_listed(entry, None)?;
        read(folder, body).map_err(|error| {
            let name = self.store.name();
            StoreError::Refused(format!(
                "the roll-up {name}/{} is damaged: {error}; delete it, the reels are complete without it",
                entry.key
            ))
        })
    }

    /// Writes the roll-ups that are missing: of days over before `until`, and of hours too when
    /// `hourly`, but of none that was not over for [`SETTLED_AFTER`] at `now`. What something came
    /// late into is rolled up anew. Calls `each` for every one.
    ///
    /// # Errors
    /// When the archive cannot be listed, or a roll-up not be written.
    pub fn roll_up(
        &self,
        until: Timestamp,
        now: Timestamp,
        hourly: bool,
        each: &mut dyn FnMut(&RolledUp),
    ) -> Result<(), StoreError> {
        let until = until.min(now - SETTLED_AFTER);
        let rollups = self.list_rollups()?;
        for day in self.partitions(&Span::default())? {
            let Some(start) = day_of(&day) else { continue };
            let is_over = start + Duration::from_secs(24 * 3600) <= until;
            let mut folders = Vec::new();
            match is_over {
                true => folders.push(day.clone()),
                false if hourly => {
                    let hours = (0..24u32).filter(|hour| {
                        let end = start + Duration::from_secs(u64::from(hour + 1) * 3600);
                        end <= until
                    });
                    folders.extend(hours.map(|hour| hour_folder(&day, hour)));
                }
                false => {}
            }
            for folder in folders {
                if rollups.is_told(&folder) {
                    continue;
                }
                let entries = self.list_folder(&folder)?;
                if entries.is_empty() {
                    continue;
                }
                self.write_rollup(&folder, &entries)?;
                each(&RolledUp {
                    folder,
                    objects: entries.len(),
                    differs: Vec::new(),
                });
            }
        }
        Ok(())
    }

    fn write_rollup(&self, folder: &str, entries: &[Entry]) -> Result<(), StoreError> {
        let packed = pack(folder, entries).map_err(|error| StoreError::Io(error.to_string()))?;
        let sha256: Digest = Sha256::digest(&packed).into();
        let below = folder.strip_prefix(&self.base).unwrap_or(folder);
        let below = below.strip_prefix(PREFIX).unwrap_or(below);
        let mut hash = hex(&sha256);
        hash.truncate(16);
        let key = format!("{}{ROLLUPS}{below}{hash}{ENDING}", self.base);
        let options = PutOptions {
            sha256,
            content_type: "application/zstd",
            write_once: true,
            ..PutOptions::default()
        };
        self.store.put(&key, Body::Bytes(&packed), &options)?;
        Ok(())
    }

    /// Holds every roll-up against a listing of its folder.
    ///
    /// # Errors
    /// When the archive cannot be listed, or a roll-up is damaged.
    pub fn check_rollups(&self, each: &mut dyn FnMut(&RolledUp)) -> Result<(), StoreError> {
        let rollups = self.list_rollups()?;
        for (folder, entry) in &rollups.by_folder {
            let mut told = self.read_rollup(folder, entry)?;
            self.add_late(&rollups.late(folder, entry.modified), &mut told)?;
            let told = by_key(told);
            let folder = folder.clone();
            let listed = by_key(self.list_folder(&folder)?);
            let objects = listed.len();
            let one_sided = |left: &BTreeMap<String, u64>, right: &BTreeMap<String, u64>| {
                let other = left
                    .iter()
                    .filter(|(key, size)| right.get(*key) != Some(size));
                other.map(|(key, _)| key.clone()).collect::<Vec<_>>()
            };
            let mut differs = one_sided(&listed, &told);
            differs.extend(one_sided(&told, &listed));
            differs.sort();
            differs.dedup();
            each(&RolledUp {
                folder,
                objects,
                differs,
            });
        }
        Ok(())
    }
}

fn by_key(entries: Vec<Entry>) -> BTreeMap<String, u64> {
    entries
        .into_iter()
        .map(|entry| (entry.key, entry.size))
        .collect()
}

fn pack(folder: &str, entries: &[Entry]) -> io::Result<Vec<u8>> {
    let mut out = zstd::Encoder::new(Vec::new(), 9)?;
    let head = Head {
        format: FORMAT,
        folder: folder.to_owned(),
        objects: entries.len(),
    };
    serde_json::to_writer(&mut out, &head)?;
    for entry in entries {
        let key = entry.key.strip_prefix(folder).unwrap_or(&entry.key);
        let line: Line = (
            key.to_owned(),
            entry.size,
            entry.version.clone(),
            entry.modified.nanos(),
        );
        out.write_all(b"\n")?;
        serde_json::to_writer(&mut out, &line)?;
    }
    out.finish()
}

fn read(folder: &str, body: impl Read) -> io::Result<Vec<Entry>> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut lines = BufReader::new(zstd::Decoder::new(body)?.take(MAX_BYTES));
    let mut text = Vec::new();
    let mut next = |text: &mut Vec<u8>| -> io::Result<bool> {
        text.clear();
        Ok(lines.by_ref().take(MAX_LINE).read_until(b'\n', text)? > 0)
    };
    next(&mut text)?;
    let head: Head = serde_json::from_slice(&text)?;
    if head.format > FORMAT {
        return Err(wrong("it was written by a later tapedeck"));
    }
    if head.folder != folder {
        return Err(wrong("it tells of another folder"));
    }
    let mut entries = Vec::new();
    while next(&mut text)? {
        let (key, size, version, modified): Line = serde_json::from_slice(&text)?;
        entries.push(Entry {
            key: format!("{folder}{key}"),
            size,
            version,
            modified: Timestamp::from_nanos(modified),
            oddity: None,
        });
    }
    match entries.len() == head.objects {
        true => Ok(entries),
        false => Err(wrong("it is cut off")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::super::ranges::Cache;
    use super::super::{Browse, Reading};
    use super::*;
    use crate::dissect::Protocols;
    use crate::flow::Limits;
    use crate::index::{Place, Writer, ending};
    use crate::item::sample;
    use crate::kfl;
    use crate::store::conformance::put;
    use crate::store::memory::MemoryStore;
    use crate::store::{Receipt, State, Store};

    const DAY: i64 = 86_400;

    /// 2026-11-24 00:00:00.
    const LAST: i64 = 1_795_478_400;

    /// Long after all of it.
    const NOW: Timestamp = Timestamp::from_secs(LAST + 30 * DAY, 0);

    fn reel(day: i64, number: i64) -> (String, i64) {
        // Days and times of reels of a year: 2,740 a day, 20 nodes.
        let first = LAST - day * DAY + number * DAY / 2740;
        let at = Timestamp::from_secs(first, 0).utc();
        let stem = format!(
            "reels/cluster=c/date={}/hour={}/node=node-{:02}/recording=r/{}-1700000000-{:06}-{:016x}",
            at.format("%Y-%m-%d"),
            at.format("%H"),
            number % 20,
            at.format("%Y%m%dT%H%M%SZ"),
            number / 20,
            (day * 3001 + number).wrapping_mul(0x9e37_79b9_7f4a_7c15u64 as i64) as u64,
        );
        (stem, first)
    }

    /// A year of a million reels: keys are made when they are listed, bodies those of `real`.
    struct Year {
        real: MemoryStore,
        days: i64,
        requests: AtomicU64,
    }

    impl Year {
        fn keys_of(&self, day: i64) -> Vec<String> {
            let mut keys = Vec::new();
            for number in 0..2740 {
                let (stem, first) = reel(day, number);
                let index = ending(Some((first, first + 60)));
                for ending in [&*index, "manifest.json", "names.jsonl", "pcapng.zst"] {
                    keys.push(format!("{stem}.{ending}"));
                }
            }
            keys.sort();
            keys
        }

        fn day_of(&self, prefix: &str) -> Option<i64> {
            let start = day_of(prefix)?;
            Some((LAST - start.secs()) / DAY)
        }
    }

    impl Store for Year {
        fn name(&self) -> String {
            "year".into()
        }
        fn put(
            &self,
            key: &str,
            body: Body<'_>,
            options: &PutOptions,
        ) -> Result<Receipt, StoreError> {
            self.real.put(key, body, options)
        }
        fn list(
            &self,
            prefix: &str,
            each: &mut dyn FnMut(Entry) -> bool,
        ) -> Result<(), StoreError> {
            if prefix.starts_with(ROLLUPS) {
                let mut keys = 0u64;
                self.real.list(prefix, &mut |entry| {
                    keys += 1;
                    each(entry)
                })?;
                self.requests
                    .fetch_add(keys.div_ceil(1000).max(1), Ordering::Relaxed);
                return Ok(());
            }
            let day = self.day_of(prefix).expect("only days are listed");
            let keys = self.keys_of(day);
            let keys = keys.iter().filter(|key| key.starts_with(prefix));
            for (at, key) in keys.enumerate() {
                if at % 1000 == 0 {
                    self.requests.fetch_add(1, Ordering::Relaxed);
                }
                let size = self.real.head(key)?.map_or(1000, |entry| entry.size);
                let entry = Entry {
                    key: key.clone(),
                    size,
                    version: None,
                    modified: Timestamp::default(),
                    oddity: None,
                };
                if !each(entry) {
                    break;
                }
            }
            Ok(())
        }
        fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
            self.requests.fetch_add(1, Ordering::Relaxed);
            Ok(match prefix {
                "" => vec!["reels/".into(), "rollups/".into()],
                "reels/" => vec!["reels/cluster=c/".into()],
                _ => (0..self.days)
                    .rev()
                    .map(|day| {
                        let at = Timestamp::from_secs(LAST - day * DAY, 0).utc();
                        format!("reels/cluster=c/date={}/", at.format("%Y-%m-%d"))
                    })
                    .collect(),
            })
        }
        fn get(
            &self,
            key: &str,
            version: Option<&str>,
            range: Option<(u64, u64)>,
        ) -> Result<Box<dyn Read + Send>, StoreError> {
            self.requests.fetch_add(1, Ordering::Relaxed);
            self.real.get(key, version, range)
        }
        fn head(&self, key: &str) -> Result<Option<Entry>, StoreError> {
            self.real.head(key)
        }
        fn state(&self, _: &str, _: Option<&str>) -> Result<Option<State>, StoreError> {
            unreachable!("readers ask for no state")
        }
        fn clear(&self, _: &str) -> Result<u64, StoreError> {
            unreachable!("readers do not clear")
        }
        fn facts(&self) -> BTreeMap<&'static str, String> {
            BTreeMap::new()
        }
    }

    /// A year whose newest reels have indexes.
    fn year(days: i64) -> Arc<Year> {
        let real = MemoryStore::new();
        for number in 2640..2740 {
            let (stem, first) = reel(0, number);
            let mut writer = Writer::new(Vec::new(), "r").unwrap();
            for second in (0..=60).step_by(3) {
                let mut item = sample::http();
                item.start = Timestamp::from_secs(first + second, 0);
                let place = Place {
                    stream: item.stream,
                    packet: Some(0),
                    frames: None,
                };
                writer.push(&item, &place).unwrap();
            }
            let (summary, bytes) = writer.finish().unwrap();
            let key = format!("{stem}.{}", ending(summary.seconds()));
            put(&real, &key, &bytes).unwrap();
        }
        Arc::new(Year {
            real,
            days,
            requests: AtomicU64::new(0),
        })
    }

    fn browse(year: &Arc<Year>, cache: Option<Arc<Cache>>) -> Browse {
        let archive = Archive::of(year.clone(), "").unwrap().unwrap();
        let reading = Reading {
            protocols: Protocols::all(),
            limits: Limits::default(),
            mark: String::new(),
        };
        Browse::new(archive, reading, cache)
    }

    fn newest(browse: &Browse, limit: usize) -> Vec<i64> {
        let query = kfl::compile("", &kfl::Schema::empty()).unwrap();
        let patience = Duration::from_secs(60);
        let page = browse
            .page(query, Timestamp::default(), None, limit, patience)
            .unwrap();
        page.items
            .iter()
            .map(|(_, item)| item.start.secs())
            .collect()
    }

    #[test]
    fn the_newest_page_of_a_million_reels_takes_few_requests() {
        let year = year(365);
        let archive = Archive::of(year.clone(), "").unwrap().unwrap();
        let mut wrote = Vec::new();
        // Of the two days that the newest page needs, and of the hours of the one that is not over.
        let rolled = |day: i64, hourly: bool, wrote: &mut Vec<RolledUp>| {
            let until = Timestamp::from_secs(LAST - (day - 1) * DAY, 0);
            archive.roll_up(until, NOW, hourly, &mut |one| wrote.push(one.clone()))
        };
        assert!(year.keys_of(0).len() / 4 * 365 >= 1_000_000);
        let before = year.requests.load(Ordering::Relaxed);
        let plain = newest(&browse(&year, None), 50);
        let without = year.requests.load(Ordering::Relaxed) - before;
        assert_eq!(plain.len(), 50);
        assert!(plain.is_sorted_by(|later, earlier| later >= earlier));
        rolled(364, false, &mut wrote).unwrap();
        assert_eq!(wrote.len(), 1);
        assert_eq!(wrote[0].objects, 2740 * 4);
        let day = archive.partitions(&Span::default()).unwrap()[363].clone();
        archive
            .write_rollup(&day, &archive.list_folder(&day).unwrap())
            .unwrap();
        let before = year.requests.load(Ordering::Relaxed);
        let began = std::time::Instant::now();
        assert_eq!(newest(&browse(&year, None), 50), plain);
        let with = year.requests.load(Ordering::Relaxed) - before;
        assert!(
            with <= 40 && with < without,
            "{with} requests, {without} without"
        );
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "{:?}",
            began.elapsed()
        );
    }

    #[test]
    fn what_came_after_a_roll_up_is_seen_through_it() {
        let store = Arc::new(MemoryStore::new());
        let reel = |hour: i64, number: u32| {
            let at = Timestamp::from_secs(LAST - DAY + hour * 3600, 0).utc();
            let stem = format!(
                "reels/cluster=c/date=2026-11-23/hour={hour:02}/node=n/recording=r/{}-5-{number:06}",
                at.format("%Y%m%dT%H%M%SZ")
            );
            put(
                &*store,
                &format!("{stem}-0123456789abcdef.pcapng.zst"),
                b"x",
            )
            .unwrap();
        };
        let reels = || {
            let archive = Archive::of(store.clone(), "").unwrap().unwrap();
            archive.reels(&Span::default()).unwrap().len()
        };
        // Objects of a store in memory are written now; a mark of later counts.
        let mark = |came: &str| {
            let place = "rollups/cluster=c/date=2026-11-23/hour=03/node=n/recording=r";
            put(&*store, &format!("{place}/{came}.late"), b"x").unwrap();
        };
        reel(3, 1);
        reel(4, 2);
        let archive = Archive::of(store.clone(), "").unwrap().unwrap();
        let mut count = 0;
        let early = Timestamp::from_secs(LAST + 60, 0);
        archive
            .roll_up(NOW, early, false, &mut |_| count += 1)
            .unwrap();
        assert_eq!(count, 0, "the day may still get reels");
        archive
            .roll_up(NOW, NOW, false, &mut |_| count += 1)
            .unwrap();
        assert_eq!((count, reels()), (1, 2));
        // Nobody may put a reel there without the mark.
        reel(3, 3);
        assert_eq!(reels(), 2);
        mark("21000101T00");
        assert_eq!(reels(), 3);
        let mut differs = 0;
        archive
            .check_rollups(&mut |one| differs += one.differs.len())
            .unwrap();
        assert_eq!(differs, 0);
        archive
            .roll_up(NOW, NOW, false, &mut |_| count += 1)
            .unwrap();
        assert_eq!((count, reels()), (2, 3));
    }

    #[test]
    fn a_roll_up_gives_the_listing_again_and_is_held_against_it() {
        let year = year(3);
        let archive = Archive::of(year.clone(), "").unwrap().unwrap();
        let until = Timestamp::from_secs(LAST + 3600 * 20, 0);
        let mut wrote = Vec::new();
        archive
            .roll_up(until, NOW, true, &mut |one| wrote.push(one.clone()))
            .unwrap();
        let (days, hours): (Vec<_>, Vec<_>) =
            wrote.iter().partition(|one| !one.folder.contains("hour="));
        assert_eq!((days.len(), hours.len()), (2, 20));
        let rollups = archive.list_rollups().unwrap();
        for day in archive.partitions(&Span::default()).unwrap() {
            let by_rollups = archive.rolled_up(&rollups, &day).unwrap().unwrap();
            assert_eq!(by_rollups, archive.list_folder(&day).unwrap(), "{day}");
        }
        let mut differs = Vec::new();
        let mut check = |archive: &Archive| {
            differs.clear();
            archive
                .check_rollups(&mut |one| differs.extend(one.differs.clone()))
                .unwrap();
            differs.len()
        };
        assert_eq!(check(&archive), 0);
        // One that forgets a reel is found.
        let (folder, entry) = rollups.by_folder.first_key_value().unwrap();
        let mut entries = archive.list_folder(folder).unwrap();
        entries.remove(7);
        let half = pack(folder, &entries).unwrap();
        let (place, _) = entry.key.rsplit_once('/').unwrap();
        put(&*year, &format!("{place}/ffffffffffffffff{ENDING}"), &half).unwrap();
        assert_eq!(check(&archive), 1);
        // And a damaged one is named.
        assert!(read(folder, &half[..half.len() / 2]).is_err());
        assert!(read("reels/other/", &half[..]).is_err());
    }
}
