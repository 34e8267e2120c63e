//! What the targets share: the protocol to fuzz, a made-up stream, the steps of an input, and an
//! output that shows whatever it is given.

use bytes::Bytes;
use tapedeck::dissect::{
    Dissector, Draft, GiveUp, Outcome, Output, PROTOCOLS, Probe, Protocol, Protocols,
};
use tapedeck::flow::{Chunk, Gap, Opening, StreamInfo};
use tapedeck::item::flat::{self, Flat};
use tapedeck::item::{ItemNode, json};
use tapedeck::packet::{Direction, Endpoint, StreamId, StreamName, Transport};
use tapedeck::time::Timestamp;

/// Names the protocol that a target of all protocols looks at; `list` prints their names.
pub const PROTOCOL: &str = "TAPEDECK_FUZZ_PROTOCOL";

/// Handovers that one input may make, so that two protocols cannot pass a stream to and fro.
const MAX_HANDOVERS: u32 = 8;

/// The two sides, by their number in an input.
pub const SIDES: [Direction; 2] = [Direction::ToServer, Direction::ToClient];

/// The protocol of the environment, once for the whole run.
///
/// Prints the names and ends the process when it is `list`; ends with a sentence when none has
/// the name.
pub fn chosen() -> Option<&'static dyn Protocol> {
    let wanted = std::env::var(PROTOCOL)
        .ok()
        .filter(|name| !name.is_empty())?;
    if wanted == "list" {
        for protocol in PROTOCOLS {
            println!("{}", protocol.name());
        }
        std::process::exit(0);
    }
    let found = named(&wanted);
    if found.is_none() {
        eprintln!("{PROTOCOL}: no protocol is called {wanted}; list prints the names");
        std::process::exit(2);
    }
    found
}

/// The protocol of this name.
pub fn named(name: &str) -> Option<&'static dyn Protocol> {
    let mut protocols = PROTOCOLS.iter();
    protocols.find(|known| known.name() == name).copied()
}

/// The protocol that an input's first byte stands for.
pub fn picked(choice: u8) -> &'static dyn Protocol {
    PROTOCOLS[usize::from(choice) % PROTOCOLS.len()]
}

/// A stream between 10.0.0.1:40000 and port 80 of the same host, opened in one of the four ways.
pub fn stream(transport: Transport, opening: u8) -> StreamInfo {
    let openings = [
        Opening::Syn,
        Opening::SynAck,
        Opening::Port,
        Opening::FirstPacket,
    ];
    let endpoint = |port| Endpoint {
        ip: [10, 0, 0, 1].into(),
        port,
    };
    StreamInfo {
        name: StreamName {
            stream: StreamId(0),
            transport,
        },
        client: endpoint(40_000),
        server: endpoint(80),
        opening: openings[usize::from(opening) % openings.len()],
        first: Timestamp::default(),
    }
}

/// Cuts an input into `(kind, bytes)`: `kind u8, length u8, bytes`.
pub fn records(mut input: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let [kind, length, tail @ ..] = input else {
            return None;
        };
        let (bytes, tail) = tail.split_at(usize::from(*length).min(tail.len()));
        input = tail;
        Some((*kind, bytes))
    })
}

/// Takes items and shows each of them in full, typed and in the flat encoding.
#[derive(Default)]
pub struct Shows {
    record: Vec<u8>,
}

impl Output for Shows {
    fn item(&mut self, draft: Draft) {
        for value in [&draft.request, &draft.response, &draft.data] {
            json::to_string(ItemNode::of_value(value));
            self.record.clear();
            flat::encode_node(0, ItemNode::of_value(value), &mut self.record);
            let flat = Flat::new(&self.record).expect("an encoded item can be read");
            json::to_string(flat);
        }
    }
}

/// One stream in the hands of one dissector after the other.
pub struct Play {
    info: StreamInfo,
    protocols: Protocols,
    protocol: &'static dyn Protocol,
    dissector: Box<dyn Dissector>,
    /// Bytes that were offered and not taken, by side, and where they begin.
    left: [Vec<u8>; 2],
    offsets: [u64; 2],
    ordinal: u64,
    handovers: u32,
    out: Shows,
}

impl Play {
    /// A stream that `dissector` reads, which is one of `protocol`.
    pub fn new(
        info: StreamInfo,
        protocols: &Protocols,
        protocol: &'static dyn Protocol,
        mut dissector: Box<dyn Dissector>,
    ) -> Play {
        dissector.equip(protocols);
        Play {
            info,
            protocols: protocols.clone(),
            protocol,
            dissector,
            left: Default::default(),
            offsets: [0; 2],
            ordinal: 0,
            handovers: 0,
            out: Shows::default(),
        }
    }

    /// Plays the steps of an input to their end.
    ///
    /// ```text
    /// kind = bit 0 direction, bits 1-2: 0 chunk, 1 chunk that goes on with the next one, 2 gap,
    ///        3 save and restore
    /// ```
    pub fn input(mut self, input: &[u8]) {
        for (kind, bytes) in records(input) {
            let side = usize::from(kind & 1);
            let goes_on = match kind >> 1 & 3 {
                0 => self.chunk(side, bytes),
                1 => {
                    self.left[side].extend_from_slice(bytes);
                    true
                }
                2 => self.gap(side, bytes.len() as u64 + 1),
                _ => {
                    self.hand_on();
                    true
                }
            };
            if !goes_on {
                break;
            }
        }
        self.end();
    }

    /// Offers bytes behind those that were left; false when the stream is given up.
    pub fn chunk(&mut self, side: usize, bytes: &[u8]) -> bool {
        self.ordinal += 1;
        self.left[side].extend_from_slice(bytes);
        self.protocol.probe(&Probe {
            stream: &self.info.into(),
            ports: &[],
            to_server: &self.left[0],
            to_client: &self.left[1],
        });
        let chunk = Chunk {
            direction: SIDES[side],
            offset: self.offsets[side],
            bytes: Bytes::copy_from_slice(&self.left[side]),
            ts: Timestamp::from_nanos(self.ordinal as i64),
            ordinal: self.ordinal,
        };
        let outcome = self.dissector.on_chunk(&chunk, &mut self.out);
        if self.info.name.transport != Transport::Tcp {
            // Of a datagram nothing is offered again.
            self.take(side, self.left[side].len());
        }
        self.outcome(side, outcome)
    }

    /// Tells of missing bytes; false when the stream is given up.
    pub fn gap(&mut self, side: usize, len: u64) -> bool {
        self.ordinal += 1;
        let gap = Gap {
            direction: SIDES[side],
            offset: self.offsets[side],
            len: len + self.left[side].len() as u64,
            ts: Timestamp::from_nanos(self.ordinal as i64),
            ordinal: self.ordinal,
        };
        self.left[side].clear();
        self.offsets[side] += gap.len;
        match self.dissector.on_gap(&gap, &mut self.out) {
            // Says that it goes on, of whatever count.
            Outcome::Consumed(_) | Outcome::NeedMore(_) => true,
            given_up => self.outcome(side, given_up),
        }
    }

    /// Goes on with what was saved.
    pub fn hand_on(&mut self) {
        let state = self.dissector.save();
        let restored = self.protocol.restore(&self.info.into(), &state);
        self.dissector = restored.expect("a saved state is its own");
        self.dissector.equip(&self.protocols);
    }

    /// Closes both sides and ends the stream.
    pub fn end(mut self) {
        for (side, direction) in SIDES.into_iter().enumerate() {
            let rest = Bytes::from(std::mem::take(&mut self.left[side]));
            self.dissector.on_fin(direction, &rest, &mut self.out);
        }
        self.dissector.on_end(&mut self.out);
    }

    fn outcome(&mut self, side: usize, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Consumed(count) => {
                self.take(side, count);
                true
            }
            Outcome::NeedMore(_) => true,
            Outcome::GiveUp(GiveUp::Upgraded) if self.handovers < MAX_HANDOVERS => {
                self.handovers += 1;
                let Some(next) = self.dissector.handover() else {
                    return false;
                };
                let Some(protocol) = named(next.protocol) else {
                    panic!("handed over to {}, which is no protocol", next.protocol);
                };
                self.protocol = protocol;
                self.dissector = protocol.take_over(&self.info.into(), &next.note);
                self.dissector.equip(&self.protocols);
                true
            }
            Outcome::GiveUp(_) => false,
        }
    }

    fn take(&mut self, side: usize, count: usize) {
        let count = count.min(self.left[side].len());
        self.left[side].drain(..count);
        self.offsets[side] += count as u64;
    }
}
