//! What a script does and what it took, as shown to people.
//!
//! In: what the manager posts of each script. Out: states and counts, for pages, commands and
//! metrics. Never: a decision.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::super::folder::{ScriptFile, number_of, role_of};
use super::super::runner::{CallCount, Counts, Runner};
use super::super::wire::Role;
use super::options::Allowed;

/// What a script does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "reason", rename_all = "camelCase")]
pub enum ScriptState {
    /// Its first version is being loaded.
    Loading,
    /// It is told what happens.
    Running,
    /// It failed and starts again after a pause.
    Restarting(String),
    /// It failed too often; it starts again when it or its environment changes.
    Quarantined(String),
    /// It cannot be run as it is.
    Broken(String),
    /// It lies in the folder, and `scripting.active` does not name it.
    Off,
}

impl ScriptState {
    /// The state in one word, as pages and metrics name it.
    pub fn word(&self) -> &'static str {
        match self {
            ScriptState::Loading => "loading",
            ScriptState::Running => "running",
            ScriptState::Restarting(_) => "restarting",
            ScriptState::Quarantined(_) => "quarantined",
            ScriptState::Broken(_) => "broken",
            ScriptState::Off => "off",
        }
    }

    /// Why it does not run, where there is something wrong.
    pub fn reason(&self) -> Option<&str> {
        match self {
            ScriptState::Restarting(why)
            | ScriptState::Quarantined(why)
            | ScriptState::Broken(why) => Some(why),
            ScriptState::Loading | ScriptState::Running | ScriptState::Off => None,
        }
    }
}

/// What one kind of call came to, as shown to people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallStatus {
    /// Hook, `job`, `timer` or `load`.
    pub name: &'static str,
    /// Calls.
    pub calls: u64,
    /// Calls that ended in an exception.
    pub errors: u64,
    /// Time within them, in nanoseconds, host calls left out.
    pub nanos: u64,
    /// Nanoseconds that half of the calls did not exceed, an eighth more or less.
    #[serde(rename = "p50Nanos")]
    pub p50: Option<u64>,
    /// Nanoseconds that 99 of 100 calls did not exceed, an eighth more or less.
    #[serde(rename = "p99Nanos")]
    pub p99: Option<u64>,
}

impl From<CallCount> for CallStatus {
    fn from(count: CallCount) -> CallStatus {
        CallStatus {
            name: count.name,
            calls: count.calls,
            errors: count.errors,
            nanos: count.nanos,
            p50: count.times.percentile(50),
            p99: count.times.percentile(99),
        }
    }
}

/// A script as shown to people.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScriptStatus {
    /// Stable index, the same for both of its instances.
    pub index: u32,
    /// Which instance.
    pub role: Role,
    /// Title.
    pub title: String,
    /// Where it lies.
    pub path: PathBuf,
    /// What it does.
    #[serde(flatten)]
    pub state: ScriptState,
    /// Why the newest version does not run, while the last good one goes on.
    pub broken: Option<String>,
    /// Items told.
    pub told: u64,
    /// The query that it states for its item hook (`onItemCaptured.kfl`).
    pub kfl: Option<String>,
    /// Items not told because that query leaves them out.
    pub filtered: u64,
    /// Items not told because it fell behind or was not running.
    pub dropped: u64,
    /// Packets not told.
    pub packets_dropped: u64,
    /// How often it was started again after a failure.
    pub restarts: u64,
    /// Why its process ended last before its time; `None` when none did.
    pub stopped: Option<String>,
    /// Each kind of call.
    pub calls: Vec<CallStatus>,
    /// Bytes of memory that its process holds now; `None` without one, or where the system does
    /// not say.
    pub memory: Option<u64>,
    /// What it may take.
    pub allowed: Allowed,
}

/// What the manager shows of a script.
pub(crate) struct Posted {
    /// The version on disk.
    pub file: Arc<ScriptFile>,
    /// What it does.
    pub state: ScriptState,
    /// Why the newest version does not run.
    pub broken: Option<String>,
    /// The query that it states for its item hook.
    pub kfl: Option<String>,
    /// Starts after failures.
    pub restarts: u64,
    /// Why its process ended last before its time.
    pub stopped: Option<String>,
    /// Counts.
    pub counts: Arc<Counts>,
    /// Its child, when there is one.
    pub runner: Option<Arc<Runner>>,
    /// What it may take.
    pub allowed: Allowed,
}

impl Posted {
    /// As people see it; `index` is that of the instance.
    pub(super) fn status(&self, index: u32) -> ScriptStatus {
        let counts = &self.counts;
        ScriptStatus {
            index: number_of(index),
            role: role_of(index),
            title: self.file.title.clone(),
            path: self.file.path.clone(),
            state: self.state.clone(),
            broken: self.broken.clone(),
            told: counts.told.load(Ordering::Relaxed),
            kfl: self.kfl.clone(),
            filtered: counts.filtered.load(Ordering::Relaxed),
            dropped: counts.dropped.load(Ordering::Relaxed),
            packets_dropped: counts.packets_dropped.load(Ordering::Relaxed),
            restarts: self.restarts,
            stopped: self.stopped.clone(),
            calls: counts.calls().into_iter().map(CallStatus::from).collect(),
            memory: self.runner.as_ref().and_then(|runner| runner.memory()),
            allowed: self.allowed,
        }
    }
}

/// How many scripts are in each state, and what they lost together.
///
/// ```text
/// {"running": 2, "quarantined": 1, "itemsLost": 17, "restarts": 5}
/// ```
pub(super) fn summary(scripts: &[ScriptStatus]) -> Json {
    let mut states = Map::new();
    for script in scripts {
        let count = states.entry(script.state.word()).or_insert(0.into());
        *count = (count.as_u64().unwrap_or_default() + 1).into();
    }
    let sum = |of: fn(&ScriptStatus) -> u64| scripts.iter().map(of).sum::<u64>();
    states.insert("itemsLost".to_owned(), sum(|script| script.dropped).into());
    states.insert("restarts".to_owned(), sum(|script| script.restarts).into());
    Json::Object(states)
}
