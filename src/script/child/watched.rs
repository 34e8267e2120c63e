//! Functions of the engine that do something with an item of which the item itself knows nothing.
//!
//! In: a fresh context. Out: the same functions, which note what they are given: keys that are
//! redefined, weak references and collections, proxies. Never: another behaviour.

use boa_engine::object::{FunctionObjectBuilder, JsObject};
use boa_engine::property::PropertyKey;
use boa_engine::{Context, JsArgs, JsResult, JsString, JsValue, NativeFunction, js_string};

use super::data::{marked, proxied, redefined};
use super::shims::{define, function, member};

/// What is noted after a call: of `this`, the arguments and what was returned.
type Note = fn(&JsValue, &[JsValue], &JsValue, &mut Context);

/// Functions on globals.
const FUNCTIONS: &[(&str, &str, Note)] = &[
    ("Object", "defineProperty", redefines_first),
    ("Object", "defineProperties", redefines_first),
    ("Reflect", "defineProperty", redefines_first),
    ("Proxy", "revocable", stands_within),
];

/// Functions on the prototypes of globals.
const METHODS: &[(&str, &str, Note)] = &[
    ("Object", "__defineGetter__", redefines_this),
    ("Object", "__defineSetter__", redefines_this),
    ("WeakMap", "set", knows),
    ("WeakMap", "getOrInsert", knows),
    ("WeakMap", "getOrInsertComputed", knows),
    ("WeakSet", "add", knows),
    ("FinalizationRegistry", "register", knows),
];

/// Globals that make objects.
const CONSTRUCTORS: &[(&str, Note)] = &[("Proxy", stands), ("WeakRef", knows)];

fn redefines_first(_: &JsValue, args: &[JsValue], _: &JsValue, context: &mut Context) {
    redefined(args.get_or_undefined(0), context);
}

fn redefines_this(this: &JsValue, _: &[JsValue], _: &JsValue, context: &mut Context) {
    redefined(this, context);
}

/// Any argument: a registry knows its token as it knows its object.
fn knows(_: &JsValue, args: &[JsValue], _: &JsValue, _: &mut Context) {
    let objects = args.iter().filter_map(JsValue::as_object);
    objects.for_each(|object| marked(&object));
}

fn stands(_: &JsValue, args: &[JsValue], made: &JsValue, context: &mut Context) {
    proxied(made, args.get_or_undefined(0), context);
}

fn stands_within(this: &JsValue, args: &[JsValue], made: &JsValue, context: &mut Context) {
    let object = made.as_object();
    let proxy = object.and_then(|object| object.get(js_string!("proxy"), context).ok());
    if let Some(proxy) = proxy {
        stands(this, args, &proxy, context);
    }
}

/// Replaces the functions.
pub(super) fn install(global: &JsObject, context: &mut Context) -> JsResult<()> {
    for (owner, name, note) in FUNCTIONS {
        let owner = member(global, owner, context)?;
        watch(&owner, name, *note, context)?;
    }
    for (owner, name, note) in METHODS {
        let owner = member(global, owner, context)?;
        let prototype = member(&owner, "prototype", context)?;
        watch(&prototype, name, *note, context)?;
    }
    for (name, note) in CONSTRUCTORS {
        watch_constructor(global, name, *note, context)?;
    }
    Ok(())
}

fn watch(owner: &JsObject, name: &str, note: Note, context: &mut Context) -> JsResult<()> {
    let original = member(owner, name, context)?;
    let length = length_of(&original, context)?;
    let native = NativeFunction::from_copy_closure_with_captures(
        move |this, args, original: &JsObject, context| {
            let result = original.call(this, args, context);
            let nothing = JsValue::undefined();
            note(this, args, result.as_ref().unwrap_or(&nothing), context);
            result
        },
        original,
    );
    let watched = function(native, name, length, context);
    define(owner, name, watched.into(), context)
}

fn watch_constructor(
    global: &JsObject,
    name: &str,
    note: Note,
    context: &mut Context,
) -> JsResult<()> {
    let original = member(global, name, context)?;
    let length = length_of(&original, context)?;
    let native = NativeFunction::from_copy_closure_with_captures(
        move |target, args, original: &JsObject, context| {
            let Some(target) = target.as_object() else {
                // Without `new`, which the function refuses in its own words.
                return original.call(&JsValue::undefined(), args, context);
            };
            let made = original.construct(args, Some(&target), context)?.into();
            note(&JsValue::undefined(), args, &made, context);
            Ok(made)
        },
        original.clone(),
    );
    let realm = context.realm().clone();
    let watched: JsObject = FunctionObjectBuilder::new(&realm, native)
        .name(JsString::from(name))
        .length(length)
        .constructor(true)
        .build()
        .into();
    let own = [js_string!("length"), js_string!("name")].map(PropertyKey::from);
    for key in original.own_property_keys(context)? {
        let property = original.borrow().properties().get(&key);
        if let Some(property) = property.filter(|_| !own.contains(&key)) {
            watched.define_property_or_throw(key, property, context)?;
        }
    }
    if let Some(prototype) = watched.get(js_string!("prototype"), context)?.as_object() {
        define(&prototype, "constructor", watched.clone().into(), context)?;
    }
    define(global, name, watched.into(), context)
}

fn length_of(function: &JsObject, context: &mut Context) -> JsResult<usize> {
    let length = function.get(js_string!("length"), context)?;
    // No function of the engine takes more than a handful.
    Ok(length.as_number().unwrap_or_default() as usize)
}
