//! The wire format of protocol buffers: fields by number, without their names.
//!
//! In: the bytes of a message. Out: its fields in order. Never: a schema, recursion.
//! Standard: "Encoding" of protobuf.dev.

use crate::bytes::Reader;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field<'a> {
    /// Whole numbers, booleans, enums.
    Varint(u64),
    /// Numbers of eight bytes.
    Fixed64(u64),
    /// Text, bytes, messages, packed lists.
    Bytes(&'a [u8]),
    /// A message between its start and its end tag.
    Group(&'a [u8]),
    /// Numbers of four bytes.
    Fixed32(u32),
}

/// The fields of a message.
pub(super) struct Fields<'a> {
    reader: Reader<'a>,
    broken: bool,
}

impl<'a> Fields<'a> {
    /// Of a message with these bytes.
    pub(super) fn of(bytes: &'a [u8]) -> Fields<'a> {
        Fields {
            reader: Reader::new(bytes),
            broken: false,
        }
    }

    /// Whether the bytes ended before their time, or are no message, as far as was read.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    fn field(&mut self) -> Option<(u32, Field<'a>)> {
        let (number, kind) = tag(&mut self.reader)?;
        let field = match kind {
            3 => Field::Group(group(&mut self.reader)?),
            kind => value(&mut self.reader, kind)?,
        };
        Some((number, field))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u32, Field<'a>);

    fn next(&mut self) -> Option<(u32, Field<'a>)> {
        if self.broken || self.reader.is_empty() {
            return None;
        }
        let field = self.field();
        self.broken = field.is_none();
        field
    }
}

/// The numbers of a packed list.
pub(super) fn packed(bytes: &[u8], kind: u8) -> impl Iterator<Item = Field<'_>> {
    let mut reader = Reader::new(bytes);
    std::iter::from_fn(move || value(&mut reader, kind))
}

/// Wire type of numbers of variable length.
pub(super) const VARINT: u8 = 0;
/// Wire type of numbers of eight bytes.
pub(super) const FIXED64: u8 = 1;
/// Wire type of numbers of four bytes.
pub(super) const FIXED32: u8 = 5;

fn tag(reader: &mut Reader<'_>) -> Option<(u32, u8)> {
    let tag = varint(reader)?;
    let number = u32::try_from(tag >> 3).ok()?;
    // "Field numbers must be between 1 and 536,870,911."
    (1..1 << 29)
        .contains(&number)
        .then_some((number, u8::try_from(tag & 7).ok()?))
}

fn value<'a>(reader: &mut Reader<'a>, kind: u8) -> Option<Field<'a>> {
    Some(match kind {
        VARINT => Field::Varint(varint(reader)?),
        FIXED64 => Field::Fixed64(reader.u64_le().ok()?),
        2 => {
            let length = usize::try_from(varint(reader)?).ok()?;
            Field::Bytes(reader.take(length).ok()?)
        }
        FIXED32 => Field::Fixed32(reader.u32_le().ok()?),
        _ => return None,
    })
}

/// "A varint is between one and ten bytes long."
fn varint(reader: &mut Reader<'_>) -> Option<u64> {
    let mut number = 0u64;
    for place in 0..10 {
        let byte = reader.u8().ok()?;
        let bits = u64::from(byte & 0x7f);
        // Of the tenth byte one bit has room; others are dropped, as all readers do.
        number |= bits.wrapping_shl(7 * place) & (u64::MAX << (7 * place));
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// The bytes up to the end tag that belongs to the group, which is taken too.
fn group<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let whole = reader.rest();
    let before = reader.offset();
    let mut open = 1usize;
    loop {
        let inner = reader.offset() - before;
        match tag(reader)?.1 {
            3 => open += 1,
            4 => open -= 1,
            kind => {
                value(reader, kind)?;
            }
        }
        if open == 0 {
            return whole.get(..inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of "Encoding".
    #[test]
    fn fields_are_those_of_the_published_examples() {
        let read = |bytes: &'static [u8]| Fields::of(bytes).collect::<Vec<_>>();
        assert_eq!(read(b"\x08\x96\x01"), [(1, Field::Varint(150))]);
        assert_eq!(read(b"\x12\x07testing"), [(2, Field::Bytes(b"testing"))]);
        assert_eq!(
            read(b"\x1a\x03\x08\x96\x01"),
            [(3, Field::Bytes(b"\x08\x96\x01"))]
        );
        let minus = b"\x08\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        assert_eq!(read(minus), [(1, Field::Varint(u64::MAX - 1))]);
        // A group in a group.
        assert_eq!(
            read(b"\x0b\x10\x01\x1b\x1c\x0c\x15\x01\0\0\0"),
            [
                (1, Field::Group(b"\x10\x01\x1b\x1c")),
                (2, Field::Fixed32(1))
            ]
        );
        let listed: Vec<_> = packed(b"\x03\x8e\x02\x9e\xa7\x05", VARINT).collect();
        assert_eq!(
            listed,
            [Field::Varint(3), Field::Varint(270), Field::Varint(86942)]
        );
    }

    #[test]
    fn what_is_cut_off_or_no_message_is_told() {
        for bytes in [
            &b"\x08"[..],
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x12\x08testing",
            b"\x00\x01",
            b"\x0c",
            b"\x0b\x10\x01",
            b"\x0e",
        ] {
            let mut fields = Fields::of(bytes);
            while fields.next().is_some() {}
            assert!(fields.is_broken(), "{bytes:x?}");
        }
    }
}
