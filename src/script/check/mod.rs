//! Checking a script without running it: what can be known from its text alone.
//!
//! In: the text of a script and the names of `scripting.env`. Out: [`Finding`]s with line, column and
//! the line itself. Never: running any of it, and never parsing it in this process: nesting can
//! exhaust the stack and a literal the memory, so a confined process of its own reads the text.
//!
//! A finding is an error when the script cannot run as written or a call in it must throw; what is
//! only likely a mistake is a warning.

mod reader;
mod rules;
mod words;

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::child::{builtins, confine};
use super::process::system::bare;
use super::wire::{Limits, Macros, with_macros};
use crate::kfl::Schema;

pub(crate) use reader::broken_at;
pub use rules::Nearest;

/// Hidden first argument under which tapedeck starts itself to read a script.
pub const SCRIPT_CHECK: &str = "script-check";

/// Bytes of one request: the largest script and its environment's names.
const MAX_REQUEST: u64 = super::folder::MAX_SCRIPT_BYTES * 2;

/// Findings of one script; more help nobody.
const MAX_FINDINGS: usize = 200;

/// Time that reading one script may take; the largest takes a second.
const WITHIN: Duration = Duration::from_secs(30);

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The script cannot run as written, or a call in it throws.
    Error,
    /// It is hardly meant.
    Warning,
}

/// Which rule found something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The text is no script.
    Syntax,
    /// A name that nobody defines.
    UnknownName,
    /// A member that a global of ours does not have.
    UnknownHelper,
    /// Too few or too many arguments, or one of the wrong kind.
    Arguments,
    /// A KFL query.
    Kfl,
    /// A schedule.
    Cron,
    /// A function that looks like a hook and is none.
    Hook,
}

/// Something wrong with a script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How grave it is.
    pub severity: Severity,
    /// Which rule found it.
    pub rule: Rule,
    /// Line, from 1; 0 when the place is not known.
    pub line: u32,
    /// Column in characters, from 1; 0 when the place is not known.
    pub column: u32,
    /// What is wrong, and the nearest right thing when there is one.
    pub message: String,
    /// The line itself, blanks around it cut off.
    pub text: String,
}

/// What a reading process is given.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    code: String,
    env: Vec<String>,
    macros: Macros,
}

/// Checks a script; `program` is this program, which is started as [`SCRIPT_CHECK`], and `env` are the
/// names that `scripting.env` gives scripts, `macros` what their queries may use.
///
/// # Errors
/// When no process can be started. A process that dies while it reads is a finding.
pub fn check(
    program: &Path,
    code: &str,
    env: Vec<String>,
    macros: Macros,
) -> io::Result<Vec<Finding>> {
    let mut command = Command::new(program);
    bare(&mut command);
    let mut child = command
        .arg(SCRIPT_CHECK)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let request = Request {
        code: code.to_owned(),
        env,
        macros,
    };
    if let Some(mut input) = child.stdin.take() {
        // An error means that it is gone, which its answer tells as well.
        let _ = input.write_all(&serde_json::to_vec(&request)?);
    }
    let answer = child.stdout.take().map(|output| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = output.take(MAX_REQUEST).read_to_end(&mut bytes);
            read.map(|_| bytes).unwrap_or_default()
        })
    });
    let until = Instant::now() + WITHIN;
    let in_time = loop {
        if child.try_wait()?.is_some() {
            break true;
        }
        if Instant::now() >= until {
            child.kill()?;
            child.wait()?;
            break false;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let bytes = answer.and_then(|answer| answer.join().ok());
    let findings = serde_json::from_slice(&bytes.unwrap_or_default()).ok();
    Ok(findings.unwrap_or_else(|| {
        let message = if in_time {
            "it cannot be read: it is nested too deeply or needs too much memory"
        } else {
            "it cannot be read in any reasonable time"
        };
        vec![Finding {
            severity: Severity::Error,
            rule: Rule::Syntax,
            line: 0,
            column: 0,
            message: message.to_owned(),
            text: String::new(),
        }]
    }))
}

/// Runs the hidden subcommand: reads one script on standard input and writes what it found.
///
/// `schema` is what queries are compiled against, `nearest` finds the name that was meant.
pub fn main(schema: &Schema, nearest: Nearest) -> ExitCode {
    let mut bytes = Vec::new();
    if io::stdin()
        .take(MAX_REQUEST)
        .read_to_end(&mut bytes)
        .is_err()
    {
        return ExitCode::FAILURE;
    }
    let builtins = builtins();
    confine(&Limits::default());
    let Ok(request) = serde_json::from_slice::<Request>(&bytes) else {
        return ExitCode::FAILURE;
    };
    let schema = with_macros(schema, &request.macros);
    let known = rules::Known {
        builtins: &builtins,
        env: &request.env,
        schema: &schema,
        nearest,
    };
    let found = findings(&request.code, &known);
    let written = serde_json::to_vec(&found).map(|text| io::stdout().write_all(&text));
    match written {
        Ok(Ok(())) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// All that is wrong with `code`, in the order of the text.
fn findings(code: &str, known: &rules::Known<'_>) -> Vec<Finding> {
    let mut found = match reader::read(code) {
        Ok(script) => rules::apply(&script, known),
        Err(finding) => vec![finding],
    };
    found.sort_by_key(|finding| (finding.line, finding.column));
    found.truncate(MAX_FINDINGS);
    for finding in &mut found {
        finding.text = words::line(code, finding.line);
    }
    found
}

#[cfg(test)]
mod tests;
