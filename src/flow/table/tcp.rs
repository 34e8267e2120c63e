//! What the segments of a TCP flow tell of its life: opened, closed, taken over by another one.
//!
//! In: headers, in capture order. Out: how long the flow may be silent, and whether a segment belongs
//! to it. Never: payload. Standard: RFC 9293 sections 3.4 and 3.5.

use super::Class;
use crate::packet::{TcpFlags, TcpHeader};

/// A SYN seen after data of its own stream may lie this far before that data; further off it opens
/// another connection.
const LATE_SYN_WINDOW: u32 = 1 << 20;

/// What is known of one side of a TCP flow; `sides[0]` is the smaller endpoint's.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Side {
    pub(super) heard: bool,
    pub(super) isn: Option<u32>,
    /// Sequence number behind the last segment, once one was seen.
    pub(super) next: Option<u32>,
    pub(super) fin: bool,
}

impl Side {
    pub(super) fn only_syn(&self) -> bool {
        self.isn
            .is_some_and(|isn| self.next == Some(isn.wrapping_add(1)))
    }
}

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct TcpState {
    pub(super) sides: [Side; 2],
    pub(super) reset: bool,
    /// Initial sequence number of a SYN in the middle of the stream; a SYN-ACK that answers it
    /// proves a new connection.
    strange_syn: Option<u32>,
}

impl TcpState {
    pub(super) fn class(&self) -> Class {
        let [a, b] = &self.sides;
        if self.reset || (a.fin && b.fin) {
            Class::Closed
        } else if a.fin || b.fin {
            Class::HalfClosed
        } else if [(a, b), (b, a)]
            .iter()
            .any(|(side, other)| !other.heard && side.only_syn())
        {
            Class::Embryonic
        } else {
            Class::Established
        }
    }

    pub(super) fn follow(&mut self, tcp: &TcpHeader, from_low: bool, payload: u32) {
        let strange = tcp.flags.has(TcpFlags::SYN) && !self.knows_syn(tcp, from_low);
        let side = &mut self.sides[usize::from(!from_low)];
        side.heard = true;
        if tcp.flags.has(TcpFlags::RST) {
            self.reset = true;
            return;
        }
        if strange && side.next.is_some() {
            if !tcp.flags.has(TcpFlags::ACK) {
                self.strange_syn = Some(tcp.seq);
            }
            return;
        }
        if tcp.flags.has(TcpFlags::SYN) {
            side.isn = Some(tcp.seq);
        }
        side.fin |= tcp.flags.has(TcpFlags::FIN);
        let counted = u32::from(tcp.flags.has(TcpFlags::SYN))
            .wrapping_add(u32::from(tcp.flags.has(TcpFlags::FIN)));
        let end = tcp.seq.wrapping_add(payload).wrapping_add(counted);
        side.next = match side.next {
            Some(next) if (end.wrapping_sub(next) as i32) < 0 => Some(next),
            _ => Some(end),
        };
    }

    /// Whether a SYN belongs to this stream: sent again, the first of its side, or late.
    pub(super) fn knows_syn(&self, tcp: &TcpHeader, from_low: bool) -> bool {
        let side = &self.sides[usize::from(!from_low)];
        match (side.isn, side.next) {
            (Some(isn), _) => isn == tcp.seq,
            (None, Some(next)) => next.wrapping_sub(tcp.seq.wrapping_add(1)) <= LATE_SYN_WINDOW,
            (None, None) => true,
        }
    }

    /// Whether a packet acknowledges what the other side sent last, more or less.
    pub(super) fn is_answered(&self, tcp: &TcpHeader, from_low: bool) -> bool {
        let sent = self.sides[usize::from(from_low)].next;
        tcp.flags.has(TcpFlags::ACK)
            && sent.is_some_and(|next| {
                let ahead = tcp.ack.wrapping_sub(next) as i32;
                ahead.unsigned_abs() <= LATE_SYN_WINDOW
            })
    }

    /// Whether a packet opens another connection over the same five-tuple.
    pub(super) fn is_taken_over(&self, tcp: &TcpHeader, from_low: bool, silent: bool) -> bool {
        if !tcp.flags.has(TcpFlags::SYN) || tcp.flags.has(TcpFlags::RST) {
            return false;
        }
        let [a, b] = &self.sides;
        let closing = self.reset || a.fin || b.fin;
        if tcp.flags.has(TcpFlags::ACK) {
            let answers_strange = self
                .strange_syn
                .is_some_and(|isn| tcp.ack == isn.wrapping_add(1));
            return !self.knows_syn(tcp, from_low) && (closing || answers_strange);
        }
        if self.knows_syn(tcp, from_low) {
            // The first SYN of a side is a simultaneous open, unless the stream is over.
            return closing && self.sides[usize::from(!from_low)].next.is_none();
        }
        // A client that nobody answered tries anew.
        let unanswered = !self.sides[usize::from(from_low)].heard;
        closing || silent || unanswered
    }
}
