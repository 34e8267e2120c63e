//! Atoms of the second dialect in their direct form.
//!
//! In: a comparison, membership, method or `exists` that is checked. Out: the test of one place, or
//! nothing when it has no direct form. Never: an atom of several places of the item.

use super::{Member, Plan, Source, TextTest, Texts, contains, moment, plain, turned};
use crate::item::Path;
use crate::kfl::eval::ELAPSED;
use crate::kfl::ir::{Const, Expr, Fold, Func, Op, Typed};
use crate::kfl::v2::vars::{How, Keys, Type, Var};

fn source(var: &'static Var) -> Source {
    match var.how {
        How::Path(path) => Source::At(Path::new(path)),
        How::Parts(name) => Source::Parts(
            ["request", "response", "data"].map(|side| Path::of_names([side, name].into_iter())),
        ),
        How::Elapsed => Source::Elapsed(Path::new(ELAPSED)),
        _ => Source::Var(var),
    }
}

/// The direct form of an atom.
pub(super) fn clause(typed: &Typed) -> Option<Plan> {
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
