//! Second sights of one packet on several interfaces.
//!
//! In: packets of a cooked capture (`any`), where one packet appears on the pod's interface, the
//! bridge and the network card, or outgoing and incoming; and packets of a file with several
//! interfaces. Out: whether a packet was already handed on. Never: a packet of the same interface and
//! direction left out, so retransmissions stay.
//! A packet is known by what does not change on its way: addresses, identification, ports, sequence
//! numbers, the first bytes of the payload; not the TTL nor checksums, which are filled on the way,
//! nor the tunnel that it leaves the node in.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use crate::packet::link::{self, IpVersion};
use crate::packet::{LinkType, Transport, headers};
use crate::time::Timestamp;

/// Time within which two sights are of one packet; forwarding within a host takes microseconds,
/// more when its queues are full.
pub(crate) const WINDOW: Duration = Duration::from_millis(500);

/// Packets remembered in each of two generations; at a million packets a second the window then
/// shrinks to 65 ms, still long for one host.
const MAX_REMEMBERED: usize = 65_536;

/// Interfaces on which one packet is followed.
const MAX_SIGHTS: usize = 6;

/// Payload bytes that tell packets apart: DNS identifiers, HTTP request lines.
const PAYLOAD_BYTES: usize = 64;

/// Recently seen packets.
///
/// A packet is let through when its own interface and direction has now seen more copies of it than
/// any other had before: copies on other interfaces are then second sights, and a copy on the same
/// one is a retransmission.
#[derive(Debug, Default)]
pub(crate) struct Duplicates {
    hasher: ahash::RandomState,
    young: HashMap<u64, Sights, ahash::RandomState>,
    old: HashMap<u64, Sights, ahash::RandomState>,
    /// When the generations last changed places.
    turned: Timestamp,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sights {
    /// Interface and direction, and how often it saw the packet; unused ones are zero.
    places: [(Place, u16); MAX_SIGHTS],
    most: u16,
    last: Timestamp,
}

/// Interface index and packet type as the cooked header tells them, else the interface of the file.
type Place = (u32, u8);

impl Duplicates {
    /// A memory for a capture that can see a packet twice, of several interfaces or a cooked one;
    /// `None` for one that cannot.
    pub(crate) fn of_capture(linktype: LinkType, several_interfaces: bool) -> Option<Duplicates> {
        let cooked = matches!(linktype, LinkType::LINUX_SLL | LinkType::LINUX_SLL2);
        (cooked || several_interfaces).then(Duplicates::default)
    }

    /// Whether another interface already showed this packet; `interface` is its own, where no cooked
    /// header tells it.
    pub(crate) fn is_second_sight(
        &mut self,
        linktype: LinkType,
        interface: u32,
        bytes: &[u8],
        ts: Timestamp,
    ) -> bool {
        let Some(place) = place(linktype, interface, bytes) else {
            return false;
        };
        let Some(identity) = self.identity(linktype, bytes) else {
            return false;
        };
        if ts.since(self.turned) > WINDOW || self.young.len() >= MAX_REMEMBERED {
            self.old = std::mem::take(&mut self.young);
            self.turned = ts;
        }
        let before = self.old.remove(&identity).unwrap_or_default();
        let sights = self.young.entry(identity).or_insert(before);
        // Files that were merged may go back in time.
        if ts.since(sights.last) > WINDOW || sights.last.since(ts) > WINDOW {
            *sights = Sights::default();
        }
        sights.last = ts;
        let Some((_, count)) = sights
            .places
            .iter_mut()
            .find(|(known, count)| *known == place || *count == 0)
            .map(|slot| {
                slot.0 = place;
                slot.1 = slot.1.saturating_add(1);
                *slot
            })
        else {
            // More interfaces than are followed: it has surely been seen.
            return true;
        };
        if count > sights.most {
            sights.most = count;
            return false;
        }
        true
    }

    /// What stays the same of a packet on its way; `None` for what is not IP.
    fn identity(&self, linktype: LinkType, bytes: &[u8]) -> Option<u64> {
        let peeked = headers::peek(linktype, bytes);
        let network = match &peeked {
            // The network card shows in a tunnel what the pod's interface showed plain.
            Some((_, innermost)) => *innermost,
            None => link::find(linktype, bytes).ok()??,
        };
        let ip = bytes.get(network.offset..)?;
        let mut hasher = self.hasher.build_hasher();
        match network.version {
            IpVersion::V4 => {
                // Length, identification, fragment; then protocol; then addresses.
                hasher.write(ip.get(2..8)?);
                hasher.write(ip.get(9..10)?);
                hasher.write(ip.get(12..20)?);
            }
            IpVersion::V6 => {
                // Length and next header; then addresses.
                hasher.write(ip.get(4..7)?);
                hasher.write(ip.get(8..40)?);
            }
        }
        match peeked {
            Some((layers, _)) => {
                hasher.write_u16(layers.tuple.src.port);
                hasher.write_u16(layers.tuple.dst.port);
                if let Some(tcp) = layers.tcp {
                    hasher.write_u32(tcp.seq);
                    hasher.write_u32(tcp.ack);
                    hasher.write_u8(tcp.flags.0);
                    hasher.write_u16(tcp.window);
                }
                let mut start = layers.payload_start as usize;
                match layers.tuple.transport {
                    Transport::ICMP | Transport::ICMPV6 => {
                        // Type, code, checksum: the last is no part of it.
                        hasher.write(bytes.get(start..start + 2)?);
                        start += 4;
                    }
                    Transport::SCTP => {
                        // Verification tag and checksum likewise.
                        hasher.write(bytes.get(start..start + 4)?);
                        start += 8;
                    }
                    _ => {}
                }
                let end = (layers.payload_start + layers.payload_len) as usize;
                let end = end.min(start + PAYLOAD_BYTES);
                hasher.write(bytes.get(start..end).unwrap_or_default());
            }
            // Fragments: identification and offset are in the header, the rest is payload.
            None => {
                let payload = ip.get(40..).unwrap_or_default();
                hasher.write(payload.get(..PAYLOAD_BYTES).unwrap_or(payload));
            }
        }
        Some(hasher.finish())
    }
}

/// Where a packet was seen; `None` when its cooked header is cut off.
fn place(linktype: LinkType, interface: u32, bytes: &[u8]) -> Option<Place> {
    match linktype {
        LinkType::LINUX_SLL2 => {
            let index = bytes.get(4..8)?.first_chunk::<4>()?;
            Some((u32::from_be_bytes(*index), *bytes.get(10)?))
        }
        // Version 1 names no interface: only outgoing and incoming are told apart.
        LinkType::LINUX_SLL => Some((0, *bytes.get(1)?)),
        _ => Some((interface, 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IN: u8 = 0;
    const OUT: u8 = 4;

    /// A cooked TCP packet.
    fn packet(interface: u32, kind: u8, id: u8, seq: u8, ttl: u8) -> Vec<u8> {
        let mut out = vec![8, 0, 0, 0];
        out.extend_from_slice(&interface.to_be_bytes());
        out.extend_from_slice(&[0, 1, kind, 6, 0, 0, 0, 0, 0, 0, 0, 0]);
        out.extend_from_slice(&[0x45, 0, 0, 43, 0, id, 0, 0, ttl, 6, 9, ttl]);
        out.extend_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
        out.extend_from_slice(&[1, 0, 0, 80, 0, 0, 0, seq, 0, 0, 0, 1]);
        out.extend_from_slice(&[0x50, 0x18, 1, 1, 7, ttl, 0, 0, b'G', b'E', b'T']);
        out
    }

    fn seen(sights: &[(Vec<u8>, i64)]) -> Vec<bool> {
        let mut duplicates = Duplicates::of_capture(LinkType::LINUX_SLL2, false).unwrap();
        sights
            .iter()
            .map(|(bytes, millis)| {
                let ts = Timestamp::from_nanos(millis * 1_000_000);
                duplicates.is_second_sight(LinkType::LINUX_SLL2, 0, bytes, ts)
            })
            .collect()
    }

    #[test]
    fn a_forwarded_packet_counts_once() {
        let sights = [
            (packet(7, IN, 1, 1, 64), 0),
            (packet(3, IN, 1, 1, 64), 0),
            (packet(2, OUT, 1, 1, 63), 1),
        ];
        assert_eq!(seen(&sights), [false, true, true]);
    }

    #[test]
    fn outgoing_and_incoming_on_one_interface_count_once() {
        let sights = [(packet(1, OUT, 1, 1, 64), 0), (packet(1, IN, 1, 1, 64), 0)];
        assert_eq!(seen(&sights), [false, true]);
    }

    #[test]
    fn retransmissions_stay_even_between_second_sights() {
        let sights = [
            (packet(7, IN, 1, 1, 64), 0),
            (packet(7, IN, 1, 1, 64), 1),
            (packet(2, OUT, 1, 1, 63), 2),
            (packet(2, OUT, 1, 1, 63), 3),
            (packet(7, IN, 1, 1, 64), 4),
        ];
        assert_eq!(seen(&sights), [false, false, true, true, false]);
    }

    #[test]
    fn other_segments_and_late_copies_stay() {
        let sights = [
            (packet(7, IN, 1, 1, 64), 0),
            (packet(2, OUT, 2, 1, 64), 0),
            (packet(2, OUT, 1, 2, 64), 0),
            (packet(2, OUT, 1, 1, 64), 1200),
        ];
        assert_eq!(seen(&sights), [false; 4]);
    }

    #[test]
    fn every_segment_of_a_node_capture_is_kept_once() {
        use std::collections::BTreeMap;

        use crate::capture::{Filled, RawBatch, Source, file::FileSource};

        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../shared/captures/k8s/node-any-sll2.pcap"
        );
        let Ok(opened) = std::fs::File::open(path) else {
            println!("skipped: the sample captures are not beside the repository");
            return;
        };
        let mut source = FileSource::new("node", Box::new(opened), 0).unwrap();
        let mut batch = RawBatch::default();
        let mut duplicates = Duplicates::of_capture(LinkType::LINUX_SLL2, false).unwrap();
        // Data segments by tuple, sequence number and length: seen, and kept.
        let mut segments: BTreeMap<String, (u32, u32)> = BTreeMap::new();
        let mut left_out = 0;
        while source.fill(&mut batch).unwrap() != Filled::End {}
        for record in &batch.records {
            let start = record.start as usize;
            let bytes = &batch.bytes[start..start + record.caplen as usize];
            let second = duplicates.is_second_sight(record.linktype, 0, bytes, record.ts);
            left_out += u32::from(second);
            let Some((layers, _)) = headers::peek(record.linktype, bytes) else {
                continue;
            };
            if let Some(tcp) = layers.tcp
                && layers.payload_len > 0
            {
                let name = format!("{:?} {} {}", layers.tuple, tcp.seq, layers.payload_len);
                let (seen, kept) = segments.entry(name).or_default();
                *seen += 1;
                *kept += u32::from(!second);
            }
        }
        // tshark calls 264 of its segments retransmissions; second sights of SYN, FIN and plain
        // acknowledgements come on top.
        assert!(left_out > 264, "{left_out}");
        assert!(segments.values().any(|(seen, _)| *seen > 1));
        let wrong: Vec<_> = segments
            .iter()
            .filter(|(_, (_, kept))| *kept != 1)
            .collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn a_plain_interface_has_no_second_sights() {
        assert!(Duplicates::of_capture(LinkType::ETHERNET, false).is_none());
    }

    #[test]
    fn interfaces_of_a_file_tell_second_sights_of_any_link_type() {
        // The cooked header off, and Ethernet in front.
        let frame = |id: u8, ttl: u8| {
            let packet = packet(0, IN, id, 1, ttl).split_off(20);
            [&[ttl; 12][..], &[8, 0], &packet].concat()
        };
        let mut duplicates = Duplicates::of_capture(LinkType::ETHERNET, true).unwrap();
        let mut seen = |interface: u32, bytes: &[u8], millis: i64| {
            let ts = Timestamp::from_nanos(millis * 1_000_000);
            duplicates.is_second_sight(LinkType::ETHERNET, interface, bytes, ts)
        };
        assert!(!seen(0, &frame(1, 64), 5000));
        assert!(seen(1, &frame(1, 63), 5000));
        // Sent once more: both interfaces show it again.
        assert!(!seen(0, &frame(1, 64), 5100));
        assert!(seen(1, &frame(1, 63), 5100));
        // Another packet, and the same one long before and after.
        assert!(!seen(1, &frame(2, 64), 5100));
        assert!(!seen(1, &frame(1, 63), 2000));
        assert!(!seen(0, &frame(1, 64), 9000));
    }
}
