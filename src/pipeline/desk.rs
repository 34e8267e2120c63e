//! The recording desk: who wants what recorded, brought together for the one recorder.
//!
//! Wishes come from the configuration (`RECORDING_KFL`) and from scripts: `recording.set` for as long
//! as the script is there, `recording.capture` for a window of time. A name stands once, and the
//! configuration's goes first: no script changes or crowds out what was configured.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::host::Recordings;
use super::{Consumer, Encoded, Step};
use crate::item::Item;
use crate::kfl::{self, Query};
use crate::packet::StreamName;
use crate::record::{Format, Recorder, Status, Wish};
use crate::script::host::ScriptId;
use crate::time::Timestamp;

/// Name of the recording that `RECORDING_KFL` stands for.
pub const DEFAULT_NAME: &str = "recording";

/// Name of a capture window that has none.
const CAPTURE_NAME: &str = "capture";

/// Names become folders of object keys.
const MAX_NAME: usize = 63;

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
    template: Wish,
    schema: Arc<kfl::Schema>,
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
    configured: Option<Wish>,
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

    fn all(&self) -> Vec<Wish> {
        let mut all: Vec<Wish> = Vec::new();
        let configured = self.configured.iter().filter(|_| self.foreign.is_none());
        let windows = self.windows.iter().map(|window| &window.wish);
        for wish in configured
            .chain(self.scripts.values().flatten())
            .chain(windows)
        {
            if all.iter().all(|known| known.name != wish.name) {
                all.push(wish.clone());
            }
        }
        all
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
        let wishes = Mutex::default();
        Desk {
            recorder: Mutex::new(recorder),
            wishes,
            template,
            schema,
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

    fn apply(&self, wishes: &Wishes) {
        let said = self.recorder().set(wishes.all());
        for sentence in said {
            (self.said)(&sentence);
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
        wishes.configured = wish;
        self.apply(&wishes);
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
        self.apply(&wishes);
    }

    /// Forgets the wishes of scripts that are no longer there.
    pub fn keep_scripts(&self, present: &dyn Fn(&PathBuf) -> bool) {
        let mut wishes = self.wishes();
        let before = (wishes.scripts.len(), wishes.windows.len());
        wishes.scripts.retain(|path, _| present(path));
        wishes.windows.retain(|window| present(&window.script));
        if (wishes.scripts.len(), wishes.windows.len()) != before {
            self.follow_windows(&wishes);
            self.apply(&wishes);
        }
    }

    fn wish(&self, name: &str, text: &str) -> Result<Wish, String> {
        let query: Query = kfl::compile(text, &self.schema)
            .map_err(|error| format!("the query of the recording {name} is invalid, {error}"))?;
        for warning in query.warnings() {
            (self.said)(&format!("the query of the recording {name}: {warning}"));
        }
        Ok(Wish {
            name: name.to_owned(),
            query,
            ..self.template.clone()
        })
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
            self.apply(&wishes);
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
        "error": status.error,
    })
}

fn is_name(name: &str) -> bool {
    let fits = (1..=MAX_NAME).contains(&name.len());
    fits && name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
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
        if let Some(configured) = &wishes.configured
            && wishes.foreign.is_none()
            && configured.name == name
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
        self.apply(&wishes);
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
        if wishes.all().iter().any(|known| known.name == name) {
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
        self.apply(&wishes);
        drop(wishes);
        Recordings::status(self, Some(name))
    }
}

/// The desk's recorder as a consumer.
pub struct DeskConsumer(pub Arc<Desk>);

impl Consumer for DeskConsumer {
    fn on_step(&mut self, step: &Step, items: &[Item], _encoded: &Encoded<'_>) {
        self.0.step(step.batch.now);
        let mut recorder = self.0.recorder();
        recorder.on_batch(&step.batch, items);
        recorder.tick(step.batch.now);
    }
}

#[cfg(test)]
mod tests;
