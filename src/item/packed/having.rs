//! Which of the records have a text, told from the texts upwards and not from each record downwards.
//!
//! The texts are looked through once, then the columns that may hold one of those that were found, then
//! the columns of tables and lists that may hold what has it, up to the roots. A column whose numbers all
//! lie elsewhere is not read, so this costs what some hundred records cost that are walked.

use super::flat::MAX_DEPTH;
use super::{Column, Packed, TAGS, Tag, WHOLE};

/// Places that have the text: rows of each table, and lists. A table of which nothing is known is empty.
struct Having {
    tables: Vec<Vec<bool>>,
    lists: Vec<bool>,
}

impl Having {
    fn row(&self, table: i64, row: i64) -> bool {
        let rows = usize::try_from(table)
            .ok()
            .and_then(|table| self.tables.get(table));
        is_marked(rows.map_or(&[], Vec::as_slice), row)
    }

    /// Whether a value that is an object or a list has it.
    fn value(&self, tag: Tag, value: i64, row: i64) -> bool {
        match tag {
            Tag::Object => self.row(value, row),
            Tag::List => is_marked(&self.lists, value),
            _ => false,
        }
    }
}

fn is_marked(marks: &[bool], place: i64) -> bool {
    let mark = usize::try_from(place)
        .ok()
        .and_then(|place| marks.get(place));
    mark.copied().unwrap_or_default()
}

impl Packed {
    /// The records that may have this text at `path`, or hold it when it need not be whole; `None` when
    /// any may. A record that has it elsewhere is among them.
    pub fn having(&self, path: &str, text: &[u8], is_whole: bool) -> Option<Vec<bool>> {
        if self.may_be_bytes(path) {
            return None;
        }
        let mut codes = vec![false; self.text_count as usize];
        for code in self.codes_of(text, is_whole) {
            if let Some(mark) = codes.get_mut(code as usize) {
                *mark = true;
            }
        }
        let having = self.places_of(&codes);
        let roots = (0..self.count).map(|record| {
            let table = self.tables_of_roots.at(record, &self.data);
            table == WHOLE || having.row(table, self.rows_of_roots.at(record, &self.data))
        });
        Some(roots.collect())
    }

    /// What has one of these texts as a value or as a name.
    fn places_of(&self, codes: &[bool]) -> Having {
        let mut having = Having {
            tables: vec![Vec::new(); self.tables.len()],
            lists: vec![false; self.lists.count],
        };
        let Some(first) = codes.iter().position(|mark| *mark) else {
            return having;
        };
        let last = codes.iter().rposition(|mark| *mark).unwrap_or(first);
        let may_have = |column: Column| column.may_be_within(first as i64, last as i64);
        for (number, marks) in having.tables.iter_mut().enumerate() {
            let rows = self.rows(number);
            for member in self.members(u32::try_from(number).unwrap_or(u32::MAX)) {
                if codes.get(member.name as usize) == Some(&true) {
                    *marks = vec![true; rows];
                    break;
                }
                if member.tag == Tag::Text && may_have(member.value) {
                    marks.resize(rows, false);
                    let mut marks = marks.iter_mut();
                    member.value.each(rows, &self.data, |code| {
                        if let Some(mark) = marks.next() {
                            *mark |= is_marked(codes, code);
                        }
                    });
                }
            }
        }
        let mut is_more = self.lists.has_texts
            && self.mark_lists(&mut having, |_, tag, value, _| {
                tag == Tag::Text && is_marked(codes, value)
            });
        // One round for each level between a text and its root.
        for round in 0..=MAX_DEPTH + 1 {
            let is_higher = self.mark_tables(&mut having);
            let may_be_in_lists = (self.lists.has_lists && is_more)
                || (is_higher || round == 0)
                    && self.lists.tables.iter().any(|table| {
                        let marks = having.tables.get(*table as usize);
                        marks.is_some_and(|marks| !marks.is_empty())
                    });
            is_more = may_be_in_lists && self.mark_lists(&mut having, Having::value);
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
        for number in 0..self.tables.len() {
            let rows = self.rows(number);
            for member in self.members(u32::try_from(number).unwrap_or(u32::MAX)) {
                let may_have = match member.tag {
                    Tag::Object => having.tables.iter().zip(0..).any(|(marks, table)| {
                        !marks.is_empty() && member.value.may_be_within(table, table)
                    }),
                    tag => tag == Tag::List,
                };
                if !may_have {
                    continue;
                }
                found.clear();
                for row in 0..rows {
                    let value = member.value.at(row, &self.data);
                    let within = member.row.at(row, &self.data);
                    if having.value(member.tag, value, within) {
                        found.push(row);
                    }
                }
                let Some(marks) = having.tables.get_mut(number).filter(|_| !found.is_empty())
                else {
                    continue;
                };
                marks.resize(rows, false);
                for row in &found {
                    if let Some(mark) = marks.get_mut(*row) {
                        is_more |= !*mark;
                        *mark = true;
                    }
                }
            }
        }
        is_more
    }

    /// Marks the lists with an element that `is` one; whether that is more than before.
    fn mark_lists(&self, having: &mut Having, is: impl Fn(&Having, Tag, i64, i64) -> bool) -> bool {
        let mut is_more = false;
        for list in 0..self.lists.count {
            let mut elements = self.elements(u32::try_from(list).unwrap_or(u32::MAX));
            let is_one = is_marked(&having.lists, list as i64)
                || elements.any(|at| {
                    let of = |column: Column| column.at(at, &self.data);
                    let tag = usize::try_from(of(self.lists.tags)).ok();
                    let tag = tag.and_then(|tag| TAGS.get(tag));
                    tag.is_some_and(|tag| {
                        is(having, *tag, of(self.lists.values), of(self.lists.rows))
                    })
                });
            if let Some(mark) = having.lists.get_mut(list) {
                is_more |= is_one && !*mark;
                *mark = is_one;
            }
        }
        is_more
    }

    fn rows(&self, table: usize) -> usize {
        self.tables
            .get(table)
            .map_or(0, |table| table.rows as usize)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{any_value, flat_of};
    use super::super::{Held, pack};
    use crate::item::flat::{self, Flat};
    use crate::item::{ItemNode, Kind, Node, sample};

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
