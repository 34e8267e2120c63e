//! What a query needs of the columns of an index, and whether a run of rows can have it.
//!
//! In: atoms of a query; for each column the least and greatest value and the count of nulls, as
//! Parquet keeps them for row groups and pages. Out: [`ColumnTest`]s, and "may hold" or "cannot".
//! A column is called by the path of the item's field it holds, or by the variable's name where
//! that is put together from several; lists hold the values of all their elements. Never: a column
//! that must exist; without statistics everything may hold.

use std::cmp::Ordering;
use std::fmt;

use super::{Condition, path_of, sides};
use crate::item::json::JsonNode;
use crate::kfl::eval::{ELAPSED, Run};
use crate::kfl::functions::Does;
use crate::kfl::ir::{Const, End, Expr, Fold, Func, Op, Step, Typed};
use crate::kfl::pattern::{Pattern, is_in_number};
use crate::kfl::plan::{Moment, moment};
use crate::kfl::schema::Layout;
use crate::kfl::v2::vars::{How, Keys, Type, Var};
use crate::kfl::value::Val;
use crate::time::Timestamp;

/// A value of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A text.
    Text(Box<str>),
}

/// What is asked of one value.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// It equals this.
    Eq(Scalar),
    /// It does not equal this.
    Ne(Scalar),
    /// It is less.
    Lt(Scalar),
    /// It is less or equal.
    Le(Scalar),
    /// It is greater.
    Gt(Scalar),
    /// It is greater or equal.
    Ge(Scalar),
    /// It is one of these.
    In(Vec<Scalar>),
    /// It is a text that begins so.
    Prefix(Box<str>),
    /// Its text holds this one.
    Holds(Box<str>),
    /// A pattern is found in its text.
    Found(Found),
    /// It is shown as this text, whatever its type.
    Shown(Box<str>),
}

/// A pattern that is found in each text that quotes one in which it is found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found(Pattern);

impl Found {
    /// Whether the pattern is in a text, or in one that it quotes.
    pub fn is_in(&self, text: &str) -> bool {
        self.0.is_in(text)
    }
}

/// A test of one column.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnTest {
    /// Path of the field, or name of the variable.
    pub column: Box<str>,
    /// What is asked.
    pub test: Test,
    /// What a null, or what is not there, may read as; without one it never passes.
    pub nulls: Vec<Scalar>,
}

/// What is known of one column over a run of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Stats {
    /// Bounds of all values that are not null, which they may be wider than; `None` when all are
    /// null.
    pub bounds: Option<(Scalar, Scalar)>,
    /// Whether a value may be null, or a list empty.
    pub nulls: bool,
}

/// `response.status >= 500 and (...)`, parts of another kind in parentheses.
impl fmt::Display for Condition<ColumnTest> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parts, sign) = match self {
            Condition::Is(test) => return write!(f, "{test}"),
            Condition::All(parts) => (parts, " and "),
            Condition::Any(parts) => (parts, " or "),
        };
        for (at, part) in parts.iter().enumerate() {
            if at > 0 {
                f.write_str(sign)?;
            }
            match part {
                Condition::Is(test) => write!(f, "{test}")?,
                part => write!(f, "({part})")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for ColumnTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = &self.column;
        match &self.test {
            Test::Eq(value) => write!(f, "{column} == {value}"),
            Test::Ne(value) => write!(f, "{column} != {value}"),
            Test::Lt(value) => write!(f, "{column} < {value}"),
            Test::Le(value) => write!(f, "{column} <= {value}"),
            Test::Gt(value) => write!(f, "{column} > {value}"),
            Test::Ge(value) => write!(f, "{column} >= {value}"),
            Test::In(values) => {
                let values: Vec<_> = values.iter().map(ToString::to_string).collect();
                write!(f, "{column} in [{}]", values.join(", "))
            }
            Test::Prefix(prefix) => write!(f, "{column} begins with {prefix:?}"),
            Test::Holds(text) => write!(f, "{column} holds {text:?}"),
            Test::Found(found) => write!(f, "{column} holds r{:?}", found.0.written()),
            Test::Shown(text) => write!(f, "{column} is {text:?}"),
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Bool(value) => write!(f, "{value}"),
            Scalar::Int(value) => write!(f, "{value}"),
            Scalar::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// Whether a row may meet the condition, by what `stats` tells of each column; a column that it
/// does not know may hold anything.
pub fn may_hold<'s>(
    condition: &Condition<ColumnTest>,
    stats: &dyn Fn(&str) -> Option<&'s Stats>,
) -> bool {
    match condition {
        Condition::All(parts) => parts.iter().all(|part| may_hold(part, stats)),
        Condition::Any(parts) => parts.iter().any(|part| may_hold(part, stats)),
        Condition::Is(test) => stats(&test.column).is_none_or(|stats| test.may_hold(stats)),
    }
}

impl ColumnTest {
    /// The text that a value which passes holds as it is written, and whether that is all of it; `None`
    /// when a number, a null or several values together may pass as well.
    pub fn plain_text(&self) -> Option<(&str, bool)> {
        let (text, is_whole) = match &self.test {
            Test::Eq(Scalar::Text(text)) | Test::Shown(text) => (&**text, true),
            Test::Prefix(text) | Test::Holds(text) => (&**text, false),
            _ => return None,
        };
        if self.is_made() {
            return None;
        }
        // A comma may stand between the values of a header that came twice.
        let is_plain = text.len() > 1
            && text.bytes().all(|byte| {
                (byte == b' ' || byte.is_ascii_graphic()) && !matches!(byte, b'"' | b'\\' | b',')
            });
        let may_be_number = match is_whole {
            true => text.parse::<f64>().is_ok(),
            false => text.chars().all(is_in_number),
        };
        let may_be = |word: &str| match is_whole {
            true => word == text,
            false => word.contains(text),
        };
        let by_null = self
            .nulls
            .iter()
            .any(|null| matches!(null, Scalar::Text(null) if may_be(null)));
        let by_word = ["true", "false", "null"].into_iter().any(may_be);
        (is_plain && !may_be_number && !by_null && !by_word).then_some((text, is_whole))
    }

    /// The pattern that is found in a value that passes as it is written; `None` as of
    /// [`ColumnTest::plain_text`].
    pub fn plain_pattern(&self) -> Option<&Found> {
        let Test::Found(found) = &self.test else {
            return None;
        };
        let null = |null: &Scalar| matches!(null, Scalar::Text(null) if found.is_in(null));
        let words = ["true", "false", "null"];
        let by_word = self.nulls.iter().any(null) || words.iter().any(|word| found.is_in(word));
        (!by_word && !self.is_made()).then_some(found)
    }

    /// Whether it is of a variable that is made of several values.
    fn is_made(&self) -> bool {
        let var = crate::kfl::v2::vars::find(&self.column);
        var.is_some_and(|var| !matches!(var.how, How::Path(at) if *at == *self.column))
    }

    fn may_hold(&self, stats: &Stats) -> bool {
        let by_null = stats.nulls && self.nulls.iter().any(|null| self.test.within(null, null));
        let by_value = stats
            .bounds
            .as_ref()
            .is_some_and(|(low, high)| self.test.within(low, high));
        by_null || by_value
    }
}

impl Test {
    /// Whether a value from `low` to `high` may pass; values of other types than the test's may.
    fn within(&self, low: &Scalar, high: &Scalar) -> bool {
        let at_least = |bound: &Scalar, value: &Scalar| match order(bound, value) {
            Some(order) => order != Ordering::Less,
            None => true,
        };
        let more = |bound: &Scalar, value: &Scalar| match order(bound, value) {
            Some(order) => order == Ordering::Greater,
            None => true,
        };
        match self {
            Test::Eq(value) => at_least(high, value) && at_least(value, low),
            Test::Ne(value) => !(low == high && low == value),
            Test::Lt(value) => more(value, low),
            Test::Le(value) => at_least(value, low),
            Test::Gt(value) => more(high, value),
            Test::Ge(value) => at_least(high, value),
            Test::In(values) => values
                .iter()
                .any(|value| at_least(high, value) && at_least(value, low)),
            Test::Shown(text) => match low {
                Scalar::Text(_) => Test::Eq(Scalar::Text(text.clone())).within(low, high),
                Scalar::Int(_) => match text.parse::<i64>() {
                    Ok(value) if value.to_string() == **text => {
                        Test::Eq(Scalar::Int(value)).within(low, high)
                    }
                    _ => false,
                },
                Scalar::Bool(_) => match text.parse() {
                    Ok(value) => Test::Eq(Scalar::Bool(value)).within(low, high),
                    Err(_) => false,
                },
            },
            Test::Prefix(prefix) => match (low, high) {
                (Scalar::Text(low), Scalar::Text(high)) => {
                    let starts = low.starts_with(&**prefix) || high.starts_with(&**prefix);
                    starts || low <= prefix && prefix <= high
                }
                _ => true,
            },
            Test::Found(found) => match (low, high) {
                (Scalar::Text(low), Scalar::Text(high)) if low == high => found.is_in(low),
                _ => true,
            },
            // A null reads as one text; bounds say nothing of what lies between them.
            Test::Holds(text) => match (low, high) {
                (Scalar::Text(low), Scalar::Text(high)) if low == high => low.contains(&**text),
                _ => true,
            },
        }
    }
}

/// Order of two values; `None` when they are of different types, so that nothing is told.
fn order(left: &Scalar, right: &Scalar) -> Option<Ordering> {
    match (left, right) {
        (Scalar::Bool(left), Scalar::Bool(right)) => Some(left.cmp(right)),
        (Scalar::Int(left), Scalar::Int(right)) => Some(left.cmp(right)),
        (Scalar::Text(left), Scalar::Text(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

/// What an atom, or its opposite, needs of columns.
pub(super) fn test(atom: &Expr, holds: bool, now: Timestamp) -> Option<Condition<ColumnTest>> {
    match atom {
        Expr::Macro(made) => {
            let column = |member: &str| format!("protocol.{member}").into();
            let is = |member: &str, value: &str| {
                Condition::Is(ColumnTest {
                    column: column(member),
                    test: negated(Test::Eq(Scalar::Text(value.into())), holds),
                    // An item without a protocol is of none.
                    nulls: vec![Scalar::Text("".into())],
                })
            };
            let mut parts = vec![is(made.member, &made.value)];
            parts.extend(made.version.map(|version| is("version", version)));
            match (parts.len(), holds) {
                (1, _) => parts.pop(),
                (_, true) => Some(Condition::All(parts)),
                (_, false) => Some(Condition::Any(parts)),
            }
        }
        Expr::Typed(typed) => second(typed, holds, now),
        Expr::Select(selector) if holds => {
            let End::Helper(helper) = selector.end else {
                return None;
            };
            let (Step::Call(_, params), receiver) = selector.steps.split_last()? else {
                return None;
            };
            let Some(Expr::Const(Const::Text(text))) = params.first() else {
                return None;
            };
            let test = match helper.does {
                Does::StartsWith => Test::Prefix((&**text).into()),
                Does::Contains | Does::EndsWith => holds_text(text)?,
                _ => return None,
            };
            first_is(super::names(receiver)?, test)
        }
        Expr::Cmp(..) if holds => first(atom, now),
        _ => None,
    }
}

fn negated(test: Test, holds: bool) -> Test {
    match test {
        Test::Eq(value) if !holds => Test::Ne(value),
        test => test,
    }
}

/// A test in the first dialect, where a missing value fails: but a null is compared as its text or
/// as zero, and the default of a variable of that name may stand in for what is missing.
fn first_is(path: String, test: Test) -> Option<Condition<ColumnTest>> {
    let var = crate::kfl::v2::vars::find(&path);
    if var.is_some_and(|var| !matches!(var.how, How::Path(at) if at == path)) {
        return None;
    }
    let text = |text: &str| Scalar::Text(text.into());
    let nulls = match &test {
        Test::Lt(_) | Test::Le(_) | Test::Gt(_) | Test::Ge(_) => vec![Scalar::Int(0)],
        _ if var.is_some() => vec![text("null"), text(""), text("0"), text("false")],
        _ => vec![text("null")],
    };
    Some(Condition::Is(ColumnTest {
        column: path.into(),
        test,
        nulls,
    }))
}

fn first(atom: &Expr, now: Timestamp) -> Option<Condition<ColumnTest>> {
    let (op, of, with) = sides(atom)?;
    if let (Some(path), Expr::Pattern(pattern)) = (path_of(of), with) {
        let test = found(pattern).filter(|_| op == Op::Eq)?;
        return first_is(path, test);
    }
    let (op, path, at) = match path_of(of) {
        Some(path) => (op, path, with),
        None => (super::super::plan::turned(op), path_of(with)?, of),
    };
    let value = match at {
        Expr::Const(Const::Int(_, text)) if op == Op::Eq => return first_is(path, shown(text)),
        Expr::Const(Const::Text(text)) if op == Op::Eq => return first_is(path, shown(text)),
        Expr::Const(Const::Bool(value)) if op == Op::Eq => {
            return first_is(path, shown(&value.to_string()));
        }
        Expr::Const(Const::Int(value, _)) => *value,
        Expr::Select(_) => point(at, now)?,
        _ => return None,
    };
    // Beyond, the doubles that this dialect compares are not whole numbers one by one.
    let exact = value.unsigned_abs() < 1 << f64::MANTISSA_DIGITS;
    let test = match op {
        Op::Eq => Test::Shown(value.to_string().into()),
        _ => compared(op, Scalar::Int(value))?,
    };
    exact.then(|| first_is(path, test))?
}

fn shown(text: &str) -> Test {
    Test::Shown(text.into())
}

/// Epoch milliseconds of a call that does not depend on the item.
fn point(expr: &Expr, now: Timestamp) -> Option<i64> {
    let Expr::Select(selector) = expr else {
        return None;
    };
    let End::Helper(helper) = selector.end else {
        return None;
    };
    let known = |params: &[Expr]| params.iter().all(|param| matches!(param, Expr::Const(_)));
    let fixed = selector.steps.iter().all(|step| match step {
        Step::Call(_, params) => known(params),
        _ => true,
    });
    if !fixed || !matches!(helper.does, Does::Now | Does::Relative(_) | Does::Datetime) {
        return None;
    }
    let nothing = serde_json::Value::Null;
    match Run::new(JsonNode(&nothing), now).part(expr) {
        Ok(Val::Int(at)) => Some(at),
        _ => None,
    }
}

fn compared(op: Op, value: Scalar) -> Option<Test> {
    Some(match op {
        Op::Eq => Test::Eq(value),
        Op::Ne => return None,
        Op::Lt => Test::Lt(value),
        Op::Le => Test::Le(value),
        Op::Gt => Test::Gt(value),
        Op::Ge => Test::Ge(value),
    })
}

/// What a text must be in which a pattern is found.
fn found(pattern: &Pattern) -> Option<Test> {
    match literal_prefix(pattern.written()) {
        Some(prefix) => Some(Test::Prefix(prefix.into())),
        None => match pattern.required() {
            Some(text) => holds_text(&text),
            None => {
                let found = || Test::Found(Found(pattern.clone()));
                pattern.is_found_in_quotes().then(found)
            }
        },
    }
}

/// That a value holds a text; nothing is told by an empty one.
fn holds_text(text: &str) -> Option<Test> {
    (!text.is_empty()).then(|| Test::Holds(text.into()))
}

/// The text that everything a pattern is found in begins with.
fn literal_prefix(written: &str) -> Option<String> {
    let rest = written.strip_prefix('^')?;
    let special =
        |c: char| !(c.is_alphanumeric() || matches!(c, '/' | '_' | '-' | ' ' | ':' | ','));
    let end = rest.find(special).unwrap_or(rest.len());
    let mut prefix: String = rest.get(..end)?.to_owned();
    // A repetition may take the last character away, and an alternative the whole.
    let next = rest.get(end..).and_then(|tail| tail.chars().next());
    if matches!(next, Some('?' | '*' | '{')) {
        prefix.pop();
    }
    (!prefix.is_empty() && !written.contains('|')).then_some(prefix)
}

/// A test in the second dialect: what an item does not have reads as the variable's default.
fn second_is(var: &Var, test: Test) -> Option<Condition<ColumnTest>> {
    let nulls = match var.ty {
        Type::Text => vec![Scalar::Text("".into())],
        Type::Int | Type::Time => vec![Scalar::Int(0)],
        Type::Bool => vec![Scalar::Bool(false)],
        Type::List => Vec::new(),
        Type::Bytes | Type::Map(_) => return None,
    };
    Some(Condition::Is(ColumnTest {
        column: column(var)?,
        test,
        nulls,
    }))
}

/// The column that holds a variable.
fn column(var: &Var) -> Option<Box<str>> {
    Some(match var.how {
        // Processes are known of live items alone, and no column holds them.
        How::Absent | How::Always | How::Process(_) => return None,
        // Called as a field, which has no more than what the cluster told.
        How::Namespace(_) => return None,
        How::Path(path) => path.replace(".*.", ".").into(),
        How::Elapsed => ELAPSED.into(),
        _ => var.name.into(),
    })
}

fn second(typed: &Typed, holds: bool, now: Timestamp) -> Option<Condition<ColumnTest>> {
    match typed {
        Typed::Flag(owner, _) => match owner.as_slice() {
            [var] => flag(var, holds),
            _ => None,
        },
        Typed::Var(var, _) => flag(var, holds),
        Typed::Cmp(op, left, right) => relation(*op, left, right, holds, now)
            .or_else(|| relation(super::super::plan::turned(*op), right, left, holds, now)),
        Typed::In(left, right, _) if holds => member(left, right),
        Typed::Search(of, pattern) if holds => second_is(variable(of)?, found(pattern)?),
        Typed::Call(func, args) if holds => {
            let [of, Expr::Const(Const::Text(text))] = args.as_slice() else {
                return None;
            };
            let test = match func {
                Func::StartsWith => Test::Prefix((&**text).into()),
                Func::Contains | Func::EndsWith => holds_text(text)?,
                _ => return None,
            };
            second_is(variable(of)?, test)
        }
        Typed::Fold(of, Fold::Exists(Expr::Typed(body)), _) if holds => {
            let test = match &**body {
                Typed::Cmp(Op::Eq, Expr::Typed(local), Expr::Const(Const::Text(text)))
                    if **local == Typed::Local(0) =>
                {
                    Test::Eq(Scalar::Text((&**text).into()))
                }
                Typed::Call(Func::StartsWith, args) => match args.as_slice() {
                    [Expr::Typed(local), Expr::Const(Const::Text(text))]
                        if **local == Typed::Local(0) =>
                    {
                        Test::Prefix((&**text).into())
                    }
                    _ => return None,
                },
                _ => return None,
            };
            second_is(variable(of)?, test)
        }
        _ => None,
    }
}

fn variable(expr: &Expr) -> Option<&'static Var> {
    let Expr::Typed(typed) = expr else {
        return None;
    };
    match &**typed {
        Typed::Var(var, Layout::Items | Layout::Bare) => Some(var),
        _ => None,
    }
}

/// The path of one header, whose letter case does not matter.
fn header(expr: &Expr) -> Option<Box<str>> {
    let Expr::Typed(typed) = expr else {
        return None;
    };
    let Typed::Index(map, Expr::Const(Const::Text(key)), Keys::Headers) = &**typed else {
        return None;
    };
    match variable(map)?.how {
        How::Path(path) => Some(format!("{path}.{key}").into()),
        _ => None,
    }
}

fn flag(var: &'static Var, holds: bool) -> Option<Condition<ColumnTest>> {
    let (column, value): (&str, Scalar) = match var.how {
        How::Named(name) => ("protocol.name", Scalar::Text(name.into())),
        How::Abbr(abbr, None) => ("protocol.abbr", Scalar::Text(abbr.into())),
        // More than one column decides, so the opposite of one part would be too narrow.
        How::Abbr(abbr, Some(_)) if holds => ("protocol.abbr", Scalar::Text(abbr.into())),
        How::Layer4(name, _) if holds => ("protocol.name", Scalar::Text(name.into())),
        How::Path(path) if var.ty == Type::Bool => (path, Scalar::Bool(true)),
        _ => return None,
    };
    Some(Condition::Is(ColumnTest {
        column: column.into(),
        test: negated(Test::Eq(value), holds),
        nulls: vec![match var.how {
            How::Path(_) => Scalar::Bool(false),
            _ => Scalar::Text("".into()),
        }],
    }))
}

fn relation(
    op: Op,
    left: &Expr,
    right: &Expr,
    holds: bool,
    now: Timestamp,
) -> Option<Condition<ColumnTest>> {
    if let Some(column) = header(left) {
        let Expr::Const(Const::Text(text)) = right else {
            return None;
        };
        // A missing header is an error, so its opposite says nothing either.
        return (holds && op == Op::Eq).then(|| {
            Condition::Is(ColumnTest {
                column,
                test: Test::Eq(Scalar::Text((&**text).into())),
                nulls: Vec::new(),
            })
        });
    }
    let var = variable(left)?;
    let op = if holds { op } else { opposite(op) };
    if op == Op::Ne {
        let Expr::Const(Const::Text(text)) = right else {
            return None;
        };
        let single = var.ty == Type::Text && matches!(var.how, How::Path(_));
        return single.then(|| second_is(var, Test::Ne(Scalar::Text((&**text).into()))))?;
    }
    if var.ty == Type::Time {
        let nanos = match moment(right)? {
            Moment::At(at) => at.timestamp_nanos_opt()?,
            Moment::Now(by) => now.utc().checked_add_signed(by)?.timestamp_nanos_opt()?,
        };
        return second_is(var, in_millis(op, nanos)?);
    }
    match right {
        Expr::Const(Const::Int(value, _)) => second_is(var, compared(op, Scalar::Int(*value))?),
        Expr::Const(Const::Text(text)) => {
            second_is(var, compared(op, Scalar::Text((&**text).into()))?)
        }
        _ => None,
    }
}

fn opposite(op: Op) -> Op {
    match op {
        Op::Eq => Op::Ne,
        Op::Ne => Op::Eq,
        Op::Lt => Op::Ge,
        Op::Le => Op::Gt,
        Op::Gt => Op::Le,
        Op::Ge => Op::Lt,
    }
}

/// The comparison of a column in milliseconds that holds wherever that of the nanoseconds does.
fn in_millis(op: Op, nanos: i64) -> Option<Test> {
    let floor = nanos.div_euclid(1_000_000);
    let whole = nanos.rem_euclid(1_000_000) == 0;
    let ceil = if whole { floor } else { floor.checked_add(1)? };
    Some(match op {
        Op::Eq if whole => Test::Eq(Scalar::Int(floor)),
        Op::Eq | Op::Ne => return None,
        Op::Gt => Test::Gt(Scalar::Int(floor)),
        Op::Ge => Test::Ge(Scalar::Int(ceil)),
        Op::Lt => Test::Lt(Scalar::Int(ceil)),
        Op::Le => Test::Le(Scalar::Int(floor)),
    })
}

fn member(left: &Expr, right: &Expr) -> Option<Condition<ColumnTest>> {
    if let (Expr::Const(Const::Text(text)), Some(var)) = (left, variable(right)) {
        return match var.ty {
            Type::List => second_is(var, Test::Eq(Scalar::Text((&**text).into()))),
            _ => None,
        };
    }
    let Expr::Typed(right) = right else {
        return None;
    };
    let Typed::List(elements) = &**right else {
        return None;
    };
    let values = elements.iter().map(|element| match element {
        Expr::Const(Const::Int(value, _)) => Some(Scalar::Int(*value)),
        Expr::Const(Const::Text(text)) => Some(Scalar::Text((&**text).into())),
        _ => None,
    });
    second_is(variable(left)?, Test::In(values.collect::<Option<_>>()?))
}
