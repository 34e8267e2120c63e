//! What the columns of single rows rule out, before an item is made of any.
//!
//! In: the condition of a query, a block. Out: "may match" or "cannot". Never: a "cannot" for a row
//! that matches; what is not plain may.

use memchr::memmem::Finder;

use super::block::{Block, Values};
use super::column::{COLUMNS, Content, column_of, place};
use super::ids;
use super::reader::Reader;
use crate::kfl::prefilter::{ColumnTest, Condition, Scalar, Test};

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
    /// Nothing can be told.
    Open,
}

enum Of {
    Equal(Box<str>),
    Prefix(Box<str>),
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
        match condition {
            Condition::All(parts) => Check::All(each(parts)),
            Condition::Any(parts) => Check::Any(each(parts)),
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
    let divisor = match column.from {
        Content::Time | Content::Elapsed => 1000,
        Content::Json(_) => return None,
        _ => 1,
    };
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
        Test::Prefix(_) => None,
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
    let text = match &test.test {
        Test::Eq(Scalar::Text(text)) | Test::Shown(text) | Test::Prefix(text) => text,
        _ => return None,
    };
    // Texts that JSON writes as they are; a number might be written in another way, and a comma may
    // stand between the values of a header that came twice.
    let is_plain = text.len() > 1
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b','));
    let may_be_number = text.parse::<f64>().is_ok();
    let by_null = test
        .nulls
        .iter()
        .any(|null| matches!(null, Scalar::Text(null) if null == text));
    if !is_plain || may_be_number || by_null || ["true", "false", "null"].contains(&&**text) {
        return None;
    }
    let finder = Finder::new(text.as_bytes()).into_owned();
    let json = Check::Json(place(Content::Json(root)), Box::new(finder));
    if !ids::may_be_folded(&test.column) {
        return Some(json);
    }
    let (column, text) = match &test.test {
        Test::Prefix(_) => return None,
        _ => ids::instead(&test.column, text)?,
    };
    let of_column = Check::Text(column, Of::Equal(text.into()));
    Some(Check::Any(vec![json, of_column]))
}

impl Sieve {
    /// Whether a row may match.
    pub fn may_hold(&self, block: &Block, row: usize) -> bool {
        self.0.may_hold(block, row)
    }
}

impl Check {
    fn may_hold(&self, block: &Block, row: usize) -> bool {
        let values = |column: &usize| block.columns.get(*column).and_then(Option::as_ref);
        match self {
            Check::All(parts) => parts.iter().all(|part| part.may_hold(block, row)),
            Check::Any(parts) => parts.iter().any(|part| part.may_hold(block, row)),
            Check::Open => true,
            Check::Text(column, of) => {
                let Some(Values::Text(values)) = values(column) else {
                    return true;
                };
                let Some(value) = values.get(row).and_then(Option::as_ref) else {
                    return true;
                };
                match of {
                    Of::Equal(text) => value.data() == text.as_bytes(),
                    Of::Prefix(text) => value.data().starts_with(text.as_bytes()),
                }
            }
            Check::Int(column, divisor, order, wanted) => {
                let Some(Values::Int(values)) = values(column) else {
                    return true;
                };
                let Some(value) = values.get(row).copied().flatten() else {
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
            }
            Check::Json(column, finder) => {
                let Some(Values::Text(values)) = values(column) else {
                    return true;
                };
                match values.get(row).and_then(Option::as_ref) {
                    Some(json) => finder.find(json.data()).is_some(),
                    // What is null may be told by other columns.
                    None => true,
                }
            }
        }
    }
}
