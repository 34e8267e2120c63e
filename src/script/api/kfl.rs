//! `kfl`: the filter language, from within scripts.

use boa_engine::{Context, JsArgs, JsNativeError, JsResult, JsValue};

use super::{Effect, Global, GlobalKind, Helper};
use crate::item::json::JsonNode;
use crate::kfl::Verdict;
use crate::script::child::engine::Shared;
use crate::script::child::{item_of, json, pristine};
use crate::script::wire::Level;
use crate::time::Clock;

pub(super) static GLOBAL: Global = Global {
    name: "kfl",
    doc: "Asks whether an item is what a KFL query describes",
    kind: GlobalKind::Namespace(HELPERS),
};

const HELPERS: &[Helper] = &[
    Helper {
        name: "match",
        signature: "kfl.match(query, data) -> boolean",
        doc: "Whether the item matches the query; an empty query matches everything, undefined nothing, an invalid one throws",
        effect: Effect::None,
        example: "kfl.match('http and response.status == 500', {response: {status: 500}})",
        length: 2,
        run: matches,
    },
    Helper {
        name: "validate",
        signature: "kfl.validate(query, quiet?) -> boolean",
        doc: "Whether the query is valid, as undefined is; prints what is wrong with it unless told to be quiet",
        effect: Effect::Console,
        example: "kfl.validate('http and', true)",
        length: 1,
        run: validate,
    },
];

fn matches(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let shared = Shared::of(context)?;
    let query = args.get_or_undefined(0);
    // As text it would be the name of a field that no item has.
    if query.is_undefined() {
        return Ok(JsValue::from(false));
    }
    let asked = shared.query_of(&query.to_string(context)?);
    let query = (*asked)
        .as_ref()
        .map_err(|message| JsNativeError::error().with_message(message.clone()))?;
    let data = args.get_or_undefined(1);
    let now = shared.clock.now();
    let verdict = match pristine(data) {
        Some(place) => query.matches(place.node(), now),
        None if query.is_empty() => Verdict::Match,
        None => {
            let root = item_of(data);
            let mut item = json::json_of(data, context)?;
            if let Some(root) = root {
                item = shared.start.habits.elapsed.asked_json(item, root.node());
            }
            query.matches(JsonNode(&item), now)
        }
    };
    // What cannot be decided is kept: a recorder rather keeps too much.
    Ok(JsValue::from(verdict != Verdict::NoMatch))
}

fn validate(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let query = args.get_or_undefined(0);
    if query.is_undefined() {
        return Ok(JsValue::from(true));
    }
    let text = query.to_string(context)?;
    let shared = Shared::of(context)?;
    let result = shared.query_of(&text);
    if let Err(message) = &*result
        && !args.get_or_undefined(1).to_boolean()
    {
        shared.print(Level::Error, message);
    }
    Ok(JsValue::from(result.is_ok()))
}
