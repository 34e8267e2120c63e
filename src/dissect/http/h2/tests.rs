//! Traffic in, items out.

mod calls;
mod caps;
mod exchanges;
mod joined;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::frame::{ACK, END_HEADERS, END_STREAM, PADDED, PRIORITY};
use super::*;
use crate::dissect::robustness::{Drafts, Feed};
use crate::dissect::{Draft, Protocols, enabled};
use crate::flow::{Chunk, Gap, Opening, StreamInfo};
use crate::item::{ENVELOPE, Item, ItemNode, MAX_ITEM_BODY, Value, json, sample};
use crate::kfl::{self, Schema, Verdict as Matched};
use crate::packet::{Direction, Endpoint, StreamId, StreamName};
use crate::time::Timestamp;

const UP: Direction = Direction::ToServer;
const DOWN: Direction = Direction::ToClient;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END: u8 = END_STREAM;
const WHOLE: u8 = END_HEADERS;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A block of literals without indexing, every other value Huffman coded.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, (name, value)) in fields.iter().enumerate() {
        bytes.push(0);
        literal(name.as_bytes(), false, &mut bytes);
        literal(value.as_bytes(), index % 2 == 1, &mut bytes);
    }
    bytes
}

fn literal(text: &[u8], coded: bool, out: &mut Vec<u8>) {
    let coded_text = hpack::encode(text);
    let (mark, sent) = match coded {
        true => (0x80, &coded_text[..]),
        false => (0, text),
    };
    match sent.len() {
        length @ 0..127 => out.push(mark | length as u8),
        length => {
            out.push(mark | 127);
            let mut left = length - 127;
            while left >= 128 {
                out.push(left as u8 | 0x80);
                left >>= 7;
            }
            out.push(left as u8);
        }
    }
    out.extend(sent);
}

fn headers(flags: u8, stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, WHOLE | flags, stream, &block(fields))
}

fn ask(flags: u8, stream: u32, path: &str) -> Vec<u8> {
    let fields = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "shop"),
    ];
    headers(flags, stream, &fields)
}

fn answer(flags: u8, stream: u32, status: &str) -> Vec<u8> {
    headers(
        flags,
        stream,
        &[(":status", status), ("content-type", "text/plain")],
    )
}

fn data(flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    frame(DATA, flags, stream, payload)
}

/// The preface and the client's settings.
fn hello() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, b"\0\x03\0\0\0\x64")].concat()
}

fn feed() -> Feed {
    Feed::new(Transport::Tcp, 8080, &enabled(&["http"]).0)
}

/// Plays a connection from its beginning; both sides close.
fn run(turns: &[(Direction, &[u8])]) -> Vec<Draft> {
    let mut feed = feed();
    feed.chunk(UP, &hello())
        .chunk(DOWN, &frame(SETTINGS, 0, 0, b""));
    for (direction, bytes) in turns {
        feed.chunk(*direction, bytes);
    }
    feed.fin(UP).fin(DOWN);
    feed.end()
}

/// Feeds a connection that is joined in its middle.
struct Late {
    dissector: Box<dyn Dissector>,
    items: Drafts,
    left: [Vec<u8>; 2],
}

impl Late {
    fn new() -> Late {
        Late {
            dissector: Http2.start(&info(Opening::Port)),
            items: Drafts::default(),
            left: Default::default(),
        }
    }

    fn chunk(&mut self, direction: Direction, bytes: &[u8]) -> &mut Late {
        let left = &mut self.left[usize::from(direction == DOWN)];
        left.extend(bytes);
        while !left.is_empty() {
            let chunk = Chunk {
                direction,
                offset: 0,
                bytes: left.clone().into(),
                ts: Timestamp::default(),
                ordinal: 1,
            };
            match self.dissector.on_chunk(&chunk, &mut self.items) {
                crate::dissect::Outcome::Consumed(count @ 1..) => drop(left.drain(..count)),
                _ => break,
            }
        }
        self
    }

    fn end(mut self) -> Vec<Draft> {
        self.dissector.on_end(&mut self.items);
        self.items.0
    }
}

fn info(opening: Opening) -> Stream {
    let endpoint = |port| Endpoint {
        ip: [10, 0, 0, 1].into(),
        port,
    };
    Stream::from(StreamInfo {
        name: StreamName {
            stream: StreamId(0),
            transport: Transport::Tcp,
        },
        client: endpoint(40_000),
        server: endpoint(8080),
        opening,
        first: Timestamp::default(),
    })
}

fn shown(value: &Value) -> serde_json::Value {
    serde_json::from_str(&json::to_string(ItemNode::of_value(value))).unwrap()
}

/// Method, path, status and what went wrong of each item.
fn lines(items: &[Draft]) -> Vec<String> {
    items
        .iter()
        .map(|item| {
            let (request, response) = (shown(&item.request), shown(&item.response));
            let text = |value: &serde_json::Value| value.as_str().unwrap_or("-").to_owned();
            let line = format!(
                "{} {} {}",
                text(&request["method"]),
                text(&request["path"]),
                response["status"]
            );
            match &item.error {
                None => line,
                Some(error) => format!("{line} {}: {}", error.kind, error.msg),
            }
        })
        .collect()
}

fn body_of(item: &Draft) -> Vec<u8> {
    let text = shown(&item.response)["content"]["text"].clone();
    STANDARD.decode(text.as_str().unwrap_or("")).unwrap()
}

/// A length-prefixed message.
fn message(flag: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![flag];
    bytes.extend((payload.len() as u32).to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn call(flags: u8, stream: u32, kind: &str) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/shop.v1.Cart/Add"),
        (":authority", "cart:50051"),
        ("content-type", kind),
        ("grpc-encoding", "gzip"),
        ("te", "trailers"),
    ];
    headers(flags, stream, &fields)
}

/// A request line and what agrees to go on in HTTP/2.
fn upgrade(settings: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let request = format!(
        "POST /up?a=b HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade, HTTP2-Settings\r\n\
         Upgrade: h2c\r\nHTTP2-Settings: {}\r\nContent-Length: 2\r\n\r\nhi",
        URL_SAFE_NO_PAD.encode(settings)
    );
    let granted = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    (request.into_bytes(), granted.into())
}

#[test]
fn probing_goes_by_content() {
    let probe = |opening, client: &[u8], server: &[u8]| {
        let stream = info(opening);
        Http2.probe(&Probe {
            stream: &stream,
            ports: &[],
            to_server: client,
            to_client: server,
        })
    };
    let ping = frame(PING, 0, 0, b"12345678");
    assert_eq!(probe(Opening::Syn, PREFACE, b""), Verdict::Certain);
    assert_eq!(probe(Opening::Syn, b"PRI * HT", b""), Verdict::Unsure);
    assert_eq!(probe(Opening::Syn, b"PUT / HTTP/1.1\r\n", b""), Verdict::No);
    assert_eq!(probe(Opening::Syn, &ping.repeat(3), b""), Verdict::No);
    assert_eq!(probe(Opening::Port, &ping.repeat(2), b""), Verdict::Certain);
    assert_eq!(probe(Opening::Port, b"xxxxxxxxxxx", &ping), Verdict::Likely);
    assert_eq!(probe(Opening::Port, &ping[..9], b"GET / "), Verdict::Unsure);
    assert_eq!(
        probe(Opening::Port, b"GET / HTTP/1.1\r\n", b"HTTP/1.1 200"),
        Verdict::No
    );
    assert_eq!(
        probe(
            Opening::FirstPacket,
            b"\x16\x03\x01\x02\0\x01",
            b"\x16\x03\x03"
        ),
        Verdict::No
    );
    assert_eq!(probe(Opening::FirstPacket, b"", PREFACE), Verdict::Certain);
}

#[test]
fn http_switches_on_both_versions() {
    let (protocols, unknown) = enabled(&["HTTP", "http2"]);
    let names: Vec<_> = protocols.iter().map(|protocol| protocol.name()).collect();
    assert_eq!(
        (&names[..], &unknown[..]),
        (&["http2", "http"][..], &["http2"][..])
    );
}

#[test]
fn filters_of_both_dialects_read_the_items() {
    let calls = run(&[
        (UP, &call(END, 1, "application/grpc")),
        (
            DOWN,
            &headers(END, 1, &[(":status", "200"), ("grpc-status", "5")]),
        ),
        (UP, &ask(END, 3, "/plain")),
        (DOWN, &answer(END, 3, "404")),
    ]);
    let [call, plain] = &calls[..] else {
        panic!("{calls:?}")
    };
    let schema = Schema::new(ENVELOPE.iter().chain(FIELDS), []);
    let matches = |draft: &Draft, text: &str| {
        let item = Item {
            protocol: draft.kind,
            request: draft.request.clone(),
            response: draft.response.clone(),
            ..sample::http()
        };
        let query = kfl::compile(text, &schema).unwrap_or_else(|error| panic!("{text}: {error}"));
        query.matches(item.node(), Timestamp::default()) == Matched::Match
    };
    for text in [
        "grpc && grpc_method == \"Add\" && grpc_status == 5",
        "http && http_version == \"HTTP/2\" && protocol == \"GRPC\"",
        "grpc && \"TE\" in request.headers && status_code == 200",
        "grpc and request.headers[\":path\"] == r\".*Cart.*\"",
        "grpc and response.headers[\"grpc-status\"] == \"5\"",
        "grpc and request.grpc.service == \"shop.v1.Cart\"",
        "protocol.name == \"http\" and !http2",
    ] {
        assert!(matches(call, text), "{text}");
        assert!(!matches(plain, text), "{text}");
    }
    for text in [
        "http2 and request.httpVersion == \"HTTP/2.0\"",
        "http && http_version == \"HTTP/2\" && !grpc && path == \"/plain\"",
        "http && status_code == 404",
    ] {
        assert!(matches(plain, text), "{text}");
        assert!(!matches(call, text), "{text}");
    }
}

/// Conversations for the robustness suite.
pub(super) fn samples() -> Vec<Sample> {
    let sample = |name, turns: &[(Direction, Vec<u8>)], items| Sample {
        name,
        transport: Transport::Tcp,
        server_port: 50051,
        turns: turns.to_vec(),
        items,
    };
    let indexed = |stream: u32, block: &[u8]| frame(HEADERS, WHOLE | END, stream, block);
    let mut promise = 2u32.to_be_bytes().to_vec();
    promise.extend(block(&[(":method", "GET"), (":path", "/style.css")]));
    vec![
        sample(
            "requests that share a table",
            &[
                (UP, hello()),
                (DOWN, frame(SETTINGS, 0, 0, b"\0\x01\0\0\x08\0")),
                (UP, frame(SETTINGS, ACK, 0, b"")),
                // Appendix C.4 of RFC 7541.
                (
                    UP,
                    indexed(
                        1,
                        b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff",
                    ),
                ),
                (
                    UP,
                    indexed(3, b"\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf"),
                ),
                (
                    DOWN,
                    [answer(0, 3, "200"), data(PADDED, 3, b"\x02three\0\0")].concat(),
                ),
                (
                    DOWN,
                    [answer(0, 1, "200"), data(END, 1, b"one"), data(END, 3, b"")].concat(),
                ),
                (
                    UP,
                    [
                        frame(HEADERS, END, 5, b"\x82\x86"),
                        frame(CONTINUATION, WHOLE, 5, b"\x84\xbf"),
                    ]
                    .concat(),
                ),
                (DOWN, headers(0, 5, &[(":status", "103")])),
                (DOWN, frame(PUSH_PROMISE, WHOLE, 5, &promise)),
                (
                    DOWN,
                    [answer(END, 5, "304"), answer(END, 2, "200")].concat(),
                ),
            ],
            4,
        ),
        sample(
            "calls",
            &[
                (
                    UP,
                    [
                        hello(),
                        call(0, 1, "application/grpc"),
                        data(END, 1, &message(0, b"ask")),
                    ]
                    .concat(),
                ),
                (
                    DOWN,
                    [
                        frame(SETTINGS, 0, 0, b""),
                        headers(
                            0,
                            1,
                            &[(":status", "200"), ("content-type", "application/grpc")],
                        ),
                    ]
                    .concat(),
                ),
                (
                    DOWN,
                    [
                        data(0, 1, &message(0, b"one")),
                        data(0, 1, &message(0, b"two")),
                    ]
                    .concat(),
                ),
                (
                    UP,
                    [
                        call(0, 3, "application/grpc"),
                        data(0, 3, &message(0, b"more")),
                    ]
                    .concat(),
                ),
                (DOWN, headers(END, 1, &[("grpc-status", "0")])),
                (UP, frame(RST_STREAM, 0, 3, &8u32.to_be_bytes())),
                (UP, call(END, 5, "application/grpc")),
                (DOWN, frame(GOAWAY, 0, 0, b"\0\0\0\x03\0\0\0\0")),
            ],
            3,
        ),
        sample(
            "what is against the standard",
            &[
                (
                    UP,
                    [
                        hello(),
                        indexed(1, b"\x82\x84\xff\x20"),
                        frame(0xbe, 0xff, 9, b"grease"),
                    ]
                    .concat(),
                ),
                (
                    DOWN,
                    [
                        frame(SETTINGS, 0, 0, b""),
                        answer(0, 1, "400"),
                        data(END | PADDED, 1, b"\x09"),
                    ]
                    .concat(),
                ),
                (
                    UP,
                    [
                        frame(HEADERS, 0, 3, b"\x82"),
                        frame(CONTINUATION, WHOLE, 5, b"\x84"),
                    ]
                    .concat(),
                ),
                (DOWN, frame(CONTINUATION, WHOLE, 5, b"\x88")),
            ],
            2,
        ),
    ]
}

proptest! {
    #[test]
    fn no_bytes_and_no_gaps_make_it_panic(
        parts in proptest::collection::vec(
            (any::<bool>(), 0usize..14, proptest::collection::vec(any::<u8>(), 0..40)), 0..40),
        late in any::<bool>(),
    ) {
        let pieces = [
            hello(), ask(END, 1, "/a"), answer(0, 1, "200"), data(END, 1, b"x"),
            frame(HEADERS, 0, 3, b"\x82\x40"), frame(CONTINUATION, WHOLE, 3, b"\x01a\x01b"),
            frame(RST_STREAM, 0, 1, b"\0\0\0\x08"), frame(GOAWAY, 0, 0, b"\0\0\0\x01\0\0\0\0"),
            call(0, 5, "application/grpc"), data(PADDED, 5, b"\x01\0\0\0\0\x01a\0"),
            frame(PUSH_PROMISE, WHOLE, 1, b"\0\0\0\x02\x82"), frame(SETTINGS, 0, 0, b"\0\x01\0\0\0\0"),
        ];
        let mut feed = Feed::new(Transport::Tcp, 50051, &Protocols::all());
        let opening = if late { Opening::Port } else { Opening::Syn };
        feed.conversation_mut().read_with(&Http2, Http2.start(&info(opening)));
        for (up, kind, noise) in parts {
            let direction = if up { UP } else { DOWN };
            match pieces.get(kind) {
                Some(piece) if noise.len() % 4 > 0 => feed.chunk(direction, piece),
                Some(piece) => feed.chunk(direction, &piece[..noise.len().min(piece.len())]),
                None if kind == 12 => feed.chunk(direction, &noise),
                None => feed.gap(direction, noise.len() + 1),
            };
        }
        feed.fin(DOWN);
        lines(&feed.end());
    }

    #[test]
    fn restoring_refuses_what_is_cut(at in any::<proptest::sample::Index>()) {
        let mut dissector = Http2.start(&info(Opening::Syn));
        let bytes = [hello(), call(0, 1, "application/grpc"), data(0, 1, b"abc")].concat();
        let chunk = Chunk {
            direction: UP,
            offset: 0,
            bytes: bytes.into(),
            ts: Timestamp::default(),
            ordinal: 1,
        };
        dissector.on_chunk(&chunk, &mut Drafts::default());
        let gap = Gap { direction: DOWN, offset: 0, len: 9, ts: Timestamp::default(), ordinal: 2 };
        dissector.on_gap(&gap, &mut Drafts::default());
        let saved = dissector.save();
        prop_assert!(Http2.restore(&info(Opening::Syn), &saved).is_some());
        let cut = &saved[..at.index(saved.len())];
        prop_assert!(Http2.restore(&info(Opening::Syn), cut).is_none());
    }
}
