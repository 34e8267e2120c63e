//! BSON: documents and their elements, and their values as relaxed extended JSON.
//!
//! In: the bytes of a document. Out: elements as slices, and values of an item. Never: recursion
//! below [`MAX_DEPTH`], more values than [`MAX_VALUES`], a length that is believed. Standards:
//! bsonspec.org version 1.1; "MongoDB Extended JSON (v2)".

use bytes::Bytes;

use super::decimal;
use crate::bytes::Reader;
use crate::item::{Key, Value};

/// Documents within documents that are shown; the item's own encodings end at 64.
pub(super) const MAX_DEPTH: usize = 48;

/// Values of one rendering: what lies beyond is left out.
pub(super) const MAX_VALUES: usize = 10_000;

/// Members whose value is a password or proves one, in any command or reply.
const SECRETS: &[&[u8]] = &[b"payload", b"pwd", b"key", b"nonce"];

/// Types of elements.
pub(super) mod kind {
    pub const DOUBLE: u8 = 0x01;
    pub const STRING: u8 = 0x02;
    pub const DOCUMENT: u8 = 0x03;
    pub const ARRAY: u8 = 0x04;
    pub const BINARY: u8 = 0x05;
    pub const UNDEFINED: u8 = 0x06;
    pub const OBJECT_ID: u8 = 0x07;
    pub const BOOL: u8 = 0x08;
    pub const DATE: u8 = 0x09;
    pub const NULL: u8 = 0x0a;
    pub const REGEX: u8 = 0x0b;
    pub const DB_POINTER: u8 = 0x0c;
    pub const CODE: u8 = 0x0d;
    pub const SYMBOL: u8 = 0x0e;
    pub const CODE_W_SCOPE: u8 = 0x0f;
    pub const INT32: u8 = 0x10;
    pub const TIMESTAMP: u8 = 0x11;
    pub const INT64: u8 = 0x12;
    pub const DECIMAL128: u8 = 0x13;
    pub const MIN_KEY: u8 = 0xff;
    pub const MAX_KEY: u8 = 0x7f;
}

/// One member of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub kind: u8,
    pub name: &'a [u8],
    /// The value as it stands, lengths included.
    pub value: &'a [u8],
    /// The document ends inside the value.
    pub cut: bool,
}

/// The length that a document tells, when it can be one.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let length = Reader::new(bytes).u32_le().ok()?;
    usize::try_from(length).ok().filter(|length| *length >= 5)
}

/// The members of a document, as far as its bytes go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Elements<'a> {
    reader: Reader<'a>,
}

/// The members of the document that `bytes` begins with.
pub(super) fn elements(bytes: &[u8]) -> Elements<'_> {
    let end = length(bytes).unwrap_or(0).min(bytes.len());
    let mut reader = Reader::new(bytes.get(..end).unwrap_or_default());
    // A document without its length has no members.
    let _ = reader.skip(4);
    Elements { reader }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let kind = self.reader.u8().ok().filter(|kind| *kind != 0)?;
        let name = text(&mut self.reader)?;
        let rest = self.reader.rest();
        let Some(size) = size_of(kind, rest) else {
            // What follows cannot be found.
            self.reader = Reader::new(&[]);
            return match is_known(kind) && !rest.is_empty() {
                true => Some(Element {
                    kind,
                    name,
                    value: rest,
                    cut: true,
                }),
                false => None,
            };
        };
        let cut = size > rest.len();
        let value = self.reader.take(size.min(rest.len())).ok()?;
        Some(Element {
            kind,
            name,
            value,
            cut,
        })
    }
}

/// Text up to its zero byte.
pub(super) fn text<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let end = memchr::memchr(0, reader.rest())?;
    let text = reader.take(end).ok()?;
    reader.skip(1).ok()?;
    Some(text)
}

fn is_known(kind: u8) -> bool {
    matches!(
        kind,
        kind::DOUBLE..=kind::DECIMAL128 | kind::MIN_KEY | kind::MAX_KEY
    )
}

/// Bytes that a value has; `None` when its beginning does not tell.
fn size_of(kind: u8, rest: &[u8]) -> Option<usize> {
    let told = || {
        let length = Reader::new(rest).u32_le().ok()?;
        usize::try_from(length).ok()
    };
    match kind {
        kind::DOUBLE | kind::DATE | kind::TIMESTAMP | kind::INT64 => Some(8),
        kind::STRING | kind::CODE | kind::SYMBOL => {
            told().filter(|length| *length > 0)?.checked_add(4)
        }
        kind::DOCUMENT | kind::ARRAY => told().filter(|length| *length >= 5),
        kind::BINARY => told()?.checked_add(5),
        kind::UNDEFINED | kind::NULL | kind::MIN_KEY | kind::MAX_KEY => Some(0),
        kind::OBJECT_ID => Some(12),
        kind::BOOL => Some(1),
        kind::REGEX => {
            let mut reader = Reader::new(rest);
            text(&mut reader)?;
            text(&mut reader)?;
            Some(reader.offset())
        }
        kind::DB_POINTER => told()?.checked_add(4 + 12),
        kind::CODE_W_SCOPE => told().filter(|length| *length >= 14),
        kind::INT32 => Some(4),
        kind::DECIMAL128 => Some(16),
        _ => None,
    }
}

/// Whether `bytes` is one whole document, judged by its outermost members.
pub(super) fn is_document(bytes: &[u8]) -> bool {
    let mut elements = elements(bytes);
    if length(bytes) != Some(bytes.len()) || bytes.last() != Some(&0) {
        return false;
    }
    let whole = elements.by_ref().all(|element| !element.cut);
    // The zero byte at the end was read in search of one more member.
    whole && elements.reader.is_empty()
}

impl<'a> Element<'a> {
    /// A string's text.
    pub(super) fn text(&self) -> Option<&'a [u8]> {
        match self.kind {
            kind::STRING | kind::CODE | kind::SYMBOL => {
                let rest = self.value.get(4..)?;
                Some(rest.strip_suffix(b"\0").unwrap_or(rest))
            }
            _ => None,
        }
    }

    /// A whole number, also one that is sent as a double.
    pub(super) fn int(&self) -> Option<i64> {
        let mut reader = Reader::new(self.value);
        match self.kind {
            kind::INT32 => Some(i64::from(reader.u32_le().ok()?.cast_signed())),
            kind::INT64 => Some(reader.u64_le().ok()?.cast_signed()),
            kind::DOUBLE => {
                let number = f64::from_bits(reader.u64_le().ok()?);
                let fits = number.fract() == 0.0 && number.abs() < 9.0e15;
                #[expect(clippy::cast_possible_truncation, reason = "just checked")]
                fits.then_some(number as i64)
            }
            kind::BOOL => Some(i64::from(self.value == [1])),
            _ => None,
        }
    }

    /// An embedded document or array.
    pub(super) fn document(&self) -> Option<&'a [u8]> {
        matches!(self.kind, kind::DOCUMENT | kind::ARRAY).then_some(self.value)
    }
}

/// The member of this name.
pub(super) fn member<'a>(document: &'a [u8], name: &[u8]) -> Option<Element<'a>> {
    elements(document).find(|element| element.name == name)
}

/// Renders documents, up to the caps.
pub(super) struct Renderer<'a> {
    whole: &'a Bytes,
    left: usize,
    /// Something was left out.
    pub cut: bool,
}

impl<'a> Renderer<'a> {
    /// Renders slices of `whole`.
    pub(super) fn new(whole: &'a Bytes) -> Renderer<'a> {
        Renderer {
            whole,
            left: MAX_VALUES,
            cut: false,
        }
    }

    fn bytes(&self, part: &[u8]) -> Bytes {
        match part.is_empty() {
            true => Bytes::new(),
            false => self.whole.slice_ref(part),
        }
    }

    /// A document that lies in the whole; `hide` leaves out values that may be secrets.
    pub(super) fn document(&mut self, document: &[u8], hide: bool) -> Value {
        self.members(document, None, hide, 0)
    }

    /// The same without one of its members.
    pub(super) fn without(&mut self, document: &[u8], member: &[u8], hide: bool) -> Value {
        self.members(document, Some(member), hide, 0)
    }

    fn members(
        &mut self,
        document: &[u8],
        without: Option<&[u8]>,
        hide: bool,
        depth: usize,
    ) -> Value {
        let mut members: Vec<(Key, Value)> = Vec::new();
        for element in elements(document) {
            if without == Some(element.name) {
                self.cut |= element.cut;
                continue;
            }
            if self.left == 0 {
                self.cut = true;
                break;
            }
            self.left -= 1;
            self.cut |= element.cut;
            let key = Key::Bytes(self.bytes(element.name));
            let value = match hide && SECRETS.contains(&element.name) {
                true => Value::Static("(hidden)"),
                false => self.value(&element, hide, depth),
            };
            members.push((key, value));
        }
        self.cut |= length(document).is_none_or(|length| length > document.len());
        Value::Object(unique(members))
    }

    fn list(&mut self, array: &[u8], hide: bool, depth: usize) -> Value {
        let mut values = Vec::new();
        for element in elements(array) {
            if self.left == 0 {
                self.cut = true;
                break;
            }
            self.left -= 1;
            values.push(self.value(&element, hide, depth));
        }
        Value::List(values)
    }

    fn value(&mut self, element: &Element<'_>, hide: bool, depth: usize) -> Value {
        let mut reader = Reader::new(element.value);
        match element.kind {
            kind::DOCUMENT | kind::ARRAY if depth >= MAX_DEPTH => {
                self.cut = true;
                Value::Null
            }
            kind::DOCUMENT => self.members(element.value, None, hide, depth + 1),
            kind::ARRAY => self.list(element.value, hide, depth + 1),
            kind::STRING => Value::Text(self.bytes(element.text().unwrap_or_default())),
            kind::DOUBLE => double(f64::from_bits(reader.u64_le().unwrap_or_default())),
            kind::INT32 | kind::INT64 => Value::Int(element.int().unwrap_or_default()),
            kind::BOOL => Value::Bool(element.value == [1]),
            kind::NULL => Value::Null,
            kind::BINARY => self.binary(element.value),
            kind::OBJECT_ID => one("$oid", Value::text(hex(element.value))),
            kind::DATE => date(reader.u64_le().unwrap_or_default().cast_signed()),
            kind::REGEX => {
                let pattern = text(&mut reader).unwrap_or_default();
                let options = text(&mut reader).unwrap_or_default();
                let parts = vec![
                    (Key::Static("pattern"), Value::Text(self.bytes(pattern))),
                    (Key::Static("options"), Value::Text(self.bytes(options))),
                ];
                one("$regularExpression", Value::Object(parts))
            }
            kind::CODE => one("$code", self.string(element)),
            kind::SYMBOL => one("$symbol", self.string(element)),
            kind::CODE_W_SCOPE => self.code_with_scope(element.value, hide, depth),
            kind::DB_POINTER => self.db_pointer(element.value),
            kind::TIMESTAMP => {
                let increment = reader.u32_le().unwrap_or_default();
                let seconds = reader.u32_le().unwrap_or_default();
                let parts = vec![
                    (Key::Static("t"), Value::Int(seconds.into())),
                    (Key::Static("i"), Value::Int(increment.into())),
                ];
                one("$timestamp", Value::Object(parts))
            }
            kind::DECIMAL128 => {
                let low = reader.u64_le().unwrap_or_default();
                let high = reader.u64_le().unwrap_or_default();
                one("$numberDecimal", Value::text(decimal::text(high, low)))
            }
            kind::UNDEFINED => one("$undefined", Value::Bool(true)),
            kind::MIN_KEY => one("$minKey", Value::Int(1)),
            kind::MAX_KEY => one("$maxKey", Value::Int(1)),
            _ => Value::Null,
        }
    }

    fn string(&self, element: &Element<'_>) -> Value {
        Value::Text(self.bytes(element.text().unwrap_or_default()))
    }

    fn binary(&self, value: &[u8]) -> Value {
        /// The old form of binary data has its length twice.
        const OLD: u8 = 2;
        let subtype = value.get(4).copied().unwrap_or_default();
        let from = if subtype == OLD { 9 } else { 5 };
        let data = self.bytes(value.get(from..).unwrap_or_default());
        let parts = vec![
            (Key::Static("base64"), Value::Base64(data)),
            (
                Key::Static("subType"),
                Value::text(format!("{subtype:02x}")),
            ),
        ];
        one("$binary", Value::Object(parts))
    }

    fn code_with_scope(&mut self, value: &[u8], hide: bool, depth: usize) -> Value {
        let mut reader = Reader::new(value);
        let mut code = || {
            reader.skip(4).ok()?;
            let length = usize::try_from(reader.u32_le().ok()?).ok()?;
            let code = reader.take(length).ok()?;
            Some((code.strip_suffix(b"\0").unwrap_or(code), reader.rest()))
        };
        let Some((code, scope)) = code() else {
            self.cut = true;
            return Value::Null;
        };
        let scope = match depth >= MAX_DEPTH {
            true => Value::Null,
            false => self.members(scope, None, hide, depth + 1),
        };
        Value::Object(vec![
            (Key::Static("$code"), Value::Text(self.bytes(code))),
            (Key::Static("$scope"), scope),
        ])
    }

    fn db_pointer(&self, value: &[u8]) -> Value {
        let at = value.len().saturating_sub(12);
        let (name, id) = value.split_at_checked(at).unwrap_or_default();
        let name = name.get(4..).unwrap_or_default();
        let name = name.strip_suffix(b"\0").unwrap_or(name);
        let parts = vec![
            (Key::Static("$ref"), Value::Text(self.bytes(name))),
            (Key::Static("$id"), one("$oid", Value::text(hex(id)))),
        ];
        one("$dbPointer", Value::Object(parts))
    }
}

fn one(name: &'static str, value: Value) -> Value {
    Value::Object(vec![(Key::Static(name), value)])
}

/// The first of each name stays, as drivers read it.
fn unique(members: Vec<(Key, Value)>) -> Vec<(Key, Value)> {
    let mut seen = std::collections::HashSet::new();
    let mut kept = Vec::with_capacity(members.len());
    for (key, value) in members {
        let is_new = match &key {
            Key::Bytes(name) => seen.insert(name.clone()),
            Key::Static(_) => true,
        };
        if is_new {
            kept.push((key, value));
        }
    }
    kept
}

fn double(number: f64) -> Value {
    let name = match number {
        number if number.is_nan() => "NaN",
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        number => return Value::Float(number),
    };
    one("$numberDouble", Value::Static(name))
}

/// Relaxed form from 1970 to 9999, else milliseconds.
fn date(millis: i64) -> Value {
    const YEAR_10000: i64 = 253_402_300_800_000;
    let value = match (0..YEAR_10000).contains(&millis) {
        true => Value::text(iso(millis)),
        false => one("$numberLong", Value::text(millis.to_string())),
    };
    one("$date", value)
}

fn iso(millis: i64) -> String {
    let at = chrono::DateTime::from_timestamp_millis(millis).unwrap_or_default();
    match millis % 1000 {
        0 => at.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        _ => at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
