//! Tests of DNS.

use std::collections::BTreeMap;

use super::super::Protocols;
use super::super::conversation::tests::dissect_frames;
use super::super::robustness::{Feed, Sample};
use super::super::{Draft, enabled, truth};
use crate::item::{ItemNode, Node, Value, json, lookup};
use crate::packet::{Direction, Transport};
use crate::synth;
use crate::time::Timestamp;

const UP: Direction = Direction::ToServer;
const DOWN: Direction = Direction::ToClient;

/// A message: flags, one question, and records given as bytes behind a pointer to its name.
fn message(id: u16, flags: u16, name: &str, kind: u16, answers: &[(u16, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in [id, flags, 1, answers.len() as u16, 0, 0] {
        bytes.extend(number.to_be_bytes());
    }
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1]);
    for (kind, data) in answers {
        bytes.extend([0xc0, 12]);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1, 0, 0, 0, 5]);
        bytes.extend((data.len() as u16).to_be_bytes());
        bytes.extend(*data);
    }
    bytes
}

fn query(id: u16, name: &str) -> Vec<u8> {
    message(id, 0x0100, name, 1, &[])
}

fn answer(id: u16, name: &str) -> Vec<u8> {
    message(id, 0x8180, name, 1, &[(1, &[10, 96, 3, 4])])
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

pub(super) fn samples() -> Vec<Sample> {
    let cart = "cart.shop.svc.cluster.local";
    vec![
        Sample {
            name: "a lookup, one without answer, one answer nobody asked for",
            transport: Transport::Udp,
            server_port: 53,
            turns: vec![
                (UP, query(7, cart)),
                (DOWN, answer(7, cart)),
                (UP, query(8, "lost.shop")),
                (DOWN, answer(9, "late.shop")),
            ],
            items: 3,
        },
        Sample {
            name: "a lookup on an unusual port",
            transport: Transport::Udp,
            server_port: 9953,
            turns: vec![(UP, query(7, cart)), (DOWN, answer(7, cart))],
            items: 1,
        },
        Sample {
            name: "three lookups in one stream, the second answered last",
            transport: Transport::Tcp,
            server_port: 53,
            turns: vec![
                (UP, framed(&query(1, "one.shop"))),
                (
                    UP,
                    [
                        framed(&query(2, "two.shop")),
                        framed(&query(3, "three.shop")),
                    ]
                    .concat(),
                ),
                (DOWN, framed(&answer(1, "one.shop"))),
                (
                    DOWN,
                    [
                        framed(&answer(3, "three.shop")),
                        framed(&answer(2, "two.shop")),
                    ]
                    .concat(),
                ),
            ],
            items: 3,
        },
        Sample {
            name: "a lookup over TCP on an unusual port",
            transport: Transport::Tcp,
            server_port: 9953,
            turns: vec![
                (UP, framed(&query(1, "one.shop"))),
                (DOWN, framed(&answer(1, "one.shop"))),
            ],
            items: 1,
        },
    ]
}

fn udp() -> Feed {
    Feed::new(Transport::Udp, 53, &Protocols::all())
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
fn an_item_has_the_shape_of_the_reference() {
    let name = "cart.shop.svc.cluster.local";
    let mut feed = udp();
    feed.chunk(UP, &query(7, name))
        .chunk(DOWN, &answer(7, name));
    let drafts = feed.end();
    assert_eq!(
        shown(&drafts[0].request),
        r#"{"opCode":"Query","questions":[{"name":"cart.shop.svc.cluster.local","type":"A","class":"IN"}]}"#
    );
    assert_eq!(
        shown(&drafts[0].response),
        r#"{"code":"No Error","answers":[{"name":"cart.shop.svc.cluster.local","type":"A","class":"IN","ttl":5,"ip":"10.96.3.4","ns":"","cname":"","ptr":"","txts":"","soa":"","srv":"","mx":"","opt":"","uri":""}],"authorities":[],"additionals":[]}"#
    );
    assert_eq!(errors(&drafts), [""]);
}

#[test]
fn every_type_has_its_text() {
    let pointer = [0xc0, 12];
    let named = |front: &[u8]| [front, &pointer].concat();
    let soa = [
        &[1, b'm'][..],
        &pointer,
        &[0xc0, 12],
        &[0, 0, 0, 9].repeat(5),
    ]
    .concat();
    let cases: &[(u16, Vec<u8>, &str, &str)] = &[
        (
            28,
            vec![0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            "ip",
            "2001:db8::1",
        ),
        (2, named(&[]), "ns", "a.shop"),
        (5, named(&[1, b'w']), "cname", "w.a.shop"),
        (12, named(&[]), "ptr", "a.shop"),
        (15, named(&[0, 10]), "mx", "10 a.shop"),
        (16, b"\x03abc\x02de".to_vec(), "txts", "abc, de"),
        (33, named(&[0, 1, 0, 2, 0, 80]), "srv", "1 2 80 a.shop"),
        (6, soa, "soa", "m.a.shop a.shop 9 9 9 9 9"),
        (
            256,
            b"\0\x0a\0\x01http://x/".to_vec(),
            "uri",
            "10 1 http://x/",
        ),
        (
            41,
            b"\0\x0a\0\x02\xab\xcd\0\x0c\0\x01\0".to_vec(),
            "opt",
            "udp=1, version=0, COOKIE=abcd, PADDING=1",
        ),
        (
            257,
            b"\0\x05issueca.example".to_vec(),
            "data",
            "0 issue \"ca.example\"",
        ),
        (43, vec![1, 2, 3], "data", "\\# 3 010203"),
        (65000, vec![], "data", "\\# 0"),
        // Data that is not of its type.
        (1, vec![1, 2], "data", "\\# 2 0102"),
        (5, vec![0xc0, 0xff], "data", "\\# 2 c0ff"),
        (16, vec![9, b'a'], "data", "\\# 2 0961"),
    ];
    for (kind, data, member, expected) in cases {
        let mut feed = udp();
        feed.chunk(DOWN, &message(7, 0x8180, "a.shop", 255, &[(*kind, data)]));
        let drafts = feed.end();
        let Some(Value::List(answers)) = drafts[0].response.member("answers") else {
            panic!("answers are a list");
        };
        assert_eq!(text(&answers[0], member), *expected, "type {kind}");
    }
}

#[test]
fn names_are_shown_without_surprises() {
    let mut bytes = query(7, "abcd.shop");
    bytes[13..17].copy_from_slice(b"a.\x01\\");
    let drafts = {
        let mut feed = udp();
        feed.chunk(UP, &bytes);
        feed.end()
    };
    let Some(Value::List(questions)) = drafts[0].request.member("questions") else {
        panic!("questions are a list");
    };
    assert_eq!(text(&questions[0], "name"), "a\\.\\001\\\\.shop");
    assert_eq!(
        text(&drafts[0].request, "questions.0.name"),
        "a\\.\\001\\\\.shop"
    );
}

#[test]
fn a_response_belongs_to_the_query_with_its_identifier_and_question() {
    let mut feed = udp();
    feed.at(Timestamp::from_secs(100, 0))
        .chunk(UP, &query(7, "a.shop"))
        .chunk(UP, &query(7, "b.shop"))
        .at(Timestamp::from_secs(100, 5_000_000))
        .chunk(DOWN, &answer(7, "B.sHOP"))
        .chunk(DOWN, &answer(6, "a.shop"));
    let drafts = feed.end();
    assert_eq!(errors(&drafts), ["", "pair-not-found", "timeout"]);
    assert_eq!(drafts[0].elapsed_nanos, 5_000_000);
    assert_eq!(drafts[0].start, Timestamp::from_secs(100, 0));
    assert!(matches!(drafts[1].request, Value::Null));
    assert!(matches!(drafts[2].response, Value::Null));
    assert!(drafts.iter().all(|draft| draft.from_client));
}

#[test]
fn a_response_without_its_query_is_an_item_and_says_so() {
    let response = answer(7, "a.shop");
    let mut unseen = Vec::new();
    for port in [53, 5300] {
        let mut feed = Feed::new(Transport::Udp, port, &Protocols::all());
        feed.chunk(DOWN, &response);
        unseen.push(feed);
        let mut feed = Feed::new(Transport::Tcp, port, &Protocols::all());
        feed.gap(UP, 26).chunk(DOWN, &framed(&response));
        unseen.push(feed);
    }
    for feed in unseen {
        let drafts = feed.end();
        let drafts: Vec<_> = drafts.iter().filter(|one| one.kind.name == "dns").collect();
        assert_eq!(drafts.len(), 1);
        assert_eq!(drafts[0].error.as_ref().unwrap().kind, "pair-not-found");
        assert!(matches!(drafts[0].request, Value::Null));
        assert_eq!(text(&drafts[0].response, "answers.0.name"), "a.shop");
        assert!(drafts[0].from_client);
    }
}

#[test]
fn a_query_sent_twice_and_answered_once_says_so() {
    let mut feed = udp();
    feed.chunk(UP, &query(7, "a.shop"))
        .chunk(UP, &query(7, "a.shop"))
        .chunk(DOWN, &answer(7, "a.shop"));
    assert_eq!(errors(&feed.end()), ["", "pair-not-found"]);
}

#[test]
fn a_query_waits_for_its_answer_for_a_while_only() {
    let mut feed = udp();
    feed.at(Timestamp::from_secs(100, 0))
        .chunk(UP, &query(7, "a.shop"))
        .at(Timestamp::from_secs(140, 0))
        .chunk(UP, &query(8, "b.shop"));
    assert_eq!(feed.drafts.0.len(), 1);
    assert_eq!(errors(&feed.drafts.0), ["timeout"]);
}

#[test]
fn open_queries_are_capped() {
    let mut feed = udp();
    for id in 0..1500 {
        feed.chunk(UP, &query(id, "a.shop"));
    }
    assert_eq!(feed.drafts.0.len(), 1500 - 1024);
    assert_eq!(feed.end().len(), 1500);
}

#[test]
fn multicast_messages_stand_alone() {
    let mut feed = Feed::new(Transport::Udp, 5353, &Protocols::all());
    feed.chunk(UP, &query(0, "printer.local")).chunk(
        UP,
        &message(0, 0x8400, "printer.local", 1, &[(1, &[10, 0, 0, 9])]),
    );
    let drafts = feed.end();
    assert_eq!(errors(&drafts), ["", ""]);
    assert!(matches!(drafts[0].response, Value::Null));
    assert!(matches!(drafts[1].request, Value::Null));
}

#[test]
fn a_damaged_message_is_shown_as_far_as_it_goes() {
    let mut bytes = answer(7, "a.shop");
    bytes.truncate(bytes.len() - 2);
    let mut feed = udp();
    feed.chunk(UP, &query(7, "a.shop")).chunk(DOWN, &bytes);
    let drafts = feed.end();
    assert_eq!(errors(&drafts), ["dissection"]);
    assert_eq!(text(&drafts[0].response, "code"), "No Error");
}

#[test]
fn a_stream_finds_its_way_back_after_a_gap() {
    let mut feed = Feed::new(Transport::Tcp, 53, &Protocols::all());
    let first = framed(&query(1, "a.shop"));
    feed.chunk(UP, &first)
        .chunk(UP, &first[..9])
        .gap(UP, 4)
        .chunk(UP, &first[13..])
        .chunk(UP, &framed(&query(2, "b.shop")))
        .gap(UP, 100)
        .chunk(UP, b"the rest of something")
        .chunk(UP, &framed(&query(3, "c.shop")))
        .chunk(DOWN, &framed(&answer(3, "c.shop")));
    let names: Vec<_> = feed
        .end()
        .iter()
        .map(|draft| match draft.request.member("questions") {
            Some(Value::List(questions)) => text(&questions[0], "name"),
            _ => String::new(),
        })
        .collect();
    assert_eq!(names, ["c.shop", "a.shop", "b.shop"]);
}

#[test]
fn packets_become_items_over_both_transports() {
    let client = ([10, 0, 0, 1], 40000);
    let server = ([10, 0, 0, 2], 53);
    let (ask, reply) = (query(7, "a.shop"), answer(7, "a.shop"));
    let frames = synth::merge([
        synth::udp(client, server)
            .to_server(&ask)
            .to_client(&reply)
            .end(),
        synth::tcp(client, server)
            .mss(10)
            .to_server(framed(&ask))
            .to_client(framed(&reply))
            .fin(),
    ]);
    let drafts = dissect_frames(&frames, &enabled(&["dns"]).0);
    assert_eq!(errors(&drafts), ["", ""]);
    assert_eq!(drafts[0].elapsed_nanos, 200_000);
    assert_eq!(drafts[0].request_size, ask.len() as u64);
    assert_eq!(shown(&drafts[0].response), shown(&drafts[1].response));
}

#[test]
fn what_only_looks_like_dns_is_left_alone() {
    let payloads: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n",
        &[0; 64],
        &[0xff; 64],
        // An SNMP message.
        b"\x30\x26\x02\x01\x01\x04\x06public\xa0\x19\x02\x04\x01\x02\x03\x04\x02\x01\0\x02\x01\0",
    ];
    for payload in payloads {
        for transport in [Transport::Udp, Transport::Tcp] {
            let mut feed = Feed::new(transport, 8000, &enabled(&["dns"]).0);
            feed.chunk(UP, payload).chunk(DOWN, payload);
            assert_eq!(feed.protocol(), None, "{payload:?}");
            assert!(feed.end().is_empty());
        }
    }
}

/// Queries and responses among items.
fn count(drafts: &[Draft]) -> (usize, usize) {
    let side = |value: &Value| usize::from(!matches!(value, Value::Null));
    drafts.iter().fold((0, 0), |(queries, responses), draft| {
        (
            queries + side(&draft.request),
            responses + side(&draft.response),
        )
    })
}

/// How often each response code stands in the four bits of the header.
fn codes(drafts: &[Draft]) -> BTreeMap<String, u64> {
    let mut codes = BTreeMap::new();
    for draft in drafts {
        let code = match text(&draft.response, "code").as_str() {
            "" => continue,
            // The capture's one code above 15; its lower four bits are zero.
            "No Error" | "Bad OPT Version" => 0,
            "Format Error" => 1,
            "Server Failure" => 2,
            "Non-Existent Domain" => 3,
            "Not Implemented" => 4,
            "Query Refused" => 5,
            other => panic!("{other} is in no capture"),
        };
        *codes.entry(code.to_string()).or_default() += 1;
    }
    codes
}

/// Captures in which we count other messages than `truth.json`, with ours and the reason.
const DIFFERENCES: &[truth::Difference<(usize, usize)>] = &[
    (
        "http2/suricata-dns-over-http2.pcap",
        (0, 0),
        &[9, 11, 17, 22],
        "both are: the messages are bodies of HTTP/2, whose items show them",
    ),
    (
        "icmp/zeek-icmp-destunreach-udp.pcap",
        (0, 0),
        &[1],
        "we are right: the response is quoted in an ICMP error, nobody sent it a second time",
    ),
    (
        "malformed/ndpi-badpackets.pcap",
        (0, 0),
        &[1, 93],
        "both are: from the first response to the last, only first fragments were captured; tshark \
         reads those alone, we wait for all",
    ),
    (
        "overlays/zeek-gre-sample.pcap",
        (2, 0),
        &[34, 36],
        "we are right: two of tshark's four queries are quoted in ICMP errors",
    ),
];

#[test]
fn messages_of_the_sample_captures_are_all_found() {
    let ours = |drafts: &[Draft]| (count(drafts), codes(drafts));
    let expected = |_: &str, facts: &serde_json::Value| {
        let number = |key: &str| facts["dns"][key].as_u64().unwrap_or(0) as usize;
        let counts = (number("queries"), number("responses"));
        let codes = match counts.1 {
            0 => BTreeMap::new(),
            _ => serde_json::from_value(facts["dns"]["rcodes"].clone()).unwrap(),
        };
        (counts, codes)
    };
    truth::assert_counts_but("dns", ours, expected, DIFFERENCES, |wanted, counts| {
        wanted.0 = *counts;
        if counts.1 == 0 {
            wanted.1.clear();
        }
    });
}

/// How often each type of question came: once in a query, and once more in the response to it.
fn questions(drafts: &[Draft]) -> BTreeMap<String, u64> {
    let mut types = BTreeMap::new();
    for draft in drafts {
        let asked = lookup(ItemNode::of_value(&draft.request), "questions");
        let times = 1 + u64::from(!matches!(draft.response, Value::Null));
        for at in 0..asked.map_or(0, Node::len) {
            *types
                .entry(text(&draft.request, &format!("questions.{at}.type")))
                .or_default() += times;
        }
    }
    types
}

/// Captures in which we count other types of questions than `truth.json`.
const QUESTIONS: &[truth::Difference<&[(&str, u64)]>] = &[
    (
        "dns/ndpi-malformed_dns.pcap",
        &[("A", 4)],
        &[2, 3, 5, 6],
        "we are right: the second question of each response has a name that is longer than one may be",
    ),
    (
        "http2/suricata-dns-over-http2.pcap",
        &[],
        &[9, 11, 17, 22],
        "both are: the messages are bodies of HTTP/2, whose items show them",
    ),
    (
        "icmp/zeek-icmp-destunreach-udp.pcap",
        &[],
        &[1],
        "we are right: the response is quoted in an ICMP error, nobody sent it a second time",
    ),
    (
        "malformed/ndpi-badpackets.pcap",
        &[],
        &[1, 93],
        "both are: from the first response to the last, only first fragments were captured; tshark \
         reads those alone, we wait for all",
    ),
    (
        "overlays/zeek-gre-sample.pcap",
        &[("ANY", 2)],
        &[34, 36],
        "we are right: two of tshark's four queries are quoted in ICMP errors",
    ),
];

#[test]
fn questions_of_the_sample_captures_are_all_found() {
    let expected = |_: &str, facts: &serde_json::Value| {
        let types = facts["dns"]["question_types"].as_object();
        let named = types.into_iter().flatten().map(|(number, count)| {
            let name = super::render::type_text(number.parse().unwrap());
            let name = json::to_string(ItemNode::of_value(&name));
            (name.trim_matches('"').to_owned(), count.as_u64().unwrap())
        });
        named.collect::<BTreeMap<_, _>>()
    };
    truth::assert_counts_but("dns", questions, expected, QUESTIONS, |wanted, ours| {
        *wanted = ours
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect();
    });
}
