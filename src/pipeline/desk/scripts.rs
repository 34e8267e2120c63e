//! What scripts ask of the desk: `recording.set`, `take`, `seal`, `status` and `capture`.
//!
//! In: wishes of one script. Out: the desk's answer, or a sentence. Never: a recording of somebody else
//! that is changed or crowded out.

use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::super::declared::is_name;
use super::super::host::Recordings;
use super::windows::{Window, length_of};
use super::{DEFAULT_NAME, Desk, Wishes};
use crate::packet::StreamName;
use crate::record::{Format, Wish};
use crate::script::host::ScriptId;
use crate::store;
use crate::time::Timestamp;

/// Name of a capture window that has none.
const CAPTURE_NAME: &str = "capture";

/// Recordings that one script may declare: each is evaluated on every item.
pub(super) const MAX_OF_SCRIPT: usize = 16;

/// Least time between two seals that scripts ask for: each makes objects that nobody can delete.
const SEAL_EVERY: Duration = Duration::from_secs(1);

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

impl Wishes {
    /// Whether a script may have one more recording, called so, or has it already.
    fn has_room(&self, script: &Path, name: &str) -> Result<(), String> {
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
                described(&mut wish, wanted)?;
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
        let Some(name) = name else {
            return Ok(self.status_json());
        };
        let status = self.status();
        let mut status = status.iter();
        Ok(status
            .find(|status| status.name == name)
            .map_or(Json::Null, |status| self.shown(status)))
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
        let length = length_of(wanted)?;
        let query = text("kfl").filter(|text| !text.trim().is_empty());
        let mut wish = self.wish(name, query.unwrap_or("true"))?;
        described(&mut wish, wanted)?;
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

/// What a script says of a recording beside its name and query.
fn described(wish: &mut Wish, wanted: &Json) -> Result<(), String> {
    let text = |name: &str| wanted.get(name).and_then(Json::as_str);
    if let Some(destination) = text("destination") {
        store::check(destination).map_err(|error| format!("recording {}: {error}", wish.name))?;
        wish.destination = destination.to_owned();
    }
    if text("format") == Some("pcap") {
        wish.format = Format::Pcap;
    }
    Ok(())
}

fn no_name(name: &str) -> String {
    format!("{name} is no name for a recording; use a to z, 0 to 9 and -")
}
