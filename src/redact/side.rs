//! One direction of a stream as bytes, put together from its packets.
//!
//! In: the payloads of a reel's packets with their offsets. Out: the bytes that were captured, one
//! after the other, and where some between them are missing. Never: memory for what is missing;
//! more than [`MAX_SIDE`] bytes.

use std::ops::Range;

use super::MASK;

/// Bytes of one direction of one stream that a reel is read for; what lies beyond is overwritten.
pub(super) const MAX_SIDE: usize = 128 << 20;

/// Bytes that lie next to each other in the stream.
#[derive(Debug, Clone, Copy)]
struct Extent {
    /// Offset in the stream.
    offset: u64,
    /// Where they begin in `bytes`.
    at: usize,
    len: usize,
}

/// The captured bytes of a direction.
#[derive(Debug, Default)]
pub(super) struct Side {
    pub(super) bytes: Vec<u8>,
    extents: Vec<Extent>,
    /// Places at which a packet begins.
    starts: Vec<usize>,
}

/// Where going on by some bytes led.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moved {
    /// The place.
    pub(super) to: usize,
    /// Whether bytes on the way are missing.
    pub(super) holed: bool,
    /// Bytes that lie behind all that was captured.
    pub(super) left: u64,
}

impl Side {
    /// Puts pieces of the stream together; of bytes that come twice the first in the stream's order
    /// count.
    pub(super) fn of(mut pieces: Vec<(u64, &[u8])>) -> Side {
        pieces.sort_by_key(|(offset, _)| *offset);
        let mut side = Side::default();
        for (offset, bytes) in pieces {
            let end = side.end();
            let known = end.saturating_sub(offset);
            let Some(new) = usize::try_from(known)
                .ok()
                .and_then(|known| bytes.get(known..))
            else {
                continue;
            };
            if new.is_empty() || side.bytes.len() + new.len() > MAX_SIDE {
                continue;
            }
            let at = side.bytes.len();
            match side.extents.last_mut() {
                Some(last) if offset <= end => last.len += new.len(),
                _ => side.extents.push(Extent {
                    offset: offset + known,
                    at,
                    len: new.len(),
                }),
            }
            side.starts.push(at);
            side.bytes.extend_from_slice(new);
        }
        side
    }

    /// Offset behind the last captured byte; 0 when there is none.
    pub(super) fn end(&self) -> u64 {
        self.extents
            .last()
            .map_or(0, |last| last.offset + last.len as u64)
    }

    fn extent(&self, at: usize) -> Option<&Extent> {
        let behind = self.extents.partition_point(|extent| extent.at <= at);
        self.extents.get(behind.checked_sub(1)?)
    }

    /// Where the bytes end that follow `at` without a gap.
    pub(super) fn reach(&self, at: usize) -> usize {
        self.extent(at).map_or(at, |extent| extent.at + extent.len)
    }

    /// What follows `at` without a gap.
    pub(super) fn rest(&self, at: usize) -> &[u8] {
        self.bytes.get(at..self.reach(at)).unwrap_or_default()
    }

    /// The place `count` bytes of the stream behind `at`; where that was not captured, the first
    /// byte behind it that was.
    pub(super) fn advance(&self, at: usize, count: u64) -> Moved {
        let Some(here) = self.extent(at) else {
            return Moved {
                to: at,
                holed: false,
                left: count,
            };
        };
        let wanted = (here.offset + (at - here.at) as u64).saturating_add(count);
        let end = self.end();
        if wanted >= end {
            let holed = self.reach(at) < self.bytes.len();
            return Moved {
                to: self.bytes.len(),
                holed,
                left: wanted - end,
            };
        }
        let behind = self
            .extents
            .partition_point(|extent| extent.offset <= wanted);
        let Some(extent) = behind
            .checked_sub(1)
            .and_then(|index| self.extents.get(index))
        else {
            return Moved {
                to: at,
                holed: false,
                left: 0,
            };
        };
        let into = usize::try_from(wanted - extent.offset)
            .unwrap_or(usize::MAX)
            .min(extent.len);
        let to = extent.at + into;
        Moved {
            to,
            holed: extent.at != here.at || wanted > extent.offset + extent.len as u64,
            left: 0,
        }
    }

    /// Whether bytes are missing right in front of this place.
    pub(super) fn is_behind_gap(&self, at: usize) -> bool {
        at > 0 && self.extent(at).is_some_and(|extent| extent.at == at)
    }

    /// The first packet behind `at`, or at it, that begins as `begins` wants.
    pub(super) fn next_start(&self, at: usize, begins: impl Fn(&[u8]) -> bool) -> Option<usize> {
        let first = self.starts.partition_point(|start| *start < at);
        let later = self.starts.get(first..)?;
        later
            .iter()
            .copied()
            .find(|start| begins(self.rest(*start)))
    }

    /// Overwrites a part.
    pub(super) fn hide(&mut self, part: Range<usize>) {
        if let Some(part) = self.bytes.get_mut(part) {
            part.fill(MASK);
        }
    }

    /// Writes the bytes from `offset` on over a packet's payload; what is not among them is
    /// overwritten.
    pub(super) fn write_back(&self, offset: Option<u64>, payload: &mut [u8]) {
        let Some(offset) = offset else {
            return payload.fill(MASK);
        };
        let end = offset.saturating_add(payload.len() as u64);
        let mut done = 0usize;
        let first = self
            .extents
            .partition_point(|extent| extent.offset + (extent.len as u64) <= offset);
        for extent in self.extents.get(first..).unwrap_or_default() {
            if extent.offset >= end {
                break;
            }
            let from = extent.offset.max(offset);
            let to = (extent.offset + extent.len as u64).min(end);
            let place = |at: u64| usize::try_from(at - offset).unwrap_or(usize::MAX);
            let begin = extent.at + usize::try_from(from - extent.offset).unwrap_or(usize::MAX);
            let (into, until) = (place(from), place(to));
            if let Some(gap) = payload.get_mut(done..into) {
                gap.fill(MASK);
            }
            if let (Some(target), Some(source)) = (
                payload.get_mut(into..until),
                self.bytes.get(begin..begin + (until - into)),
            ) {
                target.copy_from_slice(source);
            }
            done = until;
        }
        if let Some(rest) = payload.get_mut(done..) {
            rest.fill(MASK);
        }
    }
}
