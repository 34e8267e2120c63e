//! Happenings in the cluster, at the recordings that wait for them.

use std::collections::HashSet;

use super::Recorder;
use crate::item::Peer;
use crate::packet::{StreamId, StreamName};
use crate::record::journal::{Head, Take};
use crate::record::lane::{Around, Lane};
use crate::record::manifest::Event;
use crate::spool;
use crate::time::Timestamp;

/// Streams of adopted reels that are remembered.
const MAX_ADOPTED: usize = 262_144;

/// Streams in reels that an earlier process left open, by recording and run: they are sealed already.
#[derive(Default)]
pub(super) struct Adopted(HashSet<(String, u64, StreamId), ahash::RandomState>);

impl Adopted {
    /// Takes in the streams of such a reel.
    pub(super) fn add(&mut self, head: &Head, takes: &[Take]) {
        let streams = takes.iter().filter_map(|take| Some(take.name()?.stream));
        let room = MAX_ADOPTED.saturating_sub(self.0.len());
        let of_reel = streams.map(|stream| (head.recording.clone(), head.run, stream));
        self.0.extend(of_reel.take(room));
    }
}

impl Recorder {
    /// Something happened that a recording waits for, until [`Recorder::event_over`] is called with
    /// the same number; false when there is no such recording.
    pub fn event(&mut self, recording: &str, number: u64, event: Event) -> bool {
        let lane = self.lane(recording).map(|lane| lane.event(number, event));
        lane.is_some()
    }

    /// Takes a stream for an event, with its look-back; `ends` are its ends with the names that they
    /// had `at` the time. False when the recording has it already, or may not have more.
    pub fn take_for_event(
        &mut self,
        recording: &str,
        number: u64,
        stream: StreamName,
        ends: &[Peer],
        at: Timestamp,
    ) -> bool {
        let taken = self.take(stream, Some(recording));
        if let Some(lane) = self.lane(recording) {
            lane.event_stream(number, ends, at);
        }
        taken
    }

    /// Takes a stream of an earlier run of this node for an event, as far as `earlier` still has it; the
    /// rest as for [`Recorder::take_for_event`]. It goes into a reel of that run, which
    /// [`Recorder::earlier_over`] ends.
    pub fn take_earlier(
        &mut self,
        recording: &str,
        number: u64,
        earlier: &spool::Reader,
        stream: StreamName,
        (ends, at): (&[Peer], Timestamp),
    ) -> bool {
        let run = earlier.run();
        let adopted = (recording.to_owned(), run, stream.stream);
        if self.adopted.0.contains(&adopted) {
            return false;
        }
        let mut sequence = self.late_sequence(run);
        let mut lanes = std::mem::take(&mut self.lanes);
        let room = self.room(&lanes);
        let mut result = (false, None);
        if let Some(lane) = lanes.iter_mut().find(|lane| lane.wish.name == recording) {
            let mut around = Around {
                sequence: &mut sequence,
                ..self.around(room)
            };
            result = lane.take_earlier(number, earlier, stream, (ends, at), &mut around);
        }
        self.lanes = lanes;
        self.late.insert(run, sequence);
        let (taken, job) = result;
        job.into_iter().for_each(|job| self.sealer.add(job));
        taken
    }

    /// No more streams of earlier runs come for a recording by now.
    pub fn earlier_over(&mut self, recording: &str) {
        let mut lanes = std::mem::take(&mut self.lanes);
        let lane = lanes.iter_mut().find(|lane| lane.wish.name == recording);
        let job = lane.and_then(|lane| lane.close_earlier(&self.around(0)));
        self.lanes = lanes;
        job.into_iter().for_each(|job| self.sealer.add(job));
    }

    /// The number of the next reel of an earlier run. Which numbers it used is not known any more, so these
    /// count from its start in milliseconds, more than it can have had.
    fn late_sequence(&self, run: u64) -> u64 {
        self.late.get(&run).copied().unwrap_or_else(|| {
            let now = u64::try_from(self.clock.now().millis()).unwrap_or_default();
            let age = now.saturating_sub(run.saturating_mul(1000));
            age.max(self.outbox.next_sequence(run))
        })
    }

    /// The time after an event is over.
    pub fn event_over(&mut self, recording: &str, number: u64) {
        let mut lanes = std::mem::take(&mut self.lanes);
        let mut jobs = Vec::new();
        if let Some(lane) = lanes.iter_mut().find(|lane| lane.wish.name == recording) {
            jobs = lane.event_over(number, &mut self.around(0));
        }
        self.lanes = lanes;
        for job in jobs {
            self.sealer.add(job);
        }
    }

    fn lane(&mut self, recording: &str) -> Option<&mut Lane> {
        self.lanes
            .iter_mut()
            .find(|lane| lane.wish.name == recording)
    }
}
