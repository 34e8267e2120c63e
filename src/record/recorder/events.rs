//! Happenings in the cluster, at the recordings that wait for them.

use super::Recorder;
use crate::item::Peer;
use crate::packet::StreamName;
use crate::record::lane::Lane;
use crate::record::manifest::Event;
use crate::time::Timestamp;

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
