//! The lazy `data` object: an item as JavaScript sees it, read straight from its flat record.
//!
//! In: one flat record, owned by the objects made from it. Out: objects whose keys are own,
//! enumerable, configurable accessors on one shared shape, in the record's order; each child is made
//! when it is first read and is the same one from then on. A large object stands behind a proxy
//! ([`traps`](super::traps)) and gets its keys when a script asks for more than members. Never:
//! JavaScript values nobody asked for.
//!
//! A script cannot tell such an object from a plain one, except through
//! `Object.getOwnPropertyDescriptor` and by freezing it. As long as a script changed nothing
//! ([`pristine`]), natives take the record itself instead of walking the object.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use boa_engine::builtins::proxy::Proxy;
use boa_engine::object::FunctionObjectBuilder;
use boa_engine::object::builtins::JsArray;
use boa_engine::object::builtins::JsFunction;
use boa_engine::object::shape::Shape;
use boa_engine::property::{PropertyDescriptor, PropertyKey};
use boa_engine::string::JsStrVariant;
use boa_engine::{
    Context, Finalize, JsData, JsNativeError, JsObject, JsResult, JsString, JsSymbol, JsValue,
    NativeFunction, Trace,
};

use super::aliases::{Aliases, Part};
use super::layouts::Layouts;
use super::traps;
use crate::item::flat::Flat;
use crate::item::{Kind, Node};

/// Member names that are kept as JavaScript strings: field names and the usual header names.
const MAX_KEYS: usize = 4096;

/// Objects of an item with as many keys stand behind a proxy; smaller ones are made at once.
const VEILED_FROM: usize = 8;

/// Containers within containers that are looked through for changes; as deep as records go.
const MAX_DEPTH: usize = crate::item::flat::MAX_DEPTH + 2;

/// Native side of a lazy object.
#[derive(Trace, Finalize, JsData)]
pub(crate) struct Lazy {
    #[unsafe_ignore_trace]
    record: Rc<[u8]>,
    #[unsafe_ignore_trace]
    offset: usize,
    #[unsafe_ignore_trace]
    part: Part,
    /// Children handed out or written, by their index in the record.
    children: Vec<Option<Child>>,
    /// What scripts have of it, when that is a proxy.
    proxy: Option<JsObject>,
    /// Whether it has its keys.
    made: bool,
    /// A script wrote to a key or redefined one.
    written: bool,
    /// The shape as made: another one means keys or prototype changed. Kept, so that no other
    /// shape can ever have its address.
    shape: Option<Shape>,
    /// Keys as made that are array indices, which no shape holds.
    indexed: usize,
}

/// A member that scripts have.
#[derive(Clone, Trace, Finalize)]
struct Child {
    value: JsValue,
    /// The lazy object that it is or that its proxy stands for.
    lazy: Option<JsObject>,
}

impl From<JsValue> for Child {
    fn from(value: JsValue) -> Child {
        Child { value, lazy: None }
    }
}

impl Lazy {
    fn node(&self) -> Flat<'_> {
        Flat::at(&self.record, self.offset)
    }

    /// Whether the keys that it was given are those that `object`, which it is of, has.
    fn has_its_keys(&self, object: &JsObject) -> bool {
        let inner = object.borrow();
        let shape = self.shape.as_ref().map(Shape::to_addr_usize);
        shape == Some(inner.shape().to_addr_usize())
            && inner.properties().index_property_keys().count() == self.indexed
    }
}

/// What all lazy objects of one context share.
pub(crate) struct Makers {
    accessors: RefCell<Vec<(JsFunction, JsFunction)>>,
    keys: RefCell<HashMap<Box<str>, PropertyKey, ahash::RandomState>>,
    aliases: Aliases,
    layouts: Layouts,
    /// Of the proxies in front of large objects.
    handler: JsObject,
    /// A key to which such a proxy answers with what stands behind it.
    secret: JsSymbol,
    /// Proxy and object of the item made last: what natives are asked about most.
    last: RefCell<Option<(JsObject, JsObject)>>,
    /// A proxy was used to redefine something: it may have been a lazy object behind it.
    doubtful: Cell<bool>,
}

impl Makers {
    /// For one context.
    pub(crate) fn new(context: &mut Context) -> JsResult<Makers> {
        let secret = JsSymbol::new(None)
            .ok_or_else(|| JsNativeError::error().with_message("the engine has no symbol left"))?;
        Ok(Makers {
            accessors: RefCell::default(),
            keys: RefCell::default(),
            aliases: Aliases::new(context),
            layouts: Layouts::default(),
            handler: traps::handler(context)?,
            secret,
            last: RefCell::default(),
            doubtful: Cell::new(false),
        })
    }

    fn accessor(&self, index: usize, context: &mut Context) -> (JsFunction, JsFunction) {
        let mut accessors = self.accessors.borrow_mut();
        while accessors.len() <= index {
            let index = accessors.len();
            let read = NativeFunction::from_copy_closure(move |this, _, context| {
                read(this, index, context)
            });
            let write = NativeFunction::from_copy_closure(move |this, args, context| {
                let value = args.first().cloned().unwrap_or_default();
                write(this, index, value, context)
            });
            let realm = context.realm().clone();
            let made = (
                FunctionObjectBuilder::new(&realm, read).name("get").build(),
                FunctionObjectBuilder::new(&realm, write)
                    .name("set")
                    .length(1)
                    .build(),
            );
            accessors.push(made);
        }
        accessors
            .get(index)
            .cloned()
            .expect("the loop above filled up to index")
    }

    fn key(&self, name: &str) -> PropertyKey {
        let mut keys = self.keys.borrow_mut();
        if let Some(key) = keys.get(name) {
            return key.clone();
        }
        // An array index becomes an indexed key, as in any object.
        let key = PropertyKey::from(JsString::from(name));
        if keys.len() >= MAX_KEYS {
            keys.clear();
        }
        keys.insert(name.into(), key.clone());
        key
    }
}

fn makers(context: &Context) -> JsResult<Rc<Makers>> {
    context.get_data::<Rc<Makers>>().cloned().ok_or_else(|| {
        JsNativeError::error()
            .with_message("items cannot be read here")
            .into()
    })
}

/// The value of the root of `record`.
pub(crate) fn item(record: Rc<[u8]>, context: &mut Context) -> JsResult<JsValue> {
    let Some(offset) = Flat::new(&record).map(Flat::offset) else {
        return Ok(JsValue::null());
    };
    let made = value(&record, offset, Part::Root, false, context)?;
    if let (Some(object), Some(lazy)) = (made.value.as_object(), made.lazy.clone()) {
        *makers(context)?.last.borrow_mut() = Some((object, lazy));
    }
    Ok(made.value.clone())
}

/// The value at a place; `whole` objects have their keys at once.
fn value(
    record: &Rc<[u8]>,
    offset: usize,
    part: Part,
    whole: bool,
    context: &mut Context,
) -> JsResult<Child> {
    let node = Flat::at(record, offset);
    let plain = match node.kind() {
        Kind::Null => JsValue::null(),
        Kind::Bool => JsValue::from(node.bool().unwrap_or_default()),
        Kind::Int => JsValue::from(node.int().unwrap_or_default()),
        Kind::Float => JsValue::from(node.float().unwrap_or_default()),
        Kind::Text => JsString::from(node.text().unwrap_or_default().as_ref()).into(),
        Kind::List => {
            let mut elements = Vec::with_capacity(node.len());
            for element in (0..node.len()).filter_map(|index| node.element(index)) {
                let element = value(record, element.offset(), part, true, context)?;
                elements.push(element.value.clone());
            }
            JsArray::from_iter(elements, context).into()
        }
        Kind::Object => return object(record, offset, part, whole, context),
    };
    Ok(plain.into())
}

fn object(
    record: &Rc<[u8]>,
    offset: usize,
    part: Part,
    whole: bool,
    context: &mut Context,
) -> JsResult<Child> {
    let makers = makers(context)?;
    let node = Flat::at(record, offset);
    let prototype = makers.aliases.prototype(part, context);
    let lazy = Lazy {
        record: record.clone(),
        offset,
        part,
        children: vec![None; node.len()],
        proxy: None,
        made: false,
        written: false,
        shape: None,
        indexed: 0,
    };
    let object = JsObject::new(context.root_shape(), prototype, lazy).upcast();
    if whole || part == Part::Plain || node.len() < VEILED_FROM {
        make_keys(&object, context)?;
        return Ok(Child {
            value: object.clone().into(),
            lazy: Some(object),
        });
    }
    let proxies = context.intrinsics().constructors().proxy().constructor();
    let args = [object.clone().into(), makers.handler.clone().into()];
    let proxy = proxies.construct(&args, None, context)?;
    if let Some(mut lazy) = object.downcast_mut::<Lazy>() {
        lazy.proxy = Some(proxy.clone());
    }
    Ok(Child {
        value: proxy.into(),
        lazy: Some(object),
    })
}

/// Gives a lazy object its keys, once.
pub(super) fn make_keys(object: &JsObject, context: &mut Context) -> JsResult<()> {
    let makers = makers(context)?;
    let (record, offset, part) = match object.downcast_ref::<Lazy>() {
        Some(lazy) if !lazy.made => (lazy.record.clone(), lazy.offset, lazy.part),
        _ => return Ok(()),
    };
    let node = Flat::at(&record, offset);
    if let Some(layout) = makers.layouts.find(part, node) {
        for (key, accessor) in &layout.keys {
            object.insert_property(key.clone(), accessor.clone());
        }
        made_as(object, layout.shape.clone(), layout.indexed);
        return Ok(());
    }
    let mut indexed = 0;
    let mut keys = Vec::with_capacity(node.len());
    for index in 0..node.len() {
        let Some((name, _)) = node.entry(index) else {
            continue;
        };
        let key = makers.key(&name);
        indexed += usize::from(matches!(key, PropertyKey::Index(_)));
        makers.aliases.learn(part, &name, context);
        let (get, set) = makers.accessor(index, context);
        let accessor = PropertyDescriptor::builder()
            .get(get)
            .set(set)
            .enumerable(true)
            .configurable(true)
            .build();
        object.insert_property(key.clone(), accessor.clone());
        keys.push((Box::from(name.as_ref()), key, accessor));
    }
    let shape = object.borrow().shape().clone();
    if keys.len() == node.len() {
        makers.layouts.keep(part, keys, &shape, indexed);
    }
    made_as(object, shape, indexed);
    Ok(())
}

/// Notes what the object looks like as long as no script changes its keys.
fn made_as(object: &JsObject, shape: Shape, indexed: usize) {
    if let Some(mut lazy) = object.downcast_mut::<Lazy>() {
        lazy.made = true;
        lazy.shape = Some(shape);
        lazy.indexed = indexed;
    }
}

/// Who made the keys of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    /// It has none yet.
    Not,
    /// They are those of the record.
    AsTheyWere,
    /// A script changed them, or asks through another object.
    ByScript,
}

/// How the keys of `object` were made, asked for by way of `receiver`.
pub(super) fn made(object: &JsObject, receiver: &JsValue) -> Made {
    let Some(lazy) = object.downcast_ref::<Lazy>() else {
        return Made::ByScript;
    };
    let receiver = receiver.as_object();
    let is_direct = match (&lazy.proxy, &receiver) {
        (Some(proxy), Some(receiver)) => JsObject::equals(proxy, receiver),
        _ => false,
    };
    if !is_direct {
        Made::ByScript
    } else if !lazy.made {
        Made::Not
    } else if lazy.has_its_keys(object) {
        Made::AsTheyWere
    } else {
        Made::ByScript
    }
}

/// Notes that a script changed something.
pub(super) fn mark_written(object: &JsObject) {
    if let Some(mut lazy) = object.downcast_mut::<Lazy>() {
        lazy.written = true;
    }
}

/// The member called `name` of an object without keys yet; `None` when it has none, or has keys.
pub(super) fn own(
    object: &JsObject,
    name: &JsString,
    context: &mut Context,
) -> JsResult<Option<JsValue>> {
    match index_of(object, name) {
        Some(index) => member(object, index, context).map(Some),
        None => Ok(None),
    }
}

/// Writes the member called `name` of an object without keys yet; false when there is none.
pub(super) fn set_own(object: &JsObject, name: &JsString, value: &JsValue) -> bool {
    let Some(index) = index_of(object, name) else {
        return false;
    };
    let Some(mut lazy) = object.downcast_mut::<Lazy>() else {
        return false;
    };
    lazy.written = true;
    if let Some(place) = lazy.children.get_mut(index) {
        *place = Some(value.clone().into());
    }
    true
}

fn index_of(object: &JsObject, name: &JsString) -> Option<usize> {
    let lazy = object.downcast_ref::<Lazy>().filter(|lazy| !lazy.made)?;
    match name.as_str().variant() {
        JsStrVariant::Latin1(bytes) if bytes.is_ascii() => lazy.node().position(bytes),
        _ => lazy.node().position(name.to_std_string().ok()?.as_bytes()),
    }
}

/// Whether a script's proxy was asked what stands behind it, by us.
pub(super) fn is_secret(symbol: &JsSymbol, context: &Context) -> bool {
    makers(context).is_ok_and(|makers| makers.secret == *symbol)
}

/// The lazy object that `object` is or that its proxy stands for.
fn lazy_of(object: &JsObject, context: &mut Context) -> Option<JsObject> {
    if object.is::<Lazy>() {
        return Some(object.clone());
    }
    if !object.is::<Proxy>() {
        return None;
    }
    let makers = makers(context).ok()?;
    if let Some((proxy, lazy)) = &*makers.last.borrow()
        && JsObject::equals(proxy, object)
    {
        return Some(lazy.clone());
    }
    let behind = object
        .get(makers.secret.clone(), context)
        .ok()?
        .as_object()?;
    let is_ours = behind
        .downcast_ref::<Lazy>()
        .and_then(|lazy| lazy.proxy.clone())
        .is_some_and(|proxy| JsObject::equals(&proxy, object));
    is_ours.then_some(behind)
}

/// The lazy object that `this` is or inherits from.
fn holder(this: &JsValue, context: &mut Context) -> JsResult<JsObject> {
    let mut object = this.as_object();
    // A chain of prototypes has an end, but a script may make it long.
    for _ in 0..MAX_DEPTH {
        let Some(found) = object else { break };
        if let Some(lazy) = lazy_of(&found, context) {
            return Ok(lazy);
        }
        object = found.prototype();
    }
    Err(JsNativeError::typ()
        .with_message("this key belongs to an item")
        .into())
}

fn read(this: &JsValue, index: usize, context: &mut Context) -> JsResult<JsValue> {
    let object = holder(this, context)?;
    member(&object, index, context)
}

/// The member at `index` of a lazy object, made when it is read first.
fn member(object: &JsObject, index: usize, context: &mut Context) -> JsResult<JsValue> {
    let (record, offset, part) = {
        let Some(lazy) = object.downcast_ref::<Lazy>() else {
            return Ok(JsValue::undefined());
        };
        if let Some(Some(child)) = lazy.children.get(index) {
            return Ok(child.value.clone());
        }
        let Some((name, node)) = lazy.node().entry(index) else {
            return Ok(JsValue::undefined());
        };
        let (offset, part) = (node.offset(), lazy.part.child(&name));
        (lazy.record.clone(), offset, part)
    };
    let child = value(&record, offset, part, false, context)?;
    let read = child.value.clone();
    if let Some(mut lazy) = object.downcast_mut::<Lazy>()
        && let Some(place) = lazy.children.get_mut(index)
    {
        *place = Some(child);
    }
    Ok(read)
}

fn write(this: &JsValue, index: usize, value: JsValue, context: &mut Context) -> JsResult<JsValue> {
    let object = holder(this, context)?;
    let proxy = object
        .downcast_ref::<Lazy>()
        .and_then(|lazy| lazy.proxy.clone());
    let is_other = |this: &JsObject| {
        let is_proxy = proxy
            .as_ref()
            .is_some_and(|proxy| JsObject::equals(this, proxy));
        !is_proxy && !JsObject::equals(this, &object)
    };
    let receiver = this.as_object().filter(is_other);
    if let Some(receiver) = receiver {
        // An object that inherits from an item gets a key of its own, as from a plain object.
        let name = object
            .downcast_ref::<Lazy>()
            .and_then(|lazy| Some(JsString::from(lazy.node().entry(index)?.0.as_ref())));
        if let Some(name) = name {
            receiver.create_data_property_or_throw(name, value, context)?;
        }
    } else if let Some(mut lazy) = object.downcast_mut::<Lazy>() {
        lazy.written = true;
        if let Some(place) = lazy.children.get_mut(index) {
            *place = Some(value.into());
        }
    }
    Ok(JsValue::undefined())
}

/// Notes that a script redefines keys of `target` by other means than assignment.
pub(crate) fn redefined(target: &JsValue, context: &mut Context) {
    let Some(object) = target.as_object() else {
        return;
    };
    if let Some(lazy) = lazy_of(&object, context) {
        mark_written(&lazy);
    } else if object.is::<Proxy>()
        && let Ok(makers) = makers(context)
    {
        makers.doubtful.set(true);
    }
}

/// A place in a record that stands for a value.
pub(crate) struct Place {
    record: Rc<[u8]>,
    offset: usize,
}

impl Place {
    /// The node there.
    pub(crate) fn node(&self) -> Flat<'_> {
        Flat::at(&self.record, self.offset)
    }
}

/// The record's place behind `value`, when it is a lazy object that reads as it was made.
pub(crate) fn pristine(value: &JsValue, context: &mut Context) -> Option<Place> {
    let object = lazy_of(&value.as_object()?, context)?;
    if makers(context).ok()?.doubtful.get() {
        return None;
    }
    unchanged(&object, 0).then(|| {
        let lazy = object.downcast_ref::<Lazy>()?;
        Some(Place {
            record: lazy.record.clone(),
            offset: lazy.offset,
        })
    })?
}

fn unchanged(object: &JsObject, depth: usize) -> bool {
    let Some(lazy) = object.downcast_ref::<Lazy>() else {
        return false;
    };
    let same_keys = !lazy.made || lazy.has_its_keys(object);
    if lazy.written || !same_keys || depth > MAX_DEPTH {
        return false;
    }
    lazy.children.iter().enumerate().all(|(index, child)| {
        let Some(child) = child else { return true };
        let node = lazy.node().entry(index).map(|(_, node)| node);
        node.is_some_and(|node| same(child, node, depth + 1))
    })
}

/// Whether `value` still is what the record has at `node`; a list can be changed without its parent
/// knowing, so its elements are compared.
fn same(child: &Child, node: Flat<'_>, depth: usize) -> bool {
    let Some(object) = child.value.as_object() else {
        return true;
    };
    if node.kind() == Kind::Object {
        let object = child.lazy.as_ref().unwrap_or(&object);
        let same_place = object
            .downcast_ref::<Lazy>()
            .is_some_and(|lazy| lazy.offset == node.offset());
        return same_place && unchanged(object, depth);
    }
    let inner = object.borrow();
    if !object.is_array() || inner.properties().index_property_keys().count() != node.len() {
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
        Kind::List | Kind::Object => {
            value.is_object() && same(&Child::from(value.clone()), node, depth)
        }
    }
}

#[cfg(test)]
mod tests {
    use boa_engine::{Source, js_string};

    use super::*;
    use crate::item::{flat, sample};

    fn context_with_item() -> (Context, JsValue) {
        let mut context = Context::default();
        let makers = Rc::new(Makers::new(&mut context).unwrap());
        context.insert_data(makers);
        let mut record = Vec::new();
        flat::encode(&sample::http(), &mut record);
        let data = item(Rc::from(record), &mut context).unwrap();
        let global = context.global_object();
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
            pristine(&data, &mut context).is_some()
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
        let place = pristine(&child, &mut context).unwrap();
        assert_eq!(place.node().member("status").and_then(Node::int), Some(500));
    }

    #[test]
    fn items_of_one_kind_share_their_shape() {
        let (mut context, data) = context_with_item();
        let shape = |value: &JsValue| value.as_object().unwrap().borrow().shape().to_addr_usize();
        let mut record = Vec::new();
        flat::encode(&sample::http(), &mut record);
        let other = item(Rc::from(record), &mut context).unwrap();
        assert_eq!(shape(&data), shape(&other));
    }
}
