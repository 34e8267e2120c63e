//! Roll-ups of a year of reels, of what came late, and such as are none.

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
    fn put(&self, key: &str, body: Body<'_>, options: &PutOptions) -> Result<Receipt, StoreError> {
        self.real.put(key, body, options)
    }
    fn list(&self, prefix: &str, each: &mut dyn FnMut(Entry) -> bool) -> Result<(), StoreError> {
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
    // A damaged one is named, and those behind it are checked.
    let broken = format!("{place}/later{ENDING}");
    put(&*year, &broken, &half[..half.len() / 2]).unwrap();
    let mut unread = Vec::new();
    let mut checked = 0;
    archive
        .check_rollups(&mut |one| {
            checked += 1;
            unread.extend(one.unread.clone());
        })
        .unwrap();
    assert_eq!(checked, rollups.by_folder.len());
    assert_eq!(unread.len(), 1, "{unread:?}");
    assert!(unread[0].contains(&broken), "{unread:?}");
    assert!(read(folder, &half[..half.len() / 2], MAX_OBJECTS).is_err());
    assert!(read("reels/other/", &half[..], MAX_OBJECTS).is_err());
}

/// A roll-up of a folder as somebody wrote it.
fn forged(head: &str, lines: &[&str]) -> Vec<u8> {
    let mut text = vec![head];
    text.extend(lines);
    zstd::encode_all(text.join("\n").as_bytes(), 3).unwrap()
}

#[test]
fn a_roll_up_that_is_none_hides_no_day() {
    let day = "reels/cluster=c/date=2026-11-23/";
    let head = |format: u32, objects: usize| {
        format!("{{\"format\":{format},\"folder\":\"{day}\",\"objects\":{objects}}}")
    };
    let key = "[\"hour=03/node=n/recording=r/x.pcapng.zst\",1,null,0]";
    let empty = "[\"\",0,null,0]";
    for (what, body) in [
        ("noise", b"no roll-up".to_vec()),
        ("empty keys", forged(&head(1, 1000), &[empty; 1000])),
        ("more than it says", forged(&head(1, 1), &[key, key])),
        ("less than it says", forged(&head(1, 2), &[key])),
        ("a later form", forged(&head(FORMAT + 1, 1), &[key])),
        (
            "of another folder",
            forged("{\"format\":1,\"folder\":\"x/\",\"objects\":0}", &[]),
        ),
    ] {
        let store = Arc::new(MemoryStore::new());
        let stem = "hour=03/node=n/recording=r/20261123T030000Z-5-000001-0123456789abcdef";
        put(&*store, &format!("{day}{stem}.pcapng.zst"), b"x").unwrap();
        let archive = Archive::of(store.clone(), "").unwrap().unwrap();
        archive.roll_up(NOW, NOW, false, &mut |_| {}).unwrap();
        put(
            &*store,
            &format!("rollups/cluster=c/date=2026-11-23/ffffffffffffffff{ENDING}"),
            &body,
        )
        .unwrap();
        let archive = Archive::of(store, "").unwrap().unwrap();
        let reels = archive.list(day, &Span::default());
        assert_eq!(reels.map(|reels| reels.len()).ok(), Some(1), "{what}");
        let said = archive.warnings();
        assert_eq!(said.len(), 1, "{what}");
        assert!(said[0].contains("the day is listed instead"), "{said:?}");
    }
}

#[test]
fn a_roll_up_has_so_many_objects_at_most() {
    let entry = |number: u32| Entry {
        key: format!("reels/{number}"),
        size: 1,
        version: None,
        modified: NOW,
        oddity: None,
    };
    let packed = pack("reels/", &[entry(1), entry(2), entry(3)]).unwrap();
    assert_eq!(read("reels/", &packed[..], 3).unwrap().len(), 3);
    let error = read("reels/", &packed[..], 2).unwrap_err();
    assert!(error.to_string().contains("more than 2 objects"), "{error}");
}

#[test]
fn a_roll_up_that_was_deleted_counts_no_more() {
    let entry = |name: &str, hidden: bool| Entry {
        key: format!("rollups/cluster=c/date=2026-11-23/{name}"),
        size: 1,
        version: Some("1".into()),
        modified: NOW,
        oddity: hidden.then_some(Oddity::HiddenByMarker),
    };
    let late = "hour=03/node=n/recording=r/20261124T05.late";
    let mut found = Rollups::default();
    for entry in [
        entry(&format!("a{ENDING}"), true),
        entry(&format!("hour=04/b{ENDING}"), false),
        entry(late, true),
    ] {
        found.add("", entry);
    }
    assert!(
        !found
            .by_folder
            .contains_key("reels/cluster=c/date=2026-11-23/")
    );
    assert_eq!(found.by_folder.len(), 1);
    // Who hides a mark hides no reel with it.
    assert_eq!(found.late.len(), 1);
}
