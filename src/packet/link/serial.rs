//! Link layers of serial lines and of BSD's encapsulating interface, up to the network header.
//!
//! In: what stands behind the link type's start. Out: the IP header, when one is carried. Never:
//! allocation. Standards: RFC 1661 and RFC 1662 (PPP), RFC 2516 (PPPoE), RFC 2427 (frame relay), and
//! <https://www.tcpdump.org/linktypes.html>.

use super::{IpVersion, Network, family_of, network, ppp, protocol};
use crate::bytes::{Reader, Short};
use crate::packet::TunnelKind;

/// PPP with or without address and control, or what Cisco's HDLC puts there.
pub(super) fn ppp_or_hdlc(reader: Reader<'_>) -> Result<Option<Network>, Short> {
    let mut peek = reader;
    match peek.u8()? {
        // Unicast and broadcast of Cisco's HDLC.
        0x0f | 0x8f => hdlc(reader),
        _ => ppp(reader, None),
    }
}

/// Cisco's HDLC: address, control, EtherType.
pub(super) fn hdlc(mut reader: Reader<'_>) -> Result<Option<Network>, Short> {
    reader.skip(2)?;
    let ethertype = reader.u16()?;
    protocol(reader, ethertype)
}

/// RFC 2516 section 4: version and type, code, session, length, then PPP.
pub(super) fn pppoe(mut reader: Reader<'_>, vlan: Option<u16>) -> Result<Option<Network>, Short> {
    reader.skip(2)?;
    let session = reader.u16()?.into();
    reader.skip(2)?;
    let found = ppp(reader, vlan)?;
    Ok(found.map(|found| found.carried_by(TunnelKind::Pppoe, session)))
}

/// RFC 2427 sections 3 to 5: a Q.922 address of two to four octets, control, padding, and the
/// protocol; or Cisco's frames, an EtherType right behind the address.
pub(super) fn frame_relay(mut reader: Reader<'_>) -> Result<Option<Network>, Short> {
    const UNNUMBERED: u8 = 0x03;
    const MAX_ADDRESS: usize = 4;
    let mut octets = 1;
    // The lowest bit marks the address's last octet.
    while reader.u8()? & 1 == 0 && octets < MAX_ADDRESS {
        octets += 1;
    }
    let mut peek = reader;
    if peek.u8()? != UNNUMBERED {
        let ethertype = reader.u16()?;
        return protocol(reader, ethertype);
    }
    let mut identifier = peek.u8()?;
    if identifier == 0 {
        identifier = peek.u8()?;
    }
    match identifier {
        0xcc => Ok(Some(network(IpVersion::V4, peek, None))),
        0x8e => Ok(Some(network(IpVersion::V6, peek, None))),
        // SNAP with an EtherType.
        0x80 if peek.take(3)? == [0, 0, 0] => {
            let ethertype = peek.u16()?;
            protocol(peek, ethertype)
        }
        _ => Ok(None),
    }
}

/// OpenBSD's encapsulating interface: address family, security parameters index, flags.
pub(super) fn enc(mut reader: Reader<'_>) -> Result<Option<Network>, Short> {
    let family = reader.u32_le()?;
    reader.skip(8)?;
    family_of(family.min(family.swap_bytes()), reader)
}
