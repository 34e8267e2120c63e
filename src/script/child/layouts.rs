//! Kinds of objects of items: the keys of those with the same names, and objects that wait to be
//! another one of the kind.
//!
//! In: the names of an object in a record. Out: an object that has their keys, or the keys that a new
//! one gets. Never: more than [`MAX_LAYOUTS`] of them; names that come from traffic (headers) may be of
//! any number.
//!
//! A layout keeps its shape alive, so that a collection between two items does not throw it away.

use std::cell::{Cell, RefCell};

use boa_engine::JsObject;
use boa_engine::object::shape::Shape;
use boa_engine::property::{PropertyDescriptor, PropertyKey};

use super::aliases::Part;
use crate::item::flat::Flat;
use crate::item::{Absent, Node};

/// Layouts that are kept, for each part of an item.
const MAX_LAYOUTS: usize = 64;

/// Objects that wait, of all layouts, and those of one that may wait in any case.
const MAX_WAITING: usize = 1 << 12;
const FEW: usize = 16;

/// Parts of an item; see [`Part`].
const PARTS: usize = 7;

/// Keys and accessors, in the record's order.
pub(super) type Keys = Vec<(PropertyKey, PropertyDescriptor)>;

/// Which layout of its part an object has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id(usize);

struct Layout {
    names: Box<[u8]>,
    absent: Absent,
    keys: Keys,
    /// What an object with these keys has; one for all since it is shared.
    shape: Shape,
    waiting: Vec<JsObject>,
}

/// The layouts of one context.
#[derive(Default)]
pub(super) struct Layouts {
    parts: [RefCell<Vec<Layout>>; PARTS],
    waiting: Cell<usize>,
}

impl Layouts {
    /// The layout of the object at `node`, which is `part` of an item.
    pub(super) fn find(&self, part: Part, node: Flat<'_>) -> Option<Id> {
        let (names, absent) = (node.names(), node.absent());
        let is_it = |layout: &Layout| *layout.names == *names && layout.absent == absent;
        let known = self.parts.get(part as usize)?.borrow();
        known.iter().position(is_it).map(Id)
    }

    /// An object of the layout that nobody has.
    pub(super) fn take(&self, part: Part, id: Id) -> Option<JsObject> {
        let mut known = self.parts.get(part as usize)?.borrow_mut();
        let object = known.get_mut(id.0)?.waiting.pop()?;
        self.waiting.update(|count| count - 1);
        Some(object)
    }

    /// Keeps an object of the layout that nobody else has until it is taken.
    pub(super) fn put(&self, part: Part, id: Id, object: JsObject) {
        if let Some(known) = self.parts.get(part as usize)
            && let Some(layout) = known.borrow_mut().get_mut(id.0)
            && (layout.waiting.len() < FEW || self.waiting.get() < MAX_WAITING)
        {
            layout.waiting.push(object);
            self.waiting.update(|count| count + 1);
        }
    }

    /// Gives a new object the keys of the layout, and answers its shape.
    pub(super) fn furnish(&self, part: Part, id: Id, object: &JsObject) -> Option<Shape> {
        let known = self.parts.get(part as usize)?.borrow();
        let layout = known.get(id.0)?;
        for (key, accessor) in &layout.keys {
            object.insert_property(key.clone(), accessor.clone());
        }
        Some(layout.shape.clone())
    }

    /// Keeps the layout of an object that was just made.
    pub(super) fn keep(&self, part: Part, node: Flat<'_>, keys: Keys, shape: &Shape) -> Option<Id> {
        // An object with more keys than shapes are shared for has one of its own, and keys that are
        // array indices are in none.
        let is_index = |(key, _): &(PropertyKey, _)| matches!(key, PropertyKey::Index(_));
        if shape.is_unique() || keys.iter().any(is_index) {
            return None;
        }
        let mut known = self.parts.get(part as usize)?.borrow_mut();
        if known.len() >= MAX_LAYOUTS {
            return None;
        }
        known.push(Layout {
            names: node.names().into(),
            absent: node.absent(),
            keys,
            shape: shape.clone(),
            waiting: Vec::new(),
        });
        Some(Id(known.len() - 1))
    }
}
