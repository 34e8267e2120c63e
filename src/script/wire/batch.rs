//! Batches of items: one encoding that serves all children.
//!
//! In: flat records. Out: bytes, inline or in sealed memory. Never: a copy for each of several
//! readers of a large batch.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::sealed::Sealed;
use crate::time::Timestamp;

/// Bytes of the records of one batch in sealed memory.
pub const MAX_BATCH: usize = 64 << 20;

/// Batches from this size on are worth sealed memory; smaller ones are cheaper to copy.
const SEAL_FROM: usize = 32 << 10;

/// Items in their flat encoding, made once for all children.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Number of the first item.
    pub first: u64,
    /// Number of the last item.
    pub last: u64,
    /// Packet time when the batch was closed.
    pub now: Timestamp,
    pub(super) records: Records,
}

#[derive(Debug, Clone)]
pub(super) enum Records {
    Inline(Bytes),
    Sealed(Arc<Sealed>, usize),
}

impl Batch {
    /// Items `first` to `last`, whose records are `records`, for `readers` children.
    ///
    /// A large batch for several readers is put into sealed memory, which each reads without
    /// another copy in between; without such a thing the bytes are copied to each.
    pub fn new(first: u64, last: u64, now: Timestamp, records: &[u8], readers: usize) -> Batch {
        let sealed = (readers > 1 && records.len() >= SEAL_FROM)
            .then(|| Sealed::new(records))
            .flatten();
        let records = match sealed {
            Some(sealed) => Records::Sealed(Arc::new(sealed), records.len()),
            None => Records::Inline(Bytes::copy_from_slice(records)),
        };
        Batch {
            first,
            last,
            now,
            records,
        }
    }

    /// The records, read out of sealed memory if they lie there.
    pub fn records(&self) -> io::Result<Bytes> {
        match &self.records {
            Records::Inline(bytes) => Ok(bytes.clone()),
            Records::Sealed(sealed, size) => Ok(Bytes::from(sealed.read(*size)?)),
        }
    }
}
