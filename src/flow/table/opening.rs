//! Who opened a stream, by its first packet.
//!
//! In: the headers of that packet. Out: the stream's two sides, and how they were told apart. Never:
//! anything of later packets. Standard: RFC 9293 section 3.5; for conversations without a connection,
//! and captures that begin within one, the ports.

use crate::flow::{Opening, StreamInfo};
use crate::packet::{FiveTuple, Layers, StreamId, StreamName, TcpFlags, TcpHeader, Transport};
use crate::time::Timestamp;

/// What is known of a stream at its first packet.
pub(super) struct Opened {
    /// The stream.
    pub info: StreamInfo,
    /// Whether that packet is from the client.
    pub from_client: bool,
    /// Whether the rest is from an earlier reading.
    pub is_resumed: bool,
}

impl Opened {
    /// What the packet tells, or what an earlier reading knew.
    pub(super) fn of(
        ordinal: u64,
        ts: Timestamp,
        layers: &Layers,
        resumed: Option<&StreamInfo>,
    ) -> Opened {
        let FiveTuple {
            src,
            dst,
            transport,
        } = layers.tuple;
        let name = StreamName {
            stream: StreamId(ordinal),
            transport,
        };
        if let Some(resumed) = resumed {
            return Opened {
                info: StreamInfo { name, ..*resumed },
                from_client: src == resumed.client,
                is_resumed: true,
            };
        }
        let (opening, from_client) = guess_opening(&layers.tuple, layers.tcp.as_ref());
        let (client, server) = if from_client { (src, dst) } else { (dst, src) };
        Opened {
            info: StreamInfo {
                name,
                client,
                server,
                opening,
                first: ts,
            },
            from_client,
            is_resumed: false,
        }
    }
}

/// Tells client from server by the first packet; true when its sender is the client.
pub(super) fn guess_opening(tuple: &FiveTuple, tcp: Option<&TcpHeader>) -> (Opening, bool) {
    const WELL_KNOWN: u16 = 1024;
    let (src, dst) = (tuple.src.port, tuple.dst.port);
    if let Some(tcp) = tcp {
        if tcp.flags.has(TcpFlags::SYN | TcpFlags::ACK) {
            return (Opening::SynAck, false);
        }
        if tcp.flags.has(TcpFlags::SYN) {
            return (Opening::Syn, true);
        }
        return match dst.cmp(&src) {
            std::cmp::Ordering::Less => (Opening::Port, true),
            std::cmp::Ordering::Equal => (Opening::FirstPacket, true),
            std::cmp::Ordering::Greater => (Opening::Port, false),
        };
    }
    // Without a connection the first packet mostly is the question, unless it comes from a
    // well-known port.
    match (src < WELL_KNOWN, dst < WELL_KNOWN) {
        _ if tuple.transport != Transport::Udp => (Opening::FirstPacket, true),
        (true, false) => (Opening::Port, false),
        (false, true) => (Opening::Port, true),
        _ => (Opening::FirstPacket, true),
    }
}
