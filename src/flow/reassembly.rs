//! TCP bytes in order, each direction on its own 64-bit offsets.
//!
//! In: the segments of one stream, in capture order. Out: [`Event`]s: chunks, gaps, FIN, RST; within
//! a direction offsets rise without a hole. Never: a second copy of a byte (which one counts says
//! the [`OverlapPolicy`]), more memory than the [`Budget`], clocks.
//! Standard: RFC 9293 sections 3.4, 3.8.4, 3.8.6.1 and 3.10.
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

mod budget;
mod half;
mod overlap;
mod state;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use self::budget::SEGMENT_OVERHEAD;
use self::half::{Half, Sink};
use super::Event;
use crate::packet::{Direction, TcpFlags, TcpHeader};
use crate::time::Timestamp;

pub use budget::Budget;
pub use overlap::OverlapPolicy;
pub use state::State;

/// Segments of a stream that may come after one that acknowledges bytes not seen yet, before those
/// bytes count as missed. Receive queues and offloading swap neighbours; measured are swaps over
/// three segments.
const REORDER_SEGMENTS: u64 = 8;

/// How long a segment that acknowledges bytes not seen yet may wait for them: Linux repeats nothing
/// earlier (`TCP_RTO_MIN`), and queues and interfaces of one machine delay far less.
const REORDER_WAIT: Duration = Duration::from_millis(200);

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
    /// A stream of which nothing was seen yet, each byte as it came first.
    pub fn new(budget: Arc<Budget>) -> Reassembly {
        Reassembly::with_policy(budget, OverlapPolicy::default())
    }

    /// A stream of which nothing was seen yet.
    pub fn with_policy(budget: Arc<Budget>, policy: OverlapPolicy) -> Reassembly {
        Reassembly {
            to_server: Half::new(policy),
            to_client: Half::new(policy),
            reset: false,
            early: VecDeque::new(),
            taken: 0,
            budget,
            counts: ReassemblyCounts::default(),
        }
    }

    /// A stream that goes on where `state` was taken; bytes in between are a gap.
    pub fn resume(state: &State, budget: Arc<Budget>, policy: OverlapPolicy) -> Reassembly {
        let mut resumed = Reassembly::with_policy(budget, policy);
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

    /// Whether a direction was seen to begin or to say anything.
    pub fn is_heard(&self, direction: Direction) -> bool {
        match direction {
            Direction::ToServer => self.to_server.is_heard(),
            Direction::ToClient => self.to_client.is_heard(),
        }
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

#[cfg(test)]
mod tests;
