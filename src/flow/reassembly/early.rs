//! Segments that acknowledge bytes which were not seen yet, kept until these come.
//!
//! In: such segments, each with the offset that it acknowledges. Out: the first one whose wait is over.
//! Never: more of them than [`MAX_BYTES`] and [`REORDER_WAIT`] allow.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::Segment;
use super::budget::{Budget, SEGMENT_OVERHEAD};
use crate::packet::Direction;
use crate::time::Timestamp;

/// How long a segment that acknowledges bytes not seen yet may wait for them: Linux repeats nothing
/// earlier (`TCP_RTO_MIN`), and queues, interfaces and taps delay far less.
pub(super) const REORDER_WAIT: Duration = Duration::from_millis(200);

/// Bytes of such segments of one stream: what 200 ms bring at 160 Mbit/s.
pub(super) const MAX_BYTES: usize = 4 << 20;

/// Places that a segment is moved forward at most, past those that acknowledge more.
const MAX_MOVED: usize = 64;

/// The segments of one stream that wait, by direction: those that acknowledge less in front, else in
/// the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Early {
    waiting: [VecDeque<Waiting>; 2],
    came: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Waiting {
    /// The offset of the other direction that it acknowledges.
    acked: u64,
    came: u64,
    segment: Segment,
}

impl Early {
    /// Whether none waits.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.iter().all(VecDeque::is_empty)
    }

    /// Bytes of those that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a segment that acknowledges all before `acked` of the other direction; copies its bytes,
    /// so that they do not hold a whole batch.
    pub(super) fn push(&mut self, acked: u64, mut segment: Segment, budget: &Budget) {
        if !segment.payload.is_empty() {
            segment.payload = Bytes::copy_from_slice(&segment.payload);
        }
        self.bytes += segment.payload.len();
        budget.add(segment.payload.len() + SEGMENT_OVERHEAD);
        self.came += 1;
        let queue = &mut self.waiting[side(segment.direction)];
        let behind = queue.iter().rev().take(MAX_MOVED);
        let moved = behind.take_while(|other| other.acked > acked).count();
        let waiting = Waiting {
            acked,
            came: self.came,
            segment,
        };
        queue.insert(queue.len() - moved, waiting);
    }

    /// Takes out a segment that has waited long enough at `now`, or when too much waits.
    pub(super) fn pop_overdue(&mut self, now: Timestamp, budget: &Budget) -> Option<Segment> {
        let count: usize = self.waiting.iter().map(VecDeque::len).sum();
        let too_much = self.bytes + count * SEGMENT_OVERHEAD > MAX_BYTES || budget.is_exceeded();
        let overdue = |one: &Waiting| too_much || now.since(one.segment.ts) > REORDER_WAIT;
        let mut first: Option<(u64, usize, usize)> = None;
        for (side, queue) in self.waiting.iter().enumerate() {
            // Who acknowledges more than all others stands at the back, however long.
            for index in [0, queue.len().saturating_sub(1)] {
                if let Some(one) = queue.get(index)
                    && overdue(one)
                    && first.is_none_or(|(came, ..)| one.came < came)
                {
                    first = Some((one.came, side, index));
                }
            }
        }
        let (_, side, index) = first?;
        self.remove(side, index, budget)
    }

    /// Takes out a segment that waits for nothing any more; `seen` tells of the direction of a segment
    /// how far the bytes of the other one were seen.
    pub(super) fn pop_ready(
        &mut self,
        seen: impl Fn(Direction) -> u64,
        budget: &Budget,
    ) -> Option<Segment> {
        let ready = [Direction::ToServer, Direction::ToClient].map(|direction| {
            let first = self.waiting[side(direction)].front()?;
            (first.acked <= seen(direction)).then_some((first.came, side(direction)))
        });
        let (_, side) = ready.into_iter().flatten().min()?;
        self.remove(side, 0, budget)
    }

    /// Takes out what waits, in the order in which it came.
    pub(super) fn take_all(&mut self, budget: &Budget) -> Vec<Segment> {
        let [to_server, to_client] = std::mem::take(&mut self.waiting);
        let mut all: Vec<Waiting> = to_server.into_iter().chain(to_client).collect();
        all.sort_by_key(|waiting| waiting.came);
        budget.sub(self.bytes + all.len() * SEGMENT_OVERHEAD);
        self.bytes = 0;
        all.into_iter().map(|waiting| waiting.segment).collect()
    }

    fn remove(&mut self, side: usize, index: usize, budget: &Budget) -> Option<Segment> {
        let segment = self.waiting[side].remove(index)?.segment;
        self.bytes -= segment.payload.len();
        budget.sub(segment.payload.len() + SEGMENT_OVERHEAD);
        Some(segment)
    }
}

fn side(direction: Direction) -> usize {
    match direction {
        Direction::ToServer => 0,
        Direction::ToClient => 1,
    }
}
