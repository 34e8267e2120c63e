//! Capture windows: recordings of scripts that end by themselves.
//!
//! In: how long one is to be, and the time of each step. Out: windows that are over are gone from the
//! wishes. Never: one without an end.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value as Json;

use super::{Desk, Wishes};
use crate::record::Wish;
use crate::time::Timestamp;

/// Length of a capture window that says none.
const WINDOW: Duration = Duration::from_secs(60);

/// Longest capture window; what goes on for longer is a recording.
const MAX_WINDOW: Duration = Duration::from_secs(24 * 3600);

/// A recording that ends by itself.
pub(super) struct Window {
    pub(super) script: PathBuf,
    pub(super) wish: Wish,
    pub(super) length: Duration,
    /// `None` until the first step says what time it is.
    pub(super) until: Option<Timestamp>,
}

impl Desk {
    pub(super) fn follow_windows(&self, wishes: &Wishes) {
        let ends = wishes.windows.iter().map(|window| match window.until {
            Some(until) => until.nanos(),
            None => i64::MIN,
        });
        let next = ends.min().unwrap_or(i64::MAX);
        self.next_end.store(next, Ordering::Relaxed);
    }

    /// The time is `now`: capture windows that are over end, and what they hold is sealed.
    pub(super) fn step(&self, now: Timestamp) {
        let before = Timestamp::from_nanos(self.now.swap(now.nanos(), Ordering::Relaxed));
        let back = before.since(now);
        if back.is_zero() && now.nanos() < self.next_end.load(Ordering::Relaxed) {
            return;
        }
        let mut wishes = self.wishes();
        let before = wishes.windows.len();
        wishes.windows.retain_mut(|window| {
            // Where the clock was set back, the end goes with it: a minute stays a minute.
            let until = window
                .until
                .map_or(now + window.length, |until| until - back);
            window.until = Some(until);
            until > now
        });
        self.follow_windows(&wishes);
        if wishes.windows.len() != before {
            self.apply(&mut wishes);
        }
    }
}

/// How long a capture window is.
pub(super) fn length_of(wanted: &Json) -> Result<Duration, String> {
    let (unit, number) = match (wanted.get("seconds"), wanted.get("minutes")) {
        (None, None) => return Ok(WINDOW),
        (Some(seconds), None) => (1.0, seconds),
        (None, Some(minutes)) => (60.0, minutes),
        (Some(_), Some(_)) => return Err("a capture has seconds or minutes, not both".to_owned()),
    };
    let length = number
        .as_f64()
        .and_then(|number| Duration::try_from_secs_f64(number * unit).ok())
        .filter(|length| !length.is_zero() && *length <= MAX_WINDOW);
    length.ok_or_else(|| {
        let hours = MAX_WINDOW.as_secs() / 3600;
        format!("{number} is no length of a capture; give more than 0 and at most {hours} hours")
    })
}
