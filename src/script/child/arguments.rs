//! Arguments of helpers as Rust values.
//!
//! In: what a script passed. Out: text and numbers, converted as JavaScript does. Never: a guess; an
//! argument that is missing is said to be.

use boa_engine::property::PropertyKey;
use boa_engine::{Context, JsArgs, JsNativeError, JsResult, JsValue};

use super::json;
use crate::script::host::Pairs;

/// Members of an object that are handed over at most: labels, headers and fields are few.
const MAX_PAIRS: usize = 1024;

/// The text of an argument; `None` for `undefined` and `null`.
pub(crate) fn optional_text(
    args: &[JsValue],
    index: usize,
    context: &mut Context,
) -> JsResult<Option<String>> {
    let value = args.get_or_undefined(index);
    if value.is_null_or_undefined() {
        return Ok(None);
    }
    Ok(Some(value.to_string(context)?.to_std_string_lossy()))
}

/// The text of an argument that must be there.
pub(crate) fn text(
    args: &[JsValue],
    index: usize,
    what: &str,
    context: &mut Context,
) -> JsResult<String> {
    optional_text(args, index, context)?.ok_or_else(|| {
        JsNativeError::typ()
            .with_message(format!("argument {} is missing: {what}", index + 1))
            .into()
    })
}

/// All arguments as texts, in their order.
pub(crate) fn texts(args: &[JsValue], context: &mut Context) -> JsResult<Vec<Option<String>>> {
    (0..args.len())
        .map(|index| optional_text(args, index, context))
        .collect()
}

/// The enumerable members of an object, each value as text; those that are undefined or null are
/// given to `absent`, which says what stands for them or leaves them out.
pub(crate) fn pairs(
    value: &JsValue,
    absent: fn() -> Option<String>,
    context: &mut Context,
) -> JsResult<Pairs> {
    let Some(object) = value.as_object() else {
        return Ok(Pairs::new());
    };
    let mut pairs = Pairs::new();
    for key in object
        .own_property_keys(context)?
        .into_iter()
        .take(MAX_PAIRS)
    {
        let name = match &key {
            PropertyKey::String(name) => name.to_std_string_lossy(),
            PropertyKey::Index(index) => index.get().to_string(),
            PropertyKey::Symbol(_) => continue,
        };
        let member = object.get(key, context)?;
        let text = if member.is_null_or_undefined() {
            absent()
        } else {
            Some(shown(&member, context)?)
        };
        pairs.extend(text.map(|text| (name, text)));
    }
    Ok(pairs)
}

/// What ToString makes of a plain object.
const OBJECT: &str = "[object Object]";

/// A value as text: ToString, but a plain object, and a list that holds one, as its JSON.
pub(crate) fn shown(value: &JsValue, context: &mut Context) -> JsResult<String> {
    let (text, json) = text_and_json(value, context)?;
    Ok(json?.unwrap_or(text))
}

/// The text of a value, and the JSON that says more, where there is one.
pub(crate) fn text_and_json(
    value: &JsValue,
    context: &mut Context,
) -> JsResult<(String, JsResult<Option<String>>)> {
    let object = value.as_object();
    // An object without a prototype has no text of its own.
    let text = match value.to_string(context) {
        Err(_)
            if object
                .as_ref()
                .is_some_and(|object| object.prototype().is_none()) =>
        {
            OBJECT.to_owned()
        }
        text => text?.to_std_string_lossy(),
    };
    let is_json = match &object {
        None => false,
        Some(object) if object.is_array() => text.contains(OBJECT),
        Some(_) => text == OBJECT,
    };
    let json = if is_json {
        json_of(value, context)
    } else {
        Ok(None)
    };
    Ok((text, json))
}

fn json_of(value: &JsValue, context: &mut Context) -> JsResult<Option<String>> {
    let undefined = JsValue::undefined();
    let json = json::text_of(value, &undefined, &undefined, context)?;
    Ok(json.map(|json| json.to_std_string_lossy()))
}

/// What is sent for a value, and whether it is JSON: objects and lists are, unless they have a text
/// of their own.
pub(crate) fn body(value: &JsValue, context: &mut Context) -> JsResult<(String, bool)> {
    let is_list = value.as_object().is_some_and(|object| object.is_array());
    if !is_list {
        let text = shown(value, context)?;
        let is_json = value.is_object() && text.starts_with('{');
        return Ok((text, is_json));
    }
    Ok((json_of(value, context)?.unwrap_or_default(), true))
}
