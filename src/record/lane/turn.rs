//! The turn from one reel of a recording to the next.
//!
//! In: a reel that is due, and the states of its streams when they come. Out: the job that seals it,
//! and the next reel, which names the streams that go on. Never: a followed stream that no open reel
//! names, nor one whose packets belong into two reels.

use std::collections::HashMap;
use std::io;

use ahash::RandomState;

use super::super::journal::Take;
use super::super::reel::{self, OpenReel};
use super::super::sealer::Job;
use super::super::states::States;
use super::super::wish::Format;
use super::{Around, CHANGED, Lane, not_written};
use crate::packet::{FiveTuple, Position, StreamId, StreamName};

/// A reel that is due, until the states come with which its streams go on in the next one: their
/// packets go here until then, those of streams taken since to the next reel.
pub(super) struct Closing {
    pub(super) reel: OpenReel,
    pub(super) streams: HashMap<StreamId, StreamName, RandomState>,
    why: &'static str,
}

/// How streams went on in the next reel.
struct Carried {
    /// Those whose state is in it.
    linked: Vec<FiveTuple>,
    /// Whether it names all of them.
    is_named: bool,
}

impl Lane {
    /// Ends the open reel, and says whether it held packets.
    ///
    /// Where states of streams can be had, it goes on for those that are followed until the states
    /// come. Else the next one is opened at once while streams are followed, so that after a kill
    /// their packets are found through its journal.
    pub(crate) fn close(&mut self, why: &'static str, around: &mut Around<'_>) -> (Vec<Job>, bool) {
        let mut jobs: Vec<Job> = self.close_earlier(around).into_iter().collect();
        let earlier = self.closing.take();
        let had_earlier = earlier.is_some();
        let mut going_on = Vec::new();
        if let Some(Closing { reel, streams, why }) = earlier {
            jobs.extend(self.job(reel, why, Vec::new(), around));
            going_on = self.still_followed(streams);
        }
        let Some(reel) = self.reel.take() else {
            if had_earlier {
                self.go_on(around);
            }
            return (jobs, had_earlier);
        };
        // It holds nothing but how its streams stand, and the next one would not know.
        if reel.packets() == 0 && !self.taken.is_empty() && why != CHANGED {
            self.reel = Some(reel);
            if had_earlier
                && self
                    .carry_on(&going_on, &States::default(), around)
                    .is_named
            {
                self.end_closed(around.next);
            }
            return (jobs, had_earlier);
        }
        // A state holds what the packets before it said, so it is not for a recording that overwrites
        // some of that, or did; nor is there room for one in a classic savefile.
        let with_states = self.wish.redact.is_empty()
            && !reel.is_redacted()
            && self.wish.format == Format::Pcapng;
        if let Some(want) = around.options.want_states.as_ref().filter(|_| with_states)
            && !self.taken.is_empty()
            && reel.packets() > 0
            && !had_earlier
        {
            let streams: Vec<StreamId> = self.taken.keys().copied().collect();
            self.closing = Some(Closing {
                reel,
                streams: self.taken.clone(),
                why,
            });
            self.last_sealed = Some(around.now);
            want(&streams);
            return (jobs, true);
        }
        let job = self.job(reel, why, Vec::new(), around);
        let had_packets = job.is_some() || had_earlier;
        jobs.extend(job);
        self.go_on(around);
        (jobs, had_packets)
    }

    /// Opens the next reel for the streams that are followed.
    fn go_on(&mut self, around: &mut Around<'_>) {
        if !self.taken.is_empty()
            && let Err(error) = self.open_reel(around)
        {
            self.stats.error = Some(not_written(&error));
        }
    }

    /// What seals a reel; `None` when it holds nothing.
    fn job(
        &mut self,
        reel: OpenReel,
        why: &'static str,
        linked: Vec<FiveTuple>,
        around: &mut Around<'_>,
    ) -> Option<Job> {
        let bytes = reel.bytes();
        // Requests that nobody answered any more are items that only its end tells.
        let tells_open = self.is_over
            && reel.has_carried()
            && self.wish.format == Format::Pcapng
            && (around.options.indexer.is_some() || reel.has_states());
        let has_packets = reel.packets() > 0;
        let mut closed = reel.close(tells_open)?;
        if has_packets {
            self.told_by(&closed);
        }
        closed.linked = linked;
        if !self.wish.redact.is_empty() {
            closed.going_on = self.taken.keys().copied().collect();
        }
        self.last_sealed = Some(around.now);
        self.unended.push(closed.folder.clone());
        if self.taken.is_empty() {
            self.end_closed(around.next);
        }
        Some(Job::Reel {
            closed: Box::new(closed),
            bytes,
            occasion: around
                .options
                .occasion(why, around.now, around.spool, &self.stats),
        })
    }

    /// Goes on in the next reel with the states that were asked for, and ends the one that waited.
    pub(crate) fn switch(&mut self, states: &States, around: &mut Around<'_>) -> Option<Job> {
        let waits = self.closing.as_ref()?;
        let is_there =
            |stream: &StreamId| states.asked.contains(stream) || !self.taken.contains_key(stream);
        if !waits.streams.keys().all(is_there) {
            return None;
        }
        let closing = self.closing.take()?;
        let going_on = self.still_followed(closing.streams);
        let has_state = |name: &&StreamName| states.states.contains_key(&name.stream);
        let with_state = going_on.iter().filter(has_state).count();
        let Carried { linked, is_named } = self.carry_on(&going_on, states, around);
        // What was open in those that go on without a state is told by the reel that ends.
        self.stats.stateless += (with_state - linked.len()) as u64;
        let job = self.job(closing.reel, closing.why, linked, around);
        if is_named {
            self.end_closed(around.next);
        }
        job
    }

    /// Lets streams go on in the next reel.
    fn carry_on(
        &mut self,
        going_on: &[StreamName],
        states: &States,
        around: &mut Around<'_>,
    ) -> Carried {
        let mut linked = Vec::new();
        let carried = match going_on.is_empty() {
            true => Ok(()),
            false => self.carry(going_on, states, around, &mut linked),
        };
        if let Err(error) = &carried {
            self.stats.error = Some(not_written(error));
        }
        Carried {
            linked,
            is_named: carried.is_ok(),
        }
    }

    /// Notes in closed reels that what comes from `next` on is not theirs: whoever seals them after
    /// a kill takes no more from the spool. Only done once the next reel names the streams that go on,
    /// so that their packets are always found through one of both.
    pub(super) fn end_closed(&mut self, next: u64) {
        for folder in self.unended.drain(..) {
            // It is sealed already, or it ends where its streams do.
            let _ = reel::end(&folder, next);
        }
    }

    fn still_followed(
        &self,
        streams: HashMap<StreamId, StreamName, RandomState>,
    ) -> Vec<StreamName> {
        let names = streams.into_values();
        names
            .filter(|name| self.taken.contains_key(&name.stream))
            .collect()
    }

    /// Writes into the next reel which streams go on in it, and how they stand; those whose state is
    /// in it are added to `linked`.
    fn carry(
        &mut self,
        going_on: &[StreamName],
        states: &States,
        around: &mut Around<'_>,
        linked: &mut Vec<FiveTuple>,
    ) -> io::Result<()> {
        let is_open = self.reel.is_some();
        let next = around.next;
        // A new reel names all that are followed by itself.
        let reel = self.open_reel(around)?;
        if is_open {
            let takes: Vec<Take> = going_on
                .iter()
                .map(|name| Take::new(*name, next, Position::default(), true))
                .collect();
            reel.take(&takes)?;
        }
        for name in going_on {
            if let Some((tuple, state)) = states.states.get(&name.stream)
                && reel.state(*name, state)?
            {
                linked.push(*tuple);
            }
        }
        Ok(())
    }
}
