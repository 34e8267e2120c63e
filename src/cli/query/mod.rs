//! `tapedeck query`: the items of a recorded source on stdout.

mod archive;
mod group;
mod lines;
mod output;
mod sql;
mod steer;

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;

use self::lines::{Format, Lines};
use self::output::{Asked, Target};
use self::steer::Steered;

use super::config::Config;
use super::exit::{Exit, Failure};
use super::grep::{self, Needle};
use super::pass;
use super::reading::{MaxReadArgs, Range, RangeArgs};
use super::secrets::SecretsArgs;
use super::source::SourceArgs;
use super::style::Style;
use crate::deliver::{Delivered, Delivery, NOT_ALL_PACKETS};
use crate::investigate::aggregate::{Aggregate, MAX_GROUPS};
use crate::investigate::{self, Cursor, Shard};
use crate::item::Item;
use crate::item::json::JsonNode;
use crate::kfl;
use crate::pipeline::{self, Printed, Printer, Printing, Stop, Taker};
use crate::time::{Clock, SystemClock};

/// Flags about items, which a search of payloads has none of.
const ITEMS_ONLY: [&str; 8] = [
    "kfl",
    "newest",
    "after",
    "stats",
    "count_by",
    "top",
    "percentiles",
    "every",
];

/// Flags that an SQL statement says better; it does not go with a search of payloads either.
const ITEMS_BUT_STATS: [&str; 9] = [
    "kfl",
    "newest",
    "after",
    "count_by",
    "top",
    "percentiles",
    "every",
    "grep",
    "hex",
];

/// Print the items of a recorded source
///
/// Reads savefiles, folders, archives and buckets from one end to the other and prints each request
/// with its response: what `tapedeck tap --pcap` shows on the dashboard.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tapedeck query s3://my-bucket/ --kfl 'http and response.status == 500'
  tapedeck query capture.pcapng --format json | jq .request.path
  tapedeck query ./recordings --kfl dns --limit 20
  tapedeck query ./recordings --grep 'card=4111' --from 2023-11-14T22:00 --to 2023-11-14T23:00
  tapedeck query s3://my-bucket/ --newest --limit 50 --stats
  tapedeck query s3://my-bucket/ --from 2026-11-24T10:00:00Z --to 2026-11-24T11:00:00Z \
      --kfl 'response.status == 500' --count-by dst.name,request.path --top 10
  tapedeck query s3://my-bucket/ --kfl 'http' --format json --shard \"$JOB_COMPLETION_INDEX/8\"
  tapedeck query s3://my-bucket/ --every 1m --percentiles elapsedTime --format csv
  tapedeck query s3://my-bucket/ --sql \"SELECT path, count(*) FROM items
      WHERE date = '2026-11-24' AND kfl('http and response.status == 500') GROUP BY path\"")]
pub struct QueryArgs {
    #[command(flatten)]
    source: SourceArgs,

    #[command(flatten)]
    secrets: SecretsArgs,

    #[command(flatten)]
    range: RangeArgs,

    #[command(flatten)]
    max_read: MaxReadArgs,

    /// Search payloads for a text instead; wants --from and --to
    #[arg(
        long,
        value_name = "TEXT",
        requires = "from",
        requires = "to",
        conflicts_with_all = ITEMS_ONLY,
        conflicts_with = "hex"
    )]
    grep: Option<String>,

    /// Search payloads for bytes in hexadecimal instead; wants --from and --to
    #[arg(
        long,
        value_name = "BYTES",
        requires = "from",
        requires = "to",
        conflicts_with_all = ITEMS_ONLY
    )]
    hex: Option<String>,

    /// Print only items that match this KFL query
    #[arg(long, default_value = "", value_name = "KFL")]
    kfl: String,

    /// End after this many items
    #[arg(long, value_name = "N")]
    limit: Option<u64>,

    /// How to print them; json is one object a line
    #[arg(long, value_enum, default_value = "table")]
    format: Asked,

    /// Write to this file instead of stdout; it is there when all of it is written
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Answer an SQL statement over the tables items, streams, reels and coverage; KFL in it as
    /// kfl('...')
    #[arg(long, value_name = "SQL", conflicts_with_all = ITEMS_BUT_STATS)]
    sql: Option<String>,

    /// The newest items of an archive first, by the indexes of its reels
    #[arg(long)]
    newest: bool,

    /// Go on behind the page that said this; implies --newest
    #[arg(long, value_name = "CURSOR", value_parser = archive::cursor)]
    after: Option<Cursor>,

    /// Only part I of N of the source, I from 0: whole days of a node's recording, or all files of a
    /// node and run
    #[arg(long, value_name = "I/N", value_parser = Shard::parse)]
    shard: Option<Shard>,

    /// Say at the end how much was read of an archive, and how long it took
    #[arg(long)]
    stats: bool,

    #[command(flatten)]
    group: group::GroupArgs,
}

/// Why statements are not answered while a filter of the operator is in force.
const NO_SQL: &str = "tap.globalFilter hides items, and SQL reads the columns of all of them; ask with --kfl and --count-by instead";

impl QueryArgs {
    /// Whether what is asked for is better answered by indexes.
    fn asks_index(&self) -> bool {
        self.newest
            || self.after.is_some()
            || self.range.is_given()
            || self.stats
            || self.group.wanted().is_some()
    }

    fn needle(&self) -> Result<Option<Needle>, Failure> {
        let text = self.grep.as_deref().map(Needle::text);
        text.or_else(|| self.hex.as_deref().map(Needle::hex))
            .transpose()
    }
}

/// Runs the command.
pub fn run(args: &QueryArgs, config: &Config) -> Result<Exit, Failure> {
    let target = Target::of(args.output.as_deref())?;
    // Neither bytes of packets nor columns of indexes go by way of a filter.
    let needle = args.needle()?;
    if (needle.is_some() || args.sql.is_some()) && pass::imposed(config)?.query().is_some() {
        return Err(Failure::usage(match &args.sql {
            Some(_) => NO_SQL,
            None => NOT_ALL_PACKETS,
        }));
    }
    if let Some(statement) = &args.sql {
        return sql::run(args, statement, &target, config);
    }
    let format = args.format.lines()?;
    let query = pass::query(&args.kfl, config)?;
    let steered = Steered::of(&query, args.limit)?;
    for warning in query.warnings() {
        eprintln!("{}", Style::stderr().yellow(&format!("--kfl: {warning}")));
    }
    let mut config = config.clone();
    args.secrets.over(&mut config)?;
    let wanted = args.group.wanted();
    if wanted.is_some() {
        args.group.warn(&super::schema(&config));
    }
    let range = args.range.range()?;
    if args.asks_index()
        && needle.is_none()
        && let Some(found) = args.source.archive(&config)?
    {
        let output = archive::Output {
            format,
            target: &target,
        };
        return archive::run(args, &config, found, query, range, wanted, &output);
    }
    if args.newest || args.after.is_some() {
        return Err(Failure::usage(
            "--newest needs one archive with reels, as a recording writes it",
        ));
    }
    let asked = investigate::Wanted {
        shard: args.shard,
        ..pass::times(&[range])
    };
    let opened = pass::open(&args.source, asked, &config)?;
    let stop = Stop::default();
    super::stop_on_signal(&stop)?;
    if let Some(needle) = needle {
        args.max_read.announce(&opened, 1)?;
        let shape = match format {
            Format::Json => grep::Shape::Json,
            Format::Table | Format::Csv => grep::Shape::Lines,
        };
        let wanted = grep::Wanted {
            needle: &needle,
            range,
            limit: args.limit.unwrap_or(u64::MAX),
            shape,
        };
        let limits = super::limits(&config);
        let exit = grep::run(opened.source, limits, &wanted, target.open()?, &stop)?;
        target.keep()?;
        return Ok(exit);
    }
    let outcome = Arc::new(Outcome::default());
    let lines = Lines::new(format, target.style());
    // When the query was asked: what `now` in it means.
    let now = SystemClock.now();
    let groups = wanted
        .as_ref()
        .map(|wanted| Arc::new(Mutex::new(Aggregate::new(wanted.clone()))));
    let counted = groups.clone();
    let printing = Printing {
        printer: Box::new(move || -> Box<dyn Printer> {
            Box::new(Chosen {
                delivery: Delivery::new(query.clone(), now, None),
                range,
                lines: lines.clone(),
                groups: counted.clone(),
            })
        }),
        taker: Box::new(Output {
            header: match &groups {
                Some(_) => b"",
                None => format.header(),
            },
            steered,
            out: match &groups {
                Some(_) => Box::new(std::io::sink()),
                None => target.open()?,
            },
            stop: stop.clone(),
            outcome: outcome.clone(),
        }),
    };
    let stopped = stop.clone();
    let options = super::offline_options(
        &config,
        Some(super::source::names_of(opened.names)),
        stop,
        Vec::new(),
    )?;
    let progress = super::progress::Bar::for_reading();
    let follow = super::progress::Follow::new(progress).counting(options.counters.clone());
    let options = pipeline::Options {
        consumers: vec![Box::new(follow)],
        ..options
    };
    let running = pipeline::print(opened.source, options, printing);
    let counters = running.counters.clone();
    let result = running.join();
    for warning in counters.now().warnings {
        eprintln!("{}", Style::stderr().yellow(&warning));
    }
    if let (Some(groups), Some(wanted)) = (&groups, &wanted) {
        let groups = groups.lock().unwrap_or_else(PoisonError::into_inner);
        tell_others(&groups);
        if let Err(error) = group::print(&groups, wanted, format, &mut *target.open()?) {
            let mut failed = outcome
                .failed
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            failed.get_or_insert(error);
        }
    }
    let failed = outcome
        .failed
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    match failed.as_ref() {
        // Whoever read the items has seen enough.
        Some(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(Exit::Done),
        Some(error) => return Err(Failure::failed(super::no_output(error))),
        None => {}
    }
    if let Err(error) = result {
        return Err(error.into());
    }
    // Who ends it by hand has not all of it.
    if !stopped.is_asked() || outcome.is_enough.load(Ordering::Relaxed) {
        target.keep()?;
    }
    let undecided = outcome.undecided.load(Ordering::Relaxed);
    if undecided > 0 {
        let sentence = format!(
            "{undecided} items took more than {} steps and were left out; simplify the query",
            kfl::MAX_STEPS
        );
        eprintln!("{}", Style::stderr().yellow(&sentence));
    }
    let gaps = undecided > 0 || !counters.now().warnings.is_empty();
    Ok(if gaps { Exit::Gaps } else { Exit::Done })
}

/// Says how many items are in no group.
fn tell_others(groups: &Aggregate) {
    if groups.others() > 0 {
        let sentence = format!(
            "{} items are in none of the groups: there are more than {MAX_GROUPS}",
            groups.others()
        );
        eprintln!("{}", Style::stderr().yellow(&sentence));
    }
}

/// What the printer met, for the exit code.
#[derive(Debug, Default)]
struct Outcome {
    /// Why stdout takes nothing more.
    failed: Mutex<Option<std::io::Error>>,
    /// Items about which the query could not be decided in its bound of steps.
    undecided: AtomicU64,
    /// Whether as many were printed as were wanted.
    is_enough: AtomicBool,
}

/// Prints the items that a query chooses.
struct Chosen {
    delivery: Delivery<'static>,
    range: Range,
    lines: Lines,
    /// What is counted instead of printed.
    groups: Option<Arc<Mutex<Aggregate>>>,
}

impl Printer for Chosen {
    fn print(&mut self, item: &Item, out: &mut Vec<u8>) -> Printed {
        if !self.range.has(item.start) {
            return Printed::Nothing;
        }
        let delivered = self.delivery.counted(item.node());
        match &delivered {
            Delivered::Nothing => return Printed::Nothing,
            Delivered::Undecided => return Printed::Undecided,
            Delivered::Whole | Delivered::Altered(_) => {}
        }
        if let Some(groups) = &self.groups {
            let mut groups = groups.lock().unwrap_or_else(PoisonError::into_inner);
            count(&mut groups, &delivered, item);
            return Printed::Nothing;
        }
        self.lines.append_delivered(&delivered, item, out);
        Printed::Line
    }
}

/// Counts what is delivered of an item.
fn count(groups: &mut Aggregate, delivered: &Delivered, item: &Item) {
    match delivered {
        Delivered::Whole => groups.add(item.node()),
        Delivered::Altered(copy) => groups.add(JsonNode(copy)),
        Delivered::Nothing | Delivered::Undecided => {}
    }
}

/// The way to stdout, as far as the query is steered.
struct Output {
    /// What comes before the first line.
    header: &'static [u8],
    steered: Steered,
    out: Box<dyn Write + Send>,
    stop: Stop,
    outcome: Arc<Outcome>,
}

impl Output {
    fn give_up(&mut self, error: std::io::Error) {
        self.steered.give_up();
        let mut failed = self
            .outcome
            .failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        failed.get_or_insert(error);
    }

    fn write(&mut self, line: &[u8]) -> std::io::Result<()> {
        if !self.header.is_empty() {
            self.out.write_all(std::mem::take(&mut self.header))?;
        }
        self.out.write_all(line)
    }
}

impl Taker for Output {
    fn take(&mut self, line: &[u8]) {
        if self.steered.is_done() {
            return;
        }
        if line.is_empty() {
            self.outcome.undecided.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let taken = self.steered.take(line);
        if self.steered.is_done() {
            self.outcome.is_enough.store(true, Ordering::Relaxed);
        }
        let written = taken.and_then(|now| match now {
            true => self.write(line),
            false => Ok(()),
        });
        if let Err(error) = written {
            self.give_up(error);
        }
    }

    fn on_step(&mut self) {
        if self.steered.is_done() {
            self.stop.stop();
        }
    }

    fn on_end(&mut self) {
        for line in self.steered.rest() {
            if let Err(error) = self.write(&line) {
                return self.give_up(error);
            }
        }
        if let Err(error) = self.out.flush() {
            self.give_up(error);
        }
    }
}
