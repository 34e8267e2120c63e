//! The proxy in front of a large object of an item: its keys are made when a script asks for them
//! all, and not before.
//!
//! In: what scripts do with the object. Out: members straight from the record; for everything but
//! reading and writing a member, the object with its keys, on which the engine's own `Reflect` goes
//! on. Never: a difference from a plain object that a script could see.
//!
//! An item has some thirty keys and a hook reads three of them: making keys costs more than all else
//! that happens to an item.

use boa_engine::object::{FunctionObjectBuilder, JsObject};
use boa_engine::property::PropertyDescriptor;
use boa_engine::{Context, JsArgs, JsNativeError, JsResult, JsString, JsValue, NativeFunction};

use super::data::{self, Made};

/// Operations that need all keys, by their names as traps and on `Reflect`.
const WHOLE: &[&str] = &[
    "defineProperty",
    "deleteProperty",
    "getOwnPropertyDescriptor",
    "getPrototypeOf",
    "has",
    "isExtensible",
    "ownKeys",
    "preventExtensions",
    "setPrototypeOf",
];

/// The handler of all such proxies of a context.
pub(super) fn handler(context: &mut Context) -> JsResult<JsObject> {
    let handler = JsObject::with_null_proto();
    let reflect = context
        .global_object()
        .get(JsString::from("Reflect"), context)?;
    let reflect = reflect.as_object().ok_or_else(missing)?;
    for name in WHOLE.iter().copied().chain(["get", "set"]) {
        let plain = reflect.get(JsString::from(name), context)?;
        let plain = plain.as_object().ok_or_else(missing)?;
        let trap = match name {
            "get" => NativeFunction::from_copy_closure_with_captures(get, plain),
            "set" => NativeFunction::from_copy_closure_with_captures(set, plain),
            _ => NativeFunction::from_copy_closure_with_captures(
                move |_, args, plain: &JsObject, context| {
                    if let Some(target) = args.get_or_undefined(0).as_object() {
                        data::make_keys(&target, context)?;
                        if name == "defineProperty" {
                            data::mark_written(&target);
                        }
                    }
                    plain.call(&JsValue::undefined(), args, context)
                },
                plain,
            ),
        };
        let realm = context.realm().clone();
        let trap = FunctionObjectBuilder::new(&realm, trap).name(name).build();
        let property = PropertyDescriptor::builder()
            .value(trap)
            .writable(false)
            .enumerable(false)
            .configurable(false);
        handler.insert_property(JsString::from(name), property.build());
    }
    Ok(handler)
}

fn missing() -> JsNativeError {
    JsNativeError::error().with_message("the engine has no Reflect")
}

fn get(
    _: &JsValue,
    args: &[JsValue],
    plain: &JsObject,
    context: &mut Context,
) -> JsResult<JsValue> {
    let [target, key, receiver] = [0, 1, 2].map(|index| args.get_or_undefined(index));
    if let Some(target) = target.as_object() {
        if let Some(name) = key.as_string() {
            if let Some(value) = data::own(&target, &name, context)? {
                return Ok(value);
            }
            if is_go_name(&name) {
                data::make_keys(&target, context)?;
            }
        }
        if let Some(symbol) = key.as_symbol()
            && data::is_secret(&symbol, context)
        {
            return Ok(target.into());
        }
        // Nothing but our own keys and what is inherited: nobody sees whose `this` it is.
        if data::made(&target, receiver) != Made::ByScript {
            let key = key.to_property_key(context)?;
            return target.get(key, context);
        }
    }
    plain.call(&JsValue::undefined(), args, context)
}

/// Whether it may be another name of a key, which is learnt with the keys.
fn is_go_name(name: &JsString) -> bool {
    let first = name
        .code_unit_at(0)
        .and_then(|unit| u8::try_from(unit).ok());
    first.is_some_and(|first| first.is_ascii_uppercase())
}

fn set(
    _: &JsValue,
    args: &[JsValue],
    plain: &JsObject,
    context: &mut Context,
) -> JsResult<JsValue> {
    let [target, key, value, receiver] = [0, 1, 2, 3].map(|index| args.get_or_undefined(index));
    if let Some(target) = target.as_object() {
        if let Some(name) = key.as_string()
            && data::made(&target, receiver) == Made::Not
            && data::set_own(&target, &name, value)
        {
            return Ok(JsValue::from(true));
        }
        data::make_keys(&target, context)?;
    }
    plain.call(&JsValue::undefined(), args, context)
}
