//! A RADIUS packet as the values of an item; made only when somebody reads them.
//!
//! In: a count of repetitions (four bytes), then the packet. Out: `request` and `response` in the
//! shape that `mod.rs` draws. Never: a password, hidden or not.

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::Bytes;

use super::dictionary::{
    self, ACCT_STATUS_TYPE, Kind, STATION_AND_NAS, USER_NAME, name_of, vendor_attribute,
};
use super::parser::{Attribute, Attributes, Packet};
use crate::bytes::Reader;
use crate::item::{Key, Value, text_of};

/// One packet as the members `request` and `response` have it.
pub(super) fn packet(bytes: &Bytes) -> Value {
    let mut reader = Reader::new(bytes);
    let Ok(repetitions) = reader.u32() else {
        return Value::Null;
    };
    let Some(packet) = Packet::parse(reader.rest()) else {
        return Value::Null;
    };
    let attributes: Vec<Value> = packet
        .attributes()
        .map_while(Result::ok)
        .map(|attribute| attribute_value(bytes, &attribute))
        .collect();
    let length = i64::try_from(packet.length).unwrap_or(i64::MAX);
    let mut members: Vec<(Key, Value)> = vec![
        ("code".into(), Value::Int(packet.code.number.into())),
        ("codeName".into(), Value::Static(packet.code.name)),
        ("id".into(), Value::Int(packet.id.into())),
        ("authenticator".into(), hex(packet.authenticator)),
        ("length".into(), Value::Int(length)),
        ("attributes".into(), Value::List(attributes)),
    ];
    if repetitions > 0 {
        let count = Value::Int(repetitions.into());
        members.push(("retransmissions".into(), count));
    }
    members.push(("summary".into(), Value::text(summary(&packet))));
    Value::Object(members)
}

/// What is accounted, and whom a packet is about.
fn summary(packet: &Packet<'_>) -> String {
    let find = |kind| {
        packet
            .attributes()
            .map_while(Result::ok)
            .find(|attribute| attribute.kind == kind)
            .and_then(|attribute| {
                let kind = dictionary::attribute(kind)?.kind;
                match plain(kind, attribute.value)? {
                    Shown::Bytes(bytes) => Some(text_of(bytes).into_owned()),
                    Shown::Text(text) => Some(text),
                    Shown::Number(_) => None,
                }
            })
    };
    let who = find(USER_NAME).or_else(|| STATION_AND_NAS.into_iter().find_map(find));
    let parts = [find(ACCT_STATUS_TYPE), who];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn attribute_value(bytes: &Bytes, attribute: &Attribute<'_>) -> Value {
    let mut members: Vec<(Key, Value)> = vec![("type".into(), Value::Int(attribute.kind.into()))];
    let known = dictionary::attribute(attribute.kind);
    if let Some(known) = known {
        members.push(("name".into(), Value::Static(known.name)));
    }
    let kind = known.map_or(Kind::Octets, |known| known.kind);
    let mut reader = Reader::new(attribute.value);
    match kind {
        Kind::Vendor => vendor(bytes, attribute.value, &mut members),
        Kind::Extended | Kind::LongExtended => {
            if let Ok(number) = reader.u8() {
                members.push(("extendedType".into(), Value::Int(number.into())));
            }
            if kind == Kind::LongExtended
                && let Ok(flags) = reader.u8()
            {
                // Whether the value goes on in the next attribute of this type.
                members.push(("more".into(), Value::Bool(flags & 0x80 != 0)));
            }
            members.push(("value".into(), hex(reader.rest())));
        }
        Kind::TaggedText | Kind::TaggedInteger | Kind::TaggedEnum(_) => {
            let (tag, value) = tagged(kind, attribute.value);
            if let Some(tag) = tag {
                members.push(("tag".into(), Value::Int(tag.into())));
            }
            members.push(("value".into(), shown(bytes, kind, value)));
        }
        kind => members.push(("value".into(), shown(bytes, kind, attribute.value))),
    }
    Value::Object(members)
}

/// Splits the tag off a value. "If the value of the Tag field is greater than 0x1F, it SHOULD be
/// interpreted as the first byte of the following String field" (RFC 2868 section 3.3).
fn tagged(kind: Kind, value: &[u8]) -> (Option<u8>, &[u8]) {
    match (kind, value.split_first()) {
        (_, None) => (None, value),
        (Kind::TaggedText, Some((first, _))) if *first > 0x1f => (None, value),
        (_, Some((first, rest))) => (Some(*first), rest),
    }
}

/// `vendor id, attributes`, whose coding is the vendor's: most write type, length, value.
fn vendor(bytes: &Bytes, value: &[u8], members: &mut Vec<(Key, Value)>) {
    let mut reader = Reader::new(value);
    let Ok(id) = reader.u32() else {
        return members.push(("value".into(), hex(value)));
    };
    members.push(("vendorId".into(), Value::Int(id.into())));
    if let Some(name) = dictionary::vendor(id) {
        members.push(("vendor".into(), Value::Static(name)));
    }
    let inner = reader.rest();
    let attributes: Result<Vec<_>, _> = Attributes::of_vendor(inner).collect();
    let Some(attributes) = attributes.ok().filter(|list| !list.is_empty()) else {
        return members.push(("value".into(), hex(inner)));
    };
    let list = attributes.iter().map(|attribute| {
        let mut members: Vec<(Key, Value)> =
            vec![("type".into(), Value::Int(attribute.kind.into()))];
        let known = vendor_attribute(id, attribute.kind);
        if let Some(known) = known {
            members.push(("name".into(), Value::Static(known.name)));
        }
        let kind = known.map_or(Kind::Octets, |known| known.kind);
        members.push(("value".into(), shown(bytes, kind, attribute.value)));
        Value::Object(members)
    });
    members.push(("attributes".into(), Value::List(list.collect())));
}

/// A value in the form of its type.
enum Shown<'a> {
    /// Text of the packet itself.
    Bytes(&'a [u8]),
    /// Text that was made.
    Text(String),
    /// A number.
    Number(u64),
}

/// A value that is not of its type's length is shown as octets.
fn shown(bytes: &Bytes, kind: Kind, value: &[u8]) -> Value {
    match plain(kind, value) {
        Some(Shown::Bytes(text)) => Value::Text(bytes.slice_ref(text)),
        Some(Shown::Text(text)) => Value::text(text),
        Some(Shown::Number(number)) => Value::Int(i64::try_from(number).unwrap_or(i64::MAX)),
        None => hex(value),
    }
}

fn plain(kind: Kind, value: &[u8]) -> Option<Shown<'_>> {
    let named = |names, number| match name_of(names, number) {
        Some(name) => Shown::Text(name.into()),
        None => Shown::Number(number.into()),
    };
    Some(match kind {
        Kind::Text | Kind::TaggedText => Shown::Bytes(value),
        Kind::Concealed => Shown::Text(format!("[{} octets]", value.len())),
        Kind::Integer | Kind::Time => {
            Shown::Number(u32::from_be_bytes(value.try_into().ok()?).into())
        }
        Kind::Integer64 => Shown::Number(u64::from_be_bytes(value.try_into().ok()?)),
        Kind::Enum(names) => named(names, u32::from_be_bytes(value.try_into().ok()?)),
        Kind::TaggedInteger | Kind::TaggedEnum(_) => {
            let [high, middle, low] = value.try_into().ok()?;
            let number = u32::from_be_bytes([0, high, middle, low]);
            match kind {
                Kind::TaggedEnum(names) => named(names, number),
                _ => Shown::Number(number.into()),
            }
        }
        Kind::Ipv4 => Shown::Text(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?).to_string()),
        Kind::Ipv6 => Shown::Text(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?).to_string()),
        Kind::Prefix6 => Shown::Text(prefix_text(value)?),
        Kind::InterfaceId => {
            let [a, b, c, d] = pairs(value)?;
            Shown::Text(format!("{a:x}:{b:x}:{c:x}:{d:x}"))
        }
        Kind::Octets | Kind::Vendor | Kind::Extended | Kind::LongExtended => return None,
    })
}

fn pairs(value: &[u8]) -> Option<[u16; 4]> {
    let mut reader = Reader::new(value);
    let all = [
        reader.u16().ok()?,
        reader.u16().ok()?,
        reader.u16().ok()?,
        reader.u16().ok()?,
    ];
    reader.is_empty().then_some(all)
}

/// A reserved octet, the prefix's length in bits, and as many octets of it as are needed.
fn prefix_text(value: &[u8]) -> Option<String> {
    let mut reader = Reader::new(value);
    reader.skip(1).ok()?;
    let bits = reader.u8().ok().filter(|bits| *bits <= 128)?;
    let mut address = [0; 16];
    let octets = reader.rest();
    address.get_mut(..octets.len())?.copy_from_slice(octets);
    Some(format!("{}/{bits}", Ipv6Addr::from(address)))
}

fn hex(bytes: &[u8]) -> Value {
    use std::fmt::Write;
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Value::text(text)
}
