//! Opens tunnels: from the transport of an outer packet to the IP header of the packet inside.
//!
//! In: the outer packet's IP protocol and port, and the bytes behind its headers. Out: what tunnel
//! it is, and where the inner IP header stands; `None` when the content does not fit or carries no
//! IP. Never: allocation, a guess by content on a port that is not listed.
//! Standards: RFC 7348 (VXLAN), draft-ietf-nvo3-vxlan-gpe-13, RFC 8926 (Geneve), RFC 2784 and RFC 2890 (GRE), RFC 2637 (GRE of
//! PPTP), RFC 8086 (GRE in UDP), draft-foschiano-erspan-03, 3GPP TS 29.281 (GTP-U), RFC 2003,
//! RFC 2473, RFC 4213 (IP in IP), RFC 4023 and RFC 7510 (MPLS in IP and UDP).

use crate::bytes::Reader;
use crate::packet::TunnelKind;
use crate::packet::link::{self, Inside, Network};

/// Tunnels within each other that are opened; a mirror port of an overlay of a virtual machine's
/// overlay has three.
pub(super) const MAX_TUNNELS: usize = 8;

/// GTP-U extension headers that are passed over; TS 29.281 defines six.
const MAX_GTP_EXTENSIONS: usize = 8;

const IPV4: u8 = 4;
const IPV6: u8 = 41;
const GRE: u8 = 47;
const MPLS: u8 = 137;

const GTP_U_PORT: u16 = 2152;
const GRE_PORT: u16 = 4754;
/// The port that IANA gave, and the one that Linux used before, as Flannel still does.
const VXLAN_PORTS: [u16; 2] = [4789, 8472];
const VXLAN_GPE_PORT: u16 = 4790;
const GENEVE_PORT: u16 = 6081;
const MPLS_PORT: u16 = 6635;

const ETHERTYPE_ETHERNET: u16 = 0x6558;
const ETHERTYPE_PPP: u16 = 0x880b;
const ETHERTYPE_ERSPAN_2: u16 = 0x88be;
const ETHERTYPE_ERSPAN_3: u16 = 0x22eb;

/// Destination ports of UDP, and IP protocols, that may carry a tunnel.
pub(crate) const CARRIERS: (&[u16], &[u8]) = (
    &[
        GTP_U_PORT,
        GRE_PORT,
        VXLAN_PORTS[0],
        VXLAN_PORTS[1],
        VXLAN_GPE_PORT,
        GENEVE_PORT,
        MPLS_PORT,
    ],
    &[IPV4, IPV6, GRE, MPLS],
);

/// A tunnel that was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) kind: TunnelKind,
    pub(super) id: Option<u32>,
    /// Where the inner IP header stands, counted from the start of `bytes`.
    pub(super) network: Network,
}

/// Opens what an IP protocol carries at `start` of `bytes`.
pub(super) fn over_ip(protocol: u8, bytes: &[u8], start: usize) -> Option<Opened> {
    let mut reader = Reader::new(bytes);
    reader.skip(start).ok()?;
    match protocol {
        IPV4 | IPV6 => {
            let network = link::inside(reader, Inside::Ip)?;
            Some(Opened {
                kind: TunnelKind::IpInIp,
                id: None,
                network,
            })
        }
        GRE => gre(reader),
        MPLS => mpls(reader),
        _ => None,
    }
}

/// Whether datagrams to `port` may be of a tunnel.
pub(super) fn is_port(port: u16) -> bool {
    matches!(
        port,
        GTP_U_PORT | GRE_PORT | VXLAN_GPE_PORT | GENEVE_PORT | MPLS_PORT
    ) || VXLAN_PORTS.contains(&port)
}

/// Opens what a UDP datagram to `port` carries at `start` of `bytes`.
///
/// Only the destination port counts: the sender's is chosen so that paths share the load
/// (RFC 7348 section 4).
pub(super) fn over_udp(port: u16, bytes: &[u8], start: usize) -> Option<Opened> {
    let open = match port {
        GTP_U_PORT => gtp_u,
        GRE_PORT => gre,
        port if VXLAN_PORTS.contains(&port) => vxlan,
        VXLAN_GPE_PORT => vxlan_gpe,
        GENEVE_PORT => geneve,
        MPLS_PORT => mpls,
        _ => return None,
    };
    let mut reader = Reader::new(bytes);
    reader.skip(start).ok()?;
    open(reader)
}

/// RFC 7348 section 5: the I flag must be set; what is reserved is ignored on receipt.
fn vxlan(mut reader: Reader<'_>) -> Option<Opened> {
    const HAS_IDENTIFIER: u8 = 0x08;
    if reader.u8().ok()? & HAS_IDENTIFIER == 0 {
        return None;
    }
    reader.skip(3).ok()?;
    let id = reader.u32().ok()? >> 8;
    Some(Opened {
        kind: TunnelKind::Vxlan,
        id: Some(id),
        network: link::inside(reader, Inside::Ethernet)?,
    })
}

/// draft-ietf-nvo3-vxlan-gpe-13 section 3: the P flag says that the header names what follows.
fn vxlan_gpe(reader: Reader<'_>) -> Option<Opened> {
    const NEXT_PROTOCOL: u8 = 0x04;
    let mut header = reader;
    if header.u8().ok()? & NEXT_PROTOCOL == 0 {
        return vxlan(reader);
    }
    header.skip(2).ok()?;
    let inside = match header.u8().ok()? {
        1 | 2 => Inside::Ip,
        3 => Inside::Ethernet,
        5 => Inside::Labels,
        _ => return None,
    };
    let id = header.u32().ok()? >> 8;
    Some(Opened {
        kind: TunnelKind::Vxlan,
        id: Some(id),
        network: link::inside(header, inside)?,
    })
}

/// RFC 8926 section 3.4: version 0, options counted in four octets, then the payload's EtherType.
fn geneve(mut reader: Reader<'_>) -> Option<Opened> {
    let front = reader.u8().ok()?;
    if front >> 6 != 0 {
        return None;
    }
    reader.skip(1).ok()?;
    let ethertype = reader.u16().ok()?;
    let id = reader.u32().ok()? >> 8;
    reader.skip(usize::from(front & 0x3f) * 4).ok()?;
    Some(Opened {
        kind: TunnelKind::Geneve,
        id: Some(id),
        network: link::inside(reader, payload_of(ethertype))?,
    })
}

fn payload_of(ethertype: u16) -> Inside {
    match ethertype {
        ETHERTYPE_ETHERNET => Inside::Ethernet,
        other => Inside::EtherType(other),
    }
}

/// RFC 2784 section 2.1 with the key and sequence number of RFC 2890; version 1 is that of PPTP.
fn gre(mut reader: Reader<'_>) -> Option<Opened> {
    const CHECKSUM: u16 = 0x8000;
    const ROUTING: u16 = 0x4000;
    const KEY: u16 = 0x2000;
    const SEQUENCE: u16 = 0x1000;
    const ACKNOWLEDGMENT: u16 = 0x0080;
    const VERSION: u16 = 0x0007;
    let flags = reader.u16().ok()?;
    let ethertype = reader.u16().ok()?;
    // RFC 2784 section 2.3: packets with routing are to be discarded.
    if flags & VERSION > 1 || flags & ROUTING != 0 {
        return None;
    }
    if flags & CHECKSUM != 0 {
        reader.skip(4).ok()?;
    }
    let mut id = match flags & KEY {
        0 => None,
        _ => Some(reader.u32().ok()?),
    };
    let in_sequence = flags & SEQUENCE != 0;
    if in_sequence {
        reader.skip(4).ok()?;
    }
    if flags & VERSION == 1 && flags & ACKNOWLEDGMENT != 0 {
        reader.skip(4).ok()?;
    }
    let mut kind = TunnelKind::Gre;
    let inside = match ethertype {
        ETHERTYPE_PPP => Inside::Ppp,
        ETHERTYPE_ERSPAN_2 => {
            kind = TunnelKind::Erspan;
            // Type I has neither sequence number nor header of its own.
            if in_sequence {
                id = Some(reader.u32().ok()? & 0x03ff);
                reader.skip(4).ok()?;
            }
            Inside::Ethernet
        }
        ETHERTYPE_ERSPAN_3 => {
            kind = TunnelKind::Erspan;
            id = Some(reader.u32().ok()? & 0x03ff);
            reader.skip(6).ok()?;
            let field = reader.u16().ok()?;
            // The last bit says that a platform subheader follows.
            if field & 1 != 0 {
                reader.skip(8).ok()?;
            }
            // Bits 1 to 5: the frame type, Ethernet or IP.
            match field >> 10 & 0x1f {
                0 => Inside::Ethernet,
                2 => Inside::Ip,
                _ => return None,
            }
        }
        other => payload_of(other),
    };
    Some(Opened {
        kind,
        id,
        network: link::inside(reader, inside)?,
    })
}

fn mpls(reader: Reader<'_>) -> Option<Opened> {
    let mut network = link::inside(reader, Inside::Labels)?;
    // The labels are those of this tunnel.
    let id = network.carrier.take().map(|(_, label)| label);
    Some(Opened {
        kind: TunnelKind::Mpls,
        id,
        network,
    })
}

/// TS 29.281 section 5: a G-PDU carries a packet, all other messages are about the tunnel.
fn gtp_u(mut reader: Reader<'_>) -> Option<Opened> {
    /// Version 1, protocol type GTP.
    const VERSION: u8 = 0x30;
    const VERSION_BITS: u8 = 0xf0;
    const EXTENSION: u8 = 0x04;
    const OPTIONAL_FIELDS: u8 = 0x07;
    const G_PDU: u8 = 255;
    let flags = reader.u8().ok()?;
    if flags & VERSION_BITS != VERSION || reader.u8().ok()? != G_PDU {
        return None;
    }
    reader.skip(2).ok()?;
    let id = reader.u32().ok()?;
    if flags & OPTIONAL_FIELDS != 0 {
        reader.skip(3).ok()?;
        let mut next = reader.u8().ok()?;
        if flags & EXTENSION == 0 {
            next = 0;
        }
        let mut passed = 0;
        while next != 0 {
            passed += 1;
            // The length counts four octets, the last of them says what comes next.
            let len = usize::from(reader.u8().ok()?) * 4;
            if passed > MAX_GTP_EXTENSIONS {
                return None;
            }
            reader.skip(len.checked_sub(2)?).ok()?;
            next = reader.u8().ok()?;
        }
    }
    Some(Opened {
        kind: TunnelKind::GtpU,
        id: Some(id),
        network: link::inside(reader, Inside::Ip)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::link::IpVersion;

    /// A header in front of what looks like an IPv4 header.
    fn opened(open: impl Fn(&[u8]) -> Option<Opened>, front: &[u8]) -> Option<(Opened, usize)> {
        let bytes = [front, &[0x45; 40]].concat();
        open(&bytes).map(|opened| (opened, front.len()))
    }

    fn holds(found: Option<(Opened, usize)>, kind: TunnelKind, id: Option<u32>) {
        let (found, offset) = found.expect("it is a tunnel");
        assert_eq!((found.kind, found.id), (kind, id));
        assert_eq!(
            (found.network.version, found.network.offset),
            (IpVersion::V4, offset)
        );
    }

    const ETHERNET: [u8; 14] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];

    #[test]
    fn each_header_leads_to_the_packet_inside() {
        let over = |protocol: u8| move |bytes: &[u8]| over_ip(protocol, bytes, 0);
        let udp = |port: u16| move |bytes: &[u8]| over_udp(port, bytes, 0);
        let front = |header: &[u8]| [header, &ETHERNET].concat();
        holds(opened(over(IPV4), &[]), TunnelKind::IpInIp, None);
        // RFC 7348 with something in the reserved fields.
        let vxlan = front(&[0x88, 1, 2, 3, 0, 0, 107, 9]);
        for port in VXLAN_PORTS {
            holds(opened(udp(port), &vxlan), TunnelKind::Vxlan, Some(107));
        }
        holds(
            opened(udp(VXLAN_GPE_PORT), &[0x0c, 0, 0, 1, 0, 0, 107, 0]),
            TunnelKind::Vxlan,
            Some(107),
        );
        let options = [1, 0, 0x65, 0x58, 0, 0, 7, 0, 1, 2, 3, 0];
        holds(
            opened(udp(GENEVE_PORT), &front(&options)),
            TunnelKind::Geneve,
            Some(7),
        );
        holds(
            opened(udp(GENEVE_PORT), &[0, 0, 8, 0, 0, 0, 7, 0]),
            TunnelKind::Geneve,
            Some(7),
        );
        holds(opened(over(GRE), &[0, 0, 8, 0]), TunnelKind::Gre, None);
        let all = [0xb0, 0, 8, 0, 1, 1, 0, 0, 0, 0, 0, 5, 0, 0, 0, 9];
        holds(opened(over(GRE), &all), TunnelKind::Gre, Some(5));
        holds(opened(udp(GRE_PORT), &all), TunnelKind::Gre, Some(5));
        // PPTP: key and sequence number, version 1, then PPP.
        let pptp = [
            0x30, 0x01, 0x88, 0x0b, 0, 44, 0, 3, 0, 0, 0, 9, 0xff, 3, 0, 0x21,
        ];
        holds(
            opened(over(GRE), &pptp),
            TunnelKind::Gre,
            Some(44 << 16 | 3),
        );
        let erspan = [0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 1, 8, 3, 0, 0, 0, 0];
        holds(
            opened(over(GRE), &front(&erspan)),
            TunnelKind::Erspan,
            Some(3),
        );
        holds(
            opened(over(GRE), &front(&[0, 0, 0x88, 0xbe])),
            TunnelKind::Erspan,
            None,
        );
        let three = [
            0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 1, 8, 4, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5,
            6, 7, 8,
        ];
        holds(
            opened(over(GRE), &front(&three)),
            TunnelKind::Erspan,
            Some(4),
        );
        let labels = [0, 1, 0, 64, 0, 2, 1, 64];
        holds(opened(over(MPLS), &labels), TunnelKind::Mpls, Some(32));
        holds(opened(udp(MPLS_PORT), &labels), TunnelKind::Mpls, Some(32));
        let plain = [0x30, 255, 0, 40, 0, 0, 0, 6];
        holds(opened(udp(GTP_U_PORT), &plain), TunnelKind::GtpU, Some(6));
        // The PDU session container of 5G (TS 38.415).
        let container = [0x34, 255, 0, 48, 0, 0, 0, 6, 0, 0, 0, 0x85, 1, 0x10, 9, 0];
        holds(
            opened(udp(GTP_U_PORT), &container),
            TunnelKind::GtpU,
            Some(6),
        );
    }

    #[test]
    fn what_does_not_fit_is_no_tunnel() {
        let bytes = [&[8, 0, 0, 0, 0, 0, 1, 0][..], &ETHERNET, &[0x45; 40]].concat();
        assert!(over_udp(4789, &bytes, 0).is_some());
        assert_eq!(over_udp(4791, &bytes, 0), None, "a port that is not listed");
        let mut unset = bytes.clone();
        unset[0] = 0;
        assert_eq!(over_udp(4789, &unset, 0), None, "no identifier");
        let mut arp = bytes.clone();
        arp[21] = 6;
        assert_eq!(over_udp(4789, &arp, 0), None, "no IP inside");
        assert_eq!(over_udp(4789, &bytes[..20], 0), None, "cut off");
        assert_eq!(over_ip(GRE, &[0x40, 0, 8, 0, 0x45], 0), None, "routing");
        assert_eq!(
            over_udp(GTP_U_PORT, &[0x32, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0], 0),
            None,
            "an echo request of the tunnel itself"
        );
    }
}
