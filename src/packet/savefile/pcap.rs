//! The libpcap savefile: a 24-byte header, then 16 bytes in front of each packet, or 24 in files of
//! the patch of libpcap that Linux distributions had around 2000.
//!
//! In: the header, then windows of the file. Out: packets; and the other way, bytes appended to a
//! buffer. Never: reads.
//! Format: <https://www.tcpdump.org/manpages/pcap-savefile.5.html>.

use crate::bytes::Reader;
use crate::packet::savefile::{ByteOrder, Damage, MAX_RECORD_BYTES, PacketHead, Step};
use crate::packet::{LinkType, MAX_SNAPLEN};
use crate::time::Timestamp;

/// Bytes of the file header.
pub const HEADER_BYTES: usize = 24;

/// Bytes of a packet's record header.
pub const RECORD_BYTES: usize = 16;

const MAGIC_MICROS: u32 = 0xa1b2_c3d4;
const MAGIC_NANOS: u32 = 0xa1b2_3c4d;
/// Microseconds; behind the lengths of each packet stand interface, protocol and packet type.
const MAGIC_MODIFIED: u32 = 0xa1b2_cd34;

/// Bytes of a packet's record header in files with [`MAGIC_MODIFIED`].
const MODIFIED_RECORD_BYTES: usize = 24;

/// Unit of the second part of a timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Microseconds, which every reader knows.
    Micros,
    /// Nanoseconds, known since libpcap 1.5.
    Nanos,
}

/// Reads the packets of one savefile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parser {
    order: ByteOrder,
    precision: Precision,
    record_bytes: usize,
    linktype: LinkType,
    snaplen: u32,
}

/// Whether a file with these first bytes is a savefile.
pub fn is_magic(magic: [u8; 4]) -> bool {
    told_by(magic).is_some()
}

/// Byte order, unit of times, and bytes of a record header.
fn told_by(magic: [u8; 4]) -> Option<(ByteOrder, Precision, usize)> {
    let told = |order, magic| match magic {
        MAGIC_MICROS => Some((order, Precision::Micros, RECORD_BYTES)),
        MAGIC_NANOS => Some((order, Precision::Nanos, RECORD_BYTES)),
        MAGIC_MODIFIED => Some((order, Precision::Micros, MODIFIED_RECORD_BYTES)),
        _ => None,
    };
    let big = told(ByteOrder::Big, u32::from_be_bytes(magic));
    big.or_else(|| told(ByteOrder::Little, u32::from_le_bytes(magic)))
}

impl Parser {
    /// Reads the file header; `None` when it is none.
    pub fn new(header: &[u8; HEADER_BYTES]) -> Option<Parser> {
        let (order, precision, record_bytes) = told_by(*header.first_chunk()?)?;
        let mut reader = Reader::new(header);
        // Magic, version, and the two fields for time zone and accuracy that nobody fills.
        reader.skip(16).ok()?;
        let snaplen = order.u32(&mut reader).ok()?;
        // The upper half tells of a frame check sequence behind each packet, which the lengths in
        // the headers leave out by themselves.
        let linktype = order.u32(&mut reader).ok()? & 0xffff;
        Some(Parser {
            order,
            precision,
            record_bytes,
            linktype: LinkType(u16::try_from(linktype).ok()?),
            snaplen,
        })
    }

    /// The file's link type.
    pub fn linktype(&self) -> LinkType {
        self.linktype
    }

    /// Reads the packet at the front of `window`.
    ///
    /// Of a packet longer than [`MAX_SNAPLEN`], which only a file with a larger snaplen can hold, the
    /// first bytes up to that bound are given.
    ///
    /// # Errors
    /// `Caplen` when the length cannot be true.
    pub fn step(&self, window: &[u8]) -> Result<Step, Damage> {
        let Some(record) = window.first_chunk::<RECORD_BYTES>() else {
            return Ok(Step::NeedMore(RECORD_BYTES));
        };
        let mut reader = Reader::new(record);
        let secs = self.order.u32(&mut reader)?;
        let fraction = self.order.u32(&mut reader)?;
        let caplen = self.order.u32(&mut reader)?;
        let len = self.order.u32(&mut reader)?;
        if caplen > self.snaplen.clamp(MAX_SNAPLEN, MAX_RECORD_BYTES) {
            return Err(Damage::Caplen(caplen));
        }
        let size = self.record_bytes + caplen as usize;
        if window.len() < size {
            return Ok(Step::NeedMore(size));
        }
        let unit = match self.precision {
            Precision::Micros => 1000,
            Precision::Nanos => 1,
        };
        let given = caplen.min(MAX_SNAPLEN);
        Ok(Step::Packet {
            head: PacketHead {
                ts: Timestamp::from_nanos(
                    i64::from(secs) * 1_000_000_000 + i64::from(fraction) * unit,
                ),
                caplen: given,
                len: len.max(caplen),
                linktype: self.linktype,
                interface: 0,
            },
            data: self.record_bytes..self.record_bytes + given as usize,
            size,
        })
    }
}

/// Appends a file header, least significant bytes first.
pub fn write_header(out: &mut Vec<u8>, linktype: LinkType, snaplen: u32, precision: Precision) {
    let magic = match precision {
        Precision::Micros => MAGIC_MICROS,
        Precision::Nanos => MAGIC_NANOS,
    };
    out.extend_from_slice(&magic.to_le_bytes());
    // Version 2.4, no time zone, no accuracy.
    out.extend_from_slice(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(&snaplen.to_le_bytes());
    out.extend_from_slice(&u32::from(linktype.0).to_le_bytes());
}

/// Appends a packet with its record header; `len` are its bytes on the wire.
///
/// A time before 1970 or after 2106 becomes the nearest bound, since the format holds no other.
pub fn write_packet(
    out: &mut Vec<u8>,
    precision: Precision,
    ts: Timestamp,
    len: u32,
    bytes: &[u8],
) {
    let unit = match precision {
        Precision::Micros => 1000,
        Precision::Nanos => 1,
    };
    let bytes = bytes.get(..MAX_SNAPLEN as usize).unwrap_or(bytes);
    let secs = u32::try_from(ts.secs().max(0)).unwrap_or(u32::MAX);
    let caplen = u32::try_from(bytes.len()).unwrap_or(MAX_SNAPLEN);
    out.extend_from_slice(&secs.to_le_bytes());
    out.extend_from_slice(&(ts.subsec_nanos() / unit).to_le_bytes());
    out.extend_from_slice(&caplen.to_le_bytes());
    out.extend_from_slice(&len.max(caplen).to_le_bytes());
    out.extend_from_slice(bytes);
}
