//! Wireless frames, bare or behind the headers that capture programs put in front of them.
//!
//! In: what stands behind the link type's start. Out: the IP header, when the frame carries one that
//! is not encrypted. Never: allocation; aggregates of frames are not taken apart.
//! Standards: IEEE 802.11-2020 section 9.2 and 9.3.2.1, <https://www.radiotap.org>, CACE's PPI header,
//! the AVS header, <https://www.tcpdump.org/linktypes.html>.

use super::{Network, find_at, snap};
use crate::bytes::{Reader, Short};
use crate::packet::LinkType;

/// Version and length of the AVS header.
const AVS_MAGIC: u32 = 0x8021_1001;

/// Bytes of the header of Prism cards.
const PRISM_BYTES: usize = 144;

/// A frame of IEEE 802.11; `padded` when its header is filled up to four bytes.
pub(super) fn frame(mut reader: Reader<'_>, padded: bool) -> Result<Option<Network>, Short> {
    let control = reader.u16_le()?;
    let has = |bits: u16| control & bits == bits;
    // Section 9.2.4.1: version and type must be 0 and data; the third bit of the subtype marks
    // frames without data.
    let is_data = control & 0x000f == 0x0008 && !has(0x0040);
    const PROTECTED: u16 = 0x4000;
    if !is_data || has(PROTECTED) {
        return Ok(None);
    }
    // Duration, three addresses, sequence control.
    let mut header = 24;
    // To and from the distribution system: a fourth address.
    if has(0x0300) {
        header += 6;
    }
    let is_qos = has(0x0080);
    let qos = header;
    if is_qos {
        header += 2;
        // +HTC: four bytes of HT control.
        if has(0x8000) {
            header += 4;
        }
    }
    let mut peek = reader;
    peek.skip(qos - 2)?;
    const AGGREGATE: u16 = 0x0080;
    if is_qos && peek.u16_le()? & AGGREGATE != 0 {
        return Ok(None);
    }
    let body = match padded {
        true => usize::next_multiple_of(header, 4),
        false => header,
    };
    reader.skip(body - 2)?;
    snap(reader)
}

/// Radiotap: version, padding, length of all, then fields whose presence bits tell.
pub(super) fn radiotap(mut reader: Reader<'_>) -> Result<Option<Network>, Short> {
    const MAX_WORDS: usize = 32;
    let mut header = reader;
    header.skip(2)?;
    let len = usize::from(header.u16_le()?);
    let present = header.u32_le()?;
    let mut last = present;
    // The highest bit says that another word follows.
    for _ in 0..MAX_WORDS {
        if last & 1 << 31 == 0 {
            break;
        }
        last = header.u32_le()?;
    }
    // The first field is a clock of eight bytes at a multiple of eight, the second the flags.
    let mut flags = 0;
    if present & 0b10 != 0 {
        if present & 0b01 != 0 {
            let at = header.offset() - reader.offset();
            header.skip(at.next_multiple_of(8) - at + 8)?;
        }
        flags = header.u8()?;
    }
    reader.skip(len)?;
    const PADDED: u8 = 0x20;
    frame(reader, flags & PADDED != 0)
}

/// The header of AVS drivers, or the one of Prism cards; the same link type has both.
pub(super) fn prism(mut reader: Reader<'_>) -> Result<Option<Network>, Short> {
    let mut peek = reader;
    if peek.u32()? == AVS_MAGIC {
        return avs(reader);
    }
    reader.skip(PRISM_BYTES)?;
    frame(reader, false)
}

/// The header of AVS drivers: magic, length of all.
pub(super) fn avs(mut reader: Reader<'_>) -> Result<Option<Network>, Short> {
    let mut peek = reader;
    peek.skip(4)?;
    let len = peek.u32()?;
    reader.skip(usize::try_from(len).unwrap_or(usize::MAX))?;
    frame(reader, false)
}

/// CACE's per-packet information: version, flags, length of all, and the link type of what follows.
pub(super) fn ppi(mut reader: Reader<'_>) -> Result<Option<Network>, Short> {
    let mut header = reader;
    header.skip(2)?;
    let len = usize::from(header.u16_le()?);
    let linktype = LinkType(u16::try_from(header.u32_le()?).unwrap_or(u16::MAX));
    reader.skip(len)?;
    match linktype {
        // As deep as one.
        LinkType::PPI => Ok(None),
        linktype => find_at(linktype, reader),
    }
}
