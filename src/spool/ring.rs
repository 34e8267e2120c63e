//! What writer and readers of a spool share: which segments there are, open streams, pins, counts.
//!
//! In: what the writer committed. Out: where a packet's entry is. Never: packet bytes in memory.
//! The lock is held for a look-up or for one batch, never while a file is read, except when a
//! segment that holds pinned streams is recycled.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ahash::RandomState;

use super::log::{Form, Pair};
use super::pins::{Pins, pin_pair};
use super::places::Segments;
use super::recover::Found;
use super::side::Anchors;
use super::{Lost, Options, SpoolError};
use crate::packet::StreamId;
use crate::time::Timestamp;

/// A table keyed by streams.
pub(crate) type ByStream<V> = HashMap<StreamId, V, RandomState>;

/// Run and number: the order in which the segments of a run are recycled.
pub(crate) type SegmentKey = (u64, u32);

/// What is known of a segment without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Ordinal of its first packet; the others follow one by one.
    pub(crate) first: u64,
    /// Packets.
    pub(crate) count: u64,
    /// Bytes of its files.
    pub(crate) bytes: u64,
    /// Captured bytes of its packets.
    pub(crate) captured: u64,
    /// Earliest and latest packet time.
    pub(crate) span: (Timestamp, Timestamp),
    /// What kind of savefile it has.
    pub(crate) form: Form,
}

/// Counts of a spool since it was opened.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Packets written.
    pub packets: u64,
    /// Their captured bytes.
    pub bytes: u64,
    /// Bytes on disk now, pins included.
    pub on_disk: u64,
    /// Segments now, those of earlier runs included.
    pub segments: usize,
    /// Recycled to make room.
    pub overwritten: Lost,
    /// Never written, since the disk was full or refused.
    pub not_written: Lost,
    /// Packets of pinned streams that were recycled because the pins' share was full.
    pub pins_dropped: u64,
    /// Streams open now.
    pub open_streams: usize,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) segments: BTreeMap<SegmentKey, Segment>,
    /// Where the entries of each are found.
    pub(crate) anchors: BTreeMap<SegmentKey, Anchors>,
    /// Last packet of each open stream of the current run.
    pub(crate) open: ByStream<u64>,
    pins: Pins,
    pub(crate) counts: Counts,
    /// Readers of the current run's segments, told before one is deleted.
    places: Vec<(u64, Arc<Segments>)>,
}

/// A spool's folder and state.
#[derive(Debug)]
pub(crate) struct Ring {
    pub(crate) dir: PathBuf,
    /// The run that is written.
    run: u64,
    /// Bytes of all segments, and of what is pinned beside them.
    max_bytes: AtomicU64,
    max_pin_bytes: AtomicU64,
    state: Mutex<State>,
}

impl Ring {
    pub(crate) fn new(options: &Options, found: Found) -> Ring {
        let state = State {
            segments: found.segments,
            anchors: found.anchors,
            pins: Pins::of(found.pins),
            ..State::default()
        };
        Ring {
            dir: options.dir.clone(),
            run: options.run,
            max_bytes: options.max_bytes.into(),
            max_pin_bytes: options.max_pin_bytes.into(),
            state: Mutex::new(state),
        }
    }

    /// Bytes that all segments together may have.
    pub(crate) fn max_bytes(&self) -> u64 {
        self.max_bytes.load(Ordering::Relaxed)
    }

    /// Bounds segments and pins anew; the next packets that are written make the room.
    pub(crate) fn bound(&self, max_bytes: u64, max_pin_bytes: u64) {
        self.max_bytes.store(max_bytes, Ordering::Relaxed);
        self.max_pin_bytes.store(max_pin_bytes, Ordering::Relaxed);
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ordinal of the last packet of a stream that is open; those of earlier runs are over.
    pub(crate) fn last_of_open(&self, run: u64, stream: StreamId) -> Option<u64> {
        let open = (run == self.run).then(|| self.lock().open.get(&stream).copied());
        open.flatten()
    }

    /// Folder of a run.
    pub(crate) fn run_dir(&self, run: u64) -> PathBuf {
        run_dir(&self.dir, run)
    }

    /// Runs that have packets.
    pub(crate) fn runs(&self) -> Vec<u64> {
        let state = self.lock();
        let mut runs: Vec<u64> = state.segments.keys().map(|(run, _)| *run).collect();
        runs.extend(state.pins.runs());
        runs.sort_unstable();
        runs.dedup();
        runs
    }

    /// The way to the bytes of a run, the same for all its readers.
    pub(crate) fn places(&self, run: u64) -> Arc<Segments> {
        let mut state = self.lock();
        if let Some((_, places)) = state.places.iter().find(|(known, _)| *known == run) {
            return places.clone();
        }
        let places = Arc::new(Segments::new(self.run_dir(run)));
        state.places.push((run, places.clone()));
        places
    }

    /// Counts now.
    pub(crate) fn counts(&self) -> Counts {
        let state = self.lock();
        Counts {
            on_disk: state.bytes() + state.pins.bytes(),
            segments: state.segments.len(),
            open_streams: state.open.len(),
            ..state.counts
        }
    }

    /// Deletes oldest segments, but never `keep`, until all together have as many bytes as they may.
    pub(crate) fn make_room(&self, keep: SegmentKey) -> Result<(), SpoolError> {
        while self.lock().bytes() > self.max_bytes() {
            if !self.recycle_oldest(keep)? {
                break;
            }
        }
        Ok(())
    }

    /// Deletes the oldest segment, packets of pinned streams moved out first; false when there is
    /// none but `keep`.
    pub(crate) fn recycle_oldest(&self, keep: SegmentKey) -> Result<bool, SpoolError> {
        let mut state = self.lock();
        let oldest = state.oldest(keep.0).filter(|(key, _)| *key != keep);
        let Some((key, segment)) = oldest else {
            return Ok(false);
        };
        let run_dir = self.run_dir(key.0);
        let pair = Segments::pair(&run_dir, key.1, segment.form);
        let max_pin_bytes = self.max_pin_bytes.load(Ordering::Relaxed);
        let lost = state.pins.rescue(key.0, &run_dir, &pair, max_pin_bytes);
        state.counts.pins_dropped += lost;
        state.segments.remove(&key);
        state.anchors.remove(&key);
        state
            .counts
            .overwritten
            .add(segment.count, segment.captured, segment.span);
        for (_, places) in state.places.iter().filter(|(run, _)| *run == key.0) {
            places.forget(key.1);
        }
        pair.remove()
            .map_err(SpoolError::io("delete", &pair.data()))?;
        if !state.segments.keys().any(|(run, _)| *run == key.0) && key.0 != keep.0 {
            // Goes only when it is empty, so pins keep it.
            let _ = fs::remove_dir(run_dir);
        }
        Ok(true)
    }

    /// Counts one more wish to keep a stream; false when there are too many pins.
    pub(crate) fn pin(&self, run: u64, stream: StreamId) -> bool {
        self.lock().pins.add(run, stream)
    }

    /// Counts one wish less; the last one lets the kept packets go.
    pub(crate) fn unpin(&self, run: u64, stream: StreamId) {
        let run_dir = self.run_dir(run);
        self.lock().pins.take_back(run, &run_dir, stream);
    }

    /// Lets the packets go that an earlier process kept and that nobody pinned since.
    pub(crate) fn drop_unpinned(&self) -> usize {
        let mut state = self.lock();
        let idle = state.pins.idle();
        for (run, stream) in &idle {
            state.pins.remove(*run, &self.run_dir(*run), *stream);
        }
        idle.len()
    }

    /// Files that hold what was kept of a stream.
    pub(crate) fn pin_pair(&self, run: u64, stream: StreamId) -> Pair {
        pin_pair(&self.run_dir(run), stream)
    }
}

impl State {
    /// Bytes of all segments.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.bytes).sum()
    }

    /// The segment to recycle next. All other runs were over before the `current` one began, whatever
    /// their numbers say: these are times, and the clock may have been set back since.
    fn oldest(&self, current: u64) -> Option<(SegmentKey, Segment)> {
        let of_others = self.segments.iter().find(|((run, _), _)| *run != current);
        let oldest = of_others.or_else(|| self.segments.first_key_value())?;
        Some((*oldest.0, *oldest.1))
    }

    /// The segment of `run` that holds a packet.
    pub(crate) fn segment_of(&self, run: u64, ordinal: u64) -> Option<(SegmentKey, Segment)> {
        // Ordinals rise with numbers, so the last segment that begins at or before it is the one;
        // few segments and no index by ordinal: a binary search over numbers would need no gaps.
        self.segments
            .range((run, 0)..=(run, u32::MAX))
            .rev()
            .find(|(_, segment)| segment.first <= ordinal)
            .filter(|(_, segment)| ordinal - segment.first < segment.count)
            .map(|(key, segment)| (*key, *segment))
    }
}

pub(crate) fn run_dir(dir: &Path, run: u64) -> PathBuf {
    dir.join(format!("run-{run:010}"))
}
