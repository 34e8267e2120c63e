//! Segments that acknowledge bytes which were not seen yet, kept until these come.
//!
//! In: such segments, each with the offset that it acknowledges. Out: the first one whose wait is over.
//! Never: more of them than [`MAX_BYTES`] and [`REORDER_WAIT`] allow.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Segment;
use super::budget::{Budget, SEGMENT_OVERHEAD};
use crate::packet::Direction;
use crate::time::Timestamp;

/// How long a segment that acknowledges bytes not seen yet may wait for them: Linux repeats nothing
/// earlier (`TCP_RTO_MIN`), and queues, interfaces and taps delay far less.
pub(super) const REORDER_WAIT: Duration = Duration::from_millis(200);

/// Bytes of such segments of one stream: what 200 ms bring at 160 Mbit/s.
pub(super) const MAX_BYTES: usize = 4 << 20;

/// What a segment costs besides its bytes; it stands in two trees.
const OVERHEAD: usize = 2 * SEGMENT_OVERHEAD;

/// The segments of one stream that wait.
///
/// Invariant: each stands in `segments` and in the `waiting` of its direction.
#[derive(Debug, Default)]
pub(super) struct Early {
    /// By the order in which they came, with the offset that each acknowledges.
    segments: BTreeMap<u64, (u64, Segment)>,
    /// Of each direction, the offset acknowledged and the place in the order.
    waiting: [BTreeSet<(u64, u64)>; 2],
    came: u64,
    bytes: usize,
}

impl Early {
    /// Whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Bytes of those that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a segment that acknowledges all before `acked` of the other direction; copies its bytes,
    /// so that they do not hold a whole batch.
    pub(super) fn push(&mut self, acked: u64, mut segment: Segment, budget: &Budget) {
        segment.payload = bytes::Bytes::copy_from_slice(&segment.payload);
        self.bytes += segment.payload.len();
        budget.add(segment.payload.len() + OVERHEAD);
        self.came += 1;
        self.waiting[side(segment.direction)].insert((acked, self.came));
        self.segments.insert(self.came, (acked, segment));
    }

    /// Whether the one that came first has waited long enough at `now`, or too much waits.
    pub(super) fn is_overdue(&self, now: Timestamp, budget: &Budget) -> bool {
        self.segments
            .first_key_value()
            .is_some_and(|(_, (_, first))| {
                now.since(first.ts) > REORDER_WAIT
                    || self.bytes + self.segments.len() * OVERHEAD > MAX_BYTES
                    || budget.is_exceeded()
            })
    }

    /// Takes out the one that came first.
    pub(super) fn pop_first(&mut self, budget: &Budget) -> Option<Segment> {
        let came = *self.segments.first_key_value()?.0;
        self.remove(came, budget)
    }

    /// Takes out the first one that waits for nothing any more; `seen` tells of the direction of a
    /// segment how far the bytes of the other one were seen.
    pub(super) fn pop_ready(
        &mut self,
        seen: impl Fn(Direction) -> u64,
        budget: &Budget,
    ) -> Option<Segment> {
        let ready = [Direction::ToServer, Direction::ToClient].map(|direction| {
            let (acked, came) = self.waiting[side(direction)].first()?;
            (*acked <= seen(direction)).then_some(*came)
        });
        let came = ready.into_iter().flatten().min()?;
        self.remove(came, budget)
    }

    fn remove(&mut self, came: u64, budget: &Budget) -> Option<Segment> {
        let (acked, segment) = self.segments.remove(&came)?;
        self.waiting[side(segment.direction)].remove(&(acked, came));
        self.bytes -= segment.payload.len();
        budget.sub(segment.payload.len() + OVERHEAD);
        Some(segment)
    }
}

fn side(direction: Direction) -> usize {
    match direction {
        Direction::ToServer => 0,
        Direction::ToClient => 1,
    }
}
