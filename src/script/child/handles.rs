//! Whether anybody else has an object of the engine.
//!
//! In: an object. Out: whether the handle asked about is the only one there is, on the stack, in the
//! engine's heap or anywhere else; weak references are none. Never: a guess; where the count is not
//! found, somebody else has every object.
//!
//! boa counts the handles of each object in front of it and has no way to ask for the count.

use std::cell::Cell;

use boa_engine::JsObject;

/// Handles that are taken to find the count.
const TAKEN: usize = 3;

/// What stands in front of an object, among it the count of its handles.
type Head = [Cell<u32>; 2];

/// Where the count of an object stands.
pub(super) struct Handles(Option<usize>);

impl Handles {
    /// Finds the count: the word that is one, follows the handles that are taken, and is one again.
    pub(super) fn new() -> Handles {
        let object = JsObject::with_null_proto();
        let before = head(&object).clone();
        let taken: Vec<JsObject> = (0..TAKEN).map(|_| object.clone()).collect();
        let between = head(&object).clone();
        drop(taken);
        let counts = |place: &usize| {
            let at = |head: &Head| head.get(*place).map_or(0, Cell::get) as usize;
            [at(&before), at(&between), at(head(&object))] == [1, 1 + TAKEN, 1]
        };
        Handles((0..before.len()).find(counts))
    }

    /// Whether `object` is the only handle.
    pub(super) fn is_only(&self, object: &JsObject) -> bool {
        let count = self.0.and_then(|place| head(object).get(place));
        count.is_some_and(|count| count.get() == 1)
    }
}

#[expect(
    unsafe_code,
    reason = "the engine has no way to tell how many handles an object has"
)]
fn head(object: &JsObject) -> &Head {
    const {
        assert!(size_of::<JsObject>() == size_of::<&Head>());
        assert!(align_of::<JsObject>() == align_of::<&Head>());
    }
    // SAFETY: an object of boa is one pointer, as asserted: a `Gc`, which points to a `GcBox`. That
    // is `repr(C)`, lives as long as a handle does, and begins with a `GcHeader`: two `Cell<u32>`,
    // so that any order of them is read as it is here, and only this thread can reach them.
    unsafe { std::mem::transmute_copy::<JsObject, &Head>(object) }
}

#[cfg(test)]
mod tests {
    use boa_engine::{Context, JsValue, js_string};

    use super::*;

    #[test]
    fn every_handle_counts_and_a_weak_reference_does_not() {
        let mut context = Context::default();
        let handles = Handles::new();
        let object = JsObject::with_null_proto();
        assert!(handles.is_only(&object));
        let value = JsValue::from(object.clone());
        assert!(!handles.is_only(&object));
        let holder = JsObject::with_null_proto();
        holder
            .set(js_string!("held"), value, true, &mut context)
            .unwrap();
        assert!(!handles.is_only(&object));
        holder
            .set(js_string!("held"), 7, true, &mut context)
            .unwrap();
        assert!(handles.is_only(&object));
        holder
            .set(js_string!("held"), object.clone(), true, &mut context)
            .unwrap();
        // What nobody can reach holds it until it is collected.
        drop(holder);
        assert!(!handles.is_only(&object));
        boa_gc::force_collect();
        assert!(handles.is_only(&object));
        boa_gc::force_collect();
        assert!(handles.is_only(&object));
    }
}
