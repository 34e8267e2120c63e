//! Searching lists of texts: `indexOf` and `includes`, as recorders ask for the streams that they know.
//!
//! In: an array and a text. Out: where it is. Never: another answer than the engine's; what is not a
//! plain list of values, or looks for something else than a text, is left to it.
//!
//! A long list that was searched before is not searched again: what it held is kept, with where each
//! text is first. It is taken as long as the list holds the very same values, which is looked at each
//! time, and is cheaper by far than comparing texts.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;

use boa_engine::object::IndexPropertyValues;
use boa_engine::string::{JsStr, JsStrVariant, JsString};
use boa_engine::{Context, JsResult, JsValue, js_string};

/// Values of a list that is worth remembering.
const LONG: usize = 64;

/// Values of all lists that are remembered.
const MAX_VALUES: usize = 1 << 20;

/// Lists that are remembered.
const MAX_LISTS: usize = 4;

/// Where `wanted` is in a list; `Err` when only the engine can tell.
pub(super) fn position(
    list: &JsValue,
    args: &[JsValue],
    context: &mut Context,
) -> JsResult<Result<Option<usize>, ()>> {
    let [wanted] = args else {
        return Ok(Err(()));
    };
    let (Some(wanted), Some(list)) = (wanted.as_string(), list.as_object()) else {
        return Ok(Err(()));
    };
    if !list.is_array() {
        return Ok(Err(()));
    }
    let inner = list.borrow();
    let IndexPropertyValues::DenseElement(values) = inner.properties().index_property_values()
    else {
        return Ok(Err(()));
    };
    let values = values.as_slice();
    let held = values.len();
    let known = (held >= LONG)
        .then(|| context.get_data::<Rc<Lists>>()?.position(values, &wanted))
        .flatten();
    let place = known.unwrap_or_else(|| search(values, &wanted));
    drop(inner);
    if place.is_some() {
        return Ok(Ok(place));
    }
    // A list may be longer than what it holds; what it inherits then stands in the holes.
    let length = list.get(js_string!("length"), context)?;
    let is_whole = length.as_number() == Some(held as f64);
    Ok(if is_whole { Ok(None) } else { Err(()) })
}

/// Looks at one value after the other.
fn search(values: &[JsValue], wanted: &JsString) -> Option<usize> {
    let wanted = Text::of(wanted);
    values.iter().position(|value| wanted.is(value))
}

/// Lists that were searched.
#[derive(Default)]
pub(super) struct Lists(RefCell<Seen>);

#[derive(Default)]
struct Seen {
    /// Lists of texts, the one remembered last at the end.
    known: Vec<Known>,
    /// Bits of the list that was searched last and is not known: a list that changes with every
    /// search is not worth it.
    last: Vec<usize>,
}

/// What a list held.
struct Known {
    /// Its values; being held here, none of them can become another one.
    values: Vec<JsValue>,
    /// Where each text is first.
    first: HashMap<JsString, usize, ahash::RandomState>,
}

impl Lists {
    /// Where `wanted` is in `values`, when that is known.
    fn position(&self, values: &[JsValue], wanted: &JsString) -> Option<Option<usize>> {
        let mut seen = self.0.borrow_mut();
        let seen = &mut *seen;
        let mut known = seen.known.iter_mut();
        if let Some(place) = known.find_map(|known| known.position(values, wanted)) {
            return Some(place);
        }
        if begins_with(values, &seen.last) {
            seen.last.clear();
            seen.remember(values);
        } else {
            seen.last.clear();
            seen.last.extend_from_slice(bits(values));
        }
        None
    }
}

impl Seen {
    fn remember(&mut self, values: &[JsValue]) {
        let held: usize = self.known.iter().map(|known| known.values.len()).sum();
        if self.known.len() >= MAX_LISTS || held + values.len() > MAX_VALUES {
            self.known.clear();
        }
        let mut known = Known {
            values: Vec::new(),
            first: HashMap::default(),
        };
        if known.follow(values) {
            self.known.push(known);
        }
    }
}

impl Known {
    /// Where `wanted` is in `values`; `None` when that is another list, or a changed one.
    ///
    /// What stands behind the first place of a text does not matter.
    fn position(&mut self, values: &[JsValue], wanted: &JsString) -> Option<Option<usize>> {
        let place = self.first.get(wanted).copied();
        let front = place.and_then(|place| self.values.get(..=place));
        if front.is_some_and(|front| begins_with(values, bits(front))) {
            return Some(place);
        }
        (begins_with(values, bits(&self.values)) && self.follow(values))
            .then(|| self.first.get(wanted).copied())
    }

    /// Takes what `values` has behind what is known; false when that is not all text.
    fn follow(&mut self, values: &[JsValue]) -> bool {
        if values.len() > MAX_VALUES {
            return false;
        }
        let more = values.get(self.values.len()..).unwrap_or_default();
        for value in more {
            let Some(text) = value.as_string() else {
                return false;
            };
            if let Entry::Vacant(entry) = self.first.entry(text) {
                entry.insert(self.values.len());
            }
            self.values.push(value.clone());
        }
        true
    }
}

fn begins_with(values: &[JsValue], known: &[usize]) -> bool {
    !known.is_empty() && bits(values).get(..known.len()) == Some(known)
}

/// The bits of values. Values with the same bits are the same value: the same number, or the very
/// same text.
#[expect(
    unsafe_code,
    reason = "the engine has no way to tell whether two values are the very same text"
)]
fn bits(values: &[JsValue]) -> &[usize] {
    const {
        assert!(size_of::<JsValue>() == size_of::<usize>());
        assert!(align_of::<JsValue>() == align_of::<usize>());
    }
    // SAFETY: a value is one word without padding, as asserted, and any word is a valid number. The
    // slice has as many words as there are values and lives no longer than they do; nothing is
    // written through it.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), values.len()) }
}

/// A text to compare with.
struct Text<'a> {
    text: JsStr<'a>,
    /// Its last eight bytes, when it has one byte a character: names that are counted differ there.
    end: Option<[u8; 8]>,
}

impl Text<'_> {
    fn of(text: &JsString) -> Text<'_> {
        let text = text.as_str();
        Text {
            text,
            end: end(text),
        }
    }

    fn is(&self, value: &JsValue) -> bool {
        let Some(value) = value.as_string() else {
            return false;
        };
        let value = value.as_str();
        value.len() == self.text.len() && end(value) == self.end && value == self.text
    }
}

fn end(text: JsStr<'_>) -> Option<[u8; 8]> {
    match text.variant() {
        JsStrVariant::Latin1(bytes) => bytes.last_chunk().copied(),
        JsStrVariant::Utf16(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(numbers: impl Iterator<Item = usize>) -> Vec<JsValue> {
        let text = |number| JsValue::from(JsString::from(format!("{number:012}.pcap").as_str()));
        numbers.map(text).collect()
    }

    /// Searches twice more than it takes to know a list, each time as the plain search does.
    fn check(lists: &Lists, values: &[JsValue], known: bool) {
        for turn in 0..4 {
            for number in [0, 7, 63, 64, 99, 1000] {
                let wanted = JsString::from(format!("{number:012}.pcap").as_str());
                let found = lists.position(values, &wanted);
                if turn > 0 {
                    assert_eq!(found.is_some(), known);
                }
                if let Some(found) = found {
                    assert_eq!(found, search(values, &wanted), "{number}");
                }
            }
        }
        let wanted = JsString::from("x");
        assert_eq!(lists.position(values, &wanted), known.then_some(None));
    }

    #[test]
    fn a_known_list_answers_as_a_search_does() {
        let lists = Lists::default();
        // Each text twice: the first place counts.
        let mut values = texts((0..100).chain(0..100));
        check(&lists, &values, true);
        // Grown, changed in the middle, cut, grown by what is no text.
        values.extend(texts(1000..1001));
        check(&lists, &values, true);
        values[7] = texts(64..65).remove(0);
        check(&lists, &values, true);
        values.truncate(90);
        check(&lists, &values, true);
        values[0] = JsValue::from(7);
        check(&lists, &values, false);
        // The same texts at other places are other values.
        check(&lists, &texts(0..100), true);
        assert!(lists.0.borrow().known.len() <= MAX_LISTS);
    }

    #[test]
    fn a_list_that_changes_with_every_search_is_not_remembered() {
        let lists = Lists::default();
        let mut values = texts(0..100);
        for number in 0..20 {
            values[0] = texts(number..number + 1).remove(0);
            let wanted = JsString::from("x");
            assert_eq!(lists.position(&values, &wanted), None);
        }
        assert!(lists.0.borrow().known.is_empty());
    }
}
