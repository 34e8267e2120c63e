//! How a worker is, as it tells its hub: state and console.
//!
//! In and out: plain values. Never: what did not change since it was told last.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// What a worker's feed did since the run began.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FeedCounts {
    /// Rows sent.
    pub sent: u64,
    /// Rows that were held no longer, or too many, when their turn came: hub or link were slow.
    pub skipped: u64,
    /// Rows too large to be sent.
    pub too_large: u64,
    /// Rows that queries were tried on.
    pub looked_at: u64,
}

/// The state of a worker; what did not change is left out.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct State {
    /// Counters of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<Json>,
    /// Recordings, outbox and the rest, as the state bar of one node has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<Json>,
    /// The scripts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scripts: Option<Json>,
    /// The jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs: Option<Json>,
    /// The feed.
    pub feed: FeedCounts,
}

/// One line of the console of a worker's scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleLine {
    /// Its number in the run, from 1.
    pub n: u64,
    /// When it was printed.
    pub at: String,
    /// Whether it is an error line.
    pub error: bool,
    /// The whole line with its prefix.
    pub text: String,
    /// Title of the script.
    #[serde(default)]
    pub title: String,
    /// File name of the script.
    #[serde(default)]
    pub file: String,
}
