//! Packs flat records: finds what they have in common.
//!
//! Each record is walked once. At a place there is mostly what was there in the record before, so that
//! is compared first, and looked up only what differs. What is no tree, is deeper than any that is written, or has more
//! places than bytes, is kept as it came, so that a record from elsewhere costs what it is long.

use std::collections::{BTreeSet, HashMap};

use ahash::RandomState;

use super::numbers::{BEHIND, Column};
use super::{Lists, Member, Packed, Table, Tag, WHOLE};
use crate::item::Absent;
use crate::item::flat::{Flat, MAX_DEPTH, Part};
use crate::item::node::Node as _;

/// Packs records. Together they must be shorter than 4 GiB.
pub fn pack(records: &[Flat<'_>]) -> Packed {
    let mut packer = Packer::default();
    let mut whole: Vec<Box<[u8]>> = Vec::new();
    let (mut tables, mut rows) = (Vec::new(), Vec::new());
    let mut last = None;
    for record in records {
        packer.budget = record.record().len();
        packer.values.clear();
        let root = packer.value(*record, 0, last);
        let (table, row) = match root {
            Some(Value {
                tag: Tag::Object,
                value,
                row,
            }) => {
                last = root;
                (value, row)
            }
            _ => {
                whole.push(record.record().into());
                (WHOLE, number(whole.len() - 1))
            }
        };
        tables.push(table);
        rows.push(row);
    }
    let mut data = Vec::new();
    let heads = |head: fn(Flat<'_>) -> u64| -> Vec<i64> {
        let each = records.iter().map(|record| head(*record).cast_signed());
        each.collect()
    };
    let numbers = Column::write(&heads(|record| record.number()), &mut data);
    let elapsed = Column::write(&heads(|record| record.elapsed_nanos()), &mut data);
    let tables_of_roots = Column::write(&tables, &mut data);
    let rows_of_roots = Column::write(&rows, &mut data);
    packer.finish(
        data,
        Packed {
            count: records.len(),
            numbers,
            elapsed,
            tables_of_roots,
            rows_of_roots,
            whole: whole.into(),
            ..Packed::default()
        },
    )
}

/// The mark behind the members of an object that ends in empty ones, so that its table is another one
/// than that of the same members without them; no text has its code.
fn marked(absent: Absent) -> Option<(u32, Value)> {
    let mark = u32::MAX - u32::from(absent as u8);
    let nothing = Value {
        tag: Tag::Null,
        value: 0,
        row: 0,
    };
    (!absent.is_empty()).then_some((mark, nothing))
}

fn number(place: usize) -> i64 {
    i64::try_from(place).unwrap_or(i64::MAX)
}

/// A value as columns have it.
#[derive(Clone, Copy)]
struct Value {
    tag: Tag,
    value: i64,
    row: i64,
}

/// A table that grows.
#[derive(Default)]
struct Growing {
    members: Vec<(u32, Tag)>,
    values: Vec<Vec<i64>>,
    rows: Vec<Vec<i64>>,
    count: usize,
}

impl Growing {
    /// What its mark says that stands behind the members.
    fn absent(&self) -> Absent {
        let mark = self.members.last().map(|(name, _)| *name);
        let is_marked = |absent: &Absent| marked(*absent).map(|(mark, _)| mark) == mark;
        Absent::ALL.into_iter().find(is_marked).unwrap_or_default()
    }

    /// Name and value of a member in the row that was added last.
    fn last(&self, member: usize) -> Option<(u32, Value)> {
        let (name, tag) = *self.members.get(member)?;
        let last = |columns: &[Vec<i64>]| columns.get(member)?.last().copied();
        let value = Value {
            tag,
            value: last(&self.values).unwrap_or_default(),
            row: last(&self.rows).unwrap_or_default(),
        };
        Some((name, value))
    }
}

/// The text, or the table, of a value of that kind.
fn code(value: Option<Value>, tag: Tag) -> Option<u32> {
    let value = value.filter(|value| value.tag == tag)?;
    u32::try_from(value.value).ok()
}

#[derive(Default)]
struct Packer<'r> {
    /// Places that the record at hand may still have.
    budget: usize,
    codes: HashMap<&'r [u8], u32, RandomState>,
    texts: Vec<&'r [u8]>,
    shapes: HashMap<Box<[(u32, Tag)]>, usize, RandomState>,
    tables: Vec<Growing>,
    firsts: Vec<i64>,
    elements: Vec<Value>,
    /// Members and elements that wait for those behind them, with the texts of their names.
    values: Vec<(u32, Value)>,
    /// Names and tags of the object at hand.
    shape: Vec<(u32, Tag)>,
}

impl<'r> Packer<'r> {
    /// Takes a value in, at a place where `last` was before; `None` when it is no tree.
    fn value(&mut self, at: Flat<'r>, depth: usize, last: Option<Value>) -> Option<Value> {
        self.budget = self.budget.checked_sub(1)?;
        if depth > MAX_DEPTH + 1 {
            return None;
        }
        let of = |tag, value| Value { tag, value, row: 0 };
        Some(match at.part() {
            Part::Null => of(Tag::Null, 0),
            Part::Bool(false) => of(Tag::False, 0),
            Part::Bool(true) => of(Tag::True, 0),
            Part::Int(value) => of(Tag::Int, value),
            Part::Float(value) => of(Tag::Float, value.to_bits().cast_signed()),
            Part::Text(text) => of(Tag::Text, self.text(text, code(last, Tag::Text))?.into()),
            Part::Bytes(bytes) => of(Tag::Bytes, self.text(bytes, code(last, Tag::Bytes))?.into()),
            Part::List(count) => {
                let from = self.values.len();
                let mut last = self.elements.last().copied();
                for index in 0..count {
                    let element = at.element(index)?;
                    let element = self.value(element, depth + 1, last)?;
                    self.values.push((0, element));
                    last = Some(element);
                }
                self.firsts.push(number(self.elements.len()));
                let values = self.values.drain(from..).map(|(_, value)| value);
                self.elements.extend(values);
                of(Tag::List, number(self.firsts.len() - 1))
            }
            Part::Object(count, absent) => {
                let from = self.values.len();
                let likely = code(last, Tag::Object).map(|table| table as usize);
                for index in 0..count {
                    let (name, member) = at.pair(index)?;
                    let there = likely.and_then(|table| self.tables.get(table)?.last(index));
                    let name = self.text(name, there.map(|(name, _)| name))?;
                    let last = there.map(|(_, value)| value);
                    let member = self.value(member, depth + 1, last)?;
                    self.values.push((name, member));
                }
                self.values.extend(marked(absent));
                let (table, row) = self.object(from, likely);
                Value {
                    tag: Tag::Object,
                    value: number(table),
                    row: number(row),
                }
            }
        })
    }

    /// The code of a text, the same for all that are alike, perhaps the `likely` one; texts that share
    /// their bytes spend the budget too.
    fn text(&mut self, text: &'r [u8], likely: Option<u32>) -> Option<u32> {
        self.budget = self.budget.checked_sub(text.len())?;
        if let Some(code) = likely
            && self.texts.get(code as usize) == Some(&text)
        {
            return likely;
        }
        if let Some(code) = self.codes.get(text) {
            return Some(*code);
        }
        let code = u32::try_from(self.texts.len()).ok()?;
        self.texts.push(text);
        self.codes.insert(text, code);
        Some(code)
    }

    /// Adds the object whose members wait from a place on to its table, perhaps the `likely` one;
    /// table and row.
    fn object(&mut self, from: usize, likely: Option<usize>) -> (usize, usize) {
        let members = self.values.get(from..).unwrap_or_default();
        let shape = members.iter().map(|(name, value)| (*name, value.tag));
        let is_likely = likely
            .and_then(|table| self.tables.get(table))
            .is_some_and(|table| shape.clone().eq(table.members.iter().copied()));
        let table = match likely.filter(|_| is_likely) {
            Some(table) => table,
            None => {
                self.shape.clear();
                self.shape.extend(shape);
                self.table()
            }
        };
        let mut row = 0;
        let values = self.values.drain(from..);
        if let Some(growing) = self.tables.get_mut(table) {
            row = growing.count;
            growing.count += 1;
            let columns = growing.values.iter_mut().zip(&mut growing.rows);
            for ((_, value), (values, rows)) in values.zip(columns) {
                match value.tag {
                    Tag::Null | Tag::False | Tag::True => {}
                    Tag::Object => {
                        values.push(value.value);
                        rows.push(value.row);
                    }
                    _ => values.push(value.value),
                }
            }
        }
        (table, row)
    }

    /// The table of the shape at hand.
    fn table(&mut self) -> usize {
        if let Some(table) = self.shapes.get(self.shape.as_slice()) {
            return *table;
        }
        let table = self.tables.len();
        self.shapes.insert(self.shape.as_slice().into(), table);
        self.tables.push(Growing {
            members: self.shape.clone(),
            values: vec![Vec::new(); self.shape.len()],
            rows: vec![Vec::new(); self.shape.len()],
            count: 0,
        });
        table
    }

    /// Writes all columns behind `data`.
    fn finish(self, mut data: Vec<u8>, packed: Packed) -> Packed {
        let mut tables = Vec::with_capacity(self.tables.len());
        let mut members = Vec::new();
        for table in self.tables {
            let first = u32::try_from(members.len()).unwrap_or(u32::MAX);
            let absent = table.absent();
            let count = table.members.len() - usize::from(!absent.is_empty());
            tables.push(Table {
                first,
                count: u32::try_from(count).unwrap_or(0),
                rows: u32::try_from(table.count).unwrap_or(0),
                absent,
            });
            let columns = table.values.iter().zip(&table.rows);
            let own = table.members.into_iter().take(count);
            for ((name, tag), (values, rows)) in own.zip(columns) {
                members.push(Member {
                    name,
                    tag,
                    value: Column::write(values, &mut data),
                    row: Column::write(rows, &mut data),
                });
            }
        }
        let count = self.firsts.len();
        let mut firsts = self.firsts;
        firsts.push(number(self.elements.len()));
        let each = |of: fn(&Value) -> i64| self.elements.iter().map(of).collect::<Vec<i64>>();
        let has = |tag| self.elements.iter().any(|value| value.tag == tag);
        let within = self.elements.iter();
        let within: BTreeSet<u32> = within
            .filter_map(|value| code(Some(*value), Tag::Object))
            .collect();
        let lists = Lists {
            firsts: Column::write(&firsts, &mut data),
            tags: Column::write(&each(|value| value.tag as i64), &mut data),
            values: Column::write(&each(|value| value.value), &mut data),
            rows: Column::write(&each(|value| value.row), &mut data),
            count,
            tables: within.into_iter().collect(),
            has_texts: has(Tag::Text),
            has_lists: has(Tag::List),
        };
        let mut end = 0;
        let ends: Vec<i64> = self
            .texts
            .iter()
            .map(|text| {
                end += text.len();
                number(end)
            })
            .collect();
        let text_ends = Column::write(&ends, &mut data);
        data.extend_from_slice(&BEHIND);
        Packed {
            tables: tables.into(),
            members: members.into(),
            lists,
            text_ends,
            text_count: u32::try_from(ends.len()).unwrap_or(u32::MAX),
            texts: self.texts.concat().into(),
            data: data.into(),
            ..packed
        }
    }
}
