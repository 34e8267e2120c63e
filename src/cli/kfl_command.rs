//! `tapedeck kfl`: check, explain, convert and complete queries, match JSON lines, run cases.

use std::io::{BufRead, BufWriter, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::config::Config;
use super::exit::{Exit, Failure};
use super::style::Style;
use crate::item::json::JsonNode;
use crate::kfl::{self, Dialect, Schema, Verdict};
use crate::time::{Clock, SystemClock};

/// Octets of one line of JSON that are read at most.
const MAX_LINE: u64 = 64 * 1024 * 1024;

/// Octets of a file of cases that are read at most.
const MAX_CASES: u64 = 256 * 1024 * 1024;

/// Check, explain, convert and try KFL queries
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tapedeck kfl check 'http and response.status == 500'
  tapedeck kfl explain 'http && dst.port == 443 && status_code >= 500'
  tapedeck kfl convert 'http and response.status == r\"5.*\"'
  tapedeck query capture.pcap --format json | tapedeck kfl match 'dns'
  tapedeck kfl test cases.jsonl")]
pub struct KflArgs {
    #[command(subcommand)]
    what: What,
}

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Lines for people
    Text,
    /// One JSON object
    Json,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Say whether a query is valid, in which dialect, and what looks odd about it
    ///
    /// Warns about unknown fields with the nearest name, about queries that say the same of every
    /// item, and about regular expressions that are found in every text. The exit code is 0 for a
    /// valid query and 2 for an invalid one.
    #[command(after_help = "\
Examples:
  tapedeck kfl check 'http && status_code >= 500'
  tapedeck kfl check 'http and response.staus == 500'
  tapedeck kfl check 'dns' --format json")]
    Check {
        /// The query
        query: String,
        /// How to print the answer
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// Say what a query does: how it groups, what it reads, what is decided beforehand
    ///
    /// `headers` is the capture filter that lets pass every packet the query may need, `columns` the
    /// conditions by which an index leaves out rows that cannot match.
    #[command(after_help = "\
Examples:
  tapedeck kfl explain 'http and tls or dns'
  tapedeck kfl explain 'dst.port == 443 && status_code >= 500' --format json")]
    Explain {
        /// The query
        query: String,
        /// How to print the answer
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// Read JSON lines on stdin, print those that match
    ///
    /// Members are compared as the lines have them: elapsedTime in milliseconds where `query --format
    /// json` wrote it, while `query --kfl` compares microseconds.
    #[command(after_help = "\
Examples:
  tapedeck query capture.pcap --format json | tapedeck kfl match 'dns'
  tapedeck kfl match 'response.status == 500' < items.jsonl")]
    Match {
        /// The query
        query: String,
    },
    /// Write a query of the first dialect in the second
    ///
    /// What the second dialect cannot say is told, and the exit code is then 1.
    #[command(after_help = "\
Examples:
  tapedeck kfl convert 'http and response.status == r\"5.*\"'
  tapedeck kfl convert 'timestamp > minutes(-5)' --format json")]
    Convert {
        /// The query
        query: String,
        /// How to print the answer
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// Say what may stand at the cursor of a query that is being written
    #[command(after_help = "\
Examples:
  tapedeck kfl complete 'http && stat'
  tapedeck kfl complete 'method == ' --format json")]
    Complete {
        /// The text so far
        text: String,
        /// Where the cursor is, in characters; at the end when not given
        #[arg(long, value_name = "N")]
        cursor: Option<usize>,
        /// The dialect, when the text does not tell
        #[arg(long, value_enum)]
        dialect: Option<Named>,
        /// How to print the answer; whole is the text with each proposal in its place
        #[arg(long, value_enum, default_value = "text")]
        format: Shape,
    },
    /// Print the reference page: guide, fields by protocol, functions, macros
    #[command(after_help = "\
Examples:
  tapedeck kfl reference | less")]
    Reference,
    /// Run a file of cases: a query, an item and what is expected, one JSON object a line
    #[command(after_help = "\
Each line is {\"dialect\": \"v1\" or \"v2\", \"query\", \"valid\", \"record\", \"match\", \"why\"}; without a
dialect the query decides. The record of a v2 case holds variables by name. The exit code is 1 when
a case fails.

Examples:
  tapedeck kfl test cases.jsonl
  tapedeck kfl test cases.jsonl --format json")]
    Test {
        /// The file
        file: PathBuf,
        /// How to print the answer
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
}

/// A dialect by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Named {
    /// The first, with `and` and `or`
    V1,
    /// The second, with `&&` and `||`
    V2,
}

/// How proposals are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// A proposal and its sentence a line
    Text,
    /// One JSON object
    Json,
    /// The whole text for each proposal, for shells
    Whole,
}

/// Runs the command.
pub fn run(args: &KflArgs, config: &Config) -> Result<Exit, Failure> {
    let schema = super::schema(config);
    let schema = schema.as_ref();
    match &args.what {
        What::Check { query, format } => check(query, *format, schema),
        What::Explain { query, format } => explain(query, *format, schema),
        What::Match { query } => {
            matching(&kfl::compile(query, schema).map_err(|error| invalid(query, &error))?)
        }
        What::Convert { query, format } => convert(query, *format, schema),
        What::Complete {
            text,
            cursor,
            dialect,
            format,
        } => complete(text, *cursor, *dialect, *format, schema),
        What::Reference => {
            let page = crate::server::kfl_reference::page(schema);
            super::print(page.trim_end());
            Ok(Exit::Done)
        }
        What::Test { file, format } => test(file, *format),
    }
}

fn invalid(query: &str, error: &kfl::Error) -> Failure {
    Failure::usage(format!("{error}\n{}", error.caret(query)))
}

fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::failed(error.to_string()))?;
    super::print(text);
    Ok(())
}

fn warn(sentence: &impl std::fmt::Display) {
    super::print(Style::stdout().yellow(&format!("warning: {sentence}")));
}

fn check(query: &str, format: Format, schema: &Schema) -> Result<Exit, Failure> {
    let report = kfl::check(query, schema);
    if format == Format::Json {
        print_json(&report)?;
        return Ok(if report.valid {
            Exit::Done
        } else {
            Exit::Usage
        });
    }
    if let Some(error) = &report.error {
        return Err(invalid(query, error));
    }
    if let Some(dialect) = report.dialect {
        super::print(format_args!("valid ({dialect})"));
    }
    report.warnings.iter().for_each(warn);
    Ok(Exit::Done)
}

fn explain(query: &str, format: Format, schema: &Schema) -> Result<Exit, Failure> {
    let explained =
        kfl::explain(query, schema, SystemClock.now()).map_err(|error| invalid(query, &error))?;
    match format {
        Format::Json => print_json(&explained)?,
        Format::Text => super::print(explained.to_string().trim_end()),
    }
    Ok(Exit::Done)
}

fn convert(query: &str, format: Format, schema: &Schema) -> Result<Exit, Failure> {
    let converted = kfl::convert(query, schema).map_err(|error| {
        let already = kfl::compile(query, schema).is_ok_and(|query| query.dialect() == Dialect::V2);
        match already {
            true => Failure::usage("this is a query of the second dialect already"),
            false => invalid(query, &error),
        }
    })?;
    let exit = match converted.query {
        Some(_) => Exit::Done,
        None => Exit::Failed,
    };
    if format == Format::Json {
        print_json(&converted)?;
        return Ok(exit);
    }
    for why in &converted.cannot {
        eprintln!(
            "{}",
            Style::stderr().red(&format!("cannot be converted: {why}"))
        );
    }
    for remark in &converted.remarks {
        eprintln!("{}", Style::stderr().yellow(&format!("note: {remark}")));
    }
    if let Some(query) = &converted.query {
        super::print(query);
    }
    Ok(exit)
}

fn complete(
    text: &str,
    cursor: Option<usize>,
    dialect: Option<Named>,
    format: Shape,
    schema: &Schema,
) -> Result<Exit, Failure> {
    let cursor = cursor
        .and_then(|cursor| text.char_indices().nth(cursor))
        .map_or(text.len(), |(at, _)| at);
    let dialect = dialect.map(|dialect| match dialect {
        Named::V1 => Dialect::V1,
        Named::V2 => Dialect::V2,
    });
    let found = kfl::complete(text, cursor, dialect, schema);
    match format {
        Shape::Json => print_json(&found)?,
        Shape::Text => {
            for proposal in &found.proposals {
                super::print(format_args!(
                    "{}\t{}",
                    proposal.text,
                    Style::stdout().dim(&proposal.doc)
                ));
            }
        }
        Shape::Whole => {
            let (front, back) = (text.get(..found.from), text.get(cursor..));
            for proposal in &found.proposals {
                let (front, back) = (front.unwrap_or_default(), back.unwrap_or_default());
                super::print(format_args!("{front}{}{back}", proposal.text));
            }
        }
    }
    Ok(Exit::Done)
}

fn test(file: &PathBuf, format: Format) -> Result<Exit, Failure> {
    let unreadable =
        |error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", file.display()));
    let opened = std::fs::File::open(file).map_err(|error| unreadable(&error))?;
    let mut cases = String::new();
    std::io::Read::read_to_string(&mut std::io::Read::take(opened, MAX_CASES), &mut cases)
        .map_err(|error| unreadable(&error))?;
    let (passed, failures) = kfl::cases::run(&cases, SystemClock.now());
    let exit = match failures.is_empty() {
        true => Exit::Done,
        false => Exit::Failed,
    };
    if format == Format::Json {
        print_json(&json!({"passed": passed, "failed": failures.len(), "failures": failures}))?;
        return Ok(exit);
    }
    for failure in &failures {
        super::print(format_args!(
            "{}:{}: {} should be {}, is {}{}",
            file.display(),
            failure.line,
            failure.query,
            failure.expected,
            failure.found,
            match failure.why.is_empty() {
                true => String::new(),
                false => format!(" ({})", failure.why),
            }
        ));
    }
    super::print(format_args!("{passed} passed, {} failed", failures.len()));
    Ok(exit)
}

fn matching(query: &kfl::Query) -> Result<Exit, Failure> {
    let mut input = std::io::stdin().lock();
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut line = String::new();
    let mut number = 0u64;
    let mut undecided = 0u64;
    let now = SystemClock.now();
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
        let (verdict, altered) = query.view(JsonNode(&record), now);
        undecided += u64::from(verdict == Verdict::Undecided);
        if verdict != Verdict::Match {
            continue;
        }
        let written = match altered {
            None => out.write_all(line.trim_end_matches(['\r', '\n']).as_bytes()),
            Some(altered) => out.write_all(altered.to_string().as_bytes()),
        };
        if written.and_then(|()| out.write_all(b"\n")).is_err() {
            return Ok(Exit::Done);
        }
    }
    let _ = out.flush();
    if undecided > 0 {
        let sentence = format!(
            "{undecided} lines took more than {} steps and were left out; simplify the query",
            kfl::MAX_STEPS
        );
        eprintln!("{}", Style::stderr().yellow(&sentence));
        return Ok(Exit::Gaps);
    }
    Ok(Exit::Done)
}
