//! A message of a stream that tells what filters and lists read, and is put in the item's shape only
//! for more.
//!
//! In: a message that is over. Out: a value that equals the one of [`shape`], with what HTTP/2 and gRPC
//! add. Never: a copy of bytes.

use std::sync::OnceLock;

use bytes::Bytes;

use super::exchange::Message;
use super::grpc;
use super::section::{FORM, Facts};
use crate::dissect::http::graphql;
use crate::dissect::http::kept::Kept;
use crate::dissect::http::shape::{self, Content, Fields};
use crate::item::{Key, Outline, Told, Value};

/// A message on its way into an item.
#[derive(Clone)]
pub(super) struct Shown {
    facts: Facts,
    kept: Kept,
    body_size: u64,
    /// Of a call: whose messages the body holds.
    call: Option<grpc::Which>,
    role: Role,
    /// Its whole value, once somebody has read more of it than it tells.
    made: OnceLock<Value>,
}

/// Which side of the exchange a message is.
#[derive(Debug, Clone, Copy)]
enum Role {
    Request {
        /// Whether the server promised it.
        pushed: bool,
        /// Whether it came by HTTP/1.1.
        upgraded: bool,
    },
    Response,
}

impl Shown {
    /// A message whose side and call are still to be told.
    pub(super) fn new(message: Message) -> Shown {
        let mut kept = message.kept;
        kept.cut |= message.missing > 0;
        // What is made later takes the bytes along without copying them.
        kept.join();
        Shown {
            facts: Facts::of(message.section.into_lines()),
            kept,
            body_size: message.body_size,
            call: None,
            role: Role::Response,
            made: OnceLock::new(),
        }
    }

    /// Whether it is one of a call.
    pub(super) fn is_of_call(&self) -> bool {
        grpc::is_call(&self.facts)
    }

    /// Whether it asks for a GraphQL operation.
    pub(super) fn is_graphql(&self) -> bool {
        let request = graphql::Request {
            method: self.facts.method(),
            target: self.facts.target(),
            content_type: self.facts.content_type(),
            codings: self.facts.codings,
            body: self.kept.as_slice(),
        };
        request.is_graphql()
    }

    /// The request target.
    pub(super) fn target(&self) -> Bytes {
        self.facts.piece(self.facts.target())
    }

    /// The value of a request.
    pub(super) fn request(self, call: Option<grpc::Which>, pushed: bool, upgraded: bool) -> Value {
        self.outlined(call, Role::Request { pushed, upgraded })
    }

    /// The value of a response.
    pub(super) fn response(self, call: Option<grpc::Which>) -> Value {
        self.outlined(call, Role::Response)
    }

    fn outlined(self, call: Option<grpc::Which>, role: Role) -> Value {
        Value::Outlined(Box::new(Shown { call, role, ..self }))
    }

    fn parts(&self) -> (Fields, Content) {
        let fields = Fields {
            bytes: self.facts.lines.clone(),
            form: &FORM,
            cookies: self.facts.cookies,
        };
        let content = Content {
            size: self.body_size,
            kept: self.kept.clone(),
            codings: self.facts.codings,
            content_type: self.facts.piece(self.facts.content_type()),
            binary: self.call.is_some(),
        };
        (fields, content)
    }

    fn make_request(&self, pushed: bool) -> Value {
        let (fields, content) = self.parts();
        let shown = shape::request_object(shape::Request {
            method: self.facts.piece(self.facts.method()),
            target: self.target(),
            version: Value::Static(self.version()),
            fields,
            content,
        });
        let body = || self.kept.clone().share();
        let call = self.call.clone();
        let grpc = call.map(|which| grpc::request(&self.facts, &body(), which));
        with(
            shown,
            [
                ("grpc", grpc),
                ("pushed", pushed.then_some(Value::Bool(true))),
            ],
        )
    }

    fn make_response(&self) -> Value {
        let (fields, content) = self.parts();
        let shown = shape::response_object(shape::Response {
            status: self.facts.status,
            // "HTTP/2 does not define a way to carry the ... reason phrase" (RFC 9113 section 8.3.2).
            reason: Bytes::new(),
            version: Value::Static(self.version()),
            location: self.facts.piece(self.facts.location()),
            fields,
            content,
        });
        let body = || self.kept.clone().share();
        let call = self.call.clone();
        let grpc = call.map(|which| grpc::response(&self.facts, &body(), which));
        with(shown, [("grpc", grpc)])
    }

    fn version(&self) -> &'static str {
        match self.role {
            Role::Request { upgraded: true, .. } => "HTTP/1.1",
            _ => "HTTP/2.0",
        }
    }
}

/// An object with what else there is to tell.
fn with<const N: usize>(object: Value, more: [(&'static str, Option<Value>); N]) -> Value {
    let Value::Object(mut members) = object else {
        return object;
    };
    for (name, value) in more {
        if let Some(value) = value {
            members.push((Key::Static(name), value));
        }
    }
    Value::Object(members)
}

impl Outline for Shown {
    fn told(&self, name: &str) -> Option<Told<'_>> {
        let facts = &self.facts;
        match (self.role, name) {
            (Role::Request { .. }, "method") => Some(Told::Text(facts.method())),
            (Role::Request { .. }, "url" | "targetUri") => Some(Told::Text(facts.target())),
            (Role::Request { .. }, "path") => {
                shape::path_of(facts.method(), facts.target()).map(Told::Text)
            }
            (Role::Response, "status") => Some(Told::Int(facts.status.into())),
            (Role::Response, "statusText") => Some(Told::Text(&[])),
            (Role::Response, "redirectURL") => Some(Told::Text(facts.location())),
            (_, "httpVersion") => Some(Told::Static(self.version())),
            (_, "bodySize") => i64::try_from(self.body_size).ok().map(Told::Int),
            _ => None,
        }
    }

    fn whole(&self) -> &Value {
        self.made.get_or_init(|| match self.role {
            Role::Request { pushed, .. } => self.make_request(pushed),
            Role::Response => self.make_response(),
        })
    }

    fn copied(&self) -> Box<dyn Outline> {
        Box::new(self.clone())
    }
}
