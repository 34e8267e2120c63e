//! `test`: marks items green or red.

use boa_engine::{Context, JsArgs, JsNativeError, JsResult, JsString, JsValue};

use super::{Effect, Global, GlobalKind, Helper};

pub(super) static GLOBAL: Global = Global {
    name: "test",
    doc: "Marks an item as passed or failed, to be returned from `onItemQueried`",
    kind: GlobalKind::Namespace(HELPERS),
};

const HELPERS: &[Helper] = &[
    Helper {
        name: "pass",
        signature: "test.pass(data) -> data",
        doc: "Sets `passed` and returns the same object",
        effect: Effect::Item,
        example: "test.pass({}).passed",
        length: 1,
        run: pass,
    },
    Helper {
        name: "fail",
        signature: "test.fail(data) -> data",
        doc: "Sets `failed` and returns the same object",
        effect: Effect::Item,
        example: "test.fail({}).failed",
        length: 1,
        run: fail,
    },
];

pub(super) fn pass(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    mark("passed", args, context)
}

pub(super) fn fail(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    mark("failed", args, context)
}

fn mark(key: &str, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let value = args.get_or_undefined(0);
    let object = value
        .as_object()
        .ok_or_else(|| JsNativeError::typ().with_message("only an item can be marked"))?;
    object.set(JsString::from(key), true, true, context)?;
    Ok(value.clone())
}
