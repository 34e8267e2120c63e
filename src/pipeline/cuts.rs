//! Where a recording is cut: states of its streams at the start of one step, the same for all threads.
//!
//! In: streams that a recording wants to go on with in a new reel. Out: their states as of the step
//! that the ingest thread makes next, through workers and collector; a stream's state with all that
//! reading it in the middle needs. Never: a pause of any thread.
//!
//! ```text
//! recorder ──want──▶ Cuts ──next step──▶ workers (before the step's packets) ──states──▶ collector ──▶ recorder
//! saved = version u8 (1), items u32, opening u8, first i64, client, server, state     little-endian
//! ```

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use ahash::RandomState;

use crate::flow::{Opening, StreamInfo};
use crate::packet::{Endpoint, FiveTuple, StreamId, StreamName, Transport};
use crate::record::{parse_state, put_endpoint, take_endpoint};
use crate::time::Timestamp;

/// Saved states that wait for their streams.
const MAX_WAITING: usize = 65_536;

/// Bytes of them together.
const MAX_WAITING_BYTES: usize = 256 << 20;

/// Streams whose states are asked for.
pub type Wanted = Arc<HashSet<StreamId, RandomState>>;

/// The states that somebody asks for, until the next step is made.
#[derive(Debug, Default, Clone)]
pub struct Cuts(Arc<Mutex<HashSet<StreamId, RandomState>>>);

impl Cuts {
    /// Asks for the states of these streams.
    pub fn want(&self, streams: &[StreamId]) {
        let mut wanted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.extend(streams);
    }

    /// What was asked for, for the step that is made now.
    pub(super) fn take(&self) -> Option<Wanted> {
        let mut wanted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!wanted.is_empty()).then(|| Arc::new(std::mem::take(&mut *wanted)))
    }
}

/// A stream in its middle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resumed {
    /// Sides, opening and first packet as they were.
    pub(super) info: StreamInfo,
    /// Items that it gave so far.
    pub(super) items: u32,
    /// The state of its conversation.
    pub(super) state: Arc<[u8]>,
}

/// What a worker saves of a stream.
pub(super) fn save(info: &StreamInfo, items: u32, state: &[u8]) -> Vec<u8> {
    let mut out = vec![1];
    out.extend_from_slice(&items.to_le_bytes());
    out.push(match info.opening {
        Opening::Syn => 0,
        Opening::SynAck => 1,
        Opening::Port => 2,
        Opening::FirstPacket => 3,
    });
    out.extend_from_slice(&info.first.nanos().to_le_bytes());
    put_endpoint(&mut out, info.client);
    put_endpoint(&mut out, info.server);
    out.extend_from_slice(state);
    out
}

/// Reads it back; the stream's number is another one in every reading.
fn load(name: StreamName, bytes: &[u8]) -> Option<Resumed> {
    let (1, rest) = bytes
        .split_first()
        .map(|(version, rest)| (*version, rest))?
    else {
        return None;
    };
    let (items, rest) = rest.split_first_chunk::<4>()?;
    let (opening, rest) = rest.split_first()?;
    let (first, mut rest) = rest.split_first_chunk::<8>()?;
    let client = take_endpoint(&mut rest)?;
    let server = take_endpoint(&mut rest)?;
    Some(Resumed {
        info: StreamInfo {
            name,
            client,
            server,
            opening: match opening {
                0 => Opening::Syn,
                1 => Opening::SynAck,
                2 => Opening::Port,
                _ => Opening::FirstPacket,
            },
            first: Timestamp::from_nanos(i64::from_le_bytes(*first)),
        },
        items: u32::from_le_bytes(*items),
        state: rest.into(),
    })
}

/// A stream's ends in either direction.
pub(super) type Ends = (Transport, Endpoint, Endpoint);

/// The ends of a five-tuple, the smaller one first.
pub(super) fn ends(tuple: &FiveTuple) -> Ends {
    (
        tuple.transport,
        tuple.src.min(tuple.dst),
        tuple.src.max(tuple.dst),
    )
}

/// States that a reel begins with, until their streams' first packets come.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    states: HashMap<Ends, Kept, RandomState>,
    bytes: usize,
    going_on: HashSet<Ends, RandomState>,
}

#[derive(Debug)]
struct Kept {
    resumed: Resumed,
    /// Whether the stream was read in the reel before, so that more is known of it than its state.
    is_read: bool,
}

impl Waiting {
    /// Takes the states at the start of a reel; `is_open` tells which streams were read in the reel
    /// before. Answers those of that reel that are over without a packet.
    pub(super) fn begin(
        &mut self,
        states: &[Vec<u8>],
        is_open: impl Fn(&FiveTuple) -> bool,
    ) -> Vec<Resumed> {
        let over = self.over();
        self.going_on.clear();
        self.take_in(states, is_open);
        over
    }

    /// What waits for no packet any more: streams that had none in the reel, and that no further one
    /// goes on with.
    pub(super) fn over(&mut self) -> Vec<Resumed> {
        self.bytes = 0;
        let states = std::mem::take(&mut self.states);
        let over = states
            .into_iter()
            .filter(|(ends, kept)| !kept.is_read && !self.going_on.contains(ends));
        let mut over: Vec<Resumed> = over.map(|(_, kept)| kept.resumed).collect();
        over.sort_by_key(|resumed| resumed.info.first);
        over
    }

    fn take_in(&mut self, states: &[Vec<u8>], is_open: impl Fn(&FiveTuple) -> bool) {
        for data in states {
            let Some((name, state)) = parse_state(data) else {
                continue;
            };
            let Some(resumed) = load(name, state) else {
                continue;
            };
            self.bytes += state.len();
            if self.states.len() >= MAX_WAITING || self.bytes > MAX_WAITING_BYTES {
                return;
            }
            let tuple = FiveTuple {
                src: resumed.info.client,
                dst: resumed.info.server,
                transport: name.transport,
            };
            let kept = Kept {
                resumed,
                is_read: is_open(&tuple),
            };
            self.states.insert(ends(&tuple), kept);
        }
    }

    /// Whether no state waits.
    pub(super) fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// The state of the stream that begins with a packet of this five-tuple.
    pub(super) fn take(&mut self, tuple: &FiveTuple) -> Option<Resumed> {
        let kept = self.states.remove(&ends(tuple));
        kept.map(|kept| kept.resumed)
    }

    /// Notes which streams go on behind the end of the reel.
    pub(super) fn go_on(&mut self, tuples: &[FiveTuple]) {
        self.going_on.extend(tuples.iter().map(ends));
    }

    /// Whether a stream goes on elsewhere.
    pub(super) fn goes_on(&self, info: &StreamInfo) -> bool {
        let tuple = FiveTuple {
            src: info.client,
            dst: info.server,
            transport: info.name.transport,
        };
        !self.going_on.is_empty() && self.going_on.contains(&ends(&tuple))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_stream_reads_back() {
        let end = |port| Endpoint {
            ip: [10, 0, 0, 1].into(),
            port,
        };
        let name = StreamName {
            stream: StreamId(9),
            transport: Transport::Tcp,
        };
        let info = StreamInfo {
            name,
            client: end(4000),
            server: end(80),
            opening: Opening::Syn,
            first: Timestamp::from_secs(7, 8),
        };
        let saved = save(&info, 3, b"state");
        let read = load(name, &saved).unwrap();
        assert_eq!(
            (read.info, read.items, &*read.state),
            (info, 3, &b"state"[..])
        );
        for cut in 0..saved.len() - 5 {
            assert_eq!(load(name, &saved[..cut]), None);
        }
    }

    #[test]
    fn what_is_wanted_is_taken_once() {
        let cuts = Cuts::default();
        assert!(cuts.take().is_none());
        cuts.want(&[StreamId(1), StreamId(2)]);
        cuts.clone().want(&[StreamId(2)]);
        assert_eq!(cuts.take().unwrap().len(), 2);
        assert!(cuts.take().is_none());
    }
}
