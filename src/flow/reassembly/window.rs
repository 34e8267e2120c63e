//! What the receiver of a direction takes, as far as it said so, and segments far outside of it.
//!
//! In: the receiver's acknowledgments and windows. Out: whether it takes a segment at an offset; and
//! segments that wait for its next words, since it may take them although we missed that it said so.
//! Never: more of those than [`MAX_STRAYS`]. Standards: RFC 9293 sections 3.4 and 3.10.7.4, RFC 7323
//! section 2.

use std::collections::VecDeque;
use std::time::Duration;

use super::Segment;
use super::budget::{Budget, SEGMENT_OVERHEAD};
use crate::packet::{TcpFlags, TcpHeader, WindowScale};

/// Bytes behind the window that count as within: probes of a closed window, and what the receiver's
/// last words allowed, when they come a few places late.
const SLACK: u64 = 1 << 20;

/// Words of the receiver that a segment outside of its window may wait for; each says again what it
/// takes.
const WORDS: u8 = 8;

/// Segments that wait at most, and how long. If the receiver says nothing meanwhile, it is not
/// captured any more, and what it said before does not count.
const MAX_STRAYS: usize = 32;
const STRAY_WAIT: Duration = Duration::from_secs(4);

/// What is known of the receiver of one direction.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Scales that the SYNs of sender and receiver told.
    sender: WindowScale,
    receiver: WindowScale,
    /// Offset behind what it ever took, from acknowledgments of bytes that were seen.
    edge: Option<u64>,
    /// The same from its last words, whatever they acknowledge.
    claim: u64,
    strays: VecDeque<Stray>,
}

/// A segment outside of the window.
#[derive(Debug)]
struct Stray {
    start: i64,
    segment: Segment,
    words: u8,
}

impl Window {
    /// Notes the SYN of the sender; a later one is not of this stream, or says the same.
    pub(super) fn sender_opens(&mut self, tcp: &TcpHeader) {
        if self.sender == WindowScale::UNKNOWN {
            self.sender = tcp.scale;
        }
    }

    /// Notes the SYN of the receiver, likewise.
    pub(super) fn receiver_opens(&mut self, tcp: &TcpHeader) {
        if self.receiver == WindowScale::UNKNOWN {
            self.receiver = tcp.scale;
        }
    }

    /// Notes what the receiver says with a header that acknowledges all before `acked`, when bytes
    /// up to `sent` were seen.
    #[inline]
    pub(super) fn told(&mut self, tcp: &TcpHeader, acked: u64, sent: u64) {
        // RFC 7323 section 2.2: the window of a SYN is never scaled.
        let shift = match tcp.flags.has(TcpFlags::SYN) {
            true => 0,
            false => WindowScale::in_force(self.sender, self.receiver),
        };
        self.claim = acked.saturating_add(u64::from(tcp.window) << shift);
        if acked <= sent {
            self.edge = self.edge.max(Some(self.claim));
        }
    }

    /// Whether the receiver takes what begins at an offset, for all that is known.
    #[inline]
    pub(super) fn takes(&self, start: i64) -> bool {
        let Some(edge) = self.edge else { return true };
        let edge = edge.max(self.claim).saturating_add(SLACK);
        i64::try_from(edge).is_ok_and(|edge| start <= edge)
    }

    /// Keeps a segment that the receiver does not take yet.
    pub(super) fn keep(&mut self, start: i64, mut segment: Segment, budget: &Budget) {
        segment.payload = bytes::Bytes::copy_from_slice(&segment.payload);
        budget.add(segment.payload.len() + SEGMENT_OVERHEAD);
        self.strays.push_back(Stray {
            start,
            segment,
            words: 0,
        });
    }

    /// Whether segments wait and the receiver says nothing.
    pub(super) fn is_silent(&self) -> bool {
        let waited = |first: &Stray, last: &Stray| last.segment.ts.since(first.segment.ts);
        let (first, last) = (self.strays.front(), self.strays.back());
        self.strays.len() > MAX_STRAYS
            || first
                .zip(last)
                .is_some_and(|(first, last)| waited(first, last) > STRAY_WAIT)
    }

    /// Forgets what the receiver said, and gives the segments that waited.
    pub(super) fn forget(&mut self, budget: &Budget) -> Vec<Segment> {
        self.edge = None;
        let strays = std::mem::take(&mut self.strays);
        let given = strays.into_iter().map(|stray| stray.given_back(budget));
        given.collect()
    }

    /// Whether no segment waits.
    #[inline]
    pub(super) fn is_clear(&self) -> bool {
        self.strays.is_empty()
    }

    /// After a word of the receiver: the segments that it takes now, and how many are left out.
    pub(super) fn heed(&mut self, budget: &Budget) -> (Vec<Segment>, u64) {
        let (mut taken, mut left_out) = (Vec::new(), 0);
        for mut stray in std::mem::take(&mut self.strays) {
            stray.words += 1;
            if self.takes(stray.start) {
                taken.push(stray.given_back(budget));
            } else if stray.words >= WORDS {
                stray.given_back(budget);
                left_out += 1;
            } else {
                self.strays.push_back(stray);
            }
        }
        (taken, left_out)
    }

    /// Bytes of the segments that wait.
    pub(super) fn bytes(&self) -> usize {
        let strays = self.strays.iter();
        strays.map(|stray| stray.segment.payload.len()).sum()
    }

    /// At the end: the segments that waited while the receiver said nothing, and how many it did not
    /// take.
    pub(super) fn finish(&mut self, budget: &Budget) -> (Vec<Segment>, u64) {
        let spoken = self.strays.iter().filter(|stray| stray.words > 0).count();
        let segments = self.forget(budget);
        // Those of which the receiver has spoken came first.
        (
            segments.into_iter().skip(spoken).collect(),
            u64::try_from(spoken).unwrap_or(u64::MAX),
        )
    }
}

impl Stray {
    fn given_back(self, budget: &Budget) -> Segment {
        budget.sub(self.segment.payload.len() + SEGMENT_OVERHEAD);
        self.segment
    }
}
