//! Tests of AMQP.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::super::robustness::{Feed, Sample};
use super::super::{Draft, enabled, truth};
use super::{frame as front, parser};
use crate::item::{ItemNode, Node, Value, json, lookup};
use crate::packet::{Direction, Transport};
use crate::time::Timestamp;

const UP: Direction = Direction::ToServer;
const DOWN: Direction = Direction::ToClient;
const HELLO: &[u8] = b"AMQP\0\0\x09\x01";

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(channel.to_be_bytes());
    bytes.extend((payload.len() as u32).to_be_bytes());
    bytes.extend(payload);
    bytes.push(0xce);
    bytes
}

fn method(channel: u16, class: u16, id: u16, arguments: &[u8]) -> Vec<u8> {
    let name = [class.to_be_bytes(), id.to_be_bytes()].concat();
    frame(1, channel, &[&name, arguments].concat())
}

fn short(text: &str) -> Vec<u8> {
    [&[text.len() as u8], text.as_bytes()].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

/// A content: header with content type, headers table and delivery mode, body in parts.
fn content(channel: u16, table: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let size: usize = parts.iter().map(|part| part.len()).sum();
    let header = [
        &[0, 60, 0, 0][..],
        &(size as u64).to_be_bytes(),
        &0b1011_0000_0000_0000u16.to_be_bytes(),
        &short("text/plain"),
        &long(table),
        &[2],
    ]
    .concat();
    let mut bytes = frame(2, channel, &header);
    for part in parts {
        bytes.extend(frame(3, channel, part));
    }
    bytes
}

fn publish(channel: u16) -> Vec<u8> {
    let arguments = [&[0, 0][..], &short("orders"), &short("new"), &[0]].concat();
    method(channel, 60, 40, &arguments)
}

fn declare(channel: u16, queue: &str, bits: u8) -> Vec<u8> {
    let arguments = [&[0, 0][..], &short(queue), &[bits], &long(b"")].concat();
    method(channel, 50, 10, &arguments)
}

fn declare_ok(channel: u16, queue: &str) -> Vec<u8> {
    let arguments = [&short(queue)[..], &[0, 0, 0, 3, 0, 0, 0, 1]].concat();
    method(channel, 50, 11, &arguments)
}

fn close(channel: u16, class: u16, id: u16, code: u16, text: &str) -> Vec<u8> {
    let arguments = [&code.to_be_bytes()[..], &short(text), &[0, 50, 0, 10]].concat();
    method(channel, class, id, &arguments)
}

fn start() -> Vec<u8> {
    let capabilities = [&short("basic.nack")[..], b"t\x01"].concat();
    let table = [
        &short("product")[..],
        b"S",
        &long(b"RabbitMQ"),
        &short("capabilities"),
        b"F",
        &long(&capabilities),
    ]
    .concat();
    let arguments = [
        &[0, 9][..],
        &long(&table),
        &long(b"PLAIN AMQPLAIN"),
        &long(b"en_US"),
    ]
    .concat();
    method(0, 10, 10, &arguments)
}

fn start_ok() -> Vec<u8> {
    let arguments = [
        &long(b"")[..],
        &short("PLAIN"),
        &long(b"\0guest\0secret"),
        &short("en_US"),
    ]
    .concat();
    method(0, 10, 11, &arguments)
}

/// Frame 0 of AMQP 1.0: header, then a described list.
fn frame_1_0(kind: u8, code: u8, body: &[u8]) -> Vec<u8> {
    let size = (8 + 3 + body.len()) as u32;
    [
        &size.to_be_bytes()[..],
        &[2, kind, 0, 0, 0, 0x53, code],
        body,
    ]
    .concat()
}

pub(super) fn samples() -> Vec<Sample> {
    let deliver = [
        &short("ctag1")[..],
        &7u64.to_be_bytes(),
        &[1],
        &short("orders"),
        &short("new"),
    ]
    .concat();
    let get_ok = [
        &7u64.to_be_bytes()[..],
        &[1],
        &short("orders"),
        &short("new"),
        &[0, 0, 0, 2],
    ]
    .concat();
    vec![
        Sample {
            name: "a connection with a login, a declaration, messages both ways and a close",
            transport: Transport::Tcp,
            server_port: 5672,
            turns: vec![
                (UP, HELLO.to_vec()),
                (DOWN, start()),
                (UP, start_ok()),
                (UP, declare(1, "q", 2)),
                (DOWN, declare_ok(1, "q")),
                (
                    UP,
                    [publish(1), content(1, b"", &[b"hi, ", b"you"])].concat(),
                ),
                (
                    DOWN,
                    [method(1, 60, 60, &deliver), content(1, b"", &[b"hi"])].concat(),
                ),
                (UP, frame(8, 0, &[])),
                (UP, close(0, 10, 50, 200, "Goodbye")),
                (DOWN, method(0, 10, 51, &[])),
            ],
            items: 5,
        },
        Sample {
            name: "two channels on an unusual port, one closed for an error, one message fetched",
            transport: Transport::Tcp,
            server_port: 9999,
            turns: vec![
                (UP, [declare(1, "nope", 1), declare(2, "q", 0x10)].concat()),
                (DOWN, close(1, 20, 40, 404, "NOT_FOUND - no queue 'nope'")),
                (UP, method(1, 20, 41, &[])),
                (
                    UP,
                    method(2, 60, 70, &[&[0, 0][..], &short("q"), &[0]].concat()),
                ),
                (
                    DOWN,
                    [method(2, 60, 71, &get_ok), content(2, b"", &[b"hi"])].concat(),
                ),
            ],
            items: 4,
        },
        Sample {
            name: "a version that the server refuses",
            transport: Transport::Tcp,
            server_port: 5672,
            turns: vec![(UP, b"AMQP\x01\x01\0\x0a".to_vec()), (DOWN, HELLO.to_vec())],
            items: 1,
        },
        Sample {
            name: "AMQP 1.0 with SASL",
            transport: Transport::Tcp,
            server_port: 5672,
            turns: vec![
                (UP, b"AMQP\x03\x01\0\0".to_vec()),
                (DOWN, b"AMQP\x03\x01\0\0".to_vec()),
                (DOWN, frame_1_0(1, 0x40, &[0xc0, 1, 0])),
                (UP, frame_1_0(1, 0x41, &[0x45; 90])),
                (DOWN, frame_1_0(1, 0x44, &[0x45])),
                (UP, b"AMQP\0\x01\0\0".to_vec()),
                (DOWN, b"AMQP\0\x01\0\0".to_vec()),
                (UP, frame_1_0(0, 0x10, &[0x45])),
                (
                    DOWN,
                    [frame_1_0(0, 0x10, &[0x45]), vec![0, 0, 0, 8, 2, 0, 0, 0]].concat(),
                ),
                (UP, frame_1_0(0, 0x18, &[0x45])),
            ],
            items: 8,
        },
    ]
}

fn tcp() -> Feed {
    Feed::new(Transport::Tcp, 5672, &enabled(&["amqp"]).0)
}

fn shown(value: &Value) -> String {
    json::to_string(ItemNode::of_value(value))
}

fn text(value: &Value, path: &str) -> String {
    lookup(ItemNode::of_value(value), path)
        .and_then(Node::text)
        .map_or_else(String::new, |text| text.into_owned())
}

fn errors(drafts: &[Draft]) -> Vec<&'static str> {
    drafts
        .iter()
        .map(|draft| draft.error.as_ref().map_or("", |error| error.kind))
        .collect()
}

fn methods(drafts: &[Draft]) -> Vec<(String, String)> {
    drafts
        .iter()
        .map(|draft| {
            let side = |value| text(value, "method");
            (side(&draft.request), side(&draft.response))
        })
        .collect()
}

#[test]
fn items_have_the_shape_of_the_reference() {
    let mut feed = tcp();
    feed.chunk(UP, HELLO)
        .chunk(DOWN, &start())
        .chunk(UP, &start_ok())
        .chunk(UP, &publish(1))
        .chunk(UP, &content(1, b"\x01aI\0\0\0\x05", &[b"h", b"i"]))
        .chunk(UP, &declare(1, "q", 2))
        .chunk(DOWN, &declare_ok(1, "q"));
    let drafts = feed.end();
    let expected = [
        (
            r#"{"method":"connection start","versionMajor":0,"versionMinor":9,"serverProperties":{"product":"RabbitMQ","capabilities":{"basic.nack":true}},"mechanisms":"PLAIN AMQPLAIN","locales":"en_US","summary":"PLAIN AMQPLAIN"}"#,
            r#"{"method":"connection start-ok","clientProperties":{},"mechanism":"PLAIN","response":"\u0000guest\u0000[6 octets]","locale":"en_US"}"#,
        ),
        (
            r#"{"method":"basic publish","exchange":"orders","routingKey":"new","mandatory":false,"immediate":false,"properties":{"contentType":"text/plain","headers":{"a":5},"deliveryMode":2},"body":"aGk=","summary":"orders new"}"#,
            r#"{"method":"empty"}"#,
        ),
        (
            r#"{"method":"queue declare","queue":"q","passive":false,"durable":true,"exclusive":false,"autoDelete":false,"noWait":false,"arguments":{},"summary":"q"}"#,
            r#"{"method":"queue declare-ok","queue":"q","messageCount":3,"consumerCount":1}"#,
        ),
    ];
    assert_eq!(drafts.len(), expected.len());
    for (draft, (request, response)) in drafts.iter().zip(expected) {
        assert_eq!(shown(&draft.request), request);
        assert_eq!(shown(&draft.response), response);
        assert_eq!(draft.error, None);
    }
    assert!(!drafts[0].from_client, "the server asks who is there");
}

#[test]
fn every_type_of_table_value_has_its_form() {
    let cases: &[(&[u8], &str)] = &[
        (b"V", "null"),
        (b"t\x01", "true"),
        (b"b\xff", "-1"),
        (b"B\xff", "255"),
        (b"s\xff\xfe", "-2"),
        (b"u\xff\xfe", "65534"),
        (b"I\xff\xff\xff\xfd", "-3"),
        (b"i\xff\xff\xff\xfd", "4294967293"),
        (b"l\xff\xff\xff\xff\xff\xff\xff\xfc", "-4"),
        (b"T\0\0\0\0\0\0\0\x09", "9"),
        (b"f\x3f\x80\0\0", "1.0"),
        (b"d\x3f\xf8\0\0\0\0\0\0", "1.5"),
        (b"D\x02\0\0\x04\xd2", "\"12.34\""),
        (b"D\x03\xff\xff\xff\xff", "\"-0.001\""),
        (b"S\0\0\0\x02ab", "\"ab\""),
        (b"x\0\0\0\x02ab", "\"YWI=\""),
        (b"A\0\0\0\x04t\0t\x01", "[false,true]"),
        (b"F\0\0\0\x04\x01at\x01", "{\"a\":true}"),
    ];
    for (value, expected) in cases {
        let table = [b"\x01k", *value, b"\x01kV"].concat();
        let mut feed = tcp();
        feed.chunk(UP, HELLO).chunk(UP, &publish(1));
        feed.chunk(UP, &content(1, &table, &[b"x"]));
        let drafts = feed.end();
        assert_eq!(errors(&drafts), [""], "{value:?}");
        let headers = drafts[0].request.member("properties").unwrap();
        let headers = shown(headers.member("headers").unwrap());
        assert_eq!(headers, format!("{{\"k\":{expected}}}"), "{value:?}");
    }
}

#[test]
fn nesting_has_an_end() {
    let mut table = b"\x01at\x01".to_vec();
    for _ in 0..40 {
        table = [b"\x01aF", &long(&table)[..]].concat();
    }
    for unknown in [table, b"\x01a?".to_vec(), b"\x01aS\0\0\0\x09a".to_vec()] {
        let mut feed = tcp();
        feed.chunk(UP, HELLO).chunk(UP, &publish(1));
        feed.chunk(UP, &content(1, &unknown, &[b"x"]));
        let drafts = feed.end();
        assert_eq!(errors(&drafts), ["dissection"]);
        assert_eq!(text(&drafts[0].request, "body"), "eA==");
    }
}

#[test]
fn long_bodies_are_cut_and_counted() {
    let part = vec![b'x'; 100_000];
    let mut feed = tcp();
    feed.chunk(UP, HELLO).chunk(UP, &publish(1));
    let bytes = content(1, b"", &[&part, &part, &part, &part]);
    for piece in bytes.chunks(1448) {
        feed.chunk(UP, piece);
    }
    let drafts = feed.end();
    assert_eq!(errors(&drafts), [""]);
    assert!(drafts[0].request.is_cut());
    let body = text(&drafts[0].request, "body").len();
    assert_eq!(body, crate::item::MAX_ITEM_BODY.div_ceil(3) * 4);
    assert!(drafts[0].request_size > 400_000);
}

#[test]
fn a_reply_belongs_to_its_channel() {
    let mut feed = tcp();
    feed.at(Timestamp::from_secs(100, 0))
        .chunk(UP, HELLO)
        .chunk(UP, &declare(1, "a", 0))
        .chunk(UP, &declare(2, "b", 0))
        .chunk(UP, &declare(2, "c", 0))
        .at(Timestamp::from_secs(100, 7_000_000))
        .chunk(DOWN, &declare_ok(2, "b"))
        .chunk(DOWN, &declare_ok(3, "d"));
    let drafts = feed.end();
    assert_eq!(
        errors(&drafts),
        ["", "pair-not-found", "pair-not-found", "pair-not-found"]
    );
    assert_eq!(text(&drafts[0].request, "queue"), "b");
    assert_eq!(drafts[0].elapsed_nanos, 7_000_000);
    assert!(matches!(drafts[1].request, Value::Null));
    assert!(drafts.iter().all(|draft| draft.from_client));
}

#[test]
fn the_period_of_a_reply_text_does_not_end_our_sentence() {
    for (said, told) in [
        ("NOT_FOUND - no queue.", "404 NOT_FOUND - no queue"),
        ("", "404"),
        ("...", "404"),
    ] {
        let mut feed = tcp();
        feed.chunk(UP, HELLO)
            .chunk(UP, &declare(1, "nope", 1))
            .chunk(DOWN, &close(1, 20, 40, 404, said))
            .chunk(UP, &method(1, 20, 41, &[]));
        let messages: Vec<_> = feed
            .end()
            .into_iter()
            .map(|draft| draft.error.unwrap().msg)
            .collect();
        let failed = format!("the channel was closed instead of an answer: {told}");
        assert_eq!(messages, [failed, told.to_owned()]);
    }
}

#[test]
fn a_closed_channel_says_why_to_the_request_that_failed() {
    let mut feed = tcp();
    feed.chunk(UP, HELLO)
        .chunk(UP, &declare(1, "nope", 1))
        .chunk(DOWN, &close(1, 20, 40, 404, "NOT_FOUND"))
        .chunk(UP, &method(1, 20, 41, &[]));
    let drafts = feed.end();
    assert_eq!(errors(&drafts), ["connection", "connection"]);
    assert_eq!(
        drafts[0].error.as_ref().unwrap().msg,
        "the channel was closed instead of an answer: 404 NOT_FOUND"
    );
    assert_eq!(
        shown(&drafts[1].request),
        r#"{"method":"channel close","relyCode":404,"replyCode":404,"replyText":"NOT_FOUND","classId":50,"methodId":10,"summary":"404 NOT_FOUND"}"#
    );
    assert!(!drafts[1].from_client);
}

#[test]
fn what_nobody_answers_is_known_beforehand() {
    let mut feed = tcp();
    feed.chunk(UP, HELLO)
        .chunk(UP, &declare(1, "q", 0x10))
        .chunk(UP, &method(1, 60, 120, &[0, 0, 0, 0, 0, 0, 0, 9, 3]))
        .chunk(UP, &method(0, 10, 99, &[]));
    assert_eq!(feed.drafts.0.len(), 3);
    let drafts = feed.end();
    assert_eq!(errors(&drafts), ["", "", "dissection"]);
    assert_eq!(
        shown(&drafts[1].request),
        r#"{"method":"basic nack","deliveryTag":9,"multiple":true,"requeue":true,"summary":"9"}"#
    );
    assert_eq!(text(&drafts[2].request, "method"), "unknown 10.99");
}

#[test]
fn secrets_do_not_reach_items() {
    let amqplain = [
        &long(b"")[..],
        &short("AMQPLAIN"),
        &long(b"\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x06hidden"),
        &short("en_US"),
    ]
    .concat();
    let mut feed = tcp();
    feed.chunk(UP, HELLO)
        .chunk(DOWN, &start())
        .chunk(UP, &method(0, 10, 11, &amqplain))
        .chunk(
            UP,
            &method(0, 10, 70, &[long(b"hidden"), short("rotation")].concat()),
        )
        .chunk(DOWN, &method(0, 10, 71, &[]));
    for draft in feed.end() {
        let all = format!("{}{}", shown(&draft.request), shown(&draft.response));
        assert!(!all.contains("hidden"), "{all}");
    }
}

#[test]
fn a_late_capture_finds_the_next_frame() {
    let mut stream = frame(3, 1, &[b'z'; 300]);
    stream.drain(..100);
    stream.extend(publish(1));
    stream.extend(content(1, b"", &[b"hi"]));
    let mut feed = tcp();
    feed.chunk(UP, &stream)
        .chunk(UP, &publish(1))
        .gap(UP, 9)
        .chunk(UP, &stream);
    let drafts = feed.end();
    assert_eq!(errors(&drafts), ["", "dissection", ""]);
    assert_eq!(text(&drafts[2].request, "body"), "aGk=");
}

#[test]
fn a_hole_in_a_body_is_marked_and_passed_over() {
    let all = [publish(1), content(1, b"", &[&[b'x'; 500]]), publish(2)].concat();
    let cut = all.len() - publish(2).len() - 300;
    let mut feed = tcp();
    feed.chunk(UP, HELLO)
        .chunk(UP, &all[..cut])
        .gap(UP, 100)
        .chunk(UP, &all[cut + 100..])
        .chunk(UP, &content(2, b"", &[b"hi"]));
    let drafts = feed.end();
    assert_eq!(errors(&drafts), ["dissection", ""]);
    assert!(drafts[0].request.is_cut());
}

#[test]
fn a_refused_version_is_an_error() {
    let mut feed = tcp();
    feed.chunk(UP, b"AMQP\0\x01\0\0").chunk(DOWN, HELLO);
    let drafts = feed.end();
    assert_eq!(
        drafts[0].error.as_ref().unwrap().msg,
        "the server does not speak 1.0 and offers 0-9-1"
    );
    assert_eq!(
        shown(&drafts[0].response),
        r#"{"method":"protocol header","protocolId":0,"versionMajor":0,"versionMinor":9,"versionRevision":1,"summary":"0-9-1"}"#
    );
}

#[test]
fn version_1_0_is_shown_frame_by_frame() {
    let mut feed = tcp();
    let symbol = b"\0\xa3\x10amqp:attach:list\x45";
    let attach = [
        &(8 + symbol.len() as u32).to_be_bytes()[..],
        &[2, 0, 0, 5],
        symbol,
    ]
    .concat();
    feed.chunk(UP, b"AMQP\0\x01\0\0")
        .chunk(DOWN, b"AMQP\0\x01\0\0")
        .chunk(UP, &attach)
        .chunk(UP, &frame_1_0(0, 0x14, &[0xff; 300]))
        .chunk(DOWN, &frame_1_0(0, 0x77, &[0x45]));
    let drafts = feed.end();
    assert!(drafts.iter().all(|draft| draft.kind.version == "1.0"));
    assert_eq!(errors(&drafts), ["", "", "", "dissection"]);
    assert_eq!(
        shown(&drafts[1].request),
        r#"{"method":"attach","frameType":"AMQP","channel":5,"size":28}"#
    );
    assert_eq!(methods(&drafts)[2], ("transfer".into(), "empty".into()));
}

#[test]
fn tls_after_its_protocol_header_is_handed_over() {
    let mut feed = tcp();
    feed.chunk(UP, b"AMQP\x02\x01\0\0")
        .chunk(DOWN, b"AMQP\x02\x01\0\0");
    assert_eq!(feed.protocol(), Some("amqp"));
    feed.chunk(UP, b"\x16\x03\x01\0\xff\x01\0\0\xfb\x03\x03");
    assert_eq!(feed.protocol(), None);
    assert_eq!(errors(&feed.end()), [""]);
}

#[test]
fn what_only_looks_like_amqp_is_left_alone() {
    let payloads: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &[1; 64],
        &[0; 64],
        b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\0\0\0\0",
    ];
    for payload in payloads {
        let mut feed = Feed::new(Transport::Tcp, 8000, &enabled(&["amqp"]).0);
        feed.chunk(UP, payload).chunk(DOWN, payload);
        assert_eq!(feed.protocol(), None, "{payload:?}");
        assert!(feed.end().is_empty());
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = front::FrameHeader::stands_out(&bytes);
        let _ = front::Frame1Header::stands_out(&bytes);
        let _ = parser::check_header(&bytes);
        for (class, id) in [(10, 10), (10, 11), (50, 10), (60, 60)] {
            let _ = parser::check_method(super::spec::find(class, id).unwrap(), &bytes);
        }
        for render in [super::render::request, super::render::response, super::render::frame_1_0] {
            let mut blob = 4u32.to_be_bytes().to_vec();
            blob.extend([0, 60, 0, 60]);
            blob.extend(long(&bytes));
            shown(&render(&Bytes::from(blob)));
            shown(&render(&Bytes::from(bytes.clone())));
        }
    }
}

/// How often each method stands in items, by the numbers of its class and its own.
fn counts(drafts: &[Draft]) -> BTreeMap<String, u64> {
    let mut methods = BTreeMap::new();
    for value in drafts
        .iter()
        .flat_map(|draft| [&draft.request, &draft.response])
    {
        let name = text(value, "method");
        let Some(method) = super::spec::named(&name) else {
            assert!(matches!(name.as_str(), "" | "empty"), "{name}");
            continue;
        };
        *methods
            .entry(format!("{}.{}", method.class, method.id))
            .or_default() += 1;
    }
    methods
}

#[test]
fn methods_of_the_sample_captures_are_all_found() {
    truth::assert_counts("amqp", counts, |_, facts| {
        serde_json::from_value(facts["amqp"]["methods"].clone()).unwrap_or_default()
    });
}

#[test]
fn the_recorded_broker_is_understood() {
    let Some(drafts) = truth::items("amqp", "amqp/own-amqp-rabbitmq.pcap") else {
        return;
    };
    let of = |name: &str| -> Vec<&Draft> {
        drafts
            .iter()
            .filter(|draft| text(&draft.request, "method") == name)
            .collect()
    };
    // constructed.json: channel_errors 1, largest_body 200000, publishes 10, refused_logins 1.
    let publishes = of("basic publish");
    assert_eq!(publishes.len(), 10);
    let largest = publishes
        .iter()
        .map(|draft| text(&draft.request, "body").len() / 4 * 3);
    assert_eq!(largest.max().map(|length| length / 1000), Some(200));
    let failed: Vec<_> = drafts
        .iter()
        .filter_map(|draft| draft.error.as_ref())
        .map(|error| (error.kind, error.msg.split(" - ").next().unwrap()))
        .collect();
    assert_eq!(
        failed,
        [
            (
                "connection",
                "the channel was closed instead of an answer: 404 NOT_FOUND"
            ),
            ("connection", "404 NOT_FOUND"),
            (
                "pair-not-found",
                "no response to this connection close was captured"
            ),
        ]
    );
    let refused = drafts.last().unwrap();
    assert!(text(&refused.request, "replyText").starts_with("ACCESS_REFUSED"));
}
