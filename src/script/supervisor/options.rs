//! What scripts run under: sources, time, limits and budgets, for all and for one each.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::super::console::Console;
use super::super::environment::{Environment, is_named};
use super::super::folder::{HubInstances, ScriptFile, Side};
use super::super::restart::RestartPolicy;
use super::super::runner::Budgets;
use super::super::wire::{ClockMode, Habits, Limits};
use crate::kfl::Schema;

/// All that scripts run under.
pub struct Options {
    /// The program that is started as `script-host`: this one, as a rule.
    pub program: PathBuf,
    /// Folders and files, in order.
    pub sources: Vec<PathBuf>,
    /// Titles or file stems of the scripts to run; empty means all.
    pub active: Vec<String>,
    /// Whether changes of the sources are followed.
    pub watch: bool,
    /// What scripts see as `env`.
    pub env: Environment,
    /// What the queries that scripts state are compiled against.
    pub schema: Schema,
    /// Which scripts have an instance at the hub.
    pub hub: HubInstances,
    /// Which instances run here.
    pub side: Side,
    /// Name of the node.
    pub node: String,
    /// The run: its Unix start second.
    pub run: u64,
    /// Packet time (offline runs) or wall clock (live).
    pub clock_mode: ClockMode,
    /// Whether telling waits for scripts that fall behind (offline runs) or drops (live).
    pub lossless: bool,
    /// How items and dates read in scripts.
    pub habits: Habits,
    /// What one child may use.
    pub limits: Limits,
    /// Time that calls may take.
    pub budgets: Budgets,
    /// Scripts for which limits and budgets differ (`scripting.budgets`).
    pub own: Vec<Own>,
    /// What follows failures.
    pub restart: RestartPolicy,
    /// Where lines go.
    pub console: Arc<Console>,
}

impl Options {
    /// The defaults of live capture, without any script.
    ///
    /// # Errors
    /// When the system does not say which program this is.
    pub fn live(node: &str, run: u64, console: Arc<Console>) -> std::io::Result<Options> {
        Ok(Options {
            program: std::env::current_exe()?,
            sources: Vec::new(),
            active: Vec::new(),
            watch: true,
            env: Environment::default(),
            schema: Schema::empty(),
            hub: HubInstances::default(),
            side: Side::default(),
            node: node.to_owned(),
            run,
            clock_mode: ClockMode::Wall,
            lossless: false,
            habits: Habits::default(),
            limits: Limits::default(),
            budgets: Budgets::default(),
            own: Vec::new(),
            restart: RestartPolicy::default(),
            console,
        })
    }

    /// The defaults of offline runs: packet time, nothing dropped, no watching.
    ///
    /// # Errors
    /// As [`Options::live`].
    pub fn offline(node: &str, run: u64, console: Arc<Console>) -> std::io::Result<Options> {
        Ok(Options {
            watch: false,
            clock_mode: ClockMode::Packet,
            lossless: true,
            ..Options::live(node, run, console)?
        })
    }
}

/// Limits and budgets of one script; what is not named is as for all scripts.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Own {
    /// The script's title, file name or file stem, letter case aside.
    pub script: String,
    /// Address space in bytes.
    pub memory: Option<u64>,
    /// Iterations of loops in one call frame.
    pub loop_iterations: Option<u64>,
    /// Time of one call of a hook or timer.
    pub hook: Option<Duration>,
    /// Time of one run of a job.
    pub job: Option<Duration>,
    /// Time of the top level.
    pub load: Option<Duration>,
    /// Time within helpers in one call.
    pub host: Option<Duration>,
}

/// What one script may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Allowed {
    /// What its process may use.
    #[serde(flatten)]
    pub limits: Limits,
    /// Time that its calls may take.
    #[serde(flatten)]
    pub budgets: Budgets,
}

impl Options {
    /// What a script may take; of several entries that name it the last one counts.
    pub(crate) fn allowed(&self, file: &ScriptFile) -> Allowed {
        let mut allowed = Allowed {
            limits: self.limits,
            budgets: self.budgets,
        };
        for own in self.own.iter().filter(|own| is_named(file, &own.script)) {
            let (limits, budgets) = (&mut allowed.limits, &mut allowed.budgets);
            limits.memory = own.memory.unwrap_or(limits.memory);
            limits.loop_iterations = own.loop_iterations.unwrap_or(limits.loop_iterations);
            budgets.hook = own.hook.unwrap_or(budgets.hook);
            budgets.job = own.job.unwrap_or(budgets.job);
            budgets.load = own.load.unwrap_or(budgets.load);
            budgets.host = own.host.unwrap_or(budgets.host);
        }
        allowed
    }
}

/// Why scripts cannot be hosted.
#[derive(Debug, thiserror::Error)]
pub enum ScriptsError {
    /// The manager's thread cannot be started.
    #[error("scripts cannot be hosted, no thread can be started: {0}")]
    Thread(std::io::Error),
}
