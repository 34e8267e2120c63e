//! One connection of HTTP/2: its frames, and the streams that they are about.
//!
//! In: chunks and gaps of both directions. Out: one item a stream, when its response and its request
//! have ended. Never: clocks, flow control. Standard: RFC 9113; for connections joined late and for
//! gaps our own judgement.
//!
//! Invariants: `open` holds what is not handed out yet; every exchange in it has a request or a
//! response. A frame of a stream that is not in it opens one only where that stream may be new, or
//! where its first frames may have been missed.

mod saved;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::exchange::{Exchange, Message};
use super::frame::{
    self, DEFAULT_MAX_FRAME, END_HEADERS, END_STREAM, HEADER_LEN, Header, Kind, PADDED, PREFACE,
    Settings,
};
use super::grpc::Schemas;
use super::search::{self, Found};
use super::side::{Block, Data, Flaw, Reading, Side};
use super::tunnel::Tunnels;
use crate::bytes::Reader;
use crate::dissect::http::exchange::DISSECTION;
use crate::dissect::{Descriptors, Dissector, GiveUp, Outcome, Output, Protocols};
use crate::flow::{Chunk, Gap, StreamInfo};
use crate::packet::Direction;
use crate::time::Timestamp;

/// Payload of a frame that is waited for whole; DATA is read as it comes.
const MAX_WHOLE: u32 = 256 * 1024;

/// Bytes without any frame after which the stream is not HTTP/2.
const MAX_LOST: u64 = 256 * 1024;

/// The state of one connection.
pub(super) struct Connection {
    /// Direction of the requests.
    pub(super) asks: Direction,
    /// Whether a preface, a request or a response told who asks.
    pub(super) certain: bool,
    /// Whether a frame was found in a connection that was joined late.
    found: bool,
    to_server: Side,
    to_client: Side,
    /// The streams that are not handed out yet.
    pub(super) open: BTreeMap<u32, Box<Exchange>>,
    /// What the open exchanges hold, see [`Exchange::weight`].
    pub(super) weight: usize,
    /// Streams whose late frames are passed over.
    pub(super) closed: VecDeque<u32>,
    /// Why the connection is given up (GOAWAY).
    pub(super) goaway: Option<u32>,
    /// Whether the server is done.
    pub(super) finished: bool,
    /// Whether a stream may tell descriptors.
    pub(super) reflects: bool,
    descriptors: Arc<Descriptors>,
    /// The stream, as far as known.
    info: Option<StreamInfo>,
    /// The streams that carry conversations.
    pub(super) tunnels: Tunnels,
}

/// What one step did.
enum Advance {
    /// Moved over so many bytes, perhaps none.
    Took(usize),
    /// So many bytes are needed.
    Wait(usize),
    /// These bytes are not HTTP/2.
    Hopeless,
}

/// Where a step stands: what it reads, and where its items go.
pub(super) struct At<'a> {
    /// Which way the bytes went.
    pub direction: Direction,
    /// Ordinal of their packet.
    pub ordinal: u64,
    /// Takes the items.
    pub out: &'a mut dyn Output,
}

impl Connection {
    /// A connection whose first bytes come.
    pub(super) fn new() -> Connection {
        Connection {
            asks: Direction::ToServer,
            certain: false,
            found: true,
            to_server: Side::new(),
            to_client: Side::new(),
            open: BTreeMap::new(),
            weight: 0,
            closed: VecDeque::new(),
            goaway: None,
            finished: false,
            reflects: false,
            descriptors: Arc::default(),
            info: None,
            tunnels: Tunnels::default(),
        }
    }

    /// A connection of which the beginning was not captured.
    pub(super) fn joined() -> Connection {
        Connection {
            found: false,
            to_server: Side::joined(),
            to_client: Side::joined(),
            ..Connection::new()
        }
    }

    /// A connection that begins with stream 1, whose request came by HTTP/1.1 from the side that
    /// `asks`, with these settings (RFC 7540 section 3.2).
    pub(super) fn upgraded(asks: Direction, request: Message, settings: Settings) -> Connection {
        let mut connection = Connection::new();
        connection.asks = asks;
        connection.certain = true;
        connection.weight = request.weight();
        connection.agree(asks, settings);
        let exchange = Exchange {
            request: Some(request),
            upgraded: true,
            ..Exchange::default()
        };
        connection.open.insert(1, Box::new(exchange));
        connection
    }

    /// The same, of this stream.
    pub(super) fn of(self, stream: &StreamInfo) -> Connection {
        Connection {
            info: Some(*stream),
            ..self
        }
    }

    /// What messages of its calls are read by.
    pub(super) fn schemas(&self) -> Schemas {
        let server = self.info.map(|info| match self.asks {
            Direction::ToServer => info.server,
            Direction::ToClient => info.client,
        });
        Schemas {
            descriptors: self.descriptors.clone(),
            server,
        }
    }

    /// One direction.
    pub(super) fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }

    fn advance(&mut self, chunk: &Chunk, at: usize, out: &mut dyn Output) -> Advance {
        let direction = chunk.direction;
        let mut here = At {
            direction,
            ordinal: chunk.ordinal,
            out,
        };
        let rest = chunk.bytes.get(at..).unwrap_or_default();
        match self.side(direction).reading {
            Reading::Frame => self.frame(rest, chunk.ts, &mut here),
            Reading::Payload(header, ts) => {
                let Some(payload) = rest.get(..header.payload()) else {
                    return Advance::Wait(header.payload());
                };
                self.side(direction).reading = Reading::Frame;
                self.whole(header, payload, ts, &mut here);
                Advance::Took(payload.len())
            }
            Reading::Data(data) => self.data(data, chunk, at, &mut here),
            Reading::Skip(left) => {
                let count = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                self.skip(direction, left - count as u64);
                Advance::Took(count)
            }
            Reading::Lost(fresh) => self.search(direction, rest, fresh),
        }
    }

    fn skip(&mut self, direction: Direction, left: u64) {
        self.side(direction).reading = match left {
            0 => Reading::Frame,
            left => Reading::Skip(left),
        };
    }

    /// Reads a frame header, and what of the payload is needed to go on.
    fn frame(&mut self, rest: &[u8], ts: Timestamp, here: &mut At<'_>) -> Advance {
        let Some(header) = Header::read(rest) else {
            return Advance::Wait(HEADER_LEN);
        };
        if PREFACE.starts_with(rest.get(..HEADER_LEN).unwrap_or_default()) {
            return self.preface(rest, here.direction);
        }
        if header.length > self.side(here.direction).largest() {
            self.lose(here.direction);
            return Advance::Took(0);
        }
        let block = self.side(here.direction).block.as_ref();
        if block.is_some_and(|block| {
            (header.kind, header.stream) != (Kind::Continuation, block.carrier)
        }) {
            // "Field blocks MUST be transmitted as a contiguous sequence of frames, with no
            // interleaved frames of any other type or from any other stream" (section 4.3).
            self.end_block(Some(Flaw::Unfinished), here);
        }
        match header.kind {
            Kind::Data => return self.begin_data(header, rest, ts, here),
            Kind::Headers | Kind::PushPromise | Kind::Continuation if header.length > MAX_WHOLE => {
                self.miss_block(header, Flaw::TooLong, ts, here);
                self.skip(here.direction, header.length.into());
            }
            Kind::Headers
            | Kind::PushPromise
            | Kind::Continuation
            | Kind::RstStream
            | Kind::Settings
            | Kind::GoAway
                if header.length <= MAX_WHOLE =>
            {
                self.side(here.direction).reading = Reading::Payload(header, ts);
            }
            _ => self.skip(here.direction, header.length.into()),
        }
        Advance::Took(HEADER_LEN)
    }

    fn preface(&mut self, rest: &[u8], direction: Direction) -> Advance {
        let Some(preface) = rest.get(..PREFACE.len()) else {
            return Advance::Wait(PREFACE.len());
        };
        if preface != PREFACE {
            self.lose(direction);
            return Advance::Took(0);
        }
        self.asked_by(direction);
        Advance::Took(PREFACE.len())
    }

    fn begin_data(
        &mut self,
        header: Header,
        rest: &[u8],
        ts: Timestamp,
        here: &mut At<'_>,
    ) -> Advance {
        let padded = header.has(PADDED) && header.length > 0;
        let mut taken = HEADER_LEN;
        let mut padding = 0;
        if padded {
            let Some(length) = rest.get(HEADER_LEN) else {
                return Advance::Wait(HEADER_LEN + 1);
            };
            padding = u64::from(*length);
            taken += 1;
        }
        let payload = u64::from(header.length) - u64::from(padded);
        let data = Data {
            stream: header.stream,
            left: payload.saturating_sub(padding),
            padding: padding.min(payload),
            end: header.has(END_STREAM),
        };
        let wanted =
            self.tunnels.has(header.stream) || self.accepts_data(header.stream, ts, here.direction);
        if padding > payload || !wanted {
            self.skip(here.direction, payload);
            return Advance::Took(taken);
        }
        if let Some(exchange) = self.open.get_mut(&header.stream) {
            exchange.ordinal = here.ordinal;
        }
        if let Some(message) = self.message(header.stream, here.direction) {
            message.size += header.size();
        }
        self.go_on(data, here);
        Advance::Took(taken)
    }

    /// Goes on behind a part of a DATA frame.
    fn go_on(&mut self, data: Data, here: &mut At<'_>) {
        if data.left + data.padding > 0 {
            self.side(here.direction).reading = Reading::Data(data);
            return;
        }
        self.side(here.direction).reading = Reading::Frame;
        if data.end {
            self.tunnels.fin(data.stream, here.direction, here.out);
            self.finish(data.stream, here);
        }
    }

    fn data(&mut self, mut data: Data, chunk: &Chunk, at: usize, here: &mut At<'_>) -> Advance {
        let there = (chunk.bytes.len() - at) as u64;
        let count = data.left.min(there);
        let padding = data.padding.min(there - count);
        let sole = data.end && count == data.left;
        data.left -= count;
        data.padding -= padding;
        if count > 0 {
            let end = at + usize::try_from(count).unwrap_or(usize::MAX);
            match self.tunnels.has(data.stream) {
                true => self.tunnels.data(data.stream, chunk, at..end, here.out),
                false => self.keep(data.stream, sole, chunk, at..end),
            }
        }
        if self.reflects && here.direction != self.asks {
            let schemas = self.schemas();
            if let Some(exchange) = self.open.get_mut(&data.stream) {
                exchange.learn(&schemas, here.ordinal);
            }
        }
        self.go_on(data, here);
        Advance::Took(usize::try_from(count + padding).unwrap_or(usize::MAX))
    }

    /// Takes a frame that was waited for.
    fn whole(&mut self, header: Header, payload: &[u8], ts: Timestamp, here: &mut At<'_>) {
        let mut reader = Reader::new(payload);
        match header.kind {
            Kind::Headers | Kind::PushPromise | Kind::Continuation => {
                self.fragment(header, payload, ts, here);
            }
            Kind::Settings if !header.has(frame::ACK) => {
                self.agree(here.direction, Settings::read(payload));
            }
            Kind::RstStream => {
                if let Ok(code) = reader.u32() {
                    self.reset(header.stream, code, here);
                }
            }
            Kind::GoAway => {
                if let (Ok(last), Ok(code)) = (reader.u32(), reader.u32()) {
                    self.go_away(last & 0x7fff_ffff, code, here);
                }
            }
            _ => {}
        }
    }

    /// Takes over the settings that one side sent, which bind the other.
    fn agree(&mut self, from: Direction, settings: Settings) {
        let bound = self.side(from.other());
        if let Some(size) = settings.header_table_size {
            bound
                .hpack
                .allow(usize::try_from(size).unwrap_or(usize::MAX));
        }
        bound.allow_frames(settings.max_frame_size.unwrap_or(DEFAULT_MAX_FRAME));
    }

    /// A part of a field block.
    fn fragment(&mut self, header: Header, payload: &[u8], ts: Timestamp, here: &mut At<'_>) {
        let Some((fragment, promised)) = frame::fragment(&header, payload) else {
            return self.miss_block(header, Flaw::Unfinished, ts, here);
        };
        let side = self.side(here.direction);
        let mut block = match side.block.take() {
            Some(block) => block,
            // Where a block's first frame was missed, its fragments cannot be told apart.
            None if header.kind == Kind::Continuation => return side.hpack.lose(),
            None => Block::new(&header, ts),
        };
        match header.kind {
            Kind::Headers => block.end = header.has(END_STREAM),
            Kind::PushPromise => (block.stream, block.promise) = (promised, true),
            _ => {}
        }
        block.size += header.size();
        block.feed(fragment, &mut side.hpack);
        side.block = Some(block);
        if header.has(END_HEADERS) {
            self.end_block(None, here);
        }
    }

    /// A frame of a field block cannot be read.
    fn miss_block(&mut self, header: Header, flaw: Flaw, ts: Timestamp, here: &mut At<'_>) {
        let side = self.side(here.direction);
        if header.kind == Kind::Headers {
            let block = side.block.insert(Block::new(&header, ts));
            block.end = header.has(END_STREAM);
        }
        match &mut side.block {
            Some(block) => block.spoil(flaw, &mut side.hpack),
            // Which stream was promised is not known either.
            None => side.hpack.lose(),
        }
        if header.has(END_HEADERS) {
            self.end_block(None, here);
        }
    }

    /// Ends the open field block, with a flaw when more should have come.
    fn end_block(&mut self, flaw: Option<Flaw>, here: &mut At<'_>) {
        let side = self.side(here.direction);
        let Some(mut block) = side.block.take() else {
            return;
        };
        match flaw {
            Some(flaw) => block.spoil(flaw, &mut side.hpack),
            None => block.close(&mut side.hpack),
        }
        if block.stream != 0 {
            self.section(block, here);
        }
    }

    fn search(&mut self, direction: Direction, rest: &[u8], fresh: bool) -> Advance {
        let largest = self.side(direction).largest_searched();
        let hopeless = !self.found;
        let side = self.side(direction);
        let (taken, wait) = match search::find(rest, largest, fresh) {
            Found::At(at) => {
                side.reading = Reading::Frame;
                side.lost = 0;
                self.found = true;
                return Advance::Took(at);
            }
            Found::Maybe(at, needs) => (at, Some(needs)),
            Found::Nowhere => (rest.len(), None),
        };
        if taken > 0 {
            side.reading = Reading::Lost(false);
            side.lost += taken as u64;
        }
        match wait {
            _ if hopeless && side.lost > MAX_LOST => Advance::Hopeless,
            Some(needs) if taken == 0 => Advance::Wait(needs),
            _ => Advance::Took(taken),
        }
    }

    /// Frames of a direction were missed, or cannot be read.
    fn lose(&mut self, direction: Direction) {
        let is_request = direction == self.asks;
        let side = self.side(direction);
        side.lose();
        let block = side.block.take();
        self.side(direction.other()).unlimited();
        for exchange in self.open.values_mut() {
            if let Some(message) = exchange.side(is_request)
                && !message.done
            {
                message.holed = true;
                message.kept.cut = true;
            }
        }
        if let Some(block) = block.filter(|block| !block.promise)
            && let Some(exchange) = self.open.get_mut(&block.stream)
        {
            exchange.fail(DISSECTION, Flaw::Missing.text());
        }
    }

    /// Bytes within a DATA frame are missing; false when there are more than the frame has.
    fn miss_data(&mut self, mut data: Data, gap: &Gap, here: &mut At<'_>) -> bool {
        let missing = data.left.min(gap.len);
        let padding = data.padding.min(gap.len - missing);
        data.left -= missing;
        data.padding -= padding;
        if missing > 0 {
            let part = Gap {
                len: missing,
                ..*gap
            };
            self.tunnels.gap(data.stream, &part, here.out);
        }
        if let Some(message) = self.message(data.stream, here.direction) {
            message.missing += missing;
            message.body_size += missing;
            message.kept.cut |= missing > 0;
        }
        let within = missing + padding == gap.len;
        // At the end of the gap the frame may just have ended, and with it the stream.
        if within || data.left + data.padding == 0 {
            self.go_on(data, here);
        }
        within
    }
}

impl Dissector for Connection {
    fn equip(&mut self, protocols: &Protocols) {
        self.descriptors = protocols.descriptors.clone();
        if let Some(info) = &self.info {
            self.tunnels.equip(info, protocols);
        }
    }

    fn on_chunk(&mut self, chunk: &Chunk, out: &mut dyn Output) -> Outcome {
        let len = chunk.bytes.len();
        let waited = std::mem::take(&mut self.side(chunk.direction).waited);
        let (mut at, mut needs) = (0, 0);
        // A payload may be empty.
        while at < len || is_due(&self.side(chunk.direction).reading) {
            match self.advance(chunk, at, out) {
                // What follows came with a later packet, whose time the next call tells.
                Advance::Took(count) if waited && count > 0 => {
                    at += count;
                    if !is_due(&self.side(chunk.direction).reading) {
                        break;
                    }
                }
                Advance::Took(count) => at += count,
                Advance::Wait(count) => {
                    self.side(chunk.direction).waited = true;
                    needs = count;
                    break;
                }
                Advance::Hopeless => {
                    self.flush(false, out);
                    return Outcome::GiveUp(GiveUp::Malformed);
                }
            }
        }
        match at {
            0 if len > 0 => Outcome::NeedMore(needs.max(len + 1)),
            at => Outcome::Consumed(at),
        }
    }

    fn on_gap(&mut self, gap: &Gap, out: &mut dyn Output) -> Outcome {
        let mut here = At {
            direction: gap.direction,
            ordinal: gap.ordinal,
            out,
        };
        let within = match self.side(gap.direction).reading {
            Reading::Data(data) => self.miss_data(data, gap, &mut here),
            Reading::Payload(header, ts) => {
                let left = u64::from(header.length).checked_sub(gap.len);
                let blocks = [Kind::Headers, Kind::PushPromise, Kind::Continuation];
                self.side(gap.direction).reading = Reading::Frame;
                if blocks.contains(&header.kind) {
                    self.miss_block(header, Flaw::Missing, ts, &mut here);
                }
                if header.kind == Kind::Settings {
                    self.side(gap.direction.other()).unlimited();
                }
                self.skip(gap.direction, left.unwrap_or(0));
                left.is_some()
            }
            Reading::Skip(left) => {
                self.skip(gap.direction, left.saturating_sub(gap.len));
                gap.len <= left
            }
            Reading::Frame | Reading::Lost(_) => false,
        };
        self.side(gap.direction).waited = false;
        if !within {
            self.lose(gap.direction);
        }
        Outcome::Consumed(0)
    }

    fn on_fin(&mut self, direction: Direction, _rest: &Bytes, out: &mut dyn Output) {
        if direction != self.asks {
            self.flush(true, out);
            self.finished = true;
        }
    }

    fn on_end(&mut self, out: &mut dyn Output) {
        self.flush(false, out);
    }

    fn save(&self) -> Vec<u8> {
        self.saved()
    }
}

/// Whether a payload without bytes is to be taken.
fn is_due(reading: &Reading) -> bool {
    matches!(reading, Reading::Payload(header, _) if header.length == 0)
}
