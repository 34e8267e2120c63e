//! How long one usual query takes on one item, in each form an item has.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use tapedeck::item::json::{JsonNode, to_string};
use tapedeck::item::{ENVELOPE, Item, Key, Origin, Peer, ProtocolInfo, Value, flat};
use tapedeck::kfl::{Dialect, Schema, Verdict, compile_as};
use tapedeck::packet::{Endpoint, StreamId, StreamName, Transport};
use tapedeck::time::Timestamp;

static HTTP: ProtocolInfo = ProtocolInfo {
    name: "http",
    version: "1.1",
    abbr: "HTTP",
    long_name: "Hypertext Transfer Protocol -- HTTP/1.1",
    macro_name: "http",
    background: "#326de6",
    foreground: "#ffffff",
    font_size: 12,
    reference: "https://www.rfc-editor.org/rfc/rfc9112",
    ports: &["80", "443", "8080"],
    layer4: "tcp",
    priority: 0,
};

fn object(members: Vec<(&'static str, Value)>) -> Value {
    let members = members
        .into_iter()
        .map(|(name, value)| (Key::from(name), value));
    Value::Object(members.collect())
}

fn item() -> Item {
    let peer = |last, port| {
        Peer::unresolved(Endpoint {
            ip: [10, 244, 1, last].into(),
            port,
        })
    };
    let headers = || {
        object(vec![
            ("Host", Value::text("cart.shop")),
            ("User-Agent", Value::text("probe/1.4")),
            ("Content-Type", Value::text("application/json")),
        ])
    };
    Item {
        number: 7,
        index: 0,
        stream: StreamName {
            stream: StreamId(42),
            transport: Transport::Tcp,
        },
        protocol: &HTTP,
        tls: false,
        src: peer(5, 51514),
        dst: peer(9, 8080),
        start: Timestamp::from_secs(1_706_933_106, 0),
        elapsed_nanos: 12_345_678,
        request_size: 310,
        response_size: 196,
        request: object(vec![
            ("method", Value::text("POST")),
            ("path", Value::text("/orders")),
            ("headers", headers()),
        ]),
        response: object(vec![("status", Value::Int(500)), ("headers", headers())]),
        data: Value::Null,
        error: None,
        ordinal: 1,
        origin: Arc::new(Origin::default()),
        record: Arc::from(""),
    }
}

fn queries(to: &mut Criterion) {
    let item = item();
    let mut record = Vec::new();
    flat::encode(&item, &mut record);
    let flat = flat::Flat::new(&record).expect("a record was just made");
    let json = serde_json::from_str(&to_string(item.node())).expect("JSON was just made");
    let schema = Schema::new(ENVELOPE, [&HTTP]);
    for (dialect, text) in [
        (Dialect::V1, "http and response.status == 500"),
        (
            Dialect::V1,
            r#"http and request.headers["User-Agent"] == r"^probe""#,
        ),
        (Dialect::V1, r#"dst.port == 8080 and src.namespace == """#),
        (Dialect::V2, "http && status_code == 500"),
    ] {
        let Ok(query) = compile_as(text, dialect, &schema) else {
            continue;
        };
        let now = Timestamp::default();
        assert_eq!(query.matches(item.node(), now), Verdict::Match, "{text}");
        let mut group = to.benchmark_group(text);
        group.bench_function("typed", |b| {
            b.iter(|| query.matches(black_box(item.node()), now))
        });
        group.bench_function("flat", |b| b.iter(|| query.matches(black_box(flat), now)));
        group.bench_function("json", |b| {
            b.iter(|| query.matches(black_box(JsonNode(&json)), now))
        });
        group.finish();
    }
    to.bench_function("compile", |b| {
        b.iter(|| {
            compile_as(
                black_box("http and response.status == 500"),
                Dialect::V1,
                &schema,
            )
        })
    });
}

criterion_group!(benches, queries);
criterion_main!(benches);
