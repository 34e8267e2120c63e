//! Recorded traffic, opened again: files, folders, archives and buckets as one packet source.
//!
//! In: what people type after `tap --pcap` and `query`. Out: a [`Source`] that gives the first
//! packets before the last object has arrived, with node, run and names of each file. Never: a
//! trust in names, sizes or archives: entries are read, not unpacked, and everything has a cap.
//!
//! ```text
//! specs ─▶ plan (listing, manifests, histories, order) ─▶ feeds (files, downloads, tar entries)
//!                                                            └─▶ Inputs: one Source over all
//!
//! archive ─▶ reels (partitions, keys) ─▶ made (open indexes) ─▶ search, scan (columns, KFL) ─▶ items
//!               reels without an index, bodies, streams ─▶ packets ─▶ pipeline ──────┘
//! browse: an archive that stays open, its items by number
//! kept: the same for what is no archive, by an index that its first reading left
//! ```

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use crate::capture::{CaptureError, Source};
use crate::item::Origin;
use crate::resolve::Names;
use crate::store::{OpenOptions, StoreError};

pub mod aggregate;
mod archive;
mod browse;
mod cursor;
mod days;
mod feed;
mod fetch;
mod group;
mod kept;
pub(crate) mod latency;
mod made;
mod narrow;
mod packets;
mod plan;
mod ranges;
mod reel;
mod reels;
mod rollups;
mod rows;
mod scan;
mod search;
mod shard;
mod shelf;
mod source;
mod span;
mod straddling;
mod stream;
pub mod tables;
#[cfg(test)]
mod tests;
mod verdicts;
pub mod verify;

pub use browse::{Browse, Numbers, Only, moment, moment_of};
pub use cursor::Cursor;
pub use kept::{Making, SourceId, begin_index};
pub use packets::Reading;
pub use ranges::{Cache, DEFAULT_CACHE_BYTES, Used};
pub use reels::Archive;
pub use rollups::RolledUp;
pub use scan::Scan;
pub use search::{Found, Page, Search};
pub use shard::Shard;
pub use span::Span;

/// How sources are opened.
#[derive(Clone, Default)]
pub struct Options {
    /// How to reach S3.
    pub store: OpenOptions,
    /// Folder for objects on their way; `None` is the system's temporary folder.
    pub cache: Option<PathBuf>,
    /// What is wanted of what the sources hold.
    pub wanted: Wanted,
}

/// What is wanted of what sources hold.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Times of which packets and items are wanted; all when there are none. Objects that lie more
    /// than an hour outside of all of them are not read.
    pub spans: Vec<Span>,
    /// The part that is read; all of it without one.
    pub shard: Option<Shard>,
}

/// An opened source.
pub struct Opened {
    /// The packets.
    pub source: Box<dyn Source>,
    /// The names for the packets that the source read last.
    pub names: SourceNames,
    /// Opens the same files once more, in the same order.
    pub again: Again,
    /// Files and objects that will be read.
    pub objects: usize,
    /// Objects that were seen and are not wanted.
    pub left_out: usize,
    /// Their bytes as stored; `None` when a pipe is among them.
    pub bytes: Option<u64>,
    /// What should be known before reading, one sentence each.
    pub remarks: Vec<String>,
}

/// Opens what `specs` name, one after the other.
///
/// A spec is the path of a savefile, folder or archive, `-` for standard input, `file://…`, or
/// `s3://bucket`, `s3://bucket/prefix`, `s3://bucket/key`.
///
/// # Errors
/// When a spec names nothing, may not be read, or holds nothing that is a capture by its name.
pub fn open(specs: &[String], options: &Options) -> Result<Opened, OpenError> {
    let plan = Arc::new(plan::Plan::of(specs, options)?);
    let again = Again {
        plan: plan.clone(),
        options: options.clone(),
    };
    let names = SourceNames::default();
    Ok(Opened {
        source: Box::new(source::Inputs::new(&plan, options, names.clone())),
        names,
        again,
        objects: plan.objects(),
        left_out: plan.left_out,
        bytes: plan.bytes(),
        remarks: plan.remarks.clone(),
    })
}

/// Reads the same files once more, for what is asked of a source after it was read.
#[derive(Clone)]
pub struct Again {
    plan: Arc<plan::Plan>,
    options: Options,
}

impl Again {
    /// The same packets in the same order, also when objects were added meanwhile.
    ///
    /// # Errors
    /// When standard input is among the sources.
    pub fn reopen(&self) -> Result<Box<dyn Source>, OpenError> {
        self.reopen_named().map(|(source, _)| source)
    }

    /// The same, with the names for the packets that it reads last.
    fn reopen_named(&self) -> Result<(Box<dyn Source>, SourceNames), OpenError> {
        if self.plan.bytes().is_none() {
            return Err(OpenError::Once);
        }
        let names = SourceNames::default();
        let source = source::Inputs::new(&self.plan, &self.options, names.clone());
        Ok((Box::new(source), names))
    }
}

/// The names of the file whose packets a source gave last.
#[derive(Clone, Default)]
pub struct SourceNames(Arc<Mutex<Option<Arc<Names>>>>);

impl SourceNames {
    /// The names for packets of `origin`; valid between two calls of [`Source::fill`].
    pub fn of(&self, _origin: &Origin) -> Option<Arc<Names>> {
        self.0.lock().map_or(None, |names| names.clone())
    }

    fn set(&self, names: Option<Arc<Names>>) {
        if let Ok(mut current) = self.0.lock() {
            *current = names;
        }
    }
}

/// Why a source cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store said no.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A file said no.
    #[error("{0}")]
    Capture(#[from] CaptureError),
    /// Nothing is there, or nothing that is a capture.
    #[error(
        "{place} holds no capture{hint}; tapedeck reads pcap and pcapng, also as .gz, .lz4 and .zst, and tar archives of them"
    )]
    Nothing {
        /// What was asked for.
        place: String,
        /// What is there instead.
        hint: String,
    },
    /// A scheme that is not known.
    #[error(
        "{0} cannot be read; use a path, - for standard input, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX"
    )]
    Scheme(String),
    /// The name of the source is empty.
    #[error(
        "the source has no name; use a path, - for standard input, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX"
    )]
    Unnamed,
    /// Standard input is gone once it was read.
    #[error("standard input cannot be read again; save it to a file and open that")]
    Once,
}
