//! Values while a query is evaluated, and the coercions of the first dialect.
//!
//! In: constants, places in items, decoded documents. Out: truth, text, number, equality and order
//! as the reference's sections 5.2 to 5.7 define them. Never: a copy of an item's text that only
//! has to be compared.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value as Json;

use super::ir::{Const, Op};
use super::meter::{Meter, Stop};
use super::pattern::Pattern;
use crate::item::json::JsonNode;
use crate::item::{Kind, Node, ShortText};

/// Containers within containers that a comparison follows.
const MAX_COMPARED: usize = 64;

/// A value; containers of items stay where they are.
#[derive(Debug, Clone)]
pub(crate) enum Val<'e, N> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'e, str>),
    /// A number from the query, whose text is known.
    Number(f64, Option<i64>, &'e str),
    /// A literal with two texts.
    Escaped(&'e (String, String)),
    Pattern(&'e Pattern),
    /// A list or object of the item.
    Node(N),
    /// A list or object of a decoded document.
    Json(Rc<Json>),
    /// Matches of one selector, or a list made by the query.
    List(Rc<Vec<Val<'e, N>>>),
    /// A map made by the query.
    Map(Rc<Vec<(Val<'e, N>, Val<'e, N>)>>),
    Uint(u64),
    Bytes(Cow<'e, [u8]>),
    Time(DateTime<Utc>),
    Span(TimeDelta),
    Type(&'static str),
}

impl<'e, N> Val<'e, N> {
    /// A constant of the query.
    pub(crate) fn of(constant: &'e Const) -> Val<'e, N> {
        match constant {
            Const::Null => Val::Null,
            Const::Bool(value) => Val::Bool(*value),
            Const::Int(value, text) => Val::Number(*value as f64, Some(*value), text),
            Const::Float(value, text) => Val::Number(*value, None, text),
            Const::Text(text) => Val::Text(Cow::Borrowed(text)),
            Const::Escaped(both) => Val::Escaped(both),
            Const::Uint(value) => Val::Uint(*value),
            Const::Bytes(bytes) => Val::Bytes(Cow::Borrowed(bytes)),
            Const::Time(at) => Val::Time(*at),
            Const::Span(length) => Val::Span(*length),
            Const::Type(name) => Val::Type(name),
        }
    }

    /// A value that owns what `json` holds.
    pub(crate) fn of_json(json: &Json) -> Val<'e, N> {
        match json {
            Json::Null => Val::Null,
            Json::Bool(value) => Val::Bool(*value),
            Json::Number(number) => match number.as_i64() {
                Some(value) => Val::Int(value),
                None => Val::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Val::Text(Cow::Owned(text.clone())),
            Json::Array(_) | Json::Object(_) => Val::Json(Rc::new(json.clone())),
        }
    }
}

impl<'e, 'a: 'e, N: Node<'a>> Val<'e, N> {
    /// What an item holds at a place.
    pub(crate) fn of_node(node: N) -> Val<'e, N> {
        match node.kind() {
            Kind::Null => Val::Null,
            Kind::Bool => Val::Bool(node.bool().unwrap_or_default()),
            Kind::Int => Val::Int(node.int().unwrap_or_default()),
            Kind::Float => Val::Float(node.float().unwrap_or_default()),
            Kind::Text => Val::Text(node.text().unwrap_or_default()),
            Kind::List | Kind::Object => Val::Node(node),
        }
    }

    /// Section 5.2.
    pub(crate) fn is_true(&self) -> bool {
        match self {
            Val::Null | Val::Pattern(_) => false,
            Val::Bool(value) => *value,
            Val::Int(value) => *value > 0,
            Val::Float(value) | Val::Number(value, ..) => *value > 0.0,
            Val::Text(text) => !text.is_empty(),
            Val::Escaped(both) => !both.0.is_empty(),
            Val::Node(node) => node.len() > 0,
            Val::Json(json) => match &**json {
                Json::Array(list) => !list.is_empty(),
                Json::Object(members) => !members.is_empty(),
                _ => false,
            },
            Val::List(list) => !list.is_empty(),
            Val::Map(map) => !map.is_empty(),
            Val::Uint(value) => *value > 0,
            Val::Bytes(bytes) => !bytes.is_empty(),
            Val::Time(_) | Val::Span(_) | Val::Type(_) => true,
        }
    }

    pub(crate) fn is_list(&self) -> bool {
        match self {
            Val::Node(node) => node.kind() == Kind::List,
            Val::Json(json) => json.is_array(),
            Val::List(_) => true,
            _ => false,
        }
    }

    /// Count of elements or members.
    pub(crate) fn len(&self) -> usize {
        match self {
            Val::Node(node) => node.len(),
            Val::Json(json) => JsonNode(json).len(),
            Val::List(list) => list.len(),
            Val::Map(map) => map.len(),
            _ => 0,
        }
    }

    pub(crate) fn element(&self, index: usize) -> Option<Val<'e, N>> {
        match self {
            Val::Node(node) => node.element(index).map(Val::of_node),
            Val::Json(json) => json.as_array()?.get(index).map(Val::of_json),
            Val::List(list) => list.get(index).cloned(),
            _ => None,
        }
    }

    /// A number as a double, and exactly when it is whole and fits.
    pub(crate) fn number(&self) -> Option<(f64, Option<i64>)> {
        match self {
            Val::Int(value) => Some((*value as f64, Some(*value))),
            Val::Float(value) => Some((*value, None)),
            Val::Number(value, exact, _) => Some((*value, *exact)),
            Val::Uint(value) => Some((*value as f64, i64::try_from(*value).ok())),
            _ => None,
        }
    }

    /// The text of section 5.5; of a literal with escapes the text as written.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        match self {
            Val::Null => Cow::Borrowed("null"),
            Val::Bool(true) => Cow::Borrowed("true"),
            Val::Bool(false) => Cow::Borrowed("false"),
            Val::Int(value) => Cow::Owned(value.to_string()),
            Val::Float(value) => Cow::Owned(float_text(*value)),
            Val::Number(_, _, text) => Cow::Borrowed(text),
            Val::Text(text) => Cow::Borrowed(text),
            Val::Escaped(both) => Cow::Borrowed(&both.0),
            Val::Uint(value) => Cow::Owned(value.to_string()),
            Val::Bytes(bytes) => String::from_utf8_lossy(bytes),
            Val::Time(at) => Cow::Owned(at.timestamp_millis().to_string()),
            Val::Span(length) => Cow::Owned(length.num_milliseconds().to_string()),
            Val::Pattern(_)
            | Val::Node(_)
            | Val::Json(_)
            | Val::List(_)
            | Val::Map(_)
            | Val::Type(_) => Cow::Borrowed(""),
        }
    }

    /// Whether `holds` is true of the text, or of the other text of a literal with escapes.
    pub(crate) fn any_text(&self, mut holds: impl FnMut(&str) -> bool) -> bool {
        match self {
            Val::Escaped(both) => holds(&both.0) || holds(&both.1),
            Val::Int(value) => ShortText::of(value).read(holds),
            Val::Uint(value) => ShortText::of(value).read(holds),
            _ => holds(&self.text()),
        }
    }

    /// The number of section 5.7.
    pub(crate) fn num(&self) -> f64 {
        match self {
            Val::Bool(value) => f64::from(u8::from(*value)),
            Val::Text(text) => text_num(text),
            Val::Escaped(both) => text_num(&both.0),
            _ => self.number().map_or(0.0, |(value, _)| value),
        }
    }

    /// Whether `holds` is true of any element of a list, or of the value itself when it is none.
    pub(crate) fn any(
        &self,
        meter: &mut Meter,
        mut holds: impl FnMut(&Self, &mut Meter) -> Result<bool, Stop>,
    ) -> Result<bool, Stop> {
        if !self.is_list() {
            return holds(self, meter);
        }
        for index in 0..self.len() {
            meter.charge(1)?;
            if let Some(element) = self.element(index)
                && holds(&element, meter)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A comparison of the first dialect.
    pub(crate) fn compare(&self, op: Op, other: &Self, meter: &mut Meter) -> Result<bool, Stop> {
        match op {
            Op::Eq => self.equals(other, meter),
            Op::Ne => Ok(!self.equals(other, meter)?),
            _ if self.is_list() && other.is_list() => {
                let fails = self.any(meter, |left, meter| {
                    other.any(meter, |right, _| Ok(!ordered(op, left, right)))
                })?;
                Ok(!fails)
            }
            _ => self.any(meter, |left, meter| {
                other.any(meter, |right, _| Ok(ordered(op, left, right)))
            }),
        }
    }

    fn equals(&self, other: &Self, meter: &mut Meter) -> Result<bool, Stop> {
        match (self, other) {
            (Val::Pattern(_), Val::Pattern(_)) => Ok(false),
            (Val::Pattern(pattern), value) | (value, Val::Pattern(pattern)) => {
                value.any(meter, |value, meter| {
                    meter.charge(value.text_len() / BYTES_A_STEP)?;
                    Ok(value.any_text(|text| pattern.is_in(text)))
                })
            }
            _ if self.is_list() && other.is_list() => self.same(other, 0, meter),
            _ => self.any(meter, |left, meter| {
                other.any(meter, |right, meter| {
                    meter.charge(left.text_len().min(right.text_len()) / BYTES_A_STEP)?;
                    Ok(left.equals_one(right))
                })
            }),
        }
    }

    fn text_len(&self) -> usize {
        match self {
            Val::Text(text) => text.len(),
            _ => 0,
        }
    }

    fn equals_one(&self, other: &Self) -> bool {
        if let (Some(left), Some(right)) = (self.number(), other.number()) {
            return number_order(left, right) == Some(Ordering::Equal);
        }
        self.any_text(|left| other.any_text(|right| left == right))
    }

    /// Equality of JSON values, numbers by value.
    fn same(&self, other: &Self, depth: usize, meter: &mut Meter) -> Result<bool, Stop> {
        meter.charge(1)?;
        if depth > MAX_COMPARED {
            return Ok(false);
        }
        if let (Some(left), Some(right)) = (self.number(), other.number()) {
            return Ok(number_order(left, right) == Some(Ordering::Equal));
        }
        if self.is_list() != other.is_list() || self.len() != other.len() {
            return Ok(false);
        }
        if self.is_list() {
            for index in 0..self.len() {
                if let (Some(left), Some(right)) = (self.element(index), other.element(index))
                    && !left.same(&right, depth + 1, meter)?
                {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        Ok(match (self, other) {
            (Val::Null, Val::Null) => true,
            (Val::Bool(left), Val::Bool(right)) => left == right,
            (Val::Text(left), Val::Text(right)) => left == right,
            (Val::Node(_) | Val::Json(_), Val::Node(_) | Val::Json(_)) => {
                for index in 0..self.len() {
                    let Some((name, left)) = self.entry(index) else {
                        return Ok(false);
                    };
                    match other.member(&name) {
                        Some(right) if left.same(&right, depth + 1, meter)? => {}
                        _ => return Ok(false),
                    }
                }
                true
            }
            _ => false,
        })
    }

    /// Member `index` of an object with its name.
    pub(crate) fn entry(&self, index: usize) -> Option<(Cow<'e, str>, Val<'e, N>)> {
        match self {
            Val::Node(node) => node
                .entry(index)
                .map(|(name, node)| (name, Val::of_node(node))),
            Val::Json(json) => JsonNode(json)
                .entry(index)
                .map(|(name, node)| (Cow::Owned(name.into_owned()), Val::of_json(node.0))),
            _ => None,
        }
    }

    /// The member of an object called `name`.
    pub(crate) fn member(&self, name: &str) -> Option<Val<'e, N>> {
        match self {
            Val::Node(node) => node.member(name).map(Val::of_node),
            Val::Json(json) => json.get(name).map(Val::of_json),
            _ => None,
        }
    }
}

/// Bytes of text that one step of the meter covers.
pub(crate) const BYTES_A_STEP: usize = 64;

fn ordered<'e, 'a: 'e, N: Node<'a>>(op: Op, left: &Val<'e, N>, right: &Val<'e, N>) -> bool {
    op.holds(left.num().partial_cmp(&right.num()))
}

/// Order of two numbers, exact where both are whole.
pub(crate) fn number_order(
    (left, left_exact): (f64, Option<i64>),
    (right, right_exact): (f64, Option<i64>),
) -> Option<Ordering> {
    match (left_exact, right_exact) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.partial_cmp(&right),
    }
}

/// The shortest decimal form that reads back to the same double.
pub(crate) fn float_text(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    format!("{value}")
}

/// The value of a whole string that is a decimal number, else 0.
fn text_num(text: &str) -> f64 {
    match text.bytes().next() {
        Some(b'0'..=b'9' | b'+' | b'-' | b'.' | b'i' | b'I' | b'n' | b'N') => {
            text.parse().unwrap_or(0.0)
        }
        _ => 0.0,
    }
}

type Plain<'c> = Val<'c, JsonNode<'c>>;

/// Truthiness of a constant.
pub(crate) fn const_truth(constant: &Const) -> bool {
    Plain::of(constant).is_true()
}

/// A comparison of two constants.
pub(crate) fn const_compare(op: Op, left: &Const, right: &Const) -> bool {
    // Scalars cost nothing that a meter would have to stop.
    Plain::of(left)
        .compare(op, &Plain::of(right), &mut Meter::full())
        .unwrap_or(false)
}
