//! One packet: its payload, addresses and checksums.
//!
//! In: captured bytes. Out: where the transport payload lies; after it was overwritten, the packet
//! with stand-ins for addresses and right checksums. Never: a byte kept that stands behind the
//! payload (trailers hold whatever was in memory), or in a packet whose headers cannot be read.
//! Standards: RFC 1071, RFC 9293, RFC 768, RFC 4443, RFC 9260 appendix A.

use std::net::IpAddr;
use std::ops::Range;

use super::{Captured, Redactor};
use crate::packet::headers::peek;
use crate::packet::link::{self, IpVersion, Network};
use crate::packet::{Layers, LinkType, Transport};

/// A packet whose headers were read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) layers: Layers,
    network: Network,
    /// Where the transport header begins.
    transport: usize,
}

impl Frame {
    /// Reads the headers; `None` for fragments and what is no IP.
    pub(super) fn of(packet: &Captured) -> Option<Frame> {
        if packet.fragment {
            return None;
        }
        let (layers, network) = peek(packet.linktype, &packet.bytes)?;
        let payload = layers.payload_start as usize;
        let transport = match layers.tuple.transport {
            Transport::Udp => payload.checked_sub(8)?,
            Transport::SCTP => payload.checked_sub(4)?,
            Transport::Other(_) => payload,
            Transport::Tcp => tcp_start(&packet.bytes, &layers)?,
        };
        Some(Frame {
            layers,
            network,
            transport,
        })
    }

    /// Where the payload lies.
    pub(super) fn payload(&self) -> Range<usize> {
        let start = self.layers.payload_start as usize;
        start..start + self.layers.payload_len as usize
    }

    /// Ends a packet: what stands behind the payload goes, addresses get stand-ins, checksums are
    /// made again. One that cannot be made since the packet was cut off becomes 0.
    pub(super) fn finish(&self, redactor: &mut Redactor, packet: &mut Captured) {
        let end = self.payload().end;
        if let Some(trailer) = packet.bytes.get_mut(end..) {
            trailer.fill(0);
        }
        let outer = link::find(packet.linktype, &packet.bytes).ok().flatten();
        let outer = outer.filter(|outer| outer.offset != self.network.offset);
        let (mut src, mut dst) = (self.layers.tuple.src.ip, self.layers.tuple.dst.ip);
        if redactor.rule.addresses {
            (src, dst) = (redactor.address(src), redactor.address(dst));
            write_addresses(&mut packet.bytes, self.network.offset, src, dst);
            hide_link(packet.linktype, &mut packet.bytes);
        }
        if let Some(outer) = outer {
            self.finish_outer(redactor, outer, &mut packet.bytes);
        }
        if self.network.version == IpVersion::V4 {
            ip_checksum(&mut packet.bytes, self.network.offset);
        }
        let cut = self.layers.payload_wire_len > self.layers.payload_len;
        self.transport_checksum(&mut packet.bytes, src, dst, cut);
    }

    /// The headers of the tunnel around the packet.
    fn finish_outer(&self, redactor: &mut Redactor, outer: Network, bytes: &mut [u8]) {
        if redactor.rule.addresses
            && let Some((src, dst)) = read_addresses(bytes, outer)
        {
            let (src, dst) = (redactor.address(src), redactor.address(dst));
            write_addresses(bytes, outer.offset, src, dst);
        }
        let (header, protocol) = match outer.version {
            IpVersion::V4 => {
                ip_checksum(bytes, outer.offset);
                let length = usize::from(bytes.get(outer.offset).copied().unwrap_or(0) & 0x0f) * 4;
                (length, bytes.get(outer.offset + 9).copied())
            }
            IpVersion::V6 => (40, bytes.get(outer.offset + 6).copied()),
        };
        // A tunnel over UDP may do without a checksum (RFC 7348, RFC 6935).
        if protocol == Some(17)
            && let Some(field) = bytes.get_mut(outer.offset + header + 6..outer.offset + header + 8)
        {
            field.fill(0);
        }
    }

    fn transport_checksum(&self, bytes: &mut [u8], src: IpAddr, dst: IpAddr, cut: bool) {
        let start = self.transport;
        let end = self.payload().end;
        let (field, protocol) = match self.layers.tuple.transport {
            Transport::Tcp => (16, Some(6)),
            Transport::Udp if self.layers.udp_checksum == 0 => return,
            Transport::Udp => (6, Some(17)),
            Transport::ICMP => (2, None),
            Transport::ICMPV6 => (2, Some(58)),
            Transport::SCTP => return sctp_checksum(bytes, start..end, cut),
            Transport::Other(_) => return,
        };
        let place = start + field..start + field + 2;
        if place.end > end {
            return;
        }
        let Some(target) = bytes.get_mut(place.clone()) else {
            return;
        };
        target.fill(0);
        if cut {
            return;
        }
        let segment = bytes.get(start..end).unwrap_or_default();
        let mut sum = match protocol {
            Some(protocol) => pseudo(src, dst, protocol, segment.len()),
            None => 0,
        };
        sum += words(segment);
        let mut value = fold(sum);
        if value == 0 && self.layers.tuple.transport == Transport::Udp {
            value = 0xffff;
        }
        if let Some(target) = bytes.get_mut(place) {
            target.copy_from_slice(&value.to_be_bytes());
        }
    }
}

/// Overwrites all of a packet behind its IP header, or behind its link-layer header.
pub(super) fn hide_all(redactor: &mut Redactor, packet: &mut Captured) {
    let network = link::find(packet.linktype, &packet.bytes).ok().flatten();
    let keep = match network {
        Some(network) => match network.version {
            IpVersion::V4 => {
                let first = packet.bytes.get(network.offset).copied().unwrap_or(0);
                network.offset + usize::from(first & 0x0f).max(5) * 4
            }
            // A fragment header stays where there is one.
            IpVersion::V6 => {
                let next = packet.bytes.get(network.offset + 6).copied();
                network.offset + if next == Some(44) { 48 } else { 40 }
            }
        },
        None => link_bytes(packet.linktype),
    };
    if let Some(rest) = packet.bytes.get_mut(keep..) {
        rest.fill(0);
    }
    if let Some(network) = network {
        if redactor.rule.addresses
            && let Some((src, dst)) = read_addresses(&packet.bytes, network)
        {
            let (src, dst) = (redactor.address(src), redactor.address(dst));
            write_addresses(&mut packet.bytes, network.offset, src, dst);
            hide_link(packet.linktype, &mut packet.bytes);
        }
        if network.version == IpVersion::V4 {
            ip_checksum(&mut packet.bytes, network.offset);
        }
    }
}

fn link_bytes(linktype: LinkType) -> usize {
    match linktype {
        LinkType::ETHERNET => 14,
        LinkType::LINUX_SLL => 16,
        LinkType::LINUX_SLL2 => 20,
        LinkType::NULL | LinkType::LOOP => 4,
        _ => 0,
    }
}

/// Link-layer addresses tell the same hosts.
fn hide_link(linktype: LinkType, bytes: &mut [u8]) {
    let parts: [Range<usize>; 2] = match linktype {
        LinkType::ETHERNET => [3..6, 9..12],
        LinkType::LINUX_SLL => [6..14, 0..0],
        LinkType::LINUX_SLL2 => [12..20, 0..0],
        _ => [0..0, 0..0],
    };
    for part in parts {
        if let Some(part) = bytes.get_mut(part) {
            part.fill(0);
        }
    }
}

/// Where the TCP header begins: the place from which the fields that were read follow.
fn tcp_start(bytes: &[u8], layers: &Layers) -> Option<usize> {
    let payload = layers.payload_start as usize;
    let tcp = layers.tcp?;
    (5..=15usize)
        .filter_map(|words| payload.checked_sub(words * 4))
        .find(|start| {
            let head = bytes.get(*start..).unwrap_or_default();
            head.get(..2) == Some(&layers.tuple.src.port.to_be_bytes()[..])
                && head.get(2..4) == Some(&layers.tuple.dst.port.to_be_bytes()[..])
                && head.get(4..8) == Some(&tcp.seq.to_be_bytes()[..])
                && head
                    .get(12)
                    .is_some_and(|byte| start + usize::from(byte >> 4) * 4 >= payload)
        })
}

fn read_addresses(bytes: &[u8], network: Network) -> Option<(IpAddr, IpAddr)> {
    let at = network.offset;
    Some(match network.version {
        IpVersion::V4 => {
            let src: [u8; 4] = *bytes.get(at + 12..at + 16)?.first_chunk()?;
            let dst: [u8; 4] = *bytes.get(at + 16..at + 20)?.first_chunk()?;
            (src.into(), dst.into())
        }
        IpVersion::V6 => {
            let src: [u8; 16] = *bytes.get(at + 8..at + 24)?.first_chunk()?;
            let dst: [u8; 16] = *bytes.get(at + 24..at + 40)?.first_chunk()?;
            (src.into(), dst.into())
        }
    })
}

fn write_addresses(bytes: &mut [u8], at: usize, src: IpAddr, dst: IpAddr) {
    let (from, both) = match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            (at + 12, [&src.octets()[..], &dst.octets()].concat())
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => (at + 8, [&src.octets()[..], &dst.octets()].concat()),
        _ => return,
    };
    if let Some(target) = bytes.get_mut(from..from + both.len()) {
        target.copy_from_slice(&both);
    }
}

fn ip_checksum(bytes: &mut [u8], at: usize) {
    let length = usize::from(bytes.get(at).copied().unwrap_or(0) & 0x0f) * 4;
    let Some(header) = bytes.get_mut(at..at + length) else {
        return;
    };
    if let Some(field) = header.get_mut(10..12) {
        field.fill(0);
    }
    let value = fold(words(header));
    if let Some(field) = header.get_mut(10..12) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}

/// Sum of 16-bit words (RFC 1071); 64 bits hold that of any packet.
fn words(bytes: &[u8]) -> u64 {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let whole: u64 = pairs
        .iter()
        .map(|pair| u64::from(u16::from_be_bytes(*pair)))
        .sum();
    whole + rest.first().map_or(0, |byte| u64::from(*byte) << 8)
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn pseudo(src: IpAddr, dst: IpAddr, protocol: u8, length: usize) -> u64 {
    let of = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => words(&ip.octets()),
        IpAddr::V6(ip) => words(&ip.octets()),
    };
    let length = length as u64;
    of(src) + of(dst) + u64::from(protocol) + (length & 0xffff) + (length >> 16)
}

/// CRC32c over the whole packet with its field zero (RFC 9260 appendix A).
fn sctp_checksum(bytes: &mut [u8], part: Range<usize>, cut: bool) {
    let Some(packet) = bytes.get_mut(part) else {
        return;
    };
    let Some(field) = packet.get_mut(8..12) else {
        return;
    };
    field.fill(0);
    if cut {
        return;
    }
    let mut crc = u32::MAX;
    for byte in packet.iter() {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    if let Some(field) = packet.get_mut(8..12) {
        field.copy_from_slice(&(!crc).to_le_bytes());
    }
}
