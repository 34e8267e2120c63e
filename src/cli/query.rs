//! `tapedeck query`: the items of a recorded source on stdout.

use std::io::{BufWriter, ErrorKind, Stdout, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use clap::{Args, ValueEnum};

use super::config::Config;
use super::exit::{Exit, Failure};
use super::grep::{self, Needle};
use super::plain;
use super::reading::{MaxReadArgs, Range, RangeArgs};
use super::secrets::SecretsArgs;
use super::source::SourceArgs;
use super::style::Style;
use crate::item::json::AsJson;
use crate::item::{Item, Node, lookup, shown};
use crate::kfl;
use crate::pipeline::{self, Consumer, Encoded, Step, Stop};
use crate::server::columns_of;
use crate::time::{Clock, SystemClock, Timestamp};

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
  tapedeck query ./recordings --grep 'card=4111' --from 2023-11-14T22:00 --to 2023-11-14T23:00")]
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
    #[arg(long, value_name = "TEXT", requires = "from", requires = "to", conflicts_with_all = ["kfl", "hex"])]
    grep: Option<String>,

    /// Search payloads for bytes in hexadecimal instead; wants --from and --to
    #[arg(
        long,
        value_name = "BYTES",
        requires = "from",
        requires = "to",
        conflicts_with = "kfl"
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
    format: Format,
}

impl QueryArgs {
    fn needle(&self) -> Result<Option<Needle>, Failure> {
        let text = self.grep.as_deref().map(Needle::text);
        text.or_else(|| self.hex.as_deref().map(Needle::hex))
            .transpose()
    }
}

/// Output formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Columns for people
    Table,
    /// One JSON object a line
    Json,
    /// Comma-separated values with a header line
    Csv,
}

/// Runs the command.
pub fn run(args: &QueryArgs, config: &Config) -> Result<Exit, Failure> {
    let schema = super::schema();
    let query = kfl::compile(&args.kfl, &schema)
        .map_err(|error| Failure::usage(format!("--kfl: {error}\n{}", error.caret(&args.kfl))))?;
    for warning in query.warnings() {
        eprintln!("{}", Style::stderr().yellow(&format!("--kfl: {warning}")));
    }
    let mut config = config.clone();
    args.secrets.over(&mut config)?;
    let opened = args.source.open(&config)?;
    for remark in &opened.remarks {
        eprintln!("{}", Style::stderr().yellow(remark));
    }
    let stop = Stop::default();
    super::stop_on_signal(&stop)?;
    let range = args.range.range()?;
    if let Some(needle) = args.needle()? {
        args.max_read.announce(&opened, 1)?;
        let shape = match args.format {
            Format::Json => grep::Shape::Json,
            Format::Table | Format::Csv => grep::Shape::Lines,
        };
        let limit = args.limit.unwrap_or(u64::MAX);
        let limits = super::limits(&config);
        return grep::run(opened.source, limits, &needle, range, limit, shape, &stop);
    }
    let outcome = Arc::new(Outcome::default());
    let printer = Printer {
        query,
        range,
        format: args.format,
        left: args.limit.unwrap_or(u64::MAX),
        out: BufWriter::with_capacity(1 << 16, std::io::stdout()),
        style: Style::stdout(),
        stop: stop.clone(),
        outcome: outcome.clone(),
        now: SystemClock.now(),
    };
    let progress = super::progress::Bar::for_reading();
    let consumers: Vec<Box<dyn Consumer>> = vec![
        Box::new(super::progress::Follow::new(progress)),
        Box::new(printer),
    ];
    let running = pipeline::start(
        opened.source,
        super::offline_options(
            &config,
            Some(super::source::names_of(opened.names)),
            stop,
            consumers,
        )?,
    );
    let counters = running.counters.clone();
    let result = running.join();
    for warning in counters.now().warnings {
        eprintln!("{}", Style::stderr().yellow(&warning));
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
        return Err(Failure::failed(error.to_string()));
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

/// What the printer met, for the exit code.
#[derive(Debug, Default)]
struct Outcome {
    /// Why stdout takes nothing more.
    failed: Mutex<Option<std::io::Error>>,
    printed: AtomicU64,
    /// Items about which the query could not be decided in its bound of steps.
    undecided: AtomicU64,
}

struct Printer {
    query: kfl::Query,
    range: Range,
    format: Format,
    left: u64,
    out: BufWriter<Stdout>,
    style: Style,
    stop: Stop,
    outcome: Arc<Outcome>,
    /// When the query was asked: what `now` in it means.
    now: Timestamp,
}

impl Printer {
    fn give_up(&mut self, error: std::io::Error) {
        self.left = 0;
        let mut failed = self
            .outcome
            .failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        failed.get_or_insert(error);
    }

    fn print(&mut self, item: &Item) -> std::io::Result<()> {
        let first = self.outcome.printed.fetch_add(1, Ordering::Relaxed) == 0;
        match self.format {
            Format::Json => {
                serde_json::to_writer(&mut self.out, &AsJson(item.node()))
                    .map_err(std::io::Error::from)?;
                self.out.write_all(b"\n")
            }
            Format::Csv => {
                if first {
                    writeln!(
                        self.out,
                        "time,protocol,status,method,summary,src,dst,elapsed_ms,stream,index"
                    )?;
                }
                self.csv(item)
            }
            Format::Table => self.table(item),
        }
    }

    fn csv(&mut self, item: &Item) -> std::io::Result<()> {
        let columns = columns_of(item.protocol.abbr);
        let node = item.node();
        let cells = [
            item.start.to_string(),
            item.protocol.abbr.to_owned(),
            shown(node, columns.status).into_owned(),
            shown(node, columns.method).into_owned(),
            shown(node, columns.summary).into_owned(),
            item.src.endpoint.to_string(),
            item.dst.endpoint.to_string(),
            item.elapsed_ms().to_string(),
            item.stream.to_string(),
            item.index.to_string(),
        ];
        let quoted: Vec<String> = cells.iter().map(|cell| csv_cell(cell)).collect();
        writeln!(self.out, "{}", quoted.join(","))
    }

    fn table(&mut self, item: &Item) -> std::io::Result<()> {
        let columns = columns_of(item.protocol.abbr);
        let node = item.node();
        let status = shown(node, columns.status);
        let failed = item.error.is_some() || status.starts_with('5') || status.starts_with('4');
        let status = format!("{status:>4}");
        let status = if failed {
            self.style.red(&status)
        } else {
            self.style.green(&status)
        };
        writeln!(
            self.out,
            "{} {:<6} {status} {:<7} {:<48} {} -> {} {}",
            self.style
                .dim(&item.start.utc().format("%Y-%m-%d %H:%M:%S%.3f").to_string()),
            item.protocol.abbr,
            plain(&shown(node, columns.method)),
            plain(&shown(node, columns.summary)),
            side(node, "src"),
            side(node, "dst"),
            self.style.dim(&format!("{}ms", item.elapsed_ms())),
        )
    }
}

fn side<'a, N: Node<'a>>(node: N, side: &str) -> String {
    let text = |name: &str| {
        lookup(node, &format!("{side}.{name}"))
            .and_then(Node::text)
            .unwrap_or_default()
    };
    let name = text("name");
    let host = if name.is_empty() { text("ip") } else { name };
    format!("{}:{}", plain(&host), text("port"))
}

fn csv_cell(text: &str) -> String {
    let text = plain(text);
    // A spreadsheet takes a cell that begins so for a formula.
    let text = if text.starts_with(['=', '+', '-', '@']) {
        format!("'{text}")
    } else {
        text
    };
    if text.contains([',', '"']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

impl Consumer for Printer {
    fn on_step(&mut self, _step: &Step, items: &[Item], _encoded: &Encoded<'_>) {
        for item in items {
            if self.left == 0 {
                break;
            }
            if !self.range.has(item.start) {
                continue;
            }
            match self.query.matches(item.node(), self.now) {
                kfl::Verdict::Match => {}
                kfl::Verdict::NoMatch => continue,
                kfl::Verdict::Undecided => {
                    self.outcome.undecided.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
            }
            self.left -= 1;
            if let Err(error) = self.print(item) {
                self.give_up(error);
            }
        }
        if self.left == 0 {
            self.stop.stop();
        }
    }

    fn on_end(&mut self) {
        if let Err(error) = self.out.flush() {
            self.give_up(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_cannot_become_formulas_or_break_the_line() {
        assert_eq!(csv_cell("=cmd()"), "'=cmd()");
        assert_eq!(csv_cell("a,b\"c\n"), "\"a,b\"\"c\u{fffd}\"");
    }
}
