//! Packet sources: a live interface, savefiles, folders and archives of them, standard input.
//!
//! In: bytes from the system. Out: [`RawBatch`]es of records in capture order, each with its
//! position in the source. Never: reading a header above the link layer, except what the source's
//! own filter needs. Formats: libpcap savefile (<https://www.tcpdump.org/manpages/pcap-savefile.5.html>),
//! pcapng (draft-ietf-opsawg-pcapng).

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::item::Origin;
use crate::packet::savefile::PacketHead;
use crate::packet::{Position, Record};

pub(crate) mod duplicates;
pub mod file;
pub mod folder;
#[cfg(feature = "live")]
pub mod live;
#[cfg_attr(
    not(feature = "live"),
    expect(dead_code, reason = "only live capture uses all of it")
)]
pub mod own;
#[cfg(target_os = "linux")]
mod proc_net;
#[cfg(target_os = "linux")]
pub mod process;
#[cfg(target_os = "linux")]
pub mod rights;
#[cfg_attr(
    not(feature = "live"),
    expect(dead_code, reason = "only live capture uses all of it")
)]
pub mod targets;

/// Bytes after which a source hands its batch on.
pub const BATCH_BYTES: usize = 256 * 1024;

/// Packets after which a source hands its batch on.
pub const BATCH_PACKETS: usize = 4096;

/// Records over one buffer, as a source fills them.
#[derive(Debug, Default)]
pub struct RawBatch {
    /// Bytes of all packets, in order; what stood between them in the source may lie there too.
    pub bytes: Vec<u8>,
    /// The records.
    pub records: Vec<Record>,
    /// Whether the packets' file describes several interfaces, so that a packet may be in it twice.
    pub several_interfaces: bool,
    /// Memory to fill next, with whatever it holds.
    pub room: Vec<u8>,
}

impl RawBatch {
    /// Whether the batch should be handed on.
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= BATCH_BYTES || self.records.len() >= BATCH_PACKETS
    }

    /// Appends a packet.
    pub fn push(&mut self, head: &PacketHead, position: Position, bytes: &[u8]) {
        if self.bytes.capacity() == 0 {
            self.bytes = std::mem::take(&mut self.room);
            self.bytes.clear();
        }
        self.records.push(head.record(self.bytes.len(), position));
        self.bytes.extend_from_slice(bytes);
    }

    /// Empties the batch, keeping its memory.
    pub fn clear(&mut self) {
        if self.bytes.capacity() > 0 {
            self.room = std::mem::take(&mut self.bytes);
        }
        self.records.clear();
        self.several_interfaces = false;
    }
}

/// What a call of [`Source::fill`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// There may be more at once.
    More,
    /// Nothing arrived within the source's timeout; live sources only.
    Idle,
    /// The next packets belong to another file with its own streams, node and names: end all
    /// streams before going on. Sources of several files say so between files of different runs.
    Boundary,
    /// The source has ended.
    End,
}

/// Counts of a source since it was opened.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct SourceCounts {
    /// Packets handed on.
    pub received: u64,
    /// Dropped by the kernel because its buffer was full (`ps_drop`).
    pub kernel_dropped: u64,
    /// Dropped by the interface or its driver (`ps_ifdrop`).
    pub interface_dropped: u64,
    /// Left out as tapedeck's own traffic.
    pub own: u64,
    /// Left out as not targeted.
    pub not_targeted: u64,
    /// Thrown away because nobody said in time whether they are targeted.
    pub targets_unknown: u64,
    /// In memory until somebody says whether they are targeted.
    pub waiting: u64,
    /// Left out as a second sight of a packet already handed on.
    pub duplicates: u64,
    /// Records that were cut off or damaged.
    pub damaged: u64,
}

impl SourceCounts {
    /// Adds the counts of another source, or of another thread of the same.
    pub fn add(&mut self, other: &SourceCounts) {
        self.received += other.received;
        self.kernel_dropped += other.kernel_dropped;
        self.interface_dropped += other.interface_dropped;
        self.own += other.own;
        self.not_targeted += other.not_targeted;
        self.targets_unknown += other.targets_unknown;
        self.waiting += other.waiting;
        self.duplicates += other.duplicates;
        self.damaged += other.damaged;
    }
}

/// Something that gives packets in capture order.
pub trait Source: Send {
    /// Fills `batch`, which is empty, with packets until it is full or nothing is left to read now.
    ///
    /// Its bytes may be more than those of its packets, record headers between them.
    ///
    /// # Errors
    /// When the source cannot be read any further; what is in `batch` counts all the same.
    fn fill(&mut self, batch: &mut RawBatch) -> Result<Filled, CaptureError>;

    /// Takes in nothing new from now on: `fill` hands out what the system already holds (libpcap
    /// hands packets over up to a second late), then says `End`.
    fn finish(&mut self) {}

    /// Counts so far.
    fn counts(&mut self) -> SourceCounts;

    /// Bytes read and bytes in all, where the size is known.
    fn progress(&self) -> Option<(u64, u64)> {
        None
    }

    /// Node and run of the packets read last; `None` leaves the pipeline's own.
    fn origin(&self) -> Option<Arc<Origin>> {
        None
    }

    /// Addresses of the interfaces of the machine that captured the packets read last, where the source
    /// tells them.
    fn addresses(&self) -> Option<Arc<[IpAddr]>> {
        None
    }

    /// Recording that the packets read last were read back from; `None` when it is unknown or none.
    fn record(&self) -> Option<Arc<str>> {
        None
    }

    /// Name of an interface, where the source knows one.
    fn interface_name(&self, _interface: u32) -> Option<String> {
        None
    }

    /// Path of a file whose bytes lie at the offsets of its positions; `None` for what is
    /// compressed, remote or a pipe.
    fn path(&self, _file: u32) -> Option<PathBuf> {
        None
    }

    /// TLS key logs that the source holds (pcapng decryption secrets blocks), each once.
    fn key_logs(&mut self) -> Vec<Vec<u8>> {
        Vec::new()
    }

    /// Data of custom blocks at the front of a file, before its first packet, each file's once; with
    /// them begins a reel whose streams go on from an earlier one.
    fn front_blocks(&mut self) -> Option<Vec<Vec<u8>>> {
        None
    }

    /// Data of custom blocks behind packets, each once.
    fn back_blocks(&mut self) -> Vec<Vec<u8>> {
        Vec::new()
    }

    /// Sentences about damage met so far, each with file and offset; taken out as they are read.
    fn warnings(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// Why packets cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file could not be opened or read.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// Nothing is there.
    #[error("{path}: no such file or folder")]
    Missing {
        /// What was asked for.
        path: String,
    },
    /// The file may not be read.
    #[error("{path}: no right to read it; ask its owner for it, or run as a user who may")]
    Denied {
        /// The file.
        path: String,
    },
    /// The bytes are no capture.
    #[error("{path} is not a capture: {found}; tapedeck reads pcap, pcapng, and archives of them")]
    Format {
        /// The file.
        path: String,
        /// What stands there instead.
        found: String,
    },
    /// The system does not let this user capture.
    #[error(
        "no right to capture on {interface}: run `sudo setcap cap_net_raw+ep {program}` once, \
         or start tapedeck with sudo"
    )]
    NoRight {
        /// The interface.
        interface: String,
        /// Path of the running program.
        program: String,
    },
    /// There is no such interface.
    #[error("there is no interface {interface}; there are {known}")]
    NoInterface {
        /// What was asked for.
        interface: String,
        /// Names of those that are there.
        known: String,
    },
    /// The BPF expression does not compile.
    #[error("the capture filter `{filter}` is not valid: {reason}")]
    Filter {
        /// The expression.
        filter: String,
        /// What libpcap says.
        reason: String,
    },
    /// The interface cannot be opened or read.
    #[error("capturing on {interface} failed: {reason}")]
    Live {
        /// The interface.
        interface: String,
        /// What libpcap says.
        reason: String,
    },
    /// A folder without one capture in it.
    #[error("{path} holds no capture; tapedeck reads pcap and pcapng, also as .gz, .lz4 and .zst")]
    NoCaptures {
        /// The folder.
        path: String,
    },
}

impl CaptureError {
    /// What the system said about a file, as its own sentence where there is one.
    pub fn from_io(path: impl Into<String>, error: std::io::Error) -> CaptureError {
        let path = path.into();
        match error.kind() {
            std::io::ErrorKind::NotFound => CaptureError::Missing { path },
            std::io::ErrorKind::PermissionDenied => CaptureError::Denied { path },
            _ => CaptureError::Io { path, error },
        }
    }
}
