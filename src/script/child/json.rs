//! JSON between scripts and the host: the fast ways for items, and the plain ones.
//!
//! In: JavaScript values and records. Out: text exactly as `JSON.stringify` writes it, or values as
//! `JSON.parse` makes them. Never: another text than the slow way would give; where that could be
//! (fractions, huge numbers, keys that are array indices) the slow way is taken.

use std::rc::Rc;

use boa_engine::object::JsObject;
use boa_engine::{Context, JsNativeError, JsResult, JsString, JsValue, js_string};
use serde::ser::{Error as _, Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value as Json;

use super::data::{Told, told};
use crate::item::flat::Flat;
use crate::item::{Kind, Node};

/// Largest whole number that JavaScript holds exactly: `Number.MAX_SAFE_INTEGER`.
const MAX_SAFE: i64 = (1 << 53) - 1;

/// Widest indentation, of `JSON.stringify`'s third argument (ECMA-262 section 25.5.2).
const MAX_INDENT: usize = 10;

/// The original `JSON.stringify` of a context.
pub(crate) struct Stringify(pub(crate) JsObject);

/// The JSON text of `value`; `None` for what has none, such as a function.
pub(crate) fn text_of(
    value: &JsValue,
    replacer: &JsValue,
    space: &JsValue,
    context: &mut Context,
) -> JsResult<Option<JsString>> {
    if replacer.is_null_or_undefined()
        && let Some(indent) = indent(space)
        && let Some(told) = told(value, context)
        && !has_to_json(value, context)?
        && let Some(text) = written(&told, &indent)
    {
        return Ok(Some(JsString::from(text)));
    }
    let original = context
        .get_data::<Rc<Stringify>>()
        .cloned()
        .ok_or_else(|| JsNativeError::error().with_message("JSON.stringify is not there"))?;
    let args = [value.clone(), replacer.clone(), space.clone()];
    let text = original.0.call(&JsValue::undefined(), &args, context)?;
    Ok(text.as_string())
}

/// `value` as the host takes it; `null` for what has no JSON.
pub(crate) fn json_of(value: &JsValue, context: &mut Context) -> JsResult<Json> {
    let undefined = JsValue::undefined();
    let text = text_of(value, &undefined, &undefined, context)?;
    let text = text.map_or_else(|| "null".to_owned(), |text| text.to_std_string_lossy());
    serde_json::from_str(&text).map_err(|error| {
        JsNativeError::range()
            .with_message(format!("the value cannot be handed over as JSON: {error}"))
            .into()
    })
}

/// What `JSON.parse` makes of `text`; `None` when only the slow way can tell.
pub(crate) fn parse(text: &JsString, context: &mut Context) -> Option<JsResult<JsValue>> {
    let text = text.to_std_string().ok()?;
    let json: Json = serde_json::from_str(&text).ok()?;
    Some(JsValue::from_json(&json, context))
}

fn has_to_json(value: &JsValue, context: &mut Context) -> JsResult<bool> {
    match value.as_object() {
        Some(object) => Ok(object.get(js_string!("toJSON"), context)?.is_callable()),
        None => Ok(false),
    }
}

/// The indentation that the third argument asks for; `None` when it is no plain value.
fn indent(space: &JsValue) -> Option<String> {
    if space.is_object() {
        return None;
    }
    if let Some(width) = space.as_number() {
        let width = (1..=MAX_INDENT).rev().find(|most| width >= *most as f64);
        return Some(" ".repeat(width.unwrap_or(0)));
    }
    let text = space.as_string().unwrap_or_default().to_std_string().ok()?;
    Some(text.chars().take(MAX_INDENT).collect())
}

fn written(told: &Told, indent: &str) -> Option<String> {
    if indent.is_empty() {
        return serde_json::to_string(told).ok();
    }
    let mut out = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
    let mut to = serde_json::Serializer::with_formatter(&mut out, format);
    told.serialize(&mut to).ok()?;
    String::from_utf8(out).ok()
}

/// As JavaScript would; fails where it would not be the same.
impl Serialize for Told {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Told::Record(place) => AsJavaScript(place.node()).serialize(to),
            Told::Plain(value) => plain(value, to),
            Told::Object(members) => {
                let mut object = to.serialize_map(Some(members.len()))?;
                for (name, member) in members {
                    let name = text(name).and_then(|name| key::<S>(&name).map(|()| name))?;
                    object.serialize_entry(&name, member)?;
                }
                object.end()
            }
        }
    }
}

fn plain<S: Serializer>(value: &JsValue, to: S) -> Result<S::Ok, S::Error> {
    if let Some(text_of) = value.as_string() {
        return to.serialize_str(&text(&text_of)?);
    }
    if let Some(bool) = value.as_boolean() {
        return to.serialize_bool(bool);
    }
    match value.as_number() {
        Some(number) if number.is_finite() => {
            if number.fract() != 0.0 || number.abs() > MAX_SAFE as f64 {
                return Err(S::Error::custom(
                    "a fraction, which JavaScript writes its way",
                ));
            }
            to.serialize_i64(number as i64)
        }
        _ => to.serialize_unit(),
    }
}

/// The text of a string of a script.
fn text<E: serde::ser::Error>(text: &JsString) -> Result<String, E> {
    text.to_std_string()
        .map_err(|_| E::custom("half a character, which JavaScript escapes"))
}

/// Whether a key stays where it is.
fn key<S: Serializer>(name: &str) -> Result<(), S::Error> {
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(S::Error::custom(
            "a key that JavaScript may sort to the front",
        ));
    }
    Ok(())
}

/// Serialises as JavaScript would, and fails where it would not be the same.
struct AsJavaScript<'a>(Flat<'a>);

impl Serialize for AsJavaScript<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let node = self.0;
        match node.kind() {
            Kind::Null => to.serialize_unit(),
            Kind::Bool => to.serialize_bool(node.bool().unwrap_or_default()),
            Kind::Int => match node.int().unwrap_or_default() {
                int if int.unsigned_abs() <= MAX_SAFE.unsigned_abs() => to.serialize_i64(int),
                _ => Err(S::Error::custom("a number that JavaScript rounds")),
            },
            Kind::Float => Err(S::Error::custom(
                "a fraction, which JavaScript writes its way",
            )),
            Kind::Text => to.serialize_str(&node.text().unwrap_or_default()),
            Kind::List => {
                let mut list = to.serialize_seq(Some(node.len()))?;
                for element in (0..node.len()).filter_map(|index| node.element(index)) {
                    list.serialize_element(&AsJavaScript(element))?;
                }
                list.end()
            }
            Kind::Object => {
                let mut object = to.serialize_map(Some(node.len()))?;
                for (name, member) in (0..node.len()).filter_map(|index| node.entry(index)) {
                    key::<S>(&name)?;
                    object.serialize_entry(&name, &AsJavaScript(member))?;
                }
                object.end()
            }
        }
    }
}
