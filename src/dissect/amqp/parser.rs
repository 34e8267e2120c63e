//! Reads what 0-9-1 frames hold: method arguments, properties, field tables; pure.
//!
//! In: payloads. Out: places and numbers in them. Never: text (that is `render`), allocation,
//! recursion beyond [`MAX_DEPTH`]. Standard: AMQP 0-9-1 section 4.2 with RabbitMQ's table values.

use super::spec::{self, Argument, Kind, Method};
use crate::bytes::{Reader, Short};

/// Tables and arrays within each other; brokers and clients nest up to four (`capabilities` in
/// `server-properties`, `x-death` in `headers`).
pub(super) const MAX_DEPTH: usize = 16;

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
