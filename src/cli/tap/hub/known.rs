//! The pods that the hub knows, kept for its next life: what became of them meanwhile is told then.
//!
//! In: pods, every few seconds while a recording waits for their end. Out: a file in the data folder. Never:
//! more than what it takes to say that a pod is gone.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::Asked;
use super::super::follow::say;
use crate::cluster::Remembered;
use crate::record::{read_capped, write_whole};
use crate::time::{Clock, SystemClock, Timestamp};

/// Time between two writings.
const EVERY: Duration = Duration::from_secs(10);

/// Largest file that is read; a pod takes some 200 bytes.
const MAX_FILE: u64 = 64 << 20;

/// The file.
pub(super) struct Known {
    path: PathBuf,
    written: Mutex<Option<Timestamp>>,
}

/// What it holds.
#[derive(Serialize, Deserialize)]
struct Kept {
    at: Timestamp,
    pods: Vec<Remembered>,
}

impl Known {
    /// The file of a data folder.
    pub(super) fn new(data: &Path) -> Known {
        Known {
            path: data.join("pods.json"),
            written: Mutex::default(),
        }
    }

    /// The pods of the life before, and when they were there.
    pub(super) fn read(&self) -> Option<(Timestamp, Vec<Remembered>)> {
        let text = read_capped(&self.path, MAX_FILE).ok()?;
        match serde_json::from_slice::<Kept>(&text) {
            Ok(kept) => Some((kept.at, kept.pods)),
            Err(error) => {
                say(&format!(
                    "{} cannot be read, pods that went while the hub was away are not told: {error}",
                    self.path.display()
                ));
                None
            }
        }
    }

    /// Writes the pods that are there now, when it is time to and `is_wanted`.
    pub(super) fn keep(&self, cluster: &Asked, is_wanted: impl FnOnce() -> bool) {
        let now = SystemClock.now();
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if written.is_some_and(|at| now.since(at) < EVERY) {
            return;
        }
        *written = Some(now);
        if !is_wanted() {
            return;
        }
        // Before all pods are known, those of the life before are the better ones.
        if let Some(pods) = cluster.remembered()
            && let Err(error) = write(&self.path, &Kept { at: now, pods })
        {
            tracing::warn!(%error, "the pods are not kept for the next life of the hub");
        }
    }
}

fn write(path: &Path, kept: &Kept) -> std::io::Result<()> {
    write_whole(path, &serde_json::to_vec(kept)?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_was_kept_is_read_and_what_is_broken_is_nothing() {
        let home = tempfile::tempdir().unwrap();
        let known = Known::new(home.path());
        assert_eq!(known.read(), None);
        let pod = serde_json::json!({
            "namespace": "shop", "name": "cart-1", "uid": "u", "node": "a",
            "ends": {"ips": ["10.0.0.7"], "ports": []},
        });
        let kept = Kept {
            at: Timestamp::from_secs(7, 0),
            pods: vec![serde_json::from_value(pod).unwrap()],
        };
        write(&known.path, &kept).unwrap();
        assert_eq!(known.read(), Some((kept.at, kept.pods)));
        fs::write(&known.path, "{").unwrap();
        assert_eq!(known.read(), None);
    }
}
