//! `tapedeck kfl`: check a query, match JSON lines against it.

use std::io::{BufRead, BufWriter, Write};

use clap::{Args, Subcommand};

use super::exit::{Exit, Failure};
use super::style::Style;
use crate::item::json::JsonNode;
use crate::kfl;
use crate::time::{Clock, SystemClock};

/// Octets of one line of JSON that are read at most.
const MAX_LINE: u64 = 64 * 1024 * 1024;

/// Check a KFL query, or match JSON lines against it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tapedeck kfl check 'http and response.status == 500'
  tapedeck query capture.pcap --format json | tapedeck kfl match 'dns'")]
pub struct KflArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Say whether a query is valid, in which dialect, and what looks odd about it
    Check {
        /// The query
        query: String,
    },
    /// Read JSON lines on stdin, print those that match
    Match {
        /// The query
        query: String,
    },
}

/// Runs the command.
pub fn run(args: &KflArgs) -> Result<Exit, Failure> {
    match &args.what {
        What::Check { query } => {
            let compiled = compile(query)?;
            super::print(format_args!("valid ({:?})", compiled.dialect()));
            for warning in compiled.warnings() {
                super::print(format_args!(
                    "{}",
                    Style::stdout().yellow(&format!("warning: {warning}"))
                ));
            }
            Ok(Exit::Done)
        }
        What::Match { query } => matching(&compile(query)?),
    }
}

fn compile(query: &str) -> Result<kfl::Query, Failure> {
    kfl::compile(query, &super::schema())
        .map_err(|error| Failure::usage(format!("{error}\n{}", error.caret(query))))
}

fn matching(query: &kfl::Query) -> Result<Exit, Failure> {
    let mut input = std::io::stdin().lock();
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut line = String::new();
    let mut number = 0;
    loop {
        line.clear();
        if std::io::Read::take(&mut input, MAX_LINE).read_line(&mut line)? == 0 {
            break;
        }
        number += 1;
        if line.trim().is_empty() {
            continue;
        }
        let record: serde_json::Value = serde_json::from_str(&line)
            .map_err(|error| Failure::failed(format!("line {number} is not JSON: {error}")))?;
        if query.matches(JsonNode(&record), SystemClock.now()) == kfl::Verdict::Match
            && out.write_all(line.as_bytes()).is_err()
        {
            return Ok(Exit::Done);
        }
    }
    let _ = out.flush();
    Ok(Exit::Done)
}
