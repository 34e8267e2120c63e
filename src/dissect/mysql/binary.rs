//! Values as prepared statements send them: by type, without text.
//!
//! In: a reader at a value, its type. Out: the value of an item. Never: state. Standard: MySQL source
//! documentation, "Binary Protocol Value".

use bytes::Bytes;

use super::parser::lenenc_int;
use crate::bytes::Reader;
use crate::item::Value;

/// Types of columns and parameters that are read in their own way; all others are length-encoded.
mod kind {
    pub const TINY: u8 = 1;
    pub const SHORT: u8 = 2;
    pub const LONG: u8 = 3;
    pub const FLOAT: u8 = 4;
    pub const DOUBLE: u8 = 5;
    pub const NULL: u8 = 6;
    pub const TIMESTAMP: u8 = 7;
    pub const LONGLONG: u8 = 8;
    pub const INT24: u8 = 9;
    pub const DATE: u8 = 10;
    pub const TIME: u8 = 11;
    pub const DATETIME: u8 = 12;
    pub const YEAR: u8 = 13;
    pub const BIT: u8 = 16;
    pub const TINY_BLOB: u8 = 249;
    pub const BLOB: u8 = 252;
    pub const GEOMETRY: u8 = 255;
}

/// Number of the character set of bytes that are no text.
const BINARY: u16 = 63;

/// What is known of a value before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Type {
    pub kind: u8,
    pub unsigned: bool,
    /// Whether text of this type is bytes.
    pub is_bytes: bool,
}

impl Type {
    /// The type of a column.
    pub(super) fn of_column(column: &super::parser::Column<'_>) -> Type {
        const UNSIGNED: u16 = 1 << 5;
        let may_be_bytes = matches!(column.kind, kind::BIT | kind::TINY_BLOB..=kind::GEOMETRY);
        Type {
            kind: column.kind,
            unsigned: column.flags & UNSIGNED != 0,
            is_bytes: may_be_bytes && column.character_set == BINARY,
        }
    }

    /// The type of a parameter, as COM_STMT_EXECUTE gives it.
    pub(super) fn of_parameter(code: u16) -> Type {
        let [kind, flags] = code.to_le_bytes();
        Type {
            kind,
            unsigned: flags & 0x80 != 0,
            is_bytes: matches!(
                kind,
                kind::BIT | kind::TINY_BLOB..=kind::BLOB | kind::GEOMETRY
            ),
        }
    }

    /// How a text of this type is shown.
    pub(super) fn text(self, text: Bytes) -> Value {
        match self.is_bytes {
            true => Value::Base64(text),
            false => Value::Text(text),
        }
    }
}

/// Reads one value; `None` when it is not whole.
pub(super) fn value(whole: &Bytes, reader: &mut Reader<'_>, of: Type) -> Option<Value> {
    let signed = |wide: u64, bits: u32| {
        // Moves the sign to the top and back.
        let up = 64 - bits;
        match of.unsigned {
            true => i64::try_from(wide).map_or_else(|_| Value::text(wide.to_string()), Value::Int),
            false => Value::Int((wide << up).cast_signed() >> up),
        }
    };
    Some(match of.kind {
        kind::NULL => Value::Null,
        kind::TINY => signed(reader.u8().ok()?.into(), 8),
        kind::SHORT => signed(reader.u16_le().ok()?.into(), 16),
        kind::YEAR => Value::Int(reader.u16_le().ok()?.into()),
        kind::LONG | kind::INT24 => signed(reader.u32_le().ok()?.into(), 32),
        kind::LONGLONG => signed(reader.u64_le().ok()?, 64),
        kind::FLOAT => Value::Float(f32::from_bits(reader.u32_le().ok()?).into()),
        kind::DOUBLE => Value::Float(f64::from_bits(reader.u64_le().ok()?)),
        kind::DATE | kind::DATETIME | kind::TIMESTAMP => Value::text(date(reader, of.kind)?),
        kind::TIME => Value::text(time(reader)?),
        _ => {
            let length = usize::try_from(lenenc_int(reader).ok()?).unwrap_or(usize::MAX);
            let text = reader.take(length.min(reader.left())).ok()?;
            of.text(match text.is_empty() {
                true => Bytes::new(),
                false => whole.slice_ref(text),
            })
        }
    })
}

/// Passes over one value; `None` when it is not whole.
pub(super) fn skip(reader: &mut Reader<'_>, kind: u8) -> Option<()> {
    let length = match kind {
        kind::NULL => 0,
        kind::TINY => 1,
        kind::SHORT | kind::YEAR => 2,
        kind::LONG | kind::INT24 | kind::FLOAT => 4,
        kind::LONGLONG | kind::DOUBLE => 8,
        kind::DATE | kind::DATETIME | kind::TIMESTAMP | kind::TIME => reader.u8().ok()?.into(),
        _ => usize::try_from(lenenc_int(reader).ok()?).ok()?,
    };
    reader.skip(length).ok()
}

/// `length u8, year u16, month u8, day u8, hour u8, minute u8, second u8, microseconds u32`, cut
/// where all that follows is zero.
fn date(reader: &mut Reader<'_>, kind: u8) -> Option<String> {
    let length = usize::from(reader.u8().ok()?);
    let mut part = Reader::new(reader.take(length).ok()?);
    let (year, month, day) = (
        part.u16_le().unwrap_or_default(),
        part.u8().unwrap_or_default(),
        part.u8().unwrap_or_default(),
    );
    let date = format!("{year:04}-{month:02}-{day:02}");
    if kind == kind::DATE {
        return Some(date);
    }
    Some(format!("{date} {}", clock(&mut part, 0)))
}

/// `length u8, negative u8, days u32, hour u8, minute u8, second u8, microseconds u32`.
fn time(reader: &mut Reader<'_>) -> Option<String> {
    let length = usize::from(reader.u8().ok()?);
    let mut part = Reader::new(reader.take(length).ok()?);
    let sign = match part.u8() {
        Ok(1) => "-",
        _ => "",
    };
    let days = part.u32_le().unwrap_or_default();
    Some(format!("{sign}{}", clock(&mut part, days)))
}

fn clock(part: &mut Reader<'_>, days: u32) -> String {
    let mut next = || part.u8().unwrap_or_default();
    let (hour, minute, second) = (next(), next(), next());
    let hour = u64::from(days) * 24 + u64::from(hour);
    match part.u32_le() {
        Ok(micros) if micros > 0 => format!("{hour:02}:{minute:02}:{second:02}.{micros:06}"),
        _ => format!("{hour:02}:{minute:02}:{second:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VAR_STRING: u8 = 253;
    const STRING: u8 = 254;

    fn read(kind: u8, unsigned: bool, bytes: &'static [u8]) -> String {
        let whole = Bytes::from_static(bytes);
        let of = Type {
            kind,
            unsigned,
            is_bytes: false,
        };
        format!("{:?}", value(&whole, &mut Reader::new(&whole), of))
    }

    /// Vectors of the page "Binary Protocol Value".
    #[test]
    fn values_are_read_by_type() {
        assert_eq!(
            read(kind::LONGLONG, false, &[1, 0, 0, 0, 0, 0, 0, 0]),
            "Some(Int(1))"
        );
        assert_eq!(read(kind::TINY, false, &[0xff]), "Some(Int(-1))");
        assert_eq!(read(kind::TINY, true, &[0xff]), "Some(Int(255))");
        assert_eq!(
            read(kind::LONGLONG, true, &[0xff; 8]),
            r#"Some(Text(b"18446744073709551615"))"#
        );
        assert_eq!(
            read(
                kind::DOUBLE,
                false,
                &[0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x24, 0x40]
            ),
            "Some(Float(10.2))"
        );
        assert_eq!(
            read(kind::DATE, false, &[4, 0xda, 0x07, 0x0a, 0x11]),
            r#"Some(Text(b"2010-10-17"))"#
        );
        let full = &[11, 0xda, 0x07, 0x0a, 0x11, 0x13, 0x1b, 0x1e, 1, 0, 0, 0];
        assert_eq!(
            read(kind::DATETIME, false, full),
            r#"Some(Text(b"2010-10-17 19:27:30.000001"))"#
        );
        let long = &[12, 1, 0x78, 0, 0, 0, 0x13, 0x1b, 0x1e, 1, 0, 0, 0];
        assert_eq!(
            read(kind::TIME, false, long),
            r#"Some(Text(b"-2899:27:30.000001"))"#
        );
        assert_eq!(read(STRING, false, b"\x03foo"), r#"Some(Text(b"foo"))"#);
        assert_eq!(read(VAR_STRING, false, b"\x09foo"), r#"Some(Text(b"foo"))"#);
        assert_eq!(read(kind::LONG, false, &[1, 0]), "None");
    }
}
