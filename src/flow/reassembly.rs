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
//! than allowed, when no acknowledgments are captured and the wait gets long, or at the end. An
//! acknowledgment counts only as far as the sender is seen to have sent, since one that is forged or
//! broken would hide what comes.
//!
//! Captures of several queues, interfaces or taps put packets late. So a segment that acknowledges
//! bytes not seen yet waits for them (`early`): answers do not overtake their questions, and a late
//! packet is no gap. What lies far outside of the receiver's window is left out (`window`).

mod budget;
mod early;
mod half;
mod overlap;
mod state;
mod window;

use std::sync::Arc;

use bytes::Bytes;

use self::budget::SEGMENT_OVERHEAD;
use self::early::Early;
use self::half::{Half, Sink};
use super::Event;
use crate::packet::{Direction, TcpFlags, TcpHeader};
use crate::time::Timestamp;

pub use budget::Budget;
pub use overlap::OverlapPolicy;
pub use state::State;

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
    /// Segments left out because they lie far outside of the receiver's window.
    pub out_of_window: u64,
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
        self.out_of_window += other.out_of_window;
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
    early: Early,
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
            early: Early::default(),
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

    /// Bytes held: behind holes, and in segments that wait.
    pub fn held_bytes(&self) -> usize {
        let halves = [&self.to_server, &self.to_client];
        let held = halves.map(|half| half.held_bytes + half.window.bytes());
        held.iter().sum::<usize>() + self.early.bytes()
    }

    /// Takes the stream's next segment.
    pub fn push(&mut self, segment: Segment, out: &mut Vec<Event>) {
        let (ts, ordinal) = (segment.ts, segment.ordinal);
        if segment.tcp.flags.has(TcpFlags::RST) {
            self.release_all(ordinal, out);
            self.process(segment, out);
            return;
        }
        let (half, other) = match segment.direction {
            Direction::ToServer => (&mut self.to_server, &mut self.to_client),
            Direction::ToClient => (&mut self.to_client, &mut self.to_server),
        };
        half.note_sent(&segment);
        match other.hear(&segment.tcp) {
            Some(acked) => self.early.push(acked, segment, &self.budget),
            None => self.process(segment, out),
        }
        if !self.early.is_empty() {
            self.release_due(ts, ordinal, out);
        }
    }

    /// Processes those whose wait is over.
    #[cold]
    fn release_due(&mut self, ts: Timestamp, ordinal: u64, out: &mut Vec<Event>) {
        loop {
            let Reassembly {
                to_server,
                to_client,
                early,
                budget,
                ..
            } = self;
            let seen = |direction: Direction| match direction {
                Direction::ToServer => to_client.seen(),
                Direction::ToClient => to_server.seen(),
            };
            let overdue = early.pop_overdue(ts, budget);
            let Some(next) = overdue.or_else(|| early.pop_ready(seen, budget)) else {
                break;
            };
            self.release(next, ordinal, out);
        }
    }

    fn release_all(&mut self, ordinal: u64, out: &mut Vec<Event>) {
        for segment in self.early.take_all(&self.budget) {
            self.release(segment, ordinal, out);
        }
    }

    /// Processes a segment that waited, as of the packet `ordinal`.
    fn release(&mut self, mut segment: Segment, ordinal: u64, out: &mut Vec<Event>) {
        segment.ordinal = ordinal;
        self.process(segment, out);
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
        for half in [&mut self.to_server, &mut self.to_client] {
            self.budget
                .sub(half.held_bytes + half.held.len() * SEGMENT_OVERHEAD);
            half.window.forget(&self.budget);
        }
        self.early.take_all(&self.budget);
    }
}

#[cfg(test)]
mod tests;
