//! Tests of rules on single streams: whatever the bytes are, lengths stay and nothing panics.

use proptest::prelude::*;
use serde_json::json;

use super::json::{Path, overwrite, spans};
use super::*;
use crate::item::json::JsonNode;
use crate::synth::{self, Frame};

fn rule() -> Rule {
    Rule::parse(&json!({
        "credentials": true, "headers": ["x-secret"], "json": ["$.user.card", "$.list[1]", "$.any[*].x"],
    }))
    .unwrap()
}

fn captured(frames: &[Frame]) -> Vec<Captured> {
    frames
        .iter()
        .map(|frame| Captured {
            linktype: LinkType::ETHERNET,
            len: frame.len,
            direction: Direction::ToServer,
            fragment: false,
            bytes: frame.bytes.clone(),
        })
        .collect()
}

/// The frames of a stream with their directions, by the port that asks.
fn stream(frames: &[Frame]) -> Vec<Captured> {
    let mut packets = captured(frames);
    for packet in &mut packets {
        let (layers, _) = crate::packet::headers::peek(packet.linktype, &packet.bytes).unwrap();
        if layers.tuple.src.port == 80 {
            packet.direction = Direction::ToClient;
        }
    }
    packets
}

fn tcp() -> synth::Tcp {
    synth::tcp(([10, 0, 0, 1], 40_000), ([10, 0, 0, 2], 80))
}

fn all(packets: &[Captured]) -> Vec<u8> {
    packets
        .iter()
        .flat_map(|packet| packet.bytes.clone())
        .collect()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}

#[test]
fn paths_find_values_where_they_stand() {
    let text = br#"{"a":{"password":"x\"y"},"list":[1,[2,3]],"any":[{"x":true},{"x":null}],"PASSWORD":-12.5}"#;
    let paths: Vec<Path> = ["password", "$.list[1]", "$.any[*].x"]
        .iter()
        .map(|path| Path::parse(path).unwrap())
        .collect();
    let mut found: Vec<&[u8]> = spans(text, &paths)
        .unwrap()
        .into_iter()
        .map(|span| &text[span])
        .collect();
    found.sort_unstable();
    let expected: [&[u8]; 5] = [br#""x\"y""#, b"-12.5", b"[2,3]", b"null", b"true"];
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(spans(b"{\"a\":", &paths), None);
    assert_eq!(spans(b"{} {} ", &paths), Some(Vec::new()));
    for path in ["", "$", "$..", "$.a[", "$.a[x]", "$a"] {
        assert!(Path::parse(path).is_err(), "{path}");
    }
}

#[test]
fn overwritten_values_are_json_of_the_same_length() {
    for text in [
        "1",
        "-1.5",
        "true",
        "false",
        "null",
        "\"abc\"",
        "\"\"",
        "[1,2]",
        "{\"a\":1}",
    ] {
        let mut value = text.as_bytes().to_vec();
        overwrite(&mut value);
        assert_eq!(value.len(), text.len());
        assert!(
            serde_json::from_slice::<serde_json::Value>(&value).is_ok(),
            "{text}"
        );
    }
}

#[test]
fn a_stream_goes_on_over_reels_where_it_stood() {
    let body = "{\"password\":\"hidden-value\",\"b\":\"kept-value\"}";
    let frames = tcp()
        .mss(40)
        .to_server(format!(
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .to_client("HTTP/1.1 204 No Content\r\n\r\n")
        .to_server("GET /next HTTP/1.1\r\nX-Secret: hidden-later\r\nX-Kept: kept-later\r\n\r\n")
        .end();
    for cut in 0..frames.len() {
        let mut redactor = Redactor::new(&rule(), b"key");
        let (front, back) = frames.split_at(cut);
        let (mut front, mut back) = (stream(front), stream(back));
        redactor.stream(StreamId(1), &mut front);
        redactor.stream(StreamId(1), &mut back);
        let bytes = [all(&front), all(&back)].concat();
        for secret in ["hidden-v", "n-value", "hidden-l", "n-later"] {
            assert!(!holds(&bytes, secret), "{cut} {secret}");
        }
        if cut < 2 {
            assert!(holds(&bytes, "kept-later"), "{cut}");
        }
    }
}

#[test]
fn streams_are_known_by_the_ports_by_which_they_are_read() {
    // A damaged message of DNS: likely on its port, unknown elsewhere.
    let message = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x08hidden";
    let frames = synth::udp(([10, 0, 0, 1], 40_000), ([10, 0, 0, 2], 5300))
        .to_server(message)
        .end();
    let ports = [("dns".to_owned(), vec![5300])];
    let mapped = Protocols::all().with_ports(&ports, &[]).unwrap();
    let (only_http, _) = crate::dissect::enabled(&["http"]);
    let switched_off = only_http.with_ports(&ports, &[]).unwrap();
    for (protocols, is_kept) in [
        (Protocols::all(), false),
        (mapped, true),
        (switched_off, true),
    ] {
        let mut redactor = Redactor::new(&rule(), b"key").knowing(&protocols);
        let mut packets = captured(&frames);
        redactor.stream(StreamId(1), &mut packets);
        assert_eq!(holds(&all(&packets), "hidden"), is_kept);
    }
}

#[test]
fn items_lose_what_packets_lose() {
    let item = json!({
        "protocol": {"name": "http"},
        "src": {"ip": "10.0.0.1", "port": "4000", "name": "cart", "namespace": "shop"},
        "dst": {"ip": "10.0.0.2", "port": "80", "name": "", "namespace": ""},
        "request": {
            "url": "/a?token=hidden&page=kept", "headers": {"Authorization": "hidden", "X-A": "kept"},
            "cookies": {"sid": "hidden"}, "queryString": {"token": "hidden", "page": "kept"},
            "postData": {"mimeType": "application/json", "text": "{\"password\":\"hidden\",\"a\":\"kept\"}"},
        },
        "response": {
            "headers": {"content-type": "application/json"},
            "content": {"encoding": "base64", "text": "eyJwYXNzd29yZCI6ImhpZGRlbiIsImEiOiJrZXB0In0="},
        },
    });
    let mut redactor = Redactor::new(&rule(), b"key");
    let done = redactor.item(JsonNode(&item));
    let text = done.to_string();
    assert!(!text.contains("hidden"), "{text}");
    assert_eq!(done["request"]["url"], "/a?token=******&page=kept");
    assert_eq!(done["request"]["headers"]["X-A"], "kept");
    assert_eq!(
        done["request"]["postData"]["text"],
        "{\"password\":\"******\",\"a\":\"kept\"}"
    );
    assert!(!text.contains("eyJwYXNzd29yZCI6ImhpZGRlbi"));
    assert_eq!(done["src"], item["src"]);
    let mut bare = Redactor::new(
        &Rule {
            addresses: true,
            ..Rule::default()
        },
        b"key",
    );
    let done = bare.item(JsonNode(&item));
    assert_ne!(done["src"]["ip"], "10.0.0.1");
    assert_eq!(done["src"]["name"], "****");
    let sql = json!({"protocol": {"name": "postgresql"}, "request": {"query": "hidden"}});
    assert_eq!(
        redactor.item(JsonNode(&sql))["request"],
        serde_json::Value::Null
    );
}

#[test]
fn stand_ins_keep_prefixes_apart_from_the_rest() {
    let mut redactor = Redactor::new(
        &Rule {
            addresses: true,
            ..Rule::default()
        },
        b"key",
    );
    let mut of = |text: &str| redactor.address(text.parse().unwrap()).to_string();
    let (a, b, c) = (of("10.1.2.3"), of("10.1.2.9"), of("192.168.0.1"));
    assert_eq!(a.rsplit_once('.').unwrap().0, b.rsplit_once('.').unwrap().0);
    assert_ne!(a, b);
    assert_ne!(a.split('.').next(), c.split('.').next());
    assert_eq!(a, of("10.1.2.3"));
}

proptest! {
    #[test]
    fn lengths_stay_and_no_bytes_make_it_panic(
        asked in proptest::collection::vec(any::<u8>(), 0..300),
        answered in proptest::collection::vec(any::<u8>(), 0..300),
        kind in 0usize..5,
        cut in 0usize..20,
        payload in 0usize..3,
        drop in proptest::collection::vec(any::<bool>(), 40),
    ) {
        let fronts: [(&[u8], &[u8]); 5] = [
            (b"", b""),
            (b"POST / HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x10\x01\x04\0\0\0\x01", b"\0\0\0\x04\0\0\0\0\0"),
            (b"*2\r\n$4\r\nAUTH\r\n$99\r\n", b"+OK\r\n$20\r\n"),
            (b"\x16\x03\x01\0\x05hello\x17\x03\x03\0\x20", b"\x16\x03\x03\0\x02ab"),
        ];
        let (front, back) = fronts[kind];
        let frames = tcp()
            .mss(60)
            .to_server([front, &asked].concat())
            .to_client([back, &answered].concat())
            .fin();
        let kept: Vec<Frame> = frames
            .into_iter()
            .zip(drop.iter().cycle())
            .filter(|(_, drop)| !**drop)
            .map(|(frame, _)| frame)
            .collect();
        let before = stream(&kept);
        let mut packets = before.clone();
        let rule = Rule {
            payload: [Payload::Full, Payload::Headers, Payload::None][payload],
            addresses: cut % 2 == 0,
            ..rule()
        };
        let mut redactor = Redactor::new(&rule, b"key");
        let cut = cut.min(packets.len());
        let (front, back) = packets.split_at_mut(cut);
        redactor.stream(StreamId(1), front);
        redactor.stream(StreamId(1), back);
        for (before, after) in before.iter().zip(&packets) {
            prop_assert_eq!(before.bytes.len(), after.bytes.len());
        }
    }
}
