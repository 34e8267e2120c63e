//! Segments of one stream in any order, holed, repeated and cut: what comes out is the stream that was
//! sent, each byte once and in its place.
//!
//! The bytes of both directions are a function of their sequence numbers, so that each chunk can be
//! held against what it must be.
//!
//! ```text
//! input   = initial sequence number u32, kinds u8 (bit 0: the handshake was
//!           seen, the others: the policy for overlaps), segments
//! segment = kind u8, start u16, ack u16, length u8                     big-endian
//! kind    = bit 0 direction, bit 1 acknowledges, bit 2 FIN, bit 3 cut by the snaplen,
//!           bits 4-7: 15 RST, 14 saves and resumes
//! ```

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tapedeck::bytes::Reader;
use tapedeck::flow::{Budget, Event, OverlapPolicy, Reassembly, Segment, State};
use tapedeck::packet::{Direction, TcpFlags, TcpHeader, WindowScale};
use tapedeck::time::Timestamp;
use tapedeck_fuzz::SIDES;

/// Bytes that may wait; more than one input can bring.
const HELD: usize = 1 << 20;

/// The byte that stands at a sequence number.
fn byte_at(seq: u32) -> u8 {
    (seq.wrapping_mul(2_654_435_761) >> 24) as u8
}

fn segment(direction: Direction, tcp: (u32, u32, u8), len: u32, cut: u32, ordinal: u64) -> Segment {
    let (seq, ack, flags) = tcp;
    let kept = len.saturating_sub(cut);
    Segment {
        direction,
        tcp: TcpHeader {
            seq,
            ack,
            flags: TcpFlags(flags),
            window: 65_535,
            scale: WindowScale::UNKNOWN,
        },
        payload: (0..kept)
            .map(|at| byte_at(seq.wrapping_add(at)))
            .collect::<Vec<u8>>()
            .into(),
        wire_len: len,
        ts: Timestamp::from_nanos(ordinal as i64 * 1_000_000),
        ordinal,
    }
}

/// What was handed on so far.
struct Seen {
    base: u32,
    /// Whether the sequence number of offset 0 is known.
    known: bool,
    next: [u64; 2],
}

impl Seen {
    fn take(&mut self, events: &mut Vec<Event>) {
        for event in events.drain(..) {
            match event {
                Event::Chunk(chunk) => {
                    let side = usize::from(chunk.direction == SIDES[1]);
                    assert_eq!(chunk.offset, self.next[side], "chunks follow each other");
                    assert!(!chunk.bytes.is_empty());
                    self.next[side] += chunk.bytes.len() as u64;
                    if self.known {
                        self.compare(chunk.offset, &chunk.bytes);
                    }
                }
                Event::Gap(gap) => {
                    let side = usize::from(gap.direction == SIDES[1]);
                    assert_eq!(gap.offset, self.next[side], "gaps follow what was there");
                    assert!(gap.len > 0);
                    self.next[side] += gap.len;
                }
                Event::Fin(_) | Event::Rst(_) => {}
            }
        }
    }

    fn compare(&self, offset: u64, bytes: &Bytes) {
        for (at, byte) in bytes.iter().enumerate() {
            let seq = self
                .base
                .wrapping_add(1)
                .wrapping_add((offset + at as u64) as u32);
            assert_eq!(
                *byte,
                byte_at(seq),
                "the byte at offset {}",
                offset + at as u64
            );
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let mut reader = Reader::new(input);
    let (Ok(base), Ok(kinds)) = (reader.u32(), reader.u8()) else {
        return;
    };
    let budget = Budget::new(HELD);
    let policies = OverlapPolicy::ALL;
    let (policy, ..) = policies[usize::from(kinds >> 1) % policies.len()];
    let mut reassembly = Reassembly::with_policy(budget.clone(), policy);
    let mut events = Vec::new();
    let mut seen = Seen {
        base,
        known: kinds & 1 == 1,
        next: [0; 2],
    };
    if seen.known {
        let open = (base, 0, TcpFlags::SYN);
        reassembly.push(segment(SIDES[0], open, 0, 0, 0), &mut events);
        let accept = (base, base.wrapping_add(1), TcpFlags::SYN | TcpFlags::ACK);
        reassembly.push(segment(SIDES[1], accept, 0, 0, 1), &mut events);
    }
    let mut ordinal = 2;
    while let (Ok(kind), Ok(start), Ok(ack), Ok(len)) =
        (reader.u8(), reader.u16(), reader.u16(), reader.u8())
    {
        ordinal += 1;
        if kind >> 4 == 14 {
            let bytes = reassembly.state().to_bytes();
            let state = State::from_bytes(&bytes).expect("a saved state can be read");
            reassembly = Reassembly::resume(&state, budget.clone(), policy);
            continue;
        }
        let mut flags = 0;
        for (bit, flag) in [(1, TcpFlags::ACK), (2, TcpFlags::FIN)] {
            if kind >> bit & 1 == 1 {
                flags |= flag;
            }
        }
        if kind >> 4 == 15 {
            flags |= TcpFlags::RST;
        }
        let first = base.wrapping_add(1);
        let tcp = (
            first.wrapping_add(start.into()),
            first.wrapping_add(ack.into()),
            flags,
        );
        let cut = if kind & 8 != 0 { 7 } else { 0 };
        let direction = SIDES[usize::from(kind & 1)];
        reassembly.push(
            segment(direction, tcp, len.into(), cut, ordinal),
            &mut events,
        );
        seen.take(&mut events);
        assert!(budget.used() >= reassembly.held_bytes());
    }
    reassembly.finish(Timestamp::from_nanos(ordinal as i64), ordinal, &mut events);
    seen.take(&mut events);
    assert_eq!(reassembly.held_bytes(), 0, "at the end nothing is held");
    drop(reassembly);
    assert_eq!(budget.used(), 0, "what was held is given back");
});
