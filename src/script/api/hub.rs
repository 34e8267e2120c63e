//! `hub`: the place where what all nodes know comes together.

use boa_engine::{Context, JsArgs, JsResult, JsString, JsValue};

use super::{Effect, Global, GlobalKind, Helper, told};
use crate::script::child::arguments::text;
use crate::script::child::engine::ask;
use crate::script::child::json;
use crate::script::host::HostCall;

pub(super) static GLOBAL: Global = Global {
    name: "hub",
    doc: "Sends to the hub's instances of scripts, and asks about the cluster",
    kind: GlobalKind::Namespace(HELPERS),
};

const HELPERS: &[Helper] = &[
    Helper {
        name: "action",
        signature: "hub.action(action, object)",
        doc: "Calls `onHubAction(action, object)` of every script at the hub, with a JSON copy of the object",
        effect: Effect::Network,
        example: "hub.action('counts', {'/cart': 3})",
        length: 1,
        run: action,
    },
    Helper {
        name: "targeted",
        signature: "hub.targeted() -> string",
        doc: "JSON text `{\"targets\": [...], \"excluded\": [...]}` with the pods that are captured and those that are not",
        effect: Effect::None,
        example: "JSON.parse(hub.targeted()).targets.length",
        length: 0,
        run: targeted,
    },
    Helper {
        name: "blockPod",
        signature: "hub.blockPod(name, namespace) -> string",
        doc: "Cuts a pod off by a network policy that allows nothing in or out, and answers a sentence; throws where that is not allowed (`scripting.allowBlockPod`)",
        effect: Effect::Network,
        example: "try { hub.blockPod('cart-1', 'shop') } catch (e) { console.error(e) }",
        length: 2,
        run: |_, args, context| {
            let name = text(args, 0, "the pod's name", context)?;
            let namespace = text(args, 1, "its namespace", context)?;
            told(HostCall::HubBlockPod { name, namespace }, context)
        },
    },
];

fn action(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let action = text(args, 0, "the action's name", context)?;
    let object = json::json_of(args.get_or_undefined(1), context)?;
    told(HostCall::HubAction { action, object }, context)
}

fn targeted(_: &JsValue, _: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let pods = ask(context, HostCall::HubTargeted)?;
    Ok(JsString::from(pods.to_string()).into())
}
