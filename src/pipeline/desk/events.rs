//! Happenings in the cluster, at the desk.

use super::Desk;
use crate::item::Peer;
use crate::packet::StreamName;
use crate::record::Trigger;
use crate::record::manifest::Event;
use crate::spool;
use crate::time::Timestamp;

impl Desk {
    /// The recordings that are on and wait for happenings.
    pub(in crate::pipeline) fn triggers(&self) -> Vec<(String, Trigger)> {
        let wishes = self.wishes().all(self.clock.now());
        let triggers = wishes
            .into_iter()
            .filter_map(|wish| Some((wish.name, wish.trigger?)));
        triggers.collect()
    }

    /// Whether a recording waits for happenings called so, now or at another time of its schedule.
    pub fn waits_for(&self, what: &str) -> bool {
        let wishes = self.wishes();
        let mut triggers = wishes.plans().filter_map(|plan| plan.wish.trigger.as_ref());
        triggers.any(|trigger| trigger.on.iter().any(|on| on == what))
    }

    /// Something happened that a recording waits for; false when it is on no more.
    pub(in crate::pipeline) fn event(&self, recording: &str, number: u64, event: Event) -> bool {
        self.recorder().event(recording, number, event)
    }

    /// Takes a stream for it; see [`crate::record::Recorder::take_for_event`].
    pub(in crate::pipeline) fn take_for_event(
        &self,
        recording: &str,
        number: u64,
        stream: StreamName,
        of: (&[Peer], Timestamp),
    ) {
        self.recorder()
            .take_for_event(recording, number, stream, of);
    }

    /// Takes a stream of an earlier run for it; see [`crate::record::Recorder::take_earlier`].
    pub(in crate::pipeline) fn take_earlier(
        &self,
        recording: &str,
        number: u64,
        earlier: &spool::Reader,
        stream: StreamName,
        of: (&[Peer], Timestamp),
    ) {
        self.recorder()
            .take_earlier(recording, number, earlier, stream, of);
    }

    /// All of earlier runs is taken by now.
    pub(in crate::pipeline) fn earlier_over(&self, recording: &str) {
        self.recorder().earlier_over(recording);
    }

    /// Its time is over.
    pub(in crate::pipeline) fn event_over(&self, recording: &str, number: u64) {
        self.recorder().event_over(recording, number);
    }

    /// Hands a batch to the recorder, as a step of the pipeline does.
    #[cfg(test)]
    pub(in crate::pipeline) fn step_for_tests(&self, batch: crate::packet::Batch) {
        let now = batch.now;
        let mut recorder = self.recorder();
        recorder.on_batch(&std::sync::Arc::new(batch), &[]);
        recorder.tick(now);
    }

    /// Says a sentence to people.
    pub(in crate::pipeline) fn say(&self, sentence: &str) {
        (self.said)(sentence);
    }
}
