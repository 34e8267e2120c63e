//! Rounds of a client: the commands that it sends in a row, then their replies in a row.
//!
//! In: each command that wants a reply, each reply, each gap. Out: whether nothing was open before
//! the command that begins a round. Never: which reply answers what.
//!
//! Clients pipeline in two ways. Some send a batch and await all of its replies before they go on
//! (`redis-benchmark -P`, pipelines of go-redis or redis-py). Others share one connection among
//! many callers (Lettuce, StackExchange.Redis): they send while others still wait, and callers in
//! turns keep a reply open for long, at which commands and replies alternate as if nothing were.
//! Only the first way, seen while every reply was known, lets even rounds mean that nothing is
//! open:
//!
//! - [`ROUNDS_OF_BATCHES`] even rounds in a row of a client that was seen to await a batch. Fewer
//!   may be a batch whose commands and replies were missed in part.
//! - [`ROUNDS`] of a client of which that is not known: callers in turns fall out of step before,
//!   when a reply comes late or two at once.
//! - One round of a PING alone, not the second in a row, that PONG answers: nothing else has this
//!   reply, and it would come later if another command were open.
//! - Never when a command was seen to follow a reply while others were open.

use bytes::BufMut;

use super::super::command::{Verb, Words};
use crate::bytes::Reader;

/// Even rounds that tell when the client awaits its batches.
const ROUNDS_OF_BATCHES: u8 = 4;

/// Even rounds that tell when it is not known what the client does.
const ROUNDS: u8 = 16;

/// The round that is on, and what those before it tell.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Rounds {
    /// Commands of this round.
    asked: u32,
    /// Replies of this round.
    answered: u32,
    /// Whether nothing is missing from it.
    whole: bool,
    /// Whether its last command is a PING without text.
    ping: bool,
    /// Whether the command before that is.
    pinged: bool,
    /// Whether the reply fits this command and none near it.
    anchored: bool,
    /// Even rounds before this one.
    even: u8,
    /// Whether the client was seen to await the replies to several commands.
    batches: bool,
    /// Whether it was seen to send a command after a reply while others were open.
    overlaps: bool,
}

impl Rounds {
    /// Takes a command that wants a reply. `open` tells whether others are open where that is known,
    /// `missed` whether bytes are missing in front of it.
    pub(super) fn command(&mut self, command: &[u8], open: Option<bool>, missed: bool) {
        if self.answered > 0 {
            let uneven = open.unwrap_or(self.asked != self.answered);
            self.overlaps |= self.whole && uneven;
            self.even = match (self.anchored, self.whole && !uneven) {
                (true, _) => ROUNDS,
                (false, true) => self.even.saturating_add(1),
                (false, false) => 0,
            };
            (self.asked, self.answered, self.anchored) = (0, 0, false);
        }
        self.whole = (self.whole || self.asked == 0) && !missed;
        self.asked = self.asked.saturating_add(1);
        self.pinged = self.ping;
        self.ping = Verb::of(command).as_bytes() == b"PING" && Words::of(command).nth(1).is_none();
    }

    /// Takes a reply that is no pushed message; `exact` tells whether all replies find their commands.
    pub(super) fn reply(&mut self, reply: &[u8], exact: bool) {
        self.answered = self.answered.saturating_add(1);
        self.batches |= exact && self.whole && self.asked > 1 && self.asked == self.answered;
        self.anchored = self.ping
            && !self.pinged
            && (self.asked, self.answered) == (1, 1)
            && reply == b"+PONG\r\n";
    }

    /// Takes note that something of this round is missing, or fits no round.
    pub(super) fn miss(&mut self) {
        (self.whole, self.even) = (false, 0);
    }

    /// Whether the last command is the first of its round.
    pub(super) fn begins(&self) -> bool {
        self.asked == 1 && self.answered == 0
    }

    /// Whether the last command begins a round, and nothing was open before it.
    pub(super) fn in_step(&self) -> bool {
        let enough = match self.batches {
            true => ROUNDS_OF_BATCHES,
            false => ROUNDS,
        };
        self.begins() && self.whole && !self.overlaps && self.even >= enough
    }

    /// ```text
    /// rounds = flags u8 (1 whole, 2 ping, 4 anchored, 8 batches, 16 overlaps, 32 pinged), even u8,
    ///          asked u32, answered u32                                        big-endian
    /// ```
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        let flags = [
            self.whole,
            self.ping,
            self.anchored,
            self.batches,
            self.overlaps,
            self.pinged,
        ];
        out.put_u8(
            (0..)
                .zip(flags)
                .fold(0, |all, (bit, flag)| all | u8::from(flag) << bit),
        );
        out.put_u8(self.even);
        out.put_u32(self.asked);
        out.put_u32(self.answered);
    }

    /// Reads what [`Rounds::save`] wrote.
    pub(super) fn load(from: &mut Reader<'_>) -> Option<Rounds> {
        let flags = from.u8().ok().filter(|flags| *flags < 64)?;
        Some(Rounds {
            whole: flags & 1 != 0,
            ping: flags & 2 != 0,
            anchored: flags & 4 != 0,
            batches: flags & 8 != 0,
            overlaps: flags & 16 != 0,
            pinged: flags & 32 != 0,
            even: from.u8().ok()?,
            asked: from.u32().ok()?,
            answered: from.u32().ok()?,
        })
    }
}
