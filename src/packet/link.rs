//! From the link-layer header to the network header.
//!
//! In: a link type and a packet's bytes, or what a tunnel carries. Out: where the IP header starts,
//! its version, the innermost VLAN tag, and what MPLS or PPPoE it lies in. Tunnels (VXLAN, GRE, ...)
//! are opened in `tunnel`. Never: allocation.
//! Standards: IEEE 802.3, 802.1Q, 802.1ad, RFC 1042 (SNAP), RFC 2516 (PPPoE), RFC 1661 (PPP),
//! RFC 3032 (MPLS), RFC 4448 (Ethernet over MPLS), <https://www.tcpdump.org/linktypes.html>
//! (cooked capture, loopback, raw IP).

mod serial;
mod wireless;

use crate::bytes::{Reader, Short};
use crate::packet::{LinkType, TunnelKind};

/// VLAN tags that are passed over; 802.1ad stacks two, providers three or four.
const MAX_TAGS: usize = 8;

/// MPLS labels that are passed over; more than a handful is never seen in the field.
const MAX_LABELS: usize = 16;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_MPLS: u16 = 0x8847;
const ETHERTYPE_MPLS_MULTICAST: u16 = 0x8848;
const ETHERTYPE_PPPOE_SESSION: u16 = 0x8864;

/// Below it the field of an Ethernet header is a length (IEEE 802.3 section 3.2.6).
const FIRST_ETHERTYPE: u16 = 0x0600;

/// `ARPHRD_` types whose cooked header holds no EtherType: FRAD, GRE, 802.11 with radiotap, netlink.
const ARPHRD_WITHOUT_ETHERTYPE: [u16; 4] = [770, 778, 803, 824];

/// Which IP header follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IpVersion {
    V4,
    V6,
}

/// Where the network layer starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) version: IpVersion,
    /// Offset of the IP header.
    pub(crate) offset: usize,
    /// VLAN identifier of the innermost tag.
    pub(crate) vlan: Option<u16>,
    /// What carries the packet without an IP header of its own: MPLS with the label at the bottom of
    /// the stack, PPPoE with the session.
    pub(crate) carrier: Option<(TunnelKind, u32)>,
}

impl Network {
    fn carried_by(self, kind: TunnelKind, id: u32) -> Network {
        Network {
            carrier: Some((kind, id)),
            ..self
        }
    }
}

/// Packet types of cooked headers: to the machine that captured, and from it (`PACKET_HOST` and
/// `PACKET_OUTGOING` of packet(7)).
const TO_HOST: u16 = 0;
const OUTGOING: u16 = 4;

/// Whether a cooked packet was sent by the machine that captured it; `None` when it was neither sent by it
/// nor for it, or is no cooked one.
pub(crate) fn was_sent(linktype: LinkType, bytes: &[u8]) -> Option<bool> {
    let kind = match linktype {
        LinkType::LINUX_SLL2 => u16::from(*bytes.get(10)?),
        LinkType::LINUX_SLL => u16::from_be_bytes(*bytes.first_chunk()?),
        _ => return None,
    };
    match kind {
        OUTGOING => Some(true),
        TO_HOST => Some(false),
        _ => None,
    }
}

/// Finds the IP header; `None` when the packet carries something else.
#[inline]
pub(crate) fn find(linktype: LinkType, bytes: &[u8]) -> Result<Option<Network>, Short> {
    find_at(linktype, Reader::new(bytes))
}

/// Whether packets of a link type are read at all: they do not end before they begin, or hold IP
/// from the first byte.
pub(crate) fn is_read(linktype: LinkType) -> bool {
    find(linktype, &[]) != Ok(None)
}

/// Finds the IP header from where `reader` stands.
#[inline]
fn find_at(linktype: LinkType, mut reader: Reader<'_>) -> Result<Option<Network>, Short> {
    match linktype {
        LinkType::ETHERNET => {
            reader.skip(12)?;
            ethertype(reader)
        }
        LinkType::LINUX_SLL2 => {
            let protocol = reader.u16()?;
            reader.skip(6)?;
            let arphrd = reader.u16()?;
            reader.skip(10)?;
            cooked(reader, arphrd, protocol)
        }
        LinkType::LINUX_SLL => {
            reader.skip(2)?;
            let arphrd = reader.u16()?;
            reader.skip(10)?;
            let protocol = reader.u16()?;
            cooked(reader, arphrd, protocol)
        }
        LinkType::RAW | LinkType::RAW_BSD | LinkType::RAW_OPENBSD => by_version(reader, None),
        LinkType::IPV4 => Ok(Some(network(IpVersion::V4, reader, None))),
        LinkType::IPV6 => Ok(Some(network(IpVersion::V6, reader, None))),
        LinkType::NULL => {
            // Host byte order of the machine that captured; families are small, so the value that
            // is small tells the order.
            let family = reader.u32_le()?;
            family_of(family.min(family.swap_bytes()), reader)
        }
        LinkType::LOOP => {
            let family = reader.u32()?;
            family_of(family, reader)
        }
        LinkType::NFLOG => nflog(reader),
        _ => find_rare(linktype, reader),
    }
}

#[inline(never)] // Rare: keeps the common way short.
fn find_rare(linktype: LinkType, mut reader: Reader<'_>) -> Result<Option<Network>, Short> {
    match linktype {
        LinkType::PPP | LinkType::PPP_HDLC => serial::ppp_or_hdlc(reader),
        LinkType::PPP_ETHER => serial::pppoe(reader, None),
        LinkType::PPP_WITH_DIR => {
            reader.skip(1)?;
            serial::ppp_or_hdlc(reader)
        }
        LinkType::C_HDLC => serial::hdlc(reader),
        LinkType::C_HDLC_WITH_DIR => {
            reader.skip(1)?;
            serial::hdlc(reader)
        }
        LinkType::FRELAY => serial::frame_relay(reader),
        LinkType::FRELAY_WITH_DIR => {
            reader.skip(1)?;
            serial::frame_relay(reader)
        }
        LinkType::ENC => serial::enc(reader),
        LinkType::IEEE802_11 => wireless::frame(reader, false),
        LinkType::IEEE802_11_RADIOTAP => wireless::radiotap(reader),
        LinkType::IEEE802_11_PRISM => wireless::prism(reader),
        LinkType::IEEE802_11_AVS => wireless::avs(reader),
        LinkType::PPI => wireless::ppi(reader),
        _ => Ok(None),
    }
}

/// What a tunnel carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inside {
    Ethernet,
    EtherType(u16),
    /// IP of the version that its first bits tell.
    Ip,
    /// A stack of MPLS labels.
    Labels,
    Ppp,
}

/// Finds the IP header within a tunnel, from where `reader` stands; offsets count from the start
/// of the reader's slice. `None` when it is cut off or something else is carried.
pub(crate) fn inside(mut reader: Reader<'_>, inside: Inside) -> Option<Network> {
    let found = match inside {
        Inside::Ethernet => reader.skip(12).and_then(|()| ethertype(reader)),
        Inside::EtherType(kind) => protocol(reader, kind),
        Inside::Ip => by_version(reader, None),
        Inside::Labels => labels(reader, None),
        Inside::Ppp => ppp(reader, None),
    };
    found.ok().flatten()
}

fn network(version: IpVersion, at: Reader<'_>, vlan: Option<u16>) -> Network {
    Network {
        version,
        offset: at.offset(),
        vlan,
        carrier: None,
    }
}

fn ethertype(mut reader: Reader<'_>) -> Result<Option<Network>, Short> {
    let ethertype = reader.u16()?;
    if ethertype < FIRST_ETHERTYPE {
        return snap(reader);
    }
    protocol(reader, ethertype)
}

/// Logical link control; only SNAP with an EtherType (RFC 1042) can lead to IP.
fn snap(mut reader: Reader<'_>) -> Result<Option<Network>, Short> {
    let Ok(front) = reader.take(6) else {
        return Ok(None);
    };
    if front != [0xaa, 0xaa, 0x03, 0, 0, 0] {
        return Ok(None);
    }
    let ethertype = reader.u16()?;
    protocol(reader, ethertype)
}

fn cooked(reader: Reader<'_>, arphrd: u16, ethertype: u16) -> Result<Option<Network>, Short> {
    if ARPHRD_WITHOUT_ETHERTYPE.contains(&arphrd) {
        return Ok(None);
    }
    protocol(reader, ethertype)
}

fn protocol(mut reader: Reader<'_>, mut ethertype: u16) -> Result<Option<Network>, Short> {
    let mut vlan = None;
    for _ in 0..=MAX_TAGS {
        match ethertype {
            ETHERTYPE_IPV4 => return Ok(Some(network(IpVersion::V4, reader, vlan))),
            ETHERTYPE_IPV6 => return Ok(Some(network(IpVersion::V6, reader, vlan))),
            // 802.1Q, 802.1ad, and the two values that stacked tags had before 802.1ad.
            0x8100 | 0x88a8 | 0x9100 | 0x9200 => {
                vlan = Some(reader.u16()? & 0x0fff);
                ethertype = reader.u16()?;
            }
            ETHERTYPE_PPPOE_SESSION => return serial::pppoe(reader, vlan),
            ETHERTYPE_MPLS | ETHERTYPE_MPLS_MULTICAST => return labels(reader, vlan),
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// RFC 1661 section 2 and 6.5: address and control may be left out, and the protocol be one octet.
#[inline(never)] // Rare: keeps the common way short.
fn ppp(mut reader: Reader<'_>, vlan: Option<u16>) -> Result<Option<Network>, Short> {
    let mut first = reader.u8()?;
    if first == 0xff {
        reader.skip(1)?;
        first = reader.u8()?;
    }
    let protocol = match first & 1 {
        0 => u16::from(first) << 8 | u16::from(reader.u8()?),
        _ => u16::from(first),
    };
    Ok(match protocol {
        0x0021 => Some(network(IpVersion::V4, reader, vlan)),
        0x0057 => Some(network(IpVersion::V6, reader, vlan)),
        _ => None,
    })
}

#[inline(never)] // Rare: keeps the common way short.
fn labels(mut reader: Reader<'_>, vlan: Option<u16>) -> Result<Option<Network>, Short> {
    for _ in 0..MAX_LABELS {
        // RFC 3032 section 2.1: bit 23 marks the bottom of the stack.
        let entry = reader.u32()?;
        if entry & 0x100 != 0 {
            let found = match by_version(reader, vlan)? {
                None => pseudowire(reader, vlan),
                found => found,
            };
            return Ok(found.map(|found| found.carried_by(TunnelKind::Mpls, entry >> 12)));
        }
    }
    Ok(None)
}

/// Ethernet behind labels, with or without the control word of RFC 4448 section 4.6; nothing tells
/// which, so the EtherType must be one of IP or of a tag in front of it.
fn pseudowire(reader: Reader<'_>, vlan: Option<u16>) -> Option<Network> {
    for front in [12, 4 + 12] {
        let mut at = reader;
        let Ok(ethertype) = at.skip(front).and_then(|()| at.u16()) else {
            continue;
        };
        let leads_to_ip = matches!(ethertype, ETHERTYPE_IPV4 | ETHERTYPE_IPV6 | 0x8100 | 0x88a8);
        if leads_to_ip && let Ok(Some(found)) = protocol_within(at, ethertype, vlan) {
            return Some(found);
        }
    }
    None
}

/// Tags and IP only: labels within labels do not go on for ever.
fn protocol_within(
    mut reader: Reader<'_>,
    mut ethertype: u16,
    mut vlan: Option<u16>,
) -> Result<Option<Network>, Short> {
    for _ in 0..=MAX_TAGS {
        match ethertype {
            ETHERTYPE_IPV4 => return Ok(Some(network(IpVersion::V4, reader, vlan))),
            ETHERTYPE_IPV6 => return Ok(Some(network(IpVersion::V6, reader, vlan))),
            0x8100 | 0x88a8 => {
                vlan = Some(reader.u16()? & 0x0fff);
                ethertype = reader.u16()?;
            }
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// Takes the IP version from the header's first four bits, where nothing in front tells it.
fn by_version(reader: Reader<'_>, vlan: Option<u16>) -> Result<Option<Network>, Short> {
    let mut peek = reader;
    Ok(match peek.u8()? >> 4 {
        4 => Some(network(IpVersion::V4, reader, vlan)),
        6 => Some(network(IpVersion::V6, reader, vlan)),
        _ => None,
    })
}

fn family_of(family: u32, reader: Reader<'_>) -> Result<Option<Network>, Short> {
    match family {
        // AF_INET everywhere; AF_INET6 of Linux, NetBSD and OpenBSD, FreeBSD, macOS.
        2 | 10 | 24 | 28 | 30 => by_version(reader, None),
        _ => Ok(None),
    }
}

/// Attributes in front of the packet, until the one that holds it.
fn nflog(mut reader: Reader<'_>) -> Result<Option<Network>, Short> {
    const PAYLOAD: u16 = 9;
    const MAX_ATTRIBUTES: usize = 64;
    let family = reader.u8()?;
    reader.skip(3)?;
    for _ in 0..MAX_ATTRIBUTES {
        // Host byte order of the machine that captured; every machine that runs it today is
        // little-endian.
        let len = usize::from(reader.u16_le()?);
        let kind = reader.u16_le()?;
        if kind == PAYLOAD {
            return match family {
                2 => Ok(Some(network(IpVersion::V4, reader, None))),
                10 => Ok(Some(network(IpVersion::V6, reader, None))),
                _ => Ok(None),
            };
        }
        let Some(value) = len.checked_sub(4) else {
            return Ok(None);
        };
        reader.skip(value.next_multiple_of(4))?;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(linktype: LinkType, front: &[u8]) -> Option<(IpVersion, usize, Option<u16>)> {
        let mut bytes = front.to_vec();
        bytes.extend_from_slice(&[0x45; 40]);
        find(linktype, &bytes)
            .unwrap()
            .map(|found| (found.version, found.offset, found.vlan))
    }

    #[test]
    fn cooked_packets_tell_who_sent_them() {
        let second = |kind: u8| [8, 0, 0, 0, 0, 0, 0, 7, 0, 1, kind, 6];
        let first = |kind: u8| [0, kind, 0, 1];
        for (kind, wanted) in [(0, Some(false)), (4, Some(true)), (1, None), (3, None)] {
            assert_eq!(was_sent(LinkType::LINUX_SLL2, &second(kind)), wanted);
            assert_eq!(was_sent(LinkType::LINUX_SLL, &first(kind)), wanted);
        }
        assert_eq!(was_sent(LinkType::ETHERNET, &second(4)), None);
        assert_eq!(was_sent(LinkType::LINUX_SLL2, &[8, 0]), None);
    }

    #[test]
    fn the_innermost_of_three_tags_counts() {
        let mut front = vec![0; 12];
        for tag in [
            [0x91, 0x00, 0, 1],
            [0x88, 0xa8, 0, 2],
            [0x81, 0x00, 0xe0, 3],
        ] {
            front.extend_from_slice(&tag);
        }
        front.extend_from_slice(&[0x08, 0x00]);
        assert_eq!(
            at(LinkType::ETHERNET, &front),
            Some((IpVersion::V4, 26, Some(3)))
        );
    }

    #[test]
    fn loopback_families_are_read_in_both_byte_orders() {
        for front in [[2, 0, 0, 0], [0, 0, 0, 2]] {
            assert_eq!(at(LinkType::NULL, &front), Some((IpVersion::V4, 4, None)));
        }
        assert_eq!(at(LinkType::LOOP, &[2, 0, 0, 0]), None);
        assert_eq!(
            at(LinkType::LOOP, &[0, 0, 0, 2]),
            Some((IpVersion::V4, 4, None))
        );
    }

    #[test]
    fn a_netlink_packet_of_a_cooked_capture_is_not_ip() {
        let mut front = vec![0; 16];
        (front[2], front[3], front[14]) = (0x03, 0x38, 0x08);
        assert_eq!(at(LinkType::LINUX_SLL, &front), None);
    }

    #[test]
    fn serial_lines_lead_to_ip() {
        for (linktype, front) in [
            (LinkType::PPP, &[0xff, 0x03, 0x00, 0x21][..]),
            (LinkType::PPP, &[0x21]),
            (LinkType::PPP_HDLC, &[0x0f, 0x00, 0x08, 0x00]),
            (LinkType::PPP_WITH_DIR, &[1, 0xff, 0x03, 0x00, 0x21]),
            (LinkType::PPP_ETHER, &[0x11, 0, 0, 5, 0, 42, 0x00, 0x21]),
            (LinkType::C_HDLC, &[0x8f, 0x00, 0x08, 0x00]),
            (LinkType::C_HDLC_WITH_DIR, &[0, 0x0f, 0x00, 0x08, 0x00]),
            (LinkType::FRELAY, &[0x18, 0x41, 0x03, 0xcc]),
            (
                LinkType::FRELAY,
                &[0x18, 0x40, 0x00, 0x01, 0x03, 0x00, 0xcc],
            ),
            (LinkType::FRELAY, &[0x18, 0x41, 0x03, 0x80, 0, 0, 0, 8, 0]),
            // Cisco's frames.
            (LinkType::FRELAY, &[0x18, 0x41, 0x08, 0x00]),
            (LinkType::FRELAY_WITH_DIR, &[0, 0x18, 0x41, 0x03, 0xcc]),
            (LinkType::ENC, &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            (LinkType::ENC, &[0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0]),
        ] {
            let found = Some((IpVersion::V4, front.len(), None));
            assert_eq!(at(linktype, front), found, "{linktype:?} {front:?}");
        }
        // Link control, and a keep-alive of Cisco's.
        assert_eq!(at(LinkType::PPP, &[0xff, 0x03, 0xc0, 0x21]), None);
        assert_eq!(at(LinkType::C_HDLC, &[0x8f, 0x00, 0x80, 0x35]), None);
    }

    #[test]
    fn wireless_frames_lead_to_ip() {
        const SNAP: [u8; 8] = [0xaa, 0xaa, 0x03, 0, 0, 0, 8, 0];
        let frame = |control: [u8; 2], header: usize| {
            let mut front = vec![0; header];
            front[..2].copy_from_slice(&control);
            [&front[..], &SNAP].concat()
        };
        let plain = frame([0x08, 0x01], 24);
        let behind = |front: &[u8], frame: &[u8]| [front, frame].concat();
        // A clock, and flags that say that the header is padded; two words of presence bits.
        let flags = [
            &[0, 0, 25, 0, 3, 0, 0, 0x80, 0, 0, 0, 0][..],
            &[0; 4 + 8],
            &[0x20],
        ]
        .concat();
        let mut avs = vec![0; 64];
        avs[..8].copy_from_slice(&[0x80, 0x21, 0x10, 0x01, 0, 0, 0, 64]);
        let ethernet = [&[0, 0, 8, 0, 1, 0, 0, 0][..], &[0; 12], &[8, 0]].concat();
        for (linktype, front) in [
            (LinkType::IEEE802_11, plain.clone()),
            // Quality of service; the same with HT control; four addresses.
            (LinkType::IEEE802_11, frame([0x88, 0x02], 26)),
            (LinkType::IEEE802_11, frame([0x88, 0x82], 30)),
            (LinkType::IEEE802_11, frame([0x08, 0x03], 30)),
            (
                LinkType::IEEE802_11_RADIOTAP,
                behind(&[0, 0, 8, 0, 0, 0, 0, 0], &plain),
            ),
            (
                LinkType::IEEE802_11_RADIOTAP,
                behind(&flags, &frame([0x88, 0x02], 28)),
            ),
            (LinkType::IEEE802_11_PRISM, behind(&[0; 144], &plain)),
            (LinkType::IEEE802_11_PRISM, behind(&avs, &plain)),
            (LinkType::IEEE802_11_AVS, behind(&avs, &plain)),
            (LinkType::PPI, behind(&[0, 0, 8, 0, 105, 0, 0, 0], &plain)),
            (LinkType::PPI, ethernet),
        ] {
            let found = Some((IpVersion::V4, front.len(), None));
            assert_eq!(at(linktype, &front), found, "{linktype:?} {front:?}");
        }
        // A beacon, a frame without data, an encrypted one.
        for control in [[0x80, 0x00], [0x48, 0x01], [0x08, 0x41]] {
            assert_eq!(at(LinkType::IEEE802_11, &frame(control, 24)), None);
        }
        // An aggregate.
        let mut aggregate = frame([0x88, 0x02], 26);
        aggregate[24] = 0x80;
        assert_eq!(at(LinkType::IEEE802_11, &aggregate), None);
        let within = behind(&[0, 0, 8, 0, 192, 0, 0, 0], &[0, 0, 8, 0, 105, 0, 0, 0]);
        assert_eq!(at(LinkType::PPI, &behind(&within, &plain)), None);
    }

    #[test]
    fn link_types_that_are_not_read_are_told() {
        let read: Vec<u16> = (0..400).filter(|kind| is_read(LinkType(*kind))).collect();
        assert_eq!(
            read,
            [
                0, 1, 9, 12, 14, 50, 51, 101, 104, 105, 107, 108, 109, 113, 119, 127, 163, 192,
                204, 205, 206, 228, 229, 239, 276
            ]
        );
    }

    #[test]
    fn labels_end_at_the_bottom_of_the_stack() {
        let mut front = vec![0; 12];
        front.extend_from_slice(&[0x88, 0x47, 0, 1, 0, 64, 0, 2, 0x01, 64]);
        assert_eq!(
            at(LinkType::ETHERNET, &front),
            Some((IpVersion::V4, 22, None))
        );
        // Ethernet behind the labels, with and without a control word.
        let ethernet = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0, 0, 9, 8, 0];
        let plain = [&front[..], &ethernet].concat();
        assert_eq!(
            at(LinkType::ETHERNET, &plain),
            Some((IpVersion::V4, 40, Some(9)))
        );
        let word = [&front[..], &[0; 4], &ethernet].concat();
        assert_eq!(
            at(LinkType::ETHERNET, &word),
            Some((IpVersion::V4, 44, Some(9)))
        );
    }
}
