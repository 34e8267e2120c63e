//! Recordings with a schedule, and what is remembered of them between two runs.
//!
//! In: declarations. Out: a small file with those that were added by commands, and when each was
//! made, so that five days stay five days over a restart. Never: secrets beyond what was declared;
//! the file is its user's alone.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::schedule::{Phase, Schedule};
use crate::record::{Wish, write_whole};
use crate::time::Timestamp;

/// Longest file that is read.
const MAX_BYTES: u64 = 4 << 20;

/// A recording and when it is on.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) wish: Wish,
    pub(super) schedule: Schedule,
    pub(super) made: Timestamp,
    /// As it was declared.
    pub(super) declared: Json,
}

impl Plan {
    /// Where it stands in its schedule. None is made later than now: where the clock was set back
    /// since, it goes on as if it were made now, and does not wait until the clock is there again.
    pub(super) fn phase(&self, now: Timestamp) -> Phase {
        self.schedule.phase(self.made.min(now), now)
    }
}

/// Adds to a recording's JSON where it stands in its schedule.
pub(super) fn plan_json(json: &mut Json, plan: &Plan, now: Timestamp) {
    let (state, key, at) = match plan.phase(now) {
        Phase::Waiting(from) => ("waiting", "nextStart", Some(from)),
        Phase::On(until) => ("on", "until", until),
        Phase::Ended => ("ended", "until", None),
    };
    json["state"] = state.into();
    json["made"] = plan.made.to_string().into();
    if let Some(at) = at {
        json[key] = at.to_string().into();
    }
    let schedule = &plan.schedule;
    json["schedule"] = json!({
        "start": schedule.start.map(|minutes| format!("{:02}:{:02}", minutes / 60, minutes % 60)),
        "iterations": schedule.iterations,
        "durationSeconds": schedule.duration.map(|time| time.as_secs()),
        "expirySeconds": schedule.expiry.map(|time| time.as_secs()),
    });
}

/// What the file holds of one recording.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    name: String,
    /// Unix nanoseconds.
    made: i64,
    /// Whether a command added it.
    added: bool,
    declared: Json,
}

/// What outlives the process; without a file nothing does.
#[derive(Debug, Default)]
pub(super) struct Memory {
    path: Option<PathBuf>,
    kept: Vec<Kept>,
}

impl Memory {
    /// Reads the file, and says when it cannot be read.
    pub(super) fn open(path: PathBuf) -> (Memory, Vec<String>) {
        let mut said = Vec::new();
        let kept = match fs::metadata(&path) {
            Err(_) => Vec::new(),
            Ok(found) if found.len() > MAX_BYTES => {
                said.push(format!("{} is too large and is not read", path.display()));
                Vec::new()
            }
            Ok(_) => match fs::read(&path).map(|bytes| serde_json::from_slice::<Vec<Kept>>(&bytes))
            {
                Ok(Ok(kept)) => kept,
                Ok(Err(_)) | Err(_) => {
                    said.push(format!(
                        "{} cannot be read, so recordings that were added are forgotten",
                        path.display()
                    ));
                    Vec::new()
                }
            },
        };
        let path = Some(path);
        (Memory { path, kept }, said)
    }

    /// Declarations of what was added.
    pub(super) fn added(&self) -> Vec<Json> {
        let added = self.kept.iter().filter(|kept| kept.added);
        added.map(|kept| kept.declared.clone()).collect()
    }

    /// When a recording was made that is declared just so.
    pub(super) fn made(&self, name: &str, declared: &Json) -> Option<Timestamp> {
        let mut same = self.kept.iter().filter(|kept| kept.name == name);
        let kept = same.find(|kept| kept.declared == *declared)?;
        Some(Timestamp::from_nanos(kept.made))
    }

    /// Remembers these; true beside those that were added.
    pub(super) fn keep(&mut self, plans: &[(Plan, bool)]) -> io::Result<()> {
        let kept = plans.iter().map(|(plan, added)| Kept {
            name: plan.wish.name.clone(),
            made: plan.made.nanos(),
            added: *added,
            declared: plan.declared.clone(),
        });
        self.kept = kept.collect();
        let Some(path) = &self.path else {
            return Ok(());
        };
        write_whole(path, &serde_json::to_vec(&self.kept)?)
    }
}
