//! A message as people read it: by the names of its descriptor, or by numbers without one.
//!
//! In: the bytes of a message, and perhaps its type. Out: a [`Value`]. Never: more values than
//! [`MAX_VALUES`] or deeper than [`MAX_DEPTH`]; what is left out is told.
//!
//! ```text
//! int32, int64, ...   number; text where it needs more than the 53 bits that scripts have
//! float, double       number; NaN, Infinity and -Infinity as text
//! enum                name, or the number when it has none
//! bytes               base64
//! repeated            list                    map      object
//! without descriptor  object by field number; text, a message or base64 by what the bytes look like
//! ```

use std::collections::HashMap;

use bytes::Bytes;

use super::schema::{Enum, Kind, Member, Message, Schema};
use super::wire::{self, FIXED32, FIXED64, Field, Fields, VARINT};
use crate::item::{Key, Value};

/// Values of the messages of one body.
const MAX_VALUES: usize = 20_000;

/// Messages within messages; protobuf's own readers stop at 100.
const MAX_DEPTH: usize = 32;

/// Largest whole number that scripts hold exactly, 2^53 - 1.
const MAX_EXACT: u64 = (1 << 53) - 1;

/// Types to look in, those that count first in front.
pub(super) struct Types<'s>(pub(super) Vec<&'s Schema>);

impl<'s> Types<'s> {
    fn message(&self, name: &str) -> Option<&'s Message> {
        self.0.iter().find_map(|schema| schema.message(name))
    }

    fn enumeration(&self, name: &str) -> Option<&'s Enum> {
        self.0.iter().find_map(|schema| schema.enumeration(name))
    }

    /// The types of a method's request and response.
    pub(super) fn method(&self, path: &str) -> Option<(&'s str, &'s str)> {
        self.0.iter().find_map(|schema| schema.method(path))
    }
}

/// Renders the messages of one body.
pub(super) struct Renderer<'t, 's> {
    types: &'t Types<'s>,
    left: usize,
    /// Whether something was left out, or bytes are no message of their type.
    pub(super) cut: bool,
}

/// Members of an object by what tells them apart.
struct Members<K> {
    list: Vec<(Key, Value)>,
    places: HashMap<K, usize, ahash::RandomState>,
}

impl<K: Eq + std::hash::Hash> Members<K> {
    fn new() -> Members<K> {
        Members {
            list: Vec::new(),
            places: HashMap::default(),
        }
    }

    /// The value of the member `which`, called `name` when it is new.
    fn at(&mut self, which: K, name: impl FnOnce() -> Key) -> &mut Value {
        let list = &mut self.list;
        let place = *self.places.entry(which).or_insert_with(|| {
            list.push((name(), Value::Null));
            list.len() - 1
        });
        &mut list[place].1
    }
}

impl<'t, 's> Renderer<'t, 's> {
    pub(super) fn new(types: &'t Types<'s>) -> Renderer<'t, 's> {
        Renderer {
            types,
            left: MAX_VALUES,
            cut: false,
        }
    }

    /// A message of the type `name`; `None` when the type is not described.
    pub(super) fn typed(&mut self, name: &str, bytes: &Bytes) -> Option<Value> {
        let message = self.types.message(name)?;
        Some(self.message(message, bytes, bytes, 0))
    }

    /// A message by numbers; `None` when the bytes are none.
    pub(super) fn untyped(&mut self, bytes: &Bytes) -> Option<Value> {
        self.raw(bytes, bytes, 0)
    }

    /// Whether there is room for one value more.
    fn has_room(&mut self) -> bool {
        self.cut |= self.left == 0;
        self.left = self.left.saturating_sub(1);
        !self.cut
    }

    /// `bytes` are a part of `whole`.
    fn message(&mut self, of: &Message, whole: &Bytes, bytes: &[u8], depth: usize) -> Value {
        let mut members = Members::new();
        let mut fields = Fields::of(bytes);
        for (number, field) in fields.by_ref() {
            if !self.has_room() {
                break;
            }
            match of.member(number) {
                Some(member) => {
                    let place = members.at(number, || Key::Bytes(member.name.clone()));
                    self.member(member, field, whole, depth, place);
                }
                // Of a newer version of the type, or an extension.
                None => {
                    let value = self.guess(field, whole, depth);
                    let place = members.at(number, || Key::Bytes(number.to_string().into()));
                    add(place, value);
                }
            }
        }
        self.cut |= fields.is_broken();
        Value::Object(members.list)
    }

    /// Puts what a field holds into its place.
    fn member(
        &mut self,
        member: &Member,
        field: Field<'_>,
        whole: &Bytes,
        depth: usize,
        place: &mut Value,
    ) {
        if let (true, Kind::Message(name)) = (member.repeated, &member.kind)
            && let Some(entry) = self.types.message(name).filter(|of| of.is_entry)
        {
            return self.entry(entry, field, whole, depth, place);
        }
        if !member.repeated {
            // "The last one wins"; of messages that came in parts, the last part.
            *place = self.value(&member.kind, field, whole, depth);
            return;
        }
        if !matches!(place, Value::List(_)) {
            *place = Value::List(Vec::new());
        }
        let Value::List(list) = place else { return };
        match (field, wire_type(&member.kind)) {
            (Field::Bytes(bytes), Some(wire_type)) => {
                for field in wire::packed(bytes, wire_type) {
                    if !self.has_room() {
                        break;
                    }
                    list.push(self.value(&member.kind, field, whole, depth));
                }
            }
            _ => list.push(self.value(&member.kind, field, whole, depth)),
        }
    }

    /// Puts an entry of a map into its object.
    fn entry(
        &mut self,
        entry: &Message,
        field: Field<'_>,
        whole: &Bytes,
        depth: usize,
        place: &mut Value,
    ) {
        let Value::Object(mut parts) = (match field {
            Field::Bytes(bytes) => self.message(entry, whole, bytes, depth + 1),
            _ => Value::Null,
        }) else {
            return;
        };
        if !matches!(place, Value::Object(_)) {
            *place = Value::Object(Vec::new());
        }
        let mut part = |number: u32| {
            let name = entry.member(number).map(|member| member.name.clone());
            let at = parts
                .iter()
                .position(|(key, _)| Some(key) == name.clone().map(Key::Bytes).as_ref())?;
            Some(parts.swap_remove(at).1)
        };
        let value = part(2).unwrap_or(Value::Null);
        let key = match part(1) {
            Some(Value::Text(text)) => text,
            Some(Value::Int(number)) => number.to_string().into(),
            Some(Value::Bool(flag)) => flag.to_string().into(),
            _ => Bytes::new(),
        };
        if let Value::Object(members) = place {
            let key = Key::Bytes(key);
            match members.iter_mut().find(|(known, _)| *known == key) {
                Some((_, known)) => *known = value,
                None => members.push((key, value)),
            }
        }
    }

    fn value(&mut self, kind: &Kind, field: Field<'_>, whole: &Bytes, depth: usize) -> Value {
        match (kind, field) {
            (Kind::Int, Field::Varint(number)) => signed(number.cast_signed()),
            (Kind::Uint, Field::Varint(number)) => unsigned(number),
            // "Zigzag": positive and negative numbers take turns.
            (Kind::Sint, Field::Varint(number)) => {
                signed((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
            }
            (Kind::Bool, Field::Varint(number)) => Value::Bool(number != 0),
            (Kind::Enum(name), Field::Varint(number)) => {
                // An int32 on the wire.
                let number = number as i32;
                let known = self.types.enumeration(name);
                match known.and_then(|names| names.name(number)) {
                    Some(name) => Value::Text(name.clone()),
                    None => Value::Int(number.into()),
                }
            }
            (Kind::Fixed64, Field::Fixed64(number)) => unsigned(number),
            (Kind::Sfixed64, Field::Fixed64(number)) => signed(number.cast_signed()),
            (Kind::Double, Field::Fixed64(bits)) => float(f64::from_bits(bits)),
            (Kind::Fixed32, Field::Fixed32(number)) => Value::Int(number.into()),
            (Kind::Sfixed32, Field::Fixed32(number)) => Value::Int(number.cast_signed().into()),
            (Kind::Float, Field::Fixed32(bits)) => float(f32::from_bits(bits).into()),
            (Kind::Text, Field::Bytes(text)) => Value::Text(whole.slice_ref(text)),
            (Kind::Bytes, Field::Bytes(bytes)) => Value::Base64(whole.slice_ref(bytes)),
            (Kind::Message(name), Field::Bytes(bytes) | Field::Group(bytes)) => {
                match self.types.message(name) {
                    Some(of) if depth < MAX_DEPTH => self.message(of, whole, bytes, depth + 1),
                    _ => self.guess(field, whole, depth),
                }
            }
            // Not of the type that its descriptor says.
            _ => {
                self.cut = true;
                self.guess(field, whole, depth)
            }
        }
    }

    fn raw(&mut self, whole: &Bytes, bytes: &[u8], depth: usize) -> Option<Value> {
        // A look ahead: what is no message is not taken apart.
        let mut fields = Fields::of(bytes);
        while fields.next().is_some() {}
        if depth >= MAX_DEPTH || fields.is_broken() {
            return None;
        }
        let mut members = Members::new();
        for (number, field) in Fields::of(bytes) {
            if !self.has_room() {
                break;
            }
            let value = self.guess(field, whole, depth);
            let place = members.at(number, || Key::Bytes(number.to_string().into()));
            add(place, value);
        }
        Some(Value::Object(members.list))
    }

    /// What a field without a description holds, by its looks.
    fn guess(&mut self, field: Field<'_>, whole: &Bytes, depth: usize) -> Value {
        match field {
            Field::Varint(number) | Field::Fixed64(number) => unsigned(number),
            Field::Fixed32(number) => Value::Int(number.into()),
            Field::Group(bytes) => self.raw(whole, bytes, depth + 1).unwrap_or(Value::Null),
            Field::Bytes(bytes) if is_text(bytes) => Value::Text(whole.slice_ref(bytes)),
            Field::Bytes(bytes) => match self.raw(whole, bytes, depth + 1) {
                Some(value) => value,
                None => Value::Base64(whole.slice_ref(bytes)),
            },
        }
    }
}

/// Adds one value more to a member whose number of values nothing tells.
fn add(place: &mut Value, value: Value) {
    match place {
        Value::Null => *place = value,
        Value::List(list) => list.push(value),
        _ => {
            let first = std::mem::take(place);
            *place = Value::List(vec![first, value]);
        }
    }
}

/// The wire type of the numbers of a packed list; `None` for what cannot be packed.
fn wire_type(kind: &Kind) -> Option<u8> {
    match kind {
        Kind::Int | Kind::Uint | Kind::Sint | Kind::Bool | Kind::Enum(_) => Some(VARINT),
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => Some(FIXED64),
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => Some(FIXED32),
        Kind::Text | Kind::Bytes | Kind::Message(_) => None,
    }
}

fn is_text(bytes: &[u8]) -> bool {
    let plain = |byte: &u8| *byte >= 0x20 && *byte != 0x7f || matches!(byte, b'\t' | b'\n' | b'\r');
    bytes.iter().all(plain) && std::str::from_utf8(bytes).is_ok()
}

fn signed(number: i64) -> Value {
    match number.unsigned_abs() <= MAX_EXACT {
        true => Value::Int(number),
        false => Value::text(number.to_string()),
    }
}

fn unsigned(number: u64) -> Value {
    match i64::try_from(number) {
        Ok(exact) if number <= MAX_EXACT => Value::Int(exact),
        _ => Value::text(number.to_string()),
    }
}

fn float(number: f64) -> Value {
    match number {
        number if number.is_nan() => Value::Static("NaN"),
        f64::INFINITY => Value::Static("Infinity"),
        f64::NEG_INFINITY => Value::Static("-Infinity"),
        number => Value::Float(number),
    }
}
