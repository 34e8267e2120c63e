//! Running KFL cases: a query, an item, and what is expected.
//!
//! In: JSON lines. Out: how many hold, and the others with what came out instead. Never: a case
//! that is passed over in silence.
//!
//! ```text
//! {"dialect": "v1", "query": "a == 1", "valid": true, "record": {"a": 1}, "match": true, "why": "..."}
//! ```
//!
//! `dialect` may be left out or `auto`: then the text decides. With a null `record` only validity
//! is looked at. The record of a v2 case holds variables by name.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{Dialect, Schema, Verdict, compile, compile_as};
use crate::item::json::JsonNode;
use crate::time::Timestamp;

#[derive(Deserialize)]
struct Case {
    #[serde(default)]
    dialect: Option<String>,
    query: String,
    valid: bool,
    #[serde(default)]
    record: Json,
    #[serde(default, rename = "match")]
    matches: Option<bool>,
    #[serde(default)]
    why: String,
}

/// A case that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Line of the input, from 1.
    pub line: usize,
    /// The query.
    pub query: String,
    /// The dialect it was compiled in; `None` when the text decided.
    pub dialect: Option<Dialect>,
    /// What should have been.
    pub expected: String,
    /// What was.
    pub found: String,
    /// The rule that the case shows.
    pub why: String,
}

/// Runs every case of `jsonl`; answers the count that holds and the rest. Relative times count
/// from `now`.
pub fn run(jsonl: &str, now: Timestamp) -> (usize, Vec<Failure>) {
    let mut passed = 0;
    let mut failures = Vec::new();
    let lines = jsonl.lines().enumerate();
    for (at, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        match run_line(line, now) {
            Ok(()) => passed += 1,
            Err(mut failure) => {
                failure.line = at + 1;
                failures.push(*failure);
            }
        }
    }
    (passed, failures)
}

fn run_line(line: &str, now: Timestamp) -> Result<(), Box<Failure>> {
    let mut failure = Box::new(Failure {
        line: 0,
        query: String::new(),
        dialect: None,
        expected: "a case".into(),
        found: String::new(),
        why: String::new(),
    });
    let case: Case = match serde_json::from_str(line) {
        Ok(case) => case,
        Err(error) => {
            failure.found = error.to_string();
            return Err(failure);
        }
    };
    failure.dialect = match case.dialect.as_deref() {
        Some("v1") => Some(Dialect::V1),
        Some("v2") => Some(Dialect::V2),
        _ => None,
    };
    failure.query.clone_from(&case.query);
    failure.why = case.why;
    failure.expected = match (case.valid, case.matches) {
        (false, _) => "invalid".into(),
        (true, None) => "valid".into(),
        (true, Some(true)) => "match".into(),
        (true, Some(false)) => "no match".into(),
    };
    let schema = match failure.dialect {
        Some(Dialect::V2) => Schema::variables(),
        _ => Schema::empty(),
    };
    let compiled = match failure.dialect {
        Some(dialect) => compile_as(&case.query, dialect, &schema),
        None => compile(&case.query, &schema),
    };
    let found = match (compiled, case.matches) {
        (Err(error), _) => format!("invalid: {error}"),
        (Ok(_), None) => "valid".into(),
        (Ok(query), Some(_)) => match query.matches(JsonNode(&case.record), now) {
            Verdict::Match => "match".into(),
            Verdict::NoMatch => "no match".into(),
            Verdict::Undecided => "undecided".into(),
        },
    };
    let holds = found == failure.expected || !case.valid && found.starts_with("invalid");
    if holds {
        return Ok(());
    }
    failure.found = found;
    Err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000, 0);

    #[test]
    fn the_reference_cases_hold() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../shared/reference/kfl-cases.jsonl"
        );
        let Ok(cases) = std::fs::read_to_string(path) else {
            println!("skipped: {path} is not there");
            return;
        };
        let (passed, failures) = run(&cases, NOW);
        for failure in &failures {
            println!(
                "{}: {} should be {}, is {} ({})",
                failure.line, failure.query, failure.expected, failure.found, failure.why
            );
        }
        assert!(
            failures.is_empty(),
            "{} of {} fail",
            failures.len(),
            passed + failures.len()
        );
    }

    #[test]
    fn a_wrong_case_is_told_with_its_line() {
        let cases = "\n{\"dialect\":\"v1\",\"query\":\"a\",\"valid\":true,\"record\":{\"a\":0},\"match\":true}\n{";
        let (passed, failures) = run(cases, NOW);
        assert_eq!((passed, failures.len()), (0, 2));
        assert_eq!((failures[0].line, &*failures[0].found), (2, "no match"));
        assert_eq!(failures[1].line, 3);
    }
}
