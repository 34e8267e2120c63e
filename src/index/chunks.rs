//! Ranges of a file that may be far away, each asked for once.
//!
//! In: a source of byte ranges. Out: bytes, as the decoder asks for them. Never: neighbours in two
//! requests; what was read for one block kept longer than the block is made.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

/// Ranges that lie closer together are read as one: a request costs more than these bytes.
const MAX_HOLE: u64 = 128 * 1024;

/// Bytes by their range.
pub trait RangeSource: Send + Sync {
    /// Bytes in all.
    fn len(&self) -> u64;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of a range.
    ///
    /// # Errors
    /// When they cannot be had, fewer than asked for among it.
    fn read(&self, range: Range<u64>) -> std::io::Result<Bytes>;
}

/// The ranges of a file that were read so far.
pub(super) struct Chunks {
    source: Arc<dyn RangeSource>,
    /// By their start; ranges neither touch nor overlap more than reading them again costs.
    have: Mutex<BTreeMap<u64, Bytes>>,
    /// What was read before, and stays.
    below: Option<Arc<Chunks>>,
}

impl Chunks {
    /// Of `source`, nothing read yet.
    pub(super) fn of(source: Arc<dyn RangeSource>) -> Chunks {
        Chunks {
            source,
            have: Mutex::default(),
            below: None,
        }
    }

    /// With what `below` has; what is read more goes with this one.
    pub(super) fn above(below: Arc<Chunks>) -> Chunks {
        Chunks {
            source: below.source.clone(),
            have: Mutex::default(),
            below: Some(below),
        }
    }

    /// Reads what is missing of `ranges`, neighbours together.
    pub(super) fn fetch(&self, ranges: &[Range<u64>]) -> std::io::Result<()> {
        let mut missing: Vec<Range<u64>> = ranges
            .iter()
            .filter(|range| range.start < range.end && self.cached(range).is_none())
            .cloned()
            .collect();
        missing.sort_by_key(|range| range.start);
        let mut merged: Vec<Range<u64>> = Vec::new();
        for range in missing {
            match merged.last_mut() {
                Some(last) if range.start <= last.end.saturating_add(MAX_HOLE) => {
                    last.end = last.end.max(range.end);
                }
                _ => merged.push(range),
            }
        }
        for range in merged {
            if range.end > self.source.len() {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let bytes = self.source.read(range.clone())?;
            let mut have = self.have.lock().unwrap_or_else(PoisonError::into_inner);
            have.insert(range.start, bytes);
        }
        Ok(())
    }

    fn cached(&self, range: &Range<u64>) -> Option<Bytes> {
        let have = self.have.lock().unwrap_or_else(PoisonError::into_inner);
        let around = have.range(..=range.start).rev();
        for (start, bytes) in around {
            let from = usize::try_from(range.start - start).ok()?;
            let to = usize::try_from(range.end - start).ok()?;
            if to <= bytes.len() {
                return Some(bytes.slice(from..to));
            }
        }
        drop(have);
        self.below.as_ref()?.cached(range)
    }

    /// From `start` to the end of what is there.
    fn rest(&self, start: u64) -> Option<Bytes> {
        let have = self.have.lock().unwrap_or_else(PoisonError::into_inner);
        let around = have.range(..=start).rev();
        for (at, bytes) in around {
            let from = usize::try_from(start - at).ok()?;
            if from < bytes.len() {
                return Some(bytes.slice(from..));
            }
        }
        drop(have);
        self.below.as_ref()?.rest(start)
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.source.len()
    }
}

impl ChunkReader for Chunks {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        // Column chunks are fetched whole before they are decoded.
        let rest = self
            .rest(start)
            .ok_or_else(|| ParquetError::EOF(format!("nothing was read from offset {start} on")))?;
        Ok(rest.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let range = start..start.saturating_add(length as u64);
        let failed = |error: std::io::Error| ParquetError::External(Box::new(error));
        self.fetch(std::slice::from_ref(&range)).map_err(failed)?;
        self.cached(&range)
            .ok_or_else(|| ParquetError::EOF(format!("nothing was read at offset {start}")))
    }
}

impl RangeSource for Bytes {
    fn len(&self) -> u64 {
        Bytes::len(self) as u64
    }

    fn read(&self, range: Range<u64>) -> std::io::Result<Bytes> {
        let bounds = usize::try_from(range.start)
            .ok()
            .zip(usize::try_from(range.end).ok());
        bounds
            .filter(|(start, end)| start <= end && *end <= Bytes::len(self))
            .map(|(start, end)| self.slice(start..end))
            .ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
    }
}
