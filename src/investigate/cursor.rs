//! Places in the order in which items of an archive are shown: the newest first.

use std::cmp::{Ordering, Reverse};

use sha2::{Digest as _, Sha256};

use super::reel::Reel;
use crate::store::{Digest, hex};

/// Where a page ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Nanoseconds of the request.
    pub(super) start: i64,
    /// Short name of the reel; empty before all reels.
    pub(super) reel: String,
    /// Row of the reel's index; with [`DISSECTED`], ordinal of the item in the reel's packets.
    pub(super) row: u64,
}

/// Marks rows that the packets gave; no index has as many rows.
pub(super) const DISSECTED: u64 = 1 << 24;

impl Cursor {
    /// In front of all items at or before a moment in nanoseconds.
    pub(super) fn at(start: i64) -> Cursor {
        Cursor {
            start,
            reel: String::new(),
            row: 0,
        }
    }

    /// Whether it stands behind another one.
    pub(super) fn is_behind(&self, after: Option<&Cursor>) -> bool {
        after.is_none_or(|after| self > after)
    }

    /// Reads a cursor as it is shown; `None` when it is none.
    pub fn parse(text: &str) -> Option<Cursor> {
        let mut parts = text.split('.');
        let cursor = Cursor {
            start: parts.next()?.parse().ok()?,
            reel: parts.next()?.to_owned(),
            row: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(cursor)
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.start, self.reel, self.row)
    }
}

/// Items come the newest first; of one moment, by reel and row.
impl Ord for Cursor {
    fn cmp(&self, other: &Cursor) -> Ordering {
        let left = (Reverse(self.start), &self.reel, self.row);
        left.cmp(&(Reverse(other.start), &other.reel, other.row))
    }
}

impl PartialOrd for Cursor {
    fn partial_cmp(&self, other: &Cursor) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A short name of a reel for cursors.
pub(super) fn id_of(reel: &Reel) -> String {
    let digest: Digest = Sha256::digest(reel.stem.as_bytes()).into();
    let mut id = hex(&digest);
    id.truncate(16);
    id
}
