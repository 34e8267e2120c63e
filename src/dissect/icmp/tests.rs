//! Tests of ICMP and ICMPv6.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::conversation::tests::dissect_capture;
use super::super::robustness::{Feed, Sample};
use super::super::{Draft, enabled, truth};
use super::parser::Message;
use super::quoted::Quoted;
use super::*;
use crate::item::{ItemNode, Node, Value, json, lookup};
use crate::packet::Direction;
use crate::time::Timestamp;

const UP: Direction = Direction::ToServer;
const DOWN: Direction = Direction::ToClient;

/// A message: type, code, an empty checksum, the word behind it, the rest.
fn message(kind: u8, code: u8, word: u32, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind, code, 0, 0];
    out.extend_from_slice(&word.to_be_bytes());
    out.extend_from_slice(body);
    out
}

fn echo(kind: u8, id: u16, seq: u16) -> Vec<u8> {
    message(kind, 0, u32::from(id) << 16 | u32::from(seq), &[7; 56])
}

/// An IPv4 header and the front of a UDP header, as an error quotes them.
fn quoted_udp() -> Vec<u8> {
    let mut out = vec![0x45, 0, 0, 60, 0, 1, 0, 0, 64, 17, 0, 0];
    out.extend_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
    out.extend_from_slice(&[0x9c, 0x40, 0, 53, 0, 40, 0, 0]);
    out
}

fn neighbor(kind: u8, word: u32, last: u8) -> Vec<u8> {
    let mut target = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last].to_vec();
    target.extend_from_slice(&[kind - 134, 1, 2, 0, 0, 0, 0, last]);
    message(kind, 0, word, &target)
}

pub(super) fn samples() -> Vec<Sample> {
    vec![
        Sample {
            name: "pings, one lost, an answer nobody asked for, an error",
            transport: Transport::ICMP,
            server_port: 0,
            turns: vec![
                (UP, echo(8, 7, 1)),
                (DOWN, echo(0, 7, 1)),
                (UP, echo(8, 7, 2)),
                (UP, echo(8, 7, 3)),
                (DOWN, echo(0, 7, 3)),
                (DOWN, echo(0, 9, 1)),
                (DOWN, message(3, 3, 0, &quoted_udp())),
            ],
            items: 5,
        },
        Sample {
            name: "neighbours and a router",
            transport: Transport::ICMPV6,
            server_port: 0,
            turns: vec![
                (UP, neighbor(135, 0, 9)),
                (DOWN, neighbor(136, 0x6000_0000, 9)),
                (UP, message(133, 0, 0, &[])),
                (DOWN, message(134, 0, 0x40c0_0708, &[0; 8])),
                (UP, echo(128, 1, 1)),
                (DOWN, echo(129, 1, 1)),
            ],
            items: 4,
        },
    ]
}

fn feed(transport: Transport) -> Feed {
    Feed::new(transport, 0, &enabled(&["icmp"]).0)
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
fn an_echo_has_the_shape_of_the_reference() {
    let mut feed = feed(Transport::ICMP);
    feed.at(Timestamp::from_secs(100, 0))
        .chunk(UP, &echo(8, 7, 1))
        .at(Timestamp::from_secs(100, 3_000_000))
        .chunk(DOWN, &echo(0, 7, 1));
    let drafts = feed.end();
    assert_eq!(drafts.len(), 1);
    assert_eq!(drafts[0].elapsed_nanos, 3_000_000);
    assert_eq!(drafts[0].kind.version, "4");
    assert_eq!(
        shown(&drafts[0].request),
        r#"{"type":"EchoRequest","version":4,"length":64,"code":0,"codeName":"","id":7,"seq":1}"#
    );
    assert_eq!(
        shown(&drafts[0].response),
        r#"{"type":"EchoReply","version":4,"length":64,"code":0,"codeName":"","id":7,"seq":1}"#
    );
}

#[test]
fn what_stays_without_its_other_half_says_so() {
    let mut feed = feed(Transport::ICMP);
    feed.at(Timestamp::from_secs(100, 0))
        .chunk(UP, &echo(8, 7, 1))
        // A reply to another sequence number, and one of the asking side itself.
        .chunk(DOWN, &echo(0, 7, 2))
        .chunk(UP, &echo(0, 7, 1))
        .at(Timestamp::from_secs(140, 0))
        .chunk(UP, &echo(8, 7, 9));
    assert_eq!(
        errors(&feed.end()),
        ["pair-not-found", "pair-not-found", "timeout", "timeout"]
    );
}

#[test]
fn an_error_names_the_packet_that_caused_it() {
    let mut feed = feed(Transport::ICMP);
    feed.chunk(DOWN, &message(3, 3, 0, &quoted_udp()));
    feed.chunk(DOWN, &message(3, 4, 1400, &quoted_udp()));
    feed.chunk(DOWN, &message(11, 0, 0, &quoted_udp()[..20]));
    let drafts = feed.end();
    assert!(!drafts[0].from_client);
    assert_eq!(errors(&drafts), ["connection", "", "connection"]);
    assert_eq!(
        drafts[0].error.as_ref().unwrap().msg,
        "PortUnreachable for udp from 10.0.0.1:40000 to 10.0.0.2:53"
    );
    assert_eq!(
        shown(&drafts[0].request),
        concat!(
            r#"{"type":"DestinationUnreachable","version":4,"length":36,"code":3,"#,
            r#""codeName":"PortUnreachable","quoted":{"src":{"ip":"10.0.0.1","port":"40000"},"#,
            r#""dst":{"ip":"10.0.0.2","port":"53"},"protocol":"udp","length":60}}"#
        )
    );
    assert!(shown(&drafts[1].request).contains(r#""mtu":1400"#));
    // Nothing behind the IP header was quoted.
    assert_eq!(text(&drafts[2].request, "quoted.dst.port"), "");
    assert_eq!(text(&drafts[2].request, "quoted.dst.ip"), "10.0.0.2");
}

#[test]
fn neighbour_discovery_and_listeners_are_shown() {
    let prefix = [
        &[3, 4, 64, 0xc0, 0, 0, 1, 0, 0, 0, 0, 9, 0, 0, 0, 0][..],
        &[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[5, 1, 0, 0, 0, 0, 5, 0xdc],
    ]
    .concat();
    let group = [
        &[4, 0, 0, 1][..],
        &[0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xfb],
        &[0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    ]
    .concat();
    let mut feed = feed(Transport::ICMPV6);
    feed.chunk(UP, &neighbor(135, 0, 9))
        .chunk(DOWN, &neighbor(136, 0x6000_0000, 9))
        .chunk(
            DOWN,
            &message(134, 0, 0x40c0_0708, &[&[0; 8][..], &prefix].concat()),
        )
        .chunk(UP, &message(143, 0, 1, &group));
    let drafts = feed.end();
    assert_eq!(errors(&drafts), ["", "", ""]);
    assert_eq!(drafts[0].kind.version, "6");
    assert_eq!(
        shown(&drafts[0].response),
        concat!(
            r#"{"type":"NeighborAdvertisement","version":6,"length":32,"code":0,"codeName":"","#,
            r#""target":"fe80::9","flags":["solicited","override"],"#,
            r#""options":[{"type":"TargetLinkLayerAddress","address":"02:00:00:00:00:09"}]}"#
        )
    );
    assert_eq!(
        shown(&drafts[1].request),
        concat!(
            r#"{"type":"RouterAdvertisement","version":6,"length":56,"code":0,"codeName":"","#,
            r#""hopLimit":64,"flags":["managed","other"],"lifetime":1800,"reachableTime":0,"#,
            r#""retransTimer":0,"options":[{"type":"PrefixInformation","#,
            r#""prefix":"2001:db8::/64","onLink":true,"autonomous":true,"validLifetime":256,"#,
            r#""preferredLifetime":9},{"type":"Mtu","mtu":1500}]}"#
        )
    );
    assert_eq!(
        text(&drafts[2].request, "records.0.type"),
        "ChangeToExclude"
    );
    assert_eq!(text(&drafts[2].request, "records.0.sources.0"), "fe80::1");
}

/// RFC 4861 section 7.2.4: the target of an advertisement is that of the solicitation.
#[test]
fn an_advertisement_answers_the_solicitation_of_its_target() {
    const SOLICITED: u32 = 0x6000_0000;
    let mut feed = feed(Transport::ICMPV6);
    feed.chunk(UP, &neighbor(135, 0, 9))
        .chunk(UP, &neighbor(135, 0, 8))
        .chunk(DOWN, &neighbor(136, SOLICITED, 8))
        .chunk(DOWN, &neighbor(136, SOLICITED, 7))
        .chunk(DOWN, &neighbor(136, 0x2000_0000, 9));
    let drafts = feed.end();
    let targets: Vec<_> = drafts
        .iter()
        .map(|draft| {
            (
                text(&draft.request, "target"),
                text(&draft.response, "target"),
            )
        })
        .collect();
    let pair = |asked: &str, told: &str| (asked.to_owned(), told.to_owned());
    assert_eq!(
        targets,
        [
            pair("fe80::8", "fe80::8"),
            // Asked by multicast, perhaps, and in any case not here.
            pair("", "fe80::7"),
            // Nobody asked for it.
            pair("fe80::9", ""),
            pair("fe80::9", ""),
        ]
    );
    assert_eq!(errors(&drafts), ["", "", "", "timeout"]);
}

/// How often each type of ICMP or ICMPv6 came.
fn types(drafts: &[Draft], version: &str) -> BTreeMap<String, u64> {
    let mut types = BTreeMap::new();
    for draft in drafts.iter().filter(|draft| draft.kind.version == version) {
        for side in [&draft.request, &draft.response] {
            let name = text(side, "type");
            if !name.is_empty() {
                *types.entry(name).or_default() += 1;
            }
        }
    }
    types
}

#[test]
fn messages_of_the_sample_captures_are_all_found() {
    let name_of = |kind: &str, v6| {
        let bytes = message(kind.parse().unwrap(), 0, 0, &[]);
        super::render::type_text(&Message::parse(&bytes, v6).unwrap())
    };
    let mut differ = BTreeMap::new();
    let mut found = 0;
    let walked = truth::walk(|name, facts, drafts| {
        let drafts = truth::only("icmp", drafts);
        for (key, version) in [("icmp", "4"), ("icmpv6", "6")] {
            let expected: BTreeMap<String, u64> = facts[key]["types"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(kind, count)| (name_of(kind, version == "6"), count.as_u64().unwrap()))
                .collect();
            let ours = types(&drafts, version);
            found += ours.values().sum::<u64>();
            truth::row(key, name, &expected, &ours, "");
            if ours != expected {
                differ.insert(format!("{name} {key}"), (ours, expected));
            }
        }
    });
    assert!(!walked || found > 100, "{found}");
    assert!(differ.is_empty(), "ours, expected: {differ:#?}");
}

#[test]
fn a_host_that_pings_itself_is_answered() {
    for (name, pings) in [
        ("linux-cooked/zeek-linux_dlt_sll2.pcap", 2),
        ("pcapng/own-two-interfaces.pcapng", 2),
    ] {
        let Some(drafts) = dissect_capture(name, &enabled(&["icmp"]).0) else {
            return;
        };
        assert_eq!(errors(&drafts), vec![""; pings], "{name}");
    }
}

#[test]
fn pings_of_the_own_capture_are_paired_and_errors_named() {
    let name = "icmp/own-icmp-ping-unreach-ttl.pcap";
    let Some(drafts) = dissect_capture(name, &enabled(&["icmp"]).0) else {
        return;
    };
    let of = |version: &str, kind: &str| {
        let matching = drafts
            .iter()
            .filter(|draft| draft.kind.version == version && text(&draft.request, "type") == kind);
        matching.collect::<Vec<_>>()
    };
    // What was really done (constructed.json).
    assert_eq!(of("4", "EchoRequest").len(), 5);
    assert_eq!(of("6", "EchoRequest").len(), 2);
    for ping in of("4", "EchoRequest").iter().chain(&of("6", "EchoRequest")) {
        assert!(ping.error.is_none() && !matches!(ping.response, Value::Null));
        assert!(ping.elapsed_nanos > 0);
    }
    for version in ["4", "6"] {
        let unreachable = of(version, "DestinationUnreachable");
        assert_eq!(unreachable.len(), 2);
        for error in unreachable {
            assert_eq!(text(&error.request, "codeName"), "PortUnreachable");
            assert_eq!(text(&error.request, "quoted.protocol"), "udp");
            assert_ne!(text(&error.request, "quoted.dst.port"), "");
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        v6 in any::<bool>(),
        kind in any::<u8>(),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let bytes = message(kind, 1, u32::MAX, &body).into();
        let value = if v6 { super::render::v6(&bytes) } else { super::render::v4(&bytes) };
        shown(&value);
        Quoted::read(&body);
    }
}
