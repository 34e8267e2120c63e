//! What evaluation does: the intermediate form with its usual clauses made direct.
//!
//! In: a checked tree. Out: a [`Plan`] that decides the same, in which a clause such as
//! `status_code >= 500` is one comparison at one place of the item, with nothing allocated, and a
//! test of the protocol stands once, in front of what depends on it. Never: another answer than the
//! tree's; what has no direct form is a [`Plan::Tree`].

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use memchr::memmem::Finder;

use super::Dialect;
use super::error::Warning;
use super::eval::without_item;
use super::functions::Does;
use super::ir::{
    Arith, Const, End, Expr, Fold, Func, Logic, Macro, Op, Owner, Selector, Step, Typed,
};
use super::pattern::Pattern;
use super::schema::Layout;
use super::v2::vars::{How, Keys, Type, Var};
use super::value::Val;
use crate::item::Path;
use crate::item::json::JsonNode;

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
    /// Milliseconds at one place, read as microseconds.
    Millis(Path),
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
        Dialect::V1 => first(expr),
        Dialect::V2 => second(expr, &mut Vec::new()),
    }
}

impl Plan {
    /// What the plan answers whatever the item; `None` when that depends on it.
    pub(crate) fn known(&self) -> Option<bool> {
        match self {
            Plan::Known(value) => Some(*value),
            Plan::All(parts) => known_of(parts, true),
            Plan::Any(parts) => known_of(parts, false),
            Plan::Not(inner) => inner.known().map(|value| !value),
            Plan::Group(inner) => inner.known(),
            Plan::Chain(head, rest) => {
                let mut parts: Vec<Option<bool>> = vec![head.known()];
                parts.extend(rest.iter().map(|(_, part)| part.known()));
                let mut known = parts.pop().flatten();
                for (logic, _) in rest.iter().rev() {
                    let deciding = *logic == Logic::Or;
                    let left = parts.pop().flatten();
                    known = match (left, known) {
                        (Some(value), _) | (_, Some(value)) if value == deciding => Some(value),
                        (Some(_), Some(value)) => Some(value),
                        _ => None,
                    };
                }
                known
            }
            Plan::Tree(expr, coerced) => {
                let holds = |value: &Val<'_, JsonNode<'_>>| match value {
                    Val::Bool(value) => *value,
                    value => *coerced && value.is_true(),
                };
                is_fixed(expr).then(|| without_item(expr, holds).unwrap_or(false))
            }
            _ => None,
        }
    }
}

fn known_of(parts: &[Plan], and: bool) -> Option<bool> {
    let known: Vec<Option<bool>> = parts.iter().map(Plan::known).collect();
    if known.contains(&Some(!and)) {
        return Some(!and);
    }
    known.iter().all(|known| *known == Some(and)).then_some(and)
}

/// Whether an expression reads neither the item nor the clock.
fn is_fixed(expr: &Expr) -> bool {
    match expr {
        Expr::Const(_) | Expr::Pattern(_) => true,
        Expr::Select(_) | Expr::Macro(_) => false,
        Expr::Group(inner) | Expr::Not(inner) | Expr::Neg(inner) => is_fixed(inner),
        Expr::Cmp(_, left, right) => is_fixed(left) && is_fixed(right),
        Expr::Chain(head, rest) => is_fixed(head) && rest.iter().all(|(_, part)| is_fixed(part)),
        Expr::Typed(typed) => match &**typed {
            Typed::Cmp(_, left, right)
            | Typed::In(left, right, _)
            | Typed::Arith(_, left, right) => is_fixed(left) && is_fixed(right),
            Typed::And(parts) | Typed::Or(parts) | Typed::List(parts) => parts.iter().all(is_fixed),
            Typed::Not(inner) | Typed::Minus(inner) | Typed::Search(inner, _) => is_fixed(inner),
            Typed::Call(func, args) => *func != Func::Now && args.iter().all(is_fixed),
            _ => false,
        },
    }
}

/// A warning about a query that says the same of every item; `true` and `false` alone are meant.
pub(crate) fn constant(text: &str, plan: &Plan) -> Option<Warning> {
    if text.trim().is_empty() || matches!(text.trim(), "true" | "false") {
        return None;
    }
    let what = if plan.known()? {
        "every item"
    } else {
        "no item"
    };
    let why = match plan {
        Plan::Tree(..) | Plan::Known(_) => "since it reads no field",
        _ => "whatever the item holds",
    };
    Some(Warning {
        offset: 0,
        message: format!("the query matches {what}, {why}"),
    })
}

fn tree(expr: &Expr, first: bool) -> Plan {
    Plan::Tree(Box::new(expr.clone()), first)
}

/// A part of the first dialect.
fn first(expr: &Expr) -> Plan {
    match expr {
        Expr::Macro(made) => is_of(made),
        Expr::Group(inner) => Plan::Group(Box::new(first(inner))),
        Expr::Not(inner) => Plan::Not(Box::new(first(inner))),
        Expr::Chain(head, rest) => {
            let rest = rest.iter().map(|(logic, part)| (*logic, first(part)));
            Plan::Chain(Box::new(first(head)), rest.collect())
        }
        Expr::Cmp(op, left, right) => compare(*op, left, right).unwrap_or_else(|| tree(expr, true)),
        Expr::Select(selector) => helper(selector).unwrap_or_else(|| tree(expr, true)),
        _ => tree(expr, true),
    }
}

fn is_of(made: &Macro) -> Plan {
    let is = |member: &str, value: &str| {
        Plan::Is(
            Path::of_names(["protocol", member].into_iter()),
            value.into(),
        )
    };
    let named = is(made.member, &made.value);
    match made.version {
        None => named,
        Some(version) => Plan::All([named, is("version", version)].into()),
    }
}

/// The way to what steps select, when none of them can lead to more than one place.
fn route(steps: &[Step]) -> Option<Route> {
    let plain = |step: &Step| matches!(step, Step::Name(_) | Step::Key(..) | Step::Index(_));
    if !steps.iter().all(plain) {
        return None;
    }
    // A name never selects in a list here, so a number is no name.
    let name = |step: &Step| match step {
        Step::Name(name) => Some(name.clone()),
        _ => None,
    };
    let names: Vec<Box<str>> = steps.iter().map_while(name).collect();
    Some(Route {
        steps: steps.get(names.len()..).unwrap_or_default().into(),
        names: Path::of_names(names.iter().map(|name| &**name)),
    })
}

fn source(var: &'static Var) -> Source {
    match var.how {
        How::Path(path) => Source::At(Path::new(path)),
        How::Parts(name) => Source::Parts(
            ["request", "response", "data"].map(|side| Path::of_names([side, name].into_iter())),
        ),
        How::Elapsed => Source::Millis(Path::new("elapsedTime")),
        _ => Source::Var(var),
    }
}

fn compare(op: Op, left: &Expr, right: &Expr) -> Option<Plan> {
    let (selector, other, turned) = match (left, right) {
        (Expr::Select(selector), other) => (selector, other, false),
        (other, Expr::Select(selector)) => (selector, other, true),
        _ => return None,
    };
    let other = match other {
        Expr::Const(constant) => Known::Const(constant.clone()),
        Expr::Pattern(pattern) => Known::Pattern(pattern.clone()),
        _ => return None,
    };
    if selector.end != End::Value {
        return None;
    }
    let route = route(&selector.steps)?;
    Some(Plan::Compare(Box::new(Compare {
        selector: (**selector).clone(),
        route,
        op,
        other,
        turned,
    })))
}

fn helper(selector: &Selector) -> Option<Plan> {
    let End::Helper(helper) = selector.end else {
        return None;
    };
    let (Step::Call(_, params), receiver) = selector.steps.split_last()? else {
        return None;
    };
    let Some(Expr::Const(Const::Text(text))) = params.first() else {
        return None;
    };
    let text = plain(text)?;
    let test = match helper.does {
        Does::StartsWith => TextTest::Starts(text.into()),
        Does::EndsWith => TextTest::Ends(text.into()),
        Does::Contains => contains(text),
        _ => return None,
    };
    if receiver.is_empty() {
        return None;
    }
    Some(Plan::Helper(route(receiver)?, test))
}

/// A text that can be looked for in bytes which may be invalid: they are shown with the character
/// that it must not hold.
fn plain(text: &str) -> Option<&str> {
    (!text.contains(char::REPLACEMENT_CHARACTER)).then_some(text)
}

fn contains(text: &str) -> TextTest {
    TextTest::Contains(Box::new(Finder::new(text.as_bytes()).into_owned()))
}

/// A boolean of the second dialect; `set` holds the flags that are set wherever it is looked at.
fn second(expr: &Expr, set: &mut Vec<&'static str>) -> Plan {
    let Expr::Typed(typed) = expr else {
        return match expr {
            Expr::Const(Const::Bool(value)) => Plan::Known(*value),
            _ => tree(expr, false),
        };
    };
    match &**typed {
        Typed::And(_) | Typed::Guard(..) => all(expr, set),
        Typed::Or(parts) => Plan::Any(parts.iter().map(|part| second(part, set)).collect()),
        Typed::Not(inner) => Plan::Not(Box::new(second(inner, set))),
        Typed::Flag(owner, _) => owned(owner, set).unwrap_or(Plan::Known(true)),
        Typed::Var(var, _) if is_flag(var) => flag(var, set),
        _ => clause(typed).unwrap_or_else(|| tree(expr, false)),
    }
}

fn flag(var: &'static Var, set: &[&'static str]) -> Plan {
    if set.contains(&var.name) {
        return Plan::Known(true);
    }
    match var.how {
        How::Named(name) => Plan::Is(Path::new("protocol.name"), name.into()),
        How::Abbr(abbr, None) => Plan::Is(Path::new("protocol.abbr"), abbr.into()),
        _ => Plan::Flag(var),
    }
}

/// Whether one of the flags is set; `None` when that is known.
fn owned(owner: &Owner, set: &[&'static str]) -> Option<Plan> {
    match owner.as_slice() {
        _ if owner.iter().any(|var| set.contains(&var.name)) => None,
        [var] => Some(flag(var, set)),
        _ => Some(Plan::Any(owner.iter().map(|var| flag(var, set)).collect())),
    }
}

fn is_flag(var: &Var) -> bool {
    var.ty == Type::Bool && !matches!(var.how, How::Absent)
}

/// A conjunction: flags first, since they cost least and all else depends on them.
///
/// Order does not matter in the second dialect, and where a flag is not set the whole is false
/// whatever the parts come to, so what stands behind it need not ask again.
fn all(expr: &Expr, set: &mut Vec<&'static str>) -> Plan {
    let outer = set.len();
    let mut parts = Vec::new();
    let mut rest = Vec::new();
    gather(expr, set, &mut parts, &mut rest);
    for part in rest {
        match second(part, set) {
            Plan::Known(true) => {}
            Plan::All(inner) => parts.extend(inner.into_vec()),
            plan => parts.push(plan),
        }
    }
    set.truncate(outer);
    match parts.len() {
        0 => Plan::Known(true),
        1 => parts.remove(0),
        _ => Plan::All(parts.into()),
    }
}

/// Takes a conjunction apart: flags become parts, the others are left for later.
fn gather<'x>(
    expr: &'x Expr,
    set: &mut Vec<&'static str>,
    parts: &mut Vec<Plan>,
    rest: &mut Vec<&'x Expr>,
) {
    let Expr::Typed(typed) = expr else {
        rest.push(expr);
        return;
    };
    match &**typed {
        Typed::And(inner) => inner.iter().for_each(|part| gather(part, set, parts, rest)),
        Typed::Guard(owners, _, inner) => {
            for owner in owners {
                parts.extend(owned(owner, set));
                set.extend(
                    owner
                        .as_slice()
                        .first()
                        .filter(|_| owner.len() == 1)
                        .map(|var| var.name),
                );
            }
            // What the flags guard is itself no conjunction, so this goes no deeper.
            rest.push(inner);
        }
        Typed::Flag(owner, _) if owner.len() == 1 => {
            parts.extend(owned(owner, set));
            set.extend(owner.first().map(|var| var.name));
        }
        Typed::Var(var, _) if is_flag(var) => {
            if !set.contains(&var.name) {
                parts.push(flag(var, set));
                set.push(var.name);
            }
        }
        _ => rest.push(expr),
    }
}

/// The direct form of an atom.
fn clause(typed: &Typed) -> Option<Plan> {
    match typed {
        Typed::Cmp(op, left, right) => {
            relation(*op, left, right).or_else(|| relation(turned(*op), right, left))
        }
        Typed::In(left, right, keys) => member_of(left, right, *keys),
        Typed::Search(of, pattern) => text(of, TextTest::Found(pattern.clone())),
        Typed::Call(func, args) => {
            let [of, Expr::Const(Const::Text(part))] = args.as_slice() else {
                return None;
            };
            text(of, text_test(func, part)?)
        }
        Typed::Fold(of, Fold::Exists(body), _) => {
            let (Expr::Typed(of), Expr::Typed(body)) = (of, body) else {
                return None;
            };
            let Typed::Var(var, _) = &**of else {
                return None;
            };
            let test = local_test(body)?;
            is_list(var).then(|| Plan::AnyText(texts(var), test))
        }
        _ => None,
    }
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

fn texts(var: &'static Var) -> Texts {
    let below = match var.how {
        How::Path(path) => path.split_once(".*."),
        _ => None,
    };
    match below {
        Some((list, member)) => Texts::Below(Path::new(list), member.into()),
        None => Texts::Var(var),
    }
}

fn is_list(var: &Var) -> bool {
    var.ty == Type::List && !matches!(var.how, How::Absent)
}

fn text_test(func: &Func, part: &str) -> Option<TextTest> {
    let part = plain(part)?;
    Some(match func {
        Func::StartsWith => TextTest::Starts(part.into()),
        Func::EndsWith => TextTest::Ends(part.into()),
        Func::Contains => contains(part),
        _ => return None,
    })
}

/// What a macro over texts asks of the one at hand.
fn local_test(body: &Typed) -> Option<TextTest> {
    let is_local = |expr: &Expr| {
        // A macro within a macro names more than one value.
        matches!(expr, Expr::Typed(typed) if matches!(**typed, Typed::Local(0)))
    };
    match body {
        Typed::Cmp(op, of, Expr::Const(Const::Text(text))) if is_local(of) => {
            Some(TextTest::Order(*op, plain(text)?.into()))
        }
        Typed::Search(of, pattern) if is_local(of) => Some(TextTest::Found(pattern.clone())),
        Typed::Call(func, args) => match args.as_slice() {
            [of, Expr::Const(Const::Text(part))] if is_local(of) => text_test(func, part),
            _ => None,
        },
        _ => None,
    }
}

fn relation(op: Op, left: &Expr, right: &Expr) -> Option<Plan> {
    if let Some(moment) = moment(right) {
        let Expr::Typed(left) = left else { return None };
        let is_time = matches!(&**left, Typed::Var(var, _) if var.name == "timestamp");
        return is_time.then(|| Plan::Time(Path::new("timestamp"), op, moment));
    }
    let Expr::Const(constant) = right else {
        return None;
    };
    match constant {
        Const::Text(text) => self::text(left, TextTest::Order(op, plain(text)?.into())),
        Const::Int(value, _) => {
            let Expr::Typed(left) = left else { return None };
            if let Typed::Call(Func::Size, args) = &**left {
                return count(args, op, *value);
            }
            let Typed::Var(var, _) = &**left else {
                return None;
            };
            let is_int = var.ty == Type::Int && !matches!(var.how, How::Absent);
            is_int.then(|| Plan::Int(source(var), op, *value))
        }
        _ => None,
    }
}

/// How many texts a list has, one that may hold a text twice.
fn count(args: &[Expr], op: Op, value: i64) -> Option<Plan> {
    let [Expr::Typed(of)] = args else { return None };
    match &**of {
        Typed::Var(var, _) if is_list(var) && !matches!(var.how, How::Both(_)) => {
            Some(Plan::Count(texts(var), op, value))
        }
        _ => None,
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

/// A test of what a text expression reads.
fn text(of: &Expr, test: TextTest) -> Option<Plan> {
    let Expr::Typed(of) = of else { return None };
    let (map, key, keys, missing) = match &**of {
        Typed::Var(var, _) => {
            let is_text = var.ty == Type::Text && !matches!(var.how, How::Absent);
            return is_text.then(|| Plan::Text(source(var), test));
        }
        Typed::Index(map, Expr::Const(Const::Text(key)), keys) => {
            let missing = (*keys == Keys::Labels).then_some("");
            (map, key, keys, missing)
        }
        Typed::Call(Func::MapGet(keys), args) => {
            let [
                map,
                Expr::Const(Const::Text(key)),
                Expr::Const(Const::Text(other)),
            ] = args.as_slice()
            else {
                return None;
            };
            (map, key, keys, Some(&**other))
        }
        _ => return None,
    };
    Some(Plan::Member(Box::new(Member {
        map: map_path(map)?,
        key: (&**key).into(),
        keys: *keys,
        missing: missing.map(Into::into),
        test,
    })))
}

/// Where a map stands, when it is a variable that is read at one place.
fn map_path(map: &Expr) -> Option<Path> {
    let Expr::Typed(map) = map else { return None };
    match &**map {
        Typed::Var(var, _) => match (var.ty, var.how) {
            (Type::Map(_), How::Path(path)) => Some(Path::new(path)),
            _ => None,
        },
        _ => None,
    }
}

fn member_of(left: &Expr, right: &Expr, keys: Keys) -> Option<Plan> {
    if let (Expr::Const(Const::Text(key)), Some(map)) = (left, map_path(right)) {
        return Some(Plan::HasKey(map, (&**key).into(), keys));
    }
    let Expr::Typed(right) = right else {
        return None;
    };
    match (left, &**right) {
        (Expr::Const(Const::Text(text)), Typed::Var(var, _)) if is_list(var) => Some(
            Plan::AnyText(texts(var), TextTest::Order(Op::Eq, plain(text)?.into())),
        ),
        (Expr::Typed(left), Typed::List(elements)) => {
            let Typed::Var(var, _) = &**left else {
                return None;
            };
            match var.ty {
                _ if matches!(var.how, How::Absent) => None,
                Type::Int => {
                    let mut set: Vec<i64> = constants(elements, |constant| match constant {
                        Const::Int(value, _) => Some(*value),
                        _ => None,
                    })?;
                    set.sort_unstable();
                    Some(Plan::IntIn(source(var), set.into()))
                }
                Type::Text => {
                    let set: Vec<Box<str>> = constants(elements, |constant| match constant {
                        Const::Text(text) => Some((&**text).into()),
                        _ => None,
                    })?;
                    Some(Plan::Text(
                        source(var),
                        TextTest::OneOf(set.into_iter().collect()),
                    ))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

fn constants<T>(elements: &[Expr], of: impl Fn(&Const) -> Option<T>) -> Option<Vec<T>> {
    let known = elements.iter().map(|element| match element {
        Expr::Const(constant) => of(constant),
        _ => None,
    });
    known.collect()
}
