//! Message types, enums and methods, as descriptors describe them.
//!
//! In: the bytes of a `FileDescriptorSet` or `FileDescriptorProto`. Out: a [`Schema`]. Never: a type
//! that is not described. Standard: `google/protobuf/descriptor.proto`.

use std::collections::HashMap;

use bytes::Bytes;

use super::wire::{Field, Fields};

/// Messages within messages that are described.
const MAX_NESTED: usize = 32;

type Table<T> = HashMap<Box<str>, T, ahash::RandomState>;

/// What descriptors describe, by full names such as `shop.Cart`.
#[derive(Debug, Default)]
pub(super) struct Schema {
    messages: Table<Message>,
    enums: Table<Enum>,
    /// Types of request and response by path, such as `/shop.Cart/Add`.
    methods: Table<(Box<str>, Box<str>)>,
}

/// A message type.
#[derive(Debug, Default)]
pub(super) struct Message {
    /// By number.
    members: HashMap<u32, Member, ahash::RandomState>,
    /// Whether it is an entry of a map: key in field 1, value in field 2.
    pub(super) is_entry: bool,
}

/// A field of a message type.
#[derive(Debug)]
pub(super) struct Member {
    /// Its name in JSON.
    pub(super) name: Bytes,
    /// What it holds.
    pub(super) kind: Kind,
    /// Whether it is a list, or a map.
    pub(super) repeated: bool,
}

/// The types of fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Double,
    Float,
    /// `int32`, `int64`.
    Int,
    /// `uint32`, `uint64`.
    Uint,
    /// `sint32`, `sint64`, in zigzag.
    Sint,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    Text,
    Bytes,
    /// Also groups.
    Message(Box<str>),
    Enum(Box<str>),
}

/// The names of an enum's numbers.
#[derive(Debug, Default)]
pub(super) struct Enum(HashMap<i32, Bytes, ahash::RandomState>);

impl Enum {
    /// The name of a number.
    pub(super) fn name(&self, number: i32) -> Option<&Bytes> {
        self.0.get(&number)
    }
}

impl Message {
    /// The field of that number.
    pub(super) fn member(&self, number: u32) -> Option<&Member> {
        self.members.get(&number)
    }
}

impl Schema {
    /// Adds the files of a `FileDescriptorSet`; false when the bytes are none.
    pub(super) fn add_set(&mut self, set: &[u8]) -> bool {
        let mut fields = Fields::of(set);
        let mut sound = !set.is_empty();
        for (number, field) in fields.by_ref() {
            match (number, field) {
                (1, Field::Bytes(file)) => sound &= self.add_file(file),
                _ => sound = false,
            }
        }
        sound && !fields.is_broken()
    }

    /// Adds the types of a `FileDescriptorProto`; false when the bytes are none.
    pub(super) fn add_file(&mut self, file: &[u8]) -> bool {
        let Some(package) = text(file, 2) else {
            return false;
        };
        let mut fields = Fields::of(file);
        let mut sound = text(file, 1).is_some_and(|name| !name.is_empty());
        for (number, field) in fields.by_ref() {
            let Field::Bytes(inner) = field else { continue };
            sound &= match number {
                4 => self.add_message(package, inner, 0),
                5 => self.add_enum(package, inner),
                6 => self.add_service(package, inner),
                _ => true,
            };
        }
        sound && !fields.is_broken()
    }

    /// The name of a `FileDescriptorProto`.
    pub(super) fn name_of(file: &[u8]) -> Option<&str> {
        text(file, 1)
    }

    /// The message type of that name.
    pub(super) fn message(&self, name: &str) -> Option<&Message> {
        self.messages.get(name)
    }

    /// The enum of that name.
    pub(super) fn enumeration(&self, name: &str) -> Option<&Enum> {
        self.enums.get(name)
    }

    /// The types of a method's request and response.
    pub(super) fn method(&self, path: &str) -> Option<(&str, &str)> {
        let (input, output) = self.methods.get(path)?;
        Some((input, output))
    }

    fn add_message(&mut self, outer: &str, bytes: &[u8], depth: usize) -> bool {
        let Some(name) = text(bytes, 1).map(|name| joined(outer, name)) else {
            return false;
        };
        let mut message = Message::default();
        let mut fields = Fields::of(bytes);
        let mut sound = true;
        for (number, field) in fields.by_ref() {
            let Field::Bytes(inner) = field else { continue };
            match number {
                2 => match member(inner) {
                    Some((number, member)) => {
                        message.members.insert(number, member);
                    }
                    None => sound = false,
                },
                3 if depth < MAX_NESTED => sound &= self.add_message(&name, inner, depth + 1),
                4 => sound &= self.add_enum(&name, inner),
                // MessageOptions.map_entry
                7 => message.is_entry = number_of(inner, 7) == Some(1),
                _ => {}
            }
        }
        self.messages.insert(name, message);
        sound && !fields.is_broken()
    }

    fn add_enum(&mut self, outer: &str, bytes: &[u8]) -> bool {
        let Some(name) = text(bytes, 1).map(|name| joined(outer, name)) else {
            return false;
        };
        let mut names = Enum::default();
        for (number, field) in Fields::of(bytes) {
            if let (2, Field::Bytes(value)) = (number, field)
                && let Some(name) = text(value, 1)
            {
                // Numbers of enums are of 32 bits, written as those of 64 are.
                let number = number_of(value, 2).unwrap_or(0) as i32;
                let name = Bytes::copy_from_slice(name.as_bytes());
                // "allow_alias": the first name counts.
                names.0.entry(number).or_insert(name);
            }
        }
        self.enums.insert(name, names);
        true
    }

    fn add_service(&mut self, package: &str, bytes: &[u8]) -> bool {
        let Some(name) = text(bytes, 1).map(|name| joined(package, name)) else {
            return false;
        };
        for (number, field) in Fields::of(bytes) {
            let (2, Field::Bytes(method)) = (number, field) else {
                continue;
            };
            let parts = [1, 2, 3].map(|number| text(method, number));
            let [Some(method), Some(input), Some(output)] = parts else {
                return false;
            };
            let types = (absolute(input), absolute(output));
            self.methods
                .insert(format!("/{name}/{method}").into(), types);
        }
        true
    }
}

/// A `FieldDescriptorProto`.
fn member(bytes: &[u8]) -> Option<(u32, Member)> {
    const REPEATED: u64 = 3;
    let number = u32::try_from(number_of(bytes, 3)?).ok()?;
    let of_type = || text(bytes, 6).map(absolute);
    let kind = match number_of(bytes, 5)? {
        1 => Kind::Double,
        2 => Kind::Float,
        3 | 5 => Kind::Int,
        4 | 13 => Kind::Uint,
        6 => Kind::Fixed64,
        7 => Kind::Fixed32,
        8 => Kind::Bool,
        9 => Kind::Text,
        10 | 11 => Kind::Message(of_type()?),
        12 => Kind::Bytes,
        14 => Kind::Enum(of_type()?),
        15 => Kind::Sfixed32,
        16 => Kind::Sfixed64,
        17 | 18 => Kind::Sint,
        _ => return None,
    };
    let name = text(bytes, 10).filter(|name| !name.is_empty());
    let name = name.map_or_else(|| text(bytes, 1).map(camel), |name| Some(name.to_owned()))?;
    Some((
        number,
        Member {
            name: Bytes::from(name),
            kind,
            repeated: number_of(bytes, 4) == Some(REPEATED),
        },
    ))
}

/// A field's name in JSON where the descriptor does not say: `lowerCamelCase`.
fn camel(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut upper = false;
    for letter in name.chars() {
        match letter {
            '_' => upper = true,
            letter if upper => {
                out.push(letter.to_ascii_uppercase());
                upper = false;
            }
            letter => out.push(letter),
        }
    }
    out
}

fn joined(outer: &str, name: &str) -> Box<str> {
    match outer {
        "" => name.into(),
        outer => format!("{outer}.{name}").into(),
    }
}

/// "If the name starts with a '.', it is fully-qualified", as compilers write it.
fn absolute(name: &str) -> Box<str> {
    name.strip_prefix('.').unwrap_or(name).into()
}

/// The last text in a field; empty when there is none.
fn text(bytes: &[u8], wanted: u32) -> Option<&str> {
    let mut found = &b""[..];
    for (number, field) in Fields::of(bytes) {
        if let Field::Bytes(text) = field
            && number == wanted
        {
            found = text;
        }
    }
    std::str::from_utf8(found).ok()
}

/// The last whole number in a field.
fn number_of(bytes: &[u8], wanted: u32) -> Option<u64> {
    let numbers = Fields::of(bytes).filter_map(|(number, field)| match field {
        Field::Varint(value) if number == wanted => Some(value),
        _ => None,
    });
    numbers.last()
}
