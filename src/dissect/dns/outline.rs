//! Messages that tell what filters and lists read, and are put in the item's shape only for more.
//!
//! In: the bytes of one message. Out: values that equal those of [`render`]. Never: a copy of the
//! message.

use std::sync::OnceLock;

use bytes::Bytes;

use super::parser::Message;
use super::render;
use crate::item::{Outline, Told, Value};

/// The member `request` of an item.
pub(super) fn request(bytes: Bytes) -> Value {
    Value::Outlined(Box::new(Query {
        bytes,
        name: OnceLock::new(),
        made: OnceLock::new(),
    }))
}

/// The member `response` of an item.
pub(super) fn response(bytes: Bytes) -> Value {
    Value::outlined(bytes, told_of_response, render::response)
}

fn told_of_response<'a>(bytes: &'a Bytes, name: &str) -> Option<Told<'a>> {
    let message = Message::new(bytes).ok()?;
    match name {
        "code" => told(render::code_text(render::code(message))),
        _ => None,
    }
}

fn told(text: Value) -> Option<Told<'static>> {
    match text {
        Value::Static(text) => Some(Told::Static(text)),
        _ => None,
    }
}

/// A query.
#[derive(Clone)]
struct Query {
    bytes: Bytes,
    /// The name of its first question, once somebody has read it.
    name: OnceLock<String>,
    made: OnceLock<Value>,
}

impl Outline for Query {
    fn told(&self, name: &str) -> Option<Told<'_>> {
        let message = Message::new(&self.bytes).ok()?;
        match name {
            "opCode" => told(render::opcode_text(message.header().opcode())),
            _ => None,
        }
    }

    fn told_below(&self, names: &[Box<str>]) -> Option<Told<'_>> {
        let member = match names {
            [name] => return self.told(name),
            [questions, first, member] if **questions == *"questions" && **first == *"0" => member,
            _ => return None,
        };
        let message = Message::new(&self.bytes).ok()?;
        if **member == *"name" {
            if self.name.get().is_none() {
                let labels = message.first_name()?;
                self.name.get_or_init(|| render::name_text(&labels));
            }
            return Some(Told::Text(self.name.get()?.as_bytes()));
        }
        let question = message.questions().next()?.ok()?;
        match &**member {
            "type" => told(render::type_text(question.kind)),
            "class" => told(render::class_text(question.class)),
            _ => None,
        }
    }

    fn whole(&self) -> &Value {
        self.made.get_or_init(|| render::request(&self.bytes))
    }

    fn copied(&self) -> Box<dyn Outline> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::sample::told_as_made;

    /// Identifier, flags, one question for `a\.b.C` of a type, and records with their count.
    fn message(flags: u16, kind: u16, records: &[u8], additionals: u16) -> Bytes {
        let mut bytes = vec![0x12, 0x34];
        for number in [flags, 1, 0, 0, additionals] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend(b"\x03a.b\x01C\0");
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1]);
        bytes.extend(records);
        bytes.into()
    }

    #[test]
    fn what_is_told_is_what_is_made() {
        // OPT with the upper bits of code 16, and one with those of a code without a name.
        let opt = |upper| [&b"\0\0\x29\x10\0"[..], &[upper], b"\0\0\0\0\0"].concat();
        let messages = [
            message(0x0100, 1, b"", 0),
            message(0x8180, 28, b"", 0),
            message(0x8183, 65280, b"", 0),
            message(0x8180, 1, &opt(1), 1),
            message(0x8180, 1, &opt(9), 1),
            message(0x8180, 1, &opt(9), 2),
            message(0x7800, 255, b"\xc0", 1),
            message(0x0100, 1, b"", 0).slice(..14),
            message(0x0100, 1, b"", 0).slice(..3),
        ];
        let paths = [
            "opCode",
            "questions.0.name",
            "questions.0.type",
            "questions.0.class",
            "questions.1.name",
            "code",
            "answers",
        ];
        let values = |bytes: Bytes| [request(bytes.clone()), response(bytes)];
        let told = messages.into_iter().flat_map(values);
        let told: usize = told.map(|value| told_as_made(&value, &paths)).sum();
        assert_eq!(told, 34);
    }
}
