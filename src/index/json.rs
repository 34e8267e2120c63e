//! Parts of an item as JSON text without bodies, and back.
//!
//! Left out are base64 texts, the bodies that [`BODIES`] names, long texts, and a part that is large
//! all the same. Each stands as null, and the paths at which that happened are noted, so that a
//! reader knows which questions only the packets answer.

use std::collections::BTreeSet;

use super::fold::{self, Held};
use super::some;
use crate::item::{Kind, Node, Value};

/// Members that hold bodies however short they are.
const BODIES: &[&str] = &["request.postData.text", "response.content.text"];

/// Bytes of a text that is kept: paths and header values stay below, bodies do not.
const MAX_TEXT: usize = 1024;

/// Bytes of one part as JSON; a page of cookies stays below.
const MAX_PART: usize = 16 * 1024;

/// Containers within containers that are kept; what lies deeper is cut.
const MAX_DEPTH: usize = 32;

/// Paths that are noted of one file; beyond, everything counts as cut.
const MAX_CUTS: usize = 64;

/// Stands in a path for any element of a list, and alone for every path.
const ANY: &str = "*";

/// Paths at which something was left out.
#[derive(Debug, Default, Clone)]
pub(super) struct Cuts(pub(super) BTreeSet<String>);

impl Cuts {
    pub(super) fn note(&mut self, path: &str) {
        if self.0.contains(ANY) || self.0.contains(path) {
            return;
        }
        if self.0.len() >= MAX_CUTS {
            self.0.clear();
            self.0.insert(ANY.to_owned());
        } else {
            self.0.insert(path.to_owned());
        }
    }

    /// Whether what is at `path`, or below or above it, may have been left out.
    pub(super) fn touch(&self, path: &str) -> bool {
        self.0.iter().any(|cut| {
            cut == ANY
                || cut
                    .split('.')
                    .zip(path.split('.'))
                    .all(|(cut, name)| cut == name || cut == ANY || name == ANY)
        })
    }
}

/// Writes the part of an item that `path` names, folded; answers whether something was left out.
pub(super) fn write<'a, N: Node<'a>>(
    node: N,
    path: &str,
    held: &Held<'_>,
    out: &mut Vec<u8>,
    cuts: &mut Cuts,
) -> bool {
    let mut writer = Writer {
        path: path.to_owned(),
        out,
        cuts,
        was_cut: false,
    };
    writer.node(node, 0);
    let was_cut = writer.was_cut;
    if out.len() > MAX_PART {
        out.clear();
        out.extend_from_slice(b"{}");
        cuts.note(path);
        return true;
    }
    let whole = serde_json::from_slice(out).unwrap_or_default();
    match fold::fold(path, &whole, held) {
        Some(folded) => {
            out.clear();
            // A value has a JSON form, and a vector takes it.
            let _ = serde_json::to_writer(&mut *out, &folded);
            was_cut
        }
        None => {
            cuts.note(path);
            true
        }
    }
}

struct Writer<'w> {
    path: String,
    out: &'w mut Vec<u8>,
    cuts: &'w mut Cuts,
    was_cut: bool,
}

impl Writer<'_> {
    fn node<'a, N: Node<'a>>(&mut self, node: N, depth: usize) {
        let is_full = depth > MAX_DEPTH || self.out.len() > MAX_PART;
        match node.kind() {
            Kind::List | Kind::Object if is_full => self.cut(),
            Kind::Text => self.text(node),
            Kind::List => {
                self.out.push(b'[');
                for index in 0..node.len() {
                    if index > 0 {
                        self.out.push(b',');
                    }
                    let Some(element) = node.element(index) else {
                        self.out.extend_from_slice(b"null");
                        continue;
                    };
                    self.below(ANY, element, depth);
                }
                self.out.push(b']');
            }
            Kind::Object => {
                self.out.push(b'{');
                let mut is_first = true;
                for (name, member) in (0..node.len()).filter_map(|index| node.entry(index)) {
                    if !std::mem::take(&mut is_first) {
                        self.out.push(b',');
                    }
                    self.scalar(&*name);
                    self.out.push(b':');
                    self.below(&name, member, depth);
                }
                self.out.push(b'}');
            }
            Kind::Null => self.out.extend_from_slice(b"null"),
            Kind::Bool => self.scalar(&node.bool()),
            Kind::Int => self.scalar(&node.int()),
            Kind::Float => self.scalar(&node.float()),
        }
    }

    fn below<'a, N: Node<'a>>(&mut self, name: &str, node: N, depth: usize) {
        let length = self.path.len();
        self.path.push('.');
        self.path.push_str(name);
        self.node(node, depth + 1);
        self.path.truncate(length);
    }

    fn text<'a, N: Node<'a>>(&mut self, node: N) {
        let is_body = node.raw().is_some() || BODIES.contains(&self.path.as_str());
        match node.text() {
            Some(text) if text.is_empty() || !is_body && text.len() <= MAX_TEXT => {
                self.scalar(&*text);
            }
            _ => self.cut(),
        }
    }

    fn cut(&mut self) {
        self.was_cut = true;
        self.cuts.note(&self.path);
        self.out.extend_from_slice(b"null");
    }

    fn scalar<T: serde::Serialize + ?Sized>(&mut self, value: &T) {
        // Scalars have a JSON form, and a vector takes it.
        let _ = serde_json::to_writer(&mut *self.out, value);
    }
}

/// The part called `name` that a JSON text holds, unfolded; null when it is none. When `only` some of
/// its members are wanted, none of which follows from others, the rest may be missing.
pub(super) fn read(name: &str, text: &[u8], held: &Held<'_>, only: Option<&[String]>) -> Value {
    if let Some(only) = only {
        let mut found = some::members(text, only).unwrap_or_default();
        unfold_headers(name, &mut found, held);
        return found;
    }
    match serde_json::from_slice(text) {
        Ok(mut json) => {
            fold::unfold(name, &mut json, held);
            value(json)
        }
        Err(_) => Value::Null,
    }
}

/// Brings back the headers that were folded, where headers were read.
fn unfold_headers(part: &str, found: &mut Value, held: &Held<'_>) {
    let Value::Object(members) = found else {
        return;
    };
    for (name, member) in members {
        let Value::Object(headers) = member else {
            continue;
        };
        if name.text() != "headers" {
            continue;
        }
        for (name, header) in headers {
            if matches!(header, Value::Null)
                && let Some(text) = fold::header(part, &name.text(), held)
            {
                *header = Value::text(text);
            }
        }
    }
}

// serde_json reads 128 containers within containers at most, so this ends.
fn value(json: serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(value),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(whole),
            None => Value::Float(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Value::text(text),
        Json::Array(list) => Value::List(list.into_iter().map(value).collect()),
        Json::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(name, member)| {
                    let name = bytes::Bytes::from(name.into_bytes());
                    (crate::item::Key::Bytes(name), value(member))
                })
                .collect(),
        ),
    }
}
