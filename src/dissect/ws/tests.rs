//! Tests of WebSockets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flate2::{Compress, Compression, FlushCompress};

use super::super::conversation::tests::dissect_savefile;
use super::super::robustness::{Feed, Sample};
use super::super::{Draft, Protocols, enabled, truth};
use super::inflate::MAX_INFLATED;
use super::parser::unmask;
use crate::item::{ItemNode, MAX_ITEM_BODY, Value, json};
use crate::packet::{Direction, Transport};
use crate::time::Timestamp;

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
fn compressed_messages_refer_to_each_other() {
    let (mut client, mut server) = (sender(), sender());
    let words = ["the same words", "the same words", "the same words again"];
    let mut feed = open("permessage-deflate");
    for word in words {
        let payload = deflate(&mut client, word.as_bytes());
        feed.chunk(UP, &frame(UP, 0xc1, &payload));
        // What is not compressed is not part of the window (RFC 7692 section 7.2.2).
        feed.chunk(UP, &text(UP, "plain"));
        // Fragments of a compressed message, the bit on the first alone.
        let payload = deflate(&mut server, word.as_bytes());
        let (first, second) = payload.split_at(1);
        feed.chunk(DOWN, &frame(DOWN, 0x41, first));
        feed.chunk(DOWN, &frame(DOWN, 0x80, second));
    }
    let drafts = messages(feed);
    let expected = words.iter().flat_map(|word| {
        [
            format!("client text {word}"),
            "client text plain".to_owned(),
            format!("server text {word}"),
        ]
    });
    assert_eq!(lines(&drafts), expected.collect::<Vec<_>>());
    assert!(matches!(
        member(&drafts[0], "compressed"),
        Value::Bool(true)
    ));
    assert_eq!(int(&drafts[2], "length"), 14);
    assert_eq!(int(&drafts[2], "frames"), 2);
}

#[test]
fn without_takeover_each_message_stands_alone() {
    let mut feed = open("permessage-deflate; server_no_context_takeover");
    let alone = || deflate(&mut sender(), b"the same words");
    feed.chunk(DOWN, &frame(DOWN, 0xc1, &alone()))
        .chunk(DOWN, &frame(DOWN, 0xc1, b"\xff\xff\xff"))
        .chunk(DOWN, &frame(DOWN, 0xc1, &alone()))
        .gap(DOWN, 9)
        .chunk(DOWN, &frame(DOWN, 0xc1, &alone()));
    assert_eq!(
        lines(&messages(feed)),
        [
            "server text the same words",
            "server text  the compressed payload is malformed",
            "server text the same words",
            "server text the same words",
        ]
    );
}

#[test]
fn a_long_message_is_cut_and_the_window_stays_right() {
    let mut server = sender();
    let long: Vec<u8> = (0..MAX_ITEM_BODY as u32)
        .flat_map(|number| (number / 3).wrapping_mul(0x9e37_79b9).to_be_bytes())
        .collect();
    let tail = long[long.len() - 2000..].to_vec();
    let mut feed = open("permessage-deflate");
    let first = deflate(&mut server, &long);
    let second = deflate(&mut server, &tail);
    assert!(second.len() < 200, "refers to the first message");
    for piece in frame(DOWN, 0xc2, &first).chunks(1448) {
        feed.chunk(DOWN, piece);
    }
    feed.chunk(DOWN, &frame(DOWN, 0xc2, &second));
    // The same as it is.
    for piece in frame(UP, 0x82, &long).chunks(1448) {
        feed.chunk(UP, piece);
    }
    feed.chunk(UP, &frame(UP, 0x82, &long));
    let drafts = messages(feed);
    for at in [0, 2, 3] {
        assert_eq!(int(&drafts[at], "length"), long.len() as i64);
        assert!(payload(&drafts[at]) == long[..MAX_ITEM_BODY]);
        assert!(drafts[at].request.is_cut() && drafts[at].error.is_none());
    }
    assert!(payload(&drafts[1]) == tail && !drafts[1].request.is_cut());
}

#[test]
fn a_bomb_is_cut_and_what_refers_to_it_is_marked() {
    let mut server = sender();
    let bomb = deflate(&mut server, &vec![b'a'; 2 * MAX_INFLATED as usize]);
    let mut feed = open("permessage-deflate");
    feed.chunk(DOWN, &frame(DOWN, 0xc1, &bomb))
        .chunk(DOWN, &frame(DOWN, 0xc1, &deflate(&mut server, b"aaaa")))
        .chunk(DOWN, &text(DOWN, "plain"));
    let state = feed.conversation().save().len();
    assert!(state < 2 * MAX_ITEM_BODY, "{state} bytes kept");
    let drafts = messages(feed);
    assert_eq!(payload(&drafts[0]).len(), MAX_ITEM_BODY);
    let errors: Vec<_> = drafts
        .iter()
        .map(|draft| draft.error.as_ref().map_or("", |error| &error.msg))
        .collect();
    assert_eq!(
        errors,
        [
            "the compressed payload is longer than 16 MiB",
            "the payload is compressed with earlier bytes that were not captured",
            "",
        ]
    );
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

/// A conversation with everything in it that a saved state must hold.
fn turns() -> Vec<(Direction, Vec<u8>)> {
    let (mut client, mut server) = (sender(), sender());
    let mut turns = handshake("permessage-deflate; server_max_window_bits=15").to_vec();
    let mut say = |direction, first: u8, message: &str| {
        let side = match direction {
            UP => &mut client,
            DOWN => &mut server,
        };
        let payload = deflate(side, message.as_bytes());
        let (begin, end) = payload.split_at(payload.len() / 2);
        let frames = [
            frame(direction, first & 0x7f, begin),
            frame(direction, 0x89, b"?"),
            frame(direction, 0x80, end),
        ];
        turns.push((direction, frames.concat()));
        turns.push((direction, text(direction, "plain between")));
    };
    for round in 0..4 {
        let words: Vec<_> = (0..300).map(|word| format!("{:x}", word * round)).collect();
        say(UP, 0xc1, &words.join(" "));
        say(DOWN, 0xc2, &words.join(","));
    }
    turns.push((UP, frame(UP, 0x88, b"\x03\xe8done")));
    turns
}

fn play(turns: &[(Direction, Vec<u8>)], size: usize, save_at: Option<usize>) -> Vec<String> {
    let mut feed = Feed::new(Transport::Tcp, 8080, &both());
    let pieces = turns
        .iter()
        .flat_map(|(direction, bytes)| bytes.chunks(size).map(|piece| (*direction, piece)));
    for (at, (direction, piece)) in pieces.enumerate() {
        if Some(at) == save_at {
            feed.hand_over(&both());
        }
        feed.chunk(direction, piece);
    }
    feed.end()
        .iter()
        .map(|draft| {
            format!(
                "{} {:?} {:?}",
                draft.request_size, draft.request, draft.error
            )
        })
        .collect()
}

#[test]
fn cuts_and_saves_give_the_same_items_with_compression() {
    let turns = turns();
    let whole = play(&turns, usize::MAX, None);
    assert_eq!(whole.len(), 1 + 4 * 6 + 1);
    assert!(
        whole.iter().all(|line| line.ends_with("None")),
        "{whole:#?}"
    );
    for size in [1, 2, 3, 7, 100] {
        assert_eq!(play(&turns, size, None), whole, "pieces of {size}");
    }
    for size in [41, 500] {
        let pieces: usize = turns
            .iter()
            .map(|(_, bytes)| bytes.len().div_ceil(size))
            .sum();
        for at in 0..pieces {
            assert_eq!(
                play(&turns, size, Some(at)),
                whole,
                "saved at {at} of {size}"
            );
        }
    }
}

#[test]
fn a_damaged_state_with_windows_is_refused_or_survived() {
    let turns = turns();
    let mut feed = Feed::new(Transport::Tcp, 8080, &both());
    for (direction, bytes) in &turns[..8] {
        feed.chunk(*direction, bytes);
    }
    let (direction, bytes) = &turns[8];
    feed.chunk(*direction, &bytes[..bytes.len() / 3]);
    let state = feed.conversation().save();
    let info = *feed.conversation().info();
    for at in 0..state.len() {
        let mut flipped = state.clone();
        flipped[at] ^= 0xff;
        for damaged in [&state[..at], &flipped] {
            let budget = crate::flow::Budget::new(1000);
            let restored = super::super::Conversation::restore(&info, &both(), &budget, damaged);
            if let Some(restored) = restored.filter(|_| at % 16 == 0) {
                let mut later = Feed::new(Transport::Tcp, 8080, &both());
                *later.conversation_mut() = restored;
                later.chunk(*direction, &bytes[bytes.len() / 3..]);
                later.end();
            }
        }
    }
}

/// Messages of a capture, without its first `skip` packets.
fn items(path: &Path, skip: usize) -> Vec<Draft> {
    let mut drafts = dissect_savefile(path, skip, &Protocols::all());
    drafts.retain(|draft| draft.kind.name == "ws");
    drafts
}

/// Frames by opcode, as `truth.json` has them.
fn opcodes(drafts: &[Draft]) -> BTreeMap<String, i64> {
    let mut found = BTreeMap::new();
    for draft in drafts {
        let first = match member(draft, "opcode") {
            Value::Static("text") => "1",
            Value::Static("binary") => "2",
            Value::Static("close") => "8",
            Value::Static("ping") => "9",
            Value::Static("pong") => "10",
            other => panic!("{other:?}"),
        };
        *found.entry(first.to_owned()).or_default() += 1;
        let more = int(draft, "frames") - 1;
        if more > 0 {
            *found.entry("0".to_owned()).or_default() += more;
        }
    }
    found
}

/// tshark and we agree on all of them.
#[test]
fn frames_of_the_sample_captures_are_all_found() {
    truth::assert_counts("ws", opcodes, |_, facts| {
        serde_json::from_value(facts["websocket"]["opcodes"].clone()).unwrap_or_default()
    });
}

/// The folder of sample captures, when it is there.
fn captures() -> Option<PathBuf> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/captures"));
    if !folder.exists() {
        println!("skipped: no sample captures in {}", folder.display());
        return None;
    }
    Some(folder.to_path_buf())
}

/// Capture, message, its length, how it reads.
const CONTENT: &[(&str, usize, i64, &str)] = &[
    ("arkime-websocket", 1, 12, "client text test message"),
    (
        "own-ws-echo-deflate-frag",
        0,
        273,
        "client text msg 0 zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
    ),
    ("own-ws-echo-deflate-frag", 22, 2, "client ping hb"),
    ("own-ws-echo-deflate-frag", 24, 10, "client text fragmented"),
    ("own-ws-echo-deflate-frag", 27, 5, "server close bye"),
    // Compressed, with a window of 4 KiB that is taken over.
    (
        "own-ws-echo-deflate-frag",
        29,
        232,
        "client text {\"t\": \"tick\", \"i\": 0, \"pad\": \"aaaaaaaaaa",
    ),
    (
        "own-ws-echo-deflate-frag",
        46,
        237,
        "server text echo:{\"t\": \"tick\", \"i\": 8, \"pad\": \"aaaaa",
    ),
    (
        "suricata-websocket-compressed",
        1,
        21,
        "server text TOGGLE=2d80b22edb3afc",
    ),
    (
        "suricata-websocket",
        16,
        24,
        "server text time,2023/11/10 05:56:21",
    ),
    (
        "zeek-broker-websocket",
        0,
        24,
        "client text [\"/zeek/event/my_topic\"]",
    ),
    ("zeek-fragmented-http-reply", 1, 4, "client pong Zeek"),
    (
        "zeek-two-binary-fragments",
        3,
        12,
        "server binary Hello there!",
    ),
    ("zeek-wrong-accept-header", 0, 4, "server ping Zeek"),
];

#[test]
fn messages_of_the_sample_captures_read_as_they_were_sent() {
    let Some(folder) = captures() else { return };
    for (name, at, length, line) in CONTENT {
        let drafts = items(&folder.join(format!("websocket/{name}.pcap")), 0);
        let draft = &drafts[*at];
        assert_eq!(lines(&drafts)[*at], *line, "{name} {at}");
        assert_eq!(int(draft, "length"), *length, "{name} {at}");
        assert!(drafts.iter().all(|draft| draft.error.is_none()), "{name}");
    }
    // `constructed.json`: a binary message of 70000 bytes goes there and back.
    let drafts = items(&folder.join("websocket/own-ws-echo-deflate-frag.pcap"), 0);
    assert!(int(&drafts[18], "length") == 70_000 && payload(&drafts[18]) == payload(&drafts[19]));
    // The subscription of `graphql-transport-ws` has four values.
    let drafts = items(&folder.join("graphql/own-graphql-http-ws.pcap"), 0);
    let values = |draft: &&Draft| payload(draft).starts_with(br#"{"id":"1","type":"next""#);
    assert_eq!(drafts.iter().filter(values).count(), 4);
    assert!(
        matches!(member(&drafts[0], "subprotocol"), Value::Text(name) if name == "graphql-transport-ws")
    );
}

#[test]
fn a_sample_capture_without_its_handshake_is_known_by_its_frames() {
    let Some(folder) = captures() else { return };
    let path = folder.join("websocket/own-ws-echo-deflate-frag.pcap");
    let (whole, late) = (items(&path, 0), items(&path, 6));
    let plain = |drafts: &[Draft]| lines(drafts)[..29].to_vec();
    assert_eq!(plain(&late), plain(&whole));
    // The second connection is whole.
    assert_eq!(late.len(), whole.len());
}
