//! How much a spool holds of a stream, by its side files alone.
//!
//! In: the number of a stream. Out: its packets and their bytes on the wire. Never: bytes of packets
//! read, a size of a stream whose first packets were recycled.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::SpoolError;
use super::reader::Reader;
use crate::packet::StreamId;

/// Packets that are counted between two looks at the time.
const STEP: u64 = 512;

/// Packets and bytes of a stream so far, both directions.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// How many packets.
    pub packets: u64,
    /// Their bytes on the wire, headers included.
    pub bytes: u64,
}

impl Reader {
    /// The size of a stream; `None` when it is not known, not all of it is there any more, or it is not
    /// counted before `until`.
    ///
    /// # Errors
    /// When a side file cannot be read.
    pub fn size(&self, stream: StreamId, until: Instant) -> Result<Option<Size>, SpoolError> {
        let mut size = Size::default();
        let mut has_first = false;
        let is_whole = self.walk(stream, &mut |entry| {
            has_first |= entry.ordinal == stream.0;
            size.packets += 1;
            size.bytes = size.bytes.saturating_add(entry.len.into());
            !size.packets.is_multiple_of(STEP) || Instant::now() < until
        })?;
        Ok(Some(size).filter(|_| is_whole && has_first))
    }
}
