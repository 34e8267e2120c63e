//! `setTimeout` and its like.
//!
//! Timers follow the script's clock: the wall clock live, packet time in offline runs. They end with
//! the version of the script that set them.

use std::time::Duration;

use boa_engine::{Context, JsArgs, JsNativeError, JsResult, JsValue};

use super::{Effect, Global, GlobalKind, Helper};
use crate::script::child::Timer;
use crate::script::child::engine::Shared;
use crate::time::Clock;

/// Shortest delay in milliseconds, as browsers have it for repeating timers.
const MIN_DELAY_MS: f64 = 1.0;

/// Longest delay in milliseconds: a hundred years.
const MAX_DELAY_MS: f64 = 100.0 * 365.0 * 86_400_000.0;

pub(super) static GLOBAL: Global = Global {
    name: "timers",
    doc: "Calls a function later, by the script's clock",
    kind: GlobalKind::Functions(HELPERS),
};

const HELPERS: &[Helper] = &[
    Helper {
        name: "setTimeout",
        signature: "setTimeout(task, ms, ...args) -> id",
        doc: "Calls the function once after that many milliseconds",
        effect: Effect::Schedule,
        example: "setTimeout(function (name) { console.log(name) }, 1000, 'later')",
        length: 1,
        run: |_, args, context| set(false, args, context),
    },
    Helper {
        name: "setInterval",
        signature: "setInterval(task, ms, ...args) -> id",
        doc: "Calls the function every so many milliseconds",
        effect: Effect::Schedule,
        example: "setInterval(function () {}, 60000)",
        length: 1,
        run: |_, args, context| set(true, args, context),
    },
    Helper {
        name: "clearTimeout",
        signature: "clearTimeout(id)",
        doc: "Takes a timer away; an unknown id is no error",
        effect: Effect::Schedule,
        example: "clearTimeout(setTimeout(function () {}, 10))",
        length: 1,
        run: clear,
    },
    Helper {
        name: "clearInterval",
        signature: "clearInterval(id)",
        doc: "The same as `clearTimeout`",
        effect: Effect::Schedule,
        example: "clearInterval(7)",
        length: 1,
        run: clear,
    },
];

fn set(repeats: bool, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let function = args
        .get_or_undefined(0)
        .as_function()
        .ok_or_else(|| JsNativeError::typ().with_message("a timer needs a function"))?;
    let millis = args.get_or_undefined(1).to_number(context)?;
    let millis = if millis.is_nan() { 0.0 } else { millis }.clamp(MIN_DELAY_MS, MAX_DELAY_MS);
    let delay = Duration::from_secs_f64(millis / 1000.0);
    let shared = Shared::of(context)?;
    let timer = Timer {
        function,
        args: args.get(2..).unwrap_or_default().to_vec(),
        every: repeats.then_some(delay),
    };
    let at = shared.clock.now() + delay;
    let id = shared.timers.borrow_mut().set(at, timer);
    id.map(JsValue::from).ok_or_else(|| {
        JsNativeError::range()
            .with_message("there are too many timers, clear some first")
            .into()
    })
}

fn clear(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    if let Some(id) = args.get_or_undefined(0).as_number() {
        let shared = Shared::of(context)?;
        // What is not a number of a timer names none.
        shared.timers.borrow_mut().clear(id as u32);
    }
    Ok(JsValue::undefined())
}
