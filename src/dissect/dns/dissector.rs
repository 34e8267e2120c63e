//! One conversation of DNS: messages out of datagrams or a stream, queries paired with responses.
//!
//! In: chunks. Out: items. A response belongs to the oldest open query of the other side with the
//! same identifier and question. Multicast messages are not paired: their identifier is zero
//! (RFC 6762 section 18.1). Never: more than [`MAX_OPEN`] open queries.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};

use super::parser::{Check, HEADER, Message};
use super::{DNS, LLMNR_PORT, MULTICAST_PORT, outline};
use crate::bytes::Reader;
use crate::dissect::{Dissector, Draft, GiveUp, Outcome, Output};
use crate::flow::{Chunk, Gap, StreamInfo};
use crate::item::{ItemError, Value};
use crate::packet::{Direction, Transport};
use crate::time::Timestamp;

/// Open queries of a conversation; a resolver that asks through one port has some hundred.
const MAX_OPEN: usize = 1024;

/// Bytes of open queries; keeps the saved state small.
const MAX_OPEN_BYTES: usize = 256 * 1024;

/// After this long no answer is expected: resolvers give up within 10 s (RFC 1035 section 7.2
/// suggests retries from 2 to 5 s).
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// A query without a response so far.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Open {
    /// Its identifier, which most others do not have.
    id: u16,
    direction: Direction,
    bytes: Bytes,
    /// What reading it found.
    check: Check,
    ts: Timestamp,
    ordinal: u64,
    /// The same query was sent before or again, and that one was answered.
    repeated: bool,
}

/// How far a direction of a TCP stream is understood.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// Length of the message that stands first, when two bytes of it were seen.
    expected: u32,
    /// Bytes to pass over, the rest of a message with a gap in it.
    skip: u64,
    /// A gap hid where messages begin.
    lost: bool,
}

/// State of one conversation.
#[derive(Debug)]
pub(super) struct DnsDissector {
    tcp: bool,
    multicast: bool,
    /// Whether a query must not be held against nobody who stays silent.
    may_stay_silent: bool,
    open: VecDeque<Open>,
    open_bytes: usize,
    to_server: Place,
    to_client: Place,
}

impl DnsDissector {
    /// A conversation of which nothing was seen yet.
    pub(super) fn new(stream: &StreamInfo) -> DnsDissector {
        let has_port = |port| stream.client.port == port || stream.server.port == port;
        let multicast = has_port(MULTICAST_PORT);
        DnsDissector {
            tcp: stream.name.transport == Transport::Tcp,
            multicast,
            may_stay_silent: multicast || (has_port(LLMNR_PORT) && stream.server.ip.is_multicast()),
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
        let Some((length, rest)) = chunk.bytes.split_first_chunk::<2>() else {
            return Outcome::NeedMore(2);
        };
        let length = usize::from(u16::from_be_bytes(*length));
        let whole = rest.get(..length);
        if place.lost {
            // A message most likely begins where a segment does; if not, the next one is tried.
            let fits = whole.is_some_and(|bytes| {
                Message::new(bytes).is_ok_and(|message| {
                    let check = message.check();
                    check.error.is_none() && check.end == bytes.len()
                })
            });
            if !fits {
                return Outcome::Consumed(chunk.bytes.len());
            }
            place.lost = false;
        }
        if length < HEADER {
            return Outcome::GiveUp(GiveUp::Malformed);
        }
        if whole.is_none() {
            place.expected = u32::try_from(2 + length).unwrap_or(u32::MAX);
            return Outcome::NeedMore(2 + length);
        }
        place.expected = 0;
        let message = chunk.bytes.slice(2..2 + length);
        self.on_message(message, chunk, out);
        Outcome::Consumed(2 + length)
    }

    fn on_message(&mut self, bytes: Bytes, chunk: &Chunk, out: &mut dyn Output) {
        let Ok(message) = Message::new(&bytes) else {
            return;
        };
        self.give_up_waiting(chunk.ts, out);
        let check = message.check();
        if message.header().is_response() {
            let query = self.answered(&message, &check, chunk.direction);
            self.response(query, &bytes, &check, chunk, out);
        } else if self.multicast {
            self.unanswered(Open::new(&message, check, chunk), out);
        } else {
            self.ask(Open::new(&message, check, chunk), out);
        }
    }

    fn ask(&mut self, query: Open, out: &mut dyn Output) {
        self.open_bytes += query.bytes.len();
        self.open.push_back(query);
        while self.open.len() > MAX_OPEN || self.open_bytes > MAX_OPEN_BYTES {
            let Some(oldest) = self.take(0) else { break };
            self.unanswered(oldest, out);
        }
    }

    fn take(&mut self, index: usize) -> Option<Open> {
        let query = self.open.remove(index)?;
        self.open_bytes -= query.bytes.len();
        Some(query)
    }

    /// Finds the query that a response answers.
    fn answered(
        &mut self,
        response: &Message<'_>,
        check: &Check,
        direction: Direction,
    ) -> Option<Open> {
        let asked = questions(response.bytes(), check).filter(|bytes| !bytes.is_empty());
        let id = response.header().id;
        let answers = |query: &Open| {
            query.id == id
                && query.direction == direction.other()
                // Some errors come without the question.
                && (asked.is_none() || same_question(questions(&query.bytes, &query.check), asked))
        };
        let index = self.open.iter().position(answers)?;
        let query = self.take(index)?;
        for other in self.open.iter_mut().filter(|query| answers(query)) {
            other.repeated = true;
        }
        Some(query)
    }

    fn response(
        &self,
        query: Option<Open>,
        bytes: &Bytes,
        check: &Check,
        chunk: &Chunk,
        out: &mut dyn Output,
    ) {
        let damage = damage("response", bytes, check).or_else(|| {
            let query = query.as_ref()?;
            damage("query", &query.bytes, &query.check)
        });
        let error = match &query {
            None if !self.multicast => damage.or_else(|| {
                Some(ItemError {
                    kind: "pair-not-found",
                    msg: "no query for this response was captured".into(),
                })
            }),
            _ => damage,
        };
        let start = query.as_ref().map_or(chunk.ts, |query| query.ts);
        let elapsed = chunk.ts.since(start).as_nanos();
        out.item(Draft {
            kind: &DNS,
            from_client: chunk.direction == Direction::ToClient,
            start,
            elapsed_nanos: u64::try_from(elapsed).unwrap_or(u64::MAX),
            request_size: query.as_ref().map_or(0, |query| query.bytes.len() as u64),
            response_size: bytes.len() as u64,
            request: match query {
                Some(query) => outline::request(query.bytes),
                None => Value::Null,
            },
            response: outline::response(bytes.clone()),
            data: Value::Null,
            error,
            ordinal: chunk.ordinal,
        });
    }

    fn unanswered(&self, query: Open, out: &mut dyn Output) {
        let error = damage("query", &query.bytes, &query.check).or_else(|| {
            if self.may_stay_silent {
                None
            } else if query.repeated {
                Some(ItemError {
                    kind: "pair-not-found",
                    msg: "the query was sent more often than it was answered".into(),
                })
            } else {
                Some(ItemError {
                    kind: "timeout",
                    msg: "no response to this query was captured".into(),
                })
            }
        });
        out.item(Draft {
            kind: &DNS,
            from_client: query.direction == Direction::ToServer,
            start: query.ts,
            elapsed_nanos: 0,
            request_size: query.bytes.len() as u64,
            response_size: 0,
            request: outline::request(query.bytes),
            response: Value::Null,
            data: Value::Null,
            error,
            ordinal: query.ordinal,
        });
    }

    fn give_up_waiting(&mut self, now: Timestamp, out: &mut dyn Output) {
        while self
            .open
            .front()
            .is_some_and(|query| now.since(query.ts) > ANSWER_WAIT)
        {
            let Some(query) = self.take(0) else { break };
            self.unanswered(query, out);
        }
    }
}

impl Open {
    /// A copy of the query: it may wait long, and must not hold a whole batch.
    fn new(message: &Message<'_>, check: Check, chunk: &Chunk) -> Open {
        Open {
            id: message.header().id,
            direction: chunk.direction,
            bytes: Bytes::copy_from_slice(message.bytes()),
            check,
            ts: chunk.ts,
            ordinal: chunk.ordinal,
            repeated: false,
        }
    }
}

/// Names compare without regard to case; resolvers mix it on purpose.
fn same_question(a: Option<&[u8]>, b: Option<&[u8]>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
        _ => false,
    }
}

/// The bytes of the question section; `None` when it is not whole.
fn questions<'a>(bytes: &'a [u8], check: &Check) -> Option<&'a [u8]> {
    bytes.get(HEADER..check.questions?)
}

fn damage(what: &str, bytes: &[u8], check: &Check) -> Option<ItemError> {
    let error = check.error?;
    // A message that says itself that it was cut is whole as it is.
    if Message::new(bytes).is_ok_and(|message| message.header().is_truncated()) {
        return None;
    }
    Some(ItemError {
        kind: "dissection",
        msg: format!("the {what} could not be read to its end: {error}"),
    })
}

impl Dissector for DnsDissector {
    fn on_chunk(&mut self, chunk: &Chunk, out: &mut dyn Output) -> Outcome {
        if self.tcp {
            return self.on_stream(chunk, out);
        }
        self.on_message(chunk.bytes.clone(), chunk, out);
        Outcome::Consumed(chunk.bytes.len())
    }

    fn on_gap(&mut self, gap: &Gap, _out: &mut dyn Output) -> Outcome {
        if self.tcp {
            let place = self.place(gap.direction);
            let expected = std::mem::take(&mut place.expected);
            let left = u64::from(expected).max(place.skip);
            place.skip = left.saturating_sub(gap.len);
            place.lost |= gap.len > left;
        }
        Outcome::Consumed(0)
    }

    fn on_fin(&mut self, _direction: Direction, _rest: &Bytes, _out: &mut dyn Output) {}

    fn on_end(&mut self, out: &mut dyn Output) {
        while let Some(query) = self.take(0) {
            self.unanswered(query, out);
        }
    }

    /// ```text
    /// state = version u8 (1), place, place, count u32, count x open          big-endian
    /// place = expected u32, skip u64, lost u8
    /// open  = flags u8 (1 to the client, 2 repeated), ts i64, ordinal u64, length u32, bytes
    /// ```
    fn save(&self) -> Vec<u8> {
        let mut out = vec![1];
        for place in [&self.to_server, &self.to_client] {
            out.put_u32(place.expected);
            out.put_u64(place.skip);
            out.put_u8(place.lost.into());
        }
        out.put_u32(u32::try_from(self.open.len()).unwrap_or(u32::MAX));
        for query in &self.open {
            let to_client = query.direction == Direction::ToClient;
            out.put_u8(u8::from(to_client) | u8::from(query.repeated) << 1);
            out.put_i64(query.ts.nanos());
            out.put_u64(query.ordinal);
            out.put_u32(u32::try_from(query.bytes.len()).unwrap_or(u32::MAX));
            out.put(&query.bytes[..]);
        }
        out
    }
}

impl DnsDissector {
    /// Reads [`Dissector::save`] back.
    pub(super) fn restore(stream: &StreamInfo, state: &[u8]) -> Option<DnsDissector> {
        let mut reader = Reader::new(state);
        if reader.u8().ok()? != 1 {
            return None;
        }
        let mut restored = DnsDissector::new(stream);
        for direction in [Direction::ToServer, Direction::ToClient] {
            *restored.place(direction) = Place {
                expected: reader.u32().ok()?,
                skip: reader.u64().ok()?,
                lost: reader.u8().ok()? == 1,
            };
        }
        for _ in 0..reader.u32().ok()? {
            let flags = reader.u8().ok()?;
            let ts = Timestamp::from_nanos(reader.take(8).ok()?.get_i64());
            let ordinal = reader.u64().ok()?;
            let length = usize::try_from(reader.u32().ok()?).ok()?;
            let bytes = Bytes::copy_from_slice(reader.take(length).ok()?);
            let message = Message::new(&bytes).ok()?;
            let (id, check) = (message.header().id, message.check());
            restored.open_bytes += bytes.len();
            restored.open.push_back(Open {
                id,
                direction: match flags & 1 {
                    0 => Direction::ToServer,
                    _ => Direction::ToClient,
                },
                bytes,
                check,
                ts,
                ordinal,
                repeated: flags & 2 != 0,
            });
        }
        Some(restored)
    }
}
