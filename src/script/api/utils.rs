//! `utils`: where the script runs.

use boa_engine::{Context, JsResult, JsString, JsValue};

use super::{Effect, Global, GlobalKind, Helper};
use crate::script::child::engine::Shared;
use crate::script::wire::Role;

pub(super) static GLOBAL: Global = Global {
    name: "utils",
    doc: "Tells where the script runs",
    kind: GlobalKind::Namespace(HELPERS),
};

const HELPERS: &[Helper] = &[Helper {
    name: "nodeName",
    signature: "utils.nodeName() -> string",
    doc: "The node's name, or `hub` for an instance that gathers what all nodes send",
    effect: Effect::None,
    example: "utils.nodeName() === 'hub'",
    length: 0,
    run: node_name,
}];

fn node_name(_: &JsValue, _: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let shared = Shared::of(context)?;
    let name = match shared.start.role {
        Role::Worker => shared.start.node.as_str(),
        Role::Hub => "hub",
    };
    Ok(JsString::from(name).into())
}
