//! Tests of writing an index and reading it again.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::item::{ENVELOPE, Identity, Item, Key, Value, json, sample};
use crate::kfl::{self, Schema, Verdict};
use crate::packet::{StreamId, StreamName, Transport};
use crate::time::Timestamp;

fn place(packet: u64) -> Place {
    Place {
        stream: StreamName {
            stream: StreamId(42),
            transport: Transport::Tcp,
        },
        packet: Some(packet),
        frames: Some((1, 3)),
    }
}

fn written(items: &[Item]) -> Bytes {
    let mut writer = Writer::new(Vec::new(), "errors").unwrap();
    for item in items {
        writer.push(item, &place(item.ordinal)).unwrap();
    }
    let (summary, bytes) = writer.finish().unwrap();
    assert_eq!(summary.items, items.len() as u64);
    bytes.into()
}

fn opened(bytes: &Bytes) -> Reader {
    Reader::open(Arc::new(bytes.clone())).unwrap()
}

fn items(count: u32) -> Vec<Item> {
    let varied = |index| {
        let mut item = sample::http();
        item.index = index;
        item.ordinal = u64::from(index) + 5;
        item.start = Timestamp::from_secs(1_706_933_106 + i64::from(index), 7);
        item.src.name = Arc::from(format!("web-{}", index % 3));
        item.record = Arc::from("errors");
        if index % 3 == 1 {
            let name = format!("web-{index}");
            let who = serde_json::json!({
                "pod": {"metadata": {"name": name, "labels": {"app": "web"}}},
                "service": {"metadata": {"name": "web"}},
            });
            item.src.identity = Identity::from_json(&who).map(Arc::new);
        }
        item
    };
    (0..count).map(varied).collect()
}

fn shown(item: &Item) -> serde_json::Value {
    serde_json::from_str(&json::to_string(item.node())).unwrap()
}

#[test]
fn an_item_reads_back_but_for_its_bodies() {
    let items = items(3);
    let reader = opened(&written(&items));
    let block = reader.read(0, &whole()).unwrap();
    for (row, item) in items.iter().enumerate() {
        let kinds = [item.protocol];
        let read = block.item(row, &kinds, &item.origin).unwrap();
        let mut wanted = shown(item);
        wanted["response"]["content"]["text"] = serde_json::Value::Null;
        assert_eq!(shown(&read), wanted);
        assert!(block.is_cut(row));
        assert_eq!(block.place(row), Some(place(item.ordinal)));
    }
}

#[test]
fn questions_are_answered_by_as_little_as_holds_the_answer() {
    let reader = opened(&written(&items(3)));
    let names = |paths: &[&str]| match reader.need(paths.iter().copied()) {
        Need::Packets => "packets".to_owned(),
        Need::Columns(columns) => {
            let names = columns.iter().map(|index| COLUMNS[*index].name);
            let fixed = |name: &&str| !name.starts_with("protocol") && *name != "transport";
            names.filter(fixed).collect::<Vec<_>>().join(" ")
        }
    };
    assert_eq!(
        names(&["response.status"]),
        "timestamp timestamp_nanos elapsed_nanos status"
    );
    assert_eq!(
        names(&["request.headers"]),
        "timestamp timestamp_nanos elapsed_nanos method path query trace_id span_id trace_flags \
         request_id request"
    );
    assert_eq!(
        names(&["response.content.size"]),
        "timestamp timestamp_nanos elapsed_nanos status response"
    );
    assert_eq!(names(&["response.content.text"]), "packets");
    assert_eq!(names(&["response"]), "packets");
}

#[test]
fn columns_alone_decide_as_the_item_does() {
    let items = items(9);
    let reader = opened(&written(&items));
    let schema = Schema::new(ENVELOPE, [items[0].protocol]);
    for text in [
        "http and response.status == 500",
        "response.status != 500",
        "src.name == \"web-1\"",
        "src.pod.metadata.name == \"web-4\"",
        "src.service.metadata.name == \"web\"",
        "outgoing == true",
        "dst.pod.metadata.name == \"web-4\"",
        "status_code >= 400 && src.name == \"web-2\"",
        "request.method == \"POST\" and elapsedTime > 5000",
        "dst.namespace == \"shop\" and dst.port == \"8080\"",
        "timestamp > 1706933108000",
    ] {
        let query = kfl::compile(text, &schema).unwrap();
        let paths = query.paths();
        let Need::Columns(wanted) = reader.need(paths.iter().map(String::as_str)) else {
            panic!("{text} is answered by columns");
        };
        let block = reader.read(0, &wanted).unwrap();
        let now = Timestamp::default();
        for (row, item) in items.iter().enumerate() {
            let read = block.item(row, &[item.protocol], &item.origin).unwrap();
            assert_eq!(
                query.matches(read.node(), now),
                query.matches(item.node(), now),
                "{text}"
            );
        }
        let condition = query.column_condition(now);
        let matches = items
            .iter()
            .any(|item| query.matches(item.node(), now) == Verdict::Match);
        if let Some(condition) = condition {
            assert!(
                reader.may_hold(0, &condition).unwrap() || !matches,
                "{text}"
            );
        }
    }
}

/// Items whose requests say in their headers what they belong to, in all forms.
fn with_ids() -> Vec<Item> {
    let headers: [&[(&str, String)]; 8] = [
        &[
            ("X-Request-Id", "a-1".into()),
            ("traceparent", parent('1', "01")),
        ],
        &[
            ("x-request-id", "a-2".into()),
            ("Traceparent", parent('2', "00")),
        ],
        &[
            ("X-Correlation-Id", "a-3".into()),
            ("X-Request-Id", "a-1".into()),
        ],
        &[
            ("Request-Id", "a-4".into()),
            ("X-B3-TraceId", "3".repeat(16)),
        ],
        &[
            ("X-B3-TraceId", "ABCDEF0123456789".into()),
            ("x-b3-spanid", "4".repeat(16)),
        ],
        &[
            ("x-request-id", "a-5".into()),
            ("X-Request-Id", "a-6".into()),
        ],
        &[
            ("traceparent", "00-not-a-trace".into()),
            ("X-Request-Id", "x".repeat(200)),
        ],
        &[("Traceparent", parent('e', "01").to_ascii_uppercase())],
    ];
    let of = |(index, headers): (usize, &&[(&str, String)])| {
        let headers = headers.iter().map(|(name, value)| {
            (
                Key::Bytes(Bytes::from((*name).to_owned())),
                Value::text(value.clone()),
            )
        });
        let mut item = sample::http();
        item.ordinal = index as u64;
        item.request = Value::Object(vec![
            ("method".into(), Value::Static("GET")),
            ("headers".into(), Value::Object(headers.collect())),
        ]);
        item
    };
    headers.iter().enumerate().map(of).collect()
}

fn parent(digit: char, flags: &str) -> String {
    let hex = |count: usize| digit.to_string().repeat(count);
    format!("00-{}-{}-{flags}", hex(32), hex(16))
}

#[test]
fn requests_are_found_by_their_ids_as_by_their_headers() {
    let items = with_ids();
    let schema = Schema::new(ENVELOPE, [items[0].protocol]);
    let now = Timestamp::default();
    let names = [
        "x-request-id",
        "X-Request-Id",
        "X-Correlation-Id",
        "request-id",
        "traceparent",
        "Traceparent",
        "X-B3-TraceId",
        "x-b3-spanid",
    ];
    let mut values: Vec<String> = (1..=7).map(|number| format!("a-{number}")).collect();
    values.extend(['1', '2', '9'].map(|digit| parent(digit, "01")));
    values.extend([
        parent('2', "00"),
        parent('e', "01"),
        parent('e', "01").to_ascii_uppercase(),
    ]);
    values.extend(["abcdef0123456789", "ABCDEF0123456789", "00-not-a-trace"].map(str::to_owned));
    values.extend(["x".repeat(200), "3".repeat(16), "4".repeat(16)]);
    let (mut found, mut ruled_out) = (0, 0);
    // All in one file, and each in one of its own, whose filter then is as narrow as it can be.
    let files = std::iter::once(items.clone()).chain(items.iter().map(|item| vec![item.clone()]));
    for items in files {
        let reader = opened(&written(&items));
        for (name, value) in names
            .iter()
            .flat_map(|name| values.iter().map(move |value| (name, value)))
        {
            let text = format!("request.headers[{name:?}] == {value:?}");
            let query = kfl::compile(&text, &schema).unwrap();
            let condition = query.column_condition(now);
            let may = condition
                .as_ref()
                .is_none_or(|condition| reader.may_hold(0, condition).unwrap());
            let paths = query.paths();
            let Need::Columns(wanted) = reader.need(paths.iter().map(String::as_str)) else {
                panic!("{text} is answered by columns");
            };
            let block = reader.read(0, &wanted).unwrap();
            let passed = reader.sieve(condition.as_ref()).rows(&block);
            for (row, item) in items.iter().enumerate() {
                let is_match = query.matches(item.node(), now) == Verdict::Match;
                let read = block.item(row, &[item.protocol], &item.origin).unwrap();
                assert_eq!(
                    query.matches(read.node(), now) == Verdict::Match,
                    is_match,
                    "{text}"
                );
                assert!(
                    may && passed.contains(&row) || !is_match,
                    "{text}, row {row}"
                );
                found += usize::from(is_match);
            }
            ruled_out += usize::from(!may);
        }
        let block = reader.read(0, &whole()).unwrap();
        for (row, item) in items.iter().enumerate() {
            let read = block.item(row, &[item.protocol], &item.origin).unwrap();
            assert_eq!(shown(&read)["request"], shown(item)["request"]);
        }
    }
    assert!(
        found > 20 && ruled_out > 100,
        "{found} found, {ruled_out} ruled out"
    );
}

#[test]
fn what_no_item_has_is_ruled_out_without_reading_items() {
    let items = items(9);
    let reader = opened(&written(&items));
    let schema = Schema::new(ENVELOPE, [items[0].protocol]);
    for (text, may) in [
        ("response.status == 500", true),
        ("response.status == 404", false),
        ("src.name == \"web-1\"", true),
        // Within the bounds of the names, so the Bloom filter tells.
        ("src.name == \"web-11\"", false),
        ("timestamp < 1600000000000", false),
        ("elapsedTime > 12345", false),
        ("elapsedTime >= 12345", true),
        ("elapsed_time == 12345", true),
        ("elapsed_time in [12345, 1]", true),
        ("elapsed_time in [12000, 12346]", false),
        ("redis", false),
    ] {
        let query = kfl::compile(text, &schema).unwrap();
        let condition = query.column_condition(Timestamp::default()).unwrap();
        assert_eq!(reader.may_hold(0, &condition).unwrap(), may, "{text}");
    }
}

#[test]
fn a_value_of_another_type_is_not_answered_from_its_column() {
    let mut items = items(2);
    items[1].response = Value::Object(vec![("status".into(), Value::Static("fine"))]);
    let reader = opened(&written(&items));
    let Need::Columns(wanted) = reader.need(["response.status"]) else {
        panic!("the JSON holds it");
    };
    let block = reader.read(0, &wanted).unwrap();
    let read = block
        .item(1, &[items[1].protocol], &items[1].origin)
        .unwrap();
    assert_eq!(shown(&read)["response"]["status"], "fine");
    let schema = Schema::new(ENVELOPE, [items[0].protocol]);
    let query = kfl::compile("response.status == \"fine\"", &schema).unwrap();
    let condition = query.column_condition(Timestamp::default()).unwrap();
    assert!(reader.may_hold(0, &condition).unwrap());
}

#[test]
fn keys_tell_the_time_that_a_file_spans() {
    let writer = Writer::new(Vec::new(), "r").unwrap();
    let (summary, _) = writer.finish().unwrap();
    assert_eq!(ending(summary.seconds()), "items.parquet");
    let key = format!("a/b-0123.{}", ending(Some((5, 9))));
    assert_eq!(span_of(&key), Some((5, 9)));
    assert_eq!(span_of("a/b-0123.items.parquet"), None);
}

#[test]
fn damage_is_an_error() {
    let bytes = written(&items(20));
    for cut in [0, 3, 12, bytes.len() / 2, bytes.len() - 1] {
        assert!(Reader::open(Arc::new(bytes.slice(..cut))).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_damage_makes_reading_panic(at in 0usize..100_000, byte in any::<u8>()) {
        let mut bytes = written(&items(20)).to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        let Ok(reader) = Reader::open(Arc::new(Bytes::from(bytes))) else { return Ok(()) };
        for group in 0..reader.groups() {
            if let Ok(block) = reader.read(group, &whole()) {
                for row in 0..block.len() {
                    let _ = block.item(row, &[sample::http().protocol], &Arc::default());
                }
            }
        }
    }
}
