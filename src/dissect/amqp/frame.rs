//! Reads the fronts of AMQP's units: protocol headers, frames of 0-9-1, frames of 1.0; pure.
//!
//! In: bytes that may be anything. Out: kinds, channels and sizes. Never: allocation. Standards:
//! AMQP 0-9-1 sections 4.2.2 to 4.2.7, AMQP 1.0 part 2 section 2.3.

use super::spec::{self, BASIC};
use crate::bytes::Reader;

/// Last octet of every 0-9-1 frame.
pub(super) const FRAME_END: u8 = 0xce;

/// Bytes of a 0-9-1 frame in front of its payload.
pub(super) const FRAME_HEADER: usize = 7;

/// Bytes of a protocol header.
pub(super) const PROTOCOL_HEADER: usize = 8;

/// A frame longer than this is no frame: brokers refuse messages of 512 MiB and more.
const MAX_FRAME_SIZE: u32 = 1 << 30;

/// The eight bytes with which either side names its protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProtocolHeader(pub(super) [u8; 4]);

impl ProtocolHeader {
    /// What AMQP 0-9-1 begins with.
    pub(super) const V0_9_1: ProtocolHeader = ProtocolHeader([0, 0, 9, 1]);

    /// Reads one; `None` when the bytes do not begin with `AMQP` or are too few.
    pub(super) fn parse(bytes: &[u8]) -> Option<ProtocolHeader> {
        let (head, _) = bytes.split_first_chunk::<PROTOCOL_HEADER>()?;
        match head {
            [b'A', b'M', b'Q', b'P', id, major, minor, revision] => {
                Some(ProtocolHeader([*id, *major, *minor, *revision]))
            }
            _ => None,
        }
    }

    /// Whether it is of AMQP 1.0, whose identifiers are 0, 2 (TLS) and 3 (SASL).
    pub(super) fn is_1_0(self) -> bool {
        matches!(self.0, [0 | 2 | 3, 1, 0, 0])
    }

    /// Whether TLS follows.
    pub(super) fn is_tls(self) -> bool {
        self.0 == [2, 1, 0, 0]
    }
}

/// What a 0-9-1 frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// A method with its arguments.
    Method,
    /// Size and properties of a content.
    Header,
    /// A part of a content's body.
    Body,
    /// Nothing.
    Heartbeat,
}

/// The front of a 0-9-1 frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// What it holds.
    pub(super) kind: FrameKind,
    /// The channel; 0 is the connection itself.
    pub(super) channel: u16,
    /// Bytes of the payload.
    pub(super) size: u32,
}

/// What the front of some bytes may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looks {
    /// It is.
    Yes,
    /// It cannot be.
    No,
    /// So far it may be.
    Short,
}

impl FrameHeader {
    /// Reads one: `Ok(None)` when bytes are missing.
    ///
    /// # Errors
    /// `Err` when no frame begins so.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<FrameHeader>, ()> {
        let mut reader = Reader::new(bytes);
        let kind = match reader.u8() {
            Ok(1) => FrameKind::Method,
            Ok(2) => FrameKind::Header,
            Ok(3) => FrameKind::Body,
            Ok(8) => FrameKind::Heartbeat,
            Ok(_) => return Err(()),
            Err(_) => return Ok(None),
        };
        let (Ok(channel), Ok(size)) = (reader.u16(), reader.u32()) else {
            return Ok(None);
        };
        let fits = match kind {
            FrameKind::Method => size >= 4,
            FrameKind::Header => size >= 14,
            FrameKind::Body => true,
            // "Heartbeat frames have ... a channel number of zero" (section 4.2.7) and no payload.
            FrameKind::Heartbeat => size == 0 && channel == 0,
        };
        match fits && size < MAX_FRAME_SIZE {
            true => Ok(Some(FrameHeader {
                kind,
                channel,
                size,
            })),
            false => Err(()),
        }
    }

    /// Whether a frame that can be told from chance begins here: a known method, the header of a
    /// message, a heartbeat. A body looks like anything.
    pub(super) fn stands_out(bytes: &[u8]) -> Looks {
        let header = match FrameHeader::parse(bytes) {
            Ok(Some(header)) => header,
            Ok(None) => return Looks::Short,
            Err(()) => return Looks::No,
        };
        let mut reader = Reader::new(bytes.get(FRAME_HEADER..).unwrap_or_default());
        let (first, second) = match header.kind {
            FrameKind::Heartbeat => {
                return match reader.u8() {
                    Ok(FRAME_END) => Looks::Yes,
                    Ok(_) => Looks::No,
                    Err(_) => Looks::Short,
                };
            }
            FrameKind::Body => return Looks::No,
            FrameKind::Method | FrameKind::Header => match (reader.u16(), reader.u16()) {
                (Ok(first), Ok(second)) => (first, second),
                _ => return Looks::Short,
            },
        };
        let known = match header.kind {
            FrameKind::Method => spec::find(first, second).is_some(),
            // Class and weight, which "MUST be zero" (section 4.2.6.1).
            _ => first == BASIC && second == 0,
        };
        match known && header.ends_well(bytes) != Some(false) {
            true => Looks::Yes,
            false => Looks::No,
        }
    }

    /// Whether the octet behind the frame is the right one; `None` when it is not there.
    pub(super) fn ends_well(&self, bytes: &[u8]) -> Option<bool> {
        let end = FRAME_HEADER.checked_add(usize::try_from(self.size).ok()?)?;
        bytes.get(end).map(|octet| *octet == FRAME_END)
    }
}

/// The front of an AMQP 1.0 frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame1Header {
    /// Bytes of the frame, its header included.
    pub(super) size: u32,
    /// Bytes in front of the body.
    pub(super) body_at: usize,
    /// 0 for AMQP, 1 for SASL.
    pub(super) kind: u8,
    /// The channel.
    pub(super) channel: u16,
}

impl Frame1Header {
    /// Bytes of the header without its extension.
    pub(super) const LEN: usize = 8;

    /// Bytes behind the header that surely hold the descriptor of the performative.
    pub(super) const DESCRIPTOR: usize = 40;

    /// Reads one: `Ok(None)` when bytes are missing.
    ///
    /// # Errors
    /// `Err` when no frame begins so.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Frame1Header>, ()> {
        let mut reader = Reader::new(bytes);
        let Ok(size) = reader.u32() else {
            return Ok(None);
        };
        let (Ok(doff), Ok(kind), Ok(channel)) = (reader.u8(), reader.u8(), reader.u16()) else {
            return Ok(None);
        };
        let body_at = usize::from(doff) * 4;
        let inside = u32::try_from(body_at).is_ok_and(|body_at| body_at <= size);
        // "The frame is malformed if the size is less than the size of the frame header", and "if
        // DOFF is less than 2" (section 2.3.1).
        match doff >= 2 && inside && kind <= 1 && size < MAX_FRAME_SIZE {
            true => Ok(Some(Frame1Header {
                size,
                body_at,
                kind,
                channel,
            })),
            false => Err(()),
        }
    }

    /// Whether a frame with a known performative begins here.
    pub(super) fn stands_out(bytes: &[u8]) -> Looks {
        match Frame1Header::parse(bytes) {
            // An empty frame keeps the connection alive; eight such bytes may be anything.
            Ok(Some(header)) if header.size == 8 => Looks::No,
            Ok(Some(header)) => {
                let body = bytes.get(header.body_at..).unwrap_or_default();
                let whole = bytes.len() >= usize::try_from(header.size).unwrap_or(usize::MAX);
                match performative(body) {
                    Some(_) => Looks::Yes,
                    None if whole || body.len() >= Frame1Header::DESCRIPTOR => Looks::No,
                    None if body.first().is_some_and(|octet| *octet != 0) => Looks::No,
                    None => Looks::Short,
                }
            }
            Ok(None) => Looks::Short,
            Err(()) => Looks::No,
        }
    }
}

/// Name of the performative that a 1.0 frame body begins with: a described list whose descriptor
/// is a number or a symbol (part 2 section 2.7, part 5 section 5.3.3).
pub(super) fn performative(body: &[u8]) -> Option<&'static str> {
    const NAMES: [(u64, &str); 14] = [
        (0x10, "open"),
        (0x11, "begin"),
        (0x12, "attach"),
        (0x13, "flow"),
        (0x14, "transfer"),
        (0x15, "disposition"),
        (0x16, "detach"),
        (0x17, "end"),
        (0x18, "close"),
        (0x40, "sasl-mechanisms"),
        (0x41, "sasl-init"),
        (0x42, "sasl-challenge"),
        (0x43, "sasl-response"),
        (0x44, "sasl-outcome"),
    ];
    let mut reader = Reader::new(body);
    if reader.u8().ok()? != 0 {
        return None;
    }
    let code = match reader.u8().ok()? {
        0x53 => u64::from(reader.u8().ok()?),
        0x80 => reader.u64().ok()?,
        0xa3 => {
            let length = usize::from(reader.u8().ok()?);
            let symbol = reader.take(length).ok()?;
            let name = symbol.strip_prefix(b"amqp:")?.strip_suffix(b":list")?;
            return NAMES
                .iter()
                .find(|(_, known)| known.as_bytes() == name)
                .map(|(_, known)| *known);
        }
        _ => return None,
    };
    NAMES
        .iter()
        .find(|(known, _)| *known == code)
        .map(|(_, name)| *name)
}
