//! The JSON of objects of an item, changed by a script or not.
//!
//! In: a value of a script. Out: what `JSON.stringify` has to write, member by member: places in the
//! record for what is as it was, plain values for what is not. Never: a getter or a `toJSON` of a
//! script run; what would need one, and what holds itself, is left to the engine.

use std::rc::Rc;

use boa_engine::property::PropertyKey;
use boa_engine::{Context, JsObject, JsString, JsValue, js_string};

use super::unchanged::{same, unchanged};
use super::{Lazy, MAX_DEPTH, Makers, Place, makers};
use crate::item::{Kind, Node};

/// What says how an object is written.
const TO_JSON: JsString = js_string!("toJSON");

/// Values that are looked at for one text; an item has some hundred.
const MAX_VALUES: usize = 1 << 16;

/// What is written for a value.
pub(crate) enum Told {
    /// What the record has there.
    Record(Place),
    /// Null, a boolean, a number or a text.
    Plain(JsValue),
    /// An object by its members, in their order.
    Object(Vec<(JsString, Told)>),
}

/// What `JSON.stringify` writes for the lazy object `value`; `None` when only the engine can tell.
pub(crate) fn told(value: &JsValue, context: &mut Context) -> Option<Told> {
    let object = value.as_object().filter(JsObject::is::<Lazy>)?;
    let makers = makers(context).ok()?;
    let to_json = PropertyKey::from(TO_JSON);
    let lists = context.intrinsics().constructors().array().prototype();
    if makers.aliases.have(&to_json) || lists.borrow().properties().contains_key(&to_json) {
        return None;
    }
    let mut walk = Walk {
        makers,
        path: Vec::new(),
        left: MAX_VALUES,
    };
    walk.object(&object, context)
}

struct Walk {
    makers: Rc<Makers>,
    /// From the root to here: an object among them would hold itself.
    path: Vec<JsObject>,
    /// Values that may still be looked at.
    left: usize,
}

impl Walk {
    fn object(&mut self, object: &JsObject, context: &mut Context) -> Option<Told> {
        let place = {
            let lazy = object.downcast_ref::<Lazy>()?;
            unchanged(object, &lazy, 0).then(|| lazy.place())
        };
        if let Some(place) = place {
            return Some(Told::Record(place));
        }
        let holds_itself = self
            .path
            .iter()
            .any(|above| JsObject::equals(above, object));
        if holds_itself || self.path.len() > MAX_DEPTH {
            return None;
        }
        self.path.push(object.clone());
        let members = self.members(object, context);
        self.path.pop();
        members.map(Told::Object)
    }

    fn members(
        &mut self,
        object: &JsObject,
        context: &mut Context,
    ) -> Option<Vec<(JsString, Told)>> {
        let (place, part, has_its_keys) = {
            let lazy = object.downcast_ref::<Lazy>()?;
            (lazy.place(), lazy.part, lazy.has_its_keys(object))
        };
        let node = place.node();
        let mut members = Vec::with_capacity(node.len());
        if has_its_keys {
            for index in 0..node.len() {
                let PropertyKey::String(name) = self.makers.key(&node.entry(index)?.0) else {
                    return None;
                };
                if let Some(told) = self.member(object, index, context)? {
                    members.push((name, told));
                }
            }
            return Some(members);
        }
        let is_ours = |prototype: JsObject| {
            JsObject::equals(&prototype, &self.makers.aliases.prototype(part, context))
        };
        if !object.prototype().is_some_and(is_ours) {
            return None;
        }
        for key in object.own_property_keys(context).ok()? {
            let name = match &key {
                PropertyKey::String(name) => name.clone(),
                PropertyKey::Symbol(_) => continue,
                PropertyKey::Index(_) => return None,
            };
            let property = object.borrow().properties().get(&key)?;
            if name == TO_JSON {
                return None;
            }
            if property.enumerable() != Some(true) {
                continue;
            }
            let told = if property.is_accessor_descriptor() {
                let index = node.position(name.to_std_string().ok()?.as_bytes())?;
                let (ours, _) = self.makers.accessor(index, context);
                let get = property.get()?.as_object()?;
                if !JsObject::equals(&get, &ours) {
                    return None;
                }
                self.member(object, index, context)?
            } else {
                self.value(property.value()?, context)?
            };
            if let Some(told) = told {
                members.push((name, told));
            }
        }
        Some(members)
    }

    /// Of the member at `index` of the record; `Some(None)` for what JSON leaves out.
    fn member(
        &mut self,
        object: &JsObject,
        index: usize,
        context: &mut Context,
    ) -> Option<Option<Told>> {
        let (child, bytes, offset) = {
            let lazy = object.downcast_ref::<Lazy>()?;
            let place = lazy.place();
            let (_, node) = place.node().entry(index)?;
            let child = lazy.child(index).cloned();
            let is_list = node.kind() == Kind::List;
            let child = child.filter(|child| !is_list || !same(child, node, 0));
            let offset = node.offset();
            (child, place.bytes, offset)
        };
        match child {
            None => Some(Some(Told::Record(Place { bytes, offset }))),
            Some(child) => self.value(&child, context),
        }
    }

    fn value(&mut self, value: &JsValue, context: &mut Context) -> Option<Option<Told>> {
        self.left = self.left.checked_sub(1)?;
        if value.is_undefined() || value.is_symbol() {
            return Some(None);
        }
        if value.is_bigint() {
            return None;
        }
        match value.as_object() {
            Some(object) => self.object(&object, context).map(Some),
            None => Some(Some(Told::Plain(value.clone()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use boa_engine::Source;

    use super::super::unchanged::tests::context_with_item;

    #[test]
    fn changes_are_told_without_the_engine_where_that_is_the_same() {
        let told = |code: &str| {
            let (mut context, data) = context_with_item();
            context.eval(Source::from_bytes(code)).unwrap();
            super::told(&data, &mut context).is_some()
        };
        for code in [
            "data.passed = true",
            "delete data.passed; data.request.headers.Host = 'x'",
            "data.extra = 1; data.src = data.dst",
            "Object.freeze(data)",
        ] {
            assert!(told(code), "{code}");
        }
        for code in [
            "data.extra = {}",
            "data.self = data",
            "data.src = () => 1",
            "Object.defineProperty(data, 'id', {get() { throw 1 }})",
            "Object.setPrototypeOf(data.src, null); data.src.ip = 1",
            "data.protocol.ports.push('1')",
            "data.protocol.ports.length = 9",
            "data.protocol.ports.toJSON = () => 1",
            "Array.prototype.toJSON = () => 1",
            "Object.getPrototypeOf(data.src).toJSON = () => 1",
            "Object.defineProperty(data.src, 'toJSON', {value: () => 1})",
        ] {
            assert!(!told(code), "{code}");
        }
    }
}
