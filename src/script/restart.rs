//! When a script that failed may run again: a pause that doubles, then quarantine.
//!
//! In: failures with their moment. Out: a verdict. Never: a clock, a process.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How failures are answered.
#[derive(Debug, Clone, Copy)]
pub struct RestartPolicy {
    /// Pause before the first restart; each further one doubles it.
    pub first_pause: Duration,
    /// Longest pause.
    pub longest_pause: Duration,
    /// Failures within `window` after which a script is not started again.
    pub failures: usize,
    /// Time over which failures are counted.
    pub window: Duration,
}

impl Default for RestartPolicy {
    fn default() -> RestartPolicy {
        RestartPolicy {
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            // With doubling pauses this is about a minute of trying.
            failures: 6,
            window: Duration::from_secs(600),
        }
    }
}

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Start again after the pause.
    Restart(Duration),
    /// Do not start again until the script or its environment changes.
    Quarantine,
}

/// The failures of one script.
#[derive(Debug, Default)]
pub(crate) struct Failures(VecDeque<Instant>);

impl Failures {
    /// Notes a failure and says what follows.
    pub(crate) fn failed(&mut self, policy: &RestartPolicy, now: Instant) -> Verdict {
        self.0.push_back(now);
        while self
            .0
            .front()
            .is_some_and(|at| now.duration_since(*at) > policy.window)
        {
            self.0.pop_front();
        }
        if self.0.len() >= policy.failures {
            return Verdict::Quarantine;
        }
        let doublings = u32::try_from(self.0.len() - 1).unwrap_or(u32::MAX).min(16);
        let pause = policy.first_pause.saturating_mul(1 << doublings);
        Verdict::Restart(pause.min(policy.longest_pause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_end_in_quarantine() {
        let policy = RestartPolicy {
            longest_pause: Duration::from_secs(3),
            failures: 5,
            ..RestartPolicy::default()
        };
        let mut failures = Failures::default();
        let now = Instant::now();
        let verdicts: Vec<Verdict> = (0..5).map(|_| failures.failed(&policy, now)).collect();
        let pauses = [1, 2, 3, 3].map(|secs| Verdict::Restart(Duration::from_secs(secs)));
        assert_eq!(verdicts[..4], pauses);
        assert_eq!(verdicts[4], Verdict::Quarantine);
    }

    #[test]
    fn old_failures_are_forgotten() {
        let policy = RestartPolicy::default();
        let mut failures = Failures::default();
        let start = Instant::now();
        for turn in 0..20 {
            let verdict = failures.failed(&policy, start + Duration::from_secs(700 * turn));
            assert_eq!(verdict, Verdict::Restart(policy.first_pause));
        }
    }
}
