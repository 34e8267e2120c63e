//! One direction of a TCP stream: its bytes in order, and what waits behind a hole.
//!
//! In: the direction's segments, and the acknowledgments of the other one. Out: chunks, gaps and FIN
//! into a [`Sink`]. Never: a byte twice. Standard: RFC 9293 sections 3.4 and 3.10.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;

use super::budget::{Budget, SEGMENT_OVERHEAD};
use super::overlap::OverlapPolicy;
use super::state::HalfState;
use super::window::Window;
use super::{ReassemblyCounts, Segment};
use crate::flow::{Chunk, Event, Gap};
use crate::packet::{Direction, TcpFlags, TcpHeader};
use crate::time::Timestamp;

/// Bytes that one direction may hold behind a hole: twice the largest receive window that Linux
/// gives by default (6 MiB, `tcp_rmem`), so that an honest sender never meets it.
pub(super) const MAX_HELD_BYTES: usize = 12 << 20;

/// Segments that one direction may hold behind a hole; bounds the cost of many tiny ones.
const MAX_HELD_SEGMENTS: usize = 16_384;

/// How long a hole may stay when no acknowledgment of its direction was ever captured; above the
/// first two retransmission timeouts of RFC 6298 (1 s, then 2 s).
const HOLE_WAIT: Duration = Duration::from_secs(4);

/// Sequence numbers up to this far behind are taken for old bytes, the rest of the circle for new
/// ones: no window reaches further back (RFC 7323 section 2.3 caps it at 1 GiB).
const MAX_BEHIND: u32 = 1 << 30;

/// Where the events of one segment go.
pub(super) struct Sink<'a> {
    pub(super) direction: Direction,
    pub(super) ts: Timestamp,
    pub(super) ordinal: u64,
    pub(super) budget: &'a Budget,
    pub(super) counts: &'a mut ReassemblyCounts,
    pub(super) out: &'a mut Vec<Event>,
}

impl Sink<'_> {
    fn chunk(&mut self, offset: u64, bytes: Bytes, ts: Timestamp) {
        self.counts.bytes += bytes.len() as u64;
        self.out.push(Event::Chunk(Chunk {
            direction: self.direction,
            offset,
            bytes,
            ts,
            ordinal: self.ordinal,
        }));
    }

    fn gap(&mut self, offset: u64, len: u64) {
        self.counts.gaps += 1;
        self.counts.gap_bytes += len;
        self.out.push(Event::Gap(Gap {
            direction: self.direction,
            offset,
            len,
            ts: self.ts,
            ordinal: self.ordinal,
        }));
    }
}

/// One direction.
///
/// Invariants: what lies before `next` was handed out; what is held lies behind `next` and does not
/// overlap.
#[derive(Debug, Default)]
pub(super) struct Half {
    policy: OverlapPolicy,
    /// Sequence number of offset 0.
    base: Option<u32>,
    pub(super) next: u64,
    pub(super) held: BTreeMap<u64, Held>,
    pub(super) held_bytes: usize,
    /// Offset up to which the receiver says that it has everything.
    acked: u64,
    /// Offset up to which the sender says that it has sent, by its sequence numbers.
    sent: u64,
    /// Whether a segment of the sender was seen, and whether one came after the acknowledgment of
    /// `acked`.
    is_captured: bool,
    spoke: bool,
    /// What the receiver takes.
    pub(super) window: Window,
    /// The last acknowledgment number before anything of this direction was seen.
    early_ack: Option<u32>,
    ack_seen: bool,
    hole_since: Option<Timestamp>,
    fin: Option<u64>,
    pub(super) finished: bool,
}

impl Half {
    pub(super) fn new(policy: OverlapPolicy) -> Half {
        Half {
            policy,
            ..Half::default()
        }
    }

    /// Sets where offset 0 lies, if that is not known yet.
    pub(super) fn begin(&mut self, seq: u32) {
        self.base.get_or_insert(seq);
    }

    /// Whether it was seen to begin or to say anything.
    pub(super) fn is_heard(&self) -> bool {
        self.base.is_some()
    }

    /// The offset of a sequence number, relative to where the direction stands; negative before
    /// the first byte.
    fn offset(&self, base: u32, seq: u32) -> i64 {
        // Truncation is meant: sequence numbers count modulo 2^32.
        let here = base.wrapping_add(self.next as u32);
        let ahead = seq.wrapping_sub(here).wrapping_add(MAX_BEHIND);
        (self.next as i64).saturating_add(i64::from(ahead) - i64::from(MAX_BEHIND))
    }

    /// Notes how far a segment of the direction shows that its sender has come.
    #[inline]
    pub(super) fn note_sent(&mut self, segment: &Segment) {
        self.is_captured = true;
        if segment.tcp.flags.has(TcpFlags::SYN) {
            self.window.sender_opens(&segment.tcp);
            return;
        }
        let Some(base) = self.base else { return };
        let start = self.offset(base, segment.tcp.seq);
        if self.window.takes(start) {
            self.spoke = true;
            let end = start.saturating_add(i64::from(segment.wire_len));
            self.sent = self.sent.max(u64::try_from(end).unwrap_or(0));
        }
    }

    /// Notes what the receiver says; tells the offset that it acknowledges when bytes before that
    /// were not seen yet.
    #[inline]
    pub(super) fn hear(&mut self, tcp: &TcpHeader) -> Option<u64> {
        if tcp.flags.has(TcpFlags::SYN) {
            self.window.receiver_opens(tcp);
        }
        if !tcp.flags.has(TcpFlags::ACK) || self.base.is_none() {
            return None;
        }
        let acked = self.acked_offset(tcp.ack);
        self.window.told(tcp, acked, self.sent.max(self.next));
        (acked > self.seen()).then_some(acked)
    }

    /// Offset up to which nothing is waited for.
    #[inline]
    pub(super) fn seen(&self) -> u64 {
        match self.finished {
            true => u64::MAX,
            false => self.next,
        }
    }

    /// The offset up to which an acknowledgment says that the receiver has all; 0 when it cannot
    /// be true.
    pub(super) fn acked_offset(&self, ack: u32) -> u64 {
        let Some(base) = self.base else { return 0 };
        u64::try_from(self.offset(base, ack))
            .ok()
            .filter(|acked| *acked <= self.next.saturating_add(u64::from(MAX_BEHIND)))
            .unwrap_or(0)
    }

    /// Makes gaps of what the receiver has and we have not.
    pub(super) fn acknowledge(&mut self, ack: u32, sink: &mut Sink<'_>) {
        self.ack_seen = true;
        if self.base.is_none() {
            self.early_ack = Some(ack);
            return;
        }
        if !self.window.is_clear() {
            let (taken, left_out) = self.window.heed(sink.budget);
            sink.counts.out_of_window += left_out;
            taken.into_iter().for_each(|one| self.take(one, sink));
        }
        let acked = self.acked_offset(ack);
        if acked > self.acked {
            self.acked = acked;
            self.spoke = false;
        }
        // Of a sender that is not captured at all, its receiver's words tell.
        let acked = match self.is_captured {
            true => acked.min(self.sent),
            false => acked,
        };
        // One byte more than all that was seen is the acknowledgment of a FIN we did not see.
        let only_fin = self.held.is_empty() && acked == self.next + 1;
        while acked > self.next && !self.finished && !only_fin {
            let first = self.held.first_key_value().map(|(first, _)| *first);
            let to = acked.min(first.unwrap_or(u64::MAX));
            let to = self.fin.map_or(to, |fin| to.min(fin));
            if to <= self.next {
                break;
            }
            self.pass_over(to, sink);
            self.drain(sink);
        }
    }

    pub(super) fn take(&mut self, segment: Segment, sink: &mut Sink<'_>) {
        let syn = segment.tcp.flags.has(TcpFlags::SYN);
        let seq = segment.tcp.seq.wrapping_add(u32::from(syn));
        let wire_len = segment
            .wire_len
            .max(u32::try_from(segment.payload.len()).unwrap_or(u32::MAX));
        let fin = segment.tcp.flags.has(TcpFlags::FIN);
        if syn && self.base.is_some_and(|base| base != seq) {
            // A SYN in the middle belongs to no byte of this stream.
            return;
        }
        if self.base.is_none() {
            if !syn && !fin && wire_len == 0 {
                return;
            }
            // Without handshake the first byte seen is offset 0, unless it is a keep-alive, whose
            // byte was acknowledged before.
            let probe = wire_len == 1 && self.early_ack == Some(seq.wrapping_add(1));
            self.base = Some(seq.wrapping_add(u32::from(probe)));
        }
        let base = self.base.unwrap_or(seq);
        let start = self.offset(base, seq);
        if (wire_len > 0 || fin) && !self.window.takes(start) {
            self.window.keep(start, segment, sink.budget);
            if self.window.is_silent() {
                let strays = self.window.forget(sink.budget);
                strays.into_iter().for_each(|one| self.take(one, sink));
            }
            return;
        }
        let end = start.saturating_add(i64::from(wire_len));
        if fin
            && self.fin.is_none()
            && let Ok(end) = u64::try_from(end)
            && end >= self.next
        {
            self.fin = Some(end);
        }
        if wire_len > 0 {
            self.place(
                start,
                segment.payload,
                u64::from(wire_len),
                segment.ts,
                sink,
            );
        }
        self.finish_if_done(sink);
    }

    /// Puts a segment's payload where it belongs: out, among the held, or nowhere.
    fn place(
        &mut self,
        start: i64,
        mut bytes: Bytes,
        mut wire_len: u64,
        ts: Timestamp,
        sink: &mut Sink<'_>,
    ) {
        sink.counts.segments += 1;
        if (bytes.len() as u64) < wire_len {
            sink.counts.truncated += 1;
        }
        let end = start.saturating_add(i64::try_from(wire_len).unwrap_or(i64::MAX));
        let next = i64::try_from(self.next).unwrap_or(i64::MAX);
        if end <= next {
            if wire_len == 1 && end == next {
                sink.counts.keep_alives += 1;
            } else {
                sink.counts.retransmissions += 1;
            }
            return;
        }
        let start = match u64::try_from(start) {
            Ok(start) if start >= self.next => start,
            _ => {
                // The front was handed out already, whatever the policy.
                sink.counts.overlaps += 1;
                let old = u64::try_from(next.saturating_sub(start)).unwrap_or(0);
                bytes = bytes.slice(usize::try_from(old).unwrap_or(usize::MAX).min(bytes.len())..);
                wire_len = wire_len.saturating_sub(old);
                self.next
            }
        };
        let wire_len = match self.fin {
            Some(fin) if start >= fin => {
                sink.counts.after_fin += 1;
                return;
            }
            Some(fin) => wire_len.min(fin - start),
            None => wire_len,
        };
        let bytes = bytes.slice(
            ..bytes
                .len()
                .min(usize::try_from(wire_len).unwrap_or(usize::MAX)),
        );
        let cut = wire_len - bytes.len() as u64;
        if start == self.next && self.held.is_empty() {
            self.hand_out(Held { bytes, cut, ts }, sink);
            return;
        }
        self.hold(start, Held { bytes, cut, ts }, sink);
        self.drain(sink);
        self.relieve(ts, sink);
    }

    /// Hands on what begins at `next`.
    fn hand_out(&mut self, held: Held, sink: &mut Sink<'_>) {
        if !held.bytes.is_empty() {
            let offset = self.next;
            self.next += held.bytes.len() as u64;
            sink.chunk(offset, held.bytes, held.ts);
        }
        if held.cut > 0 {
            self.pass_over(self.next + held.cut, sink);
        }
    }

    fn pass_over(&mut self, to: u64, sink: &mut Sink<'_>) {
        if to > self.next {
            sink.gap(self.next, to - self.next);
            self.next = to;
        }
    }

    /// Keeps the parts of a segment that no held one has, and those that the policy prefers.
    fn hold(&mut self, start: u64, held: Held, sink: &mut Sink<'_>) {
        let end = start + held.len();
        let mut replaced = 0;
        if self.policy != OverlapPolicy::First {
            replaced = self.make_room(start..end, sink.budget);
        }
        if self
            .held
            .last_key_value()
            .is_some_and(|(at, last)| start < at + last.len())
        {
            sink.counts.out_of_order += 1;
        }
        let mut at = start;
        let mut kept = 0;
        while at < end {
            // The held part that covers `at`, else the first one behind it.
            let before = self.held.range(..=at).next_back();
            if let Some(covered_to) = before
                .map(|(first, part)| first + part.len())
                .filter(|to| *to > at)
            {
                at = covered_to;
                continue;
            }
            let upto = self
                .held
                .range(at..end)
                .next()
                .map_or(end, |(first, _)| *first);
            let part = held.part(at - start, upto - at);
            kept += part.len();
            self.insert(at, part, sink.budget);
            at = upto;
        }
        kept -= replaced;
        if kept == 0 {
            sink.counts.retransmissions += 1;
        } else if kept < held.len() {
            sink.counts.overlaps += 1;
        }
        if start > self.next {
            self.hole_since.get_or_insert(held.ts);
        }
    }

    /// Takes away what is held where the policy prefers a new segment, and counts its bytes.
    fn make_room(&mut self, new: Range<u64>, budget: &Budget) -> u64 {
        let first = self.held.range(..=new.start).next_back();
        let first = first.map_or(new.start, |(at, _)| *at);
        let parts = self.held.range(first..new.end);
        let yielding: Vec<Range<u64>> = parts
            .map(|(at, part)| *at..at + part.len())
            .filter(|old| old.end > new.start && self.policy.takes_new(&new, old))
            .collect();
        let mut replaced = 0;
        for old in yielding {
            let Some(part) = self.held.remove(&old.start) else {
                continue;
            };
            self.held_bytes -= part.bytes.len();
            budget.sub(part.bytes.len() + SEGMENT_OVERHEAD);
            let (from, to) = (new.start.max(old.start), new.end.min(old.end));
            replaced += to - from;
            for rest in [old.start..from, to..old.end] {
                if !rest.is_empty() {
                    let left = part.part(rest.start - old.start, rest.end - rest.start);
                    self.insert(rest.start, left, budget);
                }
            }
        }
        replaced
    }

    fn insert(&mut self, at: u64, part: Held, budget: &Budget) {
        self.held_bytes += part.bytes.len();
        budget.add(part.bytes.len() + SEGMENT_OVERHEAD);
        self.held.insert(at, part);
    }

    /// Hands on what is held and now in order.
    fn drain(&mut self, sink: &mut Sink<'_>) {
        while let Some(entry) = self.held.first_entry() {
            if *entry.key() > self.next {
                break;
            }
            let part = entry.remove();
            self.held_bytes -= part.bytes.len();
            sink.budget.sub(part.bytes.len() + SEGMENT_OVERHEAD);
            self.hand_out(part, sink);
        }
        if self.held.is_empty() {
            self.hole_since = None;
        }
        self.finish_if_done(sink);
    }

    /// Gives up waiting when that needs too much memory, or when nothing can tell how long to wait.
    fn relieve(&mut self, ts: Timestamp, sink: &mut Sink<'_>) {
        let waited = self
            .hole_since
            .is_some_and(|since| ts.since(since) > HOLE_WAIT);
        if waited && !self.ack_seen {
            self.skip_hole(sink);
        }
        while !self.held.is_empty()
            && (self.held_bytes > MAX_HELD_BYTES
                || self.held.len() > MAX_HELD_SEGMENTS
                || sink.budget.is_exceeded())
        {
            sink.counts.capped += 1;
            self.skip_hole(sink);
        }
    }

    fn skip_hole(&mut self, sink: &mut Sink<'_>) {
        if let Some((&first, _)) = self.held.first_key_value() {
            self.pass_over(first, sink);
            self.hole_since = Some(sink.ts);
            self.drain(sink);
        }
    }

    /// Hands out all that is held, with gaps before it.
    pub(super) fn flush(&mut self, sink: &mut Sink<'_>) {
        let (strays, left_out) = self.window.finish(sink.budget);
        sink.counts.out_of_window += left_out;
        strays.into_iter().for_each(|one| self.take(one, sink));
        while !self.held.is_empty() {
            self.skip_hole(sink);
        }
        // Bytes that were acknowledged but never seen; a single one may be a FIN. What the sender said
        // later tells how far it had come.
        let acked = match self.spoke {
            true => self.acked.min(self.sent),
            false => self.acked,
        };
        let to = match self.fin {
            Some(fin) => fin,
            None if self.base.is_some() && acked > self.next + 1 => acked,
            None => self.next,
        };
        if !self.finished {
            self.pass_over(to, sink);
        }
        self.finish_if_done(sink);
    }

    fn finish_if_done(&mut self, sink: &mut Sink<'_>) {
        if !self.finished && self.fin.is_some_and(|fin| self.next >= fin) {
            self.finished = true;
            sink.out.push(Event::Fin(sink.direction));
        }
    }

    pub(super) fn state(&self) -> HalfState {
        HalfState {
            base: self.base,
            next: self.next,
            finished: self.finished,
        }
    }

    pub(super) fn resume(&mut self, state: &HalfState) {
        self.base = state.base;
        self.next = state.next;
        self.sent = state.next;
        self.finished = state.finished;
        self.fin = state.finished.then_some(state.next);
    }
}

/// A segment, or a part of one, behind a hole.
#[derive(Debug)]
pub(super) struct Held {
    bytes: Bytes,
    /// Bytes behind `bytes` that the snapshot length cut off.
    cut: u64,
    ts: Timestamp,
}

impl Held {
    fn len(&self) -> u64 {
        self.bytes.len() as u64 + self.cut
    }

    /// A copy of `len` bytes from `skip` on.
    fn part(&self, skip: u64, len: u64) -> Held {
        let seen = self.bytes.len() as u64;
        // Both fit: they are at most the length of a slice.
        let from = skip.min(seen) as usize;
        let to = (skip + len).min(seen) as usize;
        let bytes = Bytes::copy_from_slice(&self.bytes[from..to]);
        Held {
            cut: len - bytes.len() as u64,
            bytes,
            ts: self.ts,
        }
    }
}
