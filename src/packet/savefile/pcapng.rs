//! pcapng: sections of blocks, which describe interfaces and hold packets.
//!
//! In: windows of the file. Out: packets with times as their interface counts them, and the blocks
//! that are none, unread, for those who want them ([`options`], [`names`]). Never: reads.
//! Written by hand, since the parser crate for it allocates for each packet's options.
//! Format: draft-ietf-opsawg-pcapng; section numbers below are those of its draft 03.

use std::net::IpAddr;

use crate::bytes::Reader;
use crate::packet::savefile::{ByteOrder, Damage, MAX_RECORD_BYTES, PacketHead, Step};
use crate::packet::{LinkType, MAX_SNAPLEN};
use crate::time::Timestamp;

pub mod write;

/// Section header block; the same in both byte orders.
pub const SECTION: u32 = 0x0a0d_0d0a;
/// Interface description block.
pub const INTERFACE: u32 = 1;
/// Packet block, obsolete.
pub const PACKET: u32 = 2;
/// Simple packet block.
pub const SIMPLE_PACKET: u32 = 3;
/// Name resolution block.
pub const NAMES: u32 = 4;
/// Interface statistics block.
pub const STATISTICS: u32 = 5;
/// Enhanced packet block.
pub const ENHANCED_PACKET: u32 = 6;
/// Decryption secrets block.
pub const SECRETS: u32 = 10;
/// Custom block that may be copied when a file is rewritten.
pub const CUSTOM: u32 = 0x0000_0bad;
/// Custom block that must not be copied.
pub const CUSTOM_NO_COPY: u32 = 0x4000_0bad;

/// `opt_comment`, in every block.
pub const OPTION_COMMENT: u16 = 1;
/// `shb_hardware`.
pub const OPTION_HARDWARE: u16 = 2;
/// `shb_os`.
pub const OPTION_OS: u16 = 3;
/// `shb_userappl`.
pub const OPTION_APPLICATION: u16 = 4;
/// `if_name`.
pub const OPTION_IF_NAME: u16 = 2;

/// `if_IPv4addr`: an address and its mask.
pub const OPTION_IF_IPV4: u16 = 4;

/// `if_IPv6addr`: an address and the length of its prefix.
pub const OPTION_IF_IPV6: u16 = 5;
/// `if_description`.
pub const OPTION_IF_DESCRIPTION: u16 = 3;
/// `if_tsresol`.
pub const OPTION_IF_TSRESOL: u16 = 9;
/// `if_filter`.
pub const OPTION_IF_FILTER: u16 = 11;
/// `if_tsoffset`.
pub const OPTION_IF_TSOFFSET: u16 = 14;

/// Interfaces described in one file; a Kubernetes node has hundreds, hostile files have millions.
pub const MAX_INTERFACES: usize = 8192;

/// Bytes of an interface name that are kept; the longest that systems allow are Windows GUIDs.
const MAX_NAME: usize = 256;

/// Addresses of one interface that are kept.
pub const MAX_ADDRESSES: usize = 1024;

const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

/// Type, length, and the length again at the end.
const FRAME_BYTES: u32 = 12;

/// Longest block that is looked for behind damage; a packet with its options is shorter.
pub(super) const MAX_FOUND: usize = MAX_SNAPLEN as usize + 64 * 1024;

/// The length of what stands at the front of `window`, when it looks like a block: a known type, and
/// the same length before and behind the body.
pub(super) fn looks_like_block(window: &[u8], order: ByteOrder) -> Option<usize> {
    let mut reader = Reader::new(window);
    let kind = order.u32(&mut reader).ok()?;
    let mut order = order;
    if kind == SECTION {
        let mut magic = reader;
        magic.skip(4).ok()?;
        order = match magic.u32().ok()? {
            BYTE_ORDER_MAGIC => ByteOrder::Big,
            magic if magic.swap_bytes() == BYTE_ORDER_MAGIC => ByteOrder::Little,
            _ => return None,
        };
    }
    let total = order.u32(&mut reader).ok()?;
    let known = matches!(
        kind,
        SECTION
            | INTERFACE
            | PACKET
            | SIMPLE_PACKET
            | NAMES
            | STATISTICS
            | ENHANCED_PACKET
            | SECRETS
            | CUSTOM
            | CUSTOM_NO_COPY
    );
    let size = usize::try_from(total).ok()?;
    if !known || total < FRAME_BYTES || !total.is_multiple_of(4) || size > MAX_FOUND {
        return None;
    }
    let mut end = Reader::new(window.get(size - 4..size)?);
    (order.u32(&mut end) == Ok(total)).then_some(size)
}

/// A block that is no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block<'a> {
    /// Its type.
    pub kind: u32,
    /// Its body, without type and lengths.
    pub body: &'a [u8],
    /// Byte order of its section.
    pub order: ByteOrder,
}

/// An interface as the file describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// What its packets begin with.
    pub linktype: LinkType,
    /// `if_name`.
    pub name: Option<Box<str>>,
    /// `if_IPv4addr` and `if_IPv6addr`, [`MAX_ADDRESSES`] at most.
    pub addresses: Vec<IpAddr>,
    snaplen: u32,
    resolution: Resolution,
    offset_secs: i64,
}

/// Length of one tick of an interface's clock (`if_tsresol`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resolution {
    /// 10 to the minus n seconds.
    Decimal(u8),
    /// 2 to the minus n seconds.
    Binary(u8),
}

impl Interface {
    /// The moment of a packet whose clock showed `ticks`.
    fn time(&self, ticks: u64) -> Timestamp {
        let nanos = match self.resolution {
            Resolution::Decimal(digits) if digits <= 9 => {
                u128::from(ticks) * 10u128.pow(u32::from(9 - digits))
            }
            Resolution::Decimal(digits) => 10u128
                .checked_pow(u32::from(digits - 9))
                .map_or(0, |unit| u128::from(ticks) / unit),
            Resolution::Binary(bits) => {
                (u128::from(ticks) * 1_000_000_000).unbounded_shr(u32::from(bits))
            }
        };
        let nanos = i64::try_from(nanos).unwrap_or(i64::MAX);
        Timestamp::from_nanos(
            self.offset_secs
                .saturating_mul(1_000_000_000)
                .saturating_add(nanos),
        )
    }
}

/// Reads the blocks of one file, section after section.
#[derive(Debug)]
pub struct Parser {
    order: ByteOrder,
    /// Interfaces of all sections.
    interfaces: Vec<Interface>,
    /// Where those of the present section begin.
    base: usize,
    /// Time of the last packet; simple packet blocks have none of their own.
    last: Timestamp,
}

impl Default for Parser {
    fn default() -> Parser {
        Parser::new()
    }
}

impl Parser {
    /// A parser at the start of a file.
    pub fn new() -> Parser {
        Parser {
            order: ByteOrder::Little,
            interfaces: Vec::new(),
            base: 0,
            last: Timestamp::default(),
        }
    }

    /// The interfaces of the present section.
    pub fn interfaces(&self) -> &[Interface] {
        self.interfaces.get(self.base..).unwrap_or_default()
    }

    /// Count of the interfaces of all sections so far.
    pub fn described(&self) -> usize {
        self.interfaces.len()
    }

    /// Byte order of the present section.
    pub fn order(&self) -> ByteOrder {
        self.order
    }

    /// An interface by its number through all sections.
    pub fn interface(&self, number: u32) -> Option<&Interface> {
        self.interfaces.get(number as usize)
    }

    /// Reads the block at the front of `window`.
    ///
    /// # Errors
    /// When lengths contradict each other or a packet's interface is unknown.
    pub fn step(&mut self, window: &[u8]) -> Result<Step, Damage> {
        let Some(front) = window.first_chunk::<{ FRAME_BYTES as usize }>() else {
            return Ok(Step::NeedMore(FRAME_BYTES as usize));
        };
        let mut reader = Reader::new(front);
        if reader.u32()? == SECTION {
            // The length before the byte order: only the third field tells how to read the second.
            let mut magic = reader;
            magic.skip(4)?;
            self.order = match magic.u32()? {
                BYTE_ORDER_MAGIC => ByteOrder::Big,
                magic if magic.swap_bytes() == BYTE_ORDER_MAGIC => ByteOrder::Little,
                _ => return Err(Damage::Section),
            };
        }
        let order = self.order;
        let mut reader = Reader::new(front);
        let kind = order.u32(&mut reader)?;
        let total = order.u32(&mut reader)?;
        // Section 3.1: the length is a multiple of four and counts its own frame.
        if total < FRAME_BYTES || !total.is_multiple_of(4) {
            return Err(Damage::BlockLength(total));
        }
        match kind {
            SECTION | INTERFACE | PACKET | SIMPLE_PACKET | ENHANCED_PACKET => {
                if total > MAX_RECORD_BYTES {
                    return Err(Damage::BlockLength(total));
                }
            }
            NAMES | STATISTICS | SECRETS | CUSTOM | CUSTOM_NO_COPY if total <= MAX_RECORD_BYTES => {
            }
            _ => return Ok(Step::PassOver(total.into())),
        }
        let size = total as usize;
        let Some(block) = window.get(..size) else {
            return Ok(Step::NeedMore(size));
        };
        let mut reader = Reader::new(block);
        reader.skip(8)?;
        let body = reader.take(size - FRAME_BYTES as usize)?;
        if order.u32(&mut reader)? != total {
            return Err(Damage::BlockLength(total));
        }
        match kind {
            SECTION => self.section(body)?,
            INTERFACE => self.describe(body)?,
            ENHANCED_PACKET | PACKET | SIMPLE_PACKET => return self.packet(kind, body, size),
            _ => {}
        }
        Ok(Step::Block {
            kind,
            body: 8..8 + body.len(),
            order,
            size,
        })
    }

    fn section(&mut self, body: &[u8]) -> Result<(), Damage> {
        let mut reader = Reader::new(body);
        reader.skip(4)?;
        if self.order.u16(&mut reader)? != 1 {
            return Err(Damage::Section);
        }
        // Minor version and the section's length, which is a hint.
        reader.skip(10)?;
        self.base = self.interfaces.len();
        Ok(())
    }

    fn describe(&mut self, body: &[u8]) -> Result<(), Damage> {
        if self.interfaces.len() >= MAX_INTERFACES {
            return Err(Damage::Interfaces);
        }
        let mut reader = Reader::new(body);
        let linktype = LinkType(self.order.u16(&mut reader)?);
        reader.skip(2)?;
        let mut interface = Interface {
            linktype,
            name: None,
            addresses: Vec::new(),
            snaplen: self.order.u32(&mut reader)?,
            resolution: Resolution::Decimal(6),
            offset_secs: 0,
        };
        for (code, value) in options(reader.rest(), self.order) {
            match (code, value) {
                (OPTION_IF_NAME, name) => {
                    let name = name.get(..MAX_NAME).unwrap_or(name);
                    interface.name = Some(String::from_utf8_lossy(name).into());
                }
                (OPTION_IF_IPV4 | OPTION_IF_IPV6, value) => {
                    let v4 = |value: &[u8]| value.first_chunk::<4>().map(|ip| IpAddr::from(*ip));
                    let v6 = |value: &[u8]| value.first_chunk::<16>().map(|ip| IpAddr::from(*ip));
                    let address = match code {
                        OPTION_IF_IPV4 => v4(value),
                        _ => v6(value),
                    };
                    let address = address.filter(|_| interface.addresses.len() < MAX_ADDRESSES);
                    interface.addresses.extend(address);
                }
                (OPTION_IF_TSRESOL, [resolution, ..]) => {
                    // Section 4.2: the highest bit chooses the base.
                    interface.resolution = match resolution & 0x80 {
                        0 => Resolution::Decimal(*resolution),
                        _ => Resolution::Binary(resolution & 0x7f),
                    };
                }
                (OPTION_IF_TSOFFSET, offset) => {
                    let offset = self.order.u64(&mut Reader::new(offset)).unwrap_or(0);
                    interface.offset_secs = offset.cast_signed();
                }
                _ => {}
            }
        }
        self.interfaces.push(interface);
        Ok(())
    }

    fn packet(&mut self, kind: u32, body: &[u8], size: usize) -> Result<Step, Damage> {
        let order = self.order;
        let mut reader = Reader::new(body);
        let number = match kind {
            ENHANCED_PACKET => order.u32(&mut reader)?,
            PACKET => {
                let number = order.u16(&mut reader)?;
                // Drops between this packet and the one before.
                reader.skip(2)?;
                number.into()
            }
            // Section 4.4: a simple packet belongs to the section's first interface.
            _ => 0,
        };
        let index = self.base.saturating_add(number as usize);
        let interface = self
            .interfaces
            .get(index)
            .ok_or(Damage::Interface(number))?;
        let (caplen, len) = if kind == SIMPLE_PACKET {
            let len = order.u32(&mut reader)?;
            let snaplen = match interface.snaplen {
                0 => u32::MAX,
                snaplen => snaplen,
            };
            let held = u32::try_from(reader.left()).unwrap_or(u32::MAX);
            (len.min(snaplen).min(held), len)
        } else {
            let high = u64::from(order.u32(&mut reader)?);
            let low = u64::from(order.u32(&mut reader)?);
            self.last = interface.time(high << 32 | low);
            (order.u32(&mut reader)?, order.u32(&mut reader)?)
        };
        let from = 8 + reader.offset();
        // Whatever stands in the length field, the bytes must lie within the block.
        if reader.take(caplen as usize).is_err() {
            return Err(Damage::Caplen(caplen));
        }
        let given = caplen.min(MAX_SNAPLEN);
        Ok(Step::Packet {
            head: PacketHead {
                ts: self.last,
                caplen: given,
                len: len.max(caplen),
                linktype: interface.linktype,
                interface: u32::try_from(index).unwrap_or(u32::MAX),
            },
            data: from..from + given as usize,
            size,
        })
    }
}

/// Codes and values of a block's options; ends at the first that does not fit.
pub fn options(bytes: &[u8], order: ByteOrder) -> impl Iterator<Item = (u16, &[u8])> {
    records(bytes, order)
}

/// Addresses and names of a name resolution block, in its order.
pub fn names<'a>(block: &Block<'a>) -> impl Iterator<Item = (IpAddr, &'a str)> {
    const IPV4: u16 = 1;
    const IPV6: u16 = 2;
    let named = records(block.body, block.order).filter_map(|(kind, value)| {
        let (address, names): (IpAddr, &[u8]) = match kind {
            IPV4 => {
                let (address, names) = value.split_first_chunk::<4>()?;
                ((*address).into(), names)
            }
            IPV6 => {
                let (address, names) = value.split_first_chunk::<16>()?;
                ((*address).into(), names)
            }
            _ => return None,
        };
        Some((address, names))
    });
    named.flat_map(|(address, names)| {
        names
            .split(|byte| *byte == 0)
            .filter_map(|name| std::str::from_utf8(name).ok())
            .filter(|name| !name.is_empty())
            .map(move |name| (address, name))
    })
}

/// Options of a section header block.
pub fn section_options<'a>(block: &Block<'a>) -> impl Iterator<Item = (u16, &'a [u8])> {
    options(block.body.get(16..).unwrap_or_default(), block.order)
}

/// Enterprise number and data of a custom block.
pub fn custom<'a>(block: &Block<'a>) -> Option<(u32, &'a [u8])> {
    let mut reader = Reader::new(block.body);
    Some((block.order.u32(&mut reader).ok()?, reader.rest()))
}

/// Secrets type of a TLS key log (section 4.7).
pub const SECRETS_TLS_KEY_LOG: u32 = 0x544c_534b;

/// Secrets type and secrets of a decryption secrets block.
pub fn secrets<'a>(block: &Block<'a>) -> Option<(u32, &'a [u8])> {
    let mut reader = Reader::new(block.body);
    let kind = block.order.u32(&mut reader).ok()?;
    let len = usize::try_from(block.order.u32(&mut reader).ok()?).ok()?;
    Some((kind, reader.take(len).ok()?))
}

/// Type, length, value, padded to four bytes; a type of 0 ends the list (sections 3.5 and 4.5).
fn records(bytes: &[u8], order: ByteOrder) -> impl Iterator<Item = (u16, &[u8])> {
    let mut reader = Reader::new(bytes);
    std::iter::from_fn(move || {
        let code = order.u16(&mut reader).ok()?;
        let len = usize::from(order.u16(&mut reader).ok()?);
        if code == 0 {
            return None;
        }
        let value = reader.take(len).ok()?;
        reader.skip(len.next_multiple_of(4) - len).ok();
        Some((code, value))
    })
}
