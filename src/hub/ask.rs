//! What the hub asks a worker for, as it travels.
//!
//! In and out: plain values. Never: a question that a worker of an older version cannot pass by; it answers that
//! it is older.

use serde::{Deserialize, Serialize};

use crate::server::search::Wanted;

/// What the hub may ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "what",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Ask {
    /// The packets of a stream as a savefile, in chunks.
    Stream {
        /// Its name.
        stream: String,
    },
    /// The same of a stream of one of the worker's runs.
    StreamOfRun {
        /// The run.
        run: u64,
        /// The stream's name in it.
        stream: String,
    },
    /// The packets of several streams as one savefile, in chunks.
    Streams {
        /// Their names.
        streams: Vec<String>,
    },
    /// How large streams are; the answer is a list of [`Size`](crate::spool::Size), null for those that
    /// are not known whole or not counted in time.
    Sizes {
        /// Their names.
        streams: Vec<String>,
        /// Milliseconds in which they are counted.
        patience_ms: u64,
    },
    /// All packets of a time as pcapng, in chunks.
    Raw {
        /// The first moment, in nanoseconds since 1970.
        from: i64,
        /// The moment behind the last one.
        to: i64,
    },
    /// The newest items that match, of rows and spool; the answer is a [`Part`](crate::server::search::Part).
    Search {
        /// What is looked for.
        wanted: Box<Wanted>,
    },
    /// When was captured, what was lost, and which reels there are.
    Coverage,
    /// An item of the live rows.
    Item {
        /// Its id.
        id: String,
        /// The query of whoever wants to see it.
        #[serde(default)]
        kfl: String,
    },
    /// Seals what is open of a recording, or of all.
    Seal {
        /// Its name.
        name: Option<String>,
    },
    /// Runs a job now.
    RunJob {
        /// Its tag.
        tag: String,
    },
    /// Bounds what the spool holds.
    LimitStorage {
        /// The limit for everything that is kept on disk.
        bytes: u64,
    },
    /// Something of a newer version.
    #[serde(other)]
    Unknown,
}
