//! Many records in little room, each value still to be had by itself.
//!
//! In: flat records. Out: the same items as [`Node`](super::Node)s, and the records again. What records have in
//! common is held once: objects of the same members are the rows of one table, each member of it a
//! column of whole numbers, and each text stands once for all that have it. So a query reads the
//! members that it names and nothing else, and nothing is unpacked before. Never: stored on disk, so
//! it has no version; a trust in the records: what is no tree is kept as it came.
//!
//! ```text
//! record ── root ──▶ table {protocol, src, dst, request, ...} ── row ──▶ column "request"
//!                                                                          │ table, row
//!                    table {method, path, headers, ...} ◀──────────────────┘
//!                                 │ text
//!                    texts "GET" "/orders/17" ...
//! ```

mod having;
mod held;
mod numbers;
mod pack;

use super::Absent;
use super::flat::Flat;
use numbers::Column;

pub use held::Held;
pub use pack::pack;

/// What a member or element is; columns say which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Tag {
    Null,
    False,
    True,
    Int,
    Float,
    Text,
    Bytes,
    List,
    Object,
}

/// One member of all rows of a table.
#[derive(Debug)]
struct Member {
    /// A text.
    name: u32,
    tag: Tag,
    /// The number, the bits of the fraction, the text, the list, or the table.
    value: Column,
    /// The row of that table.
    row: Column,
}

/// Objects of the same members in the same order; where its members stand in the list of all.
#[derive(Debug)]
struct Table {
    first: u32,
    count: u32,
    /// Objects.
    rows: u32,
    /// What stands behind them.
    absent: Absent,
}

/// Lists: the first element of each, and of all elements what they are.
#[derive(Debug, Default)]
struct Lists {
    firsts: Column,
    tags: Column,
    values: Column,
    rows: Column,
    /// Lists.
    count: usize,
    /// Tables of the elements that are objects, each once.
    tables: Box<[u32]>,
    /// Whether an element is a text, and whether one is a list.
    has_texts: bool,
    has_lists: bool,
}

/// Many records.
#[derive(Debug, Default)]
pub struct Packed {
    count: usize,
    numbers: Column,
    elapsed: Column,
    /// Table of each root; [`WHOLE`] for a record that is kept as it came.
    tables_of_roots: Column,
    rows_of_roots: Column,
    tables: Box<[Table]>,
    members: Box<[Member]>,
    lists: Lists,
    text_ends: Column,
    text_count: u32,
    texts: Box<[u8]>,
    /// Bytes of all columns.
    data: Box<[u8]>,
    whole: Box<[Box<[u8]>]>,
}

/// In place of a table: the record is kept as it came.
const WHOLE: i64 = -1;

/// [`Tag`]s as elements of lists have them.
const TAGS: [Tag; 9] = [
    Tag::Null,
    Tag::False,
    Tag::True,
    Tag::Int,
    Tag::Float,
    Tag::Text,
    Tag::Bytes,
    Tag::List,
    Tag::Object,
];

impl Packed {
    /// Records.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        let whole = self
            .whole
            .iter()
            .map(|record| record.len() + size_of::<Box<[u8]>>());
        size_of::<Packed>()
            + self.tables.len() * size_of::<Table>()
            + self.members.len() * size_of::<Member>()
            + self.lists.tables.len() * size_of::<u32>()
            + self.texts.len()
            + self.data.len()
            + whole.sum::<usize>()
    }

    /// The item of a record.
    pub fn get(&self, index: usize) -> Option<Held<'_>> {
        if index >= self.count {
            return None;
        }
        let table = self.tables_of_roots.at(index, &self.data);
        let row = usize::try_from(self.rows_of_roots.at(index, &self.data)).ok()?;
        if table == WHOLE {
            return Flat::new(self.whole.get(row)?).map(Held::of);
        }
        let place = Place::Object(u32::try_from(table).ok()?, u32::try_from(row).ok()?);
        let record = u32::try_from(index).ok()?;
        Some(Held::packed(self, record, place))
    }

    /// The texts that are this one, or hold it when it need not be whole, each once.
    fn codes_of<'s>(&'s self, text: &'s [u8], is_whole: bool) -> impl Iterator<Item = u32> + 's {
        let finder = memchr::memmem::Finder::new(text);
        let mut from = 0;
        std::iter::from_fn(move || {
            loop {
                let start = from + finder.find(self.texts.get(from..)?)?;
                let code = self.code_at(start);
                let end = self.text_ends.at(code as usize, &self.data);
                let end = usize::try_from(end).unwrap_or(usize::MAX);
                // A find over the end of one text is in none, and the next one may begin within it.
                let is_within = start.saturating_add(text.len()) <= end;
                from = if is_within {
                    end.max(start + 1)
                } else {
                    start + 1
                };
                if is_within && (!is_whole || self.text(code) == text) {
                    return Some(code);
                }
            }
        })
    }

    /// Whether a member that a path names, or an element of any list, is bytes, which are shown in another
    /// way than they are kept.
    fn may_be_bytes(&self, path: &str) -> bool {
        let bytes = Tag::Bytes as i64;
        let mut tags = self
            .all_elements()
            .map(|at| self.lists.tags.at(at, &self.data));
        let is_named = |member: &Member| {
            let name = self.text(member.name);
            path.split('.')
                .any(|part| part.as_bytes().eq_ignore_ascii_case(name))
        };
        let mut members = self.members.iter();
        members.any(|member| member.tag == Tag::Bytes && is_named(member))
            || tags.any(|tag| tag == bytes)
    }

    /// The code of the text that holds the byte at a place.
    fn code_at(&self, place: usize) -> u32 {
        let end = |code| usize::try_from(self.text_ends.at(code, &self.data));
        let ends_before = |code| end(code).is_ok_and(|end| end <= place);
        let code = first_after(self.text_count as usize, ends_before);
        u32::try_from(code).unwrap_or(u32::MAX)
    }

    fn text(&self, code: u32) -> &[u8] {
        let code = code as usize;
        let end = |code| usize::try_from(self.text_ends.at(code, &self.data)).unwrap_or(0);
        let start = code.checked_sub(1).map_or(0, end);
        self.texts.get(start..end(code)).unwrap_or_default()
    }

    fn members(&self, table: u32) -> &[Member] {
        let table = self.tables.get(table as usize);
        let members = table.and_then(|table| {
            let first = table.first as usize;
            self.members.get(first..first + table.count as usize)
        });
        members.unwrap_or_default()
    }

    /// The members of a table's objects that are always empty.
    fn absent(&self, table: u32) -> Absent {
        let table = self.tables.get(table as usize);
        table.map_or(Absent::Nothing, |table| table.absent)
    }

    /// Whether a place is the root of a record.
    fn is_root(&self, record: u32, place: Place) -> bool {
        let of = |column: Column| column.at(record as usize, &self.data);
        let root = (of(self.tables_of_roots), of(self.rows_of_roots));
        matches!(place, Place::Object(table, row) if root == (table.into(), row.into()))
    }

    fn value(&self, member: &Member, row: u32) -> Place {
        self.place(member.tag, member.value, member.row, row as usize)
    }

    fn place(&self, tag: Tag, value: Column, row: Column, index: usize) -> Place {
        let number = || value.at(index, &self.data);
        let code = || u32::try_from(number()).unwrap_or(u32::MAX);
        match tag {
            Tag::Null => Place::Null,
            Tag::False => Place::Bool(false),
            Tag::True => Place::Bool(true),
            Tag::Int => Place::Int(number()),
            Tag::Float => Place::Float(f64::from_bits(number().cast_unsigned())),
            Tag::Text => Place::Text(code()),
            Tag::Bytes => Place::Bytes(code()),
            Tag::List => Place::List(code()),
            Tag::Object => {
                let row = u32::try_from(row.at(index, &self.data));
                Place::Object(code(), row.unwrap_or(u32::MAX))
            }
        }
    }

    /// Where the elements of all lists stand.
    fn all_elements(&self) -> std::ops::Range<usize> {
        let end = self.lists.firsts.at(self.lists.count, &self.data);
        0..usize::try_from(end).unwrap_or(0)
    }

    /// Where the elements of a list stand.
    fn elements(&self, list: u32) -> std::ops::Range<usize> {
        let list = list as usize;
        if list >= self.lists.count {
            return 0..0;
        }
        let first = |list| usize::try_from(self.lists.firsts.at(list, &self.data)).unwrap_or(0);
        first(list)..first(list + 1)
    }
}

/// The first of so many places that is not `before`, by halves.
fn first_after(count: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        match before(middle) {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    low
}

/// A value, by where it stands.
#[derive(Clone, Copy)]
enum Place {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(u32),
    Bytes(u32),
    List(u32),
    Object(u32, u32),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::flat;
    use super::super::{Item, ItemNode, Key, Value, json, lookup, sample};
    use super::*;
    use crate::time::Timestamp;

    pub(super) fn flat_of(items: &[Item]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for item in items {
            flat::encode(item, &mut bytes);
        }
        bytes
    }

    /// Calls that differ as those of one service do.
    fn calls(count: u64) -> Vec<Item> {
        let call = |number: u64| {
            let mut item = sample::http();
            item.number = number;
            item.start =
                Timestamp::from_nanos(1_700_000_000_000_000_000 + number.cast_signed() * 1_000_003);
            item.elapsed_nanos = number * 17;
            item.src.endpoint.port = u16::try_from(40_000 + number % 90).unwrap();
            if number.is_multiple_of(7) {
                item.response = Value::Null;
            }
            item
        };
        (0..count).map(call).collect()
    }

    #[test]
    fn texts_tell_what_no_record_has() {
        let mut items: Vec<Item> = (0..40).map(|_| sample::http()).collect();
        for (number, item) in items.iter_mut().enumerate() {
            item.src.name = std::sync::Arc::from(format!("web-{number}"));
        }
        let bytes = flat_of(&items);
        let flats: Vec<Flat<'_>> = flat::records(&bytes).collect();
        let packed = pack(&flats);
        let may_have = |path: &str, text: &[u8], is_whole| {
            let marks = packed.having(path, text, is_whole);
            marks.is_none_or(|marks| marks.contains(&true))
        };
        for number in 0..40 {
            assert!(may_have(
                "src.name",
                format!("web-{number}").as_bytes(),
                true
            ));
        }
        assert!(may_have("src.name", b"eb-3", false));
        assert!(!may_have("src.name", b"eb-3", true));
        assert!(!may_have("src.name", b"web-40", true));
        assert!(may_have("src.name", b"-1", false));
        // Two texts that lie side by side are no third one.
        assert!(!may_have("src.name", b"web-38web-39", false));
        // Bodies are bytes, and shown as base64.
        assert!(may_have("request.postData.text", b"nowhere", false));
    }

    #[test]
    fn records_come_back_to_the_byte() {
        let bytes = flat_of(&calls(300));
        let records: Vec<Flat<'_>> = flat::records(&bytes).collect();
        let packed = pack(&records);
        assert_eq!(packed.len(), records.len());
        assert!(packed.whole.is_empty());
        for (index, flat) in records.iter().enumerate() {
            let held = packed.get(index).unwrap();
            assert_eq!(held.number(), flat.number());
            assert_eq!(held.elapsed_nanos(), flat.elapsed_nanos());
            assert_eq!(&*held.record(), flat.record(), "{index}");
            assert_eq!(json::to_string(held), json::to_string(*flat));
        }
        assert!(packed.get(records.len()).is_none());
        assert!(pack(&[]).is_empty());
    }

    #[test]
    fn records_that_are_alike_take_a_tenth_at_most() {
        let bytes = flat_of(&calls(4096));
        let records: Vec<Flat<'_>> = flat::records(&bytes).collect();
        let packed = pack(&records);
        assert!(
            packed.bytes() * 10 < bytes.len(),
            "{} of {}",
            packed.bytes(),
            bytes.len()
        );
    }

    #[test]
    fn members_are_found_as_in_the_record() {
        let bytes = flat_of(&calls(50));
        let records: Vec<Flat<'_>> = flat::records(&bytes).collect();
        let packed = pack(&records);
        let paths = [
            "src.port",
            "request.headers.Host",
            "response.status",
            "id",
            "no.such",
            "request",
            "protocol.abbr",
        ];
        for (index, flat) in records.iter().enumerate() {
            for path in paths {
                let of = |text: Option<String>| text.unwrap_or_else(|| "nothing".to_owned());
                let held = lookup(packed.get(index).unwrap(), path);
                let flat = lookup(*flat, path);
                assert_eq!(
                    of(held.map(json::to_string)),
                    of(flat.map(json::to_string)),
                    "{path}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_tree_is_kept_as_it_came() {
        // A list whose elements are all the same list, and so on: exponentially many places.
        let mut bytes = vec![0; 20];
        let levels = 40;
        for level in 0..levels {
            bytes.push(7);
            bytes.extend_from_slice(&8u32.to_le_bytes());
            let next = u32::try_from(20 + (level + 1) * (5 + 8 * 4)).unwrap();
            for _ in 0..8 {
                bytes.extend_from_slice(&next.to_le_bytes());
            }
        }
        bytes.push(0);
        let length = u32::try_from(bytes.len() - 4).unwrap();
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        let good = flat_of(&calls(3));
        let mut records: Vec<Flat<'_>> = flat::records(&good).collect();
        records.insert(1, Flat::new(&bytes).unwrap());
        let packed = pack(&records);
        assert_eq!(packed.whole.len(), 1);
        for (index, flat) in records.iter().enumerate() {
            assert_eq!(&*packed.get(index).unwrap().record(), flat.record());
        }
    }

    pub(super) fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_map(Value::Float),
            ".{0,9}".prop_map(Value::text),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            let named = proptest::collection::btree_map("[a-e]{1,2}", inner.clone(), 0..6);
            prop_oneof![
                proptest::collection::vec(inner, 0..6).prop_map(Value::List),
                named.prop_map(|members| {
                    let key = |name: String| Key::Bytes(name.into_bytes().into());
                    let members = members.into_iter().map(|(name, value)| (key(name), value));
                    Value::Object(members.collect())
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_values_come_back(values in proptest::collection::vec(any_value(), 0..20)) {
            let mut bytes = Vec::new();
            for (number, value) in (0..).zip(&values) {
                flat::encode_node(number, ItemNode::of_value(value), &mut bytes);
            }
            let records: Vec<Flat<'_>> = flat::records(&bytes).collect();
            let packed = pack(&records);
            for (index, flat) in records.iter().enumerate() {
                let record = packed.get(index).unwrap().record();
                prop_assert_eq!(&*record, flat.record());
            }
        }

        #[test]
        fn no_bytes_make_packing_panic(bytes in proptest::collection::vec(any::<u8>(), 21..300)) {
            let flat = Flat::new(&bytes).unwrap();
            let packed = pack(&[flat, flat]);
            let _ = flat::to_value(packed.get(1).unwrap(), 50);
        }
    }
}
