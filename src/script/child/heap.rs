//! A bound on what a process takes from its heap, for systems that bound no process.
//!
//! In: bytes. Out: memory of the system's allocator, or none beyond the bound, which ends the process as
//! the limit of a system does. Never: a count before a bound is set; until then each call costs one look.

#![expect(
    unsafe_code,
    reason = "an allocator is unsafe to write; each call is handed on as it came"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// The system's allocator behind a bound.
pub(super) struct Bounded {
    is_bounded: AtomicBool,
    /// Bytes that may still be taken. What was taken before the bound and is given back afterwards
    /// counts as well, so that this is at most that much too large.
    left: AtomicI64,
}

impl Bounded {
    /// Without a bound.
    pub(super) const fn new() -> Bounded {
        Bounded {
            is_bounded: AtomicBool::new(false),
            left: AtomicI64::new(0),
        }
    }

    /// Hands out `most` bytes from here on.
    pub(super) fn bound(&self, most: u64) {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.left.store(most, Ordering::Relaxed);
        self.is_bounded.store(true, Ordering::Release);
    }

    /// Takes so many bytes; false when they are not left.
    fn take(&self, bytes: usize) -> bool {
        if !self.is_bounded.load(Ordering::Acquire) {
            return true;
        }
        let Ok(bytes) = i64::try_from(bytes) else {
            return false;
        };
        let fits = self.left.fetch_sub(bytes, Ordering::Relaxed) >= bytes;
        if !fits {
            self.left.fetch_add(bytes, Ordering::Relaxed);
        }
        fits
    }

    fn give_back(&self, bytes: usize) {
        if self.is_bounded.load(Ordering::Acquire) {
            let bytes = i64::try_from(bytes).unwrap_or_default();
            self.left.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    fn taken(&self, bytes: usize, get: impl FnOnce() -> *mut u8) -> *mut u8 {
        if !self.take(bytes) {
            return std::ptr::null_mut();
        }
        let got = get();
        if got.is_null() {
            self.give_back(bytes);
        }
        got
    }
}

// SAFETY: each call goes to the system's allocator with the arguments that came, and its answer goes back;
// a null in its place says that there is no memory, as the trait has it. Nothing here allocates.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        self.taken(layout.size(), || unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        self.taken(layout.size(), || unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) };
        self.give_back(layout.size());
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let more = size.saturating_sub(layout.size());
        // SAFETY: as above.
        let moved = self.taken(more, || unsafe { System.realloc(at, layout, size) });
        if !moved.is_null() {
            self.give_back(layout.size().saturating_sub(size));
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_bound_there_is_no_memory() {
        let heap = Bounded::new();
        let layout = |size| Layout::from_size_align(size, 8).unwrap();
        // SAFETY: what is given back was taken with that layout, and what is null is not touched.
        unsafe {
            let before = heap.alloc(layout(5000));
            assert!(!before.is_null(), "nothing is bounded yet");
            heap.bound(1000);
            assert!(heap.alloc(layout(1001)).is_null());
            assert!(heap.alloc_zeroed(layout(1001)).is_null());
            let all = heap.alloc(layout(600));
            assert!(!all.is_null() && heap.alloc(layout(401)).is_null());
            assert!(heap.realloc(all, layout(600), 1001).is_null());
            let all = heap.realloc(all, layout(600), 1000);
            assert!(!all.is_null() && heap.alloc(layout(1)).is_null());
            let all = heap.realloc(all, layout(1000), 300);
            let rest = heap.alloc_zeroed(layout(700));
            assert!(!rest.is_null() && heap.alloc(layout(1)).is_null());
            heap.dealloc(all, layout(300));
            heap.dealloc(rest, layout(700));
            heap.dealloc(before, layout(5000));
        }
        assert_eq!(heap.left.load(Ordering::Relaxed), 6000);
    }
}
