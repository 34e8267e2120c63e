//! MongoDB's messages: framing, and the parts of each operation.
//!
//! In: the bytes of one side, or one message. Out: lengths, slices of the message. Never: state,
//! allocation by a count that was read. Standard: MongoDB manual, "MongoDB Wire Protocol", and the
//! specification "OP_MSG".
//!
//! ```text
//! message = length i32 (itself included), request i32, response to i32, opcode i32, body
//! OP_MSG  = flags u32, sections, checksum u32?                              little-endian
//! section = 0, document | 1, length i32 (itself included), identifier, documents
//! ```

use super::bson;
use crate::bytes::Reader;
use crate::dissect::intake::Front;

/// Bytes in front of a body.
pub(super) const HEADER: usize = 16;

/// Longest message: what servers call `maxMessageSizeBytes`.
const MAX_MESSAGE: u32 = 48_000_000;

/// Operations.
pub(super) mod op {
    pub const REPLY: u32 = 1;
    pub const UPDATE: u32 = 2001;
    pub const INSERT: u32 = 2002;
    pub const QUERY: u32 = 2004;
    pub const GET_MORE: u32 = 2005;
    pub const DELETE: u32 = 2006;
    pub const KILL_CURSORS: u32 = 2007;
    pub const COMMAND: u32 = 2010;
    pub const COMMAND_REPLY: u32 = 2011;
    pub const COMPRESSED: u32 = 2012;
    pub const MSG: u32 = 2013;
}

/// Flags of OP_MSG.
pub(super) mod flag {
    pub const CHECKSUM_PRESENT: u32 = 1;
    pub const MORE_TO_COME: u32 = 1 << 1;
    pub const EXHAUST_ALLOWED: u32 = 1 << 16;
}

/// The name of an operation.
pub(super) fn opcode_name(opcode: u32) -> Option<&'static str> {
    Some(match opcode {
        op::REPLY => "OP_REPLY",
        op::UPDATE => "OP_UPDATE",
        op::INSERT => "OP_INSERT",
        op::QUERY => "OP_QUERY",
        op::GET_MORE => "OP_GET_MORE",
        op::DELETE => "OP_DELETE",
        op::KILL_CURSORS => "OP_KILL_CURSORS",
        op::COMMAND => "OP_COMMAND",
        op::COMMAND_REPLY => "OP_COMMANDREPLY",
        op::COMPRESSED => "OP_COMPRESSED",
        op::MSG => "OP_MSG",
        _ => return None,
    })
}

/// What stands in front of every message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub length: u32,
    pub request_id: u32,
    pub response_to: u32,
    pub opcode: u32,
}

/// Reads a header.
pub(super) fn header(bytes: &[u8]) -> Option<Header> {
    let mut reader = Reader::new(bytes);
    Some(Header {
        length: reader.u32_le().ok()?,
        request_id: reader.u32_le().ok()?,
        response_to: reader.u32_le().ok()?,
        opcode: reader.u32_le().ok()?,
    })
}

impl Header {
    /// Whether it answers another message: requests answer none.
    pub(super) fn is_reply(&self) -> bool {
        matches!(self.opcode, op::REPLY | op::COMMAND_REPLY) || self.response_to != 0
    }
}

/// Length of the message that `bytes` begins with.
pub(super) fn front(bytes: &[u8]) -> Front {
    let Some(header) = header(bytes) else {
        return match Reader::new(bytes).u32_le() {
            Ok(length) if !(16..=MAX_MESSAGE).contains(&length) => Front::Malformed,
            _ => Front::NeedMore(HEADER),
        };
    };
    let fits = (16..=MAX_MESSAGE).contains(&header.length) && opcode_name(header.opcode).is_some();
    match fits {
        true => Front::Length(header.length.into()),
        false => Front::Malformed,
    }
}

/// Whether bytes begin with a message, as far as they go: header and beginning of the body.
pub(super) fn looks_like_message(bytes: &[u8]) -> Option<bool> {
    if matches!(front(bytes), Front::Malformed) {
        return Some(false);
    }
    let header = header(bytes)?;
    let mut reader = Reader::new(bytes);
    reader.skip(HEADER).ok()?;
    let first = reader.u32_le().ok()?;
    let fits =
        |length: u32, before: u32| length >= 5 && length <= header.length.saturating_sub(before);
    Some(match header.opcode {
        op::MSG => {
            // "Clients MUST error if any unsupported or undefined required bits are set": 0 to 15.
            let kind = reader.u8().ok()?;
            let length = reader.u32_le().ok()?;
            first & 0xfffc == 0 && kind <= 1 && fits(length, 21) && {
                let whole = usize::try_from(length).ok()?.checked_add(21)?;
                let document = bytes.get(21..whole).filter(|_| kind == 0);
                document.is_none_or(bson::is_document)
            }
        }
        op::COMPRESSED => {
            let size = reader.u32_le().ok()?;
            let compressor = reader.u8().ok()?;
            opcode_name(first).is_some() && size <= MAX_MESSAGE && compressor <= 3
        }
        op::REPLY => {
            reader.skip(8 + 4).ok()?;
            let count = reader.u32_le().ok()?;
            first & !0xf == 0 && count <= header.length / 5
        }
        // Collection names have a dot in them.
        _ => {
            let name = bson::text(&mut reader)?;
            name.contains(&b'.') && name.iter().all(|byte| *byte >= 0x20)
        }
    })
}

/// One message, taken apart.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Parts<'a> {
    pub flags: u32,
    /// The command or reply.
    pub document: &'a [u8],
    /// Database and collection of a legacy operation, joined by a dot.
    pub namespace: &'a [u8],
    /// Name of a sequence of documents.
    pub identifier: &'a [u8],
    /// Documents, one behind the other.
    pub documents: &'a [u8],
    /// Cursor of OP_REPLY and OP_GET_MORE.
    pub cursor: Option<u64>,
    /// Checksum at the end of a whole OP_MSG.
    pub checksum: Option<u32>,
}

/// Takes a message apart, header in front; parts that are not there are empty.
pub(super) fn parts(message: &[u8], opcode: u32, is_cut: bool) -> Parts<'_> {
    let mut reader = Reader::new(message);
    let mut parts = Parts::default();
    // What ends early leaves the later parts empty.
    let _ = match opcode {
        op::MSG => sections(&mut reader, is_cut, &mut parts),
        op::COMMAND => command(&mut reader, &mut parts),
        op::COMMAND_REPLY => reader.skip(HEADER).ok().map(|()| {
            parts.document = document(&mut reader);
        }),
        _ => legacy(&mut reader, opcode, &mut parts),
    };
    parts
}

/// The document that stands next, or what there is of it.
fn document<'a>(reader: &mut Reader<'a>) -> &'a [u8] {
    let length = bson::length(reader.rest()).unwrap_or(0);
    reader.take(length.min(reader.left())).unwrap_or_default()
}

fn sections<'a>(reader: &mut Reader<'a>, is_cut: bool, parts: &mut Parts<'a>) -> Option<()> {
    reader.skip(HEADER).ok()?;
    parts.flags = reader.u32_le().ok()?;
    if parts.flags & flag::CHECKSUM_PRESENT != 0 && !is_cut {
        let (rest, checksum) = reader.rest().split_last_chunk::<4>()?;
        parts.checksum = Some(u32::from_le_bytes(*checksum));
        *reader = Reader::new(rest);
    }
    while let Ok(kind) = reader.u8() {
        if kind == 0 {
            parts.document = document(reader);
            continue;
        }
        let length = usize::try_from(reader.u32_le().ok()?).ok()?;
        let length = length.checked_sub(4)?.min(reader.left());
        let mut section = Reader::new(reader.take(length).ok()?);
        // More than one sequence is allowed and sent by nobody; the first is shown.
        if parts.documents.is_empty() {
            parts.identifier = bson::text(&mut section)?;
            parts.documents = section.rest();
        }
    }
    Some(())
}

fn command<'a>(reader: &mut Reader<'a>, parts: &mut Parts<'a>) -> Option<()> {
    reader.skip(HEADER).ok()?;
    parts.namespace = bson::text(reader)?;
    bson::text(reader)?;
    parts.document = document(reader);
    Some(())
}

fn legacy<'a>(reader: &mut Reader<'a>, opcode: u32, parts: &mut Parts<'a>) -> Option<()> {
    reader.skip(HEADER).ok()?;
    // Flags, or a field that is always zero.
    parts.flags = reader.u32_le().ok()?;
    if opcode == op::REPLY {
        parts.cursor = Some(reader.u64_le().ok()?);
        reader.skip(4 + 4).ok()?;
        parts.documents = reader.rest();
        return Some(());
    }
    if opcode == op::KILL_CURSORS {
        return Some(());
    }
    parts.namespace = bson::text(reader)?;
    match opcode {
        op::QUERY => {
            reader.skip(4 + 4).ok()?;
            parts.document = document(reader);
        }
        op::INSERT => parts.documents = reader.rest(),
        op::UPDATE => {
            parts.flags = reader.u32_le().ok()?;
            parts.document = document(reader);
            parts.documents = reader.rest();
        }
        op::DELETE => {
            parts.flags = reader.u32_le().ok()?;
            parts.document = document(reader);
        }
        op::GET_MORE => {
            reader.skip(4).ok()?;
            parts.cursor = Some(reader.u64_le().ok()?);
        }
        _ => {}
    }
    Some(())
}

/// Documents, one behind the other; the last may be cut.
pub(super) fn documents(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut reader = Reader::new(bytes);
    std::iter::from_fn(move || {
        let found = document(&mut reader);
        (!found.is_empty()).then_some(found)
    })
}

/// The command and the document that holds it: a legacy query may wrap it in `$query`.
pub(super) fn command_document(document: &[u8]) -> &[u8] {
    let first = bson::elements(document).next();
    match first {
        Some(first) if matches!(first.name, b"$query" | b"query") => {
            first.document().unwrap_or(document)
        }
        _ => document,
    }
}

/// CRC-32C of the Castagnoli polynomial (RFC 3720 section 12.1), as OP_MSG ends with it.
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    !bytes.iter().fold(!0, |crc, byte| {
        let [low, ..] = crc.to_le_bytes();
        let entry = TABLE.get(usize::from(low ^ byte)).copied();
        entry.unwrap_or_default() ^ (crc >> 8)
    })
}

const fn table() -> [u32; 256] {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (POLYNOMIAL * (crc & 1));
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}
