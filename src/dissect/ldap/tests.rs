//! Tests of LDAP.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::super::robustness::{Feed, Sample};
use super::super::{Draft, enabled, truth};
use super::{filter, parser, render};
use crate::item::{ItemNode, Node, Value, json, lookup};
use crate::packet::{Direction, Transport};
use crate::time::Timestamp;

const UP: Direction = Direction::ToServer;
const DOWN: Direction = Direction::ToClient;

/// One element; the short form of its length when that is enough.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let contents = parts.concat();
    let mut bytes = vec![tag];
    match contents.len() {
        len @ 0..=0x7f => bytes.push(len as u8),
        len => {
            bytes.push(0x82);
            bytes.extend((len as u16).to_be_bytes());
        }
    }
    bytes.extend(contents);
    bytes
}

fn octets(text: &str) -> Vec<u8> {
    tlv(4, &[text.as_bytes()])
}

fn message(id: u8, tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &[&[2, 1, id], &tlv(tag, parts)])
}

fn bind(id: u8, name: &str, password: &str) -> Vec<u8> {
    let password = tlv(0x80, &[password.as_bytes()]);
    message(id, 0x60, &[&[2, 1, 3], &octets(name), &password])
}

fn sasl_bind(id: u8, mechanism: &str, credentials: &str) -> Vec<u8> {
    let sasl = tlv(0xa3, &[&octets(mechanism), &octets(credentials)]);
    message(id, 0x60, &[&[2, 1, 3], &octets(""), &sasl])
}

fn result(id: u8, tag: u8, code: u8, text: &str) -> Vec<u8> {
    message(id, tag, &[&[0x0a, 1, code], &octets(""), &octets(text)])
}

fn search(id: u8, filter: &[u8]) -> Vec<u8> {
    let attributes = tlv(0x30, &[&octets("cn"), &octets("mail")]);
    let limits = [0x0a, 1, 2, 0x0a, 1, 0, 2, 1, 0, 2, 1, 30, 1, 1, 0];
    message(
        id,
        0x63,
        &[&octets("dc=example"), &limits, filter, &attributes],
    )
}

fn attribute(name: &str, vals: &[&str]) -> Vec<u8> {
    let vals: Vec<u8> = vals.iter().flat_map(|value| octets(value)).collect();
    tlv(0x30, &[&octets(name), &tlv(0x31, &[&vals])])
}

fn entry(id: u8, name: &str) -> Vec<u8> {
    let attributes = [
        attribute("cn", &["a", "b"]),
        attribute("userPassword", &["{SSHA}x"]),
    ]
    .concat();
    message(id, 0x64, &[&octets(name), &tlv(0x30, &[&attributes])])
}

/// The example of RFC 4515 section 4: `(cn:dn:2.4.6.8.10:=Dino)` and others, as BER.
fn equality(attribute: &str, value: &str) -> Vec<u8> {
    tlv(0xa3, &[&octets(attribute), &octets(value)])
}

fn present(attribute: &str) -> Vec<u8> {
    tlv(0x87, &[attribute.as_bytes()])
}

fn extended(id: u8, name: &str) -> Vec<u8> {
    message(id, 0x77, &[&tlv(0x80, &[name.as_bytes()])])
}

const START_TLS: &str = "1.3.6.1.4.1.1466.20037";

pub(super) fn samples() -> Vec<Sample> {
    vec![
        Sample {
            name: "a bind, a search, a refused modification, an unbind",
            transport: Transport::Tcp,
            server_port: 389,
            turns: vec![
                (UP, bind(1, "cn=app", "secret")),
                (DOWN, result(1, 0x61, 0, "")),
                (UP, search(2, &present("objectClass"))),
                (DOWN, [entry(2, "cn=a"), entry(2, "cn=b")].concat()),
                (DOWN, [entry(2, "cn=c"), result(2, 0x65, 0, "")].concat()),
                (UP, message(3, 0x66, &[&octets("cn=a"), &tlv(0x30, &[])])),
                (DOWN, result(3, 0x67, 50, "no")),
                (UP, message(4, 0x42, &[])),
            ],
            items: 4,
        },
        Sample {
            name: "operations side by side on an unusual port, one abandoned, one unanswered",
            transport: Transport::Tcp,
            server_port: 10389,
            turns: vec![
                (
                    UP,
                    [
                        search(2, &present("a")),
                        search(3, &present("b")),
                        search(4, &present("c")),
                    ]
                    .concat(),
                ),
                (DOWN, [entry(3, "cn=b"), entry(2, "cn=a")].concat()),
                (UP, message(5, 0x50, &[&[2]])),
                (DOWN, result(3, 0x65, 0, "")),
            ],
            items: 4,
        },
        Sample {
            name: "without connection",
            transport: Transport::Udp,
            server_port: 389,
            turns: vec![
                (UP, search(1, &equality("DnsDomain", "x.example"))),
                (DOWN, [entry(1, ""), result(1, 0x65, 0, "")].concat()),
            ],
            items: 1,
        },
        Sample {
            name: "a SASL bind that protects what follows",
            transport: Transport::Tcp,
            server_port: 389,
            turns: vec![
                (UP, sasl_bind(1, "GSSAPI", "token")),
                (DOWN, result(1, 0x61, 14, "")),
                (UP, sasl_bind(2, "GSSAPI", "token")),
                (DOWN, result(2, 0x61, 0, "")),
                (UP, b"\0\0\0\x10\x05\x04protected data".to_vec()),
                (DOWN, b"\0\0\0\x10\x05\x04protected data".to_vec()),
            ],
            items: 3,
        },
    ]
}

fn tcp() -> Feed {
    Feed::new(Transport::Tcp, 389, &enabled(&["ldap"]).0)
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
fn items_have_the_shape_of_the_reference() {
    let mut feed = tcp();
    feed.chunk(UP, &bind(1, "cn=app,dc=x", "secret"))
        .chunk(DOWN, &result(1, 0x61, 0, ""))
        .chunk(UP, &search(2, &present("objectClass")))
        .chunk(DOWN, &entry(2, "cn=a"))
        .chunk(DOWN, &result(2, 0x65, 0, ""));
    let drafts = feed.end();
    assert_eq!(errors(&drafts), ["", ""]);
    let expected = [
        (
            r#"{"type":"bind request","operation":"bind","messageId":1,"version":3,"name":"cn=app,dc=x","authentication":"simple","passwordLength":6,"summary":"cn=app,dc=x"}"#,
            r#"{"type":"bind response","operation":"bind","messageId":1,"resultCode":0,"resultName":"success","matchedDN":"","diagnosticMessage":""}"#,
        ),
        (
            r#"{"type":"search request","operation":"search","messageId":2,"baseObject":"dc=example","scope":"wholeSubtree","derefAliases":"neverDerefAliases","sizeLimit":0,"timeLimit":30,"typesOnly":false,"filter":"(objectClass=*)","attributes":["cn","mail"],"summary":"dc=example (objectClass=*)"}"#,
            r#"{"type":"search result done","operation":"search","messageId":2,"resultCode":0,"resultName":"success","matchedDN":"","diagnosticMessage":"","entries":1,"references":0,"results":[{"objectName":"cn=a","attributes":[{"type":"cn","vals":["a","b"]},{"type":"userPassword","vals":["[7 octets]"]}]}]}"#,
        ),
    ];
    for (draft, (request, response)) in drafts.iter().zip(expected) {
        assert_eq!(shown(&draft.request), request);
        assert_eq!(shown(&draft.response), response);
    }
}

#[test]
fn every_operation_has_its_members() {
    let change = tlv(0x30, &[&[0x0a, 1, 2], &attribute("mail", &["x@y"])]);
    let ava = tlv(0x30, &[&octets("userPassword"), &octets("hunter2")]);
    let control = tlv(
        0x30,
        &[
            &octets("1.2.840.113556.1.4.319"),
            &[1, 1, 0xff],
            &octets("abc"),
        ],
    );
    let delete = tlv(
        0x30,
        &[&[2, 1, 9], &tlv(0x4a, &[b"cn=a"]), &tlv(0xa0, &[&control])],
    );
    let cases: &[(Vec<u8>, &str)] = &[
        (
            message(9, 0x66, &[&octets("cn=a"), &tlv(0x30, &[&change])]),
            r#""object":"cn=a","changes":[{"operation":"replace","type":"mail","vals":["x@y"]}],"summary":"cn=a""#,
        ),
        (
            message(
                9,
                0x68,
                &[&octets("cn=a"), &tlv(0x30, &[&attribute("cn", &["a"])])],
            ),
            r#""entry":"cn=a","attributes":[{"type":"cn","vals":["a"]}],"summary":"cn=a""#,
        ),
        (
            delete,
            r#""entry":"cn=a","controls":[{"controlType":"1.2.840.113556.1.4.319","name":"Paged Results","criticality":true,"controlValue":"YWJj"}],"summary":"cn=a""#,
        ),
        (
            message(
                9,
                0x6c,
                &[
                    &octets("cn=a"),
                    &octets("cn=b"),
                    &[1, 1, 0xff],
                    &tlv(0x80, &[b"dc=x"]),
                ],
            ),
            r#""entry":"cn=a","newrdn":"cn=b","deleteoldrdn":true,"newSuperior":"dc=x","summary":"cn=a""#,
        ),
        (
            message(9, 0x6e, &[&octets("cn=a"), &ava]),
            r#""entry":"cn=a","attributeDesc":"userPassword","assertionValue":"[7 octets]","summary":"cn=a""#,
        ),
        (
            message(9, 0x50, &[&[7]]),
            r#""abandonedId":7,"summary":"7""#,
        ),
        (
            extended(9, START_TLS),
            r#""extension":"StartTLS","requestName":"1.3.6.1.4.1.1466.20037","summary":"StartTLS""#,
        ),
        (
            sasl_bind(9, "PLAIN", "\0u\0hunter2"),
            r#""version":3,"name":"","authentication":"sasl","mechanism":"PLAIN","credentialsLength":10,"summary":"""#,
        ),
    ];
    for (bytes, members) in cases {
        assert_eq!(parser::check(bytes), Ok(()), "{members}");
        let request = shown(&render::request(&Bytes::from(bytes.clone())));
        let (_, found) = request.split_once(r#""messageId":9,"#).unwrap();
        assert_eq!(found, format!("{members}}}"));
    }
}

/// RFC 4515 section 4, with the filters' BER made by hand.
#[test]
fn filters_are_shown_as_in_the_rfc() {
    let substrings = |attribute: &str, parts: &[(u8, &str)]| {
        let parts: Vec<u8> = parts
            .iter()
            .flat_map(|(tag, text)| tlv(*tag, &[text.as_bytes()]))
            .collect();
        tlv(0xa4, &[&octets(attribute), &tlv(0x30, &[&parts])])
    };
    let any = |text: &'static str| (0x81, text);
    let cases: &[(Vec<u8>, &str)] = &[
        (equality("cn", "Babs Jensen"), "(cn=Babs Jensen)"),
        (
            tlv(0xa2, &[&equality("cn", "Tim Howes")]),
            "(!(cn=Tim Howes))",
        ),
        (
            tlv(
                0xa0,
                &[
                    &equality("objectClass", "Person"),
                    &tlv(
                        0xa1,
                        &[
                            &equality("sn", "Jensen"),
                            &substrings("cn", &[(0x80, "Babs J"), any("")]),
                        ],
                    ),
                ],
            ),
            "(&(objectClass=Person)(|(sn=Jensen)(cn=Babs J**)))",
        ),
        (
            substrings("o", &[(0x80, "univ"), any("of"), any("mich")]),
            "(o=univ*of*mich*)",
        ),
        (substrings("o", &[(0x82, "end")]), "(o=*end)"),
        (present("seeAlso"), "(seeAlso=*)"),
        (
            tlv(
                0xa9,
                &[
                    &tlv(0x81, &[b"2.4.6.8.10"]),
                    &tlv(0x82, &[b"sn"]),
                    &tlv(0x83, &[b"Barney Rubble"]),
                    &tlv(0x84, &[&[0xff]]),
                ],
            ),
            "(sn:dn:2.4.6.8.10:=Barney Rubble)",
        ),
        (
            equality("o", "Parens R Us (for all your parenthetical needs)"),
            r"(o=Parens R Us \28for all your parenthetical needs\29)",
        ),
        (equality("cn", "*"), r"(cn=\2a)"),
        (
            tlv(0xa3, &[&octets("bin"), &tlv(4, &[&[0, 0, 0, 4, 0xff]])]),
            "(bin=\\00\\00\\00\u{4}\\ff)",
        ),
        (equality("sn", "Lučić"), "(sn=Lučić)"),
        (tlv(0xa5, &[&octets("age"), &octets("7")]), "(age>=7)"),
        (equality("userPassword", "x"), "(userPassword=[1 octets])"),
        (vec![0xaf, 0], "(…)"),
    ];
    for (bytes, expected) in cases {
        let element = super::ber::Elements::of(bytes).next().unwrap().unwrap();
        assert_eq!(filter::filter_text(&element), *expected);
    }
}

#[test]
fn responses_belong_to_the_request_with_their_identifier() {
    let mut feed = tcp();
    feed.at(Timestamp::from_secs(100, 0))
        .chunk(UP, &search(2, &present("a")))
        .chunk(UP, &search(3, &present("b")))
        .at(Timestamp::from_secs(100, 5_000_000))
        .chunk(DOWN, &entry(3, "cn=b"))
        .at(Timestamp::from_secs(101, 0))
        .chunk(DOWN, &result(3, 0x65, 0, ""))
        .chunk(DOWN, &result(7, 0x65, 0, ""));
    let drafts = feed.end();
    assert_eq!(errors(&drafts), ["", "pair-not-found", "pair-not-found"]);
    assert_eq!(text(&drafts[0].request, "filter"), "(b=*)");
    assert_eq!(drafts[0].elapsed_nanos, 5_000_000, "to the first entry");
    assert!(matches!(drafts[1].request, Value::Null));
    assert!(matches!(drafts[2].response, Value::Null));
}

#[test]
fn entries_are_counted_beyond_what_is_shown() {
    let mut feed = tcp();
    feed.chunk(UP, &search(2, &present("a")));
    for index in 0..20_000 {
        feed.chunk(DOWN, &entry(2, &format!("cn=entry {index}")));
    }
    feed.chunk(DOWN, &result(2, 0x65, 4, ""));
    let drafts = feed.end();
    let response = &drafts[0].response;
    assert!(response.is_cut());
    let number = |name| lookup(ItemNode::of_value(response), name).and_then(Node::int);
    assert_eq!(number("entries"), Some(20_000));
    assert_eq!(text(response, "resultName"), "sizeLimitExceeded");
    assert!(text(response, "results.255.objectName").starts_with("cn=entry"));
}

#[test]
fn passwords_do_not_reach_items() {
    const MODIFY: &str = "1.3.6.1.4.1.4203.1.11.1";
    let value = tlv(0x81, &[&tlv(0x30, &[&tlv(0x82, &[b"hidden"])])]);
    let name = tlv(0x80, &[MODIFY.as_bytes()]);
    let generated = tlv(0x8b, &[&tlv(0x30, &[&tlv(0x80, &[b"hidden"])])]);
    let changed = message(
        3,
        0x78,
        &[&[0x0a, 1, 0], &octets(""), &octets(""), &generated],
    );
    let mut feed = tcp();
    feed.chunk(UP, &bind(1, "cn=app", "hidden"))
        .chunk(UP, &sasl_bind(2, "PLAIN", "\0a\0hidden"))
        .chunk(UP, &message(3, 0x77, &[&name, &value]))
        .chunk(DOWN, &changed)
        .chunk(
            UP,
            &message(
                4,
                0x68,
                &[
                    &octets("cn=a"),
                    &tlv(0x30, &[&attribute("userPassword;x", &["hidden"])]),
                ],
            ),
        );
    let drafts = feed.end();
    assert_eq!(drafts.len(), 4);
    let base64 = "aGlkZGVu";
    for draft in drafts {
        let all = format!("{}{}", shown(&draft.request), shown(&draft.response));
        assert!(!all.contains("hidden") && !all.contains(base64), "{all}");
    }
}

#[test]
fn start_tls_hands_over_only_when_it_is_granted() {
    for (code, goes_on) in [(0, false), (52, true)] {
        let mut feed = tcp();
        feed.chunk(UP, &extended(1, START_TLS))
            .chunk(DOWN, &result(1, 0x78, code, ""))
            .chunk(UP, b"\x16\x03\x01\0\xff\x01\0\0\xfb\x03\x03");
        assert_eq!(feed.protocol().is_some(), goes_on);
        assert_eq!(errors(&feed.end()), [""]);
    }
}

#[test]
fn the_server_may_speak_unasked() {
    let notice = message(
        0,
        0x78,
        &[
            &[0x0a, 1, 52],
            &octets(""),
            &octets("going down"),
            &tlv(0x8a, &[b"1.3.6.1.4.1.1466.20036"]),
        ],
    );
    let mut feed = tcp();
    feed.chunk(UP, &message(1, 0x42, &[])).chunk(DOWN, &notice);
    let drafts = feed.end();
    assert_eq!(errors(&drafts), ["", "connection"]);
    assert_eq!(drafts[1].error.as_ref().unwrap().msg, "going down");
    assert_eq!(
        text(&drafts[1].response, "extension"),
        "Notice of Disconnection"
    );
}

#[test]
fn a_gap_is_marked_where_entries_may_be_missing() {
    let found = entry(2, "cn=a");
    let mut feed = tcp();
    feed.chunk(UP, &search(2, &present("a")))
        .chunk(DOWN, &found[..10])
        .gap(DOWN, 10)
        .chunk(DOWN, &found[20..])
        .chunk(DOWN, &entry(2, "cn=b"))
        .gap(DOWN, 500)
        .chunk(DOWN, b"the rest of something")
        .chunk(DOWN, &result(2, 0x65, 0, ""));
    let drafts = feed.end();
    assert_eq!(errors(&drafts), ["dissection"]);
    assert_eq!(text(&drafts[0].response, "resultName"), "success");
    assert_eq!(text(&drafts[0].response, "results.0.objectName"), "cn=b");
}

#[test]
fn a_message_beyond_the_cap_is_shown_from_its_front() {
    let big = "x".repeat(60_000);
    let values: Vec<u8> = (0..6).flat_map(|_| attribute("photo", &[&big])).collect();
    let mut add = [octets("cn=big"), vec![0x30, 0x83]].concat();
    add.extend(&(values.len() as u32).to_be_bytes()[1..]);
    add.extend(values);
    let mut operation = vec![0x68, 0x83];
    operation.extend(&(add.len() as u32).to_be_bytes()[1..]);
    operation.extend(add);
    let mut whole = vec![0x30, 0x83];
    whole.extend(&(operation.len() as u32 + 3).to_be_bytes()[1..]);
    whole.extend([2, 1, 1]);
    whole.extend(operation);
    let mut feed = tcp();
    feed.chunk(UP, &whole)
        .chunk(DOWN, &result(1, 0x69, 0, ""))
        .chunk(UP, &message(2, 0x42, &[]));
    let drafts = feed.end();
    assert_eq!(errors(&drafts), ["dissection", ""]);
    assert_eq!(drafts[0].request_size, whole.len() as u64);
    assert_eq!(text(&drafts[0].request, "entry"), "cn=big");
}

#[test]
fn what_only_looks_like_ldap_is_left_alone() {
    let payloads: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &[0x30; 64],
        // An SNMP message, and an MQTT one.
        b"\x30\x26\x02\x01\x01\x04\x06public\xa0\x19\x02\x04\x01\x02\x03\x04\x02\x01\0\x02\x01\0",
        b"\x30\x0c\0\x07topic/xhello",
    ];
    for payload in payloads {
        for transport in [Transport::Udp, Transport::Tcp] {
            let mut feed = Feed::new(transport, 8000, &enabled(&["ldap"]).0);
            feed.chunk(UP, payload).chunk(DOWN, payload);
            assert_eq!(feed.protocol(), None, "{payload:?}");
            assert!(feed.end().is_empty());
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(
        tag in proptest::sample::select(vec![0x60u8, 0x61, 0x63, 0x64, 0x66, 0x68, 0x6c, 0x6e, 0x78]),
        bytes in proptest::collection::vec(any::<u8>(), 0..120),
    ) {
        let _ = parser::check(&bytes);
        for bytes in [bytes.clone(), message(1, tag, &[&bytes])] {
            let _ = parser::check(&bytes);
            shown(&render::request(&Bytes::from(bytes.clone())));
            let kept = [&[0; 25][..], &bytes].concat();
            shown(&render::response(&Bytes::from(kept)));
        }
    }
}

/// How often each operation stands in items, by its number.
fn operations(drafts: &[Draft]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    let mut count = |number: u8, by: u64| {
        if by > 0 {
            *counts.entry(number.to_string()).or_default() += by;
        }
    };
    for draft in drafts {
        for side in [&draft.request, &draft.response] {
            if let Some(operation) = parser::named(&text(side, "type")) {
                count(operation.tag & 0x1f, 1);
            }
            let number = |name| {
                lookup(ItemNode::of_value(side), name)
                    .and_then(Node::int)
                    .map_or(0, i64::unsigned_abs)
            };
            count(4, number("entries"));
            count(19, number("references"));
        }
    }
    counts
}

#[test]
fn operations_of_the_sample_captures_are_all_found() {
    truth::assert_counts("ldap", operations, |_, facts| {
        serde_json::from_value(facts["ldap"]["operations"].clone()).unwrap_or_default()
    });
}

#[test]
fn the_recorded_directory_is_understood() {
    let Some(drafts) = truth::items("ldap", "ldap/own-ldap-openldap.pcap") else {
        return;
    };
    assert!(drafts.iter().all(|draft| draft.error.is_none()));
    let count = |operation: &str, result: &str| {
        drafts
            .iter()
            .filter(|draft| text(&draft.request, "operation") == operation)
            .filter(|draft| result.is_empty() || text(&draft.response, "resultName") == result)
            .count()
    };
    // constructed.json
    let counts = ["add", "compare", "delete", "modify DN", "modify"].map(|name| count(name, ""));
    assert_eq!(counts, [11, 1, 1, 1, 1]);
    assert_eq!(count("bind", "invalidCredentials"), 1);
}
