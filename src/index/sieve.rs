//! What the columns of single rows rule out, before an item is made of any.
//!
//! In: the condition of a query, a block. Out: "may match" or "cannot". Never: a "cannot" for a row
//! that matches; what is not plain may.

use memchr::memmem::Finder;

use super::block::Block;
use super::column::{COLUMNS, Content, column_of, place};
use super::ids;
use super::reader::Reader;
use super::values::Values;
use crate::kfl::prefilter::{ColumnTest, Condition, Found, Scalar, Test};

/// Members whose values are not in the JSON of their part, since they follow from other values.
const FOLDED: [&str; 9] = [
    "method",
    "path",
    "url",
    "targetUri",
    "pathSegments",
    "queryString",
    "bodySize",
    "status",
    "content",
];

/// A condition made ready for many rows.
pub struct Sieve(Check);

enum Check {
    All(Vec<Check>),
    Any(Vec<Check>),
    /// A text column: how its value compares.
    Text(usize, Of),
    /// A number, divided as queries have it.
    Int(usize, i64, Order, i64),
    /// Bytes that the JSON of a part must hold.
    Json(usize, Box<Finder<'static>>),
    /// A pattern that must be found in the JSON of a part, unless something is escaped there.
    Quoted(usize, Found),
    /// Nothing can be told.
    Open,
}

enum Of {
    Equal(Box<str>),
    Prefix(Box<str>),
    Holds(Box<Finder<'static>>),
    Found(Found),
}

enum Order {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Reader {
    /// Makes a condition ready for the rows of this index.
    pub fn sieve(&self, condition: Option<&Condition<ColumnTest>>) -> Sieve {
        Sieve(condition.map_or(Check::Open, |condition| self.sifting(condition)))
    }

    fn sifting(&self, condition: &Condition<ColumnTest>) -> Check {
        let each = |parts: &[Condition<ColumnTest>]| -> Vec<Check> {
            parts.iter().map(|part| self.sifting(part)).collect()
        };
        let is_open = |check: &Check| matches!(check, Check::Open);
        match condition {
            Condition::All(parts) => {
                let mut parts = each(parts);
                parts.retain(|part| !is_open(part));
                match parts.is_empty() {
                    true => Check::Open,
                    false => Check::All(parts),
                }
            }
            Condition::Any(parts) => {
                let parts = each(parts);
                match parts.iter().any(is_open) {
                    true => Check::Open,
                    false => Check::Any(parts),
                }
            }
            Condition::Is(test) => self.sifting_one(test).unwrap_or(Check::Open),
        }
    }

    fn sifting_one(&self, test: &ColumnTest) -> Option<Check> {
        match column_of(&test.column).filter(|index| self.has(*index)) {
            Some(index) => of_column(index, test),
            None => of_json(test),
        }
    }
}

/// A test of a column of its own. What is null is never ruled out.
fn of_column(index: usize, test: &ColumnTest) -> Option<Check> {
    let column = COLUMNS.get(index)?;
    if let Content::Json(_) = column.from {
        return None;
    }
    let divisor = column.scale();
    let is_text = matches!(column.kind, super::Kind::Text);
    let text = |text: &str| {
        let is = Of::Equal(text.into());
        is_text.then_some(Check::Text(index, is))
    };
    let int = |order, value: &Scalar| match value {
        Scalar::Int(value) if !is_text => Some(Check::Int(index, divisor, order, *value)),
        _ => None,
    };
    match &test.test {
        Test::Eq(Scalar::Text(value)) => text(value),
        Test::Shown(value) if is_text => text(value),
        Test::Shown(value) => {
            let number: i64 = value.parse().ok()?;
            int(Order::Equal, &Scalar::Int(number)).filter(|_| number.to_string() == **value)
        }
        Test::Prefix(value) if is_text => Some(Check::Text(index, Of::Prefix(value.clone()))),
        Test::Holds(value) if is_text => {
            let finder = Finder::new(value.as_bytes()).into_owned();
            Some(Check::Text(index, Of::Holds(Box::new(finder))))
        }
        Test::Found(found) if is_text => Some(Check::Text(index, Of::Found(found.clone()))),
        Test::Eq(value) => int(Order::Equal, value),
        Test::Ne(value) => int(Order::Unequal, value),
        Test::Lt(value) => int(Order::Less, value),
        Test::Le(value) => int(Order::LessOrEqual, value),
        Test::Gt(value) => int(Order::Greater, value),
        Test::Ge(value) => int(Order::GreaterOrEqual, value),
        Test::In(values) => {
            let each = values.iter().map(|value| {
                let test = Test::Eq(value.clone());
                let column = test_of(&test_column(index), test);
                of_column(index, &column).unwrap_or(Check::Open)
            });
            Some(Check::Any(each.collect()))
        }
        Test::Prefix(_) | Test::Holds(_) | Test::Found(_) => None,
    }
}

fn test_column(index: usize) -> Box<str> {
    let path = COLUMNS.get(index).and_then(|column| column.path());
    path.unwrap_or_default().into()
}

fn test_of(column: &str, test: Test) -> ColumnTest {
    ColumnTest {
        column: column.into(),
        test,
        nulls: Vec::new(),
    }
}

/// A text that must stand somewhere in the JSON of a part of the item.
fn of_json(test: &ColumnTest) -> Option<Check> {
    let mut names = test.column.split('.');
    let (root, member) = (names.next()?, names.next()?);
    let root = ["request", "response", "data"]
        .into_iter()
        .find(|part| *part == root)?;
    if FOLDED.contains(&member) {
        return None;
    }
    if let Some(found) = test.plain_pattern() {
        let quoted = Check::Quoted(place(Content::Json(root)), found.clone());
        return (!ids::may_be_folded(&test.column)).then_some(quoted);
    }
    // Texts that JSON writes as they are.
    let (text, _) = test.plain_text()?;
    let finder = Finder::new(text.as_bytes()).into_owned();
    let json = Check::Json(place(Content::Json(root)), Box::new(finder));
    if !ids::may_be_folded(&test.column) {
        return Some(json);
    }
    let (column, text) = match &test.test {
        Test::Prefix(_) | Test::Holds(_) => return None,
        _ => ids::instead(&test.column, text)?,
    };
    let of_column = Check::Text(column, Of::Equal(text.into()));
    Some(Check::Any(vec![json, of_column]))
}

impl Sieve {
    /// One that rules nothing out.
    pub fn open() -> Sieve {
        Sieve(Check::Open)
    }

    /// The columns that it looks at; none when it rules nothing out.
    pub fn columns(&self) -> Vec<usize> {
        let mut found = Vec::new();
        self.0.columns(&mut found);
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The rows of a block that may match, which rise.
    pub fn rows(&self, block: &Block) -> Vec<usize> {
        let mut rows = (0..block.len()).collect();
        self.0.keep(block, &mut rows);
        rows
    }
}

impl Check {
    fn columns(&self, into: &mut Vec<usize>) {
        match self {
            Check::All(parts) | Check::Any(parts) => {
                parts.iter().for_each(|part| part.columns(into));
            }
            Check::Text(column, _)
            | Check::Int(column, ..)
            | Check::Json(column, _)
            | Check::Quoted(column, _) => {
                into.push(*column);
            }
            Check::Open => {}
        }
    }

    /// Leaves out the rows that cannot match.
    fn keep(&self, block: &Block, rows: &mut Vec<usize>) {
        match self {
            Check::All(parts) => parts.iter().for_each(|part| part.keep(block, rows)),
            Check::Any(parts) => {
                let mut kept: Vec<usize> = Vec::new();
                for part in parts {
                    let mut rows = rows.clone();
                    part.keep(block, &mut rows);
                    kept.extend(rows);
                }
                kept.sort_unstable();
                kept.dedup();
                *rows = kept;
            }
            Check::Text(column, of) => keep_texts(block, *column, rows, |text| match of {
                Of::Equal(wanted) => text == wanted.as_bytes(),
                Of::Prefix(wanted) => text.starts_with(wanted.as_bytes()),
                Of::Holds(finder) => finder.find(text).is_some(),
                Of::Found(found) => std::str::from_utf8(text).is_ok_and(|text| found.is_in(text)),
            }),
            Check::Quoted(column, found) => keep_texts(block, *column, rows, |json| {
                let is_escaped = memchr::memchr(b'\\', json).is_some();
                is_escaped || std::str::from_utf8(json).is_ok_and(|json| found.is_in(json))
            }),
            Check::Json(column, finder) => {
                keep_texts(block, *column, rows, |json| finder.find(json).is_some());
            }
            Check::Int(column, divisor, order, wanted) => {
                let Some(Some(Values::Int(values))) = block.columns.get(*column) else {
                    return;
                };
                rows.retain(|row| {
                    let Some(value) = values.get(*row) else {
                        return true;
                    };
                    let value = value.div_euclid(*divisor);
                    match order {
                        Order::Equal => value == *wanted,
                        Order::Unequal => value != *wanted,
                        Order::Less => value < *wanted,
                        Order::LessOrEqual => value <= *wanted,
                        Order::Greater => value > *wanted,
                        Order::GreaterOrEqual => value >= *wanted,
                    }
                });
            }
            Check::Open => {}
        }
    }
}

/// Leaves out the rows whose text in a column does not hold; what is null may be told by other columns.
fn keep_texts(block: &Block, column: usize, rows: &mut Vec<usize>, holds: impl Fn(&[u8]) -> bool) {
    if let Some(Some(Values::Text(values))) = block.columns.get(column) {
        rows.retain(|row| values.get(*row).is_none_or(|text| holds(text.data())));
    }
}
