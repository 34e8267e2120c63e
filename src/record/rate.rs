//! Bytes a second, over the last minute.

use std::collections::VecDeque;
use std::time::Instant;

/// Bytes uploaded lately, second by second.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    since: Option<Instant>,
    seconds: VecDeque<(u64, u64)>,
}

/// Seconds over which the rate is taken.
const RATE_SECONDS: u64 = 60;

impl Rate {
    /// Counts bytes.
    pub(crate) fn add(&mut self, now: Instant, bytes: u64) {
        let second = now.duration_since(*self.since.get_or_insert(now)).as_secs();
        match self.seconds.back_mut() {
            Some((last, sum)) if *last == second => *sum += bytes,
            _ => self.seconds.push_back((second, bytes)),
        }
        while self.seconds.len() > RATE_SECONDS as usize {
            self.seconds.pop_front();
        }
    }

    /// The rate; less than a minute after the first bytes, over the time since.
    pub(crate) fn per_second(&self, now: Instant) -> u64 {
        let Some(since) = self.since else { return 0 };
        let second = now.duration_since(since).as_secs();
        let from = second.saturating_sub(RATE_SECONDS);
        let recent = self.seconds.iter().filter(|(at, _)| *at >= from);
        let bytes: u64 = recent.map(|(_, bytes)| bytes).sum();
        bytes / (second + 1).min(RATE_SECONDS)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn old_bytes_no_longer_count() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut rate = Rate::default();
        assert_eq!(rate.per_second(at(0)), 0);
        rate.add(at(0), 600);
        assert_eq!(rate.per_second(at(0)), 600);
        assert_eq!(rate.per_second(at(9)), 60);
        rate.add(at(100), 1200);
        assert_eq!(rate.per_second(at(100)), 20);
        assert_eq!(rate.per_second(at(500)), 0);
    }
}
