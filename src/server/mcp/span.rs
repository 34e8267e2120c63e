//! Bounds of time as an assistant names them, and the clauses of KFL that they are.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;

use crate::time::Timestamp;
use crate::units;

/// The first moment of a span.
pub(super) const SINCE: &str = "since";

/// The moment behind its last.
pub(super) const UNTIL: &str = "until";

/// The bounds of two spans that are compared, and what they are.
pub(super) const COMPARED: [(&str, &str); 4] = [
    ("before_since", "first moment of the span from before"),
    (
        "before_until",
        "moment behind the last of the span from before",
    ),
    (
        "after_since",
        "first moment of the span that is held against it",
    ),
    ("after_until", "moment behind the last of that span"),
];

/// How a moment may be written.
pub(super) const FORMS: &str =
    "RFC 3339 as 2026-11-24T10:00:00Z, milliseconds since 1970, or back from now as 15m";

/// A moment, in milliseconds since 1970.
///
/// # Errors
/// One sentence, when it is none.
pub(super) fn moment(name: &str, value: &Json, now: Timestamp) -> Result<i64, String> {
    let wrong = || format!("{name} is no moment; write {FORMS}");
    let text = match value {
        Json::String(text) => text.trim(),
        other => return other.as_i64().ok_or_else(wrong),
    };
    if let Ok(millis) = text.parse::<i64>() {
        return Ok(millis);
    }
    let at = match Timestamp::parse(text) {
        Some(at) => Some(at),
        None => units::duration(text).map(|back| now - back),
    };
    at.map(Timestamp::millis).ok_or_else(wrong)
}

/// The clause of the first dialect that bounds items by time; `None` without bounds.
///
/// # Errors
/// One sentence, when a bound lies outside of what a date can be.
pub(super) fn clause(since: Option<i64>, until: Option<i64>) -> Result<Option<String>, String> {
    let bound = |sign: &str, millis: Option<i64>| {
        let Some(millis) = millis else {
            return Ok(None);
        };
        match DateTime::<Utc>::from_timestamp_millis(millis) {
            // What datetime() reads.
            Some(at) => Ok(Some(format!(
                "timestamp {sign} datetime(\"{}\")",
                at.format("%-m/%-d/%Y, %-I:%M:%S%.3f %p")
            ))),
            None => Err(format!("{millis} milliseconds since 1970 is no date")),
        }
    };
    let both = [bound(">=", since)?, bound("<", until)?];
    let clauses: Vec<String> = both.into_iter().flatten().collect();
    Ok((!clauses.is_empty()).then(|| clauses.join(" and ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_moment_is_a_date_a_number_or_a_time_ago() {
        let now = Timestamp::from_secs(1_700_000_000, 0);
        for (value, wanted) in [
            (json!("2023-11-14T22:13:20Z"), 1_700_000_000_000),
            (json!("2023-11-14T23:13:20.5+01:00"), 1_700_000_000_500),
            (json!(1_700_000_000_123_i64), 1_700_000_000_123),
            (json!("1700000000123"), 1_700_000_000_123),
            (json!("15m"), 1_700_000_000_000 - 900_000),
            (json!("1h30m"), 1_700_000_000_000 - 5_400_000),
        ] {
            assert_eq!(moment("since", &value, now), Ok(wanted), "{value}");
        }
        for value in [
            json!("yesterday"),
            json!(""),
            json!(true),
            json!(1.5),
            json!(u64::MAX),
        ] {
            let said = moment("since", &value, now).unwrap_err();
            assert!(said.starts_with("since is no moment"), "{said}");
        }
    }

    #[test]
    fn a_clause_is_read_as_the_moment_that_it_was_made_of() {
        let schema = crate::cli::fixed_schema();
        let at = 1_700_000_000_123;
        let matches = |since, until| {
            let clause = clause(since, until).unwrap().unwrap();
            let query = crate::kfl::compile(&clause, &schema).unwrap();
            let item = json!({"timestamp": at});
            let node = crate::item::json::JsonNode(&item);
            query.matches(node, Timestamp::default()) == crate::kfl::Verdict::Match
        };
        assert!(matches(Some(at), Some(at + 1)));
        assert!(!matches(Some(at + 1), None));
        assert!(!matches(None, Some(at)));
        assert_eq!(clause(None, None), Ok(None));
        assert!(clause(Some(i64::MAX), None).is_err());
    }
}
