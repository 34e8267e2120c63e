//! Never narrower: whatever a query matches, its weaker conditions let through.
//!
//! Packets are tried against libpcap itself in `tests/bpf.rs`.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::item::ENVELOPE;
use crate::item::json::JsonNode;
use crate::kfl::{Dialect, Schema, Verdict, compile, compile_as, samples};

const NOW: Timestamp = Timestamp::from_secs(1_790_000_000, 0);
const NOW_MS: i64 = 1_790_000_000_000;

fn query(text: &str) -> Query {
    compile(text, &Schema::new(ENVELOPE, [])).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn headers_decide_what_they_can() {
    for (text, expected) in [
        ("dst.port == 80", "port 80"),
        ("http && dst.port == 80", "tcp and port 80"),
        ("http and dst.port == \"80\"", "tcp and port 80"),
        (
            "dst.port >= 8000 && dst.port <= 9000",
            "portrange 8000-9000",
        ),
        ("dst.port in [80, 443]", "port 80 or port 443"),
        (
            "src.ip == \"10.1.0.7\" && dst.ip == \"fd00::1\"",
            "host 10.1.0.7 and host fd00::1",
        ),
        ("src.ip.startsWith(\"10.1.\")", "net 10.1.0.0/16"),
        ("icmp", "(icmp or icmp6)"),
        ("status_code >= 500", "tcp"),
        ("dns and limit(5)", "(tcp or udp)"),
        (
            "redis && (dst.port == 1 || src.port == 2)",
            "tcp and (port 1 or port 2)",
        ),
        (
            "http and redact(\"src.ip\") and src.ip == \"1.1.1.1\"",
            "tcp",
        ),
        // What another part holds already is left out, whichever comes first.
        ("tcp && dst.port == 1 || dst.port == 1", "port 1"),
        (
            "dst.port == 1 || (src.port == 2 && dst.port == 1 || dst.port == 3)",
            "port 1 or port 3",
        ),
        (
            "tcp && dst.port == 1 || dst.port == 1 && tcp && src.ip == \"1.1.1.1\"",
            "tcp and port 1",
        ),
    ] {
        let condition = query(text).packet_condition();
        let shown = condition.map(|condition| bpf(&condition, Link::Other));
        let expected = format!("({expected})");
        assert!(
            shown
                .as_ref()
                .is_some_and(|shown| shown.starts_with(&expected)),
            "{text}: {shown:?}"
        );
    }
    for nothing in [
        "",
        "!(dst.port == 80)",
        "dst.port != 80",
        "http || src.name == \"a\"",
        "src.name == \"a\"",
        "src.ip.startsWith(\"10.1\")",
        "http or error",
        "src.ip == \"010.1.0.7\"",
        "redact(\"src.ip\") and src.ip == \"1.1.1.1\"",
        "http ? true : dns_request",
    ] {
        assert_eq!(query(nothing).packet_condition(), None, "{nothing}");
    }
}

/// Columns as an index may have them.
const COLUMNS: &[&str] = &[
    "protocol.name",
    "protocol.abbr",
    "protocol.version",
    "response.status",
    "request.method",
    "request.path",
    "src.port",
    "dst.name",
    "timestamp",
    "elapsedTime",
    "tls",
    "request.questions.name",
    "error.type",
];

/// The values of a column in one row, those of all elements for lists.
fn values(row: &Json, column: &str) -> Vec<Json> {
    fn walk(at: &Json, names: &[&str], into: &mut Vec<Json>) {
        match (at, names.split_first()) {
            (Json::Array(list), _) => list.iter().for_each(|at| walk(at, names, into)),
            (_, None) => into.push(at.clone()),
            (_, Some((name, rest))) => walk(at.get(name).unwrap_or(&Json::Null), rest, into),
        }
    }
    let names: Vec<&str> = column.split('.').collect();
    let mut found = Vec::new();
    walk(row, &names, &mut found);
    if found.is_empty() {
        found.push(Json::Null);
    }
    found
}

/// Statistics of a column as an index would keep them; `None` when its values are of mixed types.
fn stats_of(rows: &[Json], column: &str) -> Option<Stats> {
    let values: Vec<Json> = rows.iter().flat_map(|row| values(row, column)).collect();
    let scalar = |value: &Json| match value {
        Json::Bool(value) => Some(Scalar::Bool(*value)),
        Json::Number(value) => value.as_i64().map(Scalar::Int),
        Json::String(text) => Some(Scalar::Text(text.as_str().into())),
        _ => None,
    };
    let nulls = values.iter().any(Json::is_null);
    let known = values.iter().filter(|value| !value.is_null());
    let known: Vec<Scalar> = known.map(scalar).collect::<Option<_>>()?;
    let same = known
        .windows(2)
        .all(|two| std::mem::discriminant(&two[0]) == std::mem::discriminant(&two[1]));
    let less = |left: &Scalar, right: &Scalar| match (left, right) {
        (Scalar::Bool(left), Scalar::Bool(right)) => left.cmp(right),
        (Scalar::Int(left), Scalar::Int(right)) => left.cmp(right),
        (Scalar::Text(left), Scalar::Text(right)) => left.cmp(right),
        _ => std::cmp::Ordering::Equal,
    };
    let low = known
        .iter()
        .min_by(|left, right| less(left, right))
        .cloned();
    let high = known
        .iter()
        .max_by(|left, right| less(left, right))
        .cloned();
    same.then_some(Stats {
        bounds: low.zip(high),
        nulls,
    })
}

fn may_match(query: &Query, rows: &[Json]) -> bool {
    let Some(condition) = query.column_condition(NOW) else {
        return true;
    };
    let all: Vec<(&str, Option<Stats>)> = COLUMNS
        .iter()
        .map(|column| (*column, stats_of(rows, column)))
        .collect();
    may_hold(&condition, &|column| {
        let (_, stats) = all.iter().find(|(known, _)| *known == column)?;
        stats.as_ref()
    })
}

#[test]
fn columns_exclude_what_cannot_match() {
    let rows = [
        json!({"protocol": {"name": "http", "abbr": "HTTP", "version": "1.1"}, "response": {"status": 200},
            "request": {"method": "GET", "path": "/a"}, "timestamp": NOW_MS - 3_600_000, "elapsedTime": 12_000, "tls": false}),
        json!({"protocol": {"name": "http", "abbr": "HTTP", "version": "1.1"}, "response": {"status": 404},
            "request": {"method": "GET", "path": "/b"}, "timestamp": NOW_MS - 7_200_000, "elapsedTime": 90_000, "tls": false}),
    ];
    for out in [
        "dns",
        "status_code >= 500",
        "http and response.status == 500",
        "response.status == r\"5.*\" and dns",
        "request.path == r\"^/c\"",
        "path.startsWith(\"/x\") || method == \"POST\"",
        "timestamp > now() - duration(\"5m\")",
        "timestamp > minutes(-5)",
        "elapsed_time > 100000",
        "tls",
        "!(method == \"GET\") && http",
        "!http",
        "status_code in [500, 503]",
        "\"x\" in dns_questions",
        "response.status == \"500\"",
    ] {
        assert!(!may_match(&query(out), &rows), "{out}");
    }
    for kept in [
        "http",
        "status_code >= 400",
        "response.status == 404",
        "path == \"/b\"",
        "!(response.status == 200)",
        "elapsed_time > 89000",
        "src.pod.name == \"x\"",
        "error or dns or http",
    ] {
        assert!(may_match(&query(kept), &rows), "{kept}");
    }
}

/// Rows of few values, so that they are often met.
fn row() -> impl Strategy<Value = Json> {
    let protocol = prop::sample::select(vec![
        json!({"name": "http", "abbr": "HTTP", "version": "1.1"}),
        json!({"name": "http", "abbr": "gRPC", "version": "2.0"}),
        json!({"name": "http", "abbr": "GQL", "version": "1.1"}),
        json!({"name": "dns", "abbr": "DNS", "version": "0"}),
        Json::Null,
    ]);
    let status = prop::sample::select(vec![
        Json::Null,
        json!({"status": 200}),
        json!({"status": 500}),
        json!({"status": null}),
        json!({"status": "200"}),
        json!({"code": "No Error"}),
    ]);
    let request = prop::sample::select(vec![
        Json::Null,
        json!({"method": "GET", "path": "/a/b"}),
        json!({"method": "POST", "path": "/b"}),
        json!({"method": null, "path": ""}),
        json!({"questions": [{"name": "a.b"}, {"name": "c"}]}),
        json!({"questions": []}),
    ]);
    let error = prop::sample::select(vec![Json::Null, json!({"type": "timeout", "msg": "m"})]);
    let port = prop::sample::select(vec!["0", "80", "443", "8080"]);
    let offset = prop::sample::select(vec![-600_000i64, -299_999, -300_000, 0, 1]);
    (protocol, status, request, error, port, offset, -1i64..3, proptest::bool::ANY).prop_map(
        |(protocol, response, request, error, port, offset, elapsed, tls)| {
            json!({"protocol": protocol, "request": request, "response": response, "error": error,
                "src": {"ip": "10.0.0.1", "port": port, "name": "", "namespace": "x"},
                "dst": {"name": "web"}, "timestamp": NOW_MS + offset, "elapsedTime": elapsed, "tls": tls})
        },
    )
}

fn joined(
    leaf: BoxedStrategy<String>,
    and: &'static str,
    or: &'static str,
) -> BoxedStrategy<String> {
    leaf.prop_recursive(4, 24, 3, move |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(move |(l, r)| format!("{l} {and} {r}")),
            (inner.clone(), inner.clone()).prop_map(move |(l, r)| format!("{l} {or} {r}")),
            inner.clone().prop_map(|e| format!("({e})")),
            inner.prop_map(|e| format!("!({e})")),
        ]
    })
    .boxed()
}

fn v1_text() -> BoxedStrategy<String> {
    let leaf = prop::sample::select(vec![
        "http",
        "dns",
        "gqlv1",
        "tls",
        "!tls",
        "error",
        "!error",
        "response.status == 200",
        "response.status == \"200\"",
        "response.status >= 300",
        "response.status < 1",
        "response.status == nil",
        "response.status != 200",
        "response.status == r\"^2\"",
        "response.status == 0",
        "request.method == \"GET\"",
        "request.method == \"null\"",
        "request.path == r\"^/a\"",
        "request.path.startsWith(\"/b\")",
        "request.path == r\"^/ab?\"",
        "request.path == r\"(a|c)\"",
        "request.path == r\"/a.b\"",
        "request.method == r\"[N-P]\"",
        "request.questions.*.name == r\"[b-d]\"",
        "request.path.contains(\"b\")",
        "request.path.endsWith(\"b\")",
        "request.method.contains(\"ul\")",
        "src.port == 80",
        "src.port == \"80\"",
        "80 < src.port",
        "src.port <= 443",
        "timestamp > minutes(-5)",
        "timestamp >= minutes(-5)",
        "minutes(-5) > timestamp",
        "timestamp <= now()",
        "elapsedTime > 0",
        "elapsedTime == 1",
        "tls == false",
        "request.questions.*.name == \"c\"",
        "status_code == 200",
        "elapsed_time > 0",
        "error.type == \"timeout\"",
        "redact(\"request.method\")",
        "limit(3)",
        "nope == 1",
        "dst.name == \"web\"",
        "protocol.abbr == \"gRPC\"",
    ])
    .prop_map(str::to_owned)
    .boxed();
    joined(leaf, "and", "or")
}

fn v2_text() -> BoxedStrategy<String> {
    let leaf = prop::sample::select(vec![
        "http",
        "dns",
        "gqlv1",
        "grpc",
        "tls",
        "status_code",
        "status_code == 200",
        "status_code != 200",
        "status_code < 1",
        "status_code >= 300",
        "200 < status_code",
        "status_code in [200, 404]",
        "method == \"GET\"",
        "method != \"GET\"",
        "method == \"\"",
        "method in [\"GET\", \"PUT\"]",
        "path.startsWith(\"/a\")",
        "path.matches(\"^/a/?b\")",
        "path.matches(\"[b-d]\")",
        "method.contains(\"OS\")",
        "path.endsWith(\"b\")",
        "src.namespace == \"internal\"",
        "path > \"/a\"",
        "path <= \"/a\"",
        "src.port == 80",
        "src.port > 80",
        "\"c\" in dns_questions",
        "dns_questions.exists(q, q == \"a.b\")",
        "dns_questions.exists(q, q.startsWith(\"a\"))",
        "timestamp > now() - duration(\"5m\")",
        "timestamp <= now() - duration(\"5m\")",
        "timestamp == now()",
        "timestamp < timestamp(\"2026-09-21T14:13:20.0005Z\")",
        "elapsed_time > 0",
        "elapsed_time >= 1",
        "elapsed_time < 2",
        "elapsed_time == 1",
        "elapsed_time in [1, 7]",
        "tcp_error_type == \"timeout\"",
        "request.headers[\"x\"] == \"1\"",
        "dst.name == \"web\"",
        "http ? status_code == 200 : dns",
        "has_pcap",
        "dns && status_code == 0",
    ])
    .prop_map(str::to_owned)
    .boxed();
    joined(leaf, "&&", "||")
}

#[test]
fn no_matching_item_of_a_dissector_is_left_out() {
    let rows: Vec<Json> = samples::items()
        .into_iter()
        .map(|forms| forms.json)
        .collect();
    for dialect in [Dialect::V1, Dialect::V2] {
        for text in samples::queries(dialect) {
            let query = compile_as(&text, dialect, &Schema::new(ENVELOPE, [])).unwrap();
            if query.column_condition(NOW).is_none() {
                continue;
            }
            for row in &rows {
                let left_out = !may_match(&query, std::slice::from_ref(row));
                assert!(
                    !left_out || query.matches(JsonNode(row), NOW) != Verdict::Match,
                    "{text} matches {row} and is left out: {:?}",
                    query.column_condition(NOW)
                );
            }
        }
    }
}

fn holds(text: &str, dialect: Dialect, rows: &[Json]) -> Result<(), TestCaseError> {
    let query = compile_as(text, dialect, &Schema::new(ENVELOPE, []));
    prop_assert!(query.is_ok(), "{}: {:?}", text, query);
    let Ok(query) = query else { return Ok(()) };
    let mut rows = rows.iter();
    let matching = rows.find(|row| query.matches(JsonNode(row), NOW) == Verdict::Match);
    if let Some(row) = matching {
        let left_out = !may_match(&query, std::slice::from_ref(row));
        prop_assert!(
            !left_out,
            "{} matches {} and is left out: {:?}",
            text,
            row,
            query.column_condition(NOW)
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn no_matching_row_is_left_out(v1 in v1_text(), v2 in v2_text(), rows in prop::collection::vec(row(), 1..6)) {
        holds(&v1, Dialect::V1, &rows)?;
        holds(&v2, Dialect::V2, &rows)?;
        for (text, dialect) in [(&v1, Dialect::V1), (&v2, Dialect::V2)] {
            let query = compile_as(text, dialect, &Schema::new(ENVELOPE, []));
            let Ok(query) = query else { continue };
            let matches = rows.iter().any(|row| query.matches(JsonNode(row), NOW) == Verdict::Match);
            prop_assert!(!matches || may_match(&query, &rows), "{}", text);
        }
    }
}
