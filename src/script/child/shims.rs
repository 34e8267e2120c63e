//! What scripts need and boa lacks or does slowly, and what they must not have.
//!
//! In: a fresh context. Out: `Date` as items write times, `JSON` with fast ways for items, lists that
//! find a text fast, functions that note what they do to items. Never: a helper with an effect; those
//! are in `api`.

use std::rc::Rc;

use boa_engine::object::builtins::JsFunction;
use boa_engine::object::{FunctionObjectBuilder, JsObject};
use boa_engine::property::PropertyDescriptor;
use boa_engine::{Context, JsArgs, JsNativeError, JsResult, JsString, JsValue, NativeFunction};

use super::dates;
use super::json::{self, Stringify};
use super::lists::{self, Lists};
use super::watched;
use crate::script::wire::Habits;

/// Globals that make no sense in a process of one thread.
const REMOVED: &[&str] = &["SharedArrayBuffer", "Atomics"];

/// Prepares the global object.
pub(crate) fn install(habits: Habits, context: &mut Context) -> JsResult<()> {
    let global = context.global_object();
    for name in REMOVED {
        global.delete_property_or_throw(JsString::from(*name), context)?;
    }
    dates::install(&global, habits.dates, context)?;
    install_json(&global, context)?;
    install_lists(context)?;
    watched::install(&global, context)
}

fn install_json(global: &JsObject, context: &mut Context) -> JsResult<()> {
    let json = member(global, "JSON", context)?;
    let stringify = member(&json, "stringify", context)?;
    context.insert_data(Rc::new(Stringify(stringify)));
    let fast = NativeFunction::from_fn_ptr(|_, args, context| {
        let [value, replacer, space] = [0, 1, 2].map(|index| args.get_or_undefined(index));
        let text = json::text_of(value, replacer, space, context)?;
        Ok(text.map_or_else(JsValue::undefined, JsValue::from))
    });
    let fast = function(fast, "stringify", 3, context);
    define(&json, "stringify", fast.into(), context)?;

    let parse = member(&json, "parse", context)?;
    let fast = NativeFunction::from_copy_closure_with_captures(
        |this, args, slow: &JsObject, context| {
            if args.get_or_undefined(1).is_undefined()
                && let Some(text) = args.get_or_undefined(0).as_string()
                && let Some(value) = json::parse(&text, context)
            {
                return value;
            }
            slow.call(this, args, context)
        },
        parse,
    );
    let fast = function(fast, "parse", 2, context);
    define(&json, "parse", fast.into(), context)
}

fn install_lists(context: &mut Context) -> JsResult<()> {
    /// What a search answers.
    type Answer = fn(Option<usize>) -> JsValue;
    const SEARCHES: &[(&str, Answer)] = &[
        ("indexOf", |place| {
            JsValue::from(place.map_or(-1.0, |place| place as f64))
        }),
        ("includes", |place| JsValue::from(place.is_some())),
    ];
    context.insert_data(Rc::new(Lists::default()));
    let prototype = context.intrinsics().constructors().array().prototype();
    for (name, answer) in SEARCHES {
        let slow = member(&prototype, name, context)?;
        let fast = NativeFunction::from_copy_closure_with_captures(
            move |this, args, slow: &JsObject, context| match lists::position(this, args, context)?
            {
                Ok(place) => Ok(answer(place)),
                Err(()) => slow.call(this, args, context),
            },
            slow,
        );
        let fast = function(fast, name, 1, context);
        define(&prototype, name, fast.into(), context)?;
    }
    Ok(())
}

/// A member of an object that the engine has, which is one itself.
pub(super) fn member(object: &JsObject, name: &str, context: &mut Context) -> JsResult<JsObject> {
    object
        .get(JsString::from(name), context)?
        .as_object()
        .ok_or_else(|| {
            JsNativeError::typ()
                .with_message(format!("the engine has no {name}"))
                .into()
        })
}

/// A native function with its name and length.
pub(crate) fn function(
    native: NativeFunction,
    name: &str,
    length: usize,
    context: &mut Context,
) -> JsFunction {
    let realm = context.realm().clone();
    FunctionObjectBuilder::new(&realm, native)
        .name(JsString::from(name))
        .length(length)
        .build()
}

/// Defines a key that `for in` and `JSON.stringify` do not see, and that scripts may replace.
pub(crate) fn define(
    object: &JsObject,
    name: &str,
    value: JsValue,
    context: &mut Context,
) -> JsResult<()> {
    let property = PropertyDescriptor::builder()
        .value(value)
        .writable(true)
        .enumerable(false)
        .configurable(true);
    object.define_property_or_throw(JsString::from(name), property, context)?;
    Ok(())
}

/// Whether the global object has `name` already.
pub(crate) fn is_global(name: &str, context: &mut Context) -> JsResult<bool> {
    let global = context.global_object();
    global.has_property(JsString::from(name), context)
}
