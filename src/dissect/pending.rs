//! Bytes of one direction that were offered and not taken: joined with what comes next.
//!
//! In: chunks. Out: one chunk that begins where the dissector left off. Never: a copy of bytes that
//! are taken at once; more than one copy (on average) of those that wait.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

use crate::flow::Chunk;
use crate::packet::Direction;
use crate::time::Timestamp;

/// Chunks whose own time is remembered while they wait; later ones count with the last of these.
/// A dissector that waits for more than this many segments needs no time of each.
const MAX_MARKS: usize = 256;

/// What waits in one direction.
///
/// Invariants: `marks` is empty exactly when `bytes` is; its first offset is at most `offset`.
#[derive(Debug, Default)]
pub(super) struct Pending {
    bytes: Bytes,
    /// Whether `bytes` is a buffer of its own, and no slice of a batch.
    own: bool,
    offset: u64,
    marks: VecDeque<(u64, Timestamp)>,
    ordinal: u64,
    /// Bytes below which the dissector need not be asked.
    need: usize,
}

impl Pending {
    /// Whether the dissector should be asked.
    pub(super) fn is_due(&self) -> bool {
        !self.bytes.is_empty() && self.bytes.len() >= self.need
    }

    /// Bytes waiting.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the next chunk can be offered as it is; [`Pending::put_back`] must follow.
    pub(super) fn begin(&mut self, chunk: &Chunk) -> bool {
        if !self.bytes.is_empty() || chunk.bytes.len() < self.need.max(1) {
            return false;
        }
        self.ordinal = chunk.ordinal;
        self.own = false;
        self.marks.clear();
        true
    }

    /// Joins the next chunk to what waits.
    pub(super) fn push(&mut self, chunk: &Chunk) {
        self.ordinal = chunk.ordinal;
        if self.bytes.is_empty() {
            self.bytes = chunk.bytes.clone();
            self.own = false;
            self.offset = chunk.offset;
            self.marks.clear();
        } else {
            let mut joined = match std::mem::take(&mut self.bytes).try_into_mut() {
                Ok(own) if self.own => own,
                Ok(shared) => BytesMut::from(&shared[..]),
                Err(shared) => BytesMut::from(&shared[..]),
            };
            joined.extend_from_slice(&chunk.bytes);
            self.bytes = joined.freeze();
            self.own = true;
        }
        if self.marks.len() < MAX_MARKS {
            self.marks.push_back((chunk.offset, chunk.ts));
        }
    }

    /// All that waits, as one chunk; [`Pending::put_back`] must follow.
    pub(super) fn take(&mut self, direction: Direction) -> Chunk {
        Chunk {
            direction,
            offset: self.offset,
            bytes: std::mem::take(&mut self.bytes),
            ts: self
                .marks
                .front()
                .map_or(Timestamp::default(), |(_, ts)| *ts),
            ordinal: self.ordinal,
        }
    }

    /// Keeps what is left of a chunk after `consumed` bytes; nothing is due before `need` bytes.
    pub(super) fn put_back(&mut self, chunk: Chunk, consumed: usize, need: usize) {
        let mut rest = chunk.bytes;
        rest.advance(consumed.min(rest.len()));
        self.offset = chunk.offset + consumed as u64;
        self.need = need;
        if rest.is_empty() {
            self.marks.clear();
            return;
        }
        if self.marks.is_empty() {
            self.marks.push_back((chunk.offset, chunk.ts));
        }
        while self
            .marks
            .get(1)
            .is_some_and(|(offset, _)| *offset <= self.offset)
        {
            self.marks.pop_front();
        }
        self.bytes = rest;
    }

    /// Lets go of the batch that the waiting bytes are a slice of.
    pub(super) fn own(&mut self) {
        if !self.own && !self.bytes.is_empty() {
            self.bytes = BytesMut::from(&self.bytes[..]).freeze();
            self.own = true;
        }
    }

    /// Forgets what waits and answers how much that was; the direction goes on behind it.
    pub(super) fn clear(&mut self) -> Bytes {
        self.offset += self.bytes.len() as u64;
        self.need = 0;
        self.marks.clear();
        std::mem::take(&mut self.bytes)
    }

    /// What waits, cut where each chunk began.
    pub(super) fn chunks(&self, direction: Direction) -> Vec<Chunk> {
        let mut chunks = Vec::with_capacity(self.marks.len());
        for (index, (from, ts)) in self.marks.iter().enumerate() {
            let to = self.marks.get(index + 1).map(|(offset, _)| *offset);
            let place = |offset: u64| {
                let at = offset.saturating_sub(self.offset);
                usize::try_from(at)
                    .unwrap_or(usize::MAX)
                    .min(self.bytes.len())
            };
            let (start, end) = (place(*from), to.map_or(self.bytes.len(), place));
            if start < end {
                chunks.push(Chunk {
                    direction,
                    offset: self.offset + start as u64,
                    bytes: self.bytes.slice(start..end),
                    ts: *ts,
                    ordinal: self.ordinal,
                });
            }
        }
        chunks
    }

    /// What the dissector waits for, in bytes.
    pub(super) fn need(&self) -> usize {
        self.need
    }

    /// Sets what the dissector waits for, as saved.
    pub(super) fn set_need(&mut self, need: usize) {
        self.need = need;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(offset: u64, text: &'static str, seconds: i64) -> Chunk {
        Chunk {
            direction: Direction::ToServer,
            offset,
            bytes: Bytes::from_static(text.as_bytes()),
            ts: Timestamp::from_secs(seconds, 0),
            ordinal: offset,
        }
    }

    #[test]
    fn what_is_left_keeps_the_time_of_its_first_byte() {
        let mut pending = Pending::default();
        pending.push(&chunk(0, "abcd", 1));
        pending.push(&chunk(4, "efgh", 2));
        pending.push(&chunk(8, "ij", 3));
        let all = pending.take(Direction::ToServer);
        assert_eq!((&all.bytes[..], all.ts.secs()), (&b"abcdefghij"[..], 1));
        pending.put_back(all, 5, 0);
        let rest = pending.take(Direction::ToServer);
        assert_eq!(
            (&rest.bytes[..], rest.ts.secs(), rest.offset),
            (&b"fghij"[..], 2, 5)
        );
        pending.put_back(rest, 0, 6);
        assert!(!pending.is_due());
        let cut: Vec<_> = pending
            .chunks(Direction::ToServer)
            .iter()
            .map(|chunk| (chunk.offset, chunk.bytes.clone(), chunk.ts.secs()))
            .collect();
        assert_eq!(
            cut,
            [
                (5, Bytes::from_static(b"fgh"), 2),
                (8, Bytes::from_static(b"ij"), 3)
            ]
        );
        pending.push(&chunk(10, "k", 4));
        assert!(pending.is_due());
        let rest = pending.take(Direction::ToServer);
        pending.put_back(rest, 6, 0);
        assert_eq!(pending.len(), 0);
    }
}
