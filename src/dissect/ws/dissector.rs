//! One WebSocket: frames out of a stream, messages out of frames.
//!
//! In: chunks and gaps. Out: one item a message, by whoever sent it, in the order of their last
//! bytes; control frames go between the frames of a message. Never: a guess at what a gap hid: the
//! messages around it say so. Standards: RFC 6455 section 5, RFC 7692 section 6.

use bytes::{BufMut, Bytes};

use super::agreed::Agreed;
use super::inflate::{self, Inflater};
use super::message::{Fault, Message};
use super::parser::{self, Header, Opcode, Parsed};
use super::recognise::{self, Back};
use crate::bytes::Reader;
use crate::dissect::{Dissector, GiveUp, Outcome, Output};
use crate::flow::{Chunk, Gap};
use crate::packet::Direction;

/// Bytes that are searched for a frame after a gap; a message of a few segments fits in.
const MAX_LOST: u64 = 4 << 20;

/// First byte of a saved state.
const SAVE_VERSION: u8 = 2;

/// The state of one stream.
pub(super) struct WebSocket {
    agreed: Agreed,
    to_server: Side,
    to_client: Side,
}

/// Where one direction stands.
#[derive(Default)]
struct Side {
    reading: Reading,
    /// The message that has not ended yet.
    message: Option<Message>,
    /// There from the first compressed message on.
    inflater: Option<Inflater>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// At the start of a frame.
    #[default]
    Header,
    /// In the payload of a data frame.
    Payload(Payload),
    /// Looking for the start of a frame, after so many bytes.
    Lost(u64),
}

/// A payload that is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Payload {
    fin: bool,
    mask: Option<[u8; 4]>,
    /// Bytes read or passed over.
    at: u64,
    /// Bytes left.
    left: u64,
}

impl WebSocket {
    /// A stream at its first frame.
    pub(super) fn new(agreed: Agreed) -> WebSocket {
        WebSocket {
            agreed,
            to_server: Side::default(),
            to_client: Side::default(),
        }
    }

    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }

    /// Takes a frame, or its header and what is there of its payload.
    fn frame(&mut self, chunk: &Chunk, out: &mut dyn Output) -> Outcome {
        let header = match parser::header(&chunk.bytes) {
            Parsed::Header(header) => header,
            Parsed::Partial(need) => return Outcome::NeedMore(need),
            Parsed::Malformed => {
                for side in [&mut self.to_server, &mut self.to_client] {
                    if let Some(message) = &mut side.message {
                        message.fail(Fault::Broken);
                    }
                }
                return Outcome::GiveUp(GiveUp::Malformed);
            }
        };
        if self.agreed.asks.is_none() {
            // "a client MUST mask all frames", "a server MUST NOT" (RFC 6455 section 5.1).
            self.agreed.asks = Some(match header.mask {
                Some(_) => chunk.direction,
                None => chunk.direction.other(),
            });
        }
        let end = usize::try_from(header.length)
            .ok()
            .and_then(|length| header.size.checked_add(length));
        let whole = end.filter(|end| *end <= chunk.bytes.len());
        match (header.opcode.is_control(), whole) {
            (true, Some(end)) => {
                let mut message = Message::new(header.opcode, header.mask.is_some(), chunk.ts);
                self.judge(&header, chunk.direction, &mut message);
                take_whole(&mut message, &header, chunk, end);
                out.item(message.into_draft(&self.agreed, chunk.direction));
                Outcome::Consumed(end)
            }
            (true, None) => Outcome::NeedMore(end.unwrap_or(usize::MAX)),
            (false, whole) => self.data_frame(&header, whole, chunk, out),
        }
    }

    fn data_frame(
        &mut self,
        header: &Header,
        whole: Option<usize>,
        chunk: &Chunk,
        out: &mut dyn Output,
    ) -> Outcome {
        let direction = chunk.direction;
        if header.opcode != Opcode::Continuation {
            self.end_message(direction, Some(Fault::Unfinished), out);
        }
        let mut message = match self.side(direction).message.take() {
            Some(message) => message,
            None => self.begin(header, chunk),
        };
        let alone = header.fin && header.opcode != Opcode::Continuation && !message.compressed;
        if let Some(end) = whole.filter(|_| alone) {
            take_whole(&mut message, header, chunk, end);
            out.item(message.into_draft(&self.agreed, direction));
            return Outcome::Consumed(end);
        }
        message.frame(header.size);
        let side = self.side(direction);
        side.message = Some(message);
        side.reading = Reading::Payload(Payload {
            fin: header.fin,
            mask: header.mask,
            at: 0,
            left: header.length,
        });
        let behind = chunk.bytes.get(header.size..).unwrap_or_default();
        let taken = self.payload(behind, chunk, out);
        Outcome::Consumed(header.size + taken)
    }

    /// The message that begins with a frame.
    fn begin(&mut self, header: &Header, chunk: &Chunk) -> Message {
        let mut message = Message::new(header.opcode, header.mask.is_some(), chunk.ts);
        if header.opcode == Opcode::Continuation {
            message.fail(Fault::BeginUnseen);
        }
        self.judge(header, chunk.direction, &mut message);
        if message.compressed
            && let Some(inflater) = self.inflater(chunk.direction)
        {
            inflater.begin();
        }
        message
    }

    /// What the reserved bits of a message's first frame say.
    fn judge(&self, header: &Header, direction: Direction, message: &mut Message) {
        let deflate = self.agreed.deflate(direction).is_some();
        let first = matches!(header.opcode, Opcode::Text | Opcode::Binary);
        message.compressed = header.rsv1 && first && deflate;
        if header.rsv23 || (header.rsv1 && !message.compressed) {
            message.fail(match self.agreed.handshake {
                true => Fault::Reserved,
                false => Fault::NoHandshake,
            });
        }
    }

    /// The inflater of a side that compresses.
    fn inflater(&mut self, direction: Direction) -> Option<&mut Inflater> {
        let deflate = self.agreed.deflate(direction)?;
        let handshake = self.agreed.handshake;
        let inflater = &mut self.side(direction).inflater;
        Some(inflater.get_or_insert_with(|| match handshake {
            true => Inflater::new(deflate),
            false => Inflater::joined(deflate),
        }))
    }

    /// Takes what belongs to the payload that is being read, and answers how much that was.
    fn payload(&mut self, bytes: &[u8], chunk: &Chunk, out: &mut dyn Output) -> usize {
        let handshake = self.agreed.handshake;
        let side = self.side(chunk.direction);
        let Reading::Payload(payload) = &mut side.reading else {
            return 0;
        };
        let count = usize::try_from(payload.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let bytes = bytes.get(..count).unwrap_or_default();
        if let Some(message) = &mut side.message {
            message.captured(count, chunk.ordinal);
            add(message, side.inflater.as_mut(), bytes, payload, handshake);
        }
        payload.at += count as u64;
        payload.left -= count as u64;
        if payload.left == 0 {
            let fin = payload.fin;
            side.reading = Reading::Header;
            if fin {
                self.end_message(chunk.direction, None, out);
            }
        }
        count
    }

    /// Hands out the message that a side is in the middle of; without a `fault` it is whole.
    fn end_message(&mut self, direction: Direction, fault: Option<Fault>, out: &mut dyn Output) {
        let handshake = self.agreed.handshake;
        let side = self.side(direction);
        let Some(mut message) = side.message.take() else {
            return;
        };
        if let Some(inflater) = side.inflater.as_mut().filter(|one| one.is_inside()) {
            match fault {
                Some(_) => inflater.abandon(),
                None => {
                    let finished = inflater.finish(&mut |content| message.content(content));
                    if let Err(fault) = finished {
                        not_inflated(&mut message, fault, handshake);
                    }
                }
            }
        }
        if let Some(fault) = fault {
            message.fail(fault);
        }
        out.item(message.into_draft(&self.agreed, direction));
    }

    fn search(&mut self, passed: u64, chunk: &Chunk, out: &mut dyn Output) -> Outcome {
        let masked = match (self.agreed.asks, chunk.bytes.as_ref()) {
            (Some(asks), _) => asks == chunk.direction,
            // Who masks is the client; both may be lost from the start.
            (None, [_, second, ..]) => second & 0x80 != 0,
            (None, _) => return Outcome::NeedMore(2),
        };
        match recognise::back(&chunk.bytes, masked) {
            Back::Here => {
                self.side(chunk.direction).reading = Reading::Header;
                self.frame(chunk, out)
            }
            Back::NeedMore(need) => Outcome::NeedMore(need),
            Back::Nowhere if passed > MAX_LOST => Outcome::GiveUp(GiveUp::Malformed),
            Back::Nowhere => {
                let len = chunk.bytes.len();
                self.side(chunk.direction).reading = Reading::Lost(passed + len as u64);
                Outcome::Consumed(len)
            }
        }
    }
}

/// Takes a frame that is whole, its payload as a slice of the stream; a masking key is the last
/// part of a header.
fn take_whole(message: &mut Message, header: &Header, chunk: &Chunk, end: usize) {
    let key = if header.mask.is_some() { 4 } else { 0 };
    let payload = header.size.saturating_sub(key);
    message.frame(header.size);
    message.captured(end - header.size, chunk.ordinal);
    message.whole(chunk.bytes.slice(payload..end));
}

/// Adds bytes of a payload to its message.
fn add(
    message: &mut Message,
    inflater: Option<&mut Inflater>,
    bytes: &[u8],
    payload: &Payload,
    handshake: bool,
) {
    let inflater = inflater.filter(|one| message.compressed && one.is_inside());
    if inflater.is_none() {
        if message.compressed {
            // It was given up, perhaps by a save.
            message.fail(Fault::Window);
            return message.skip(bytes.len());
        }
        if message.is_full() {
            return message.skip(bytes.len());
        }
    }
    let unmasked;
    let content = match payload.mask {
        Some(key) => {
            let mut copy = bytes.to_vec();
            parser::unmask(&mut copy, key, payload.at);
            unmasked = copy;
            &unmasked
        }
        None => bytes,
    };
    match inflater {
        Some(inflater) => {
            if let Err(fault) = inflater.feed(content, &mut |content| message.content(content)) {
                not_inflated(message, fault, handshake);
            }
        }
        None => message.content(content),
    }
}

/// Takes note of what is wrong with a compressed payload. What was made of it is only kept where it
/// is known that it was compressed, and that nothing it refers to is missing.
fn not_inflated(message: &mut Message, fault: inflate::Fault, handshake: bool) {
    match (fault, handshake) {
        (inflate::Fault::Window | inflate::Fault::Malformed, false) => {
            message.fail(Fault::NoHandshake);
            message.discard();
        }
        (inflate::Fault::Window, true) => {
            message.fail(Fault::Window);
            message.discard();
        }
        (fault, _) => message.fail(fault.into()),
    }
}

impl Dissector for WebSocket {
    fn on_chunk(&mut self, chunk: &Chunk, out: &mut dyn Output) -> Outcome {
        match self.side(chunk.direction).reading {
            Reading::Header => self.frame(chunk, out),
            Reading::Payload(_) => Outcome::Consumed(self.payload(&chunk.bytes, chunk, out)),
            Reading::Lost(passed) => self.search(passed, chunk, out),
        }
    }

    fn on_gap(&mut self, gap: &Gap, out: &mut dyn Output) -> Outcome {
        // Whatever the gap holds, a compressed message may refer to it.
        if let Some(inflater) = self.inflater(gap.direction) {
            inflater.abandon();
        }
        let side = self.side(gap.direction);
        match &mut side.reading {
            Reading::Payload(payload) if gap.len <= payload.left => {
                payload.at += gap.len;
                payload.left -= gap.len;
                let ended = payload.left == 0 && payload.fin;
                if payload.left == 0 {
                    side.reading = Reading::Header;
                }
                if let Some(message) = &mut side.message {
                    message.miss(gap.len);
                }
                if ended {
                    self.end_message(gap.direction, None, out);
                }
            }
            Reading::Lost(_) => {}
            Reading::Payload(_) | Reading::Header => {
                side.reading = Reading::Lost(0);
                self.end_message(gap.direction, Some(Fault::EndUnseen), out);
            }
        }
        Outcome::Consumed(0)
    }

    fn on_fin(&mut self, direction: Direction, _rest: &Bytes, out: &mut dyn Output) {
        self.end_message(direction, Some(Fault::Ended), out);
    }

    fn on_end(&mut self, out: &mut dyn Output) {
        self.on_fin(Direction::ToServer, &Bytes::new(), out);
        self.on_fin(Direction::ToClient, &Bytes::new(), out);
    }

    /// ```text
    /// state   = version u8 (2), agreed, side to the server, side to the client
    /// side    = reading, message u8 (0, 1), message, inflater u8 (0, 1), inflater
    /// reading = 0 header | 1 payload: fin u8, masked u8, key, at u64, left u64 | 2 lost: passed u64
    /// ```
    fn save(&self) -> Vec<u8> {
        let mut out = vec![SAVE_VERSION];
        self.agreed.save(&mut out);
        for side in [&self.to_server, &self.to_client] {
            side.save(&mut out);
        }
        out
    }
}

impl WebSocket {
    /// Reads [`Dissector::save`] back.
    pub(super) fn load(state: &[u8]) -> Option<WebSocket> {
        let mut reader = Reader::new(state);
        let from = &mut reader;
        (from.u8().ok()? == SAVE_VERSION).then_some(())?;
        let mut websocket = WebSocket::new(Agreed::load(from)?);
        for direction in [Direction::ToServer, Direction::ToClient] {
            let side = Side::load(&websocket.agreed, direction, from)?;
            *websocket.side(direction) = side;
        }
        from.is_empty().then_some(websocket)
    }
}

impl Side {
    fn save(&self, out: &mut Vec<u8>) {
        match self.reading {
            Reading::Header => out.put_u8(0),
            Reading::Payload(payload) => {
                out.put_u8(1);
                out.put_u8(payload.fin.into());
                out.put_u8(payload.mask.is_some().into());
                out.extend_from_slice(&payload.mask.unwrap_or_default());
                out.put_u64(payload.at);
                out.put_u64(payload.left);
            }
            Reading::Lost(passed) => {
                out.put_u8(2);
                out.put_u64(passed);
            }
        }
        out.put_u8(self.message.is_some().into());
        if let Some(message) = &self.message {
            message.save(out);
        }
        out.put_u8(self.inflater.is_some().into());
        if let Some(inflater) = &self.inflater {
            inflater.save(out);
        }
    }

    fn load(agreed: &Agreed, direction: Direction, from: &mut Reader<'_>) -> Option<Side> {
        let number = |from: &mut Reader<'_>| from.u64().ok().filter(|one| *one < 1 << 63);
        let reading = match from.u8().ok()? {
            0 => Reading::Header,
            1 => {
                let fin = flag(from)?;
                let masked = flag(from)?;
                let mut key = [0; 4];
                key.copy_from_slice(from.take(4).ok()?);
                Reading::Payload(Payload {
                    fin,
                    mask: masked.then_some(key),
                    at: number(from)?,
                    left: number(from)?,
                })
            }
            2 => Reading::Lost(number(from)?),
            _ => return None,
        };
        Some(Side {
            reading,
            message: match flag(from)? {
                true => Some(Message::load(from)?),
                false => None,
            },
            inflater: match flag(from)? {
                true => Some(Inflater::load(agreed.deflate(direction)?, from)?),
                false => None,
            },
        })
    }
}

/// Reads a byte that is 0 or 1.
fn flag(from: &mut Reader<'_>) -> Option<bool> {
    match from.u8().ok()? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}
