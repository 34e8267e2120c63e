//! One 0-9-1 method with its content, while it comes in and while it waits for its answer.
//!
//! In: payloads of frames, in order. Out: one run of bytes that `render` reads. Never: more of a
//! body than an item carries.
//!
//! ```text
//! bytes = length u32, method payload, length u32, content header payload, body      big-endian
//! ```
//!
//! The header's length is zero when there is no content, or when its header was not captured.

use bytes::{BufMut, Bytes};

use super::parser::{self, ParseError};
use super::spec::{self, Method};
use crate::bytes::{Reader, Short};
use crate::item::{ItemError, MAX_ITEM_BODY};
use crate::packet::Direction;
use crate::time::Timestamp;

/// What else was wrong with a message, apart from its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A part of it was not captured.
    Gap,
    /// The next method came before its content was whole.
    Interrupted,
    /// The stream ended before its content was whole.
    Ended,
    /// Its body was longer than its header said.
    Overflow,
    /// Too many contents were under way at once.
    Limit,
    /// A frame of it was longer than is kept.
    LongFrame,
}

/// Every fault, in the order of a save's numbers from 1 on.
const FAULTS: [Fault; 6] = [
    Fault::Gap,
    Fault::Interrupted,
    Fault::Ended,
    Fault::Overflow,
    Fault::Limit,
    Fault::LongFrame,
];

impl Fault {
    fn error(self) -> ItemError {
        let (kind, msg) = match self {
            Fault::Gap => ("dissection", "a part of the message was not captured"),
            Fault::Interrupted => (
                "dissection",
                "another method came before the content was whole",
            ),
            Fault::Ended => (
                "connection",
                "the connection ended before the content was whole",
            ),
            Fault::Overflow => ("dissection", "the body is longer than its header says"),
            Fault::Limit => ("dissection", "too many contents were under way at once"),
            Fault::LongFrame => ("dissection", "a frame was too long to be kept"),
        };
        ItemError {
            kind,
            msg: msg.into(),
        }
    }
}

/// What is still to come of a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its header.
    Header,
    /// So many bytes of its body; 0 when it is whole.
    Body(u64),
}

/// One method with its content.
#[derive(Debug)]
pub(super) struct Message {
    /// Which way it went.
    pub(super) direction: Direction,
    /// Its channel.
    pub(super) channel: u16,
    /// What it is; [`spec::UNKNOWN`] when it is in no table.
    pub(super) method: &'static Method,
    /// Its bytes, see the head of this file.
    bytes: Vec<u8>,
    /// Bytes of the body among them.
    body: usize,
    /// What is still to come.
    pub(super) stage: Stage,
    /// Bytes of its frames as captured.
    pub(super) size: u64,
    /// Time of its first packet.
    pub(super) ts: Timestamp,
    /// Ordinal of the last packet that added to it.
    pub(super) ordinal: u64,
    /// What was wrong with it first.
    pub(super) fault: Option<Fault>,
}

/// The parts of a message's bytes.
pub(super) struct Parts<'a> {
    /// Payload of the method frame.
    pub(super) method: &'a [u8],
    /// Payload of the content header frame; empty when there is none.
    pub(super) header: &'a [u8],
    /// As much of the body as is kept.
    pub(super) body: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Finds them.
    pub(super) fn of(bytes: &'a [u8]) -> Result<Parts<'a>, Short> {
        let mut reader = Reader::new(bytes);
        let mut part = || {
            let length = reader.u32()?;
            reader.take(usize::try_from(length).unwrap_or(usize::MAX))
        };
        let (method, header) = (part()?, part()?);
        Ok(Parts {
            method,
            header,
            body: reader.rest(),
        })
    }

    /// What they are a call of.
    pub(super) fn name(&self) -> (u16, u16) {
        let mut reader = Reader::new(self.method);
        (
            reader.u16().unwrap_or_default(),
            reader.u16().unwrap_or_default(),
        )
    }
}

impl Message {
    /// A message of which the method frame was read; `size` counts the frame's bytes.
    pub(super) fn new(
        direction: Direction,
        channel: u16,
        payload: &[u8],
        size: usize,
        (ts, ordinal): (Timestamp, u64),
    ) -> Message {
        let mut bytes = Vec::with_capacity(8 + payload.len());
        put(&mut bytes, payload);
        let (class, id) = Parts {
            method: payload,
            header: &[],
            body: &[],
        }
        .name();
        let method = spec::find(class, id).unwrap_or(&spec::UNKNOWN);
        let stage = match method.content {
            true => Stage::Header,
            false => {
                put(&mut bytes, &[]);
                Stage::Body(0)
            }
        };
        Message {
            direction,
            channel,
            method,
            bytes,
            body: 0,
            stage,
            size: size as u64,
            ts,
            ordinal,
            fault: None,
        }
    }

    /// Whether all of it is there, or no more will be looked for.
    pub(super) fn is_done(&self) -> bool {
        self.stage == Stage::Body(0)
    }

    /// Takes the payload of its content header frame, when that is what it waits for.
    pub(super) fn header(&mut self, payload: &[u8], size: usize, ordinal: u64) {
        if self.stage == Stage::Header {
            put(&mut self.bytes, payload);
            self.stage = Stage::Body(parser::body_size(payload).unwrap_or(0));
            self.size += size as u64;
            self.ordinal = ordinal;
        }
    }

    /// Takes the next bytes of its body, and keeps those that an item has room for.
    pub(super) fn body(&mut self, bytes: &[u8], ordinal: u64) {
        let Stage::Body(left) = self.stage else {
            return;
        };
        let wanted = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        if wanted < bytes.len() {
            self.fail(Fault::Overflow);
        }
        let room = match self.fault {
            // What stands behind a hole would be shown in the wrong place.
            Some(Fault::Gap) => 0,
            _ => MAX_ITEM_BODY - self.body.min(MAX_ITEM_BODY),
        };
        let kept = bytes.get(..wanted.min(room)).unwrap_or_default();
        self.bytes.extend_from_slice(kept);
        self.body += kept.len();
        self.stage = Stage::Body(left - wanted as u64);
        self.size += bytes.len() as u64;
        self.ordinal = ordinal;
    }

    /// Passes over bytes of its body that were not captured.
    pub(super) fn gap(&mut self, len: u64) {
        self.fail(Fault::Gap);
        if let Stage::Body(left) = self.stage {
            self.stage = Stage::Body(left.saturating_sub(len));
        }
    }

    /// Notes what was wrong, unless something already was.
    pub(super) fn fail(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }

    /// Gives up what is still to come.
    pub(super) fn cut(&mut self, fault: Fault) {
        if !self.is_done() {
            self.fail(fault);
        }
        if self.stage == Stage::Header {
            put(&mut self.bytes, &[]);
        }
        self.stage = Stage::Body(0);
    }

    /// Bytes that it holds in memory.
    pub(super) fn weight(&self) -> usize {
        self.bytes.len()
    }

    /// Whether no answer is awaited: a bit of the method says so.
    pub(super) fn is_no_wait(&self) -> bool {
        let mut no_wait = false;
        self.each_argument(|name, field| {
            no_wait |= name == "noWait" && field == parser::Field::Bool(true);
        });
        no_wait
    }

    /// Code and text of a method that closes a connection or channel.
    pub(super) fn close_reason(&self) -> Option<(u64, String)> {
        let name = (self.method.class, self.method.id);
        if name != spec::CONNECTION_CLOSE && name != spec::CHANNEL_CLOSE {
            return None;
        }
        let (mut code, mut text) = (None, String::new());
        self.each_argument(|name, field| match (name, field) {
            ("replyCode", parser::Field::Int(number)) => code = Some(number),
            ("replyText", parser::Field::Text(bytes)) => {
                text = crate::item::text_of(bytes).into_owned();
            }
            _ => {}
        });
        code.map(|code| (code, text))
    }

    fn each_argument(&self, mut each: impl FnMut(&'static str, parser::Field<'_>)) {
        let Ok(parts) = Parts::of(&self.bytes) else {
            return;
        };
        let mut reader = Reader::new(parts.method);
        if reader.skip(4).is_ok() {
            // What is missing is said by `error`.
            let _ = parser::arguments(self.method.arguments, &mut reader, |argument, field| {
                each(argument.name, field);
            });
        }
    }

    /// What is wrong with it.
    pub(super) fn error(&self) -> Option<ItemError> {
        if let Some(fault) = self.fault {
            return Some(fault.error());
        }
        let unreadable = |error: ParseError| ItemError {
            kind: "dissection",
            msg: format!("{} could not be read to its end: {error}", self.method.name),
        };
        let parts = Parts::of(&self.bytes).ok()?;
        if self.method.name.is_empty() {
            let (class, id) = parts.name();
            return Some(ItemError {
                kind: "dissection",
                msg: format!("class {class} has no known method {id}"),
            });
        }
        parser::check_method(self.method, parts.method)
            .and_then(|()| match parts.header {
                [] => Ok(()),
                header => parser::check_header(header),
            })
            .err()
            .map(unreadable)
    }

    /// Its bytes, for `render`.
    pub(super) fn into_bytes(self) -> Bytes {
        Bytes::from(self.bytes)
    }

    /// ```text
    /// message = direction u8 (1 to the client), channel u16, stage u8 (1 header), left u64, body u32,
    ///           size u64, ts i64, ordinal u64, fault u8 (0 none), length u32, bytes   big-endian
    /// ```
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        out.put_u8(u8::from(self.direction == Direction::ToClient));
        out.put_u16(self.channel);
        let (stage, left) = match self.stage {
            Stage::Header => (1, 0),
            Stage::Body(left) => (0, left),
        };
        out.put_u8(stage);
        out.put_u64(left);
        out.put_u32(u32::try_from(self.body).unwrap_or(0));
        out.put_u64(self.size);
        out.put_i64(self.ts.nanos());
        out.put_u64(self.ordinal);
        let fault = |fault| FAULTS.iter().position(|known| *known == fault);
        let fault = self.fault.and_then(fault).map_or(0, |index| index + 1);
        out.put_u8(u8::try_from(fault).unwrap_or(0));
        put(out, &self.bytes);
    }

    /// Reads one back; `None` when the bytes are not those of a save.
    pub(super) fn load(from: &mut Reader<'_>) -> Option<Message> {
        let direction = match from.u8().ok()? {
            0 => Direction::ToServer,
            1 => Direction::ToClient,
            _ => return None,
        };
        let channel = from.u16().ok()?;
        let stage = (from.u8().ok()?, from.u64().ok()?);
        let stage = match stage {
            (0, left) => Stage::Body(left),
            (1, 0) => Stage::Header,
            _ => return None,
        };
        let body = usize::try_from(from.u32().ok()?).ok()?;
        let size = from.u64().ok()?;
        let ts = Timestamp::from_nanos(from.u64().ok()?.cast_signed());
        let ordinal = from.u64().ok()?;
        let fault = match from.u8().ok()? {
            0 => None,
            number => Some(*FAULTS.get(usize::from(number) - 1)?),
        };
        let length = usize::try_from(from.u32().ok()?).ok()?;
        let bytes = from.take(length).ok()?.to_vec();
        let (class, id) = match stage {
            Stage::Header => Reader::new(&bytes)
                .skip(4)
                .ok()
                .and_then(|()| bytes.get(4..))
                .map(|method| {
                    Parts {
                        method,
                        header: &[],
                        body: &[],
                    }
                    .name()
                })?,
            Stage::Body(_) => Parts::of(&bytes)
                .ok()
                .filter(|parts| parts.body.len() == body && body <= MAX_ITEM_BODY)?
                .name(),
        };
        Some(Message {
            direction,
            channel,
            method: spec::find(class, id).unwrap_or(&spec::UNKNOWN),
            bytes,
            body,
            stage,
            size,
            ts,
            ordinal,
            fault,
        })
    }
}

fn put(out: &mut Vec<u8>, part: &[u8]) {
    out.put_u32(u32::try_from(part.len()).unwrap_or(0));
    out.put_slice(part);
}
