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
use crate::store::{Body, Digest, Entry, Oddity, PutOptions, StoreError, hex};
use crate::time::Timestamp;

/// Ending of a roll-up.
const ENDING: &str = ".rollup.zst";

/// Version of the lines.
const FORMAT: u32 = 1;

/// Bytes of one roll-up that are read, unpacked: a day of a very large cluster.
const MAX_BYTES: u64 = 512 << 20;

/// Objects of a day that roll-ups tell, some 250 bytes each: as many as that.
const MAX_OBJECTS: usize = 2_000_000;

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
    /// Adds an object that lies below `rollups/` behind `base`.
    ///
    /// A roll-up that was deleted is gone, also where a version of it stays: that is how a damaged one
    /// is got rid of in a bucket that keeps all. A mark counts all the same: who deletes it would hide
    /// a reel.
    fn add(&mut self, base: &str, entry: Entry) {
        let below = entry.key.strip_prefix(base);
        let Some(below) = below.and_then(|below| below.strip_prefix(ROLLUPS)) else {
            return;
        };
        if let Some((folder, came)) = of_late_mark(below) {
            let folder = format!("{base}{PREFIX}{folder}/");
            let last = self.late.entry(folder).or_insert(came);
            *last = came.max(*last);
        } else if let Some((folder, _)) = below.rsplit_once('/')
            && below.ends_with(ENDING)
            && entry.oddity != Some(Oddity::HiddenByMarker)
        {
            let folder = format!("{base}{PREFIX}{folder}/");
            let known = self.by_folder.get(&folder);
            if known.is_none_or(|known| known.modified <= entry.modified) {
                self.by_folder.insert(folder, entry);
            }
        }
    }

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
    /// Why it could not be read, with its name.
    pub unread: Option<String>,
}

impl Archive {
    /// The roll-ups that there are.
    pub(super) fn list_rollups(&self) -> Result<Rollups, StoreError> {
        let prefix = format!("{}{ROLLUPS}{}", self.base, self.below);
        let mut found = Rollups::default();
        let mut keys = 0;
        self.store.list(&prefix, &mut |entry| {
            keys += 1;
            found.add(&self.base, entry);
            true
        })?;
        self.count_listed(keys);
        Ok(found)
    }

    /// The objects of a day by roll-ups; `None` when it is better listed, which is said where a
    /// roll-up cannot be read.
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
                    match self.read_rollup(folder, entry) {
                        Ok(told) => entries.extend(told),
                        Err(error) => {
                            self.warn(format!("{error}; the day is listed instead"));
                            return Ok(None);
                        }
                    }
                }
                None => entries.extend(self.list_folder(folder)?),
            }
            if entries.len() > MAX_OBJECTS {
                return Ok(None);
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
        read(folder, body, MAX_OBJECTS).map_err(|error| {
            let name = self.store.name();
            StoreError::Refused(format!(
                "the roll-up {name}/{} is damaged: {error}; delete it, the reels are complete without it",
                entry.key
            ))
        })
    }

    /// Writes the roll-ups that are missing: of days over before `until`, and of hours too when
    /// `hourly`, but of none that was not over for [`SETTLED_AFTER`] at `now`. What something came
    /// late into is rolled up anew, and what has more objects than readers take is left out. Calls
    /// `each` for every one.
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
                if entries.is_empty() || entries.len() > MAX_OBJECTS {
                    continue;
                }
                self.write_rollup(&folder, &entries)?;
                each(&RolledUp {
                    folder,
                    objects: entries.len(),
                    differs: Vec::new(),
                    unread: None,
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

    /// Holds every roll-up against a listing of its folder. One that cannot be read differs in
    /// nothing and says so.
    ///
    /// # Errors
    /// When the archive cannot be listed.
    pub fn check_rollups(&self, each: &mut dyn FnMut(&RolledUp)) -> Result<(), StoreError> {
        let rollups = self.list_rollups()?;
        for (folder, entry) in &rollups.by_folder {
            let listed = by_key(self.list_folder(folder)?);
            let mut checked = RolledUp {
                folder: folder.clone(),
                objects: listed.len(),
                differs: Vec::new(),
                unread: None,
            };
            let mut told = match self.read_rollup(folder, entry) {
                Ok(told) => told,
                Err(error) => {
                    checked.unread = Some(error.to_string());
                    each(&checked);
                    continue;
                }
            };
            self.add_late(&rollups.late(folder, entry.modified), &mut told)?;
            let told = by_key(told);
            let one_sided = |left: &BTreeMap<String, u64>, right: &BTreeMap<String, u64>| {
                let other = left
                    .iter()
                    .filter(|(key, size)| right.get(*key) != Some(size));
                other.map(|(key, _)| key.clone()).collect::<Vec<_>>()
            };
            checked.differs = one_sided(&listed, &told);
            checked.differs.extend(one_sided(&told, &listed));
            checked.differs.sort();
            checked.differs.dedup();
            each(&checked);
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

/// Reads a roll-up of so many objects at most.
fn read(folder: &str, body: impl Read, most: usize) -> io::Result<Vec<Entry>> {
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
    if head.objects > most {
        return Err(wrong(&format!("it tells of more than {most} objects")));
    }
    let mut entries = Vec::new();
    while next(&mut text)? {
        let (key, size, version, modified): Line = serde_json::from_slice(&text)?;
        if entries.len() == head.objects {
            return Err(wrong("it has more objects than it says"));
        }
        if key.is_empty() {
            return Err(wrong("an object in it has no name"));
        }
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
mod tests;
