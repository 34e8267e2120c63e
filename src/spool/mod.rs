//! The spool: every packet once, in order, in a bounded ring of savefiles on disk.
//!
//! In: batches from the one thread that reads the source, with ordinals and streams assigned. Out:
//! positions of the packets, and any stream or time window read back, also of earlier runs. Never:
//! waiting for readers, knowledge of protocols. Any segment opens in Wireshark at any time.
//!
//! ```text
//! <dir>/run-<Unix start second>/<number>.pcap     packets, in order; .pcapng where link types mix
//!                               <number>.side     what is known of each (see `side`)
//!                               <number>.ends     streams that ended: stream u64, last ordinal u64
//!                               pins/<stream>.pcapng, .side   kept from recycled segments
//! ```
//!
//! What `Writer::append` took is visible to readers when it returns, and is whole after kill -9; it
//! is not synced, since a ring that recycles itself has nothing to promise after a power cut.

mod export;
mod log;
mod pins;
mod places;
mod raw;
mod reader;
mod recover;
mod ring;
mod side;
mod size;
mod writer;

#[cfg(test)]
pub(crate) mod feed;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

pub use log::{
    APPLICATION, Interfaces, Log, Pair, Recovered, bytes_at, describe, read_packet, recover,
};
pub use places::{LocalFiles, PacketBytes};
pub use reader::{Packets, Reader, Spooled};
pub use recover::unused_run;
pub use ring::Counts;
pub use side::{Entry, Head, SideReader};
pub use size::{Size, Sizes};
pub use writer::Writer;

use crate::packet::Position;
use crate::time::Timestamp;

/// Where a packet is that could not be kept.
pub const NOWHERE: Position = Position {
    file: u32::MAX,
    offset: u64::MAX,
};

/// How the spool is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its folder; made when missing, mode 0700.
    pub dir: PathBuf,
    /// Bytes of all segments together, earlier runs included.
    pub max_bytes: u64,
    /// Bytes after which a segment is full; at most a quarter of `max_bytes`.
    pub segment_bytes: u64,
    /// Bytes of pinned packets that outlive their segment.
    pub max_pin_bytes: u64,
    /// The run: its Unix start second.
    pub run: u64,
}

impl Options {
    /// A spool in `dir` for `run` with the default sizes.
    pub fn new(dir: impl Into<PathBuf>, run: u64) -> Options {
        Options {
            dir: dir.into(),
            max_bytes: DEFAULT_MAX_BYTES,
            segment_bytes: DEFAULT_SEGMENT_BYTES,
            max_pin_bytes: DEFAULT_MAX_BYTES / 4,
            run,
        }
    }
}

/// The spool's part of the default `tap.storageLimit` of 5 GiB.
pub const DEFAULT_MAX_BYTES: u64 = 3 << 30;

/// Small enough to be recycled often, large enough that a ring has tens of segments, not thousands.
pub const DEFAULT_SEGMENT_BYTES: u64 = 64 << 20;

/// Time between two attempts to write to a disk that is full.
pub const FULL_DISK_RETRY: Duration = Duration::from_secs(1);

/// Packets that are not in the spool although they were captured.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// Packets.
    pub packets: u64,
    /// Their captured bytes.
    pub bytes: u64,
    /// Time of the first and of the last.
    pub span: Option<(Timestamp, Timestamp)>,
}

impl Lost {
    /// Adds packets of a time span.
    pub fn add(&mut self, packets: u64, bytes: u64, span: (Timestamp, Timestamp)) {
        self.packets += packets;
        self.bytes += bytes;
        let (from, to) = self.span.unwrap_or(span);
        self.span = Some((from.min(span.0), to.max(span.1)));
    }
}

/// Why the spool cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// A file or folder of the spool.
    #[error("cannot {doing} {path}: {error}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file or folder.
        path: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// The bytes that were asked for could not be handed on.
    #[error("cannot write the packets: {0}")]
    Out(std::io::Error),
    /// Ordinals would begin again among packets that are there.
    #[error("the spool in {path} already holds packets of the run {run}; take another number")]
    RunExists {
        /// The spool's folder.
        path: String,
        /// The run.
        run: u64,
    },
    /// The position is none of the source.
    #[error("the packet at {offset} of file {file} is no longer there")]
    Gone {
        /// File number.
        file: u32,
        /// Offset within it.
        offset: u64,
    },
}

impl SpoolError {
    pub(crate) fn io(
        doing: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> SpoolError {
        let path = path.display().to_string();
        move |error| SpoolError::Io { doing, path, error }
    }
}
