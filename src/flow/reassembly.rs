//! TCP bytes in order, each direction on its own 64-bit offsets.
//!
//! In: the segments of one stream, in capture order. Out: [`Event`]s: chunks, gaps, FIN, RST; within
//! a direction offsets rise without a hole. Never: a second copy of a byte (the first one is kept),
//! more memory than the [`Budget`], clocks. Standard: RFC 9293 sections 3.4, 3.8.4, 3.8.6.1 and 3.10.
//!
//! Sequence numbers become offsets where a segment enters; nothing behind that wraps. Segments in
//! order pass as they are. What comes too early is copied, so that a few bytes do not hold a whole
//! batch, and waits for the hole before it. The hole becomes a gap when the receiver acknowledges
//! bytes behind it (they arrived there, only we did not see them), when the wait needs more memory
//! than allowed, when no acknowledgments are captured and the wait gets long, or at the end.
//!
//! Captures of several queues or interfaces put packets a few places late. So a segment that
//! acknowledges bytes not seen yet waits for them a little: answers do not overtake their questions,
//! and a late packet is no gap.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::{Chunk, Event, Gap};
use crate::packet::{Direction, TcpFlags, TcpHeader};
use crate::time::Timestamp;

/// Bytes that one direction may hold behind a hole: twice the largest receive window that Linux
/// gives by default (6 MiB, `tcp_rmem`), so that an honest sender never meets it.
const MAX_HELD_BYTES: usize = 12 << 20;

/// Segments that one direction may hold behind a hole; bounds the cost of many tiny ones.
const MAX_HELD_SEGMENTS: usize = 16_384;

/// How long a hole may stay when no acknowledgment of its direction was ever captured; above the
/// first two retransmission timeouts of RFC 6298 (1 s, then 2 s).
const HOLE_WAIT: Duration = Duration::from_secs(4);

/// Segments of a stream that may come after one that acknowledges bytes not seen yet, before those
/// bytes count as missed. Receive queues and offloading swap neighbours; measured are swaps over
/// three segments.
const REORDER_SEGMENTS: u64 = 8;

/// How long a segment that acknowledges bytes not seen yet may wait for them; queues and interfaces
/// of one machine delay far less.
const REORDER_WAIT: Duration = Duration::from_millis(50);

/// Sequence numbers up to this far behind are taken for old bytes, the rest of the circle for new
/// ones: no window reaches further back (RFC 7323 section 2.3 caps it at 1 GiB).
const MAX_BEHIND: u32 = 1 << 30;

/// Saved offsets from here on are not believed: real ones are far below, and sums of these could
/// overflow.
const MAX_OFFSET: u64 = 1 << 62;

/// What a held segment costs besides its bytes.
const SEGMENT_OVERHEAD: usize = 96;

/// Memory for held segments that all streams of a worker share.
#[derive(Debug)]
pub struct Budget {
    max: usize,
    used: AtomicUsize,
}

impl Budget {
    /// Default for one worker: ten streams at their own cap.
    pub const DEFAULT_BYTES: usize = 128 << 20;

    /// A budget of `max` bytes.
    pub fn new(max: usize) -> Arc<Budget> {
        Arc::new(Budget {
            max,
            used: AtomicUsize::new(0),
        })
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    fn sub(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn is_exceeded(&self) -> bool {
        self.used() > self.max
    }
}

/// One TCP segment as it was captured.
#[derive(Debug, Clone)]
pub struct Segment {
    /// Which way it went.
    pub direction: Direction,
    /// Its header.
    pub tcp: TcpHeader,
    /// Payload as captured.
    pub payload: Bytes,
    /// Bytes of payload on the wire; more than `payload` when the packet was truncated.
    pub wire_len: u32,
    /// Capture time.
    pub ts: Timestamp,
    /// Ordinal of the packet.
    pub ordinal: u64,
}

/// What reassembly met, counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct ReassemblyCounts {
    /// Segments with payload.
    pub segments: u64,
    /// Payload bytes handed on.
    pub bytes: u64,
    /// Segments that brought nothing new.
    pub retransmissions: u64,
    /// Segments that repeat the last byte sent, to ask for a sign of life.
    pub keep_alives: u64,
    /// Segments that came before one they follow.
    pub out_of_order: u64,
    /// Segments of which a part was there already.
    pub overlaps: u64,
    /// Segments cut by the snapshot length.
    pub truncated: u64,
    /// Segments behind the sender's FIN.
    pub after_fin: u64,
    /// Gaps told.
    pub gaps: u64,
    /// Bytes of those gaps.
    pub gap_bytes: u64,
    /// Gaps told because a cap was met.
    pub capped: u64,
}

impl ReassemblyCounts {
    /// Adds the counts of another stream.
    pub fn add(&mut self, other: &ReassemblyCounts) {
        self.segments += other.segments;
        self.bytes += other.bytes;
        self.retransmissions += other.retransmissions;
        self.keep_alives += other.keep_alives;
        self.out_of_order += other.out_of_order;
        self.overlaps += other.overlaps;
        self.truncated += other.truncated;
        self.after_fin += other.after_fin;
        self.gaps += other.gaps;
        self.gap_bytes += other.gap_bytes;
        self.capped += other.capped;
    }
}

/// Both directions of one TCP stream.
#[derive(Debug)]
pub struct Reassembly {
    to_server: Half,
    to_client: Half,
    reset: bool,
    /// Segments that acknowledge bytes not seen yet, in the order in which they came, each with the
    /// count of segments taken before it.
    early: VecDeque<(u64, Segment)>,
    taken: u64,
    budget: Arc<Budget>,
    counts: ReassemblyCounts,
}

impl Reassembly {
    /// A stream of which nothing was seen yet.
    pub fn new(budget: Arc<Budget>) -> Reassembly {
        Reassembly {
            to_server: Half::default(),
            to_client: Half::default(),
            reset: false,
            early: VecDeque::new(),
            taken: 0,
            budget,
            counts: ReassemblyCounts::default(),
        }
    }

    /// A stream that goes on where `state` was taken; bytes in between are a gap.
    pub fn resume(state: &State, budget: Arc<Budget>) -> Reassembly {
        let mut resumed = Reassembly::new(budget);
        resumed.to_server.resume(&state.to_server);
        resumed.to_client.resume(&state.to_client);
        resumed.reset = state.reset;
        resumed
    }

    /// Where both directions stand; what is held behind a hole is not in it.
    pub fn state(&self) -> State {
        State {
            to_server: self.to_server.state(),
            to_client: self.to_client.state(),
            reset: self.reset,
        }
    }

    /// Counts so far.
    pub fn counts(&self) -> ReassemblyCounts {
        self.counts
    }

    /// Bytes held behind holes.
    pub fn held_bytes(&self) -> usize {
        let early: usize = self
            .early
            .iter()
            .map(|(_, early)| early.payload.len())
            .sum();
        self.to_server.held_bytes + self.to_client.held_bytes + early
    }

    /// Takes the stream's next segment.
    pub fn push(&mut self, mut segment: Segment, out: &mut Vec<Event>) {
        self.taken += 1;
        let (ts, ordinal) = (segment.ts, segment.ordinal);
        if segment.tcp.flags.has(TcpFlags::RST) {
            self.release_all(ordinal, out);
            self.process(segment, out);
            return;
        }
        if self.is_early(&segment) {
            segment.payload = Bytes::copy_from_slice(&segment.payload);
            self.budget.add(segment.payload.len() + SEGMENT_OVERHEAD);
            self.early.push_back((self.taken, segment));
        } else {
            self.process(segment, out);
        }
        while let Some((taken, first)) = self.early.front() {
            let overdue = self.taken - taken >= REORDER_SEGMENTS
                || ts.since(first.ts) > REORDER_WAIT
                || self.budget.is_exceeded();
            let next = if overdue {
                Some(0)
            } else {
                let mut early = self.early.iter();
                early.position(|(_, segment)| !self.is_early(segment))
            };
            let Some(next) = next else { break };
            self.release(next, ordinal, out);
        }
    }

    /// Whether a segment acknowledges bytes of the other direction that were not seen yet.
    fn is_early(&self, segment: &Segment) -> bool {
        let other = match segment.direction {
            Direction::ToServer => &self.to_client,
            Direction::ToClient => &self.to_server,
        };
        segment.tcp.flags.has(TcpFlags::ACK)
            && other.acked_offset(segment.tcp.ack) > other.next
            && !other.finished
    }

    fn release_all(&mut self, ordinal: u64, out: &mut Vec<Event>) {
        while !self.early.is_empty() {
            self.release(0, ordinal, out);
        }
    }

    /// Processes a segment that waited, as of the packet `ordinal`.
    fn release(&mut self, index: usize, ordinal: u64, out: &mut Vec<Event>) {
        if let Some((_, mut segment)) = self.early.remove(index) {
            self.budget.sub(segment.payload.len() + SEGMENT_OVERHEAD);
            segment.ordinal = ordinal;
            self.process(segment, out);
        }
    }

    fn process(&mut self, segment: Segment, out: &mut Vec<Event>) {
        let Reassembly {
            to_server,
            to_client,
            reset,
            budget,
            counts,
            ..
        } = self;
        let (half, other) = match segment.direction {
            Direction::ToServer => (to_server, to_client),
            Direction::ToClient => (to_client, to_server),
        };
        let mut sink = Sink {
            direction: segment.direction.other(),
            ts: segment.ts,
            ordinal: segment.ordinal,
            budget,
            counts,
            out,
        };
        let flags = segment.tcp.flags;
        if flags.has(TcpFlags::ACK) && !flags.has(TcpFlags::RST) {
            if flags.has(TcpFlags::SYN) {
                other.begin(segment.tcp.ack);
            }
            other.acknowledge(segment.tcp.ack, &mut sink);
        }
        sink.direction = segment.direction;
        if flags.has(TcpFlags::RST) {
            // A payload of an RST is a diagnostic text, no data of the stream (RFC 9293, 3.5.3).
            if !*reset {
                *reset = true;
                half.flush(&mut sink);
                sink.out.push(Event::Rst(segment.direction));
            }
            return;
        }
        half.take(segment, &mut sink);
    }

    /// Hands out what is held, with gaps where bytes are missing; the stream is over.
    pub fn finish(&mut self, ts: Timestamp, ordinal: u64, out: &mut Vec<Event>) {
        self.release_all(ordinal, out);
        for (direction, half) in [
            (Direction::ToServer, &mut self.to_server),
            (Direction::ToClient, &mut self.to_client),
        ] {
            let mut sink = Sink {
                direction,
                ts,
                ordinal,
                budget: &self.budget,
                counts: &mut self.counts,
                out,
            };
            half.flush(&mut sink);
        }
    }
}

impl Drop for Reassembly {
    fn drop(&mut self) {
        for half in [&self.to_server, &self.to_client] {
            self.budget
                .sub(half.held_bytes + half.held.len() * SEGMENT_OVERHEAD);
        }
        for (_, early) in &self.early {
            self.budget.sub(early.payload.len() + SEGMENT_OVERHEAD);
        }
    }
}

/// Where the events of one segment go.
struct Sink<'a> {
    direction: Direction,
    ts: Timestamp,
    ordinal: u64,
    budget: &'a Budget,
    counts: &'a mut ReassemblyCounts,
    out: &'a mut Vec<Event>,
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

/// A segment, or a part of one, behind a hole.
#[derive(Debug)]
struct Held {
    bytes: Bytes,
    /// Bytes behind `bytes` that the snapshot length cut off.
    cut: u64,
    ts: Timestamp,
}

impl Held {
    fn len(&self) -> u64 {
        self.bytes.len() as u64 + self.cut
    }
}

/// One direction.
///
/// Invariants: what lies before `next` was handed out; what is held lies behind `next` and does not
/// overlap.
#[derive(Debug, Default)]
struct Half {
    /// Sequence number of offset 0.
    base: Option<u32>,
    next: u64,
    held: BTreeMap<u64, Held>,
    held_bytes: usize,
    /// Offset up to which the receiver has everything.
    acked: u64,
    /// The last acknowledgment number before anything of this direction was seen.
    early_ack: Option<u32>,
    ack_seen: bool,
    hole_since: Option<Timestamp>,
    fin: Option<u64>,
    finished: bool,
}

impl Half {
    /// Sets where offset 0 lies, if that is not known yet.
    fn begin(&mut self, seq: u32) {
        self.base.get_or_insert(seq);
    }

    /// The offset of a sequence number, relative to where the direction stands; negative before
    /// the first byte.
    fn offset(&self, base: u32, seq: u32) -> i64 {
        // Truncation is meant: sequence numbers count modulo 2^32.
        let here = base.wrapping_add(self.next as u32);
        let ahead = seq.wrapping_sub(here).wrapping_add(MAX_BEHIND);
        (self.next as i64).saturating_add(i64::from(ahead) - i64::from(MAX_BEHIND))
    }

    /// The offset up to which an acknowledgment says that the receiver has all; 0 when it cannot
    /// be true.
    fn acked_offset(&self, ack: u32) -> u64 {
        let Some(base) = self.base else { return 0 };
        u64::try_from(self.offset(base, ack))
            .ok()
            .filter(|acked| *acked <= self.next.saturating_add(u64::from(MAX_BEHIND)))
            .unwrap_or(0)
    }

    /// Makes gaps of what the receiver has and we have not.
    fn acknowledge(&mut self, ack: u32, sink: &mut Sink<'_>) {
        self.ack_seen = true;
        if self.base.is_none() {
            self.early_ack = Some(ack);
            return;
        }
        self.acked = self.acked.max(self.acked_offset(ack));
        // One byte more than all that was seen is the acknowledgment of a FIN we did not see.
        let only_fin = self.held.is_empty() && self.acked == self.next + 1;
        while self.acked > self.next && !self.finished && !only_fin {
            let first = self.held.first_key_value().map(|(first, _)| *first);
            let to = self.acked.min(first.unwrap_or(u64::MAX));
            let to = self.fin.map_or(to, |fin| to.min(fin));
            if to <= self.next {
                break;
            }
            self.pass_over(to, sink);
            self.drain(sink);
        }
    }

    fn take(&mut self, segment: Segment, sink: &mut Sink<'_>) {
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
                // The front was handed out already; the first copy is kept.
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

    /// Keeps the parts of a segment that no held one has.
    fn hold(&mut self, start: u64, held: Held, sink: &mut Sink<'_>) {
        let end = start + held.len();
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
        if kept == 0 {
            sink.counts.retransmissions += 1;
        } else if kept < held.len() {
            sink.counts.overlaps += 1;
        }
        if start > self.next {
            self.hole_since.get_or_insert(held.ts);
        }
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
    fn flush(&mut self, sink: &mut Sink<'_>) {
        while !self.held.is_empty() {
            self.skip_hole(sink);
        }
        // Bytes that were acknowledged but never seen; a single one may be a FIN.
        let to = match self.fin {
            Some(fin) => fin,
            None if self.base.is_some() && self.acked > self.next + 1 => self.acked,
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

    fn state(&self) -> HalfState {
        HalfState {
            base: self.base,
            next: self.next,
            finished: self.finished,
        }
    }

    fn resume(&mut self, state: &HalfState) {
        self.base = state.base;
        self.next = state.next;
        self.finished = state.finished;
        self.fin = state.finished.then_some(state.next);
    }
}

impl Held {
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

/// Where a stream stands, for a reel that begins in its middle.
///
/// ```text
/// state = version u8 (1), reset u8, half to the server, half to the client
/// half  = flags u8 (1 base known, 2 finished), base u32, next u64     big-endian
/// ```
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct State {
    to_server: HalfState,
    to_client: HalfState,
    reset: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct HalfState {
    base: Option<u32>,
    next: u64,
    finished: bool,
}

impl State {
    /// Bytes of an encoded state.
    pub const LEN: usize = 2 + 2 * 13;

    /// The state as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(State::LEN);
        out.push(1);
        out.push(u8::from(self.reset));
        for half in [&self.to_server, &self.to_client] {
            out.push(u8::from(half.base.is_some()) | u8::from(half.finished) << 1);
            out.extend_from_slice(&half.base.unwrap_or_default().to_be_bytes());
            out.extend_from_slice(&half.next.to_be_bytes());
        }
        out
    }

    /// Reads [`State::to_bytes`] back; `None` when the bytes are something else.
    pub fn from_bytes(bytes: &[u8]) -> Option<State> {
        let mut reader = crate::bytes::Reader::new(bytes);
        if reader.u8().ok()? != 1 {
            return None;
        }
        let reset = reader.u8().ok()? == 1;
        let mut half = || {
            let flags = reader.u8().ok()?;
            let base = reader.u32().ok()?;
            let next = reader.u64().ok()?;
            (flags < 4 && next < MAX_OFFSET).then_some(HalfState {
                base: (flags & 1 == 1).then_some(base),
                next,
                finished: flags & 2 == 2,
            })
        };
        Some(State {
            to_server: half()?,
            to_client: half()?,
            reset,
        })
    }
}

/// The datagrams of one UDP conversation: each is a chunk of its own.
#[derive(Debug, Default)]
pub struct Datagrams {
    to_server: u64,
    to_client: u64,
}

impl Datagrams {
    /// Where both directions stand, for [`Datagrams::resume`].
    pub fn offsets(&self) -> [u64; 2] {
        [self.to_server, self.to_client]
    }

    /// A conversation that goes on; `None` when the offsets are beyond what one can reach.
    pub fn resume([to_server, to_client]: [u64; 2]) -> Option<Datagrams> {
        (to_server.max(to_client) < MAX_OFFSET).then_some(Datagrams {
            to_server,
            to_client,
        })
    }

    /// Hands a datagram on; what the snapshot length cut off is a gap behind it.
    pub fn push(&mut self, chunk: Chunk, wire_len: u32, out: &mut Vec<Event>) {
        let next = match chunk.direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        };
        let offset = *next;
        let seen = chunk.bytes.len() as u64;
        let cut = u64::from(wire_len).saturating_sub(seen);
        *next += seen + cut;
        let gap = Gap {
            direction: chunk.direction,
            offset: offset + seen,
            len: cut,
            ts: chunk.ts,
            ordinal: chunk.ordinal,
        };
        out.push(Event::Chunk(Chunk { offset, ..chunk }));
        if cut > 0 {
            out.push(Event::Gap(gap));
        }
    }
}

#[cfg(test)]
mod tests;
