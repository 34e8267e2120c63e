//! Whether objects of an item still read as they were made.
//!
//! In: a value of a script. Out: the place in a record that it stands for, as long as nothing was
//! changed. Never: a getter of a script run.

use boa_engine::property::PropertyKey;
use boa_engine::{JsObject, JsValue, js_string};

use super::super::garbage::Span;
use super::{Lazy, MAX_DEPTH};
use crate::item::flat::Flat;
use crate::item::{Kind, Node};

/// A place in a record that stands for a value.
pub(crate) struct Place {
    pub(super) bytes: Span,
    pub(super) offset: usize,
}

impl Place {
    /// The node there.
    pub(crate) fn node(&self) -> Flat<'_> {
        Flat::at(&self.bytes, self.offset)
    }

    /// Whether it is a whole item.
    pub(crate) fn is_item(&self) -> bool {
        Flat::new(&self.bytes).is_some_and(|item| item.offset() == self.offset)
    }
}

/// The root of the item that `value` is, whatever a script changed in it; `None` for other objects.
pub(crate) fn item_of(value: &JsValue) -> Option<Place> {
    let place = value.as_object()?.downcast_ref::<Lazy>()?.place();
    place.is_item().then_some(place)
}

/// The record's place behind `value`, when it is a lazy object that reads as it was made.
pub(crate) fn pristine(value: &JsValue) -> Option<Place> {
    let object = value.as_object()?;
    let lazy = object.downcast_ref::<Lazy>()?;
    unchanged(&object, &lazy, 0).then(|| lazy.place())
}

/// Whether a lazy object, and all that was read of it, is as the record has it.
pub(super) fn unchanged(object: &JsObject, lazy: &Lazy, depth: usize) -> bool {
    if lazy.written || !lazy.has_its_keys(object) || depth > MAX_DEPTH {
        return false;
    }
    let record = lazy.record.read();
    let place = Flat::at(&record, lazy.offset);
    lazy.children.iter().all(|(index, child)| {
        let node = place.pair(*index).map(|(_, node)| node);
        node.is_some_and(|node| same(child, node, depth + 1))
    })
}

/// Whether `value` still is what the record has at `node`; a list can be changed without its parent
/// knowing, so its elements are compared.
pub(super) fn same(value: &JsValue, node: Flat<'_>, depth: usize) -> bool {
    let Some(object) = value.as_object() else {
        return true;
    };
    if node.kind() == Kind::Object {
        return object
            .downcast_ref::<Lazy>()
            .is_some_and(|lazy| lazy.offset == node.offset() && unchanged(&object, &lazy, depth));
    }
    let inner = object.borrow();
    let properties = inner.properties();
    let length = properties.get(&PropertyKey::from(js_string!("length")));
    let length = length.and_then(|length| length.value()?.as_number());
    // The length is all that a list has beside its elements.
    if !object.is_array()
        || length != Some(node.len() as f64)
        || properties.index_property_keys().count() != node.len()
        || inner.shape().keys().len() != 1
    {
        return false;
    }
    (0..node.len()).all(|index| {
        let element = u32::try_from(index).map(PropertyKey::from).ok();
        let value = element
            .and_then(|key| inner.properties().get(&key))
            .and_then(|property| property.value().cloned());
        match (value, node.element(index)) {
            (Some(value), Some(node)) => depth <= MAX_DEPTH && equal(&value, node, depth + 1),
            _ => false,
        }
    })
}

fn equal(value: &JsValue, node: Flat<'_>, depth: usize) -> bool {
    match node.kind() {
        Kind::Null => value.is_null(),
        Kind::Bool => value.as_boolean() == node.bool(),
        Kind::Int | Kind::Float => value.as_number() == node.float(),
        Kind::Text => match (value.as_string(), node.text()) {
            (Some(value), Some(text)) => value == *text,
            _ => false,
        },
        Kind::List | Kind::Object => value.is_object() && same(value, node, depth),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::rc::Rc;

    use boa_engine::{Context, Source};

    use super::super::super::watched;
    use super::super::{Makers, Record, item};
    use super::*;
    use crate::item::{flat, sample};

    pub(in super::super) fn context_with_item() -> (Context, JsValue) {
        let mut context = Context::default();
        let makers = Rc::new(Makers::new(&mut context));
        context.insert_data(makers);
        let mut record = Vec::new();
        flat::encode(&sample::http(), &mut record);
        let data = item(&Record::new(Span::whole(record)), &mut context).unwrap();
        let global = context.global_object();
        watched::install(&global, &mut context).unwrap();
        global
            .set(js_string!("data"), data.clone(), true, &mut context)
            .unwrap();
        (context, data)
    }

    #[test]
    fn reading_leaves_an_item_pristine_and_writing_does_not() {
        let (mut context, data) = context_with_item();
        let mut run = |code: &str| {
            context.eval(Source::from_bytes(code)).unwrap();
            pristine(&data).is_some()
        };
        assert!(run(
            "data.request.headers.Host; data.protocol.ports.length; data.src.ip"
        ));
        assert!(run(
            "for (var k in data) data[k]; data.nothing; data.Protocol"
        ));
        assert!(!run("data.request.headers.Host = 'x'"));
    }

    #[test]
    fn a_child_of_an_item_stands_for_its_place() {
        let (mut context, _) = context_with_item();
        let child = context.eval(Source::from_bytes("data.response")).unwrap();
        let place = pristine(&child).unwrap();
        assert_eq!(place.node().member("status").and_then(Node::int), Some(500));
    }

    #[test]
    fn items_of_one_kind_share_their_shape() {
        let (mut context, data) = context_with_item();
        let shape = |value: &JsValue| value.as_object().unwrap().borrow().shape().to_addr_usize();
        let mut record = Vec::new();
        flat::encode(&sample::http(), &mut record);
        let other = item(&Record::new(Span::whole(record)), &mut context).unwrap();
        assert_eq!(shape(&data), shape(&other));
    }
}
