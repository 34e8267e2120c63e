//! A request and its response while they are being put together.
//!
//! In: heads and what follows them. Out: a [`Draft`] once both are there, or once it is known that
//! one will not come; and the bytes from which a later reel goes on. Never: framing, pairing.

use std::sync::OnceLock;

use bytes::Bytes;

use super::graphql;
use super::kept::Kept;
use super::outline;
use super::parser::{self, Head, StartLine, Version};
use super::shape;
use super::{HTTP_1_0, HTTP_1_1};
use crate::bytes::Reader;
use crate::dissect::Draft;
use crate::item::{ItemError, MAX_ITEM_BODY, Value};
use crate::packet::Direction;
use crate::time::Timestamp;

/// Errors that an item can have (`docs/reference/item.md`), in the order of a save's numbers.
const KINDS: [&str; 3] = ["dissection", "connection", "pair-not-found"];

/// The bytes are against the standard or incomplete.
pub(super) const DISSECTION: &str = KINDS[0];
/// The connection ended too early.
pub(super) const CONNECTION: &str = KINDS[1];
/// The other side of the exchange was not captured.
pub(super) const PAIR_NOT_FOUND: &str = KINDS[2];

/// Longest error sentence that a save may hold.
const MAX_ERROR: usize = 512;

/// One message.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// Its head.
    pub head: Head,
    /// What is kept of its body.
    pub kept: Kept,
    /// Its trailer fields in the form of [`parser::add_trailer`].
    pub trailers: Vec<u8>,
    /// Bytes of its body without framing, those never seen included.
    pub body_size: u64,
    /// Bytes of its body that were never seen.
    pub missing: u64,
    /// Bytes on the stream as captured.
    pub size: u64,
    /// Time of its first packet.
    pub ts: Timestamp,
    /// Whether all of it is there.
    pub done: bool,
    /// Whether no byte of it lies in a batch.
    pub settled: bool,
    /// Its whole value, once somebody has read more of it than it tells.
    pub made: OnceLock<Value>,
}

/// A request and its response; at least one of them is there.
#[derive(Debug, Clone, Default)]
pub(super) struct Exchange {
    /// The request; `None` until it is known, perhaps for ever.
    pub request: Option<Box<Message>>,
    /// The final response; `None` until it comes, perhaps for ever.
    pub response: Option<Box<Message>>,
    /// Bytes of interim responses (1xx).
    pub interim_size: u64,
    /// Whether no response is awaited any more.
    pub abandoned: bool,
    /// What went wrong first.
    pub error: Option<ItemError>,
    /// Ordinal of the last packet that added to it.
    pub ordinal: u64,
}

impl Exchange {
    /// Whether its response is still to come.
    pub(super) fn is_waiting(&self) -> bool {
        self.response.is_none() && !self.abandoned
    }

    /// Whether its request came in the same chunk as this one.
    pub(super) fn is_asked_with(&self, request: &Message, ordinal: u64) -> bool {
        let asked = self.request.as_ref().map(|message| message.ts);
        self.ordinal == ordinal && asked == Some(request.ts)
    }
}

impl Message {
    /// A message of which the head was read.
    pub(super) fn new(head: Head, size: usize, ts: Timestamp) -> Box<Message> {
        Box::new(Message {
            head,
            kept: Kept::default(),
            trailers: Vec::new(),
            body_size: 0,
            missing: 0,
            size: size as u64,
            ts,
            done: false,
            settled: false,
            made: OnceLock::new(),
        })
    }

    /// Takes its bytes out of the batch that they lie in.
    pub(super) fn settle(&mut self) {
        if !std::mem::replace(&mut self.settled, true) {
            self.head.own();
            self.kept.own();
        }
    }

    /// Takes a line of the trailer section, and tells how many bytes that keeps; one that is no
    /// field is passed over.
    pub(super) fn add_trailer(&mut self, line: &[u8]) -> usize {
        let before = self.trailers.len();
        parser::add_trailer(line, &mut self.trailers);
        self.trailers.len() - before
    }

    /// The method; empty for a response.
    pub(super) fn method(&self) -> &[u8] {
        match &self.head.start {
            StartLine::Request { method, .. } => method,
            StartLine::Response { .. } => &[],
        }
    }

    /// Whether it asks for a GraphQL operation.
    fn is_graphql(&self) -> bool {
        let StartLine::Request { method, target } = &self.head.start else {
            return false;
        };
        let request = graphql::Request {
            method,
            target,
            content_type: &self.head.fields.content_type,
            codings: self.head.fields.codings,
            body: self.kept.as_slice(),
        };
        request.is_graphql()
    }

    /// Bytes that it holds in memory, roughly.
    pub(super) fn weight(&self) -> usize {
        self.head.bytes.len() + self.kept.len() + self.trailers.len()
    }
}

impl Exchange {
    /// Notes what went wrong, unless something already did.
    pub(super) fn fail(&mut self, kind: &'static str, msg: impl Into<String>) {
        if self.error.is_none() {
            self.error = Some(ItemError {
                kind,
                msg: msg.into(),
            });
        }
    }

    /// Bytes that it holds in memory, roughly.
    pub(super) fn weight(&self) -> usize {
        let weight =
            |message: &Option<Box<Message>>| message.as_ref().map_or(0, |message| message.weight());
        weight(&self.request) + weight(&self.response)
    }

    /// The item.
    pub(super) fn into_draft(mut self, asks: Direction) -> Draft {
        for (side, message) in [("request", &self.request), ("response", &self.response)] {
            let missing = message.as_ref().map_or(0, |message| message.missing);
            if missing > 0 && self.error.is_none() {
                self.error = Some(ItemError {
                    kind: DISSECTION,
                    msg: format!("{missing} bytes of the {side}'s body were not captured"),
                });
            }
        }
        if self.request.is_none() {
            self.fail(PAIR_NOT_FOUND, "no request was captured for this response");
        } else if self.response.is_none() {
            self.fail(PAIR_NOT_FOUND, "no response was captured");
        }
        let asked = self.request.as_ref().map(|message| message.ts);
        let answered = self.response.as_ref().map(|message| message.ts);
        let first = self.request.as_ref().or(self.response.as_ref());
        let version = first.map(|message| message.head.version);
        let graphql = self.request.as_deref().is_some_and(Message::is_graphql);
        let (request_size, request) = match self.request {
            Some(message) => (message.size, outline::of(message)),
            None => (0, Value::Null),
        };
        let (response_size, response) = match self.response {
            Some(message) => (message.size, outline::of(message)),
            None => (0, shape::no_response()),
        };
        let elapsed = match (asked, answered) {
            (Some(asked), Some(answered)) => answered.since(asked).as_nanos(),
            _ => 0,
        };
        Draft {
            kind: match version {
                _ if graphql => &graphql::KINDS[0],
                Some(Version::Named(1, 0)) => &HTTP_1_0,
                _ => &HTTP_1_1,
            },
            from_client: asks == Direction::ToServer,
            start: asked.or(answered).unwrap_or_default(),
            elapsed_nanos: u64::try_from(elapsed).unwrap_or(u64::MAX),
            request_size,
            response_size: response_size + self.interim_size,
            request,
            response,
            data: Value::Null,
            error: self.error,
            ordinal: self.ordinal,
        }
    }

    /// Writes it for [`Exchange::load`].
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.abandoned));
        out.extend_from_slice(&self.interim_size.to_be_bytes());
        out.extend_from_slice(&self.ordinal.to_be_bytes());
        save_error(self.error.as_ref(), out);
        for message in [&self.request, &self.response] {
            match message {
                Some(message) => {
                    out.push(1);
                    message.save(out);
                }
                None => out.push(0),
            }
        }
    }

    /// Reads one back; `None` when the bytes are not those of a save.
    pub(super) fn load(from: &mut Reader<'_>) -> Option<Exchange> {
        let abandoned = flag(from)?;
        let interim_size = from.u64().ok()?;
        let ordinal = from.u64().ok()?;
        let error = load_error(from)?;
        let mut side = |asks| match flag(from)? {
            true => Message::load(from, asks).map(|message| Some(Box::new(message))),
            false => Some(None),
        };
        let (request, response) = (side(true)?, side(false)?);
        (request.is_some() || response.is_some()).then_some(Exchange {
            request,
            response,
            interim_size,
            abandoned,
            error,
            ordinal,
        })
    }
}

/// What a save has for [`Version::Missing`].
const NO_VERSION: u8 = 0xff;

/// The longest head that is kept, with what a repair may add.
const MAX_SAVED_HEAD: usize = 2 * parser::MAX_HEAD;

impl Message {
    fn save(&self, out: &mut Vec<u8>) {
        match &self.head.start {
            StartLine::Request { method, target } => {
                save_bytes(method, out);
                save_bytes(target, out);
            }
            StartLine::Response { status, reason } => {
                save_bytes(&status.to_be_bytes(), out);
                save_bytes(reason, out);
            }
        }
        out.extend_from_slice(&match self.head.version {
            Version::Missing => [NO_VERSION; 2],
            Version::Named(major, minor) => [major, minor],
        });
        save_bytes(&self.head.bytes, out);
        save_bytes(self.kept.as_slice(), out);
        out.push(u8::from(self.kept.cut));
        save_bytes(&self.trailers, out);
        out.push(u8::from(self.done));
        for number in [self.body_size, self.missing, self.size] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(&self.ts.nanos().to_be_bytes());
    }

    fn load(from: &mut Reader<'_>, asks: bool) -> Option<Message> {
        let mut piece = |most| load_bytes(from, most).map(Bytes::copy_from_slice);
        let (first, second) = (piece(MAX_SAVED_HEAD)?, piece(MAX_SAVED_HEAD)?);
        let start = match asks {
            true => StartLine::Request {
                method: first,
                target: second,
            },
            false => StartLine::Response {
                status: u16::from_be_bytes(first.as_ref().try_into().ok()?),
                reason: second,
            },
        };
        let version = match (from.u8().ok()?, from.u8().ok()?) {
            (NO_VERSION, NO_VERSION) => Version::Missing,
            (major, minor) if major < 10 && minor < 10 => Version::Named(major, minor),
            _ => return None,
        };
        let bytes = Bytes::copy_from_slice(load_bytes(from, MAX_SAVED_HEAD)?);
        let fields = parser::fields_again(&bytes, asks)?;
        let mut kept = Kept::default();
        kept.push(Bytes::copy_from_slice(load_bytes(from, MAX_ITEM_BODY)?));
        kept.cut = flag(from)?;
        let trailers = load_bytes(from, MAX_SAVED_HEAD)?.to_vec();
        Some(Message {
            head: Head {
                start,
                version,
                bytes,
                fields,
            },
            kept,
            trailers,
            done: flag(from)?,
            settled: true,
            made: OnceLock::new(),
            body_size: from.u64().ok()?,
            missing: from.u64().ok()?,
            size: from.u64().ok()?,
            ts: Timestamp::from_nanos(from.u64().ok()?.cast_signed()),
        })
    }
}

/// Reads a byte that is 0 or 1.
pub(super) fn flag(from: &mut Reader<'_>) -> Option<bool> {
    match from.u8().ok()? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// Writes an error for [`load_error`].
pub(super) fn save_error(error: Option<&ItemError>, out: &mut Vec<u8>) {
    let Some(error) = error else {
        out.push(0);
        return;
    };
    let kind = KINDS
        .iter()
        .position(|kind| *kind == error.kind)
        .unwrap_or(0);
    out.push(u8::try_from(kind + 1).unwrap_or(1));
    let msg = error.msg.as_bytes();
    save_bytes(msg.get(..msg.len().min(MAX_ERROR)).unwrap_or_default(), out);
}

/// Reads an error back; `None` when the bytes are not those of a save.
pub(super) fn load_error(from: &mut Reader<'_>) -> Option<Option<ItemError>> {
    Some(match from.u8().ok()? {
        0 => None,
        kind => Some(ItemError {
            kind: KINDS.get(usize::from(kind) - 1)?,
            msg: String::from_utf8_lossy(load_bytes(from, MAX_ERROR)?).into_owned(),
        }),
    })
}

/// Writes bytes behind their length.
pub(super) fn save_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Reads bytes behind their length; `None` when they are more than `most`.
pub(super) fn load_bytes<'a>(from: &mut Reader<'a>, most: usize) -> Option<&'a [u8]> {
    let length = usize::try_from(from.u32().ok()?).ok()?;
    from.take(length).ok().filter(|_| length <= most)
}
