//! Pinned streams: what is kept of them when their segments are recycled.
//!
//! In: who keeps which stream, and segments that are about to go. Out: a pair of files for each stream
//! that had packets in them. Never: a ring that stands still for them: what cannot be kept is counted.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::log::{Log, Pair, read_bytes, recover};
use super::side::{Entry, Head};
use crate::packet::StreamId;

/// Streams pinned at a time; each may come to hold two files.
const MAX_PINNED: usize = 65_536;

/// Packets of a segment that are moved at a time: their entries are some 7 MB.
const MAX_MOVED: usize = 1 << 16;

#[derive(Debug, Default)]
struct Pin {
    /// Who wants it.
    count: usize,
    /// Bytes of its files.
    bytes: u64,
}

/// The pinned streams of all runs.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    all: BTreeMap<(u64, StreamId), Pin>,
    /// Bytes of all of them together.
    bytes: u64,
}

impl Pins {
    /// What earlier processes kept: run, stream and bytes.
    pub(crate) fn of(found: Vec<(u64, StreamId, u64)>) -> Pins {
        let bytes = found.iter().map(|(.., bytes)| bytes).sum();
        let pins = found
            .into_iter()
            .map(|(run, stream, bytes)| ((run, stream), Pin { count: 0, bytes }));
        Pins {
            all: pins.collect(),
            bytes,
        }
    }

    /// Bytes of what is kept.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Runs of the pinned streams, each perhaps many times.
    pub(crate) fn runs(&self) -> impl Iterator<Item = u64> {
        self.all.keys().map(|(run, _)| *run)
    }

    /// Counts one more wish to keep a stream; false when there are too many pins.
    pub(crate) fn add(&mut self, run: u64, stream: StreamId) -> bool {
        if self.all.len() >= MAX_PINNED && !self.all.contains_key(&(run, stream)) {
            return false;
        }
        self.all.entry((run, stream)).or_default().count += 1;
        true
    }

    /// Counts one wish less; the last one lets the kept packets go.
    pub(crate) fn take_back(&mut self, run: u64, run_dir: &Path, stream: StreamId) {
        let Some(pin) = self.all.get_mut(&(run, stream)) else {
            return;
        };
        pin.count = pin.count.saturating_sub(1);
        if pin.count == 0 {
            self.remove(run, run_dir, stream);
        }
    }

    /// Streams that nobody wants.
    pub(crate) fn idle(&self) -> Vec<(u64, StreamId)> {
        let idle = self.all.iter().filter(|(_, pin)| pin.count == 0);
        idle.map(|(key, _)| *key).collect()
    }

    /// Lets the kept packets of a stream go.
    pub(crate) fn remove(&mut self, run: u64, run_dir: &Path, stream: StreamId) {
        if let Some(pin) = self.all.remove(&(run, stream)) {
            self.bytes -= pin.bytes;
        }
        let _ = pin_pair(run_dir, stream).remove();
    }

    /// Moves packets of pinned streams out of a segment of `run`, up to `max_bytes` of all pins; answers
    /// how many could not be moved.
    ///
    /// The files of each stream are opened once for all of its packets: many streams are pinned, and
    /// nothing is captured meanwhile.
    pub(crate) fn rescue(
        &mut self,
        run: u64,
        run_dir: &Path,
        segment: &Pair,
        max_bytes: u64,
    ) -> u64 {
        let of_run = (run, StreamId(0))..=(run, StreamId(u64::MAX));
        if self.all.range(of_run).next().is_none() {
            return 0;
        }
        let (Ok(mut side), Ok(data)) = (segment.read_side(), File::open(segment.data())) else {
            return 0;
        };
        let head = segment.form().head();
        let mut read = |entry: &Entry, into: &mut Vec<u8>| {
            let at = entry.position.offset.saturating_add(head);
            read_bytes(&data, at, entry.caplen, into)
        };
        let (mut lost, mut index) = (0, 0);
        loop {
            let mut of_stream: BTreeMap<StreamId, Vec<Entry>> = BTreeMap::new();
            let mut moved = 0;
            while moved < MAX_MOVED
                && let Ok(Some(entry)) = side.next_entry(index)
            {
                index += 1;
                if let Some(stream) = entry.stream_id()
                    && self.all.contains_key(&(run, stream))
                {
                    of_stream.entry(stream).or_default().push(entry);
                    moved += 1;
                }
            }
            if of_stream.is_empty() {
                return lost;
            }
            for (stream, entries) in of_stream {
                let pair = pin_pair(run_dir, stream);
                let kept = self.keep((run, stream), pair, &entries, max_bytes, &mut read);
                lost += entries.len() as u64 - kept.unwrap_or(0);
            }
        }
    }

    /// Adds packets to what is kept of a stream in `pair`, as far as there is room; answers how many.
    fn keep(
        &mut self,
        (run, stream): (u64, StreamId),
        pair: Pair,
        entries: &[Entry],
        max_bytes: u64,
        read: &mut dyn FnMut(&Entry, &mut Vec<u8>) -> io::Result<()>,
    ) -> io::Result<u64> {
        if self.bytes >= max_bytes {
            return Ok(0);
        }
        let mut log = match recover(&pair, false)? {
            Some(recovered) => Log::reopen(pair, &recovered)?,
            None => {
                if let Some(folder) = pair.data().parent() {
                    fs::create_dir_all(folder)?;
                }
                let head = Head {
                    run,
                    first: stream.0,
                    number: 0,
                };
                Log::create(pair, head, "packets of one stream, kept from the ring")?
            }
        };
        let before = log.entries();
        let pin = self.all.entry((run, stream)).or_default();
        let others = self.bytes - pin.bytes;
        let mut bytes = Vec::new();
        for entry in entries {
            if others + log.bytes() >= max_bytes {
                break;
            }
            if read(entry, &mut bytes).is_ok() {
                log.push(*entry, &bytes);
            }
        }
        let done = log.commit();
        pin.bytes = log.bytes();
        self.bytes = others + pin.bytes;
        done.map(|()| log.entries() - before)
    }
}

/// What the files are called that keep a stream.
pub(crate) fn pin_pair(run_dir: &Path, stream: StreamId) -> Pair {
    Pair::new(&run_dir.join("pins"), &format!("{:012}", stream.0))
}
