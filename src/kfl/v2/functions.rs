//! What the second dialect's functions and arithmetic do (reference sections 12.3 and 12.4).
//!
//! In: evaluated operands. Out: a value; [`Stop::Failed`] for what the reference calls an error:
//! overflow, division by zero, a failing conversion, an operand of another type.

use std::borrow::Cow;
use std::rc::Rc;

use chrono::SecondsFormat;

use super::convert;
use super::values::{Num, get, is_map};
use crate::item::Node;
use crate::kfl::ir::{Arith, Func};
use crate::kfl::meter::{Meter, Stop};
use crate::kfl::pattern::Pattern;
use crate::kfl::value::{BYTES_A_STEP, Val, float_text};
use crate::time::Timestamp;

type Out<'e, N> = Result<Val<'e, N>, Stop>;

/// Steps that compiling a pattern costs which is known only when an item is there.
const PATTERN_STEPS: usize = 20_000;

/// Bytes of text made by the query that one step covers: memory, too, is bounded by steps.
const MADE_BYTES_A_STEP: usize = 16;

/// The value of a call.
pub(crate) fn call<'e, 'a: 'e, N: Node<'a>>(
    func: &Func,
    args: &[Val<'e, N>],
    now: Timestamp,
    meter: &mut Meter,
) -> Out<'e, N> {
    match (func, args) {
        (Func::Now, _) => Ok(Val::Time(now.utc())),
        (Func::Contains | Func::StartsWith | Func::EndsWith | Func::Matches, [of, part]) => {
            text_test(func, of, part, meter).map(Val::Bool)
        }
        (Func::Size, [of]) => size(of, meter),
        (Func::MapGet(keys), [map, key, other]) => {
            Ok(get(map, key, *keys, meter)?.unwrap_or_else(|| other.clone()))
        }
        (Func::Dyn, [of]) => Ok(of.clone()),
        (Func::Type, [of]) => Ok(Val::Type(type_of(of))),
        (Func::Part(part, zone), [of]) => match of {
            Val::Time(at) => Ok(Val::Int(zone.part(*at, *part))),
            Val::Span(length) => convert::part_of_span(*length, *part)
                .map(Val::Int)
                .ok_or(Stop::Failed),
            _ => Err(Stop::Failed),
        },
        (_, [of]) => converted(func, of, meter)?.ok_or(Stop::Failed),
        _ => Err(Stop::Failed),
    }
}

fn text_test<N>(
    func: &Func,
    of: &Val<'_, N>,
    part: &Val<'_, N>,
    meter: &mut Meter,
) -> Result<bool, Stop> {
    let (Val::Text(of), Val::Text(part)) = (of, part) else {
        return Err(Stop::Failed);
    };
    meter.charge(of.len() / BYTES_A_STEP)?;
    Ok(match func {
        Func::StartsWith => of.starts_with(&**part),
        Func::EndsWith => of.ends_with(&**part),
        Func::Matches => {
            meter.charge(PATTERN_STEPS)?;
            Pattern::new(part).map_err(|_| Stop::Failed)?.is_in(of)
        }
        _ => memchr::memmem::find(of.as_bytes(), part.as_bytes()).is_some(),
    })
}

fn size<'e, 'a: 'e, N: Node<'a>>(of: &Val<'e, N>, meter: &mut Meter) -> Out<'e, N> {
    let size = match of {
        Val::Text(text) => {
            meter.charge(text.len() / BYTES_A_STEP)?;
            text.chars().count()
        }
        Val::Bytes(bytes) => bytes.len(),
        _ if of.is_list() || is_map(of) => of.len(),
        _ => return Err(Stop::Failed),
    };
    Ok(Val::Int(i64::try_from(size).unwrap_or(i64::MAX)))
}

fn type_of<'e, 'a: 'e, N: Node<'a>>(of: &Val<'e, N>) -> &'static str {
    match of {
        Val::Null => "null_type",
        Val::Bool(_) => "bool",
        Val::Int(_) | Val::Number(_, Some(_), _) => "int",
        Val::Uint(_) => "uint",
        Val::Float(_) | Val::Number(_, None, _) => "double",
        Val::Text(_) | Val::Escaped(_) | Val::Pattern(_) => "string",
        Val::Bytes(_) => "bytes",
        Val::Time(_) => "timestamp",
        Val::Span(_) => "duration",
        Val::Type(_) => "type",
        _ if of.is_list() => "list",
        _ => "map",
    }
}

/// The value of a conversion; `None` when it fails.
fn converted<'e, 'a: 'e, N: Node<'a>>(
    func: &Func,
    of: &Val<'e, N>,
    meter: &mut Meter,
) -> Result<Option<Val<'e, N>>, Stop> {
    if let Val::Text(text) = of {
        meter.charge(text.len() / MADE_BYTES_A_STEP)?;
    }
    Ok(match func {
        Func::Int => int(of).map(Val::Int),
        Func::Uint => uint(of).map(Val::Uint),
        Func::Double => double(of).map(Val::Float),
        Func::Text => text(of).map(|text| Val::Text(Cow::Owned(text))),
        Func::Bytes => match of {
            Val::Text(text) => Some(Val::Bytes(Cow::Owned(text.as_bytes().to_vec()))),
            Val::Bytes(_) => Some(of.clone()),
            _ => None,
        },
        Func::Bool => match of {
            Val::Bool(_) => Some(of.clone()),
            Val::Text(text) => convert::boolean(text).map(Val::Bool),
            _ => None,
        },
        Func::Timestamp => match of {
            Val::Time(_) => Some(of.clone()),
            Val::Text(text) => convert::timestamp(text).map(Val::Time),
            _ => match Num::of(of) {
                Some(Num::Int(seconds)) => convert::from_seconds(seconds).map(Val::Time),
                _ => None,
            },
        },
        Func::Duration => match of {
            Val::Span(_) => Some(of.clone()),
            Val::Text(text) => convert::duration(text).map(Val::Span),
            _ => None,
        },
        _ => None,
    })
}

fn int<N>(of: &Val<'_, N>) -> Option<i64> {
    match of {
        Val::Text(text) => text.parse().ok(),
        Val::Time(at) => Some(at.timestamp()),
        _ => match Num::of(of)? {
            Num::Int(value) => Some(value),
            Num::Uint(value) => i64::try_from(value).ok(),
            // The bounds are doubles themselves, and so exact.
            Num::Double(value) => (value > -9_223_372_036_854_775_808.0
                && value < 9_223_372_036_854_775_808.0)
                .then_some(value as i64),
        },
    }
}

fn uint<N>(of: &Val<'_, N>) -> Option<u64> {
    match of {
        Val::Text(text) => text.parse().ok(),
        _ => match Num::of(of)? {
            Num::Int(value) => u64::try_from(value).ok(),
            Num::Uint(value) => Some(value),
            Num::Double(value) => {
                (value > -1.0 && value < 18_446_744_073_709_551_616.0).then_some(value as u64)
            }
        },
    }
}

fn double<N>(of: &Val<'_, N>) -> Option<f64> {
    match of {
        Val::Text(text) => text.parse().ok(),
        _ => Some(match Num::of(of)? {
            Num::Int(value) => value as f64,
            Num::Uint(value) => value as f64,
            Num::Double(value) => value,
        }),
    }
}

fn text<N>(of: &Val<'_, N>) -> Option<String> {
    Some(match of {
        Val::Text(text) => text.clone().into_owned(),
        Val::Bool(value) => value.to_string(),
        Val::Bytes(bytes) => String::from_utf8(bytes.to_vec()).ok()?,
        Val::Time(at) => at.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        Val::Span(length) => convert::span_text(*length),
        _ => match Num::of(of)? {
            Num::Int(value) => value.to_string(),
            Num::Uint(value) => value.to_string(),
            Num::Double(value) => float_text(value),
        },
    })
}

/// The value of an arithmetic expression.
pub(crate) fn arith<'e, 'a: 'e, N: Node<'a>>(
    arith: Arith,
    left: Val<'e, N>,
    right: Val<'e, N>,
    meter: &mut Meter,
) -> Out<'e, N> {
    if let (Some(left), Some(right)) = (Num::of(&left), Num::of(&right)) {
        return numbers(arith, left, right).ok_or(Stop::Failed);
    }
    let made = match (arith, &left, &right) {
        (Arith::Add, Val::Text(left), Val::Text(right)) => {
            meter.charge((left.len() + right.len()) / MADE_BYTES_A_STEP)?;
            Some(Val::Text(Cow::Owned(format!("{left}{right}"))))
        }
        (Arith::Add, Val::Bytes(left), Val::Bytes(right)) => {
            meter.charge((left.len() + right.len()) / MADE_BYTES_A_STEP)?;
            Some(Val::Bytes(Cow::Owned([&**left, &**right].concat())))
        }
        (Arith::Add, ..) if left.is_list() && right.is_list() => {
            meter.charge(left.len() + right.len())?;
            let both = [&left, &right].into_iter();
            let elements = both.flat_map(|list| (0..list.len()).filter_map(|at| list.element(at)));
            Some(Val::List(Rc::new(elements.collect())))
        }
        (Arith::Add, Val::Time(at), Val::Span(by)) | (Arith::Add, Val::Span(by), Val::Time(at)) => {
            at.checked_add_signed(*by)
                .and_then(convert::in_range)
                .map(Val::Time)
        }
        (Arith::Sub, Val::Time(at), Val::Span(by)) => at
            .checked_sub_signed(*by)
            .and_then(convert::in_range)
            .map(Val::Time),
        (Arith::Sub, Val::Time(at), Val::Time(since)) => {
            Some(Val::Span(at.signed_duration_since(since)))
        }
        (Arith::Add, Val::Span(left), Val::Span(right)) => left.checked_add(right).map(Val::Span),
        (Arith::Sub, Val::Span(left), Val::Span(right)) => left.checked_sub(right).map(Val::Span),
        _ => None,
    };
    made.ok_or(Stop::Failed)
}

fn numbers<'e, N>(arith: Arith, left: Num, right: Num) -> Option<Val<'e, N>> {
    Some(match (left, right) {
        (Num::Int(left), Num::Int(right)) => Val::Int(match arith {
            Arith::Add => left.checked_add(right)?,
            Arith::Sub => left.checked_sub(right)?,
            Arith::Mul => left.checked_mul(right)?,
            Arith::Div => left.checked_div(right)?,
            Arith::Rem => left.checked_rem(right)?,
        }),
        (Num::Uint(left), Num::Uint(right)) => Val::Uint(match arith {
            Arith::Add => left.checked_add(right)?,
            Arith::Sub => left.checked_sub(right)?,
            Arith::Mul => left.checked_mul(right)?,
            Arith::Div => left.checked_div(right)?,
            Arith::Rem => left.checked_rem(right)?,
        }),
        (Num::Double(left), Num::Double(right)) => Val::Float(match arith {
            Arith::Add => left + right,
            Arith::Sub => left - right,
            Arith::Mul => left * right,
            Arith::Div => left / right,
            Arith::Rem => return None,
        }),
        _ => return None,
    })
}
