//! `kfl`: the filter language, from within scripts.

use boa_engine::{Context, JsArgs, JsNativeError, JsResult, JsValue};

use super::{Effect, Global, GlobalKind, Helper};
use crate::item::flat::Flat;
use crate::item::json::JsonNode;
use crate::kfl::Verdict;
use crate::script::child::engine::{Asked, Shared};
use crate::script::child::{json, pristine};
use crate::script::wire::{Elapsed, Level};
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
        doc: "Whether the item matches the query; an empty query matches everything, an invalid one throws",
        effect: Effect::None,
        example: "kfl.match('http and response.status == 500', {response: {status: 500}})",
        length: 2,
        run: matches,
    },
    Helper {
        name: "validate",
        signature: "kfl.validate(query, quiet?) -> boolean",
        doc: "Whether the query is valid; prints what is wrong with it unless told to be quiet",
        effect: Effect::Console,
        example: "kfl.validate('http and', true)",
        length: 1,
        run: validate,
    },
];

fn query(value: &JsValue, context: &mut Context) -> JsResult<Asked> {
    let text = value.to_string(context)?;
    Ok(Shared::of(context)?.query_of(&text))
}

fn matches(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let shared = Shared::of(context)?;
    let text = args.get_or_undefined(0).to_string(context)?;
    let asked = shared.query_of(&text);
    let query = (*asked)
        .as_ref()
        .map_err(|message| JsNativeError::error().with_message(message.clone()))?;
    let data = args.get_or_undefined(1);
    let now = shared.clock.now();
    let elapsed = shared.start.habits.elapsed;
    let verdict = match pristine(data) {
        Some(place) if elapsed == Elapsed::Millis || !place.is_item() => {
            query.matches(place.node(), now)
        }
        Some(place) => {
            let record = elapsed.told(place.node());
            query.matches(Flat::at(&record, place.node().offset()), now)
        }
        None if query.is_empty() => Verdict::Match,
        None => {
            let item = elapsed.told_json(json::json_of(data, context)?);
            query.matches(JsonNode(&item), now)
        }
    };
    // What cannot be decided is kept: a recorder rather keeps too much.
    Ok(JsValue::from(verdict != Verdict::NoMatch))
}

fn validate(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let result = query(args.get_or_undefined(0), context)?;
    if let Err(message) = &*result
        && !args.get_or_undefined(1).to_boolean()
    {
        Shared::of(context)?.print(Level::Error, message);
    }
    Ok(JsValue::from(result.is_ok()))
}
