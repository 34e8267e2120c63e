//! Reads the headers of a packet, from the link layer to the transport.
//!
//! In: a captured record and its bytes. Out: [`Decoded`]: five-tuple, payload range, TCP fields, all
//! as offsets. IP fragments are put together here, since only a whole datagram has ports.
//! Packets cut by the snaplen are normal: the payload then has fewer bytes captured than on the
//! wire. Checksums are not verified: a sending host records them unfilled.
//! A packet within a tunnel gives the headers of the inner one, down to [`MAX_TUNNELS`].
//! Never: allocation per packet (a completed datagram is one), clocks.
//! Standards: RFC 791, RFC 8200, RFC 4302 (authentication header), RFC 9293, RFC 768.

use std::net::IpAddr;

use bytes::Bytes;
use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice};

use crate::bytes::{Reader, Short};
use crate::packet::fragments::{Datagram, Fragment, FragmentCounts, Fragments, Key};
use crate::packet::link::{self, IpVersion, Network};
use crate::packet::tunnel::{self, MAX_TUNNELS};
use crate::packet::{
    Decoded, Endpoint, FiveTuple, Layers, LinkType, Record, TcpFlags, TcpHeader, Transport, Tunnel,
};

/// IPv6 extension headers that are passed over; RFC 8200 section 4.1 names seven, most once.
const MAX_EXTENSIONS: usize = 16;

const HOP_BY_HOP: u8 = 0;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const NO_NEXT_HEADER: u8 = 59;
const DESTINATION_OPTIONS: u8 = 60;
const SCTP: u8 = 132;
const MOBILITY: u8 = 135;
const HIP: u8 = 139;
const SHIM6: u8 = 140;

/// What decoding hands out beside the headers.
#[derive(Debug, Default)]
pub struct Found {
    /// Datagrams put together since the batch began; becomes [`Batch::datagrams`](crate::packet::Batch::datagrams).
    pub datagrams: Vec<Bytes>,
    /// Tunnels seen since the batch began; becomes [`Batch::tunnels`](crate::packet::Batch::tunnels).
    pub tunnels: Vec<Tunnel>,
    /// Ordinals of the earlier fragments of the packet decoded last; with that packet's stream they
    /// become [`Batch::adopted`](crate::packet::Batch::adopted). Emptied by each call.
    pub earlier: Vec<u64>,
}

/// Reads packets' headers; keeps the fragments that wait for the rest of their datagram.
#[derive(Debug, Default)]
pub struct Decoder {
    fragments: Fragments,
}

impl Decoder {
    /// A decoder that has seen nothing.
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// What the fragment table met.
    pub fn fragment_counts(&self) -> FragmentCounts {
        self.fragments.counts()
    }

    /// Reads the headers of the packet `ordinal`, whose captured bytes are `bytes`.
    pub fn decode(
        &mut self,
        ordinal: u64,
        record: &Record,
        bytes: &[u8],
        found: &mut Found,
    ) -> Decoded {
        found.earlier.clear();
        let network = match link::find(record.linktype, bytes) {
            Ok(Some(network)) => network,
            Ok(None) => return Decoded::NotIp,
            Err(Short { .. }) => return Decoded::Malformed,
        };
        let wire_len = (record.len as usize).max(bytes.len());
        if let Some(layers) = plain(&network, bytes, wire_len) {
            return Decoded::Flow(layers);
        }
        let mut whole: Option<Datagram> = None;
        let mut step = Walk::new(bytes, wire_len, Some(&mut found.tunnels)).packet(&network);
        // Ends: a fragment within a fragment counts only behind one tunnel more.
        loop {
            let cut = match step {
                Step::Malformed => return Decoded::Malformed,
                Step::Flow(mut layers, _) => {
                    if let Some(datagram) = whole {
                        layers.datagram = u32::try_from(found.datagrams.len()).ok();
                        found.datagrams.push(datagram.bytes);
                    }
                    return Decoded::Flow(layers);
                }
                Step::Fragment(cut) => cut,
            };
            let source = whole.as_ref().map_or(bytes, |datagram| &datagram.bytes[..]);
            let fragment = Fragment {
                ordinal,
                ts: record.ts,
                offset: cut.piece.offset,
                more: cut.piece.more,
                protocol: cut.protocol,
                bytes: source.get(cut.start..cut.end).unwrap_or_default(),
                wire_len: cut.wire_len,
            };
            let Some(datagram) = self.fragments.add(cut.key, &fragment, &mut found.earlier) else {
                return Decoded::Fragment;
            };
            let mut walk = Walk::new(&datagram.bytes, datagram.wire_len, Some(&mut found.tunnels));
            walk.place = cut.place;
            step = walk.datagram(cut.key.src, cut.key.dst, datagram.protocol);
            whole = Some(datagram);
        }
    }
}

/// Reads the headers of a packet that is no fragment, and keeps nothing: the layers, and where the
/// innermost IP header stands. The layers name no tunnel.
pub(crate) fn peek(linktype: LinkType, bytes: &[u8]) -> Option<(Layers, Network)> {
    let network = link::find(linktype, bytes).ok()??;
    if let Some(layers) = plain(&network, bytes, bytes.len()) {
        return Some((layers, network));
    }
    match Walk::new(bytes, bytes.len(), None).packet(&network) {
        Step::Flow(layers, network) => Some((layers, network)),
        Step::Fragment(_) | Step::Malformed => None,
    }
}

/// The common packet, read straight through: TCP or UDP right behind the IP header, neither in
/// pieces nor a tunnel. `None` for any other, also a damaged one.
///
/// What it calls is put in line: measured, the calls cost half as much again.
#[inline]
fn plain(network: &Network, bytes: &[u8], wire_len: usize) -> Option<Layers> {
    let ip = read_ip(network, bytes, wire_len)?;
    if ip.fragment.is_some() || !matches!(ip.protocol, TCP | UDP) {
        return None;
    }
    let segment = bytes.get(ip.start..ip.end)?;
    let read = read_transport(ip.protocol, segment, ip.wire_len)?;
    if ip.protocol == UDP && tunnel::is_port(read.dst_port) {
        return None;
    }
    let place = Place {
        vlan: network.vlan,
        ..Place::default()
    };
    Some(layers(&ip, &place, &read, ip.start))
}

/// How far reading the headers came.
enum Step {
    /// To the transport, behind the IP header that stands there.
    Flow(Layers, Network),
    Fragment(Cut),
    Malformed,
}

/// A fragment on the way.
struct Cut {
    key: Key,
    piece: Piece,
    protocol: u8,
    /// First byte of the fragment's payload.
    start: usize,
    end: usize,
    wire_len: usize,
    place: Place,
}

/// What lies around the headers that are read.
#[derive(Debug, Default, Clone, Copy)]
struct Place {
    vlan: Option<u16>,
    tunnel: Option<u32>,
    depth: usize,
}

/// Goes through the headers of a packet or datagram, and of what it carries.
struct Walk<'a> {
    bytes: &'a [u8],
    /// Where `bytes` would end had nothing been cut off.
    wire_end: usize,
    place: Place,
    tunnels: Option<&'a mut Vec<Tunnel>>,
}

impl<'a> Walk<'a> {
    fn new(bytes: &'a [u8], wire_end: usize, tunnels: Option<&'a mut Vec<Tunnel>>) -> Walk<'a> {
        Walk {
            bytes,
            wire_end,
            place: Place::default(),
            tunnels,
        }
    }

    /// From an IP header on.
    fn packet(mut self, network: &Network) -> Step {
        match read_ip(network, self.bytes, self.wire_end) {
            Some(ip) => self.ip(*network, ip),
            None => Step::Malformed,
        }
    }

    /// From behind the IP header of a datagram that was put together.
    fn datagram(mut self, src: IpAddr, dst: IpAddr, protocol: u8) -> Step {
        let version = match src {
            IpAddr::V4(_) => IpVersion::V4,
            IpAddr::V6(_) => IpVersion::V6,
        };
        // The header itself is not among the bytes.
        let network = Network {
            version,
            offset: 0,
            vlan: None,
        };
        let ip = Ip {
            src,
            dst,
            protocol,
            start: 0,
            end: self.bytes.len(),
            wire_len: self.wire_end,
            identification: 0,
            fragment: None,
        };
        // A fragment within a fragment is nothing that a host sends.
        match read_extensions(protocol, self.bytes, self.wire_end) {
            Some(upper) if upper.fragment.is_none() => self.upper(network, ip, &upper),
            _ => Step::Malformed,
        }
    }

    fn ip(&mut self, network: Network, ip: Ip) -> Step {
        let payload = self.bytes.get(ip.start..ip.end).unwrap_or_default();
        let Some(upper) = read_extensions(ip.protocol, payload, ip.wire_len) else {
            return Step::Malformed;
        };
        self.place.vlan = network.vlan.or(self.place.vlan);
        match ip.fragment.or(upper.fragment) {
            Some(piece) if !piece.is_atomic() => Step::Fragment(Cut {
                key: Key {
                    src: ip.src,
                    dst: ip.dst,
                    id: piece.id,
                    protocol: match network.version {
                        IpVersion::V4 => ip.protocol,
                        IpVersion::V6 => 0,
                    },
                    vlan: self.place.vlan,
                },
                piece,
                protocol: upper.protocol,
                start: ip.start + upper.start,
                end: ip.end,
                wire_len: ip.wire_len.saturating_sub(upper.start),
                place: self.place,
            }),
            _ => self.upper(network, ip, &upper),
        }
    }

    /// From behind the extension headers on: the transport, or the packet that it carries.
    fn upper(&mut self, network: Network, ip: Ip, upper: &Upper) -> Step {
        let start = ip.start + upper.start;
        let segment = self.bytes.get(start..ip.end).unwrap_or_default();
        let wire_len = ip.wire_len.saturating_sub(upper.start);
        let Some(read) = read_transport(upper.protocol, segment, wire_len) else {
            return Step::Malformed;
        };
        let outer = layers(&ip, &self.place, &read, start);
        let payload = start + read.header_len;
        let opened = match read.transport {
            Transport::Tcp => None,
            _ if self.place.depth >= MAX_TUNNELS => None,
            Transport::Udp => tunnel::over_udp(
                read.dst_port,
                self.bytes
                    .get(..payload + read.payload_len)
                    .unwrap_or_default(),
                payload,
            ),
            Transport::Other(protocol) => tunnel::over_ip(
                protocol,
                self.bytes.get(..ip.end).unwrap_or_default(),
                payload,
            ),
        };
        let wire_end = payload + read.payload_wire_len;
        let inner = opened.and_then(|opened| {
            let bytes = self.bytes.get(..payload + read.payload_len)?;
            Some((opened, read_ip(&opened.network, bytes, wire_end)?))
        });
        // What carries no IP stays a packet of the tunnel's own flow.
        let Some((opened, inner)) = inner else {
            return Step::Flow(outer, network);
        };
        if let Some(tunnels) = &mut self.tunnels {
            let index = u32::try_from(tunnels.len()).ok();
            tunnels.push(Tunnel {
                kind: opened.kind,
                tuple: outer.tuple,
                id: opened.id,
                around: self.place.tunnel,
            });
            self.place.tunnel = index;
        }
        self.place.depth += 1;
        self.bytes = self
            .bytes
            .get(..payload + read.payload_len)
            .unwrap_or_default();
        self.wire_end = wire_end;
        // As deep as MAX_TUNNELS at most.
        self.ip(opened.network, inner)
    }
}

/// Puts the parts together; `start` is where the transport header begins.
#[inline(always)]
fn layers(ip: &Ip, place: &Place, read: &TransportHeader, start: usize) -> Layers {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    Layers {
        tuple: FiveTuple {
            src: Endpoint {
                ip: ip.src,
                port: read.src_port,
            },
            dst: Endpoint {
                ip: ip.dst,
                port: read.dst_port,
            },
            transport: read.transport,
        },
        payload_start: number(start + read.header_len),
        payload_len: number(read.payload_len),
        payload_wire_len: number(read.payload_wire_len),
        tcp: read.tcp,
        identification: ip.identification,
        udp_checksum: read.udp_checksum,
        vlan: place.vlan,
        tunnel: place.tunnel,
        datagram: None,
    }
}

/// What the IP header says.
#[derive(Debug)]
struct Ip {
    src: IpAddr,
    dst: IpAddr,
    protocol: u8,
    /// First byte behind the header, within the packet.
    start: usize,
    /// End of what was captured of the datagram, padding left out.
    end: usize,
    /// Bytes behind the header on the wire.
    wire_len: usize,
    /// 0 in IPv6.
    identification: u16,
    fragment: Option<Piece>,
}

/// Where a fragment belongs.
#[derive(Debug, Clone, Copy)]
struct Piece {
    id: u32,
    offset: usize,
    more: bool,
}

impl Piece {
    /// Whether the fragment is a whole datagram by itself (RFC 6946).
    fn is_atomic(self) -> bool {
        self.offset == 0 && !self.more
    }
}

#[inline(always)]
fn read_ip(network: &Network, bytes: &[u8], packet_wire_len: usize) -> Option<Ip> {
    let rest = bytes.get(network.offset..)?;
    let wire = packet_wire_len.checked_sub(network.offset)?;
    // The length field tells padding from payload. Zero stands in packets that the sending host
    // hands to its network card for cutting (and in jumbograms, RFC 2675): all counts then. No
    // packet holds more than the wire did, whatever its header says.
    let bounded = |header_len: usize, total: usize| {
        let wire_len = total.min(wire).checked_sub(header_len)?;
        let start = network.offset + header_len;
        Some((start, bytes.len().min(start + wire_len), wire_len))
    };
    match network.version {
        IpVersion::V4 => {
            let header = Ipv4HeaderSlice::from_slice(rest).ok()?;
            let header_len = header.slice().len();
            let total = match header.total_len() {
                0 => wire,
                total => usize::from(total),
            };
            let (start, end, wire_len) = bounded(header_len, total)?;
            let offset = usize::from(header.fragments_offset().value()) * 8;
            let more = header.more_fragments();
            Some(Ip {
                src: header.source_addr().into(),
                dst: header.destination_addr().into(),
                protocol: header.protocol().0,
                start,
                end,
                wire_len,
                identification: header.identification(),
                fragment: (offset > 0 || more).then_some(Piece {
                    id: header.identification().into(),
                    offset,
                    more,
                }),
            })
        }
        IpVersion::V6 => {
            let header = Ipv6HeaderSlice::from_slice(rest).ok()?;
            let header_len = header.slice().len();
            let protocol = header.next_header().0;
            let total = match header.payload_length() {
                0 if protocol != NO_NEXT_HEADER => wire,
                payload => header_len + usize::from(payload),
            };
            let (start, end, wire_len) = bounded(header_len, total)?;
            Some(Ip {
                src: header.source_addr().into(),
                dst: header.destination_addr().into(),
                protocol,
                start,
                end,
                wire_len,
                identification: 0,
                fragment: None,
            })
        }
    }
}

/// Where the extension headers end.
#[derive(Debug)]
struct Upper {
    protocol: u8,
    /// First byte behind them.
    start: usize,
    fragment: Option<Piece>,
}

/// Passes over extension headers up to the transport or a fragment header; `None` when they are
/// cut off or there are too many.
fn read_extensions(protocol: u8, payload: &[u8], wire_len: usize) -> Option<Upper> {
    let mut reader = Reader::new(payload);
    let mut protocol = protocol;
    for _ in 0..=MAX_EXTENSIONS {
        let unit = match protocol {
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS | MOBILITY | HIP | SHIM6 => 8,
            // RFC 4302 section 2.2: counted in 32-bit words, minus two.
            AUTHENTICATION => 4,
            FRAGMENT => {
                let next = reader.u8().ok()?;
                reader.skip(1).ok()?;
                let field = reader.u16().ok()?;
                let piece = Piece {
                    id: reader.u32().ok()?,
                    offset: usize::from(field & 0xfff8),
                    more: field & 1 != 0,
                };
                protocol = next;
                if piece.is_atomic() {
                    continue;
                }
                return Some(Upper {
                    protocol,
                    start: reader.offset(),
                    fragment: Some(piece),
                });
            }
            _ => {
                return (reader.offset() <= wire_len).then_some(Upper {
                    protocol,
                    start: reader.offset(),
                    fragment: None,
                });
            }
        };
        let next = reader.u8().ok()?;
        let count = usize::from(reader.u8().ok()?);
        let len = if unit == 4 {
            (count + 2) * 4
        } else {
            (count + 1) * 8
        };
        reader.skip(len - 2).ok()?;
        protocol = next;
    }
    None
}

/// What the transport header says.
#[derive(Debug)]
struct TransportHeader {
    transport: Transport,
    src_port: u16,
    dst_port: u16,
    header_len: usize,
    payload_len: usize,
    payload_wire_len: usize,
    tcp: Option<TcpHeader>,
    udp_checksum: u16,
}

/// Reads a transport header; `None` when its fixed part was cut off or contradicts itself.
///
/// The payload of SCTP begins behind the ports, with the verification tag and the checksum that its
/// association needs (RFC 9260 section 3.1); that of protocols without ports behind the IP headers.
#[inline(always)]
fn read_transport(protocol: u8, segment: &[u8], wire_len: usize) -> Option<TransportHeader> {
    let mut reader = Reader::new(segment);
    match protocol {
        TCP => {
            let (src_port, dst_port) = (reader.u16().ok()?, reader.u16().ok()?);
            let (seq, ack) = (reader.u32().ok()?, reader.u32().ok()?);
            let header_len = usize::from(reader.u8().ok()? >> 4) * 4;
            let flags = TcpFlags(reader.u8().ok()?);
            let window = reader.u16().ok()?;
            // Checksum and urgent pointer: the fixed part must be there, the options need not.
            reader.skip(4).ok()?;
            let payload_wire_len = wire_len.checked_sub(header_len)?;
            if header_len < reader.offset() {
                return None;
            }
            Some(TransportHeader {
                transport: Transport::Tcp,
                src_port,
                dst_port,
                header_len: header_len.min(segment.len()),
                payload_len: segment.len().saturating_sub(header_len),
                payload_wire_len,
                tcp: Some(TcpHeader {
                    seq,
                    ack,
                    flags,
                    window,
                }),
                udp_checksum: 0,
            })
        }
        UDP => {
            let (src_port, dst_port) = (reader.u16().ok()?, reader.u16().ok()?);
            let len = usize::from(reader.u16().ok()?);
            let udp_checksum = reader.u16().ok()?;
            let header_len = reader.offset();
            // Zero: a jumbogram (RFC 2675), or left for the network card to fill.
            let len = if len == 0 {
                wire_len
            } else {
                len.min(wire_len)
            };
            let payload_wire_len = len.checked_sub(header_len)?;
            Some(TransportHeader {
                transport: Transport::Udp,
                src_port,
                dst_port,
                header_len,
                payload_len: reader.left().min(payload_wire_len),
                payload_wire_len,
                tcp: None,
                udp_checksum,
            })
        }
        SCTP => {
            let (src_port, dst_port) = (reader.u16().ok()?, reader.u16().ok()?);
            let header_len = reader.offset();
            reader.skip(8).ok()?;
            Some(TransportHeader {
                transport: Transport::SCTP,
                src_port,
                dst_port,
                header_len,
                payload_len: segment.len().saturating_sub(header_len),
                payload_wire_len: wire_len.checked_sub(header_len)?,
                tcp: None,
                udp_checksum: 0,
            })
        }
        other => Some(TransportHeader {
            transport: Transport::Other(other),
            src_port: 0,
            dst_port: 0,
            header_len: 0,
            payload_len: segment.len(),
            payload_wire_len: wire_len,
            tcp: None,
            udp_checksum: 0,
        }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::packet::{MAX_SNAPLEN, TunnelKind};
    use crate::time::Timestamp;

    fn record(linktype: LinkType, bytes: &[u8], len: usize) -> Record {
        Record {
            ts: Timestamp::from_secs(1, 0),
            start: 0,
            caplen: bytes.len() as u32,
            len: len as u32,
            linktype,
            interface: 0,
            position: Default::default(),
        }
    }

    fn decode(linktype: LinkType, bytes: &[u8], len: usize) -> Decoded {
        Decoder::new().decode(
            0,
            &record(linktype, bytes, len),
            bytes,
            &mut Found::default(),
        )
    }

    fn flow(decoded: Decoded) -> Layers {
        match decoded {
            Decoded::Flow(layers) => layers,
            other => panic!("{other:?}"),
        }
    }

    fn ipv4(total: u16, protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![0x45, 0];
        out.extend_from_slice(&total.to_be_bytes());
        out.extend_from_slice(&[0, 9]);
        out.extend_from_slice(&fragment.to_be_bytes());
        out.extend_from_slice(&[64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        out.extend_from_slice(payload);
        out
    }

    fn ipv6(next: u8, payload_len: u16, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![0x60, 0, 0, 0];
        out.extend_from_slice(&payload_len.to_be_bytes());
        out.extend_from_slice(&[next, 64]);
        out.extend_from_slice(&[1; 16]);
        out.extend_from_slice(&[2; 16]);
        out.extend_from_slice(payload);
        out
    }

    fn tcp(payload: &[u8]) -> Vec<u8> {
        let mut out = vec![
            0x30, 0x39, 0, 80, 0, 0, 0, 7, 0, 0, 0, 9, 0x60, 0x18, 1, 0, 0, 0, 0, 0,
        ];
        out.extend_from_slice(&[1, 1, 1, 1]);
        out.extend_from_slice(payload);
        out
    }

    fn udp(len: u16, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![0, 53, 0, 54];
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(payload);
        out
    }

    #[test]
    fn ethernet_padding_is_no_payload() {
        let mut bytes = ipv4(44, TCP, 0, &tcp(b""));
        bytes.extend_from_slice(&[0; 6]);
        let layers = flow(decode(LinkType::IPV4, &bytes, bytes.len()));
        assert_eq!((layers.payload_len, layers.payload_wire_len), (0, 0));
        assert_eq!(layers.tuple.src.to_string(), "10.0.0.1:12345");
        assert_eq!(layers.tcp.map(|tcp| (tcp.seq, tcp.ack)), Some((7, 9)));
    }

    #[test]
    fn a_cut_packet_keeps_its_length_on_the_wire() {
        let bytes = ipv4(144, TCP, 0, &tcp(b"GET"));
        let layers = flow(decode(LinkType::RAW, &bytes, 144));
        assert_eq!((layers.payload_len, layers.payload_wire_len), (3, 100));
        assert_eq!(layers.payload_start, 44);
    }

    #[test]
    fn cut_tcp_options_still_give_the_flow() {
        let bytes = ipv4(144, TCP, 0, &tcp(b"")[..21]);
        let layers = flow(decode(LinkType::RAW, &bytes, 144));
        assert_eq!((layers.payload_len, layers.payload_wire_len), (0, 100));
        assert_eq!(layers.payload_start as usize, bytes.len());
    }

    #[test]
    fn a_total_length_of_zero_takes_what_was_captured() {
        let bytes = ipv4(0, TCP, 0, &tcp(&[7; 70_000]));
        let layers = flow(decode(LinkType::RAW, &bytes, bytes.len()));
        assert_eq!(layers.payload_len, 70_000);
        let bytes = ipv6(TCP, 0, &tcp(&[7; 70_000]));
        let layers = flow(decode(LinkType::RAW, &bytes, bytes.len()));
        assert_eq!(layers.payload_wire_len, 70_000);
    }

    #[test]
    fn extension_headers_are_passed_over() {
        let mut payload = vec![DESTINATION_OPTIONS, 0, 0, 0, 0, 0, 0, 0];
        payload.extend_from_slice(&[FRAGMENT, 1]);
        payload.extend_from_slice(&[0; 14]);
        // An atomic fragment is a whole datagram.
        payload.extend_from_slice(&[UDP, 0, 0, 0, 0, 0, 0, 1]);
        payload.extend_from_slice(&udp(11, b"abc"));
        let bytes = ipv6(HOP_BY_HOP, payload.len() as u16, &payload);
        let layers = flow(decode(LinkType::RAW, &bytes, bytes.len()));
        assert_eq!((layers.payload_start, layers.payload_len), (80, 3));
        assert_eq!(layers.tuple.transport, Transport::Udp);
    }

    #[test]
    fn a_chain_of_extension_headers_ends() {
        let payload = [0; 8 * 40];
        let bytes = ipv6(HOP_BY_HOP, payload.len() as u16, &payload);
        assert_eq!(
            decode(LinkType::RAW, &bytes, bytes.len()),
            Decoded::Malformed
        );
    }

    #[test]
    fn tagged_fragments_become_one_datagram() {
        let whole = udp(8 + 24, b"012345670123456701234567");
        let mut front = vec![0; 12];
        front.extend_from_slice(&[0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 8, 0]);
        let mut decoder = Decoder::new();
        let mut found = Found::default();
        let pieces = [(0u16, true, &whole[..16]), (16, false, &whole[16..])];
        let mut last = Decoded::NotIp;
        for (ordinal, (offset, more, bytes)) in pieces.into_iter().enumerate() {
            let field = (offset / 8) | (u16::from(more) << 13);
            let mut packet = front.clone();
            packet.extend(ipv4(20 + bytes.len() as u16, UDP, field, bytes));
            let record = record(LinkType::ETHERNET, &packet, packet.len());
            last = decoder.decode(ordinal as u64 + 4, &record, &packet, &mut found);
            assert_eq!(ordinal == 0, last == Decoded::Fragment);
        }
        let layers = flow(last);
        assert_eq!((layers.datagram, layers.vlan), (Some(0), Some(2)));
        assert_eq!(found.earlier, [4]);
        assert_eq!(found.datagrams[0][8..], *b"012345670123456701234567");
    }

    #[test]
    fn lengths_that_contradict_each_other_are_malformed() {
        let bytes = ipv4(10, TCP, 0, &tcp(b""));
        assert_eq!(decode(LinkType::RAW, &bytes, 44), Decoded::Malformed);
        let bytes = ipv4(28, UDP, 0, &udp(5, b""));
        assert_eq!(decode(LinkType::RAW, &bytes, 28), Decoded::Malformed);
    }

    /// An Ethernet frame in VXLAN network `id`, behind the headers of `outer`.
    fn vxlan(id: u8, inner: &[u8]) -> Vec<u8> {
        let mut out = vec![8, 0, 0, 0, 0, 0, id, 0];
        out.extend_from_slice(&[0; 12]);
        out.extend_from_slice(&[8, 0]);
        out.extend_from_slice(inner);
        let mut datagram = udp(8 + out.len() as u16, &out);
        datagram[2..4].copy_from_slice(&4789u16.to_be_bytes());
        datagram
    }

    #[test]
    fn a_fragmented_tunnel_gives_the_flow_inside() {
        let inner = ipv4(44, TCP, 0, &tcp(b""));
        let whole = vxlan(7, &inner);
        let mut decoder = Decoder::new();
        let mut found = Found::default();
        let mut last = Decoded::NotIp;
        for (ordinal, range) in [0..32, 32..whole.len()].into_iter().enumerate() {
            let more = u16::from(ordinal == 0) << 13;
            let part = &whole[range.clone()];
            let field = (range.start as u16 / 8) | more;
            let packet = ipv4(20 + part.len() as u16, UDP, field, part);
            let record = record(LinkType::RAW, &packet, packet.len());
            last = decoder.decode(ordinal as u64, &record, &packet, &mut found);
        }
        let layers = flow(last);
        assert_eq!(layers.tuple.transport, Transport::Tcp);
        assert_eq!((layers.datagram, layers.tunnel), (Some(0), Some(0)));
        assert_eq!(found.earlier, [0]);
        assert_eq!(found.datagrams.len(), 1);
        let tunnel = found.tunnels[0];
        assert_eq!((tunnel.kind, tunnel.id), (TunnelKind::Vxlan, Some(7)));
        assert_eq!(tunnel.tuple.dst.port, 4789);
        assert_eq!(layers.payload_start as usize, whole.len());
    }

    #[test]
    fn tunnels_within_tunnels_are_opened_to_a_cap() {
        let mut bytes = ipv4(44, TCP, 0, &tcp(b""));
        for depth in 1..MAX_TUNNELS + 4 {
            bytes = ipv4(20 + bytes.len() as u16, 4, 0, &bytes);
            let mut found = Found::default();
            let record = record(LinkType::RAW, &bytes, bytes.len());
            let layers = flow(Decoder::new().decode(0, &record, &bytes, &mut found));
            assert_eq!(found.tunnels.len(), depth.min(MAX_TUNNELS));
            let whole = depth <= MAX_TUNNELS;
            assert_eq!(layers.tuple.transport == Transport::Tcp, whole);
            let batch = crate::packet::Batch {
                tunnels: found.tunnels,
                ..Default::default()
            };
            let packet = crate::packet::Packet {
                ordinal: 0,
                record,
                decoded: Decoded::Flow(layers),
                stream: None,
            };
            assert_eq!(batch.tunnels_of(&packet).count(), depth.min(MAX_TUNNELS));
        }
    }

    #[test]
    fn a_cut_packet_within_a_tunnel_keeps_its_length_on_the_wire() {
        let inner = ipv4(144, TCP, 0, &tcp(&[7; 100]));
        let outer = vxlan(7, &inner);
        let bytes = ipv4(20 + outer.len() as u16, UDP, 0, &outer);
        let cut = &bytes[..bytes.len() - 90];
        let layers = flow(decode(LinkType::RAW, cut, bytes.len()));
        assert_eq!((layers.payload_len, layers.payload_wire_len), (10, 100));
    }

    const LINKTYPES: [u16; 10] = [0, 1, 12, 14, 101, 108, 113, 228, 239, 276];

    proptest! {
        #[test]
        fn payload_lies_within_the_packet_whatever_the_bytes(
            linktype in prop::sample::select(&LINKTYPES[..]),
            front in prop::sample::select(vec![
                vec![],
                vec![0x45],
                vec![0x60, 0, 0, 0, 0, 40],
                [&[0; 12][..], &[8, 0, 0x45, 0]].concat(),
                [&[0; 12][..], &[0x86, 0xdd, 0x60]].concat(),
                [&[0; 12][..], &[0x81, 0, 0, 1, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 60, 44]].concat(),
                ipv4(0, 47, 0, &[0x30, 0, 0x88, 0xbe]),
                ipv4(0, 47, 0, &[0, 0, 8, 0, 0x45]),
                ipv4(0, 4, 0, &ipv6(41, 0, &[0x60])),
                ipv4(0, UDP, 0, &vxlan(1, &[0x45, 0])),
                ipv4(0, UDP, 0, &[0, 1, 8, 104, 0, 0, 0, 0, 0x34, 255, 0, 0, 0, 0, 0, 1]),
                ipv4(0, UDP, 0, &[0, 1, 0x17, 0xc1, 0, 0, 0, 0, 1, 0, 0x65, 0x58]),
            ]),
            tail in prop::collection::vec(any::<u8>(), 0..200),
            more in 0usize..MAX_SNAPLEN as usize,
        ) {
            let bytes = [front, tail].concat();
            let record = record(LinkType(linktype), &bytes, bytes.len() + more);
            let mut found = Found::default();
            let decoded = Decoder::new().decode(0, &record, &bytes, &mut found);
            if let Decoded::Flow(layers) = decoded {
                let whole = match layers.datagram {
                    Some(index) => found.datagrams[index as usize].len(),
                    None => bytes.len(),
                };
                prop_assert!((layers.payload_start + layers.payload_len) as usize <= whole);
                prop_assert!(layers.payload_len <= layers.payload_wire_len);
            }
        }
    }
}
