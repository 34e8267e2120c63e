//! Which of the records have a text, told from the texts upwards and not from each record downwards.
//!
//! The texts are looked through once, then the columns that may hold one of those that were found, then
//! the columns of tables and lists that may hold what has it, up to the roots. A column whose numbers all
//! lie elsewhere is not read, so this costs what some hundred records cost that are walked.

use super::{Column, Member, Packed, TAGS, Tag, WHOLE, first_after};
use crate::item::flat::MAX_DEPTH;

/// Places of a column, of which some are marked.
#[derive(Clone, Default)]
struct Marks {
    marks: Vec<bool>,
    /// All that are marked lie from `first` to `last`; nothing is when there is no `last`.
    first: i64,
    last: Option<i64>,
}

impl Marks {
    fn of(count: usize) -> Marks {
        Marks {
            marks: vec![false; count],
            ..Marks::default()
        }
    }

    /// Marks a place; whether it was not marked.
    fn mark(&mut self, place: usize) -> bool {
        let Some(mark) = self.marks.get_mut(place) else {
            return false;
        };
        let number = i64::try_from(place).unwrap_or(i64::MAX);
        self.first = self.last.map_or(number, |_| self.first.min(number));
        self.last = Some(self.last.map_or(number, |last| last.max(number)));
        !std::mem::replace(mark, true)
    }

    fn has(&self, place: i64) -> bool {
        let place = usize::try_from(place).ok();
        place.is_some_and(|place| self.marks.get(place) == Some(&true))
    }

    fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// Whether a number of the column may be marked.
    fn may_be_in(&self, column: Column) -> bool {
        let last = self.last;
        last.is_some_and(|last| column.may_be_within(self.first, last))
    }
}

/// Places that have the text: rows of each table, and lists.
struct Having {
    tables: Vec<Marks>,
    lists: Marks,
}

impl Having {
    /// Whether an object or a list has it.
    fn value(&self, tag: Tag, value: i64, row: impl Fn() -> i64) -> bool {
        let table = |table| self.tables.get(usize::try_from(table).ok()?);
        match tag {
            Tag::Object => table(value).is_some_and(|marks| !marks.is_empty() && marks.has(row())),
            Tag::List => self.lists.has(value),
            _ => false,
        }
    }
}

impl Packed {
    /// The records that may have this text at `path`, members joined by dots, or hold it when it need not
    /// be whole; `None` when any may. A record that has it elsewhere is among them.
    pub fn having(&self, path: &str, text: &[u8], is_whole: bool) -> Option<Vec<bool>> {
        if self.may_be_bytes(path) {
            return None;
        }
        let mut found = self.codes_of(text, is_whole).peekable();
        if found.peek().is_none() && self.whole.is_empty() {
            return Some(vec![false; self.count]);
        }
        let mut codes = Marks::of(self.text_count as usize);
        found.for_each(|code| {
            codes.mark(code as usize);
        });
        let having = self.places_of(&codes);
        let roots = (0..self.count).map(|record| {
            let table = self.tables_of_roots.at(record, &self.data);
            let row = || self.rows_of_roots.at(record, &self.data);
            table == WHOLE || having.value(Tag::Object, table, row)
        });
        Some(roots.collect())
    }

    /// What has one of these texts as a value or as a name.
    fn places_of(&self, codes: &Marks) -> Having {
        let tables = self.tables.iter();
        let mut having = Having {
            tables: tables.map(|table| Marks::of(table.rows as usize)).collect(),
            lists: Marks::of(self.lists.count),
        };
        if codes.is_empty() {
            return having;
        }
        for (number, marks) in having.tables.iter_mut().enumerate() {
            let rows = marks.marks.len();
            for member in self.members_of(number) {
                let is_named = codes.has(member.name.into());
                let may_have = member.tag == Tag::Text && codes.may_be_in(member.value);
                if !is_named && !may_have {
                    continue;
                }
                for row in 0..rows {
                    if is_named || codes.has(member.value.at(row, &self.data)) {
                        marks.mark(row);
                    }
                }
            }
        }
        let mut is_more = self.lists.has_texts
            && self.mark_lists(&mut having, |_, tag, value, _| {
                tag == Tag::Text && codes.has(value)
            });
        // One round for each level between a text and its root.
        for round in 0..=MAX_DEPTH + 1 {
            let is_higher = self.mark_tables(&mut having);
            let in_lists = |table: &u32| {
                let marks = having.tables.get(*table as usize);
                marks.is_some_and(|marks| !marks.is_empty())
            };
            let may_be_more = (self.lists.has_lists && is_more)
                || ((is_higher || round == 0) && self.lists.tables.iter().any(in_lists));
            is_more = may_be_more
                && self.mark_lists(&mut having, |having, tag, value, at| {
                    having.value(tag, value, || self.lists.rows.at(at, &self.data))
                });
            if !is_more && !is_higher {
                break;
            }
        }
        having
    }

    /// Marks the objects with a member that is marked; whether that is more than before.
    fn mark_tables(&self, having: &mut Having) -> bool {
        let mut is_more = false;
        let mut found = Vec::new();
        for (number, table) in self.tables.iter().enumerate() {
            found.clear();
            for member in self.members_of(number) {
                let may_have = match member.tag {
                    Tag::Object => having.tables.iter().zip(0..).any(|(marks, table)| {
                        !marks.is_empty() && member.value.may_be_within(table, table)
                    }),
                    Tag::List => having.lists.may_be_in(member.value),
                    _ => false,
                };
                if !may_have {
                    continue;
                }
                found.extend((0..table.rows as usize).filter(|row| {
                    let value = member.value.at(*row, &self.data);
                    having.value(member.tag, value, || member.row.at(*row, &self.data))
                }));
            }
            if let Some(marks) = having.tables.get_mut(number) {
                for row in &found {
                    is_more |= marks.mark(*row);
                }
            }
        }
        is_more
    }

    /// Marks the lists with an element that `is` one, by its kind, its value and its place; whether that
    /// is more than before.
    fn mark_lists(
        &self,
        having: &mut Having,
        is: impl Fn(&Having, Tag, i64, usize) -> bool,
    ) -> bool {
        let mut is_more = false;
        for at in self.all_elements() {
            let tag = usize::try_from(self.lists.tags.at(at, &self.data));
            let Some(tag) = tag.ok().and_then(|tag| TAGS.get(tag)) else {
                continue;
            };
            if is(having, *tag, self.lists.values.at(at, &self.data), at) {
                is_more |= having.lists.mark(self.list_of(at));
            }
        }
        is_more
    }

    /// The list that an element stands in.
    fn list_of(&self, element: usize) -> usize {
        let begins = |list| usize::try_from(self.lists.firsts.at(list, &self.data));
        // Empty lists begin where the next one does.
        let next = first_after(self.lists.count, |list| {
            begins(list).is_ok_and(|at| at <= element)
        });
        next.saturating_sub(1)
    }

    fn members_of(&self, table: usize) -> &[Member] {
        u32::try_from(table).map_or(&[], |table| self.members(table))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{any_value, flat_of};
    use super::super::{Held, pack};
    use crate::item::flat::{self, Flat};
    use crate::item::{ItemNode, Key, Kind, Node, Value, sample};

    /// Whether a text stands anywhere in a place.
    fn stands(node: Held<'_>, text: &str, is_whole: bool) -> bool {
        let is = |found: &str| match is_whole {
            true => found == text,
            false => found.contains(text),
        };
        match node.kind() {
            Kind::Text => node.text().is_some_and(|found| is(&found)),
            Kind::List => {
                let elements = (0..node.len()).filter_map(|index| node.element(index));
                elements.into_iter().any(|one| stands(one, text, is_whole))
            }
            Kind::Object => {
                let members = (0..node.len()).filter_map(|index| node.entry(index));
                members
                    .into_iter()
                    .any(|(name, one)| is(&name) || stands(one, text, is_whole))
            }
            _ => false,
        }
    }

    #[test]
    fn records_are_told_by_a_text_of_theirs() {
        let mut items: Vec<_> = (0..40).map(|_| sample::http()).collect();
        for (number, item) in items.iter_mut().enumerate() {
            item.src.name = std::sync::Arc::from(format!("web-{}", number % 10));
        }
        let bytes = flat_of(&items);
        let records: Vec<Flat<'_>> = flat::records(&bytes).collect();
        let packed = pack(&records);
        let numbers = |text: &str, is_whole| -> Vec<usize> {
            let marks = packed.having("src.name", text.as_bytes(), is_whole);
            let marks = marks.unwrap().into_iter().enumerate();
            marks.filter_map(|(at, mark)| mark.then_some(at)).collect()
        };
        assert_eq!(numbers("web-3", true), [3, 13, 23, 33]);
        assert_eq!(numbers("eb-3", false), [3, 13, 23, 33]);
        assert_eq!(numbers("web-", false).len(), 40);
        assert!(numbers("web-40", true).is_empty());
    }

    #[test]
    fn a_find_over_the_end_of_a_text_hides_none_behind_it() {
        let mut bytes = Vec::new();
        for (number, text) in (0..).zip(["a", "aa", "b"]) {
            let member = Key::Bytes(b"x".to_vec().into());
            let value = Value::Object([(member, Value::text(text))].into_iter().collect());
            flat::encode_node(number, ItemNode::of_value(&value), &mut bytes);
        }
        let records: Vec<Flat<'_>> = flat::records(&bytes).collect();
        let packed = pack(&records);
        for is_whole in [true, false] {
            let marks = packed.having("x", b"aa", is_whole);
            assert_eq!(marks, Some(vec![false, true, false]));
        }
    }

    proptest! {
        #[test]
        fn the_records_with_a_text_are_marked_and_no_others(
            values in proptest::collection::vec(any_value(), 1..20),
            text in "[a-e]{1,2}|.{1,3}",
            is_whole in any::<bool>(),
        ) {
            let mut bytes = Vec::new();
            for (number, value) in (0..).zip(&values) {
                flat::encode_node(number, ItemNode::of_value(value), &mut bytes);
            }
            let records: Vec<Flat<'_>> = flat::records(&bytes).collect();
            let packed = pack(&records);
            let Some(marks) = packed.having("a", text.as_bytes(), is_whole) else {
                return Ok(());
            };
            for (index, mark) in marks.iter().enumerate() {
                let node = packed.get(index).unwrap();
                // A root that is no object is kept as it came, and may have anything.
                let is_whole_record = !matches!(node.kind(), Kind::Object);
                prop_assert_eq!(*mark, is_whole_record || stands(node, &text, is_whole));
            }
        }
    }
}
