//! `tapedeck console`: the script console of a running instance, on this machine or in a cluster.

use std::time::Duration;

use clap::Args;
use serde_json::Value as Json;

use super::config::Config;
use super::exit::{Exit, Failure};
use super::instance::Instance;
use super::release::{InstanceArgs, Place};
use super::style::Style;
use crate::pipeline::Stop;
use crate::time::{Clock, SystemClock, Timestamp};

/// Time between two looks.
const PACE: Duration = Duration::from_millis(300);

/// Pause before a lost instance is looked for again.
const PAUSE: Duration = Duration::from_secs(2);

/// Follow the script console of a running tapedeck
///
/// Of the tapedeck on this machine, else of all nodes of the release in the cluster. Lines of errors go
/// to stderr, all others to stdout. A connection that is lost is made again. Ends with Ctrl+C.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tapedeck console
  tapedeck console --script recorder.js --json
  tapedeck console -s tapedeck --node node-a --since 10m")]
pub struct ConsoleArgs {
    /// Only lines of this script, by title or file name
    #[arg(long, value_name = "NAME")]
    script: Option<String>,

    /// Only lines of this node; hub is the hub's own
    #[arg(long, value_name = "NAME")]
    node: Option<String>,

    /// Only lines of the last so long, as 10m
    #[arg(long, value_name = "DURATION")]
    since: Option<String>,

    /// One JSON object a line
    #[arg(long)]
    json: bool,

    /// Print what is there and end
    #[arg(long)]
    no_follow: bool,

    #[command(flatten)]
    release: InstanceArgs,
}

/// Runs the command.
pub fn run(args: &ConsoleArgs, config: &Config) -> Result<Exit, Failure> {
    let since = match &args.since {
        None => None,
        Some(text) => {
            let back = crate::units::duration(text).ok_or_else(|| {
                Failure::usage(format!("--since {text} is no duration, as 10m or 1h30m"))
            })?;
            Some(SystemClock.now() - back)
        }
    };
    let mut lines = Lines {
        script: args.script.clone(),
        node: args.node.clone(),
        since,
        json: args.json,
        ..Lines::default()
    };
    let mut place = Place::find(&args.release, config)?;
    if args.no_follow {
        lines.print(&place.instance)?;
        return Ok(Exit::Done);
    }
    let stop = Stop::default();
    super::stop_on_signal(&stop)?;
    let mut lost = false;
    while !stop.is_asked() {
        if let Err(failure) = lines.print(&place.instance) {
            if !lost {
                let sentence = format!("{}; it is looked for again", failure.message);
                eprintln!("{}", Style::stderr().yellow(&sentence));
            }
            lost = true;
            std::thread::sleep(PAUSE);
            if let Ok(next) = Place::find(&args.release, config) {
                // One that was started anew counts its lines from the start.
                if next.instance.pid != place.instance.pid || next.release().is_some() {
                    lines.since = lines.since.max(Some(lines.last));
                    lines.after = 0;
                }
                place = next;
            }
            continue;
        }
        lost = false;
        std::thread::sleep(PACE);
    }
    Ok(Exit::Done)
}

/// Lines of a console that are printed.
#[derive(Debug, Default)]
pub struct Lines {
    script: Option<String>,
    node: Option<String>,
    since: Option<Timestamp>,
    json: bool,
    /// Number of the last line.
    after: u64,
    /// When it was printed there.
    last: Timestamp,
}

impl Lines {
    /// Prints the lines since the last call; one that fails is tried again at the next.
    pub fn print_new(&mut self, instance: &Instance) {
        if let Err(failure) = self.print(instance) {
            tracing::info!(why = failure.message, "the console cannot be read now");
        }
    }

    fn print(&mut self, instance: &Instance) -> Result<(), Failure> {
        let answer = instance.get(&format!("/api/console?after={}", self.after))?;
        for line in answer["lines"].as_array().into_iter().flatten() {
            self.after = self.after.max(line["n"].as_u64().unwrap_or_default());
            let at = line["at"].as_str().and_then(Timestamp::parse);
            self.last = self.last.max(at.unwrap_or_default());
            if self.wants(line) {
                show(line, self.json);
            }
        }
        Ok(())
    }

    fn wants(&self, line: &Json) -> bool {
        let text = |member: &str| line[member].as_str().unwrap_or_default();
        let of_script = self.script.as_ref().is_none_or(|wanted| {
            [text("title"), text("file")]
                .iter()
                .any(|name| name.eq_ignore_ascii_case(wanted))
        });
        let of_node = self
            .node
            .as_ref()
            .is_none_or(|wanted| node_of(text("text")) == Some(wanted));
        let is_late = self
            .since
            .is_none_or(|since| Timestamp::parse(text("at")).is_none_or(|at| at > since));
        of_script && of_node && is_late
    }
}

/// The node of a line, out of its prefix `[NODE-INDEX]` or `[NODE-INDEX:ERROR]`.
fn node_of(line: &str) -> Option<&str> {
    let (prefix, _) = line.strip_prefix('[')?.split_once(']')?;
    let prefix = prefix.strip_suffix(":ERROR").unwrap_or(prefix);
    Some(prefix.rsplit_once('-')?.0)
}

fn show(line: &Json, json: bool) {
    let text = line["text"].as_str().unwrap_or_default();
    let is_error = line["error"] == true;
    if json {
        super::print(format_args!("{line}"));
    } else if is_error {
        eprintln!("{}", Style::stderr().red(text));
    } else {
        super::print(format_args!("{text}"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_are_chosen_by_node_script_and_time() {
        assert_eq!(node_of("[node-a-3:ERROR] Error: x"), Some("node-a"));
        assert_eq!(node_of("[hub-0] seen [x]"), Some("hub"));
        assert_eq!(node_of("no prefix"), None);
        let line = json!({"n": 1, "at": "2024-01-01T00:00:05Z", "text": "[node-a-0] hi", "title": "Watch", "file": "w.js"});
        let wants = |script: Option<&str>, node: Option<&str>, since: Option<&str>| {
            let lines = Lines {
                script: script.map(str::to_owned),
                node: node.map(str::to_owned),
                since: since.and_then(Timestamp::parse),
                ..Lines::default()
            };
            lines.wants(&line)
        };
        assert!(wants(None, None, None));
        assert!(wants(
            Some("watch"),
            Some("node-a"),
            Some("2024-01-01T00:00:04Z")
        ));
        assert!(wants(Some("W.JS"), None, None));
        assert!(!wants(Some("other"), None, None));
        assert!(!wants(None, Some("node"), None));
        assert!(!wants(None, None, Some("2024-01-01T00:00:05Z")));
    }
}
