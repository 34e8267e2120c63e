//! PostgreSQL's messages: framing, and the parts of each body.
//!
//! In: the bytes of one side, or the body of one message. Out: lengths, slices of the body. Never:
//! state, allocation by a count that was read. Standard: PostgreSQL documentation, "Frontend/Backend
//! Protocol", sections "Message Formats" and "Error and Notice Message Fields", protocol 3.0 to 3.2.
//!
//! ```text
//! message  = type u8, length u32 (itself included, the type not), body      big-endian
//! start-up = length u32, code u32, body                                     (no type)
//! ```

use crate::bytes::{Reader, Short};
use crate::dissect::intake::Front;

/// Bytes in front of the body of a typed message.
pub(super) const HEADER: usize = 5;

/// Bytes in front of the body of a start-up message.
pub(super) const STARTUP_HEADER: usize = 8;

/// Longest start-up message that servers take (`MAX_STARTUP_PACKET_LENGTH`).
const MAX_STARTUP: u32 = 10_000;

/// Longest message that servers send or take (`MaxAllocSize` is 1 GiB less one).
const MAX_MESSAGE: u32 = 0x4000_0000;

/// Code of a CancelRequest.
pub(super) const CANCEL_REQUEST: u32 = 80_877_102;
/// Code of an SSLRequest.
pub(super) const SSL_REQUEST: u32 = 80_877_103;
/// Code of a GSSENCRequest.
pub(super) const GSSENC_REQUEST: u32 = 80_877_104;

/// Length of the message that `bytes` begins with, whatever its type.
fn typed(bytes: &[u8], known: fn(u8) -> bool) -> Front {
    match bytes {
        [kind, ..] if !known(*kind) => Front::Malformed,
        [_, a, b, c, d, ..] => match u32::from_be_bytes([*a, *b, *c, *d]) {
            length @ 4..=MAX_MESSAGE => Front::Length(u64::from(length) + 1),
            _ => Front::Malformed,
        },
        _ => Front::NeedMore(HEADER),
    }
}

/// Length of a client's message.
pub(super) fn frontend(bytes: &[u8]) -> Front {
    typed(bytes, |kind| b"QPBDECSHFpXdcf".contains(&kind))
}

/// Length of a server's message.
pub(super) fn backend(bytes: &[u8]) -> Front {
    typed(bytes, |kind| b"RSKZTDCENA123nIstcGHWVvd".contains(&kind))
}

/// Length of a message that opens a connection.
pub(super) fn startup(bytes: &[u8]) -> Front {
    let mut reader = Reader::new(bytes);
    let (Ok(length), Ok(code)) = (reader.u32(), reader.u32()) else {
        // The length's first two bytes are zero: bytes that are not leave no doubt.
        return match bytes.iter().take(2).all(|byte| *byte == 0) {
            true => Front::NeedMore(STARTUP_HEADER),
            false => Front::Malformed,
        };
    };
    let fits = match code {
        SSL_REQUEST | GSSENC_REQUEST => length == 8,
        // The key is of four bytes up to 3.0, of up to 256 in 3.2.
        CANCEL_REQUEST => (13..=268).contains(&length),
        code => code >> 16 == 3 && (9..=MAX_STARTUP).contains(&length),
    };
    match fits {
        true => Front::Length(u64::from(length)),
        false => Front::Malformed,
    }
}

/// Text up to its zero byte.
pub(super) fn text<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Short> {
    let rest = reader.rest();
    let end = memchr::memchr(0, rest).unwrap_or(rest.len());
    let text = reader.take(end)?;
    reader.skip(1)?;
    Ok(text)
}

/// The body of a typed message; empty when it is cut in its header.
pub(super) fn body(message: &[u8]) -> &[u8] {
    message.get(HEADER..).unwrap_or_default()
}

/// Names with values, ended by an empty name: a StartupMessage's parameters.
pub(super) fn pairs(body: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut reader = Reader::new(body);
    std::iter::from_fn(move || {
        let name = text(&mut reader).ok().filter(|name| !name.is_empty())?;
        Some((name, text(&mut reader).ok()?))
    })
}

/// A Parse message: names are slices of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parse<'a> {
    pub statement: &'a [u8],
    pub query: &'a [u8],
    /// Whether the query goes on where the bytes end.
    pub cut: bool,
}

/// Reads the body of a Parse message; a query that is cut is given as far as it goes.
pub(super) fn parse(body: &[u8]) -> Result<Parse<'_>, Short> {
    let mut reader = Reader::new(body);
    let statement = text(&mut reader)?;
    let rest = reader.rest();
    match text(&mut reader) {
        Ok(query) => Ok(Parse {
            statement,
            query,
            cut: false,
        }),
        Err(_) => Ok(Parse {
            statement,
            query: rest,
            cut: true,
        }),
    }
}

/// The names in front of a Bind message: portal, then statement.
pub(super) fn bind_names(body: &[u8]) -> Result<(&[u8], &[u8]), Short> {
    let mut reader = Reader::new(body);
    Ok((text(&mut reader)?, text(&mut reader)?))
}

/// How one value is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Binary,
    /// Nobody was seen to say.
    Unknown,
}

/// Format codes: none means text, one is for all, otherwise one each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Formats<'a>(pub &'a [u8]);

impl Formats<'_> {
    pub(super) fn of(&self, index: usize) -> Format {
        let at = match self.0.len() {
            0 => return Format::Text,
            2 => 0,
            _ => index.saturating_mul(2),
        };
        match self.0.get(at..at.saturating_add(2)) {
            Some([0, 0]) => Format::Text,
            Some([0, 1]) => Format::Binary,
            _ => Format::Unknown,
        }
    }
}

fn formats<'a>(reader: &mut Reader<'a>) -> Result<Formats<'a>, Short> {
    let count = usize::from(reader.u16()?);
    Ok(Formats(reader.take(count * 2)?))
}

/// One value of a Bind message or DataRow, length in front; `None` is NULL.
fn value<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, Short> {
    match reader.u32()? {
        u32::MAX => Ok(None),
        length => Ok(Some(
            reader.take(usize::try_from(length).unwrap_or(usize::MAX))?,
        )),
    }
}

/// Values behind their count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Values<'a> {
    reader: Reader<'a>,
    left: u16,
}

impl<'a> Values<'a> {
    /// The body of a DataRow.
    pub(super) fn of_row(body: &'a [u8]) -> Values<'a> {
        let mut reader = Reader::new(body);
        let left = reader.u16().unwrap_or(0);
        Values { reader, left }
    }

    /// Whether the values fill the body to its last byte.
    fn fill(mut self) -> bool {
        (0..self.left).all(|_| value(&mut self.reader).is_ok()) && self.reader.is_empty()
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Option<&'a [u8]>;

    /// The next value; one that is cut is given as far as it goes.
    fn next(&mut self) -> Option<Option<&'a [u8]>> {
        self.left = self.left.checked_sub(1)?;
        match value(&mut self.reader) {
            Ok(value) => Some(value),
            Err(_) => {
                self.left = 0;
                Some(Some(self.reader.rest()))
                    .filter(|rest| rest.is_some_and(|rest| !rest.is_empty()))
            }
        }
    }
}

/// The formats and values of a Bind message, then the formats of its results.
pub(super) fn bind_values(body: &[u8]) -> Result<(Formats<'_>, Values<'_>), Short> {
    let mut reader = Reader::new(body);
    text(&mut reader)?;
    text(&mut reader)?;
    let formats = formats(&mut reader)?;
    let left = reader.u16()?;
    Ok((formats, Values { reader, left }))
}

/// The formats in which a Bind message asks for its results.
pub(super) fn bind_results(body: &[u8]) -> Result<Formats<'_>, Short> {
    let (_, mut values) = bind_values(body)?;
    for _ in 0..values.left {
        value(&mut values.reader)?;
    }
    formats(&mut values.reader)
}

/// The columns of a RowDescription: name and format.
pub(super) fn columns(body: &[u8]) -> impl Iterator<Item = (&[u8], u16)> {
    let mut reader = Reader::new(body);
    let count = reader.u16().unwrap_or(0);
    (0..count).map_while(move |_| {
        let name = text(&mut reader).ok()?;
        // Table OID, attribute number, type OID, type size, type modifier.
        reader.skip(4 + 2 + 4 + 2 + 4).ok()?;
        Some((name, reader.u16().ok()?))
    })
}

/// The fields of an ErrorResponse or NoticeResponse: code and text.
pub(super) fn error_fields(body: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut reader = Reader::new(body);
    std::iter::from_fn(move || {
        let code = reader.u8().ok().filter(|code| *code != 0)?;
        Some((code, text(&mut reader).ok()?))
    })
}

/// The field of an ErrorResponse with this code; empty when it has none.
pub(super) fn error_field(body: &[u8], code: u8) -> &[u8] {
    error_fields(body)
        .find(|(found, _)| *found == code)
        .map_or(&[], |(_, text)| text)
}

/// Rows that a command tag names, as `INSERT 0 5` or `SELECT 5`.
pub(super) fn affected_rows(tag: &[u8]) -> Option<i64> {
    let last = tag.rsplit(|byte| *byte == b' ').next()?;
    let text = std::str::from_utf8(last).ok()?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// What a walk over the messages of one side found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Walk {
    /// No message.
    No,
    /// The first message is not whole; nothing speaks against it.
    Partial,
    /// Messages, and nothing behind the last that is none.
    Messages,
}

/// Messages that a walk looks at: enough to be sure.
const MAX_WALK: usize = 16;

/// Messages of any content that are as good as one whose content fits.
const WEAK_ENOUGH: usize = 4;

/// How well a body fits its type: `None` not at all, otherwise whether that means anything.
type Fits = Option<bool>;

fn walk(bytes: &[u8], front: fn(&[u8]) -> Front, fits: fn(u8, &[u8]) -> Fits) -> Walk {
    let mut rest = bytes;
    let (mut weak, mut strong) = (0, 0);
    while !rest.is_empty() && weak + strong < MAX_WALK {
        let length = match front(rest) {
            Front::Malformed => return Walk::No,
            Front::NeedMore(_) => break,
            Front::Length(length) => usize::try_from(length).unwrap_or(usize::MAX),
        };
        let Some((message, after)) = rest.split_at_checked(length) else {
            break;
        };
        let kind = message.first().copied().unwrap_or_default();
        match fits(kind, body(message)) {
            None => return Walk::No,
            Some(true) => strong += 1,
            Some(false) => weak += 1,
        }
        rest = after;
    }
    match strong > 0 || weak >= WEAK_ENOUGH {
        true => Walk::Messages,
        false => Walk::Partial,
    }
}

/// Whether the bytes begin with a message that opens a connection.
pub(super) fn walk_startup(bytes: &[u8]) -> Walk {
    let length = match startup(bytes) {
        Front::Malformed => return Walk::No,
        Front::NeedMore(_) => return Walk::Partial,
        Front::Length(length) => usize::try_from(length).unwrap_or(usize::MAX),
    };
    let whole = bytes.get(..length);
    let body = whole
        .unwrap_or(bytes)
        .get(STARTUP_HEADER..)
        .unwrap_or_default();
    if bytes.get(4..6) != Some(&[0, 3]) {
        return match whole {
            Some(_) => Walk::Messages,
            None => Walk::Partial,
        };
    }
    // Kafka's Metadata requests begin in the same way; names are what it has not.
    let is_name = |byte: &u8| byte.is_ascii_lowercase() || b"._".contains(byte);
    let name = body.split(|byte| *byte == 0).next().unwrap_or_default();
    match whole {
        _ if !name.iter().all(is_name) || (name.is_empty() && !body.is_empty()) => Walk::No,
        Some(_) if body.ends_with(b"\0\0") => Walk::Messages,
        Some(_) => Walk::No,
        None => Walk::Partial,
    }
}

/// Whether the bytes are messages of a client.
pub(super) fn walk_frontend(bytes: &[u8]) -> Walk {
    walk(bytes, frontend, frontend_fits)
}

/// Whether the bytes are messages of a server.
pub(super) fn walk_backend(bytes: &[u8]) -> Walk {
    walk(bytes, backend, backend_fits)
}

fn fills<'a, T>(
    body: &'a [u8],
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Short>,
) -> Option<T> {
    let mut reader = Reader::new(body);
    let read = read(&mut reader).ok()?;
    reader.is_empty().then_some(read)
}

fn frontend_fits(kind: u8, body: &[u8]) -> Fits {
    let fits = match kind {
        b'Q' => fills(body, text).is_some(),
        b'P' => fills(body, |reader| {
            text(reader)?;
            text(reader)?;
            let count = usize::from(reader.u16()?);
            reader.skip(count * 4)
        })
        .is_some(),
        b'B' => bind_results(body).is_ok(),
        b'D' | b'C' => matches!(
            fills(body, |reader| { Ok((reader.u8()?, text(reader)?)) }),
            Some((b'S' | b'P', _))
        ),
        b'E' => fills(body, |reader| {
            text(reader)?;
            reader.u32()
        })
        .is_some(),
        b'S' | b'H' | b'X' | b'c' => body.is_empty(),
        b'f' => fills(body, text).is_some(),
        // Function call, password, copy data: anything.
        _ => return Some(false),
    };
    fits.then_some(true)
}

fn backend_fits(kind: u8, body: &[u8]) -> Fits {
    let fits = match kind {
        b'R' => Reader::new(body).u32().is_ok_and(|code| code <= 12),
        b'S' => fills(body, |reader| {
            text(reader)?;
            text(reader)
        })
        .is_some(),
        b'K' => body.len() >= 8,
        b'Z' => matches!(body, [b'I' | b'T' | b'E']),
        b'T' => {
            let count = Reader::new(body).u16().unwrap_or(u16::MAX);
            columns(body).count() == usize::from(count)
        }
        b'D' => Values::of_row(body).fill(),
        b'C' => {
            fills(body, text).is_some_and(|tag| tag.iter().all(|byte| (32..127).contains(byte)))
        }
        b'E' | b'N' => error_field(body, b'C').len() == 5,
        b'1' | b'2' | b'3' | b'n' | b'I' | b's' | b'c' => body.is_empty(),
        b't' => fills(body, |reader| {
            let count = usize::from(reader.u16()?);
            reader.skip(count * 4)
        })
        .is_some(),
        b'A' => fills(body, |reader| {
            reader.u32()?;
            text(reader)?;
            text(reader)
        })
        .is_some(),
        b'G' | b'H' | b'W' => fills(body, |reader| {
            reader.u8()?;
            formats(reader)
        })
        .is_some(),
        // Function result, protocol negotiation, copy data: anything.
        _ => return Some(false),
    };
    fits.then_some(true)
}
