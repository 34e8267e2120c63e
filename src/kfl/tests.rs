//! What the language promises as a whole: answers, bounds, properties.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::samples::{published, reference};
use super::v1::parser;
use super::v1::print::Shown;
use super::*;
use crate::item::json::JsonNode;
use crate::item::{ENVELOPE, FieldType, field, flat, sample};

const NOW: Timestamp = Timestamp::from_secs(1_790_000_000, 0);

fn v1(text: &str) -> Query {
    compile_as(text, Dialect::V1, &Schema::empty())
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn matches(text: &str, record: &Json) -> bool {
    v1(text).matches(JsonNode(record), NOW) == Verdict::Match
}

#[test]
fn the_worked_examples_come_out_as_the_reference_says() {
    let record = json!({
        "protocol": {"name": "http", "abbr": "HTTP", "version": "1.1"},
        "request": {"method": "POST", "path": "/v2/items", "pathSegments": ["v2", "items"],
            "headers": {"User-Agent": "probe/1.4"}, "queryString": {"page": "3"}},
        "response": {"status": 503, "content": {"text": "{\"code\":17,\"tags\":[\"a\",\"b\"]}"}},
        "src": {"name": "web-7", "namespace": "shop", "port": "41822"},
        "dst": {"port": "8080", "namespace": ""},
        "error": null, "tls": false, "timestamp": 1_700_000_000_000_i64, "elapsedTime": 42000,
        "tags": ["new", "vip"],
    });
    for (text, expected) in [
        ("http and response.status == r\"5.*\"", true),
        ("response.status == 503.0", true),
        ("response.status == \"503.0\"", false),
        ("!error", true),
        ("error", false),
        ("r\"^web\" == src.name", true),
        ("src.nme.contains(\"-\")", false),
        ("!src.nme.contains(\"-\")", true),
        ("!src.nme", false),
        ("!(src.nme)", true),
        ("src.nme == \"x\" or http", true),
        ("src.port > dst.port", true),
        ("request..page == 3", true),
        ("http and dns or src.namespace == \"shop\"", true),
        ("dns and http or src.namespace == \"shop\"", false),
        ("error == \"null\"", true),
        ("timestamp > minutes(-5)", false),
        ("timestamp >= datetime(\"11/14/2023, 10:13:20 PM\")", true),
        ("datetime(\"2023-11-14\")", false),
        ("response.content.text.json().tags.* == \"b\"", true),
        ("!response.content.text.json().nope", true),
        ("http and redact(\"request.headers\", \"..page\")", true),
        (
            "redact(\"request.method\") and request.method == \"POST\"",
            false,
        ),
        ("request.path.beginsWith(\"/\")", false),
        ("http // note  and tls == false", true),
    ] {
        assert_eq!(matches(text, &record), expected, "{text}");
    }
}

#[test]
fn redaction_reaches_the_delivered_copy_only() {
    let item = sample::http();
    let query = v1("http and redact(\"request.headers.Host\", \"response.content.text\")");
    assert!(query.redacts() && !v1("http").redacts());
    let (verdict, altered) = query.view(item.node(), NOW);
    assert_eq!(verdict, Verdict::Match);
    let altered = altered.expect("something was redacted");
    assert_eq!(
        altered.pointer("/request/headers/Host"),
        Some(&json!("[REDACTED]"))
    );
    assert_eq!(altered.pointer("/request/method"), Some(&json!("POST")));
    assert!(matches!(
        v1("http").view(item.node(), NOW),
        (Verdict::Match, None)
    ));
    assert!(matches!(
        v1("redact(\"id\") and dns").view(item.node(), NOW),
        (Verdict::NoMatch, None)
    ));
}

#[test]
fn steering_is_found_anywhere_in_the_query() {
    let query = v1(
        "(dns and limit(0)) or http and limit(\"25\") and rlimit(-3) and leftOff(latest) and limit(7)",
    );
    let expected = Steering {
        limit: Some(25),
        rlimit: None,
        left_off: Some(LeftOff::Latest),
    };
    assert_eq!(query.steering(), &expected);
    let resumed = v1("leftOff(\"w/1.pcap-0\")");
    assert_eq!(
        resumed.steering().left_off,
        Some(LeftOff::After("w/1.pcap-0".into()))
    );
}

#[test]
fn every_form_of_item_gives_the_same_answer() {
    let item = sample::http();
    let mut record = Vec::new();
    flat::encode(&item, &mut record);
    let flat = flat::Flat::new(&record).unwrap();
    let text = crate::item::json::to_string(item.node());
    let json: Json = serde_json::from_str(&text).unwrap();
    for (text, expected) in [
        ("http and response.status == 500", Verdict::Match),
        ("http and response.status >= 501", Verdict::NoMatch),
        (
            "request.headers[\"Content-Type\"] == r\"^application/json$\"",
            Verdict::Match,
        ),
        ("request.queryString.dry == 1", Verdict::Match),
        (
            "dst.port == 8080 and src.namespace == 'shop'",
            Verdict::Match,
        ),
        ("response.content.text == \"b29wcw==\"", Verdict::Match),
        ("request..Host == \"cart.shop\"", Verdict::Match),
        ("protocol.ports.* == 8080", Verdict::Match),
        (
            "startTime.startsWith(\"2024-02-03T04:05:06\")",
            Verdict::Match,
        ),
        ("record(\"x\") or grpc", Verdict::NoMatch),
    ] {
        let query = v1(text);
        assert_eq!(query.matches(item.node(), NOW), expected, "{text}");
        assert_eq!(query.matches(flat, NOW), expected, "{text}");
        assert_eq!(query.matches(JsonNode(&json), NOW), expected, "{text}");
    }
}

#[test]
fn usual_queries_allocate_nothing() {
    let item = sample::http();
    let mut record = Vec::new();
    flat::encode(&item, &mut record);
    let flat = flat::Flat::new(&record).unwrap();
    let schema = Schema::new(ENVELOPE, []);
    for text in [
        "http && method == \"POST\" && status_code >= 500 && path.contains(\"ord\")",
        "http && request.headers[\"content-type\"] == \"application/json\"",
        "map_get(request.headers, \"host\", \"\").startsWith(\"cart\") && \"host\" in request.headers",
        "src.ip == \"10.244.1.5\" && dst.ip.startsWith(\"10.\") && dst.port == 8080",
        "dst.port in [80, 8080] || dst.port >= 9000",
        "\"shop\" in namespaces && src.pod.namespace == \"shop\" && dst.service.name == \"cart\"",
        "url.matches(\"^/orders\") && elapsed_time > 1000 && timestamp < now()",
        "!dns && !grpc && protocol == \"HTTP\"",
        "status_code / 100 == 5 && src.service.namespace != \"x\"",
        "dns_questions.exists(q, q.contains(\"x\")) || http",
        "http and response.status == 500 and request.method == \"POST\"",
        "http and response.status == \"500\" and response.status == r\"^5\"",
        "request.headers[\"Content-Type\"] == r\"json\" and dst.port == \"8080\"",
        "src.name.startsWith(\"web\") and request.path.contains(\"ord\") and !error",
        "src.ip == \"10.244.1.5\" and dst.port > 80 and timestamp <= now()",
        "!dns and !tcp and src.pod.namespace == \"shop\"",
    ] {
        let query = compile(text, &schema).unwrap();
        // What is made once, such as lazy values and the regex's scratch space, is there after this.
        assert_eq!(query.matches(item.node(), NOW), Verdict::Match, "{text}");
        assert_eq!(query.matches(flat, NOW), Verdict::Match, "{text}");
        let typed = allocation_counter::measure(|| {
            query.matches(item.node(), NOW);
        });
        let encoded = allocation_counter::measure(|| {
            query.matches(flat, NOW);
        });
        assert_eq!((typed.count_total, encoded.count_total), (0, 0), "{text}");
    }
}

#[test]
fn slips_are_warned_about_with_the_nearest_name() {
    let own = [
        field("request.method", FieldType::Text, "method"),
        field("response.status", FieldType::Int, "status"),
    ];
    let schema = Schema::new(ENVELOPE.iter().chain(&own), []);
    for (text, expected) in [
        (
            "http and response.staus == 500",
            "no item has a field response.staus; did you mean response.status",
        ),
        ("htttp", "no item has a field htttp; did you mean http"),
        (
            "request.method.startWith(\"P\")",
            "there is no helper startWith(), so this never matches; did you mean startsWith()",
        ),
        (
            "http and dns or tls",
            "\"and\" and \"or\" have the same rank and group to the right; add parentheses",
        ),
        (
            "src.name == r\".*\"",
            "this regular expression is found in every text; anchor it with ^ and $",
        ),
        (
            "1 == 2",
            "the query matches no item, since it reads no field",
        ),
        (
            "http and limit()",
            "this never matches without a parameter: limit(n)",
        ),
    ] {
        let query = compile_as(text, Dialect::V1, &schema).unwrap();
        let warnings: Vec<_> = query
            .warnings()
            .iter()
            .map(|warning| &*warning.message)
            .collect();
        assert_eq!(warnings, [expected], "{text}");
    }
    for fine in [
        "true",
        "http and response.status >= 500",
        "",
        "tls or error",
    ] {
        assert!(
            compile_as(fine, Dialect::V1, &schema)
                .unwrap()
                .warnings()
                .is_empty(),
            "{fine}"
        );
    }
}

#[test]
fn queries_made_to_cost_are_refused() {
    let schema = Schema::empty();
    let refused = |text: String| {
        let error = compile_as(&text, Dialect::V1, &schema).unwrap_err();
        error.message
    };
    assert!(refused("a".repeat(MAX_LENGTH + 1)).contains("longer than"));
    assert!(refused("(".repeat(20_000)).contains("nests deeper"));
    assert!(refused("!".repeat(20_000)).contains("nests deeper"));
    assert!(refused("f(".repeat(20_000)).contains("nests deeper"));
    assert!(refused(format!("{} 1", "1 == ".repeat(400))).contains("nests deeper"));
    assert!(refused(format!("{} a", "a or ".repeat(2000))).contains("more than 1000 parts"));
    assert!(refused(format!("a{}", ".json()".repeat(20))).contains("within each other"));
    assert!(refused(format!("a == r\"{}\"", "(a{9}){9}".repeat(900))).contains("invalid regular"));
    // The deepest and the longest that are allowed can be evaluated.
    let record = json!({"a": 0});
    assert!(!matches(
        &format!("{}a{}", "(".repeat(250), ")".repeat(250)),
        &record
    ));
    assert!(!matches(&format!("{}a", "a or ".repeat(490)), &record));
    assert!(matches(&format!("{}(a)", "!".repeat(253)), &record));
}

#[test]
fn items_made_to_cost_leave_a_query_undecided() {
    let wide: Json = json!({"l": vec![json!({"m": vec![1; 300]}); 300]});
    let query = v1("l.*.m.* <= l.*.m.*");
    assert_eq!(query.matches(JsonNode(&wide), NOW), Verdict::Undecided);
}

#[test]
fn published_queries_are_accepted_and_told_apart() {
    let Some(reference) = reference() else {
        println!("skipped: the reference is not there");
        return;
    };
    let mut wrong = Vec::new();
    let first = published(&reference, "### 15.1 v1 era");
    let second = published(&reference, "### 15.2 KFL2 era");
    assert!(
        first.len() > 80 && second.len() > 200,
        "{} and {}",
        first.len(),
        second.len()
    );
    let schema = Schema::new(ENVELOPE, []);
    for (query, cells) in first {
        let dialect = cells.first().map_or("", String::as_str);
        let valid = cells.get(1).is_some_and(|cell| cell == "yes");
        let found = match dialect {
            "v1 (explicit)" => compile_as(&query, Dialect::V1, &schema),
            _ => compile(&query, &schema),
        };
        let told = found
            .as_ref()
            .map_or("-".to_owned(), |query| query.dialect().to_string());
        if found.is_ok() != valid || valid && told != dialect.trim_end_matches(" (explicit)") {
            wrong.push(format!(
                "{query}: {told}, should be {dialect} {valid}: {:?}",
                found.err()
            ));
        }
    }
    for (query, cells) in second {
        let valid = cells.first().is_some_and(|cell| cell == "yes");
        let found = compile_as(&query, Dialect::V2, &schema);
        let told = compile(&query, &schema).map(|query| query.dialect());
        if found.is_ok() != valid || valid && told != Ok(Dialect::V2) {
            wrong.push(format!(
                "{query}: {told:?}, should be valid {valid}: {:?}",
                found.err()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Texts that are queries now and then.
fn query_text() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "a",
        "b.c",
        "http",
        "and",
        "or",
        "!",
        "-",
        "==",
        "!=",
        "<",
        ">=",
        "(",
        ")",
        "[",
        "]",
        ".*",
        "[*]",
        "..",
        ".",
        "r",
        "\"x\"",
        "'\\n'",
        "`\\n`",
        "r\"a+\"",
        "1",
        "2.5",
        "1e999",
        "nil",
        "true",
        "now",
        "now()",
        ".contains(\"a\")",
        ".json()",
        ".xml()",
        "redact(\"a\")",
        "seconds(-1)",
        ",",
        "limit(3)",
        "[\"k\"]",
        "[0]",
        " ",
        "&&",
        "||",
        "in",
        "?",
        ":",
        "dns_questions",
        "size(",
        "has(",
        ".exists(x, ",
        "status_code",
        "\"\"\"",
        "b'",
        "#",
        "//",
        "/*",
        "{",
        "}",
        "+",
        "%",
        "0x1f",
        "3u",
    ]);
    prop::collection::vec(word, 0..24).prop_map(|words| words.join(" "))
}

/// Expressions of the first dialect, by its grammar.
fn v1_text() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "a",
        "a.b",
        "a[\"k\"]",
        "a['q\"']",
        "a.*",
        "a[2]",
        "a..b",
        "http",
        "1",
        "0.5",
        "-3",
        "nil",
        "true",
        "\"t\"",
        "'say \"x\"'",
        "`\\n`",
        "\"\\n\"",
        "\"\\d\"",
        "r\"a\\d\"",
        "r'x\"'",
        "now",
        "now()",
        "a.json().b",
        "seconds(-4)",
        "a.contains('b')",
        "limit(2)",
        "nope(a, 1)",
        "a.xml()..c",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(5, 40, 3, |inner| {
        let op = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">=", "and", "or"]);
        prop_oneof![
            (inner.clone(), op, inner.clone()).prop_map(|(l, op, r)| format!("{l} {op} {r}")),
            inner.clone().prop_map(|e| format!("({e})")),
            inner.clone().prop_map(|e| format!("!({e})")),
            inner.clone().prop_map(|e| format!("-{e}")),
            inner.prop_map(|e| format!("a.b.startsWith({e})")),
        ]
    })
}

/// Records with the names that the texts use.
fn record() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "[a-c{}<>/\"0-9:]{0,12}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let name = prop::sample::select(vec!["a", "b", "c", "k", "protocol", "abbr", "q\""]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::vec((name, inner), 0..4).prop_map(|members| members
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()),
        ]
    })
}

proptest! {
    #[test]
    fn no_text_makes_compilation_panic(text in any::<String>()) {
        let _ = (compile_as(&text, Dialect::V1, &Schema::empty()), compile_as(&text, Dialect::V2, &Schema::empty()));
        let _ = compile(&text, &Schema::empty());
    }

    #[test]
    fn no_words_make_compilation_or_evaluation_panic(text in query_text(), record in record()) {
        for dialect in [Dialect::V1, Dialect::V2] {
            for schema in [Schema::empty(), Schema::new(ENVELOPE, []), Schema::variables()] {
                if let Ok(query) = compile_as(&text, dialect, &schema) {
                    let (verdict, _) = query.view(JsonNode(&record), NOW);
                    prop_assert_eq!(verdict, query.by_tree(JsonNode(&record), NOW), "{}", text);
                }
            }
        }
    }

    #[test]
    fn no_item_makes_evaluation_panic(text in v1_text(), record in record()) {
        let query = compile_as(&text, Dialect::V1, &Schema::empty());
        prop_assert!(query.is_ok(), "{}: {:?}", text, query);
        if let Ok(query) = query {
            let (verdict, _) = query.view(JsonNode(&record), NOW);
            prop_assert_eq!(verdict, query.by_tree(JsonNode(&record), NOW), "{}", text);
        }
    }

    #[test]
    fn printing_then_parsing_gives_the_same_form(text in v1_text()) {
        let schema = Schema::empty();
        let first = parser::parse(&text, &schema).unwrap().expr.unwrap();
        let printed = Shown(&first).to_string();
        let again = parser::parse(&printed, &schema);
        prop_assert!(again.is_ok(), "{} became {}", text, printed);
        prop_assert_eq!(Some(first), again.ok().and_then(|parsed| parsed.expr), "{}", printed);
    }
}
