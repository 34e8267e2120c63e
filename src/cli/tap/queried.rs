//! Scripts that have a say about the items of a recorded source (`onItemQueried`).
//!
//! In: the configuration. Out: those of its scripts that have the hook, running, and a sentence for
//! each that does not. Never: an effect beyond the console; all hooks, and helpers that reach out, are
//! for `tapedeck run`.

use std::sync::Arc;

use serde_json::Value as Json;

use super::super::config::Config;
use super::super::exit::Failure;
use super::follow::say;
use super::live::{script_env, script_sources};
use super::scripting::script_options;
use super::session::node_name;
use crate::script::console::Console;
use crate::script::folder::{self, Side};
use crate::script::host::{Host, HostCall, ScriptId};
use crate::script::supervisor::Scripts;
use crate::time::{Clock, SystemClock};

/// Names of the hook, of all years.
const NAMES: [&str; 2] = ["onItemQueried", "queriedItem"];

/// Starts them; `None` when the configuration has none.
///
/// # Errors
/// When the configuration is invalid, or no thread can be started.
pub(super) fn start(config: &Config) -> Result<Option<Arc<Scripts>>, Failure> {
    let (mut sources, mut others) = (Vec::new(), 0_usize);
    for source in script_sources(config) {
        match folder::scripts_and_tests(&source) {
            Ok(mut paths) => {
                paths.retain(|path| !folder::is_test(path));
                let found = paths.len();
                // What cannot be read is told when it is loaded.
                paths.retain(|path| !folder::read_script(path).is_ok_and(|code| !has_hook(&code)));
                others += found - paths.len();
                sources.extend(paths);
            }
            Err(why) => say(&format!("{}: {why}", source.display())),
        }
    }
    if others > 0 {
        say(&format!(
            "{others} scripts without onItemQueried do not run while a recorded source is looked at; see: tapedeck run --help"
        ));
    }
    if sources.is_empty() {
        return Ok(None);
    }
    let run = u64::try_from(SystemClock.now().secs()).unwrap_or_default();
    let node = node_name(config, run);
    let console = Arc::new(Console::new(&node.name));
    let mut options = script_options(config, true, &node, console)?;
    options.side = Side::Worker;
    options.sources = sources;
    options.env = script_env(config);
    let scripts = Scripts::start(options, Arc::new(Closed), Arc::new(SystemClock))
        .map_err(|error| Failure::failed(error.to_string()))?;
    for script in scripts.status() {
        if let Some(why) = script.state.reason() {
            say(&format!(
                "{} does not run, so it alters nothing of what is shown: {why}",
                script.path.display()
            ));
        }
    }
    Ok(Some(Arc::new(scripts)))
}

/// Whether a script has the hook, as far as its text tells.
fn has_hook(code: &str) -> bool {
    let code = folder::without_comments(code);
    NAMES.iter().any(|name| code.contains(name))
}

/// Refuses everything that reaches out.
struct Closed;

impl Host for Closed {
    fn call(&self, _: &ScriptId, call: HostCall) -> Result<Json, String> {
        Err(format!(
            "{} is not done while a recorded source is looked at; see: tapedeck run --help",
            call.helper()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scripts_with_the_hook_are_started() {
        assert!(has_hook("function onItemQueried(data) {}"));
        assert!(has_hook("var queriedItem = function () {}"));
        assert!(!has_hook(
            "// onItemQueried is elsewhere\nfunction onItemCaptured() {}"
        ));
    }
}
