//! `console`: lines for people who watch the scripts.

use boa_engine::{Context, JsResult, JsValue};

use super::{Effect, Global, GlobalKind, Helper};
use crate::script::child::arguments::text_and_json;
use crate::script::child::engine::Shared;
use crate::script::wire::Level;

pub(super) static GLOBAL: Global = Global {
    name: "console",
    doc: "Prints lines on the console that all scripts share",
    kind: GlobalKind::Namespace(HELPERS),
};

const HELPERS: &[Helper] = &[
    Helper {
        name: "log",
        signature: "console.log(...values)",
        doc: "Prints the values, joined by a space; plain objects as JSON",
        effect: Effect::Console,
        example: "console.log('seen', 3, {stream: 'a.pcap'})",
        length: 0,
        run: log,
    },
    Helper {
        name: "info",
        signature: "console.info(...values)",
        doc: "The same as `console.log`",
        effect: Effect::Console,
        example: "console.info('ready')",
        length: 0,
        run: log,
    },
    Helper {
        name: "debug",
        signature: "console.debug(...values)",
        doc: "The same as `console.log`",
        effect: Effect::Console,
        example: "console.debug('x is', 1)",
        length: 0,
        run: log,
    },
    Helper {
        name: "error",
        signature: "console.error(...values)",
        doc: "Prints an error line",
        effect: Effect::Console,
        example: "console.error(new Error('no bucket'))",
        length: 0,
        run: error,
    },
    Helper {
        name: "warn",
        signature: "console.warn(...values)",
        doc: "The same as `console.error`",
        effect: Effect::Console,
        example: "console.warn('slow')",
        length: 0,
        run: error,
    },
    Helper {
        name: "clear",
        signature: "console.clear()",
        doc: "Clears what this script printed for everyone who looks later; error lines stay",
        effect: Effect::Console,
        example: "console.clear()",
        length: 0,
        run: clear,
    },
];

fn log(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    print(Level::Log, args, context)
}

fn error(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    print(Level::Error, args, context)
}

fn clear(_: &JsValue, _: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    print(Level::Clear, &[], context)
}

fn print(level: Level, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let mut line = String::new();
    for (index, value) in args.iter().enumerate() {
        if index > 0 {
            line.push(' ');
        }
        line.push_str(&shown(value, context)?);
    }
    Shared::of(context)?.print(level, &line);
    Ok(JsValue::undefined())
}

/// As ToString shows it, but symbols as their description; plain objects, also in lists, as JSON.
fn shown(value: &JsValue, context: &mut Context) -> JsResult<String> {
    if value.is_symbol() {
        return Ok(value.display().to_string());
    }
    let (text, json) = text_and_json(value, context)?;
    // What cannot be JSON, an object that holds itself say, is shown as it always was.
    Ok(json.ok().flatten().unwrap_or(text))
}
