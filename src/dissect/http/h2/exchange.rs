//! One stream of HTTP/2 while it is put together: a request and its response.
//!
//! In: sections and data of both sides. Out: a [`Draft`] once both are there, or once it is known that
//! one will not come; and the bytes from which a later reel goes on. Never: framing.

use bytes::Bytes;

use super::grpc;
use super::outline::Shown;
use super::section::{Facts, Section, Speaker};
use super::{GRPC, HTTP_2};
use crate::bytes::Reader;
use crate::dissect::Draft;
use crate::dissect::http::exchange::{
    DISSECTION, PAIR_NOT_FOUND, flag, load_bytes, load_error, save_bytes, save_error,
};
use crate::dissect::http::graphql;
use crate::dissect::http::kept::Kept;
use crate::dissect::http::shape;
use crate::item::{ItemError, MAX_ITEM_BODY, ProtocolInfo, Value};
use crate::packet::Direction;
use crate::time::Timestamp;

/// One side of a stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Message {
    /// Its field lines, trailers behind those of the head.
    pub section: Section,
    /// Whether its head was seen, and not only what comes behind it.
    pub headed: bool,
    /// What is kept of its body.
    pub kept: Kept,
    /// Bytes of its body without framing and padding, those never seen included.
    pub body_size: u64,
    /// Bytes of its body that were never seen.
    pub missing: u64,
    /// Bytes of its frames.
    pub size: u64,
    /// Time of its first packet.
    pub ts: Timestamp,
    /// Whether its end was seen.
    pub done: bool,
    /// Whether frames of it may have been missed, its end among them.
    pub holed: bool,
}

/// What a stream carries; at least one side is there.
#[derive(Debug, Clone, Default)]
pub(super) struct Exchange {
    /// The request; `None` until it is known, perhaps for ever.
    pub request: Option<Message>,
    /// The final response; `None` until it comes, perhaps for ever.
    pub response: Option<Message>,
    /// Bytes of interim responses (1xx).
    pub interim_size: u64,
    /// Whether the server promised the request instead of the client sending it.
    pub pushed: bool,
    /// Whether the request came by HTTP/1.1, before the upgrade.
    pub upgraded: bool,
    /// What went wrong first.
    pub error: Option<ItemError>,
    /// Ordinal of the last packet that added to it.
    pub ordinal: u64,
    /// Of a call that asks a server about itself: bytes of the response that were learned from.
    pub learned: Option<usize>,
}

impl Message {
    /// Bytes that it holds in memory, roughly.
    pub(super) fn weight(&self) -> usize {
        self.section.len() + self.kept.len()
    }

    fn fault(&self, side: &str) -> Option<String> {
        Some(match (self.missing, self.headed, self.section.unknown) {
            (1.., ..) => {
                let missing = self.missing;
                format!("{missing} bytes of the {side}'s body were not captured")
            }
            (_, false, _) => format!("the head of the {side} was not captured"),
            (_, _, 1..) => {
                let count = self.section.unknown;
                format!("{count} header fields of the {side} refer to bytes that were not captured")
            }
            _ if self.holed => format!("bytes of the stream within the {side} were not captured"),
            _ if self.section.cut => format!("the header fields of the {side} are not all there"),
            _ => return None,
        })
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

    /// Notes whether it asks a server about itself, now that its request is there.
    pub(super) fn note_reflection(&mut self) {
        let path = self.request.as_ref().map(|request| request.section.path());
        if self.learned.is_none() && path.is_some_and(grpc::is_reflection) {
            self.learned = Some(0);
        }
    }

    /// Learns from what is there of the response of a call that asks a server about itself.
    pub(super) fn learn(&mut self, schemas: &grpc::Schemas, ordinal: u64) {
        if let (Some(at), Some(response)) = (&mut self.learned, &self.response) {
            let facts = Facts::of(response.section.lines());
            schemas.learn(&facts, response.kept.as_slice(), at, ordinal);
        }
    }

    /// Whether it is a CONNECT for a WebSocket that was granted (RFC 8441 section 5).
    pub(super) fn opens_tunnel(&self) -> bool {
        let (Some(request), Some(response)) = (&self.request, &self.response) else {
            return false;
        };
        matches!(response.section.speaker, Speaker::Server(200..=299))
            && request
                .section
                .value(b":protocol")
                .eq_ignore_ascii_case(b"websocket")
    }

    /// One side of it.
    pub(super) fn side(&mut self, is_request: bool) -> &mut Option<Message> {
        match is_request {
            true => &mut self.request,
            false => &mut self.response,
        }
    }

    /// Bytes that it holds in memory, roughly.
    pub(super) fn weight(&self) -> usize {
        let weight = |message: &Option<Message>| message.as_ref().map_or(0, Message::weight);
        weight(&self.request) + weight(&self.response)
    }

    /// The item.
    pub(super) fn into_draft(mut self, asks: Direction, schemas: &grpc::Schemas) -> Draft {
        let fault_of = |message: &Option<Message>, side| message.as_ref()?.fault(side);
        let faults = [
            fault_of(&self.request, "request"),
            fault_of(&self.response, "response"),
        ];
        match faults {
            [Some(asked), Some(answered)] => self.fail(DISSECTION, format!("{asked}; {answered}")),
            [Some(fault), None] | [None, Some(fault)] => self.fail(DISSECTION, fault),
            [None, None] => {}
        }
        if self.request.is_none() {
            self.fail(PAIR_NOT_FOUND, "no request was captured for this response");
        } else if self.response.is_none() {
            self.fail(PAIR_NOT_FOUND, "no response was captured");
        }
        let asked = self.request.as_ref().map(|message| message.ts);
        let answered = self.response.as_ref().map(|message| message.ts);
        let elapsed = match (asked, answered) {
            (Some(asked), Some(answered)) => answered.since(asked).as_nanos(),
            _ => 0,
        };
        let size = |message: &Option<Message>| message.as_ref().map_or(0, |message| message.size);
        let (request_size, response_size) = (size(&self.request), size(&self.response));
        let request = self.request.map(Shown::new);
        let response = self.response.map(Shown::new);
        let call = [&request, &response]
            .into_iter()
            .flatten()
            .any(Shown::is_of_call);
        let kind: &'static ProtocolInfo = match &request {
            _ if call => &GRPC,
            Some(shown) if shown.is_graphql() => &graphql::KINDS[1],
            _ => &HTTP_2,
        };
        let path = match &request {
            Some(shown) if call => shown.target(),
            _ => Bytes::new(),
        };
        let which = |is_request| {
            call.then(|| grpc::Which {
                schemas: schemas.clone(),
                path: path.clone(),
                is_request,
                ordinal: self.ordinal,
            })
        };
        Draft {
            kind,
            from_client: asks == Direction::ToServer,
            start: asked.or(answered).unwrap_or_default(),
            elapsed_nanos: u64::try_from(elapsed).unwrap_or(u64::MAX),
            request_size,
            response_size: response_size + self.interim_size,
            request: request.map_or(Value::Null, |shown| {
                shown.request(which(true), self.pushed, self.upgraded)
            }),
            response: response
                .map_or_else(shape::no_response, |shown| shown.response(which(false))),
            data: Value::Null,
            error: self.error,
            ordinal: self.ordinal,
        }
    }
}

/// Saving and restoring.
///
/// ```text
/// exchange = pushed u8, upgraded u8, interim size u64, ordinal u64, error, 2 x (there u8, message)
/// message  = section, headed u8, done u8, holed u8, cut u8, body size u64, missing u64, size u64,
///            ts i64, kept bytes
/// ```
impl Exchange {
    /// Writes it for [`Exchange::load`].
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        out.extend([u8::from(self.pushed), u8::from(self.upgraded)]);
        out.extend_from_slice(&self.interim_size.to_be_bytes());
        out.extend_from_slice(&self.ordinal.to_be_bytes());
        save_error(self.error.as_ref(), out);
        for message in [&self.request, &self.response] {
            out.push(u8::from(message.is_some()));
            if let Some(message) = message {
                message.save(out);
            }
        }
    }

    /// Reads one back; `None` when the bytes are not those of a save.
    pub(super) fn load(from: &mut Reader<'_>) -> Option<Exchange> {
        let (pushed, upgraded) = (flag(from)?, flag(from)?);
        let (interim_size, ordinal) = (from.u64().ok()?, from.u64().ok()?);
        let error = load_error(from)?;
        let mut side = || match flag(from)? {
            true => Message::load(from).map(Some),
            false => Some(None),
        };
        let (request, response) = (side()?, side()?);
        let mut loaded = Exchange {
            request,
            response,
            interim_size,
            pushed,
            upgraded,
            error,
            ordinal,
            learned: None,
        };
        loaded.note_reflection();
        (loaded.request.is_some() || loaded.response.is_some()).then_some(loaded)
    }
}

impl Message {
    /// Writes it for [`Message::load`].
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        self.section.save(out);
        for flag in [self.headed, self.done, self.holed, self.kept.cut] {
            out.push(u8::from(flag));
        }
        for number in [self.body_size, self.missing, self.size] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(&self.ts.nanos().to_be_bytes());
        save_bytes(self.kept.as_slice(), out);
    }

    /// Reads one back; `None` when the bytes are not those of a save.
    pub(super) fn load(from: &mut Reader<'_>) -> Option<Message> {
        let section = Section::load(from)?;
        let (headed, done, holed, cut) = (flag(from)?, flag(from)?, flag(from)?, flag(from)?);
        let mut number = || from.u64().ok();
        let (body_size, missing, size) = (number()?, number()?, number()?);
        let ts = Timestamp::from_nanos(number()?.cast_signed());
        let mut kept = Kept::default();
        kept.push(Bytes::copy_from_slice(load_bytes(from, MAX_ITEM_BODY)?));
        kept.cut = cut;
        Some(Message {
            section,
            headed,
            kept,
            body_size,
            missing,
            size,
            ts,
            done,
            holed,
        })
    }
}
