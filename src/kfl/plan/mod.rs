//! What evaluation does: the intermediate form with its usual clauses made direct.
//!
//! In: a checked tree. Out: a [`Plan`] that decides the same, in which a clause such as
//! `status_code >= 500` is one comparison at one place of the item, with nothing allocated, and a
//! test of the protocol stands once, in front of what depends on it. Never: another answer than the
//! tree's; what has no direct form is a [`Plan::Tree`].

mod clause;
mod first;
pub(crate) mod known;
mod second;

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use memchr::memmem::Finder;

use super::Dialect;
use super::ir::{Arith, Const, Expr, Func, Logic, Op, Selector, Step, Typed};
use super::pattern::Pattern;
use super::schema::Layout;
use super::v2::vars::{Keys, Var};
use crate::item::Path;

/// What is done to decide; see the module.
#[derive(Debug, Clone)]
pub(crate) enum Plan {
    /// Known beforehand.
    Known(bool),
    /// All of the second dialect's `&&`: an error counts only when nothing is false.
    All(Box<[Plan]>),
    /// Any of the second dialect's `||`: an error counts only when nothing is true.
    Any(Box<[Plan]>),
    Not(Box<Plan>),
    /// A chain of the first dialect: each part decides whether the rest is looked at.
    Chain(Box<Plan>, Box<[(Logic, Plan)]>),
    /// A parenthesis of the first dialect.
    Group(Box<Plan>),
    /// Whether the text at a place is this one.
    Is(Path, Box<str>),
    Flag(&'static Var),
    /// A comparison of the first dialect, of a plain path with something known.
    Compare(Box<Compare>),
    /// `startsWith`, `endsWith` or `contains` of the first dialect.
    Helper(Route, TextTest),
    Text(Source, TextTest),
    Int(Source, Op, i64),
    /// Whether a whole number is one of these, in ascending order.
    IntIn(Source, Box<[i64]>),
    /// A comparison of the item's time.
    Time(Path, Op, Moment),
    /// A test of the text under a key.
    Member(Box<Member>),
    HasKey(Path, Box<str>, Keys),
    /// A test that one text of a list must pass.
    AnyText(Texts, TextTest),
    /// A comparison of the count of texts in a list.
    Count(Texts, Op, i64),
    /// Walked as it is; whether truthiness counts, as in the first dialect.
    Tree(Box<Expr>, bool),
}

/// Where a variable is read.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// At one place.
    At(Path),
    /// At the first of these that is there.
    Parts([Path; 3]),
    /// The microseconds of an item; of what is none, the number at the place.
    Elapsed(Path),
    /// As the variable says.
    Var(&'static Var),
}

/// Where a list of texts is read.
#[derive(Debug, Clone)]
pub(crate) enum Texts {
    /// A member of each element of a list.
    Below(Path, Box<str>),
    /// As the variable says.
    Var(&'static Var),
}

/// A selector of the first dialect without wildcards: names, then whatever steps follow.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub names: Path,
    pub steps: Box<[Step]>,
}

/// A test of one text.
#[derive(Debug, Clone)]
pub(crate) enum TextTest {
    Order(Op, Box<str>),
    Starts(Box<str>),
    Ends(Box<str>),
    Contains(Box<Finder<'static>>),
    Found(Pattern),
    OneOf(HashSet<Box<str>>),
}

/// A comparison of the first dialect.
#[derive(Debug, Clone)]
pub(crate) struct Compare {
    pub selector: Selector,
    pub route: Route,
    /// Whether the selector names the microseconds of an item.
    pub elapsed: bool,
    pub op: Op,
    pub other: Known,
    /// Whether what is known stands on the left.
    pub turned: bool,
}

/// What a comparison of the first dialect compares with.
#[derive(Debug, Clone)]
pub(crate) enum Known {
    Const(Const),
    Pattern(Pattern),
}

/// A test of the text under a key of a map.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub map: Path,
    pub key: Box<str>,
    pub keys: Keys,
    /// What a missing key reads as; without it a missing key is an error.
    pub missing: Option<Box<str>>,
    pub test: TextTest,
}

/// A point in time.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Moment {
    At(DateTime<Utc>),
    /// So far from the moment for which the query is evaluated.
    Now(TimeDelta),
}

/// The plan of a whole query; without an expression it matches everything.
pub(crate) fn plan(dialect: Dialect, expr: Option<&Expr>, layout: Layout, redacts: bool) -> Plan {
    let Some(expr) = expr else {
        return Plan::Known(true);
    };
    let is_first = dialect == Dialect::V1;
    // `redact` makes every later clause read an altered copy, and bare variables are test data.
    if redacts || layout == Layout::Variables {
        return tree(expr, is_first);
    }
    match dialect {
        Dialect::V1 => first::first(expr),
        Dialect::V2 => second::second(expr, &mut Vec::new()),
    }
}

fn tree(expr: &Expr, first: bool) -> Plan {
    Plan::Tree(Box::new(expr.clone()), first)
}

/// A text that can be looked for in bytes which may be invalid: they are shown with the character
/// that it must not hold.
fn plain(text: &str) -> Option<&str> {
    (!text.contains(char::REPLACEMENT_CHARACTER)).then_some(text)
}

fn contains(text: &str) -> TextTest {
    TextTest::Contains(Box::new(Finder::new(text.as_bytes()).into_owned()))
}

/// The operator that says the same with its operands in the other order.
pub(crate) fn turned(op: Op) -> Op {
    match op {
        Op::Lt => Op::Gt,
        Op::Le => Op::Ge,
        Op::Gt => Op::Lt,
        Op::Ge => Op::Le,
        op => op,
    }
}

/// A point in time that does not depend on the item.
pub(crate) fn moment(expr: &Expr) -> Option<Moment> {
    match expr {
        Expr::Const(Const::Time(at)) => Some(Moment::At(*at)),
        Expr::Typed(typed) => match &**typed {
            Typed::Call(Func::Now, _) => Some(Moment::Now(TimeDelta::zero())),
            Typed::Arith(arith, left, Expr::Const(Const::Span(by))) => {
                let Moment::Now(already) = moment(left)? else {
                    return None;
                };
                let by = match arith {
                    Arith::Add => already.checked_add(by),
                    Arith::Sub => already.checked_sub(by),
                    _ => None,
                };
                by.map(Moment::Now)
            }
            _ => None,
        },
        _ => None,
    }
}
