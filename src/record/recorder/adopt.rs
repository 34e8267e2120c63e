//! Reels that an earlier process left open.
//!
//! In: folders found at the start. Out: jobs that seal them under their old run. Never: a folder given
//! up, or a start that fails because one of them cannot be read or made whole yet: what is in the way
//! may be what this process would carry away.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::journal;
use super::super::lane::Stats;
use super::super::reel::{Closed, id_of};
use super::super::sealer::Job;
use super::Recorder;
use crate::time::Timestamp;

/// Time between two tries.
const PAUSE: Duration = Duration::from_secs(30);

/// Folders that are still to be looked at.
#[derive(Debug, Default)]
pub(super) struct Left {
    folders: Vec<PathBuf>,
    tried: Timestamp,
}

impl Recorder {
    /// Has what lies in the folder of open reels sealed; what cannot be yet is tried again.
    pub(super) fn adopt_all(&mut self, mut folders: Vec<PathBuf>) {
        folders.sort();
        for folder in &folders {
            // A run that goes on after a restart within its second never uses a number twice.
            if let Some((run, sequence)) = journal::numbers_of(&id_of(folder))
                && run == self.options.run
            {
                self.sequence = self.sequence.max(sequence + 1);
            }
        }
        folders.retain(|folder| match self.adopt(folder) {
            Ok(()) => false,
            Err(error) => {
                self.warn(format!(
                    "what an earlier process left in {} cannot be sealed: {error}; it is tried \
                     again, nothing is lost",
                    folder.display()
                ));
                true
            }
        });
        self.left = Left {
            folders,
            tried: self.clock.now(),
        };
    }

    /// Tries again what could not be sealed.
    pub(super) fn adopt_rest(&mut self, now: Timestamp) {
        // The clock may have been set back.
        self.left.tried = self.left.tried.min(now);
        if self.left.folders.is_empty() || now.since(self.left.tried) < PAUSE {
            return;
        }
        self.left.tried = now;
        let mut folders = std::mem::take(&mut self.left.folders);
        folders.retain(|folder| self.adopt(folder).is_err());
        self.left.folders = folders;
    }

    fn adopt(&mut self, folder: &Path) -> io::Result<()> {
        // Sealed already: only the deletion of the open files was cut short.
        let closed = if self.outbox.knows(&id_of(folder)) {
            None
        } else {
            Closed::adopt(folder, self.spool.as_ref())?
        };
        let Some((closed, end)) = closed else {
            return fs::remove_dir_all(folder);
        };
        self.note_taken(&closed, end.unwrap_or(u64::MAX));
        self.warn(format!(
            "the recording {} of the run {} was not ended: what it held is sealed now",
            closed.head.recording, closed.head.run
        ));
        let spool = self.spool.as_ref();
        let now = self.clock.now();
        let mut occasion = self
            .options
            .occasion("restart", now, spool, &Stats::default());
        occasion.coverage.clear();
        occasion.due = None;
        occasion
            .remarks
            .push("sealed after the recording process ended without notice".to_owned());
        self.sealer.add(Job::Reel {
            bytes: closed.pair().bytes(),
            closed: Box::new(closed),
            occasion,
        });
        Ok(())
    }
}
