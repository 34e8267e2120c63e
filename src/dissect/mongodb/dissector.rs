//! One stream of MongoDB: requests paired with replies by their numbers.
//!
//! In: chunks and gaps. Out: one item for each request with its reply. A reply that says that more
//! come without being asked (`moreToCome`) leaves the request open: each further reply is an item of
//! its own, which begins with the reply before it. Never: clocks. Standard: MongoDB specification
//! "OP_MSG".

use std::collections::VecDeque;

use bytes::{BufMut, Bytes};

use super::MONGODB;
use super::compression::unpack;
use super::parser::{self, HEADER, Header, flag, op};
use super::render::{self, Known, PLAIN};
use crate::dissect::intake::{Intake, Message, Step};
use crate::dissect::saved::{Saved, put_bytes, put_list};
use crate::dissect::{Dissector, Draft, GiveUp, Outcome, Output, Stream};
use crate::flow::{Chunk, Gap};
use crate::item::{ItemError, Value};
use crate::packet::Direction;
use crate::time::Timestamp;

/// Bytes of one message that are kept until it is whole.
const MAX_KEPT: usize = 1024 * 1024;

/// Requests that may await their replies; drivers send one at a time on a connection.
const MAX_OPEN: usize = 256;

/// Bytes that open requests keep before new ones are shortened.
const MAX_OPEN_BYTES: usize = 1024 * 1024;

/// Bytes of one open request.
const MAX_OPEN_MESSAGE: usize = 128 * 1024;

/// Bytes of a request that is kept short.
const SHORT: usize = 1024;

/// First byte of a saved state.
const SAVE_VERSION: u8 = 1;

/// A request without its reply, or with the next of several still to come.
#[derive(Debug)]
struct Open {
    id: u32,
    /// See [`render::from`].
    bytes: Bytes,
    size: u64,
    start: Timestamp,
    ordinal: u64,
    holed: bool,
    hide: bool,
    /// It has had a reply, and more come unasked.
    exhaust: bool,
}

/// A message out of its compression.
struct Opened {
    bytes: Bytes,
    header: Header,
    known: Known,
    flags: u32,
    /// What is wrong with it.
    fault: Option<&'static str>,
}

/// The state of one stream.
pub(super) struct Mongo {
    /// Direction of the requests; `None` until a message tells.
    asks: Option<Direction>,
    to_server: Intake,
    to_client: Intake,
    open: VecDeque<Open>,
    open_bytes: usize,
    ordinal: u64,
}

impl Mongo {
    /// A stream of which nothing was read yet.
    pub(super) fn new(stream: &Stream) -> Mongo {
        let from_start = stream.is_from_start();
        let mut intakes = [Intake::new(MAX_KEPT), Intake::new(MAX_KEPT)];
        if !from_start {
            intakes.iter_mut().for_each(Intake::lose);
        }
        let [to_server, to_client] = intakes;
        Mongo {
            asks: stream.knows_sides().then_some(Direction::ToServer),
            to_server,
            to_client,
            open: VecDeque::new(),
            open_bytes: 0,
            ordinal: 0,
        }
    }

    fn intake(&mut self, direction: Direction) -> &mut Intake {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }

    fn message(&mut self, message: &Message, direction: Direction, out: &mut dyn Output) {
        let Some(opened) = open(message) else {
            return;
        };
        if opened.header.is_reply() {
            self.asks = Some(direction.other());
            self.reply(message, opened, out);
        } else {
            self.asks = Some(direction);
            self.request(message, opened, out);
        }
    }

    fn request(&mut self, message: &Message, opened: Opened, out: &mut dyn Output) {
        let Opened {
            bytes,
            header,
            mut known,
            flags,
            fault,
        } = opened;
        let parts = parser::parts(&bytes, header.opcode, known.cut);
        let about = render::subject(&parts, header.opcode);
        known.hide = render::is_sensitive(about.command);
        let is_silent = match header.opcode {
            op::MSG => flags & flag::MORE_TO_COME != 0,
            op::INSERT | op::UPDATE | op::DELETE | op::KILL_CURSORS => true,
            _ => false,
        };
        let most = match self.open_bytes > MAX_OPEN_BYTES {
            true => SHORT,
            false => MAX_OPEN_MESSAGE,
        };
        let kept = bytes.get(..most).unwrap_or(&bytes);
        known.cut |= kept.len() < bytes.len();
        let open = Open {
            id: header.request_id,
            bytes: render::from(kept, known),
            size: message.size,
            start: message.ts,
            ordinal: message.ordinal,
            holed: message.holed,
            hide: known.hide,
            exhaust: false,
        };
        if is_silent {
            return out.item(self.draft(open, None, fault));
        }
        if let Some(fault) = fault {
            // Its reply will come without a request that could be trusted.
            return out.item(self.draft(open, None, Some(fault)));
        }
        self.put(open);
        while self.open.len() > MAX_OPEN {
            if let Some(oldest) = self.take(0) {
                self.unanswered(oldest, out);
            }
        }
    }

    fn reply(&mut self, message: &Message, opened: Opened, out: &mut dyn Output) {
        let at = self
            .open
            .iter()
            .position(|open| open.id == opened.header.response_to);
        let request = at.and_then(|at| self.take(at));
        let known = Known {
            hide: request.as_ref().is_none_or(|request| request.hide),
            ..opened.known
        };
        let more = opened.header.opcode == op::MSG && opened.flags & flag::MORE_TO_COME != 0;
        let next = request.as_ref().filter(|_| more).map(|request| Open {
            id: opened.header.request_id,
            bytes: request.bytes.clone(),
            size: 0,
            start: message.ts,
            ordinal: message.ordinal,
            holed: false,
            hide: request.hide,
            exhaust: true,
        });
        let reply = Reply {
            value: render::reply(opened.bytes, known),
            message,
        };
        match request {
            Some(request) => out.item(self.draft(request, Some(reply), opened.fault)),
            None => out.item(self.unasked(reply, opened.fault)),
        }
        if let Some(next) = next {
            self.put(next);
        }
    }

    fn put(&mut self, open: Open) {
        self.open_bytes += open.bytes.len();
        self.open.push_back(open);
    }

    fn take(&mut self, at: usize) -> Option<Open> {
        let open = self.open.remove(at)?;
        self.open_bytes = self.open_bytes.saturating_sub(open.bytes.len());
        Some(open)
    }

    fn unanswered(&self, open: Open, out: &mut dyn Output) {
        // Nobody asks for the last of several replies: the connection just ends.
        if !open.exhaust {
            let mut draft = self.draft(open, None, None);
            draft.error = draft
                .error
                .or_else(|| error("timeout", "no response to this request was captured"));
            out.item(draft);
        }
    }

    fn draft(&self, open: Open, reply: Option<Reply<'_>>, fault: Option<&'static str>) -> Draft {
        let holed = open.holed || reply.as_ref().is_some_and(|reply| reply.message.holed);
        let fault = match holed {
            true => Some("bytes of the exchange were not captured"),
            false => fault,
        };
        let answered = reply.as_ref().map(|reply| reply.message);
        let elapsed = answered.map_or(0, |reply| reply.ts.since(open.start).as_nanos());
        Draft {
            kind: &MONGODB,
            from_client: self.asks != Some(Direction::ToClient),
            start: open.start,
            elapsed_nanos: u64::try_from(elapsed).unwrap_or(u64::MAX),
            request_size: open.size,
            response_size: answered.map_or(0, |reply| reply.size),
            request: Value::lazy(open.bytes, render::request),
            response: reply.map_or(Value::Null, |reply| reply.value),
            data: Value::Null,
            error: fault.and_then(|fault| error("dissection", fault)),
            ordinal: answered.map_or(open.ordinal, |reply| reply.ordinal),
        }
    }

    fn unasked(&self, reply: Reply<'_>, fault: Option<&'static str>) -> Draft {
        let fault = match reply.message.holed {
            true => Some("bytes of the response were not captured"),
            false => fault,
        };
        Draft {
            kind: &MONGODB,
            from_client: self.asks != Some(Direction::ToClient),
            start: reply.message.ts,
            elapsed_nanos: 0,
            request_size: 0,
            response_size: reply.message.size,
            request: Value::Null,
            response: reply.value,
            data: Value::Null,
            error: match fault {
                Some(fault) => error("dissection", fault),
                None => error(
                    "pair-not-found",
                    "no request for this response was captured",
                ),
            },
            ordinal: reply.message.ordinal,
        }
    }
}

/// A reply, rendered when somebody reads it.
struct Reply<'m> {
    value: Value,
    message: &'m Message,
}

fn error(kind: &'static str, msg: &str) -> Option<ItemError> {
    Some(ItemError {
        kind,
        msg: msg.into(),
    })
}

/// Takes a message out of its compression and looks at what pairing needs.
fn open(message: &Message) -> Option<Opened> {
    let header = parser::header(&message.bytes)?;
    let mut opened = Opened {
        bytes: message.bytes.clone(),
        header,
        known: Known {
            cut: message.is_cut(),
            hide: false,
            compressor: PLAIN,
        },
        flags: 0,
        fault: None,
    };
    if header.opcode == op::COMPRESSED {
        match unpack(&message.bytes, header) {
            Some(unpacked) => {
                opened.header.opcode = unpacked.opcode;
                opened.known.compressor = unpacked.compressor;
                opened.known.cut |= (unpacked.bytes.len() as u64) < unpacked.size;
                opened.bytes = unpacked.bytes;
                if opened.bytes.len() <= HEADER {
                    opened.fault = Some("the message could not be uncompressed");
                }
            }
            None => opened.fault = Some("the message ends inside its header"),
        }
    }
    let parts = parser::parts(&opened.bytes, opened.header.opcode, opened.known.cut);
    opened.flags = parts.flags;
    if let Some(checksum) = parts.checksum {
        let end = opened.bytes.len().saturating_sub(4);
        let covered = opened.bytes.get(..end).unwrap_or_default();
        if parser::crc32c(covered) != checksum {
            opened.fault = Some("the checksum does not fit the message");
        }
    }
    Some(opened)
}

impl Dissector for Mongo {
    fn on_chunk(&mut self, chunk: &Chunk, out: &mut dyn Output) -> Outcome {
        self.ordinal = chunk.ordinal;
        let intake = self.intake(chunk.direction);
        if intake.is_lost() {
            // A message most likely begins where a segment does.
            if parser::looks_like_message(&chunk.bytes) != Some(true) {
                return Outcome::Consumed(chunk.bytes.len());
            }
            intake.found();
        }
        match intake.next(chunk, parser::front) {
            Step::Message(message, taken) => {
                self.message(&message, chunk.direction, out);
                Outcome::Consumed(taken)
            }
            Step::Took(taken) => Outcome::Consumed(taken),
            Step::NeedMore(need) => Outcome::NeedMore(need),
            Step::Malformed => Outcome::GiveUp(GiveUp::Malformed),
        }
    }

    fn on_gap(&mut self, gap: &Gap, out: &mut dyn Output) -> Outcome {
        self.ordinal = gap.ordinal;
        if let Some(message) = self.intake(gap.direction).gap(gap) {
            self.message(&message, gap.direction, out);
        }
        Outcome::Consumed(0)
    }

    fn on_fin(&mut self, direction: Direction, _rest: &Bytes, out: &mut dyn Output) {
        let ordinal = self.ordinal;
        if let Some(message) = self.intake(direction).end(ordinal) {
            self.message(&message, direction, out);
        }
    }

    fn on_end(&mut self, out: &mut dyn Output) {
        for direction in [Direction::ToServer, Direction::ToClient] {
            let ordinal = self.ordinal;
            if let Some(message) = self.intake(direction).end(ordinal) {
                self.message(&message, direction, out);
            }
        }
        while let Some(oldest) = self.take(0) {
            self.unanswered(oldest, out);
        }
    }

    /// ```text
    /// state = version u8 (1), asks u8 (0 unknown, 1 server is asked, 2 client), ordinal u64,
    ///         intake to server, intake to client, count u32, count x open       big-endian
    /// open  = id u32, size u64, ts i64, ordinal u64, holed u8, hide u8, exhaust u8, bytes
    /// ```
    fn save(&self) -> Vec<u8> {
        let mut out = vec![SAVE_VERSION];
        out.put_u8(match self.asks {
            None => 0,
            Some(Direction::ToServer) => 1,
            Some(Direction::ToClient) => 2,
        });
        out.put_u64(self.ordinal);
        self.to_server.save(&mut out);
        self.to_client.save(&mut out);
        put_list(&mut out, self.open.iter(), |out, open| {
            out.put_u32(open.id);
            out.put_u64(open.size);
            out.put_i64(open.start.nanos());
            out.put_u64(open.ordinal);
            for flag in [open.holed, open.hide, open.exhaust] {
                out.put_u8(flag.into());
            }
            put_bytes(out, &open.bytes);
        });
        out
    }
}

impl Mongo {
    /// Reads [`Dissector::save`] back.
    pub(super) fn restore(stream: &Stream, state: &[u8]) -> Option<Mongo> {
        let mut saved = Saved::new(state);
        if saved.u8()? != SAVE_VERSION {
            return None;
        }
        let mut restored = Mongo::new(stream);
        restored.asks = match saved.u8()? {
            0 => None,
            1 => Some(Direction::ToServer),
            2 => Some(Direction::ToClient),
            _ => return None,
        };
        restored.ordinal = saved.u64()?;
        restored.to_server = Intake::restore(&mut saved, MAX_KEPT)?;
        restored.to_client = Intake::restore(&mut saved, MAX_KEPT)?;
        let open = saved.list(MAX_OPEN, |saved| {
            Some(Open {
                id: saved.u32()?,
                size: saved.u64()?,
                start: saved.time()?,
                ordinal: saved.u64()?,
                holed: saved.flag()?,
                hide: saved.flag()?,
                exhaust: saved.flag()?,
                bytes: saved.bytes(2 * MAX_OPEN_MESSAGE)?,
            })
        })?;
        open.into_iter().for_each(|open| restored.put(open));
        saved.is_empty().then_some(restored)
    }
}
