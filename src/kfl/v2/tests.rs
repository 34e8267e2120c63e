//! What the second dialect promises as a whole: items, messages, bounds, properties.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{check, parser};
use crate::item::json::JsonNode;
use crate::item::{ENVELOPE, flat, sample};
use crate::kfl::{Dialect, MAX_LENGTH, Query, Schema, Verdict, compile, compile_as};
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp::from_secs(1_706_933_200, 0);

fn v2(text: &str) -> Query {
    let schema = Schema::new(ENVELOPE, []);
    compile_as(text, Dialect::V2, &schema).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn variables_of_tls_are_read_from_its_items() {
    let item = json!({
        "protocol": {"name": "tls", "abbr": "TLS", "version": "1.3", "layer4": "tcp"},
        "tls": false,
        "requestSize": 517,
        "responseSize": 100,
        "size": 617,
        "request": {
            "type": "ClientHello", "version": "TLS 1.2", "versionCode": 771,
            "serverName": "a.shop", "sni": "a.shop", "alpn": ["h2"],
            "cipherSuites": ["TLS_AES_128_GCM_SHA256", "TLS_RSA_WITH_RC4_128_SHA"],
            "summary": "a.shop",
        },
        "response": {
            "type": "ServerHello", "version": "TLS 1.3", "versionCode": 772,
            "cipherSuite": "TLS_AES_128_GCM_SHA256", "cipherSuiteCode": 4865, "alpn": "h2",
            "info": "TLS 1.3, TLS_AES_128_GCM_SHA256, h2",
        },
    });
    for text in [
        "tlsx && !tls && protocol == \"TLSX\"",
        "tlsx_sni == \"a.shop\" && tls_sni.endsWith(\".shop\")",
        "tlsx_cipher_suites.exists(s, s.contains(\"RC4\"))",
        "tlsx_cipher_suite == 4865 && tlsx_version == 772 && tls_version == 0x304",
        "tlsx_alpn == \"h2\" && tlsx_info == \"ClientHello\"",
        "tls_summary == \"a.shop\" && tls_info.startsWith(\"TLS 1.3\")",
        "tls_total_size == 617 && tls_request_size == 517",
    ] {
        assert_eq!(
            v2(text).matches(JsonNode(&item), NOW),
            Verdict::Match,
            "{text}"
        );
    }
    let v1 = compile_as("tlsx", Dialect::V1, &Schema::new(ENVELOPE, [])).unwrap();
    assert_eq!(v1.matches(JsonNode(&item), NOW), Verdict::Match);
}

#[test]
fn variables_are_read_from_items_in_every_form() {
    let item = sample::http();
    let mut record = Vec::new();
    flat::encode(&item, &mut record);
    let flat = flat::Flat::new(&record).unwrap();
    let mut json: Json = serde_json::from_str(&crate::item::json::to_string(item.node())).unwrap();
    // What is no item of ours is compared as it is.
    json["elapsedTime"] = 12_345.into();
    for (text, expected) in [
        ("http && status_code == 500", true),
        ("response.status >= 500 && request.method == \"POST\"", true),
        ("dst.port == 8080 && src.ip == \"10.244.1.5\"", true),
        (
            "request.headers[\"content-type\"].startsWith(\"application/\")",
            true,
        ),
        ("\"HOST\" in request.headers", true),
        ("request.headers.exists(k, k == \"host\")", true),
        ("query_string[\"dry\"] == \"1\"", true),
        ("path == \"/orders\" && url.endsWith(\"dry=1\")", true),
        ("namespaces == [\"shop\"] && \"cart\" in services", true),
        (
            "src.pod.name == \"web-7d9\" && dst.namespace == \"shop\"",
            true,
        ),
        ("elapsed_time == 12345 && protocol == \"HTTP\"", true),
        (
            "timestamp > now() - duration(\"5m\") && timestamp < now()",
            true,
        ),
        (
            "node_name == \"node-a\" && node[\"ip\"] == \"10.9.8.7\"",
            true,
        ),
        ("grpc || dns || redis_key == \"\"", false),
        ("grpc_status == -1", false),
        ("request.headers[\"x-absent\"] != \"1\"", false),
        ("status_code", true),
        ("!kafka_api_key && !tls", true),
        ("dyn(5)", false),
        ("dyn(5) == 5.0 && dyn(true)", true),
        ("has_pcap && dns_questions.all(q, true) == false", true),
    ] {
        let query = v2(text);
        let expected = if expected {
            Verdict::Match
        } else {
            Verdict::NoMatch
        };
        assert_eq!(query.matches(item.node(), NOW), expected, "{text}");
        assert_eq!(query.matches(flat, NOW), expected, "{text}");
        assert_eq!(query.matches(JsonNode(&json), NOW), expected, "{text}");
    }
}

#[test]
fn dns_items_have_their_own_status() {
    let item = json!({
        "protocol": {"name": "dns", "abbr": "DNS", "version": "0"},
        "request": {"questions": [{"name": "db.shop.svc", "type": "A"}]},
        "response": {"code": "Non-Existent Domain", "answers": [{"name": "x", "ip": "", "cname": "y"}]},
        "requestSize": 31, "responseSize": 60, "size": 91,
    });
    for (text, expected) in [
        ("dns && status_code == 3", Verdict::Match),
        ("status_code == 3", Verdict::NoMatch),
        (
            "dns_questions == [\"db.shop.svc\"] && dns_question_types[0] == \"A\"",
            Verdict::Match,
        ),
        (
            "\"y\" in dns_answers && dns_total_size == 91 && dns_request",
            Verdict::Match,
        ),
    ] {
        assert_eq!(v2(text).matches(JsonNode(&item), NOW), expected, "{text}");
    }
}

#[test]
fn messages_of_a_websocket_tell_their_sender() {
    let item = |sender: &str, payload: &str| {
        json!({
            "protocol": {"name": "ws", "abbr": "WS", "version": "13", "macro": "ws"},
            "request": {"opcode": "text", "payload": payload, "length": payload.len(),
                        "masked": sender == "client", "sender": sender},
            "response": null,
        })
    };
    let (client, server) = (item("client", "ping 1"), item("server", "pong"));
    for (text, of_client, of_server) in [
        ("ws && ws_opcode == \"text\"", true, true),
        ("ws_request", true, false),
        ("ws_response", false, true),
        ("ws_request_payload_data.contains(\"ping\")", true, false),
        ("ws_request_payload_length == 6", true, false),
        ("ws_response_payload_length == 4", false, true),
        ("ws && ws_response_payload_length == 0", true, false),
        ("http || gql || protocol != \"WS\"", false, false),
    ] {
        for (item, expected) in [(&client, of_client), (&server, of_server)] {
            let found = v2(text).matches(JsonNode(item), NOW);
            assert_eq!(found == Verdict::Match, expected, "{text} of {item}");
        }
    }
}

#[test]
fn graphql_is_http_too() {
    let item = |version: &str| {
        json!({
            "protocol": {"name": "http", "abbr": "GQL", "version": version, "macro": "gql"},
            "request": {"method": "POST", "path": "/graphql"}, "response": {"status": 400},
        })
    };
    let (one, two) = (item("1.1"), item("2.0"));
    for (text, of_one, of_two) in [
        ("http && gql", true, true),
        ("gqlv1", true, false),
        ("gqlv2", false, true),
        (
            "gql && method == \"POST\" && status_code >= 400",
            true,
            true,
        ),
        ("protocol == \"GQL\" && !grpc", true, true),
    ] {
        for (item, expected) in [(&one, of_one), (&two, of_two)] {
            let found = v2(text).matches(JsonNode(item), NOW);
            assert_eq!(found == Verdict::Match, expected, "{text} of {item}");
        }
    }
}

#[test]
fn the_first_dialect_falls_back_on_variables() {
    let schema = Schema::new(ENVELOPE, []);
    let item = sample::http();
    for (text, expected) in [
        ("http and status_code >= 500", Verdict::Match),
        (
            "src.pod.namespace == \"shop\" or dst.pod.namespace == \"a\"",
            Verdict::Match,
        ),
        (
            "namespaces == \"shop\" and path == r\"^/ord\"",
            Verdict::Match,
        ),
        ("dns_questions or kafka_size >= 0", Verdict::NoMatch),
    ] {
        let query = compile(text, &schema).unwrap();
        assert_eq!(query.dialect(), Dialect::V1, "{text}");
        assert_eq!(query.warnings(), [], "{text}");
        assert_eq!(query.matches(item.node(), NOW), expected, "{text}");
    }
}

#[test]
fn messages_name_the_place_and_the_reason() {
    for (text, message) in [
        (
            "status_cod == 500",
            "1:1: undeclared reference to 'status_cod'; did you mean status_code",
        ),
        (
            "status_code == \"500\"",
            "1:1: found no matching overload for '_==_' applied to '(int, string)'",
        ),
        (
            "src.port.x == 1",
            "1:1: type 'int' does not support field selection",
        ),
        ("src.ip", "1:1: filter must be boolean, is string"),
        (
            "path.matches(\"[\")",
            "1:14: invalid regular expression: unclosed character class",
        ),
        (
            "path.matches(\"\\d\")",
            "1:15: syntax error: unknown escape '\\d' (expected \\\\ for a backslash or r in front of the string)",
        ),
        (
            "path.containz(\"x\")",
            "1:6: undeclared reference to 'containz'; did you mean contains()",
        ),
        (
            "limit(5)",
            "1:1: undeclared reference to 'limit'; it is of the first dialect, where and, or take the place of &&, ||",
        ),
        (
            "timestamp > timestamp(\"x\")",
            "1:23: invalid timestamp; write it as 2026-01-02T15:04:05Z",
        ),
        (
            "timestamp.getHours(\"Mars\") > 1",
            "1:20: the time zone 'Mars' is not known; write a name such as Europe/Prague or an offset such as +01:00",
        ),
    ] {
        let error = compile_as(text, Dialect::V2, &Schema::empty()).unwrap_err();
        assert_eq!(error.to_string(), message, "{text}");
    }
}

#[test]
fn variables_no_item_has_are_warned_about() {
    let query = v2("local_labels[\"app\"] == \"web\"");
    assert_eq!(query.warnings().len(), 1);
    assert!(v2("http && status_code == 500").warnings().is_empty());
}

#[test]
fn characters_that_turn_text_around_are_warned_about() {
    let said = "the character U+202E at 1:11 changes the order that the query is shown in, so that \
                it may read as another; take it out";
    for dialect in [Dialect::V1, Dialect::V2] {
        let query = compile_as("path == \"/\u{202e}fdp.exe\"", dialect, &Schema::empty());
        let warnings: Vec<_> = query
            .expect("valid")
            .warnings()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert!(
            warnings.iter().any(|one| one == said),
            "{dialect:?} {warnings:?}"
        );
    }
}

#[test]
fn constant_results_are_warned_about() {
    for (text, message) in [
        (
            "1 == 2",
            "the query matches no item, since it reads no field",
        ),
        (
            "size(\"ab\") > 1",
            "the query matches every item, since it reads no field",
        ),
        (
            "http || true",
            "the query matches every item, whatever the item holds",
        ),
        (
            "http && !(1 < 2)",
            "the query matches no item, whatever the item holds",
        ),
    ] {
        let query = v2(text);
        let warnings: Vec<_> = query.warnings().iter().map(ToString::to_string).collect();
        assert_eq!(warnings, [message], "{text}");
    }
    for meant in [
        "true",
        "false",
        "",
        "now() > timestamp(\"2026-01-01T00:00:00Z\")",
        "http || dns",
    ] {
        assert!(v2(meant).warnings().is_empty(), "{meant}");
    }
}

#[test]
fn queries_made_to_cost_are_refused_or_undecided() {
    let schema = Schema::variables();
    let refused = |text: String| compile_as(&text, Dialect::V2, &schema).unwrap_err().message;
    assert!(refused(" ".repeat(MAX_LENGTH + 1)).contains("longer than"));
    for nest in [
        "(",
        "[",
        "{",
        "!",
        "-",
        "f(",
        "a.all(x, ",
        "true ? (",
        "1 + (",
        "a[",
    ] {
        let deep = refused(format!("{}1", nest.repeat(5000)));
        assert!(
            deep.contains("nests deeper") || deep.contains("parts"),
            "{nest}: {deep}"
        );
    }
    assert!(refused(format!("{}true", "true ? true : ".repeat(300))).contains("nests deeper"));
    assert!(refused(format!("{}1 == 1", "1 + ".repeat(300))).contains("nests deeper"));
    assert!(refused(format!("{}true", "http || ".repeat(2000))).contains("more than 1000 parts"));
    // The deepest that are allowed can be evaluated.
    let run = |text: &str| v2(text).matches(JsonNode(&json!({})), NOW);
    assert_eq!(
        run(&format!("{}true{}", "(".repeat(60), ")".repeat(60))),
        Verdict::Match
    );
    assert_eq!(run(&format!("{}1 > 0", "1 + ".repeat(253))), Verdict::Match);
    assert_eq!(run(&format!("{}true", "!".repeat(250))), Verdict::Match);
    let list = format!("[{}]", vec!["1"; 100].join(","));
    let nested =
        format!("{list}.all(a, {list}.all(b, {list}.all(c, {list}.all(d, a + b + c + d > 0))))");
    assert_eq!(run(&nested), Verdict::Undecided);
    let text = "x".repeat(1000);
    let grown = format!("[1,2].map(a, [1,2].map(b, \"{text}\" + \"{text}\")).size() == 2");
    assert_eq!(run(&grown), Verdict::Match);
}

/// Expressions by the grammar; many of them have types that do not fit.
fn v2_text() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "http",
        "dns",
        "status_code",
        "path",
        "request.headers",
        "dns_questions",
        "timestamp",
        "src.ip",
        "1",
        "-5",
        "0x1f",
        "3u",
        "2.5",
        "1e999",
        "\"t\\n\"",
        "r'\\d'",
        "b'\\xff'",
        "null",
        "true",
        "[]",
        "[1, 2]",
        "{\"a\": 1}",
        "now()",
        "duration(\"5s\")",
        ".http",
        "local_labels.app",
        "udp_payload",
        "int",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(5, 40, 3, |inner| {
        let op = prop::sample::select(vec![
            "==", "!=", "<", "<=", ">", ">=", "&&", "||", "+", "-", "*", "/", "%", "in",
        ]);
        let call = prop::sample::select(vec![
            "size",
            "string",
            "int",
            "uint",
            "double",
            "bytes",
            "bool",
            "dyn",
            "type",
            "timestamp",
            "duration",
        ]);
        let method = prop::sample::select(vec!["contains", "startsWith", "endsWith", "matches"]);
        let fold = prop::sample::select(vec!["all", "exists", "exists_one", "filter", "map"]);
        prop_oneof![
            (inner.clone(), op, inner.clone()).prop_map(|(l, op, r)| format!("{l} {op} {r}")),
            inner.clone().prop_map(|e| format!("({e})")),
            inner.clone().prop_map(|e| format!("!({e})")),
            inner.clone().prop_map(|e| format!("-({e})")),
            (call, inner.clone()).prop_map(|(call, e)| format!("{call}({e})")),
            (inner.clone(), method, inner.clone()).prop_map(|(l, m, r)| format!("({l}).{m}({r})")),
            (inner.clone(), fold, inner.clone())
                .prop_map(|(l, f, r)| format!("({l}).{f}(x, {r} == x)")),
            (inner.clone(), inner.clone()).prop_map(|(l, r)| format!("dyn({l})[{r}]")),
            (inner.clone(), inner.clone(), inner)
                .prop_map(|(c, a, b)| format!("({c}) ? ({a}) : {b}")),
        ]
    })
}

proptest! {
    #[test]
    fn no_expression_makes_checking_or_evaluation_panic(text in v2_text(), status in any::<i64>()) {
        let item = json!({
            "http": true, "dns": true, "status_code": status, "path": "/a", "udp": true, "udp_payload": "AQI=",
            "request": {"headers": {"a": "1", "B": ["x", 2]}}, "dns_questions": ["q", 7], "timestamp": "2026-01-01T00:00:00Z",
        });
        for schema in [Schema::variables(), Schema::empty()] {
            if let Ok(query) = compile_as(&text, Dialect::V2, &schema) {
                let _ = query.matches(JsonNode(&item), NOW);
            }
        }
    }

    #[test]
    fn printing_then_parsing_gives_the_same_tree(text in v2_text()) {
        let parsed = parser::parse(&text);
        prop_assert!(parsed.is_ok(), "{}: {:?}", text, parsed);
        let first = parsed.ok().flatten();
        let printed = first.as_ref().map(ToString::to_string).unwrap_or_default();
        let again = parser::parse(&printed);
        prop_assert!(again.is_ok(), "{} became {}", text, printed);
        prop_assert_eq!(&first, &again.ok().flatten(), "{}", printed);
        // The same tree is checked to the same form.
        if let Some(ast) = first {
            let form = |text: &str| check::check(text, &ast, &Schema::variables()).map(|checked| checked.expr).ok();
            prop_assert_eq!(form(&text), form(&printed));
        }
    }
}
