//! Globals that scripts see: one file each, one line in [`GLOBALS`].
//!
//! In: a fresh context and what the script was started with. Out: namespaces and functions on the
//! global object, none of them enumerable. Never: an effect; a helper asks the host.
//!
//! A new global is one file and its line here; a new helper is one entry in that file. Registration,
//! reference page and example tests walk the list.

mod aggregation;
mod chatgpt;
mod console;
mod env;
mod file;
mod flat;
mod hub;
mod jobs;
mod kfl;
mod pcap;
mod prometheus;
mod recording;
mod test;
mod timers;
mod utils;
mod vendor;
mod wrapper;

use std::rc::Rc;

use boa_engine::native_function::NativeFunctionPointer;
use boa_engine::{Context, JsNativeError, JsObject, JsResult, JsString, JsValue, NativeFunction};

use serde_json::Value as Json;

use super::child::engine::ask;
use super::child::{define, function, json};
use super::host::HostCall;
use super::wire::Start;

/// Everything that scripts find beside the language itself, in the order of the reference page.
pub static GLOBALS: &[&Global] = &[
    &aggregation::GLOBAL,
    &chatgpt::GLOBAL,
    &console::GLOBAL,
    &env::GLOBAL,
    &file::GLOBAL,
    &flat::GLOBAL,
    &hub::GLOBAL,
    &jobs::GLOBAL,
    &kfl::GLOBAL,
    &pcap::GLOBAL,
    &prometheus::GLOBAL,
    &recording::GLOBAL,
    &test::GLOBAL,
    &timers::GLOBAL,
    &utils::GLOBAL,
    &vendor::GLOBAL,
    &wrapper::GLOBAL,
];

/// One global.
pub struct Global {
    /// Its name; that of the topic when it is several functions.
    pub name: &'static str,
    /// What it is for, one sentence.
    pub doc: &'static str,
    /// What it is.
    pub kind: GlobalKind,
}

/// What a global is.
pub enum GlobalKind {
    /// An object with these helpers; a dot in a helper's name makes an object within it.
    Namespace(&'static [Helper]),
    /// Functions that are globals themselves.
    Functions(&'static [Helper]),
    /// Values made from what the script was started with.
    Values(fn(&Start, &mut Context) -> JsResult<()>),
}

/// One function that scripts may call.
pub struct Helper {
    /// Its name below the global.
    pub name: &'static str,
    /// How it is called, with what it returns.
    pub signature: &'static str,
    /// What it does, one sentence.
    pub doc: &'static str,
    /// What a call may change.
    pub effect: Effect,
    /// Lines of a script that call it; they run as its test.
    pub example: &'static str,
    /// Arguments that must be given.
    pub length: usize,
    /// The code.
    pub run: NativeFunctionPointer,
}

/// What a call of a helper may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// The console.
    Console,
    /// The item it is given.
    Item,
    /// The script's data folder.
    Files,
    /// Object storage, or anything else outside.
    Network,
    /// Recordings.
    Recording,
    /// The scheduler, or the script's own timers.
    Schedule,
}

impl Global {
    /// Its helpers; empty when it is values.
    pub fn helpers(&self) -> &'static [Helper] {
        match self.kind {
            GlobalKind::Namespace(helpers) | GlobalKind::Functions(helpers) => helpers,
            GlobalKind::Values(_) => &[],
        }
    }
}

/// Defines all globals in a context. Values from the environment come last, so that no name of
/// theirs takes the place of a helper.
pub(crate) fn install(start: &Start, context: &mut Context) -> JsResult<()> {
    let target = context.global_object();
    let kept = JsObject::with_object_proto(context.intrinsics());
    for global in GLOBALS {
        match global.kind {
            GlobalKind::Namespace(helpers) => {
                let namespace = JsObject::with_object_proto(context.intrinsics());
                for helper in helpers {
                    attach(&namespace, helper, context)?;
                }
                define(&kept, global.name, namespace.clone().into(), context)?;
                define(&target, global.name, namespace.into(), context)?;
            }
            GlobalKind::Functions(helpers) => {
                for helper in helpers {
                    attach(&target, helper, context)?;
                }
            }
            GlobalKind::Values(_) => {}
        }
    }
    for global in GLOBALS {
        if let GlobalKind::Values(make) = global.kind {
            make(start, context)?;
        }
    }
    let env = JsValue::from_json(&Json::Object(start.env.clone()), context)?;
    define(&kept, "env", env, context)?;
    context.insert_data(Rc::new(Helpers(kept)));
    Ok(())
}

/// The namespaces as they were before the script ran, by their names, for helpers in JavaScript.
pub(crate) struct Helpers(JsObject);

/// Has the host do something; `null` reads as `undefined`.
fn told(call: HostCall, context: &mut Context) -> JsResult<JsValue> {
    let json = ask(context, call)?;
    if json.is_null() {
        return Ok(JsValue::undefined());
    }
    JsValue::from_json(&json, context)
}

/// Has an object read as its JSON where a script makes it text, in a console line say.
fn readable(object: &JsObject, context: &mut Context) -> JsResult<()> {
    let text = NativeFunction::from_fn_ptr(|this, _, context| {
        let undefined = JsValue::undefined();
        let text = json::text_of(this, &undefined, &undefined, context)?;
        Ok(text.map_or(undefined, JsValue::from))
    });
    let text = function(text, "toString", 0, context);
    define(object, "toString", text.into(), context)
}

fn attach(owner: &JsObject, helper: &Helper, context: &mut Context) -> JsResult<()> {
    let mut owner = owner.clone();
    let mut name = helper.name;
    while let Some((outer, inner)) = name.split_once('.') {
        if !owner.has_own_property(JsString::from(outer), context)? {
            let made = JsObject::with_object_proto(context.intrinsics());
            define(&owner, outer, made.into(), context)?;
        }
        let next = owner.get(JsString::from(outer), context)?.as_object();
        owner = next.ok_or_else(|| JsNativeError::typ().with_message("not an object"))?;
        name = inner;
    }
    let native = NativeFunction::from_fn_ptr(helper.run);
    let made = function(native, name, helper.length, context);
    define(&owner, name, made.into(), context)
}
