//! When destinations took their newest manifests, over the starts of a recorder.
//!
//! In: the destinations that are recorded to, what the outbox uploaded. Out: for each how long it waits
//! for a manifest. Never: an age that begins anew because the recorder did: one that is killed again and
//! again is silent, and is told as silent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::record::{self, read_capped, write_whole};
use crate::time::Timestamp;

/// Largest file that is read.
const MAX_FILE: u64 = 1 << 20;

/// Time after the start in which recordings may still be declared; what nobody records to is kept so long.
const SETTLE: Duration = Duration::from_secs(60);

/// When manifests are due.
#[derive(Debug)]
pub(super) struct Beat {
    /// Longest time between two of them.
    pub(super) interval: Duration,
    started: Timestamp,
    file: PathBuf,
    since: Mutex<BTreeMap<String, Timestamp>>,
}

impl Beat {
    /// What the start before left in `file`, where it ended before all was uploaded.
    pub(super) fn start(interval: Duration, started: Timestamp, file: PathBuf) -> Beat {
        let kept = read_capped(&file, MAX_FILE).ok();
        let since = kept.and_then(|text| serde_json::from_slice(&text).ok());
        Beat {
            interval,
            started,
            file,
            since: Mutex::new(since.unwrap_or_default()),
        }
    }

    /// Seconds since each destination of these recordings took its newest manifest, or since it was
    /// recorded to.
    pub(super) fn ages<'a>(
        &self,
        recordings: &'a [record::Status],
        newest: &BTreeMap<String, Timestamp>,
        now: Timestamp,
    ) -> BTreeMap<&'a str, u64> {
        let destinations = recordings.iter().map(|one| one.destination.as_str());
        let destinations: BTreeSet<&str> = destinations.collect();
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let before = since.clone();
        if now.since(self.started) > SETTLE {
            since.retain(|known, _| destinations.contains(known.as_str()));
        }
        let ages = destinations.into_iter().map(|destination| {
            let at = since.entry(destination.to_owned()).or_insert(now);
            *at = newest.get(destination).copied().unwrap_or(*at).max(*at);
            (destination, now.since(*at).as_secs())
        });
        let ages = ages.collect();
        if *since != before
            && let Err(error) = serde_json::to_vec(&*since)
                .map_err(std::io::Error::from)
                .and_then(|text| write_whole(&self.file, &text))
        {
            tracing::warn!(%error, "when manifests are due is not kept for the next start");
        }
        ages
    }

    /// The recorder ends and owes nothing: the next start begins anew.
    pub(super) fn end(&self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs, 0)
    }

    fn beat(started: i64, folder: &tempfile::TempDir) -> Beat {
        let file = folder.path().join("due.json");
        Beat::start(Duration::from_secs(600), at(started), file)
    }

    fn age(beat: &Beat, newest: &BTreeMap<String, Timestamp>, now: i64) -> u64 {
        let recording = record::Status {
            destination: "s3://a/".to_owned(),
            ..record::Status::default()
        };
        beat.ages(&[recording], newest, at(now))["s3://a/"]
    }

    #[test]
    fn the_age_goes_on_over_starts_until_a_manifest_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let none = BTreeMap::new();
        let ages: Vec<u64> = (0..3)
            .map(|life| age(&beat(1000 + life * 10, &folder), &none, 1008 + life * 10))
            .collect();
        assert_eq!(ages, [0, 10, 20]);
        let taken = BTreeMap::from([("s3://a/".to_owned(), at(1035))]);
        let last = beat(1030, &folder);
        assert_eq!(age(&last, &taken, 1040), 5);
        assert_eq!(age(&beat(1050, &folder), &none, 1060), 25);
        // Who ends in order owes nothing.
        last.end();
        assert_eq!(age(&beat(2000, &folder), &none, 2000), 0);
    }

    #[test]
    fn a_destination_that_nobody_records_to_is_forgotten_once_all_is_declared() {
        let folder = tempfile::tempdir().unwrap();
        let none = BTreeMap::new();
        assert_eq!(age(&beat(1000, &folder), &none, 1000), 0);
        let next = beat(2000, &folder);
        assert!(next.ages(&[], &none, at(2001)).is_empty());
        assert_eq!(age(&next, &none, 2002), 1002);
        next.ages(&[], &none, at(2100));
        assert_eq!(age(&next, &none, 2200), 0);
        std::fs::write(folder.path().join("due.json"), "{").unwrap();
        assert_eq!(age(&beat(3000, &folder), &none, 3000), 0);
    }
}
