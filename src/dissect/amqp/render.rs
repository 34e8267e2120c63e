//! AMQP messages as the values of an item; made only when somebody reads them.
//!
//! In: the bytes that [`message`](super::message) keeps, a protocol header, or the front of a 1.0
//! frame. Out: `request` and `response` in the shapes that `mod.rs` draws. Never: a password.

use std::collections::HashSet;

use bytes::Bytes;

use super::frame::{Frame1Header, ProtocolHeader, performative};
use super::message::Parts;
use super::parser::{self, Field, MAX_DEPTH, Pairs, TableValue};
use super::spec::{self, Kind};
use crate::bytes::Reader;
use crate::item::{Key, Value, text_of};

/// Values of the tables of one message that an item shows. The smallest has three bytes and is
/// shown in some twenty, so tables must not be shown whole however long they are.
const MAX_TABLE_VALUES: usize = 4096;

/// The member `request` of an item.
pub(super) fn request(bytes: &Bytes) -> Value {
    message(bytes, true)
}

/// The member `response` of an item.
pub(super) fn response(bytes: &Bytes) -> Value {
    message(bytes, false)
}

/// The response of methods that have none.
pub(super) fn no_response() -> Value {
    Value::Object(vec![("method".into(), Value::Static("empty"))])
}

/// A protocol header.
pub(super) fn protocol_header(bytes: &Bytes) -> Value {
    let Some(header) = ProtocolHeader::parse(bytes) else {
        return Value::Null;
    };
    let ProtocolHeader([id, major, minor, revision]) = header;
    let number = |octet: u8| Value::Int(octet.into());
    Value::Object(vec![
        ("method".into(), Value::Static("protocol header")),
        ("protocolId".into(), number(id)),
        ("versionMajor".into(), number(major)),
        ("versionMinor".into(), number(minor)),
        ("versionRevision".into(), number(revision)),
        ("summary".into(), Value::text(version_text(header))),
    ])
}

/// What a protocol header asks for, in a word.
pub(super) fn version_text(header: ProtocolHeader) -> String {
    match header.0 {
        [0, 0, 9, 1] => "0-9-1".into(),
        [1, 1, 0, 9] => "0-9".into(),
        [1, 1, 8, 0] => "0-8".into(),
        [0, 1, 0, 0] => "1.0".into(),
        [2, 1, 0, 0] => "TLS 1.0".into(),
        [3, 1, 0, 0] => "SASL 1.0".into(),
        [id, major, minor, revision] => format!("{id}-{major}-{minor}-{revision}"),
    }
}

/// A 1.0 frame, of which the front is there.
pub(super) fn frame_1_0(bytes: &Bytes) -> Value {
    let Ok(Some(header)) = Frame1Header::parse(bytes) else {
        return Value::Null;
    };
    let name = performative(bytes.get(header.body_at..).unwrap_or_default());
    Value::Object(vec![
        ("method".into(), Value::Static(name.unwrap_or("unknown"))),
        (
            "frameType".into(),
            Value::Static(match header.kind {
                1 => "SASL",
                _ => "AMQP",
            }),
        ),
        ("channel".into(), Value::Int(header.channel.into())),
        ("size".into(), Value::Int(header.size.into())),
    ])
}

fn message(bytes: &Bytes, with_summary: bool) -> Value {
    let Ok(parts) = Parts::of(bytes) else {
        return Value::Null;
    };
    let (class, id) = parts.name();
    let method = spec::find(class, id).unwrap_or(&spec::UNKNOWN);
    let name = match method.name {
        "" => Value::text(format!("unknown {class}.{id}")),
        name => Value::Static(name),
    };
    let mut members = vec![(Key::Static("method"), name)];
    let mut maker = Maker {
        bytes,
        left: MAX_TABLE_VALUES,
        user_known: false,
    };
    let mut reader = Reader::new(parts.method);
    if reader.skip(4).is_ok() {
        // An item shows what could be read; its `error` says that it was not all.
        let _ = parser::arguments(method.arguments, &mut reader, |argument, field| {
            maker.argument(argument.name, argument.kind, field, &mut members);
        });
    }
    if method.content {
        let mut properties = Vec::new();
        let _ = parser::properties(parts.header, |property, field| {
            maker.argument(property.name, property.kind, field, &mut properties);
        });
        members.push(("properties".into(), Value::Object(properties)));
        members.push(("body".into(), Value::Base64(bytes.slice_ref(parts.body))));
        let whole = parser::body_size(parts.header).unwrap_or(0);
        if whole > parts.body.len() as u64 {
            members.push(("truncated".into(), Value::Bool(true)));
        }
    }
    if with_summary {
        let text = summary(method.summary, &members);
        members.push(("summary".into(), Value::text(text)));
    }
    Value::Object(members)
}

/// The members that say what a method is about, with a blank between them.
fn summary(names: &[&'static str], members: &[(Key, Value)]) -> String {
    let texts = names.iter().filter_map(|name| {
        let (_, value) = members.iter().find(|(key, _)| *key == Key::Static(name))?;
        match value {
            Value::Text(bytes) if bytes.is_empty() => None,
            Value::Text(bytes) => Some(text_of(bytes).into_owned()),
            Value::Int(number) => Some(number.to_string()),
            Value::Bool(value) => Some(value.to_string()),
            _ => None,
        }
    });
    texts.collect::<Vec<_>>().join(" ")
}

/// Makes values that are slices of `bytes`.
struct Maker<'a> {
    bytes: &'a Bytes,
    /// Table values that may still be shown.
    left: usize,
    /// Whether the SASL mechanism is PLAIN, of which the user's name can be shown.
    user_known: bool,
}

impl Maker<'_> {
    fn argument(
        &mut self,
        name: &'static str,
        kind: Kind,
        field: Field<'_>,
        members: &mut Vec<(Key, Value)>,
    ) {
        if name.is_empty() {
            return;
        }
        let value = match (field, kind) {
            (Field::Text(bytes), Kind::Sasl) if self.user_known => plain_response(bytes),
            (Field::Text(bytes), Kind::Sasl | Kind::Secret) => hidden(bytes),
            (Field::Text(bytes), _) => {
                self.user_known |= name == "mechanism" && bytes == b"PLAIN";
                self.text(bytes)
            }
            (Field::Bool(value), _) => Value::Bool(value),
            (Field::Int(number), _) => Value::Int(i64::try_from(number).unwrap_or(i64::MAX)),
            (Field::Table(pairs), _) => self.table(pairs, 1),
        };
        if kind == Kind::ReplyCode {
            // The drop-in spells it so; scripts read that name.
            members.push(("relyCode".into(), value.clone()));
        }
        members.push((name.into(), value));
    }

    fn text(&self, bytes: &[u8]) -> Value {
        Value::Text(self.bytes.slice_ref(bytes))
    }

    fn table(&mut self, pairs: Pairs<'_>, depth: usize) -> Value {
        let mut members: Vec<(Key, Value)> = Vec::new();
        let mut names = HashSet::new();
        for (name, value) in pairs.map_while(Result::ok) {
            if self.left == 0 {
                break;
            }
            self.left -= 1;
            // "Duplicate fields are illegal" (section 4.2.5.5): the first counts.
            if names.insert(name) {
                let value = self.value(value, depth);
                members.push((Key::Bytes(self.bytes.slice_ref(name)), value));
            }
        }
        Value::Object(members)
    }

    fn value(&mut self, value: TableValue<'_>, depth: usize) -> Value {
        match value {
            TableValue::Void => Value::Null,
            TableValue::Bool(value) => Value::Bool(value),
            TableValue::Int(number) => Value::Int(number),
            TableValue::Float(number) => Value::Float(number),
            TableValue::Decimal(number, scale) => Value::text(decimal_text(number, scale)),
            TableValue::Text(bytes) => self.text(bytes),
            TableValue::Bytes(bytes) => Value::Base64(self.bytes.slice_ref(bytes)),
            TableValue::Array(_) | TableValue::Table(_) if depth >= MAX_DEPTH => Value::Null,
            TableValue::Array(values) => {
                let mut list = Vec::new();
                for value in values.map_while(Result::ok) {
                    if self.left == 0 {
                        break;
                    }
                    self.left -= 1;
                    list.push(self.value(value, depth + 1));
                }
                Value::List(list)
            }
            TableValue::Table(pairs) => self.table(pairs, depth + 1),
        }
    }
}

/// A response of SASL PLAIN (RFC 4616) with the length of the password in its place.
fn plain_response(bytes: &[u8]) -> Value {
    let mut parts = bytes.splitn(3, |byte| *byte == 0);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(authzid), Some(authcid), Some(password)) => Value::text(format!(
            "{}\0{}\0[{} octets]",
            text_of(authzid),
            text_of(authcid),
            password.len()
        )),
        _ => hidden(bytes),
    }
}

fn hidden(bytes: &[u8]) -> Value {
    Value::text(format!("[{} octets]", bytes.len()))
}

fn decimal_text(number: i32, scale: u8) -> String {
    let digits = number.unsigned_abs().to_string();
    let sign = if number < 0 { "-" } else { "" };
    let scale = usize::from(scale);
    if scale == 0 {
        return format!("{sign}{digits}");
    }
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    format!("{sign}{whole}.{fraction}")
}
