//! What converted queries look like, and that they match the same items.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::item::json::JsonNode;
use crate::item::{ENVELOPE, sample};
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp::from_secs(1_706_933_200, 0);

fn schema() -> Schema {
    Schema::new(ENVELOPE, [])
}

#[test]
fn queries_are_written_in_the_second_dialect() {
    for (first, second) in [
        ("dns or redis and kafka", "dns || (redis && kafka)"),
        ("!dns and !tcp", "!dns && !tcp"),
        ("response.status >= 500", "status_code >= 500"),
        (
            "response.status == r\"5.*\"",
            "string(status_code).matches(\"5.*\")",
        ),
        (
            "request.path.startsWith(\"/a\") and dst.port == \"80\"",
            "path.startsWith(\"/a\") && dst.port == 80",
        ),
        (
            "request.headers[\"User-Agent\"] == \"x\"",
            "map_get(request.headers, \"User-Agent\", \"\") == \"x\"",
        ),
        (
            "timestamp > minutes(-5)",
            "timestamp > now() - duration(\"300s\")",
        ),
        (
            "timestamp >= datetime(\"1/2/2026, 3:04:05 PM\")",
            "timestamp >= timestamp(\"2026-01-02T15:04:05Z\")",
        ),
        ("elapsedTime > 500", "elapsed_time > 500"),
        (
            "dns and request.questions.*.name == \"a.b\"",
            "dns && \"a.b\" in dns_questions",
        ),
        (
            "dst.namespace == \"\"",
            "dst.namespace == \"internal\" || dst.namespace == \"public\"",
        ),
        (
            "redis and request.key == \"k\"",
            "redis && redis_key == \"k\"",
        ),
        (
            "dns and response.code == \"Non-Existent Domain\"",
            "dns && (dns && dns_response && status_code == 3)",
        ),
        (
            "http",
            "http && !grpc && !gql && http_version != \"HTTP/2\"",
        ),
        (
            "src.pod.namespace == \"a\" or tls",
            "src.pod.namespace == \"a\" || tls",
        ),
        ("", ""),
    ] {
        let converted = convert(first, &schema()).unwrap();
        assert_eq!(
            converted.query.as_deref(),
            Some(second),
            "{first}: {converted:?}"
        );
    }
}

#[test]
fn what_cannot_be_said_is_said() {
    for (text, word) in [
        ("http and limit(5)", "limit"),
        ("response.content.text.json().a == 1", "bodies"),
        ("redact(\"a\")", "redact"),
        ("error", "error"),
        ("request.path == nil", "nil"),
        ("response.status == \"abc\"", "whole number"),
        ("nope == 1", "nope"),
    ] {
        let converted = convert(text, &schema()).unwrap();
        assert_eq!(converted.query, None, "{text}");
        assert!(
            converted.cannot.iter().any(|why| why.contains(word)),
            "{text}: {converted:?}"
        );
    }
    assert!(convert("http and", &schema()).is_err());
}

fn text() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "http",
        "dns",
        "tls",
        "!dns",
        "response.status == 500",
        "response.status >= 200",
        "response.status == r\"5\"",
        "response.status != r\"5\"",
        "request.method == \"POST\"",
        "request.path == r\"^/o\"",
        "request.path != \"/orders\"",
        "request.path.contains(\"ord\")",
        "src.port == 51514",
        "dst.port > 80",
        "dst.port == \"8080\"",
        "dst.namespace == \"shop\"",
        "dst.namespace != \"\"",
        "src.name == \"web-7d9\"",
        "elapsedTime > 12344",
        "elapsedTime == 12345",
        "timestamp > minutes(-5)",
        "timestamp == 1706933106000",
        "request.headers[\"Host\"] == \"cart.shop\"",
        "request.headers[\"Host\"] != \"x\"",
        "request.queryString[\"dry\"] == 1",
        "dns and request.questions.*.name == \"a.b\"",
        "node.name == \"node-a\"",
        "status_code == 500",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(l, r)| format!("{l} and {r}")),
            (inner.clone(), inner.clone()).prop_map(|(l, r)| format!("{l} or {r}")),
            inner.clone().prop_map(|e| format!("({e})")),
            inner.prop_map(|e| format!("!({e})")),
        ]
    })
}

proptest! {
    #[test]
    fn both_match_the_same_items(text in text()) {
        let converted = convert(&text, &schema());
        prop_assert!(converted.is_ok(), "{}", text);
        let Some(second) = converted.ok().and_then(|converted| converted.query) else { return Ok(()) };
        let first = compile_as(&text, Dialect::V1, &schema());
        let made = compile_as(&second, Dialect::V2, &schema());
        prop_assert!(made.is_ok(), "{}: {:?}", second, made);
        let item = sample::http();
        let dns: Json = json!({"protocol": {"name": "dns", "abbr": "DNS", "version": "0"}, "request": {"questions": [{"name": "a.b"}]},
            "src": {"ip": "8.8.8.8", "port": "53", "name": "", "namespace": ""}, "dst": {"ip": "10.0.0.1", "port": "53", "name": "", "namespace": ""},
            "node": {"name": "n"}, "timestamp": 1_706_933_106_000_i64, "elapsedTime": 1, "tls": true, "response": null});
        let (Ok(first), Ok(made)) = (first, made) else { return Ok(()) };
        prop_assert_eq!(first.matches(item.node(), NOW), made.matches(item.node(), NOW), "{} as {}", text, second);
        prop_assert_eq!(first.matches(JsonNode(&dns), NOW), made.matches(JsonNode(&dns), NOW), "{} as {}", text, second);
    }
}
