//! `tapedeck console`: the script console of a running instance.

use std::time::Duration;

use clap::Args;

use super::config::Config;
use super::exit::{Exit, Failure};
use super::{instance, style::Style};

/// Time between two looks.
const PACE: Duration = Duration::from_millis(300);

/// Follow the script console of a running tapedeck
///
/// Lines of errors go to stderr, all others to stdout. Ends with Ctrl+C.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tapedeck console
  tapedeck console --script recorder.js --json")]
pub struct ConsoleArgs {
    /// Only lines of this script, by title or file name
    #[arg(long, value_name = "NAME")]
    script: Option<String>,

    /// One JSON object a line
    #[arg(long)]
    json: bool,

    /// Print what is there and end
    #[arg(long)]
    no_follow: bool,
}

/// Runs the command.
pub fn run(args: &ConsoleArgs, config: &Config) -> Result<Exit, Failure> {
    let data = super::data_dir(config)?;
    let mut after = 0;
    let mut found = instance::find(&data)?;
    loop {
        match found.get(&format!("/api/console?after={after}")) {
            Ok(answer) => {
                for line in answer["lines"].as_array().into_iter().flatten() {
                    after = after.max(line["n"].as_u64().unwrap_or_default());
                    print(args, line);
                }
            }
            Err(error) if args.no_follow => return Err(error),
            // The instance may have been started anew.
            Err(error) => match instance::find(&data) {
                Ok(next) if next.pid != found.pid => {
                    found = next;
                    after = 0;
                }
                _ => return Err(error),
            },
        }
        if args.no_follow {
            return Ok(Exit::Done);
        }
        std::thread::sleep(PACE);
    }
}

fn print(args: &ConsoleArgs, line: &serde_json::Value) {
    let names = [line["title"].as_str(), line["file"].as_str()];
    if let Some(wanted) = &args.script
        && !names
            .iter()
            .flatten()
            .any(|name| name.eq_ignore_ascii_case(wanted))
    {
        return;
    }
    let text = line["text"].as_str().unwrap_or_default();
    if args.json {
        super::print(format_args!("{line}"));
    } else if text.contains(":ERROR]") {
        eprintln!("{}", Style::stderr().red(text));
    } else {
        super::print(format_args!("{text}"));
    }
}
