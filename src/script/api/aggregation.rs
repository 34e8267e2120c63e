//! `aggregation`: lines for the program's own log.

use boa_engine::{Context, JsArgs, JsResult, JsValue};

use super::{Effect, Global, GlobalKind, Helper, told};
use crate::script::child::arguments::{optional_text, text};
use crate::script::child::json;
use crate::script::host::HostCall;

pub(super) static GLOBAL: Global = Global {
    name: "aggregation",
    doc: "Writes lines into the program's own log, with a level of the script's choice",
    kind: GlobalKind::Namespace(HELPERS),
};

const HELPERS: &[Helper] = &[
    Helper {
        name: "msg",
        signature: "aggregation.msg(level, text)",
        doc: "Writes `<time> <level> <text>`",
        effect: Effect::Console,
        example: "aggregation.msg('AP0', 'a new peer')",
        length: 2,
        run: |_, args, context| {
            let text = optional_text(args, 1, context)?.unwrap_or_default();
            write(args, text, context)
        },
    },
    Helper {
        name: "json",
        signature: "aggregation.json(level, key, object)",
        doc: "Writes `<time> <level> <key>=<json>`",
        effect: Effect::Console,
        example: "aggregation.json('AP1', 'peers', {web: 3})",
        length: 3,
        run: |_, args, context| {
            let text = assigned(args, context)?;
            write(args, text, context)
        },
    },
    Helper {
        name: "jsonWithMsg",
        signature: "aggregation.jsonWithMsg(level, key, object, text)",
        doc: "Writes `<time> <level> <text> <key>=<json>`",
        effect: Effect::Console,
        example: "aggregation.jsonWithMsg('AP1', 'peers', {web: 3}, 'seen today')",
        length: 4,
        run: |_, args, context| {
            let text = optional_text(args, 3, context)?.unwrap_or_default();
            let text = format!("{text} {}", assigned(args, context)?);
            write(args, text, context)
        },
    },
];

fn assigned(args: &[JsValue], context: &mut Context) -> JsResult<String> {
    let key = text(args, 1, "the key", context)?;
    let json = json::json_of(args.get_or_undefined(2), context)?;
    Ok(format!("{key}={json}"))
}

fn write(args: &[JsValue], line: String, context: &mut Context) -> JsResult<JsValue> {
    let level = text(args, 0, "the level", context)?;
    told(HostCall::Aggregation { level, text: line }, context)
}
