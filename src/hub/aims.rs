//! The targets as the hub tells them: whole to a worker that comes, differences from then on.
//!
//! In: targets as they change, workers that come, and those whom a difference did not fit. Out: messages, each
//! made once for all workers that lack the same. Never: a worker that is told of what is captured before it
//! knows the names; more messages for a worker whose link is behind: it is told of all changes together later.
//!
//! ```text
//! whole       {"kind": "targets", "number": N, "targets": as Targeted writes them}
//! difference  {"kind": "retargeted", "base": the number that it is told with, "number": N, "difference"}
//! ```
//!
//! Numbers are those of one life of the hub. Workers of a version that takes no differences are told whole
//! lists.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;

use super::difference::Difference;
use super::message;
use super::nodes::{Connection, Nodes};
use super::targeted::Targeted;

/// Steps that are remembered for workers that are behind; whoever lacks more is told all.
const MAX_STEPS: usize = 32;

/// Time between two tellings of everything to a worker that asks for it.
const ASKED_EVERY: Duration = Duration::from_secs(5);

/// The targets in force, and the steps that led there.
#[derive(Default)]
pub(super) struct Aims(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// Number of the targets in force; 0 when nobody has said any.
    number: u64,
    now: Targeted,
    steps: VecDeque<Step>,
    /// Bytes of the steps.
    step_bytes: usize,
    /// Messages that lead to the targets in force: the whole, and differences by the number before.
    whole: Option<Bytes>,
    differences: BTreeMap<u64, Bytes>,
    /// Whether somebody is to be told later.
    is_owed: bool,
}

/// What led from one number to the next.
struct Step {
    base: u64,
    difference: Difference,
    bytes: usize,
}

/// What one worker was told.
#[derive(Debug)]
pub(super) struct Aim {
    takes_differences: bool,
    at: Mutex<At>,
}

#[derive(Debug, Default, Clone, Copy)]
struct At {
    /// Whether it knows the names that go with the targets.
    is_due: bool,
    /// Number of what it was told last; `None` when it is to be told all.
    number: Option<u64>,
    /// When it asked for everything.
    asked: Option<Instant>,
}

impl Aim {
    /// That of a worker which comes.
    pub(super) fn new(takes_differences: bool) -> Aim {
        Aim {
            takes_differences,
            at: Mutex::default(),
        }
    }

    fn at(&self) -> MutexGuard<'_, At> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Aims {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Captures other targets, and tells those workers that know the names.
    pub(super) fn set(&self, targeted: Targeted, nodes: &Nodes) {
        let mut inner = self.inner();
        inner.set(targeted);
        // Whoever is not among them yet is aimed behind this.
        inner.tell(&nodes.connections());
    }

    /// Tells one who was told the names what is to be captured, and from now on whenever it changes.
    pub(super) fn aim(&self, connection: &Connection) {
        let mut inner = self.inner();
        connection.aim.at().is_due = true;
        // Whoever comes waits for it, however much it was told before.
        inner.send(connection);
    }

    /// A worker asks for everything: what it was told last did not fit.
    pub(super) fn asked(&self, connection: &Connection, now: Instant) {
        let mut inner = self.inner();
        let mut at = connection.aim.at();
        let is_soon = |asked: Instant| now.saturating_duration_since(asked) < ASKED_EVERY;
        if at.asked.is_some_and(is_soon) {
            return;
        }
        (at.asked, at.number) = (Some(now), None);
        inner.is_owed = true;
    }

    /// Tells those that were not told yet, unless their links are still behind.
    pub(super) fn catch_up(&self, nodes: &Nodes) {
        let mut inner = self.inner();
        if inner.is_owed {
            inner.tell(&nodes.connections());
        }
    }
}

impl Inner {
    fn set(&mut self, targeted: Targeted) {
        let difference = match self.number {
            0 => None,
            _ => Difference::between(&self.now, &targeted),
        };
        if difference.as_ref().is_some_and(Difference::is_empty) {
            return;
        }
        let base = self.number;
        self.number += 1;
        self.now = targeted;
        self.whole = None;
        self.differences.clear();
        let message = difference
            .as_ref()
            .and_then(|difference| self.message(base, difference));
        let (Some(message), Some(difference)) = (message, difference) else {
            self.steps.clear();
            self.step_bytes = 0;
            return;
        };
        let bytes = message.len();
        self.steps.push_back(Step {
            base,
            difference,
            bytes,
        });
        self.step_bytes += bytes;
        self.differences.insert(base, message);
        while self.steps.len() > MAX_STEPS || self.step_bytes > self.now.bytes() {
            let Some(first) = self.steps.pop_front() else {
                break;
            };
            self.step_bytes -= first.bytes;
        }
    }

    fn tell(&mut self, connections: &[(String, Connection)]) {
        self.is_owed = false;
        for (_, connection) in connections {
            let at = *connection.aim.at();
            if !at.is_due || at.number == Some(self.number) {
                continue;
            }
            match connection.queues.are_behind() {
                true => self.is_owed = true,
                false => self.send(connection),
            }
        }
    }

    /// Sends what one lacks.
    fn send(&mut self, connection: &Connection) {
        if self.number == 0 {
            return;
        }
        let mut at = connection.aim.at();
        let base = at.number.filter(|_| connection.aim.takes_differences);
        let message = base.and_then(|base| self.difference(base));
        if let Some(message) = message.or_else(|| self.whole()) {
            connection.send(&message);
        }
        at.number = Some(self.number);
    }

    fn whole(&mut self) -> Option<Bytes> {
        if self.whole.is_none() {
            #[derive(Serialize)]
            struct Whole<'t> {
                kind: &'static str,
                number: u64,
                targets: &'t Targeted,
            }
            let message = message::said(&Whole {
                kind: "targets",
                number: self.number,
                targets: &self.now,
            });
            self.whole = message
                .inspect_err(|error| tracing::warn!(%error, "the targets are not told"))
                .ok();
        }
        self.whole.clone()
    }

    /// What leads from `base` to the targets in force; `None` when they are told whole instead.
    fn difference(&mut self, base: u64) -> Option<Bytes> {
        if let Some(message) = self.differences.get(&base) {
            return Some(message.clone());
        }
        let mut steps = self.steps.iter().skip_while(|step| step.base != base);
        let mut together = steps.next()?.difference.clone();
        steps.for_each(|step| together.then(&step.difference));
        let message = self.message(base, &together)?;
        self.differences.insert(base, message.clone());
        Some(message)
    }

    /// A difference as it is told; `None` when everything is shorter.
    fn message(&self, base: u64, difference: &Difference) -> Option<Bytes> {
        #[derive(Serialize)]
        struct Retargeted<'d> {
            kind: &'static str,
            base: u64,
            number: u64,
            difference: &'d Difference,
        }
        let message = message::said(&Retargeted {
            kind: "retargeted",
            base,
            number: self.number,
            difference,
        });
        message
            .ok()
            .filter(|message| message.len() <= self.now.bytes())
    }
}

#[cfg(test)]
mod tests;
