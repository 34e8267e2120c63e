//! The side file: for each packet where it lies, its stream, and that stream's packet before it.
//!
//! In: packets as they are appended. Out: entries, by index or in order. Never: packet bytes.
//! Entries are some seven bytes each, in blocks with a checksum ([`block`]), so that a torn tail is
//! found without guessing and no bytes of a damaged file are believed. Blocks are only ever appended;
//! the one thing that changes afterwards is the slot of a fragment, when its stream becomes known.
//!
//! ```text
//! file   = head, blocks
//! head   = "tdside02", run u64, first ordinal u64, number u32, zeros to 60, check u32
//! ```

mod block;
mod old;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use self::block::{Builder, MAX_BLOCK, MAX_ENTRIES};
use crate::bytes::Reader;
use crate::packet::{Direction, LinkType, Position, StreamId, StreamName};
use crate::system::{read_at, write_at};
use crate::time::Timestamp;

#[cfg(test)]
use self::block::protocol_of;

/// Bytes of the head.
pub const HEAD_SIZE: usize = 64;

const MAGIC: &[u8; 8] = b"tdside02";

/// Bytes read at once to find one entry: the blocks between two anchors, mostly.
const FIND_READ: usize = 8 * 1024;

/// Bytes read at once when a whole file is looked through.
const SCAN_READ: usize = 64 * 1024;

/// What a side file is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The run.
    pub run: u64,
    /// Ordinal of the first packet.
    pub first: u64,
    /// Number of the segment within the run.
    pub number: u32,
}

impl Head {
    /// The head as it stands in the file.
    pub fn encode(&self) -> [u8; HEAD_SIZE] {
        let mut out = [0; HEAD_SIZE];
        out[..8].copy_from_slice(MAGIC);
        out[8..16].copy_from_slice(&self.run.to_le_bytes());
        out[16..24].copy_from_slice(&self.first.to_le_bytes());
        out[24..28].copy_from_slice(&self.number.to_le_bytes());
        let check = check_of(&out).to_le_bytes();
        out[60..].copy_from_slice(&check);
        out
    }

    /// Reads a head; `None` when the bytes are none.
    pub fn decode(bytes: &[u8; HEAD_SIZE]) -> Option<Head> {
        let sealed = bytes.ends_with(&check_of(bytes).to_le_bytes());
        (sealed && bytes.starts_with(MAGIC))
            .then(|| Head::fields(bytes))
            .flatten()
    }

    fn fields(bytes: &[u8; HEAD_SIZE]) -> Option<Head> {
        let mut reader = Reader::new(bytes);
        reader.skip(MAGIC.len()).ok()?;
        Some(Head {
            run: reader.u64_le().ok()?,
            first: reader.u64_le().ok()?,
            number: reader.u32_le().ok()?,
        })
    }
}

/// One packet of a side file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Ordinal of the packet in its run.
    pub ordinal: u64,
    /// Stream and direction; `None` for packets of no flow.
    pub stream: Option<(StreamName, Direction)>,
    /// Ordinal of the stream's packet before this one; of a fragment, of the one before it that the
    /// same packet adopts.
    pub previous: Option<u64>,
    /// When it was captured.
    pub ts: Timestamp,
    /// Where its record lies.
    pub position: Position,
    /// Bytes captured.
    pub caplen: u32,
    /// Bytes on the wire.
    pub len: u32,
    /// Interface number within the source.
    pub interface: u32,
    /// What the bytes begin with.
    pub linktype: LinkType,
    /// Whether it is a fragment whose stream was not known when it came.
    pub fragment: bool,
    /// Ordinal of the last of the fragments whose stream became known with this packet.
    pub adopts: Option<u64>,
}

impl Entry {
    /// Number of the stream it belongs to.
    pub fn stream_id(&self) -> Option<StreamId> {
        self.stream.map(|(name, _)| name.stream)
    }
}

/// Where in a side file the entry of an index is looked for: at most [`MAX_ENTRIES`] before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Anchor {
    /// Index of the first entry of a block.
    pub(crate) index: u64,
    /// Offset of the block.
    pub(crate) offset: u64,
}

/// The anchors of a side file, in order.
pub(crate) type Anchors = Arc<Vec<Anchor>>;

/// Adds the block of entries from `index` on, when the anchor before is far enough.
pub(crate) fn anchor(anchors: &mut Vec<Anchor>, index: u64, offset: u64) {
    let before = anchors.last().map(|last| last.index);
    if before.is_none_or(|before| index >= before + MAX_ENTRIES as u64) {
        anchors.push(Anchor { index, offset });
    }
}

/// Makes the bytes of a side file.
#[derive(Debug, Default)]
pub(crate) struct SideWriter {
    block: Builder,
    /// Entries so far.
    entries: u64,
    anchors: Vec<Anchor>,
}

impl SideWriter {
    /// Goes on behind what a file holds.
    pub(crate) fn behind(entries: u64, anchors: Vec<Anchor>) -> SideWriter {
        SideWriter {
            block: Builder::default(),
            entries,
            anchors,
        }
    }

    /// Entries so far.
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    /// Bytes that [`SideWriter::finish`] would append.
    pub(crate) fn pending(&self) -> u64 {
        self.block.bytes()
    }

    /// The anchors so far.
    pub(crate) fn anchors(&self) -> &[Anchor] {
        &self.anchors
    }

    /// Adds an entry; full blocks go to `out`, which ends at `end` of the file.
    pub(crate) fn push(&mut self, entry: &Entry, out: &mut Vec<u8>, end: u64) {
        self.block.push(entry);
        self.entries += 1;
        if self.block.is_full() {
            self.finish(out, end);
        }
    }

    /// Ends the block that is being made.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>, end: u64) {
        if self.block.len() > 0 {
            let index = self.entries - self.block.len() as u64;
            anchor(&mut self.anchors, index, end);
            self.block.finish(out);
        }
    }

    /// Forgets all entries behind the first `entries`, which end with a block.
    pub(crate) fn roll_back(&mut self, entries: u64) {
        self.block.clear();
        self.entries = entries;
        self.anchors.retain(|anchor| anchor.index < entries);
    }
}

/// Reads entries of one side file, some at a time.
#[derive(Debug)]
pub struct SideReader {
    file: File,
    anchors: Anchors,
    raw: Vec<u8>,
    /// Entries at hand, the index of the first, and the slots of fragments among them.
    page: Vec<Entry>,
    first: u64,
    slots: Vec<(usize, u64)>,
    /// Offset behind the blocks at hand.
    next: u64,
}

impl SideReader {
    /// A reader of `file`, for reading it in order.
    pub fn new(file: File) -> SideReader {
        SideReader::with_anchors(file, Anchors::default())
    }

    /// A reader that finds any entry near one of `anchors`.
    pub(crate) fn with_anchors(file: File, anchors: Anchors) -> SideReader {
        SideReader {
            file,
            anchors,
            raw: Vec::new(),
            page: Vec::new(),
            first: 0,
            slots: Vec::new(),
            next: HEAD_SIZE as u64,
        }
    }

    /// The head; `None` when there is none.
    pub fn head(&self) -> io::Result<Option<Head>> {
        let mut bytes = [0; HEAD_SIZE];
        let got = read_at(&self.file, &mut bytes, 0)?;
        Ok((got == HEAD_SIZE).then(|| Head::decode(&bytes)).flatten())
    }

    /// Entry `index`; `None` past the end and where the bytes are damaged.
    pub fn entry(&mut self, index: u64) -> io::Result<Option<Entry>> {
        self.load(index, FIND_READ)
    }

    /// The same, with those after it kept at hand for reading on.
    pub fn next_entry(&mut self, index: u64) -> io::Result<Option<Entry>> {
        self.load(index, SCAN_READ)
    }

    /// Gives the fragment at `index` its stream; false when it is none.
    pub(crate) fn adopt(
        &mut self,
        index: u64,
        stream: (StreamName, Direction),
        previous: Option<u64>,
    ) -> io::Result<bool> {
        let Some(mut entry) = self.entry(index)?.filter(|entry| entry.fragment) else {
            return Ok(false);
        };
        let within = usize::try_from(index - self.first).unwrap_or(usize::MAX);
        let mut slots = self.slots.iter();
        let Some((_, at)) = slots.find(|(known, _)| *known == within) else {
            return Ok(false);
        };
        write_at(&self.file, &block::slot(Some(stream), previous), *at)?;
        (entry.stream, entry.previous) = (Some(stream), previous);
        if let Some(known) = self.page.get_mut(within) {
            *known = entry;
        }
        Ok(true)
    }

    /// Reads the next block in order; answers the index of its first entry and the offset behind it.
    pub(crate) fn next_block(&mut self) -> io::Result<Option<(u64, u64)>> {
        self.turn();
        let read = self.read_on(SCAN_READ, self.first)?;
        Ok(read.then_some((self.first, self.next)))
    }

    /// The entries at hand.
    pub(crate) fn at_hand(&self) -> &[Entry] {
        &self.page
    }

    /// Reads `bytes` at a time up to the block that holds `index`, or as far as they reach.
    fn load(&mut self, index: u64, bytes: usize) -> io::Result<Option<Entry>> {
        let end = self.first + self.page.len() as u64;
        if index < self.first || index >= end {
            let mut anchors = self.anchors.iter();
            let near = anchors.rfind(|anchor| anchor.index <= index);
            match near {
                // On from here, unless an anchor is nearer.
                Some(near) if index < end || near.index > end => self.go_to(*near),
                None if index < self.first => self.go_to(Anchor {
                    index: 0,
                    offset: HEAD_SIZE as u64,
                }),
                _ => self.turn(),
            }
            while index >= self.first + self.page.len() as u64 {
                if self.page.len() >= MAX_ENTRIES {
                    self.turn();
                }
                let until = match bytes {
                    SCAN_READ => u64::MAX,
                    _ => index,
                };
                if !self.read_on(bytes, until)? {
                    return Ok(None);
                }
            }
        }
        let within = usize::try_from(index - self.first).unwrap_or(usize::MAX);
        Ok(self.page.get(within).copied())
    }

    /// Lets go of what is at hand, to go on behind it.
    fn turn(&mut self) {
        self.first += self.page.len() as u64;
        self.page.clear();
        self.slots.clear();
    }

    fn go_to(&mut self, anchor: Anchor) {
        self.page.clear();
        self.slots.clear();
        (self.first, self.next) = (anchor.index, anchor.offset);
    }

    /// Reads the blocks that lie whole in the next `bytes`, up to the one that holds entry `until`;
    /// false when there is none.
    fn read_on(&mut self, bytes: usize, until: u64) -> io::Result<bool> {
        for bytes in [bytes, MAX_BLOCK] {
            self.raw.resize(bytes.max(self.raw.len()), 0);
            let into = self.raw.get_mut(..bytes).unwrap_or_default();
            let got = read_at(&self.file, into, self.next)?;
            let mut rest = self.raw.get(..got).unwrap_or_default();
            let before = self.page.len();
            while let Some(size) = block::read(rest, self.next, &mut self.page, &mut self.slots) {
                self.next += size as u64;
                rest = rest.get(size..).unwrap_or_default();
                if self.first + self.page.len() as u64 > until {
                    break;
                }
            }
            if self.page.len() > before {
                return Ok(true);
            }
            if got < bytes {
                break;
            }
        }
        Ok(false)
    }
}

/// Writes the side file at `path` as it is written now, when an earlier version left it.
pub(crate) fn renew(path: &Path) -> io::Result<()> {
    old::renew(path)
}

/// The checksum of a head, in whose last four bytes it stands.
fn check_of(bytes: &[u8; HEAD_SIZE]) -> u32 {
    let mut sum = 0x7461_7065_6465_636b_u64;
    let (words, _) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let mut word = u64::from_le_bytes(*word);
        if index == HEAD_SIZE / 8 - 1 {
            word &= 0xffff_ffff;
        }
        sum = (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        sum ^= sum >> 29;
    }
    (sum >> 32) as u32
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::packet::Transport;

    /// Entry `ordinal` of three streams and fragments between them.
    pub(super) fn entry(ordinal: u64) -> Entry {
        let stream = ordinal % 4;
        let name = StreamName {
            stream: StreamId(stream),
            transport: Transport::Tcp,
        };
        let fragment = stream == 3;
        Entry {
            ordinal,
            stream: (!fragment || ordinal > 400).then_some((name, Direction::ToClient)),
            previous: ordinal.checked_sub(4).filter(|_| !fragment),
            ts: Timestamp::from_secs(9, ordinal as u32),
            position: Position {
                file: 3,
                offset: 4096 + 100 * ordinal,
            },
            caplen: 84,
            len: 1500,
            interface: 2,
            linktype: LinkType::LINUX_SLL2,
            fragment,
            adopts: None,
        }
    }

    /// A side file of so many entries, `each` to a commit, and its anchors.
    fn file(entries: u64, each: u64) -> (File, Anchors) {
        let head = Head {
            run: 1,
            first: 0,
            number: 3,
        };
        let (mut writer, mut bytes) = (SideWriter::default(), head.encode().to_vec());
        for ordinal in 0..entries {
            let end = bytes.len() as u64;
            writer.push(&entry(ordinal), &mut bytes, end);
            if ordinal % each == 0 {
                let end = bytes.len() as u64;
                writer.finish(&mut bytes, end);
            }
        }
        let end = bytes.len() as u64;
        writer.finish(&mut bytes, end);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        (file, Arc::new(writer.anchors().to_vec()))
    }

    #[test]
    fn any_entry_is_found_from_its_anchor_and_without() {
        for each in [1, 7, 256, 10_000] {
            let (file, anchors) = file(2000, each);
            assert!(anchors.len() <= 8, "{}", anchors.len());
            let mut found = SideReader::with_anchors(file.try_clone().unwrap(), anchors);
            let mut plain = SideReader::new(file);
            for step in [1, 13, 700, 1999] {
                for index in (0..2000).step_by(step).chain((0..2000).rev().step_by(step)) {
                    assert_eq!(found.entry(index).unwrap(), Some(entry(index)));
                    if step > 1 {
                        assert_eq!(plain.next_entry(index).unwrap(), Some(entry(index)));
                    }
                }
            }
            assert_eq!(found.entry(2000).unwrap(), None);
            assert_eq!(plain.next_entry(2000).unwrap(), None);
            assert_eq!(found.entry(5).unwrap(), Some(entry(5)));
        }
    }

    #[test]
    fn a_fragment_is_given_its_stream_where_it_stands() {
        let (file, anchors) = file(1000, 50);
        let mut side = SideReader::with_anchors(file.try_clone().unwrap(), anchors);
        let (stream, _) = entry(0).stream.unwrap();
        let adopted = (stream, Direction::ToServer);
        assert!(side.adopt(303, adopted, Some(299)).unwrap());
        assert!(!side.adopt(304, adopted, None).unwrap());
        for mut reader in [side, SideReader::new(file)] {
            let read = reader.entry(303).unwrap().unwrap();
            assert_eq!((read.stream, read.previous), (Some(adopted), Some(299)));
            for other in [299, 302, 307, 999] {
                assert_eq!(reader.entry(other).unwrap(), Some(entry(other)));
            }
        }
    }

    #[test]
    fn a_head_reads_back_and_damage_is_noticed() {
        let head = Head {
            run: 1,
            first: 2,
            number: 3,
        };
        let bytes = head.encode();
        assert_eq!(Head::decode(&bytes), Some(head));
        assert_eq!(Head::decode(&[0; HEAD_SIZE]), None);
        for at in 0..HEAD_SIZE {
            let mut damaged = bytes;
            damaged[at] ^= 4;
            assert_eq!(Head::decode(&damaged), None);
        }
    }
}
