//! The flat encoding of an item: one run of bytes, every place reached by an offset.
//!
//! Made once an item, read without being taken apart: by script children from the bytes they
//! received, by the live rows of the dashboard. Never stored on disk, so it has no version.
//!
//! ```text
//! record   = length u32, number u64, elapsed u64, node        (length counts what follows it; elapsed
//!                                                               in nanoseconds, all ones for no item)
//! node     = tag u8, body
//!   0 null | 1 false | 2 true
//!   3 int    i64
//!   4 float  f64
//!   5 text   length u32, UTF-8 bytes
//!   6 bytes  length u32, bytes                                (shown as base64)
//!   7 list   count u32, count x offset u32
//!   8 object count u32, count x (name offset u32, value offset u32)
//!   9 item, 10 peer  as an object; its empty members (`absent.rs`) stand behind those written
//! name     = length u32, UTF-8 bytes
//! ```
//!
//! Integers are little-endian, offsets count from the start of the record. A reader trusts nothing:
//! an offset or length outside the record reads as null, and depth is capped by the readers.

use std::borrow::Cow;
use std::cell::Cell;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::node::{Kind, Node, micros};
use super::{Absent, Item, Value};

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const FLOAT: u8 = 4;
const TEXT: u8 = 5;
const BYTES: u8 = 6;
const LIST: u8 = 7;
const OBJECT: u8 = 8;

/// In place of the elapsed time of what is no item.
const UNTIMED: u64 = u64::MAX;

/// Bytes in front of the root node.
const HEAD: usize = 20;

/// Containers within containers that are written; what lies deeper is null.
pub const MAX_DEPTH: usize = 64;

/// Appends the record of `item` to `out`.
pub fn encode(item: &Item, out: &mut Vec<u8>) {
    let elapsed = item.elapsed_nanos.min(UNTIMED - 1);
    record(item.number, elapsed, item.node(), out);
}

/// Appends a record holding any node under `number`: no item, so queries read its members as they are.
pub fn encode_node<'a, N: Node<'a>>(number: u64, node: N, out: &mut Vec<u8>) {
    record(number, UNTIMED, node, out);
}

/// Appends a record holding `node`, an altered copy of `item`, which it is for queries: how long it
/// took is in it as far as the copy still has a number there.
pub fn encode_altered<'i, 'a, I: Node<'i>, N: Node<'a>>(
    number: u64,
    item: I,
    node: N,
    out: &mut Vec<u8>,
) {
    let is_told = node
        .member("elapsedTime")
        .is_some_and(|told| matches!(told.kind(), Kind::Int | Kind::Float));
    let micros = item.elapsed_micros().filter(|_| is_told);
    let nanos = micros.and_then(|micros| u64::try_from(micros).ok()?.checked_mul(1000));
    record(number, nanos.unwrap_or(UNTIMED), node, out);
}

/// Microseconds of what the head of a record says; `None` for no item.
pub(super) fn timed(nanos: u64) -> Option<i64> {
    (nanos != UNTIMED).then(|| micros(nanos))
}

/// Appends a record with all that its head says.
pub(super) fn record<'a, N: Node<'a>>(number: u64, elapsed: u64, node: N, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&elapsed.to_le_bytes());
    Writer { start, out }.node(node, 0);
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// Gives a record another number.
pub fn renumber(record: &mut [u8], number: u64) {
    if let Some(place) = record.get_mut(4..12) {
        place.copy_from_slice(&number.to_le_bytes());
    }
}

/// Splits `bytes` into its records, each with its length field; ends at the first that is not whole.
pub fn records(bytes: &[u8]) -> impl Iterator<Item = Flat<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = u32::from_le_bytes(rest.get(..4)?.try_into().ok()?) as usize;
        let record = rest.get(..length.checked_add(4)?)?;
        rest = &rest[record.len()..];
        Flat::new(record)
    })
}

struct Writer<'o> {
    start: usize,
    out: &'o mut Vec<u8>,
}

impl Writer<'_> {
    fn here(&self) -> [u8; 4] {
        u32::try_from(self.out.len() - self.start)
            .unwrap_or(u32::MAX)
            .to_le_bytes()
    }

    fn sized(&mut self, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.out.extend_from_slice(&length.to_le_bytes());
        self.out.extend_from_slice(bytes);
    }

    fn node<'a, N: Node<'a>>(&mut self, node: N, depth: usize) {
        let kind = if depth > MAX_DEPTH {
            Kind::Null
        } else {
            node.kind()
        };
        match kind {
            Kind::Null => self.out.push(NULL),
            Kind::Bool => self.out.push(if node.bool() == Some(true) {
                TRUE
            } else {
                FALSE
            }),
            Kind::Int => {
                self.out.push(INT);
                self.out
                    .extend_from_slice(&node.int().unwrap_or_default().to_le_bytes());
            }
            Kind::Float => {
                self.out.push(FLOAT);
                self.out
                    .extend_from_slice(&node.float().unwrap_or_default().to_le_bytes());
            }
            Kind::Text => match node.raw() {
                Some(bytes) => {
                    self.out.push(BYTES);
                    self.sized(bytes);
                }
                None => {
                    self.out.push(TEXT);
                    let written = node.with_text(|text| self.sized(text.as_bytes()));
                    written.unwrap_or_else(|| self.sized(b""));
                }
            },
            Kind::List | Kind::Object => self.container(node, kind, depth),
        }
    }

    fn container<'a, N: Node<'a>>(&mut self, node: N, kind: Kind, depth: usize) {
        let absent = node.absent();
        let count = node.len() - absent.len();
        let width = if kind == Kind::List { 4 } else { 8 };
        self.out.push(match kind {
            Kind::List => LIST,
            _ => OBJECT + absent as u8,
        });
        self.out
            .extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
        let table = self.out.len();
        self.out.resize(table + count * width, 0);
        for index in 0..count {
            let slot = table + index * width;
            let value = if kind == Kind::List {
                node.element(index)
            } else {
                let Some((name, value)) = node.entry(index) else {
                    continue;
                };
                let at = self.here();
                self.out[slot..slot + 4].copy_from_slice(&at);
                self.sized(name.as_bytes());
                Some(value)
            };
            let Some(value) = value else { continue };
            let at = self.here();
            self.out[slot + width - 4..slot + width].copy_from_slice(&at);
            self.node(value, depth + 1);
        }
    }
}

/// What is at a place of a record.
#[derive(Clone, Copy)]
pub(super) enum Part<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a [u8]),
    Bytes(&'a [u8]),
    List(usize),
    /// Members that are written, and what stands behind them.
    Object(usize, Absent),
}

/// A place in a record.
#[derive(Clone, Copy)]
pub struct Flat<'a> {
    record: &'a [u8],
    at: usize,
}

impl<'a> Flat<'a> {
    /// The root of a record (length field included); `None` when it is too short for one.
    pub fn new(record: &'a [u8]) -> Option<Flat<'a>> {
        (record.len() > HEAD).then_some(Flat { record, at: HEAD })
    }

    /// A place by its offset, as [`Flat::offset`] told it.
    pub fn at(record: &'a [u8], offset: usize) -> Flat<'a> {
        Flat { record, at: offset }
    }

    /// The item's run-wide number.
    pub fn number(self) -> u64 {
        self.head(4)
    }

    /// A place without a record that holds null, 0, an empty text or an empty list.
    pub(super) fn empty(kind: Kind) -> Flat<'a> {
        let tag = match kind {
            Kind::Text => TEXT,
            Kind::List => LIST,
            Kind::Int => INT,
            _ => NULL,
        };
        Flat {
            record: &[],
            at: usize::MAX - usize::from(tag),
        }
    }

    /// Nanoseconds from request to response, of which the item itself has only the milliseconds; all
    /// ones for what is no item.
    pub fn elapsed_nanos(self) -> u64 {
        self.head(12)
    }

    fn head(self, at: usize) -> u64 {
        self.record
            .get(at..at + 8)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u64::from_le_bytes)
    }

    /// A copy of the record in which the whole number `name` of this object is `value`; the same
    /// record when the object has no such number.
    pub fn with_int(self, name: &str, value: i64) -> Vec<u8> {
        let mut record = self.record.to_vec();
        let place = self.member(name).filter(|member| member.tag() == INT);
        let bytes = place.and_then(|place| {
            let start = place.at.checked_add(1)?;
            record.get_mut(start..start.checked_add(8)?)
        });
        if let Some(bytes) = bytes {
            bytes.copy_from_slice(&value.to_le_bytes());
        }
        record
    }

    /// The whole record.
    pub fn record(self) -> &'a [u8] {
        self.record
    }

    /// Where in the record this place is.
    pub fn offset(self) -> usize {
        self.at
    }

    /// What is at this place, texts as the bytes that they are; containers by their counts.
    pub(super) fn part(self) -> Part<'a> {
        match self.tag() {
            FALSE => Part::Bool(false),
            TRUE => Part::Bool(true),
            INT => Part::Int(i64::from_le_bytes(self.eight())),
            FLOAT => Part::Float(f64::from_le_bytes(self.eight())),
            TEXT => Part::Text(self.sized(self.at + 1)),
            BYTES => Part::Bytes(self.sized(self.at + 1)),
            LIST => Part::List(self.len()),
            NULL => Part::Null,
            _ if self.is_object() => Part::Object(self.written(), self.absent()),
            _ => Part::Null,
        }
    }

    /// Member `index` of an object with the bytes of its name.
    pub(super) fn pair(self, index: usize) -> Option<(&'a [u8], Flat<'a>)> {
        let slot = self.slot(index, 8)?;
        Some((self.sized(self.u32(slot)), self.child(self.u32(slot + 4))))
    }

    /// What is here; beyond the record, where empty members are, the place itself says it.
    fn tag(self) -> u8 {
        match self.record.get(self.at) {
            Some(tag) => *tag,
            None => u8::try_from(usize::MAX - self.at).unwrap_or(NULL),
        }
    }

    fn is_object(self) -> bool {
        let last = OBJECT + Absent::Peer as u8;
        (OBJECT..=last).contains(&self.tag())
    }

    /// Elements, or members that are written.
    fn written(self) -> usize {
        let width = match self.tag() {
            LIST => 4,
            _ if self.is_object() => 8,
            _ => return 0,
        };
        self.u32(self.at + 1)
            .min(self.record.len().saturating_sub(self.at) / width)
    }

    /// The empty member `index`, counted behind those written.
    fn empty_member(self, index: usize) -> Option<(&'static str, Flat<'a>)> {
        let behind = index.checked_sub(self.written())?;
        let (name, kind) = self.absent().members().get(behind)?;
        let place = Flat {
            record: self.record,
            ..Flat::empty(*kind)
        };
        Some((*name, place))
    }

    fn u32(self, at: usize) -> usize {
        let bytes = at.checked_add(4).and_then(|end| self.record.get(at..end));
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u32::from_le_bytes) as usize
    }

    fn sized(self, at: usize) -> &'a [u8] {
        let start = at.saturating_add(4);
        self.record
            .get(start..start.saturating_add(self.u32(at)))
            .unwrap_or_default()
    }

    fn eight(self) -> [u8; 8] {
        let start = self.at.saturating_add(1);
        let bytes = self.record.get(start..start.saturating_add(8));
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .unwrap_or_default()
    }

    /// Which of the object's members is called `name`.
    pub(crate) fn position(self, name: &[u8]) -> Option<usize> {
        if !self.is_object() {
            return None;
        }
        let written = (0..self.written()).find(|index| {
            let slot = self.slot(*index, 8);
            slot.is_some_and(|slot| self.sized(self.u32(slot)) == name)
        });
        written.or_else(|| {
            let (behind, _) = self.absent().named(name)?;
            Some(self.written() + behind)
        })
    }

    /// Whether the object's member `index` is called `name`.
    pub(crate) fn is_named(self, index: usize, name: &str) -> bool {
        match self.slot(index, 8) {
            Some(slot) => self.sized(self.u32(slot)) == name.as_bytes(),
            None => self
                .empty_member(index)
                .is_some_and(|(known, _)| known == name),
        }
    }

    fn slot(self, index: usize, width: usize) -> Option<usize> {
        (index < self.written()).then(|| self.at + 5 + index * width)
    }

    /// A child must lie behind its parent: no offset can make a reader go round in circles.
    fn child(self, at: usize) -> Flat<'a> {
        Flat {
            record: self.record,
            at: if at > self.at { at } else { usize::MAX },
        }
    }
}

impl<'a> Node<'a> for Flat<'a> {
    fn kind(self) -> Kind {
        match self.tag() {
            FALSE | TRUE => Kind::Bool,
            INT => Kind::Int,
            FLOAT => Kind::Float,
            TEXT | BYTES => Kind::Text,
            LIST => Kind::List,
            NULL => Kind::Null,
            _ if self.is_object() => Kind::Object,
            _ => Kind::Null,
        }
    }

    fn bool(self) -> Option<bool> {
        match self.tag() {
            FALSE => Some(false),
            TRUE => Some(true),
            _ => None,
        }
    }

    fn int(self) -> Option<i64> {
        (self.tag() == INT).then(|| i64::from_le_bytes(self.eight()))
    }

    fn float(self) -> Option<f64> {
        match self.tag() {
            FLOAT => Some(f64::from_le_bytes(self.eight())),
            _ => self.int().map(|value| value as f64),
        }
    }

    fn text(self) -> Option<Cow<'a, str>> {
        match self.tag() {
            TEXT => Some(String::from_utf8_lossy(self.sized(self.at + 1))),
            BYTES => Some(Cow::Owned(STANDARD.encode(self.sized(self.at + 1)))),
            _ => None,
        }
    }

    fn raw(self) -> Option<&'a [u8]> {
        (self.tag() == BYTES).then(|| self.sized(self.at + 1))
    }

    fn len(self) -> usize {
        self.written() + self.absent().len()
    }

    fn elapsed_micros(self) -> Option<i64> {
        timed((self.at == HEAD).then(|| self.elapsed_nanos())?)
    }

    fn absent(self) -> Absent {
        let behind = self.tag().checked_sub(OBJECT).map(usize::from);
        let known = behind.and_then(|behind| Absent::ALL.get(behind));
        known.copied().unwrap_or_default()
    }

    fn entry(self, index: usize) -> Option<(Cow<'a, str>, Self)> {
        if !self.is_object() {
            return None;
        }
        match self.pair(index) {
            Some((name, value)) => Some((String::from_utf8_lossy(name), value)),
            None => {
                let (name, value) = self.empty_member(index)?;
                Some((Cow::Borrowed(name), value))
            }
        }
    }

    fn element(self, index: usize) -> Option<Self> {
        if self.tag() != LIST {
            return None;
        }
        let slot = self.slot(index, 4)?;
        Some(self.child(self.u32(slot)))
    }

    fn member(self, name: &str) -> Option<Self> {
        if !self.is_object() {
            return None;
        }
        let value = |index| match self.slot(index, 8) {
            Some(slot) => Some(self.child(self.u32(slot + 4))),
            None => self.empty_member(index).map(|(_, value)| value),
        };
        // Items have the same members in the same order, each name once.
        let guess = (self.at == HEAD).then(|| guess_of(name));
        if let Some(guess) = guess
            && self.is_named(LAST.with(|last| last[guess].get()).into(), name)
        {
            return value(LAST.with(|last| last[guess].get()).into());
        }
        let index = self.position(name.as_bytes())?;
        if let (Some(guess), Ok(index)) = (guess, u8::try_from(index)) {
            LAST.with(|last| last[guess].set(index));
        }
        value(index)
    }
}

/// Guesses that are kept.
const GUESSES: usize = 64;

thread_local! {
    /// Where the members of items stood that were asked for last, by [`guess_of`] their names.
    static LAST: [Cell<u8>; GUESSES] = const { [const { Cell::new(0) }; GUESSES] };
}

/// The place of a member's guess; names that share one take turns.
fn guess_of(name: &str) -> usize {
    let first = name.as_bytes().first().copied().unwrap_or_default();
    (usize::from(first) + 7 * name.len()) % GUESSES
}

/// Reads a node back into a value that owns its bytes, containers to [`MAX_DEPTH`].
pub fn to_value<'a, N: Node<'a>>(node: N, depth: usize) -> Value {
    if depth > MAX_DEPTH {
        return Value::Null;
    }
    match node.kind() {
        Kind::Null => Value::Null,
        Kind::Bool => Value::Bool(node.bool().unwrap_or_default()),
        Kind::Int => Value::Int(node.int().unwrap_or_default()),
        Kind::Float => Value::Float(node.float().unwrap_or_default()),
        Kind::Text => Value::text(node.text().unwrap_or_default()),
        Kind::List => Value::List(
            (0..node.len())
                .filter_map(|i| node.element(i))
                .map(|n| to_value(n, depth + 1))
                .collect(),
        ),
        Kind::Object => Value::Object(
            (0..node.len())
                .filter_map(|index| node.entry(index))
                .map(|(name, node)| {
                    (
                        super::Key::Bytes(name.into_owned().into_bytes().into()),
                        to_value(node, depth + 1),
                    )
                })
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{json, sample};
    use super::*;

    #[test]
    fn a_record_reads_as_the_item_does() {
        let item = sample::http();
        let mut bytes = Vec::new();
        encode(&item, &mut bytes);
        encode(&item, &mut bytes);
        let read: Vec<_> = records(&bytes).collect();
        assert_eq!(read.len(), 2);
        assert_eq!(read[1].number(), item.number);
        assert_eq!(read[1].elapsed_nanos(), item.elapsed_nanos);
        assert_eq!(json::to_string(read[1]), json::to_string(item.node()));
    }

    #[test]
    fn one_number_of_a_record_can_be_another() {
        let mut bytes = Vec::new();
        encode(&sample::http(), &mut bytes);
        let record = Flat::new(&bytes).unwrap();
        let other = record.with_int("elapsedTime", 12_345);
        let other = Flat::new(&other).unwrap();
        assert_eq!(record.member("elapsedTime").and_then(Node::int), Some(12));
        assert_eq!(
            other.member("elapsedTime").and_then(Node::int),
            Some(12_345)
        );
        assert_eq!(
            other.member("stream").and_then(Node::text),
            record.member("stream").and_then(Node::text)
        );
        assert_eq!(record.with_int("protocol", 1), bytes);
        assert_eq!(record.with_int("absent", 1), bytes);
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic_or_loop(mut bytes in proptest::collection::vec(any::<u8>(), 21..300)) {
            if let Some(root) = Flat::new(&bytes) {
                let _ = to_value(root, 50);
            }
            bytes[HEAD] = OBJECT;
            let _ = to_value(Flat::new(&bytes).unwrap(), 50);
        }
    }
}
