//! The units of `elapsedTime`: scripts read milliseconds, or microseconds when they were written for
//! that; queries compare microseconds; everybody else reads milliseconds.
//!
//! In: records and JSON of items. Out: the same with the number that the other side reads. Never: a
//! change when both sides read the same.

use std::borrow::Cow;

use serde_json::Value as Json;

use crate::item::Node;
use crate::item::flat::Flat;
use crate::script::wire::Elapsed;

const NAME: &str = "elapsedTime";

const MICROS_PER_MILLI: i64 = 1000;

impl Elapsed {
    /// How many of these are a millisecond.
    pub(crate) fn per_milli(self) -> i32 {
        match self {
            Elapsed::Millis => 1,
            Elapsed::Micros => 1000,
        }
    }

    /// The record as scripts read it; `item` is the root.
    pub(crate) fn shown(self, item: Flat<'_>) -> Cow<'_, [u8]> {
        match (self, item.elapsed_micros()) {
            (Elapsed::Micros, Some(micros)) => Cow::Owned(item.with_int(NAME, micros)),
            _ => Cow::Borrowed(item.record()),
        }
    }

    /// The JSON of what a script made of an item, as everything else reads it.
    pub(crate) fn told_json(self, mut item: Json) -> Json {
        if self == Elapsed::Micros
            && let Some(place) = item.get_mut(NAME)
            && let Some(micros) = place.as_f64()
        {
            // A cast cuts and saturates.
            *place = Json::from((micros / f64::from(self.per_milli())) as i64);
        }
        item
    }

    /// The JSON of what a script made of the item at `root`, as queries read it: with the microseconds
    /// of the item, or those of the number that the script put in its place.
    pub(crate) fn asked_json(self, mut item: Json, root: Flat<'_>) -> Json {
        let Some(place) = item.get_mut(NAME) else {
            return item;
        };
        let shown = root.member(NAME).and_then(Node::float);
        let micros = match place.as_f64() {
            Some(number) if Some(number) == shown => root.elapsed_micros(),
            Some(number) if self == Elapsed::Millis => {
                Some((number * MICROS_PER_MILLI as f64) as i64)
            }
            _ => None,
        };
        if let Some(micros) = micros {
            *place = Json::from(micros);
        }
        item
    }
}
