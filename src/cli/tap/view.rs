//! What the dashboard shows of a run, live or recorded.

use std::sync::Arc;

use super::super::config::Config;
use super::super::exit::Failure;
use super::super::pass;
use super::super::reference::declarations;
use super::live::{script_env_names, script_sources};
use crate::pipeline::{Counters, Rows};
use crate::script::wire::macros_of;
use crate::server::{Run, ScriptFiles, TargetDesk, View};
use crate::time::SystemClock;

/// Rows that are held when the configuration names no number.
const DEFAULT_ROWS: usize = 300_000;

/// The ring of rows that the configuration allows.
pub fn rows(config: &Config) -> Rows {
    let count = config
        .text("tap.dashboard.entriesLimit")
        .parse()
        .unwrap_or(DEFAULT_ROWS);
    let bytes = usize::try_from(config.bytes("tap.capture.dbMaxSize")).unwrap_or(usize::MAX);
    Rows::new(bytes, count)
}

/// The view on `run`; `targets` where it captures.
///
/// # Errors
/// When `tap.globalFilter` is no query.
pub fn view(
    config: &Config,
    rows: Arc<Rows>,
    counters: Arc<Counters>,
    run: Arc<dyn Run>,
    targets: Option<Arc<dyn TargetDesk>>,
) -> Result<View, Failure> {
    let schema = super::super::schema(config);
    Ok(View {
        rows,
        indexed: Arc::default(),
        counters,
        schema: schema.clone(),
        clock: Arc::new(SystemClock),
        run,
        imposed: pass::imposed_in(config, &schema)?,
        relayed: false,
        default_filter: config.text("tap.defaultFilter").to_owned(),
        scripts: ScriptFiles::new(
            script_sources(config),
            config.bool("tap.dashboard.editScripts"),
            script_env_names(config),
            declarations(),
            macros_of(&schema),
        ),
        targets,
        replay: config.bool("tap.dashboard.replay"),
        reading: super::super::source::reading(config).ok(),
        pushed: None,
    })
}
