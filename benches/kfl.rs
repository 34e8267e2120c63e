//! How long queries take: compiling one, and deciding about one item in each form an item has.
//!
//! The queries are published ones, the items are of five protocols. Beside the typed item stand what
//! else could be done: building the item's JSON and walking that, and the `cel` crate, once with its
//! variables made from the item, as each new item needs it, and once with variables that lie ready,
//! which leaves out what costs most. A table comes first, then criterion's own figures.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use cel::{Context, Program, Value as Cel};
use criterion::{Criterion, criterion_group, criterion_main};
use tapedeck::item::json::{AsJson, JsonNode};
use tapedeck::item::{
    ENVELOPE, Item, Key, Kind, Node, Origin, Peer, ProtocolInfo, Value, flat, lookup,
};
use tapedeck::kfl::{Dialect, Query, Schema, Verdict, compile_as};
use tapedeck::packet::{Endpoint, StreamId, StreamName, Transport};
use tapedeck::time::Timestamp;

const NOW: Timestamp = Timestamp::from_secs(1_706_933_110, 0);

const fn kind(name: &'static str, abbr: &'static str, version: &'static str) -> ProtocolInfo {
    ProtocolInfo {
        name,
        version,
        abbr,
        long_name: name,
        macro_name: name,
        background: "#326de6",
        foreground: "#ffffff",
        font_size: 12,
        reference: "",
        ports: &["80", "443", "8080"],
        layer4: "tcp",
        priority: 0,
    }
}

static HTTP: ProtocolInfo = kind("http", "HTTP", "1.1");
static GRPC: ProtocolInfo = kind("http", "gRPC", "2.0");
static DNS: ProtocolInfo = kind("dns", "DNS", "0");
static REDIS: ProtocolInfo = kind("redis", "REDIS", "3.x");
static KAFKA: ProtocolInfo = kind("kafka", "KAFKA", "12");

fn text(text: &'static str) -> Value {
    Value::Text(bytes(text))
}

fn bytes(text: &'static str) -> bytes::Bytes {
    bytes::Bytes::from_static(text.as_bytes())
}

fn object<const N: usize>(members: [(&'static str, Value); N]) -> Value {
    let members = members.map(|(name, value)| (Key::from(name), value));
    Value::Object(members.into())
}

/// Headers, whose names come from the traffic.
fn headers<const N: usize>(headers: [(&'static str, &'static str); N]) -> Value {
    let headers = headers.map(|(name, value)| (Key::from(bytes(name)), text(value)));
    Value::Object(headers.into())
}

fn item(protocol: &'static ProtocolInfo, request: Value, response: Value) -> Item {
    let peer = |last, port, name: &str, namespace: &str| Peer {
        name: name.into(),
        namespace: namespace.into(),
        ..Peer::unresolved(Endpoint {
            ip: [10, 244, 1, last].into(),
            port,
        })
    };
    Item {
        number: 7,
        index: 0,
        stream: StreamName {
            stream: StreamId(42),
            transport: Transport::Tcp,
        },
        protocol,
        tls: false,
        src: peer(5, 51514, "web-7d9", "shop"),
        dst: peer(9, 8080, "payment-service", "production"),
        start: Timestamp::from_secs(1_706_933_106, 0),
        elapsed_nanos: 2_345_678_000,
        request_size: 310,
        response_size: 196,
        request,
        response,
        data: Value::Null,
        error: None,
        ordinal: 1,
        origin: Arc::new(Origin::default()),
        record: Arc::from(""),
        tunnel: None,
        asked_here: false,
    }
}

fn http(protocol: &'static ProtocolInfo) -> Item {
    let request = object([
        ("method", text("POST")),
        ("url", text("/api/v2/charge?dry=1")),
        ("path", text("/api/v2/charge")),
        ("httpVersion", Value::Static("HTTP/1.1")),
        ("cookies", headers([])),
        (
            "headers",
            headers([
                ("Host", "payment.production"),
                ("User-Agent", "Mozilla/4.0 (compatible)"),
                ("Accept", "application/json"),
                ("Content-Type", "application/json"),
                ("Authorization", "Token abcdef"),
            ]),
        ),
        ("queryString", headers([("dry", "1")])),
        ("bodySize", Value::Int(9)),
    ]);
    let response = object([
        ("status", Value::Int(503)),
        ("statusText", text("Service Unavailable")),
        (
            "headers",
            headers([("Content-Type", "application/json"), ("grpc-status", "14")]),
        ),
        ("bodySize", Value::Int(20_000)),
    ]);
    item(protocol, request, response)
}

fn dns() -> Item {
    let question = object([
        ("name", text("pool.minexmr.com")),
        ("type", Value::Static("A")),
    ]);
    let answer = object([("name", text("pool.minexmr.com")), ("ip", text("10.0.0.7"))]);
    item(
        &DNS,
        object([
            ("opCode", Value::Static("Query")),
            ("questions", Value::List(vec![question])),
        ]),
        object([
            ("code", Value::Static("No Error")),
            ("answers", Value::List(vec![answer])),
        ]),
    )
}

fn redis() -> Item {
    let request = object([
        ("type", Value::Static("Array")),
        ("command", text("GET")),
        ("key", text("session:9921")),
    ]);
    item(
        &REDIS,
        request,
        object([("type", Value::Static("Bulk String"))]),
    )
}

fn kafka() -> Item {
    let request = object([
        ("apiKeyName", Value::Static("PRODUCE")),
        ("apiKey", Value::Int(0)),
        ("size", Value::Int(40_000)),
        ("summary", text("orders, refunds")),
    ]);
    item(&KAFKA, request, object([("size", Value::Int(40))]))
}

/// Variables of the second dialect that the queries read, for the `cel` crate.
fn variables(protocol: &str) -> Context<'static, 'static> {
    let map = |members: &[(&str, Cel)]| -> Cel {
        let members = members
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()));
        members
            .collect::<std::collections::HashMap<String, Cel>>()
            .into()
    };
    let text = |text: &str| Cel::from(text);
    let list = |texts: &[&str]| Cel::from(texts.iter().map(|t| (*t).into()).collect::<Vec<Cel>>());
    let peer = |ip: &str, port: i64, name: &str, namespace: &str| {
        let named = map(&[("name", text(name)), ("namespace", text(namespace))]);
        map(&[
            ("ip", text(ip)),
            ("port", Cel::Int(port)),
            ("name", text(name)),
            ("pod", named.clone()),
            ("service", named),
        ])
    };
    let mut context = Context::default();
    for flag in ["http", "grpc", "dns", "redis", "kafka"] {
        let set = flag == protocol || flag == "http" && protocol == "grpc";
        context.add_variable_from_value(flag, Cel::Bool(set));
    }
    let headers = map(&[
        ("host", text("payment.production")),
        ("user-agent", text("Mozilla/4.0 (compatible)")),
        ("accept", text("application/json")),
        ("content-type", text("application/json")),
        ("authorization", text("Token abcdef")),
    ]);
    for (name, value) in [
        ("src", peer("10.244.1.5", 51514, "web-7d9", "shop")),
        (
            "dst",
            peer("10.244.1.9", 8080, "payment-service", "production"),
        ),
        ("request", map(&[("headers", headers)])),
        ("method", text("POST")),
        ("url", text("/api/v2/charge?dry=1")),
        ("path", text("/api/v2/charge")),
        (
            "status_code",
            Cel::Int(if protocol == "dns" { 0 } else { 503 }),
        ),
        ("response_body_size", Cel::Int(20_000)),
        ("elapsed_time", Cel::Int(2_345_678)),
        ("namespaces", list(&["shop", "production"])),
        ("dns_response", Cel::Bool(protocol == "dns")),
        ("dns_questions", list(&["pool.minexmr.com"])),
        ("dns_answers", list(&["10.0.0.7"])),
        ("redis_type", text("GET")),
        ("redis_key", text("session:9921")),
        ("kafka_api_key_name", text("PRODUCE")),
        ("kafka_request_summary", text("orders, refunds")),
        ("kafka_size", Cel::Int(40_000)),
        ("grpc_status", Cel::Int(14)),
        ("grpc_method", text("charge")),
    ] {
        context.add_variable_from_value(name, value);
    }
    context
}

/// The variables that a query refers to, made from the item for the `cel` crate.
fn made<'p>(
    base: &'p Context<'static, 'static>,
    names: &[String],
    item: &Item,
) -> Context<'p, 'static> {
    let root = item.node();
    let text = |path: &str| {
        let text = lookup(root, path).and_then(Node::text).unwrap_or_default();
        Cel::from(&*text)
    };
    let int = |path: &str| Cel::Int(lookup(root, path).and_then(Node::whole).unwrap_or_default());
    let is = |path: &str, wanted: &str| {
        let found = lookup(root, path).and_then(Node::text);
        Cel::Bool(found.is_some_and(|text| text == wanted))
    };
    let texts = |list: &str, name: &str| {
        let list = lookup(root, list);
        let elements = list
            .into_iter()
            .flat_map(|list| (0..list.len()).filter_map(move |at| list.element(at)));
        let texts = elements.filter_map(|element| element.member(name)?.text());
        Cel::from(texts.map(|text| Cel::from(&*text)).collect::<Vec<Cel>>())
    };
    type Members = std::collections::HashMap<String, Cel>;
    let peer = |side: &str| {
        let at = |name: &str| text(&format!("{side}.{name}"));
        let named = Members::from([
            ("name".into(), at("name")),
            ("namespace".into(), at("namespace")),
        ]);
        Cel::from(Members::from([
            ("ip".into(), at("ip")),
            ("port".into(), int(&format!("{side}.port"))),
            ("name".into(), at("name")),
            ("pod".into(), named.clone().into()),
            ("service".into(), named.into()),
        ]))
    };
    let mut context = base.new_inner_scope();
    for name in names {
        let value = match name.as_str() {
            "http" | "dns" | "redis" | "kafka" => is("protocol.name", name),
            "grpc" => is("protocol.abbr", "gRPC"),
            "src" | "dst" => peer(name),
            "request" => {
                let headers = lookup(root, "request.headers");
                let entries = headers
                    .into_iter()
                    .flat_map(|map| (0..map.len()).filter_map(move |at| map.entry(at)));
                let headers: Members = entries
                    .filter_map(|(name, value)| {
                        Some((name.to_lowercase(), Cel::from(&*value.text()?)))
                    })
                    .collect();
                Members::from([("headers".into(), headers.into())]).into()
            }
            "method" | "url" | "path" => text(&format!("request.{name}")),
            "status_code" => int("response.status"),
            "response_body_size" => int("response.bodySize"),
            "elapsed_time" => Cel::Int(root.elapsed_micros().unwrap_or_default()),
            "namespaces" => Cel::from(vec![text("src.namespace"), text("dst.namespace")]),
            "dns_response" => {
                Cel::Bool(lookup(root, "response").is_some_and(|node| node.kind() != Kind::Null))
            }
            "dns_questions" => texts("request.questions", "name"),
            "dns_answers" => texts("response.answers", "ip"),
            "redis_type" => text("request.command"),
            "redis_key" => text("request.key"),
            "kafka_api_key_name" => text("request.apiKeyName"),
            "kafka_request_summary" => text("request.summary"),
            "kafka_size" => int("request.size"),
            "grpc_status" => int("response.headers.grpc-status"),
            "grpc_method" => {
                let path = lookup(root, "request.path")
                    .and_then(Node::text)
                    .unwrap_or_default();
                Cel::from(path.rsplit('/').next().unwrap_or_default())
            }
            _ => continue,
        };
        context.add_variable_from_value(name.as_str(), value);
    }
    context
}

/// Published queries that match, by the kind of item they are asked of.
const QUERIES: &[(Dialect, &str, &str)] = &[
    (Dialect::V2, "http", "http"),
    (Dialect::V2, "http", "http && status_code >= 500"),
    (
        Dialect::V2,
        "http",
        r#"http && method == "POST" && status_code >= 500 && path.contains("/api")"#,
    ),
    (
        Dialect::V2,
        "http",
        r#"http && dst.pod.namespace == "production" && status_code >= 500 && dst.service.name == "payment-service" && path.contains("/charge") && elapsed_time > 2000000"#,
    ),
    (
        Dialect::V2,
        "http",
        r#"http && url.matches(".*/api/v[0-9]+/.*")"#,
    ),
    (
        Dialect::V2,
        "http",
        r#"http && "authorization" in request.headers"#,
    ),
    (
        Dialect::V2,
        "http",
        r#"http && request.headers["content-type"] == "application/json""#,
    ),
    (Dialect::V2, "http", "http && response_body_size > 10000"),
    (Dialect::V2, "http", r#""production" in namespaces"#),
    (
        Dialect::V2,
        "http",
        "dst.port == 80 || dst.port == 443 || dst.port == 8080",
    ),
    (Dialect::V2, "http", "dst.port >= 8000 && dst.port <= 9000"),
    (
        Dialect::V2,
        "http",
        r#"src.ip.startsWith("10.244.") && http && method == "POST" && url.contains("/api")"#,
    ),
    (
        Dialect::V2,
        "http",
        "src.pod.namespace != dst.pod.namespace",
    ),
    (Dialect::V2, "http", "!dns"),
    (Dialect::V2, "grpc", "grpc && grpc_status == 14"),
    (
        Dialect::V2,
        "grpc",
        r#"grpc && grpc_status != 0 && grpc_method.contains("charge")"#,
    ),
    (
        Dialect::V2,
        "dns",
        r#"dns && dns_questions.exists(q, q.contains("minexmr"))"#,
    ),
    (
        Dialect::V2,
        "dns",
        "dns && dns_response && size(dns_answers) > 0",
    ),
    (
        Dialect::V2,
        "redis",
        r#"redis && redis_type == "GET" && redis_key.startsWith("session:")"#,
    ),
    (
        Dialect::V2,
        "kafka",
        r#"kafka && kafka_api_key_name == "PRODUCE" && kafka_request_summary.contains("orders")"#,
    ),
    (Dialect::V1, "http", "http and response.status == 503"),
    (Dialect::V1, "http", r#"http and response.status == r"5.*""#),
    (
        Dialect::V1,
        "http",
        r#"http and response.status >= 500 and dst.namespace == "production""#,
    ),
    (
        Dialect::V1,
        "http",
        r#"request.headers["Authorization"] == r"Token.*""#,
    ),
    (Dialect::V1, "http", "!dns and !tcp and !udp and !icmp"),
    (
        Dialect::V1,
        "http",
        r#"(src.namespace=="ns1" and dst.namespace=="ns2") or (src.namespace=="shop" and dst.namespace=="production")"#,
    ),
    (Dialect::V1, "http", r#"request.path.startsWith("/api")"#),
    (
        Dialect::V1,
        "dns",
        r#"request.questions[0].name == "pool.minexmr.com""#,
    ),
    (
        Dialect::V1,
        "redis",
        r#"redis and request.key == "session:9921""#,
    ),
];

fn items() -> [(&'static str, Item); 5] {
    [
        ("http", http(&HTTP)),
        ("grpc", http(&GRPC)),
        ("dns", dns()),
        ("redis", redis()),
        ("kafka", kafka()),
    ]
}

fn compiled(dialect: Dialect, text: &str, schema: &Schema) -> Query {
    compile_as(text, dialect, schema).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn schema() -> Schema {
    Schema::new(ENVELOPE, [&HTTP, &GRPC, &DNS, &REDIS, &KAFKA])
}

/// Nanoseconds of one call: the fastest of many batches, which others disturb least.
fn nanos<T>(mut call: impl FnMut() -> T) -> f64 {
    let mut best = f64::INFINITY;
    let mut count = 1u32;
    for _ in 0..40 {
        let start = Instant::now();
        for _ in 0..count {
            black_box(call());
        }
        let took = start.elapsed().as_nanos() as f64;
        best = best.min(took / f64::from(count));
        if took < 500_000.0 {
            count = count.saturating_mul(2).min(1 << 20);
        }
    }
    best
}

fn table() {
    let (items, schema) = (items(), schema());
    println!(
        "{:>7} {:>7} {:>7} {:>7} {:>7}  {:>7} {:>6} {:>7} {:>6} {:>7}  query",
        "typed", "flat", "json", "build", "compile", "cel", "times", "ready", "times", "compile"
    );
    for (dialect, kind, text) in QUERIES {
        let Some((_, item)) = items.iter().find(|(name, _)| name == kind) else {
            continue;
        };
        let query = compiled(*dialect, text, &schema);
        assert_eq!(query.matches(item.node(), NOW), Verdict::Match, "{text}");
        let mut record = Vec::new();
        flat::encode(item, &mut record);
        let flat = flat::Flat::new(&record).expect("a record was just made");
        let json = serde_json::to_value(AsJson(item.node())).expect("items are JSON");
        let typed = nanos(|| query.matches(black_box(item.node()), NOW));
        let flat = nanos(|| query.matches(black_box(flat), NOW));
        let walked = nanos(|| query.matches(JsonNode(black_box(&json)), NOW));
        let built = nanos(|| {
            let json =
                serde_json::to_value(AsJson(black_box(item).node())).expect("items are JSON");
            query.matches(JsonNode(&json), NOW)
        });
        let compile = nanos(|| compile_as(black_box(text), *dialect, &schema));
        let mut cel = String::new();
        if *dialect == Dialect::V2 {
            let context = variables(kind);
            let program = Program::compile(text).expect("published queries are CEL");
            let value = program.execute(&context);
            assert!(matches!(value, Ok(Cel::Bool(true))), "{text}: {value:?}");
            let ready = nanos(|| program.execute(black_box(&context)));
            let base = Context::default();
            let names: Vec<String> = program
                .references()
                .variables()
                .into_iter()
                .map(str::to_owned)
                .collect();
            let value = program.execute(&made(&base, &names, item));
            assert!(matches!(value, Ok(Cel::Bool(true))), "{text}: {value:?}");
            let took = nanos(|| program.execute(&made(&base, &names, black_box(item))));
            let compile = nanos(|| Program::compile(black_box(text)));
            let (times, times_ready) = (took / typed, ready / typed);
            cel =
                format!("{took:>7.0} {times:>6.1} {ready:>7.0} {times_ready:>6.1} {compile:>7.0}");
        }
        println!(
            "{typed:>7.0} {flat:>7.0} {walked:>7.0} {built:>7.0} {compile:>7.0}  {cel:>37}  {text}"
        );
    }
}

fn queries(to: &mut Criterion) {
    table();
    let (items, schema) = (items(), schema());
    for (dialect, kind, text) in QUERIES {
        let Some((_, item)) = items.iter().find(|(name, _)| name == kind) else {
            continue;
        };
        let query = compiled(*dialect, text, &schema);
        let mut group = to.benchmark_group(*text);
        group.bench_function("typed", |b| {
            b.iter(|| query.matches(black_box(item.node()), NOW))
        });
        if *dialect == Dialect::V2 {
            let context = variables(kind);
            let program = Program::compile(text).expect("published queries are CEL");
            group.bench_function("cel", |b| b.iter(|| program.execute(black_box(&context))));
        }
        group.bench_function("build", |b| {
            b.iter(|| {
                let json =
                    serde_json::to_value(AsJson(black_box(item).node())).expect("items are JSON");
                query.matches(JsonNode(&json), NOW)
            })
        });
        group.bench_function("compile", |b| {
            b.iter(|| compile_as(black_box(text), *dialect, &schema))
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(std::time::Duration::from_millis(100))
        .measurement_time(std::time::Duration::from_millis(400));
    targets = queries
}
criterion_main!(benches);
