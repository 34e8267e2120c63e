//! Tests of RADIUS.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::super::robustness::{Feed, Sample};
use super::super::{Draft, enabled, truth};
use super::parser::Packet;
use super::render;
use crate::item::{ItemNode, Node, Value, json, lookup};
use crate::packet::{Direction, Transport};
use crate::time::Timestamp;

const UP: Direction = Direction::ToServer;
const DOWN: Direction = Direction::ToClient;

fn attribute(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind, value.len() as u8 + 2], value].concat()
}

fn packet(code: u8, id: u8, authenticator: u8, attributes: &[u8]) -> Vec<u8> {
    let length = (20 + attributes.len() as u16).to_be_bytes();
    [&[code, id][..], &length, &[authenticator; 16], attributes].concat()
}

fn login(id: u8, user: &str) -> Vec<u8> {
    let password = attribute(2, &[0xab; 16]);
    packet(
        1,
        id,
        7,
        &[attribute(1, user.as_bytes()), password].concat(),
    )
}

fn accept(id: u8) -> Vec<u8> {
    packet(2, id, 9, &attribute(18, b"welcome"))
}

/// RFC 2865 section 7.1: nemo's login by telnet, and its acceptance.
const NEMO: &str = "01000038 0f403f94 73978057 bd83d5cb 98f4227a 01066e65 6d6f0212 0dbe708d\
     93d413ce 3196e43f 782a0aee 0406c0a8 01100506 00000003";
const NEMO_ACCEPTED: &str =
    "02000026 86fe220e 7624ba2a 1005f6bf 9b55e0b2 06060000 00010f06 00000000 0e06c0a8 0103";

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

pub(super) fn samples() -> Vec<Sample> {
    vec![
        Sample {
            name: "a login, one sent again, one without answer, an answer nobody asked for",
            transport: Transport::Udp,
            server_port: 1812,
            turns: vec![
                (UP, octets(NEMO)),
                (DOWN, octets(NEMO_ACCEPTED)),
                (UP, login(2, "amy")),
                (UP, login(2, "amy")),
                (DOWN, accept(2)),
                (UP, login(3, "bob")),
                (DOWN, accept(4)),
            ],
            items: 4,
        },
        Sample {
            name: "accounting on an unusual port",
            transport: Transport::Udp,
            server_port: 19999,
            turns: vec![
                (UP, packet(4, 1, 7, &attribute(40, &[0, 0, 0, 1]))),
                (DOWN, packet(5, 1, 9, &[])),
            ],
            items: 1,
        },
    ]
}

fn udp() -> Feed {
    Feed::new(Transport::Udp, 1812, &enabled(&["radius"]).0)
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

#[test]
fn the_example_of_the_rfc_has_the_shape_of_the_reference() {
    let mut feed = udp();
    feed.chunk(UP, &octets(NEMO))
        .chunk(DOWN, &octets(NEMO_ACCEPTED));
    let drafts = feed.end();
    assert_eq!(errors(&drafts), [""]);
    assert_eq!(
        shown(&drafts[0].request),
        r#"{"code":1,"codeName":"Access-Request","id":0,"authenticator":"0f403f9473978057bd83d5cb98f4227a","length":56,"attributes":[{"type":1,"name":"User-Name","value":"nemo"},{"type":2,"name":"User-Password","value":"[16 octets]"},{"type":4,"name":"NAS-IP-Address","value":"192.168.1.16"},{"type":5,"name":"NAS-Port","value":3}],"summary":"nemo"}"#
    );
    assert_eq!(
        shown(&drafts[0].response),
        r#"{"code":2,"codeName":"Access-Accept","id":0,"authenticator":"86fe220e7624ba2a1005f6bf9b55e0b2","length":38,"attributes":[{"type":6,"name":"Service-Type","value":"Login"},{"type":15,"name":"Login-Service","value":"Telnet"},{"type":14,"name":"Login-IP-Host","value":"192.168.1.3"}],"summary":""}"#
    );
}

#[test]
fn every_type_of_attribute_has_its_form() {
    let prefix = [&[0, 64][..], &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 1]].concat();
    let microsoft = [&311u32.to_be_bytes()[..], &attribute(16, &[1; 34])].concat();
    let cisco = [&9u32.to_be_bytes()[..], &attribute(1, b"shell:priv-lvl=15")].concat();
    let cases: &[(u8, &[u8], &str)] = &[
        (24, &[1, 0xab], r#""name":"State","value":"01ab""#),
        (
            40,
            &[0, 0, 0, 3],
            r#""name":"Acct-Status-Type","value":"Interim-Update""#,
        ),
        (
            40,
            &[0, 0, 0, 99],
            r#""name":"Acct-Status-Type","value":99"#,
        ),
        (
            55,
            &[0x65, 0, 0, 0],
            r#""name":"Event-Timestamp","value":1694498816"#,
        ),
        (
            64,
            &[1, 0, 0, 13],
            r#""name":"Tunnel-Type","tag":1,"value":"VLAN""#,
        ),
        (
            81,
            b"\x0142",
            r#""name":"Tunnel-Private-Group-ID","tag":1,"value":"42""#,
        ),
        (
            81,
            b"42",
            r#""name":"Tunnel-Private-Group-ID","value":"42""#,
        ),
        (
            83,
            &[0, 0, 0, 5],
            r#""name":"Tunnel-Preference","tag":0,"value":5"#,
        ),
        (
            95,
            &[0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            r#""name":"NAS-IPv6-Address","value":"fe80::1""#,
        ),
        (
            96,
            &[0, 1, 0, 2, 0, 3, 0xa, 4],
            r#""name":"Framed-Interface-Id","value":"1:2:3:a04""#,
        ),
        (
            97,
            &prefix,
            r#""name":"Framed-IPv6-Prefix","value":"2001:db8:0:1::/64""#,
        ),
        (
            124,
            &[0, 0, 0, 0, 0, 0, 1, 0],
            r#""name":"MIP6-Feature-Vector","value":256"#,
        ),
        (4, &[1, 2, 3], r#""name":"NAS-IP-Address","value":"010203""#),
        (200, b"a", r#""value":"61""#),
        (
            241,
            b"\x05ab",
            r#""name":"Extended-Attribute-1","extendedType":5,"value":"6162""#,
        ),
        (
            245,
            b"\x05\x80ab",
            r#""name":"Extended-Attribute-5","extendedType":5,"more":true,"value":"6162""#,
        ),
        (
            26,
            &microsoft,
            r#""name":"Vendor-Specific","vendorId":311,"vendor":"Microsoft","attributes":[{"type":16,"name":"MS-MPPE-Send-Key","value":"[34 octets]"}]"#,
        ),
        (
            26,
            &cisco,
            r#""name":"Vendor-Specific","vendorId":9,"vendor":"Cisco","attributes":[{"type":1,"name":"Cisco-AVPair","value":"shell:priv-lvl=15"}]"#,
        ),
        (
            26,
            &[0, 0, 0, 77, 9, 99],
            r#""name":"Vendor-Specific","vendorId":77,"value":"0963""#,
        ),
    ];
    for (kind, value, expected) in cases {
        let mut feed = udp();
        feed.chunk(UP, &packet(1, 1, 7, &attribute(*kind, value)));
        let all = shown(&feed.end()[0].request);
        let expected = format!(r#""attributes":[{{"type":{kind},{expected}}}]"#);
        assert!(all.contains(&expected), "{all}\n{expected}");
    }
}

#[test]
fn a_request_sent_again_is_one_item() {
    let mut feed = udp();
    feed.at(Timestamp::from_secs(100, 0))
        .chunk(UP, &login(1, "amy"))
        .at(Timestamp::from_secs(105, 0))
        .chunk(UP, &login(1, "amy"))
        .at(Timestamp::from_secs(106, 0))
        .chunk(DOWN, &accept(1))
        .chunk(DOWN, &accept(1));
    let drafts = feed.end();
    assert_eq!(errors(&drafts), ["", "pair-not-found"]);
    assert_eq!(drafts[0].elapsed_nanos, 6_000_000_000);
    assert!(shown(&drafts[0].request).contains(r#""retransmissions":1"#));
    assert_eq!(
        drafts[1].error.as_ref().unwrap().msg,
        "the response was sent again"
    );
}

#[test]
fn an_identifier_used_anew_is_a_new_request() {
    let mut other = login(1, "amy");
    other[4] ^= 1;
    let mut feed = udp();
    feed.chunk(UP, &login(1, "amy"))
        .chunk(UP, &other)
        .chunk(DOWN, &accept(1));
    let drafts = feed.end();
    assert_eq!(errors(&drafts), ["timeout", ""]);
    assert!(text(&drafts[1].request, "authenticator").starts_with("06"));
}

#[test]
fn a_response_must_be_able_to_answer() {
    let mut feed = udp();
    feed.chunk(UP, &login(1, "amy"))
        .chunk(DOWN, &packet(5, 1, 9, &[]))
        .chunk(DOWN, &packet(52, 1, 9, &[]));
    assert_eq!(errors(&feed.end()), ["pair-not-found", ""]);
}

#[test]
fn a_request_waits_for_its_answer_for_a_while_only() {
    let mut feed = udp();
    feed.at(Timestamp::from_secs(100, 0))
        .chunk(UP, &login(1, "amy"))
        .at(Timestamp::from_secs(140, 0))
        .chunk(UP, &login(2, "bob"));
    assert_eq!(errors(&feed.drafts.0), ["timeout"]);
}

#[test]
fn padding_is_no_part_of_a_packet_and_a_cut_one_says_so() {
    let mut padded = login(1, "amy");
    padded.extend([0; 30]);
    let cut = &login(2, "bob")[..30];
    let mut wrong = login(3, "eve");
    wrong[21] = 1;
    let mut feed = udp();
    feed.chunk(UP, &padded).chunk(UP, cut).chunk(UP, &wrong);
    assert_eq!(errors(&feed.end()), ["timeout", "dissection", "dissection"]);
}

#[test]
fn what_only_looks_like_radius_is_left_alone() {
    let payloads: [&[u8]; 4] = [
        &[1; 64],
        &[0; 64],
        b"\x01\x02\0\x14aaaaaaaaaaaaaaaa",
        b"\x01\x02\0\x17aaaaaaaaaaaaaaaa\xc8\x03a",
    ];
    for payload in payloads {
        let mut feed = Feed::new(Transport::Udp, 8000, &enabled(&["radius"]).0);
        feed.chunk(UP, payload).chunk(DOWN, payload);
        assert_eq!(feed.protocol(), None, "{payload:?}");
        assert!(feed.end().is_empty());
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(
        code in 0..60u8,
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        for bytes in [bytes.clone(), packet(code, 1, 7, &bytes)] {
            if let Some(packet) = Packet::parse(&bytes) {
                let _ = packet.check();
            }
            let all = [&[0; 4][..], &bytes].concat();
            shown(&render::packet(&Bytes::from(all)));
        }
    }
}

/// How often each code stands in items; a request counts as often as it was sent.
fn codes(drafts: &[Draft]) -> BTreeMap<String, u64> {
    let mut codes = BTreeMap::new();
    for side in drafts
        .iter()
        .flat_map(|draft| [&draft.request, &draft.response])
    {
        let number = |name| lookup(ItemNode::of_value(side), name).and_then(Node::int);
        if let Some(code) = number("code") {
            let times = 1 + number("retransmissions").map_or(0, i64::unsigned_abs);
            *codes.entry(code.to_string()).or_default() += times;
        }
    }
    codes
}

/// Captures in which we count other packets than `truth.json`: the code, ours, and the reason.
const DIFFERENCES: &[truth::Difference<(&str, u64)>] = &[(
    "radius/own-radius-freeradius.pcap",
    ("1", 14),
    &[35],
    "we are right: one Access-Request went to port 1899, which tshark does not take for RADIUS",
)];

#[test]
fn packets_of_the_sample_captures_are_all_found() {
    let expected = |_: &str, facts: &serde_json::Value| {
        serde_json::from_value(facts["radius"]["codes"].clone()).unwrap_or_default()
    };
    truth::assert_counts_but(
        "radius",
        codes,
        expected,
        DIFFERENCES,
        |wanted, (code, ours)| {
            wanted.insert((*code).to_owned(), *ours);
        },
    );
}

#[test]
fn the_recorded_server_is_understood() {
    let Some(drafts) = truth::items("radius", "radius/own-radius-freeradius.pcap") else {
        return;
    };
    let count = |request: &str, response: &str| {
        drafts
            .iter()
            .filter(|draft| text(&draft.request, "codeName") == request)
            .filter(|draft| text(&draft.response, "codeName") == response)
            .count()
    };
    // constructed.json
    assert_eq!(count("Access-Request", "Access-Accept"), 10);
    assert_eq!(count("Access-Request", "Access-Reject"), 3);
    assert_eq!(count("Accounting-Request", "Accounting-Response"), 3);
    assert_eq!(count("Status-Server", "Access-Accept"), 1);
    // To the port where nobody listens.
    assert_eq!(count("Access-Request", ""), 1);
    assert_eq!(drafts.len(), 18);
}
