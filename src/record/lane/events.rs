//! What happened in the cluster, at a recording that waits for it.
//!
//! In: an event and the streams around it. Out: takes, the event in every reel that belongs to it, a
//! sign of life where there was no traffic. Never: a stream followed after the last event is over.

use std::io;

use super::{Around, Lane, OpenReel, not_written};
use crate::item::Peer;
use crate::record::manifest::{Event, Kind};
use crate::record::reel::Closed;
use crate::record::sealer::Job;
use crate::time::Timestamp;

/// An event that is not over.
#[derive(Debug, Clone)]
pub(super) struct Going {
    /// Its number.
    number: u64,
    event: Event,
    /// Whether a stream is one of its own.
    has_traffic: bool,
    /// Whether a reel with packets says so.
    is_told: bool,
}

impl Lane {
    /// Something happened; what is taken from now on belongs to it, until [`Lane::event_over`].
    pub(crate) fn event(&mut self, number: u64, event: Event) {
        self.stats.last_match = Some(Timestamp::parse(&event.at).unwrap_or(self.began));
        self.stats.matches += 1;
        self.events.push(Going {
            number,
            event,
            has_traffic: false,
            is_told: false,
        });
        self.note_in_open();
    }

    /// A stream is one of an event, between two ends with these names.
    pub(crate) fn event_stream(&mut self, number: u64, ends: &[Peer], at: Timestamp) {
        self.has_traffic(number);
        if let Some(reel) = &mut self.reel {
            for peer in ends {
                reel.name(peer, at);
            }
        }
    }

    /// A stream is one of an event.
    pub(super) fn has_traffic(&mut self, number: u64) {
        for going in &mut self.events {
            going.has_traffic |= going.number == number;
        }
    }

    /// The time after an event is over. With the last one the streams are let go and the reel is
    /// sealed; an event without any traffic that is new stands in a manifest without packets.
    pub(crate) fn event_over(&mut self, number: u64, around: &mut Around<'_>) -> Vec<Job> {
        let mut jobs = Vec::new();
        if !self.events.is_empty() && self.events.iter().all(|going| going.number == number) {
            self.taken.clear();
            jobs.extend(self.close("event", around).0);
        }
        let will_tell = self.reel.as_ref().is_some_and(|reel| reel.packets() > 0);
        let (over, going): (Vec<Going>, Vec<Going>) = std::mem::take(&mut self.events)
            .into_iter()
            .partition(|going| going.number == number);
        let silent: Vec<Event> = over
            .iter()
            .filter(|going| !going.has_traffic || !(going.is_told || will_tell))
            .map(|going| going.event.clone())
            .collect();
        self.events = going;
        if !silent.is_empty() {
            jobs.push(self.sign_of_life(Kind::Heartbeat, "event", silent, around));
        }
        jobs
    }

    /// A reel with packets is closed, and says what stands in it.
    pub(super) fn told_by(&mut self, closed: &Closed) {
        if self.events.is_empty() {
            return;
        }
        let told = closed.events().unwrap_or_default();
        for going in &mut self.events {
            going.is_told |= told.contains(&going.event);
        }
    }

    fn note_in_open(&mut self) {
        let Some(mut reel) = self.reel.take() else {
            return;
        };
        if let Err(error) = self.note_events(&mut reel) {
            self.stats.error = Some(not_written(&error));
        }
        self.reel = Some(reel);
    }

    /// Writes down in a reel what is going on.
    pub(super) fn note_events(&self, reel: &mut OpenReel) -> io::Result<()> {
        self.events
            .iter()
            .try_for_each(|going| reel.event(&going.event))
    }
}
