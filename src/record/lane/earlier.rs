//! Streams of an earlier run of this node, for what happened before or while it was started anew.
//!
//! In: streams that the spool still has of a run that is over. Out: their packets in a reel of that run,
//! under the names that they had in it. Never: a stream of a run that goes on; two runs in one reel.

use std::io;

use super::{Around, Lane, OpenReel, next_head};
use crate::item::Peer;
use crate::packet::StreamName;
use crate::record::journal::Take;
use crate::record::sealer::Job;
use crate::spool;
use crate::time::Timestamp;

/// What a reel says that was made after its run.
const REMARK: &str =
    "taken from the spool after the run had ended, for what happened around its end";

/// The open reel of an earlier run.
pub(super) struct Earlier {
    run: u64,
    pub(super) reel: OpenReel,
}

impl Lane {
    /// Takes a stream of an earlier run for an event, between two ends with these names. Answers whether
    /// it is taken, and what seals the reel before, when another one had to begin.
    pub(crate) fn take_earlier(
        &mut self,
        number: u64,
        spool: &spool::Reader,
        name: StreamName,
        (ends, at): (&[Peer], Timestamp),
        around: &mut Around<'_>,
    ) -> (bool, Option<Job>) {
        if !self.wish.look_back {
            return (false, None);
        }
        if self.budget.is_spent(self.wish.bytes_per_day, around.now) {
            let is_news = self.budget.refuse();
            self.limit_is_met(is_news);
            return (false, None);
        }
        let is_due = self.earlier.as_ref().is_some_and(|earlier| {
            earlier.run != spool.run() || earlier.reel.captured >= self.wish.sealing.bytes
        });
        let sealed = is_due.then(|| self.close_earlier(around)).flatten();
        match self.copy_of_run(spool, name, around) {
            Ok(false) => return (false, sealed),
            Ok(true) => {}
            Err(error) => self.stats.error = Some(error.to_string()),
        }
        if let Some(Earlier { reel, .. }) = &mut self.earlier {
            ends.iter().for_each(|end| reel.name(end, at));
            if let Err(lost) = reel.commit() {
                self.lose(&lost);
            }
        }
        self.stats.streams += 1;
        self.has_traffic(number);
        (true, sealed)
    }

    /// Copies the packets of a stream; false when none is left.
    fn copy_of_run(
        &mut self,
        spool: &spool::Reader,
        name: StreamName,
        around: &mut Around<'_>,
    ) -> io::Result<bool> {
        let packets = spool.stream(name.stream, None).map_err(io::Error::other)?;
        let mut packets = packets.peekable();
        let Some(Ok(first)) = packets.peek() else {
            return Ok(false);
        };
        let take = Take::new(name, first.entry.ordinal, first.entry.position, false);
        self.stats.beheaded += u64::from(name.stream.0 < take.ordinal);
        self.reel_of_run(spool.run(), around)?.take(&[take])?;
        for packet in packets {
            let packet = packet.map_err(io::Error::other)?;
            let size = packet.bytes.len() as u64;
            if self.has_room(size, around)
                && let Some(earlier) = &mut self.earlier
                && let Err(lost) = earlier.reel.push(packet.entry, &packet.bytes, around.now)
            {
                self.lose(&lost);
            }
        }
        Ok(true)
    }

    fn reel_of_run(&mut self, run: u64, around: &mut Around<'_>) -> io::Result<&mut OpenReel> {
        if self.earlier.is_none() {
            let head = next_head(&self.wish, run, around);
            let mut reel = OpenReel::create(around.open_dir, head)?;
            if let Err(error) = self.note_events(&mut reel) {
                reel.abandon();
                return Err(error);
            }
            self.earlier = Some(Earlier { run, reel });
        }
        let earlier = self.earlier.as_mut();
        earlier
            .map(|earlier| &mut earlier.reel)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Ends the reel of an earlier run.
    pub(crate) fn close_earlier(&mut self, around: &Around<'_>) -> Option<Job> {
        let Earlier { reel, .. } = self.earlier.take()?;
        let bytes = reel.bytes();
        let closed = reel.close(false)?;
        let mut occasion = around
            .options
            .occasion("event", around.now, around.spool, &self.stats);
        // It would be what this run lost.
        occasion.coverage.clear();
        occasion.remarks = vec![REMARK.to_owned()];
        Some(Job::Reel {
            closed: Box::new(closed),
            bytes,
            occasion,
        })
    }
}
