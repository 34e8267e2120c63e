//! What a recording costs: bytes of the day against its limit, and the rate now.
//!
//! In: bytes as they are recorded, and streams that were not taken. Out: whether more streams may be
//! taken, what was left out. Never: a stream cut short: what is taken is followed to its end.

use std::collections::{HashSet, VecDeque};

use ahash::RandomState;

use super::manifest::Covered;
use crate::packet::{Batch, StreamId};
use crate::time::Timestamp;

/// Seconds of a UTC day.
const DAY: i64 = 86_400;

/// Minutes over which the rate is taken.
const MINUTES: i64 = 60;

/// Streams left out whose packets are counted.
const MAX_LEFT_OUT: usize = 65_536;

/// The cost of one recording.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    day: i64,
    today: u64,
    /// Whether the limit of this day was told.
    told: bool,
    /// Bytes by minute, the oldest first.
    minutes: VecDeque<(i64, u64)>,
    left_out: HashSet<StreamId, RandomState>,
    /// Streams left out since the recording began.
    pub(crate) streams: u64,
    /// Their packets from then on.
    packets: u64,
    bytes: u64,
    span: Option<(Timestamp, Timestamp)>,
}

impl Budget {
    /// Counts bytes that were recorded.
    pub(crate) fn add(&mut self, bytes: u64, now: Timestamp) {
        self.turn(now);
        self.today += bytes;
        let minute = now.secs().div_euclid(60);
        // The clock was set back: what was counted ahead of it would stay until it is there again.
        while self.minutes.back().is_some_and(|(last, _)| *last > minute) {
            self.minutes.pop_back();
        }
        match self.minutes.back_mut() {
            Some((last, sum)) if *last == minute => *sum += bytes,
            _ => self.minutes.push_back((minute, bytes)),
        }
        self.prune(minute);
    }

    /// Takes back bytes that were counted just now and are not recorded.
    pub(crate) fn take_off(&mut self, bytes: u64) {
        self.today = self.today.saturating_sub(bytes);
        if let Some((_, sum)) = self.minutes.back_mut() {
            *sum = sum.saturating_sub(bytes);
        }
    }

    fn prune(&mut self, minute: i64) {
        while self
            .minutes
            .front()
            .is_some_and(|(first, _)| *first <= minute - MINUTES)
        {
            self.minutes.pop_front();
        }
    }

    /// Counts bytes of packets that were captured before the recording began: they cost of the day, and tell
    /// nothing of what is to come.
    pub(crate) fn add_earlier(&mut self, bytes: u64, now: Timestamp) {
        self.turn(now);
        self.today += bytes;
    }

    fn turn(&mut self, now: Timestamp) {
        let day = now.secs().div_euclid(DAY);
        if day != self.day {
            self.day = day;
            self.today = 0;
            self.told = false;
            self.left_out.clear();
        }
    }

    /// Bytes recorded on the day of `now`.
    pub(crate) fn today(&self, now: Timestamp) -> u64 {
        match now.secs().div_euclid(DAY) == self.day {
            true => self.today,
            false => 0,
        }
    }

    /// Bytes a second over the last hour, or since the recording began when that is less; of what was
    /// captured by then nothing.
    pub(crate) fn rate(&self, began: Timestamp, now: Timestamp) -> u64 {
        let minute = now.secs().div_euclid(60);
        let recent = self.minutes.iter().filter(|(at, _)| *at > minute - MINUTES);
        let bytes: u64 = recent.map(|(_, bytes)| bytes).sum();
        bytes / now.since(began).as_secs().clamp(60, 3600)
    }

    /// Whether no stream may be taken any more today.
    pub(crate) fn is_spent(&mut self, limit: u64, now: Timestamp) -> bool {
        self.turn(now);
        limit > 0 && self.today >= limit
    }

    /// Leaves a stream out; true when nobody was told yet today.
    pub(crate) fn leave_out(&mut self, stream: StreamId) -> bool {
        if self.left_out.len() < MAX_LEFT_OUT && self.left_out.insert(stream) {
            self.streams += 1;
        }
        !std::mem::replace(&mut self.told, true)
    }

    /// The same of a stream whose packets are none of the present run.
    pub(crate) fn refuse(&mut self) -> bool {
        self.streams += 1;
        !std::mem::replace(&mut self.told, true)
    }

    /// Counts the packets of streams that were left out.
    pub(crate) fn count(&mut self, batch: &Batch) {
        if self.left_out.is_empty() {
            return;
        }
        for packet in &batch.packets {
            if packet
                .stream
                .is_some_and(|(stream, _)| self.left_out.contains(&stream))
            {
                self.packets += 1;
                self.bytes += u64::from(packet.record.caplen);
                let ts = packet.record.ts;
                let (from, to) = self.span.unwrap_or((ts, ts));
                self.span = Some((from.min(ts), to.max(ts)));
            }
        }
    }

    /// What was left out since the recording began, for the manifest.
    pub(crate) fn covered(&self) -> Option<Covered> {
        (self.streams > 0).then(|| Covered::new(self.packets, self.bytes, self.span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_that_is_spent_ends_and_the_rate_is_that_of_the_last_hour() {
        let at = |secs: i64| Timestamp::from_secs(1_700_006_400 + secs, 0);
        let mut budget = Budget::default();
        budget.add(3600, at(0));
        assert!(!budget.is_spent(3601, at(0)));
        assert!(budget.is_spent(3600, at(1)));
        assert!(!budget.is_spent(0, at(1)));
        assert!(budget.leave_out(StreamId(7)));
        assert!(!budget.leave_out(StreamId(8)));
        assert_eq!(budget.streams, 2);
        assert_eq!(budget.rate(at(0), at(1)), 60);
        assert_eq!(budget.rate(at(0), at(3599)), 1);
        assert_eq!(budget.rate(at(0), at(3700)), 0);
        assert_eq!(budget.today(at(80_000)), 3600);
        assert_eq!(budget.today(at(86_400)), 0);
        assert!(!budget.is_spent(3600, at(86_400)));
    }

    #[test]
    fn what_was_captured_before_costs_of_the_day_and_is_in_no_rate() {
        let at = |secs: i64| Timestamp::from_secs(1_700_006_400 + secs, 0);
        let mut budget = Budget::default();
        budget.add_earlier(1 << 20, at(0));
        budget.add(600, at(1));
        assert_eq!(budget.today(at(1)), (1 << 20) + 600);
        assert_eq!(budget.rate(at(0), at(60)), 10);
    }

    #[test]
    fn a_clock_that_is_set_back_leaves_no_minute_ahead_of_it() {
        let at = |secs: i64| Timestamp::from_secs(1_700_006_400 + secs, 0);
        let mut budget = Budget::default();
        budget.add(7200, at(7200));
        for minute in 0..120 {
            budget.add(60, at(60 * minute));
        }
        assert_eq!(budget.minutes.len(), 60);
        assert_eq!(budget.rate(at(0), at(7199)), 1);
    }
}
