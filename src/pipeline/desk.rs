//! The recording desk: who wants what recorded, brought together for the one recorder.
//!
//! Wishes come from the configuration (`recordings:` and `RECORDING_KFL`), from commands and the API,
//! and from scripts: `recording.set` for as long as the script is there, `recording.capture` for a
//! window of time. A name stands once, and the configuration's goes first: no script changes or
//! crowds out what was configured. Schedules decide which recordings are on.

mod events;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::declared::{Basis, is_name};
use super::host::Recordings;
use super::planned::{Memory, Plan, plan_json};
use super::schedule::Phase;
use super::{Consumer, Encoded, Step};
use crate::item::Item;
use crate::kfl;
use crate::packet::StreamName;
use crate::record::{Format, Recorder, States, Status, Wish};
use crate::script::host::ScriptId;
use crate::time::{Clock, SystemClock, Timestamp};

/// Name of the recording that `RECORDING_KFL` stands for.
pub const DEFAULT_NAME: &str = "recording";

/// Recordings that commands and the API may add.
const MAX_ADDED: usize = 256;

/// Seconds between two looks at the schedules.
const LOOK: u64 = 1;

/// Name of a capture window that has none.
const CAPTURE_NAME: &str = "capture";

/// Recordings that one script may declare: each is evaluated on every item.
const MAX_OF_SCRIPT: usize = 16;

/// Least time between two seals that scripts ask for: each makes objects that nobody can delete.
const SEAL_EVERY: Duration = Duration::from_secs(1);
/// Length of a capture window that says none.
const WINDOW: Duration = Duration::from_secs(60);

/// Longest capture window; what goes on for longer is a recording.
const MAX_WINDOW: Duration = Duration::from_secs(24 * 3600);

/// What `recording.capture` understands.
const WINDOW_KEYS: [&str; 7] = [
    "name",
    "kfl",
    "seconds",
    "minutes",
    "lookBack",
    "destination",
    "format",
];

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

/// A recording that ends by itself.
struct Window {
    script: PathBuf,
    wish: Wish,
    length: Duration,
    /// `None` until the first step says what time it is.
    until: Option<Timestamp>,
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
    /// Whether a script may have one more recording, called so, or has it already.
    fn has_room(&self, script: &std::path::Path, name: &str) -> Result<(), String> {
        let declared = self.scripts.get(script).into_iter().flatten();
        let windows = self.windows.iter();
        let windows = windows.filter(|window| window.script.as_path() == script);
        let others = declared
            .chain(windows.map(|window| &window.wish))
            .filter(|wish| wish.name != name);
        match others.count() {
            count if count < MAX_OF_SCRIPT => Ok(()),
            _ => Err(format!("a script has at most {MAX_OF_SCRIPT} recordings")),
        }
    }

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

    /// Goes on with the recordings that were added in earlier runs, kept in the file `path`.
    pub fn remember(&self, path: PathBuf) {
        let (memory, said) = Memory::open(path);
        for sentence in said {
            (self.said)(&sentence);
        }
        let mut wishes = self.wishes();
        for declared in memory.added() {
            match self.basis.read(&declared) {
                Ok((wish, schedule)) => {
                    let made = memory
                        .made(&wish.name, &declared)
                        .unwrap_or_else(|| self.clock.now());
                    wishes.added.push(Plan {
                        wish,
                        schedule,
                        made,
                        declared,
                    });
                }
                Err(sentence) => (self.said)(&format!(
                    "a recording that was added is left out: {sentence}"
                )),
            }
        }
        wishes.memory = memory;
        self.apply(&mut wishes);
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

    /// Begins and ends what the schedules say.
    fn look(&self) {
        let mut wishes = self.wishes();
        let now = self.clock.now();
        if now.since(wishes.looked).as_secs() < LOOK || wishes.plans().next().is_none() {
            return;
        }
        wishes.looked = now;
        if wishes.on(now) != wishes.on {
            self.apply(&mut wishes);
        }
    }

    /// Takes `recordings:` as it is now; with an invalid one the last good list stays.
    ///
    /// # Errors
    /// One sentence that names the recording and what is wrong with it.
    pub fn configure_list(&self, list: &Json) -> Result<(), String> {
        let list = list.as_array().map_or(&[][..], Vec::as_slice);
        let mut wishes = self.wishes();
        let mut plans: Vec<Plan> = Vec::new();
        for declared in list {
            let (wish, schedule) = self.basis.read(declared)?;
            self.warn(&wish);
            if plans.iter().any(|plan| plan.wish.name == wish.name) {
                return Err(format!(
                    "there are two recordings called {}; give one another name",
                    wish.name
                ));
            }
            let made = wishes
                .memory
                .made(&wish.name, declared)
                .unwrap_or_else(|| self.clock.now());
            let declared = declared.clone();
            plans.push(Plan {
                wish,
                schedule,
                made,
                declared,
            });
        }
        if plans
            .iter()
            .map(|plan| &plan.declared)
            .eq(wishes.listed.iter().map(|plan| &plan.declared))
        {
            return Ok(());
        }
        wishes.listed = plans;
        self.keep(&mut wishes);
        self.apply(&mut wishes);
        Ok(())
    }

    /// Adds a recording, or changes one that was added.
    ///
    /// # Errors
    /// One sentence, when the declaration is wrong or the name is the configuration's.
    pub fn add(&self, declared: &Json) -> Result<Json, String> {
        let (wish, schedule) = self.basis.read(declared)?;
        self.warn(&wish);
        let name = wish.name.clone();
        let mut wishes = self.wishes();
        self.refuse_configured(&wishes, &name)?;
        wishes.added.retain(|plan| plan.wish.name != name);
        if wishes.added.len() >= MAX_ADDED {
            return Err(format!(
                "there can be {MAX_ADDED} added recordings; remove one first"
            ));
        }
        let declared = declared.clone();
        let made = self.clock.now();
        wishes.added.push(Plan {
            wish,
            schedule,
            made,
            declared,
        });
        self.keep(&mut wishes);
        self.apply(&mut wishes);
        drop(wishes);
        Ok(self.one(&name))
    }

    /// Ends a recording that was added and seals what is open of it.
    ///
    /// # Errors
    /// One sentence, when there is none, or it is the configuration's.
    pub fn remove(&self, name: &str) -> Result<Json, String> {
        let mut wishes = self.wishes();
        let before = wishes.added.len();
        wishes.added.retain(|plan| plan.wish.name != name);
        if wishes.added.len() == before {
            self.refuse_configured(&wishes, name)?;
            return Err(format!(
                "there is no recording {name} that was added; see: tapedeck recordings list"
            ));
        }
        self.keep(&mut wishes);
        self.apply(&mut wishes);
        Ok(json!({"removed": name}))
    }

    fn refuse_configured(&self, wishes: &Wishes, name: &str) -> Result<(), String> {
        if wishes.line.as_ref().is_some_and(|line| line.name == name) {
            return Err(format!(
                "the recording {name} is RECORDING_KFL; change it in the configuration"
            ));
        }
        if wishes.listed.iter().any(|plan| plan.wish.name == name) {
            return Err(format!(
                "the recording {name} stands in the configuration; change it there"
            ));
        }
        if wishes
            .scripts
            .values()
            .flatten()
            .any(|wish| wish.name == name)
        {
            return Err(format!(
                "the recording {name} is a script's; change it there"
            ));
        }
        Ok(())
    }

    fn keep(&self, wishes: &mut Wishes) {
        let plans: Vec<(Plan, bool)> = {
            let added = wishes.added.iter().map(|plan| (plan.clone(), true));
            added
                .chain(wishes.listed.iter().map(|plan| (plan.clone(), false)))
                .collect()
        };
        if let Err(error) = wishes.memory.keep(&plans) {
            (self.said)(&format!(
                "recordings that were added are forgotten at the end of this run: {error}"
            ));
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

    /// All recordings with what they are and did, also those that wait for their time.
    pub fn list(&self) -> Json {
        let status = self.status();
        let wishes = self.wishes();
        let now = self.clock.now();
        let mut list: Vec<Json> = status
            .iter()
            .map(|status| {
                let mut json = status_json(status);
                let mut plans = wishes.plans();
                match plans.find(|plan| plan.wish.name == status.name) {
                    Some(plan) => plan_json(&mut json, plan, now),
                    None => json["state"] = "on".into(),
                }
                json
            })
            .collect();
        for plan in wishes.plans() {
            if status.iter().all(|status| status.name != plan.wish.name) {
                let mut json = json!({
                    "name": plan.wish.name,
                    "kfl": plan.wish.query.text(),
                    "on": plan.wish.trigger.as_ref().map(ToString::to_string),
                    "destination": plan.wish.destination,
                });
                plan_json(&mut json, plan, now);
                list.push(json);
            }
        }
        for json in &mut list {
            let name = json["name"].as_str().unwrap_or_default();
            let source = match name {
                name if wishes.added.iter().any(|plan| plan.wish.name == name) => "added",
                name if wishes
                    .scripts
                    .values()
                    .flatten()
                    .any(|wish| wish.name == name) =>
                {
                    "script"
                }
                _ => "configuration",
            };
            json["source"] = source.into();
        }
        Json::Array(list)
    }

    fn one(&self, name: &str) -> Json {
        let list = self.list();
        let mut found = list.as_array().into_iter().flatten();
        found
            .find(|one| one["name"] == name)
            .cloned()
            .unwrap_or_default()
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

    /// What a script says of a recording beside its name and query.
    fn described(wish: &mut Wish, wanted: &Json) {
        let text = |name: &str| wanted.get(name).and_then(Json::as_str);
        if let Some(destination) = text("destination") {
            wish.destination = destination.to_owned();
        }
        if text("format") == Some("pcap") {
            wish.format = Format::Pcap;
        }
    }

    fn follow_windows(&self, wishes: &Wishes) {
        let ends = wishes.windows.iter().map(|window| match window.until {
            Some(until) => until.nanos(),
            None => i64::MIN,
        });
        let next = ends.min().unwrap_or(i64::MAX);
        self.next_end.store(next, Ordering::Relaxed);
    }

    /// The time is `now`: capture windows that are over end, and what they hold is sealed.
    fn step(&self, now: Timestamp) {
        self.now.store(now.nanos(), Ordering::Relaxed);
        if now.nanos() < self.next_end.load(Ordering::Relaxed) {
            return;
        }
        let mut wishes = self.wishes();
        let before = wishes.windows.len();
        wishes.windows.retain_mut(|window| {
            let until = *window.until.get_or_insert(now + window.length);
            until > now
        });
        self.follow_windows(&wishes);
        if wishes.windows.len() != before {
            self.apply(&mut wishes);
        }
    }

    /// The recordings now.
    pub fn status(&self) -> Vec<Status> {
        self.recorder().status()
    }

    /// The recordings now, for pages and scripts.
    pub fn status_json(&self) -> Json {
        let status = self.status();
        status.iter().map(|status| self.shown(status)).collect()
    }

    /// A recording, and until when it runs if it ends by itself.
    fn shown(&self, status: &Status) -> Json {
        let mut shown = status_json(status);
        let wishes = self.wishes();
        let window = wishes
            .windows
            .iter()
            .find(|window| window.wish.name == status.name);
        if let Some(until) = window.and_then(|window| window.until) {
            shown["until"] = json!(until.to_string());
        }
        shown
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

fn status_json(status: &Status) -> Json {
    json!({
        "name": status.name,
        "kfl": status.kfl,
        "on": status.on,
        "destination": status.destination,
        "streams": status.streams,
        "openStreams": status.open_streams,
        "packets": status.packets,
        "bytes": status.bytes,
        "reels": status.reels,
        "openPackets": status.open_packets,
        "lastMatch": status.last_match.map(|at| at.to_string()),
        "undecided": status.undecided,
        "refused": status.refused,
        "notWritten": status.not_written,
        "limited": status.limited,
        "bytesToday": status.bytes_today,
        "bytesPerDay": status.bytes_per_day,
        "rate": status.rate,
        "forecast": status.rate.saturating_mul(86_400),
        "redacted": status.redacted,
        "error": status.error,
    })
}

fn no_name(name: &str) -> String {
    format!("{name} is no name for a recording; use a to z, 0 to 9 and -")
}

/// How long a capture window is.
fn window(wanted: &Json) -> Result<Duration, String> {
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

impl Recordings for Desk {
    fn set(&self, script: &ScriptId, wanted: &Json) -> Result<Json, String> {
        let text = |name: &str| wanted.get(name).and_then(Json::as_str);
        let name = text("name").unwrap_or(DEFAULT_NAME);
        if !is_name(name) {
            return Err(no_name(name));
        }
        let query = text("kfl").filter(|text| !text.trim().is_empty());
        let mut wishes = self.wishes();
        if let Some(configured) = wishes.configured(name)
            && query.is_some_and(|query| query.trim() != configured.query.text().trim())
        {
            return Err(format!(
                "the configuration records {name} with a query of its own; give this recording another name"
            ));
        }
        if query.is_some() {
            wishes.has_room(&script.path, name)?;
        }
        let declared = wishes.scripts.entry(script.path.clone()).or_default();
        match query {
            None => declared.retain(|wish| wish.name != name),
            Some(query) => {
                let mut wish = self.wish(name, query)?;
                Desk::described(&mut wish, wanted);
                declared.retain(|known| known.name != name);
                declared.push(wish);
            }
        }
        self.apply(&mut wishes);
        drop(wishes);
        Recordings::status(self, Some(name))
    }

    fn take(&self, stream: &str, name: Option<&str>) -> Result<(), String> {
        let parsed =
            StreamName::parse(stream).ok_or_else(|| format!("{stream} is no name of a stream"))?;
        if self.recorder().take(parsed, name) {
            Ok(())
        } else {
            Err(format!(
                "no recording {} is on, so {stream} was not taken",
                name.unwrap_or("at all")
            ))
        }
    }

    fn seal(&self, name: Option<&str>) -> Result<Json, String> {
        let mut sealed = self.sealed.lock().unwrap_or_else(PoisonError::into_inner);
        if sealed.is_some_and(|at| at.elapsed() < SEAL_EVERY) {
            return Err("something was sealed less than a second ago, ask again later".to_owned());
        }
        *sealed = Some(Instant::now());
        Ok(json!(self.recorder().seal(name, "asked")))
    }

    fn status(&self, name: Option<&str>) -> Result<Json, String> {
        let status = self.status();
        match name {
            None => Ok(status.iter().map(|status| self.shown(status)).collect()),
            Some(name) => Ok(status
                .iter()
                .find(|status| status.name == name)
                .map_or(Json::Null, |status| self.shown(status))),
        }
    }

    fn capture(&self, script: &ScriptId, wanted: &Json) -> Result<Json, String> {
        for key in wanted
            .as_object()
            .into_iter()
            .flat_map(|wanted| wanted.keys())
        {
            if !WINDOW_KEYS.contains(&key.as_str()) {
                return Err(format!(
                    "recording.capture does not know {key}; it takes {}",
                    WINDOW_KEYS.join(", ")
                ));
            }
        }
        let text = |name: &str| wanted.get(name).and_then(Json::as_str);
        let name = text("name").unwrap_or(CAPTURE_NAME);
        if !is_name(name) {
            return Err(no_name(name));
        }
        let length = window(wanted)?;
        let query = text("kfl").filter(|text| !text.trim().is_empty());
        let mut wish = self.wish(name, query.unwrap_or("true"))?;
        Desk::described(&mut wish, wanted);
        if let Some(look_back) = wanted.get("lookBack").and_then(Json::as_bool) {
            wish.look_back = look_back;
        }
        let now = match self.now.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Timestamp::from_nanos(nanos)),
        };
        let mut wishes = self.wishes();
        // The same window again begins anew; another recording is left alone.
        wishes.has_room(&script.path, name)?;
        wishes
            .windows
            .retain(|window| window.wish.name != name || window.script != script.path);
        if wishes
            .all(self.clock.now())
            .iter()
            .any(|known| known.name == name)
        {
            self.follow_windows(&wishes);
            return Err(format!(
                "there is a recording {name} already; give the capture another name"
            ));
        }
        wishes.windows.push(Window {
            script: script.path.clone(),
            wish,
            length,
            until: now.map(|now| now + length),
        });
        self.follow_windows(&wishes);
        self.apply(&mut wishes);
        drop(wishes);
        Recordings::status(self, Some(name))
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
        recorder.tick(step.batch.now);
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
