//! Reading streams and time windows back out of the spool.
//!
//! In: a stream's number or a time window. Out: its packets in order, with their bytes. Never:
//! stopping the writer: what is recycled while it is read is counted as missing.

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io;
use std::sync::Arc;

use ahash::RandomState;

use super::SpoolError;
use super::log::{Form, Pair, read_packet};
use super::places::{PacketBytes, Segments};
use super::ring::{Counts, Ring, Segment};
use super::side::{Entry, SideReader};
use crate::packet::StreamId;
use crate::system::read_at;
use crate::time::Timestamp;

/// Packets of one stream that are listed at once (64 MiB of entries); longer streams are found by
/// looking through the side files, a segment at a time.
const MAX_CHAIN: usize = 1 << 20;

/// Bytes of a list of ended streams read at a time; a multiple of its entries' 16 bytes.
const ENDS_READ: usize = 64 * 1024;

/// A set of streams.
pub(crate) type Streams = HashSet<StreamId, RandomState>;

/// A packet read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spooled {
    /// What is known of it.
    pub entry: Entry,
    /// Its captured bytes.
    pub bytes: Vec<u8>,
}

/// Reads one run of a spool; cheap to clone and to share.
#[derive(Clone)]
pub struct Reader {
    ring: Arc<Ring>,
    run: u64,
    bytes: Arc<dyn PacketBytes>,
}

impl Reader {
    pub(crate) fn new(ring: Arc<Ring>, run: u64, bytes: Arc<dyn PacketBytes>) -> Reader {
        Reader { ring, run, bytes }
    }

    /// The run it reads.
    pub fn run(&self) -> u64 {
        self.run
    }

    /// Runs of which packets are left, in order.
    pub fn runs(&self) -> Vec<u64> {
        self.ring.runs()
    }

    /// A reader of an earlier run; `None` when nothing of it is left.
    pub fn of_run(&self, run: u64) -> Option<Reader> {
        if run == self.run {
            return Some(self.clone());
        }
        self.ring.runs().contains(&run).then(|| Reader {
            ring: self.ring.clone(),
            run,
            bytes: self.ring.places(run),
        })
    }

    /// Counts of the whole spool.
    pub fn counts(&self) -> Counts {
        self.ring.counts()
    }

    /// Bounds the bytes of all segments, and of pinned packets beside them, from now on; the next
    /// packets that are written make the room.
    pub fn bound(&self, max_bytes: u64, max_pin_bytes: u64) {
        self.ring.bound(max_bytes, max_pin_bytes);
    }

    /// Whether more packets of a stream may come.
    pub fn is_open(&self, stream: StreamId) -> bool {
        self.ring.last_of_open(self.run, stream).is_some()
    }

    /// Ordinal of a stream's last packet so far; `None` when it is unknown, or when the lists of
    /// ended streams do not have it.
    ///
    /// # Errors
    /// When a list cannot be read.
    pub fn last(&self, stream: StreamId) -> Result<Option<u64>, SpoolError> {
        match self.ring.last_of_open(self.run, stream) {
            Some(last) => Ok(Some(last)),
            None => self.end_of(stream),
        }
    }

    /// Keeps a stream when its segments are recycled, until [`Reader::unpin`] was called as often;
    /// false when there are too many pins already.
    pub fn pin(&self, stream: StreamId) -> bool {
        self.ring.pin(self.run, stream)
    }

    /// Takes one pin back.
    pub fn unpin(&self, stream: StreamId) {
        self.ring.unpin(self.run, stream);
    }

    /// Lets go of what earlier processes kept and nobody pinned again since the start; to be called
    /// once all links were found. Answers how many streams those were.
    pub fn drop_unpinned(&self) -> usize {
        self.ring.drop_unpinned()
    }

    /// The packets of a stream in order; only those with an ordinal below `before`, when given.
    ///
    /// An unknown stream has none.
    ///
    /// # Errors
    /// When a side file cannot be read.
    pub fn stream(&self, stream: StreamId, before: Option<u64>) -> Result<Packets, SpoolError> {
        let before = before.unwrap_or(u64::MAX);
        let mut packets = Packets::new(self.clone());
        match self.chain(stream, before)? {
            Chain::Whole(entries) => packets.add_chain(stream, before, entries)?,
            Chain::Search => {
                let mut streams = Streams::default();
                streams.insert(stream);
                packets.search(Want::Streams(streams), before, stream.0)?;
            }
        }
        Ok(packets)
    }

    /// Packets of several streams, each stream in order, the streams one after the other or mixed.
    ///
    /// # Errors
    /// As for [`Reader::stream`].
    pub(crate) fn streams(&self, streams: Streams) -> Result<Packets, SpoolError> {
        /// Up to here following chains reads less than looking through the segments.
        const FEW: usize = 16;
        let mut packets = Packets::new(self.clone());
        if streams.len() <= FEW {
            let mut chains = Vec::new();
            for stream in &streams {
                if let Chain::Whole(entries) = self.chain(*stream, u64::MAX)? {
                    chains.push((*stream, entries));
                }
            }
            let listed: usize = chains.iter().map(|(_, entries)| entries.len()).sum();
            if chains.len() == streams.len() && listed <= MAX_CHAIN {
                for (stream, entries) in chains {
                    packets.add_chain(stream, u64::MAX, entries)?;
                }
                return Ok(packets);
            }
        }
        let first = streams.iter().map(|stream| stream.0).min().unwrap_or(0);
        packets.search(Want::Streams(streams), u64::MAX, first)?;
        Ok(packets)
    }

    /// All packets captured from `from` up to, not including, `to`, in order.
    pub fn window(&self, from: Timestamp, to: Timestamp) -> Packets {
        let mut packets = Packets::new(self.clone());
        packets.scan = Some(Scan {
            want: Want::Window(from, to),
            before: u64::MAX,
            next: 0,
        });
        packets
    }

    /// One packet by its ordinal; `None` when it is not, or no longer, there.
    ///
    /// # Errors
    /// When the system refuses to read it.
    pub fn packet(&self, ordinal: u64) -> Result<Option<Spooled>, SpoolError> {
        let Some(entry) = self.entry(&mut None, ordinal)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        match self.bytes.read(entry.position, entry.caplen, &mut bytes) {
            Ok(()) => Ok(Some(Spooled { entry, bytes })),
            Err(SpoolError::Gone { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The packets with ordinals from `first` on, `count` of them, in order; those that are not, or
    /// no longer, there are passed over.
    ///
    /// # Errors
    /// When the system refuses to read them.
    pub fn range(
        &self,
        first: u64,
        count: u64,
        each: &mut dyn FnMut(&Entry, &[u8]),
    ) -> Result<(), SpoolError> {
        let (mut cursor, mut bytes) = (None, Vec::new());
        for ordinal in first..first.saturating_add(count) {
            let Some(entry) = self.entry(&mut cursor, ordinal)? else {
                continue;
            };
            match self.bytes.read(entry.position, entry.caplen, &mut bytes) {
                Ok(()) => each(&entry, &bytes),
                Err(SpoolError::Gone { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Follows a stream from its last packet back to its first.
    fn chain(&self, stream: StreamId, before: u64) -> Result<Chain, SpoolError> {
        let mut entries = Vec::new();
        let is_whole = self.walk(stream, &mut |entry| {
            if entry.ordinal >= before {
                return true;
            }
            entries.push(entry);
            entries.len() <= MAX_CHAIN
        })?;
        if !is_whole {
            return Ok(Chain::Search);
        }
        // Fragments lie before the packet that adopts them, others of the stream between them.
        entries.sort_unstable_by_key(|entry| entry.ordinal);
        entries.dedup_by_key(|entry| entry.ordinal);
        Ok(Chain::Whole(entries))
    }

    /// Hands the entries of a stream to `each`, from the last packet back to the first that is there,
    /// as long as it wants more; false when it did not, or the last one is not known.
    pub(super) fn walk(
        &self,
        stream: StreamId,
        each: &mut dyn FnMut(Entry) -> bool,
    ) -> Result<bool, SpoolError> {
        let mut cursor = None;
        if let Some(first) = self.entry(&mut cursor, stream.0)?
            && first.stream_id() != Some(stream)
        {
            return Ok(true);
        }
        let Some(mut at) = self.last(stream)? else {
            return Ok(false);
        };
        while let Some(entry) = self.entry(&mut cursor, at)? {
            if entry.stream_id() != Some(stream) {
                break;
            }
            let (adopts, previous) = (entry.adopts, entry.previous);
            if !each(entry) {
                return Ok(false);
            }
            if let Some(last) = adopts.filter(|last| *last < at)
                && !self.fragments(stream, last, each)?
            {
                return Ok(false);
            }
            // Ordinals fall along the chain, or a damaged file could lead round in circles.
            match previous.filter(|previous| *previous < at) {
                Some(previous) => at = previous,
                None => break,
            }
        }
        Ok(true)
    }

    /// The fragments that one packet adopts, from the last back to the first; false when `each` wants
    /// no more.
    fn fragments(
        &self,
        stream: StreamId,
        last: u64,
        each: &mut dyn FnMut(Entry) -> bool,
    ) -> Result<bool, SpoolError> {
        let (mut cursor, mut at) = (None, last);
        while let Some(entry) = self.entry(&mut cursor, at)? {
            if entry.stream_id() != Some(stream) || !entry.fragment {
                break;
            }
            let previous = entry.previous;
            if !each(entry) {
                return Ok(false);
            }
            match previous.filter(|previous| *previous < at) {
                Some(previous) => at = previous,
                None => break,
            }
        }
        Ok(true)
    }

    /// Ordinal of the last packet of a stream that ended, from the lists of ends.
    fn end_of(&self, stream: StreamId) -> Result<Option<u64>, SpoolError> {
        for (number, segment) in self.segments() {
            if segment.first + segment.count <= stream.0 {
                continue;
            }
            let path = self.pair(number).ends();
            let file = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(SpoolError::io("open", &path))?,
            };
            if let Some(last) = last_in(&file, stream).map_err(SpoolError::io("read", &path))? {
                return Ok(Some(last));
            }
        }
        Ok(None)
    }

    fn segments(&self) -> Vec<(u32, Segment)> {
        let state = self.ring.lock();
        state
            .segments
            .range((self.run, 0)..=(self.run, u32::MAX))
            .map(|((_, number), segment)| (*number, *segment))
            .collect()
    }

    fn pair(&self, number: u32) -> Pair {
        // Of side files and lists of ends the kind of the savefile says nothing.
        Segments::pair(&self.ring.run_dir(self.run), number, Form::default())
    }

    /// The entry of a packet; `cursor` keeps the side file at hand.
    fn entry(
        &self,
        cursor: &mut Option<Cursor>,
        ordinal: u64,
    ) -> Result<Option<Entry>, SpoolError> {
        let holds = |cursor: &Cursor| {
            ordinal >= cursor.segment.first && ordinal - cursor.segment.first < cursor.segment.count
        };
        if !cursor.as_ref().is_some_and(holds) {
            let (key, segment, anchors) = {
                let state = self.ring.lock();
                let Some((key, segment)) = state.segment_of(self.run, ordinal) else {
                    return Ok(None);
                };
                let anchors = state.anchors.get(&key).cloned();
                (key, segment, anchors.unwrap_or_default())
            };
            let pair = self.pair(key.1);
            let side = match File::open(pair.side()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                other => other.map_err(SpoolError::io("open", &pair.side()))?,
            };
            let side = SideReader::with_anchors(side, anchors);
            *cursor = Some(Cursor {
                number: key.1,
                segment,
                side,
            });
        }
        let Some(cursor) = cursor else {
            return Ok(None);
        };
        let path = self.pair(cursor.number).side();
        let entry = cursor
            .side
            .entry(ordinal - cursor.segment.first)
            .map_err(SpoolError::io("read", &path))?;
        Ok(entry.filter(|entry| entry.ordinal == ordinal))
    }
}

/// A side file that is being read.
struct Cursor {
    number: u32,
    segment: Segment,
    side: SideReader,
}

enum Chain {
    /// All packets asked for.
    Whole(Vec<Entry>),
    /// Too long, or its end is not known: look through the side files.
    Search,
}

fn last_in(file: &File, stream: StreamId) -> io::Result<Option<u64>> {
    let mut bytes = vec![0; ENDS_READ];
    let mut at = 0;
    let mut last = None;
    loop {
        let got = read_at(file, &mut bytes, at)?;
        let (entries, _) = bytes.get(..got).unwrap_or_default().as_chunks::<16>();
        for entry in entries {
            let value = u128::from_le_bytes(*entry);
            if value as u64 == stream.0 {
                last = Some((value >> 64) as u64);
            }
        }
        if got < ENDS_READ {
            return Ok(last);
        }
        at += got as u64;
    }
}

/// Which packets a search is for.
#[derive(Debug)]
enum Want {
    Streams(Streams),
    Window(Timestamp, Timestamp),
}

#[derive(Debug)]
struct Scan {
    want: Want,
    before: u64,
    /// Number of the segment to look through next.
    next: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    Ring,
    Pin(StreamId),
}

/// Packets being read back, in order.
pub struct Packets {
    reader: Reader,
    queue: VecDeque<(Held, Entry)>,
    scan: Option<Scan>,
    pin: Option<(StreamId, File)>,
    missing: u64,
    from: u64,
}

impl Packets {
    fn new(reader: Reader) -> Packets {
        Packets {
            reader,
            queue: VecDeque::new(),
            scan: None,
            pin: None,
            missing: 0,
            from: 0,
        }
    }

    /// The same without the packets before an ordinal.
    pub(crate) fn since(mut self, ordinal: u64) -> Packets {
        self.from = ordinal;
        self
    }

    /// Packets that were recycled between being listed and being read.
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// The next packet's entry, without its bytes; `None` at the end.
    ///
    /// # Errors
    /// When a side file cannot be read.
    pub(crate) fn next_entry(&mut self) -> Result<Option<Listed>, SpoolError> {
        loop {
            match self.queue.pop_front() {
                Some((_, entry)) if entry.ordinal < self.from => {}
                Some((held, entry)) => return Ok(Some(Listed { held, entry })),
                None if self.fill()? => {}
                None => return Ok(None),
            }
        }
    }

    /// The bytes of a listed packet; false, and counted, when it is gone.
    ///
    /// # Errors
    /// When the system refuses to read them.
    pub(crate) fn read(&mut self, listed: &Listed, into: &mut Vec<u8>) -> Result<bool, SpoolError> {
        let entry = &listed.entry;
        let done = match listed.held {
            Held::Ring => self.reader.bytes.read(entry.position, entry.caplen, into),
            Held::Pin(stream) => self.read_pinned(stream, entry, into),
        };
        match done {
            Ok(()) => Ok(true),
            Err(SpoolError::Gone { .. }) => {
                self.missing += 1;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn read_pinned(
        &mut self,
        stream: StreamId,
        entry: &Entry,
        into: &mut Vec<u8>,
    ) -> Result<(), SpoolError> {
        let gone = SpoolError::Gone {
            file: entry.position.file,
            offset: entry.position.offset,
        };
        let file = match self.pin.take() {
            Some((open, file)) if open == stream => file,
            _ => {
                let pair = self.reader.ring.pin_pair(self.reader.run, stream);
                File::open(pair.data()).map_err(|_| {
                    let Entry { position, .. } = *entry;
                    SpoolError::Gone {
                        file: position.file,
                        offset: position.offset,
                    }
                })?
            }
        };
        let done = read_packet(&file, entry.position, entry.caplen, into).map_err(|_| gone);
        self.pin = Some((stream, file));
        done
    }

    /// Lists the packets of one stream, first those that were kept from recycled segments.
    fn add_chain(
        &mut self,
        stream: StreamId,
        before: u64,
        entries: Vec<Entry>,
    ) -> Result<(), SpoolError> {
        // The ring was read first: what moved to the pin since is in both, and goes in once.
        let first = entries.first().map_or(u64::MAX, |entry| entry.ordinal);
        self.add_pinned(stream, before.min(first))?;
        self.queue
            .extend(entries.into_iter().map(|entry| (Held::Ring, entry)));
        Ok(())
    }

    fn add_pinned(&mut self, stream: StreamId, before: u64) -> Result<(), SpoolError> {
        let pair = self.reader.ring.pin_pair(self.reader.run, stream);
        let mut side = match pair.read_side() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(SpoolError::io("open", &pair.side()))?,
        };
        let mut index = 0;
        while let Some(entry) = side
            .next_entry(index)
            .map_err(SpoolError::io("read", &pair.side()))?
        {
            index += 1;
            if entry.ordinal < before {
                self.queue.push_back((Held::Pin(stream), entry));
            }
        }
        Ok(())
    }

    /// Looks for packets segment by segment, from the one that holds ordinal `first` on.
    fn search(&mut self, want: Want, before: u64, first: u64) -> Result<(), SpoolError> {
        let segments = self.reader.segments();
        // Fragments may lie before the packet that gave the stream its number.
        let at = segments.partition_point(|(_, segment)| segment.first <= first);
        let next = segments
            .get(at.saturating_sub(2))
            .map_or(0, |(number, _)| *number);
        let oldest = segments
            .first()
            .map_or(u64::MAX, |(_, segment)| segment.first);
        if let Want::Streams(streams) = &want {
            for stream in streams {
                self.add_pinned(*stream, before.min(oldest))?;
            }
        }
        self.scan = Some(Scan { want, before, next });
        Ok(())
    }

    /// Lists the packets of one more segment; false when there is none.
    fn fill(&mut self) -> Result<bool, SpoolError> {
        let Some(scan) = &mut self.scan else {
            return Ok(false);
        };
        let run = self.reader.run;
        let found = {
            let state = self.reader.ring.lock();
            state
                .segments
                .range((run, scan.next)..=(run, u32::MAX))
                .next()
                .map(|((_, number), segment)| (*number, *segment))
        };
        let Some((number, segment)) = found.filter(|(_, segment)| segment.first < scan.before)
        else {
            self.scan = None;
            return Ok(false);
        };
        scan.next = number.saturating_add(1);
        let is_outside = match &scan.want {
            Want::Window(from, to) => segment.span.1 < *from || segment.span.0 >= *to,
            Want::Streams(_) => false,
        };
        if is_outside {
            return Ok(true);
        }
        let pair = self.reader.pair(number);
        let mut side = match pair.read_side() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            other => other.map_err(SpoolError::io("open", &pair.side()))?,
        };
        for index in 0..segment.count {
            let read = side.next_entry(index);
            let Some(entry) = read.map_err(SpoolError::io("read", &pair.side()))? else {
                break;
            };
            let wanted = match &scan.want {
                Want::Streams(streams) => entry
                    .stream_id()
                    .is_some_and(|stream| streams.contains(&stream)),
                Want::Window(from, to) => entry.ts >= *from && entry.ts < *to,
            };
            if wanted && entry.ordinal < scan.before {
                self.queue.push_back((Held::Ring, entry));
            }
        }
        Ok(true)
    }
}

/// A packet that was found and whose bytes were not read yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listed {
    held: Held,
    pub(crate) entry: Entry,
}

impl Iterator for Packets {
    type Item = Result<Spooled, SpoolError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut bytes = Vec::new();
        loop {
            let listed = match self.next_entry() {
                Ok(listed) => listed?,
                Err(error) => return Some(Err(error)),
            };
            match self.read(&listed, &mut bytes) {
                Ok(true) => {
                    let entry = listed.entry;
                    return Some(Ok(Spooled { entry, bytes }));
                }
                Ok(false) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
