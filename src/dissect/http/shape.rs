//! The item's shape: from messages to the values that users see.
//!
//! In: heads, bodies and what was counted. Out: `request` and `response` of the data item. Parts
//! that cost something (fields, cookies, query, decoded bodies) are made when somebody reads them.
//! Never: stream state. Shape: HTTP Archive 1.2 as the drop-in's data item has it.

use std::ops::Range;

use bytes::Bytes;

use super::decode::{self, Codings};
use super::kept::Kept;
use super::maps;
use super::parser::{self, Head, StartLine, Version};
use crate::bytes::Reader;
use crate::item::{Key, Value};

/// How the fields of a head are read once somebody asks.
pub(super) struct Form {
    /// All fields by name.
    pub headers: fn(&Bytes) -> Value,
    /// Those of the Cookie fields.
    pub request_cookies: fn(&Bytes) -> Value,
    /// Those of the Set-Cookie fields.
    pub response_cookies: fn(&Bytes) -> Value,
}

/// Heads of HTTP/1.x.
static FORM: Form = Form {
    headers: maps::headers,
    request_cookies: maps::request_cookies,
    response_cookies: maps::response_cookies,
};

/// The fields of one message.
pub(super) struct Fields {
    /// The bytes that `form` reads.
    pub bytes: Bytes,
    /// How they are read.
    pub form: &'static Form,
    /// Whether there is a Cookie or Set-Cookie.
    pub cookies: bool,
}

/// The body of one message.
pub(super) struct Content {
    /// Bytes as sent, without framing.
    pub size: u64,
    /// What is kept of them.
    pub kept: Kept,
    /// What they are compressed with.
    pub codings: Codings,
    /// Content-Type.
    pub content_type: Bytes,
    /// Whether a request shows it in base64, as a response always does.
    pub binary: bool,
}

/// What a request is shown with, whichever version of HTTP it came by.
pub(super) struct Request {
    /// The method.
    pub method: Bytes,
    /// The request target, query included.
    pub target: Bytes,
    /// As `HTTP/1.1`.
    pub version: Value,
    /// The fields.
    pub fields: Fields,
    /// The body.
    pub content: Content,
}

/// What a response is shown with, whichever version of HTTP it came by.
pub(super) struct Response {
    /// The status code.
    pub status: u16,
    /// The reason phrase.
    pub reason: Bytes,
    /// As `HTTP/1.1`.
    pub version: Value,
    /// Location.
    pub location: Bytes,
    /// The fields.
    pub fields: Fields,
    /// The body.
    pub content: Content,
}

/// Fields and body of a message of HTTP/1.x.
fn parts(
    bytes: Bytes,
    fields: parser::Fields,
    body_size: u64,
    kept: Kept,
) -> (Fields, Content, Bytes) {
    let content = Content {
        size: body_size,
        kept,
        codings: fields.codings,
        content_type: fields.content_type,
        binary: false,
    };
    let shown = Fields {
        bytes,
        form: &FORM,
        cookies: fields.cookies,
    };
    (shown, content, fields.location)
}

/// The request object of HTTP/1.x.
pub(super) fn request(head: Head, body_size: u64, kept: Kept) -> Value {
    let StartLine::Request { method, target } = head.start else {
        return Value::Null;
    };
    let (fields, content, _) = parts(head.bytes, head.fields, body_size, kept);
    request_object(Request {
        method,
        target,
        version: version(head.version),
        fields,
        content,
    })
}

/// The response object of HTTP/1.x.
pub(super) fn response(head: Head, body_size: u64, kept: Kept) -> Value {
    let StartLine::Response { status, reason } = head.start else {
        return Value::Null;
    };
    let (fields, content, location) = parts(head.bytes, head.fields, body_size, kept);
    response_object(Response {
        status,
        reason,
        version: version(head.version),
        location,
        fields,
        content,
    })
}

/// The request object.
pub(super) fn request_object(request: Request) -> Value {
    let Request {
        method,
        target,
        version,
        fields,
        content,
    } = request;
    let (path, query) = split_target(&method, &target);
    let (path, query) = (target.slice(path), target.slice(query));
    let mut members = Vec::with_capacity(13);
    let mut put = |name, value| members.push((Key::Static(name), value));
    put("method", Value::Text(method));
    put("url", Value::Text(target.clone()));
    put("targetUri", Value::Text(target));
    put("path", Value::Text(path.clone()));
    put("pathSegments", Value::lazy(path, path_segments));
    put("httpVersion", version);
    put(
        "headers",
        Value::lazy(fields.bytes.clone(), fields.form.headers),
    );
    put(
        "cookies",
        match fields.cookies {
            true => Value::lazy(fields.bytes, fields.form.request_cookies),
            false => Value::Object(Vec::new()),
        },
    );
    put(
        "queryString",
        match query.is_empty() {
            true => Value::Object(Vec::new()),
            false => Value::lazy(query, maps::query_string),
        },
    );
    put("headersSize", Value::Int(-1));
    put("bodySize", int(content.size));
    if content.size > 0 || content.kept.cut {
        put("postData", request_content(content));
    }
    Value::Object(members)
}

/// The response object.
pub(super) fn response_object(response: Response) -> Value {
    let fields = response.fields;
    let size = response.content.size;
    let cookies = match fields.cookies {
        true => Value::lazy(fields.bytes.clone(), fields.form.response_cookies),
        false => Value::Object(Vec::new()),
    };
    let mut members = Vec::with_capacity(10);
    let mut put = |name, value| members.push((Key::Static(name), value));
    put("status", Value::Int(response.status.into()));
    put("statusText", Value::Text(response.reason));
    put("httpVersion", response.version);
    put("headers", Value::lazy(fields.bytes, fields.form.headers));
    put("cookies", cookies);
    put("content", response_content(response.content));
    put("redirectURL", Value::Text(response.location));
    put("headersSize", Value::Int(-1));
    put("bodySize", int(size));
    Value::Object(members)
}

fn request_content(body: Content) -> Value {
    let (codings, mime) = (body.codings, body.content_type);
    if codings.is_compressed() && body.kept.len() > 0 && !body.binary {
        return Value::lazy(pack(codings, &mime, &body.kept), post_data_decoded);
    }
    let cut = body.kept.cut;
    let bytes = body.kept.into_bytes();
    let text = match body.binary {
        true => Value::Base64(bytes),
        false => Value::Text(bytes),
    };
    post_data(mime, text, cut)
}

fn response_content(body: Content) -> Value {
    let (codings, mime) = (body.codings, body.content_type);
    if codings.is_compressed() && body.kept.len() > 0 {
        return Value::lazy(pack(codings, &mime, &body.kept), content_decoded);
    }
    let cut = body.kept.cut;
    content(body.size, mime, body.kept.into_bytes(), cut)
}

/// The response object of an exchange whose response was never seen: scripts read its members
/// without asking first.
pub(super) fn no_response() -> Value {
    let empty = || Value::Object(Vec::new());
    Value::Object(vec![
        (Key::Static("status"), Value::Int(0)),
        (Key::Static("statusText"), Value::Static("")),
        (Key::Static("httpVersion"), Value::Static("")),
        (Key::Static("headers"), empty()),
        (Key::Static("cookies"), empty()),
        (
            Key::Static("content"),
            content(0, Bytes::new(), Bytes::new(), false),
        ),
        (Key::Static("redirectURL"), Value::Static("")),
        (Key::Static("headersSize"), Value::Int(-1)),
        (Key::Static("bodySize"), Value::Int(0)),
    ])
}

fn int(number: u64) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

fn version(version: Version) -> Value {
    match version {
        Version::Missing => Value::Static(""),
        Version::Named(1, 0) => Value::Static("HTTP/1.0"),
        Version::Named(1, 1) => Value::Static("HTTP/1.1"),
        Version::Named(major, minor) => Value::text(format!("HTTP/{major}.{minor}")),
    }
}

/// Where path and query of a request target lie, whatever its form (RFC 9112 section 3.2).
fn split_target(method: &[u8], target: &[u8]) -> (Range<usize>, Range<usize>) {
    if method == b"CONNECT" && !target.starts_with(b"/") {
        return (0..0, 0..0);
    }
    let start = match target.first() {
        Some(b'/' | b'*' | b'?') | None => 0,
        // absolute-form: the path begins at the first slash behind the authority.
        Some(_) => match memchr::memmem::find(target, b"://") {
            Some(scheme) => {
                let behind = target.get(scheme + 3..).unwrap_or_default();
                let path = behind
                    .iter()
                    .position(|byte| matches!(byte, b'/' | b'?' | b'#'));
                path.map_or(target.len(), |path| scheme + 3 + path)
            }
            None => 0,
        },
    };
    let rest = target.get(start..).unwrap_or_default();
    let end = memchr::memchr(b'#', rest).unwrap_or(rest.len());
    match memchr::memchr(b'?', rest).filter(|at| *at < end) {
        Some(at) => (start..start + at, start + at + 1..start + end),
        None => (start..start + end, 0..0),
    }
}

/// The path in the target of a request.
pub(super) fn path_of<'t>(method: &[u8], target: &'t [u8]) -> Option<&'t [u8]> {
    target.get(split_target(method, target).0)
}

fn path_segments(path: &Bytes) -> Value {
    let tail = path.strip_prefix(b"/").unwrap_or(path);
    if path.is_empty() {
        return Value::List(Vec::new());
    }
    let segments = tail.split(|byte| *byte == b'/');
    Value::List(
        segments
            .map(|segment| Value::Text(path.slice_ref(segment)))
            .collect(),
    )
}

fn content(size: u64, mime: Bytes, text: Bytes, cut: bool) -> Value {
    let mut members = Vec::with_capacity(5);
    members.push((Key::Static("size"), int(size)));
    members.push((Key::Static("mimeType"), Value::Text(mime)));
    members.push((Key::Static("encoding"), Value::Static("base64")));
    if !text.is_empty() {
        members.push((Key::Static("text"), Value::Base64(text)));
    }
    if cut {
        members.push((Key::Static("truncated"), Value::Bool(true)));
    }
    Value::Object(members)
}

fn post_data(mime: Bytes, text: Value, cut: bool) -> Value {
    let mut members = Vec::with_capacity(4);
    members.push((Key::Static("mimeType"), Value::Text(mime)));
    members.push((Key::Static("params"), Value::List(Vec::new())));
    members.push((Key::Static("text"), text));
    if cut {
        members.push((Key::Static("truncated"), Value::Bool(true)));
    }
    Value::Object(members)
}

/// Puts a compressed body together with what it takes to show it.
///
/// ```text
/// codings u16, cut u8, mime type length u32, mime type, body
/// ```
fn pack(codings: Codings, mime: &Bytes, kept: &Kept) -> Bytes {
    let mut packed = Vec::with_capacity(7 + mime.len() + kept.len());
    packed.extend_from_slice(&codings.to_bits().to_be_bytes());
    packed.push(u8::from(kept.cut));
    packed.extend_from_slice(&u32::try_from(mime.len()).unwrap_or(0).to_be_bytes());
    packed.extend_from_slice(mime);
    packed.extend_from_slice(kept.as_slice());
    Bytes::from(packed)
}

struct Unpacked {
    size: u64,
    mime: Bytes,
    text: Bytes,
    cut: bool,
}

/// Unpacks and decodes; a body that is not what its coding says is shown as it was sent.
fn unpack(packed: &Bytes) -> Option<Unpacked> {
    let mut reader = Reader::new(packed);
    let codings = Codings::from_bits(reader.u16().ok()?);
    let cut = reader.u8().ok()? != 0;
    let length = usize::try_from(reader.u32().ok()?).ok()?;
    let mime = packed.slice_ref(reader.take(length).ok()?);
    let body = packed.slice_ref(reader.rest());
    Some(match decode::decode(codings, &body) {
        Some(decoded) => Unpacked {
            size: decoded.size,
            mime,
            text: Bytes::from(decoded.bytes),
            cut: cut || !decoded.whole,
        },
        None => Unpacked {
            size: body.len() as u64,
            mime,
            text: body,
            cut,
        },
    })
}

fn content_decoded(packed: &Bytes) -> Value {
    match unpack(packed) {
        Some(body) => content(body.size, body.mime, body.text, body.cut),
        None => Value::Null,
    }
}

fn post_data_decoded(packed: &Bytes) -> Value {
    match unpack(packed) {
        Some(body) => post_data(body.mime, Value::Text(body.text), body.cut),
        None => Value::Null,
    }
}
