//! The formats of captures on disk: libpcap's savefile and pcapng.
//!
//! In: bytes, in windows that the caller reads from wherever they lie. Out: packets and blocks with
//! their offsets; and the other way, packets appended to a buffer. [`Records`] drives the parsers over
//! any reader with large reads. Never: files, allocation by a length that is not checked, allocation
//! per packet.
//! Formats: <https://www.tcpdump.org/manpages/pcap-savefile.5.html>, draft-ietf-opsawg-pcapng.

use std::io::{self, Read};
use std::net::IpAddr;
use std::ops::Range;

use crate::bytes::{Reader, Short};
use crate::packet::{LinkType, Position, Record};
use crate::time::Timestamp;

pub mod pcap;
pub mod pcapng;

/// Longest record or block that is held whole; a packet has 262,144 octets at most, and what a
/// recording keeps in blocks of its own (stream states, secrets) stays far below.
pub const MAX_RECORD_BYTES: u32 = 16 << 20;

/// Bytes asked for at a time: few system calls, and what is read is still in the cache when it is
/// looked at.
const READ_BYTES: usize = 256 * 1024;

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

/// A packet or block, with its bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A packet.
    Packet {
        /// Its record header.
        head: PacketHead,
        /// Its bytes, link-layer header first.
        bytes: &'a [u8],
        /// Offset of its record.
        offset: u64,
    },
    /// A pcapng block that is no packet.
    Block {
        /// The block.
        block: pcapng::Block<'a>,
        /// Its offset.
        offset: u64,
    },
}

/// The records of a capture, read from the front.
///
/// Memory: one window of 256 KiB, growing to one record of at most [`MAX_RECORD_BYTES`] as its bytes
/// arrive.
#[derive(Debug)]
pub struct Records<R> {
    inner: R,
    window: Vec<u8>,
    start: usize,
    end: usize,
    /// Offset of `window[start]` in the file.
    offset: u64,
    parser: Parser,
    read_bytes: usize,
    /// What stands at the front of the window, when that is known already.
    found: Option<Step>,
    /// Whether the reader has ended.
    read: bool,
    ended: bool,
}

impl<R: Read> Records<R> {
    /// Records of the bytes that `inner` gives; nothing is read yet.
    pub fn new(inner: R) -> Records<R> {
        Records::with_read_bytes(inner, READ_BYTES)
    }

    /// The same with smaller reads, for those who want only the front of many files.
    pub fn with_read_bytes(inner: R, read_bytes: usize) -> Records<R> {
        Records {
            inner,
            window: Vec::new(),
            start: 0,
            end: 0,
            offset: 0,
            parser: Parser::Start,
            read_bytes: read_bytes.max(1),
            found: None,
            read: false,
            ended: false,
        }
    }

    /// Reads up to the first record, so that what is no capture is told at once.
    ///
    /// # Errors
    /// As [`Records::advance`].
    pub fn open(&mut self) -> Result<(), SavefileError> {
        while matches!(self.parser, Parser::Start) {
            let front = self.window.get(self.start..self.end).unwrap_or_default();
            match self.parser.step(front, self.offset)? {
                Step::NeedMore(needed) => {
                    if !self.read_until(needed)? {
                        self.ended = true;
                        let (front, offset) = (self.front(), self.offset);
                        return Err(if front.is_empty() {
                            SavefileError::Empty
                        } else if front.len() < MAGIC_BYTES {
                            SavefileError::Unknown(looks_like(front))
                        } else {
                            SavefileError::CutOff(offset)
                        });
                    }
                }
                Step::PassOver(size) => self.pass_over(size)?,
                Step::Packet { .. } | Step::Block { .. } => break,
            }
        }
        Ok(())
    }

    /// The next packet or block; `None` at the end.
    ///
    /// # Errors
    /// At damage and where the file is cut off; after that there is nothing more.
    pub fn advance(&mut self) -> Result<Option<Entry<'_>>, SavefileError> {
        if !self.read_on(false)? {
            return Ok(None);
        }
        let at_hand = self.at_hand()?;
        Ok(at_hand.map(|(entry, _)| entry))
    }

    /// Reads until a record lies whole in the window, and with `full` until the window is full;
    /// false at the end. What the window held before may move.
    ///
    /// # Errors
    /// As [`Records::advance`].
    pub fn read_on(&mut self, full: bool) -> Result<bool, SavefileError> {
        if self.ended {
            return Ok(false);
        }
        if self.found.is_none() {
            let found = self.find();
            self.ended = !matches!(found, Ok(Some(_)));
            self.found = found?;
        }
        while full && !self.ended && !self.read && self.end < self.window.len() {
            // What was found before an error counts first.
            if self.read_some().is_err() {
                break;
            }
        }
        Ok(!self.ended)
    }

    /// The next packet or block, when it lies whole in the window, and where a packet's bytes begin
    /// there; nothing in the window moves.
    ///
    /// # Errors
    /// At damage; after that there is nothing more.
    #[inline]
    pub fn at_hand(&mut self) -> Result<Option<(Entry<'_>, usize)>, SavefileError> {
        let step = match self.found.take() {
            Some(step) => step,
            None if self.ended => return Ok(None),
            None => loop {
                let front = self.window.get(self.start..self.end).unwrap_or_default();
                match self.parser.step(front, self.offset) {
                    Ok(Step::PassOver(size)) if size <= front.len() as u64 => {
                        self.consume(usize::try_from(size).unwrap_or_default());
                    }
                    Ok(step) => break step,
                    Err(error) => {
                        self.ended = true;
                        return Err(error);
                    }
                }
            },
        };
        let (from, offset) = (self.start, self.offset);
        let slice = |window: Range<usize>| from + window.start..from + window.end;
        Ok(match step {
            Step::Packet { head, data, size } => {
                self.consume(size);
                let start = from + data.start;
                let bytes = self.window.get(slice(data)).unwrap_or_default();
                let entry = Entry::Packet {
                    head,
                    bytes,
                    offset,
                };
                Some((entry, start))
            }
            Step::Block {
                kind,
                body,
                order,
                size,
            } => {
                self.consume(size);
                let start = from + body.start;
                let body = self.window.get(slice(body)).unwrap_or_default();
                let block = pcapng::Block { kind, body, order };
                Some((Entry::Block { block, offset }, start))
            }
            Step::NeedMore(_) | Step::PassOver(_) => None,
        })
    }

    /// Whether nothing follows what was handed out.
    pub fn is_over(&self) -> bool {
        self.ended || self.read && self.start == self.end && self.found.is_none()
    }

    /// Hands the window out in `room`, so that what was found in it can be kept without a copy, and
    /// takes the memory of `room` for the next one. What was not handed out yet moves there.
    pub fn hand_out(&mut self, room: &mut Vec<u8>) {
        let used = self.window.get(..self.start).unwrap_or_default();
        // Little in a large window is copied, or it would hold the whole of it.
        if used.len() < self.window.len() / 4 {
            room.clear();
            room.extend_from_slice(used);
            return;
        }
        std::mem::swap(&mut self.window, room);
        let left = room.get(self.start..self.end).unwrap_or_default();
        if self.window.len() < left.len() {
            self.window
                .resize(left.len().next_multiple_of(self.read_bytes), 0);
        }
        if let Some(front) = self.window.get_mut(..left.len()) {
            front.copy_from_slice(left);
        }
        self.end -= self.start;
        self.start = 0;
    }

    /// Offset of the next record.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes that are read and not handed out yet.
    pub fn buffered(&self) -> usize {
        self.end - self.start
    }

    /// What the format's parser knows.
    pub fn parser(&self) -> &Parser {
        &self.parser
    }

    /// Steps until a packet or block lies whole in the window; `None` at the clean end.
    fn find(&mut self) -> Result<Option<Step>, SavefileError> {
        self.open()?;
        loop {
            let front = self.window.get(self.start..self.end).unwrap_or_default();
            match self.parser.step(front, self.offset)? {
                Step::NeedMore(needed) => {
                    if !self.read_until(needed)? {
                        return if self.start == self.end {
                            Ok(None)
                        } else {
                            Err(SavefileError::CutOff(self.offset))
                        };
                    }
                }
                Step::PassOver(size) => self.pass_over(size)?,
                step => return Ok(Some(step)),
            }
        }
    }

    fn front(&self) -> &[u8] {
        self.window.get(self.start..self.end).unwrap_or_default()
    }

    fn consume(&mut self, size: usize) {
        self.start = (self.start + size).min(self.end);
        self.offset += size as u64;
    }

    /// Passes over `size` bytes, in the window and behind it.
    fn pass_over(&mut self, size: u64) -> Result<(), SavefileError> {
        let at = self.offset;
        let mut left = size;
        loop {
            let here = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(self.end - self.start);
            self.consume(here);
            left -= here as u64;
            if left == 0 {
                return Ok(());
            }
            if !self.read_until(1)? {
                return Err(SavefileError::CutOff(at));
            }
        }
    }

    /// Reads until the window holds `needed` bytes; false when the reader ends before.
    ///
    /// The window grows only when it is full of bytes that did arrive.
    fn read_until(&mut self, needed: usize) -> Result<bool, SavefileError> {
        while self.end - self.start < needed {
            if self.start > 0 {
                self.window.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            if self.end == self.window.len() {
                self.window.resize(self.window.len() + self.read_bytes, 0);
            }
            if self.read_some()? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads into what is free of the window; 0 at the end.
    fn read_some(&mut self) -> Result<usize, SavefileError> {
        loop {
            let free = self.window.get_mut(self.end..).unwrap_or_default();
            match self.inner.read(free) {
                Ok(count) => {
                    let count = count.min(free.len());
                    self.read = count == 0;
                    self.end += count;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests;
