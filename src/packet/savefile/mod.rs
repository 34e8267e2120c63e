//! The formats of captures on disk: libpcap's savefile and pcapng.
//!
//! In: bytes, in windows that the caller reads from wherever they lie. Out: packets and blocks with
//! their offsets; and the other way, packets appended to a buffer. [`Records`] drives the parsers over
//! any reader with large reads. Never: files, allocation by a length that is not checked, allocation
//! per packet.
//! Formats: <https://www.tcpdump.org/manpages/pcap-savefile.5.html>, draft-ietf-opsawg-pcapng.

use std::io;
use std::net::IpAddr;
use std::ops::Range;

use crate::bytes::{Reader, Short};
use crate::packet::{LinkType, Position, Record};
use crate::time::Timestamp;

pub mod pcap;
pub mod pcapng;
mod records;

pub use records::{Entry, Records};

/// Longest record or block that is held whole; a packet has 262,144 octets at most, and what a
/// recording keeps in blocks of its own (stream states, secrets) stays far below.
pub const MAX_RECORD_BYTES: u32 = 16 << 20;

/// Bytes of the first record that must be seen to tell the format.
const MAGIC_BYTES: usize = 4;

/// What the record header of a packet says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketHead {
    /// When it was captured.
    pub ts: Timestamp,
    /// Bytes captured, at most [`MAX_SNAPLEN`](crate::packet::MAX_SNAPLEN).
    pub caplen: u32,
    /// Bytes on the wire, never below `caplen`.
    pub len: u32,
    /// What the bytes begin with.
    pub linktype: LinkType,
    /// Interface number, counted through all sections of the file.
    pub interface: u32,
}

impl PacketHead {
    /// The record of a packet whose bytes begin at `start` of a batch.
    pub fn record(&self, start: usize, position: Position) -> Record {
        Record {
            ts: self.ts,
            // A batch ends far below what 32 bits count.
            start: u32::try_from(start).unwrap_or(u32::MAX),
            caplen: self.caplen,
            len: self.len,
            linktype: self.linktype,
            interface: self.interface,
            position,
        }
    }
}

/// What stands at the front of a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The window must hold so many bytes before the next step.
    NeedMore(usize),
    /// So many bytes hold nothing of use; they may reach past the window.
    PassOver(u64),
    /// A packet whose record takes `size` bytes of the window.
    Packet {
        /// Its record header.
        head: PacketHead,
        /// Its bytes within the window.
        data: Range<usize>,
        /// Bytes of the whole record.
        size: usize,
    },
    /// A pcapng block that is no packet, taking `size` bytes of the window.
    Block {
        /// Its type (`pcapng::SECTION`, ...).
        kind: u32,
        /// Its body within the window, without type and lengths.
        body: Range<usize>,
        /// Byte order of its section.
        order: ByteOrder,
        /// Bytes of the whole block.
        size: usize,
    },
}

/// What a record has against its format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The captured length is beyond the file's snaplen and the format's bound.
    #[error("a packet claims {0} bytes")]
    Caplen(u32),
    /// A block's length is impossible, or the copy of it at the block's end differs.
    #[error("a block has the impossible length {0}")]
    BlockLength(u32),
    /// A block is too short for its fields.
    #[error("a block is too short for its fields")]
    BlockFields,
    /// A packet names an interface that was not described before.
    #[error("a packet names the undescribed interface {0}")]
    Interface(u32),
    /// More interfaces than [`pcapng::MAX_INTERFACES`].
    #[error("more than {} interfaces are described", pcapng::MAX_INTERFACES)]
    Interfaces,
    /// A section header that is none.
    #[error("a section header has an unknown byte order or version")]
    Section,
}

impl From<Short> for Damage {
    fn from(_: Short) -> Damage {
        Damage::BlockFields
    }
}

/// Why no more records come.
#[derive(Debug, thiserror::Error)]
pub enum SavefileError {
    /// The reader failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// There is not one byte.
    #[error("it is empty")]
    Empty,
    /// The first bytes belong to something else.
    #[error("it begins like {0}")]
    Unknown(&'static str),
    /// The bytes end within a record.
    #[error("it is cut off within the record at offset {0}")]
    CutOff(u64),
    /// A record is against the format; what follows cannot be found.
    #[error("it is damaged at offset {offset}: {damage}")]
    Damaged {
        /// Offset of the record.
        offset: u64,
        /// What is wrong.
        damage: Damage,
    },
}

/// Order of the bytes in an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteOrder {
    /// Most significant byte first.
    Big,
    /// Least significant byte first.
    Little,
}

impl ByteOrder {
    /// Reads two bytes.
    pub fn u16(self, reader: &mut Reader<'_>) -> Result<u16, Short> {
        match self {
            ByteOrder::Big => reader.u16(),
            ByteOrder::Little => reader.u16_le(),
        }
    }

    /// Reads four bytes.
    pub fn u32(self, reader: &mut Reader<'_>) -> Result<u32, Short> {
        match self {
            ByteOrder::Big => reader.u32(),
            ByteOrder::Little => reader.u32_le(),
        }
    }

    /// Reads eight bytes.
    pub fn u64(self, reader: &mut Reader<'_>) -> Result<u64, Short> {
        match self {
            ByteOrder::Big => reader.u64(),
            ByteOrder::Little => reader.u64_le(),
        }
    }
}

/// Reads either format, which it tells by the first bytes.
#[derive(Debug, Default)]
pub enum Parser {
    /// Nothing read yet.
    #[default]
    Start,
    /// A libpcap savefile.
    Pcap(pcap::Parser),
    /// A pcapng file.
    Pcapng(pcapng::Parser),
}

impl Parser {
    /// Reads what stands at the front of `window`.
    ///
    /// # Errors
    /// `Unknown` when the format is neither, else `Damaged` with `offset`, the window's own.
    pub fn step(&mut self, window: &[u8], offset: u64) -> Result<Step, SavefileError> {
        let damaged = |damage| SavefileError::Damaged { offset, damage };
        match self {
            Parser::Pcap(parser) => parser.step(window).map_err(damaged),
            Parser::Pcapng(parser) => parser.step(window).map_err(damaged),
            Parser::Start => {
                let Some(magic) = window.first_chunk::<MAGIC_BYTES>() else {
                    return Ok(Step::NeedMore(MAGIC_BYTES));
                };
                if u32::from_be_bytes(*magic) == pcapng::SECTION {
                    *self = Parser::Pcapng(pcapng::Parser::new());
                    return self.step(window, offset);
                }
                if !pcap::is_magic(*magic) {
                    return Err(SavefileError::Unknown(looks_like(window)));
                }
                let Some(header) = window.first_chunk::<{ pcap::HEADER_BYTES }>() else {
                    return Ok(Step::NeedMore(pcap::HEADER_BYTES));
                };
                match pcap::Parser::new(header) {
                    Some(parser) => {
                        *self = Parser::Pcap(parser);
                        Ok(Step::PassOver(pcap::HEADER_BYTES as u64))
                    }
                    None => Err(SavefileError::Unknown(looks_like(window))),
                }
            }
        }
    }

    /// Addresses of the interfaces, as far as the file tells them.
    pub fn addresses(&self) -> Vec<IpAddr> {
        match self {
            Parser::Pcapng(parser) => {
                let interfaces = parser.interfaces().iter();
                interfaces.flat_map(|one| one.addresses.clone()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Interfaces that the file has described so far, through all sections; one where it cannot.
    pub fn interfaces(&self) -> usize {
        match self {
            Parser::Pcapng(parser) => parser.described(),
            _ => 1,
        }
    }

    /// Name of an interface as the file gives it.
    pub fn interface_name(&self, interface: u32) -> Option<&str> {
        match self {
            Parser::Pcapng(parser) => parser.interface(interface)?.name.as_deref(),
            _ => None,
        }
    }
}

/// Names what a file begins with, for the sentence that refuses it.
pub fn looks_like(front: &[u8]) -> &'static str {
    const KNOWN: &[(&[u8], &str)] = &[
        (b"\x1f\x8b", "gzip data"),
        (b"\x28\xb5\x2f\xfd", "zstd data"),
        (b"\xfd7zXZ", "xz data"),
        (b"BZh", "bzip2 data"),
        (b"PK\x03\x04", "a zip archive"),
        (b"PAR1", "a Parquet file"),
        (b"\x7fELF", "a program"),
        (b"SQLite", "a database"),
        (b"ICAP", "an IXIA capture"),
        (b"GMBU", "a Network Monitor capture"),
        (b"snoop\0", "a snoop capture"),
    ];
    if let Some((_, name)) = KNOWN.iter().find(|(magic, _)| front.starts_with(magic)) {
        return name;
    }
    if front.get(257..262) == Some(b"ustar") {
        return "a tar archive";
    }
    let text = front
        .iter()
        .take(512)
        .all(|byte| !byte.is_ascii_control() || byte.is_ascii_whitespace());
    if text { "text" } else { "unknown data" }
}

#[cfg(test)]
mod tests;
