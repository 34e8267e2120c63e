//! The bodies of messages, up to their end or the end of the stream.
//!
//! In: what comes behind a head. Out: the bytes kept with their message. Never: decoding of what a
//! body holds. Standard: RFC 9112 sections 6 and 7.

use super::{Advance, Http, Reading};
use crate::dissect::http::body::{Body, Chunked, Step};
use crate::dissect::http::exchange::{CONNECTION, DISSECTION, Message};
use crate::dissect::http::parser::Length;
use crate::dissect::http::recognise::{self, Looks};
use crate::flow::Chunk;

impl Http {
    pub(super) fn body(
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
                    // A part of a body is joined with the next one anyway.
                    if next == Body::Length(0) {
                        message.kept.push(chunk.bytes.slice(at..at + count));
                        message.settled = false;
                    } else {
                        let kept = rest.get(..count).unwrap_or_default();
                        message.kept.push_copied(kept);
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
            Step::Trailer(count) => {
                let mut added = 0;
                if let Some(message) = self.message(is_request, serial) {
                    added = message.add_trailer(rest.get(..count).unwrap_or_default());
                    message.size += count as u64;
                }
                self.weight += added;
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
                exchange.request.is_none() && exchange.response.as_deref().is_some_and(untouched)
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

    /// Ends the message that a direction is in the middle of; `closed` when its sender said so.
    pub(super) fn end_side(&mut self, is_request: bool, closed: bool) {
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
