//! The one writer of a spool.
//!
//! In: batches in capture order, ordinals and streams assigned. Out: segments and side files, and
//! each packet's position. Never: an error that would stop capture: a full disk costs packets of
//! the spool, counted and said, and writing goes on when there is room again.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use super::log::{Form, Log};
use super::places::{PacketBytes, Segments};
use super::reader::Reader;
use super::ring::{ByStream, Ring, Segment, SegmentKey};
use super::side::{Entry, Head, SideReader};
use super::{FULL_DISK_RETRY, NOWHERE, Options, SpoolError, recover};
use crate::packet::{Batch, Decoded, Direction, LinkType, Packet, StreamId, StreamName, Transport};
use crate::private;

/// Entries of a side file that stands alone: some 8 MiB.
const INDEX_ENTRIES: u64 = 1 << 20;

/// Sentences kept for whoever asks next.
const MAX_WARNINGS: usize = 16;

/// Appends packets to the ring.
pub struct Writer {
    options: Options,
    ring: Arc<Ring>,
    kind: Kind,
    current: Option<Current>,
    ends: Option<File>,
    next_number: u32,
    failing: Option<Failing>,
    warnings: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Packets and side files.
    Packets,
    /// Side files alone; the packets stay where the source has them.
    Index,
}

struct Current {
    log: Log,
    key: SegmentKey,
    segment: Segment,
    /// The link type of its packets; `None` when it takes all.
    link: Option<LinkType>,
}

/// Fragments whose stream became known, by the ordinal of the packet that adopts them.
type Adoptions = BTreeMap<u64, Adopted>;

struct Adopted {
    stream: (StreamName, Direction),
    /// In order.
    fragments: Vec<u64>,
}

/// The fragments that the packets of a batch adopt: those of each stream by its last packet, which
/// comes behind all of them.
fn adopted(batch: &Batch) -> Adoptions {
    let mut of_stream: BTreeMap<StreamId, Vec<u64>> = BTreeMap::new();
    for (ordinal, stream) in &batch.adopted {
        of_stream.entry(*stream).or_default().push(*ordinal);
    }
    let with_packet = of_stream.into_iter().filter_map(|(stream, mut fragments)| {
        fragments.sort_unstable();
        let is_of_stream = |packet: &&Packet| packet.stream.is_some_and(|(id, _)| id == stream);
        let last = batch.packets.iter().rev().find(is_of_stream)?;
        let stream = entry_of(last).stream?;
        Some((last.ordinal, Adopted { stream, fragments }))
    });
    with_packet.collect()
}

/// Since when nothing can be written.
struct Failing {
    retry_at: Instant,
    packets: u64,
}

impl Writer {
    /// Opens the spool of a new run, reading back what earlier runs left.
    ///
    /// # Errors
    /// When the folder cannot be made or read, or holds packets of this run already
    /// ([`unused_run`](super::unused_run) gives a number that is free).
    pub fn open(options: Options) -> Result<(Writer, Reader), SpoolError> {
        let (writer, ring) = Writer::start(options, Kind::Packets)?;
        let bytes: Arc<dyn PacketBytes> = ring.places(writer.options.run);
        let reader = Reader::new(ring, writer.options.run, bytes);
        Ok((writer, reader))
    }

    /// Opens a spool that holds side files alone, for a source whose `bytes` stay readable by the
    /// positions it gives; nothing is recycled.
    ///
    /// # Errors
    /// As for [`Writer::open`].
    pub fn index_only(
        options: Options,
        bytes: Arc<dyn PacketBytes>,
    ) -> Result<(Writer, Reader), SpoolError> {
        let options = Options {
            max_bytes: u64::MAX,
            segment_bytes: u64::MAX,
            ..options
        };
        let (writer, ring) = Writer::start(options, Kind::Index)?;
        let reader = Reader::new(ring, writer.options.run, bytes);
        Ok((writer, reader))
    }

    fn start(options: Options, kind: Kind) -> Result<(Writer, Arc<Ring>), SpoolError> {
        make_private(&options.dir)?;
        let found = recover::look_through(&options.dir)?;
        let run_dir = super::ring::run_dir(&options.dir, options.run);
        make_private(&run_dir)?;
        let of_run = (options.run, 0)..=(options.run, u32::MAX);
        if found.segments.range(of_run).next().is_some() {
            return Err(SpoolError::RunExists {
                path: options.dir.display().to_string(),
                run: options.run,
            });
        }
        let mut warnings = Vec::new();
        if found.cut > 0 {
            warnings.push(format!(
                "an earlier run ended without notice: {} bytes of unfinished packets were cut from \
                 its spool in {}",
                found.cut,
                options.dir.display()
            ));
        }
        let ring = Arc::new(Ring::new(&options, found));
        let writer = Writer {
            options,
            ring: ring.clone(),
            kind,
            current: None,
            ends: None,
            next_number: 0,
            failing: None,
            warnings,
        };
        Ok((writer, ring))
    }

    /// Appends the packets of a batch and sets their positions; readers see them when it returns.
    ///
    /// A packet that cannot be written gets the position [`NOWHERE`], and is counted.
    ///
    /// # Errors
    /// When old segments cannot be deleted; the batch is in the spool all the same.
    pub fn append(&mut self, batch: &mut Batch) -> Result<(), SpoolError> {
        let mut at = 0;
        let mut result = Ok(());
        let adopted = adopted(batch);
        while at < batch.packets.len() {
            if self.is_waiting() {
                self.lose(batch, at);
                break;
            }
            match self.write_from(batch, at, &adopted) {
                Ok(next) => at = next,
                Err(error) => {
                    let full = error.kind() == std::io::ErrorKind::StorageFull;
                    let keep = self.current_key();
                    if full && self.ring.recycle_oldest(keep).unwrap_or(false) {
                        continue;
                    }
                    self.fail(&error);
                    self.lose(batch, at);
                    break;
                }
            }
            let room = self.ring.make_room(self.current_key());
            result = result.and(room);
        }
        for adopted in adopted.values() {
            self.adopt(adopted);
        }
        self.end_streams(batch);
        result
    }

    /// Packets that could not be written so far.
    pub fn not_written(&self) -> u64 {
        self.ring.lock().counts.not_written.packets
    }

    /// Sentences about trouble since the last call, for console and dashboard.
    pub fn warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// Bytes of a full segment. A ring of fewer than four would lose a quarter or more at each turn.
    fn segment_bytes(&self) -> u64 {
        let quarter = self.ring.max_bytes() / 4;
        self.options.segment_bytes.min(quarter).max(1)
    }

    fn current_key(&self) -> SegmentKey {
        match &self.current {
            Some(current) => current.key,
            None => (self.options.run, self.next_number),
        }
    }

    /// Writes packets from index `at` on, to the end of the batch or of the segment; answers the
    /// index of the next one.
    fn write_from(
        &mut self,
        batch: &mut Batch,
        at: usize,
        adopted: &Adoptions,
    ) -> std::io::Result<usize> {
        let first = batch.packets.get(at).map_or(0, |packet| packet.ordinal);
        let links = batch.packets.get(at..).unwrap_or_default();
        let mut links = links.iter().map(|packet| packet.record.linktype);
        let link = links.next().unwrap_or_default();
        let is_next = |current: &Current| {
            let takes = current.link.is_none_or(|taken| taken == link);
            takes && current.segment.first + current.segment.count == first
        };
        let mut current = match self.current.take().filter(is_next) {
            Some(current) => current,
            // Where link types are mixed, each change would begin a segment.
            None => self.next_segment(first, links.all(|other| other == link).then_some(link))?,
        };
        let mut staged: ByStream<u64> = HashMap::default();
        let mut segment = current.segment;
        let mut next = at;
        let shared = batch.bytes.clone();
        let segment_bytes = self.segment_bytes();
        {
            let state = self.ring.lock();
            for packet in batch.packets.get_mut(at..).unwrap_or_default() {
                let full =
                    current.log.bytes() >= segment_bytes || current.log.entries() >= INDEX_ENTRIES;
                let linktype = packet.record.linktype;
                let takes = current.link.is_none_or(|taken| taken == linktype);
                let follows = packet.ordinal == segment.first + segment.count;
                if !takes || !follows || (full && next > at) {
                    break;
                }
                let start = packet.record.start as usize;
                let bytes = shared
                    .get(start..start.saturating_add(packet.record.caplen as usize))
                    .unwrap_or_default();
                let mut entry = entry_of(packet);
                if let Some(stream) = entry.stream_id() {
                    let before = staged.insert(stream, packet.ordinal);
                    entry.previous = before.or_else(|| state.open.get(&stream).copied());
                }
                if self.kind == Kind::Packets {
                    entry.position.file = current.key.1;
                }
                let adopts = adopted.get(&packet.ordinal);
                entry.adopts = adopts.and_then(|adopted| adopted.fragments.last().copied());
                packet.record.position = current.log.push(entry, bytes).position;
                segment.extend(packet);
                next += 1;
            }
        }
        let committed = current.log.commit();
        if let Err(error) = committed {
            if current.segment.count > 0 {
                self.current = Some(current);
            } else {
                // Nothing is in it yet, so its files would only be in the way.
                let _ = current.log.pair().remove();
            }
            return Err(error);
        }
        segment.bytes = current.log.bytes();
        self.publish(&current, segment, staged);
        current.segment = segment;
        let full = segment.bytes >= segment_bytes || segment.count >= INDEX_ENTRIES;
        self.current = (!full).then_some(current);
        self.resumed();
        Ok(next)
    }

    fn publish(&self, current: &Current, segment: Segment, staged: ByStream<u64>) {
        let mut state = self.ring.lock();
        state.counts.packets += segment.count - current.segment.count;
        state.counts.bytes += segment.captured - current.segment.captured;
        state.segments.insert(current.key, segment);
        let known = Arc::make_mut(state.anchors.entry(current.key).or_default());
        let anchors = current.log.anchors();
        known.extend_from_slice(anchors.get(known.len()..).unwrap_or_default());
        state.open.extend(staged);
    }

    /// Begins a segment, for packets of one link type when that is given.
    fn next_segment(&mut self, first: u64, link: Option<LinkType>) -> std::io::Result<Current> {
        let number = self.next_number;
        let head = Head {
            run: self.options.run,
            first,
            number,
        };
        let run_dir = self.ring.run_dir(self.options.run);
        let pair = Segments::pair(&run_dir, number, Form::default());
        let (log, link) = match (self.kind, link) {
            (Kind::Packets, Some(link)) => {
                (Log::create_classic(pair.clone(), head, link)?, Some(link))
            }
            (Kind::Packets, None) => (Log::create(pair.clone(), head, "")?, None),
            (Kind::Index, _) => (Log::create_index(pair.clone(), head)?, None),
        };
        self.next_number += 1;
        self.ends = OpenOptions::new()
            .create(true)
            .append(true)
            .open(pair.ends())
            .ok();
        Ok(Current {
            segment: Segment {
                first,
                count: 0,
                bytes: log.bytes(),
                captured: 0,
                span: Default::default(),
                form: log.pair().form(),
            },
            link,
            log,
            key: (self.options.run, number),
        })
    }

    /// Writes down where the streams ended, then forgets them; a reader that no longer finds a
    /// stream among the open ones finds it there.
    fn end_streams(&mut self, batch: &Batch) {
        if batch.ended.is_empty() {
            return;
        }
        let mut bytes = Vec::with_capacity(batch.ended.len() * 16);
        {
            let state = self.ring.lock();
            for ended in &batch.ended {
                if let Some(last) = state.open.get(&ended.stream) {
                    bytes.extend_from_slice(&ended.stream.0.to_le_bytes());
                    bytes.extend_from_slice(&last.to_le_bytes());
                }
            }
        }
        if let Some(ends) = &mut self.ends {
            // Without it the stream is found by looking through the side files.
            let _ = ends.write_all(&bytes);
        }
        let mut state = self.ring.lock();
        for ended in &batch.ended {
            state.open.remove(&ended.stream);
        }
    }

    /// Says in the side files which stream fragments belong to; without it, only they are missed.
    fn adopt(&self, adopted: &Adopted) {
        let mut previous = None;
        for ordinal in &adopted.fragments {
            let run = self.options.run;
            let found = self.ring.lock().segment_of(run, *ordinal);
            let Some((key, segment)) = found else {
                continue;
            };
            let done = self
                .side(key)
                .and_then(|mut side| side.adopt(ordinal - segment.first, adopted.stream, previous));
            if done.is_ok_and(|done| done) {
                previous = Some(*ordinal);
            }
        }
    }

    fn side(&self, key: SegmentKey) -> std::io::Result<SideReader> {
        let pair = Segments::pair(&self.ring.run_dir(key.0), key.1, Form::default());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(pair.side())?;
        let anchors = self.ring.lock().anchors.get(&key).cloned();
        Ok(SideReader::with_anchors(file, anchors.unwrap_or_default()))
    }

    fn is_waiting(&self) -> bool {
        self.failing
            .as_ref()
            .is_some_and(|failing| Instant::now() < failing.retry_at)
    }

    fn fail(&mut self, error: &std::io::Error) {
        let retry_at = Instant::now() + FULL_DISK_RETRY;
        match &mut self.failing {
            Some(failing) => failing.retry_at = retry_at,
            None => {
                self.failing = Some(Failing {
                    retry_at,
                    packets: 0,
                });
                self.warn(format!(
                    "packets can no longer be written to the spool in {}: {error}; what is captured \
                     from now on cannot be looked back at until there is room again",
                    self.options.dir.display()
                ));
            }
        }
    }

    fn resumed(&mut self) {
        if let Some(failing) = self.failing.take() {
            self.warn(format!(
                "the spool in {} is written to again; {} packets are missing from it",
                self.options.dir.display(),
                failing.packets
            ));
        }
    }

    fn warn(&mut self, sentence: String) {
        if self.warnings.len() < MAX_WARNINGS {
            self.warnings.push(sentence);
        }
    }

    /// Counts packets from index `at` on as not written.
    fn lose(&mut self, batch: &mut Batch, at: usize) {
        let lost = batch.packets.get_mut(at..).unwrap_or_default();
        let mut state = self.ring.lock();
        for packet in lost {
            if self.kind == Kind::Packets {
                packet.record.position = NOWHERE;
            }
            let (ts, caplen) = (packet.record.ts, u64::from(packet.record.caplen));
            state.counts.not_written.add(1, caplen, (ts, ts));
            if let Some(failing) = &mut self.failing {
                failing.packets += 1;
            }
        }
    }
}

impl Segment {
    fn extend(&mut self, packet: &Packet) {
        let ts = packet.record.ts;
        self.span = if self.count == 0 {
            (ts, ts)
        } else {
            (self.span.0.min(ts), self.span.1.max(ts))
        };
        self.count += 1;
        self.captured += u64::from(packet.record.caplen);
    }
}

/// What the side file says of a packet, its place in the stream apart.
fn entry_of(packet: &Packet) -> Entry {
    let transport = match packet.decoded {
        Decoded::Flow(layers) => layers.tuple.transport,
        _ => Transport::Other(0),
    };
    Entry {
        ordinal: packet.ordinal,
        stream: packet
            .stream
            .map(|(stream, direction)| (StreamName { stream, transport }, direction)),
        previous: None,
        ts: packet.record.ts,
        position: packet.record.position,
        caplen: packet.record.caplen,
        len: packet.record.len,
        interface: packet.record.interface,
        linktype: packet.record.linktype,
        fragment: packet.decoded == Decoded::Fragment,
        adopts: None,
    }
}

/// Makes a folder that only its owner may enter.
pub(crate) fn make_private(dir: &std::path::Path) -> Result<(), SpoolError> {
    private::make_folder(dir).map_err(SpoolError::io("make", dir))?;
    private::close_folder(dir).map_err(SpoolError::io("protect", dir))
}
