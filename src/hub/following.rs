//! The targets as a worker hears them: whole first, differences from then on.
//!
//! In: what the hub of one connection says of targets. Out: the targets whole, or that the hub is to be asked for
//! them. Never: targets that are guessed of a difference to others; a hub that is asked all the time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize as _;
use serde_json::Value as Json;

use super::difference::Difference;
use super::targeted::Targeted;

/// Time between two times that the hub is asked for everything.
const ASK_EVERY: Duration = Duration::from_secs(10);

/// What was heard since the connection began.
#[derive(Debug, Default)]
pub struct Following {
    at: At,
    asked: Option<Instant>,
}

#[derive(Debug, Default)]
enum At {
    /// Nothing that a difference could fit.
    #[default]
    Nowhere,
    /// Something that cannot be read, as it would not be if the hub said it again.
    Unread,
    /// These targets of this number.
    There(u64, Arc<Targeted>),
}

/// What comes of a difference.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// Other targets.
    Targets(Arc<Targeted>),
    /// Nothing yet: everything is to be told again.
    Nothing,
    /// The same, and it is time to ask the hub for it.
    Ask,
}

impl Following {
    /// The hub tells everything; `None` when it cannot be read.
    pub fn whole(&mut self, number: u64, targets: Json) -> Option<Arc<Targeted>> {
        match Targeted::read(targets) {
            Ok(targeted) => Some(self.be(number, targeted)),
            Err(error) => {
                tracing::warn!(%error, "the hub's targets cannot be read");
                self.at = At::Unread;
                None
            }
        }
    }

    /// The hub tells what changed since the targets numbered `base`.
    pub fn difference(&mut self, base: u64, number: u64, difference: &Json, now: Instant) -> Heard {
        let why = match &self.at {
            At::Unread => return Heard::Nothing,
            At::There(at, before) if *at == base => {
                let read = Difference::deserialize(difference).map_err(|error| error.to_string());
                match read.and_then(|read| read.of(before).map_err(|error| error.to_string())) {
                    Ok(targeted) => return Heard::Targets(self.be(number, targeted)),
                    Err(why) => why,
                }
            }
            At::There(..) | At::Nowhere => "it is one to other targets".to_owned(),
        };
        self.at = At::Nowhere;
        let is_soon = |asked: Instant| now.saturating_duration_since(asked) < ASK_EVERY;
        if self.asked.is_some_and(is_soon) {
            return Heard::Nothing;
        }
        tracing::warn!(
            why,
            "what changed of the hub's targets does not fit, it is asked for all"
        );
        self.asked = Some(now);
        Heard::Ask
    }

    /// Knows nothing again, as after a message that was lost.
    #[cfg(test)]
    pub(super) fn forget(&mut self) {
        self.at = At::Nowhere;
    }

    fn be(&mut self, number: u64, targeted: Targeted) -> Arc<Targeted> {
        let targeted = Arc::new(targeted);
        self.at = At::There(number, targeted.clone());
        targeted
    }
}
