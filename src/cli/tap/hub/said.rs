//! What is wrong, said once as long as it stays so.
//!
//! In: at each look the sentences about one topic. Out: those that are new, for people. Never: a sentence that
//! comes again with each look; what is mended and breaks again is said again.

use std::collections::BTreeMap;

use super::super::follow::say;

/// What was said last of each topic.
#[derive(Default)]
pub(super) struct Said(BTreeMap<&'static str, Vec<String>>);

impl Said {
    /// Says what is wrong now with `topic`, but for what was wrong at the last look too.
    pub(super) fn say(&mut self, topic: &'static str, now: Vec<String>) {
        self.fresh(topic, now)
            .iter()
            .for_each(|sentence| say(sentence));
    }

    fn fresh(&mut self, topic: &'static str, now: Vec<String>) -> Vec<String> {
        let before = self.0.entry(topic).or_default();
        let fresh = now.iter().filter(|one| !before.contains(one));
        let fresh = fresh.cloned().collect();
        *before = now;
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_wrong_is_said_once_and_again_after_it_was_mended() {
        let mut said = Said::default();
        let mut fresh = |topic, now: &[&str]| {
            let now = now.iter().map(|text| (*text).to_owned());
            said.fresh(topic, now.collect())
        };
        assert_eq!(fresh("scripts", &["a", "b"]), ["a", "b"]);
        assert_eq!(fresh("configuration", &["q"]), ["q"]);
        for _ in 0..3 {
            assert!(fresh("configuration", &["q"]).is_empty());
            assert!(fresh("scripts", &["b", "a"]).is_empty());
        }
        assert_eq!(fresh("scripts", &["a", "c"]), ["c"]);
        assert!(fresh("scripts", &[]).is_empty());
        assert_eq!(fresh("scripts", &["a"]), ["a"]);
    }
}
