//! Parts of an item as JSON text without bodies, and back.
//!
//! Left out are base64 texts, the bodies that [`BODIES`] names, long texts, and a part that is large
//! all the same. Each stands as null, and the paths at which that happened are noted, so that a
//! reader knows which questions only the packets answer.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::fold::{self, Fate, Held};
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

/// The text of a place as the JSON has it; `None` for what is no text, and for what is left out.
pub(super) fn kept<'a, N: Node<'a>>(node: N) -> Option<Cow<'a, str>> {
    let is_raw = node.raw().is_some();
    node.text()
        .filter(|text| text.is_empty() || !is_raw && text.len() <= MAX_TEXT)
}

/// Writes the part of an item that `path` names, folded; answers whether something was left out.
pub(super) fn write<'a, N: Node<'a>>(
    node: N,
    path: &str,
    held: &Held<'a>,
    out: &mut Vec<u8>,
    cuts: &mut Cuts,
) -> bool {
    let mut writer = Writer {
        part: (path, node),
        held,
        path: path.to_owned(),
        out,
        cuts,
        was_cut: false,
        is_lost: false,
    };
    writer.node(node, "", 0);
    let (was_cut, is_lost) = (writer.was_cut, writer.is_lost);
    let is_large = out.len() > MAX_PART;
    if is_large {
        out.clear();
        out.extend_from_slice(b"{}");
    }
    if is_large || is_lost {
        cuts.note(path);
    }
    was_cut || is_large || is_lost
}

struct Writer<'w, 'a, N> {
    /// Its name, and where it begins.
    part: (&'w str, N),
    held: &'w Held<'a>,
    path: String,
    out: &'w mut Vec<u8>,
    cuts: &'w mut Cuts,
    was_cut: bool,
    is_lost: bool,
}

impl<'a, N: Node<'a>> Writer<'_, 'a, N> {
    /// Writes a node, which is called `name`.
    fn node(&mut self, node: N, name: &str, depth: usize) {
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
                    match node.element(index) {
                        Some(element) => self.below(ANY, element, depth),
                        None => self.null(),
                    }
                }
                self.out.push(b']');
            }
            Kind::Object => self.object(node, name, depth),
            Kind::Null => self.null(),
            Kind::Bool => self.scalar(&node.bool()),
            Kind::Int => self.scalar(&node.int()),
            Kind::Float => self.scalar(&node.float()),
        }
    }

    fn object(&mut self, node: N, above: &str, depth: usize) {
        self.out.push(b'{');
        let mut is_first = true;
        for (name, member) in (0..node.len()).filter_map(|index| node.entry(index)) {
            if !std::mem::take(&mut is_first) {
                self.out.push(b',');
            }
            self.scalar(&*name);
            self.out.push(b':');
            let fate = match depth {
                0 => fold::fate(self.part, &[&*name], member, self.held),
                1 => fold::fate(self.part, &[above, &*name], member, self.held),
                _ => Fate::Stays,
            };
            self.is_lost |= fate == Fate::Lost;
            match fate {
                Fate::Folded => self.null(),
                Fate::Stays | Fate::Lost => self.below(&name, member, depth),
            }
        }
        self.out.push(b'}');
    }

    fn below(&mut self, name: &str, node: N, depth: usize) {
        let length = self.path.len();
        self.path.push('.');
        self.path.push_str(name);
        self.node(node, name, depth + 1);
        self.path.truncate(length);
    }

    fn text(&mut self, node: N) {
        let is_body = BODIES.contains(&self.path.as_str());
        match kept(node) {
            Some(text) if text.is_empty() || !is_body => self.scalar(&*text),
            _ => self.cut(),
        }
    }

    fn cut(&mut self) {
        self.was_cut = true;
        self.cuts.note(&self.path);
        self.null();
    }

    fn null(&mut self) {
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
