//! The state of a stream of Redis as bytes, from which a later reel goes on.
//!
//! In: a dissector, or the bytes of one. Out: the other of them. Never: a state that is damaged or
//! above the caps.
//!
//! ```text
//! state   = version u8 (2), asks u8 (0 unknown, 1 to the server, 2 to the client), side, side,
//!           rounds, pairing u8, wanted u8, flags u8 (1 pipelined, 2 hole, 4 subscribed, 8 monitor,
//!           16 replicates), expired u64, confirmations u64, last i64,
//!           count u32, count x open, count u32, count x early                 big-endian
//! side    = flags u8 (1 lost, 2 may begin, 4 partial), passed u64, framer, partial?
//! ```

use std::collections::VecDeque;

use super::super::message::{self, Message, Partial};
use super::super::parser::{Framer, Role};
use super::rounds::Rounds;
use super::{
    MAX_EARLY, MAX_EARLY_BYTES, MAX_OPEN, MAX_OPEN_BYTES, Pairing, RedisDissector, Replies, Side,
};
use crate::bytes::Reader;
use crate::dissect::Stream;
use crate::packet::Direction;

impl RedisDissector {
    /// The state as bytes.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![2];
        out.push(match self.asks {
            None => 0,
            Some(Direction::ToServer) => 1,
            Some(Direction::ToClient) => 2,
        });
        for side in [&self.commands, &self.replies] {
            let partial = u8::from(side.partial.is_some());
            out.push(u8::from(side.lost) | u8::from(side.may_begin) << 1 | partial << 2);
            out.extend_from_slice(&side.passed.to_be_bytes());
            side.framer.save(&mut out);
            if let Some(partial) = &side.partial {
                partial.save(&mut out);
            }
        }
        self.rounds.save(&mut out);
        out.push(match self.pairing {
            Pairing::Exact => 0,
            Pairing::Alternating => 1,
            Pairing::Apart => 2,
            Pairing::Batches => 3,
        });
        out.push(match self.wanted {
            Replies::On => 0,
            Replies::Off => 1,
            Replies::SkipNext => 2,
        });
        let flags = [
            self.pipelined,
            self.hole,
            self.subscribed,
            self.monitor,
            self.replicates,
        ];
        out.push(
            (0..)
                .zip(flags)
                .fold(0, |all, (bit, flag)| all | u8::from(flag) << bit),
        );
        out.extend_from_slice(&self.expired.to_be_bytes());
        out.extend_from_slice(&self.confirmations.to_be_bytes());
        out.extend_from_slice(&self.last.nanos().to_be_bytes());
        for list in [&self.open, &self.early] {
            let count = u32::try_from(list.len()).unwrap_or(u32::MAX);
            out.extend_from_slice(&count.to_be_bytes());
            for message in list {
                message.save(&mut out);
            }
        }
        out
    }

    /// Reads a state back.
    pub(in crate::dissect::redis) fn restore(
        stream: &Stream,
        state: &[u8],
    ) -> Option<RedisDissector> {
        let mut reader = Reader::new(state);
        if reader.u8().ok()? != 2 {
            return None;
        }
        let mut restored = RedisDissector::new(stream);
        restored.asks = match reader.u8().ok()? {
            0 => None,
            1 => Some(Direction::ToServer),
            2 => Some(Direction::ToClient),
            _ => return None,
        };
        restored.commands = load_side(Role::Command, &mut reader)?;
        restored.replies = load_side(Role::Reply, &mut reader)?;
        restored.rounds = Rounds::load(&mut reader)?;
        restored.pairing = match reader.u8().ok()? {
            0 => Pairing::Exact,
            1 => Pairing::Alternating,
            2 => Pairing::Apart,
            3 => Pairing::Batches,
            _ => return None,
        };
        restored.wanted = match reader.u8().ok()? {
            0 => Replies::On,
            1 => Replies::Off,
            2 => Replies::SkipNext,
            _ => return None,
        };
        let flags = reader.u8().ok()?;
        restored.pipelined = flags & 1 != 0;
        restored.hole = flags & 2 != 0;
        restored.subscribed = flags & 4 != 0;
        restored.monitor = flags & 8 != 0;
        restored.replicates = flags & 16 != 0;
        restored.expired = reader.u64().ok()?;
        restored.confirmations = reader.u64().ok()?;
        restored.last = message::load_ts(&mut reader)?;
        (restored.open, restored.open_bytes) = load_list(&mut reader, MAX_OPEN, MAX_OPEN_BYTES)?;
        (restored.early, restored.early_bytes) =
            load_list(&mut reader, MAX_EARLY, MAX_EARLY_BYTES)?;
        reader.is_empty().then_some(restored)
    }
}

fn load_side(role: Role, from: &mut Reader<'_>) -> Option<Side> {
    let flags = from.u8().ok()?;
    let passed = from.u64().ok()?;
    let framer = Framer::load(role, from)?;
    let partial = match flags & 4 {
        0 => None,
        _ => Some(Partial::load(from)?),
    };
    Some(Side {
        framer,
        partial,
        lost: flags & 1 != 0,
        passed,
        may_begin: flags & 2 != 0,
    })
}

fn load_list(
    from: &mut Reader<'_>,
    most: usize,
    most_bytes: usize,
) -> Option<(VecDeque<Message>, usize)> {
    let count = usize::try_from(from.u32().ok()?).ok()?;
    if count > most {
        return None;
    }
    let mut list = VecDeque::new();
    let mut bytes = 0;
    for _ in 0..count {
        let message = Message::load(from)?;
        bytes += message.bytes.len();
        list.push_back(message);
    }
    (bytes <= most_bytes).then_some((list, bytes))
}
