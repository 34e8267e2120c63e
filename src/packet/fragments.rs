//! Puts IP datagrams together from their fragments.
//!
//! In: fragments in capture order, with their times. Out: whole datagrams, with the ordinals of the
//! packets that brought their parts. Never: clocks; ages are differences of packet times.
//! Standards: RFC 791 section 3.2, RFC 8200 section 4.5, RFC 6946 (atomic fragments, which never
//! come here).

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::time::Timestamp;

/// Longest datagram: the offset field reaches no further (RFC 791 section 3.1).
pub const MAX_DATAGRAM: usize = 65_535;

/// Datagrams that are being put together at a time; Linux holds about as many in its default 4 MiB.
pub const MAX_DATAGRAMS: usize = 1024;

/// Fragments of one datagram; a full one at the IPv6 minimum MTU has 54, at IPv4's 576 octets 119.
pub const MAX_FRAGMENTS: usize = 512;

/// Bytes that wait for the rest of their datagrams, the default of Linux (`ipfrag_high_thresh`).
pub const MAX_WAITING_BYTES: usize = 4 << 20;

/// Age at which an incomplete datagram is given up: RFC 8200 section 4.5 says 60 seconds.
pub const MAX_AGE: Duration = Duration::from_secs(60);

/// Which datagram a fragment belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// Sender.
    pub src: IpAddr,
    /// Receiver.
    pub dst: IpAddr,
    /// The identification field, 16 bits in IPv4 and 32 in IPv6.
    pub id: u32,
    /// The IPv4 protocol; 0 for IPv6, where it is no part of the key (RFC 8200 section 4.5).
    pub protocol: u8,
    /// Innermost VLAN tag: two networks behind one interface may use the same addresses.
    pub vlan: Option<u16>,
}

/// One fragment.
#[derive(Debug, Clone, Copy)]
pub struct Fragment<'a> {
    /// Ordinal of its packet.
    pub ordinal: u64,
    /// Time of its packet.
    pub ts: Timestamp,
    /// Offset of its first byte within the datagram, in bytes.
    pub offset: usize,
    /// Whether more fragments follow.
    pub more: bool,
    /// The protocol that its header names; the one of the first fragment counts.
    pub protocol: u8,
    /// Its bytes, as far as they were captured.
    pub bytes: &'a [u8],
    /// Its bytes on the wire.
    pub wire_len: usize,
}

/// A datagram put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// Its bytes, up to the first that was cut off by the snaplen.
    pub bytes: Bytes,
    /// Its bytes on the wire.
    pub wire_len: usize,
    /// The protocol that its first fragment names.
    pub protocol: u8,
}

/// What the table met.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct FragmentCounts {
    /// Datagrams put together.
    pub completed: u64,
    /// Datagrams given up because of their age.
    pub expired: u64,
    /// Datagrams given up because the table was full.
    pub evicted: u64,
    /// Fragments that brought bytes once more; the first copy counts.
    pub overlaps: u64,
    /// Fragments against the standard: past the end, unaligned, or too many.
    pub invalid: u64,
}

/// Datagrams that wait for fragments.
///
/// Invariant: `waiting_bytes` is the sum of all pieces held, and `order` names every datagram of
/// `table` once with its serial, the oldest first (and may name some that are gone).
#[derive(Debug, Default)]
pub struct Fragments {
    table: HashMap<Key, Partial, ahash::RandomState>,
    order: VecDeque<(Key, u64)>,
    serial: u64,
    waiting_bytes: usize,
    counts: FragmentCounts,
}

#[derive(Debug)]
struct Partial {
    serial: u64,
    first: Timestamp,
    /// Sorted by offset, without overlap.
    pieces: Vec<Piece>,
    /// Bytes that the pieces cover on the wire.
    covered: usize,
    /// Length of the datagram, known from its last fragment.
    total: Option<usize>,
    protocol: Option<u8>,
    ordinals: Vec<u64>,
}

#[derive(Debug)]
struct Piece {
    start: usize,
    end: usize,
    /// Shorter than `end - start` when cut by the snaplen.
    bytes: Vec<u8>,
}

impl Fragments {
    /// An empty table.
    pub fn new() -> Fragments {
        Fragments::default()
    }

    /// What the table met so far.
    pub fn counts(&self) -> FragmentCounts {
        self.counts
    }

    /// Bytes held at present.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Takes a fragment; gives the datagram when it is the one that was missing, and then appends
    /// the ordinals of the fragments before it to `earlier`.
    pub fn add(
        &mut self,
        key: Key,
        fragment: &Fragment<'_>,
        earlier: &mut Vec<u64>,
    ) -> Option<Datagram> {
        self.expire(fragment.ts);
        let end = fragment.offset.saturating_add(fragment.wire_len);
        // RFC 8200 section 4.5: all but the last are a multiple of eight octets, and none may end
        // past 65,535.
        let aligned = !fragment.more || fragment.wire_len.is_multiple_of(8);
        if end > MAX_DATAGRAM || fragment.wire_len == 0 || !aligned {
            self.counts.invalid += 1;
            return None;
        }
        self.make_room(&key, fragment.bytes.len());
        let serial = self.serial;
        let partial = self.table.entry(key).or_insert_with(|| Partial {
            serial,
            first: fragment.ts,
            pieces: Vec::new(),
            covered: 0,
            total: None,
            protocol: None,
            ordinals: Vec::new(),
        });
        if partial.serial == serial {
            self.serial += 1;
            self.order.push_back((key, serial));
        }
        match partial.add(fragment, end) {
            Added::New(bytes) => self.waiting_bytes += bytes,
            Added::Overlap(bytes) => {
                self.counts.overlaps += 1;
                self.waiting_bytes += bytes;
            }
            Added::Invalid => {
                self.counts.invalid += 1;
                return None;
            }
        }
        if !partial.is_complete() {
            return None;
        }
        let partial = self.table.remove(&key)?;
        self.waiting_bytes -= partial.held();
        self.counts.completed += 1;
        self.tidy_order();
        earlier.extend(
            partial
                .ordinals
                .iter()
                .filter(|ordinal| **ordinal != fragment.ordinal),
        );
        Some(partial.into_datagram())
    }

    fn expire(&mut self, now: Timestamp) {
        while let Some((key, serial)) = self.order.front().copied() {
            match self.table.get(&key) {
                Some(partial) if partial.serial == serial => {
                    if now.since(partial.first) <= MAX_AGE {
                        return;
                    }
                    self.waiting_bytes -= partial.held();
                    self.table.remove(&key);
                    self.counts.expired += 1;
                }
                _ => {}
            }
            self.order.pop_front();
        }
    }

    /// Forgets completed datagrams in `order`, which would otherwise grow behind one that waits.
    fn tidy_order(&mut self) {
        if self.order.len() > 2 * MAX_DATAGRAMS {
            let table = &self.table;
            self.order.retain(|(key, serial)| {
                table
                    .get(key)
                    .is_some_and(|partial| partial.serial == *serial)
            });
        }
    }

    fn make_room(&mut self, key: &Key, bytes: usize) {
        let slots = MAX_DATAGRAMS - usize::from(!self.table.contains_key(key));
        while self.table.len() > slots || self.waiting_bytes + bytes > MAX_WAITING_BYTES {
            let Some((oldest, serial)) = self.order.pop_front() else {
                return;
            };
            match self.table.get(&oldest) {
                Some(partial) if partial.serial == serial => {
                    self.waiting_bytes -= partial.held();
                    self.table.remove(&oldest);
                    self.counts.evicted += 1;
                }
                _ => {}
            }
        }
    }
}

enum Added {
    New(usize),
    Overlap(usize),
    Invalid,
}

impl Partial {
    fn add(&mut self, fragment: &Fragment<'_>, end: usize) -> Added {
        let past_end = match self.total {
            Some(total) => end > total || (!fragment.more && end != total),
            None => !fragment.more && self.pieces.last().is_some_and(|last| last.end > end),
        };
        if past_end || self.ordinals.len() >= MAX_FRAGMENTS {
            return Added::Invalid;
        }
        if !fragment.more {
            self.total = Some(end);
        }
        if fragment.offset == 0 && self.protocol.is_none() {
            self.protocol = Some(fragment.protocol);
        }
        self.ordinals.push(fragment.ordinal);
        // Only what no earlier fragment brought is taken: the first copy counts.
        let mut taken = 0;
        let mut held = 0;
        let mut at = fragment.offset;
        let mut index = self.pieces.partition_point(|piece| piece.end <= at);
        while at < end {
            let next = self.pieces.get(index).map(|piece| (piece.start, piece.end));
            let until = next.map_or(end, |(start, _)| start.min(end));
            if at < until {
                let from = at - fragment.offset;
                let to = (until - fragment.offset).min(fragment.bytes.len());
                let bytes = fragment.bytes.get(from..to).unwrap_or_default().to_vec();
                held += bytes.len();
                taken += until - at;
                let piece = Piece {
                    start: at,
                    end: until,
                    bytes,
                };
                self.pieces.insert(index, piece);
                index += 1;
            }
            at = next.map_or(end, |(_, past)| past.max(until));
            index += 1;
        }
        self.covered += taken;
        if taken == fragment.wire_len {
            Added::New(held)
        } else {
            Added::Overlap(held)
        }
    }

    fn is_complete(&self) -> bool {
        self.total == Some(self.covered)
    }

    fn held(&self) -> usize {
        self.pieces.iter().map(|piece| piece.bytes.len()).sum()
    }

    fn into_datagram(self) -> Datagram {
        let mut bytes = Vec::with_capacity(self.held());
        for piece in &self.pieces {
            bytes.extend_from_slice(&piece.bytes);
            if piece.bytes.len() < piece.end - piece.start {
                break;
            }
        }
        Datagram {
            bytes: bytes.into(),
            wire_len: self.covered,
            protocol: self.protocol.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn key(id: u32) -> Key {
        Key {
            src: Ipv4Addr::new(10, 0, 0, 1).into(),
            dst: Ipv4Addr::new(10, 0, 0, 2).into(),
            id,
            protocol: 17,
            vlan: None,
        }
    }

    fn part(ordinal: u64, offset: usize, more: bool, bytes: &[u8]) -> Fragment<'_> {
        Fragment {
            ordinal,
            ts: Timestamp::from_secs(1, 0),
            offset,
            more,
            protocol: 17,
            bytes,
            wire_len: bytes.len(),
        }
    }

    #[test]
    fn fragments_in_any_order_give_the_datagram_and_the_earlier_ordinals() {
        let mut table = Fragments::new();
        let mut earlier = Vec::new();
        assert_eq!(
            table.add(key(1), &part(5, 8, false, b"end"), &mut earlier),
            None
        );
        let whole = table
            .add(key(1), &part(9, 0, true, b"01234567"), &mut earlier)
            .unwrap();
        assert_eq!(&whole.bytes[..], b"01234567end");
        assert_eq!(earlier, [5]);
        assert_eq!(table.waiting_bytes(), 0);
    }

    #[test]
    fn overlap_keeps_the_first_copy() {
        let mut table = Fragments::new();
        let mut earlier = Vec::new();
        table.add(key(1), &part(0, 8, true, b"AAAAAAAA"), &mut earlier);
        table.add(key(1), &part(1, 0, true, &[b'b'; 24]), &mut earlier);
        let whole = table
            .add(key(1), &part(2, 24, false, b"c"), &mut earlier)
            .unwrap();
        assert_eq!(&whole.bytes[..], b"bbbbbbbbAAAAAAAAbbbbbbbbc");
        assert_eq!(table.counts().overlaps, 1);
    }

    #[test]
    fn a_cut_fragment_ends_the_bytes_but_not_the_datagram() {
        let mut table = Fragments::new();
        let mut earlier = Vec::new();
        let mut first = part(0, 0, true, b"0123");
        first.wire_len = 8;
        table.add(key(1), &first, &mut earlier);
        let whole = table
            .add(key(1), &part(1, 8, false, b"end"), &mut earlier)
            .unwrap();
        assert_eq!((&whole.bytes[..], whole.wire_len), (&b"0123"[..], 11));
    }

    #[test]
    fn old_datagrams_are_given_up() {
        let mut table = Fragments::new();
        let mut earlier = Vec::new();
        table.add(key(1), &part(0, 0, true, &[0; 8]), &mut earlier);
        let mut late = part(1, 8, false, b"end");
        late.ts = Timestamp::from_secs(62, 0);
        assert_eq!(table.add(key(1), &late, &mut earlier), None);
        assert_eq!(table.counts().expired, 1);
        assert_eq!(table.waiting_bytes(), 3);
    }

    #[test]
    fn a_full_table_gives_up_the_oldest() {
        let mut table = Fragments::new();
        let mut earlier = Vec::new();
        for id in 0..=MAX_DATAGRAMS as u32 {
            table.add(key(id), &part(0, 0, true, &[0; 8]), &mut earlier);
        }
        assert_eq!(table.counts().evicted, 1);
        assert_eq!(
            table.add(key(0), &part(1, 8, false, b"x"), &mut earlier),
            None
        );
        assert!(
            table
                .add(key(9), &part(2, 8, false, b"x"), &mut earlier)
                .is_some()
        );
    }

    #[test]
    fn waiting_bytes_have_a_cap() {
        let mut table = Fragments::new();
        let mut earlier = Vec::new();
        let large = vec![0; 65_000];
        for id in 0..100 {
            table.add(key(id), &part(0, 0, true, &large), &mut earlier);
            assert!(table.waiting_bytes() <= MAX_WAITING_BYTES);
        }
        assert!(table.counts().evicted > 0);
    }

    proptest! {
        #[test]
        fn any_cut_order_and_repetition_gives_the_same_datagram(
            len in 1usize..400,
            cuts in prop::collection::vec((0usize..50, 1usize..20), 0..40),
            seed in any::<u64>(),
        ) {
            let whole: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let mut parts: Vec<(usize, usize)> = cuts
                .iter()
                .map(|(start, blocks)| (start * 8, (start + blocks) * 8))
                .filter(|(start, _)| *start < len)
                .map(|(start, end)| (start, end.min(len)))
                .collect();
            parts.extend((0..len.div_ceil(8)).map(|block| (block * 8, (block * 8 + 8).min(len))));
            let count = parts.len();
            for at in 0..count {
                parts.swap(at, (seed as usize).wrapping_mul(at + 7) % count);
            }
            let mut table = Fragments::new();
            let mut earlier = Vec::new();
            let mut got = None;
            for (ordinal, (start, end)) in parts.iter().enumerate() {
                let piece = part(ordinal as u64, *start, *end < len, &whole[*start..*end]);
                got = table.add(key(1), &piece, &mut earlier);
                if got.is_some() {
                    break;
                }
            }
            prop_assert_eq!(&got.unwrap().bytes[..], &whole[..]);
            prop_assert_eq!(table.waiting_bytes(), 0);
        }

        #[test]
        fn no_input_panics_or_passes_the_caps(
            parts in prop::collection::vec(
                (0u32..4, 0usize..70_000, any::<bool>(), 0usize..200, 0usize..70_000, 0i64..200),
                0..200,
            ),
        ) {
            let mut table = Fragments::new();
            let mut earlier = Vec::new();
            let bytes = [7; 200];
            for (id, offset, more, len, wire_len, secs) in parts {
                let mut piece = part(0, offset, more, &bytes[..len.min(wire_len)]);
                piece.wire_len = wire_len;
                piece.ts = Timestamp::from_secs(secs, 0);
                table.add(key(id), &piece, &mut earlier);
            }
            prop_assert!(table.waiting_bytes() <= MAX_WAITING_BYTES);
        }
    }
}
