//! One stream of AMQP: where each direction stands, contents under way, methods that await answers.
//!
//! In: chunks and gaps. Out: items. A reply belongs to the first open request of the other side on
//! its channel that it can answer: "the peer MUST ... send the response methods in the order in
//! which it received the requests" on each channel (AMQP 0-9-1 section 2.2.2). Never: more of a
//! body than an item carries, whole body frames.

use bytes::Bytes;

use super::exchange::{Exchanges, Hello};
use super::frame::{
    FRAME_END, FRAME_HEADER, Frame1Header, FrameHeader, FrameKind, Looks, PROTOCOL_HEADER,
    ProtocolHeader,
};
use super::message::{Fault, Message};

use crate::bytes::Reader;
use crate::dissect::{Dissector, GiveUp, Handover, Outcome, Output, Stream};
use crate::flow::{Chunk, Gap};
use crate::packet::Direction;

/// Bytes of a method or header frame that are read; brokers send no frames beyond 128 KiB unless
/// told otherwise (`frame-max`).
const MAX_FRAME: usize = 256 * 1024;

/// Contents of one stream that may be under way at once. Each channel can have one, but a sender
/// writes one after the other unless it has several threads.
const MAX_CONTENTS: usize = 64;

/// Bytes that contents under way may hold.
const MAX_CONTENT_BYTES: usize = 2 << 20;

/// Bytes without a frame after which the stream is not AMQP.
const MAX_LOST: u64 = 256 * 1024;

/// First byte of a saved state.
const SAVE_VERSION: u8 = 1;

/// Which of the two protocols a stream speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaks {
    /// Nothing yet.
    Nothing,
    /// 0-9-1, or one close to it.
    V0,
    /// 1.0.
    V1,
}

/// What comes next in a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// A frame or a protocol header.
    Frame,
    /// So many bytes of the body frame of a channel.
    Body(u16, u64),
    /// So many bytes that nobody needs; then the end octet of a 0-9-1 frame when the flag is set.
    Skip(u64, bool),
    /// The end octet of a 0-9-1 frame.
    End,
    /// Nobody knows: frames are looked for; so many bytes were passed over.
    Lost(u64),
}

/// Where one direction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Side {
    reading: Reading,
    /// Bytes of the frame that stands first, when its header was seen.
    expected: u64,
}

/// State of one stream.
pub(super) struct Amqp {
    speaks: Speaks,
    to_server: Side,
    to_client: Side,
    contents: Vec<Message>,
    exchanges: Exchanges,
    /// Both sides asked for TLS.
    upgraded: bool,
}

impl Amqp {
    /// A stream of which nothing was seen yet.
    pub(super) fn new(stream: &Stream) -> Amqp {
        let reading = match stream.is_from_start() {
            true => Reading::Frame,
            // The capture may begin inside a frame.
            false => Reading::Lost(0),
        };
        let side = Side {
            reading,
            expected: 0,
        };
        Amqp {
            speaks: Speaks::Nothing,
            to_server: side,
            to_client: side,
            contents: Vec::new(),
            exchanges: Exchanges::default(),
            upgraded: false,
        }
    }

    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }

    fn frame(&mut self, chunk: &Chunk, out: &mut dyn Output) -> Outcome {
        let bytes = &chunk.bytes;
        if b"AMQP".starts_with(bytes.get(..bytes.len().min(4)).unwrap_or_default()) {
            return match ProtocolHeader::parse(bytes) {
                Some(header) => {
                    self.protocol_header(header, chunk, out);
                    Outcome::Consumed(PROTOCOL_HEADER)
                }
                None => Outcome::NeedMore(PROTOCOL_HEADER),
            };
        }
        let is_v1 = match self.speaks {
            Speaks::V0 => false,
            Speaks::V1 => true,
            // A 0-9-1 frame begins with its type, a 1.0 frame with its size, below 16 MiB.
            Speaks::Nothing => bytes.first() == Some(&0),
        };
        match is_v1 {
            false => self.frame_0_9_1(chunk, out),
            true => self.frame_1_0(chunk, out),
        }
    }

    fn protocol_header(&mut self, header: ProtocolHeader, chunk: &Chunk, out: &mut dyn Output) {
        self.speaks = match header.is_1_0() {
            true => Speaks::V1,
            false => Speaks::V0,
        };
        let hello = Hello {
            header,
            direction: chunk.direction,
            ts: chunk.ts,
            ordinal: chunk.ordinal,
        };
        let agreed = self.exchanges.hello(hello, out);
        self.upgraded = agreed && header.is_tls();
    }

    fn frame_0_9_1(&mut self, chunk: &Chunk, out: &mut dyn Output) -> Outcome {
        let header = match FrameHeader::parse(&chunk.bytes) {
            Ok(Some(header)) => header,
            Ok(None) => return Outcome::NeedMore(FRAME_HEADER),
            Err(()) => return self.lose(chunk.direction, out),
        };
        self.speaks = Speaks::V0;
        let size = u64::from(header.size);
        if header.kind == FrameKind::Body {
            let side = self.side(chunk.direction);
            side.reading = Reading::Body(header.channel, size);
            return Outcome::Consumed(FRAME_HEADER);
        }
        let whole = usize::try_from(header.size).unwrap_or(usize::MAX);
        let kept = whole.min(MAX_FRAME);
        // A frame that is kept whole is read with its end octet.
        let need = FRAME_HEADER + kept + usize::from(kept == whole);
        let Some(read) = chunk.bytes.get(..need) else {
            self.side(chunk.direction).expected = FRAME_HEADER as u64 + size + 1;
            return Outcome::NeedMore(need);
        };
        let payload = read
            .get(FRAME_HEADER..FRAME_HEADER + kept)
            .unwrap_or_default();
        if kept == whole && read.last() != Some(&FRAME_END) {
            return self.lose(chunk.direction, out);
        }
        let side = self.side(chunk.direction);
        side.expected = 0;
        if kept < whole {
            side.reading = Reading::Skip((whole - kept) as u64, true);
        }
        let fault = (kept < whole).then_some(Fault::LongFrame);
        match header.kind {
            FrameKind::Method => self.method(header.channel, payload, fault, chunk, out),
            FrameKind::Header => self.header(header.channel, payload, fault, chunk, out),
            FrameKind::Body | FrameKind::Heartbeat => {}
        }
        Outcome::Consumed(need)
    }

    fn method(
        &mut self,
        channel: u16,
        payload: &[u8],
        fault: Option<Fault>,
        chunk: &Chunk,
        out: &mut dyn Output,
    ) {
        if let Some(mut cut) = self.take_content(chunk.direction, channel) {
            cut.cut(Fault::Interrupted);
            self.exchanges.take(cut, out);
        }
        let size = FRAME_HEADER + payload.len() + 1;
        let at = (chunk.ts, chunk.ordinal);
        let mut message = Message::new(chunk.direction, channel, payload, size, at);
        if let Some(fault) = fault {
            message.fail(fault);
        }
        if message.is_done() {
            self.exchanges.take(message, out);
            return;
        }
        self.contents.push(message);
        while self.contents.len() > MAX_CONTENTS || self.content_bytes() > MAX_CONTENT_BYTES {
            let mut oldest = self.contents.remove(0);
            oldest.cut(Fault::Limit);
            self.exchanges.take(oldest, out);
        }
    }

    fn header(
        &mut self,
        channel: u16,
        payload: &[u8],
        fault: Option<Fault>,
        chunk: &Chunk,
        out: &mut dyn Output,
    ) {
        // A content whose method was not captured is nobody's: it is passed over.
        let Some(index) = self.content(chunk.direction, channel) else {
            return;
        };
        if let Some(message) = self.contents.get_mut(index) {
            let size = FRAME_HEADER + payload.len() + 1;
            message.header(payload, size, chunk.ordinal);
            if let Some(fault) = fault {
                message.fail(fault);
            }
        }
        self.hand_on(index, out);
    }

    /// Takes what is there of a body frame.
    fn body(&mut self, channel: u16, left: u64, chunk: &Chunk, out: &mut dyn Output) -> Outcome {
        let len =
            usize::try_from(left).map_or(chunk.bytes.len(), |left| left.min(chunk.bytes.len()));
        let left = left - len as u64;
        self.side(chunk.direction).reading = match left {
            0 => Reading::End,
            left => Reading::Body(channel, left),
        };
        if let Some(index) = self.content(chunk.direction, channel) {
            if let Some(message) = self.contents.get_mut(index) {
                message.body(chunk.bytes.get(..len).unwrap_or_default(), chunk.ordinal);
            }
            self.hand_on(index, out);
        }
        Outcome::Consumed(len)
    }

    /// Hands a content on when it is whole.
    fn hand_on(&mut self, index: usize, out: &mut dyn Output) {
        if self.contents.get(index).is_some_and(Message::is_done) {
            let message = self.contents.remove(index);
            self.exchanges.take(message, out);
        }
    }

    fn content(&self, direction: Direction, channel: u16) -> Option<usize> {
        self.contents
            .iter()
            .position(|one| one.direction == direction && one.channel == channel)
    }

    fn take_content(&mut self, direction: Direction, channel: u16) -> Option<Message> {
        self.content(direction, channel)
            .map(|index| self.contents.remove(index))
    }

    fn content_bytes(&self) -> usize {
        self.contents.iter().map(Message::weight).sum()
    }

    fn frame_1_0(&mut self, chunk: &Chunk, out: &mut dyn Output) -> Outcome {
        let header = match Frame1Header::parse(&chunk.bytes) {
            Ok(Some(header)) => header,
            Ok(None) => return Outcome::NeedMore(Frame1Header::LEN),
            Err(()) => return self.lose(chunk.direction, out),
        };
        self.speaks = Speaks::V1;
        let whole = usize::try_from(header.size).unwrap_or(usize::MAX);
        let front = whole.min(header.body_at + Frame1Header::DESCRIPTOR);
        let Some(read) = chunk.bytes.get(..front) else {
            self.side(chunk.direction).expected = header.size.into();
            return Outcome::NeedMore(front);
        };
        let side = self.side(chunk.direction);
        side.expected = 0;
        if front < whole {
            side.reading = Reading::Skip((whole - front) as u64, false);
        }
        // "An empty frame ... is used to keep the connection alive" (section 2.4.5).
        if whole > header.body_at {
            self.exchanges.frame_1_0(&header, read, chunk, out);
        }
        Outcome::Consumed(front)
    }

    /// The stream makes no sense here: contents under way are cut and frames looked for.
    fn lose(&mut self, direction: Direction, out: &mut dyn Output) -> Outcome {
        *self.side(direction) = Side {
            reading: Reading::Lost(0),
            expected: 0,
        };
        self.cut_contents(direction, out);
        Outcome::Consumed(0)
    }

    fn cut_contents(&mut self, direction: Direction, out: &mut dyn Output) {
        while let Some(index) = self
            .contents
            .iter()
            .position(|content| content.direction == direction)
        {
            let mut content = self.contents.remove(index);
            content.cut(Fault::Gap);
            self.exchanges.take(content, out);
        }
    }

    /// Looks for the beginning of a frame.
    fn search(&mut self, passed: u64, chunk: &Chunk) -> Outcome {
        let bytes = &chunk.bytes;
        let mut found = bytes.len();
        for at in 0..bytes.len() {
            match looks(bytes.get(at..).unwrap_or_default(), self.speaks) {
                Looks::Yes => {
                    self.side(chunk.direction).reading = Reading::Frame;
                    return Outcome::Consumed(at);
                }
                Looks::Short if found == bytes.len() => found = at,
                Looks::Short | Looks::No => {}
            }
        }
        let passed = passed + found as u64;
        if passed > MAX_LOST {
            return Outcome::GiveUp(GiveUp::Malformed);
        }
        self.side(chunk.direction).reading = Reading::Lost(passed);
        match found {
            0 => Outcome::NeedMore(bytes.len() + 1),
            found => Outcome::Consumed(found),
        }
    }

    /// One step; `Consumed(0)` when only the state moved on.
    fn step(&mut self, chunk: &Chunk, out: &mut dyn Output) -> Outcome {
        match self.side(chunk.direction).reading {
            Reading::Frame => self.frame(chunk, out),
            Reading::Body(channel, left) => self.body(channel, left, chunk, out),
            Reading::Skip(left, ends) => {
                let len = usize::try_from(left)
                    .map_or(chunk.bytes.len(), |left| left.min(chunk.bytes.len()));
                self.side(chunk.direction).reading = match left - len as u64 {
                    0 if ends => Reading::End,
                    0 => Reading::Frame,
                    left => Reading::Skip(left, ends),
                };
                Outcome::Consumed(len)
            }
            Reading::End => match chunk.bytes.first() {
                Some(&FRAME_END) => {
                    self.side(chunk.direction).reading = Reading::Frame;
                    Outcome::Consumed(1)
                }
                Some(_) => self.lose(chunk.direction, out),
                None => Outcome::Consumed(0),
            },
            Reading::Lost(passed) => self.search(passed, chunk),
        }
    }
}

/// Whether a frame or protocol header that can be told from chance begins here.
fn looks(bytes: &[u8], speaks: Speaks) -> Looks {
    if bytes.first() == Some(&b'A') {
        return match ProtocolHeader::parse(bytes) {
            Some(header) if header.is_1_0() || header == ProtocolHeader::V0_9_1 => Looks::Yes,
            Some(_) => Looks::No,
            None if b"AMQP".starts_with(bytes) => Looks::Short,
            None if bytes.starts_with(b"AMQP") => Looks::Short,
            None => Looks::No,
        };
    }
    match speaks {
        Speaks::V0 => FrameHeader::stands_out(bytes),
        Speaks::V1 => Frame1Header::stands_out(bytes),
        Speaks::Nothing => match FrameHeader::stands_out(bytes) {
            Looks::No => Frame1Header::stands_out(bytes),
            looks => looks,
        },
    }
}

impl Dissector for Amqp {
    fn on_chunk(&mut self, chunk: &Chunk, out: &mut dyn Output) -> Outcome {
        if self.upgraded {
            return Outcome::GiveUp(GiveUp::Upgraded);
        }
        // Two steps may move the state alone: a frame that is none, then the search for the next.
        for _ in 0..3 {
            match self.step(chunk, out) {
                Outcome::Consumed(0) => {}
                outcome => return outcome,
            }
        }
        Outcome::Consumed(0)
    }

    fn on_gap(&mut self, gap: &Gap, out: &mut dyn Output) -> Outcome {
        let direction = gap.direction;
        let side = *self.side(direction);
        let missing = |left: u64, ends| match left.checked_sub(gap.len) {
            Some(0) if ends => Some(Reading::End),
            Some(0) => Some(Reading::Frame),
            Some(left) => Some(Reading::Skip(left, ends)),
            None if ends && gap.len == left + 1 => Some(Reading::Frame),
            None => None,
        };
        let next = match side.reading {
            _ if gap.len == 0 => None,
            Reading::Body(channel, left) => {
                let seen = left.min(gap.len);
                if let Some(index) = self.content(direction, channel) {
                    if let Some(message) = self.contents.get_mut(index) {
                        message.gap(seen);
                    }
                    self.hand_on(index, out);
                }
                match missing(left, true) {
                    Some(Reading::Skip(left, _)) => Some(Reading::Body(channel, left)),
                    next => next,
                }
            }
            Reading::Skip(left, ends) => missing(left, ends),
            Reading::End => missing(0, true),
            Reading::Frame if side.expected >= gap.len => {
                // The frame's end is known, and what it was is not: no content can rely on it.
                self.cut_contents(direction, out);
                Some(match (side.expected - gap.len, self.speaks) {
                    (0, _) => Reading::Frame,
                    (left, Speaks::V1) => Reading::Skip(left, false),
                    (left, _) => Reading::Skip(left - 1, true),
                })
            }
            Reading::Frame | Reading::Lost(_) => None,
        };
        match next {
            Some(reading) => {
                *self.side(direction) = Side {
                    reading,
                    expected: 0,
                };
                Outcome::Consumed(0)
            }
            None => self.lose(direction, out),
        }
    }

    fn on_fin(&mut self, _direction: Direction, _rest: &Bytes, _out: &mut dyn Output) {}

    fn on_end(&mut self, out: &mut dyn Output) {
        for mut content in std::mem::take(&mut self.contents) {
            content.cut(Fault::Ended);
            self.exchanges.take(content, out);
        }
        self.exchanges.end(out);
    }

    fn handover(&mut self) -> Option<Handover> {
        self.upgraded.then(|| Handover {
            protocol: "tls",
            note: Bytes::new(),
        })
    }

    /// ```text
    /// state = version u8 (1), speaks u8, upgraded u8, side, side, contents, exchanges   big-endian
    /// side  = reading u8, channel u16, number u64, expected u64
    /// contents = count u32, count x message
    /// ```
    fn save(&self) -> Vec<u8> {
        let mut out = vec![
            SAVE_VERSION,
            match self.speaks {
                Speaks::Nothing => 0,
                Speaks::V0 => 1,
                Speaks::V1 => 2,
            },
            u8::from(self.upgraded),
        ];
        for side in [&self.to_server, &self.to_client] {
            let (code, channel, number) = match side.reading {
                Reading::Frame => (0, 0, 0),
                Reading::Body(channel, left) => (1, channel, left),
                Reading::Skip(left, false) => (2, 0, left),
                Reading::Skip(left, true) => (3, 0, left),
                Reading::End => (4, 0, 0),
                Reading::Lost(passed) => (5, 0, passed),
            };
            out.push(code);
            out.extend_from_slice(&channel.to_be_bytes());
            out.extend_from_slice(&number.to_be_bytes());
            out.extend_from_slice(&side.expected.to_be_bytes());
        }
        let count = u32::try_from(self.contents.len()).unwrap_or(0);
        out.extend_from_slice(&count.to_be_bytes());
        for content in &self.contents {
            content.save(&mut out);
        }
        self.exchanges.save(&mut out);
        out
    }
}

impl Amqp {
    /// Reads [`Dissector::save`] back.
    pub(super) fn restore(stream: &Stream, state: &[u8]) -> Option<Amqp> {
        let mut reader = Reader::new(state);
        if reader.u8().ok()? != SAVE_VERSION {
            return None;
        }
        let mut restored = Amqp::new(stream);
        restored.speaks = match reader.u8().ok()? {
            0 => Speaks::Nothing,
            1 => Speaks::V0,
            2 => Speaks::V1,
            _ => return None,
        };
        restored.upgraded = reader.u8().ok()? == 1;
        for direction in [Direction::ToServer, Direction::ToClient] {
            let (code, channel) = (reader.u8().ok()?, reader.u16().ok()?);
            // Sizes of frames and lengths of gaps stay far below this; sums must not wrap.
            let mut number = || reader.u64().ok().filter(|number| *number < 1 << 62);
            let (number, expected) = (number()?, number()?);
            let reading = match code {
                0 => Reading::Frame,
                1 => Reading::Body(channel, number),
                2 => Reading::Skip(number, false),
                3 => Reading::Skip(number, true),
                4 => Reading::End,
                5 => Reading::Lost(number),
                _ => return None,
            };
            *restored.side(direction) = Side { reading, expected };
        }
        let count = usize::try_from(reader.u32().ok()?).ok()?;
        if count > MAX_CONTENTS {
            return None;
        }
        for _ in 0..count {
            restored.contents.push(Message::load(&mut reader)?);
        }
        restored.exchanges = Exchanges::load(&mut reader)?;
        Some(restored)
    }
}
