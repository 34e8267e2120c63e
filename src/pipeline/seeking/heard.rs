//! What was heard of already: whoever was away is told of the last hour once more.
//!
//! In: happenings. Out: whether each is new; a file that says so to the next run. Never: more than
//! [`MAX_HEARD`] of them.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cluster::{Ends, Happening, What};
use crate::record::{read_json, write_json};
use crate::time::Timestamp;

/// Happenings that are kept; what recordings wait for is rarer.
const MAX_HEARD: usize = 4096;

/// Largest file that is read.
const MAX_FILE: u64 = 16 << 20;

/// Time for which they are kept: somewhat longer than they are told again.
const KEPT: Duration = Duration::from_secs(2 * 3600);

/// What was heard.
#[derive(Default)]
pub(super) struct Heard {
    list: VecDeque<Noted>,
    file: Option<PathBuf>,
}

/// A happening without its addresses, and when it was heard of.
#[derive(Serialize, Deserialize)]
struct Noted {
    heard_nanos: i64,
    happening: Happening,
    /// When it is over and may stand in the file; none once it does.
    #[serde(skip)]
    over: Option<Timestamp>,
}

impl Heard {
    /// What the file says.
    pub(super) fn read(file: PathBuf) -> Heard {
        Heard {
            list: read_json(&file, MAX_FILE).unwrap_or_default(),
            file: Some(file),
        }
    }

    /// Notes a happening that is over at a moment; false when it was heard of before.
    pub(super) fn is_new(
        &mut self,
        happening: &Happening,
        over: Timestamp,
        now: Timestamp,
    ) -> bool {
        if self
            .list
            .iter()
            .any(|noted| noted.happening.is_same(happening))
        {
            return false;
        }
        let oldest = (now - KEPT).nanos();
        self.list.retain(|noted| noted.heard_nanos >= oldest);
        if self.list.len() >= MAX_HEARD {
            self.list.pop_front();
        }
        self.list.push_back(Noted {
            heard_nanos: now.nanos(),
            happening: Happening {
                message: match happening.what {
                    // Its revision.
                    What::Rollout => happening.message.clone(),
                    _ => String::new(),
                },
                pod: Ends::default(),
                all: Ends::default(),
                shared: Vec::new(),
                ..happening.clone()
            },
            over: Some(over),
        });
        true
    }

    /// Writes the file, when something is over. What a restart interrupts before is told again, and the
    /// next run goes on with it.
    pub(super) fn keep(&mut self, now: Timestamp) {
        let mut is_news = false;
        for noted in &mut self.list {
            if noted.over.is_some_and(|over| over <= now) {
                noted.over = None;
                is_news = true;
            }
        }
        if !is_news {
            return;
        }
        let kept: Vec<&Noted> = self.list.iter().filter(|one| one.over.is_none()).collect();
        if let Some(file) = &self.file
            && let Err(error) = write_json(file, &kept)
        {
            tracing::warn!(%error, file = %file.display(), "what was heard of is told again after a restart");
        }
    }
}
