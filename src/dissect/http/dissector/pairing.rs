//! The open exchanges of a stream: which response answers what, and when an exchange is handed out.
//!
//! In: messages as their heads are read. Out: items, in the order of the requests. Never: bytes of
//! the stream. Standard: RFC 9112 section 9.3.2, for gaps our own judgement.

use super::{Http, MAX_OPEN, Reading};
use crate::dissect::Output;
use crate::dissect::http::exchange::{DISSECTION, Exchange, Message, PAIR_NOT_FOUND};
use crate::packet::Direction;
use crate::time::Timestamp;

/// Bytes that the open exchanges of one stream may hold.
const MAX_OPEN_BYTES: usize = 4 * 1024 * 1024;

/// Responses that may wait for requests which are captured after them.
const MAX_EARLY: usize = 8;

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
    /// Puts a request where it belongs: behind the others, or to a response that came before it.
    pub(super) fn open_request(&mut self, message: Box<Message>, ordinal: u64) -> u64 {
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
                let waits = head && exchange.response.as_deref().is_some_and(untouched);
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

    /// Puts a response to the request that it answers.
    pub(super) fn pair(&mut self, message: Box<Message>, ordinal: u64) -> u64 {
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

    pub(super) fn exchange(&mut self, serial: u64) -> Option<&mut Exchange> {
        let at = serial.checked_sub(self.first)?;
        self.open.get_mut(usize::try_from(at).ok()?)
    }

    pub(super) fn message(&mut self, is_request: bool, serial: u64) -> Option<&mut Message> {
        let exchange = self.exchange(serial)?;
        match is_request {
            true => exchange.request.as_deref_mut(),
            false => exchange.response.as_deref_mut(),
        }
    }

    /// Marks a message as whole, or as whole as it will be.
    pub(super) fn finish(&mut self, is_request: bool, serial: u64, ordinal: u64) {
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
    pub(super) fn drain(&mut self, out: &mut dyn Output) {
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

    pub(super) fn flush(&mut self, out: &mut dyn Output) {
        while !self.open.is_empty() {
            self.emit(out);
        }
        self.weight = 0;
    }
}
