//! The lazy `data` object: an item as JavaScript sees it, read straight from its flat record.
//!
//! In: one flat record, owned by the objects made from it. Out: objects whose keys are own,
//! enumerable, configurable accessors on one shared shape, in the record's order; each child is made
//! when it is first read and is the same one from then on. Objects that nobody has any more are those
//! of the next items ([`again`]). Never: JavaScript values nobody asked for.
//!
//! A script cannot tell such an object from a plain one, except through
//! `Object.getOwnPropertyDescriptor`, by freezing it, and by reading a key with `Reflect.get` on
//! behalf of an object that has nothing to do with it. As long as a script changed nothing
//! ([`pristine`]), natives take the record itself instead of walking the object.

mod again;
mod told;
mod unchanged;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use boa_engine::builtins::proxy::Proxy;
use boa_engine::object::FunctionObjectBuilder;
use boa_engine::object::builtins::{JsArray, JsFunction, JsWeakMap};
use boa_engine::object::shape::Shape;
use boa_engine::property::{PropertyDescriptor, PropertyKey};
use boa_engine::{
    Context, Finalize, JsData, JsNativeError, JsObject, JsResult, JsString, JsValue,
    NativeFunction, Trace,
};

pub(crate) use self::told::{Told, told};
pub(crate) use self::unchanged::{Place, item_of, pristine};
use super::aliases::{Aliases, Part};
use super::garbage::Record;
use super::handles::Handles;
use super::layouts::{Id, Layouts};
use super::texts::{MAX_BYTES, Texts};
use crate::item::flat::Flat;
use crate::item::{Kind, Node};

/// Member names that are kept as JavaScript strings: field names and the usual header names.
const MAX_KEYS: usize = 4096;

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
    /// Where it waits when nobody has it.
    #[unsafe_ignore_trace]
    layout: Option<Id>,
    /// Children handed out or written, each with its index in the record.
    children: Vec<(usize, JsValue)>,
    /// A script wrote to a key.
    written: bool,
    /// A script redefined a key.
    redefined: bool,
    /// Something knows it that counts as no handle: a weak reference, a private name.
    marked: bool,
    /// The shape as made: another one means keys or prototype changed. Kept, so that no other
    /// shape can ever have its address.
    shape: Shape,
}

impl Lazy {
    /// What it stands for.
    fn place(&self) -> Place {
        Place {
            bytes: self.record.bytes(),
            offset: self.offset,
        }
    }

    fn child(&self, index: usize) -> Option<&JsValue> {
        let mut children = self.children.iter();
        let (_, child) = children.find(|(known, _)| *known == index)?;
        Some(child)
    }

    /// Keeps a child.
    fn keep(&mut self, index: usize, child: JsValue) {
        let mut children = self.children.iter_mut();
        match children.find(|(known, _)| *known == index) {
            Some((_, place)) => *place = child,
            None => self.children.push((index, child)),
        }
    }

    /// Whether the keys that it was given are those that `object`, which it is of, has. No shape
    /// holds keys that are array indices, so that it is not known of an object with any.
    fn has_its_keys(&self, object: &JsObject) -> bool {
        let inner = object.borrow();
        !self.redefined
            && self.shape.to_addr_usize() == inner.shape().to_addr_usize()
            && inner.properties().index_property_keys().len() == 0
    }
}

/// What all lazy objects of one context share.
pub(crate) struct Makers {
    accessors: RefCell<Vec<(JsFunction, JsFunction)>>,
    keys: RefCell<HashMap<Box<str>, PropertyKey, ahash::RandomState>>,
    aliases: Aliases,
    layouts: Layouts,
    texts: Texts,
    /// What the proxies that scripts made stand for.
    proxied: JsWeakMap,
    handles: Handles,
    /// Objects that somebody else had when they were to be taken back.
    lent: RefCell<Vec<JsObject>>,
    /// What objects hold that wait.
    nothing: Record,
}

impl Makers {
    /// For one context.
    pub(crate) fn new(context: &mut Context) -> Makers {
        Makers {
            accessors: RefCell::default(),
            keys: RefCell::default(),
            aliases: Aliases::new(context),
            layouts: Layouts::default(),
            texts: Texts::default(),
            proxied: JsWeakMap::new(context),
            handles: Handles::new(),
            lent: RefCell::default(),
            nothing: Record::default(),
        }
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
pub(crate) fn item(record: &Record, context: &mut Context) -> JsResult<JsValue> {
    match Flat::new(&record.read()) {
        Some(root) => value(record, root, Part::Root, context),
        None => Ok(JsValue::null()),
    }
}

/// The value at a place.
fn value(record: &Record, node: Flat<'_>, part: Part, context: &mut Context) -> JsResult<JsValue> {
    Ok(match node.kind() {
        Kind::Null => JsValue::null(),
        Kind::Bool => JsValue::from(node.bool().unwrap_or_default()),
        Kind::Int => JsValue::from(node.int().unwrap_or_default()),
        Kind::Float => JsValue::from(node.float().unwrap_or_default()),
        Kind::Text => match (node.text_bytes(), context.get_data::<Rc<Makers>>()) {
            (Some(bytes), Some(makers)) => makers.texts.of(bytes).into(),
            _ => JsString::from(&*node.text().unwrap_or_default()).into(),
        },
        Kind::List => {
            let mut elements = Vec::with_capacity(node.len());
            for element in (0..node.len()).filter_map(|index| node.element(index)) {
                elements.push(value(record, element, part, context)?);
            }
            JsArray::from_iter(elements, context).into()
        }
        Kind::Object => object(record, node, part, context)?.into(),
    })
}

fn object(
    record: &Record,
    node: Flat<'_>,
    part: Part,
    context: &mut Context,
) -> JsResult<JsObject> {
    let makers = makers(context)?;
    let layout = makers.layouts.find(part, node);
    if let Some(layout) = layout
        && let Some(object) = makers.layouts.take(part, layout)
    {
        if let Some(mut lazy) = object.downcast_mut::<Lazy>() {
            lazy.record = record.clone();
            lazy.offset = node.offset();
        }
        return Ok(object);
    }
    let prototype = makers.aliases.prototype(part, context);
    let lazy = Lazy {
        record: record.clone(),
        offset: node.offset(),
        part,
        layout,
        children: Vec::new(),
        written: false,
        redefined: false,
        marked: false,
        shape: context.root_shape().shape().clone().into(),
    };
    let object = JsObject::new(context.root_shape(), prototype, lazy).upcast();
    let furnished = layout.and_then(|layout| makers.layouts.furnish(part, layout, &object));
    if furnished.is_none() {
        furnish(&object, node, part, &makers, context);
    } else if let (Some(shape), Some(mut lazy)) = (furnished, object.downcast_mut::<Lazy>()) {
        lazy.shape = shape;
    }
    Ok(object)
}

/// Gives an object of a layout that is not known its keys.
fn furnish(object: &JsObject, node: Flat<'_>, part: Part, makers: &Makers, context: &mut Context) {
    let mut keys = Vec::with_capacity(node.len());
    for index in 0..node.len() {
        let Some((name, _)) = node.entry(index) else {
            continue;
        };
        let key = makers.key(&name);
        makers.aliases.learn(part, &name, context);
        let (get, set) = makers.accessor(index, context);
        let accessor = PropertyDescriptor::builder()
            .get(get)
            .set(set)
            .enumerable(true)
            .configurable(true)
            .build();
        object.insert_property(key.clone(), accessor.clone());
        keys.push((key, accessor));
    }
    let shape = object.borrow().shape().clone();
    if let Some(mut lazy) = object.downcast_mut::<Lazy>() {
        lazy.layout = makers.layouts.keep(part, node, keys, &shape);
        lazy.shape = shape;
    }
}

/// What a proxy that a script made stands for.
fn target_of(proxy: &JsObject, context: &mut Context) -> Option<JsObject> {
    if !proxy.is::<Proxy>() {
        return None;
    }
    let makers = makers(context).ok()?;
    makers.proxied.get(proxy, context).ok()?.as_object()
}

/// Notes that `proxy` stands for `target`.
pub(super) fn proxied(proxy: &JsValue, target: &JsValue, context: &mut Context) {
    if let (Some(proxy), Ok(makers)) = (proxy.as_object(), makers(context)) {
        // It is an object, so that it can be a key.
        let _ = makers.proxied.set(&proxy, target.clone(), context);
    }
}

/// Notes that a script redefines keys of `target` by other means than assignment.
pub(super) fn redefined(target: &JsValue, context: &mut Context) {
    let Ok((object, false)) = holder(target, context) else {
        return;
    };
    if let Some(mut lazy) = object.downcast_mut::<Lazy>() {
        lazy.redefined = true;
    }
}

/// Notes that something knows `object` from now on without a handle.
pub(super) fn marked(object: &JsObject) {
    if let Some(mut lazy) = object.downcast_mut::<Lazy>() {
        lazy.marked = true;
    }
}

/// The lazy object that `this` is, stands for or inherits from, and whether it inherits.
fn holder(this: &JsValue, context: &mut Context) -> JsResult<(JsObject, bool)> {
    let (mut object, mut inherits) = (this.as_object(), false);
    // A chain of prototypes has an end, but a script may make it long.
    for _ in 0..MAX_DEPTH {
        let Some(found) = object else { break };
        if found.is::<Lazy>() {
            return Ok((found, inherits));
        }
        object = target_of(&found, context);
        if object.is_none() {
            inherits = true;
            object = found.prototype();
        }
    }
    Err(JsNativeError::typ()
        .with_message("this key belongs to an item")
        .into())
}

/// The member at `index` of a lazy object, made when it is read first.
fn read(this: &JsValue, index: usize, context: &mut Context) -> JsResult<JsValue> {
    let (object, _) = holder(this, context)?;
    let (record, offset, part) = {
        let Some(lazy) = object.downcast_ref::<Lazy>() else {
            return Ok(JsValue::undefined());
        };
        if let Some(child) = lazy.child(index) {
            return Ok(child.clone());
        }
        (lazy.record.clone(), lazy.offset, lazy.part)
    };
    let bytes = record.read();
    let Some((name, node)) = Flat::at(&bytes, offset).pair(index) else {
        return Ok(JsValue::undefined());
    };
    let read = value(&record, node, part.child(name), context)?;
    let is_small = match node.kind() {
        Kind::Text => node
            .text_bytes()
            .is_some_and(|text| text.len() <= MAX_BYTES),
        Kind::List | Kind::Object => false,
        Kind::Null | Kind::Bool | Kind::Int | Kind::Float => true,
    };
    // A small value is as good made anew.
    if !is_small && let Some(mut lazy) = object.downcast_mut::<Lazy>() {
        lazy.keep(index, read.clone());
    }
    Ok(read)
}

fn write(this: &JsValue, index: usize, value: JsValue, context: &mut Context) -> JsResult<JsValue> {
    let (object, inherits) = holder(this, context)?;
    if inherits && let Some(receiver) = this.as_object() {
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
        lazy.keep(index, value);
    }
    Ok(JsValue::undefined())
}
