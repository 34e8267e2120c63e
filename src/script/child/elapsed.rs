//! `elapsedTime` in microseconds, for scripts that were written for that.
//!
//! In: records and JSON of items. Out: the same with the number that the other side reads: scripts
//! microseconds, everything else milliseconds. Never: a change when scripts read milliseconds.

use std::borrow::Cow;

use serde_json::Value as Json;

use crate::item::flat::Flat;
use crate::script::wire::Elapsed;

const NAME: &str = "elapsedTime";

const NANOS_PER_MICRO: u64 = 1000;
const NANOS_PER_MILLI: u64 = 1_000_000;

impl Elapsed {
    /// How many of these are a millisecond.
    pub(crate) fn per_milli(self) -> i32 {
        match self {
            Elapsed::Millis => 1,
            Elapsed::Micros => 1000,
        }
    }

    /// The record as scripts read it.
    pub(crate) fn shown(self, item: Flat<'_>) -> Cow<'_, [u8]> {
        self.with(item, NANOS_PER_MICRO)
    }

    /// What scripts read as everything else does; `item` is the root.
    pub(crate) fn told(self, item: Flat<'_>) -> Cow<'_, [u8]> {
        self.with(item, NANOS_PER_MILLI)
    }

    fn with(self, item: Flat<'_>, unit: u64) -> Cow<'_, [u8]> {
        match self {
            Elapsed::Millis => Cow::Borrowed(item.record()),
            Elapsed::Micros => {
                let elapsed = i64::try_from(item.elapsed_nanos() / unit).unwrap_or(i64::MAX);
                Cow::Owned(item.with_int(NAME, elapsed))
            }
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
}
