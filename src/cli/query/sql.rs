//! `tapedeck query --sql`: SQL over the source, or how to get it.

use super::super::config::Config;
use super::super::exit::{Exit, Failure};
use super::QueryArgs;
use super::output::Target;

#[cfg(feature = "sql")]
mod answer;
#[cfg(feature = "sql")]
mod shown;

/// Answers a statement.
#[cfg(feature = "sql")]
pub(super) fn run(
    args: &QueryArgs,
    statement: &str,
    target: &Target,
    config: &Config,
) -> Result<Exit, Failure> {
    answer::run(args, statement, target, config)
}

/// Says how to get SQL, and what answers the statement meanwhile.
#[cfg(not(feature = "sql"))]
pub(super) fn run(
    args: &QueryArgs,
    statement: &str,
    _target: &Target,
    config: &Config,
) -> Result<Exit, Failure> {
    use crate::sql::duckdb;
    let mut said = "this tapedeck was built without SQL; take a release build, or make one with: \
                    cargo build --release --features sql"
        .to_owned();
    if let Some((source, reach)) = args.source.archive_of_duckdb(config) {
        let command = duckdb::command(&source, &reach, statement, args.format.name());
        said.push_str(&format!("\nDuckDB answers the same:\n{command}"));
        if statement.contains("kfl(") {
            said.push_str("\nwhere each kfl('…') is to be written as a condition on columns");
        }
    }
    Err(Failure::usage(said))
}
