//! The recording desk: who wants what recorded, brought together for the one recorder.
//!
//! Wishes come from the configuration (`recordings:` and `RECORDING_KFL`), from commands and the API,
//! and from scripts: `recording.set` for as long as the script is there, `recording.capture` for a
//! window of time. A name stands once, and the configuration's goes first: no script changes or
//! crowds out what was configured. Schedules decide which recordings are on.

mod events;
mod plans;
mod scripts;
mod told;
mod windows;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use self::windows::Window;
use super::declared::Basis;
use super::planned::{Memory, Plan};
use super::schedule::Phase;
use super::{Consumer, Encoded, Step};
use crate::item::Item;
use crate::kfl;
use crate::record::{Recorder, States, Status, Wish};
use crate::time::{Clock, SystemClock, Timestamp};

/// Name of the recording that `RECORDING_KFL` stands for.
pub const DEFAULT_NAME: &str = "recording";

/// Name in `env` whose value is the query of that recording.
pub const RECORDING_KFL: &str = "RECORDING_KFL";

/// The recorder with everybody's wishes.
pub struct Desk {
    recorder: Mutex<Recorder>,
    wishes: Mutex<Wishes>,
    basis: Basis,
    clock: Arc<dyn Clock>,
    said: Box<dyn Fn(&str) + Send + Sync>,
    /// When a script last had something sealed.
    sealed: Mutex<Option<Instant>>,
    /// The time of the newest step, in nanoseconds.
    now: AtomicI64,
    /// When the next capture window ends, in nanoseconds; the greatest number without any.
    next_end: AtomicI64,
}

#[derive(Default)]
struct Wishes {
    /// `RECORDING_KFL`.
    line: Option<Wish>,
    /// `recordings:`.
    listed: Vec<Plan>,
    /// Added by commands and the API.
    added: Vec<Plan>,
    /// What outlives the process.
    memory: Memory,
    /// When the schedules were looked at, and which plans were on then.
    looked: Timestamp,
    on: Vec<String>,
    /// By script, in the order of their files.
    scripts: BTreeMap<PathBuf, Vec<Wish>>,
    windows: Vec<Window>,
    /// A script that records by itself, alone (`scripting.recorder`).
    foreign: Option<String>,
}

impl Wishes {
    /// What is to be recorded at `now`.
    fn all(&self, now: Timestamp) -> Vec<Wish> {
        let mut all: Vec<Wish> = Vec::new();
        let line = self.line.iter().filter(|_| self.foreign.is_none());
        let planned = self
            .plans()
            .filter(|plan| matches!(plan.phase(now), Phase::On(_)))
            .map(|plan| &plan.wish);
        let windows = self.windows.iter().map(|window| &window.wish);
        let scripts = self.scripts.values().flatten();
        for wish in line.chain(planned).chain(scripts).chain(windows) {
            if all.iter().all(|known| known.name != wish.name) {
                all.push(wish.clone());
            }
        }
        all
    }

    fn plans(&self) -> impl Iterator<Item = &Plan> {
        self.listed.iter().chain(&self.added)
    }

    /// The configuration's recording of this name.
    fn configured(&self, name: &str) -> Option<&Wish> {
        let line = self.line.iter().filter(|_| self.foreign.is_none());
        let listed = self.plans().map(|plan| &plan.wish);
        line.chain(listed).find(|wish| wish.name == name)
    }

    fn on(&self, now: Timestamp) -> Vec<String> {
        let on = self
            .plans()
            .filter(|plan| matches!(plan.phase(now), Phase::On(_)));
        on.map(|plan| plan.wish.name.clone()).collect()
    }
}

impl Desk {
    /// A desk for `recorder`; `template` holds destination, format and lock of wishes that do not
    /// say, `said` takes sentences for people.
    pub fn new(
        recorder: Recorder,
        template: Wish,
        schema: Arc<kfl::Schema>,
        said: Box<dyn Fn(&str) + Send + Sync>,
    ) -> Desk {
        Desk::on(recorder, Basis::new(template, schema), said)
    }

    /// The same on a whole basis.
    pub fn on(recorder: Recorder, basis: Basis, said: Box<dyn Fn(&str) + Send + Sync>) -> Desk {
        Desk {
            recorder: Mutex::new(recorder),
            wishes: Mutex::default(),
            basis,
            clock: Arc::new(SystemClock),
            said,
            sealed: Mutex::new(None),
            now: AtomicI64::new(0),
            next_end: AtomicI64::new(i64::MAX),
        }
    }

    fn recorder(&self) -> MutexGuard<'_, Recorder> {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wishes(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, wishes: &mut Wishes) {
        let now = self.clock.now();
        (wishes.looked, wishes.on) = (now, wishes.on(now));
        let said = self.recorder().set(wishes.all(now));
        for sentence in said {
            (self.said)(&sentence);
        }
    }

    fn warn(&self, wish: &Wish) {
        for warning in wish.query.warnings() {
            (self.said)(&format!(
                "the query of the recording {}: {warning}",
                wish.name
            ));
        }
    }

    /// Takes `RECORDING_KFL` as it is now: absent or blank is off, an invalid one keeps the last
    /// good one.
    ///
    /// # Errors
    /// One sentence with the position, when the query is invalid.
    pub fn configure(&self, query: Option<&str>) -> Result<(), String> {
        let query = query.filter(|text| !text.trim().is_empty());
        let wish = match query {
            None => None,
            Some(text) => Some(self.wish(DEFAULT_NAME, text)?),
        };
        let mut wishes = self.wishes();
        wishes.line = wish;
        self.apply(&mut wishes);
        Ok(())
    }

    /// Leaves `RECORDING_KFL` to the script called so, or takes it back.
    pub fn leave_to(&self, script: Option<String>) {
        let mut wishes = self.wishes();
        if wishes.foreign == script {
            return;
        }
        if let Some(name) = &script {
            (self.said)(&format!(
                "{name} records RECORDING_KFL by itself, so tapedeck does not; --set scripting.recorder=native or both changes that"
            ));
        }
        wishes.foreign = script;
        self.apply(&mut wishes);
    }

    /// Forgets the wishes of scripts that are no longer there.
    pub fn keep_scripts(&self, present: &dyn Fn(&PathBuf) -> bool) {
        let mut wishes = self.wishes();
        let before = (wishes.scripts.len(), wishes.windows.len());
        wishes.scripts.retain(|path, _| present(path));
        wishes.windows.retain(|window| present(&window.script));
        if (wishes.scripts.len(), wishes.windows.len()) != before {
            self.follow_windows(&wishes);
            self.apply(&mut wishes);
        }
    }

    fn wish(&self, name: &str, text: &str) -> Result<Wish, String> {
        let wish = Wish {
            name: name.to_owned(),
            query: self.basis.query(name, text)?,
            ..self.basis.template.clone()
        };
        self.warn(&wish);
        Ok(wish)
    }

    /// The recordings now.
    pub fn status(&self) -> Vec<Status> {
        self.recorder().status()
    }

    /// Sentences about what went wrong since the last call.
    pub fn warnings(&self) -> Vec<String> {
        self.recorder().warnings()
    }

    /// Ends all recordings: what is open is sealed and lies in the outbox when this returns.
    pub fn finish(&self) {
        let said = self.recorder().finish();
        for sentence in said {
            (self.said)(&sentence);
        }
    }

    /// Whether nothing is recorded.
    pub fn is_idle(&self) -> bool {
        self.recorder().is_idle()
    }
}

/// The desk's recorder as a consumer.
pub struct DeskConsumer(pub Arc<Desk>);

impl Consumer for DeskConsumer {
    fn on_states(&mut self, step: &Step, states: &States) {
        let first = step.batch.packets.first().map(|packet| packet.ordinal);
        self.0.recorder().on_states(states, first);
    }

    fn mark(&mut self, step: &Step, items: &mut [Item]) {
        self.0.look();
        self.0.step(step.batch.now);
        let mut recorder = self.0.recorder();
        recorder.on_batch(&step.batch, items);
        // Not by the time of the step: it may have waited while the clock was set back.
        recorder.tick(self.0.clock.now());
        for item in items {
            if let Some(names) = recorder.recordings_of(item.stream.stream) {
                item.record = names;
            }
        }
    }

    fn on_step(&mut self, _step: &Step, _items: &[Item], _encoded: &Encoded<'_>) {}
}

#[cfg(test)]
mod tests;
