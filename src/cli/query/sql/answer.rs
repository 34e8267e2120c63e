//! Runs a statement over the source and prints its answer.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::time::Instant;

use super::super::super::config::Config;
use super::super::super::exit::{Exit, Failure};
use super::super::super::style::Style;
use super::super::super::{pass, progress, schema, source};
use super::super::output::{Asked, Target};
use super::super::{QueryArgs, archive};
use super::shown::Shown;
use crate::investigate::tables::Tables;
use crate::investigate::{self, Archive, Opened};
use crate::pipeline::{self, Stop};
use crate::sql::{Engine, SqlError};
use crate::time::{Clock, SystemClock};

/// Answers `statement`.
pub(in super::super) fn run(
    args: &QueryArgs,
    statement: &str,
    target: &Target,
    config: &Config,
) -> Result<Exit, Failure> {
    let began = Instant::now();
    if args.format == Asked::Parquet && target.is_terminal() {
        return Err(Failure::usage(
            "a Parquet file is nothing for a terminal; name a file with --output",
        ));
    }
    let mut config = config.clone();
    args.secrets.over(&mut config)?;
    let span = args.range.range()?.span();
    let stop = Stop::default();
    super::super::super::stop_on_signal(&stop)?;
    let (reading, cache) = (source::reading(&config)?, source::cache()?);
    let archive = match args.source.archive(&config)? {
        Some(archive) => archive,
        None => {
            let asked = investigate::Wanted {
                shard: args.shard,
                ..investigate::Wanted::default()
            };
            let opened = pass::open(&args.source, asked, &config)?;
            match Archive::known(opened, args.source.name(), &reading, cache.as_deref()) {
                Ok(archive) => archive,
                Err(opened) => made(*opened, args, &reading, cache.as_deref(), &stop, &config)?,
            }
        }
    };
    let now = SystemClock.now();
    let tables = Arc::new(Tables::new(archive, span, args.shard, now, reading, cache));
    let engine = Engine::new(tables.clone(), schema(&config))?;
    let limit = args
        .limit
        .map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let mut shown: Option<Shown> = None;
    let mut out = Some(target.open()?);
    let format = args.format;
    let ran = {
        // The columns are told once, before the rows.
        let cell = std::cell::RefCell::new(&mut shown);
        engine.run(
            statement,
            limit,
            &stop,
            &mut |schema| {
                let out = out.take().ok_or_else(|| io::Error::other("told twice"))?;
                **cell.borrow_mut() = Some(Shown::new(format, target.style(), out, schema)?);
                Ok(())
            },
            &mut |batch| match &mut **cell.borrow_mut() {
                Some(shown) => shown.push(batch),
                None => Ok(()),
            },
        )
    };
    let ended = ran.and_then(|()| match shown {
        Some(shown) => shown.finish().map_err(SqlError::Output),
        None => Ok(()),
    });
    let gaps = tables.warnings();
    for warning in &gaps {
        eprintln!("{}", Style::stderr().yellow(warning));
    }
    if args.stats {
        archive::stats(tables.archive(), began);
    }
    match ended {
        Ok(()) => {}
        Err(SqlError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => {
            return Ok(Exit::Done);
        }
        Err(SqlError::Output(error)) => {
            return Err(Failure::failed(super::super::super::no_output(&error)));
        }
        Err(SqlError::Statement(why)) => return Err(Failure::usage(why)),
        Err(SqlError::Failed(why)) => return Err(Failure::failed(why)),
    }
    if !stop.is_asked() {
        target.keep()?;
    }
    Ok(if gaps.is_empty() {
        Exit::Done
    } else {
        Exit::Gaps
    })
}

/// Reads a source that is no archive to its end, and makes an index of it.
fn made(
    opened: Opened,
    args: &QueryArgs,
    reading: &investigate::Reading,
    cache: Option<&investigate::Cache>,
    stop: &Stop,
    config: &Config,
) -> Result<Archive, Failure> {
    let Some(id) = opened.id(reading) else {
        return Err(Failure::usage(
            "--sql needs a source that can be read again; save standard input to a file",
        ));
    };
    let (making, consumer) = investigate::begin_index(id, cache)?;
    let bar = progress::Follow::new(progress::Bar::for_reading());
    let options = super::super::super::offline_options(
        config,
        Some(source::names_of(opened.names)),
        stop.clone(),
        vec![Box::new(bar), consumer],
    )?;
    let running = pipeline::start(opened.source, options);
    let counters = running.counters.clone();
    running.join()?;
    let counts = counters.now();
    for warning in &counts.warnings {
        eprintln!("{}", Style::stderr().yellow(warning));
    }
    let is_whole = counts.warnings.is_empty() && counts.damaged == 0 && !stop.is_asked();
    // What was decrypted stays in no cache.
    let cache = cache.filter(|_| is_whole && counts.tls.decrypted == 0);
    let name = args.source.name();
    Archive::made(making, name, opened.again, reading, cache, false)
        .map_err(|error| Failure::failed(error.to_string()))
}

/// Where rows are written.
pub(super) type Out = Box<dyn Write + Send>;
