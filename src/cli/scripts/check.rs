//! `tapedeck scripts check`: what is wrong with scripts, without running any of them.
//!
//! ```text
//! scripts/a.js:3:7: error: there is no file.wrote, did you mean file.write?
//!     file.wrote("report.json", text);
//! ```

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::super::config::Config;
use super::super::exit::{Exit, Failure};
use super::super::print;
use super::super::release::NoInstance;
use super::super::style::Style;
use super::super::tap::live::{script_env_names, script_sources};
use crate::script::check::{self, Finding, Severity};
use crate::script::folder::{is_test, read_script, scripts_and_tests};
use crate::script::wire::macros_of;

/// Find mistakes in scripts without running them
///
/// Syntax errors, names and helpers that do not exist, wrong numbers of arguments, KFL queries and
/// schedules that cannot be read. Errors give exit code 1, warnings alone do not.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tapedeck scripts check scripts/
  tapedeck scripts check alert.js --format json")]
pub struct CheckArgs {
    /// Scripts, or folders of them; none takes those of the configuration
    #[arg(value_name = "SCRIPT")]
    scripts: Vec<PathBuf>,

    /// How to print what was found
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,

    #[command(flatten)]
    pub(super) no_instance: NoInstance,
}

/// How results are printed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// One object a line
    Json,
}

/// Names that a test file has beside those of a script.
const OF_TESTS: &[&str] = &["it", "expect", "result"];

/// Runs the command.
pub fn run(args: &CheckArgs, config: &Config) -> Result<Exit, Failure> {
    let sources = match args.scripts.is_empty() {
        true => script_sources(config),
        false => args.scripts.clone(),
    };
    if sources.is_empty() {
        return Err(Failure::usage(
            "no script is named; name files or folders, or set scripting.source",
        ));
    }
    let names = script_env_names(config);
    let program = std::env::current_exe()?;
    let macros = macros_of(&super::super::schema(config));
    let (mut scripts, mut errors, mut warnings) = (0_usize, 0_usize, 0_usize);
    for source in &sources {
        let paths = scripts_and_tests(source).map_err(|error| {
            Failure::usage(format!("{} cannot be read: {error}", source.display()))
        })?;
        for path in paths {
            let code = read_script(&path).map_err(|error| {
                Failure::failed(format!("{} cannot be read: {error}", path.display()))
            })?;
            let mut known = names.clone();
            if is_test(&path) {
                known.extend(OF_TESTS.iter().map(|name| (*name).to_owned()));
            }
            let found = check::check(&program, &code, known, macros.clone())?;
            scripts += 1;
            for finding in &found {
                match finding.severity {
                    Severity::Error => errors += 1,
                    Severity::Warning => warnings += 1,
                }
                show(&path, finding, args.format);
            }
        }
    }
    eprintln!("{scripts} scripts checked, {errors} errors, {warnings} warnings");
    Ok(if errors > 0 { Exit::Failed } else { Exit::Done })
}

fn show(path: &Path, finding: &Finding, format: Format) {
    if format == Format::Json {
        let mut object = json!({"file": path.display().to_string()});
        if let (Some(object), Ok(serde_json::Value::Object(members))) =
            (object.as_object_mut(), serde_json::to_value(finding))
        {
            object.extend(members);
        }
        return print(object);
    }
    let style = Style::stdout();
    let severity = match finding.severity {
        Severity::Error => style.red("error"),
        Severity::Warning => style.yellow("warning"),
    };
    let place = match finding.line {
        0 => String::new(),
        line => format!(":{line}:{}", finding.column),
    };
    print(format_args!(
        "{}{place}: {severity}: {}",
        path.display(),
        finding.message
    ));
    if !finding.text.is_empty() {
        print(format_args!("    {}", style.dim(&finding.text)));
    }
}
