//! One run at a time captures into a data folder: the next one adopts spool, open reels and outbox.
//!
//! In: the folder. Out: a lock on it, which ends with the process however that ends. Never: two that
//! seal the same reel.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use super::super::exit::Failure;
use super::follow::say;
use super::live::PACE;
use crate::pipeline::Stop;

/// Name of the file that is locked.
const FILE: &str = "lock";

/// A folder that is ours until this is dropped.
pub(super) struct Claim {
    _file: File,
}

impl Claim {
    /// Takes the folder. While another run has it, waits `patience` for its end: a pod that was deleted
    /// by force lives on until it has uploaded.
    ///
    /// # Errors
    /// When it does not end in time, or the lock cannot be made.
    pub(super) fn take(data: &Path, patience: Duration, stop: &Stop) -> Result<Claim, Failure> {
        let cannot = |error: std::io::Error| {
            let sentence = format!(
                "the data folder {} cannot be locked: {error}; name another with --set tap.dataDir=DIR",
                data.display()
            );
            Failure::of(&error, sentence)
        };
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(false);
        let file = options.open(data.join(FILE)).map_err(cannot)?;
        let begun = Instant::now();
        let mut is_said = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Claim { _file: file }),
                Err(TryLockError::Error(error)) => return Err(cannot(error)),
                Err(TryLockError::WouldBlock) => {}
            }
            if begun.elapsed() >= patience || stop.is_asked() {
                return Err(Failure::failed(format!(
                    "another tapedeck captures into {}; end it, or name another folder with --set tap.dataDir=DIR",
                    data.display()
                )));
            }
            if !is_said {
                say(&format!(
                    "another tapedeck still has {}; waiting for its end",
                    data.display()
                ));
                is_said = true;
            }
            std::thread::sleep(PACE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_taken_once_and_free_when_its_run_has_ended() {
        let home = tempfile::tempdir().unwrap();
        let stop = Stop::default();
        let first = Claim::take(home.path(), Duration::ZERO, &stop).unwrap();
        let refused = Claim::take(home.path(), Duration::ZERO, &stop)
            .err()
            .unwrap();
        assert!(
            refused
                .message
                .starts_with("another tapedeck captures into"),
            "{refused}"
        );
        let later = std::thread::spawn(move || {
            std::thread::sleep(PACE * 2);
            drop(first);
        });
        Claim::take(home.path(), Duration::from_secs(60), &stop).unwrap();
        later.join().unwrap();
    }
}
