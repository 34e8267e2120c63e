//! Blocks of a side file: entries as differences from the ones before them.
//!
//! In: entries in the order of their packets. Out: bytes, and entries again. Never: bytes that are
//! believed before their checksum holds.
//!
//! ```text
//! block = size u32, count u16, slots u16, check u32, start, entries, slots
//! start = ordinal, file, offset, link type, interface, time       of the first entry
//! entry = flags u8, what the flags say, caplen, time              time in ns since the one before
//! slot  = stream u64, previous u64, IP protocol u8, flags u8, check u16
//! ```
//!
//! `size` is that of start and entries; `check` is of all but the slots. Slots stand for fragments in their order, and are
//! filled in later, when the stream is known. Numbers without a width are varints (LEB128), with
//! the sign in the lowest bit where they can be negative. Others are little-endian.

use crate::bytes::{Reader, Short};
use crate::packet::{Direction, LinkType, MAX_SNAPLEN, Position, StreamId, StreamName, Transport};
use crate::time::Timestamp;

use super::Entry;

/// Entries of a block at most: what is read to find one of them.
pub(super) const MAX_ENTRIES: usize = 256;

/// Bytes in front of a block's start.
pub(super) const FRAME: usize = 12;

/// Bytes of a slot.
pub(super) const SLOT: usize = 20;

/// Bytes of a block at most: an entry has a byte of flags and up to ten varints of ten bytes.
pub(super) const MAX_BLOCK: usize = FRAME + (MAX_ENTRIES + 1) * 101 + MAX_ENTRIES * SLOT;

const NONE: u64 = u64::MAX;

/// Where the bits of an entry's flags stand.
mod flag {
    pub(super) const TO_CLIENT: u8 = 1;
    /// The stream is that of an earlier entry of the block, the stream's packet before: how far back.
    pub(super) const SAME: u8 = 2;
    /// A stream: how far back its first packet is, IP protocol, how far back the packet before (0: none).
    pub(super) const STREAM: u8 = 4;
    /// A fragment; its stream is in the slot.
    pub(super) const FRAGMENT: u8 = 6;
    /// What the two bits above tell.
    pub(super) const KIND: u8 = 6;
    /// More bytes were on the wire than captured: how many.
    pub(super) const CUT: u8 = 8;
    /// Not behind the entry before: file, offset, link type, interface.
    pub(super) const PLACE: u8 = 16;
    /// Not the next ordinal: how many are left out.
    pub(super) const ORDINAL: u8 = 32;
    /// Fragments belong to it: how far back the last of them is.
    pub(super) const ADOPTS: u8 = 64;
    /// The stream's transport is TCP, and has no byte of its own.
    pub(super) const TCP: u8 = 128;
}

const SLOT_TO_CLIENT: u8 = 1;
const SLOT_FILLED: u8 = 2;

/// Bytes of a record header in a classic savefile: where the next record is expected.
const RECORD_HEAD: u64 = 16;

/// What an entry is the difference from.
#[derive(Debug, Clone, Copy)]
struct Before {
    ordinal: u64,
    position: Position,
    linktype: LinkType,
    interface: u32,
    ts: i64,
}

impl Before {
    /// As if an entry stood right before `entry`.
    fn first(entry: &Entry) -> Before {
        Before {
            ordinal: entry.ordinal,
            position: entry.position,
            linktype: entry.linktype,
            interface: entry.interface,
            ts: entry.ts.nanos(),
        }
    }

    fn behind(entry: &Entry) -> Before {
        Before {
            ordinal: entry.ordinal.wrapping_add(1),
            position: Position {
                file: entry.position.file,
                offset: entry
                    .position
                    .offset
                    .wrapping_add(RECORD_HEAD + u64::from(entry.caplen)),
            },
            ..Before::first(entry)
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        put(out, self.ordinal);
        put(out, self.position.file.into());
        put(out, self.position.offset);
        put(out, self.linktype.0.into());
        put(out, self.interface.into());
        put_signed(out, self.ts);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Before, Short> {
        Ok(Before {
            ordinal: take(reader)?,
            position: Position {
                file: take(reader)? as u32,
                offset: take(reader)?,
            },
            linktype: LinkType(take(reader)? as u16),
            interface: take(reader)? as u32,
            ts: take_signed(reader)?,
        })
    }
}

/// A block that is being made.
#[derive(Debug, Default)]
pub(super) struct Builder {
    body: Vec<u8>,
    slots: Vec<u8>,
    before: Option<Before>,
    /// Ordinal and stream of each entry.
    entries: Vec<(u64, Option<StreamName>)>,
}

impl Builder {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= MAX_ENTRIES
    }

    /// Bytes of the block as it is now.
    pub(super) fn bytes(&self) -> u64 {
        match self.entries.is_empty() {
            true => 0,
            false => (FRAME + self.body.len() + self.slots.len()) as u64,
        }
    }

    pub(super) fn clear(&mut self) {
        self.body.clear();
        self.slots.clear();
        self.before = None;
        self.entries.clear();
    }

    pub(super) fn push(&mut self, entry: &Entry) {
        let before = self.before.unwrap_or_else(|| {
            let first = Before::first(entry);
            first.put(&mut self.body);
            first
        });
        let at = self.body.len();
        self.body.push(0);
        let (mut flags, body) = (0, &mut self.body);
        if entry.ordinal != before.ordinal {
            flags |= flag::ORDINAL;
            put(body, entry.ordinal.wrapping_sub(before.ordinal));
        }
        match entry.stream {
            stream if entry.fragment => {
                flags |= flag::FRAGMENT;
                self.slots.extend(slot(stream, entry.previous));
            }
            None => {}
            Some((name, direction)) => {
                if direction == Direction::ToClient {
                    flags |= flag::TO_CLIENT;
                }
                let known = entry.previous.and_then(|previous| {
                    let found = self
                        .entries
                        .binary_search_by_key(&previous, |known| known.0);
                    found.ok().filter(|index| {
                        let known = self.entries.get(*index);
                        known.is_some_and(|(_, stream)| *stream == Some(name))
                    })
                });
                match known {
                    Some(index) => {
                        flags |= flag::SAME;
                        put(body, (self.entries.len() - index) as u64);
                    }
                    None => {
                        flags |= flag::STREAM;
                        put(body, entry.ordinal.wrapping_sub(name.stream.0));
                        match name.transport {
                            Transport::Tcp => flags |= flag::TCP,
                            other => body.push(protocol_of(other)),
                        }
                        let previous = entry.previous.unwrap_or(entry.ordinal);
                        put(body, entry.ordinal.wrapping_sub(previous));
                    }
                }
            }
        }
        if entry.len != entry.caplen {
            flags |= flag::CUT;
            put(body, entry.len.wrapping_sub(entry.caplen).into());
        }
        if (entry.position, entry.linktype, entry.interface)
            != (before.position, before.linktype, before.interface)
        {
            flags |= flag::PLACE;
            put(body, entry.position.file.into());
            let further = entry.position.offset.wrapping_sub(before.position.offset);
            put_signed(body, further.cast_signed());
            put(body, entry.linktype.0.into());
            put(body, entry.interface.into());
        }
        if let Some(adopts) = entry.adopts {
            flags |= flag::ADOPTS;
            put(body, entry.ordinal.wrapping_sub(adopts));
        }
        put(body, entry.caplen.into());
        put_signed(body, entry.ts.nanos().wrapping_sub(before.ts));
        if let Some(place) = body.get_mut(at) {
            *place = flags;
        }
        self.before = Some(Before::behind(entry));
        let stream = entry.stream.map(|(name, _)| name);
        self.entries.push((entry.ordinal, stream));
    }

    /// Appends the block to `out` and begins another.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        let number = |count: usize| u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes();
        let size = u32::try_from(self.body.len()).unwrap_or(u32::MAX);
        let at = out.len();
        out.extend_from_slice(&size.to_le_bytes());
        out.extend_from_slice(&number(self.entries.len()));
        out.extend_from_slice(&number(self.slots.len() / SLOT));
        let counts = out.get(at..).map_or(0, check_of);
        out.extend_from_slice(&(check_of(&self.body) ^ counts).to_le_bytes());
        out.extend_from_slice(&self.body);
        out.extend_from_slice(&self.slots);
        self.clear();
    }
}

/// Reads the block at the front of `bytes`, which stands at `at` of its file: appends its entries,
/// and the place of each fragment's slot with the index of its entry among them.
///
/// Answers the block's size; `None` when it is damaged or not whole.
pub(super) fn read(
    bytes: &[u8],
    at: u64,
    entries: &mut Vec<Entry>,
    slots: &mut Vec<(usize, u64)>,
) -> Option<usize> {
    let from = (entries.len(), slots.len());
    let size = read_all(bytes, at, entries, slots);
    if size.is_none() {
        entries.truncate(from.0);
        slots.truncate(from.1);
    }
    size
}

fn read_all(
    bytes: &[u8],
    at: u64,
    entries: &mut Vec<Entry>,
    slots: &mut Vec<(usize, u64)>,
) -> Option<usize> {
    let mut frame = Reader::new(bytes);
    let size = frame.u32_le().ok()? as usize;
    let count = usize::from(frame.u16_le().ok()?);
    let slot_count = usize::from(frame.u16_le().ok()?);
    let check = frame.u32_le().ok()?;
    if count == 0 || count > MAX_ENTRIES || slot_count > count {
        return None;
    }
    let body = frame.take(size).ok()?;
    let mut slot_at = at + frame.offset() as u64;
    let mut slot_bytes = Reader::new(frame.take(slot_count * SLOT).ok()?);
    if check_of(body) ^ check_of(bytes.get(..8)?) != check {
        return None;
    }
    let base = entries.len();
    let mut reader = Reader::new(body);
    let mut before = Before::take(&mut reader).ok()?;
    for _ in 0..count {
        let flags = reader.u8().ok()?;
        let mut entry = read_entry(&mut reader, flags, &before, entries.get(base..)?)?;
        if entry.fragment {
            let slot = slot_bytes.take(SLOT).ok()?;
            slots.push((entries.len(), slot_at));
            slot_at += SLOT as u64;
            (entry.stream, entry.previous) = read_slot(slot.try_into().ok()?).unwrap_or_default();
        }
        before = Before::behind(&entry);
        entries.push(entry);
    }
    reader.is_empty().then_some(frame.offset())
}

fn read_entry(
    reader: &mut Reader<'_>,
    flags: u8,
    before: &Before,
    earlier: &[Entry],
) -> Option<Entry> {
    let has = |bit: u8| flags & bit != 0;
    let mut ordinal = before.ordinal;
    if has(flag::ORDINAL) {
        ordinal = ordinal.wrapping_add(take(reader).ok()?);
    }
    let direction = match has(flag::TO_CLIENT) {
        true => Direction::ToClient,
        false => Direction::ToServer,
    };
    let (mut stream, mut previous) = (None, None);
    match flags & flag::KIND {
        flag::SAME => {
            let back = usize::try_from(take(reader).ok()?).ok()?;
            let known = earlier.get(earlier.len().checked_sub(back)?)?;
            stream = Some((known.stream?.0, direction));
            previous = Some(known.ordinal);
        }
        flag::STREAM => {
            let number = ordinal.wrapping_sub(take(reader).ok()?);
            let transport = match has(flag::TCP) {
                true => Transport::Tcp,
                false => transport_of(reader.u8().ok()?),
            };
            let name = StreamName {
                stream: StreamId(number),
                transport,
            };
            stream = Some((name, direction));
            let back = take(reader).ok()?;
            previous = (back > 0).then(|| ordinal.wrapping_sub(back));
        }
        _ => {}
    }
    let more = match has(flag::CUT) {
        true => take(reader).ok()? as u32,
        false => 0,
    };
    let (mut position, mut linktype, mut interface) =
        (before.position, before.linktype, before.interface);
    if has(flag::PLACE) {
        position.file = take(reader).ok()? as u32;
        let further = take_signed(reader).ok()?;
        position.offset = position.offset.wrapping_add_signed(further);
        linktype = LinkType(take(reader).ok()? as u16);
        interface = take(reader).ok()? as u32;
    }
    let adopts = match has(flag::ADOPTS) {
        true => Some(ordinal.wrapping_sub(take(reader).ok()?)),
        false => None,
    };
    let caplen = u32::try_from(take(reader).ok()?).ok()?;
    let ts = before.ts.wrapping_add(take_signed(reader).ok()?);
    (caplen <= MAX_SNAPLEN).then_some(Entry {
        ordinal,
        stream,
        previous,
        ts: Timestamp::from_nanos(ts),
        position,
        caplen,
        len: caplen.wrapping_add(more),
        interface,
        linktype,
        fragment: flags & flag::KIND == flag::FRAGMENT,
        adopts,
    })
}

/// What a fragment's slot says of its stream.
pub(super) fn slot(stream: Option<(StreamName, Direction)>, previous: Option<u64>) -> [u8; SLOT] {
    let mut out = [0; SLOT];
    let Some((name, direction)) = stream else {
        return out;
    };
    let to_client = match direction {
        Direction::ToClient => SLOT_TO_CLIENT,
        Direction::ToServer => 0,
    };
    out[..8].copy_from_slice(&name.stream.0.to_le_bytes());
    out[8..16].copy_from_slice(&previous.unwrap_or(NONE).to_le_bytes());
    out[16] = protocol_of(name.transport);
    out[17] = SLOT_FILLED | to_client;
    let check = check_of(&out[..18]) as u16;
    out[18..].copy_from_slice(&check.to_le_bytes());
    out
}

type Adopted = (Option<(StreamName, Direction)>, Option<u64>);

fn read_slot(slot: &[u8; SLOT]) -> Option<Adopted> {
    let mut reader = Reader::new(slot);
    let (stream, previous) = (reader.u64_le().ok()?, reader.u64_le().ok()?);
    let (protocol, flags) = (reader.u8().ok()?, reader.u8().ok()?);
    let check = reader.u16_le().ok()?;
    if flags & SLOT_FILLED == 0 || check_of(&slot[..18]) as u16 != check {
        return None;
    }
    let name = StreamName {
        stream: StreamId(stream),
        transport: transport_of(protocol),
    };
    let direction = match flags & SLOT_TO_CLIENT {
        0 => Direction::ToServer,
        _ => Direction::ToClient,
    };
    let previous = (previous != NONE).then_some(previous);
    Some((Some((name, direction)), previous))
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_signed(out: &mut Vec<u8>, number: i64) {
    put(
        out,
        (number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned(),
    );
}

fn take(reader: &mut Reader<'_>) -> Result<u64, Short> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = reader.u8()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    Ok(number)
}

fn take_signed(reader: &mut Reader<'_>) -> Result<i64, Short> {
    let number = take(reader)?;
    Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
}

pub(super) fn protocol_of(transport: Transport) -> u8 {
    match transport {
        Transport::Tcp => 6,
        Transport::Udp => 17,
        Transport::Other(number) => number,
    }
}

pub(super) fn transport_of(protocol: u8) -> Transport {
    match protocol {
        6 => Transport::Tcp,
        17 => Transport::Udp,
        number => Transport::Other(number),
    }
}

/// A checksum against torn writes and stray bytes, not against forgers: multiply and fold.
fn check_of(bytes: &[u8]) -> u32 {
    let mut sum = 0x7461_7065_6465_636b_u64 ^ bytes.len() as u64;
    let mut add = |word: u64| {
        sum = (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        sum ^= sum >> 29;
    };
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        add(u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    add(u64::from_le_bytes(last));
    (sum >> 32) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries() -> impl Strategy<Value = Vec<Entry>> {
        let one = (
            (0u64..3, 0u64..4, any::<bool>(), 0u8..4),
            (any::<i64>(), 0u32..70_000, 0u32..2000),
            (0u32..3, any::<u64>(), any::<bool>()),
            proptest::option::of(0u64..100),
        );
        proptest::collection::vec(one, 1..MAX_ENTRIES).prop_map(|made| {
            let mut last = std::collections::HashMap::new();
            let mut ordinal = 1000;
            let mut offset = 24;
            made.into_iter()
                .map(
                    |((skip, stream, to_client, kind), (ts, caplen, more), place, adopts)| {
                        ordinal += 1 + skip;
                        let name = StreamName {
                            stream: StreamId(stream * 300),
                            transport: transport_of([6, 17, 1, 6][stream as usize]),
                        };
                        let direction = match to_client {
                            true => Direction::ToClient,
                            false => Direction::ToServer,
                        };
                        let stream = (kind > 0).then_some((name, direction));
                        let previous = stream.and_then(|_| last.insert(name, ordinal));
                        let (file, far, is_far) = place;
                        let position = Position {
                            file: if is_far { file } else { 0 },
                            offset: if is_far { far } else { offset },
                        };
                        offset = position.offset.wrapping_add(16 + u64::from(caplen));
                        Entry {
                            ordinal,
                            stream,
                            previous,
                            ts: Timestamp::from_nanos(ts),
                            position,
                            caplen,
                            len: caplen + more,
                            interface: if is_far { file } else { 0 },
                            linktype: LinkType(if is_far { 276 } else { 1 }),
                            fragment: kind == 3,
                            adopts: adopts.map(|back| ordinal - back),
                        }
                    },
                )
                .collect()
        })
    }

    fn block(entries: &[Entry]) -> Vec<u8> {
        let mut builder = Builder::default();
        entries.iter().for_each(|entry| builder.push(entry));
        let mut out = Vec::new();
        let bytes = builder.bytes();
        builder.finish(&mut out);
        assert_eq!(out.len() as u64, bytes);
        assert!(out.len() <= MAX_BLOCK);
        out
    }

    fn decoded(bytes: &[u8]) -> Option<(Vec<Entry>, usize)> {
        let (mut entries, mut slots) = (Vec::new(), Vec::new());
        let size = read(bytes, 0, &mut entries, &mut slots);
        assert!(size.is_some() || entries.is_empty() && slots.is_empty());
        Some((entries, size?))
    }

    proptest! {
        #[test]
        fn entries_read_back(entries in entries(), tail in proptest::collection::vec(any::<u8>(), 0..9)) {
            let mut bytes = block(&entries);
            let size = bytes.len();
            bytes.extend(tail);
            prop_assert_eq!(decoded(&bytes), Some((entries, size)));
        }

        #[test]
        fn a_block_that_is_cut_or_changed_is_noticed(entries in entries(), at: proptest::sample::Index, by in 1u8..) {
            let mut bytes = block(&entries);
            let at = at.index(bytes.len());
            prop_assert_eq!(decoded(&bytes[..at]), None);
            bytes[at] ^= by;
            if let Some((read, _)) = decoded(&bytes) {
                // Of a slot, only the fragment's stream is lost with it.
                prop_assert_eq!(read.len(), entries.len());
                for (read, written) in read.iter().zip(&entries).filter(|(_, written)| !written.fragment) {
                    prop_assert_eq!(read, written);
                }
            }
        }

        #[test]
        fn no_bytes_make_reading_panic(body in proptest::collection::vec(any::<u8>(), 0..300), count in 0u16..400, slots in 0u16..9) {
            let mut bytes = (body.len() as u32).to_le_bytes().to_vec();
            bytes.extend(count.to_le_bytes());
            bytes.extend(slots.to_le_bytes());
            let check = check_of(&body) ^ check_of(&bytes);
            bytes.extend(check.to_le_bytes());
            bytes.extend(&body);
            bytes.extend([1; 9 * SLOT]);
            let _ = decoded(&bytes);
        }
    }
}
