//! Objects of items that are used again: to make one with its keys costs more than all else that
//! happens to an item.
//!
//! In: objects after the call that they were made for. Out: those that nobody has any more, to stand
//! for another item. Never: an object that a script could come upon and find to be another item:
//! - whoever can reach it has a handle, and those are counted ([`Handles`](super::Handles));
//! - what is no handle and knows it nevertheless is noted when it comes to be: weak references and
//!   collections, private names ([`watched`](super::super::watched));
//! - its keys, their accessors and its prototype must be those that it was made with.

use boa_engine::{Context, JsObject, JsValue};

use super::{Id, Lazy, MAX_DEPTH, Makers, Part};

impl Makers {
    /// Takes back an item after the call that it was made for; false when something that was made
    /// from its record is left.
    pub(crate) fn take_back(&self, item: JsValue, context: &mut Context) -> bool {
        match item.into_object() {
            Some(object) => self.take(object, 0, context),
            None => true,
        }
    }

    /// After a collection: takes back what only garbage had; what a script has is its own from now on.
    pub(crate) fn take_back_lent(&self, context: &mut Context) {
        for object in self.lent.take() {
            if self.handles.is_only(&object) {
                self.take(object, 0, context);
            }
        }
    }

    fn take(&self, object: JsObject, depth: usize, context: &mut Context) -> bool {
        let Some((part, layout)) = can_come_back(&object) else {
            return false;
        };
        if !self.handles.is_only(&object) {
            self.lent.borrow_mut().push(object);
            return false;
        }
        if depth > MAX_DEPTH || !object.is_extensible(context).unwrap_or(false) {
            return false;
        }
        let Some(mut lazy) = object.downcast_mut::<Lazy>() else {
            return false;
        };
        lazy.record = self.nothing.clone();
        lazy.written = false;
        let children = std::mem::take(&mut lazy.children);
        drop(lazy);
        let mut all = true;
        for (_, child) in children {
            if let Some(child) = child.into_object() {
                all &= self.take(child, depth + 1, context);
            }
        }
        self.layouts.put(part, layout, object);
        all
    }
}

/// The part of an item that an object is, and its layout, when it is as it was made and all that know
/// it have a handle.
fn can_come_back(object: &JsObject) -> Option<(Part, Id)> {
    let lazy = object.downcast_ref::<Lazy>()?;
    let is_as_made = !lazy.marked && lazy.has_its_keys(object);
    is_as_made.then_some((lazy.part, lazy.layout?))
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use boa_engine::{Context, JsValue, js_string};

    use super::super::super::garbage::Span;
    use super::super::{Makers, Record, item};
    use crate::item::{flat, sample};

    /// Where an object is.
    fn address(value: &JsValue) -> usize {
        std::ptr::from_ref(&*value.as_object().unwrap().borrow()).addr()
    }

    #[test]
    fn an_item_that_nobody_has_is_the_next_one() {
        let mut context = Context::default();
        let makers = Rc::new(Makers::new(&mut context));
        context.insert_data(makers.clone());
        let mut record = Vec::new();
        flat::encode(&sample::http(), &mut record);
        let record = Record::new(Span::whole(record));
        let made = |context: &mut Context| item(&record, context).unwrap();
        let read = |value: &JsValue, name, context: &mut Context| {
            let object = value.as_object().unwrap();
            object.get(name, context).unwrap()
        };

        let first = made(&mut context);
        let src = read(&first, js_string!("src"), &mut context);
        let (place, within) = (address(&first), address(&src));
        drop(src);
        assert!(makers.take_back(first, &mut context));
        let second = made(&mut context);
        assert_eq!(address(&second), place);
        let src = read(&second, js_string!("src"), &mut context);
        assert_eq!(address(&src), within);

        // What somebody has is not taken back, before it is let go.
        assert!(!makers.take_back(second, &mut context));
        let third = made(&mut context);
        assert_eq!(address(&third), place);
        let other = read(&third, js_string!("src"), &mut context);
        assert_ne!(address(&other), within);
        drop(src);
        makers.take_back_lent(&mut context);
        let fourth = made(&mut context);
        let again = read(&fourth, js_string!("src"), &mut context);
        assert_eq!(address(&again), within);

        // A list is left to the collector.
        read(&third, js_string!("protocol"), &mut context);
        let protocol = read(&third, js_string!("protocol"), &mut context);
        read(&protocol, js_string!("ports"), &mut context);
        drop((protocol, other));
        assert!(!makers.take_back(third, &mut context));
    }
}
