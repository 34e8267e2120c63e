//! Batches of items: one encoding that serves all children.
//!
//! In: flat records. Out: bytes, inline or in a sealed memfd. Never: a copy for each of several
//! readers of a large batch.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{MemfdFlags, SealFlags};

use crate::time::Timestamp;

/// Bytes of the records of one batch in a memfd.
pub const MAX_BATCH: usize = 64 << 20;

/// Batches from this size on are worth a memfd; smaller ones are cheaper to copy.
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
    Sealed(Arc<OwnedFd>, usize),
}

impl Batch {
    /// Items `first` to `last`, whose records are `records`, for `readers` children.
    ///
    /// A large batch for several readers is put into a sealed memfd, which each reads without
    /// another copy in between; without such a thing the bytes are copied to each.
    pub fn new(first: u64, last: u64, now: Timestamp, records: &[u8], readers: usize) -> Batch {
        let sealed = (readers > 1 && records.len() >= SEAL_FROM)
            .then(|| seal(records).ok())
            .flatten();
        let records = match sealed {
            Some(fd) => Records::Sealed(Arc::new(fd), records.len()),
            None => Records::Inline(Bytes::copy_from_slice(records)),
        };
        Batch {
            first,
            last,
            now,
            records,
        }
    }

    /// The records, read out of the memfd if they lie there.
    pub fn records(&self) -> io::Result<Bytes> {
        match &self.records {
            Records::Inline(bytes) => Ok(bytes.clone()),
            Records::Sealed(fd, size) => Ok(Bytes::from(unseal(fd, *size)?)),
        }
    }
}

fn seal(records: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = rustix::fs::memfd_create("items", flags)?;
    let mut rest = records;
    while !rest.is_empty() {
        let written = rustix::io::write(&fd, rest)?;
        rest = rest.get(written..).unwrap_or_default();
    }
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&fd, seals)?;
    Ok(fd)
}

fn unseal(fd: &OwnedFd, size: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; size];
    let mut read = 0;
    while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match rustix::io::pread(fd, rest, read as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => read += count,
        }
    }
    Ok(bytes)
}
