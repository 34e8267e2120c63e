//! One conversation of LDAP: messages out of a stream or datagrams, responses to their requests.
//!
//! In: chunks and gaps. Out: one item an operation; a search's entries belong to its item. Never:
//! more than [`MAX_OPEN`] open operations, a look into what SASL or TLS protects. Standard: RFC
//! 4511 section 4.1.1.1: "the response ... MUST contain the messageID value of the corresponding
//! request".

use std::collections::VecDeque;

use bytes::{BufMut, Bytes};

use super::answers::{Answers, Fault, Open};
use super::parser::{self, Front, Message, Role};
use super::{CLDAP, LDAP, PASSWORD_MODIFY, START_TLS, render};
use crate::bytes::Reader;
use crate::dissect::{Dissector, Draft, GiveUp, Handover, Outcome, Output, Stream};
use crate::flow::{Chunk, Gap};
use crate::item::{ItemError, MAX_ITEM_BODY, ProtocolInfo, Value, text_of};
use crate::packet::{Direction, Transport};

/// Operations of one stream that may await their responses; connection pools pipeline some tens.
const MAX_OPEN: usize = 1024;

/// Bytes that open operations may hold.
const MAX_OPEN_BYTES: usize = 2 << 20;

/// Bytes of a message that are read; of a longer one the front is shown.
const MAX_MESSAGE: usize = MAX_ITEM_BODY;

/// Bytes without a message after which the stream is not LDAP.
const MAX_LOST: u64 = 256 * 1024;

/// Octets of a SASL mechanism's name at most (RFC 4422 section 3.1: 20).
const MAX_MECHANISM: usize = 20;

/// First byte of a saved state.
const SAVE_VERSION: u8 = 1;

/// How far a direction of a TCP stream is understood.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// Bytes of the message that stands first, when its front was seen.
    expected: u64,
    /// Bytes to pass over.
    skip: u64,
    /// Nobody knows where messages begin; so many bytes were passed over.
    lost: Option<u64>,
}

/// What the stream has gone over to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
enum Layer {
    /// Messages as they are.
    #[default]
    Plain,
    /// A bind with this mechanism succeeded: what follows may be protected (RFC 4513 section 5.2.1).
    Sasl(Bytes),
    /// What follows is protected.
    Protected,
    /// TLS begins.
    Tls,
}

/// State of one conversation.
pub(super) struct Ldap {
    tcp: bool,
    /// Direction of the requests; `None` until a message tells.
    asks: Option<Direction>,
    to_server: Place,
    to_client: Place,
    open: VecDeque<Open>,
    open_bytes: usize,
    layer: Layer,
}

impl Ldap {
    /// A conversation of which nothing was seen yet.
    pub(super) fn new(stream: &Stream) -> Ldap {
        let place = Place {
            lost: match stream.is_from_start() {
                true => None,
                // The capture may begin inside a message.
                false => Some(0),
            },
            ..Place::default()
        };
        Ldap {
            tcp: stream.name.transport == Transport::Tcp,
            asks: None,
            to_server: place,
            to_client: place,
            open: VecDeque::new(),
            open_bytes: 0,
            layer: Layer::Plain,
        }
    }

    fn place(&mut self, direction: Direction) -> &mut Place {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }

    /// Whether a message belongs to its direction.
    fn fits(&self, front: &Front, direction: Direction) -> bool {
        match self.asks {
            Some(asks) => front.operation.is_request() == (direction == asks),
            None => true,
        }
    }

    fn on_stream(&mut self, chunk: &Chunk, out: &mut dyn Output) -> Outcome {
        let bytes = &chunk.bytes;
        let place = self.place(chunk.direction);
        if place.skip > 0 {
            let skipped = place.skip.min(bytes.len() as u64);
            place.skip -= skipped;
            return Outcome::Consumed(usize::try_from(skipped).unwrap_or(usize::MAX));
        }
        if let Some(passed) = place.lost {
            return self.search(passed, chunk);
        }
        let front = match Front::parse(bytes) {
            Ok(Some(front)) if self.fits(&front, chunk.direction) => front,
            Ok(None) if bytes.len() < Front::MAX => return Outcome::NeedMore(bytes.len() + 1),
            _ => return self.no_message(chunk, out),
        };
        let need = front.total.min(MAX_MESSAGE);
        let Some(message) = bytes.get(..need) else {
            self.place(chunk.direction).expected = front.total as u64;
            return Outcome::NeedMore(need);
        };
        let place = self.place(chunk.direction);
        place.expected = 0;
        place.skip = (front.total - need) as u64;
        self.message(&front, message, chunk, out);
        Outcome::Consumed(need)
    }

    /// Bytes that begin no message: TLS, SASL, or nobody knows.
    fn no_message(&mut self, chunk: &Chunk, out: &mut dyn Output) -> Outcome {
        const TLS_HANDSHAKE: u8 = 0x16;
        let first = chunk.bytes.first();
        let starts_tls = self.open.iter().any(|open| open.extension() == START_TLS);
        if first == Some(&TLS_HANDSHAKE) && starts_tls {
            // The client hello was captured before the response that allows it.
            return Outcome::NeedMore(chunk.bytes.len() + 1);
        }
        if let Layer::Sasl(mechanism) = &self.layer
            // Buffers begin with their length in four octets, below 16 MiB (RFC 4422 section 3.7).
            && first == Some(&0)
        {
            out.item(protected_draft(mechanism, self.kind(), self.asks, chunk));
            self.layer = Layer::Protected;
            return Outcome::Consumed(chunk.bytes.len());
        }
        self.place(chunk.direction).lost = Some(0);
        self.search(0, chunk)
    }

    /// Looks for the beginning of a message.
    fn search(&mut self, passed: u64, chunk: &Chunk) -> Outcome {
        let bytes = &chunk.bytes;
        let mut found = bytes.len();
        for at in 0..bytes.len() {
            match Front::parse(bytes.get(at..).unwrap_or_default()) {
                Ok(Some(front)) if self.fits(&front, chunk.direction) => {
                    self.place(chunk.direction).lost = None;
                    return Outcome::Consumed(at);
                }
                Ok(None) => found = found.min(at),
                _ => {}
            }
        }
        let passed = passed + found as u64;
        if passed > MAX_LOST {
            return Outcome::GiveUp(GiveUp::Malformed);
        }
        self.place(chunk.direction).lost = Some(passed);
        match found {
            0 => Outcome::NeedMore(bytes.len() + 1),
            found => Outcome::Consumed(found),
        }
    }

    fn message(&mut self, front: &Front, bytes: &[u8], chunk: &Chunk, out: &mut dyn Output) {
        let is_request = front.operation.is_request();
        self.asks.get_or_insert(match is_request {
            true => chunk.direction,
            false => chunk.direction.other(),
        });
        match front.operation.role {
            Role::Request | Role::OneWay => self.request(front, bytes, chunk, out),
            Role::Part | Role::Final => self.response(front, bytes, chunk, out),
        }
    }

    fn request(&mut self, front: &Front, bytes: &[u8], chunk: &Chunk, out: &mut dyn Output) {
        let same = |open: &Open| open.id == front.id && open.direction == chunk.direction;
        if let Some(index) = self.open.iter().position(same)
            && let Some(before) = self.take(index)
        {
            // A message identifier in use must not be used again: over UDP it is a repetition.
            self.unfinished(before, "the request was sent again", out);
        }
        let open = Open {
            direction: chunk.direction,
            id: front.id,
            bytes: Bytes::copy_from_slice(bytes),
            size: front.total as u64,
            ts: chunk.ts,
            ordinal: chunk.ordinal,
            answers: Answers::default(),
        };
        if front.operation.role == Role::OneWay {
            if front.operation.tag == parser::ABANDON {
                self.abandon(&open, out);
            }
            let draft = self.draft(Some(open), None, None);
            return out.item(draft);
        }
        self.open_bytes += open.weight();
        self.open.push_back(open);
        while self.open.len() > MAX_OPEN || self.open_bytes > MAX_OPEN_BYTES {
            let Some(oldest) = self.take(0) else { break };
            self.unfinished(oldest, "too many operations were open", out);
        }
    }

    /// The operation that is abandoned gets no further response.
    fn abandon(&mut self, abandon: &Open, out: &mut dyn Output) {
        let id = abandon.message().and_then(|message| message.element.int());
        let named =
            |open: &Open| open.direction == abandon.direction && id == Some(i64::from(open.id));
        if let Some(index) = self.open.iter().position(named)
            && let Some(open) = self.take(index)
        {
            self.unfinished(open, "the operation was abandoned", out);
        }
    }

    fn response(&mut self, front: &Front, bytes: &[u8], chunk: &Chunk, out: &mut dyn Output) {
        let room = MAX_OPEN_BYTES.saturating_sub(self.open_bytes);
        let asked = |open: &Open| open.id == front.id && open.direction != chunk.direction;
        let index = self.open.iter().position(asked);
        let Some(open) = index.and_then(|index| self.open.get_mut(index)) else {
            return self.unasked(front, bytes, chunk, out);
        };
        let before = open.weight();
        open.answers.add(front, bytes, chunk.ts, room);
        open.ordinal = chunk.ordinal;
        self.open_bytes += open.weight() - before;
        if front.operation.role == Role::Part {
            return;
        }
        if let Some(open) = index.and_then(|index| self.take(index)) {
            self.agree(&open, bytes);
            let draft = self.draft(Some(open), None, None);
            out.item(draft);
        }
    }

    /// A response to nothing that was seen; the server may also speak unasked (section 4.4).
    fn unasked(&self, front: &Front, bytes: &[u8], chunk: &Chunk, out: &mut dyn Output) {
        let mut answers = Answers::default();
        answers.add(front, bytes, chunk.ts, MAX_OPEN_BYTES);
        let error = match front.id {
            0 => {
                let text = Message::parse(bytes)
                    .and_then(|message| parser::diagnostic_message(&message))
                    .map(|text| text_of(text).into_owned())
                    .filter(|text| !text.is_empty());
                ItemError {
                    kind: "connection",
                    msg: text
                        .unwrap_or_else(|| "the server sent an unsolicited notification".into()),
                }
            }
            _ => ItemError {
                kind: "pair-not-found",
                msg: "no request for this response was captured".into(),
            },
        };
        let mut draft = self.draft(None, Some(answers), Some(error));
        draft.from_client = chunk.direction == Direction::ToClient;
        draft.ordinal = chunk.ordinal;
        out.item(draft);
    }

    /// Notes what both sides agreed on by this exchange.
    fn agree(&mut self, open: &Open, response: &[u8]) {
        let (Some(request), Some(response)) = (open.message(), Message::parse(response)) else {
            return;
        };
        if parser::result_code(&response) != Some(0) {
            return;
        }
        if open.extension() == START_TLS && self.tcp {
            self.layer = Layer::Tls;
        } else if request.operation.tag == parser::BIND
            && let Some(mechanism) = parser::sasl_mechanism(&request)
        {
            let short = mechanism.get(..MAX_MECHANISM).unwrap_or(mechanism);
            self.layer = Layer::Sasl(Bytes::copy_from_slice(short));
        }
    }

    fn unfinished(&self, open: Open, why: &str, out: &mut dyn Output) {
        let msg = match open.answers.is_empty() {
            true => format!("{why}; no response was captured"),
            false => format!("{why}; its last response was not captured"),
        };
        let error = ItemError {
            kind: "pair-not-found",
            msg,
        };
        let draft = self.draft(Some(open), None, Some(error));
        out.item(draft);
    }

    fn take(&mut self, index: usize) -> Option<Open> {
        let open = self.open.remove(index)?;
        self.open_bytes -= open.weight();
        Some(open)
    }

    fn kind(&self) -> &'static ProtocolInfo {
        if self.tcp { &LDAP } else { &CLDAP }
    }

    fn draft(
        &self,
        mut open: Option<Open>,
        alone: Option<Answers>,
        error: Option<ItemError>,
    ) -> Draft {
        let answers = open
            .as_mut()
            .map(|open| std::mem::take(&mut open.answers))
            .or(alone)
            .unwrap_or_default();
        let is_secret = open
            .as_ref()
            .is_some_and(|open| open.extension() == PASSWORD_MODIFY);
        let start = open
            .as_ref()
            .map(|open| open.ts)
            .or(answers.first)
            .unwrap_or_default();
        let elapsed = answers.first.unwrap_or(start).since(start).as_nanos();
        let error = open
            .as_ref()
            .and_then(|open| damage("request", parser::check(&open.bytes).err()))
            .or_else(|| match answers.fault {
                Some(Fault::Unreadable(error)) => damage("response", Some(error)),
                Some(Fault::Gap) => Some(ItemError {
                    kind: "dissection",
                    msg: "bytes were not captured while responses were awaited".into(),
                }),
                None => None,
            })
            .or(error);
        Draft {
            kind: self.kind(),
            from_client: open
                .as_ref()
                .is_none_or(|open| open.direction == Direction::ToServer),
            start,
            elapsed_nanos: u64::try_from(elapsed).unwrap_or(u64::MAX),
            request_size: open.as_ref().map_or(0, |open| open.size),
            response_size: answers.size,
            ordinal: open.as_ref().map_or(0, |open| open.ordinal),
            request: open.map_or(Value::Null, |open| Value::lazy(open.bytes, render::request)),
            response: match answers.is_empty() {
                true => Value::Null,
                false => Value::lazy(answers.into_bytes(is_secret), render::response),
            },
            data: Value::Null,
            error,
        }
    }

    fn on_datagram(&mut self, chunk: &Chunk, out: &mut dyn Output) {
        let mut at = 0;
        while let Some(rest) = chunk.bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let Ok(Some(front)) = Front::parse(rest) else {
                return;
            };
            let message = rest.get(..front.total).unwrap_or(rest);
            if !self.fits(&front, chunk.direction) {
                return;
            }
            self.message(&front, message, chunk, out);
            at += message.len();
        }
    }
}

/// A message cut at the cap is damaged in that it ends early, and says so.
fn damage(what: &str, error: Option<super::ber::ParseError>) -> Option<ItemError> {
    error.map(|error| ItemError {
        kind: "dissection",
        msg: format!("the {what} could not be read to its end: {error}"),
    })
}

fn protected_draft(
    mechanism: &Bytes,
    kind: &'static ProtocolInfo,
    asks: Option<Direction>,
    chunk: &Chunk,
) -> Draft {
    Draft {
        kind,
        from_client: asks.unwrap_or(chunk.direction) == Direction::ToServer,
        start: chunk.ts,
        elapsed_nanos: 0,
        request_size: 0,
        response_size: 0,
        request: Value::Null,
        response: Value::Null,
        data: Value::lazy(mechanism.clone(), render::protected),
        error: Some(ItemError {
            kind: "dissection",
            msg: "what follows is protected by SASL and cannot be read".into(),
        }),
        ordinal: chunk.ordinal,
    }
}

impl Dissector for Ldap {
    fn on_chunk(&mut self, chunk: &Chunk, out: &mut dyn Output) -> Outcome {
        match self.layer {
            Layer::Tls => Outcome::GiveUp(GiveUp::Upgraded),
            Layer::Protected => Outcome::Consumed(chunk.bytes.len()),
            // A search that ends at the first byte moves the state alone.
            _ if self.tcp => match self.on_stream(chunk, out) {
                Outcome::Consumed(0) => self.on_stream(chunk, out),
                outcome => outcome,
            },
            _ => {
                self.on_datagram(chunk, out);
                Outcome::Consumed(chunk.bytes.len())
            }
        }
    }

    fn on_gap(&mut self, gap: &Gap, _out: &mut dyn Output) -> Outcome {
        if !self.tcp {
            return Outcome::Consumed(0);
        }
        let place = self.place(gap.direction);
        let left = place.skip.max(std::mem::take(&mut place.expected));
        place.skip = left.saturating_sub(gap.len);
        if gap.len > left && place.lost.is_none() {
            place.lost = Some(0);
        }
        for open in &mut self.open {
            if open.direction != gap.direction {
                open.answers.fault.get_or_insert(Fault::Gap);
            }
        }
        Outcome::Consumed(0)
    }

    fn on_fin(&mut self, _direction: Direction, _rest: &Bytes, _out: &mut dyn Output) {}

    fn on_end(&mut self, out: &mut dyn Output) {
        while let Some(open) = self.take(0) {
            self.unfinished(open, "the stream ended", out);
        }
    }

    fn handover(&mut self) -> Option<Handover> {
        (self.layer == Layer::Tls).then(|| Handover {
            protocol: "tls",
            note: Bytes::new(),
        })
    }

    /// ```text
    /// state = version u8 (1), asks u8 (0 unknown, 1 to the server, 2 to the client),
    ///         layer u8 (0 plain, 1 SASL, 2 protected, 3 TLS), length u8, mechanism, place, place,
    ///         count u32, count x open                                       big-endian
    /// place = expected u64, skip u64, lost u8, passed u64
    /// ```
    fn save(&self) -> Vec<u8> {
        let mut out = vec![SAVE_VERSION];
        out.put_u8(match self.asks {
            None => 0,
            Some(Direction::ToServer) => 1,
            Some(Direction::ToClient) => 2,
        });
        let (layer, mechanism) = match &self.layer {
            Layer::Plain => (0, &[][..]),
            Layer::Sasl(mechanism) => (1, &mechanism[..]),
            Layer::Protected => (2, &[][..]),
            Layer::Tls => (3, &[][..]),
        };
        out.put_u8(layer);
        out.put_u8(u8::try_from(mechanism.len()).unwrap_or(0));
        out.put_slice(mechanism);
        for place in [&self.to_server, &self.to_client] {
            out.put_u64(place.expected);
            out.put_u64(place.skip);
            out.put_u8(place.lost.is_some().into());
            out.put_u64(place.lost.unwrap_or(0));
        }
        out.put_u32(u32::try_from(self.open.len()).unwrap_or(0));
        for open in &self.open {
            open.save(&mut out);
        }
        out
    }
}

impl Ldap {
    /// Reads [`Dissector::save`] back.
    pub(super) fn restore(stream: &Stream, state: &[u8]) -> Option<Ldap> {
        let mut reader = Reader::new(state);
        if reader.u8().ok()? != SAVE_VERSION {
            return None;
        }
        let mut restored = Ldap::new(stream);
        restored.asks = match reader.u8().ok()? {
            0 => None,
            1 => Some(Direction::ToServer),
            2 => Some(Direction::ToClient),
            _ => return None,
        };
        let layer = reader.u8().ok()?;
        let length = usize::from(reader.u8().ok()?);
        let mechanism = Bytes::copy_from_slice(reader.take(length).ok()?);
        restored.layer = match layer {
            0 => Layer::Plain,
            1 => Layer::Sasl(mechanism),
            2 => Layer::Protected,
            3 => Layer::Tls,
            _ => return None,
        };
        for direction in [Direction::ToServer, Direction::ToClient] {
            // Lengths of messages stay far below this; sums must not wrap.
            let mut number = || reader.u64().ok().filter(|number| *number < 1 << 62);
            let (expected, skip) = (number()?, number()?);
            let lost = reader.u8().ok()? == 1;
            let passed = reader.u64().ok().filter(|number| *number < 1 << 62)?;
            *restored.place(direction) = Place {
                expected,
                skip,
                lost: lost.then_some(passed),
            };
        }
        let count = usize::try_from(reader.u32().ok()?).ok()?;
        if count > MAX_OPEN {
            return None;
        }
        for _ in 0..count {
            let open = Open::load(&mut reader)?;
            restored.open_bytes += open.weight();
            restored.open.push_back(open);
        }
        Some(restored)
    }
}
