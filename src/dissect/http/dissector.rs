//! One stream of HTTP/1.x: who asks, where each direction stands, and which response answers what.
//!
//! In: chunks and gaps. Out: one item an exchange, in the order of the requests. Never: clocks.
//! Standard: RFC 9112, for pairing section 9.3.2 ("a server MUST send its responses in the same
//! order"), for gaps our own judgement.
//!
//! Heads are taken in [`heads`], bodies in [`bodies`]; [`pairing`] keeps the open exchanges, and
//! [`saved`] is the state as bytes.
//!
//! Invariants: `open` holds exchanges in the order of their requests; the exchange with serial `s`
//! is `open[s - first]`; a response goes to the first exchange without one. An exchange without a
//! request is a response that came first or whose request was never seen.

mod bodies;
mod heads;
mod pairing;
mod saved;

use std::collections::VecDeque;

use bytes::Bytes;

use super::body::{Body, Chunked, Gapped};
use super::exchange::{CONNECTION, DISSECTION, Exchange};
use super::parser::MAX_HEAD;
use super::recognise::{self, Found, Looks};
use crate::dissect::{Dissector, GiveUp, Handover, Outcome, Output, Stream};
use crate::flow::{Chunk, Gap};
use crate::packet::Direction;
use crate::time::Timestamp;

/// Requests of one stream that may await their responses; browsers and proxies send up to hundreds.
const MAX_OPEN: usize = 1024;

/// Bytes without any message, and without a gap to blame, after which the stream is not HTTP.
const MAX_LOST: u64 = 256 * 1024;

/// Bytes between messages that are none of either: empty lines.
const MAX_BLANK: u64 = 4;

/// The state of one stream.
pub(super) struct Http {
    /// Whether the handshake told who is the client.
    knows_sides: bool,
    /// Direction of the requests; `None` until a message tells.
    asks: Option<Direction>,
    requests: Side,
    responses: Side,
    open: VecDeque<Exchange>,
    /// Serial of the first open exchange.
    first: u64,
    /// What the open exchanges hold, see [`Exchange::weight`].
    weight: usize,
    /// Requests handed out for lack of room whose responses are still to come.
    expired: u64,
    /// Whether the client was seen to send requests without awaiting responses.
    pipelined: bool,
    /// Whether responses may be one off: messages were lost while several requests were open.
    doubtful: bool,
    /// Whether the stream went over to another protocol.
    upgraded: bool,
    /// Whom it goes over to, when that was agreed on.
    next: Option<Handover>,
    /// Whether something was finished since the last look for finished exchanges.
    ripe: bool,
}

/// Where one direction stands.
struct Side {
    reading: Reading,
    /// Bytes at the front of what is offered next that hold no end of a head.
    scanned: usize,
    /// A head that has not ended yet, as last offered.
    pending: Option<Pending>,
    /// Whether messages were perhaps missed since the last pairing.
    loose: bool,
    /// Whether that is because of a gap.
    gapped: bool,
    /// Whether a message was missed for sure.
    missed: bool,
    /// Bytes passed over in search of a message without a gap as the cause.
    lost: u64,
}

struct Pending {
    bytes: Bytes,
    ts: Timestamp,
    ordinal: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// At the start of a message.
    Head,
    /// In the body of the message with this serial.
    Body(Body, u64),
    /// Looking for the start of a message.
    Lost,
    /// Behind a CONNECT that has no answer yet: what follows may be another protocol.
    Tunnel,
}

/// What one step did.
enum Advance {
    /// Moved over so many bytes, perhaps none.
    Took(usize),
    /// More bytes are needed.
    Wait,
    /// These bytes are not HTTP.
    Hopeless,
}

impl Http {
    /// A stream from its first seen byte on.
    pub(super) fn new(stream: &Stream) -> Http {
        Http::beginning(stream.knows_sides(), !stream.is_from_start())
    }

    /// The same of which this is known.
    fn beginning(knows_sides: bool, late: bool) -> Http {
        let side = |loose| Side {
            reading: Reading::Head,
            scanned: 0,
            pending: None,
            loose,
            gapped: false,
            missed: false,
            lost: 0,
        };
        Http {
            knows_sides,
            asks: None,
            requests: side(late),
            responses: side(late),
            open: VecDeque::new(),
            first: 0,
            weight: 0,
            expired: 0,
            pipelined: false,
            doubtful: false,
            upgraded: false,
            next: None,
            ripe: false,
        }
    }

    /// Learns who asks from the first bytes of either side; otherwise how many of them say nothing.
    fn who_asks(&mut self, chunk: &Chunk) -> Result<Direction, usize> {
        let bytes = &chunk.bytes;
        let request = recognise::request(recognise::without_blank(bytes));
        let response = recognise::response(bytes);
        let asks = match (request, response) {
            (Looks::Yes, _) => chunk.direction,
            (_, Looks::Yes) => chunk.direction.other(),
            _ if self.knows_sides => Direction::ToServer,
            (Looks::No, Looks::No) => {
                match (
                    recognise::find_request(bytes),
                    recognise::find_response(bytes),
                ) {
                    (Found::At(asks), Found::At(answers)) if asks < answers => chunk.direction,
                    (_, Found::At(_)) => chunk.direction.other(),
                    (Found::At(_), _) => chunk.direction,
                    (Found::NotBefore(asks), Found::NotBefore(answers)) => {
                        return Err(asks.min(answers));
                    }
                }
            }
            _ if bytes.len() > MAX_HEAD => return Err(bytes.len()),
            _ => return Err(0),
        };
        self.asks = Some(asks);
        Ok(asks)
    }

    fn side(&mut self, is_request: bool) -> &mut Side {
        match is_request {
            true => &mut self.requests,
            false => &mut self.responses,
        }
    }

    fn advance(&mut self, is_request: bool, chunk: &Chunk, at: usize) -> Advance {
        match self.side(is_request).reading {
            Reading::Head => self.head(is_request, chunk, at),
            Reading::Body(body, serial) => self.body(is_request, chunk, at, body, serial),
            Reading::Lost => self.search(is_request, chunk, at),
            Reading::Tunnel => Advance::Wait,
        }
    }

    fn search(&mut self, is_request: bool, chunk: &Chunk, at: usize) -> Advance {
        let rest = chunk.bytes.get(at..).unwrap_or_default();
        let found = match is_request {
            true => recognise::find_request(rest),
            false => recognise::find_response(rest),
        };
        let nothing_yet = self.first == 0 && self.open.is_empty();
        let side = self.side(is_request);
        match found {
            Found::At(count) => {
                side.reading = Reading::Head;
                side.lost = 0;
                Advance::Took(count)
            }
            Found::NotBefore(0) => Advance::Wait,
            Found::NotBefore(count) => {
                side.lost += count as u64;
                match nothing_yet && !side.loose && side.lost > MAX_LOST {
                    true => Advance::Hopeless,
                    false => Advance::Took(count),
                }
            }
        }
    }
}

impl Dissector for Http {
    fn on_chunk(&mut self, chunk: &Chunk, out: &mut dyn Output) -> Outcome {
        if self.upgraded {
            return Outcome::GiveUp(GiveUp::Upgraded);
        }
        let asks = match self.asks.map_or_else(|| self.who_asks(chunk), Ok) {
            Ok(asks) => asks,
            Err(0) => return Outcome::NeedMore(chunk.bytes.len() + 1),
            Err(count) => return Outcome::Consumed(count),
        };
        let is_request = chunk.direction == asks;
        self.side(is_request).pending = None;
        let mut at = 0;
        // A body may end with the last byte offered, so it is asked once more without any.
        while at < chunk.bytes.len() || matches!(self.side(is_request).reading, Reading::Body(..)) {
            match self.advance(is_request, chunk, at) {
                Advance::Took(count) => at += count,
                Advance::Wait => break,
                Advance::Hopeless => {
                    self.flush(out);
                    return Outcome::GiveUp(GiveUp::Malformed);
                }
            }
            self.drain(out);
            if self.upgraded {
                self.flush(out);
                break;
            }
        }
        match at {
            0 if self.upgraded => Outcome::GiveUp(GiveUp::Upgraded),
            0 if !chunk.bytes.is_empty() => Outcome::NeedMore(chunk.bytes.len() + 1),
            at => Outcome::Consumed(at),
        }
    }

    fn on_gap(&mut self, gap: &Gap, out: &mut dyn Output) -> Outcome {
        if self.upgraded {
            return Outcome::GiveUp(GiveUp::Upgraded);
        }
        let known = self.knows_sides.then_some(Direction::ToServer);
        let Some(asks) = self.asks.or(known) else {
            return Outcome::Consumed(0);
        };
        let is_request = gap.direction == asks;
        let side = self.side(is_request);
        let pending = side.pending.take();
        side.scanned = 0;
        match side.reading {
            // Wherever the next bytes stem from, they are first looked at as the start of a message:
            // a head that is cut by another gap can only be known there.
            reading @ (Reading::Head | Reading::Lost) => {
                side.reading = Reading::Head;
                // A head that is cut is in front of what is missing.
                let cut = pending.is_some_and(|pending| {
                    self.cut_head(is_request, pending, "the head was not captured to its end")
                });
                if cut && !is_request {
                    self.goes_over_cut();
                }
                let missed = !cut && reading == Reading::Head && gap.len > MAX_BLANK;
                self.miss(is_request, missed);
            }
            Reading::Body(mut body, serial) => {
                let left = match body {
                    Body::Length(left) | Body::Chunked(Chunked::Data(left)) => left.min(gap.len),
                    Body::UntilClose => gap.len,
                    Body::Chunked(_) => 0,
                };
                let counted = matches!(body, Body::Length(_));
                let gapped = body.gap(gap.len);
                side.reading = Reading::Body(body, serial);
                if let Some(message) = self.message(is_request, serial) {
                    message.kept.cut = true;
                    message.missing += left;
                    message.body_size += left;
                }
                if gapped == Gapped::Lost {
                    if let Some(exchange) = self.exchange(serial) {
                        exchange.fail(DISSECTION, "the end of the body was not captured");
                    }
                    self.finish(is_request, serial, gap.ordinal);
                    let behind = counted && gap.len > left.saturating_add(MAX_BLANK);
                    self.miss(is_request, behind);
                }
            }
            Reading::Tunnel => {}
        }
        // Behind a gap in the requests comes one that may belong to a response that waits here.
        if !is_request {
            self.drain(out);
        }
        if self.upgraded {
            self.flush(out);
            return Outcome::GiveUp(GiveUp::Upgraded);
        }
        Outcome::Consumed(0)
    }

    fn on_fin(&mut self, direction: Direction, rest: &Bytes, out: &mut dyn Output) {
        let Some(asks) = self.asks.filter(|_| !self.upgraded) else {
            return;
        };
        let is_request = direction == asks;
        self.end_side(is_request, true);
        if !is_request {
            let pending = self.responses.pending.take();
            if let Some(pending) = pending.filter(|_| recognise::response(rest) == Looks::Yes) {
                self.cut_head(false, pending, "the connection ended within the head");
            }
            for exchange in self.open.iter_mut().filter(|one| one.response.is_none()) {
                exchange.abandoned = true;
                exchange.fail(
                    CONNECTION,
                    "the connection was closed before it was answered",
                );
            }
            self.ripe = true;
        }
        self.drain(out);
    }

    fn settle(&mut self) {
        for exchange in &mut self.open {
            let messages = [&mut exchange.request, &mut exchange.response];
            for message in messages.into_iter().flatten() {
                message.settle();
            }
        }
    }

    fn on_end(&mut self, out: &mut dyn Output) {
        self.end_side(true, false);
        self.end_side(false, false);
        self.flush(out);
    }

    fn handover(&mut self) -> Option<Handover> {
        self.next.take()
    }

    fn save(&self) -> Vec<u8> {
        self.saved()
    }
}
