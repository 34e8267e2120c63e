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

mod told;
mod unchanged;

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

pub(crate) use self::told::{Told, told};
pub(crate) use self::unchanged::{Place, item_of, pristine, redefined};
use super::aliases::{Aliases, Part};
use super::garbage::Record;
use super::layouts::Layouts;
use super::texts::Texts;
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
    record: Record,
    #[unsafe_ignore_trace]
    offset: usize,
    #[unsafe_ignore_trace]
    part: Part,
    /// Children handed out or written, each with its index in the record.
    children: Vec<(usize, Child)>,
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
    /// What it stands for.
    fn place(&self) -> Place {
        Place {
            bytes: self.record.bytes(),
            offset: self.offset,
        }
    }

    fn child(&self, index: usize) -> Option<&Child> {
        let mut children = self.children.iter();
        let (_, child) = children.find(|(known, _)| *known == index)?;
        Some(child)
    }

    /// Keeps a child.
    fn keep(&mut self, index: usize, child: Child) {
        let mut children = self.children.iter_mut();
        match children.find(|(known, _)| *known == index) {
            Some((_, place)) => *place = child,
            None => self.children.push((index, child)),
        }
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
    texts: Texts,
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
            texts: Texts::default(),
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
pub(crate) fn item(record: Record, context: &mut Context) -> JsResult<JsValue> {
    let Some(offset) = Flat::new(&record.read()).map(Flat::offset) else {
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
    record: &Record,
    offset: usize,
    part: Part,
    whole: bool,
    context: &mut Context,
) -> JsResult<Child> {
    let bytes = record.read();
    let node = Flat::at(&bytes, offset);
    let plain = match node.kind() {
        Kind::Null => JsValue::null(),
        Kind::Bool => JsValue::from(node.bool().unwrap_or_default()),
        Kind::Int => JsValue::from(node.int().unwrap_or_default()),
        Kind::Float => JsValue::from(node.float().unwrap_or_default()),
        Kind::Text => {
            let text = node.text().unwrap_or_default();
            makers(context)?.texts.of(&text).into()
        }
        Kind::List => {
            let mut elements = Vec::with_capacity(node.len());
            for element in (0..node.len()).filter_map(|index| node.element(index)) {
                let element = value(record, element.offset(), part, true, context)?;
                elements.push(element.value.clone());
            }
            JsArray::from_iter(elements, context).into()
        }
        Kind::Object => return object(record, node, part, whole, context),
    };
    Ok(plain.into())
}

fn object(
    record: &Record,
    node: Flat<'_>,
    part: Part,
    whole: bool,
    context: &mut Context,
) -> JsResult<Child> {
    let makers = makers(context)?;
    let prototype = makers.aliases.prototype(part, context);
    let lazy = Lazy {
        record: record.clone(),
        offset: node.offset(),
        part,
        children: Vec::new(),
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
    let (place, part) = match object.downcast_ref::<Lazy>() {
        Some(lazy) if !lazy.made => (lazy.place(), lazy.part),
        _ => return Ok(()),
    };
    let node = place.node();
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
    lazy.keep(index, value.clone().into());
    true
}

fn index_of(object: &JsObject, name: &JsString) -> Option<usize> {
    let lazy = object.downcast_ref::<Lazy>().filter(|lazy| !lazy.made)?;
    let record = lazy.record.read();
    let node = Flat::at(&record, lazy.offset);
    match name.as_str().variant() {
        JsStrVariant::Latin1(bytes) if bytes.is_ascii() => node.position(bytes),
        _ => node.position(name.to_std_string().ok()?.as_bytes()),
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
        if let Some(child) = lazy.child(index) {
            return Ok(child.value.clone());
        }
        let bytes = lazy.record.read();
        let Some((name, node)) = Flat::at(&bytes, lazy.offset).entry(index) else {
            return Ok(JsValue::undefined());
        };
        let (offset, part) = (node.offset(), lazy.part.child(&name));
        (lazy.record.clone(), offset, part)
    };
    let child = value(&record, offset, part, false, context)?;
    let read = child.value.clone();
    if let Some(mut lazy) = object.downcast_mut::<Lazy>() {
        lazy.keep(index, child);
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
        let place = object.downcast_ref::<Lazy>().map(|lazy| lazy.place());
        let name = place
            .as_ref()
            .and_then(|place| Some(JsString::from(place.node().entry(index)?.0.as_ref())));
        if let Some(name) = name {
            receiver.create_data_property_or_throw(name, value, context)?;
        }
    } else if let Some(mut lazy) = object.downcast_mut::<Lazy>() {
        lazy.written = true;
        lazy.keep(index, value.into());
    }
    Ok(JsValue::undefined())
}
