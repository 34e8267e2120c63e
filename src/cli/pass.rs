//! One reading of a recorded source from its start to its end, for commands that look at all of it.

use super::config::Config;
use super::exit::Failure;
use super::progress::{Bar, Follow};
use super::reading::Range;
use super::source::{SourceArgs, names_of};
use super::style::Style;
use crate::capture::Source;
use crate::deliver::Imposed;
use crate::investigate::{Opened, SourceNames, Span, Wanted};
use crate::kfl::{self, Query};
use crate::pipeline::{self, Consumer, Stop};

/// Reads what the operator imposes on everything that is delivered.
///
/// # Errors
/// When it is no query, with the place.
pub(super) fn imposed(config: &Config) -> Result<Imposed, Failure> {
    imposed_in(config, &super::schema(config))
}

/// The same, with the schema of the configuration.
pub(super) fn imposed_in(config: &Config, schema: &kfl::Schema) -> Result<Imposed, Failure> {
    let text = config.text("tap.globalFilter");
    Imposed::read(text, schema).map_err(|error| {
        let caret = error.caret(text);
        Failure::usage(format!("tap.globalFilter is invalid, {error}\n{caret}"))
    })
}

/// Compiles what `--kfl` gives, with the macros of the configuration, behind what is imposed.
///
/// # Errors
/// When one of them is no query, with the place.
pub(super) fn query(text: &str, config: &Config) -> Result<Query, Failure> {
    let schema = super::schema(config);
    let query = kfl::compile(text, &schema)
        .map_err(|error| Failure::usage(format!("--kfl: {error}\n{}", error.caret(text))))?;
    Ok(imposed_in(config, &schema)?.before(query))
}

/// Refuses a query that redacts, to a command that shows what it cannot redact.
///
/// # Errors
/// One sentence.
pub(super) fn unredacted(query: &Query, what: &str, instead: &str) -> Result<(), Failure> {
    match query.redacts() {
        true => Err(Failure::usage(format!(
            "{what} cannot be redacted by a query; leave redact() out of --kfl and tap.globalFilter{instead}"
        ))),
        false => Ok(()),
    }
}

/// Opens what is wanted of the source, and says what is remarkable about it.
///
/// # Errors
/// When it cannot be opened.
pub(super) fn open(
    source: &SourceArgs,
    wanted: Wanted,
    config: &Config,
) -> Result<Opened, Failure> {
    let opened = source.open(wanted, config)?;
    for remark in &opened.remarks {
        eprintln!("{}", Style::stderr().yellow(remark));
    }
    Ok(opened)
}

/// What is wanted when only these times are: all when one of them has no end.
pub(super) fn times(ranges: &[Range]) -> Wanted {
    let mut spans: Vec<Span> = ranges.iter().map(Range::span).collect();
    if !spans.iter().all(Span::is_limited) {
        spans.clear();
    }
    Wanted { spans, shard: None }
}

/// Reads all of it into `consumer`, with a progress bar; answers the warnings, which it has said.
///
/// # Errors
/// When the source fails.
pub(super) fn read(
    source: Box<dyn Source>,
    names: SourceNames,
    config: &Config,
    stop: Stop,
    consumer: Box<dyn Consumer>,
) -> Result<Vec<String>, Failure> {
    let consumers: Vec<Box<dyn Consumer>> =
        vec![Box::new(Follow::new(Bar::for_reading())), consumer];
    let names = Some(names_of(names));
    let options = super::offline_options(config, names, stop, consumers)?;
    let running = pipeline::start(source, options);
    let counters = running.counters.clone();
    running.join()?;
    let warnings = counters.now().warnings;
    for warning in &warnings {
        eprintln!("{}", Style::stderr().yellow(warning));
    }
    Ok(warnings)
}
