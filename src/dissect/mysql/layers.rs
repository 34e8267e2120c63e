//! One direction of MySQL: packets, long payloads over several of them, and compression around.
//!
//! In: chunks and gaps. Out: payloads, each behind the header of its first packet. A compressed packet
//! that is too long to keep, or damaged, becomes a gap of the length that it tells. Never: more
//! memory than the caps. Standard: MySQL source documentation, "Compression".
//!
//! ```text
//! compressed = length u24, sequence number u8, length before compression u24 (0: as it is), data
//! ```

use std::io::Read;

use bytes::{BufMut, Bytes};

use super::dissector::MAX_KEPT;
use super::parser::{self, HEADER, MAX_PAYLOAD};
use crate::dissect::intake::{Front, Intake, Message, Step};
use crate::dissect::saved::{Saved, put_bytes, put_list};
use crate::flow::{Chunk, Gap};
use crate::time::Timestamp;

/// Bytes in front of compressed data.
const COMPRESSED_HEADER: usize = 7;

/// Bytes of one compressed packet that are kept.
const MAX_COMPRESSED: usize = 1024 * 1024;

/// Bytes that one compressed packet unpacks to; what is more is passed over.
const MAX_INFLATED: usize = 1024 * 1024;

/// Largest zstd window as a power of two.
const MAX_ZSTD_WINDOW_LOG: u32 = 24;

/// First bytes of a zstd frame (RFC 8878 section 3.1.1).
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// What a chunk or gap gave.
#[derive(Debug)]
pub(super) enum Part {
    Message(Message),
    /// Nobody knows where the next packet begins.
    Lost,
}

/// Where one direction stands.
#[derive(Debug)]
pub(super) struct Layers {
    /// Compressed packets.
    outer: Intake,
    /// Unpacked bytes that are not a whole header yet.
    carry: Vec<u8>,
    /// Packets.
    inner: Intake,
    /// A payload that goes on in the next packet.
    long: Option<Message>,
}

impl Layers {
    /// At the start of a packet.
    pub(super) fn at_start() -> Layers {
        Layers {
            outer: Intake::new(MAX_COMPRESSED),
            carry: Vec::new(),
            inner: Intake::new(MAX_KEPT),
            long: None,
        }
    }

    /// Anywhere.
    pub(super) fn lost() -> Layers {
        let mut layers = Layers::at_start();
        layers.inner.lose();
        layers
    }

    /// Takes from the front of a chunk: how much, and what it gave, or else the bytes needed.
    /// `begins` tells whether bytes begin with the first packet of a command or an answer.
    pub(super) fn next(
        &mut self,
        chunk: &Chunk,
        compressed: bool,
        begins: fn(&[u8]) -> bool,
    ) -> Result<(usize, Vec<Part>), usize> {
        let mut parts = Vec::new();
        if !compressed {
            let taken = self.packet(chunk, begins, &mut parts)?;
            return Ok((taken, parts));
        }
        if self.outer.is_lost() {
            // A compressed packet most likely begins where a segment does.
            match compressed_front(&chunk.bytes) {
                Front::Length(length) if length <= chunk.bytes.len() as u64 => self.outer.found(),
                _ => return Ok((chunk.bytes.len(), parts)),
            }
        }
        match self.outer.next(chunk, compressed_front) {
            Step::Message(message, taken) => {
                self.unpack(&message, begins, &mut parts);
                Ok((taken, parts))
            }
            Step::Took(taken) => Ok((taken, parts)),
            Step::NeedMore(need) => Err(need),
            Step::Malformed => Ok((chunk.bytes.len(), parts)),
        }
    }

    /// Takes one packet, or a part of one.
    fn packet(
        &mut self,
        chunk: &Chunk,
        begins: fn(&[u8]) -> bool,
        parts: &mut Vec<Part>,
    ) -> Result<usize, usize> {
        if self.inner.is_lost() {
            if !begins(&chunk.bytes) {
                return Ok(chunk.bytes.len());
            }
            self.inner.found();
        }
        match self.inner.next(chunk, parser::packet) {
            Step::Message(message, taken) => {
                parts.extend(self.joined(message).map(Part::Message));
                Ok(taken)
            }
            Step::Took(taken) => Ok(taken),
            Step::NeedMore(need) => Err(need),
            Step::Malformed => Ok(chunk.bytes.len()),
        }
    }

    /// Joins the packets of a long payload; `None` while more are to come.
    fn joined(&mut self, message: Message) -> Option<Message> {
        let goes_on = message.size >= (MAX_PAYLOAD + HEADER) as u64;
        let whole = match self.long.take() {
            Some(first) => Message {
                size: first.size + message.size,
                ordinal: message.ordinal,
                holed: first.holed || message.holed,
                ..first
            },
            None => message,
        };
        if goes_on {
            self.long = Some(Message {
                bytes: Bytes::copy_from_slice(&whole.bytes),
                ..whole
            });
            return None;
        }
        Some(whole)
    }

    /// Reads the packets in a compressed one.
    fn unpack(&mut self, message: &Message, begins: fn(&[u8]) -> bool, parts: &mut Vec<Part>) {
        let data = message.bytes.get(COMPRESSED_HEADER..).unwrap_or_default();
        let told = match message.bytes.get(4..COMPRESSED_HEADER) {
            Some([a, b, c]) => u64::from(u32::from_le_bytes([*a, *b, *c, 0])),
            _ => 0,
        };
        let (bytes, size) = match told {
            0 => (
                data.to_vec(),
                message.size.saturating_sub(COMPRESSED_HEADER as u64),
            ),
            told => (inflate(data, told), told),
        };
        let missing = size.saturating_sub(bytes.len() as u64);
        let mut all = std::mem::take(&mut self.carry);
        all.extend(bytes);
        let mut chunk = Chunk {
            direction: crate::packet::Direction::ToServer,
            offset: 0,
            bytes: all.into(),
            ts: message.ts,
            ordinal: message.ordinal,
        };
        while !chunk.bytes.is_empty() {
            match self.packet(&chunk, begins, parts) {
                Ok(taken) => chunk.bytes = chunk.bytes.slice(taken.min(chunk.bytes.len())..),
                Err(_) => {
                    self.carry = chunk.bytes.to_vec();
                    break;
                }
            }
        }
        if missing > 0 {
            let missing = missing + std::mem::take(&mut self.carry).len() as u64;
            self.hole(missing, message.ts, message.ordinal, parts);
        }
    }

    /// Bytes of the packets themselves are missing.
    fn hole(&mut self, len: u64, ts: Timestamp, ordinal: u64, parts: &mut Vec<Part>) {
        let gap = Gap {
            direction: crate::packet::Direction::ToServer,
            offset: 0,
            len,
            ts,
            ordinal,
        };
        if let Some(message) = self.inner.gap(&gap) {
            parts.extend(self.joined(message).map(Part::Message));
        }
        if self.inner.is_lost() {
            parts.extend(self.long.take().map(|long| {
                Part::Message(Message {
                    holed: true,
                    ..long
                })
            }));
            parts.push(Part::Lost);
        }
    }

    /// Bytes were not captured.
    pub(super) fn gap(&mut self, gap: &Gap, compressed: bool) -> Vec<Part> {
        let mut parts = Vec::new();
        if !compressed {
            self.hole(gap.len, gap.ts, gap.ordinal, &mut parts);
            return parts;
        }
        if let Some(message) = self.outer.gap(gap) {
            self.unpack(&message, |_| false, &mut parts);
        }
        if self.outer.is_lost() {
            self.carry.clear();
            self.hole(u64::MAX, gap.ts, gap.ordinal, &mut parts);
        }
        parts
    }

    /// The direction ends: the payload that stands first, when one has begun.
    pub(super) fn end(&mut self, ordinal: u64) -> Option<Message> {
        let last = self.inner.end(ordinal);
        let long = self.long.take();
        match (long, last) {
            (Some(long), _) => Some(Message {
                holed: true,
                ..long
            }),
            (None, last) => last,
        }
    }

    /// ```text
    /// layers = outer intake, carry, inner intake, count u32, a long payload:
    ///          holed u8, size u64, ts i64, ordinal u64, bytes
    /// ```
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        self.outer.save(out);
        put_bytes(out, &self.carry);
        self.inner.save(out);
        put_list(out, self.long.iter(), |out, long| {
            out.put_u8(long.holed.into());
            out.put_u64(long.size);
            out.put_i64(long.ts.nanos());
            out.put_u64(long.ordinal);
            put_bytes(out, &long.bytes);
        });
    }

    pub(super) fn restore(saved: &mut Saved<'_>) -> Option<Layers> {
        Some(Layers {
            outer: Intake::restore(saved, MAX_COMPRESSED)?,
            carry: saved.bytes(HEADER)?.into(),
            inner: Intake::restore(saved, MAX_KEPT)?,
            long: saved
                .list(1, |saved| {
                    Some(Message {
                        holed: saved.flag()?,
                        size: saved.u64().filter(|size| *size < 1 << 48)?,
                        ts: saved.time()?,
                        ordinal: saved.u64()?,
                        bytes: saved.bytes(MAX_KEPT)?,
                    })
                })?
                .pop(),
        })
    }
}

/// Length of the compressed packet that `bytes` begins with.
fn compressed_front(bytes: &[u8]) -> Front {
    match bytes {
        [a, b, c, _, _, _, _, ..] => {
            let length = u32::from_le_bytes([*a, *b, *c, 0]);
            Front::Length(u64::from(length) + COMPRESSED_HEADER as u64)
        }
        _ => Front::NeedMore(COMPRESSED_HEADER),
    }
}

/// Unpacks zlib or zstd data as far as it is sound, at most to the length that was told.
fn inflate(data: &[u8], told: u64) -> Vec<u8> {
    let most = told.min(MAX_INFLATED as u64);
    let mut out = Vec::new();
    // An error ends what can be read; the length that was told makes the rest a gap.
    let _ = match data.starts_with(&ZSTD_MAGIC) {
        true => zstd::stream::read::Decoder::with_buffer(data).and_then(|mut decoder| {
            decoder.window_log_max(MAX_ZSTD_WINDOW_LOG)?;
            decoder.take(most).read_to_end(&mut out)
        }),
        false => flate2::bufread::ZlibDecoder::new(data)
            .take(most)
            .read_to_end(&mut out),
    };
    out
}
