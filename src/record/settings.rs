//! How an outbox is set up, and what it says of itself.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::manifest::LockNote;
use super::sign::Signer;
use crate::time::Timestamp;

/// First pause after a failed upload; doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// How the outbox is set up.
pub struct Options {
    /// Its folder; made when missing.
    pub dir: PathBuf,
    /// Bytes that may wait.
    pub max_bytes: u64,
    /// What happens beyond them.
    pub on_full: OnFull,
    /// Signs manifests.
    pub signer: Option<Arc<Signer>>,
    /// Pause after a failed upload; doubles with each further one, up to about a minute.
    pub first_pause: Duration,
}

impl Options {
    /// An outbox in `dir` that drops the oldest beyond `max_bytes` and signs nothing.
    pub fn new(dir: impl Into<PathBuf>, max_bytes: u64) -> Options {
        Options {
            dir: dir.into(),
            max_bytes,
            on_full: OnFull::default(),
            signer: None,
            first_pause: FIRST_PAUSE,
        }
    }
}

/// What gives when more waits than may.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum OnFull {
    /// The oldest reels that nothing of was sent yet, counted and said.
    #[default]
    DropOldest,
    /// New packets: recording stops until there is room.
    Stop,
}

impl OnFull {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            OnFull::DropOldest => "dropOldest",
            OnFull::Stop => "stop",
        }
    }

    /// The policy of a name.
    pub fn named(name: &str) -> Option<OnFull> {
        [OnFull::DropOldest, OnFull::Stop]
            .into_iter()
            .find(|policy| policy.name() == name)
    }
}

/// What the outbox holds and did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Status {
    /// Parcels that wait, heartbeats included.
    pub waiting: usize,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// When the oldest of them was sealed.
    pub oldest: Option<Timestamp>,
    /// Reels uploaded since the start.
    pub uploaded: u64,
    /// Their bytes.
    pub uploaded_bytes: u64,
    /// Heartbeats and roll-ups uploaded since the start.
    pub heartbeats: u64,
    /// When each destination took a manifest last.
    pub newest: BTreeMap<String, Timestamp>,
    /// Reels dropped because the share of the disk was exceeded.
    pub dropped: u64,
    /// Bytes uploaded a second, over the last minute.
    pub bytes_per_second: u64,
    /// Whether recording stands still because too much waits.
    pub is_full: bool,
    /// Lock of the newest reel of each destination, as read back after its upload.
    pub kept: BTreeMap<String, LockNote>,
    /// The last failure that was not overcome yet, one sentence.
    pub last_error: Option<String>,
}
