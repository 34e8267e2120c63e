//! The test's own text, run in a confined process: what passed and what did not.
//!
//! In: the text and the result of its scripts. Out: [`Outcome`]s. Never: a helper with an effect; what
//! a test asks of the host is refused.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::super::exit::Failure;
use crate::script::console::Console;
use crate::script::environment::Environment;
use crate::script::host::{Host, HostCall, ScriptId};
use crate::script::supervisor::{Options, Scripts};
use crate::time::SystemClock;

/// `it` and `expect`.
const EXPECT: &str = include_str!("expect.js");

/// What begins a line that is an outcome; unlike anything that a test prints for people.
const MARK: &str = "\u{1}outcome ";

/// One test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Outcome {
    /// Its name; empty when it is the file as a whole.
    pub(super) test: String,
    /// Whether all was as expected.
    pub(super) passed: bool,
    /// What was not; empty otherwise.
    pub(super) message: String,
    /// Line of the test file, from 1; 0 when it is not known.
    pub(super) line: u32,
    /// Column, from 1.
    pub(super) column: u32,
    /// The line itself.
    pub(super) text: String,
}

/// An outcome as `expect.js` writes it.
#[derive(Deserialize)]
struct Written {
    /// Which test of the file it is; of two outcomes of one the later counts.
    number: u32,
    test: String,
    passed: bool,
    #[serde(default)]
    message: String,
    #[serde(default)]
    stack: String,
}

impl Outcome {
    /// A test that failed at a place nobody knows.
    pub(super) fn failed(test: &str, message: impl Into<String>) -> Outcome {
        Outcome {
            test: test.to_owned(),
            passed: false,
            message: message.into(),
            line: 0,
            column: 0,
            text: String::new(),
        }
    }
}

/// Refuses everything.
struct Nobody;

impl Host for Nobody {
    fn call(&self, _: &ScriptId, call: HostCall) -> Result<Json, String> {
        Err(format!("{} is not there in a test", call.helper()))
    }
}

/// Runs the tests in `code`.
pub(super) fn of_test(file: &Path, code: &str, result: Json) -> Result<Vec<Outcome>, Failure> {
    let dir = tempfile::tempdir()?;
    let copy = dir.path().join(file.file_name().unwrap_or_default());
    let expect = EXPECT.replace("@MARK@", "\\u0001outcome ");
    std::fs::write(&copy, format!("{code}\n{expect}"))?;
    let console = Arc::new(Console::new("test"));
    let mut options = Options::offline("test", 0, console.clone())?;
    options.sources = vec![copy];
    options.env = Environment::of_all(Map::from_iter([("result".to_owned(), result)]));
    let scripts = Scripts::start(options, Arc::new(Nobody), Arc::new(SystemClock))
        .map_err(|error| Failure::failed(error.to_string()))?;
    scripts.finish(false);

    let lines = code.lines().count();
    let mut written = BTreeMap::new();
    let mut outcomes = Vec::new();
    for line in console.recent() {
        let text = line.text.split_once("] ").map_or("", |(_, text)| text);
        match text.strip_prefix(MARK) {
            Some(json) => match serde_json::from_str::<Written>(json) {
                Ok(one) => {
                    written.insert(one.number, placed(one, code, lines));
                }
                Err(error) => outcomes.push(Outcome::failed(
                    "",
                    format!("an outcome cannot be read: {error}"),
                )),
            },
            // What a test prints by itself is for whoever reads along.
            None => eprintln!("{text}"),
        }
    }
    outcomes.splice(0..0, written.into_values());
    for script in scripts.status() {
        if let Some(why) = script.state.reason().or(script.stopped.as_deref()) {
            let folder = format!("{}/", dir.path().display());
            outcomes.push(Outcome::failed("", why.replace(&folder, "")));
        }
    }
    if outcomes.is_empty() {
        outcomes.push(Outcome::failed(
            "",
            "there is no test in it, write it(name, function)",
        ));
    }
    Ok(outcomes)
}

/// An outcome with the innermost place that is in the test's own text.
fn placed(written: Written, code: &str, lines: usize) -> Outcome {
    let place = written.stack.lines().find_map(|frame| {
        let (_, place) = frame.trim().strip_suffix(')')?.rsplit_once('(')?;
        let mut parts = place.rsplitn(3, ':');
        let column: u32 = parts.next()?.parse().ok()?;
        let line: u32 = parts.next()?.parse().ok()?;
        (usize::try_from(line).ok()? <= lines).then_some((line, column))
    });
    let (line, column) = place.unwrap_or((0, 0));
    let text = usize::try_from(line)
        .ok()
        .and_then(|line| code.lines().nth(line.checked_sub(1)?));
    Outcome {
        test: written.test,
        passed: written.passed,
        message: written.message,
        line,
        column,
        text: text.unwrap_or_default().trim().to_owned(),
    }
}
