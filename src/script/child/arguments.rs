//! Arguments of helpers as Rust values.
//!
//! In: what a script passed. Out: text and numbers, converted as JavaScript does. Never: a guess; an
//! argument that is missing is said to be.

use boa_engine::{Context, JsArgs, JsNativeError, JsResult, JsValue};

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
