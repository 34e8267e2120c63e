//! Tests of Diameter.

use std::collections::BTreeMap;

use super::super::conversation::tests::dissect_capture;
use super::super::robustness::{Feed, Sample};
use super::super::truth;
use super::super::{Draft, Protocols, enabled};
use super::*;
use crate::item::{ItemNode, Node, Value, json, lookup};
use crate::packet::Direction;
use crate::time::Timestamp;

const UP: Direction = Direction::ToServer;
const DOWN: Direction = Direction::ToClient;

const REQUEST: u8 = 0x80;

fn message(flags: u8, command: u32, application: u32, id: u32, avps: &[Vec<u8>]) -> Vec<u8> {
    let body = avps.concat();
    let mut out = (1 << 24 | (20 + body.len() as u32)).to_be_bytes().to_vec();
    out.extend_from_slice(&(u32::from(flags) << 24 | command).to_be_bytes());
    for number in [application, id, 77] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    out.extend_from_slice(&body);
    out
}

fn avp(code: u32, vendor: u32, data: &[u8]) -> Vec<u8> {
    let (flags, header) = if vendor == 0 { (0x40, 8) } else { (0xc0, 12) };
    let mut out = code.to_be_bytes().to_vec();
    let length = header + data.len() as u32;
    out.extend_from_slice(&(flags << 24 | length).to_be_bytes());
    if vendor != 0 {
        out.extend_from_slice(&vendor.to_be_bytes());
    }
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

fn word(code: u32, value: u32) -> Vec<u8> {
    avp(code, 0, &value.to_be_bytes())
}

/// An initial credit control request (RFC 8506 section 3.1).
fn ccr(id: u32) -> Vec<u8> {
    let units = avp(437, 0, &avp(421, 0, &1000u64.to_be_bytes()));
    let service = [word(432, 9), units].concat();
    message(
        REQUEST | 0x40,
        272,
        4,
        id,
        &[
            avp(263, 0, b"gw.shop;1;2"),
            avp(264, 0, b"gw.shop"),
            word(416, 1),
            word(415, 0),
            avp(456, 0, &service),
            avp(1, 10415, b"001010000000001"),
        ],
    )
}

fn cca(id: u32, result: u32) -> Vec<u8> {
    message(
        0x40,
        272,
        4,
        id,
        &[avp(263, 0, b"gw.shop;1;2"), word(268, result), word(416, 1)],
    )
}

fn watchdog(flags: u8, id: u32) -> Vec<u8> {
    message(flags, 280, 0, id, &[avp(264, 0, b"gw.shop")])
}

/// An SCTP packet, from its verification tag on, with one DATA chunk.
fn carried(tsn: u32, bits: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 0, 0, 5, 0, 0, 0, 0, 0, bits];
    out.extend_from_slice(&(16 + payload.len() as u16).to_be_bytes());
    out.extend_from_slice(&tsn.to_be_bytes());
    out.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 46]);
    out.extend_from_slice(payload);
    out
}

pub(super) fn samples() -> Vec<Sample> {
    let request = ccr(8);
    let (front, back) = request.split_at(40);
    vec![
        Sample {
            name: "both sides ask, one is not answered, one answer nobody asked for",
            transport: Transport::Tcp,
            server_port: 3868,
            turns: vec![
                (UP, ccr(7)),
                (DOWN, watchdog(REQUEST, 7)),
                (DOWN, [cca(7, 2001), cca(9, 4012)].concat()),
                (UP, [watchdog(0, 7), ccr(8)].concat()),
            ],
            items: 4,
        },
        Sample {
            name: "an unusual port",
            transport: Transport::Tcp,
            server_port: 13868,
            turns: vec![(UP, ccr(7)), (DOWN, cca(7, 2001))],
            items: 1,
        },
        Sample {
            name: "over SCTP, one request in two pieces",
            transport: Transport::SCTP,
            server_port: 3868,
            turns: vec![
                (UP, carried(1, 3, &ccr(7))),
                (DOWN, carried(1, 3, &cca(7, 2001))),
                (UP, carried(2, 2, front)),
                (UP, carried(3, 1, back)),
                (DOWN, carried(2, 3, &cca(8, 5030))),
            ],
            items: 2,
        },
    ]
}

fn feed() -> Feed {
    Feed::new(Transport::Tcp, 3868, &enabled(&["diameter"]).0)
}

fn text(value: &Value, path: &str) -> String {
    lookup(ItemNode::of_value(value), path)
        .and_then(Node::text)
        .map_or_else(String::new, |text| text.into_owned())
}

fn int(value: &Value, path: &str) -> i64 {
    lookup(ItemNode::of_value(value), path)
        .and_then(Node::int)
        .unwrap_or(-1)
}

fn errors(drafts: &[Draft]) -> Vec<&'static str> {
    drafts
        .iter()
        .map(|draft| draft.error.as_ref().map_or("", |error| error.kind))
        .collect()
}

#[test]
fn an_item_has_the_shape_of_the_reference() {
    let mut feed = feed();
    feed.at(Timestamp::from_secs(100, 0))
        .chunk(UP, &ccr(7))
        .at(Timestamp::from_secs(100, 2_000_000))
        .chunk(DOWN, &cca(7, 4012));
    let drafts = feed.end();
    assert_eq!(errors(&drafts), [""]);
    assert_eq!(drafts[0].elapsed_nanos, 2_000_000);
    let request = &drafts[0].request;
    assert_eq!(
        json::to_string(ItemNode::of_value(request)),
        concat!(
            r#"{"method":"Credit-Control-Request","commandCode":272,"applicationId":4,"#,
            r#""application":"Credit Control","flags":["request","proxiable"],"hopByHopId":7,"#,
            r#""endToEndId":77,"length":152,"#,
            r#""summary":"Credit-Control-Request INITIAL_REQUEST gw.shop;1;2","avps":["#,
            r#"{"code":263,"name":"Session-Id","flags":"M","value":"gw.shop;1;2"},"#,
            r#"{"code":264,"name":"Origin-Host","flags":"M","value":"gw.shop"},"#,
            r#"{"code":416,"name":"CC-Request-Type","flags":"M","value":1,"#,
            r#""valueName":"INITIAL_REQUEST"},"#,
            r#"{"code":415,"name":"CC-Request-Number","flags":"M","value":0},"#,
            r#"{"code":456,"name":"Multiple-Services-Credit-Control","flags":"M","avps":["#,
            r#"{"code":432,"name":"Rating-Group","flags":"M","value":9},"#,
            r#"{"code":437,"name":"Requested-Service-Unit","flags":"M","avps":["#,
            r#"{"code":421,"name":"CC-Total-Octets","flags":"M","value":1000}]}]},"#,
            r#"{"code":1,"name":"3GPP-IMSI","vendorId":10415,"flags":"VM","#,
            r#""value":"001010000000001"}]}"#
        )
    );
    let response = &drafts[0].response;
    assert_eq!(text(response, "method"), "Credit-Control-Answer");
    assert_eq!(text(response, "result"), "DIAMETER_CREDIT_LIMIT_REACHED");
    assert_eq!(int(response, "resultCode"), 4012);
}

#[test]
fn every_type_of_value_has_its_text() {
    let cases: &[(u32, &[u8], &str)] = &[
        (257, &[0, 1, 10, 0, 0, 1], "10.0.0.1"),
        (
            257,
            &[0, 2, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            "fe80::1",
        ),
        (8, &[10, 0, 0, 1], "10.0.0.1"),
        (
            55,
            &[0xe9, 0x6a, 0x12, 0x00],
            "2024-02-04T13:39:12.000000000Z",
        ),
        (25, b"plain", "plain"),
        (25, &[1, 2], "0x0102"),
        (99999, b"x", "x"),
        // A length that is not that of the type.
        (416, &[1, 2, 3], "0x010203"),
        (421, &[0xff; 8], "18446744073709551615"),
    ];
    for (code, data, expected) in cases {
        let mut feed = feed();
        feed.chunk(UP, &message(REQUEST, 272, 4, 1, &[avp(*code, 0, data)]));
        let drafts = feed.end();
        assert_eq!(
            text(&drafts[0].request, "avps.0.value"),
            *expected,
            "AVP {code}"
        );
    }
}

#[test]
fn groups_are_opened_to_a_depth() {
    let mut nested = avp(263, 0, b"deep");
    for _ in 0..40 {
        nested = avp(279, 0, &nested);
    }
    let mut feed = feed();
    feed.chunk(UP, &message(REQUEST, 272, 4, 1, &[nested]));
    let drafts = feed.end();
    let shown = json::to_string(ItemNode::of_value(&drafts[0].request));
    assert_eq!(shown.matches("Failed-AVP").count(), 11);
}

#[test]
fn an_experimental_result_counts_where_there_is_no_other() {
    let result = [word(266, 10415), word(298, 5420)].concat();
    let mut feed = feed();
    feed.chunk(
        DOWN,
        &message(0, 316, 16_777_251, 1, &[avp(297, 0, &result)]),
    );
    let drafts = feed.end();
    assert_eq!(errors(&drafts), ["pair-not-found"]);
    assert_eq!(
        text(&drafts[0].response, "method"),
        "Update-Location-Answer"
    );
    assert_eq!(
        text(&drafts[0].response, "result"),
        "DIAMETER_ERROR_UNKNOWN_EPS_SUBSCRIPTION"
    );
}

#[test]
fn a_damaged_message_is_shown_as_far_as_it_goes() {
    let mut bytes = ccr(7);
    // The length of the second AVP reaches past the end.
    let at = 20 + 20 + 5;
    bytes[at] = 0xff;
    let mut feed = feed();
    feed.chunk(UP, &bytes).chunk(DOWN, &cca(7, 2001));
    let drafts = feed.end();
    assert_eq!(errors(&drafts), ["dissection"]);
    assert_eq!(text(&drafts[0].request, "avps.0.value"), "gw.shop;1;2");
}

#[test]
fn a_stream_finds_its_way_back_after_a_gap() {
    let first = ccr(1);
    let mut feed = feed();
    feed.chunk(UP, &first)
        .chunk(UP, &first[..50])
        .gap(UP, 20)
        .chunk(UP, &first[70..])
        .chunk(UP, &ccr(2))
        .gap(UP, 1000)
        .chunk(UP, b"the rest of something")
        .chunk(UP, &ccr(3))
        .chunk(DOWN, &cca(3, 2001));
    let ids: Vec<_> = feed
        .end()
        .iter()
        .map(|draft| int(&draft.request, "hopByHopId"))
        .collect();
    assert_eq!(ids, [3, 1, 2]);
}

#[test]
fn open_requests_are_capped() {
    let mut feed = feed();
    for id in 0..1500 {
        feed.chunk(UP, &watchdog(REQUEST, id));
    }
    assert_eq!(feed.drafts.0.len(), 1500 - 1024);
    assert_eq!(feed.end().len(), 1500);
}

#[test]
fn what_only_looks_like_diameter_is_left_alone() {
    let payloads: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &[1; 64],
        &[0; 64],
        // HTTP/2's preface, and a RADIUS request.
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x01\x07\0\x2c0123456789abcdef\x01\x06user\x02\x12................",
    ];
    for payload in payloads {
        for port in [3868, 8000] {
            let mut feed = Feed::new(Transport::Tcp, port, &enabled(&["diameter"]).0);
            feed.chunk(UP, payload).chunk(DOWN, payload);
            assert_eq!(feed.protocol(), None, "{payload:?}");
        }
    }
}

/// Requests and answers of a capture by command code.
fn counted(drafts: &[Draft]) -> (BTreeMap<String, u64>, u64, u64) {
    let (mut commands, mut requests, mut answers) = (BTreeMap::new(), 0, 0);
    for draft in drafts.iter().filter(|draft| draft.kind.name == "diameter") {
        for (side, count) in [
            (&draft.request, &mut requests),
            (&draft.response, &mut answers),
        ] {
            if !matches!(side, Value::Null) {
                let code = int(side, "commandCode").to_string();
                *commands.entry(code).or_default() += 1;
                *count += 1;
            }
        }
    }
    (commands, requests, answers)
}

#[test]
fn messages_of_the_sample_captures_are_all_found() {
    let walked = truth::walk(|name, facts, drafts| {
        let number = |key: &str| facts["diameter"][key].as_u64().unwrap_or(0);
        let commands: BTreeMap<String, u64> =
            serde_json::from_value(facts["diameter"]["commands"].clone()).unwrap_or_default();
        let expected = (commands, number("requests"), number("answers"));
        assert_eq!(counted(&drafts), expected, "{name}");
        if name.starts_with("diameter/") {
            assert!(drafts.iter().all(|draft| draft.error.is_none()), "{name}");
        }
    });
    if !walked {
        return;
    }
    // What was really done (constructed.json).
    let ccr = dissect_capture("diameter/own-diameter-ccr.pcap", &Protocols::all()).unwrap();
    let limit = ccr
        .iter()
        .filter(|draft| int(&draft.response, "resultCode") == 4012);
    assert_eq!(limit.count(), 1);
}
