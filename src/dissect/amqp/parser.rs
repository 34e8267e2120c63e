//! Reads AMQP: protocol headers, frames, method arguments, field tables; pure.
//!
//! In: bytes. Out: places and numbers in them. Never: text (that is `render`), allocation, recursion
//! beyond [`MAX_DEPTH`]. Standards: AMQP 0-9-1 section 4.2 with RabbitMQ's table value types, AMQP
//! 1.0 part 2 section 2.3.

use super::spec::{self, Argument, BASIC, Kind, Method};
use crate::bytes::{Reader, Short};

/// Last octet of every 0-9-1 frame.
pub(super) const FRAME_END: u8 = 0xce;

/// Bytes of a 0-9-1 frame in front of its payload.
pub(super) const FRAME_HEADER: usize = 7;

/// Bytes of a protocol header.
pub(super) const PROTOCOL_HEADER: usize = 8;

/// Tables and arrays within each other; brokers and clients nest up to four (`capabilities` in
/// `server-properties`, `x-death` in `headers`).
pub(super) const MAX_DEPTH: usize = 16;

/// A frame longer than this is no frame: brokers refuse messages of 512 MiB and more.
const MAX_FRAME_SIZE: u32 = 1 << 30;

/// Why reading stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ParseErrorKind {
    /// The bytes end early.
    Truncated,
    /// A table value is of no known type.
    ValueType,
    /// Tables are nested deeper than [`MAX_DEPTH`].
    TooDeep,
}

/// Why reading stopped, and the offset of the first byte that did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ParseError {
    /// Why.
    pub(super) kind: ParseErrorKind,
    /// Where.
    pub(super) offset: usize,
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self.kind {
            ParseErrorKind::Truncated => "it ends early",
            ParseErrorKind::ValueType => "a table value is of no known type",
            ParseErrorKind::TooDeep => "tables are nested too deeply",
        };
        write!(f, "{what}, at byte {}", self.offset)
    }
}

impl From<Short> for ParseError {
    fn from(short: Short) -> ParseError {
        ParseError {
            kind: ParseErrorKind::Truncated,
            offset: short.offset,
        }
    }
}

/// The eight bytes with which either side names its protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProtocolHeader(pub(super) [u8; 4]);

impl ProtocolHeader {
    /// What AMQP 0-9-1 begins with.
    pub(super) const V0_9_1: ProtocolHeader = ProtocolHeader([0, 0, 9, 1]);

    /// Reads one; `None` when the bytes do not begin with `AMQP` or are too few.
    pub(super) fn parse(bytes: &[u8]) -> Option<ProtocolHeader> {
        let (head, _) = bytes.split_first_chunk::<PROTOCOL_HEADER>()?;
        match head {
            [b'A', b'M', b'Q', b'P', id, major, minor, revision] => {
                Some(ProtocolHeader([*id, *major, *minor, *revision]))
            }
            _ => None,
        }
    }

    /// Whether it is of AMQP 1.0, whose identifiers are 0, 2 (TLS) and 3 (SASL).
    pub(super) fn is_1_0(self) -> bool {
        matches!(self.0, [0 | 2 | 3, 1, 0, 0])
    }

    /// Whether TLS follows.
    pub(super) fn is_tls(self) -> bool {
        self.0 == [2, 1, 0, 0]
    }
}

/// What a 0-9-1 frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// A method with its arguments.
    Method,
    /// Size and properties of a content.
    Header,
    /// A part of a content's body.
    Body,
    /// Nothing.
    Heartbeat,
}

/// The front of a 0-9-1 frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// What it holds.
    pub(super) kind: FrameKind,
    /// The channel; 0 is the connection itself.
    pub(super) channel: u16,
    /// Bytes of the payload.
    pub(super) size: u32,
}

/// What the front of some bytes may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looks {
    /// It is.
    Yes,
    /// It cannot be.
    No,
    /// So far it may be.
    Short,
}

impl FrameHeader {
    /// Reads one: `Ok(None)` when bytes are missing.
    ///
    /// # Errors
    /// `Err` when no frame begins so.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<FrameHeader>, ()> {
        let mut reader = Reader::new(bytes);
        let kind = match reader.u8() {
            Ok(1) => FrameKind::Method,
            Ok(2) => FrameKind::Header,
            Ok(3) => FrameKind::Body,
            Ok(8) => FrameKind::Heartbeat,
            Ok(_) => return Err(()),
            Err(_) => return Ok(None),
        };
        let (Ok(channel), Ok(size)) = (reader.u16(), reader.u32()) else {
            return Ok(None);
        };
        let fits = match kind {
            FrameKind::Method => size >= 4,
            FrameKind::Header => size >= 14,
            FrameKind::Body => true,
            // "Heartbeat frames have ... a channel number of zero" (section 4.2.7) and no payload.
            FrameKind::Heartbeat => size == 0 && channel == 0,
        };
        match fits && size < MAX_FRAME_SIZE {
            true => Ok(Some(FrameHeader {
                kind,
                channel,
                size,
            })),
            false => Err(()),
        }
    }

    /// Whether a frame that can be told from chance begins here: a known method, the header of a
    /// message, a heartbeat. A body looks like anything.
    pub(super) fn stands_out(bytes: &[u8]) -> Looks {
        let header = match FrameHeader::parse(bytes) {
            Ok(Some(header)) => header,
            Ok(None) => return Looks::Short,
            Err(()) => return Looks::No,
        };
        let mut reader = Reader::new(bytes.get(FRAME_HEADER..).unwrap_or_default());
        let (first, second) = match header.kind {
            FrameKind::Heartbeat => {
                return match reader.u8() {
                    Ok(FRAME_END) => Looks::Yes,
                    Ok(_) => Looks::No,
                    Err(_) => Looks::Short,
                };
            }
            FrameKind::Body => return Looks::No,
            FrameKind::Method | FrameKind::Header => match (reader.u16(), reader.u16()) {
                (Ok(first), Ok(second)) => (first, second),
                _ => return Looks::Short,
            },
        };
        let known = match header.kind {
            FrameKind::Method => spec::find(first, second).is_some(),
            // Class and weight, which "MUST be zero" (section 4.2.6.1).
            _ => first == BASIC && second == 0,
        };
        match known && header.ends_well(bytes) != Some(false) {
            true => Looks::Yes,
            false => Looks::No,
        }
    }

    /// Whether the octet behind the frame is the right one; `None` when it is not there.
    pub(super) fn ends_well(&self, bytes: &[u8]) -> Option<bool> {
        let end = FRAME_HEADER.checked_add(usize::try_from(self.size).ok()?)?;
        bytes.get(end).map(|octet| *octet == FRAME_END)
    }
}

/// The front of an AMQP 1.0 frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame1Header {
    /// Bytes of the frame, its header included.
    pub(super) size: u32,
    /// Bytes in front of the body.
    pub(super) body_at: usize,
    /// 0 for AMQP, 1 for SASL.
    pub(super) kind: u8,
    /// The channel.
    pub(super) channel: u16,
}

impl Frame1Header {
    /// Bytes of the header without its extension.
    pub(super) const LEN: usize = 8;

    /// Bytes behind the header that surely hold the descriptor of the performative.
    pub(super) const DESCRIPTOR: usize = 40;

    /// Reads one: `Ok(None)` when bytes are missing.
    ///
    /// # Errors
    /// `Err` when no frame begins so.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Frame1Header>, ()> {
        let mut reader = Reader::new(bytes);
        let Ok(size) = reader.u32() else {
            return Ok(None);
        };
        let (Ok(doff), Ok(kind), Ok(channel)) = (reader.u8(), reader.u8(), reader.u16()) else {
            return Ok(None);
        };
        let body_at = usize::from(doff) * 4;
        let inside = u32::try_from(body_at).is_ok_and(|body_at| body_at <= size);
        // "The frame is malformed if the size is less than the size of the frame header", and "if
        // DOFF is less than 2" (section 2.3.1).
        match doff >= 2 && inside && kind <= 1 && size < MAX_FRAME_SIZE {
            true => Ok(Some(Frame1Header {
                size,
                body_at,
                kind,
                channel,
            })),
            false => Err(()),
        }
    }

    /// Whether a frame with a known performative begins here.
    pub(super) fn stands_out(bytes: &[u8]) -> Looks {
        match Frame1Header::parse(bytes) {
            // An empty frame keeps the connection alive; eight such bytes may be anything.
            Ok(Some(header)) if header.size == 8 => Looks::No,
            Ok(Some(header)) => {
                let body = bytes.get(header.body_at..).unwrap_or_default();
                let whole = bytes.len() >= usize::try_from(header.size).unwrap_or(usize::MAX);
                match performative(body) {
                    Some(_) => Looks::Yes,
                    None if whole || body.len() >= Frame1Header::DESCRIPTOR => Looks::No,
                    None if body.first().is_some_and(|octet| *octet != 0) => Looks::No,
                    None => Looks::Short,
                }
            }
            Ok(None) => Looks::Short,
            Err(()) => Looks::No,
        }
    }
}

/// Name of the performative that a 1.0 frame body begins with: a described list whose descriptor
/// is a number or a symbol (part 2 section 2.7, part 5 section 5.3.3).
pub(super) fn performative(body: &[u8]) -> Option<&'static str> {
    const NAMES: [(u64, &str); 14] = [
        (0x10, "open"),
        (0x11, "begin"),
        (0x12, "attach"),
        (0x13, "flow"),
        (0x14, "transfer"),
        (0x15, "disposition"),
        (0x16, "detach"),
        (0x17, "end"),
        (0x18, "close"),
        (0x40, "sasl-mechanisms"),
        (0x41, "sasl-init"),
        (0x42, "sasl-challenge"),
        (0x43, "sasl-response"),
        (0x44, "sasl-outcome"),
    ];
    let mut reader = Reader::new(body);
    if reader.u8().ok()? != 0 {
        return None;
    }
    let code = match reader.u8().ok()? {
        0x53 => u64::from(reader.u8().ok()?),
        0x80 => reader.u64().ok()?,
        0xa3 => {
            let length = usize::from(reader.u8().ok()?);
            let symbol = reader.take(length).ok()?;
            let name = symbol.strip_prefix(b"amqp:")?.strip_suffix(b":list")?;
            return NAMES
                .iter()
                .find(|(_, known)| known.as_bytes() == name)
                .map(|(_, known)| *known);
        }
        _ => return None,
    };
    NAMES
        .iter()
        .find(|(known, _)| *known == code)
        .map(|(_, name)| *name)
}

/// The value of an argument or property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field<'a> {
    /// A bit.
    Bool(bool),
    /// A number.
    Int(u64),
    /// Text or other octets.
    Text(&'a [u8]),
    /// The entries of a table.
    Table(Pairs<'a>),
}

/// Reads arguments in wire order and hands on each.
///
/// # Errors
/// `Truncated` at the first argument that is not whole; those before it were handed on.
pub(super) fn arguments<'a>(
    list: &'static [Argument],
    reader: &mut Reader<'a>,
    mut each: impl FnMut(&'static Argument, Field<'a>),
) -> Result<(), ParseError> {
    let mut bits = Bits::default();
    for argument in list {
        let field = match argument.kind {
            Kind::Bit => Field::Bool(bits.next(reader)?),
            kind => {
                bits = Bits::default();
                field(kind, reader)?
            }
        };
        each(argument, field);
    }
    Ok(())
}

/// Bits in a row: "packed into octets, lowest bit first" (section 4.2.5.2).
#[derive(Default)]
struct Bits {
    octet: u8,
    left: u8,
}

impl Bits {
    fn next(&mut self, reader: &mut Reader<'_>) -> Result<bool, Short> {
        if self.left == 0 {
            *self = Bits {
                octet: reader.u8()?,
                left: 8,
            };
        }
        let bit = self.octet & 1 == 1;
        self.octet >>= 1;
        self.left -= 1;
        Ok(bit)
    }
}

fn field<'a>(kind: Kind, reader: &mut Reader<'a>) -> Result<Field<'a>, ParseError> {
    Ok(match kind {
        Kind::Bit => Field::Bool(reader.u8()? & 1 == 1),
        Kind::Octet => Field::Int(reader.u8()?.into()),
        Kind::Short | Kind::ReplyCode => Field::Int(reader.u16()?.into()),
        Kind::Long => Field::Int(reader.u32()?.into()),
        Kind::LongLong | Kind::Timestamp => Field::Int(reader.u64()?),
        Kind::ShortStr => Field::Text(short_str(reader)?),
        Kind::LongStr | Kind::Sasl | Kind::Secret => Field::Text(long_str(reader)?),
        Kind::Table => {
            let bytes = long_str(reader)?;
            Field::Table(Pairs {
                reader: Reader::new(bytes),
                base: reader.offset() - bytes.len(),
            })
        }
    })
}

fn short_str<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Short> {
    let length = reader.u8()?;
    reader.take(length.into())
}

fn long_str<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Short> {
    let length = reader.u32()?;
    reader.take(usize::try_from(length).unwrap_or(usize::MAX))
}

/// The front of a content header frame: size of the body, then properties.
///
/// # Errors
/// `Truncated` when the payload ends before the properties begin.
pub(super) fn body_size(payload: &[u8]) -> Result<u64, ParseError> {
    let mut reader = Reader::new(payload);
    reader.skip(4)?;
    Ok(reader.u64()?)
}

/// Reads the properties of a content header frame and hands on each.
///
/// # Errors
/// `Truncated` at the first property that is not whole; those before it were handed on.
pub(super) fn properties<'a>(
    payload: &'a [u8],
    mut each: impl FnMut(&'static Argument, Field<'a>),
) -> Result<(), ParseError> {
    /// Flag words that are read; 0-9-1 has properties for one.
    const MAX_WORDS: usize = 4;
    let mut reader = Reader::new(payload);
    reader.skip(12)?;
    let first = reader.u16()?;
    let mut word = first;
    for _ in 1..MAX_WORDS {
        // "If the last bit (0) is set, this indicates that a further property flags field follows."
        if word & 1 == 0 {
            break;
        }
        word = reader.u16()?;
    }
    for (index, property) in spec::PROPERTIES.iter().enumerate() {
        if first & (0x8000 >> index) != 0 {
            each(property, field(property.kind, &mut reader)?);
        }
    }
    Ok(())
}

/// A value in a table or array.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum TableValue<'a> {
    /// Nothing.
    Void,
    /// `true` or `false`.
    Bool(bool),
    /// A number with sign.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// A number, and how many of its digits are behind the point.
    Decimal(i32, u8),
    /// Text.
    Text(&'a [u8]),
    /// Octets.
    Bytes(&'a [u8]),
    /// Values in order.
    Array(Values<'a>),
    /// Names with values.
    Table(Pairs<'a>),
}

/// The entries of a table, in order; ends after the first error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pairs<'a> {
    reader: Reader<'a>,
    base: usize,
}

/// The values of an array, in order; ends after the first error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Values<'a> {
    reader: Reader<'a>,
    base: usize,
}

impl PartialEq for Pairs<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.reader.rest() == other.reader.rest()
    }
}

impl Eq for Pairs<'_> {}

impl PartialEq for Values<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.reader.rest() == other.reader.rest()
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Result<(&'a [u8], TableValue<'a>), ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let entry = short_str(&mut self.reader)
            .map_err(|short| at(self.base, short.into()))
            .and_then(|name| Ok((name, table_value(&mut self.reader, self.base)?)));
        if entry.is_err() {
            self.reader = Reader::new(&[]);
        }
        Some(entry)
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Result<TableValue<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let value = table_value(&mut self.reader, self.base);
        if value.is_err() {
            self.reader = Reader::new(&[]);
        }
        Some(value)
    }
}

fn at(base: usize, error: ParseError) -> ParseError {
    ParseError {
        offset: base + error.offset,
        ..error
    }
}

/// One value with its type octet in front, as RabbitMQ and the client libraries write them; where
/// those differ from the specification (`s`, `l`), they are right.
fn table_value<'a>(reader: &mut Reader<'a>, base: usize) -> Result<TableValue<'a>, ParseError> {
    let mut read = || {
        let kind = reader.u8()?;
        Ok(match kind {
            b'V' => TableValue::Void,
            b't' => TableValue::Bool(reader.u8()? != 0),
            b'b' => TableValue::Int(reader.u8()?.cast_signed().into()),
            b'B' => TableValue::Int(reader.u8()?.into()),
            b's' | b'U' => TableValue::Int(reader.u16()?.cast_signed().into()),
            b'u' => TableValue::Int(reader.u16()?.into()),
            b'I' => TableValue::Int(reader.u32()?.cast_signed().into()),
            b'i' => TableValue::Int(reader.u32()?.into()),
            b'l' | b'L' | b'T' => TableValue::Int(reader.u64()?.cast_signed()),
            b'f' => TableValue::Float(f32::from_bits(reader.u32()?).into()),
            b'd' => TableValue::Float(f64::from_bits(reader.u64()?)),
            b'D' => {
                let scale = reader.u8()?;
                TableValue::Decimal(reader.u32()?.cast_signed(), scale)
            }
            b'S' => TableValue::Text(long_str(reader)?),
            b'x' => TableValue::Bytes(long_str(reader)?),
            b'A' | b'F' => {
                let bytes = long_str(reader)?;
                let base = base + reader.offset() - bytes.len();
                let reader = Reader::new(bytes);
                match kind {
                    b'A' => TableValue::Array(Values { reader, base }),
                    _ => TableValue::Table(Pairs { reader, base }),
                }
            }
            _ => {
                return Err(ParseError {
                    kind: ParseErrorKind::ValueType,
                    offset: reader.offset() - 1,
                });
            }
        })
    };
    read().map_err(|error| at(base, error))
}

/// Reads a method frame's payload to its end.
///
/// # Errors
/// The first error in its arguments.
pub(super) fn check_method(method: &'static Method, payload: &[u8]) -> Result<(), ParseError> {
    let mut reader = Reader::new(payload);
    reader.skip(4)?;
    let mut tables = Ok(());
    arguments(method.arguments, &mut reader, |_, field| {
        tables = tables.and_then(|()| check_field(field));
    })
    .and(tables)
}

/// Reads a content header frame's payload to its end.
///
/// # Errors
/// The first error in its properties.
pub(super) fn check_header(payload: &[u8]) -> Result<(), ParseError> {
    let mut tables = Ok(());
    properties(payload, |_, field| {
        tables = tables.and_then(|()| check_field(field));
    })
    .and(tables)
}

fn check_field(field: Field<'_>) -> Result<(), ParseError> {
    match field {
        Field::Table(mut pairs) => {
            let base = pairs.base;
            pairs.try_for_each(|pair| check_value(pair?.1, 1, base))
        }
        _ => Ok(()),
    }
}

fn check_value(value: TableValue<'_>, depth: usize, offset: usize) -> Result<(), ParseError> {
    let nested = matches!(value, TableValue::Array(_) | TableValue::Table(_));
    if nested && depth >= MAX_DEPTH {
        return Err(ParseError {
            kind: ParseErrorKind::TooDeep,
            offset,
        });
    }
    match value {
        TableValue::Array(mut values) => {
            let base = values.base;
            values.try_for_each(|value| check_value(value?, depth + 1, base))
        }
        TableValue::Table(mut pairs) => {
            let base = pairs.base;
            pairs.try_for_each(|pair| check_value(pair?.1, depth + 1, base))
        }
        _ => Ok(()),
    }
}
