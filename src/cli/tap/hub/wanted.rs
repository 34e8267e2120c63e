//! What workers are to follow: the configuration with what was pushed over it.
//!
//! In: the configuration, the folder of what was pushed. Out: recordings, scripts and env for all workers,
//! env for the hub's own scripts. Never: a judgement of what is valid, which is that of the wishes.

use std::path::PathBuf;

use serde_json::Value as Json;

use super::super::super::config::Config;
use super::super::Asked;
use super::super::live::{script_env, script_sources};
use super::said::Said;
use crate::hub::message::{ScriptText, Spread};
use crate::pipeline::RECORDING_KFL;
use crate::script::environment::Environment;
use crate::script::folder::texts;
use crate::server::Pushed;

/// The capture filter that workers take instead of that of their configuration; `None` for theirs.
pub(super) fn chosen_filter(config: &Config, cluster: &Asked) -> Option<String> {
    let bpf = cluster.of(|cluster| cluster.targets().bpf().to_owned())?;
    (bpf != config.text("tap.bpfOverride").trim()).then_some(bpf)
}

/// Values of env as scripts see them: what was pushed goes before the configuration.
fn env(config: &Config, pushed: &Pushed) -> Environment {
    let mut env = script_env(config);
    env.all.extend(pushed.env());
    if config.text("scripting.recorder") == "native" {
        env.all.remove(RECORDING_KFL);
    }
    env
}

/// Folders and files of scripts, pushed ones at the end.
pub(super) fn sources(config: &Config, pushed: &Pushed) -> Vec<PathBuf> {
    let mut sources = script_sources(config);
    if config.bool("scripting.enabled") {
        sources.push(pushed.folder().to_owned());
    }
    sources
}

/// What workers are to follow, as the configuration and the script folders are now.
pub(super) fn spread(config: &Config, pushed: &Pushed, said: &mut Said) -> Spread {
    let env = env(config, pushed);
    let query = pushed
        .env()
        .get(RECORDING_KFL)
        .and_then(Json::as_str)
        .map(str::to_owned);
    let (scripts, sentences) = texts(&sources(config, pushed));
    said.say("scripts", sentences);
    Spread {
        recording_kfl: query.or_else(|| config.env_text(RECORDING_KFL)),
        query_stays: false,
        recordings: config.any("recordings"),
        added: Vec::new(),
        list_stays: false,
        env: env.all,
        env_for: env.each,
        scripts: scripts
            .into_iter()
            .map(|(name, code)| ScriptText { name, code })
            .collect(),
    }
}
