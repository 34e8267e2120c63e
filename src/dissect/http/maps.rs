//! Maps that are made of a message when somebody reads them: fields, cookies, the query.
//!
//! In: the head, or the query of the target. Out: objects in order of first appearance, with the
//! values of one name together. Never: bodies. Standards: RFC 9110 section 5.3, RFC 6265 section 4,
//! the URL standard's `application/x-www-form-urlencoded`.

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::Bytes;

use super::parser;
use crate::item::{Key, Value};

/// Members of one map that are looked through one by one; more get an index.
const MAX_SCANNED: usize = 24;

/// All fields by name.
pub(super) fn headers(head: &Bytes) -> Value {
    let mut map = Map::default();
    parser::each_field(head, |name, value| {
        map.add(canonical(head, name), head.slice_ref(value));
    });
    map.joined()
}

/// `sid=1; theme=dark` of all Cookie fields.
pub(super) fn request_cookies(head: &Bytes) -> Value {
    let mut map = Map::default();
    parser::each_field(head, |name, value| {
        if name.eq_ignore_ascii_case(b"cookie") {
            for pair in value.split(|byte| *byte == b';') {
                map.add_pair(head, pair);
            }
        }
    });
    map.joined()
}

/// Name and value of all Set-Cookie fields, without their attributes.
pub(super) fn response_cookies(head: &Bytes) -> Value {
    let mut map = Map::default();
    parser::each_field(head, |name, value| {
        if name.eq_ignore_ascii_case(b"set-cookie") {
            map.add_pair(
                head,
                value.split(|byte| *byte == b';').next().unwrap_or_default(),
            );
        }
    });
    map.joined()
}

/// The pairs of a query by name, in lists.
pub(super) fn query_string(query: &Bytes) -> Value {
    let mut map = Map::default();
    for pair in query.split(|byte| *byte == b'&') {
        if pair.is_empty() {
            continue;
        }
        let at = memchr::memchr(b'=', pair).unwrap_or(pair.len());
        let (name, value) = pair.split_at(at);
        let value = value.strip_prefix(b"=").unwrap_or_default();
        map.add(unescaped(query, name), unescaped(query, value));
    }
    map.listed()
}

/// A part of a query with `+` and percent escapes undone; a slice when there is nothing to undo.
fn unescaped(query: &Bytes, part: &[u8]) -> Bytes {
    if memchr::memchr2(b'%', b'+', part).is_none() {
        return query.slice_ref(part);
    }
    let spaced: Vec<u8> = part
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    match Cow::from(percent_encoding::percent_decode(&spaced)) {
        Cow::Owned(decoded) => Bytes::from(decoded),
        Cow::Borrowed(_) => Bytes::from(spaced),
    }
}

/// `content-type` as `Content-Type`; a slice when it is so already.
fn canonical(head: &Bytes, name: &[u8]) -> Bytes {
    let mut upper = true;
    let is_canonical = name.iter().all(|byte| {
        let fits = match upper {
            true => !byte.is_ascii_lowercase(),
            false => !byte.is_ascii_uppercase(),
        };
        upper = *byte == b'-';
        fits
    });
    if is_canonical {
        return head.slice_ref(name);
    }
    let mut upper = true;
    let write = |byte: &u8| {
        let written = match upper {
            true => byte.to_ascii_uppercase(),
            false => byte.to_ascii_lowercase(),
        };
        upper = *byte == b'-';
        written
    };
    Bytes::from(name.iter().map(write).collect::<Vec<u8>>())
}

/// Members by name, in order of first appearance, values of the same name together.
#[derive(Default)]
pub(super) struct Map {
    members: Vec<(Bytes, Held)>,
    /// Kept once there are more than [`MAX_SCANNED`] members.
    index: HashMap<Bytes, usize, ahash::RandomState>,
}

enum Held {
    One(Bytes),
    Many(Vec<Bytes>),
}

impl Map {
    /// Adds a value to those of its name.
    pub(super) fn add(&mut self, name: Bytes, value: Bytes) {
        let known = match self.members.len() <= MAX_SCANNED {
            true => self.members.iter().position(|(known, _)| *known == name),
            false => {
                if self.index.is_empty() {
                    let names = self.members.iter().enumerate();
                    self.index = names.map(|(at, (name, _))| (name.clone(), at)).collect();
                }
                self.index.get(&name).copied()
            }
        };
        match known.and_then(|at| self.members.get_mut(at)) {
            Some((_, Held::Many(values))) => values.push(value),
            Some((_, held)) => {
                if let Held::One(first) = held {
                    *held = Held::Many(vec![std::mem::take(first), value]);
                }
            }
            None => {
                if !self.index.is_empty() {
                    self.index.insert(name.clone(), self.members.len());
                }
                self.members.push((name, Held::One(value)));
            }
        }
    }

    /// Adds `name=value`, a part of `head`.
    pub(super) fn add_pair(&mut self, head: &Bytes, pair: &[u8]) {
        let at = memchr::memchr(b'=', pair).unwrap_or(pair.len());
        let (name, value) = pair.split_at(at);
        let name = name.trim_ascii();
        if !name.is_empty() {
            let value = value.strip_prefix(b"=").unwrap_or_default().trim_ascii();
            self.add(head.slice_ref(name), head.slice_ref(value));
        }
    }

    /// The members; values of one name with a comma between them.
    pub(super) fn joined(self) -> Value {
        self.finish(|values| Value::Text(Bytes::from(values.join(&b','))))
    }

    fn listed(self) -> Value {
        self.finish(|values| Value::List(values.into_iter().map(Value::Text).collect()))
    }

    fn finish(self, many: fn(Vec<Bytes>) -> Value) -> Value {
        let members = self.members.into_iter().map(|(name, held)| {
            let value = match held {
                Held::One(value) => Value::Text(value),
                Held::Many(values) => many(values),
            };
            (Key::Bytes(name), value)
        });
        Value::Object(members.collect())
    }
}
