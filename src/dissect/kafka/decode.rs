//! Reads a message by its layout.
//!
//! In: the bytes of a message behind its header, perhaps cut at their end. Out: its fields as
//! values, as far as they go. Never: an allocation by a length that the bytes do not bear out;
//! recursion deeper than the layouts are. Standard: the protocol guide's primitive types; KIP-482.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;

use super::names;
use super::records;
use super::schema::{FieldDef, Kind};
use crate::bytes::{Reader, Short};
use crate::item::{MAX_ITEM_BODY, Value};

/// Structures, records and list elements of one message that an item shows: each costs some hundred
/// bytes as a value and may be one byte on the wire.
const MAX_ELEMENTS: usize = 8 * 1024;

/// What one message may still cost.
#[derive(Debug)]
pub(super) struct Limits {
    /// Elements that may still be shown.
    pub elements: usize,
    /// Bytes that may still be unpacked.
    pub unpacked: usize,
    /// Whether something was left out.
    pub met: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            elements: MAX_ELEMENTS,
            unpacked: MAX_ITEM_BODY,
            met: false,
        }
    }
}

impl Limits {
    /// Takes one element; false when there are no more.
    pub(super) fn element(&mut self) -> bool {
        let Some(left) = self.elements.checked_sub(1) else {
            self.met = true;
            return false;
        };
        self.elements = left;
        true
    }
}

/// Why reading stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// The bytes end before the message does.
    Short,
    /// They are against the layout.
    Malformed,
}

impl From<Short> for Stop {
    fn from(_: Short) -> Stop {
        Stop::Short
    }
}

/// A message that was read.
#[derive(Debug)]
pub(super) struct Decoded {
    /// Its fields.
    pub fields: Value,
    /// Whether that is all of it.
    pub whole: bool,
}

/// What a message is read with.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    /// Version of the API.
    pub version: i16,
    /// Whether the version is flexible.
    pub flexible: bool,
    /// Whether record batches are read; otherwise they are left out.
    pub with_records: bool,
    /// Names of topics, see [`names`].
    pub names: Bytes,
}

/// Reads `fields` off the front of `bytes`.
pub(super) fn decode(bytes: &Bytes, fields: &'static [FieldDef], reading: Reading) -> Decoded {
    let mut decoder = Decoder {
        bytes,
        reader: Reader::new(bytes),
        reading,
        limits: Limits::default(),
        stop: None,
    };
    let fields = decoder.structure(fields);
    Decoded {
        fields,
        whole: decoder.stop.is_none() && !decoder.limits.met,
    }
}

/// The field that another took the place of: the text that ends where it begins.
fn replaced(fields: &'static [FieldDef], by: &FieldDef) -> Option<&'static str> {
    let ends = |field: &&FieldDef| matches!(field.kind, Kind::Text) && field.last == by.first - 1;
    fields.iter().find(ends).map(|field| field.name)
}

struct Decoder<'a> {
    bytes: &'a Bytes,
    reader: Reader<'a>,
    reading: Reading,
    limits: Limits,
    stop: Option<Stop>,
}

impl<'a> Decoder<'a> {
    fn structure(&mut self, fields: &'static [FieldDef]) -> Value {
        let version = self.reading.version;
        let mut members = Vec::with_capacity(fields.len());
        let has = |field: &&FieldDef| field.is_in(version) && field.tag.is_none();
        for field in fields.iter().filter(has) {
            if self.is_done() {
                break;
            }
            let Some(value) = self.value(field.kind) else {
                continue;
            };
            if let (Kind::Uuid, Some(name)) = (field.kind, replaced(fields, field)) {
                members.push((name.into(), self.topic_name(&value)));
            }
            members.push((field.name.into(), value));
        }
        if self.reading.flexible
            && !self.is_done()
            && let Err(stop) = self.tagged(fields, &mut members)
        {
            self.stop = Some(stop);
        }
        Value::Object(members)
    }

    /// The name of a topic whose identifier stands in the place of it; empty when it is not known.
    fn topic_name(&self, id: &Value) -> Value {
        let name = match id {
            Value::Text(id) => names::name_of(&self.reading.names, id),
            _ => None,
        };
        name.map_or(Value::Static(""), Value::Text)
    }

    fn is_done(&self) -> bool {
        self.stop.is_some() || self.limits.met
    }

    /// `count`, then for each `tag`, `size` and so many bytes.
    fn tagged(
        &mut self,
        fields: &'static [FieldDef],
        members: &mut Vec<(crate::item::Key, Value)>,
    ) -> Result<(), Stop> {
        for _ in 0..unsigned_varint(&mut self.reader)? {
            let tag = unsigned_varint(&mut self.reader)?;
            let size = usize::try_from(unsigned_varint(&mut self.reader)?).unwrap_or(usize::MAX);
            let bytes = self.reader.take(size)?;
            let version = self.reading.version;
            let known = fields
                .iter()
                .find(|field| field.tag == Some(tag) && field.is_in(version));
            let Some(field) = known else { continue };
            let behind = std::mem::replace(&mut self.reader, Reader::new(bytes));
            let value = self.value(field.kind);
            self.reader = behind;
            if let Some(value) = value {
                members.push((field.name.into(), value));
            }
            if self.is_done() {
                break;
            }
        }
        Ok(())
    }

    /// Reads one field; `None` when nothing of it is there.
    fn value(&mut self, kind: Kind) -> Option<Value> {
        match self.try_value(kind) {
            Ok(value) => Some(value),
            Err(stop) => {
                self.stop = Some(stop);
                None
            }
        }
    }

    fn try_value(&mut self, kind: Kind) -> Result<Value, Stop> {
        Ok(match kind {
            Kind::Bool => Value::Bool(self.reader.u8()? != 0),
            Kind::Int8 => Value::Int(i8::from_be_bytes([self.reader.u8()?]).into()),
            Kind::Int16 => Value::Int(self.reader.u16()?.cast_signed().into()),
            Kind::Int32 => Value::Int(self.reader.u32()?.cast_signed().into()),
            Kind::Int64 => Value::Int(self.reader.u64()?.cast_signed()),
            Kind::Uuid => match self.reader.take(16)? {
                // A topic that is named has no identifier, and the other way round.
                [0, rest @ ..] if rest.iter().all(|byte| *byte == 0) => Value::Static(""),
                bytes => Value::text(URL_SAFE_NO_PAD.encode(bytes)),
            },
            Kind::Text => self.text()?,
            Kind::Bytes => match self.length(false)? {
                None => Value::Null,
                Some(length) => Value::Base64(self.slice(length)),
            },
            Kind::Records => match self.length(false)? {
                None => Value::Null,
                Some(length) => {
                    let bytes = self.slice(length);
                    match self.reading.with_records {
                        true => records::records(&bytes, &mut self.limits),
                        false => Value::Null,
                    }
                }
            },
            Kind::Int16s => self.list(|decoder| decoder.try_value(Kind::Int16))?,
            Kind::Int32s => self.list(|decoder| decoder.try_value(Kind::Int32))?,
            Kind::Int64s => self.list(|decoder| decoder.try_value(Kind::Int64))?,
            Kind::Texts => self.list(Decoder::text)?,
            Kind::List(fields) => self.list(|decoder| Ok(decoder.structure(fields)))?,
            Kind::Struct(fields) => self.structure(fields),
            Kind::Optional(fields) => match self.reader.u8()?.cast_signed() {
                ..0 => Value::Null,
                _ => self.structure(fields),
            },
        })
    }

    /// A text; one that is null is shown as an empty one.
    fn text(&mut self) -> Result<Value, Stop> {
        let length = self.length(true)?.unwrap_or(0);
        let bytes = self.reader.take(length)?;
        Ok(Value::Text(self.bytes.slice_ref(bytes)))
    }

    /// The next `length` bytes, or what is there of them.
    fn slice(&mut self, length: usize) -> Bytes {
        let bytes = self.reader.take(length).unwrap_or_else(|_| {
            self.stop = Some(Stop::Short);
            self.reader.take(self.reader.left()).unwrap_or_default()
        });
        self.bytes.slice_ref(bytes)
    }

    fn list(
        &mut self,
        mut element: impl FnMut(&mut Decoder<'a>) -> Result<Value, Stop>,
    ) -> Result<Value, Stop> {
        let Some(count) = self.length(false)? else {
            return Ok(Value::Null);
        };
        let mut list = Vec::with_capacity(count.min(self.reader.left()).min(16));
        for _ in 0..count {
            if self.reader.is_empty() {
                self.stop = Some(Stop::Short);
            }
            if self.is_done() || !self.limits.element() {
                break;
            }
            match element(self) {
                Ok(value) => list.push(value),
                Err(stop) => self.stop = Some(stop),
            }
        }
        Ok(Value::List(list))
    }

    /// A length or count; `None` is null. Only texts have it in two bytes when not compact.
    fn length(&mut self, text: bool) -> Result<Option<usize>, Stop> {
        let length = match (self.reading.flexible, text) {
            (true, _) => i64::from(unsigned_varint(&mut self.reader)?) - 1,
            (false, true) => self.reader.u16()?.cast_signed().into(),
            (false, false) => self.reader.u32()?.cast_signed().into(),
        };
        match length {
            -1 => Ok(None),
            length => usize::try_from(length)
                .map(Some)
                .map_err(|_| Stop::Malformed),
        }
    }
}

/// Seven bits a byte, least significant first; more than 32 bits are cut.
pub(super) fn unsigned_varint(reader: &mut Reader<'_>) -> Result<u32, Short> {
    let mut value = 0;
    for shift in (0..35).step_by(7) {
        let byte = reader.u8()?;
        value |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    Ok(value)
}
