//! Calls of the second dialect: functions, methods and macros (reference sections 12.2 and 12.4).
//!
//! In: a call as written. Out: the checked call; literal patterns, times and lengths of time are
//! made here, once. Never: a function that is not in the reference.

use super::ast::{Ast, Kind, Literal};
use super::check::{Checker, Context, Made};
use super::convert::{self, PARTS, Zone};
use super::signatures::{self, FUNCTIONS, Form};
use super::types::Ty;
use crate::kfl::error::{Error, nearest};
use crate::kfl::functions::HELPERS;
use crate::kfl::ir::{Const, Expr, Fold, Func, Typed};
use crate::kfl::pattern::Pattern;

/// Checks the call at `ast`.
pub(crate) fn call(checker: &mut Checker<'_>, ast: &Ast, context: Context) -> Result<Made, Error> {
    let Kind::Call(of, name, args) = &ast.kind else {
        return Err(checker.error(ast, "syntax error: unexpected expression"));
    };
    if let Some(made) = folding(checker, of.as_deref(), name, args, context) {
        return made;
    }
    match (of.as_deref(), name.as_str(), args.as_slice()) {
        (None, "has", [arg]) => has(checker, ast, arg, context),
        (Some(of), "contains", [arg]) => text_test(checker, ast, Func::Contains, of, arg, context),
        (Some(of), "startsWith", [arg]) => {
            text_test(checker, ast, Func::StartsWith, of, arg, context)
        }
        (Some(of), "endsWith", [arg]) => text_test(checker, ast, Func::EndsWith, of, arg, context),
        (Some(of), "matches", [arg]) => text_test(checker, ast, Func::Matches, of, arg, context),
        (None, "matches", [of, arg]) => text_test(checker, ast, Func::Matches, of, arg, context),
        (Some(of), "size", []) => size(checker, ast, of, context),
        (None, "size", [of]) => size(checker, ast, of, context),
        (None, "map_get", [map, key, other]) => map_get(checker, ast, [map, key, other], context),
        (None, "now", []) => Ok(Made::new(Typed::Call(Func::Now, Vec::new()), Ty::Time)),
        (None, _, [arg]) if conversion(name).is_some() => convert(checker, ast, name, arg, context),
        (Some(of), _, [] | [_]) if PARTS.iter().any(|(known, _)| known == name) => {
            part(checker, ast, name, of, args.first(), context)
        }
        _ => Err(unknown(checker, ast, of.is_some(), name, args, context)),
    }
}

/// Why a call is none of the known ones.
fn unknown(
    checker: &mut Checker<'_>,
    ast: &Ast,
    method: bool,
    name: &str,
    args: &[Ast],
    context: Context,
) -> Error {
    if let Some(function) = signatures::find(name).filter(|known| known.form != Form::Macro) {
        let types: Result<Vec<_>, _> = args
            .iter()
            .map(|arg| checker.value(arg, context).map(|made| made.ty))
            .collect();
        return match types {
            Ok(types) => {
                let types: Vec<_> = types.iter().collect();
                let mut error = checker.overload(ast, name, &types);
                error.message.push_str("; write ");
                error.message.push_str(function.signature);
                error
            }
            Err(error) => error,
        };
    }
    if !method && super::vars::find(name).is_some() {
        return checker.error(ast, format!("'{name}' is a variable, not a function"));
    }
    let known = FUNCTIONS.iter().map(|function| function.name);
    let hint = if HELPERS.iter().any(|helper| helper.name == name) {
        "; it is of the first dialect, where and, or take the place of &&, ||".to_owned()
    } else {
        match nearest(name, known).filter(|known| *known != name) {
            Some(known) => format!("; did you mean {known}()"),
            None => String::new(),
        }
    };
    checker.error(ast, format!("undeclared reference to '{name}'{hint}"))
}

fn has(checker: &mut Checker<'_>, ast: &Ast, arg: &Ast, context: Context) -> Result<Made, Error> {
    let Kind::Select(of, name) = &arg.kind else {
        return Err(checker.error(ast, "has() takes a selection such as request.headers.host"));
    };
    let of = checker.value(of, context)?;
    if !matches!(&of.ty, Ty::Map(..) | Ty::Dyn) {
        let message = format!("type '{}' does not support field selection", of.ty);
        return Err(checker.error(arg, message));
    }
    Ok(Made::new(
        Typed::Has(of.expr, name.as_str().into(), of.keys),
        Ty::Bool,
    ))
}

fn text_test(
    checker: &mut Checker<'_>,
    ast: &Ast,
    func: Func,
    of: &Ast,
    arg: &Ast,
    context: Context,
) -> Result<Made, Error> {
    checker.atom(|checker| {
        let name = match func {
            Func::Contains => "contains",
            Func::StartsWith => "startsWith",
            Func::EndsWith => "endsWith",
            _ => "matches",
        };
        let of = checker.value(of, context)?;
        let made = checker.value(arg, context)?;
        if !of.ty.fits(&Ty::Text) || !made.ty.fits(&Ty::Text) {
            return Err(checker.overload(ast, name, &[&of.ty, &made.ty]));
        }
        if let (Func::Matches, Kind::Literal(Literal::Text(written))) = (&func, &arg.kind) {
            let pattern = Pattern::new(written).map_err(|reason| {
                checker.error(arg, format!("invalid regular expression: {reason}"))
            })?;
            if pattern.is_in_every_text() {
                checker.warnings.push(crate::kfl::Warning {
                    offset: arg.offset,
                    message:
                        "this regular expression is found in every text; anchor it with ^ and $"
                            .into(),
                });
            }
            return Ok(Made::new(Typed::Search(of.expr, pattern), Ty::Bool));
        }
        Ok(Made::new(
            Typed::Call(func, vec![of.expr, made.expr]),
            Ty::Bool,
        ))
    })
}

fn size(checker: &mut Checker<'_>, ast: &Ast, of: &Ast, context: Context) -> Result<Made, Error> {
    let of = checker.value(of, context)?;
    if !matches!(
        &of.ty,
        Ty::Text | Ty::Bytes | Ty::List(_) | Ty::Map(..) | Ty::Dyn
    ) {
        return Err(checker.overload(ast, "size", &[&of.ty]));
    }
    Ok(Made::new(Typed::Call(Func::Size, vec![of.expr]), Ty::Int))
}

fn map_get(
    checker: &mut Checker<'_>,
    ast: &Ast,
    args: [&Ast; 3],
    context: Context,
) -> Result<Made, Error> {
    let [map, key, other] = args;
    let map = checker.value(map, context)?;
    let key = checker.value(key, context)?;
    let other = checker.value(other, context)?;
    let ty = match &map.ty {
        Ty::Map(keys, values) if key.ty.fits(keys) && other.ty.fits(values) => {
            if **values == other.ty {
                other.ty.clone()
            } else {
                Ty::Dyn
            }
        }
        Ty::Dyn => Ty::Dyn,
        _ => return Err(checker.overload(ast, "map_get", &[&map.ty, &key.ty, &other.ty])),
    };
    let func = Func::MapGet(map.keys);
    Ok(Made::new(
        Typed::Call(func, vec![map.expr, key.expr, other.expr]),
        ty,
    ))
}

/// The function that a conversion is, what it gives, and whether it takes a type.
type Conversion = (Func, Ty, fn(&Ty) -> bool);

fn conversion(name: &str) -> Option<Conversion> {
    Some(match name {
        "int" => (Func::Int, Ty::Int, |ty| {
            matches!(
                ty,
                Ty::Int | Ty::Uint | Ty::Double | Ty::Text | Ty::Time | Ty::Dyn
            )
        }),
        "uint" => (Func::Uint, Ty::Uint, |ty| {
            matches!(ty, Ty::Int | Ty::Uint | Ty::Double | Ty::Text | Ty::Dyn)
        }),
        "double" => (Func::Double, Ty::Double, |ty| {
            matches!(ty, Ty::Int | Ty::Uint | Ty::Double | Ty::Text | Ty::Dyn)
        }),
        "string" => (Func::Text, Ty::Text, |ty| {
            !matches!(ty, Ty::List(_) | Ty::Map(..) | Ty::Null | Ty::Type)
        }),
        "bytes" => (Func::Bytes, Ty::Bytes, |ty| {
            matches!(ty, Ty::Text | Ty::Bytes | Ty::Dyn)
        }),
        "bool" => (Func::Bool, Ty::Bool, |ty| {
            matches!(ty, Ty::Text | Ty::Bool | Ty::Dyn)
        }),
        "timestamp" => (Func::Timestamp, Ty::Time, |ty| {
            matches!(ty, Ty::Text | Ty::Int | Ty::Time | Ty::Dyn)
        }),
        "duration" => (Func::Duration, Ty::Span, |ty| {
            matches!(ty, Ty::Text | Ty::Span | Ty::Dyn)
        }),
        "dyn" => (Func::Dyn, Ty::Dyn, |_| true),
        "type" => (Func::Type, Ty::Type, |_| true),
        _ => return None,
    })
}

fn convert(
    checker: &mut Checker<'_>,
    ast: &Ast,
    name: &str,
    arg: &Ast,
    context: Context,
) -> Result<Made, Error> {
    let Some((func, ty, takes)) = conversion(name) else {
        return Err(checker.undeclared(ast, name));
    };
    if let Kind::Literal(Literal::Text(text)) = &arg.kind {
        match func {
            Func::Timestamp => {
                let at = convert::timestamp(text).ok_or_else(|| {
                    let message = "invalid timestamp; write it as 2026-01-02T15:04:05Z";
                    checker.error(arg, message)
                })?;
                return Ok(Made::constant(Const::Time(at), Ty::Time));
            }
            Func::Duration => {
                let length = convert::duration(text).ok_or_else(|| {
                    checker.error(arg, "invalid duration; write it as 1h30m, 5s or 250ms")
                })?;
                return Ok(Made::constant(Const::Span(length), Ty::Span));
            }
            _ => {}
        }
    }
    let made = checker.value(arg, context)?;
    if !takes(&made.ty) {
        return Err(checker.overload(ast, name, &[&made.ty]));
    }
    Ok(Made::new(Typed::Call(func, vec![made.expr]), ty))
}

fn part(
    checker: &mut Checker<'_>,
    ast: &Ast,
    name: &str,
    of: &Ast,
    zone: Option<&Ast>,
    context: Context,
) -> Result<Made, Error> {
    let Some((_, part)) = PARTS.iter().find(|(known, _)| *known == name) else {
        return Err(checker.undeclared(ast, name));
    };
    let of = checker.value(of, context)?;
    let zone = match zone.map(|zone| (zone, &zone.kind)) {
        None => Zone::UTC,
        Some((at, Kind::Literal(Literal::Text(text)))) => Zone::parse(text).ok_or_else(|| {
            let message = format!("the time zone '{text}' is not known; write a name such as Europe/Prague or an offset such as +01:00");
            checker.error(at, message)
        })?,
        Some((at, _)) => return Err(checker.error(at, "a time zone must be a text literal")),
    };
    let spans = convert::part_of_span(chrono::TimeDelta::zero(), *part).is_some();
    let has_it = matches!(of.ty, Ty::Time | Ty::Dyn) || of.ty == Ty::Span && spans;
    if !has_it {
        return Err(checker.overload(ast, name, &[&of.ty]));
    }
    Ok(Made::new(
        Typed::Call(Func::Part(*part, zone), vec![of.expr]),
        Ty::Int,
    ))
}

/// A macro over the elements of a list or the keys of a map; `None` when the call is none.
fn folding(
    checker: &mut Checker<'_>,
    of: Option<&Ast>,
    name: &str,
    args: &[Ast],
    context: Context,
) -> Option<Result<Made, Error>> {
    let of = of?;
    let (variable, rest) = args.split_first()?;
    let wanted = match name {
        "all" | "exists" | "exists_one" | "filter" => rest.len() == 1,
        "map" => matches!(rest.len(), 1 | 2),
        _ => return None,
    };
    if !wanted {
        return None;
    }
    let Kind::Name(variable, false) = &variable.kind else {
        return Some(Err(
            checker.error(variable, format!("{name}() takes a simple name first"))
        ));
    };
    let gives_bool = matches!(name, "all" | "exists" | "exists_one");
    Some(if gives_bool {
        checker.atom(|checker| fold(checker, of, name, variable, rest, context))
    } else {
        fold(checker, of, name, variable, rest, context)
    })
}

fn fold(
    checker: &mut Checker<'_>,
    of: &Ast,
    name: &str,
    variable: &str,
    rest: &[Ast],
    context: Context,
) -> Result<Made, Error> {
    let place = of;
    let of = checker.value(of, context)?;
    let element = match &of.ty {
        Ty::List(element) => (**element).clone(),
        Ty::Map(key, _) => (**key).clone(),
        Ty::Dyn => Ty::Dyn,
        ty => {
            let message = format!("{name}() takes a list or a map, not a {ty}");
            return Err(checker.error(place, message));
        }
    };
    checker.locals.push((variable.to_owned(), element.clone()));
    let bodies = bodies(checker, name, rest, context);
    checker.locals.pop();
    let (condition, value) = bodies?;
    let (fold, ty) = match (name, condition, value) {
        ("all", Some(body), _) => (Fold::All(body), Ty::Bool),
        ("exists", Some(body), _) => (Fold::Exists(body), Ty::Bool),
        ("exists_one", Some(body), _) => (Fold::ExistsOne(body), Ty::Bool),
        (_, Some(body), None) => (Fold::Filter(body), Ty::List(Box::new(element))),
        (_, condition, Some(value)) => (
            Fold::Map(condition, value.expr),
            Ty::List(Box::new(value.ty)),
        ),
        (_, None, None) => return Err(checker.undeclared(place, name)),
    };
    Ok(Made::new(Typed::Fold(of.expr, fold, of.keys), ty))
}

/// The condition and the value of a macro.
fn bodies(
    checker: &mut Checker<'_>,
    name: &str,
    rest: &[Ast],
    context: Context,
) -> Result<(Option<Expr>, Option<Made>), Error> {
    let signature = format!("{name}()");
    Ok(match (name, rest) {
        ("map", [value]) => (None, Some(checker.value(value, context)?)),
        ("map", [condition, value]) => {
            let condition = checker.boolean(condition, &signature, context)?;
            (Some(condition), Some(checker.value(value, context)?))
        }
        (_, [condition]) => (Some(checker.boolean(condition, &signature, context)?), None),
        _ => (None, None),
    })
}
