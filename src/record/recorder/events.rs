//! Happenings in the cluster, at the recordings that wait for them.

use super::Recorder;
use crate::item::Peer;
use crate::packet::StreamName;
use crate::record::lane::{Around, Lane};
use crate::record::manifest::Event;
use crate::record::reel::Closed;
use crate::record::sealer::Job;
use crate::spool;
use crate::time::Timestamp;

impl Recorder {
    /// Something happened that a recording waits for, until [`Recorder::event_over`] is called with
    /// the same number; false when there is no such recording.
    pub fn event(&mut self, recording: &str, number: u64, event: Event) -> bool {
        let lane = self.lane(recording).map(|lane| lane.event(number, event));
        lane.is_some()
    }

    /// Takes a stream for an event, with its look-back; `ends` are its ends with the names that they
    /// had `at` the time. Of what the recording has already only the rest is taken.
    pub fn take_for_event(
        &mut self,
        recording: &str,
        number: u64,
        stream: StreamName,
        (ends, at): (&[Peer], Timestamp),
    ) {
        self.take(stream, Some(recording));
        if let Some(lane) = self.lane(recording) {
            lane.event_stream(number, ends, at);
        }
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
        of: (&[Peer], Timestamp),
    ) {
        let run = earlier.run();
        let from = self.taken.upto(recording, run, stream.stream);
        if from == u64::MAX {
            return;
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
            result = lane.take_earlier(number, earlier, (stream, from), of, &mut around);
        }
        self.lanes = lanes;
        self.late.insert(run, sequence);
        let (is_taken, job) = result;
        job.into_iter().for_each(|job| self.hand_over(job));
        if is_taken {
            // Its reel may be open for long; the journal has it for the next run.
            self.taken.add(recording, run, [stream.stream], u64::MAX);
        }
    }

    /// No more streams of earlier runs come for a recording by now.
    pub fn earlier_over(&mut self, recording: &str) {
        let mut lanes = std::mem::take(&mut self.lanes);
        let lane = lanes.iter_mut().find(|lane| lane.wish.name == recording);
        let job = lane.and_then(|lane| lane.close_earlier(&self.around(0)));
        self.lanes = lanes;
        job.into_iter().for_each(|job| self.hand_over(job));
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
            self.hand_over(job);
        }
    }

    /// Has what is closed sealed. What reels of events took is noted before, since their journal goes.
    pub(super) fn hand_over(&mut self, job: Job) {
        if let Job::Reel { closed, .. } = &job {
            let is_over = closed.head.run != self.options.run;
            self.note_taken(closed, if is_over { u64::MAX } else { self.next });
        }
        self.sealer.add(job);
    }

    /// Notes that a closed reel has its streams up to a packet, when it is one of events.
    pub(super) fn note_taken(&mut self, closed: &Closed, upto: u64) {
        if closed.events().is_ok_and(|events| events.is_empty()) {
            return;
        }
        let takes = closed.takes().unwrap_or_default();
        let streams = takes.iter().filter_map(|take| Some(take.name()?.stream));
        let head = &closed.head;
        self.taken.add(&head.recording, head.run, streams, upto);
        self.taken.keep();
    }

    fn lane(&mut self, recording: &str) -> Option<&mut Lane> {
        self.lanes
            .iter_mut()
            .find(|lane| lane.wish.name == recording)
    }
}
