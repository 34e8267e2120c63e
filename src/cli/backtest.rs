//! `tapedeck backtest`: what a recording or a script would have kept over stored traffic.
//!
//! Nothing is sealed, sent or written outside a temporary folder.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use ahash::RandomState;
use clap::Args;
use serde_json::{Value as Json, json};

use super::config::Config;
use super::exit::{Exit, Failure};
use super::pass;
use super::reading::{MaxReadArgs, Range, RangeArgs};
use super::recordings::size;
use super::secrets::SecretsArgs;
use super::source::{self, SourceArgs};
use super::style::Style;
use super::tap::Asked;
use super::tap::live::script_env;
use super::tap::session::{Dry, Session, Setup};
use crate::capture::own::OwnSockets;
use crate::item::Item;
use crate::kfl;
use crate::packet::StreamId;
use crate::pipeline::host::SentLog;
use crate::pipeline::{Consumer, Encoded, Step, Stop};
use crate::time::{Clock, SystemClock, Timestamp};

/// Streams that are counted one by one.
const MAX_STREAMS: usize = 4_000_000;

/// Tell what a recording or a script would have kept over stored traffic
///
/// Counts items, streams and bytes, by namespace and a day. No effect of a script is carried out.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tapedeck backtest s3://my-bucket/ --kfl 'http and response.status >= 500'
  tapedeck backtest capture.pcapng --kfl 'http' --kfl 'dns' --json
  tapedeck backtest s3://my-bucket/ --script scripts/recorder.js")]
pub struct BacktestArgs {
    #[command(flatten)]
    source: SourceArgs,

    #[command(flatten)]
    secrets: SecretsArgs,

    #[command(flatten)]
    range: RangeArgs,

    #[command(flatten)]
    max_read: MaxReadArgs,

    /// A query that a recording would have; may be repeated
    #[arg(long, value_name = "KFL", required_unless_present = "script")]
    kfl: Vec<String>,

    /// A script or folder of scripts instead
    #[arg(long, value_name = "FILE", conflicts_with = "kfl")]
    script: Vec<PathBuf>,

    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &BacktestArgs, config: &Config) -> Result<Exit, Failure> {
    let mut config = config.clone();
    args.secrets.over(&mut config)?;
    let range = args.range.range()?;
    let mut queries = Vec::new();
    for text in &args.kfl {
        let query = pass::query(text, &config)?;
        for warning in query.warnings() {
            eprintln!("{}", Style::stderr().yellow(&format!("--kfl: {warning}")));
        }
        queries.push(query);
    }
    if let Some(missing) = args.script.iter().find(|path| !path.exists()) {
        return Err(Failure::usage(format!(
            "{} is not there",
            missing.display()
        )));
    }
    let opened = pass::open(&args.source, pass::times(&[range]), &config)?;
    args.max_read.announce(&opened, 1)?;
    let stop = Stop::default();
    super::stop_on_signal(&stop)?;
    if !args.script.is_empty() {
        return scripts(args, &config, opened, &stop);
    }
    let tallies: Arc<Mutex<Tallies>> = Arc::new(Mutex::new(Tallies {
        kept: queries.iter().map(|_| Kept::default()).collect(),
        ..Tallies::default()
    }));
    let counting = Counting {
        queries,
        range,
        now: SystemClock.now(),
        tallies: tallies.clone(),
    };
    let warnings = pass::read(
        opened.source,
        opened.names,
        &config,
        stop,
        Box::new(counting),
    )?;
    let tallies = tallies.lock().unwrap_or_else(PoisonError::into_inner);
    let all: Vec<Json> = args
        .kfl
        .iter()
        .zip(&tallies.kept)
        .map(|(text, kept)| tallies.json(text, kept))
        .collect();
    if args.json {
        super::print(Json::from(all));
    } else {
        all.iter().for_each(show);
    }
    Ok(if warnings.is_empty() {
        Exit::Done
    } else {
        Exit::Gaps
    })
}

/// What was seen of one stream.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    packets: u64,
    bytes: u64,
}

/// What one query would have kept.
#[derive(Debug, Default)]
struct Kept {
    items: u64,
    undecided: u64,
    /// Streams with the namespace that made them wanted.
    streams: HashMap<StreamId, Arc<str>, RandomState>,
}

#[derive(Debug, Default)]
struct Tallies {
    kept: Vec<Kept>,
    streams: HashMap<StreamId, Seen, RandomState>,
    all: Seen,
    items: u64,
    span: Option<(Timestamp, Timestamp)>,
}

impl Tallies {
    fn days(&self) -> f64 {
        let (from, to) = self.span.unwrap_or_default();
        (to.since(from).as_secs_f64() / 86_400.0).max(1.0 / 86_400.0)
    }

    fn json(&self, kfl: &str, kept: &Kept) -> Json {
        let mut total = Seen::default();
        let mut spaces: BTreeMap<&str, (u64, Seen)> = BTreeMap::new();
        for (stream, namespace) in &kept.streams {
            let seen = self.streams.get(stream).copied().unwrap_or_default();
            let (streams, sum) = spaces.entry(namespace).or_default();
            *streams += 1;
            for sum in [&mut total, sum] {
                sum.packets += seen.packets;
                sum.bytes += seen.bytes;
            }
        }
        let days = self.days();
        let a_day = |bytes: u64| (bytes as f64 / days) as u64;
        let by_namespace: serde_json::Map<String, Json> = spaces
            .into_iter()
            .map(|(name, (streams, seen))| {
                let json = json!({
                    "streams": streams, "packets": seen.packets, "bytes": seen.bytes,
                    "bytesPerDay": a_day(seen.bytes),
                });
                (name.to_owned(), json)
            })
            .collect();
        json!({
            "kfl": kfl,
            "items": kept.items,
            "itemsSeen": self.items,
            "undecided": kept.undecided,
            "streams": kept.streams.len(),
            "streamsSeen": self.streams.len(),
            "packets": total.packets,
            "bytes": total.bytes,
            "bytesSeen": self.all.bytes,
            "days": days,
            "bytesPerDay": a_day(total.bytes),
            "byNamespace": by_namespace,
        })
    }
}

fn show(one: &Json) {
    let number = |name: &str| one[name].as_u64().unwrap_or_default();
    super::print(format_args!(
        "{}\n  {} of {} items, {} of {} streams, {} packets, {} of {}; {} a day",
        super::plain(one["kfl"].as_str().unwrap_or_default()),
        number("items"),
        number("itemsSeen"),
        number("streams"),
        number("streamsSeen"),
        number("packets"),
        size(number("bytes")),
        size(number("bytesSeen")),
        size(number("bytesPerDay")),
    ));
    if number("undecided") > 0 {
        super::print(format_args!(
            "  {} items could not be decided; a recording keeps those",
            number("undecided")
        ));
    }
    for (name, space) in one["byNamespace"].as_object().into_iter().flatten() {
        let name = if name.is_empty() {
            "no namespace"
        } else {
            name
        };
        let number = |field: &str| space[field].as_u64().unwrap_or_default();
        super::print(format_args!(
            "  {:<24} {} streams, {}, {} a day",
            super::plain(name),
            number("streams"),
            size(number("bytes")),
            size(number("bytesPerDay")),
        ));
    }
}

struct Counting {
    queries: Vec<kfl::Query>,
    range: Range,
    now: Timestamp,
    tallies: Arc<Mutex<Tallies>>,
}

impl Consumer for Counting {
    fn on_step(&mut self, step: &Step, items: &[Item], _encoded: &Encoded<'_>) {
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        let Tallies {
            kept,
            streams,
            all,
            items: seen_items,
            span,
        } = &mut *tallies;
        for packet in &step.batch.packets {
            let ts = packet.record.ts;
            if !self.range.has(ts) {
                continue;
            }
            let (from, to) = span.unwrap_or((ts, ts));
            *span = Some((from.min(ts), to.max(ts)));
            let bytes = u64::from(packet.record.caplen);
            all.packets += 1;
            all.bytes += bytes;
            if let Some((stream, _)) = packet.stream
                && (streams.len() < MAX_STREAMS || streams.contains_key(&stream))
            {
                let seen = streams.entry(stream).or_default();
                seen.packets += 1;
                seen.bytes += bytes;
            }
        }
        for item in items.iter().filter(|item| self.range.has(item.start)) {
            *seen_items += 1;
            for (query, kept) in self.queries.iter().zip(kept.iter_mut()) {
                match query.matches(item.node(), self.now) {
                    kfl::Verdict::NoMatch => continue,
                    kfl::Verdict::Match => kept.items += 1,
                    kfl::Verdict::Undecided => kept.undecided += 1,
                }
                if kept.streams.len() < MAX_STREAMS {
                    let namespace = match item.dst.namespace.is_empty() {
                        true => &item.src.namespace,
                        false => &item.dst.namespace,
                    };
                    let stream = item.stream.stream;
                    kept.streams
                        .entry(stream)
                        .or_insert_with(|| Arc::from(&**namespace));
                }
            }
        }
    }
}

/// Runs scripts over the source, sending nothing, and says what they would have recorded.
fn scripts(
    args: &BacktestArgs,
    config: &Config,
    opened: crate::investigate::Opened,
    stop: &Stop,
) -> Result<Exit, Failure> {
    let data = tempfile::tempdir()?;
    let sent = Arc::new(SentLog::default());
    let setup = Setup {
        source: opened.source,
        names: Some(source::names_of(opened.names)),
        cluster: Asked::default(),
        is_live: false,
        what: "backtest".to_owned(),
        data: data.path().to_owned(),
        scripts: args.script.clone(),
        env: script_env(config),
        own: OwnSockets::default(),
        hub: None,
        dry: Some(Dry {
            sent: sent.clone(),
            quiet: true,
            watcher: None,
        }),
        stop: stop.clone(),
    };
    let session = Session::start(config, setup)?;
    let recordings = session.recorded();
    let span = session.counters.now();
    let failed = session.facts.failed_scripts();
    let calls = sent.calls();
    if args.json {
        super::print(
            json!({"recordings": recordings, "calls": calls.len(), "packets": span.packets, "bytes": span.bytes}),
        );
    } else {
        for one in recordings.as_array().into_iter().flatten() {
            let number = |name: &str| one[name].as_u64().unwrap_or_default();
            super::print(format_args!(
                "{}\n  {} streams, {} packets, {} of {}",
                super::plain(one["name"].as_str().unwrap_or_default()),
                number("streams"),
                number("packets"),
                size(number("bytes")),
                size(span.bytes),
            ));
        }
        super::print(format_args!(
            "{} calls would have left this machine",
            calls.len()
        ));
    }
    let exit = session.finish(false)?;
    for sentence in &failed {
        eprintln!("{}", Style::stderr().red(sentence));
    }
    Ok(if failed.is_empty() {
        exit
    } else {
        Exit::Failed
    })
}
