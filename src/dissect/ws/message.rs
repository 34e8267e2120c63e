//! One message while it is put together, and the item it becomes.
//!
//! In: pieces of payload. Out: a [`Draft`]; and the bytes from which a later reel goes on. Never:
//! framing. Payloads that are whole in one frame stay slices of the stream and are unmasked when
//! somebody reads them.

use bytes::{BufMut, Bytes};

use super::WS;
use super::agreed::Agreed;
use super::inflate;
use super::parser::{self, Opcode};
use crate::bytes::Reader;
use crate::dissect::Draft;
use crate::item::{ItemError, Key, MAX_ITEM_BODY, Value, cut_body};
use crate::packet::Direction;
use crate::time::Timestamp;

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It goes on from a frame that was not seen.
    BeginUnseen,
    /// Its last frame was not seen.
    EndUnseen,
    /// The sender began another one before it ended.
    Unfinished,
    /// What follows is no frame.
    Broken,
    /// The stream ended within it.
    Ended,
    /// A reserved bit is set and the handshake was not seen.
    NoHandshake,
    /// A reserved bit is set that no known extension explains.
    Reserved,
    /// Its compression may refer to bytes that were not seen.
    Window,
    /// Its compression is malformed.
    Malformed,
    /// It inflates to more than we count.
    TooLarge,
}

impl Fault {
    /// All of them, in the order of a save's numbers.
    const ALL: [Fault; 10] = [
        Fault::BeginUnseen,
        Fault::EndUnseen,
        Fault::Unfinished,
        Fault::Broken,
        Fault::Ended,
        Fault::NoHandshake,
        Fault::Reserved,
        Fault::Window,
        Fault::Malformed,
        Fault::TooLarge,
    ];

    fn kind(self) -> &'static str {
        match self {
            Fault::Ended => "connection",
            _ => "dissection",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Fault::BeginUnseen => "the beginning of the message was not captured",
            Fault::EndUnseen => "the end of the message was not captured",
            Fault::Unfinished => "the next message began before this one ended",
            Fault::Broken => "what follows in the message is no frame",
            Fault::Ended => "the stream ended within the message",
            Fault::NoHandshake => "the payload is changed in a way that the handshake would tell",
            Fault::Reserved => "the payload is changed by an extension that is not known",
            Fault::Window => "the payload is compressed with earlier bytes that were not captured",
            Fault::Malformed => "the compressed payload is malformed",
            Fault::TooLarge => "the compressed payload is longer than 16 MiB",
        }
    }
}

impl From<inflate::Fault> for Fault {
    fn from(fault: inflate::Fault) -> Fault {
        match fault {
            inflate::Fault::Malformed => Fault::Malformed,
            inflate::Fault::Window => Fault::Window,
            inflate::Fault::TooLarge => Fault::TooLarge,
        }
    }
}

/// The kept part of a payload, at most [`MAX_ITEM_BODY`].
#[derive(Debug, Clone)]
enum Kept {
    /// Its own bytes, unmasked.
    Own(Vec<u8>),
    /// A slice of the stream: the payload.
    Plain(Bytes),
    /// A slice of the stream: the masking key and the payload.
    Masked(Bytes),
}

/// A message, or what is there of it.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// What it carries; `Continuation` when its first frame was not seen.
    pub opcode: Opcode,
    /// Whether its payload is compressed.
    pub compressed: bool,
    masked: bool,
    frames: u64,
    start: Timestamp,
    /// Bytes on the stream as captured.
    size: u64,
    /// Bytes of payload as captured.
    sent: u64,
    /// Bytes of content, those never seen included.
    length: u64,
    kept: Kept,
    cut: bool,
    /// Bytes of payload that were never seen.
    missing: u64,
    fault: Option<Fault>,
    /// Ordinal of the last packet that added to it.
    ordinal: u64,
}

impl Message {
    /// A message of which the first header was read, or the first that was seen.
    pub(super) fn new(opcode: Opcode, masked: bool, start: Timestamp) -> Message {
        Message {
            ordinal: 0,
            opcode,
            compressed: false,
            masked,
            frames: 0,
            start,
            size: 0,
            sent: 0,
            length: 0,
            kept: Kept::Own(Vec::new()),
            cut: false,
            missing: 0,
            fault: None,
        }
    }

    /// Notes what is wrong, unless something already is.
    pub(super) fn fail(&mut self, fault: Fault) {
        self.fault = self.fault.or(Some(fault));
    }

    /// Counts a frame by the bytes of its header.
    pub(super) fn frame(&mut self, header: usize) {
        self.frames += 1;
        self.size += header as u64;
    }

    /// Counts captured bytes of payload that a packet brought.
    pub(super) fn captured(&mut self, count: usize, ordinal: u64) {
        self.size += count as u64;
        self.sent += count as u64;
        self.ordinal = self.ordinal.max(ordinal);
    }

    /// Takes the whole payload as a slice of the stream; with a mask the key stands in front.
    pub(super) fn whole(&mut self, bytes: Bytes) {
        let key = if self.masked { 4 } else { 0 };
        let length = bytes.len().saturating_sub(key);
        self.length = length as u64;
        self.cut = length > MAX_ITEM_BODY;
        self.kept = match self.masked {
            true => Kept::Masked(bytes.slice(..bytes.len().min(MAX_ITEM_BODY + key))),
            false => Kept::Plain(cut_body(&bytes).0),
        };
    }

    /// Takes content, unmasked and inflated.
    pub(super) fn content(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        let Kept::Own(own) = &mut self.kept else {
            return;
        };
        // What lies behind a hole is not put where it does not belong.
        let room = match self.missing {
            0 => MAX_ITEM_BODY.saturating_sub(own.len()),
            _ => 0,
        };
        self.cut |= bytes.len() > room;
        own.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    /// Whether content that comes would only be counted.
    pub(super) fn is_full(&self) -> bool {
        let full = matches!(&self.kept, Kept::Own(own) if own.len() >= MAX_ITEM_BODY);
        full || self.missing > 0
    }

    /// Leaves out what there is of the content: it may not be what was meant.
    pub(super) fn discard(&mut self) {
        self.kept = Kept::Own(Vec::new());
        self.length = self.sent.saturating_add(self.missing);
        self.cut = true;
    }

    /// Counts content that is left out.
    pub(super) fn skip(&mut self, count: usize) {
        self.length += count as u64;
        self.cut |= count > 0;
    }

    /// Counts bytes of payload that were never seen.
    pub(super) fn miss(&mut self, count: u64) {
        self.missing = self.missing.saturating_add(count);
        self.length = self.length.saturating_add(count);
        self.cut = true;
    }

    fn error(&self) -> Option<ItemError> {
        if self.missing > 0 {
            return Some(ItemError {
                kind: "dissection",
                msg: format!("{} bytes of the message were not captured", self.missing),
            });
        }
        self.fault.map(|fault| ItemError {
            kind: fault.kind(),
            msg: fault.text().into(),
        })
    }

    /// The item; `direction` is the one it was sent in.
    pub(super) fn into_draft(self, agreed: &Agreed, direction: Direction) -> Draft {
        Draft {
            kind: &WS,
            from_client: direction == Direction::ToServer,
            start: self.start,
            elapsed_nanos: 0,
            request_size: self.size,
            response_size: 0,
            error: self.error(),
            ordinal: self.ordinal,
            request: self.into_value(agreed, direction),
            response: Value::Null,
            data: Value::Null,
        }
    }

    fn into_value(self, agreed: &Agreed, direction: Direction) -> Value {
        let mut members = Vec::with_capacity(14);
        let mut put = |name, value| members.push((Key::Static(name), value));
        let int = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
        put("opcode", Value::Static(self.opcode.name()));
        let mut closing = None;
        match (self.opcode, self.kept) {
            (Opcode::Close, kept) => {
                let payload = kept.into_own();
                let (code, reason) = parser::close(&payload).unwrap_or_default();
                let reason = Value::Text(payload.slice_ref(reason));
                put("payload", reason.clone());
                closing = Some((code, reason));
            }
            (Opcode::Text, kept) => put("payload", kept.into_text(self.masked)),
            (_, kept) => {
                put("payload", kept.into_base64(self.masked));
                put("encoding", Value::Static("base64"));
            }
        }
        put("length", int(self.length));
        put("masked", Value::Bool(self.masked));
        let sender = match agreed.asks == Some(direction) {
            true => "client",
            false => "server",
        };
        put("sender", Value::Static(sender));
        put("frames", int(self.frames));
        put("compressed", Value::Bool(self.compressed));
        put("url", Value::Text(agreed.target.clone()));
        put("path", Value::Text(agreed.path()));
        put("subprotocol", Value::Text(agreed.subprotocol.clone()));
        if let Some((code, reason)) = closing {
            put("closeCode", Value::Int(code.into()));
            put("closeReason", reason);
        }
        if self.cut || self.fault.is_some() {
            put("truncated", Value::Bool(true));
        }
        Value::Object(members)
    }

    /// ```text
    /// opcode u8, flags u8 (1 compressed, 2 masked, 4 cut), fault u8 (0 none), frames u64, start i64,
    /// size u64, sent u64, length u64, missing u64, ordinal u64, kept: length u32, bytes         big-endian
    /// ```
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        let fault = Fault::ALL
            .iter()
            .position(|fault| Some(*fault) == self.fault);
        out.put_u8(self.opcode.code());
        out.put_u8(
            u8::from(self.compressed) | u8::from(self.masked) << 1 | u8::from(self.cut) << 2,
        );
        out.put_u8(fault.map_or(0, |at| u8::try_from(at + 1).unwrap_or(0)));
        out.put_u64(self.frames);
        out.put_i64(self.start.nanos());
        for number in [
            self.size,
            self.sent,
            self.length,
            self.missing,
            self.ordinal,
        ] {
            out.put_u64(number);
        }
        let kept = self.kept.clone().into_own();
        out.put_u32(u32::try_from(kept.len()).unwrap_or(u32::MAX));
        out.extend_from_slice(&kept);
    }

    /// Reads what [`Message::save`] wrote.
    pub(super) fn load(from: &mut Reader<'_>) -> Option<Message> {
        let opcode = Opcode::from_code(from.u8().ok()?).filter(|opcode| !opcode.is_control())?;
        let flags = from.u8().ok().filter(|flags| *flags < 8)?;
        let fault = match usize::from(from.u8().ok()?).checked_sub(1) {
            None => None,
            Some(at) => Some(*Fault::ALL.get(at)?),
        };
        let frames = from.u64().ok()?;
        let start = Timestamp::from_nanos(from.u64().ok()?.cast_signed());
        // Counters that are still to grow.
        let mut number = || from.u64().ok().filter(|number| *number < 1 << 63);
        let (size, sent, length) = (number()?, number()?, number()?);
        let (missing, ordinal) = (number()?, number()?);
        let count = usize::try_from(from.u32().ok()?).ok()?;
        let kept = from.take(count).ok().filter(|_| count <= MAX_ITEM_BODY)?;
        Some(Message {
            opcode,
            compressed: flags & 1 != 0,
            masked: flags & 2 != 0,
            frames: frames.min(1 << 62),
            start,
            size,
            sent,
            length,
            kept: Kept::Own(kept.to_vec()),
            cut: flags & 4 != 0,
            missing,
            fault,
            ordinal,
        })
    }
}

impl Kept {
    fn into_own(self) -> Bytes {
        match self {
            Kept::Own(own) => Bytes::from(own),
            Kept::Plain(bytes) => bytes,
            Kept::Masked(bytes) => unmasked(&bytes),
        }
    }

    /// What was masked is made on demand, whether it still is or not.
    fn into_text(self, masked: bool) -> Value {
        match self {
            Kept::Masked(bytes) => Value::lazy(bytes, |bytes| Value::Text(unmasked(bytes))),
            kept if masked => Value::lazy(kept.into_own(), |bytes| Value::Text(bytes.clone())),
            kept => Value::Text(kept.into_own()),
        }
    }

    /// The same in base64.
    fn into_base64(self, masked: bool) -> Value {
        match self {
            Kept::Masked(bytes) => Value::lazy(bytes, |bytes| Value::Base64(unmasked(bytes))),
            kept if masked => Value::lazy(kept.into_own(), |bytes| Value::Base64(bytes.clone())),
            kept => Value::Base64(kept.into_own()),
        }
    }
}

/// The payload behind a masking key.
fn unmasked(bytes: &Bytes) -> Bytes {
    let Some((key, payload)) = bytes.split_first_chunk::<4>() else {
        return Bytes::new();
    };
    let mut payload = payload.to_vec();
    parser::unmask(&mut payload, *key, 0);
    Bytes::from(payload)
}
