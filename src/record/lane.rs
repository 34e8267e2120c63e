//! One recording at work: which streams it took, and its open reel.
//!
//! In: items and packets, batch by batch. Out: packets of taken streams in the open reel; closed
//! reels. Never: other recordings' streams, uploading.
//!
//! Invariant: a stream is taken once. From its take on, every packet of it goes into a reel, over
//! many reels when it lives long; when it ended, it is remembered for a while as done, so that a
//! late item or a script does not take it again.

mod done;
mod earlier;
mod events;
mod stats;
mod turn;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ahash::RandomState;

use super::budget::Budget;
use super::journal::{Head, Take};
use super::manifest::{Event, Kind};
use super::recorder::Options;
use super::reel::{NotWritten, OpenReel};
use super::seal::Occasion;
use super::sealer::Job;
use super::wish::Wish;
use crate::item::Item;
use crate::kfl::Verdict;
use crate::packet::{Batch, Direction, Packet, Position, StreamId, StreamName};
use crate::spool::{self, Entry, Spooled};
use crate::time::Timestamp;
use done::Done;
pub(crate) use stats::Stats;
use turn::Closing;

/// Streams that a recording follows at a time; each costs some 60 bytes, and a line in the journal
/// of each reel.
pub const MAX_TAKEN: usize = 262_144;

/// Time without a match, while items flow, after which it is said once.
const QUIET: Duration = Duration::from_secs(3600);

/// Why a reel ends whose recording was changed: what follows is another one.
pub(crate) const CHANGED: &str = "changed";

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

/// How old the last match gets before items of streams that are taken are held against the query.
const TOLD_AGAIN: Duration = Duration::from_secs(1);

pub(crate) struct Lane {
    pub(crate) wish: Wish,
    pub(crate) reel: Option<OpenReel>,
    closing: Option<Closing>,
    /// Folders of closed reels whose end is not noted there yet.
    unended: Vec<PathBuf>,
    pub(crate) stats: Stats,
    pub(crate) budget: Budget,
    /// When it began.
    pub(crate) began: Timestamp,
    /// What people must be told.
    pub(crate) warning: Option<String>,
    /// When its query was asked: what `now` in it means.
    since: Timestamp,
    taken: HashMap<StreamId, StreamName, RandomState>,
    /// Whether it was switched off.
    is_over: bool,
    done: Done,
    last_sealed: Option<Timestamp>,
    /// End of the time that the last sign of life covered.
    pub(crate) alive_at: Timestamp,
    quiet_since: Timestamp,
    quiet_items: u64,
    /// What happened and is not over.
    events: Vec<events::Going>,
    /// The reel of an earlier run that streams are taken into.
    earlier: Option<earlier::Earlier>,
}

impl Lane {
    /// One that begins at `now`.
    pub(crate) fn new(wish: Wish, now: Timestamp) -> Lane {
        Lane {
            wish,
            reel: None,
            closing: None,
            unended: Vec::new(),
            stats: Stats::default(),
            budget: Budget::default(),
            began: now,
            warning: None,
            since: now,
            taken: HashMap::default(),
            is_over: false,
            done: Done::default(),
            last_sealed: None,
            alive_at: now,
            quiet_since: now,
            quiet_items: 0,
            events: Vec::new(),
            earlier: None,
        }
    }

    /// Follows other settings from here on, asked at `now`.
    pub(crate) fn follow(&mut self, wish: Wish, now: Timestamp) {
        if wish.query.text() != self.wish.query.text() {
            self.since = now;
        }
        self.wish = wish;
    }

    /// Nothing of it lies ahead of `now`: where the clock was set back, what is due is due by its new
    /// time.
    pub(crate) fn follow_clock(&mut self, now: Timestamp) {
        if let Some(reel) = &mut self.reel {
            reel.since = reel.since.map(|since| since.min(now));
        }
        self.last_sealed = self.last_sealed.map(|sealed| sealed.min(now));
        self.alive_at = self.alive_at.min(now);
        self.quiet_since = self.quiet_since.min(now);
    }

    /// Whether it has this stream, also one that ended lately.
    pub(crate) fn has(&self, stream: StreamId) -> bool {
        self.taken.contains_key(&stream) || self.done.contains(stream)
    }

    /// Bytes of its open reels.
    pub(crate) fn open_bytes(&self) -> u64 {
        let closing = self.closing.as_ref().map(|closing| &closing.reel);
        let earlier = self.earlier.as_ref().map(|earlier| &earlier.reel);
        let reels = self.reel.iter().chain(closing).chain(earlier);
        reels.map(OpenReel::bytes).sum()
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
        let is_taken = self.taken.contains_key(&stream);
        if is_taken || self.done.contains(stream) {
            if self.may_say_matched(around.now)
                && self.wish.query.matches(item.node(), self.since) == Verdict::Match
            {
                self.matched(around.now);
            }
            if !is_taken {
                return;
            }
        } else {
            match self.wish.query.matches(item.node(), self.since) {
                Verdict::NoMatch => return,
                Verdict::Match => self.stats.matches += 1,
                // Whoever cannot tell keeps it.
                Verdict::Undecided => self.stats.undecided += 1,
            }
            self.matched(around.now);
            self.take(item.stream, 0, around);
        }
        let closing = self
            .closing
            .as_mut()
            .filter(|closing| closing.streams.contains_key(&stream));
        let reel = closing
            .map(|closing| &mut closing.reel)
            .or(self.reel.as_mut());
        if let Some(reel) = reel {
            reel.items += 1;
            for peer in [&item.src, &item.dst] {
                reel.name(peer, item.start);
            }
        }
    }

    /// Whether it is news that an item matches at `now`, of a stream that is taken anyway.
    fn may_say_matched(&self, now: Timestamp) -> bool {
        let last = self.stats.last_match;
        self.wish.trigger.is_none() && last.is_none_or(|last| now.since(last) >= TOLD_AGAIN)
    }

    fn matched(&mut self, now: Timestamp) {
        self.stats.last_match = Some(now);
        self.quiet_since = now;
        self.quiet_items = 0;
    }

    /// Takes a stream with its look-back, where reels have it up to the packet `from` only what follows;
    /// false when it has it already, nothing followed, or it may not have more.
    pub(crate) fn take(&mut self, name: StreamName, from: u64, around: &mut Around<'_>) -> bool {
        if self.taken.contains_key(&name.stream) || self.done.contains(name.stream) {
            return false;
        }
        if self.taken.len() >= MAX_TAKEN {
            self.stats.refused += 1;
            return false;
        }
        if self.budget.is_spent(self.wish.bytes_per_day, around.now) {
            self.leave_out(name.stream);
            return false;
        }
        match self.copy_earlier(name, from, around) {
            Ok(true) => {}
            Ok(false) => {
                self.done.add(name.stream);
                return false;
            }
            Err(error) => self.stats.error = Some(error.to_string()),
        }
        self.stats.streams += u64::from(from == 0);
        if has_ended(name.stream, around) {
            self.done.add(name.stream);
        } else {
            self.taken.insert(name.stream, name);
        }
        true
    }

    /// Leaves a stream out because the day's limit is met.
    fn leave_out(&mut self, stream: StreamId) {
        let is_news = self.budget.leave_out(stream);
        self.limit_is_met(is_news);
    }

    /// Says, when it `is_news`, that the day's limit is met.
    fn limit_is_met(&mut self, is_news: bool) {
        if is_news {
            self.warning = Some(format!(
                "the recording {} has recorded its limit of {} bytes today and takes no further stream until \
                 midnight UTC; raise limits.bytesPerDay or narrow its KFL",
                self.wish.name, self.wish.bytes_per_day
            ));
        }
        self.stats.limited = self.budget.streams;
        self.stats.left_out = self.budget.covered();
    }

    /// Copies the packets of a stream from `from` on that were there before the batch at hand; false when
    /// there are none and none will come.
    fn copy_earlier(
        &mut self,
        name: StreamName,
        from: u64,
        around: &mut Around<'_>,
    ) -> io::Result<bool> {
        let spool = around.spool.filter(|_| self.wish.look_back);
        let earlier = spool.map(|spool| spool.stream(name.stream, Some(around.next)));
        let earlier = earlier.transpose().map_err(io::Error::other)?;
        let mut earlier = earlier.map(|packets| packets.since(from));
        let head = earlier.as_mut().and_then(Iterator::next);
        if from > 0 && head.is_none() && has_ended(name.stream, around) {
            return Ok(false);
        }
        let (ordinal, position) = match &head {
            Some(Ok(Spooled { entry, .. })) => {
                self.stats.beheaded += u64::from(is_beheaded(entry, name, from));
                (entry.ordinal, entry.position)
            }
            Some(Err(_)) | None => {
                self.stats.beheaded += u64::from(from == 0 && name.stream.0 < around.next);
                (around.next, Position::default())
            }
        };
        let take = Take::new(name, ordinal, position, from > 0);
        self.open_reel(around)?.take(&[take])?;
        let mut copied = Ok(());
        for packet in head.into_iter().chain(earlier.iter_mut().flatten()) {
            match packet {
                Ok(packet) => self.push(packet.entry, &packet.bytes, around),
                Err(error) => {
                    copied = Err(io::Error::other(error));
                    break;
                }
            }
        }
        self.stats.missed += earlier.map_or(0, |packets| packets.missing());
        copied.map(|()| true)
    }

    /// Adds the packets of a batch that belong to taken streams, `adopted` fragments among them.
    pub(crate) fn add_batch(
        &mut self,
        batch: &Batch,
        adopted: &HashMap<u64, StreamId, RandomState>,
        around: &mut Around<'_>,
    ) {
        if self.stats.limited > 0 {
            self.budget.count(batch);
            self.stats.left_out = self.budget.covered();
        }
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
        let closing = self.closing.as_mut().map(|closing| &mut closing.reel);
        let reels = self.reel.iter_mut().chain(closing);
        let lost: Vec<NotWritten> = reels.filter_map(|reel| reel.commit().err()).collect();
        for lost in lost {
            self.lose(&lost);
        }
    }

    fn push(&mut self, entry: Entry, bytes: &[u8], around: &mut Around<'_>) {
        let size = bytes.len() as u64;
        if !self.has_room(size, entry.ts, around) {
            return;
        }
        let now = around.now;
        let is_of = |closing: &&mut Closing| {
            let stream = entry.stream_id();
            stream.is_some_and(|stream| closing.streams.contains_key(&stream))
        };
        let added = match self.closing.as_mut().filter(is_of) {
            Some(closing) => closing.reel.push(entry, bytes, now),
            None => match self.open_reel(around) {
                Ok(reel) => reel.push(entry, bytes, now),
                Err(error) => Err(NotWritten {
                    packets: 1,
                    bytes: size,
                    error,
                }),
            },
        };
        if let Err(lost) = added {
            self.lose(&lost);
        }
    }

    /// Takes room for a packet and counts it as recorded; where there is none, counts that.
    fn has_room(&mut self, size: u64, captured: Timestamp, around: &mut Around<'_>) -> bool {
        let Some(room) = around.room.checked_sub(size) else {
            self.stats.not_written += 1;
            self.stats.error = Some(match around.is_stopped {
                true => STOPPED.to_owned(),
                false => "the share of the disk for open reels is used up".to_owned(),
            });
            self.stats.stopped += u64::from(around.is_stopped);
            return false;
        };
        around.room = room;
        self.stats.packets += 1;
        self.stats.bytes += size;
        match captured < self.began {
            true => self.budget.add_earlier(size, around.now),
            false => self.budget.add(size, around.now),
        }
        true
    }

    /// Counts packets as not written that were counted as recorded.
    fn lose(&mut self, lost: &NotWritten) {
        let stats = &mut self.stats;
        stats.packets = stats.packets.saturating_sub(lost.packets);
        stats.bytes = stats.bytes.saturating_sub(lost.bytes);
        self.budget.take_off(lost.bytes);
        stats.not_written += lost.packets;
        stats.error = Some(not_written(&lost.error));
    }

    /// The open reel; a new one begins with the streams that go on from the last.
    fn open_reel(&mut self, around: &mut Around<'_>) -> io::Result<&mut OpenReel> {
        if self.reel.is_none() {
            let head = next_head(&self.wish, around.options.run, around);
            let mut reel = OpenReel::create(around.open_dir, head)?;
            let closing = self.closing.as_ref().map(|closing| &closing.streams);
            let goes_on = |name: &&StreamName| {
                closing.is_none_or(|streams| !streams.contains_key(&name.stream))
            };
            let carried: Vec<Take> = self
                .taken
                .values()
                .filter(goes_on)
                .map(|name| Take::new(*name, around.next, Position::default(), true))
                .collect();
            let begun = reel
                .take(&carried)
                .and_then(|()| self.note_events(&mut reel));
            if let Err(error) = begun {
                reel.abandon();
                return Err(error);
            }
            self.reel = Some(reel);
            self.end_closed(around.next);
        }
        self.reel
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Whether the open reel is due, and why.
    pub(crate) fn is_due(&self, now: Timestamp) -> Option<&'static str> {
        let reel = self.reel.as_ref()?;
        if self.closing.is_some() {
            // One cut at a time; the states for it are on their way.
            return None;
        }
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

    /// Ends following streams, when the recording is switched off.
    pub(crate) fn forget_all(&mut self) {
        self.is_over = true;
        self.taken.clear();
    }

    /// A sign of life for the time since the last one.
    pub(crate) fn heartbeat(&mut self, why: &'static str, around: &mut Around<'_>) -> Job {
        self.sign_of_life(Kind::Heartbeat, why, Vec::new(), around)
    }

    /// The roll-up of its destination, which is a sign of life too.
    pub(crate) fn rollup(&mut self, around: &mut Around<'_>) -> Job {
        self.sign_of_life(Kind::Rollup, "daily", Vec::new(), around)
    }

    fn sign_of_life(
        &mut self,
        kind: Kind,
        why: &'static str,
        events: Vec<Event>,
        around: &mut Around<'_>,
    ) -> Job {
        let from = std::mem::replace(&mut self.alive_at, around.now);
        let occasion = around
            .options
            .occasion(why, around.now, around.spool, &self.stats);
        Job::Heartbeat {
            kind,
            head: Box::new(next_head(&self.wish, around.options.run, around)),
            from,
            occasion: Occasion { events, ..occasion },
        }
    }

    /// A sentence when items have flowed for an hour and none matched.
    pub(crate) fn quiet(&mut self, now: Timestamp) -> Option<String> {
        if now.since(self.quiet_since) < QUIET || self.wish.trigger.is_some() {
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

/// The head of the next reel of a run.
fn next_head(wish: &Wish, run: u64, around: &mut Around<'_>) -> Head {
    let options = around.options;
    let sequence = *around.sequence;
    *around.sequence += 1;
    Head::new(
        wish,
        &options.cluster,
        &options.node,
        run,
        sequence,
        options.interfaces.clone(),
        options.addresses.clone(),
    )
}

/// Whether a packet that is the first that is left of a stream is not the first from `from` on.
fn is_beheaded(first: &Entry, name: StreamName, from: u64) -> bool {
    match from {
        // A stream's number is the ordinal of its first packet.
        0 => name.stream.0 < first.ordinal,
        from => first.previous.is_some_and(|previous| previous >= from),
    }
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
        fragment: packet.stream.is_none(),
        adopts: None,
    }
}

fn not_written(error: &io::Error) -> String {
    format!("packets could not be written to the open reel: {error}; free space on the disk")
}
