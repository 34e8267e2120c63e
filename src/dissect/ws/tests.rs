//! Tests of WebSockets.

use flate2::{Compress, Compression, FlushCompress};

use super::super::robustness::{Feed, Sample};
use super::super::{Draft, Protocols, enabled};
use super::inflate::MAX_INFLATED;
use super::parser::unmask;
use crate::item::{ItemNode, MAX_ITEM_BODY, Value, json};
use crate::packet::{Direction, Transport};
use crate::time::Timestamp;

mod captures;
mod compression;
mod handshakes;

const UP: Direction = Direction::ToServer;
const DOWN: Direction = Direction::ToClient;

/// A frame with this first byte, masked when it goes to the server.
fn frame(direction: Direction, first: u8, payload: &[u8]) -> Vec<u8> {
    let masked = direction == UP;
    let bit = if masked { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match payload.len() {
        length @ ..126 => bytes.push(bit | length as u8),
        length @ ..65536 => {
            bytes.push(bit | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(bit | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    let mut payload = payload.to_vec();
    if masked {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        bytes.extend(key);
        unmask(&mut payload, key, 0);
    }
    bytes.extend(payload);
    bytes
}

/// A text message in one frame.
fn text(direction: Direction, payload: &str) -> Vec<u8> {
    frame(direction, 0x81, payload.as_bytes())
}

pub(super) fn samples() -> Vec<Sample> {
    let long = "a longer message ".repeat(40);
    vec![
        Sample {
            name: "texts, binary, a fragmented text around a ping, pong and close",
            transport: Transport::Tcp,
            server_port: 9000,
            turns: vec![
                (UP, text(UP, "ping 1")),
                (DOWN, text(DOWN, "pong 1")),
                (UP, text(UP, "ping 2")),
                (DOWN, text(DOWN, "pong 2")),
                (UP, text(UP, &long)),
                (DOWN, frame(DOWN, 0x82, long.as_bytes())),
                (
                    UP,
                    [
                        frame(UP, 0x01, "first h\u{e4}lf, ".as_bytes()),
                        frame(UP, 0x89, b"?"),
                        frame(UP, 0x00, b"second half, "),
                        frame(UP, 0x80, b"end"),
                    ]
                    .concat(),
                ),
                (DOWN, frame(DOWN, 0x8a, b"?")),
                (DOWN, frame(DOWN, 0x88, b"\x03\xe8bye")),
                (UP, frame(UP, 0x88, b"\x03\xe8")),
            ],
            items: 11,
        },
        Sample {
            name: "a server that pushes, and compressed messages without their handshake",
            transport: Transport::Tcp,
            server_port: 9000,
            turns: vec![
                (
                    DOWN,
                    [
                        text(DOWN, "tick 1"),
                        text(DOWN, "tick 2"),
                        text(DOWN, "tick 3"),
                        text(DOWN, "tick 4"),
                    ]
                    .concat(),
                ),
                (DOWN, frame(DOWN, 0xc1, b"\xf2\x48\xcd\xc9\xc9\x07\x00")),
                (UP, frame(UP, 0xc1, b"\xf2\x48\xcd\xc9\xc9\x07\x00")),
            ],
            items: 6,
        },
    ]
}

/// HTTP and WebSocket, with a handshake that agrees on `extensions`.
fn open(extensions: &str) -> Feed {
    let mut feed = Feed::new(Transport::Tcp, 8080, &both());
    for (direction, bytes) in handshake(extensions) {
        feed.chunk(direction, &bytes);
    }
    feed
}

fn both() -> Protocols {
    enabled(&["http", "ws"]).0
}

fn handshake(extensions: &str) -> [(Direction, Vec<u8>); 2] {
    let extensions = match extensions {
        "" => String::new(),
        one => format!("Sec-WebSocket-Extensions: {one}\r\n"),
    };
    let request = "GET /chat?room=1 HTTP/1.1\r\nHost: shop\r\nUpgrade: websocket\r\n\
                   Connection: Upgrade\r\nSec-WebSocket-Protocol: v1, v2\r\n\r\n";
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Protocol: v1\r\n{extensions}\r\n"
    );
    [
        (UP, request.as_bytes().to_vec()),
        (DOWN, response.into_bytes()),
    ]
}

/// The messages of a stream, without the handshake.
fn messages(feed: Feed) -> Vec<Draft> {
    let mut drafts = feed.end();
    assert_eq!(drafts.remove(0).kind.name, "http");
    assert!(drafts.iter().all(|draft| draft.kind.name == "ws"));
    drafts
}

fn member<'d>(draft: &'d Draft, name: &str) -> &'d Value {
    draft
        .request
        .member(name)
        .unwrap_or_else(|| panic!("no {name}"))
        .force()
}

fn payload(draft: &Draft) -> Vec<u8> {
    match member(draft, "payload") {
        Value::Text(bytes) | Value::Base64(bytes) => bytes.to_vec(),
        other => panic!("{other:?}"),
    }
}

fn int(draft: &Draft, name: &str) -> i64 {
    match member(draft, name) {
        Value::Int(number) => *number,
        other => panic!("{name}: {other:?}"),
    }
}

/// `sender opcode payload error`, one line an item.
fn lines(drafts: &[Draft]) -> Vec<String> {
    let text = |draft: &Draft, name: &str| match member(draft, name) {
        Value::Static(text) => *text,
        other => panic!("{name}: {other:?}"),
    };
    let line = |draft: &Draft| {
        let error = draft.error.as_ref().map_or("", |error| &error.msg);
        let payload = payload(draft);
        let payload = String::from_utf8_lossy(payload.get(..40).unwrap_or(&payload)).into_owned();
        let parts = [
            text(draft, "sender"),
            text(draft, "opcode"),
            &payload,
            error,
        ];
        parts.join(" ").trim_end().to_owned()
    };
    drafts.iter().map(line).collect()
}

fn deflate(side: &mut Compress, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 1024);
    side.compress_vec(message, &mut out, FlushCompress::Sync)
        .unwrap();
    out.truncate(out.len() - 4);
    out
}

fn sender() -> Compress {
    Compress::new(Compression::default(), false)
}

#[test]
fn an_item_has_the_shape_of_the_reference() {
    let mut feed = open("");
    feed.at(Timestamp::from_secs(1_700_000_009, 0))
        .chunk(UP, &text(UP, "ping 1"))
        .chunk(DOWN, &frame(DOWN, 0x82, &[1, 2, 3]))
        .chunk(DOWN, &frame(DOWN, 0x88, b"\x03\xe9away"));
    let drafts = messages(feed);
    let shown = |draft: &Draft| json::to_string(ItemNode::of_value(&draft.request));
    assert_eq!(
        shown(&drafts[0]),
        r#"{"opcode":"text","payload":"ping 1","length":6,"masked":true,"sender":"client","frames":1,"compressed":false,"url":"/chat?room=1","path":"/chat","subprotocol":"v1"}"#
    );
    assert_eq!(
        shown(&drafts[1]),
        r#"{"opcode":"binary","payload":"AQID","encoding":"base64","length":3,"masked":false,"sender":"server","frames":1,"compressed":false,"url":"/chat?room=1","path":"/chat","subprotocol":"v1"}"#
    );
    assert_eq!(
        shown(&drafts[2]),
        r#"{"opcode":"close","payload":"away","length":6,"masked":false,"sender":"server","frames":1,"compressed":false,"url":"/chat?room=1","path":"/chat","subprotocol":"v1","closeCode":1001,"closeReason":"away"}"#
    );
    assert!(matches!(drafts[0].response, Value::Null));
    assert_eq!(
        (drafts[0].from_client, drafts[1].from_client),
        (true, false)
    );
    assert_eq!(drafts[0].start, Timestamp::from_secs(1_700_000_009, 0));
    assert_eq!((drafts[0].request_size, drafts[1].request_size), (12, 5));
    assert!(drafts.iter().all(|draft| draft.error.is_none()));
}

#[test]
fn frames_behind_the_response_in_one_segment_are_read() {
    let [(_, request), (_, mut response)] = handshake("");
    response.extend(text(DOWN, "welcome"));
    response.extend(&text(DOWN, "and more")[..4]);
    let mut feed = Feed::new(Transport::Tcp, 8080, &both());
    feed.chunk(UP, &request).chunk(DOWN, &response);
    feed.chunk(DOWN, &text(DOWN, "and more")[4..]);
    assert_eq!(
        lines(&messages(feed)),
        ["server text welcome", "server text and more"]
    );
}

#[test]
fn control_frames_go_between_fragments() {
    let mut feed = open("");
    feed.chunk(DOWN, &frame(DOWN, 0x01, b"one, "))
        .chunk(DOWN, &frame(DOWN, 0x89, b"hi"))
        .chunk(DOWN, &frame(DOWN, 0x00, b""))
        .chunk(DOWN, &frame(DOWN, 0x80, b"two"));
    let drafts = messages(feed);
    assert_eq!(lines(&drafts), ["server ping hi", "server text one, two"]);
    assert_eq!(
        (int(&drafts[1], "frames"), int(&drafts[1], "length")),
        (3, 8)
    );
}

#[test]
fn fragments_that_do_not_belong_together_say_so() {
    let mut feed = open("");
    feed.chunk(DOWN, &frame(DOWN, 0x80, b"tail"))
        .chunk(DOWN, &frame(DOWN, 0x01, b"begun"))
        .chunk(DOWN, &text(DOWN, "whole"))
        .chunk(DOWN, &frame(DOWN, 0x02, b"open"))
        .chunk(UP, &text(UP, "ok"));
    assert_eq!(
        lines(&messages(feed)),
        [
            "server continuation tail the beginning of the message was not captured",
            "server text begun the next message began before this one ended",
            "server text whole",
            "client text ok",
            "server binary open the stream ended within the message",
        ]
    );
}

#[test]
fn what_is_no_frame_ends_the_reading() {
    let mut feed = open("");
    feed.chunk(UP, &frame(UP, 0x01, b"begun"))
        .chunk(UP, b"\x03\x00")
        .chunk(UP, &text(UP, "late"));
    assert_eq!(feed.conversation().counts().malformed, 1);
    assert_eq!(
        lines(&messages(feed)),
        ["client text begun what follows in the message is no frame"]
    );
}

#[test]
fn reserved_bits_are_marked() {
    for (extensions, error) in [
        (
            "",
            "the payload is changed by an extension that is not known",
        ),
        (
            "x-webkit-deflate-frame",
            "the payload is changed by an extension that is not known",
        ),
    ] {
        let mut feed = open(extensions);
        feed.chunk(DOWN, &frame(DOWN, 0xc1, b"abc"));
        assert_eq!(lines(&messages(feed)), [format!("server text abc {error}")]);
    }
}

#[test]
fn a_gap_within_a_payload_is_counted() {
    let mut feed = open("");
    let long = frame(UP, 0x81, "0123456789".repeat(30).as_bytes());
    feed.chunk(UP, &long[..108])
        .gap(UP, 50)
        .chunk(UP, &long[158..])
        .chunk(UP, &text(UP, "next"));
    let drafts = messages(feed);
    assert_eq!(payload(&drafts[0]), "0123456789".repeat(10).as_bytes());
    assert_eq!(int(&drafts[0], "length"), 300);
    assert_eq!(drafts[0].request_size, 258);
    assert_eq!(
        drafts[0].error.as_ref().unwrap().msg,
        "50 bytes of the message were not captured"
    );
    assert_eq!(lines(&drafts[1..]), ["client text next"]);
}

#[test]
fn a_gap_over_frames_is_left_at_the_next_one() {
    let mut feed = open("permessage-deflate");
    feed.chunk(UP, &frame(UP, 0x01, b"begun"))
        .gap(UP, 100)
        .chunk(UP, b"the rest of a frame that was lost")
        .chunk(UP, &[text(UP, "a"), frame(UP, 0x89, b"")].concat())
        .chunk(UP, &frame(UP, 0xc1, &deflate(&mut sender(), b"compressed")))
        .chunk(
            DOWN,
            &frame(DOWN, 0xc1, &deflate(&mut sender(), b"other side")),
        );
    assert_eq!(
        lines(&messages(feed)),
        [
            "client text begun the end of the message was not captured",
            "client text a",
            "client ping",
            "client text compressed",
            "server text other side",
        ]
    );
}

#[test]
fn a_gap_right_behind_the_handshake_is_known() {
    let mut server = sender();
    let unseen = frame(DOWN, 0xc1, &deflate(&mut server, b"lost and found"));
    let mut feed = open("permessage-deflate");
    feed.gap(DOWN, unseen.len())
        .chunk(DOWN, &text(DOWN, "found"));
    for message in [&b"lost and found"[..], b"1234", b"found 1234"] {
        feed.chunk(DOWN, &frame(DOWN, 0xc1, &deflate(&mut server, message)))
            .hand_over(&both());
    }
    assert_eq!(
        lines(&messages(feed)),
        [
            "server text found",
            "server text  the payload is compressed with earlier bytes that were not captured",
            "server text 1234",
            "server text  the payload is compressed with earlier bytes that were not captured",
        ]
    );
}

#[test]
fn a_stream_joined_in_its_middle_needs_several_frames() {
    let few = [text(UP, "hello"), text(UP, "two")].concat();
    let none: [(&str, Direction, Vec<u8>); 5] = [
        ("two frames", UP, few.clone()),
        ("zeros", UP, vec![0; 200]),
        ("no masks", UP, text(DOWN, "hello").repeat(9)),
        ("masks of the server", DOWN, text(UP, "hello").repeat(9)),
        (
            "no text",
            DOWN,
            frame(DOWN, 0x81, b"\xff\xfe\xfd\xfc").repeat(9),
        ),
    ];
    for (name, direction, bytes) in none {
        let mut feed = Feed::new(Transport::Tcp, 8080, &both());
        feed.chunk(direction, &bytes);
        assert!(feed.end().is_empty(), "{name}");
    }
    let mut feed = Feed::new(Transport::Tcp, 8080, &both());
    feed.chunk(UP, &few)
        .chunk(DOWN, &[text(DOWN, "1"), text(DOWN, "2")].concat());
    assert_eq!(feed.protocol(), Some("ws"));
    let drafts = feed.end();
    assert_eq!(
        lines(&drafts),
        [
            "client text hello",
            "client text two",
            "server text 1",
            "server text 2"
        ]
    );
    assert_eq!(
        json::to_string(ItemNode::of_value(member(&drafts[0], "url"))),
        "\"\""
    );
}

#[test]
fn a_stream_joined_within_a_fragmented_message_shows_its_rest_as_such() {
    for tail in [
        vec![frame(UP, 0x80, b"tail")],
        vec![
            frame(UP, 0x00, b"ta"),
            frame(UP, 0x89, b""),
            frame(UP, 0x80, b"il"),
        ],
    ] {
        let mut feed = Feed::new(Transport::Tcp, 8080, &both());
        let pings = usize::from(tail.len() > 1);
        for frame in tail {
            feed.chunk(UP, &frame);
        }
        feed.chunk(UP, &[text(UP, "hello"), text(UP, "next")].concat())
            .chunk(DOWN, &frame(DOWN, 0x00, b"the other "))
            .chunk(
                DOWN,
                &[frame(DOWN, 0x80, b"side"), text(DOWN, "whole")].concat(),
            );
        let drafts = feed.end();
        let told = lines(&drafts);
        assert_eq!(
            told[pings..],
            [
                "client continuation tail the beginning of the message was not captured",
                "client text hello",
                "client text next",
                "server continuation the other side the beginning of the message was not captured",
                "server text whole",
            ]
        );
        let rest = &drafts[pings];
        assert!(matches!(member(rest, "truncated"), Value::Bool(true)));
        assert!(rest.error.is_some());
    }
}
