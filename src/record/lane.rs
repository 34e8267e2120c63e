//! One recording at work: which streams it took, and its open reel.
//!
//! In: items and packets, batch by batch. Out: packets of taken streams in the open reel; closed
//! reels. Never: other recordings' streams, uploading.
//!
//! Invariant: a stream is taken once. From its take on, every packet of it goes into a reel, over
//! many reels when it lives long; when it ended, it is remembered for a while as done, so that a
//! late item or a script does not take it again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::path::Path;
use std::time::Duration;

use ahash::RandomState;

use super::journal::{Head, Take};
use super::manifest::Kind;
use super::recorder::Options;
use super::reel::OpenReel;
use super::sealer::Job;
use super::wish::Wish;
use crate::item::Item;
use crate::kfl::Verdict;
use crate::packet::{Batch, Direction, Packet, Position, StreamId, StreamName};
use crate::spool::{self, Entry};
use crate::time::Timestamp;

/// Streams that a recording follows at a time; each costs some 60 bytes, and a line in the journal
/// of each reel.
pub const MAX_TAKEN: usize = 262_144;

/// Ended streams that are remembered as done.
const MAX_DONE: usize = 65_536;

/// Time without a match, while items flow, after which it is said once.
const QUIET: Duration = Duration::from_secs(3600);

/// What a recording did since it began.
#[derive(Debug, Default, Clone)]
pub(crate) struct Stats {
    pub(crate) streams: u64,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) matches: u64,
    pub(crate) undecided: u64,
    pub(crate) refused: u64,
    pub(crate) not_written: u64,
    /// Those among them that came while the outbox was full.
    pub(crate) stopped: u64,
    /// Streams whose first packets were no longer to be had when they were taken.
    pub(crate) beheaded: u64,
    pub(crate) last_match: Option<Timestamp>,
    pub(crate) error: Option<String>,
}

/// What a lane needs to know of the world around it.
pub(crate) struct Around<'a> {
    pub(crate) options: &'a Options,
    pub(crate) open_dir: &'a Path,
    pub(crate) spool: Option<&'a spool::Reader>,
    pub(crate) sequence: &'a mut u64,
    pub(crate) now: Timestamp,
    /// Ordinal of the first packet that was not handed to the lanes yet.
    pub(crate) next: u64,
    /// Bytes that open reels may still grow by.
    pub(crate) room: u64,
    /// Whether that is none because the outbox is full.
    pub(crate) is_stopped: bool,
}

/// What a recording says while the outbox takes nothing more.
pub(crate) const STOPPED: &str = "recording has stopped: the outbox is full and its policy is to \
    keep what waits; make the store reachable, or raise tap.storageLimit";

pub(crate) struct Lane {
    pub(crate) wish: Wish,
    pub(crate) reel: Option<OpenReel>,
    pub(crate) stats: Stats,
    /// When its query was asked: what `now` in it means.
    since: Timestamp,
    taken: HashMap<StreamId, StreamName, RandomState>,
    done: Done,
    last_sealed: Option<Timestamp>,
    /// End of the time that the last sign of life covered.
    pub(crate) alive_at: Timestamp,
    quiet_since: Timestamp,
    quiet_items: u64,
}

impl Lane {
    pub(crate) fn new(wish: Wish, now: Timestamp) -> Lane {
        Lane {
            wish,
            reel: None,
            stats: Stats::default(),
            since: now,
            taken: HashMap::default(),
            done: Done::default(),
            last_sealed: None,
            alive_at: now,
            quiet_since: now,
            quiet_items: 0,
        }
    }

    /// Follows other settings from here on, asked at `now`.
    pub(crate) fn follow(&mut self, wish: Wish, now: Timestamp) {
        if wish.query.text() != self.wish.query.text() {
            self.since = now;
        }
        self.wish = wish;
    }

    /// Streams it follows now.
    pub(crate) fn open_streams(&self) -> usize {
        self.taken.len()
    }

    /// Whether it follows no stream.
    pub(crate) fn is_idle(&self) -> bool {
        self.taken.is_empty()
    }

    /// Looks whether an item makes its stream wanted.
    pub(crate) fn consider(&mut self, item: &Item, around: &mut Around<'_>) {
        self.quiet_items += 1;
        let stream = item.stream.stream;
        if !self.taken.contains_key(&stream) {
            if self.done.contains(stream) {
                return;
            }
            match self.wish.query.matches(item.node(), self.since) {
                Verdict::NoMatch => return,
                Verdict::Match => self.stats.matches += 1,
                // Whoever cannot tell keeps it.
                Verdict::Undecided => self.stats.undecided += 1,
            }
            self.stats.last_match = Some(around.now);
            self.quiet_since = around.now;
            self.quiet_items = 0;
            self.take(item.stream, around);
        }
        if let Some(reel) = &mut self.reel {
            reel.items += 1;
            for peer in [&item.src, &item.dst] {
                reel.name(peer, item.start);
            }
        }
    }

    /// Takes a stream with its look-back; false when it has it already or may not have more.
    pub(crate) fn take(&mut self, name: StreamName, around: &mut Around<'_>) -> bool {
        if self.taken.contains_key(&name.stream) || self.done.contains(name.stream) {
            return false;
        }
        if self.taken.len() >= MAX_TAKEN {
            self.stats.refused += 1;
            return false;
        }
        match self.copy_earlier(name, around) {
            Ok(()) => {}
            Err(error) => self.stats.error = Some(error.to_string()),
        }
        self.stats.streams += 1;
        if has_ended(name.stream, around) {
            self.done.add(name.stream);
        } else {
            self.taken.insert(name.stream, name);
        }
        true
    }

    /// Copies the packets of a stream that were there before the batch at hand.
    fn copy_earlier(&mut self, name: StreamName, around: &mut Around<'_>) -> io::Result<()> {
        let spool = around.spool.filter(|_| self.wish.look_back);
        let mut earlier = match spool {
            Some(spool) => Some(
                spool
                    .stream(name.stream, Some(around.next))
                    .map_err(io::Error::other)?
                    .peekable(),
            ),
            None => None,
        };
        let first = earlier
            .as_mut()
            .and_then(|packets| packets.peek()?.as_ref().ok())
            .map_or((around.next, Position::default()), |packet| {
                (packet.entry.ordinal, packet.entry.position)
            });
        // A stream's number is the ordinal of its first packet.
        self.stats.beheaded += u64::from(name.stream.0 < first.0);
        let take = Take::new(name, first.0, first.1, false);
        self.open_reel(around)?.take(&[take])?;
        for packet in earlier.into_iter().flatten() {
            let packet = packet.map_err(io::Error::other)?;
            self.push(packet.entry, &packet.bytes, around);
        }
        Ok(())
    }

    /// Adds the packets of a batch that belong to taken streams, `adopted` fragments among them.
    pub(crate) fn add_batch(
        &mut self,
        batch: &Batch,
        adopted: &HashMap<u64, StreamId, RandomState>,
        around: &mut Around<'_>,
    ) {
        if self.taken.is_empty() {
            return;
        }
        let (first, spool) = (around.next, around.spool);
        for (ordinal, stream) in adopted.iter().filter(|(ordinal, _)| **ordinal < first) {
            if let (true, Some(spool)) = (self.taken.contains_key(stream), spool)
                && let Ok(Some(packet)) = spool.packet(*ordinal)
            {
                self.push(packet.entry, &packet.bytes, around);
            }
        }
        for packet in &batch.packets {
            let stream = match packet.stream {
                Some((stream, _)) => stream,
                None => match adopted.get(&packet.ordinal) {
                    Some(stream) => *stream,
                    None => continue,
                },
            };
            if let Some(name) = self.taken.get(&stream) {
                let entry = entry_of(packet, *name);
                self.push(entry, &batch.bytes_of(packet), around);
            }
        }
    }

    /// Forgets streams that ended with a batch.
    pub(crate) fn end_streams(&mut self, batch: &Batch) {
        for ended in &batch.ended {
            if self.taken.remove(&ended.stream).is_some() {
                self.done.add(ended.stream);
            }
        }
    }

    /// Hands what was added to the system.
    pub(crate) fn commit(&mut self) {
        if let Some(reel) = &mut self.reel {
            let before = reel.packets();
            if let Err(error) = reel.commit() {
                self.stats.not_written += before - reel.packets();
                self.stats.error = Some(not_written(&error));
            }
        }
    }

    fn push(&mut self, entry: Entry, bytes: &[u8], around: &mut Around<'_>) {
        let size = bytes.len() as u64;
        let refused = match around.room.checked_sub(size) {
            None if around.is_stopped => {
                self.stats.stopped += 1;
                Some(STOPPED.to_owned())
            }
            None => Some("the share of the disk for open reels is used up".to_owned()),
            Some(room) => {
                around.room = room;
                let now = around.now;
                let added = self
                    .open_reel(around)
                    .and_then(|reel| reel.push(entry, bytes, now));
                added.err().map(|error| not_written(&error))
            }
        };
        match refused {
            None => {
                self.stats.packets += 1;
                self.stats.bytes += size;
            }
            Some(error) => {
                self.stats.not_written += 1;
                self.stats.error = Some(error);
            }
        }
    }

    /// The open reel; a new one begins with the streams that go on from the last.
    fn open_reel(&mut self, around: &mut Around<'_>) -> io::Result<&mut OpenReel> {
        if self.reel.is_none() {
            let head = next_head(&self.wish, around);
            let mut reel = OpenReel::create(around.open_dir, head)?;
            let carried: Vec<Take> = self
                .taken
                .values()
                .map(|name| Take::new(*name, around.next, Position::default(), true))
                .collect();
            reel.take(&carried)?;
            if let Some(save) = &around.options.save_state {
                for name in self.taken.values() {
                    if let Some(state) = save(*name) {
                        reel.state(*name, &state)?;
                    }
                }
            }
            self.reel = Some(reel);
        }
        self.reel
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Whether the open reel is due, and why.
    pub(crate) fn is_due(&self, now: Timestamp) -> Option<&'static str> {
        let reel = self.reel.as_ref()?;
        let sealing = self.wish.sealing;
        if reel.captured >= sealing.bytes {
            return Some("size");
        }
        let was_quiet = self
            .last_sealed
            .is_none_or(|sealed| now.since(sealed) >= sealing.every);
        let age = if was_quiet {
            sealing.first
        } else {
            sealing.every
        };
        (now.since(reel.since?) >= age).then_some("age")
    }

    /// Closes the open reel; the next one is opened at once while streams are followed, so that
    /// after a kill their packets are found through its journal. `None` when it holds no packet.
    pub(crate) fn close(&mut self, why: &'static str, around: &mut Around<'_>) -> Option<Job> {
        let reel = self.reel.take()?;
        let bytes = reel.bytes();
        let closed = reel.close();
        if !self.taken.is_empty()
            && let Err(error) = self.open_reel(around)
        {
            self.stats.error = Some(not_written(&error));
        }
        let closed = closed?;
        self.last_sealed = Some(around.now);
        Some(Job::Reel {
            closed: Box::new(closed),
            bytes,
            occasion: around
                .options
                .occasion(why, around.now, around.spool, &self.stats),
        })
    }

    /// Ends following streams, when the recording is switched off.
    pub(crate) fn forget_all(&mut self) {
        self.taken.clear();
    }

    /// A sign of life for the time since the last one.
    pub(crate) fn heartbeat(&mut self, why: &'static str, around: &mut Around<'_>) -> Job {
        self.sign_of_life(Kind::Heartbeat, why, around)
    }

    /// The roll-up of its destination, which is a sign of life too.
    pub(crate) fn rollup(&mut self, around: &mut Around<'_>) -> Job {
        self.sign_of_life(Kind::Rollup, "daily", around)
    }

    fn sign_of_life(&mut self, kind: Kind, why: &'static str, around: &mut Around<'_>) -> Job {
        let from = std::mem::replace(&mut self.alive_at, around.now);
        Job::Heartbeat {
            kind,
            head: Box::new(next_head(&self.wish, around)),
            from,
            occasion: around
                .options
                .occasion(why, around.now, around.spool, &self.stats),
        }
    }

    /// A sentence when items have flowed for an hour and none matched.
    pub(crate) fn quiet(&mut self, now: Timestamp) -> Option<String> {
        if now.since(self.quiet_since) < QUIET {
            return None;
        }
        let seen = std::mem::take(&mut self.quiet_items);
        self.quiet_since = now;
        (seen > 0).then(|| {
            format!(
                "the recording {} matched none of {seen} items in the last hour; is its KFL meant \
                 so: {}",
                self.wish.name, self.wish.query
            )
        })
    }
}

fn next_head(wish: &Wish, around: &mut Around<'_>) -> Head {
    let options = around.options;
    let sequence = *around.sequence;
    *around.sequence += 1;
    Head::new(
        wish,
        &options.cluster,
        &options.node,
        options.run,
        sequence,
        options.interfaces.clone(),
    )
}

/// Whether all packets of a stream are in the spool already and before the batch at hand.
fn has_ended(stream: StreamId, around: &Around<'_>) -> bool {
    let Some(spool) = around.spool else {
        return false;
    };
    // Open first: what is closed in between is told by the batch that ends it.
    !spool.is_open(stream)
        && match spool.last(stream) {
            Ok(Some(last)) => last < around.next,
            Ok(None) | Err(_) => false,
        }
}

fn entry_of(packet: &Packet, name: StreamName) -> Entry {
    let direction = packet.stream.map(|(_, direction)| direction);
    Entry {
        ordinal: packet.ordinal,
        stream: Some((name, direction.unwrap_or(Direction::ToServer))),
        previous: None,
        ts: packet.record.ts,
        position: packet.record.position,
        caplen: packet.record.caplen,
        len: packet.record.len,
        interface: packet.record.interface,
        linktype: packet.record.linktype,
        adopted: packet.stream.is_none(),
    }
}

fn not_written(error: &io::Error) -> String {
    format!("packets could not be written to the open reel: {error}; free space on the disk")
}

/// Streams that ended lately, the oldest forgotten first.
#[derive(Debug, Default)]
struct Done {
    set: HashSet<StreamId, RandomState>,
    order: VecDeque<StreamId>,
}

impl Done {
    fn contains(&self, stream: StreamId) -> bool {
        self.set.contains(&stream)
    }

    fn add(&mut self, stream: StreamId) {
        if self.set.insert(stream) {
            self.order.push_back(stream);
        }
        if self.order.len() > MAX_DONE
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
    }
}
