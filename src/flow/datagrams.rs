//! UDP payloads on the offsets of their conversation.
//!
//! In: datagrams in capture order. Out: [`Event`]s: a chunk each, and a gap for what was cut off.
//! Never: reordering, a datagram joined with another. Standard: RFC 768.

use super::{Chunk, Event, Gap, MAX_OFFSET};
use crate::packet::Direction;

/// The datagrams of one UDP conversation: each is a chunk of its own.
#[derive(Debug, Default)]
pub struct Datagrams {
    to_server: u64,
    to_client: u64,
}

impl Datagrams {
    /// Where both directions stand, for [`Datagrams::resume`].
    pub fn offsets(&self) -> [u64; 2] {
        [self.to_server, self.to_client]
    }

    /// A conversation that goes on; `None` when the offsets are beyond what one can reach.
    pub fn resume([to_server, to_client]: [u64; 2]) -> Option<Datagrams> {
        (to_server.max(to_client) < MAX_OFFSET).then_some(Datagrams {
            to_server,
            to_client,
        })
    }

    /// Hands a datagram on; what the snapshot length cut off is a gap behind it.
    pub fn push(&mut self, chunk: Chunk, wire_len: u32, out: &mut Vec<Event>) {
        let next = match chunk.direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        };
        let offset = *next;
        let seen = chunk.bytes.len() as u64;
        let cut = u64::from(wire_len).saturating_sub(seen);
        *next += seen + cut;
        let gap = Gap {
            direction: chunk.direction,
            offset: offset + seen,
            len: cut,
            ts: chunk.ts,
            ordinal: chunk.ordinal,
        };
        out.push(Event::Chunk(Chunk { offset, ..chunk }));
        if cut > 0 {
            out.push(Event::Gap(gap));
        }
    }
}
