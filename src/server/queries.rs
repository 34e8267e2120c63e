//! What pages ask about a query itself: whether it is valid, how it goes on, what it does.
//!
//! Places in a query are counted in UTF-16 units, as pages count them.

use axum::Json as AsJson;
use axum::extract::State as Extract;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value as Json, json};

use super::api::{Ask, Asked, State, refuse};
use super::kfl_reference;
use crate::kfl::{self, Dialect};

pub(super) async fn validate(
    Extract(state): Extract<State>,
    Asked(ask): Asked<Ask>,
) -> AsJson<Json> {
    let report = kfl::check(&ask.q, &state.view.schema);
    let warnings: Vec<String> = report.warnings.iter().map(ToString::to_string).collect();
    let mut answer = match &report.error {
        Some(error) => fault(&ask.q, error),
        None => json!({"message": ""}),
    };
    answer["valid"] = report.valid.into();
    answer["dialect"] = json!(report.dialect);
    answer["warnings"] = json!(warnings);
    AsJson(answer)
}

/// What is wrong with a query, for pages to underline.
///
/// ```text
/// {"message": "1:5: unexpected token ...", "reason": "unexpected token ...", "line", "column",
///  "offset", "span": {"start", "end"}, "expected": [...], "caret": "the line\n    ^"}
/// ```
fn fault(query: &str, error: &kfl::Error) -> Json {
    let span = error.span(query);
    json!({
        "message": error.to_string(),
        "reason": error.message,
        "line": error.line,
        "column": error.column,
        "offset": units(query, error.offset),
        "span": {"start": units(query, span.start), "end": units(query, span.end)},
        "expected": error.expected,
        "caret": error.caret(query),
    })
}

/// UTF-16 units in front of a byte offset.
fn units(text: &str, offset: usize) -> usize {
    text.get(..offset).unwrap_or(text).encode_utf16().count()
}

/// The byte offset behind so many UTF-16 units.
fn offset_of(text: &str, units: usize) -> usize {
    let mut seen = 0;
    for (at, c) in text.char_indices() {
        if seen >= units {
            return at;
        }
        seen += c.len_utf16();
    }
    text.len()
}

/// An answer that says what is wrong with the query.
pub(super) fn refuse_query(query: &str, error: &kfl::Error) -> Response {
    let mut answer = fault(query, error);
    answer["error"] = error.to_string().into();
    (StatusCode::BAD_REQUEST, AsJson(answer)).into_response()
}

pub(super) async fn complete(
    Extract(state): Extract<State>,
    Asked(ask): Asked<Ask>,
) -> AsJson<Json> {
    let cursor = ask
        .cursor
        .map_or(ask.q.len(), |units| offset_of(&ask.q, units));
    let found = kfl::complete(&ask.q, cursor, None, &state.view.schema);
    AsJson(json!({"from": units(&ask.q, found.from), "proposals": found.proposals}))
}

pub(super) async fn explain(Extract(state): Extract<State>, Asked(ask): Asked<Ask>) -> Response {
    match kfl::explain(&ask.q, &state.view.schema, state.view.clock.now()) {
        Ok(explained) => AsJson(explained).into_response(),
        Err(error) => refuse_query(&ask.q, &error),
    }
}

/// A query narrowed by a clause of the first dialect, in the dialect that the query is of.
/// The reference of the language, or a part of it.
pub(super) async fn reference(Extract(state): Extract<State>, Asked(ask): Asked<Ask>) -> Response {
    let page = kfl_reference::page(&state.view.schema);
    match kfl_reference::part(&page, &ask.topic) {
        Ok(text) => text.into_response(),
        Err(sentence) => refuse(StatusCode::NOT_FOUND, sentence),
    }
}

pub(super) async fn narrow(Extract(state): Extract<State>, Asked(ask): Asked<Ask>) -> Response {
    match narrowed(&ask.q, &ask.clause, &state.view.schema) {
        Ok(query) => AsJson(json!({"query": query})).into_response(),
        Err(sentence) => refuse(StatusCode::BAD_REQUEST, sentence),
    }
}

/// Adds a clause with `and`, or `&&`, so that it narrows what is there; what is there already stays as
/// it is.
fn narrowed(query: &str, clause: &str, schema: &kfl::Schema) -> Result<String, String> {
    let (query, clause) = (query.trim(), clause.trim());
    if query.is_empty() {
        return Ok(clause.to_owned());
    }
    kfl::compile_as(clause, Dialect::V1, schema)
        .map_err(|error| format!("the clause is invalid, {error}"))?;
    let of_first =
        kfl::compile_as(query, Dialect::V1, schema).is_ok() && kfl::compile(query, schema).is_ok();
    if of_first {
        // and and or group to the right in this dialect, so what is there is taken as one.
        return Ok(match conjuncts(query) {
            Some(parts) if has_all(&parts, clause) => query.to_owned(),
            Some(_) => format!("{query} and {clause}"),
            None if query == clause => query.to_owned(),
            None => format!("({query}) and {clause}"),
        });
    }
    kfl::compile_as(query, Dialect::V2, schema)
        .map_err(|error| format!("the filter is invalid, {error}"))?;
    let converted =
        kfl::convert(clause, schema).map_err(|error| format!("the clause is invalid, {error}"))?;
    let Some(clause) = converted.query else {
        return Err(format!(
            "this clause cannot be written in KFL2: {}",
            converted.cannot.join("; ")
        ));
    };
    let clause = match conjuncts(&clause) {
        Some(_) => clause,
        None => format!("({clause})"),
    };
    Ok(match conjuncts(query) {
        Some(parts) if has_all(&parts, &clause) => query.to_owned(),
        Some(_) => format!("{query} && {clause}"),
        None if clause == format!("({query})") => query.to_owned(),
        None => format!("({query}) && {clause}"),
    })
}

/// Whether all parts of a clause are among those of a query.
fn has_all(parts: &[&str], clause: &str) -> bool {
    let wanted = conjuncts(clause).unwrap_or_else(|| vec![clause]);
    wanted.iter().all(|part| parts.contains(part))
}

/// The parts of a query, of either dialect, between each `and` or `&&` outside brackets; none where
/// `or`, `||`, `?` or a comment stands there as well, and it has to be taken as one.
fn conjuncts(query: &str) -> Option<Vec<&str>> {
    let bytes = query.as_bytes();
    let at = |place: usize| bytes.get(place).copied().unwrap_or_default();
    let (mut parts, mut start, mut depth, mut place) = (Vec::new(), 0, 0_usize, 0);
    while place < bytes.len() {
        let begin = place;
        place += 1;
        match at(begin) {
            quote @ (b'"' | b'\'' | b'`') => {
                while place < bytes.len() && at(place) != quote {
                    place += 1 + usize::from(at(place) == b'\\');
                }
                place += 1;
            }
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'#' => return None,
            b'/' if matches!(at(place), b'/' | b'*') => return None,
            b'?' | b'|' if depth == 0 => return None,
            b'&' if depth == 0 && at(place) == b'&' => {
                place += 1;
                parts.push(query.get(start..begin)?.trim());
                start = place;
            }
            first if first.is_ascii_alphabetic() || first == b'_' => {
                while at(place).is_ascii_alphanumeric() || at(place) == b'_' {
                    place += 1;
                }
                let word = query.get(begin..place)?;
                if depth == 0 && word.eq_ignore_ascii_case("or") {
                    return None;
                }
                if depth == 0 && word.eq_ignore_ascii_case("and") {
                    parts.push(query.get(start..begin)?.trim());
                    start = place;
                }
            }
            _ => {}
        }
    }
    parts.push(query.get(start..)?.trim());
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clause_is_written_in_the_dialect_of_the_query() {
        let schema = kfl::Schema::empty();
        let cases = [
            ("", "http", "http"),
            (
                "http",
                "response.status == 500",
                "http and response.status == 500",
            ),
            (
                "http or dns",
                "src.ip == \"1.2.3.4\"",
                "(http or dns) and src.ip == \"1.2.3.4\"",
            ),
            (
                "http && status_code >= 500",
                "src.ip == \"1.2.3.4\"",
                "http && status_code >= 500 && src.ip == \"1.2.3.4\"",
            ),
            ("http || dns", "dns", "(http || dns) && dns"),
            (
                "(http or dns) and tls",
                "response.status == 500",
                "(http or dns) and tls and response.status == 500",
            ),
            (
                "src.name == \"a or b\"",
                "http",
                "src.name == \"a or b\" and http",
            ),
            // What narrows already is not added again.
            ("http", "http", "http"),
            ("http or dns", "http or dns", "http or dns"),
            (
                "dns and (http or tls)",
                "(http or tls)",
                "dns and (http or tls)",
            ),
            (
                "timestamp >= 1 and http and timestamp < 2",
                "timestamp >= 1 and timestamp < 2",
                "timestamp >= 1 and http and timestamp < 2",
            ),
            ("http && dns", "dns", "http && dns"),
        ];
        for (query, clause, wanted) in cases {
            assert_eq!(narrowed(query, clause, &schema).unwrap(), wanted, "{query}");
        }
        assert!(narrowed("http &&", "http", &schema).is_err());
        assert!(narrowed("http", "dns and (", &schema).is_err());
    }

    #[test]
    fn places_are_counted_as_pages_count_them() {
        let query = "src.name == \"😀\" && status_cod == 1";
        let schema = kfl::Schema::empty();
        let error = kfl::compile_as(query, kfl::Dialect::V2, &schema).unwrap_err();
        let answer = fault(query, &error);
        let units: Vec<u16> = query.encode_utf16().collect();
        let at = |name: &str| usize::try_from(answer["span"][name].as_u64().unwrap()).unwrap();
        assert_eq!(
            String::from_utf16_lossy(&units[at("start")..at("end")]),
            "status_cod"
        );
        assert_eq!(offset_of(query, at("start")), error.offset);
        assert!(
            answer["reason"]
                .as_str()
                .unwrap()
                .contains("did you mean status_code")
        );
    }
}
