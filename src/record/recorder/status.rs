//! What recordings are and did, as people ask for it.
//!
//! In: the recordings at work. Out: a status of each. Never: a change.

use super::Recorder;
use crate::record::lane::Lane;
use crate::record::sealer::Progress;
use crate::time::Timestamp;

/// What a recording is and did.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// The query in force.
    pub kfl: String,
    /// What happenings it waits for, a part of a sentence.
    pub on: Option<String>,
    /// URL of the store.
    pub destination: String,
    /// Streams taken.
    pub streams: u64,
    /// Streams followed now.
    pub open_streams: usize,
    /// Packets recorded.
    pub packets: u64,
    /// Their captured bytes.
    pub bytes: u64,
    /// Reels sealed.
    pub reels: u64,
    /// Packets in the open reel.
    pub open_packets: u64,
    /// Since when the open reel holds packets.
    pub open_since: Option<Timestamp>,
    /// When an item last matched, or something happened that it waits for; to a second.
    pub last_match: Option<Timestamp>,
    /// Streams taken because the query met its bound.
    pub undecided: u64,
    /// Streams not taken because too many are followed.
    pub refused: u64,
    /// Streams taken without their first packets, which the spool no longer had.
    pub beheaded: u64,
    /// Packets of taken streams that could not be written.
    pub not_written: u64,
    /// Streams not taken because the day's limit was met.
    pub limited: u64,
    /// Captured bytes recorded today, by UTC.
    pub bytes_today: u64,
    /// The limit; 0 is none.
    pub bytes_per_day: u64,
    /// Captured bytes a second over the last hour.
    pub rate: u64,
    /// Whether something is overwritten before sealing.
    pub redacted: bool,
    /// What went wrong last, one sentence.
    pub error: Option<String>,
}

/// Recordings that ended whose counts are kept.
const MAX_PAST: usize = 256;

impl Recorder {
    /// What each recording is and did.
    pub fn status(&self) -> Vec<Status> {
        let progress = self.sealer.progress();
        let lanes = self.lanes.iter();
        lanes.map(|lane| self.status_of(lane, &progress)).collect()
    }

    /// What recordings did that ended since the start and did not begin again.
    pub fn past(&self) -> Vec<Status> {
        let sealed = self.sealer.progress().sealed;
        let past = self.past.iter().cloned();
        past.map(|status| Status {
            // The last reel is sealed after the end.
            reels: sealed.get(&status.name).copied().unwrap_or(0),
            ..status
        })
        .collect()
    }

    /// Keeps the counts of a recording that ends.
    pub(super) fn keep_counts(&mut self, lane: &Lane) {
        let status = Status {
            rate: 0,
            ..self.status_of(lane, &self.sealer.progress())
        };
        self.forget_counts(&status.name);
        if self.past.len() >= MAX_PAST {
            self.past.remove(0);
        }
        self.past.push(status);
    }

    /// Forgets those of one that begins again.
    pub(super) fn forget_counts(&mut self, name: &str) {
        self.past.retain(|past| past.name != name);
    }

    fn status_of(&self, lane: &Lane, progress: &Progress) -> Status {
        let now = self.clock.now();
        let stats = &lane.stats;
        let reel = lane.reel.as_ref();
        Status {
            name: lane.wish.name.clone(),
            kfl: lane.wish.query.text().to_owned(),
            on: lane.wish.trigger.as_ref().map(ToString::to_string),
            destination: lane.wish.destination.clone(),
            streams: stats.streams,
            open_streams: lane.open_streams(),
            packets: stats.packets,
            bytes: stats.bytes,
            reels: progress.sealed.get(&lane.wish.name).copied().unwrap_or(0),
            open_packets: reel.map_or(0, |reel| reel.packets()),
            open_since: reel.and_then(|reel| reel.since),
            last_match: stats.last_match,
            undecided: stats.undecided,
            refused: stats.refused,
            beheaded: stats.beheaded + stats.beheaded_earlier,
            not_written: stats.not_written,
            limited: stats.limited,
            bytes_today: lane.budget.today(now),
            bytes_per_day: lane.wish.bytes_per_day,
            rate: lane.budget.rate(lane.began, now),
            redacted: !lane.wish.redact.is_empty(),
            error: progress.error.clone().or_else(|| stats.error.clone()),
        }
    }
}
