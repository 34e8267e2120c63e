//! One stream of HTTP/1.x: who asks, where each direction stands, and which response answers what.
//!
//! In: chunks and gaps. Out: one item an exchange, in the order of the requests. Never: clocks.
//! Standard: RFC 9112, for pairing section 9.3.2 ("a server MUST send its responses in the same
//! order"), for gaps our own judgement.
//!
//! Invariants: `open` holds exchanges in the order of their requests; the exchange with serial `s`
//! is `open[s - first]`; a response goes to the first exchange without one. An exchange without a
//! request is a response that came first or whose request was never seen.

use std::collections::VecDeque;

use bytes::Bytes;

use super::body::{self, Body, Chunked, Gapped, Step};
use super::exchange::{
    CONNECTION, DISSECTION, Exchange, Message, PAIR_NOT_FOUND, flag, load_bytes, save_bytes,
};
use super::handover;
use super::parser::{self, Length, MAX_HEAD, Parsed, StartLine, Version};
use super::recognise::{self, Found, Looks};
use crate::bytes::Reader;
use crate::dissect::{Dissector, GiveUp, Handover, Outcome, Output, PROTOCOLS};
use crate::flow::{Chunk, Gap, Opening};
use crate::item::MAX_ITEM_BODY;
use crate::packet::Direction;
use crate::time::Timestamp;

/// Requests of one stream that may await their responses; browsers and proxies send up to hundreds.
const MAX_OPEN: usize = 1024;

/// Bytes that the open exchanges of one stream may hold.
const MAX_OPEN_BYTES: usize = 4 * 1024 * 1024;

/// Responses that may wait for requests which are captured after them.
const MAX_EARLY: usize = 8;

/// Bytes without any message, and without a gap to blame, after which the stream is not HTTP.
const MAX_LOST: u64 = 256 * 1024;

/// Longest note of a handover: a head, what a repair may add, and a body.
const MAX_NOTE: usize = 2 * MAX_HEAD + 2 * MAX_ITEM_BODY;

/// First byte of a saved state.
const SAVE_VERSION: u8 = 2;

/// The state of one stream.
pub(super) struct Http {
    /// Whether the stream was seen from its beginning.
    from_start: bool,
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

/// What a response answers.
enum Answers {
    /// The request at this place of `open`.
    Request(usize),
    /// None that is known.
    Nothing,
    /// One that was handed out already.
    Expired,
}

impl Http {
    /// A stream from its first seen byte on.
    pub(super) fn new(opening: Opening) -> Http {
        let from_start = matches!(opening, Opening::Syn | Opening::SynAck);
        let side = |loose| Side {
            reading: Reading::Head,
            scanned: 0,
            pending: None,
            loose,
            lost: 0,
        };
        Http {
            from_start,
            asks: None,
            requests: side(!from_start),
            responses: side(!from_start),
            open: VecDeque::new(),
            first: 0,
            weight: 0,
            expired: 0,
            pipelined: false,
            upgraded: false,
            next: None,
            ripe: false,
        }
    }

    /// Learns who asks from the first bytes of either side; otherwise how many of them say nothing.
    fn who_asks(&mut self, chunk: &Chunk) -> Result<Direction, usize> {
        let bytes = &chunk.bytes;
        let (request, response) = (recognise::request(bytes), recognise::response(bytes));
        let asks = match (request, response) {
            (Looks::Yes, _) => chunk.direction,
            (_, Looks::Yes) => chunk.direction.other(),
            _ if self.from_start => Direction::ToServer,
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

    fn head(&mut self, is_request: bool, chunk: &Chunk, at: usize) -> Advance {
        let rest = chunk.bytes.get(at..).unwrap_or_default();
        // "a server ... SHOULD ignore at least one empty line (CRLF) received prior to the
        // request-line" (RFC 9112 section 2.2); clients are as patient.
        let blank = rest
            .iter()
            .take_while(|byte| matches!(byte, b'\r' | b'\n'))
            .count();
        if blank > 0 {
            return Advance::Took(blank);
        }
        let sliced;
        let bytes = match at {
            0 => &chunk.bytes,
            _ => {
                sliced = chunk.bytes.slice(at..);
                &sliced
            }
        };
        let scanned = self.side(is_request).scanned;
        let parsed = match is_request {
            true => parser::request(bytes, scanned),
            false => parser::response(bytes, scanned),
        };
        let side = self.side(is_request);
        side.scanned = 0;
        match parsed {
            Parsed::Head(head, size) => {
                let message = Message::new(head, size, chunk.ts);
                let behind = bytes.len() - size;
                match is_request {
                    true => self.begin_request(message, chunk.ordinal),
                    false => self.begin_response(message, behind, chunk.ordinal),
                }
                Advance::Took(size)
            }
            Parsed::Partial => {
                side.scanned = bytes.len();
                side.pending = Some(Pending {
                    bytes: Bytes::copy_from_slice(bytes),
                    ts: chunk.ts,
                    ordinal: chunk.ordinal,
                });
                Advance::Wait
            }
            Parsed::TooLong => {
                let pending = Pending {
                    bytes: bytes.slice(..MAX_HEAD),
                    ts: chunk.ts,
                    ordinal: chunk.ordinal,
                };
                self.cut_head(is_request, pending, "the head is longer than 64 KiB");
                self.side(is_request).reading = Reading::Lost;
                Advance::Took(MAX_HEAD)
            }
            Parsed::Malformed => {
                side.reading = Reading::Lost;
                Advance::Took(1)
            }
        }
    }

    /// Takes a head whose end is not there for what it tells.
    fn cut_head(&mut self, is_request: bool, pending: Pending, why: &str) {
        if let Some(head) = parser::cut_head(&pending.bytes, is_request) {
            let mut message = Message::new(Box::new(head), pending.bytes.len(), pending.ts);
            message.kept.cut = true;
            message.done = true;
            let serial = match is_request {
                true => self.open_request(message, pending.ordinal),
                false => self.pair(message, pending.ordinal),
            };
            if let Some(exchange) = self.exchange(serial) {
                exchange.fail(DISSECTION, why);
            }
            self.ripe = true;
        }
    }

    fn begin_request(&mut self, mut message: Message, ordinal: u64) {
        let framing = body::of_request(&message.head.fields);
        let connect = message.method() == b"CONNECT";
        let malformed = message.head.version == Version::Missing;
        message.done = framing.body.is_none();
        message.head.own();
        let serial = self.open_request(message, ordinal);
        let fault = match malformed {
            true => Some("the request line is malformed"),
            false => framing.fault,
        };
        if let (Some(fault), Some(exchange)) = (fault, self.exchange(serial)) {
            exchange.fail(DISSECTION, fault);
        }
        self.requests.reading = match framing.body {
            _ if connect => Reading::Tunnel,
            Some(body) => Reading::Body(body, serial),
            None => Reading::Head,
        };
    }

    /// Puts a request where it belongs: behind the others, or to a response that came before it.
    fn open_request(&mut self, message: Message, ordinal: u64) -> u64 {
        self.ripe = true;
        self.weight += message.weight();
        let loose = self.requests.loose;
        let early = self
            .open
            .iter()
            .position(|exchange| match &exchange.response {
                Some(response) => {
                    exchange.request.is_none() && (!loose || response.ts >= message.ts)
                }
                None => false,
            });
        match early.and_then(|at| self.open.get_mut(at).map(|exchange| (at, exchange))) {
            Some((at, exchange)) => {
                let head = message.method() == b"HEAD";
                let untouched = |response: &Message| !response.done && response.body_size == 0;
                let waits = head && exchange.response.as_ref().is_some_and(untouched);
                exchange.request = Some(message);
                exchange.ordinal = ordinal;
                self.requests.loose = false;
                let serial = self.first + at as u64;
                if waits {
                    // Now it is known that no body comes.
                    self.finish(false, serial, ordinal);
                }
                serial
            }
            None => {
                self.open.push_back(Exchange {
                    request: Some(message),
                    ordinal,
                    ..Exchange::default()
                });
                self.first + self.open.len() as u64 - 1
            }
        }
    }

    /// Takes a response's head; `behind` bytes come behind it in the same chunk.
    fn begin_response(&mut self, mut message: Message, behind: usize, ordinal: u64) {
        let StartLine::Response { status, .. } = message.head.start else {
            return;
        };
        if (100..200).contains(&status) && status != 101 {
            if let Some(exchange) = self.open.iter_mut().find(|one| one.response.is_none()) {
                exchange.interim_size += message.size;
            }
            return;
        }
        let fields = message.head.fields.clone();
        message.done = false;
        let serial = self.pair(message, ordinal);
        let Some(exchange) = self.exchange(serial) else {
            return;
        };
        let connect = exchange
            .request
            .as_ref()
            .is_some_and(|one| one.method() == b"CONNECT");
        let method = exchange.request.as_ref().map_or(&b""[..], Message::method);
        let framing = body::of_response(&fields, status, method);
        if let Some(fault) = framing.fault {
            exchange.fail(DISSECTION, fault);
        }
        let fits = match framing.body {
            None => true,
            Some(Body::Length(length)) => length <= behind as u64,
            Some(_) => false,
        };
        if let Some(response) = exchange.response.as_mut().filter(|_| !fits) {
            response.head.own();
        }
        let accepted = connect && (200..300).contains(&status);
        match framing.body {
            Some(body) => self.responses.reading = Reading::Body(body, serial),
            None => self.finish(false, serial, ordinal),
        }
        if status == 101 || accepted {
            self.upgraded = true;
            let asks = self.asks.unwrap_or(Direction::ToServer);
            self.next = self
                .exchange(serial)
                .filter(|_| status == 101)
                .and_then(|exchange| handover::of(exchange, asks));
        } else if connect && self.requests.reading == Reading::Tunnel {
            self.requests.reading = Reading::Head;
        }
    }

    /// Puts a response to the request that it answers.
    fn pair(&mut self, message: Message, ordinal: u64) -> u64 {
        self.ripe = true;
        self.weight += message.weight();
        let at = match self.answered_by(message.ts) {
            Answers::Request(at) => at,
            Answers::Nothing => {
                self.open.push_back(Exchange::default());
                self.open.len() - 1
            }
            Answers::Expired => {
                self.first = self.first.saturating_sub(1);
                self.open.push_front(Exchange {
                    abandoned: true,
                    ..Exchange::default()
                });
                0
            }
        };
        if let Some(exchange) = self.open.get_mut(at) {
            exchange.response = Some(message);
            exchange.ordinal = ordinal;
        }
        self.first + at as u64
    }

    /// The request that the next response answers, by its place in `open`.
    ///
    /// Without gaps the order tells. Behind a gap in the responses a client that never pipelined
    /// waits for the answer to its latest request, so the ones before it are given up. Behind a gap
    /// in the requests a request later than the response is not the one it answers.
    fn answered_by(&mut self, ts: Timestamp) -> Answers {
        let missed = std::mem::take(&mut self.responses.loose);
        if missed {
            self.expired = 0;
        } else if self.expired > 0 {
            self.expired -= 1;
            return Answers::Expired;
        }
        let waiting = |exchange: &Exchange| exchange.response.is_none() && !exchange.abandoned;
        let asked = |exchange: &Exchange| exchange.request.as_ref().map(|message| message.ts);
        let in_time = |at: &usize| {
            self.open
                .get(*at)
                .and_then(asked)
                .is_some_and(|asked| asked <= ts)
        };
        let Some(first) = self.open.iter().position(waiting) else {
            return Answers::Nothing;
        };
        let at = match missed && !self.pipelined {
            true => (first..self.open.len()).rev().find(in_time),
            false => Some(first),
        };
        let Some(at) = at.filter(|at| !self.requests.loose || in_time(at)) else {
            return Answers::Nothing;
        };
        self.requests.loose = false;
        if !missed && in_time(&(at + 1)) {
            self.pipelined = true;
        }
        for exchange in self.open.range_mut(first..at) {
            exchange.abandoned = true;
            exchange.fail(PAIR_NOT_FOUND, "the response was not captured");
        }
        if let Some(exchange) = self.open.get_mut(at).filter(|_| missed && self.pipelined) {
            let why =
                "responses before this one were not captured, so it may answer another request";
            exchange.fail(DISSECTION, why);
        }
        Answers::Request(at)
    }

    fn body(
        &mut self,
        is_request: bool,
        chunk: &Chunk,
        at: usize,
        body: Body,
        serial: u64,
    ) -> Advance {
        let rest = chunk.bytes.get(at..).unwrap_or_default();
        if !is_request && self.is_fresh_orphan(body, serial) && !rest.is_empty() {
            // What looks like the next head is one: the unseen request was a HEAD.
            match recognise::response(rest) {
                Looks::Yes => {
                    self.finish(is_request, serial, chunk.ordinal);
                    return Advance::Took(0);
                }
                Looks::Maybe => return Advance::Wait,
                Looks::No => {}
            }
        }
        let mut next = body;
        let step = next.step(rest);
        self.side(is_request).reading = Reading::Body(next, serial);
        match step {
            Step::Data(count) => {
                let mut added = 0;
                if let Some(message) = self.message(is_request, serial) {
                    let before = message.kept.len();
                    // What stays open longer than this call must not keep the chunk alive.
                    if is_request || next != Body::Length(0) {
                        let kept = rest.get(..count).unwrap_or_default();
                        message.kept.push_copied(kept);
                    } else {
                        message.kept.push(chunk.bytes.slice(at..at + count));
                    }
                    added = message.kept.len() - before;
                    message.body_size += count as u64;
                    message.size += count as u64;
                }
                self.weight += added;
                Advance::Took(count)
            }
            Step::Framing(count) => {
                if let Some(message) = self.message(is_request, serial) {
                    message.size += count as u64;
                }
                Advance::Took(count)
            }
            Step::Done => {
                self.finish(is_request, serial, chunk.ordinal);
                Advance::Took(0)
            }
            Step::Wait => Advance::Wait,
            Step::Broken => {
                self.broken(is_request, serial, body, chunk.ordinal);
                Advance::Took(0)
            }
        }
    }

    fn is_fresh_orphan(&mut self, body: Body, serial: u64) -> bool {
        matches!(body, Body::Length(_) | Body::Chunked(Chunked::First))
            && self.exchange(serial).is_some_and(|exchange| {
                let untouched = |message: &Message| message.body_size == 0;
                exchange.request.is_none() && exchange.response.as_ref().is_some_and(untouched)
            })
    }

    /// A body that was never chunked is read as it would be without the field; any other one ends.
    fn broken(&mut self, is_request: bool, serial: u64, body: Body, ordinal: u64) {
        let length = self
            .message(is_request, serial)
            .map(|message| message.head.fields.length);
        if let Some(exchange) = self.exchange(serial) {
            exchange.fail(DISSECTION, "the chunked body is malformed");
        }
        if body == Body::Chunked(Chunked::First) && !is_request {
            let plain = match length {
                Some(Length::Known(length)) => Body::Length(length),
                _ => Body::UntilClose,
            };
            self.responses.reading = Reading::Body(plain, serial);
            return;
        }
        if let Some(message) = self.message(is_request, serial) {
            message.kept.cut = true;
        }
        self.finish(is_request, serial, ordinal);
        self.side(is_request).reading = Reading::Lost;
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

    fn exchange(&mut self, serial: u64) -> Option<&mut Exchange> {
        let at = serial.checked_sub(self.first)?;
        self.open.get_mut(usize::try_from(at).ok()?)
    }

    fn message(&mut self, is_request: bool, serial: u64) -> Option<&mut Message> {
        let exchange = self.exchange(serial)?;
        match is_request {
            true => exchange.request.as_mut(),
            false => exchange.response.as_mut(),
        }
    }

    /// Marks a message as whole, or as whole as it will be.
    fn finish(&mut self, is_request: bool, serial: u64, ordinal: u64) {
        self.ripe = true;
        self.side(is_request).reading = Reading::Head;
        if let Some(message) = self.message(is_request, serial) {
            message.done = true;
        }
        if let Some(exchange) = self.exchange(serial) {
            exchange.ordinal = exchange.ordinal.max(ordinal);
        }
    }

    /// Hands out what is finished at the front, and what there is no room for.
    fn drain(&mut self, out: &mut dyn Output) {
        if !std::mem::take(&mut self.ripe) {
            return;
        }
        while self.open.front().is_some_and(|front| self.is_ready(front)) {
            self.emit(out);
        }
        let early = self
            .open
            .front()
            .is_some_and(|front| front.request.is_none());
        let room = MAX_OPEN + usize::from(early);
        while self.open.len() > room || (self.weight > MAX_OPEN_BYTES && self.open.len() > 1) {
            if let Some(front) = self
                .open
                .front_mut()
                .filter(|front| front.response.is_none())
            {
                front.fail(
                    PAIR_NOT_FOUND,
                    "too many requests were open to await the response",
                );
                self.expired += 1;
            }
            self.emit(out);
        }
    }

    fn is_ready(&self, exchange: &Exchange) -> bool {
        let request = match &exchange.request {
            Some(message) => message.done,
            // A request may be captured after its response; but not for ever, and not when requests
            // were missed.
            None => {
                exchange.abandoned
                    || self.requests.loose
                    || self.requests.reading == Reading::Lost
                    || self
                        .open
                        .get(MAX_EARLY)
                        .is_some_and(|next| next.response.is_some())
            }
        };
        let response = match &exchange.response {
            Some(message) => message.done,
            None => exchange.abandoned,
        };
        request && response
    }

    fn emit(&mut self, out: &mut dyn Output) {
        if let Some(exchange) = self.open.pop_front() {
            self.first += 1;
            self.weight = self.weight.saturating_sub(exchange.weight());
            out.item(exchange.into_draft(self.asks.unwrap_or(Direction::ToServer)));
        }
    }

    fn flush(&mut self, out: &mut dyn Output) {
        while !self.open.is_empty() {
            self.emit(out);
        }
        self.weight = 0;
    }

    /// Ends the message that a direction is in the middle of; `closed` when its sender said so.
    fn end_side(&mut self, is_request: bool, closed: bool) {
        if let Reading::Body(body, serial) = self.side(is_request).reading {
            let whole = body == Body::UntilClose && closed;
            let early = body != Body::UntilClose && body != Body::Length(0);
            if let Some(message) = self.message(is_request, serial) {
                message.kept.cut |= !whole;
            }
            if let Some(exchange) = self.exchange(serial).filter(|_| early) {
                exchange.fail(CONNECTION, "the stream ended before the end of the body");
            }
            self.finish(is_request, serial, 0);
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
            0 if !chunk.bytes.is_empty() => Outcome::NeedMore(chunk.bytes.len() + 1),
            at => Outcome::Consumed(at),
        }
    }

    fn on_gap(&mut self, gap: &Gap, out: &mut dyn Output) -> Outcome {
        if self.upgraded {
            return Outcome::GiveUp(GiveUp::Upgraded);
        }
        let Some(asks) = self.asks else {
            return Outcome::Consumed(0);
        };
        let is_request = gap.direction == asks;
        let side = self.side(is_request);
        let pending = side.pending.take();
        side.scanned = 0;
        match side.reading {
            // Wherever the next bytes stem from, they are first looked at as the start of a message:
            // a head that is cut by another gap can only be known there.
            Reading::Head | Reading::Lost => {
                side.loose = true;
                side.reading = Reading::Head;
                if let Some(pending) = pending {
                    self.cut_head(is_request, pending, "the head was not captured to its end");
                }
            }
            Reading::Body(mut body, serial) => {
                let left = match body {
                    Body::Length(left) | Body::Chunked(Chunked::Data(left)) => left.min(gap.len),
                    Body::UntilClose => gap.len,
                    Body::Chunked(_) => 0,
                };
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
                    self.side(is_request).loose = true;
                }
            }
            Reading::Tunnel => {}
        }
        // Behind a gap in the requests comes one that may belong to a response that waits here.
        if !is_request {
            self.drain(out);
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

    fn on_end(&mut self, out: &mut dyn Output) {
        self.end_side(true, false);
        self.end_side(false, false);
        self.flush(out);
    }

    fn handover(&mut self) -> Option<Handover> {
        self.next.take()
    }

    fn save(&self) -> Vec<u8> {
        let mut out = vec![SAVE_VERSION];
        let asks = match self.asks {
            None => 0,
            Some(Direction::ToServer) => 1,
            Some(Direction::ToClient) => 2,
        };
        out.push(asks);
        for flag in [self.from_start, self.pipelined, self.upgraded] {
            out.push(u8::from(flag));
        }
        out.extend_from_slice(&self.expired.to_be_bytes());
        for side in [&self.requests, &self.responses] {
            side.save(self.first, &mut out);
        }
        out.extend_from_slice(&u32::try_from(self.open.len()).unwrap_or(0).to_be_bytes());
        for exchange in &self.open {
            exchange.save(&mut out);
        }
        out.push(u8::from(self.next.is_some()));
        if let Some(next) = &self.next {
            save_bytes(next.protocol.as_bytes(), &mut out);
            save_bytes(&next.note, &mut out);
        }
        out
    }
}

impl Http {
    /// Reads back what `save` wrote; `None` when the bytes are not that.
    pub(super) fn load(state: &[u8]) -> Option<Http> {
        let mut reader = Reader::new(state);
        let from = &mut reader;
        (from.u8().ok()? == SAVE_VERSION).then_some(())?;
        let mut http = Http::new(Opening::Syn);
        http.asks = match from.u8().ok()? {
            0 => None,
            1 => Some(Direction::ToServer),
            2 => Some(Direction::ToClient),
            _ => return None,
        };
        http.from_start = flag(from)?;
        http.pipelined = flag(from)?;
        http.upgraded = flag(from)?;
        http.expired = from.u64().ok()?;
        http.first = http.expired;
        http.requests = Side::load(http.first, from)?;
        http.responses = Side::load(http.first, from)?;
        let count = usize::try_from(from.u32().ok()?).ok()?;
        (count <= MAX_OPEN).then_some(())?;
        for _ in 0..count {
            let exchange = Exchange::load(from)?;
            http.weight += exchange.weight();
            http.open.push_back(exchange);
        }
        http.next = match flag(from)? {
            true => Some(load_handover(from)?),
            false => None,
        };
        http.ripe = true;
        from.is_empty().then_some(http)
    }
}

fn load_handover(from: &mut Reader<'_>) -> Option<Handover> {
    let name = load_bytes(from, MAX_NOTE)?;
    let protocol = PROTOCOLS
        .iter()
        .map(|protocol| protocol.name())
        .find(|known| known.as_bytes() == name)?;
    Some(Handover {
        protocol,
        note: Bytes::copy_from_slice(load_bytes(from, MAX_NOTE)?),
    })
}

impl Side {
    /// Serials are written as places in the list of open exchanges.
    fn save(&self, first: u64, out: &mut Vec<u8>) {
        out.push(u8::from(self.loose));
        out.extend_from_slice(&self.lost.to_be_bytes());
        match self.reading {
            Reading::Head => out.push(0),
            Reading::Body(body, serial) => {
                out.push(1);
                body.save(out);
                let place = serial.checked_sub(first).unwrap_or(u64::MAX);
                out.extend_from_slice(&place.to_be_bytes());
            }
            Reading::Lost => out.push(2),
            Reading::Tunnel => out.push(3),
        }
    }

    fn load(first: u64, from: &mut Reader<'_>) -> Option<Side> {
        Some(Side {
            loose: flag(from)?,
            lost: from.u64().ok()?,
            reading: match from.u8().ok()? {
                0 => Reading::Head,
                1 => Reading::Body(Body::load(from)?, from.u64().ok()?.saturating_add(first)),
                2 => Reading::Lost,
                3 => Reading::Tunnel,
                _ => return None,
            },
            scanned: 0,
            pending: None,
        })
    }
}
