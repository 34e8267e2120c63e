//! `env`: what the user set under `scripting.env`.

use boa_engine::object::builtins::JsArray;
use boa_engine::{Context, JsResult, JsString, JsValue};
use serde_json::Value as Json;

use super::{Global, GlobalKind};
use crate::script::child::{define, is_global};
use crate::script::wire::Start;

pub(super) static GLOBAL: Global = Global {
    name: "env",
    doc: "The values of `scripting.env`; each is a global of its own name too, and `CONSTS` lists the names",
    kind: GlobalKind::Values(install),
};

fn install(start: &Start, context: &mut Context) -> JsResult<()> {
    let global = context.global_object();
    let env = JsValue::from_json(&Json::Object(start.env.clone()), context)?;
    define(&global, "env", env, context)?;
    let names: Vec<JsValue> = start
        .env
        .keys()
        .map(|name| JsString::from(name.as_str()).into())
        .collect();
    let names = JsArray::from_iter(names, context);
    define(&global, "CONSTS", names.into(), context)?;
    for (name, value) in &start.env {
        if is_identifier(name) && !is_global(name, context)? {
            let value = JsValue::from_json(value, context)?;
            define(&global, name, value, context)?;
        }
    }
    Ok(())
}

fn is_identifier(name: &str) -> bool {
    let letter = |c: char| c.is_alphabetic() || c == '_' || c == '$';
    name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_numeric())
}
