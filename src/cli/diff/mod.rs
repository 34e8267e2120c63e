//! `tapedeck diff`: what changed in the traffic between two time ranges.

mod compare;
mod measure;
mod shown;

use std::sync::{Arc, Mutex, PoisonError};

use clap::{Args, ValueEnum};

use super::config::Config;
use super::exit::{Exit, Failure};
use super::pass;
use super::reading::{MaxReadArgs, Range};
use super::secrets::SecretsArgs;
use super::source::SourceArgs;
use super::style::Style;
use crate::item::Item;
use crate::kfl;
use crate::pipeline::{Consumer, Encoded, Step, Stop};
use crate::time::{Clock, SystemClock, Timestamp};
use measure::Measure;

/// Tell what changed in the traffic between two time ranges
///
/// Endpoints, peers, DNS names and TLS versions that appeared or vanished; rates of failed answers and
/// latencies that moved.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tapedeck diff s3://my-bucket/ --before 2023-11-14T21:00..2023-11-14T22:00 --after 2023-11-14T22:00..2023-11-14T23:00
  tapedeck diff ./recordings --before ..2023-11-14T22:00 --after 2023-11-14T22:00.. --format html > diff.html")]
pub struct DiffArgs {
    #[command(flatten)]
    source: SourceArgs,

    #[command(flatten)]
    secrets: SecretsArgs,

    #[command(flatten)]
    max_read: MaxReadArgs,

    /// Time range to compare from, FROM..TO
    #[arg(long, value_name = "RANGE")]
    before: String,

    /// Time range to compare with
    #[arg(long, value_name = "RANGE")]
    after: String,

    /// Only items that match
    #[arg(long, default_value = "", value_name = "KFL")]
    kfl: String,

    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Output formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Lines for people
    Text,
    /// One JSON object
    Json,
    /// A page
    Html,
}

/// Runs the command.
pub fn run(args: &DiffArgs, config: &Config) -> Result<Exit, Failure> {
    let now = SystemClock.now();
    let range = |flag: &str, text: &str| {
        Range::parse(text, now).map_err(|why| Failure::usage(format!("--{flag}: {why}")))
    };
    let ranges = [range("before", &args.before)?, range("after", &args.after)?];
    let query = pass::query(&args.kfl, config)?;
    let mut config = config.clone();
    args.secrets.over(&mut config)?;
    let opened = pass::open(&args.source, pass::times(&ranges), &config)?;
    args.max_read.announce(&opened, 1)?;
    let stop = Stop::default();
    super::stop_on_signal(&stop)?;
    let measures: Arc<Mutex<[Measure; 2]>> = Arc::default();
    let measuring = Measuring {
        query,
        ranges,
        now,
        measures: measures.clone(),
    };
    let warnings = pass::read(
        opened.source,
        opened.names,
        &config,
        stop,
        Box::new(measuring),
    )?;
    let measures = measures.lock().unwrap_or_else(PoisonError::into_inner);
    let [before, after] = &*measures;
    let diff = compare::compare(before, after);
    super::print(match args.format {
        Format::Text => shown::text(&diff),
        Format::Json => serde_json::to_string(&diff).unwrap_or_default(),
        Format::Html => shown::html(&diff, &args.before, &args.after),
    });
    let cut = before.is_cut() || after.is_cut();
    if cut {
        eprintln!(
            "{}",
            Style::stderr().yellow("there were more names than are compared; narrow it with --kfl")
        );
    }
    let gaps = cut || !warnings.is_empty();
    Ok(if gaps { Exit::Gaps } else { Exit::Done })
}

struct Measuring {
    query: kfl::Query,
    ranges: [Range; 2],
    now: Timestamp,
    measures: Arc<Mutex<[Measure; 2]>>,
}

impl Consumer for Measuring {
    fn on_step(&mut self, _step: &Step, items: &[Item], _encoded: &Encoded<'_>) {
        let mut measures = self.measures.lock().unwrap_or_else(PoisonError::into_inner);
        for item in items {
            let wanted = self.ranges.iter().any(|range| range.has(item.start));
            if !wanted || self.query.matches(item.node(), self.now) == kfl::Verdict::NoMatch {
                continue;
            }
            for (range, measure) in self.ranges.iter().zip(measures.iter_mut()) {
                if range.has(item.start) {
                    measure.add(item);
                }
            }
        }
    }
}
