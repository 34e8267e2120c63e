//! Which answer belongs to which request, and the items that come of it.
//!
//! In: whole messages, protocol headers, 1.0 frames. Out: drafts. Never: more than [`MAX_OPEN`]
//! open requests.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes};

use super::frame::{self, Frame1Header, ProtocolHeader};
use super::message::Message;
use super::render;
use super::spec::{CHANNEL_CLOSE, CONNECTION_CLOSE, Form};
use super::{AMQP_0_9_1, AMQP_1_0};
use crate::bytes::Reader;
use crate::dissect::{Draft, Output};
use crate::flow::Chunk;
use crate::item::{ItemError, Value};
use crate::packet::Direction;
use crate::time::Timestamp;

/// Requests of one stream that may await their answers; a client has one on each channel.
const MAX_OPEN: usize = 1024;

/// Bytes that open requests may hold.
const MAX_OPEN_BYTES: usize = 1 << 20;

/// Protocol headers that may await theirs: SASL, TLS and AMQP can be asked for in one go.
const MAX_HELLOS: usize = 4;

/// The first reply code that tells of an error (AMQP 0-9-1 section 1.2: 200 is success).
const FIRST_ERROR_CODE: u64 = 300;

/// A protocol header and when it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hello {
    /// The header.
    pub(super) header: ProtocolHeader,
    /// Who sent it.
    pub(super) direction: Direction,
    /// Time of its first packet.
    pub(super) ts: Timestamp,
    /// Ordinal of the packet that made it whole.
    pub(super) ordinal: u64,
}

/// What awaits an answer.
#[derive(Debug, Default)]
pub(super) struct Exchanges {
    open: VecDeque<Message>,
    open_bytes: usize,
    hellos: VecDeque<Hello>,
}

impl Exchanges {
    /// Takes a protocol header; whether both sides now agree on it.
    pub(super) fn hello(&mut self, hello: Hello, out: &mut dyn Output) -> bool {
        let asked = self
            .hellos
            .iter()
            .position(|other| other.direction != hello.direction)
            .and_then(|index| self.hellos.remove(index));
        match asked {
            Some(asked) => {
                let agreed = asked.header == hello.header;
                let refused = || ItemError {
                    kind: "connection",
                    msg: format!(
                        "the server does not speak {} and offers {}",
                        render::version_text(asked.header),
                        render::version_text(hello.header)
                    ),
                };
                let error = (!agreed).then(refused);
                out.item(hello_draft(Some(asked), Some(hello), error));
                agreed
            }
            None => {
                self.hellos.push_back(hello);
                if self.hellos.len() > MAX_HELLOS {
                    self.drop_hello(out);
                }
                false
            }
        }
    }

    fn drop_hello(&mut self, out: &mut dyn Output) {
        let Some(hello) = self.hellos.pop_front() else {
            return;
        };
        let (asked, answer, msg) = match hello.direction {
            Direction::ToServer => (Some(hello), None, "no protocol header of the server"),
            Direction::ToClient => (None, Some(hello), "no protocol header of the client"),
        };
        let error = ItemError {
            kind: "pair-not-found",
            msg: format!("{msg} was captured"),
        };
        out.item(hello_draft(asked, answer, Some(error)));
    }

    /// Takes a whole message.
    pub(super) fn take(&mut self, message: Message, out: &mut dyn Output) {
        // In 0-9-1 a header is answered with `connection.start`, whose item shows the version.
        self.hellos.clear();
        match message.method.form {
            Form::Reply => self.reply(message, out),
            Form::Request(_) if !message.is_no_wait() => self.request(message, out),
            Form::Request(_) | Form::OneWay => out.item(one_way_draft(message)),
        }
    }

    fn request(&mut self, message: Message, out: &mut dyn Output) {
        if let Some((code, text)) = message.close_reason() {
            self.closed(&message, code, &text, out);
        }
        self.open_bytes += message.weight();
        self.open.push_back(message);
        while self.open.len() > MAX_OPEN || self.open_bytes > MAX_OPEN_BYTES {
            let Some(oldest) = self.remove(0) else { break };
            let error = no_response(oldest.method.name);
            out.item(draft(Some(oldest), None, Some(error)));
        }
    }

    /// Hands out what the other side asked for on a channel that is closed instead of an answer.
    fn closed(&mut self, close: &Message, code: u64, text: &str, out: &mut dyn Output) {
        let whole = (close.method.class, close.method.id) == CONNECTION_CLOSE;
        let what = if whole { "connection" } else { "channel" };
        let mut index = 0;
        while let Some(open) = self.open.get(index) {
            let name = (open.method.class, open.method.id);
            let ends = open.direction != close.direction
                && (whole || open.channel == close.channel)
                // Two closes that cross are both answered.
                && name != CONNECTION_CLOSE
                && (whole || name != CHANNEL_CLOSE);
            if !ends {
                index += 1;
                continue;
            }
            if let Some(open) = self.remove(index) {
                let error = ItemError {
                    kind: "connection",
                    msg: format!(
                        "the {what} was closed instead of an answer: {}",
                        reason(code, text)
                    ),
                };
                out.item(draft(Some(open), None, Some(error)));
            }
        }
    }

    fn reply(&mut self, reply: Message, out: &mut dyn Output) {
        let answers = |open: &Message| {
            open.direction != reply.direction
                && open.channel == reply.channel
                && open.method.class == reply.method.class
                && matches!(open.method.form, Form::Request(replies)
                    if replies.contains(&reply.method.id))
        };
        let request = self
            .open
            .iter()
            .position(answers)
            .and_then(|index| self.remove(index));
        let error = request.is_none().then(|| ItemError {
            kind: "pair-not-found",
            msg: format!("no request for this {} was captured", reply.method.name),
        });
        out.item(draft(request, Some(reply), error));
    }

    fn remove(&mut self, index: usize) -> Option<Message> {
        let message = self.open.remove(index)?;
        self.open_bytes -= message.weight();
        Some(message)
    }

    /// Takes a 1.0 frame, of which `front` is read.
    pub(super) fn frame_1_0(
        &mut self,
        header: &Frame1Header,
        front: &[u8],
        chunk: &Chunk,
        out: &mut dyn Output,
    ) {
        let body = front.get(header.body_at..).unwrap_or_default();
        let error = frame::performative(body).is_none().then(|| ItemError {
            kind: "dissection",
            msg: "the frame holds no known performative".into(),
        });
        out.item(Draft {
            kind: &AMQP_1_0,
            from_client: chunk.direction == Direction::ToServer,
            start: chunk.ts,
            elapsed_nanos: 0,
            request_size: header.size.into(),
            response_size: 0,
            request: Value::lazy(Bytes::copy_from_slice(front), render::frame_1_0),
            response: render::no_response(),
            data: Value::Null,
            error,
            ordinal: chunk.ordinal,
        });
    }

    /// Hands out all that awaits an answer.
    pub(super) fn end(&mut self, out: &mut dyn Output) {
        while !self.hellos.is_empty() {
            self.drop_hello(out);
        }
        while let Some(open) = self.remove(0) {
            let error = no_response(open.method.name);
            out.item(draft(Some(open), None, Some(error)));
        }
    }

    /// ```text
    /// exchanges = count u8, count x hello, count u32, count x message               big-endian
    /// hello     = header 4 x u8, direction u8 (1 to the client), ts i64, ordinal u64
    /// ```
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        out.put_u8(u8::try_from(self.hellos.len()).unwrap_or(0));
        for hello in &self.hellos {
            out.put_slice(&hello.header.0);
            out.put_u8(u8::from(hello.direction == Direction::ToClient));
            out.put_i64(hello.ts.nanos());
            out.put_u64(hello.ordinal);
        }
        out.put_u32(u32::try_from(self.open.len()).unwrap_or(0));
        for open in &self.open {
            open.save(out);
        }
    }

    /// Reads them back; `None` when the bytes are not those of a save.
    pub(super) fn load(from: &mut Reader<'_>) -> Option<Exchanges> {
        let mut loaded = Exchanges::default();
        let hellos = usize::from(from.u8().ok()?);
        for _ in 0..hellos {
            let header = from.take(4).ok()?.try_into().ok()?;
            let direction = match from.u8().ok()? {
                0 => Direction::ToServer,
                1 => Direction::ToClient,
                _ => return None,
            };
            loaded.hellos.push_back(Hello {
                header: ProtocolHeader(header),
                direction,
                ts: Timestamp::from_nanos(from.u64().ok()?.cast_signed()),
                ordinal: from.u64().ok()?,
            });
        }
        let count = usize::try_from(from.u32().ok()?).ok()?;
        if hellos > MAX_HELLOS || count > MAX_OPEN {
            return None;
        }
        for _ in 0..count {
            let message = Message::load(from).filter(Message::is_done)?;
            loaded.open_bytes += message.weight();
            loaded.open.push_back(message);
        }
        Some(loaded)
    }
}

fn no_response(name: &str) -> ItemError {
    ItemError {
        kind: "pair-not-found",
        msg: format!("no response to this {name} was captured"),
    }
}

fn one_way_draft(message: Message) -> Draft {
    let mut draft = draft(Some(message), None, None);
    draft.response = render::no_response();
    draft
}

/// The reply code and text of a close, as the end of a sentence: servers end some texts with a period,
/// and a text may be empty.
fn reason(code: u64, text: &str) -> String {
    let mut reason = format!("{code} {text}");
    reason.truncate(reason.trim_end_matches(['.', ' ']).len());
    reason
}

/// What is wrong with the bytes goes first: it may be the reason for all else.
fn draft(request: Option<Message>, response: Option<Message>, error: Option<ItemError>) -> Draft {
    let damage = |message: &Option<Message>| message.as_ref().and_then(Message::error);
    let error = damage(&request)
        .or_else(|| damage(&response))
        .or(error)
        .or_else(|| {
            let (code, text) = request.as_ref()?.close_reason()?;
            (code >= FIRST_ERROR_CODE).then(|| ItemError {
                kind: "connection",
                msg: reason(code, &text),
            })
        });
    let first = request.as_ref().or(response.as_ref());
    let start = first.map_or(Timestamp::default(), |message| message.ts);
    let answered = response.as_ref().map_or(start, |message| message.ts);
    let size = |message: &Option<Message>| message.as_ref().map_or(0, |message| message.size);
    let asks = match (&request, &response) {
        (Some(request), _) => request.direction,
        (None, Some(response)) => response.direction.other(),
        (None, None) => Direction::ToServer,
    };
    Draft {
        kind: &AMQP_0_9_1,
        from_client: asks == Direction::ToServer,
        start,
        elapsed_nanos: u64::try_from(answered.since(start).as_nanos()).unwrap_or(u64::MAX),
        request_size: size(&request),
        response_size: size(&response),
        ordinal: response
            .as_ref()
            .or(request.as_ref())
            .map_or(0, |message| message.ordinal),
        request: request.map_or(Value::Null, |message| {
            Value::lazy(message.into_bytes(), render::request)
        }),
        response: response.map_or(Value::Null, |message| {
            Value::lazy(message.into_bytes(), render::response)
        }),
        data: Value::Null,
        error,
    }
}

fn hello_draft(asked: Option<Hello>, answer: Option<Hello>, error: Option<ItemError>) -> Draft {
    let side = |hello: Option<Hello>| match hello {
        None => (0, Value::Null),
        Some(hello) => {
            let bytes = [&b"AMQP"[..], &hello.header.0].concat();
            let size = bytes.len() as u64;
            (size, Value::lazy(bytes.into(), render::protocol_header))
        }
    };
    let (request_size, request) = side(asked);
    let (response_size, response) = side(answer);
    let start = asked.or(answer).map_or(Timestamp::default(), |one| one.ts);
    let answered = answer.map_or(start, |one| one.ts);
    let is_1_0 = [asked, answer]
        .into_iter()
        .flatten()
        .all(|one| one.header.is_1_0());
    let asks = match (asked, answer) {
        (Some(asked), _) => asked.direction,
        (None, Some(answer)) => answer.direction.other(),
        (None, None) => Direction::ToServer,
    };
    Draft {
        kind: if is_1_0 { &AMQP_1_0 } else { &AMQP_0_9_1 },
        from_client: asks == Direction::ToServer,
        start,
        elapsed_nanos: u64::try_from(answered.since(start).as_nanos()).unwrap_or(u64::MAX),
        request_size,
        response_size,
        request,
        response,
        data: Value::Null,
        error,
        ordinal: answer.or(asked).map_or(0, |one| one.ordinal),
    }
}
