//! A query of an archive by its indexes.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::super::config::Config;
use super::super::exit::{Exit, Failure};
use super::super::reading::Range;
use super::super::source;
use super::super::style::Style;
use super::QueryArgs;
use super::group;
use super::lines::{Format, Lines};
use super::output::Target;
use crate::deliver::Delivery;
use crate::investigate::aggregate::{Aggregate, Wanted};
use crate::investigate::{Archive, Cursor, Search};
use crate::kfl::Query;
use crate::time::{Clock, SystemClock};

/// Items of one page that are found at a time while all are printed.
const PAGE: usize = 1000;

/// How items are printed, and where.
pub(super) struct Output<'o> {
    pub(super) format: Format,
    pub(super) target: &'o Target,
}

/// Runs the query on an archive; `wanted` when groups are asked for.
pub(super) fn run(
    args: &QueryArgs,
    config: &Config,
    archive: Archive,
    query: Query,
    range: Range,
    wanted: Option<Wanted>,
    output: &Output<'_>,
) -> Result<Exit, Failure> {
    let began = Instant::now();
    let archive = Arc::new(archive);
    let reading = source::reading(config)?;
    let now = SystemClock.now();
    let cache = source::cache()?;
    let delivery = Delivery::new(query.clone(), now, None);
    let search = Search::new(archive.clone(), query, range.span(), now, reading, cache);
    let search = search.of_shard(args.shard);
    let mut out = output.target.open()?;
    let done = match wanted {
        Some(wanted) => groups(&search, &delivery, wanted, output.format, &mut *out),
        None => items(args, &search, &delivery, output, &mut *out),
    };
    drop(out);
    let gaps = search.warnings();
    for warning in &gaps {
        eprintln!("{}", Style::stderr().yellow(warning));
    }
    if args.stats {
        stats(&archive, began);
    }
    if done.is_ok() {
        output.target.keep()?;
    }
    match done {
        Ok(()) if gaps.is_empty() => Ok(Exit::Done),
        Ok(()) => Ok(Exit::Gaps),
        Err(Ended::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            Ok(Exit::Done)
        }
        Err(Ended::Output(error)) => Err(Failure::failed(super::super::no_output(&error))),
        Err(Ended::Store(error)) => Err(error.into()),
    }
}

/// Why printing ended early.
enum Ended {
    Output(std::io::Error),
    Store(crate::store::StoreError),
}

impl From<std::io::Error> for Ended {
    fn from(error: std::io::Error) -> Ended {
        Ended::Output(error)
    }
}

impl From<crate::store::StoreError> for Ended {
    fn from(error: crate::store::StoreError) -> Ended {
        Ended::Store(error)
    }
}

fn groups(
    search: &Search,
    delivery: &Delivery<'_>,
    wanted: Wanted,
    format: Format,
    out: &mut dyn Write,
) -> Result<(), Ended> {
    let mut aggregate = Aggregate::new(wanted.clone());
    search.scan(&wanted.paths(), &mut |item| {
        let delivered = delivery.counted_match(item.node());
        super::count(&mut aggregate, &delivered, item);
    })?;
    super::tell_others(&aggregate);
    Ok(group::print(&aggregate, &wanted, format, out)?)
}

fn items(
    args: &QueryArgs,
    search: &Search,
    delivery: &Delivery<'_>,
    output: &Output<'_>,
    out: &mut dyn Write,
) -> Result<(), Ended> {
    let mut lines = Lines::new(output.format, output.target.style());
    let mut line = Vec::new();
    out.write_all(output.format.header())?;
    let bounds = [args.limit, delivery.query().steering().most()];
    let mut left = bounds.into_iter().flatten().min().unwrap_or(u64::MAX);
    let is_steered = Some(left) != args.limit && left != u64::MAX;
    let mut cursor = args.after.clone();
    while left > 0 {
        let limit = usize::try_from(left).unwrap_or(usize::MAX).min(PAGE);
        let page = search.page(limit, cursor.as_ref(), None)?;
        for found in &page.found {
            // Lists show no bodies, so their packets can stay where they are.
            let item = match output.format {
                Format::Json if found.is_cut() => search.whole(found),
                _ => found.item.clone(),
            };
            line.clear();
            let delivered = delivery.counted_match(item.node());
            lines.append_delivered(&delivered, &item, &mut line);
            out.write_all(&line)?;
        }
        left -= page.found.len() as u64;
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    out.flush()?;
    if let Some(cursor) = cursor.filter(|_| !is_steered) {
        eprintln!("more: --after {cursor}");
    }
    Ok(())
}

pub(super) fn stats(archive: &Archive, began: Instant) {
    let used = archive.used();
    let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    eprintln!(
        "{} listings, {} reads with {} bytes, {} reads from the cache, {:.3} s",
        read(&used.lists),
        read(&used.gets),
        read(&used.bytes),
        read(&used.cached),
        began.elapsed().as_secs_f64()
    );
}

/// Reads a cursor of the command line.
pub fn cursor(text: &str) -> Result<Cursor, String> {
    Cursor::parse(text).ok_or_else(|| "use what the query before said behind --after".to_owned())
}
