//! gRPC: calls, their messages and how they ended.
//!
//! In: field sections and bodies of an HTTP/2 stream. Out: the `grpc` object of request and response.
//! Messages are taken apart, decompressed and read by their descriptors when somebody reads them.
//! Never: a schema of its own. Standards: gRPC over HTTP/2 (PROTOCOL-HTTP2.md) and gRPC-Web
//! (PROTOCOL-WEB.md) of github.com/grpc/grpc.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::section::Facts;
use crate::bytes::Reader;
use crate::dissect::http::decode::{self, Coding, Codings};
use crate::dissect::protobuf::{Call, Descriptors, Read, Reading};
use crate::item::{Key, MAX_ITEM_BODY, Value};
use crate::packet::Endpoint;

/// Messages of one body that are listed; a body of the longest kind can hold fifty thousand.
const MAX_MESSAGES: usize = 1000;

/// Content type of all its kinds, in front of `+proto`, `-web`, `-web-text` and others.
const CONTENT_TYPE: &[u8] = b"application/grpc";

/// "Compressed-Flag" in front of a message.
const COMPRESSED: u8 = 0x01;

/// "The most significant bit of the first byte" tells gRPC-Web's trailers from its messages.
const TRAILERS: u8 = 0x80;

/// Status codes by number (statuscodes.md).
const STATUS: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Whether a message with these fields is one of a call.
pub(super) fn is_call(facts: &Facts) -> bool {
    let kind = facts.content_type().get(..CONTENT_TYPE.len());
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case(CONTENT_TYPE))
        || (facts.content_type().is_empty() && facts.grpc_status.is_some())
}

/// The number of a Grpc-Status; `None` when it is none.
pub(super) fn status(value: &[u8]) -> Option<u16> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

/// What a connection knows for reading the messages of its calls.
#[derive(Debug, Clone)]
pub(super) struct Schemas {
    /// All descriptors.
    pub(super) descriptors: Arc<Descriptors>,
    /// Who is asked; `None` when that is not known.
    pub(super) server: Option<Endpoint>,
}

/// Whose messages a body holds.
#[derive(Clone)]
pub(super) struct Which {
    pub(super) schemas: Schemas,
    /// Service and method.
    pub(super) path: Bytes,
    pub(super) is_request: bool,
    /// The packet that completed the call.
    pub(super) ordinal: u64,
}

/// Front and end of the method by which servers tell about themselves; versions stand in between.
const REFLECTION: (&[u8], &[u8]) = (
    b"/grpc.reflection.v1",
    b".ServerReflection/ServerReflectionInfo",
);

/// Whether a call of this path asks a server about itself.
pub(super) fn is_reflection(path: &[u8]) -> bool {
    path.starts_with(REFLECTION.0) && path.ends_with(REFLECTION.1)
}

impl Schemas {
    fn reflected(&self, ordinal: u64, response: &[u8]) {
        if let Some(server) = self.server {
            self.descriptors.reflected(server, ordinal, response);
        }
    }

    /// Learns from the messages of a reflection's response, as far as they are there; `at` is the
    /// place in `body` of the first that was not read yet.
    pub(super) fn learn(&self, facts: &Facts, body: &[u8], at: &mut usize, ordinal: u64) {
        loop {
            let mut reader = Reader::new(body.get(*at..).unwrap_or_default());
            let (Ok(flags), Ok(length)) = (reader.u8(), reader.u32()) else {
                return;
            };
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let Ok(sent) = reader.take(length) else {
                return;
            };
            *at += reader.offset();
            let coding = Coding::named(facts.grpc_encoding());
            match flags & COMPRESSED {
                0 => self.reflected(ordinal, sent),
                _ => {
                    if let (Some(plain), true) = decompressed(coding, sent, MAX_ITEM_BODY) {
                        self.reflected(ordinal, &plain);
                    }
                }
            }
        }
    }
}

/// The `grpc` object of a request.
pub(super) fn request(facts: &Facts, body: &Bytes, which: Which) -> Value {
    // "Path → "/" Service-Name "/" {method name}"
    let path = facts.target();
    let slash = memchr::memrchr(b'/', path).unwrap_or(path.len());
    let service = path.get(..slash).unwrap_or_default();
    let service = service.strip_prefix(b"/").unwrap_or(service);
    let method = path.get(slash + 1..).unwrap_or_default();
    Value::Object(vec![
        (Key::Static("service"), Value::Text(facts.piece(service))),
        (Key::Static("method"), Value::Text(facts.piece(method))),
        (
            Key::Static("messages"),
            messages(facts, &plain(facts, body), which),
        ),
    ])
}

/// The `grpc` object of a response.
pub(super) fn response(facts: &Facts, body: &Bytes, which: Which) -> Value {
    let body = plain(facts, body);
    let mut ended = (facts.grpc_status, facts.piece(facts.grpc_message()));
    if ended.0.is_none() && is_web(facts) {
        ended = web_trailers(&body);
    }
    let mut members = Vec::with_capacity(4);
    if let Some(status) = ended.0 {
        let name = STATUS.get(usize::from(status)).copied().unwrap_or("");
        members.push((Key::Static("status"), Value::Int(status.into())));
        members.push((Key::Static("statusName"), Value::Static(name)));
        members.push((Key::Static("message"), Value::lazy(ended.1, unescaped)));
    }
    members.push((Key::Static("messages"), messages(facts, &body, which)));
    Value::Object(members)
}

/// "The value portion of Status-Message is conceptually a Unicode string description of the error,
/// physically encoded as UTF-8 followed by percent-encoding."
fn unescaped(message: &Bytes) -> Value {
    let decoded: Vec<u8> = percent_encoding::percent_decode(message).collect();
    Value::Text(Bytes::from(decoded))
}

fn is_web(facts: &Facts) -> bool {
    let behind = facts.content_type().get(CONTENT_TYPE.len()..);
    behind.is_some_and(|kind| kind.starts_with(b"-web"))
}

/// The body as length-prefixed messages; gRPC-Web's text form is base64 on top of that.
fn plain(facts: &Facts, body: &Bytes) -> Bytes {
    let behind = facts.content_type().get(CONTENT_TYPE.len()..);
    if !behind.is_some_and(|kind| kind.starts_with(b"-web-text")) {
        return body.clone();
    }
    // "The text-encoded stream may contain base64 encoded messages ... each with its own padding."
    let mut decoded = Vec::with_capacity(body.len() / 4 * 3);
    for group in body.chunks_exact(4) {
        if STANDARD.decode_vec(group, &mut decoded).is_err() {
            break;
        }
    }
    Bytes::from(decoded)
}

/// How a call of gRPC-Web ended: its trailers stand behind its messages.
fn web_trailers(body: &Bytes) -> (Option<u16>, Bytes) {
    let mut found = (None, Bytes::new());
    let mut reader = Reader::new(body);
    while let (Ok(flags), Ok(length)) = (reader.u8(), reader.u32()) {
        let Some(payload) = usize::try_from(length)
            .ok()
            .and_then(|length| reader.take(length).ok())
        else {
            break;
        };
        if flags & TRAILERS == 0 {
            continue;
        }
        for line in payload.split(|byte| *byte == b'\n') {
            let at = memchr::memchr(b':', line).unwrap_or(line.len());
            let (name, value) = line.split_at(at);
            let value = value.strip_prefix(b":").unwrap_or_default().trim_ascii();
            if name.eq_ignore_ascii_case(b"grpc-status") {
                found.0 = status(value);
            } else if name.eq_ignore_ascii_case(b"grpc-message") {
                found.1 = body.slice_ref(value);
            }
        }
    }
    found
}

/// The messages of a body, made when somebody reads them.
fn messages(facts: &Facts, body: &Bytes, which: Which) -> Value {
    if body.is_empty() {
        return Value::List(Vec::new());
    }
    // "deflate" is zlib here as in HTTP.
    let coding = Coding::named(facts.grpc_encoding());
    Value::lazy_knowing(body.clone(), move |body| {
        let call = Call {
            server: which.schemas.server,
            path: std::str::from_utf8(&which.path).unwrap_or_default(),
            is_request: which.is_request,
            ordinal: which.ordinal,
        };
        let descriptors = &which.schemas.descriptors;
        descriptors.read(call, |reading| list(body, coding, reading))
    })
}

/// "Length-Prefixed-Message → Compressed-Flag Message-Length Message"
fn list(body: &Bytes, coding: Coding, reading: &mut Reading<'_, '_>) -> Value {
    let mut listed = Vec::new();
    let mut room = MAX_ITEM_BODY;
    let mut reader = Reader::new(body);
    while let (Ok(flags), Ok(length)) = (reader.u8(), reader.u32()) {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let there = length.min(reader.left());
        let sent = reader.take(there).unwrap_or_default();
        if flags & TRAILERS != 0 {
            continue;
        }
        if listed.len() == MAX_MESSAGES {
            break;
        }
        let (data, whole) = match flags & COMPRESSED != 0 && room > 0 {
            true => decompressed(coding, sent, room),
            false => (None, flags & COMPRESSED == 0),
        };
        let undone = data.is_some();
        let data = data.unwrap_or_else(|| body.slice_ref(sent));
        if undone {
            room = room.saturating_sub(data.len());
        }
        let mut members = vec![
            (
                Key::Static("compressed"),
                Value::Bool(flags & COMPRESSED != 0),
            ),
            (
                Key::Static("size"),
                Value::Int(i64::try_from(length).unwrap_or(i64::MAX)),
            ),
            (Key::Static("data"), Value::Base64(data.clone())),
        ];
        let mut left_out = false;
        // What is still compressed is no message.
        if flags & COMPRESSED == 0 || undone {
            match reading.message(&data) {
                Some((Read::Named(value), cut)) => {
                    members.push((Key::Static("message"), value));
                    left_out = cut;
                }
                Some((Read::Numbered(value), cut)) => {
                    members.push((Key::Static("fields"), value));
                    left_out = cut;
                }
                None => {}
            }
        }
        if !whole || there < length || left_out {
            members.push((Key::Static("truncated"), Value::Bool(true)));
        }
        listed.push(Value::Object(members));
    }
    Value::List(listed)
}

/// A compressed message as it was before, and whether nothing of it is missing; `None` when that
/// cannot be known.
fn decompressed(coding: Coding, sent: &[u8], room: usize) -> (Option<Bytes>, bool) {
    let mut codings = Codings::default();
    codings.push(coding);
    match decode::decode(codings, sent) {
        Some(mut decoded) => {
            let whole = decoded.whole && decoded.bytes.len() <= room;
            decoded.bytes.truncate(room);
            (Some(Bytes::from(decoded.bytes)), whole)
        }
        None => (None, true),
    }
}
