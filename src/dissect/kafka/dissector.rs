//! One stream of Kafka: which side asks, where each direction stands, and what answers what.
//!
//! In: chunks and gaps. Out: one item for each request with its response, by correlation
//! identifier. Never: the opaque tokens behind SaslHandshake 0, which are passed over. Standard: the
//! protocol guide: "the broker's request processing allows only a single in-flight request per
//! connection", so it answers in order, and requests before an answered one get no answer.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::header::{
    Looks, REQUEST_START, RESPONSE_START, RequestStart, ResponseStart, looks_like_request,
};
use super::message::{Alone, Message, Partial, draft};
use super::names::MAX_NAMES;
use super::render;
use super::schema::{METADATA, PRODUCE, SASL_HANDSHAKE};
use crate::bytes::Reader;
use crate::dissect::{Dissector, GiveUp, Outcome, Output, Stream};
use crate::flow::{Chunk, Gap};
use crate::packet::Direction;

/// Requests of one stream that may await their responses; clients keep at most five in flight
/// unless told otherwise (`max.in.flight.requests.per.connection`).
const MAX_OPEN: usize = 1024;

/// Bytes that open requests may hold; beyond, the oldest keep their headers alone.
const MAX_OPEN_BYTES: usize = 4 * 1024 * 1024;

/// Responses that may wait for requests which are captured after them, and their bytes.
const MAX_EARLY: usize = 16;
const MAX_EARLY_BYTES: usize = 1024 * 1024;

/// A response that was captured before its request was not captured longer before it than this.
const MAX_REORDER: Duration = Duration::from_millis(200);

/// Bytes without any message in one direction after which the stream is not Kafka.
const MAX_LOST: u64 = 64 * 1024 * 1024;

/// Where one direction stands.
#[derive(Debug, Default)]
struct Side {
    partial: Option<Partial>,
    /// Whether a gap, or the beginning of the capture, hid where messages begin.
    lost: bool,
    /// Bytes passed over since the last message.
    passed: u64,
    /// Bytes left of an opaque token.
    token: u64,
}

/// State of one stream.
#[derive(Debug)]
pub(super) struct KafkaDissector {
    /// Direction of the requests; `None` until the bytes tell.
    asks: Option<Direction>,
    /// Whether the stream was seen from its beginning, and whole up to now.
    exact: bool,
    requests: Side,
    responses: Side,
    open: VecDeque<Message>,
    open_bytes: usize,
    early: VecDeque<Message>,
    early_bytes: usize,
    /// Whether opaque tokens may come instead of messages.
    tokens: bool,
    /// Names of topics that the stream was told, see [`super::names`].
    names: Vec<u8>,
}

impl KafkaDissector {
    /// A stream of which nothing was seen yet.
    pub(super) fn new(stream: &Stream) -> KafkaDissector {
        let exact = stream.is_from_start();
        let side = || Side {
            lost: !exact,
            ..Side::default()
        };
        KafkaDissector {
            asks: stream.knows_sides().then_some(Direction::ToServer),
            exact,
            requests: side(),
            responses: side(),
            open: VecDeque::new(),
            open_bytes: 0,
            early: VecDeque::new(),
            early_bytes: 0,
            tokens: false,
            names: Vec::new(),
        }
    }

    fn asks(&self) -> Direction {
        self.asks.unwrap_or(Direction::ToServer)
    }

    fn side(&mut self, is_request: bool) -> &mut Side {
        match is_request {
            true => &mut self.requests,
            false => &mut self.responses,
        }
    }

    /// Looks whether a message begins where the chunk does.
    fn search(&mut self, is_request: bool, chunk: &Chunk) -> Option<Outcome> {
        let found = match is_request {
            true => match looks_like_request(&chunk.bytes) {
                Looks::Unsure => return Some(Outcome::Consumed(0)),
                looks => matches!(looks, Looks::Yes(_) | Looks::Perhaps(_)),
            },
            false => match ResponseStart::read(&chunk.bytes) {
                Err(_) => return Some(Outcome::Consumed(0)),
                Ok(start) => start.is_sound() && self.is_awaited(start.correlation_id),
            },
        };
        let side = self.side(is_request);
        if found {
            (side.lost, side.passed) = (false, 0);
            return None;
        }
        side.passed = side.passed.saturating_add(chunk.bytes.len() as u64);
        Some(match side.passed > MAX_LOST {
            true => Outcome::GiveUp(GiveUp::Malformed),
            false => Outcome::Consumed(chunk.bytes.len()),
        })
    }

    fn is_awaited(&self, correlation_id: i32) -> bool {
        self.open
            .iter()
            .any(|request| correlation_of(request) == Some(correlation_id))
    }

    /// Reads on in a message, or begins one.
    fn read(&mut self, is_request: bool, chunk: &Chunk, out: &mut dyn Output) -> Outcome {
        let bytes = &chunk.bytes;
        let side = self.side(is_request);
        if side.token > 0 {
            let here = side.token.min(bytes.len() as u64);
            side.token -= here;
            return Outcome::Consumed(usize::try_from(here).unwrap_or(bytes.len()));
        }
        if side.partial.is_none() {
            let size = match self.begin(is_request, bytes) {
                Ok(size) => size,
                Err(Some(outcome)) => return outcome,
                Err(None) => return self.broken(is_request, chunk),
            };
            self.side(is_request).partial = Some(Partial::new(size, chunk.ts, chunk.ordinal));
        }
        let side = self.side(is_request);
        let Some(mut partial) = side.partial.take() else {
            return Outcome::Consumed(0);
        };
        let taken = partial.push(bytes, chunk.ordinal);
        match partial.is_done() {
            true => self.on_message(is_request, partial.into_message(), out),
            false => side.partial = Some(partial),
        }
        Outcome::Consumed(taken)
    }

    /// The size of the message that begins here; otherwise what to do, or that it is none.
    fn begin(&mut self, is_request: bool, bytes: &[u8]) -> Result<u32, Option<Outcome>> {
        let needed = match is_request {
            true => REQUEST_START,
            false => RESPONSE_START,
        };
        if self.tokens
            && let Some(outcome) = self.token(is_request, bytes)
        {
            return Err(Some(outcome));
        }
        if bytes.len() < needed {
            return Err(Some(Outcome::NeedMore(needed)));
        }
        let size = match is_request {
            true => RequestStart::read(bytes)
                .ok()
                .filter(RequestStart::is_sound)
                .map(|start| start.size),
            false => ResponseStart::read(bytes)
                .ok()
                .filter(ResponseStart::is_sound)
                .map(|start| start.size),
        };
        size.ok_or(None)
    }

    /// Passes over an opaque token: behind SaslHandshake 0 both sides send them, each behind its
    /// size, until the client asks the next thing.
    fn token(&mut self, is_request: bool, bytes: &[u8]) -> Option<Outcome> {
        let Ok(size) = Reader::new(bytes).u32() else {
            return Some(Outcome::NeedMore(4));
        };
        if is_request {
            match looks_like_request(bytes) {
                Looks::Yes(_) | Looks::Perhaps(_) => {
                    self.tokens = false;
                    return None;
                }
                Looks::Unsure if bytes.len() < 4 + usize::try_from(size).unwrap_or(0) => {
                    return Some(Outcome::Consumed(0));
                }
                Looks::Unsure | Looks::No => {}
            }
        } else {
            match ResponseStart::read(bytes) {
                Ok(start) if self.is_awaited(start.correlation_id) => return None,
                Err(_) if size >= 4 => return Some(Outcome::NeedMore(RESPONSE_START)),
                _ => {}
            }
        }
        self.side(is_request).token = size.into();
        Some(Outcome::Consumed(4))
    }

    fn broken(&mut self, is_request: bool, chunk: &Chunk) -> Outcome {
        if self.exact {
            return Outcome::GiveUp(GiveUp::Malformed);
        }
        self.side(is_request).lost = true;
        Outcome::Consumed(chunk.bytes.len())
    }

    fn on_message(&mut self, is_request: bool, message: Message, out: &mut dyn Output) {
        match is_request {
            true => self.on_request(message, out),
            false => self.on_response(message, out),
        }
    }

    fn on_request(&mut self, request: Message, out: &mut dyn Output) {
        let Ok(start) = RequestStart::read(request.bytes()) else {
            return self.hand_out(Some(request), None, Alone::Unseen, out);
        };
        if start.key == PRODUCE && render::required_acks(request.bytes()) == Some(0) {
            return self.hand_out(Some(request), None, Alone::Rightly, out);
        }
        while let Some(first) = self.early.front() {
            let late = request.ts.since(first.ts) > MAX_REORDER;
            let answers = correlation_of_response(first) == Some(start.correlation_id);
            if !late && !answers {
                break;
            }
            if let Some(response) = self.take_early() {
                if answers && !late {
                    return self.answer(request, response, out);
                }
                self.hand_out(None, Some(response), Alone::Unseen, out);
            }
        }
        self.open_bytes += request.weight();
        self.open.push_back(request);
        self.make_room(out);
    }

    /// Keeps the open requests within their caps.
    fn make_room(&mut self, out: &mut dyn Output) {
        if self.open.len() > MAX_OPEN
            && let Some(oldest) = self.take_open()
        {
            self.hand_out(Some(oldest), None, Alone::Limit, out);
        }
        if self.open_bytes > MAX_OPEN_BYTES {
            self.open_bytes = 0;
            // The latest one stays whole: its response comes last.
            let older = self.open.len().saturating_sub(1);
            for (at, request) in self.open.iter_mut().enumerate() {
                if at < older {
                    request.shed();
                }
                self.open_bytes += request.weight();
            }
        }
    }

    fn take_open(&mut self) -> Option<Message> {
        let request = self.open.pop_front()?;
        self.open_bytes -= request.weight();
        Some(request)
    }

    fn take_early(&mut self) -> Option<Message> {
        let response = self.early.pop_front()?;
        self.early_bytes -= response.weight();
        Some(response)
    }

    fn on_response(&mut self, response: Message, out: &mut dyn Output) {
        let correlation = correlation_of_response(&response);
        let place = self
            .open
            .iter()
            .position(|request| correlation.is_some() && correlation_of(request) == correlation);
        let Some(place) = place else {
            return self.wait_for_request(response, out);
        };
        for _ in 0..place {
            let passed = self.take_open();
            self.hand_out(passed, None, Alone::Unseen, out);
        }
        if let Some(request) = self.take_open() {
            self.answer(request, response, out);
        }
    }

    /// Keeps a response for a while whose request may have been captured late.
    fn wait_for_request(&mut self, response: Message, out: &mut dyn Output) {
        let now = response.ts;
        self.early_bytes += response.weight();
        self.early.push_back(response);
        while self.early.len() > MAX_EARLY
            || self.early_bytes > MAX_EARLY_BYTES
            || self
                .early
                .front()
                .is_some_and(|first| now.since(first.ts) > MAX_REORDER)
        {
            let Some(first) = self.take_early() else {
                break;
            };
            self.hand_out(None, Some(first), Alone::Unseen, out);
        }
    }

    fn answer(&mut self, request: Message, response: Message, out: &mut dyn Output) {
        if let Ok(start) = RequestStart::read(request.bytes()) {
            self.tokens |= start.key == SASL_HANDSHAKE && start.version == 0;
            if start.key == METADATA {
                render::learn_topics(&mut self.names, response.bytes(), start.version);
            }
        }
        self.hand_out(Some(request), Some(response), Alone::Unseen, out);
    }

    fn hand_out(
        &self,
        request: Option<Message>,
        response: Option<Message>,
        why: Alone,
        out: &mut dyn Output,
    ) {
        out.item(draft(self.asks(), request, response, &self.names, why));
    }
}

fn correlation_of(request: &Message) -> Option<i32> {
    RequestStart::read(request.bytes())
        .ok()
        .map(|start| start.correlation_id)
}

fn correlation_of_response(response: &Message) -> Option<i32> {
    ResponseStart::read(response.bytes())
        .ok()
        .map(|start| start.correlation_id)
}

impl Dissector for KafkaDissector {
    fn on_chunk(&mut self, chunk: &Chunk, out: &mut dyn Output) -> Outcome {
        if self.asks.is_none() {
            match looks_like_request(&chunk.bytes) {
                Looks::Unsure => return Outcome::Consumed(0),
                Looks::Yes(_) | Looks::Perhaps(_) => self.asks = Some(chunk.direction),
                Looks::No => {
                    let passed = &mut self.requests.passed;
                    *passed = passed.saturating_add(chunk.bytes.len() as u64);
                    return match *passed > MAX_LOST {
                        true => Outcome::GiveUp(GiveUp::Malformed),
                        false => Outcome::Consumed(chunk.bytes.len()),
                    };
                }
            }
        }
        let is_request = chunk.direction == self.asks();
        if self.side(is_request).lost
            && let Some(outcome) = self.search(is_request, chunk)
        {
            return outcome;
        }
        self.read(is_request, chunk, out)
    }

    fn on_gap(&mut self, gap: &Gap, out: &mut dyn Output) -> Outcome {
        self.exact = false;
        let is_request = gap.direction == self.asks();
        let side = self.side(is_request);
        if side.token > 0 {
            side.lost |= gap.len > side.token;
            side.token = side.token.saturating_sub(gap.len);
        } else if let Some(mut partial) = side.partial.take() {
            let within = partial.gap(gap.len);
            side.lost |= !within;
            match partial.is_done() {
                true => self.on_message(is_request, partial.into_message(), out),
                false => side.partial = Some(partial),
            }
        } else {
            side.lost = true;
        }
        Outcome::Consumed(0)
    }

    fn on_fin(&mut self, _direction: Direction, _rest: &Bytes, _out: &mut dyn Output) {}

    fn on_end(&mut self, out: &mut dyn Output) {
        for is_request in [true, false] {
            if let Some(partial) = self.side(is_request).partial.take() {
                self.on_message(is_request, partial.into_message(), out);
            }
        }
        while let Some(request) = self.take_open() {
            self.hand_out(Some(request), None, Alone::Unseen, out);
        }
        while let Some(response) = self.take_early() {
            self.hand_out(None, Some(response), Alone::Unseen, out);
        }
    }

    /// ```text
    /// state = version u8 (1), asks u8 (0 unknown, 1 to the server, 2 to the client),
    ///         flags u8 (1 exact, 2 tokens), side, side,
    ///         count u32, count x open, count u32, count x early, length u32, names
    ///                                                              big-endian
    /// side  = flags u8 (1 lost, 2 partial), passed u64, token u64, partial?
    /// ```
    fn save(&self) -> Vec<u8> {
        let mut out = vec![1];
        out.push(match self.asks {
            None => 0,
            Some(Direction::ToServer) => 1,
            Some(Direction::ToClient) => 2,
        });
        out.push(u8::from(self.exact) | u8::from(self.tokens) << 1);
        for side in [&self.requests, &self.responses] {
            out.push(u8::from(side.lost) | u8::from(side.partial.is_some()) << 1);
            out.extend_from_slice(&side.passed.to_be_bytes());
            out.extend_from_slice(&side.token.to_be_bytes());
            if let Some(partial) = &side.partial {
                partial.save(&mut out);
            }
        }
        for list in [&self.open, &self.early] {
            let count = u32::try_from(list.len()).unwrap_or(u32::MAX);
            out.extend_from_slice(&count.to_be_bytes());
            for message in list {
                message.save(&mut out);
            }
        }
        let length = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&self.names);
        out
    }
}

impl KafkaDissector {
    /// Reads [`Dissector::save`] back.
    pub(super) fn restore(stream: &Stream, state: &[u8]) -> Option<KafkaDissector> {
        let mut reader = Reader::new(state);
        if reader.u8().ok()? != 1 {
            return None;
        }
        let mut restored = KafkaDissector::new(stream);
        restored.asks = match reader.u8().ok()? {
            0 => None,
            1 => Some(Direction::ToServer),
            2 => Some(Direction::ToClient),
            _ => return None,
        };
        let flags = reader.u8().ok()?;
        (restored.exact, restored.tokens) = (flags & 1 != 0, flags & 2 != 0);
        for is_request in [true, false] {
            let flags = reader.u8().ok()?;
            *restored.side(is_request) = Side {
                lost: flags & 1 != 0,
                passed: reader.u64().ok()?,
                token: reader.u64().ok()?,
                partial: match flags & 2 {
                    0 => None,
                    _ => Some(Partial::load(&mut reader)?),
                },
            };
        }
        (restored.open, restored.open_bytes) = load_list(&mut reader, MAX_OPEN)?;
        (restored.early, restored.early_bytes) = load_list(&mut reader, MAX_EARLY)?;
        let length = usize::try_from(reader.u32().ok()?).ok()?;
        if length > MAX_NAMES {
            return None;
        }
        restored.names = reader.take(length).ok()?.to_vec();
        reader.is_empty().then_some(restored)
    }
}

fn load_list(from: &mut Reader<'_>, most: usize) -> Option<(VecDeque<Message>, usize)> {
    let count = usize::try_from(from.u32().ok()?).ok()?;
    if count > most {
        return None;
    }
    let mut list = VecDeque::new();
    let mut bytes = 0;
    for _ in 0..count {
        let message = Message::load(from)?;
        bytes += message.weight();
        list.push_back(message);
    }
    Some((list, bytes))
}
