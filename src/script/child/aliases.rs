//! Names of Go fields as aliases of an item's keys: `data.Protocol.Name`, `data.pcapFile`.
//!
//! In: which part of an item an object is. Out: prototypes, one a part, with non-enumerable
//! accessors that lead to the real keys. Never: aliases inside maps whose keys come from traffic
//! (headers, cookies, queryString).

use std::cell::{Cell, RefCell};
use std::collections::HashSet;

use boa_engine::object::FunctionObjectBuilder;
use boa_engine::object::builtins::JsFunction;
use boa_engine::property::{PropertyDescriptor, PropertyKey};
use boa_engine::{Context, JsObject, JsResult, JsString, JsValue, NativeFunction};

/// Aliases that the keys of requests and responses may make; dissectors have some hundred keys.
const MAX_LEARNT: usize = 1024;

/// Bytes of a key that makes one.
const MAX_NAME: usize = 40;

/// What an object is within an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The item itself.
    Root,
    /// `node`.
    Node,
    /// `protocol`.
    Protocol,
    /// `src`, `dst`.
    Peer,
    /// `error`.
    Error,
    /// `request`, `response`, `data`, and what is in them.
    Message,
    /// Anything without aliases.
    Plain,
}

impl Part {
    /// What the member called `name` is.
    pub(crate) fn child(self, name: &[u8]) -> Part {
        match (self, name) {
            (Part::Root, b"node") => Part::Node,
            (Part::Root, b"protocol") => Part::Protocol,
            (Part::Root, b"src" | b"dst") => Part::Peer,
            (Part::Root, b"error") => Part::Error,
            (Part::Root, b"request" | b"response" | b"data") => Part::Message,
            (Part::Message, b"headers" | b"cookies" | b"queryString") => Part::Plain,
            (Part::Message, _) => Part::Message,
            _ => Part::Plain,
        }
    }
}

/// Alias and key, a part.
const ROOT: &[(&str, &str)] = &[
    ("Id", "id"),
    ("Index", "index"),
    ("Stream", "stream"),
    ("pcapFile", "stream"),
    ("Worker", "worker"),
    ("Node", "node"),
    ("Protocol", "protocol"),
    ("Tls", "tls"),
    ("Source", "src"),
    ("Destination", "dst"),
    ("Outgoing", "outgoing"),
    ("Timestamp", "timestamp"),
    ("StartTime", "startTime"),
    ("Request", "request"),
    ("Response", "response"),
    ("RequestRef", "requestRef"),
    ("ResponseRef", "responseRef"),
    ("RequestSize", "requestSize"),
    ("ResponseSize", "responseSize"),
    ("ElapsedTime", "elapsedTime"),
    ("Passed", "passed"),
    ("Failed", "failed"),
    ("Error", "error"),
    ("EntryFile", "entryFile"),
    ("Record", "record"),
    ("Event", "event"),
    ("Base", "base"),
    ("Capture", "capture"),
    ("Checksums", "checksums"),
    ("Duplicate", "duplicate"),
    ("Data", "data"),
    ("DataRef", "dataRef"),
    ("Size", "size"),
];
const NODE: &[(&str, &str)] = &[("IP", "ip"), ("Name", "name")];
const PROTOCOL: &[(&str, &str)] = &[
    ("Name", "name"),
    ("Version", "version"),
    ("Abbreviation", "abbr"),
    ("LongName", "longName"),
    ("Macro", "macro"),
    ("Layer4", "layer4"),
    ("Layer3", "layer3"),
    ("Ports", "ports"),
    ("Priority", "priority"),
];
const PEER: &[(&str, &str)] = &[
    ("IP", "ip"),
    ("Port", "port"),
    ("Name", "name"),
    ("Namespace", "namespace"),
    ("Pod", "pod"),
    ("EndpointSlice", "endpointSlice"),
    ("Service", "service"),
    ("CgroupID", "cgroupId"),
    ("ContainerID", "containerId"),
    ("SocketID", "socketId"),
    ("ProcessID", "processId"),
    ("ProcessName", "processName"),
];
const ERROR: &[(&str, &str)] = &[("Type", "type"), ("Message", "msg")];

/// The prototypes of one context.
pub(crate) struct Aliases {
    root: JsObject,
    node: JsObject,
    protocol: JsObject,
    peer: JsObject,
    error: JsObject,
    message: JsObject,
    learnt: RefCell<HashSet<Box<str>>>,
    full: Cell<bool>,
}

impl Aliases {
    /// Makes the prototypes.
    pub(crate) fn new(context: &mut Context) -> Aliases {
        let mut made = |aliases: &[(&str, &str)]| {
            let prototype = JsObject::with_object_proto(context.intrinsics());
            for (alias, key) in aliases {
                define(&prototype, alias, key, context);
            }
            prototype
        };
        Aliases {
            root: made(ROOT),
            node: made(NODE),
            protocol: made(PROTOCOL),
            peer: made(PEER),
            error: made(ERROR),
            message: made(&[]),
            learnt: RefCell::default(),
            full: Cell::new(false),
        }
    }

    /// Whether an object of an item inherits `key` from one that is for items alone.
    pub(crate) fn have(&self, key: &PropertyKey) -> bool {
        [
            &self.root,
            &self.node,
            &self.protocol,
            &self.peer,
            &self.error,
            &self.message,
        ]
        .iter()
        .any(|prototype| prototype.borrow().properties().contains_key(key))
    }

    /// The prototype of objects that are `part`.
    pub(crate) fn prototype(&self, part: Part, context: &Context) -> JsObject {
        match part {
            Part::Root => self.root.clone(),
            Part::Node => self.node.clone(),
            Part::Protocol => self.protocol.clone(),
            Part::Peer => self.peer.clone(),
            Part::Error => self.error.clone(),
            Part::Message => self.message.clone(),
            Part::Plain => context.intrinsics().constructors().object().prototype(),
        }
    }

    /// Makes the capitalised alias of a key of a request or response, once.
    pub(crate) fn learn(&self, part: Part, key: &str, context: &mut Context) {
        if part != Part::Message || self.full.get() || self.learnt.borrow().contains(key) {
            return;
        }
        // Other keys are names of traffic, of which there may be any number.
        let is_name = key.len() <= MAX_NAME && key.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let mut letters = key.chars();
        if let Some(first) = letters
            .next()
            .filter(|first| is_name && first.is_ascii_lowercase())
        {
            let mut learnt = self.learnt.borrow_mut();
            learnt.insert(key.into());
            self.full.set(learnt.len() >= MAX_LEARNT);
            let alias = format!("{}{}", first.to_ascii_uppercase(), letters.as_str());
            define(&self.message, &alias, key, context);
        }
    }
}

fn define(prototype: &JsObject, alias: &str, key: &str, context: &mut Context) {
    let key = JsString::from(key);
    let read = NativeFunction::from_copy_closure_with_captures(read, key.clone());
    let write = NativeFunction::from_copy_closure_with_captures(write, key);
    let realm = context.realm().clone();
    let function = |native| -> JsFunction { FunctionObjectBuilder::new(&realm, native).build() };
    let accessor = PropertyDescriptor::builder()
        .get(function(read))
        .set(function(write))
        .enumerable(false)
        .configurable(true);
    prototype.insert_property(JsString::from(alias), accessor.build());
}

fn read(this: &JsValue, _: &[JsValue], key: &JsString, context: &mut Context) -> JsResult<JsValue> {
    match this.as_object() {
        Some(object) => object.get(key.clone(), context),
        None => Ok(JsValue::undefined()),
    }
}

fn write(
    this: &JsValue,
    args: &[JsValue],
    key: &JsString,
    context: &mut Context,
) -> JsResult<JsValue> {
    if let Some(object) = this.as_object() {
        let value = args.first().cloned().unwrap_or_default();
        object.set(key.clone(), value, true, context)?;
    }
    Ok(JsValue::undefined())
}
