//! Made batches for tests of the spool and of recordings.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::packet::{
    Batch, Decoded, Direction, EndReason, Ended, Endpoint, FiveTuple, Layers, LinkType, Packet,
    Position, Record, StreamId, Transport,
};
use crate::time::Timestamp;

/// Gives batches with rising ordinals; streams are called by letters.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    pub(crate) next: u64,
    batches: u64,
    streams: HashMap<char, StreamId>,
}

/// Time of packet `ordinal`: a millisecond each.
pub(crate) fn time_of(ordinal: u64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000, 0) + Duration::from_millis(ordinal)
}

/// Bytes of packet `ordinal`, different for each.
pub(crate) fn bytes_of(ordinal: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![(ordinal % 251) as u8; len.max(8)];
    bytes[..8].copy_from_slice(&ordinal.to_le_bytes());
    bytes
}

impl Feed {
    pub(crate) fn id(&self, name: char) -> StreamId {
        self.streams[&name]
    }

    /// One packet of `len` bytes for each letter; `-` is a packet of no stream, `.` a fragment.
    pub(crate) fn batch(&mut self, letters: &str, len: usize) -> Batch {
        let mut batch = Batch {
            number: self.batches,
            ..Batch::default()
        };
        self.batches += 1;
        let mut buffer = Vec::new();
        for letter in letters.chars() {
            let ordinal = self.next;
            self.next += 1;
            let bytes = bytes_of(ordinal, len);
            let stream = letter.is_alphabetic().then(|| {
                let id = *self.streams.entry(letter).or_insert(StreamId(ordinal));
                (id, Direction::ToServer)
            });
            batch.packets.push(Packet {
                ordinal,
                record: Record {
                    ts: time_of(ordinal),
                    start: buffer.len() as u32,
                    caplen: bytes.len() as u32,
                    len: bytes.len() as u32,
                    linktype: LinkType::ETHERNET,
                    interface: 0,
                    position: Position::default(),
                },
                decoded: match letter {
                    '.' => Decoded::Fragment,
                    '-' => Decoded::NotIp,
                    _ => Decoded::Flow(layers()),
                },
                stream,
            });
            buffer.extend_from_slice(&bytes);
        }
        batch.bytes = buffer.into();
        batch.now = time_of(self.next);
        batch
    }

    /// Says in `batch` that a stream ended; its letter then stands for a new one.
    pub(crate) fn end(&mut self, batch: &mut Batch, name: char) {
        let stream = self.streams.remove(&name).unwrap();
        batch.ended.push(Ended {
            stream,
            reason: EndReason::Fin,
            ordinal: self.next - 1,
        });
    }
}

fn layers() -> Layers {
    let endpoint = |last| Endpoint {
        ip: IpAddr::from([10, 0, 0, last]),
        port: 80,
    };
    Layers {
        tuple: FiveTuple {
            src: endpoint(1),
            dst: endpoint(2),
            transport: Transport::Tcp,
        },
        payload_start: 0,
        payload_len: 0,
        payload_wire_len: 0,
        tcp: None,
        identification: 0,
        udp_checksum: 0,
        vlan: None,
        vni: None,
        tunnel: None,
        datagram: None,
    }
}
