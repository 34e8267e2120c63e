//! Streams of an earlier run of this node, for what happened before or while it was started anew.
//!
//! In: streams that the spool still has of a run that is over. Out: their packets in a reel of that run,
//! under the names that they had in it. Never: a stream of a run that goes on; two runs in one reel.

use std::io;

use super::{Around, Lane, OpenReel, Stats, is_beheaded, next_head};
use crate::item::Peer;
use crate::packet::StreamName;
use crate::record::journal::Take;
use crate::record::reel::NotWritten;
use crate::record::seal::Occasion;
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
    /// What it lacks.
    stats: Stats,
}

impl Lane {
    /// Takes a stream of an earlier run for an event, between two ends with these names: from the first
    /// packet on that no reel has. Answers whether it is taken, and what seals the reel before, when
    /// another one had to begin.
    pub(crate) fn take_earlier(
        &mut self,
        number: u64,
        spool: &spool::Reader,
        stream: (StreamName, u64),
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
        let copied = self.copy_of_run(spool, stream, around);
        if let Err(error) = &copied {
            self.stats.error = Some(error.to_string());
        }
        let (Ok(true), Some(earlier)) = (copied, &mut self.earlier) else {
            return (false, sealed);
        };
        ends.iter().for_each(|end| earlier.reel.name(end, at));
        if let Err(lost) = earlier.reel.commit() {
            self.lose_earlier(&lost);
        }
        self.stats.streams += u64::from(stream.1 == 0);
        self.has_traffic(number);
        (true, sealed)
    }

    /// Copies the packets of a stream from one on; false when none is left.
    fn copy_of_run(
        &mut self,
        spool: &spool::Reader,
        (name, from): (StreamName, u64),
        around: &mut Around<'_>,
    ) -> io::Result<bool> {
        let packets = spool.stream(name.stream, None).map_err(io::Error::other)?;
        let mut packets = packets.since(from);
        let first = match packets.next() {
            None => {
                self.miss(packets.missing());
                return Ok(false);
            }
            Some(first) => first.map_err(io::Error::other)?,
        };
        let entry = &first.entry;
        let take = Take::new(name, entry.ordinal, entry.position, from > 0);
        let earlier = self.earlier_of(spool.run(), around)?;
        earlier.reel.take(&[take])?;
        earlier.stats.beheaded += u64::from(is_beheaded(entry, name, from));
        for packet in std::iter::once(Ok(first)).chain(&mut packets) {
            match packet {
                Ok(packet) => self.push_earlier(packet.entry, &packet.bytes, around),
                Err(error) => {
                    self.stats.error = Some(error.to_string());
                    break;
                }
            }
        }
        self.miss(packets.missing());
        Ok(true)
    }

    /// Counts packets that the spool had no longer where their reel tells it; without one, this run's do.
    fn miss(&mut self, packets: u64) {
        let earlier = self.earlier.as_mut().map(|earlier| &mut earlier.stats);
        earlier.unwrap_or(&mut self.stats).missed += packets;
    }

    fn push_earlier(&mut self, entry: spool::Entry, bytes: &[u8], around: &mut Around<'_>) {
        let has_room = self.has_room(bytes.len() as u64, entry.ts, around);
        let Some(earlier) = &mut self.earlier else {
            return;
        };
        if !has_room {
            earlier.stats.not_written += 1;
            earlier.stats.stopped += u64::from(around.is_stopped);
        } else if let Err(lost) = earlier.reel.push(entry, bytes, around.now) {
            self.lose_earlier(&lost);
        }
    }

    fn lose_earlier(&mut self, lost: &NotWritten) {
        if let Some(earlier) = &mut self.earlier {
            earlier.stats.not_written += lost.packets;
        }
        self.lose(lost);
    }

    /// The reel of an earlier run; a new one begins where there is none.
    fn earlier_of(&mut self, run: u64, around: &mut Around<'_>) -> io::Result<&mut Earlier> {
        if self.earlier.is_none() {
            let head = next_head(&self.wish, run, around);
            let mut reel = OpenReel::create(around.open_dir, head)?;
            if let Err(error) = self.note_events(&mut reel) {
                reel.abandon();
                return Err(error);
            }
            self.earlier = Some(Earlier {
                run,
                reel,
                stats: Stats::default(),
            });
        }
        self.earlier
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Ends the reel of an earlier run.
    pub(crate) fn close_earlier(&mut self, around: &Around<'_>) -> Option<Job> {
        let Earlier { reel, stats, .. } = self.earlier.take()?;
        let bytes = reel.bytes();
        let closed = reel.close(false)?;
        self.told_by(&closed);
        self.stats.beheaded_earlier += stats.beheaded;
        let occasion = around
            .options
            .occasion("event", around.now, around.spool, &self.stats);
        let mut remarks = vec![REMARK.to_owned()];
        remarks.extend(stats.remarks());
        Some(Job::Reel {
            closed: Box::new(closed),
            bytes,
            occasion: Occasion {
                // The rest is what this run lost.
                coverage: stats.coverage().collect(),
                remarks,
                ..occasion
            },
        })
    }
}
