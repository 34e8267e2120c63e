//! Keys of items that were made before: an object with the same names gets them at once.
//!
//! In: the names of an object in a record. Out: its keys with their accessors, and the shape that
//! they lead to. Never: more than [`MAX_LAYOUTS`] of them; names that come from traffic (headers) may
//! be of any number.
//!
//! A layout keeps its shape alive, so that a collection between two items does not throw it away.

use std::cell::RefCell;
use std::rc::Rc;

use boa_engine::object::shape::Shape;
use boa_engine::property::{PropertyDescriptor, PropertyKey};

use super::aliases::Part;
use crate::item::Node;
use crate::item::flat::Flat;

/// Layouts that are kept, for each part of an item.
const MAX_LAYOUTS: usize = 32;

/// Parts of an item; see [`Part`].
const PARTS: usize = 7;

/// The keys of one kind of object.
pub(super) struct Layout {
    names: Vec<Box<str>>,
    /// Keys and accessors, in the record's order.
    pub(super) keys: Vec<(PropertyKey, PropertyDescriptor)>,
    /// What an object with these keys has; one for all since it is shared.
    pub(super) shape: Shape,
    /// Keys among them that are array indices, which no shape holds.
    pub(super) indexed: usize,
}

impl Layout {
    fn is_of(&self, node: Flat<'_>) -> bool {
        self.names.len() == node.len()
            && self
                .names
                .iter()
                .enumerate()
                .all(|(index, name)| node.is_named(index, name))
    }
}

/// The layouts of one context.
#[derive(Default)]
pub(super) struct Layouts([RefCell<Vec<Rc<Layout>>>; PARTS]);

impl Layouts {
    /// The layout of an object that is `part`.
    pub(super) fn find(&self, part: Part, node: Flat<'_>) -> Option<Rc<Layout>> {
        let known = self.0.get(part as usize)?.borrow();
        known.iter().find(|layout| layout.is_of(node)).cloned()
    }

    /// Keeps the layout of an object that was just made.
    pub(super) fn keep(
        &self,
        part: Part,
        keys: Vec<(Box<str>, PropertyKey, PropertyDescriptor)>,
        shape: &Shape,
        indexed: usize,
    ) {
        // An object with more keys than shapes are shared for has one of its own.
        let Some(known) = self.0.get(part as usize).filter(|_| shape.is_shared()) else {
            return;
        };
        let mut known = known.borrow_mut();
        if known.len() >= MAX_LAYOUTS {
            return;
        }
        let (mut names, mut made) = (Vec::new(), Vec::new());
        for (name, key, accessor) in keys {
            names.push(name);
            made.push((key, accessor));
        }
        known.push(Rc::new(Layout {
            names,
            keys: made,
            shape: shape.clone(),
            indexed,
        }));
    }
}
