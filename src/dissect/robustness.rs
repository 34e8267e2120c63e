//! What every protocol must stand: the suite runs over each line of [`PROTOCOLS`] by itself.
//!
//! A protocol gives sample conversations; they are cut at each byte, holed, damaged, swapped,
//! repeated without end, saved and restored at each chunk. Tests of a protocol's own folder use
//! [`Feed`] too.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::{Conversation, Draft, Output, PROTOCOLS, Protocol, Protocols};
use crate::flow::{Budget, Chunk, Event, Gap, Opening, StreamInfo};
use crate::item::ItemError;
use crate::packet::{Direction, EndReason, Endpoint, StreamId, StreamName, Transport};
use crate::time::Timestamp;

/// A conversation as the two sides speak it, each turn a segment or datagram.
pub struct Sample {
    /// What it shows.
    pub name: &'static str,
    /// What carries it.
    pub transport: Transport,
    /// The server's port.
    pub server_port: u16,
    /// Who says what.
    pub turns: Vec<(Direction, Vec<u8>)>,
    /// Items that it holds.
    pub items: usize,
}

/// Takes drafts and keeps them.
#[derive(Default)]
pub struct Drafts(pub Vec<Draft>);

impl Output for Drafts {
    fn item(&mut self, draft: Draft) {
        self.0.push(draft);
    }
}

/// Feeds one conversation, event by event.
pub struct Feed {
    info: StreamInfo,
    conversation: Conversation,
    offsets: [u64; 2],
    ordinal: u64,
    now: Timestamp,
    /// What came out.
    pub drafts: Drafts,
}

impl Feed {
    /// A stream between 10.0.0.1:40000 and `server_port` of 10.0.0.2, looked at by `protocols`.
    pub fn new(transport: Transport, server_port: u16, protocols: &Protocols) -> Feed {
        let endpoint = |last, port| Endpoint {
            ip: [10, 0, 0, last].into(),
            port,
        };
        let info = StreamInfo {
            name: StreamName {
                stream: StreamId(1),
                transport,
            },
            client: endpoint(1, 40000),
            server: endpoint(2, server_port),
            opening: Opening::Syn,
            first: Timestamp::from_secs(1_700_000_000, 0),
        };
        let budget = Budget::new(Budget::DEFAULT_BYTES);
        Feed {
            info,
            conversation: Conversation::new(&info, protocols, &budget),
            offsets: [0; 2],
            ordinal: 1,
            now: info.first,
            drafts: Drafts::default(),
        }
    }

    fn offset(&mut self, direction: Direction) -> &mut u64 {
        match direction {
            Direction::ToServer => &mut self.offsets[0],
            Direction::ToClient => &mut self.offsets[1],
        }
    }

    /// Lets the clock of the capture show `now` for what follows.
    pub fn at(&mut self, now: Timestamp) -> &mut Feed {
        self.now = now;
        self
    }

    /// The next bytes of a side.
    pub fn chunk(&mut self, direction: Direction, bytes: &[u8]) -> &mut Feed {
        if bytes.is_empty() && self.info.name.transport == Transport::Tcp {
            return self;
        }
        self.ordinal += 1;
        let chunk = Chunk {
            direction,
            offset: *self.offset(direction),
            bytes: Bytes::copy_from_slice(bytes),
            ts: self.now,
            ordinal: self.ordinal,
        };
        *self.offset(direction) += bytes.len() as u64;
        self.conversation
            .event(Event::Chunk(chunk), &mut self.drafts);
        self
    }

    /// Bytes of a side that were not captured.
    pub fn gap(&mut self, direction: Direction, len: usize) -> &mut Feed {
        let gap = Gap {
            direction,
            offset: *self.offset(direction),
            len: len as u64,
            ts: self.now,
            ordinal: self.ordinal,
        };
        *self.offset(direction) += len as u64;
        self.conversation.event(Event::Gap(gap), &mut self.drafts);
        self
    }

    /// A side is done.
    pub fn fin(&mut self, direction: Direction) -> &mut Feed {
        self.conversation
            .event(Event::Fin(direction), &mut self.drafts);
        self
    }

    /// Saves the conversation and goes on with what was restored.
    pub fn hand_over(&mut self, protocols: &Protocols) -> &mut Feed {
        let state = self.conversation.save();
        let budget = Budget::new(Budget::DEFAULT_BYTES);
        self.conversation = Conversation::restore(&self.info, protocols, &budget, &state)
            .expect("a saved conversation can be restored");
        self
    }

    /// The name of the protocol being read.
    pub fn protocol(&self) -> Option<&'static str> {
        self.conversation.protocol().map(Protocol::name)
    }

    /// The conversation.
    pub fn conversation(&self) -> &Conversation {
        &self.conversation
    }

    /// The conversation, to bring it into a state.
    pub fn conversation_mut(&mut self) -> &mut Conversation {
        &mut self.conversation
    }

    /// Ends the stream and hands out the drafts.
    pub fn end(mut self) -> Vec<Draft> {
        self.conversation
            .end(EndReason::SourceEnd, &mut self.drafts);
        self.drafts.0
    }

    /// Closes both sides, ends the stream and hands out the drafts as text.
    fn close(mut self) -> Vec<String> {
        self.fin(Direction::ToServer).fin(Direction::ToClient);
        self.end().iter().map(render).collect()
    }
}

/// All of a draft but the ordinal, which says when and not what.
fn render(draft: &Draft) -> String {
    let kinds = ["dissection", "connection", "timeout", "pair-not-found"];
    if let Some(ItemError { kind, msg }) = &draft.error {
        assert!(kinds.contains(kind), "{kind}");
        assert!(!msg.is_empty() && !msg.ends_with('.'), "{msg}");
    }
    format!(
        "{} {} {:?} {} {} {:?} {:?} {:?} {:?}",
        draft.kind.abbr,
        draft.from_client,
        draft.start,
        draft.request_size,
        draft.response_size,
        draft.request,
        draft.response,
        draft.data,
        draft.error,
    )
}

fn only(protocol: &'static dyn Protocol) -> Protocols {
    Protocols::new(Arc::new([protocol]))
}

fn each(mut check: impl FnMut(&'static dyn Protocol, &Sample)) {
    for protocol in PROTOCOLS {
        for sample in protocol.samples() {
            check(*protocol, &sample);
        }
    }
}

fn play(sample: &Sample, protocols: &Protocols) -> Vec<String> {
    let mut feed = Feed::new(sample.transport, sample.server_port, protocols);
    for (direction, bytes) in &sample.turns {
        feed.chunk(*direction, bytes);
    }
    feed.close()
}

#[test]
fn every_protocol_has_samples_that_detection_knows() {
    for protocol in PROTOCOLS {
        assert!(!protocol.samples().is_empty(), "{}", protocol.name());
    }
    each(|protocol, sample| {
        let items = play(sample, &Protocols::all());
        assert_eq!(items.len(), sample.items, "{}: {items:#?}", sample.name);
        assert_eq!(items, play(sample, &only(protocol)), "{}", sample.name);
    });
}

#[test]
fn a_cut_at_any_byte_gives_the_same_items() {
    each(|protocol, sample| {
        let whole = play(sample, &only(protocol));
        let total: usize = sample.turns.iter().map(|(_, bytes)| bytes.len()).sum();
        for cut in 0..=total {
            let mut feed = Feed::new(sample.transport, sample.server_port, &only(protocol));
            let mut before = 0;
            for (direction, bytes) in &sample.turns {
                let at = cut.saturating_sub(before).min(bytes.len());
                before += bytes.len();
                let (first, second) = bytes.split_at(at);
                feed.chunk(*direction, first);
                if !second.is_empty() {
                    feed.chunk(*direction, second);
                }
            }
            let items = feed.close();
            // A datagram that is cut is another datagram.
            if sample.transport == Transport::Tcp {
                assert_eq!(items, whole, "{} cut at {cut}", sample.name);
            }
        }
    });
}

#[test]
fn one_byte_at_a_time_gives_the_same_items() {
    each(|protocol, sample| {
        if sample.transport != Transport::Tcp {
            return;
        }
        let mut feed = Feed::new(sample.transport, sample.server_port, &only(protocol));
        for (direction, bytes) in &sample.turns {
            for byte in bytes {
                feed.chunk(*direction, &[*byte]);
            }
        }
        assert_eq!(
            feed.close(),
            play(sample, &only(protocol)),
            "{}",
            sample.name
        );
    });
}

#[test]
fn a_gap_anywhere_is_survived() {
    each(|protocol, sample| {
        for len in [1, 9, 200] {
            let total: usize = sample.turns.iter().map(|(_, bytes)| bytes.len()).sum();
            for at in (0..total).step_by(1 + total / 700) {
                let mut feed = Feed::new(sample.transport, sample.server_port, &only(protocol));
                let mut before = 0;
                for (direction, bytes) in &sample.turns {
                    let start = at.saturating_sub(before).min(bytes.len());
                    let end = (at + len).saturating_sub(before).min(bytes.len());
                    before += bytes.len();
                    feed.chunk(*direction, &bytes[..start]);
                    if end > start {
                        feed.gap(*direction, end - start);
                    }
                    if end < bytes.len() {
                        feed.chunk(*direction, &bytes[end..]);
                    }
                }
                feed.close();
            }
        }
    });
}

#[test]
fn the_capture_may_begin_or_end_anywhere() {
    each(|protocol, sample| {
        for (index, (_, bytes)) in sample.turns.iter().enumerate() {
            for cut in (0..bytes.len()).step_by(1 + bytes.len() / 300) {
                let mut late = Feed::new(sample.transport, sample.server_port, &only(protocol));
                let mut early = Feed::new(sample.transport, sample.server_port, &only(protocol));
                for (direction, bytes) in &sample.turns[..index] {
                    early.chunk(*direction, bytes);
                }
                early.chunk(sample.turns[index].0, &bytes[..cut]);
                late.chunk(sample.turns[index].0, &bytes[cut..]);
                for (direction, bytes) in &sample.turns[index + 1..] {
                    late.chunk(*direction, bytes);
                }
                early.close();
                late.close();
            }
        }
    });
}

#[test]
fn swapped_sides_and_one_side_alone_are_survived() {
    each(|protocol, sample| {
        let one = only(protocol);
        let mut swapped = Feed::new(sample.transport, sample.server_port, &one);
        let mut asks = Feed::new(sample.transport, sample.server_port, &one);
        let mut answers = Feed::new(sample.transport, sample.server_port, &one);
        for (direction, bytes) in &sample.turns {
            swapped.chunk(direction.other(), bytes);
            match direction {
                Direction::ToServer => asks.chunk(*direction, bytes),
                Direction::ToClient => answers.chunk(*direction, bytes),
            };
        }
        swapped.close();
        asks.close();
        answers.close();
    });
}

#[test]
fn an_endless_side_meets_a_cap() {
    const MAX_STATE: usize = 8 << 20;
    each(|protocol, sample| {
        for only_side in [Direction::ToServer, Direction::ToClient] {
            let mut feed = Feed::new(sample.transport, sample.server_port, &only(protocol));
            for _ in 0..3000 {
                for (direction, bytes) in &sample.turns {
                    if *direction == only_side {
                        feed.chunk(*direction, bytes);
                    }
                }
            }
            let state = feed.conversation.save().len();
            assert!(state < MAX_STATE, "{}: {state} bytes kept", sample.name);
            feed.close();
        }
    });
}

#[test]
fn a_saved_stream_gives_the_same_items_from_any_chunk_on() {
    each(|protocol, sample| {
        let one = only(protocol);
        let whole = play(sample, &one);
        // Each turn in two parts, so that the state is taken inside messages too.
        let parts: Vec<(Direction, &[u8])> = sample
            .turns
            .iter()
            .flat_map(|(direction, bytes)| {
                let middle = match sample.transport {
                    Transport::Tcp => bytes.len() * 2 / 3,
                    _ => bytes.len(),
                };
                let (first, second) = bytes.split_at(middle);
                [(*direction, first), (*direction, second)]
            })
            .filter(|(_, bytes)| !bytes.is_empty())
            .collect();
        for at in 0..=parts.len() {
            let mut feed = Feed::new(sample.transport, sample.server_port, &one);
            for (index, (direction, bytes)) in parts.iter().enumerate() {
                if index == at {
                    feed.hand_over(&one);
                }
                feed.chunk(*direction, bytes);
            }
            if at == parts.len() {
                feed.hand_over(&one);
            }
            assert_eq!(feed.close(), whole, "{} saved at part {at}", sample.name);
        }
    });
}

#[test]
fn a_damaged_state_is_refused_or_survived() {
    each(|protocol, sample| {
        let one = only(protocol);
        let mut feed = Feed::new(sample.transport, sample.server_port, &one);
        let turns = &sample.turns;
        for (direction, bytes) in &turns[..turns.len().div_ceil(2)] {
            feed.chunk(*direction, bytes);
        }
        let state = feed.conversation.save();
        for at in 0..state.len() {
            for damaged in [state[..at].to_vec(), {
                let mut flipped = state.clone();
                flipped[at] ^= 0xff;
                flipped
            }] {
                let budget = Budget::new(1000);
                if let Some(restored) = Conversation::restore(&feed.info, &one, &budget, &damaged) {
                    let mut later = Feed::new(sample.transport, sample.server_port, &one);
                    later.conversation = restored;
                    for (direction, bytes) in &turns[turns.len().div_ceil(2)..] {
                        later.chunk(*direction, bytes);
                    }
                    later.close();
                }
            }
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn garbage_makes_nothing_panic(
        turns in proptest::collection::vec(
            (any::<bool>(), proptest::collection::vec(any::<u8>(), 0..300), 0..50usize),
            1..12,
        ),
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        drop in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        let side = |up| if up { Direction::ToServer } else { Direction::ToClient };
        for protocol in PROTOCOLS {
            let one = only(*protocol);
            for transport in protocol.transports() {
                // Straight at the dissector: detection would not let garbage through.
                let mut feed = Feed::new(*transport, 53, &one);
                let dissector = protocol.start(&feed.info.into());
                feed.conversation.read_with(*protocol, dissector);
                for (up, bytes, gap) in &turns {
                    feed.chunk(side(*up), bytes);
                    if *gap > 40 {
                        feed.gap(side(!*up), *gap);
                    }
                }
                feed.close();
            }
            for sample in protocol.samples() {
                let mut feed = Feed::new(sample.transport, sample.server_port, &one);
                let dropped = drop.map(|index| index.index(sample.turns.len()));
                for (index, (direction, bytes)) in sample.turns.iter().enumerate() {
                    if dropped == Some(index) {
                        feed.gap(*direction, bytes.len());
                        continue;
                    }
                    let mut bytes = bytes.clone();
                    for (place, value) in &damage {
                        if !bytes.is_empty() {
                            let at = place.index(bytes.len());
                            bytes[at] = *value;
                        }
                    }
                    feed.chunk(*direction, &bytes);
                }
                feed.close();
            }
        }
    }
}
