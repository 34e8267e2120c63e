//! The second dialect against another implementation of the same language: the `cel` crate.
//!
//! Both get the same expression and the same variables; scoping, which is ours alone, is kept out by
//! setting all flags. An error and a value other than true are both no match.

use cel::{Context, Program, Value as Cel};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::item::json::JsonNode;
use crate::kfl::{Dialect, Schema, Verdict, compile_as};
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp::from_secs(1_790_000_000, 0);

fn ours(text: &str, record: &Json) -> Result<bool, String> {
    let query = compile_as(text, Dialect::V2, &Schema::variables());
    let query = query.map_err(|error| error.to_string())?;
    Ok(query.matches(JsonNode(record), NOW) == Verdict::Match)
}

fn theirs(text: &str, record: &Json) -> Result<bool, String> {
    let program = Program::compile(text).map_err(|error| error.to_string())?;
    let mut context = Context::default();
    let members = record.as_object().expect("records are objects");
    for (name, value) in members {
        let value = match name.as_str() {
            "timestamp" => {
                let at = value.as_str().expect("times are text");
                Cel::Timestamp(chrono::DateTime::parse_from_rfc3339(at).expect("times are valid"))
            }
            _ => cel(value),
        };
        context.add_variable_from_value(name.as_str(), value);
    }
    Ok(matches!(program.execute(&context), Ok(Cel::Bool(true))))
}

fn cel(value: &Json) -> Cel {
    match value {
        Json::Null => Cel::Null,
        Json::Bool(value) => Cel::Bool(*value),
        Json::Number(number) => match number.as_i64() {
            Some(value) => Cel::Int(value),
            None => Cel::Float(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => text.as_str().into(),
        Json::Array(list) => list.iter().map(cel).collect::<Vec<_>>().into(),
        Json::Object(members) => {
            let members = members
                .iter()
                .map(|(name, value)| (name.clone(), cel(value)));
            members
                .collect::<std::collections::HashMap<String, Cel>>()
                .into()
        }
    }
}

fn record() -> impl Strategy<Value = Json> {
    let text = || prop::sample::select(vec!["", "a", "b", "ab", "/a/b", "é", "GET", "10"]);
    let int = || prop::sample::select(vec![0, 1, -1, 2, 7, 200, 500, i64::MAX, i64::MIN]);
    let headers = prop::collection::hash_map(prop::sample::select(vec!["x", "host"]), text(), 0..3);
    (text(), text(), int(), int(), prop::collection::vec(text(), 0..4), headers).prop_map(
        |(path, method, status, size, questions, headers)| {
            json!({"http": true, "dns": true, "path": path, "method": method, "status_code": status,
                "response_body_size": size, "dns_questions": questions, "request": {"headers": headers},
                "timestamp": "2026-03-14T22:00:00Z"})
        },
    )
}

/// Expressions whose types fit.
fn boolean() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        (
            number(),
            prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]),
            number()
        )
            .prop_map(|(l, op, r)| format!("{l} {op} {r}")),
        (
            text(),
            prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]),
            text()
        )
            .prop_map(|(l, op, r)| format!("{l} {op} {r}")),
        (
            text(),
            prop::sample::select(vec!["contains", "startsWith", "endsWith"]),
            text()
        )
            .prop_map(|(l, f, r)| format!("{l}.{f}({r})")),
        (
            text(),
            prop::sample::select(vec!["^a", "b$", "[0-9]+", "é", "/a/.", ""])
        )
            .prop_map(|(l, re)| format!("{l}.matches(\"{re}\")")),
        (text(), list()).prop_map(|(l, r)| format!("{l} in {r}")),
        (number(), number(), number()).prop_map(|(a, b, c)| format!("{a} in [{b}, {c}]")),
        (
            list(),
            prop::sample::select(vec!["all", "exists", "exists_one"]),
            text()
        )
            .prop_map(|(l, f, r)| format!("{l}.{f}(q, q == {r})")),
        (list(), prop::sample::select(vec!["all", "exists"]), text())
            .prop_map(|(l, f, r)| format!("{l}.{f}(q, q.startsWith({r}))")),
        prop::sample::select(vec!["x", "host", "nope"])
            .prop_map(|k| format!("\"{k}\" in request.headers")),
        prop::sample::select(vec!["x", "host"]).prop_map(|k| format!("has(request.headers.{k})")),
        prop::sample::select(vec![
            "true",
            "false",
            "[1, 2] == [1, 2]",
            "[] == []",
            "\"a\" < \"b\"",
            "b'a' == b'a'",
            "1u + 2u == 3u",
            "0.5 + 0.5 == 1.0",
            "1.0 / 0.0 > 1.0",
            "-7 / 2 == -3",
            "-7 % 2 == -1",
            "timestamp > timestamp(\"2026-03-14T21:59:59Z\")",
            "timestamp == timestamp(\"2026-03-14T23:00:00+01:00\")",
            "timestamp - duration(\"1h\") < timestamp(\"2026-03-14T21:00:01Z\")",
            "duration(\"1h\") == duration(\"60m\")",
            "timestamp.getFullYear() == 2026",
            "timestamp.getMonth() == 2",
            "timestamp.getDayOfWeek() == 6",
            "timestamp.getHours() == 22",
            "int(\"7\") == 7",
            "string(7) == \"7\"",
            "double(2) == 2.0",
            "uint(3) == 3u",
            "[1, 2].map(x, x * 2) == [2, 4]",
            "[1, 2, 3].filter(x, x > 1) == [2, 3]",
            "{\"a\": 1}[\"a\"] == 1",
            "\"a\" in {\"a\": 1}",
            "r'\\d' == '\\\\d'",
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(l, r)| format!("{l} && {r}")),
            (inner.clone(), inner.clone()).prop_map(|(l, r)| format!("{l} || {r}")),
            inner.clone().prop_map(|e| format!("!({e})")),
            inner.clone().prop_map(|e| format!("({e})")),
            (inner.clone(), inner.clone(), inner)
                .prop_map(|(c, a, b)| format!("({c}) ? ({a}) : ({b})")),
        ]
    })
    .boxed()
}

fn text() -> BoxedStrategy<String> {
    let leaf = prop::sample::select(vec![
        "path",
        "method",
        "\"a\"",
        "\"\"",
        "\"/a\"",
        "'é'",
        "request.headers[\"x\"]",
        "request.headers.host",
        "dns_questions[0]",
        "\"\\u00e9\"",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(2, 4, 2, |inner| {
        (inner.clone(), inner).prop_map(|(l, r)| format!("({l} + {r})"))
    })
    .boxed()
}

fn number() -> BoxedStrategy<String> {
    let leaf = prop::sample::select(vec![
        "status_code",
        "response_body_size",
        "0",
        "1",
        "-1",
        "200",
        "0x1f",
        "size(path)",
        "size(dns_questions)",
        "dns_questions.size()",
        "size(request.headers)",
        "9223372036854775807",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(2, 6, 2, |inner| {
        let op = prop::sample::select(vec!["+", "-", "*", "/", "%"]);
        (inner.clone(), op, inner).prop_map(|(l, op, r)| format!("({l} {op} {r})"))
    })
    .boxed()
}

fn list() -> BoxedStrategy<String> {
    prop::sample::select(vec![
        "dns_questions",
        "[\"a\", \"b\"]",
        "dns_questions.filter(q, q != \"a\")",
        "(dns_questions + [\"c\"])",
    ])
    .prop_map(str::to_owned)
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn both_give_the_same_answer(text in boolean(), record in record()) {
        let (ours, theirs) = (ours(&text, &record), theirs(&text, &record));
        prop_assert!(ours.is_ok(), "{}: {:?}", text, ours);
        prop_assert_eq!(ours, theirs, "{} on {}", text, record);
    }
}
