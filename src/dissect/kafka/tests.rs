//! Tests of Kafka.

mod records;

use std::collections::BTreeMap;
use std::io::Write;

use bytes::{BufMut, Bytes};
use proptest::prelude::*;

use super::super::Protocols;
use super::super::robustness::{Feed, Sample};
use super::super::{Draft, enabled, truth};
use super::decode::{Limits, Reading, decode};
use super::header::{looks_like_request, request_header};
use super::records::records;
use super::render;
use super::schema::{APIS, Api};
use crate::item::{ItemNode, MAX_ITEM_BODY, Node, Value, json, lookup};
use crate::packet::{Direction, Transport};
use crate::time::Timestamp;

const UP: Direction = Direction::ToServer;
const DOWN: Direction = Direction::ToClient;

/// A request of a version that is not flexible.
fn request(key: i16, version: i16, correlation_id: i32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_u32(8 + 2 + 3 + body.len() as u32);
    bytes.put_i16(key);
    bytes.put_i16(version);
    bytes.put_i32(correlation_id);
    bytes.put_u16(3);
    bytes.put_slice(b"svc");
    bytes.put_slice(body);
    bytes
}

/// A response whose header is not flexible.
fn response(correlation_id: i32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_u32(4 + body.len() as u32);
    bytes.put_i32(correlation_id);
    bytes.put_slice(body);
    bytes
}

/// Metadata 1 about the topic `orders`, as in the data item's reference.
fn metadata(correlation_id: i32) -> [Vec<u8>; 2] {
    let broker = b"\0\0\0\x01\0\0\0\x01\0\x07kafka-0\0\0\x23\x84\xff\xff";
    let topic = b"\0\0\0\x01\0\0\0\x01\0\0\0\x06orders\0\0\0\0\0";
    [
        request(3, 1, correlation_id, b"\0\0\0\x01\0\x06orders"),
        response(correlation_id, &[&broker[..], &topic[..]].concat()),
    ]
}

/// Produce 3 to partition 0 of `orders`.
fn produce(correlation_id: i32, acks: i16, records: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_i16(-1);
    body.put_i16(acks);
    body.put_i32(1500);
    body.put_slice(b"\0\0\0\x01\0\x06orders\0\0\0\x01\0\0\0\0");
    body.put_u32(records.len() as u32);
    body.put_slice(records);
    request(0, 3, correlation_id, &body)
}

/// Fetch 4 of partition 0 of `orders`, answered with `records`.
fn fetch(correlation_id: i32, records: &[u8]) -> [Vec<u8>; 2] {
    let ask = b"\xff\xff\xff\xff\0\0\x01\xf4\0\0\0\x01\x03\x20\0\0\0\0\0\0\x01\0\x06orders\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\x05\0\x10\0\0";
    let mut body = b"\0\0\0\0\0\0\0\x01\0\x06orders\0\0\0\x01".to_vec();
    body.put_slice(b"\0\0\0\0\0\0\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x09\xff\xff\xff\xff");
    body.put_u32(records.len() as u32);
    body.put_slice(records);
    [
        request(1, 4, correlation_id, ask),
        response(correlation_id, &body),
    ]
}

fn varint(value: i64) -> Vec<u8> {
    let mut left = ((value << 1) ^ (value >> 63)) as u64;
    let mut bytes = Vec::new();
    while left >= 0x80 {
        bytes.push(left as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
    bytes
}

/// Records of a batch: key `k<n>`, value `value`, one header.
fn plain_records(count: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 0..count {
        let key = format!("k{number}");
        let mut record = vec![0];
        record.extend(varint(number as i64));
        record.extend(varint(number as i64));
        record.extend(varint(key.len() as i64));
        record.extend(key.bytes());
        record.extend(varint(value.len() as i64));
        record.extend(value);
        record.extend(varint(1));
        record.extend(b"\x02h\x02v");
        bytes.extend(varint(record.len() as i64));
        bytes.extend(record);
    }
    bytes
}

/// A batch of magic 2 at offset 100.
fn batch(attributes: i16, count: usize, packed: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_i64(100);
    bytes.put_u32(49 + packed.len() as u32);
    bytes.put_i32(7);
    bytes.put_u8(2);
    bytes.put_u32(0xdead_beef);
    bytes.put_i16(attributes);
    bytes.put_i32(count as i32 - 1);
    bytes.put_i64(1_700_000_000_000);
    bytes.put_i64(1_700_000_000_009);
    bytes.put_i64(-1);
    bytes.put_i16(-1);
    bytes.put_i32(-1);
    bytes.put_i32(count as i32);
    bytes.put_slice(packed);
    bytes
}

/// A message of magic 0 or 1.
fn old_message(magic: u8, attributes: u8, offset: i64, value: &[u8]) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 9, magic, attributes];
    if magic == 1 {
        body.put_i64(1_700_000_000_000);
    }
    body.put_i32(1);
    body.push(b'k');
    body.put_i32(value.len() as i32);
    body.put_slice(value);
    let mut bytes = Vec::new();
    bytes.put_i64(offset);
    bytes.put_i32(body.len() as i32);
    bytes.extend(body);
    bytes
}

fn snappy(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).unwrap()
}

fn snappy_java(bytes: &[u8]) -> Vec<u8> {
    let mut out = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
    for block in bytes.chunks(50) {
        let packed = snappy(block);
        out.put_u32(packed.len() as u32);
        out.extend(packed);
    }
    out
}

fn lz4(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn samples() -> Vec<Sample> {
    let sample = |name, server_port, turns: Vec<(Direction, Vec<u8>)>, items| Sample {
        name,
        transport: Transport::Tcp,
        server_port,
        turns,
        items,
    };
    let [ask, answer] = metadata(7);
    let [fetch, fetched] = fetch(9, &batch(1, 3, &gzip(&plain_records(3, b"one"))));
    let produced = response(8, b"\0\0\0\x01\0\x06orders\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0");
    vec![
        sample(
            "metadata, a produce, a fetch",
            9092,
            vec![
                (UP, ask.clone()),
                (DOWN, answer.clone()),
                (UP, produce(8, -1, &batch(0, 2, &plain_records(2, b"two")))),
                (DOWN, produced),
                (UP, fetch),
                (DOWN, fetched),
            ],
            3,
        ),
        sample(
            "on an unusual port: no acknowledgement wanted, two in flight, one without response",
            39851,
            vec![
                (UP, produce(6, 0, &batch(0, 1, &plain_records(1, b"x")))),
                (
                    UP,
                    [metadata(7)[0].clone(), metadata(8)[0].clone()].concat(),
                ),
                (DOWN, metadata(8)[1].clone()),
            ],
            3,
        ),
        sample(
            "flexible versions",
            9092,
            vec![
                (
                    UP,
                    b"\0\0\0\x1a\0\x12\0\x03\0\0\0\x01\0\x03svc\0\x04lib\x064.2.0\0".to_vec(),
                ),
                (
                    DOWN,
                    b"\0\0\0\x11\0\0\0\x01\0\0\x02\0\x12\0\0\0\x04\0\0\0\0\0\0".to_vec(),
                ),
            ],
            1,
        ),
    ]
}

fn reading(version: i16, flexible: bool) -> Reading {
    Reading {
        version,
        flexible,
        with_records: true,
        names: Bytes::new(),
    }
}

fn kafka() -> Feed {
    Feed::new(Transport::Tcp, 9092, &Protocols::all())
}

fn shown(value: &Value) -> String {
    json::to_string(ItemNode::of_value(value))
}

fn text(value: &Value, path: &str) -> String {
    let Some(node) = lookup(ItemNode::of_value(value), path) else {
        return String::new();
    };
    match node.int() {
        Some(number) => number.to_string(),
        None => node.text().unwrap_or_default().into_owned(),
    }
}

fn error(draft: &Draft) -> &'static str {
    draft.error.as_ref().map_or("", |error| error.kind)
}

/// API and correlation number of each item, with its error.
fn brief(drafts: &[Draft]) -> Vec<String> {
    drafts
        .iter()
        .map(|draft| {
            let side = match draft.request {
                Value::Null => &draft.response,
                _ => &draft.request,
            };
            let answered = match draft.response {
                Value::Null => "",
                _ => "!",
            };
            let name = text(&draft.request, "apiKeyName");
            let number = text(side, "correlationID");
            format!("{name} {number}{answered} {}", error(draft))
                .trim()
                .to_string()
        })
        .collect()
}

#[test]
fn an_item_has_the_shape_of_the_reference() {
    let [ask, answer] = metadata(7);
    let mut feed = kafka();
    feed.at(Timestamp::from_secs(1_706_933_106, 0))
        .chunk(UP, &ask)
        .at(Timestamp::from_secs(1_706_933_106, 2_000_000))
        .chunk(DOWN, &answer);
    let drafts = feed.end();
    assert_eq!(
        shown(&drafts[0].request),
        r#"{"size":25,"apiKeyName":"Metadata","apiKey":3,"apiVersion":1,"correlationID":7,"clientID":"svc","payload":{"topics":[{"name":"orders"}]},"captureTime":"2024-02-03T04:05:06.000000000Z","summary":"orders"}"#
    );
    assert_eq!(
        shown(&drafts[0].response),
        r#"{"size":50,"correlationID":7,"payload":{"brokers":[{"nodeId":1,"host":"kafka-0","port":9092,"rack":""}],"controllerID":1,"topics":[{"errorCode":0,"name":"orders","isInternal":false,"partitions":[]}]},"captureTime":"2024-02-03T04:05:06.002000000Z"}"#
    );
    assert_eq!(
        (error(&drafts[0]), drafts[0].elapsed_nanos),
        ("", 2_000_000)
    );
    assert_eq!((drafts[0].request_size, drafts[0].response_size), (29, 54));
}

/// One message of each API and version that is read whole, as the Python package `kio` writes it
/// from the message definitions of Apache Kafka 3.6 and 4.2; its values are random.
#[test]
fn every_version_is_read_to_its_last_byte() {
    let mut seen = 0;
    for line in include_str!("vectors.txt").lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let (key, version) = (words[0].parse().unwrap(), words[1].parse().unwrap());
        // What lists all groups has no fields in its first versions.
        let hex = words.get(3).copied().unwrap_or_default();
        let bytes: Vec<u8> = (0..hex.len() / 2)
            .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        let api = Api::of(key).unwrap();
        let layout = api.layouts.unwrap()[usize::from(words[2] == "response")];
        let flexible = api.is_flexible(version);
        let read = |bytes: &[u8]| {
            let bytes = Bytes::copy_from_slice(bytes);
            decode(&bytes, layout, reading(version, flexible))
        };
        assert!(read(&bytes).whole, "{line}");
        for end in 0..bytes.len() {
            assert!(!read(&bytes[..end]).whole, "{line} cut at {end}");
        }
        seen += 1;
    }
    // Version 0 of share groups was that of a preview.
    let first = |api: &Api| i16::from(matches!(api.key, 76 | 77));
    let all: i16 = APIS
        .iter()
        .filter(|api| api.layouts.is_some())
        .map(|api| 2 * (api.latest + 1 - first(api)))
        .sum();
    assert_eq!(seen, all);
}

#[test]
fn a_fetch_of_any_size_is_counted_and_cut() {
    let one = batch(0, 100, &plain_records(100, &[b'x'; 1000]));
    let [ask, answer] = fetch(7, &one.repeat(30));
    let mut feed = kafka();
    feed.chunk(UP, &ask);
    for part in answer.chunks(100_000) {
        feed.chunk(DOWN, part);
        assert!(feed.conversation().save().len() < 2 * MAX_ITEM_BODY);
    }
    let [ask, answer] = metadata(8);
    feed.chunk(UP, &ask).chunk(DOWN, &answer);
    let drafts = feed.end();
    assert_eq!(brief(&drafts), ["Fetch 7!", "Metadata 8!"]);
    assert_eq!(drafts[0].response_size, answer_size(&one.repeat(30)));
    assert!(drafts[0].response.is_cut() && !drafts[1].response.is_cut());
    let path = "payload.responses.0.partitionResponses.0.recordSet.recordBatch.record";
    let kept = lookup(ItemNode::of_value(&drafts[0].response), path).unwrap();
    assert!(kept.len() > 200, "{}", kept.len());
}

fn answer_size(records: &[u8]) -> u64 {
    fetch(7, records)[1].len() as u64
}

#[test]
fn a_gap_costs_the_messages_in_it_and_no_more() {
    let [ask, answer] = metadata(7);
    let mut feed = kafka();
    feed.chunk(UP, &ask)
        .chunk(DOWN, &answer[..20])
        .gap(DOWN, answer.len() - 25)
        .chunk(DOWN, &answer[answer.len() - 5..])
        .chunk(UP, &metadata(8)[0])
        .gap(DOWN, 300)
        .chunk(DOWN, b"the end of some other message")
        .chunk(UP, &metadata(9)[0])
        .chunk(DOWN, &metadata(9)[1])
        .gap(UP, 10)
        .chunk(DOWN, &metadata(10)[1])
        .chunk(UP, &metadata(11)[0])
        .chunk(DOWN, &metadata(11)[1]);
    let drafts = feed.end();
    assert_eq!(
        brief(&drafts),
        [
            "Metadata 7! dissection",
            "Metadata 8 pair-not-found",
            "Metadata 9!",
            "Metadata 11!",
            "10! pair-not-found",
        ]
    );
    assert_eq!(
        drafts[0].error.as_ref().unwrap().msg,
        "29 bytes of the response were not captured"
    );
}

#[test]
fn a_response_that_is_captured_before_its_request_finds_it() {
    let at = |millis: u32| Timestamp::from_secs(100, millis * 1_000_000);
    let mut feed = kafka();
    feed.at(at(0))
        .chunk(UP, &metadata(6)[0])
        .chunk(
            DOWN,
            &[metadata(6)[1].clone(), metadata(7)[1].clone()].concat(),
        )
        .at(at(1))
        .chunk(UP, &metadata(7)[0])
        .chunk(DOWN, &metadata(8)[1])
        .at(at(900))
        .chunk(UP, &metadata(8)[0]);
    assert_eq!(
        brief(&feed.end()),
        [
            "Metadata 6!",
            "Metadata 7!",
            "8! pair-not-found",
            "Metadata 8 pair-not-found"
        ]
    );
}

#[test]
fn open_requests_are_capped() {
    let mut feed = kafka();
    let large = batch(0, 1, &plain_records(1, &vec![b'x'; 400_000]));
    for number in 0..40 {
        feed.chunk(UP, &produce(number, 1, &large));
    }
    assert!(feed.conversation().save().len() < 5 << 20);
    for number in 0..2000 {
        feed.chunk(UP, &metadata(number)[0]);
    }
    let drafts = feed.end();
    assert_eq!(drafts.len(), 2040);
    assert_eq!(text(&drafts[3].request, "apiKeyName"), "Produce");
}

#[test]
fn tokens_behind_the_first_sasl_handshake_are_passed_over() {
    let mut feed = kafka();
    feed.chunk(UP, &request(17, 0, 7, b"\0\x05PLAIN"))
        .chunk(DOWN, &response(7, b"\0\0\0\0\0\x01\0\x05PLAIN"))
        .chunk(UP, b"\0\0\0\x0d\0alice\0secret")
        .chunk(DOWN, b"\0\0\0\0")
        .chunk(UP, &metadata(8)[0])
        .chunk(DOWN, &metadata(8)[1]);
    let drafts = feed.end();
    assert_eq!(brief(&drafts), ["SaslHandshake 7!", "Metadata 8!"]);
    assert_eq!(text(&drafts[0].request, "payload.mechanism"), "PLAIN");
    assert_eq!(text(&drafts[0].response, "payload.mechanisms.0"), "PLAIN");
}

#[test]
fn a_broker_that_does_not_know_the_version_answers_in_the_oldest() {
    let mut feed = kafka();
    feed.chunk(
        UP,
        b"\0\0\0\x1a\0\x12\0\x04\0\0\0\x01\0\x03svc\0\x04lib\x064.2.0\0",
    )
    .chunk(DOWN, &response(1, b"\0\x23\0\0\0\x01\0\x12\0\0\0\x03"));
    let drafts = feed.end();
    assert_eq!(text(&drafts[0].response, "payload.errorCode"), "35");
    assert_eq!(
        text(&drafts[0].response, "payload.apiKeys.0.maxVersion"),
        "3"
    );
    assert_eq!(text(&drafts[0].response, "payload.apiVersion"), "0");
}

#[test]
fn other_apis_are_read_up_to_their_header() {
    let mut feed = kafka();
    feed.chunk(UP, b"\0\0\0\x0f\0\x3c\0\x01\0\0\0\x01\0\x03svc\0\0")
        .chunk(DOWN, &response(1, b"\0\0\0"));
    let drafts = feed.end();
    assert_eq!(text(&drafts[0].request, "apiKeyName"), "DescribeCluster");
    assert_eq!(brief(&drafts), ["DescribeCluster 1!"]);
    assert_eq!(
        shown(&drafts[0].response),
        shown(&drafts[0].response).replace("payload\":{", "")
    );
}

#[test]
fn a_topic_identifier_has_the_name_that_the_stream_was_told() {
    let id = [7; 16];
    // Metadata 12: no broker, one topic of two parts: error, name, identifier.
    let told = [
        &b"\0\0\0\0\0\x01\0\0\0\0\0\x02\0\0\x07orders"[..],
        &id,
        b"\0\x01\x80\0\0\0\0\0",
    ]
    .concat();
    // Fetch 13 of no partition.
    let fetch = |id: &[u8]| {
        let settings = b"\xff\xff\xff\xff\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\0\0\0\0\0\0";
        let body = [b"\0", &settings[..], b"\x02", id, b"\x01\0\x01\x01\0"].concat();
        request(1, 13, 9, &body)
    };
    let mut feed = kafka();
    feed.chunk(UP, &request(3, 12, 8, b"\0\0\x01\0\0"))
        .chunk(DOWN, &response(8, &told))
        .chunk(UP, &fetch(&id))
        .chunk(UP, &fetch(&[8; 16]));
    let drafts = feed.end();
    let of = |draft: &Draft, path| text(&draft.request, path);
    assert_eq!(of(&drafts[1], "payload.topics.0.topic"), "orders");
    assert_eq!(
        of(&drafts[1], "payload.topics.0.topicID"),
        "BwcHBwcHBwcHBwcHBwcHBw"
    );
    assert_eq!(of(&drafts[1], "summary"), "orders");
    assert_eq!(of(&drafts[2], "payload.topics.0.topic"), "");
    assert_eq!(of(&drafts[2], "summary"), "CAgICAgICAgICAgICAgICA");
    assert!(
        drafts
            .iter()
            .all(|draft| !draft.request.is_cut() && !draft.response.is_cut())
    );
}

#[test]
fn what_only_looks_like_kafka_is_left_alone() {
    let payloads: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &[0; 64],
        &[0xff; 64],
        // The size says less than a header, the version is none, the client identifier is binary.
        b"\0\0\0\x04\0\x12\0\x03\0\0\0\x01\0\x03svc",
        b"\0\0\0\x40\0\x12\0\x30\0\0\0\x01\0\x03svc",
        b"\0\0\0\x40\0\x12\0\x03\0\0\0\x01\0\x03\0\x01\x02",
    ];
    for payload in payloads {
        let mut feed = Feed::new(Transport::Tcp, 8000, &enabled(&["kafka"]).0);
        feed.chunk(UP, payload).chunk(DOWN, payload);
        // The header of all zeros is a Produce 0 that its echo would confirm, but for its size.
        assert_eq!(feed.protocol(), None, "{payload:?}");
        assert!(feed.end().is_empty());
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_make_nothing_panic(
        bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(0xff)], 0..400),
        api in proptest::sample::select(APIS),
        version in -1..20i16,
    ) {
        looks_like_request(&bytes);
        let _ = request_header(&bytes);
        render::required_acks(&bytes);
        let body = Bytes::from(bytes.clone());
        for layout in api.layouts.into_iter().flatten() {
            shown(&decode(&body, layout, reading(version, api.is_flexible(version))).fields);
        }
        for magic in 0..3 {
            let mut damaged = batch(magic, 3, &bytes);
            damaged[16] = magic as u8;
            shown(&records(&Bytes::from(damaged), &mut Limits::default()));
        }
        shown(&records(&body, &mut Limits::default()));
        let mut kept = vec![0; 8];
        kept.put_i16(api.key);
        kept.put_i16(version);
        kept.put_u32(0);
        kept.put_slice(&bytes);
        shown(&render::request(&Bytes::from(kept.clone())));
        shown(&render::response(&Bytes::from(kept)));
    }
}

/// Requests by API key.
fn keys(drafts: &[Draft]) -> BTreeMap<String, u64> {
    let mut keys = BTreeMap::new();
    for draft in drafts {
        let key = text(&draft.request, "apiKey");
        if !key.is_empty() {
            *keys.entry(key).or_default() += 1;
        }
    }
    keys
}

/// Records under a path of each topic's partitions.
fn records_in(drafts: &[Draft], topics: &str, partitions: &str) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for draft in drafts {
        let item = match topics {
            "topicData" => &draft.request,
            _ => &draft.response,
        };
        let Some(list) = lookup(ItemNode::of_value(item), &format!("payload.{topics}")) else {
            continue;
        };
        for topic in (0..list.len()).filter_map(|at| list.element(at)) {
            let name = lookup(topic, "topic")
                .and_then(Node::text)
                .unwrap_or_default();
            let Some(partitions) = lookup(topic, partitions) else {
                continue;
            };
            let count = |node| {
                let path =
                    ["records", "recordSet"].map(|name| format!("{name}.recordBatch.record"));
                path.iter()
                    .find_map(|path| lookup(node, path))
                    .map_or(0, Node::len)
            };
            let each: usize = match partitions.len() {
                0 => 0,
                _ if partitions.element(0).is_none() => count(partitions),
                len => (0..len)
                    .filter_map(|at| partitions.element(at))
                    .map(count)
                    .sum(),
            };
            *found.entry(name.into_owned()).or_default() += each;
        }
    }
    found
}

/// Requests, pairs, responses without request, and records fetched, of each capture, and why the
/// responses are not those of `truth.json`: tshark counts none of a version that it does not know.
///
/// `constructed.json` has 36 records produced to `events` and 9 to `orders`, and 45 that the client
/// consumed; it fetched those of earlier runs too, up to the high watermark, and left them unread.
const CAPTURES: &[(&str, [usize; 4], &[u64], &str)] = &[
    (
        "kafka/ndpi-kafka.pcapng",
        [14, 11, 1, 0],
        &[5, 6, 7, 19, 21, 22, 37],
        "tshark has 10: the last response is of a version that it does not know; three streams are cut \
         off behind a request, one response has lost its request, two come before any",
    ),
    (
        "kafka/own-kafka-librdkafka-mock-lo.pcap",
        [52, 52, 0, 119],
        &[
            25, 27, 29, 31, 33, 35, 37, 39, 41, 54, 73, 75, 77, 79, 90, 120, 137, 140, 142, 146,
            148, 150,
        ],
        "tshark has 30: we are right, each request has its response",
    ),
    (
        "kafka/own-kafka-tansu.pcap",
        [45, 44, 0, 135],
        &[
            9, 23, 51, 55, 57, 59, 61, 63, 65, 67, 69, 90, 102, 117, 129, 153, 159, 168, 180,
        ],
        "tshark has 26: we are right, the request that the last stream ends with has none",
    ),
];

#[test]
fn messages_of_the_sample_captures_are_all_found() {
    truth::walk(|name, facts, drafts| {
        let drafts = truth::only("kafka", drafts);
        let listed = CAPTURES.iter().find(|(path, ..)| *path == name);
        let expected = listed.map_or([0; 4], |(_, expected, ..)| *expected);
        let count = |is: fn(&Draft) -> bool| drafts.iter().filter(|draft| is(draft)).count();
        let asks = |draft: &Draft| !matches!(draft.request, Value::Null);
        let answers = |draft: &Draft| !matches!(draft.response, Value::Null);
        let requests = drafts.iter().filter(|draft| asks(draft)).count();
        let pairs = drafts
            .iter()
            .filter(|draft| asks(draft) && answers(draft))
            .count();
        let alone = count(|draft| matches!(draft.request, Value::Null));
        let fetched = records_in(&drafts, "responses", "partitionResponses");
        let fetched = fetched.values().sum();
        let found = [requests, pairs, alone, fetched];
        if let Some((.., packets, why)) = listed {
            let why = truth::explained(name, facts, packets, why);
            truth::row("kafka", name, &expected, &found, &why);
        }
        assert_eq!(found, expected, "{name}");
        if requests > 0 {
            let told = serde_json::from_value(facts["kafka"]["request_keys"].clone()).unwrap();
            assert_eq!(keys(&drafts), told, "{name}");
            let cut = |draft: &Draft| draft.request.is_cut() || draft.response.is_cut();
            assert!(!drafts.iter().any(cut), "{name}");
        }
        if name.contains("own-kafka") {
            let all = BTreeMap::from([("events".to_string(), 36), ("orders".to_string(), 9)]);
            let produced = records_in(&drafts, "topicData", "partitions.partitionData");
            assert_eq!(produced, all, "{name}");
        }
    });
}
