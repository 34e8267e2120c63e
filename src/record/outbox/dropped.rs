//! Reels that were dropped because too much waited: counted until a manifest says so.
//!
//! In: what was dropped of one destination. Out: its sum for the manifests, on disk as long as none
//! that was put says it, so that it is said after a restart too. Never: what another destination lost.

use std::fs;
use std::io;
use std::path::Path;

use super::super::files::{read_json, write_json};
use super::super::manifest::Covered;

/// Bytes of the file that are read.
const MAX_BYTES: u64 = 4096;

/// What one destination lost.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    /// By an earlier process, and in no manifest.
    earlier: Covered,
    /// Since the start of this one.
    here: Covered,
}

impl Dropped {
    /// What an earlier process left in the file at `path`.
    pub(super) fn read(path: &Path) -> Dropped {
        Dropped {
            earlier: read_json(path, MAX_BYTES).unwrap_or_default(),
            here: Covered::default(),
        }
    }

    /// Counts a reel that was sealed `at`.
    pub(super) fn add(&mut self, packets: u64, bytes: u64, at: &str) {
        self.here.packets += packets;
        self.here.bytes += bytes;
        self.here.from.get_or_insert_with(|| at.to_owned());
        self.here.to = Some(at.to_owned());
    }

    /// What manifests are to say; `None` when nothing was dropped.
    pub(super) fn sum(&self) -> Option<Covered> {
        let Dropped { earlier, here } = self;
        let sum = Covered {
            packets: earlier.packets + here.packets,
            bytes: earlier.bytes + here.bytes,
            from: earlier.from.clone().or_else(|| here.from.clone()),
            to: here.to.clone().or_else(|| earlier.to.clone()),
        };
        (sum != Covered::default()).then_some(sum)
    }

    /// Notes the sum on disk.
    pub(super) fn note(&self, path: &Path) -> io::Result<()> {
        let Some(sum) = self.sum() else { return Ok(()) };
        write_json(path, &sum)
    }

    /// A manifest was put that says `said`.
    pub(super) fn told(&mut self, said: Option<&Covered>, path: &Path) {
        if said.is_some() && self.sum().as_ref() == said {
            self.earlier = Covered::default();
            // When it stays, what was dropped is said once more.
            let _ = fs::remove_file(path);
        }
    }
}
