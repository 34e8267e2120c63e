//! Who was refused, told once as long as it goes on.
//!
//! In: a sentence for each connection that was refused; whoever is refused comes again every few seconds. Out:
//! whether people are to read it. Never: a log that is full of one worker, memory that strangers fill.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time after which a sentence is told again that still comes.
const AGAIN: Duration = Duration::from_secs(3600);

/// Sentences that are remembered; addresses are in them.
const MAX: usize = 256;

/// When each sentence was told last.
#[derive(Default)]
pub(super) struct Refusals(Mutex<HashMap<String, Instant>>);

impl Refusals {
    /// Whether a sentence is to be told.
    pub(super) fn is_new(&self, sentence: &str, now: Instant) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = |at: &Instant| now.saturating_duration_since(*at) >= AGAIN;
        if told.get(sentence).is_some_and(|at| !is_old(at)) {
            return false;
        }
        if told.len() >= MAX {
            told.retain(|_, at| !is_old(at));
        }
        // With so many, one that was told long ago may be told again.
        if told.len() >= MAX
            && let Some(oldest) = told.iter().min_by_key(|(_, at)| **at)
        {
            let oldest = oldest.0.clone();
            told.remove(&oldest);
        }
        told.insert(sentence.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_once_an_hour() {
        let refusals = Refusals::default();
        let begun = Instant::now();
        let after = |secs| begun + Duration::from_secs(secs);
        assert!(refusals.is_new("a", begun));
        assert!(refusals.is_new("b", after(4)));
        for secs in [0, 4, 3599] {
            assert!(!refusals.is_new("a", after(secs)));
        }
        assert!(refusals.is_new("a", after(3600)));
        assert!(!refusals.is_new("a", after(3604)));
        for number in 0..3 * MAX {
            assert!(refusals.is_new(&number.to_string(), after(3605)));
        }
        assert!(refusals.0.lock().unwrap().len() <= MAX);
    }
}
