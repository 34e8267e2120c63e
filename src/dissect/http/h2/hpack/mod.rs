//! HPACK: from the bytes of a field block to its field lines.
//!
//! In: the fragments of one direction's blocks, in order. Out: each field line, or that a part of it
//! was sent where nobody captured it. Never: a guess at such a part; a panic; a table beyond
//! [`table::MAX_TABLE`]. Standard: RFC 7541.

mod huffman;
mod table;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(super) use huffman::encode;
pub(super) use huffman::hidden;

use std::ops::Range;

use self::table::{STATIC_LEN, Table};
use crate::bytes::{Reader, Short};

pub(super) use table::{ENTRY_OVERHEAD, Name, fixed};

/// What makes a block undecodable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// An index that stands for no field.
    Index,
    /// An integer of more than 28 bits, which nothing in a block can be.
    Integer,
    /// A string that is against the Huffman code.
    Huffman,
    /// A table size above what the receiver allows.
    Size,
}

impl Fault {
    /// One sentence.
    pub(super) fn text(self) -> &'static str {
        match self {
            Fault::Index => "a header block has an index that stands for no field",
            Fault::Integer => "a header block has an integer that is too long",
            Fault::Huffman => "a header block has a string that is against the Huffman code",
            Fault::Size => "a header block announces a larger table than is allowed",
        }
    }
}

/// How far a block was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    /// Bytes that are done with.
    pub taken: usize,
    /// Bytes behind them that the next field line has at least; 0 when all is read.
    pub needs: usize,
}

/// One direction's decoder.
#[derive(Debug, Clone)]
pub(super) struct Decoder {
    table: Table,
    /// Largest table that the receiver may have allowed so far; `None` while that is not known.
    allowed: Option<usize>,
    /// Buffers for strings that are Huffman coded.
    name: Vec<u8>,
    value: Vec<u8>,
}

/// Where the value of a field line was written out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    /// Its bytes within the block.
    pub part: Range<usize>,
    /// Whether they are Huffman coded.
    pub coded: bool,
}

enum Halt {
    Short(Short),
    Fault(Fault),
}

impl From<Short> for Halt {
    fn from(short: Short) -> Halt {
        Halt::Short(short)
    }
}

impl Decoder {
    /// The decoder of a connection that is seen from its beginning.
    pub(super) fn new() -> Decoder {
        Decoder {
            table: Table::new(),
            allowed: Some(table::DEFAULT_TABLE),
            name: Vec::new(),
            value: Vec::new(),
        }
    }

    /// The decoder of a connection that is joined late.
    pub(super) fn unknown() -> Decoder {
        Decoder {
            table: Table::unknown(),
            allowed: None,
            ..Decoder::new()
        }
    }

    /// Parts of blocks were missed: nothing in the table can be trusted any more.
    pub(super) fn lose(&mut self) {
        self.table = Table::unknown();
    }

    /// The receiver allows tables of up to `size` bytes (SETTINGS_HEADER_TABLE_SIZE); one that is
    /// allowed once may be in use until the sender shrinks it.
    pub(super) fn allow(&mut self, size: usize) {
        self.allowed = self.allowed.map(|allowed| allowed.max(size));
    }

    /// Reads field lines off the front of `block` and hands each to `line`, name and value; the
    /// value is `None` when it was sent where nobody captured it.
    ///
    /// # Errors
    /// A [`Fault`] when the bytes are against the standard; what follows in the block cannot be read.
    pub(super) fn decode(
        &mut self,
        block: &[u8],
        mut line: impl FnMut(Name<'_>, Option<&[u8]>),
    ) -> Result<Progress, Fault> {
        self.decode_placed(block, |name, value, _| line(name, value))
    }

    /// The same, with the place of each value that the block itself holds.
    ///
    /// # Errors
    /// As [`Decoder::decode`].
    pub(super) fn decode_placed(
        &mut self,
        block: &[u8],
        mut line: impl FnMut(Name<'_>, Option<&[u8]>, Option<Written>),
    ) -> Result<Progress, Fault> {
        let mut reader = Reader::new(block);
        loop {
            let taken = reader.offset();
            if reader.is_empty() {
                return Ok(Progress { taken, needs: 0 });
            }
            match self.line(&mut reader, &mut line) {
                Ok(()) => {}
                Err(Halt::Fault(fault)) => return Err(fault),
                Err(Halt::Short(short)) => {
                    let needs = short.offset.saturating_add(short.needed) - taken;
                    return Ok(Progress { taken, needs });
                }
            }
        }
    }

    /// One representation (RFC 7541 section 6).
    fn line(
        &mut self,
        reader: &mut Reader<'_>,
        line: &mut impl FnMut(Name<'_>, Option<&[u8]>, Option<Written>),
    ) -> Result<(), Halt> {
        let first = reader.u8()?;
        match first.leading_zeros() {
            // Indexed header field.
            0 => match integer(reader, first, 7)? {
                0 => Err(Halt::Fault(Fault::Index)),
                index => self.indexed(index, line),
            },
            // Literal with incremental indexing.
            1 => self.literal(reader, (first, 6), line),
            // Dynamic table size update.
            2 => {
                let size = integer(reader, first, 5)?;
                if self.allowed.is_some_and(|allowed| size > allowed) {
                    return Err(Halt::Fault(Fault::Size));
                }
                self.table.resize(size);
                Ok(())
            }
            // Literal without indexing, or never indexed.
            _ => self.literal(reader, (first, 4), line),
        }
    }

    fn indexed(
        &mut self,
        index: usize,
        line: &mut impl FnMut(Name<'_>, Option<&[u8]>, Option<Written>),
    ) -> Result<(), Halt> {
        if let Some((_, value)) = fixed(index) {
            line(static_name(index), Some(value.as_bytes()), None);
            return Ok(());
        }
        match self.table.get(index - STATIC_LEN - 1) {
            Some((name, value)) => line(name, Some(value), None),
            None if self.table.is_complete() => return Err(Halt::Fault(Fault::Index)),
            None => line(Name::Unknown, None, None),
        }
        Ok(())
    }

    fn literal(
        &mut self,
        reader: &mut Reader<'_>,
        (first, bits): (u8, u32),
        line: &mut impl FnMut(Name<'_>, Option<&[u8]>, Option<Written>),
    ) -> Result<(), Halt> {
        let Decoder {
            table, name, value, ..
        } = self;
        // Only literals with incremental indexing have a prefix of six bits.
        let adds = bits == 6;
        let index = integer(reader, first, bits)?;
        if index == 0 {
            let (name, _) = string(reader, name)?;
            let (value, place) = string(reader, value)?;
            line(Name::Written(name), Some(value), Some(place));
            if adds {
                table.insert(Name::Written(name), value);
            }
            return Ok(());
        }
        let (value, place) = string(reader, value)?;
        if fixed(index).is_some() {
            line(static_name(index), Some(value), Some(place));
            if adds {
                table.insert(static_name(index), value);
            }
            return Ok(());
        }
        let index = index - STATIC_LEN - 1;
        match table.get(index) {
            Some((name, _)) => line(name, Some(value), Some(place)),
            None if table.is_complete() => return Err(Halt::Fault(Fault::Index)),
            None => line(Name::Unknown, Some(value), Some(place)),
        }
        if adds {
            table.insert_named_as(index, value);
        }
        Ok(())
    }

    /// Writes it for [`Decoder::load`].
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        let allowed = self.allowed.map_or(u64::MAX, |size| size as u64);
        out.extend_from_slice(&allowed.to_be_bytes());
        self.table.save(out);
    }

    /// Reads one back; `None` when the bytes are not those of a save.
    pub(super) fn load(from: &mut Reader<'_>) -> Option<Decoder> {
        let allowed = match from.u64().ok()? {
            u64::MAX => None,
            size => Some(usize::try_from(size).ok()?),
        };
        Some(Decoder {
            allowed,
            table: Table::load(from)?,
            ..Decoder::new()
        })
    }
}

fn static_name(index: usize) -> Name<'static> {
    u8::try_from(index).map_or(Name::Unknown, Name::Static)
}

/// An integer whose first bits are the last `bits` of `first` (RFC 7541 section 5.1).
fn integer(reader: &mut Reader<'_>, first: u8, bits: u32) -> Result<usize, Halt> {
    let mask = (1u8 << bits) - 1;
    let mut value = usize::from(first & mask);
    if value < usize::from(mask) {
        return Ok(value);
    }
    for shift in [0, 7, 14, 21] {
        let byte = reader.u8()?;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Halt::Fault(Fault::Integer))
}

/// A string literal (RFC 7541 section 5.2): a part of the block, or decoded into `buffer`; and where
/// it was written.
fn string<'s, 'b: 's>(
    reader: &mut Reader<'b>,
    buffer: &'s mut Vec<u8>,
) -> Result<(&'s [u8], Written), Halt> {
    let first = reader.u8()?;
    let length = integer(reader, first, 7)?;
    let start = reader.offset();
    let sent = reader.take(length)?;
    let place = Written {
        part: start..reader.offset(),
        coded: first & 0x80 != 0,
    };
    if !place.coded {
        return Ok((sent, place));
    }
    buffer.clear();
    huffman::decode(sent, buffer).map_err(|_| Halt::Fault(Fault::Huffman))?;
    Ok((buffer, place))
}
