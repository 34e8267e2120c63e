//! The open exchanges of a stream: which response answers what, and when an exchange is handed out.
//!
//! In: messages as their heads are read. Out: items, in the order of the requests. Never: bytes of
//! the stream. Standard: RFC 9112 section 9.3.2, for gaps our own judgement.

use super::{Http, MAX_OPEN, Reading};
use crate::dissect::Output;
use crate::dissect::http::exchange::{DISSECTION, Exchange, Message, PAIR_NOT_FOUND};
use crate::dissect::http::handover;
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
    /// None that is known, perhaps one that is captured after it.
    Nothing,
    /// One that was not captured.
    Lost,
    /// One that was handed out already.
    Expired,
}

/// Whether a request asks the server to speak before it answers: what is missing may be that.
fn awaits_interim(request: &Message) -> bool {
    !handover::values(request, b"expect").is_empty()
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
                    exchange.request.is_none()
                        && !exchange.abandoned
                        && (!loose || response.ts >= message.ts)
                }
                None => false,
            });
        match early.and_then(|at| self.open.get_mut(at).map(|exchange| (at, exchange))) {
            Some((at, exchange)) => {
                if loose {
                    let why = "requests were not captured, so the response may answer another one";
                    exchange.fail(DISSECTION, why);
                }
                let head = message.method() == b"HEAD";
                let untouched = |response: &Message| !response.done && response.body_size == 0;
                let waits = head && exchange.response.as_deref().is_some_and(untouched);
                exchange.request = Some(message);
                exchange.ordinal = ordinal;
                (self.requests.loose, self.requests.gapped) = (false, false);
                let serial = self.first + at as u64;
                if waits {
                    // Now it is known that no body comes.
                    self.finish(false, serial, ordinal);
                }
                serial
            }
            None => {
                let before = self.open.iter().rfind(|one| one.is_waiting());
                match before {
                    // It was sent together with one before it.
                    Some(before) => self.pipelined |= before.is_asked_with(&message, ordinal),
                    None => self.doubtful = false,
                }
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
            Answers::Lost => {
                self.open.push_back(Exchange {
                    abandoned: true,
                    ..Exchange::default()
                });
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

    /// Takes note that messages may be missing behind what was read; that one is, when `surely`.
    pub(super) fn miss(&mut self, is_request: bool, surely: bool) {
        // Requests that are sent while others wait may have lost one among them.
        self.doubtful |= is_request && self.open.iter().any(Exchange::is_waiting);
        let answered = is_request && self.open.iter().any(|one| one.request.is_none());
        let side = self.side(is_request);
        side.loose = true;
        // The answer to what is missing may have come already.
        side.gapped |= !answered;
        side.missed |= surely;
    }

    /// The request that the next response answers, by its place in `open`.
    ///
    /// Without gaps the order tells. Behind a gap in the responses a client that never pipelined
    /// waits for the answer to its latest request, so the ones before it are given up; where a whole
    /// answer is missing, the first of them is given up in any case. Behind a gap in the requests a
    /// request later than the response is not the one it answers. What stays in doubt is marked.
    fn answered_by(&mut self, ts: Timestamp) -> Answers {
        let responses = &mut self.responses;
        let missed = std::mem::take(&mut responses.loose);
        let gapped = std::mem::take(&mut responses.gapped);
        let surely = std::mem::take(&mut responses.missed);
        if missed {
            self.expired = 0;
        } else if self.expired > 0 {
            self.expired -= 1;
            return Answers::Expired;
        }
        let nothing = match gapped || self.doubtful {
            true => Answers::Lost,
            false => Answers::Nothing,
        };
        let Some(first) = self.open.iter().position(Exchange::is_waiting) else {
            // It answers the request that is missing.
            self.requests.gapped = false;
            return nothing;
        };
        let asked = |exchange: &Exchange| exchange.request.as_ref().map(|message| message.ts);
        let in_time = |exchange: &Exchange| asked(exchange).is_some_and(|asked| asked <= ts);
        let unanswered = |exchange: &Exchange| {
            in_time(exchange) && !exchange.request.as_deref().is_some_and(awaits_interim)
        };
        // The answer that is missing is that to the first request, unless that one is missing too.
        let passed =
            surely && !self.requests.gapped && self.open.get(first).is_some_and(unanswered);
        let from = first + usize::from(passed);
        let mut fit = (from..self.open.len()).filter(|at| {
            let exchange = self.open.get(*at);
            exchange.is_some_and(|one| one.is_waiting() && in_time(one))
        });
        let (earliest, latest) = (fit.next(), fit.next_back());
        let at = match missed && !self.pipelined {
            true => latest.or(earliest),
            // A request may be captured behind its response, unless one is missing.
            false if !missed && !self.requests.loose => Some(first),
            false => earliest,
        };
        for exchange in self.open.range_mut(first..at.unwrap_or(from)) {
            exchange.abandoned = true;
            exchange.fail(PAIR_NOT_FOUND, "the response was not captured");
        }
        let Some(at) = at else {
            self.requests.gapped = false;
            // A request that seems to be later than the response may be the one all the same.
            self.doubtful |= gapped && self.open.iter().any(Exchange::is_waiting);
            return nothing;
        };
        let doubt = self.requests.gapped || missed && (latest.is_some() || self.pipelined);
        self.doubtful |= missed && latest.is_some();
        self.pipelined |= !missed && latest.is_some();
        (self.requests.loose, self.requests.gapped) = (false, false);
        if let Some(exchange) = self.open.get_mut(at).filter(|_| doubt || self.doubtful) {
            let why =
                "messages before this one were not captured, so it may answer another request";
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
