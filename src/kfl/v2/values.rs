//! Equality, order and maps as the second dialect has them (reference section 12.3).
//!
//! In: values. Out: answers without coercion; numbers compare by value across their types. Never:
//! recursion into values deeper than [`MAX_COMPARED`].

use std::borrow::Cow;
use std::cmp::Ordering;

use super::vars::Keys;
use crate::item::Node;
use crate::item::json::JsonNode;
use crate::kfl::ir::Op;
use crate::kfl::meter::{Meter, Stop};
use crate::kfl::value::{BYTES_A_STEP, Val};

/// Containers within containers that a comparison follows.
const MAX_COMPARED: usize = 64;

/// `==` to `>=`.
pub(crate) fn compare<'e, 'a: 'e, N: Node<'a>>(
    op: Op,
    left: &Val<'e, N>,
    right: &Val<'e, N>,
    meter: &mut Meter,
) -> Result<bool, Stop> {
    match op {
        Op::Eq => strict_equal(left, right, meter),
        Op::Ne => Ok(!strict_equal(left, right, meter)?),
        _ => Ok(op.holds(order(left, right)?)),
    }
}

/// Order of two values; `None` when one is not a number.
fn order<'e, 'a: 'e, N: Node<'a>>(
    left: &Val<'e, N>,
    right: &Val<'e, N>,
) -> Result<Option<Ordering>, Stop> {
    if let (Some(left), Some(right)) = (Num::of(left), Num::of(right)) {
        return Ok(left.order(right));
    }
    Ok(Some(match (left, right) {
        (Val::Text(left), Val::Text(right)) => left.cmp(right),
        (Val::Bytes(left), Val::Bytes(right)) => left.cmp(right),
        (Val::Bool(left), Val::Bool(right)) => left.cmp(right),
        (Val::Time(left), Val::Time(right)) => left.cmp(right),
        (Val::Span(left), Val::Span(right)) => left.cmp(right),
        _ => return Err(Stop::Failed),
    }))
}

/// A number with its type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Num {
    Int(i64),
    Uint(u64),
    Double(f64),
}

impl Num {
    pub(crate) fn of<N>(value: &Val<'_, N>) -> Option<Num> {
        Some(match value {
            Val::Int(value) | Val::Number(_, Some(value), _) => Num::Int(*value),
            Val::Uint(value) => Num::Uint(*value),
            Val::Float(value) | Val::Number(value, None, _) => Num::Double(*value),
            _ => return None,
        })
    }

    fn order(self, other: Num) -> Option<Ordering> {
        match (self.whole(), other.whole()) {
            (Ok(left), Ok(right)) => Some(left.cmp(&right)),
            (Ok(left), Err(right)) => against(left, right),
            (Err(left), Ok(right)) => against(right, left).map(Ordering::reverse),
            (Err(left), Err(right)) => left.partial_cmp(&right),
        }
    }

    fn whole(self) -> Result<i128, f64> {
        match self {
            Num::Int(value) => Ok(value.into()),
            Num::Uint(value) => Ok(value.into()),
            Num::Double(value) => Err(value),
        }
    }
}

/// Order of a whole number and a double, exact although not every whole number is a double.
fn against(whole: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    // A cast of a float saturates, far outside of what 64 bits hold.
    let cut = double.trunc() as i128;
    Some(
        whole
            .cmp(&cut)
            .then_with(|| 0.0.partial_cmp(&double.fract()).unwrap_or(Ordering::Equal)),
    )
}

/// Equality without coercion.
pub(crate) fn strict_equal<'e, 'a: 'e, N: Node<'a>>(
    left: &Val<'e, N>,
    right: &Val<'e, N>,
    meter: &mut Meter,
) -> Result<bool, Stop> {
    equal(left, right, 0, meter)
}

fn equal<'e, 'a: 'e, N: Node<'a>>(
    left: &Val<'e, N>,
    right: &Val<'e, N>,
    depth: usize,
    meter: &mut Meter,
) -> Result<bool, Stop> {
    meter.charge(1)?;
    if let (Some(left), Some(right)) = (Num::of(left), Num::of(right)) {
        return Ok(left.order(right) == Some(Ordering::Equal));
    }
    Ok(match (left, right) {
        (Val::Text(left), Val::Text(right)) => {
            meter.charge(left.len().min(right.len()) / BYTES_A_STEP)?;
            left == right
        }
        (Val::Bool(left), Val::Bool(right)) => left == right,
        (Val::Null, Val::Null) => true,
        (Val::Bytes(left), Val::Bytes(right)) => left == right,
        (Val::Time(left), Val::Time(right)) => left == right,
        (Val::Span(left), Val::Span(right)) => left == right,
        (Val::Type(left), Val::Type(right)) => left == right,
        _ if left.is_list() && right.is_list() => {
            if left.len() != right.len() || depth > MAX_COMPARED {
                return Ok(false);
            }
            for index in 0..left.len() {
                if let (Some(left), Some(right)) = (left.element(index), right.element(index))
                    && !equal(&left, &right, depth + 1, meter)?
                {
                    return Ok(false);
                }
            }
            true
        }
        _ if is_map(left) && is_map(right) => {
            if left.len() != right.len() || depth > MAX_COMPARED {
                return Ok(false);
            }
            for key in keys(left, Keys::Exact, meter)? {
                let mine = get(left, &key, Keys::Exact, meter)?;
                let other = get(right, &key, Keys::Exact, meter)?;
                match (mine, other) {
                    (Some(mine), Some(other)) if equal(&mine, &other, depth + 1, meter)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        _ => false,
    })
}

pub(crate) fn is_map<'e, 'a: 'e, N: Node<'a>>(value: &Val<'e, N>) -> bool {
    matches!(value, Val::Map(_) | Val::Node(_) | Val::Json(_)) && !value.is_list()
}

/// The value under `key`.
pub(crate) fn get<'e, 'a: 'e, N: Node<'a>>(
    map: &Val<'e, N>,
    key: &Val<'e, N>,
    keys: Keys,
    meter: &mut Meter,
) -> Result<Option<Val<'e, N>>, Stop> {
    if let Val::Map(entries) = map {
        for (known, value) in entries.iter() {
            if strict_equal(known, key, meter)? {
                return Ok(Some(value.clone()));
            }
        }
        return Ok(None);
    }
    if !is_map(map) {
        return Err(Stop::Failed);
    }
    let Val::Text(key) = key else {
        return Err(Stop::Failed);
    };
    meter.charge(map.len())?;
    let found = match map {
        Val::Node(node) if keys == Keys::Headers => {
            node.member_ignoring_case(key).map(Val::of_node)
        }
        Val::Json(json) if keys == Keys::Headers => JsonNode(json)
            .member_ignoring_case(key)
            .map(|node| Val::of_json(node.0)),
        _ => map.member(key),
    };
    Ok(found.map(map_text))
}

/// Maps of items hold texts: other values are shown as one, repeated ones joined by a comma.
pub(crate) fn map_text<'e, 'a: 'e, N: Node<'a>>(value: Val<'e, N>) -> Val<'e, N> {
    match value {
        Val::Text(_) => value,
        Val::Null => Val::Text("".into()),
        _ if value.is_list() => {
            let elements = (0..value.len()).filter_map(|index| value.element(index));
            let texts: Vec<_> = elements
                .map(|element| element.text().into_owned())
                .collect();
            Val::Text(Cow::Owned(texts.join(",")))
        }
        _ => Val::Text(Cow::Owned(value.text().into_owned())),
    }
}

pub(crate) fn has_key<'e, 'a: 'e, N: Node<'a>>(
    map: &Val<'e, N>,
    key: &Val<'e, N>,
    keys: Keys,
    meter: &mut Meter,
) -> Result<bool, Stop> {
    get(map, key, keys, meter).map(|found| found.is_some())
}

/// The keys of a map, in lower case where letter case does not matter.
pub(crate) fn keys<'e, 'a: 'e, N: Node<'a>>(
    map: &Val<'e, N>,
    flavour: Keys,
    meter: &mut Meter,
) -> Result<Vec<Val<'e, N>>, Stop> {
    if !is_map(map) {
        return Err(Stop::Failed);
    }
    meter.charge(map.len())?;
    if let Val::Map(entries) = map {
        return Ok(entries.iter().map(|(key, _)| key.clone()).collect());
    }
    let names = (0..map.len()).filter_map(|index| map.entry(index));
    Ok(names
        .map(|(name, _)| {
            Val::Text(match flavour {
                Keys::Headers => Cow::Owned(name.to_lowercase()),
                Keys::Exact | Keys::Labels => name,
            })
        })
        .collect())
}
