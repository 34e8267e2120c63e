//! The part of the storage that data folders may use.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{FileError, MAX_DEPTH};

/// What a file or folder costs beside its bytes: a block of the disk.
pub(super) const ENTRY_BYTES: u64 = 4096;

/// Least time between two counts of a folder that looks full: counting visits every file.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// The part of the storage that all data folders have together.
pub(crate) struct Share {
    root: PathBuf,
    pub(super) limit: u64,
    /// Bytes used at most; deletions are only seen when it is counted again.
    used: AtomicU64,
    counted: Mutex<Option<Instant>>,
    /// What this is a part of.
    whole: Option<Arc<Share>>,
}

impl Share {
    /// `limit` bytes for all that lies below `root`.
    pub(crate) fn new(root: &Path, limit: u64) -> Arc<Share> {
        Share::part(root, limit, None)
    }

    /// The share of one folder: three quarters of the whole, so that a script that fills its folder
    /// leaves room for others.
    pub(crate) fn of_folder(root: &Path, whole: &Arc<Share>) -> Arc<Share> {
        Share::part(root, whole.limit / 4 * 3, Some(Arc::clone(whole)))
    }

    fn part(root: &Path, limit: u64, whole: Option<Arc<Share>>) -> Arc<Share> {
        let share = Share {
            root: root.to_owned(),
            limit,
            used: AtomicU64::new(0),
            counted: Mutex::new(None),
            whole,
        };
        share.count();
        Arc::new(share)
    }

    /// Takes `bytes`.
    pub(super) fn charge(&self, bytes: u64) -> Result<(), FileError> {
        let fits = |used: u64| used.saturating_add(bytes) <= self.limit;
        if !fits(self.used.load(Ordering::Relaxed)) {
            self.count();
            if !fits(self.used.load(Ordering::Relaxed)) {
                return Err(FileError::Full(self.limit));
            }
        }
        if let Some(whole) = &self.whole {
            whole.charge(bytes)?;
        }
        self.used.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Counts `bytes` that are there already.
    pub(super) fn add(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.add(bytes);
        }
    }

    /// Bytes that are left.
    pub(super) fn free(&self) -> u64 {
        let left = |used: u64| self.limit.saturating_sub(used);
        if left(self.used.load(Ordering::Relaxed)) < self.limit / 2 {
            self.count();
        }
        let of_whole = self.whole.as_ref().map_or(u64::MAX, |whole| whole.free());
        left(self.used.load(Ordering::Relaxed)).min(of_whole)
    }

    fn count(&self) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.is_some_and(|at| at.elapsed() < COUNT_EVERY) {
            return;
        }
        *counted = Some(Instant::now());
        self.used
            .store(bytes_below(&self.root, 0), Ordering::Relaxed);
    }
}

/// What lies below a folder, each entry with [`ENTRY_BYTES`]; links are not followed.
fn bytes_below(folder: &Path, depth: usize) -> u64 {
    let Ok(listing) = std::fs::read_dir(folder) else {
        return 0;
    };
    let mut used = 0_u64;
    for entry in listing.flatten() {
        let size = match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth <= MAX_DEPTH => {
                bytes_below(&entry.path(), depth + 1)
            }
            _ => entry.metadata().map_or(0, |found| found.len()),
        };
        used = used.saturating_add(size + ENTRY_BYTES);
    }
    used
}

/// A writer that fails when its share is used up.
pub(crate) struct Counted<W> {
    /// Where the bytes go.
    pub inner: W,
    /// Bytes that may still be written.
    pub left: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        let written = self.inner.write(bytes)?;
        self.left -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
