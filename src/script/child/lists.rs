//! Searching lists of texts: `indexOf` and `includes`, as recorders ask for the streams that they know.
//!
//! In: an array and a text. Out: where it is. Never: another answer than the engine's; what is not a
//! plain list of values, or looks for something else than a text, is left to it.

use boa_engine::object::IndexPropertyValues;
use boa_engine::string::{JsStr, JsStrVariant, JsString};
use boa_engine::{Context, JsResult, JsValue, js_string};

/// Where `wanted` is in a list; `Err` when only the engine can tell.
pub(super) fn position(
    list: &JsValue,
    args: &[JsValue],
    context: &mut Context,
) -> JsResult<Result<Option<usize>, ()>> {
    let [wanted] = args else {
        return Ok(Err(()));
    };
    let (Some(wanted), Some(list)) = (wanted.as_string(), list.as_object()) else {
        return Ok(Err(()));
    };
    if !list.is_array() {
        return Ok(Err(()));
    }
    // A list may be longer than what it holds; what it inherits then stands in the holes.
    let length = list.get(js_string!("length"), context)?;
    let inner = list.borrow();
    let IndexPropertyValues::DenseElement(values) = inner.properties().index_property_values()
    else {
        return Ok(Err(()));
    };
    let values = values.as_slice();
    if length.as_number() != Some(values.len() as f64) {
        return Ok(Err(()));
    }
    let wanted = Text::of(&wanted);
    Ok(Ok(values.iter().position(|value| wanted.is(value))))
}

/// A text to compare with.
struct Text<'a> {
    text: JsStr<'a>,
    /// Its last eight bytes, when it has one byte a character: names that are counted differ there.
    end: Option<[u8; 8]>,
}

impl Text<'_> {
    fn of(text: &JsString) -> Text<'_> {
        let text = text.as_str();
        Text {
            text,
            end: end(text),
        }
    }

    fn is(&self, value: &JsValue) -> bool {
        let Some(value) = value.as_string() else {
            return false;
        };
        let value = value.as_str();
        value.len() == self.text.len() && end(value) == self.end && value == self.text
    }
}

fn end(text: JsStr<'_>) -> Option<[u8; 8]> {
    match text.variant() {
        JsStrVariant::Latin1(bytes) => bytes.last_chunk().copied(),
        JsStrVariant::Utf16(_) => None,
    }
}
