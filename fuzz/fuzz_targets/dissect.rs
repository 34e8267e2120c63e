//! Any bytes, any gaps, both directions, at every dissector: no panic, no endless loop, and all that
//! comes out can be shown.
//!
//! ```text
//! input = protocol u8, opening u8, records
//! record = kind u8 (bit 0 direction; bits 1-2: 0-1 chunk, 2 gap, 3 save and restore), length u8, bytes
//! ```

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tapedeck::dissect::{Dissector, Draft, Outcome, Output, PROTOCOLS, Probe};
use tapedeck::flow::{Chunk, Gap, Opening, StreamInfo};
use tapedeck::item::{ItemNode, json};
use tapedeck::packet::{Direction, Endpoint, StreamId, StreamName};
use tapedeck::time::Timestamp;

struct Shows;

impl Output for Shows {
    fn item(&mut self, draft: Draft) {
        for value in [&draft.request, &draft.response, &draft.data] {
            json::to_string(ItemNode::of_value(value));
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let [protocol, opening, records @ ..] = input else {
        return;
    };
    let protocol = PROTOCOLS[usize::from(*protocol) % PROTOCOLS.len()];
    let Some(transport) = protocol.transports().first() else {
        return;
    };
    let openings = [Opening::Syn, Opening::SynAck, Opening::Port, Opening::FirstPacket];
    let endpoint = |port| Endpoint {
        ip: [10, 0, 0, 1].into(),
        port,
    };
    let info = StreamInfo {
        name: StreamName {
            stream: StreamId(0),
            transport: *transport,
        },
        client: endpoint(40_000),
        server: endpoint(80),
        opening: openings[usize::from(*opening) % openings.len()],
        first: Timestamp::default(),
    };
    let mut dissector: Box<dyn Dissector> = protocol.start(&info);
    let mut left: [Vec<u8>; 2] = Default::default();
    let mut rest = records;
    let mut ordinal = 0;
    while let [kind, length, tail @ ..] = rest {
        let (bytes, tail) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = tail;
        ordinal += 1;
        let side = usize::from(kind & 1);
        let direction = [Direction::ToServer, Direction::ToClient][side];
        let ts = Timestamp::from_nanos(ordinal as i64);
        let outcome = match kind >> 1 & 3 {
            2 => {
                left[side].clear();
                let gap = Gap {
                    direction,
                    offset: 0,
                    len: u64::from(*length) + 1,
                    ts,
                    ordinal,
                };
                dissector.on_gap(&gap, &mut Shows)
            }
            3 => {
                let state = dissector.save();
                dissector = protocol.restore(&info, &state).expect("a saved state is its own");
                continue;
            }
            _ => {
                left[side].extend_from_slice(bytes);
                protocol.probe(&Probe {
                    stream: &info,
                    ports: &[],
                    to_server: &left[0],
                    to_client: &left[1],
                });
                let chunk = Chunk {
                    direction,
                    offset: 0,
                    bytes: Bytes::copy_from_slice(&left[side]),
                    ts,
                    ordinal,
                };
                dissector.on_chunk(&chunk, &mut Shows)
            }
        };
        match outcome {
            Outcome::Consumed(count) => drop(left[side].drain(..count.min(left[side].len()))),
            Outcome::NeedMore(_) => {}
            Outcome::GiveUp(_) => break,
        }
    }
    for (side, direction) in [Direction::ToServer, Direction::ToClient].into_iter().enumerate() {
        let rest = Bytes::from(std::mem::take(&mut left[side]));
        dissector.on_fin(direction, &rest, &mut Shows);
    }
    dissector.on_end(&mut Shows);
});
