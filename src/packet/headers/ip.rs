//! The IP header and the extension headers behind it.
//!
//! In: bytes and where an IP header begins. Out: addresses, protocol, where the payload lies, and
//! which fragment it is. Never: fragments put together, checksums.
//! Standards: RFC 791, RFC 8200, RFC 4302, RFC 6946.

use std::net::IpAddr;

use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice};

use crate::bytes::Reader;
use crate::packet::link::{IpVersion, Network};

/// IPv6 extension headers that are passed over; RFC 8200 section 4.1 names seven, most once.
const MAX_EXTENSIONS: usize = 16;

pub(super) const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
pub(super) const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const NO_NEXT_HEADER: u8 = 59;
pub(super) const DESTINATION_OPTIONS: u8 = 60;
const MOBILITY: u8 = 135;
const HIP: u8 = 139;
const SHIM6: u8 = 140;

/// What the IP header says.
#[derive(Debug)]
pub(super) struct Ip {
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    pub(super) protocol: u8,
    /// First byte behind the header, within the packet.
    pub(super) start: usize,
    /// End of what was captured of the datagram, padding left out.
    pub(super) end: usize,
    /// Bytes behind the header on the wire.
    pub(super) wire_len: usize,
    /// 0 in IPv6.
    pub(super) identification: u16,
    pub(super) fragment: Option<Piece>,
}

/// Where a fragment belongs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub(super) id: u32,
    pub(super) offset: usize,
    pub(super) more: bool,
}

impl Piece {
    /// Whether the fragment is a whole datagram by itself (RFC 6946).
    pub(super) fn is_atomic(self) -> bool {
        self.offset == 0 && !self.more
    }
}

#[inline(always)]
pub(super) fn read_ip(network: &Network, bytes: &[u8], packet_wire_len: usize) -> Option<Ip> {
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
pub(super) struct Upper {
    pub(super) protocol: u8,
    /// First byte behind them.
    pub(super) start: usize,
    pub(super) fragment: Option<Piece>,
}

/// Passes over extension headers up to the transport or a fragment header; `None` when they are
/// cut off or there are too many.
pub(super) fn read_extensions(protocol: u8, payload: &[u8], wire_len: usize) -> Option<Upper> {
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
