//! One conversation of ICMP: queries paired with replies, all else as it comes.
//!
//! In: datagrams, each one message. Out: items. A reply belongs to the oldest open query of the
//! other side with its type and mark. Never: more than [`MAX_OPEN`] open queries.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{BufMut, Bytes};

use super::parser::{Message, Role};
use super::quoted::Quoted;
use super::{ICMP, ICMPV6, render};
use crate::bytes::Reader;
use crate::dissect::{Dissector, Draft, Outcome, Output};
use crate::flow::{Chunk, Gap, StreamInfo};
use crate::item::{ItemError, Value, cut_body};
use crate::packet::{Direction, Transport};
use crate::time::Timestamp;

/// Open queries of a conversation; a flooding ping has some hundred on their way.
const MAX_OPEN: usize = 512;

/// Bytes of one query that are kept while it waits: what a ping shows of itself.
const MAX_OPEN_BYTES: usize = 256;

/// After this long no reply is expected; a ping waits ten seconds at most by default.
const REPLY_WAIT: Duration = Duration::from_secs(30);

/// A query without a reply so far.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Open {
    direction: Direction,
    bytes: Bytes,
    /// Bytes of the whole message.
    size: u64,
    kind: u8,
    mark: u128,
    ts: Timestamp,
    ordinal: u64,
}

/// State of one conversation.
#[derive(Debug)]
pub(super) struct IcmpDissector {
    v6: bool,
    /// Nobody is bound to answer what is sent to a group.
    multicast: bool,
    /// A host that talks to itself has one direction only.
    itself: bool,
    open: VecDeque<Open>,
}

impl IcmpDissector {
    /// A conversation of which nothing was seen yet.
    pub(super) fn new(stream: &StreamInfo) -> IcmpDissector {
        IcmpDissector {
            v6: stream.name.transport == Transport::ICMPV6,
            multicast: stream.server.ip.is_multicast() || stream.client.ip.is_multicast(),
            itself: stream.client.ip == stream.server.ip,
            open: VecDeque::new(),
        }
    }

    fn value(&self, bytes: Bytes) -> Value {
        let (bytes, _) = cut_body(&bytes);
        Value::lazy(bytes, if self.v6 { render::v6 } else { render::v4 })
    }

    fn draft(&self, from_client: bool, start: Timestamp, ordinal: u64) -> Draft {
        Draft {
            kind: if self.v6 { &ICMPV6 } else { &ICMP },
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

    /// A message that waits for none and answers none.
    fn alone(&self, chunk: &Chunk, error: Option<ItemError>, out: &mut dyn Output) {
        let up = chunk.direction == Direction::ToServer;
        out.item(Draft {
            request_size: chunk.bytes.len() as u64,
            request: self.value(chunk.bytes.clone()),
            error,
            ..self.draft(up, chunk.ts, chunk.ordinal)
        });
    }

    fn ask(&mut self, message: &Message<'_>, chunk: &Chunk, out: &mut dyn Output) {
        let head = chunk.bytes.get(..MAX_OPEN_BYTES).unwrap_or(&chunk.bytes);
        self.open.push_back(Open {
            direction: chunk.direction,
            // A copy: it may wait long, and must not hold a whole batch.
            bytes: Bytes::copy_from_slice(head),
            size: chunk.bytes.len() as u64,
            kind: message.kind,
            mark: message.mark(),
            ts: chunk.ts,
            ordinal: chunk.ordinal,
        });
        if self.open.len() > MAX_OPEN
            && let Some(oldest) = self.open.pop_front()
        {
            self.unanswered(oldest, out);
        }
    }

    fn reply(&mut self, asked: u8, message: &Message<'_>, chunk: &Chunk, out: &mut dyn Output) {
        let mark = message.mark();
        let index = self.open.iter().position(|query| {
            query.kind == asked
                && query.mark == mark
                && (self.itself || query.direction != chunk.direction)
        });
        let from_client = self.itself || chunk.direction == Direction::ToClient;
        let response = self.value(chunk.bytes.clone());
        let response_size = chunk.bytes.len() as u64;
        let Some(query) = index.and_then(|index| self.open.remove(index)) else {
            out.item(Draft {
                response_size,
                response,
                // A neighbour is asked by multicast, which is a flow of its own.
                error: (!message.is_advertisement()).then(|| ItemError {
                    kind: "pair-not-found",
                    msg: format!(
                        "no query for this {} was captured",
                        render::type_text(message)
                    ),
                }),
                ..self.draft(from_client, chunk.ts, chunk.ordinal)
            });
            return;
        };
        let elapsed = chunk.ts.since(query.ts).as_nanos();
        out.item(Draft {
            elapsed_nanos: u64::try_from(elapsed).unwrap_or(u64::MAX),
            request_size: query.size,
            response_size,
            request: self.query_value(&query),
            response,
            ..self.draft(from_client, query.ts, chunk.ordinal)
        });
    }

    /// The query's values, with the length of the whole message.
    fn query_value(&self, query: &Open) -> Value {
        let value = self.value(query.bytes.clone());
        if query.size == query.bytes.len() as u64 {
            return value;
        }
        let mut value = value.force().clone();
        if let Value::Object(members) = &mut value
            && let Some((_, length)) = members.iter_mut().find(|(key, _)| key.text() == "length")
        {
            *length = Value::Int(i64::try_from(query.size).unwrap_or(i64::MAX));
        }
        value
    }

    fn unanswered(&self, query: Open, out: &mut dyn Output) {
        let error = (!self.multicast).then(|| ItemError {
            kind: "timeout",
            msg: "no reply to this query was captured".into(),
        });
        out.item(Draft {
            request_size: query.size,
            request: self.query_value(&query),
            error,
            ..self.draft(
                query.direction == Direction::ToServer,
                query.ts,
                query.ordinal,
            )
        });
    }

    fn give_up_waiting(&mut self, now: Timestamp, out: &mut dyn Output) {
        while self
            .open
            .front()
            .is_some_and(|query| now.since(query.ts) > REPLY_WAIT)
        {
            let Some(query) = self.open.pop_front() else {
                break;
            };
            self.unanswered(query, out);
        }
    }
}

/// What an error message says went wrong, with the packet that it quotes.
fn failure(message: &Message<'_>) -> Option<ItemError> {
    if !message.is_failure() {
        return None;
    }
    let what = match message.code_name() {
        "" => render::type_text(message),
        name => name.to_owned(),
    };
    let about = Quoted::read(message.body).map(|quoted| {
        let name = quoted.protocol_name().unwrap_or("ip");
        match quoted.ports {
            Some((src, dst)) => {
                let src = std::net::SocketAddr::new(quoted.src, src);
                let dst = std::net::SocketAddr::new(quoted.dst, dst);
                format!(" for {name} from {src} to {dst}")
            }
            None => format!(" for {name} from {} to {}", quoted.src, quoted.dst),
        }
    });
    Some(ItemError {
        kind: "connection",
        msg: format!("{what}{}", about.unwrap_or_default()),
    })
}

impl Dissector for IcmpDissector {
    fn on_chunk(&mut self, chunk: &Chunk, out: &mut dyn Output) -> Outcome {
        self.give_up_waiting(chunk.ts, out);
        match Message::parse(&chunk.bytes, self.v6) {
            Ok(message) => match message.role() {
                Role::Query(_) => self.ask(&message, chunk, out),
                Role::Reply(asked) => self.reply(asked, &message, chunk, out),
                Role::Alone => self.alone(chunk, failure(&message), out),
            },
            Err(short) => {
                let error = ItemError {
                    kind: "dissection",
                    msg: format!("the message could not be read: {short}"),
                };
                self.alone(chunk, Some(error), out);
            }
        }
        Outcome::Consumed(chunk.bytes.len())
    }

    fn on_gap(&mut self, _: &Gap, _: &mut dyn Output) -> Outcome {
        Outcome::Consumed(0)
    }

    fn on_fin(&mut self, _: Direction, _: &Bytes, _: &mut dyn Output) {}

    fn on_end(&mut self, out: &mut dyn Output) {
        while let Some(query) = self.open.pop_front() {
            self.unanswered(query, out);
        }
    }

    /// ```text
    /// state = version u8 (1), count u32, count x open                         big-endian
    /// open  = to the client u8, type u8, mark u128, size u64, ts i64, ordinal u64,
    ///         length u16, bytes
    /// ```
    fn save(&self) -> Vec<u8> {
        let mut out = vec![1];
        out.put_u32(u32::try_from(self.open.len()).unwrap_or(u32::MAX));
        for query in &self.open {
            out.put_u8(u8::from(query.direction == Direction::ToClient));
            out.put_u8(query.kind);
            out.put_u128(query.mark);
            out.put_u64(query.size);
            out.put_i64(query.ts.nanos());
            out.put_u64(query.ordinal);
            out.put_u16(u16::try_from(query.bytes.len()).unwrap_or(u16::MAX));
            out.put_slice(&query.bytes);
        }
        out
    }
}

impl IcmpDissector {
    /// Reads [`Dissector::save`] back.
    pub(super) fn restore(stream: &StreamInfo, state: &[u8]) -> Option<IcmpDissector> {
        let mut reader = Reader::new(state);
        if reader.u8().ok()? != 1 {
            return None;
        }
        let mut restored = IcmpDissector::new(stream);
        for _ in 0..reader.u32().ok()? {
            let direction = match reader.u8().ok()? {
                0 => Direction::ToServer,
                _ => Direction::ToClient,
            };
            let kind = reader.u8().ok()?;
            let high = reader.u64().ok()?;
            let mark = u128::from(high) << 64 | u128::from(reader.u64().ok()?);
            let size = reader.u64().ok()?;
            let ts = Timestamp::from_nanos(reader.u64().ok()?.cast_signed());
            let ordinal = reader.u64().ok()?;
            let length = usize::from(reader.u16().ok()?);
            let bytes = Bytes::copy_from_slice(reader.take(length).ok()?);
            if restored.open.len() >= MAX_OPEN {
                return None;
            }
            restored.open.push_back(Open {
                direction,
                bytes,
                size,
                kind,
                mark,
                ts,
                ordinal,
            });
        }
        Some(restored)
    }
}
