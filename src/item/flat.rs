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
//!   8 object count u32, names u32, count x (name u32, value offset u32)
//!   9 item, 10 peer  as an object; its empty members (`absent.rs`) stand behind those written
//! names    = count x (length u32, UTF-8 bytes)              (in the order of the members)
//! ```
//!
//! Integers are little-endian, offsets count from the start of the record; that of a name counts from
//! where the names of its object begin, so that objects with the same names have the same bytes there.
//! A reader trusts nothing: an offset or length outside the record reads as null, and depth is capped
//! by the readers.

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

/// Bytes in front of the elements of a list and the members of an object.
const LIST_HEAD: usize = 5;
const OBJECT_HEAD: usize = 9;

/// Bytes of names that the objects on the way to a place of an item usually have.
const NAMES: usize = 1 << 10;

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
    let names = Vec::with_capacity(NAMES);
    Writer { start, out, names }.node(node, 0);
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
    /// Names of the objects that are being written, those of the outermost first.
    names: Vec<u8>,
}

impl Writer<'_> {
    fn here(&self) -> [u8; 4] {
        small(self.out.len() - self.start)
    }

    fn put(&mut self, slot: usize, bytes: [u8; 4]) {
        self.out[slot..slot + 4].copy_from_slice(&bytes);
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
                    sized(self.out, bytes);
                }
                None => {
                    self.out.push(TEXT);
                    let written = node.with_text(|text| sized(self.out, text.as_bytes()));
                    written.unwrap_or_else(|| sized(self.out, b""));
                }
            },
            Kind::List => self.list(node, depth),
            Kind::Object => self.object(node, depth),
        }
    }

    fn list<'a, N: Node<'a>>(&mut self, node: N, depth: usize) {
        let count = node.len();
        self.out.push(LIST);
        self.out.extend_from_slice(&small(count));
        let table = self.out.len();
        self.out.resize(table + count * 4, 0);
        for index in 0..count {
            let Some(value) = node.element(index) else {
                continue;
            };
            self.put(table + index * 4, self.here());
            self.node(value, depth + 1);
        }
    }

    fn object<'a, N: Node<'a>>(&mut self, node: N, depth: usize) {
        let absent = node.absent();
        let count = node.len() - absent.len();
        self.out.push(OBJECT + absent as u8);
        self.out.extend_from_slice(&small(count));
        let table = self.out.len() + 4;
        self.out.resize(table + count * 8, 0);
        let names = self.names.len();
        for index in 0..count {
            let Some((name, value)) = node.entry(index) else {
                continue;
            };
            let slot = table + index * 8;
            self.put(slot, small(self.names.len() - names));
            sized(&mut self.names, name.as_bytes());
            self.put(slot + 4, self.here());
            self.node(value, depth + 1);
        }
        self.put(table - 4, self.here());
        self.out
            .extend_from_slice(self.names.get(names..).unwrap_or_default());
        self.names.truncate(names);
    }
}

/// A count or an offset.
fn small(value: usize) -> [u8; 4] {
    u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes()
}

fn sized(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&small(bytes.len()));
    out.extend_from_slice(bytes);
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
    pub(crate) fn pair(self, index: usize) -> Option<(&'a [u8], Flat<'a>)> {
        if !self.is_object() {
            return None;
        }
        let Some(slot) = self.slot(index, OBJECT_HEAD, 8) else {
            return self.empty_member(index);
        };
        let name = self.u32(self.at + LIST_HEAD).saturating_add(self.u32(slot));
        Some((self.sized(name), self.child(self.u32(slot + 4))))
    }

    /// The names of the members of an object that are written, as bytes that are the same for the
    /// same names in the same order; empty for what has none.
    pub(crate) fn names(self) -> &'a [u8] {
        let last = self.written().checked_sub(1);
        let Some(last) = last.filter(|_| self.is_object()) else {
            return &[];
        };
        let start = self.u32(self.at + LIST_HEAD);
        let last = start.saturating_add(self.u32(self.at + OBJECT_HEAD + last * 8));
        let end = last.saturating_add(4).saturating_add(self.u32(last));
        self.record.get(start..end).unwrap_or_default()
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
    fn empty_member(self, index: usize) -> Option<(&'a [u8], Flat<'a>)> {
        let behind = index.checked_sub(self.written())?;
        let (name, kind) = self.absent().members().get(behind)?;
        let place = Flat {
            record: self.record,
            ..Flat::empty(*kind)
        };
        Some((name.as_bytes(), place))
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
        (0..self.len()).find(|index| self.pair(*index).is_some_and(|(known, _)| known == name))
    }

    fn slot(self, index: usize, head: usize, width: usize) -> Option<usize> {
        (index < self.written()).then(|| self.at + head + index * width)
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

    fn text_bytes(self) -> Option<&'a [u8]> {
        (self.tag() == TEXT).then(|| self.sized(self.at + 1))
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
        let (name, value) = self.pair(index)?;
        Some((String::from_utf8_lossy(name), value))
    }

    fn element(self, index: usize) -> Option<Self> {
        if self.tag() != LIST {
            return None;
        }
        let slot = self.slot(index, LIST_HEAD, 4)?;
        Some(self.child(self.u32(slot)))
    }

    fn member(self, name: &str) -> Option<Self> {
        // Items have the same members in the same order, each name once.
        let guess = guess_of(name);
        let last = LAST.with(|last| last[guess].get());
        let (found, value) = self.pair(last.into()).or_else(|| self.pair(0))?;
        if found == name.as_bytes() {
            return Some(value);
        }
        let index = self.position(name.as_bytes())?;
        if let Ok(index) = u8::try_from(index) {
            LAST.with(|last| last[guess].set(index));
        }
        self.pair(index).map(|(_, value)| value)
    }
}

/// Guesses that are kept.
const GUESSES: usize = 64;

thread_local! {
    /// Where the members stood that were asked for last, by [`guess_of`] their names.
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
