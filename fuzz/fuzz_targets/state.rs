//! Any bytes as the saved state of a dissector or of a whole stream, as a reel may hold them: refused,
//! or good to go on with and to be saved again.
//!
//! ```text
//! input = protocol u8 (the environment's goes first), opening u8 (bit 7: the state of a whole
//!         stream), length of the state u16 big-endian, state, steps as in `Play::input`
//! ```

#![no_main]

use std::sync::OnceLock;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tapedeck::dissect::{Conversation, Protocol, Protocols};
use tapedeck::flow::{Budget, StreamInfo};
use tapedeck::packet::{
    Decoded, Direction, EndReason, FiveTuple, Layers, LinkType, Packet, Position, Record, TcpFlags,
    TcpHeader, Transport, WindowScale,
};
use tapedeck::time::Timestamp;
use tapedeck_fuzz::{Play, SIDES, Shows, chosen, picked, records, stream};

/// Bytes that may wait behind holes: little, so that the cap is met.
const HELD: usize = 4096;

static CHOSEN: OnceLock<Option<&'static dyn Protocol>> = OnceLock::new();

fuzz_target!(
    init: {
        CHOSEN.get_or_init(chosen);
    },
    |input: &[u8]| {
        let [protocol, opening, high, low, rest @ ..] = input else {
            return;
        };
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (state, steps) = rest.split_at(length);
        let protocol = CHOSEN.get().copied().flatten().unwrap_or_else(|| picked(*protocol));
        for transport in protocol.transports() {
            let info = stream(*transport, *opening);
            if opening & 0x80 != 0 {
                conversation(&info, state, steps);
            } else if let Some(dissector) = protocol.restore(&info.into(), state) {
                let mut play = Play::new(info, &Protocols::all(), protocol, dissector);
                play.hand_on();
                play.input(steps);
            }
        }
    }
);

fn conversation(info: &StreamInfo, state: &[u8], steps: &[u8]) {
    let protocols = Protocols::all();
    let budget = Budget::new(HELD);
    let Some(mut restored) = Conversation::restore(info, &protocols, &budget, state) else {
        return;
    };
    let saved = restored.save();
    assert!(
        Conversation::restore(info, &protocols, &budget, &saved).is_some(),
        "a saved state is its own"
    );
    let mut out = Shows::default();
    for (ordinal, (kind, bytes)) in records(steps).enumerate() {
        let direction = SIDES[usize::from(kind & 1)];
        let [high, low, payload @ ..] = bytes else {
            continue;
        };
        let seq = u32::from(u16::from_be_bytes([*high, *low]));
        let packet = packet(info, direction, seq, payload.len(), ordinal as u64);
        restored.packet(&packet, Bytes::copy_from_slice(payload), &mut out);
    }
    restored.end(EndReason::SourceEnd, &mut out);
}

fn packet(info: &StreamInfo, direction: Direction, seq: u32, len: usize, ordinal: u64) -> Packet {
    let tuple = FiveTuple {
        src: info.client,
        dst: info.server,
        transport: info.name.transport,
    };
    Packet {
        ordinal,
        record: Record {
            ts: Timestamp::from_nanos(ordinal as i64),
            start: 0,
            caplen: len as u32,
            len: len as u32,
            linktype: LinkType::RAW,
            interface: 0,
            position: Position::default(),
        },
        decoded: Decoded::Flow(Layers {
            tuple: match direction {
                Direction::ToServer => tuple,
                Direction::ToClient => tuple.reversed(),
            },
            payload_start: 0,
            payload_len: len as u32,
            payload_wire_len: len as u32,
            tcp: (info.name.transport == Transport::Tcp).then_some(TcpHeader {
                seq,
                ack: 0,
                flags: TcpFlags(0),
                window: 0,
                scale: WindowScale::UNKNOWN,
            }),
            identification: 0,
            udp_checksum: 0,
            vlan: None,
            vni: None,
            tunnel: None,
            datagram: None,
        }),
        stream: Some((info.name.stream, direction)),
    }
}
