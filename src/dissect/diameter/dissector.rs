//! One connection of Diameter: messages out of a stream or of SCTP, requests paired with answers.
//!
//! In: chunks. Out: items. An answer belongs to the request of the other side with the same
//! hop-by-hop identifier and command; both sides ask. Never: more than [`MAX_OPEN`] open requests.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{BufMut, Bytes};

use super::parser::{self, Check, HEADER, Header, MAX_MESSAGE};
use super::{DIAMETER, DIAMETER_SCTP, render};
use crate::bytes::Reader;
use crate::dissect::{Dissector, Draft, GiveUp, Outcome, Output};
use crate::flow::{Chunk, Gap, StreamInfo};
use crate::item::{ItemError, Value};
use crate::packet::{Direction, Transport};
use crate::time::Timestamp;

/// Open requests of a connection; a busy proxy has some hundred on their way.
const MAX_OPEN: usize = 1024;

/// Bytes of all open requests.
const MAX_OPEN_BYTES: usize = 1 << 20;

/// Bytes of one message that an item shows.
const MAX_SHOWN: usize = 64 * 1024;

/// After this long no answer is expected; peers give up after ten to thirty seconds.
const ANSWER_WAIT: Duration = Duration::from_secs(60);

/// A request without an answer so far.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Open {
    direction: Direction,
    hop_by_hop: u32,
    command: u32,
    size: u64,
    bytes: Bytes,
    ts: Timestamp,
    ordinal: u64,
}

/// How far a direction of a TCP stream is understood.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// Length of the message that stands first, when its header was seen.
    expected: u32,
    /// Bytes to pass over, the rest of a message with a gap in it.
    skip: u64,
    /// A gap hid where messages begin.
    lost: bool,
}

/// State of one connection.
#[derive(Debug)]
pub(super) struct DiameterDissector {
    tcp: bool,
    open: VecDeque<Open>,
    open_bytes: usize,
    to_server: Place,
    to_client: Place,
}

impl DiameterDissector {
    /// A connection of which nothing was seen yet.
    pub(super) fn new(stream: &StreamInfo) -> DiameterDissector {
        DiameterDissector {
            tcp: stream.name.transport == Transport::Tcp,
            open: VecDeque::new(),
            open_bytes: 0,
            to_server: Place::default(),
            to_client: Place::default(),
        }
    }

    fn place(&mut self, direction: Direction) -> &mut Place {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }

    /// Takes one message out of a TCP stream.
    fn on_stream(&mut self, chunk: &Chunk, out: &mut dyn Output) -> Outcome {
        let place = self.place(chunk.direction);
        if place.skip > 0 {
            let skipped = place.skip.min(chunk.bytes.len() as u64);
            place.skip -= skipped;
            return Outcome::Consumed(usize::try_from(skipped).unwrap_or(usize::MAX));
        }
        let header = match parser::check(&chunk.bytes) {
            Check::Fits(header) => header,
            // A message most likely begins where a segment does; if not, the next one is tried.
            Check::No | Check::Short if place.lost => {
                return Outcome::Consumed(chunk.bytes.len());
            }
            Check::No => return Outcome::GiveUp(GiveUp::Malformed),
            Check::Short => return Outcome::NeedMore(chunk.bytes.len() + 1),
        };
        place.lost = false;
        if chunk.bytes.len() < header.length {
            place.expected = u32::try_from(header.length).unwrap_or(u32::MAX);
            return Outcome::NeedMore(header.length);
        }
        place.expected = 0;
        let message = chunk.bytes.slice(..header.length);
        self.on_message(&header, message, chunk, out);
        Outcome::Consumed(header.length)
    }

    fn on_message(&mut self, header: &Header, bytes: Bytes, chunk: &Chunk, out: &mut dyn Output) {
        self.give_up_waiting(chunk.ts, out);
        if header.is_request() {
            self.ask(header, &bytes, chunk, out);
        } else {
            self.answer(header, &bytes, chunk, out);
        }
    }

    fn ask(&mut self, header: &Header, bytes: &Bytes, chunk: &Chunk, out: &mut dyn Output) {
        let shown = bytes.get(..MAX_SHOWN).unwrap_or(bytes);
        self.open_bytes += shown.len();
        self.open.push_back(Open {
            direction: chunk.direction,
            hop_by_hop: header.hop_by_hop,
            command: header.command,
            size: bytes.len() as u64,
            // A copy: it may wait long, and must not hold a whole batch.
            bytes: Bytes::copy_from_slice(shown),
            ts: chunk.ts,
            ordinal: chunk.ordinal,
        });
        while self.open.len() > MAX_OPEN || self.open_bytes > MAX_OPEN_BYTES {
            let Some(oldest) = self.take(0) else { break };
            self.unanswered(oldest, out);
        }
    }

    fn take(&mut self, index: usize) -> Option<Open> {
        let request = self.open.remove(index)?;
        self.open_bytes -= request.bytes.len();
        Some(request)
    }

    fn answer(&mut self, header: &Header, bytes: &Bytes, chunk: &Chunk, out: &mut dyn Output) {
        let index = self.open.iter().position(|request| {
            request.hop_by_hop == header.hop_by_hop
                && request.command == header.command
                && request.direction != chunk.direction
        });
        let request = index.and_then(|index| self.take(index));
        let error = damage("answer", bytes).or_else(|| match &request {
            Some(request) => damage("request", &request.bytes),
            None => Some(ItemError {
                kind: "pair-not-found",
                msg: "no request for this answer was captured".into(),
            }),
        });
        let start = request.as_ref().map_or(chunk.ts, |request| request.ts);
        let elapsed = chunk.ts.since(start).as_nanos();
        let shown = bytes.slice(..bytes.len().min(MAX_SHOWN));
        out.item(Draft {
            elapsed_nanos: u64::try_from(elapsed).unwrap_or(u64::MAX),
            request_size: request.as_ref().map_or(0, |request| request.size),
            response_size: bytes.len() as u64,
            request: request.map_or(Value::Null, |request| {
                Value::lazy(request.bytes, render::message)
            }),
            response: Value::lazy(shown, render::message),
            error,
            ..self.draft(chunk.direction == Direction::ToClient, start, chunk.ordinal)
        });
    }

    fn draft(&self, from_client: bool, start: Timestamp, ordinal: u64) -> Draft {
        Draft {
            kind: if self.tcp { &DIAMETER } else { &DIAMETER_SCTP },
            from_client,
            start,
            elapsed_nanos: 0,
            request_size: 0,
            response_size: 0,
            request: Value::Null,
            response: Value::Null,
            data: Value::Null,
            error: None,
            ordinal,
        }
    }

    fn unanswered(&self, request: Open, out: &mut dyn Output) {
        let error = damage("request", &request.bytes).unwrap_or_else(|| ItemError {
            kind: "timeout",
            msg: "no answer to this request was captured".into(),
        });
        let from_client = request.direction == Direction::ToServer;
        out.item(Draft {
            request_size: request.size,
            request: Value::lazy(request.bytes, render::message),
            error: Some(error),
            ..self.draft(from_client, request.ts, request.ordinal)
        });
    }

    fn give_up_waiting(&mut self, now: Timestamp, out: &mut dyn Output) {
        while self
            .open
            .front()
            .is_some_and(|request| now.since(request.ts) > ANSWER_WAIT)
        {
            let Some(request) = self.take(0) else { break };
            self.unanswered(request, out);
        }
    }
}

/// What is wrong with a message's AVPs; one that is shown in part only is not read to its end.
fn damage(what: &str, bytes: &[u8]) -> Option<ItemError> {
    let header = parser::header(bytes)?;
    if header.length > bytes.len() {
        return None;
    }
    let body = bytes.get(HEADER..).unwrap_or_default();
    let damaged = parser::avps(body).find_map(Result::err)?;
    Some(ItemError {
        kind: "dissection",
        msg: format!(
            "the {what} could not be read to its end: an AVP does not fit at offset {}",
            HEADER + damaged.offset
        ),
    })
}

impl Dissector for DiameterDissector {
    fn on_chunk(&mut self, chunk: &Chunk, out: &mut dyn Output) -> Outcome {
        if self.tcp {
            return self.on_stream(chunk, out);
        }
        match parser::check(&chunk.bytes) {
            Check::Fits(header) if header.length <= chunk.bytes.len() => {
                let message = chunk.bytes.slice(..header.length);
                self.on_message(&header, message, chunk, out);
                Outcome::Consumed(chunk.bytes.len())
            }
            // Other messages of the association are none of ours.
            _ => Outcome::Consumed(0),
        }
    }

    fn on_gap(&mut self, gap: &Gap, _: &mut dyn Output) -> Outcome {
        if self.tcp {
            let place = self.place(gap.direction);
            let expected = std::mem::take(&mut place.expected);
            let left = u64::from(expected).max(place.skip);
            place.skip = left.saturating_sub(gap.len);
            place.lost |= gap.len > left;
        }
        Outcome::Consumed(0)
    }

    fn on_fin(&mut self, _: Direction, _: &Bytes, _: &mut dyn Output) {}

    fn on_end(&mut self, out: &mut dyn Output) {
        while let Some(request) = self.take(0) {
            self.unanswered(request, out);
        }
    }

    /// ```text
    /// state = version u8 (1), place, place, count u32, count x open          big-endian
    /// place = expected u32, skip u64, lost u8
    /// open  = to the client u8, hop-by-hop u32, command u32, size u64, ts i64, ordinal u64,
    ///         length u32, bytes
    /// ```
    fn save(&self) -> Vec<u8> {
        let mut out = vec![1];
        for place in [&self.to_server, &self.to_client] {
            out.put_u32(place.expected);
            out.put_u64(place.skip);
            out.put_u8(place.lost.into());
        }
        out.put_u32(u32::try_from(self.open.len()).unwrap_or(u32::MAX));
        for request in &self.open {
            out.put_u8(u8::from(request.direction == Direction::ToClient));
            out.put_u32(request.hop_by_hop);
            out.put_u32(request.command);
            out.put_u64(request.size);
            out.put_i64(request.ts.nanos());
            out.put_u64(request.ordinal);
            out.put_u32(u32::try_from(request.bytes.len()).unwrap_or(u32::MAX));
            out.put_slice(&request.bytes);
        }
        out
    }
}

impl DiameterDissector {
    /// Reads [`Dissector::save`] back.
    pub(super) fn restore(stream: &StreamInfo, state: &[u8]) -> Option<DiameterDissector> {
        let mut reader = Reader::new(state);
        if reader.u8().ok()? != 1 {
            return None;
        }
        let mut restored = DiameterDissector::new(stream);
        for direction in [Direction::ToServer, Direction::ToClient] {
            let expected = reader.u32().ok()?;
            if usize::try_from(expected).ok()? > MAX_MESSAGE {
                return None;
            }
            *restored.place(direction) = Place {
                expected,
                skip: reader.u64().ok()?,
                lost: reader.u8().ok()? == 1,
            };
        }
        for _ in 0..reader.u32().ok()? {
            let direction = match reader.u8().ok()? {
                0 => Direction::ToServer,
                _ => Direction::ToClient,
            };
            let hop_by_hop = reader.u32().ok()?;
            let command = reader.u32().ok()?;
            let size = reader.u64().ok()?;
            let ts = Timestamp::from_nanos(reader.u64().ok()?.cast_signed());
            let ordinal = reader.u64().ok()?;
            let length = usize::try_from(reader.u32().ok()?).ok()?;
            let bytes = Bytes::copy_from_slice(reader.take(length).ok()?);
            restored.open_bytes += bytes.len();
            restored.open.push_back(Open {
                direction,
                hop_by_hop,
                command,
                size,
                bytes,
                ts,
                ordinal,
            });
        }
        let fits = restored.open.len() <= MAX_OPEN && restored.open_bytes <= MAX_OPEN_BYTES;
        fits.then_some(restored)
    }
}
