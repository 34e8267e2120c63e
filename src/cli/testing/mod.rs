//! `tapedeck test`: runs scripts over a capture and then the tests beside them.
//!
//! For every `name.test.js`: the script `name.js` runs over the capture as with `run --dry-run`, then the
//! test's text runs in a confined process of its own, which finds what came of the run as `result` and
//! checks it with `it` and `expect` (`docs/reference/testing.md`). Never: an effect outside.

mod directives;
mod outcome;
mod subject;

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value as Json;

use super::config::Config;
use super::exit::{Exit, Failure};
use super::run::add_env;
use super::scripts::check::Format;
use super::source::S3Args;
use super::style::Style;
use super::tap::live::script_env;
use crate::pipeline::Stop;
use crate::script::folder::{is_test, read_script, scripts_and_tests};
use directives::Directives;
use outcome::Outcome;

/// Run the tests beside scripts
///
/// A test is a file NAME.test.js beside NAME.js. The script runs over the capture without sending
/// anything, then the test checks what came of it: console lines, files, what would have been sent.
/// The exit code is 1 when a test failed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tapedeck test scripts/ --pcap capture.pcapng
  tapedeck test scripts/alert.test.js --pcap capture.pcapng --format json

A test:
  // @env SLOW_MS=200
  it('names the slow path', function () {
    expect(result.console).toHaveLine('GET /cart');
    expect(result.uploads).toHaveLength(0);
  });")]
pub struct TestArgs {
    /// Tests, or folders of them
    #[arg(required = true, value_name = "FOLDER")]
    tests: Vec<PathBuf>,

    /// Source to run scripts over, unless the test names one; may be repeated
    #[arg(short, long, value_name = "SRC")]
    pcap: Vec<String>,

    /// What scripts see as env.NAME; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,

    /// How to print what came of the tests
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,

    #[command(flatten)]
    s3: S3Args,
}

/// Runs the command.
pub fn run(args: &TestArgs, config: &Config) -> Result<Exit, Failure> {
    let mut files = Vec::new();
    for source in &args.tests {
        let found = scripts_and_tests(source).map_err(|error| {
            Failure::usage(format!("{} cannot be read: {error}", source.display()))
        })?;
        files.extend(found.into_iter().filter(|path| is_test(path)));
    }
    if files.is_empty() {
        return Err(Failure::usage(
            "there is no test; a test of NAME.js is a file NAME.test.js beside it",
        ));
    }
    let stop = Stop::default();
    super::stop_on_signal(&stop)?;
    let (mut passed, mut failed) = (0_usize, 0_usize);
    for file in &files {
        let outcomes = one(args, config, file, &stop)
            .unwrap_or_else(|failure| vec![Outcome::failed("", failure.message)]);
        if stop.is_asked() {
            return Ok(Exit::Done);
        }
        show(file, &outcomes, args.format);
        let good = outcomes.iter().filter(|outcome| outcome.passed).count();
        passed += good;
        failed += outcomes.len() - good;
    }
    let summary = format!("{passed} passed, {failed} failed in {} files", files.len());
    let style = Style::stderr();
    eprintln!(
        "{}",
        if failed > 0 {
            style.red(&summary)
        } else {
            style.green(&summary)
        }
    );
    Ok(if failed > 0 { Exit::Failed } else { Exit::Done })
}

/// Runs one file of tests; a failure is what kept it from running.
fn one(
    args: &TestArgs,
    config: &Config,
    file: &Path,
    stop: &Stop,
) -> Result<Vec<Outcome>, Failure> {
    let code = read_script(file).map_err(Failure::failed)?;
    let mut wanted = directives::read(file, &code).map_err(Failure::failed)?;
    if wanted.pcaps.is_empty() {
        wanted.pcaps.clone_from(&args.pcap);
    }
    if wanted.pcaps.is_empty() {
        return Err(Failure::usage(
            "no capture is named; add --pcap FILE, or // @pcap FILE to the test",
        ));
    }
    let mut env = script_env(config);
    add_env(&mut env, &args.env)?;
    add_env(&mut env, &wanted.env)?;
    let Directives {
        pcaps,
        scripts,
        run_jobs_at_end,
        ..
    } = wanted;
    let subject = subject::Subject {
        pcaps,
        scripts,
        env,
        run_jobs_at_end,
    };
    let result = subject.run(config, &args.s3, stop)?;
    outcome::of_test(file, &code, result)
}

fn show(file: &Path, outcomes: &[Outcome], format: Format) {
    if format == Format::Json {
        for outcome in outcomes {
            let mut object = serde_json::json!({"file": file.display().to_string()});
            if let (Some(object), Ok(Json::Object(members))) =
                (object.as_object_mut(), serde_json::to_value(outcome))
            {
                object.extend(members);
            }
            super::print(object);
        }
        return;
    }
    let style = Style::stdout();
    super::print(file.display());
    for outcome in outcomes {
        if outcome.passed {
            super::print(format_args!(
                "  {}      {}",
                style.green("ok"),
                outcome.test
            ));
            continue;
        }
        super::print(format_args!("  {}  {}", style.red("FAILED"), outcome.test));
        super::print(format_args!("          {}", outcome.message));
        if outcome.line > 0 {
            super::print(format_args!(
                "          at {}:{}:{}: {}",
                file.display(),
                outcome.line,
                outcome.column,
                style.dim(&outcome.text)
            ));
        }
    }
}
