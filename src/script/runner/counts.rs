//! What the calls of a script came to.
//!
//! In: what a child says it spent. Out: counts for people, over all versions of a script. Never: a
//! count that goes back.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use super::lock;
use crate::script::times::Times;
use crate::script::wire::Spent;

/// What one kind of call came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct CallCount {
    /// Hook, `job`, `timer` or `load`.
    pub name: &'static str,
    /// Calls.
    pub calls: u64,
    /// Calls that ended in an exception.
    pub errors: u64,
    /// Time within them, in nanoseconds, host calls left out.
    pub nanos: u64,
    /// The same, call by call.
    pub times: Times,
}

/// Counts of one script over all its versions.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Items told.
    pub told: AtomicU64,
    /// Items not told because the script's own query leaves them out.
    pub filtered: AtomicU64,
    /// Items not told because the script fell behind or was not running.
    pub dropped: AtomicU64,
    /// Packets not told.
    pub packets_dropped: AtomicU64,
    calls: Mutex<Vec<CallCount>>,
}

impl Counts {
    /// Each kind of call.
    pub(crate) fn calls(&self) -> Vec<CallCount> {
        lock(&self.calls).clone()
    }

    pub(super) fn spent(&self, name: &'static str, spent: &Spent) {
        let mut calls = lock(&self.calls);
        let position = calls.iter().position(|count| count.name == name);
        let position = position.unwrap_or_else(|| {
            calls.push(CallCount {
                name,
                ..CallCount::default()
            });
            calls.len() - 1
        });
        if let Some(count) = calls.get_mut(position) {
            count.calls = count.calls.saturating_add(spent.calls);
            count.errors = count.errors.saturating_add(spent.errors);
            count.nanos = count.nanos.saturating_add(spent.nanos);
            count.times.add_all(&spent.times);
        }
    }
}
