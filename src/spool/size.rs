//! How much a spool holds of a stream, by its side files alone.
//!
//! In: the number of a stream. Out: its packets and their bytes on the wire. Never: bytes of packets
//! read, a size of a stream whose first packets were recycled before they were counted, a packet counted
//! twice for whoever asks again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use ahash::RandomState;
use serde::{Deserialize, Serialize};

use super::SpoolError;
use super::reader::Reader;
use crate::packet::StreamId;

/// Packets that are counted between two looks at the time.
const STEP: u64 = 512;

/// Streams whose sizes are kept; one answer is about no more.
const MAX_KEPT: usize = 20_000;

/// Packets and bytes of a stream so far, both directions.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// How many packets.
    pub packets: u64,
    /// Their bytes on the wire, headers included.
    pub bytes: u64,
}

/// Sizes of the streams of one run, as they were counted last: only what came since is counted anew.
#[derive(Debug, Default)]
pub struct Sizes {
    /// With the ordinal of the last packet in it.
    kept: Mutex<HashMap<StreamId, (u64, Size), RandomState>>,
}

impl Sizes {
    /// The size of a stream; `None` when it is not known, not all of it is there any more, or it is not
    /// counted before `until`.
    ///
    /// # Errors
    /// When a side file cannot be read.
    pub fn of(
        &self,
        reader: &Reader,
        stream: StreamId,
        until: Instant,
    ) -> Result<Option<Size>, SpoolError> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept().get(&stream).copied();
        let (mut last, mut size) = (None, Size::default());
        let (mut is_whole, mut is_late) = (false, false);
        let mut looked = 0_u64;
        reader.walk(stream, &mut |entry| {
            // Fragments stand beside the chain: the packet that adopts them may be new.
            if let Some((last, before)) = known
                && entry.ordinal <= last
                && !entry.fragment
            {
                size.packets += before.packets;
                size.bytes = size.bytes.saturating_add(before.bytes);
                is_whole = true;
                return false;
            }
            last = last.max(Some(entry.ordinal));
            is_whole |= entry.ordinal == stream.0;
            size.packets += 1;
            size.bytes = size.bytes.saturating_add(entry.len.into());
            looked += 1;
            is_late = looked.is_multiple_of(STEP) && Instant::now() >= until;
            !is_late
        })?;
        if is_late || !is_whole {
            return Ok(None);
        }
        if let Some(last) = last {
            let mut kept = kept();
            if kept.len() >= MAX_KEPT {
                kept.clear();
            }
            kept.insert(stream, (last, size));
        }
        Ok(Some(size))
    }
}
