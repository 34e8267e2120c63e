//! Texts of items that come again and again, made into JavaScript strings once.
//!
//! In: the bytes of a text. Out: a string. Never: more than [`PLACES`] strings of [`MAX_BYTES`] bytes
//! kept; a text whose place another one has is made anew and takes the place.

use std::cell::RefCell;

use boa_engine::JsString;
use boa_engine::string::JsStrVariant;

/// Strings that are kept.
const PLACES: usize = 1 << 12;

/// Bytes of a string that is worth keeping: names, addresses, methods, streams.
pub(super) const MAX_BYTES: usize = 48;

/// The strings of one context.
pub(super) struct Texts {
    places: RefCell<Vec<Option<JsString>>>,
    hasher: ahash::RandomState,
}

impl Default for Texts {
    fn default() -> Texts {
        Texts {
            places: RefCell::new(vec![None; PLACES]),
            hasher: ahash::RandomState::new(),
        }
    }
}

impl Texts {
    /// The string of a text.
    pub(super) fn of(&self, text: &[u8]) -> JsString {
        let new = || JsString::from(&*String::from_utf8_lossy(text));
        // What is not ASCII has other bytes as a string.
        if text.len() > MAX_BYTES || !text.is_ascii() {
            return new();
        }
        let place = self.hasher.hash_one(text) as usize % PLACES;
        let mut places = self.places.borrow_mut();
        let Some(kept) = places.get_mut(place) else {
            return new();
        };
        match kept {
            Some(known) if is(known, text) => known.clone(),
            _ => kept.insert(new()).clone(),
        }
    }
}

fn is(known: &JsString, text: &[u8]) -> bool {
    matches!(known.as_str().variant(), JsStrVariant::Latin1(bytes) if bytes == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_always_itself() {
        let texts = Texts::default();
        for turn in 0..3 {
            for number in 0..3 * PLACES {
                let text = format!("{number}.pcap");
                assert_eq!(
                    texts.of(text.as_bytes()),
                    JsString::from(text.as_str()),
                    "{turn}"
                );
            }
            for text in ["", "grün", "é", "\u{20ac}", &"x".repeat(MAX_BYTES + 1)] {
                assert_eq!(texts.of(text.as_bytes()), JsString::from(text));
            }
        }
        let kept = texts.places.borrow().iter().flatten().count();
        assert!(kept > PLACES / 2 && kept <= PLACES, "{kept}");
    }
}
