//! One direction of an association: which DATA chunks are new, and whole messages out of pieces.
//!
//! In: DATA chunks in capture order. Out: messages as soon as they are whole, in capture order and
//! not in the order of their stream: who reads them pairs by identifiers. Never: a message twice,
//! more than [`MAX_HELD_BYTES`] of pieces. Standard: RFC 9260 sections 3.3.1, 6.2 and 6.9.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use super::parser::Data;
use crate::bytes::Reader;
use crate::time::Timestamp;

/// Bytes of pieces that wait for the rest of their messages; the receive window that Linux gives is
/// smaller.
const MAX_HELD_BYTES: usize = 256 * 1024;

/// Pieces that wait.
const MAX_HELD_PIECES: usize = 1024;

/// Sequence numbers above a hole that are remembered; a hole that stays longer was not captured.
const MAX_ABOVE: usize = 1024;

/// Sequence numbers in front of the first one that was seen of an association joined late: a chunk
/// that was overtaken is not many behind.
const MAX_OVERTAKEN: u32 = 128;

/// How long after the first chunk one that it overtook may come: RTO.Initial (RFC 9260 section 16),
/// after which the sender repeats it.
const OVERTAKEN_WAIT: Duration = Duration::from_secs(1);

/// A sequence number this far behind the next one is old, further off it belongs to the other half
/// of the circle (RFC 1982).
const HALF: u32 = 1 << 31;

/// A piece of a message, or a whole one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) data: Data,
    pub(super) flags: u8,
    pub(super) interleaved: bool,
    pub(super) bytes: Bytes,
    pub(super) ts: Timestamp,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// Its first piece, with the bytes of all.
    pub(super) piece: Piece,
    /// Whether pieces of it are missing.
    pub(super) incomplete: bool,
}

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Sender {
    /// The first sequence number of the association, when its INIT was seen.
    initial: Option<u32>,
    /// The first sequence number not seen yet; `None` before the first chunk.
    next: Option<u32>,
    /// The lowest sequence number seen of an association whose INIT was not, and when its first chunk
    /// came, as long as lower ones may come.
    front: Option<(u32, Timestamp)>,
    /// What was seen behind `next`.
    above: BTreeSet<u32>,
    /// Pieces by sequence number.
    held: BTreeMap<u32, Piece>,
    held_bytes: usize,
}

impl Sender {
    /// An association begins with this sequence number; an INIT that is sent again changes nothing.
    pub(super) fn begin(&mut self, initial: u32) {
        if self.initial != Some(initial) {
            *self = Sender {
                initial: Some(initial),
                next: Some(initial),
                ..Sender::default()
            };
        }
    }

    /// Takes a chunk's piece; messages that it makes whole go to `out`.
    pub(super) fn take(&mut self, piece: Piece, out: &mut Vec<Message>) {
        let tsn = piece.data.tsn;
        if !self.is_new(tsn, piece.ts) {
            return;
        }
        if piece.data.first && piece.data.last {
            out.push(Message {
                piece,
                incomplete: false,
            });
            return;
        }
        self.held_bytes += piece.bytes.len();
        self.held.insert(tsn, piece);
        if let Some((first, last)) = self.whole(tsn) {
            out.push(self.join(first, last, false));
        }
        while self.held_bytes > MAX_HELD_BYTES || self.held.len() > MAX_HELD_PIECES {
            self.give_up_one(out);
        }
    }

    /// Hands out what is held, with what is missing.
    pub(super) fn finish(&mut self, out: &mut Vec<Message>) {
        while !self.held.is_empty() {
            self.give_up_one(out);
        }
    }

    fn is_new(&mut self, tsn: u32, ts: Timestamp) -> bool {
        let next = *self.next.get_or_insert_with(|| {
            self.front = Some((tsn, ts));
            tsn
        });
        if self.front.is_some() && self.is_overtaken(tsn, ts) {
            return true;
        }
        if tsn.wrapping_sub(next) >= HALF || !self.above.insert(tsn) {
            return false;
        }
        self.run_on();
        true
    }

    /// Whether a chunk was sent before the first one that was seen, which overtook it. It moves the
    /// front to it; what is between them was not seen.
    fn is_overtaken(&mut self, tsn: u32, ts: Timestamp) -> bool {
        let (Some((front, first)), Some(next)) = (self.front, self.next) else {
            return false;
        };
        if ts.since(first) > OVERTAKEN_WAIT || next.wrapping_sub(front) > MAX_OVERTAKEN {
            self.front = None;
            return false;
        }
        if !(1..=MAX_OVERTAKEN).contains(&front.wrapping_sub(tsn)) {
            return false;
        }
        let mut seen = front;
        while seen != next {
            self.above.insert(seen);
            seen = seen.wrapping_add(1);
        }
        (self.front, self.next) = (Some((tsn, first)), Some(tsn.wrapping_add(1)));
        self.run_on();
        true
    }

    /// Moves `next` over all that was seen, and over holes behind which too much was.
    fn run_on(&mut self) {
        loop {
            while let Some(next) = self.next
                && self.above.remove(&next)
            {
                self.next = Some(next.wrapping_add(1));
            }
            if self.above.len() <= MAX_ABOVE {
                return;
            }
            // The hole stays: what fills it later is taken for old.
            let nearest = self.nearest();
            self.next = nearest;
        }
    }

    fn nearest(&self) -> Option<u32> {
        let next = self.next?;
        let behind = self.above.range(next..).next();
        behind.or_else(|| self.above.first()).copied()
    }

    /// The last sequence number of the run of pieces from `tsn` on, as far as it is held.
    fn end_of(&self, tsn: u32) -> u32 {
        let mut last = tsn;
        while self.goes_on(last) {
            let after = last.wrapping_add(1);
            match self.held.get(&after) {
                Some(piece) if !piece.data.first => last = after,
                _ => break,
            }
        }
        last
    }

    /// The first sequence number of the run of pieces up to `tsn`.
    fn start_of(&self, tsn: u32) -> u32 {
        let mut first = tsn;
        while self.held.get(&first).is_some_and(|piece| !piece.data.first)
            && self.goes_on(first.wrapping_sub(1))
        {
            first = first.wrapping_sub(1);
        }
        first
    }

    /// Whether the piece is held and is not the last of its message.
    fn goes_on(&self, tsn: u32) -> bool {
        self.held.get(&tsn).is_some_and(|piece| !piece.data.last)
    }

    /// First and last piece of a message around `tsn` that is whole. Pieces come in order mostly,
    /// so looking for the end first costs little for each.
    fn whole(&self, tsn: u32) -> Option<(u32, u32)> {
        let last = self.end_of(tsn);
        if !self.held.get(&last)?.data.last {
            return None;
        }
        let first = self.start_of(tsn);
        self.held.get(&first)?.data.first.then_some((first, last))
    }

    fn give_up_one(&mut self, out: &mut Vec<Message>) {
        if let Some(tsn) = self.held.keys().next().copied() {
            let (first, last) = (self.start_of(tsn), self.end_of(tsn));
            out.push(self.join(first, last, true));
        }
    }

    fn join(&mut self, first: u32, last: u32, incomplete: bool) -> Message {
        let mut joined: Option<(Piece, BytesMut)> = None;
        let mut tsn = first;
        loop {
            if let Some(piece) = self.held.remove(&tsn) {
                self.held_bytes -= piece.bytes.len();
                match &mut joined {
                    Some((_, bytes)) => bytes.extend_from_slice(&piece.bytes),
                    None => {
                        let bytes = BytesMut::from(&piece.bytes[..]);
                        joined = Some((piece, bytes));
                    }
                }
            }
            if tsn == last {
                break;
            }
            tsn = tsn.wrapping_add(1);
        }
        let (mut piece, bytes) = joined.expect("a run names pieces that are held");
        piece.bytes = bytes.freeze();
        Message { piece, incomplete }
    }
}

/// Saving and restoring.
///
/// ```text
/// state = initial u8 (0 none) u32, next u8 (0 none) u32, front u8 (0 none) u32, ts i64, count u32, count x above u32, count u32, count x piece
/// piece = tsn u32, stream u16, seq u32, protocol u32, bits u8 (1 first, 2 last, 4 interleaved),
///         flags u8, ts i64, length u32, bytes                                     big-endian
/// ```
impl Sender {
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        for number in [self.initial, self.next] {
            out.put_u8(number.is_some().into());
            out.put_u32(number.unwrap_or_default());
        }
        let (front, first) = self.front.unwrap_or_default();
        out.put_u8(self.front.is_some().into());
        out.put_u32(front);
        out.put_i64(first.nanos());
        out.put_u32(u32::try_from(self.above.len()).unwrap_or(u32::MAX));
        for tsn in &self.above {
            out.put_u32(*tsn);
        }
        out.put_u32(u32::try_from(self.held.len()).unwrap_or(u32::MAX));
        for piece in self.held.values() {
            let Data {
                tsn,
                stream,
                seq,
                protocol,
                first,
                last,
                ..
            } = piece.data;
            out.put_u32(tsn);
            out.put_u16(stream);
            out.put_u32(seq);
            out.put_u32(protocol);
            out.put_u8(u8::from(first) | u8::from(last) << 1 | u8::from(piece.interleaved) << 2);
            out.put_u8(piece.flags);
            out.put_i64(piece.ts.nanos());
            out.put_u32(u32::try_from(piece.bytes.len()).unwrap_or(u32::MAX));
            out.put_slice(&piece.bytes);
        }
    }

    pub(super) fn restore(reader: &mut Reader<'_>) -> Option<Sender> {
        let mut restored = Sender::default();
        for number in [&mut restored.initial, &mut restored.next] {
            let known = reader.u8().ok()? == 1;
            let value = reader.u32().ok()?;
            *number = known.then_some(value);
        }
        let early = reader.u8().ok()? == 1;
        let front = reader.u32().ok()?;
        let first = Timestamp::from_nanos(reader.u64().ok()?.cast_signed());
        restored.front = early.then_some((front, first));
        for _ in 0..reader.u32().ok()? {
            restored.above.insert(reader.u32().ok()?);
        }
        for _ in 0..reader.u32().ok()? {
            let tsn = reader.u32().ok()?;
            let stream = reader.u16().ok()?;
            let seq = reader.u32().ok()?;
            let protocol = reader.u32().ok()?;
            let bits = reader.u8().ok()?;
            let flags = reader.u8().ok()?;
            let ts = Timestamp::from_nanos(reader.u64().ok()?.cast_signed());
            let length = usize::try_from(reader.u32().ok()?).ok()?;
            let bytes = Bytes::copy_from_slice(reader.take(length).ok()?);
            let piece = Piece {
                data: Data {
                    tsn,
                    stream,
                    seq,
                    protocol,
                    first: bits & 1 != 0,
                    last: bits & 2 != 0,
                    header: 0,
                },
                flags,
                interleaved: bits & 4 != 0,
                bytes,
                ts,
            };
            restored.held_bytes += piece.bytes.len();
            if let Some(twice) = restored.held.insert(tsn, piece) {
                restored.held_bytes -= twice.bytes.len();
            }
        }
        let fits = restored.above.len() <= MAX_ABOVE
            && restored.held.len() <= MAX_HELD_PIECES
            && restored.held_bytes <= MAX_HELD_BYTES;
        fits.then_some(restored)
    }
}
