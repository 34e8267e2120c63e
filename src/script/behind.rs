//! When it is said that a script falls behind.
//!
//! In: how many items it lost so far, and the time. Out: how many to tell of now. Never: a line for
//! each item; the first loss is told at once, later ones once a minute.

use std::time::{Duration, Instant};

/// How often it is said that a script loses items.
const EVERY: Duration = Duration::from_secs(60);

/// What was said of one script.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    told: u64,
    at: Option<Instant>,
}

impl Behind {
    /// How many items were lost since the last line, when it is time for another one.
    pub(crate) fn due(&mut self, lost: u64, now: Instant) -> Option<u64> {
        let waits = self.at.is_some_and(|at| now.duration_since(at) < EVERY);
        if lost <= self.told || waits {
            return None;
        }
        self.at = Some(now);
        Some(lost - std::mem::replace(&mut self.told, lost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_told_at_once_and_then_once_a_minute() {
        let start = Instant::now();
        let mut behind = Behind::default();
        let mut told = Vec::new();
        // A script that loses ten items a second for three minutes.
        for second in 0..180 {
            let lost = second * 10;
            let now = start + Duration::from_secs(second);
            told.extend(behind.due(lost, now).map(|count| (second, count)));
        }
        assert_eq!(told, [(1, 10), (61, 600), (121, 600)]);
        let later = start + Duration::from_secs(400);
        assert_eq!(behind.due(1790, later), Some(580));
        assert_eq!(behind.due(1790, later + EVERY), None, "nothing new");
    }
}
