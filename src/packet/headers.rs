//! Reads the headers of a packet, from the link layer to the transport.
//!
//! In: a captured record and its bytes. Out: [`Decoded`]: five-tuple, payload range, TCP fields, all
//! as offsets. IP fragments are put together here, since only a whole datagram has ports.
//! Packets cut by the snaplen are normal: the payload then has fewer bytes captured than on the
//! wire. Checksums are not verified: a sending host records them unfilled.
//! A packet within a tunnel gives the headers of the inner one, down to [`MAX_TUNNELS`].
//! Never: allocation per packet (a completed datagram is one), clocks.
//! Standards: RFC 791, RFC 8200, RFC 4302 (authentication header), RFC 9293, RFC 768.

mod ip;
#[cfg(test)]
mod tests;
mod transport;

use std::net::IpAddr;

use bytes::Bytes;

use self::ip::{Ip, Piece, Upper, read_extensions, read_ip};
use self::transport::{TCP, TransportHeader, UDP, read_transport};
use crate::bytes::Short;
use crate::packet::fragments::{Datagram, Fragment, FragmentCounts, Fragments, Key};
use crate::packet::link::{self, IpVersion, Network};
use crate::packet::tunnel::{self, MAX_TUNNELS};
use crate::packet::{
    Decoded, Endpoint, FiveTuple, Layers, LinkType, Record, Transport, Tunnel, TunnelKind,
};

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

/// Source and destination of the outermost IP header; a fragment has them too.
pub(crate) fn addresses(linktype: LinkType, bytes: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let network = link::find(linktype, bytes).ok()??;
    read_ip(&network, bytes, bytes.len()).map(|ip| (ip.src, ip.dst))
}

/// The common packet, read straight through: TCP or UDP right behind the IP header, neither in
/// pieces nor a tunnel. `None` for any other, also a damaged one.
///
/// What it calls is put in line: measured, the calls cost half as much again.
#[inline]
fn plain(network: &Network, bytes: &[u8], wire_len: usize) -> Option<Layers> {
    let ip = read_ip(network, bytes, wire_len)?;
    if network.carrier.is_some() || ip.fragment.is_some() || !matches!(ip.protocol, TCP | UDP) {
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
    vni: Option<u32>,
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
            carrier: None,
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
        if let Some((kind, id)) = network.carrier {
            self.enter(kind, None, Some(id));
        }
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
        self.enter(opened.kind, Some(outer.tuple), opened.id);
        self.place.depth += 1;
        self.bytes = self
            .bytes
            .get(..payload + read.payload_len)
            .unwrap_or_default();
        self.wire_end = wire_end;
        // As deep as MAX_TUNNELS at most.
        self.ip(opened.network, inner)
    }

    /// What is read next lies in a tunnel.
    fn enter(&mut self, kind: TunnelKind, tuple: Option<FiveTuple>, id: Option<u32>) {
        if matches!(kind, TunnelKind::Vxlan | TunnelKind::Geneve) {
            self.place.vni = id;
        }
        if let Some(tunnels) = &mut self.tunnels {
            let index = u32::try_from(tunnels.len()).ok();
            tunnels.push(Tunnel {
                kind,
                tuple,
                id,
                around: self.place.tunnel,
            });
            self.place.tunnel = index;
        }
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
        vni: place.vni,
        tunnel: place.tunnel,
        datagram: None,
    }
}
