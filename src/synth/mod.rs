//! Made traffic: conversations as Ethernet frames, for tests, the demo and benches.
//!
//! In: who says what. Out: [`Frame`]s with right lengths, checksums, sequence numbers and times,
//! as a batch of records or as a savefile. Never: clocks, chance; the same calls give the same bytes.
//!
//! ```
//! use tapedeck::synth;
//!
//! let frames = synth::tcp(([10, 0, 0, 1], 40000), ([10, 0, 0, 2], 80))
//!     .to_server("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
//!     .to_client("HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n")
//!     .gap(40)
//!     .to_client("the last twenty byte")
//!     .fin();
//! assert_eq!(frames.len(), 3 + 6 + 3);
//! ```

mod tcp;
mod tunnel;
mod udp;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use etherparse::{PacketBuilder, PacketBuilderStep};

use crate::packet::{Direction, LinkType, Position, Record};
use crate::time::Timestamp;

pub use tcp::{Tcp, tcp};
pub use tunnel::vxlan;
pub use udp::{Udp, udp};

/// When made traffic begins unless [`Tcp::at`] or [`Udp::at`] says otherwise.
pub const START: Timestamp = Timestamp::from_secs(1_706_933_106, 0);

/// Time between two packets of a conversation.
pub const STEP: Duration = Duration::from_micros(200);

/// One packet as a network card would hand it over, beginning with its Ethernet header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// When it was captured.
    pub ts: Timestamp,
    /// Bytes captured.
    pub bytes: Vec<u8>,
    /// Bytes on the wire.
    pub len: u32,
}

impl Frame {
    fn new(ts: Timestamp, bytes: Vec<u8>) -> Frame {
        Frame {
            ts,
            len: length(&bytes),
            bytes,
        }
    }
}

/// Puts several conversations together in the order of time; frames of equal time keep their order.
pub fn merge(conversations: impl IntoIterator<Item = Vec<Frame>>) -> Vec<Frame> {
    let mut all: Vec<Frame> = conversations.into_iter().flatten().collect();
    all.sort_by_key(|frame| frame.ts);
    all
}

/// Cuts each frame to `snaplen` bytes, as a capture with that snapshot length does.
pub fn truncate(frames: &mut [Frame], snaplen: usize) {
    for frame in frames {
        frame.bytes.truncate(snaplen);
    }
}

/// The frames as a source would hand them on: their bytes in one buffer, and a record each.
///
/// Positions are those of [`savefile`].
pub fn records(frames: &[Frame]) -> (Vec<u8>, Vec<Record>) {
    let mut bytes = Vec::new();
    let mut records = Vec::with_capacity(frames.len());
    let mut offset = FILE_HEADER;
    for frame in frames {
        let caplen = length(&frame.bytes);
        records.push(Record {
            ts: frame.ts,
            start: length(&bytes),
            caplen,
            len: frame.len,
            linktype: LinkType::ETHERNET,
            interface: 0,
            position: Position { file: 0, offset },
        });
        bytes.extend_from_slice(&frame.bytes);
        offset += RECORD_HEADER + u64::from(caplen);
    }
    (bytes, records)
}

const FILE_HEADER: u64 = 24;
const RECORD_HEADER: u64 = 16;

/// The frames as a libpcap savefile with nanoseconds, least significant byte first.
pub fn savefile(frames: &[Frame]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&0xa1b2_3c4d_u32.to_le_bytes());
    out.extend_from_slice(&2_u16.to_le_bytes());
    out.extend_from_slice(&4_u16.to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&crate::packet::MAX_SNAPLEN.to_le_bytes());
    out.extend_from_slice(&u32::from(LinkType::ETHERNET.0).to_le_bytes());
    for frame in frames {
        let seconds = u32::try_from(frame.ts.secs()).unwrap_or(u32::MAX);
        out.extend_from_slice(&seconds.to_le_bytes());
        out.extend_from_slice(&frame.ts.subsec_nanos().to_le_bytes());
        out.extend_from_slice(&length(&frame.bytes).to_le_bytes());
        out.extend_from_slice(&frame.len.to_le_bytes());
        out.extend_from_slice(&frame.bytes);
    }
    out
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// The two ends of a conversation, and its time.
#[derive(Debug, Clone)]
struct Wire {
    client: SocketAddr,
    server: SocketAddr,
    now: Timestamp,
    frames: Vec<Frame>,
}

impl Wire {
    fn new(client: SocketAddr, server: SocketAddr) -> Wire {
        Wire {
            client,
            server,
            now: START,
            frames: Vec::new(),
        }
    }

    fn ends(&self, direction: Direction) -> (SocketAddr, SocketAddr) {
        match direction {
            Direction::ToServer => (self.client, self.server),
            Direction::ToClient => (self.server, self.client),
        }
    }

    /// Link and network header; an IPv4 address among IPv6 ones is written in its mapped form.
    fn headers(&self, direction: Direction) -> PacketBuilderStep<etherparse::IpHeaders> {
        const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
        const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
        const TTL: u8 = 64;
        let (src, dst) = self.ends(direction);
        let link = match direction {
            Direction::ToServer => PacketBuilder::ethernet2(CLIENT_MAC, SERVER_MAC),
            Direction::ToClient => PacketBuilder::ethernet2(SERVER_MAC, CLIENT_MAC),
        };
        match (src.ip(), dst.ip()) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => link.ipv4(src.octets(), dst.octets(), TTL),
            (src, dst) => link.ipv6(octets(src), octets(dst), TTL),
        }
    }

    fn put(&mut self, bytes: Vec<u8>) {
        self.frames.push(Frame::new(self.now, bytes));
        self.now = self.now + STEP;
    }
}

fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

#[cfg(test)]
mod tests {
    use etherparse::{SlicedPacket, TransportSlice};

    use super::*;

    #[test]
    fn checksums_and_lengths_are_right() {
        let v4 = tcp(([10, 0, 0, 1], 40000), ([10, 0, 0, 2], 80))
            .to_server("odd")
            .fin();
        let v6 = udp(([1, 2, 3, 4, 5, 6, 7, 8], 40000), ([9; 8], 53))
            .to_server("question")
            .to_client("answer")
            .end();
        for frame in v4.iter().chain(&v6) {
            let packet = SlicedPacket::from_ethernet(&frame.bytes).unwrap();
            match packet.transport.unwrap() {
                TransportSlice::Tcp(tcp) => {
                    let sum = tcp
                        .calc_checksum_ipv4([10, 0, 0, 1], [10, 0, 0, 2])
                        .unwrap();
                    assert_eq!(sum, tcp.checksum());
                }
                TransportSlice::Udp(udp) => {
                    assert_eq!(usize::from(udp.length()), 8 + udp.payload().len());
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn positions_point_at_the_records_of_the_savefile() {
        let frames = udp(([10, 0, 0, 1], 40000), ([10, 0, 0, 2], 53))
            .to_server("question")
            .to_client("answer")
            .end();
        let (bytes, records) = records(&frames);
        let file = savefile(&frames);
        for record in &records {
            let at = record.position.offset as usize + 16;
            let start = record.start as usize;
            let len = record.caplen as usize;
            assert_eq!(file[at..at + len], bytes[start..start + len]);
        }
    }
}
