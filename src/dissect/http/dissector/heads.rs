//! The heads of messages: what each begins, and what a cut one still tells.
//!
//! In: what a direction offers at the start of a message. Out: messages put to their exchanges, and
//! how the direction goes on. Never: pairing, which is [`super::pairing`]'s. Standard: RFC 9112
//! sections 2 to 4 and 6.3.

use bytes::Bytes;

use super::{Advance, Http, Pending, Reading};
use crate::dissect::http::body;
use crate::dissect::http::exchange::{DISSECTION, Exchange, Message};
use crate::dissect::http::handover;
use crate::dissect::http::parser::{self, MAX_HEAD, Parsed, StartLine, Version};
use crate::dissect::http::recognise;
use crate::flow::Chunk;
use crate::packet::Direction;

impl Http {
    pub(super) fn head(&mut self, is_request: bool, chunk: &Chunk, at: usize) -> Advance {
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
        // No method and no version begins with these; most heads are told by that. A frame may begin
        // with a letter, but not with two.
        let foreign = !bytes.first().is_some_and(u8::is_ascii_alphabetic)
            || bytes.get(1).is_some_and(|second| !second.is_ascii())
            || bytes.starts_with(b"PRI ");
        if foreign && self.goes_over_unseen(is_request, bytes) {
            return Advance::Took(0);
        }
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
                match is_request {
                    true => self.begin_request(message, chunk.ordinal),
                    false => self.begin_response(message, chunk.ordinal),
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

    /// Takes a head whose end is not there for what it tells; false when that is nothing.
    pub(super) fn cut_head(&mut self, is_request: bool, pending: Pending, why: &str) -> bool {
        let Some(head) = parser::cut_head(&pending.bytes, is_request) else {
            return false;
        };
        let mut message = Message::new(head, pending.bytes.len(), pending.ts);
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
        true
    }

    /// Goes over to the protocol that a request asked for when its answer was not captured, and what
    /// comes is of that protocol.
    fn goes_over_unseen(&mut self, is_request: bool, bytes: &[u8]) -> bool {
        if !is_request && !self.responses.gapped {
            return false;
        }
        let Some(exchange) = self.open.iter().find(|one| one.is_waiting()) else {
            return false;
        };
        let asks = self.asks.unwrap_or(Direction::ToServer);
        self.next = handover::unseen(exchange, asks, is_request, bytes);
        self.upgraded = self.next.is_some();
        self.upgraded
    }

    /// Goes over to the protocol that a response with a cut head switches to.
    pub(super) fn goes_over_cut(&mut self) {
        let asks = self.asks.unwrap_or(Direction::ToServer);
        let cut = self.open.iter().find(|exchange| {
            exchange.response.as_deref().is_some_and(|response| {
                let start = &response.head.start;
                response.kept.cut && matches!(start, StartLine::Response { status: 101, .. })
            })
        });
        if let Some(exchange) = cut {
            self.next = handover::of(exchange, asks);
            self.upgraded = true;
        }
    }

    fn begin_request(&mut self, mut message: Box<Message>, ordinal: u64) {
        let framing = body::of_request(&message.head.fields);
        let connect = message.method() == b"CONNECT";
        let malformed = message.head.version == Version::Missing;
        let unsure = self.requests.loose && !recognise::is_known(message.method());
        message.done = framing.body.is_none();
        let serial = self.open_request(message, ordinal);
        let fault = match malformed {
            true => Some("the request line is malformed"),
            false if unsure => Some("what is in front of the method was not captured"),
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

    /// Takes a response's head.
    fn begin_response(&mut self, mut message: Box<Message>, ordinal: u64) {
        let StartLine::Response { status, .. } = message.head.start else {
            return;
        };
        if (100..200).contains(&status) && status != 101 {
            if let Some(exchange) = self.open.iter_mut().find(|one| one.response.is_none()) {
                exchange.interim_size += message.size;
            }
            return;
        }
        message.done = false;
        let serial = self.pair(message, ordinal);
        let Some(exchange) = self.exchange(serial) else {
            return;
        };
        let connect = exchange
            .request
            .as_ref()
            .is_some_and(|one| one.method() == b"CONNECT");
        let Exchange {
            request, response, ..
        } = &*exchange;
        let method = request.as_deref().map_or(&b""[..], Message::method);
        let Some(response) = response else { return };
        let framing = body::of_response(&response.head.fields, status, method);
        if let Some(fault) = framing.fault {
            exchange.fail(DISSECTION, fault);
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
}
