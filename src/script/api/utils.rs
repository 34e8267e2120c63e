//! `utils`: where the script runs, and YAML.

use boa_engine::{Context, JsNativeError, JsResult, JsString, JsValue};
use serde_json::{Map, Value as Json};

use super::{Effect, Global, GlobalKind, Helper};
use crate::script::child::arguments::text;
use crate::script::child::engine::Shared;
use crate::script::wire::Role;

pub(super) static GLOBAL: Global = Global {
    name: "utils",
    doc: "Tells where the script runs, and writes YAML",
    kind: GlobalKind::Namespace(HELPERS),
};

const HELPERS: &[Helper] = &[
    Helper {
        name: "nodeName",
        signature: "utils.nodeName() -> string",
        doc: "The node's name, or `hub` for an instance that gathers what all nodes send",
        effect: Effect::None,
        example: "utils.nodeName() === 'hub'",
        length: 0,
        run: node_name,
    },
    Helper {
        name: "json2Yaml",
        signature: "utils.json2Yaml(jsonText) -> string",
        doc: "A JSON text as YAML with sorted keys; a text that is no JSON throws",
        effect: Effect::None,
        example: "utils.json2Yaml(JSON.stringify({web: 3, db: {reads: 1}}))",
        length: 1,
        run: json_to_yaml,
    },
];

fn node_name(_: &JsValue, _: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let shared = Shared::of(context)?;
    let name = match shared.start.role {
        Role::Worker => shared.start.node.as_str(),
        Role::Hub => "hub",
    };
    Ok(JsString::from(name).into())
}

fn json_to_yaml(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let text = text(args, 0, "a JSON text", context)?;
    let json: Json = serde_json::from_str(&text)
        .map_err(|error| JsNativeError::error().with_message(format!("no JSON: {error}")))?;
    let yaml = serde_yaml_ng::to_string(&sorted(json))
        .map_err(|error| JsNativeError::error().with_message(format!("no YAML: {error}")))?;
    Ok(JsString::from(yaml).into())
}

/// The value with the keys of its objects in order; it is as deep as the JSON parser allows.
fn sorted(value: Json) -> Json {
    match value {
        Json::Object(map) => {
            let mut entries: Vec<(String, Json)> = map.into_iter().collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            let entries = entries.into_iter();
            Json::Object(
                entries
                    .map(|(key, value)| (key, sorted(value)))
                    .collect::<Map<String, Json>>(),
            )
        }
        Json::Array(list) => Json::Array(list.into_iter().map(sorted).collect()),
        other => other,
    }
}
