//! One conversation of RADIUS: requests paired with responses, repetitions recognised.
//!
//! In: datagrams. Out: items. "The Identifier field ... aids in matching requests and replies. The
//! RADIUS server can detect a duplicate request if it has the same client source IP address and
//! source UDP port and Identifier within a short span of time" (RFC 2865 section 3); the request
//! authenticator tells a repetition from a new request under an old identifier (RFC 5080 section
//! 2.2.2). A response's authenticator proves its request only to who has the secret. Never: more
//! than [`MAX_OPEN`] open requests.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{BufMut, Bytes};

use super::parser::{HEADER, Packet};
use super::{RADIUS, dictionary, render};
use crate::bytes::Reader;
use crate::dissect::{Dissector, Draft, Outcome, Output};
use crate::flow::{Chunk, Gap};
use crate::item::{ItemError, Value};
use crate::packet::Direction;
use crate::time::Timestamp;

/// Open requests of a conversation; the identifier allows 256 in each direction.
const MAX_OPEN: usize = 512;

/// Responses that are remembered in order to know them when they are sent again.
const MAX_ANSWERED: usize = 64;

/// After this long since it was last sent no answer is expected: clients give up within 30 s
/// (RFC 5080 section 2.2.1: MRD).
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// First byte of a saved state.
const SAVE_VERSION: u8 = 1;

/// A request without a response so far.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Open {
    direction: Direction,
    bytes: Bytes,
    /// Time of the first transmission.
    ts: Timestamp,
    /// Time of the last one.
    last: Timestamp,
    ordinal: u64,
    /// Times that it was sent again.
    repetitions: u32,
}

/// Header of a response, with its direction.
type Answered = (Direction, [u8; HEADER]);

/// State of one conversation.
#[derive(Debug, Default)]
pub(super) struct Radius {
    open: VecDeque<Open>,
    answered: VecDeque<Answered>,
}

impl Radius {
    fn request(&mut self, packet: &Packet<'_>, chunk: &Chunk, out: &mut dyn Output) {
        let same_id = |open: &Open| {
            open.direction == chunk.direction
                && Packet::parse(&open.bytes)
                    .is_some_and(|other| other.id == packet.id && other.code == packet.code)
        };
        if let Some(index) = self.open.iter().position(same_id) {
            let repeated = self.open.get_mut(index).filter(|open| {
                Packet::parse(&open.bytes)
                    .is_some_and(|other| other.authenticator == packet.authenticator)
            });
            if let Some(open) = repeated {
                open.repetitions = open.repetitions.saturating_add(1);
                open.last = chunk.ts;
                open.ordinal = chunk.ordinal;
                return;
            }
            if let Some(open) = self.open.remove(index) {
                unanswered(open, out);
            }
        }
        self.open.push_back(Open {
            direction: chunk.direction,
            // A copy: it may wait long, and must not hold a whole batch.
            bytes: Bytes::copy_from_slice(&chunk.bytes),
            ts: chunk.ts,
            last: chunk.ts,
            ordinal: chunk.ordinal,
            repetitions: 0,
        });
        if self.open.len() > MAX_OPEN
            && let Some(oldest) = self.open.pop_front()
        {
            unanswered(oldest, out);
        }
    }

    fn response(&mut self, packet: &Packet<'_>, chunk: &Chunk, out: &mut dyn Output) {
        let answers = |open: &Open| {
            open.direction != chunk.direction
                && Packet::parse(&open.bytes).is_some_and(|request| {
                    request.id == packet.id
                        && (packet.code.number == dictionary::PROTOCOL_ERROR
                            || request.code.answers.contains(&packet.code.number))
                })
        };
        let request = self
            .open
            .iter()
            .position(answers)
            .and_then(|index| self.open.remove(index));
        let header = chunk.bytes.first_chunk::<HEADER>().copied();
        let answered = header.map(|header| (chunk.direction, header));
        let again = answered.is_some_and(|answered| self.answered.contains(&answered));
        let error = request.is_none().then(|| ItemError {
            kind: "pair-not-found",
            msg: match again {
                true => "the response was sent again".into(),
                false => "no request for this response was captured".into(),
            },
        });
        if !again {
            self.answered.extend(answered);
            if self.answered.len() > MAX_ANSWERED {
                self.answered.pop_front();
            }
        }
        out.item(draft(request, Some(chunk), error));
    }

    fn give_up_waiting(&mut self, now: Timestamp, out: &mut dyn Output) {
        while let Some(index) = self
            .open
            .iter()
            .position(|open| now.since(open.last) > ANSWER_WAIT)
        {
            if let Some(open) = self.open.remove(index) {
                unanswered(open, out);
            }
        }
    }
}

fn unanswered(open: Open, out: &mut dyn Output) {
    let msg = match open.repetitions {
        0 => "no response to this request was captured".into(),
        count => format!(
            "no response to this request was captured, though it was sent {} times",
            u64::from(count) + 1
        ),
    };
    let error = ItemError {
        kind: "timeout",
        msg,
    };
    out.item(draft(Some(open), None, Some(error)));
}

fn damage(what: &str, bytes: &[u8]) -> Option<ItemError> {
    let error = Packet::parse(bytes)?.check().err()?;
    Some(ItemError {
        kind: "dissection",
        msg: format!("the {what} could not be read to its end: {error}"),
    })
}

fn draft(request: Option<Open>, response: Option<&Chunk>, error: Option<ItemError>) -> Draft {
    let error = request
        .as_ref()
        .and_then(|open| damage("request", &open.bytes))
        .or_else(|| response.and_then(|chunk| damage("response", &chunk.bytes)))
        .or(error);
    let answered = response.map(|chunk| chunk.ts);
    let start = request
        .as_ref()
        .map(|open| open.ts)
        .or(answered)
        .unwrap_or_default();
    let elapsed = answered.unwrap_or(start).since(start).as_nanos();
    let value = |repetitions: u32, bytes: &[u8]| {
        let all = [&repetitions.to_be_bytes(), bytes].concat();
        Value::lazy(all.into(), render::packet)
    };
    let from_client = match (&request, response) {
        (Some(open), _) => open.direction == Direction::ToServer,
        (None, Some(chunk)) => chunk.direction == Direction::ToClient,
        (None, None) => true,
    };
    Draft {
        kind: &RADIUS,
        from_client,
        start,
        elapsed_nanos: u64::try_from(elapsed).unwrap_or(u64::MAX),
        request_size: request.as_ref().map_or(0, |open| open.bytes.len() as u64),
        response_size: response.map_or(0, |chunk| chunk.bytes.len() as u64),
        ordinal: response
            .map(|chunk| chunk.ordinal)
            .or(request.as_ref().map(|open| open.ordinal))
            .unwrap_or_default(),
        request: request.map_or(Value::Null, |open| value(open.repetitions, &open.bytes)),
        response: response.map_or(Value::Null, |chunk| value(0, &chunk.bytes)),
        data: Value::Null,
        error,
    }
}

impl Dissector for Radius {
    fn on_chunk(&mut self, chunk: &Chunk, out: &mut dyn Output) -> Outcome {
        self.give_up_waiting(chunk.ts, out);
        if let Some(packet) = Packet::parse(&chunk.bytes) {
            match packet.code.answers.is_empty() {
                false => self.request(&packet, chunk, out),
                true => self.response(&packet, chunk, out),
            }
        }
        Outcome::Consumed(chunk.bytes.len())
    }

    fn on_gap(&mut self, _gap: &Gap, _out: &mut dyn Output) -> Outcome {
        Outcome::Consumed(0)
    }

    fn on_fin(&mut self, _direction: Direction, _rest: &Bytes, _out: &mut dyn Output) {}

    fn on_end(&mut self, out: &mut dyn Output) {
        for open in std::mem::take(&mut self.open) {
            unanswered(open, out);
        }
    }

    /// ```text
    /// state    = version u8 (1), count u32, count x open, count u32, count x answered   big-endian
    /// open     = direction u8, ts i64, last i64, ordinal u64, repetitions u32, length u32, bytes
    /// answered = direction u8 (1 to the client), header 20 bytes
    /// ```
    fn save(&self) -> Vec<u8> {
        let mut out = vec![SAVE_VERSION];
        let code = |direction| u8::from(direction == Direction::ToClient);
        out.put_u32(u32::try_from(self.open.len()).unwrap_or(0));
        for open in &self.open {
            out.put_u8(code(open.direction));
            out.put_i64(open.ts.nanos());
            out.put_i64(open.last.nanos());
            out.put_u64(open.ordinal);
            out.put_u32(open.repetitions);
            out.put_u32(u32::try_from(open.bytes.len()).unwrap_or(0));
            out.put_slice(&open.bytes);
        }
        out.put_u32(u32::try_from(self.answered.len()).unwrap_or(0));
        for (direction, header) in &self.answered {
            out.put_u8(code(*direction));
            out.put_slice(header);
        }
        out
    }
}

impl Radius {
    /// Reads [`Dissector::save`] back.
    pub(super) fn restore(state: &[u8]) -> Option<Radius> {
        let mut reader = Reader::new(state);
        if reader.u8().ok()? != SAVE_VERSION {
            return None;
        }
        let mut restored = Radius::default();
        let count = usize::try_from(reader.u32().ok()?).ok()?;
        if count > MAX_OPEN {
            return None;
        }
        for _ in 0..count {
            let direction = direction(&mut reader)?;
            let mut ts = || {
                let nanos = reader.u64().ok()?.cast_signed();
                Some(Timestamp::from_nanos(nanos))
            };
            let (ts, last) = (ts()?, ts()?);
            let (ordinal, repetitions) = (reader.u64().ok()?, reader.u32().ok()?);
            let length = usize::try_from(reader.u32().ok()?).ok()?;
            restored.open.push_back(Open {
                direction,
                bytes: Bytes::copy_from_slice(reader.take(length).ok()?),
                ts,
                last,
                ordinal,
                repetitions,
            });
        }
        let count = usize::try_from(reader.u32().ok()?).ok()?;
        if count > MAX_ANSWERED {
            return None;
        }
        for _ in 0..count {
            let direction = direction(&mut reader)?;
            let header = reader.take(HEADER).ok()?.try_into().ok()?;
            restored.answered.push_back((direction, header));
        }
        Some(restored)
    }
}

fn direction(reader: &mut Reader<'_>) -> Option<Direction> {
    match reader.u8().ok()? {
        0 => Some(Direction::ToServer),
        1 => Some(Direction::ToClient),
        _ => None,
    }
}
