//! Memory for what is held behind holes, shared by the streams of a worker.
//!
//! In: bytes taken and given back. Out: whether more is held than allowed. Never: the memory itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a held segment costs besides its bytes.
pub(super) const SEGMENT_OVERHEAD: usize = 96;

/// Memory for held segments that all streams of a worker share.
#[derive(Debug)]
pub struct Budget {
    max: usize,
    used: AtomicUsize,
}

impl Budget {
    /// Default for one worker: ten streams at their own cap.
    pub const DEFAULT_BYTES: usize = 128 << 20;

    /// A budget of `max` bytes.
    pub fn new(max: usize) -> Arc<Budget> {
        Arc::new(Budget {
            max,
            used: AtomicUsize::new(0),
        })
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn sub(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn is_exceeded(&self) -> bool {
        self.used() > self.max
    }
}
