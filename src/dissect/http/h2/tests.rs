//! Traffic in, items out.

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

#[test]
fn an_exchange_has_the_shape_of_the_reference() {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/orders?dry=1"),
        (":authority", "cart.shop"),
        ("content-type", "application/json"),
        ("cookie", "sid=z1"),
        ("cookie", "theme=dark"),
        ("x-tag", "a"),
        ("x-tag", "b"),
    ];
    let answered = [
        (":status", "500"),
        ("content-type", "text/plain"),
        ("set-cookie", "a=b; Path=/"),
    ];
    let items = run(&[
        (UP, &headers(0, 1, &fields)),
        (UP, &data(END, 1, b"{\"qty\":2}")),
        (DOWN, &headers(0, 1, &answered)),
        (DOWN, &data(END, 1, b"oops")),
    ]);
    let [item] = &items[..] else {
        panic!("{items:?}")
    };
    assert_eq!((item.kind.abbr, item.kind.macro_name), ("HTTP/2", "http2"));
    assert_eq!(item.error, None);
    assert_eq!(
        shown(&item.request),
        serde_json::json!({
            "method": "POST", "url": "/orders?dry=1", "targetUri": "/orders?dry=1",
            "path": "/orders", "pathSegments": ["orders"], "httpVersion": "HTTP/2.0",
            "headers": {
                ":method": "POST", ":scheme": "http", ":path": "/orders?dry=1",
                ":authority": "cart.shop", "content-type": "application/json",
                "cookie": "sid=z1; theme=dark", "x-tag": "a,b",
            },
            "cookies": {"sid": "z1", "theme": "dark"}, "queryString": {"dry": "1"},
            "headersSize": -1, "bodySize": 9,
            "postData": {"mimeType": "application/json", "params": [], "text": "{\"qty\":2}"},
        })
    );
    assert_eq!(
        shown(&item.response),
        serde_json::json!({
            "status": 500, "statusText": "", "httpVersion": "HTTP/2.0",
            "headers": {":status": "500", "content-type": "text/plain", "set-cookie": "a=b; Path=/"},
            "cookies": {"a": "b"},
            "content": {"size": 4, "mimeType": "text/plain", "encoding": "base64", "text": "b29wcw=="},
            "redirectURL": "", "headersSize": -1, "bodySize": 4,
        })
    );
}

#[test]
fn streams_are_paired_by_their_number_and_come_as_they_end() {
    let items = run(&[
        (
            UP,
            &[ask(END, 1, "/a"), ask(0, 3, "/b"), ask(END, 5, "/c")].concat(),
        ),
        (
            DOWN,
            &[
                answer(END, 5, "205"),
                answer(0, 1, "201"),
                answer(END, 3, "203"),
            ]
            .concat(),
        ),
        (DOWN, &data(0, 1, b"one ")),
        (UP, &data(END, 3, b"late")),
        (DOWN, &data(END, 1, b"two")),
    ]);
    assert_eq!(lines(&items), ["GET /c 205", "GET /b 203", "GET /a 201"]);
    assert_eq!(body_of(&items[2]), b"one two");
}

#[test]
fn latency_is_from_the_first_packet_to_the_first_packet() {
    let mut feed = feed();
    let at = |millis: i64| Timestamp::from_nanos(millis * 1_000_000);
    let (asked, answered) = (ask(END, 1, "/a"), answer(END, 1, "200"));
    let early = [hello(), asked[..20].to_vec()].concat();
    feed.at(at(10))
        .chunk(UP, &early)
        .at(at(30))
        .chunk(UP, &asked[20..]);
    // The end of one frame and the front of the next in one packet.
    let settings = frame(SETTINGS, 0, 0, b"\0\x03\0\0\0\x64");
    feed.at(at(35)).chunk(DOWN, &settings[..12]);
    feed.at(at(50))
        .chunk(DOWN, &[&settings[12..], &answered[..4]].concat());
    feed.at(at(70)).chunk(DOWN, &answered[4..]);
    let items = feed.end();
    assert_eq!(
        (items[0].start, items[0].elapsed_nanos),
        (at(10), 40_000_000)
    );
    assert_eq!(items[0].request_size, asked.len() as u64);
    assert_eq!(items[0].response_size, answered.len() as u64);
}

#[test]
fn continuation_padding_and_priority_are_framing() {
    let block = block(&[
        (":method", "GET"),
        (":path", "/x"),
        ("x-long", &"v".repeat(300)),
    ]);
    let mut first = b"\x03\0\0\0\0\x10".to_vec();
    first.extend(&block[..70]);
    first.extend(b"\0\0\0");
    let items = run(&[
        (UP, &frame(HEADERS, END | PADDED | PRIORITY, 1, &first)),
        (UP, &frame(CONTINUATION, 0, 1, &block[70..71])),
        (UP, &frame(CONTINUATION, 0, 1, b"")),
        (UP, &frame(CONTINUATION, WHOLE, 1, &block[71..])),
        (DOWN, &answer(0, 1, "200")),
        (DOWN, &data(PADDED, 1, b"\x02ab\0\0")),
        (DOWN, &data(PADDED | END, 1, b"\x01\0")),
    ]);
    assert_eq!(lines(&items), ["GET /x 200"]);
    assert_eq!(body_of(&items[0]), b"ab");
    assert_eq!(
        shown(&items[0].request)["headers"]["x-long"],
        "v".repeat(300)
    );
}

#[test]
fn interim_responses_and_trailers_are_no_answers_of_their_own() {
    let items = run(&[
        (UP, &ask(0, 1, "/a")),
        (DOWN, &headers(0, 1, &[(":status", "100")])),
        (
            DOWN,
            &headers(0, 1, &[(":status", "103"), ("link", "</x>")]),
        ),
        (UP, &data(0, 1, b"hi")),
        (UP, &headers(END, 1, &[("x-sum", "9")])),
        (DOWN, &answer(0, 1, "200")),
        (DOWN, &data(0, 1, b"yes")),
        (DOWN, &headers(END, 1, &[("server-timing", "a")])),
    ]);
    assert_eq!(lines(&items), ["GET /a 200"]);
    assert_eq!(shown(&items[0].request)["headers"]["x-sum"], "9");
    let response = shown(&items[0].response);
    assert_eq!(response["headers"]["server-timing"], "a");
    assert_eq!(response["headers"]["link"], serde_json::Value::Null);
}

#[test]
fn resets_and_goaway_say_who_and_why() {
    let items = run(&[
        (
            UP,
            &[
                ask(END, 1, "/a"),
                ask(0, 3, "/b"),
                ask(END, 5, "/c"),
                ask(END, 7, "/d"),
            ]
            .concat(),
        ),
        (DOWN, &frame(RST_STREAM, 0, 1, &7u32.to_be_bytes())),
        (DOWN, &[answer(0, 5, "200"), data(0, 5, b"par")].concat()),
        (UP, &frame(RST_STREAM, 0, 5, &8u32.to_be_bytes())),
        // Still under way when the client gave up.
        (
            DOWN,
            &[data(END, 5, b"tial"), answer(END, 3, "413")].concat(),
        ),
        (DOWN, &frame(RST_STREAM, 0, 3, &0u32.to_be_bytes())),
        (DOWN, &frame(GOAWAY, 0, 0, b"\0\0\0\x05\0\0\0\x0bcalm down")),
        (UP, &ask(END, 9, "/e")),
    ]);
    assert_eq!(
        lines(&items),
        [
            "GET /a 0 connection: the server reset the stream: REFUSED_STREAM",
            "GET /c 200 connection: the client reset the stream: CANCEL",
            "GET /b 413",
            "GET /d 0 connection: the connection was given up before this stream: ENHANCE_YOUR_CALM",
            "GET /e 0 connection: the connection was closed before it was answered: ENHANCE_YOUR_CALM",
        ]
    );
    assert!(items[1].response.is_cut());
}

#[test]
fn pushed_requests_have_their_response() {
    let mut promise = 2u32.to_be_bytes().to_vec();
    promise.extend(block(&[
        (":method", "GET"),
        (":path", "/style.css"),
        (":scheme", "http"),
    ]));
    let items = run(&[
        (UP, &ask(END, 1, "/")),
        (DOWN, &frame(PUSH_PROMISE, WHOLE, 1, &promise)),
        (
            DOWN,
            &[
                answer(END, 1, "200"),
                answer(0, 2, "200"),
                data(END, 2, b"a{}"),
            ]
            .concat(),
        ),
    ]);
    assert_eq!(lines(&items), ["GET / 200", "GET /style.css 200"]);
    assert_eq!(shown(&items[1].request)["pushed"], true);
    assert_eq!(shown(&items[0].request)["pushed"], serde_json::Value::Null);
    assert!(items[1].from_client);
}

#[test]
fn compressed_bodies_are_shown_decoded() {
    let gzip = {
        let mut out = Vec::new();
        let plain = &b"la la la la la la"[..];
        let mut encoder = flate2::read::GzEncoder::new(plain, flate2::Compression::default());
        std::io::copy(&mut encoder, &mut out).unwrap();
        out
    };
    let items = run(&[
        (UP, &ask(END, 1, "/")),
        (
            DOWN,
            &headers(0, 1, &[(":status", "200"), ("content-encoding", "gzip")]),
        ),
        (
            DOWN,
            &[data(0, 1, &gzip[..9]), data(END, 1, &gzip[9..])].concat(),
        ),
    ]);
    assert_eq!(body_of(&items[0]), b"la la la la la la");
    assert_eq!(shown(&items[0].response)["bodySize"], gzip.len());
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

#[test]
fn a_call_has_its_messages_and_its_status() {
    let mut zipped = Vec::new();
    let mut encoder = flate2::read::GzEncoder::new(&b"inside"[..], flate2::Compression::fast());
    std::io::copy(&mut encoder, &mut zipped).unwrap();
    let asked = [message(0, b"\x08\x01"), message(1, &zipped)].concat();
    let items = run(&[
        (UP, &call(0, 1, "application/grpc+proto")),
        (
            UP,
            &[data(0, 1, &asked[..4]), data(END, 1, &asked[4..])].concat(),
        ),
        (
            DOWN,
            &headers(
                0,
                1,
                &[(":status", "200"), ("content-type", "application/grpc")],
            ),
        ),
        (DOWN, &data(0, 1, &message(0, b""))),
        (
            DOWN,
            &headers(
                END,
                1,
                &[("grpc-status", "5"), ("grpc-message", "no%20item")],
            ),
        ),
    ]);
    let [item] = &items[..] else {
        panic!("{items:?}")
    };
    assert_eq!(
        (item.kind.abbr, item.kind.macro_name, item.kind.version),
        ("gRPC", "grpc", "2.0")
    );
    let (request, response) = (shown(&item.request), shown(&item.response));
    assert_eq!(request["postData"]["text"], STANDARD.encode(&asked));
    assert_eq!(
        request["grpc"],
        serde_json::json!({
            "service": "shop.v1.Cart", "method": "Add",
            "messages": [
                {"compressed": false, "size": 2, "data": "CAE=", "fields": {"1": 1}},
                {"compressed": true, "size": zipped.len(), "data": STANDARD.encode("inside")},
            ],
        })
    );
    assert_eq!(
        response["grpc"],
        serde_json::json!({
            "status": 5, "statusName": "NOT_FOUND", "message": "no item",
            "messages": [{"compressed": false, "size": 0, "data": ""}],
        })
    );
    assert_eq!(response["headers"]["grpc-status"], "5");
    assert_eq!(response["status"], 200);
}

#[test]
fn a_call_may_end_with_its_first_section_or_with_none() {
    let items = run(&[
        (
            UP,
            &[
                call(END, 1, "application/grpc"),
                call(0, 3, "application/grpc"),
            ]
            .concat(),
        ),
        (
            DOWN,
            &headers(END, 1, &[(":status", "200"), ("grpc-status", "12")]),
        ),
        (UP, &data(0, 3, &message(0, b"cut short")[..8])),
        (UP, &frame(RST_STREAM, 0, 3, &8u32.to_be_bytes())),
    ]);
    assert_eq!(
        shown(&items[0].response)["grpc"]["statusName"],
        "UNIMPLEMENTED"
    );
    assert_eq!(items[1].kind.abbr, "gRPC");
    assert_eq!(
        shown(&items[1].request)["grpc"]["messages"],
        serde_json::json!([{"compressed": false, "size": 9, "data": "Y3V0", "truncated": true}])
    );
}

#[test]
fn grpc_web_has_its_trailers_in_the_body() {
    let body = [
        message(0, b"hi"),
        message(0x80, b"grpc-status: 3\r\ngrpc-message: bad%21\r\n"),
    ];
    // "each with its own padding".
    let text: String = body.iter().map(|part| STANDARD.encode(part)).collect();
    for (kind, sent) in [
        ("application/grpc-web+proto", body.concat()),
        ("application/grpc-web-text", text.into_bytes()),
    ] {
        let items = run(&[
            (UP, &call(END, 1, kind)),
            (
                DOWN,
                &headers(0, 1, &[(":status", "200"), ("content-type", kind)]),
            ),
            (DOWN, &data(END, 1, &sent)),
        ]);
        assert_eq!(
            shown(&items[0].response)["grpc"],
            serde_json::json!({
                "status": 3, "statusName": "INVALID_ARGUMENT", "message": "bad!",
                "messages": [{"compressed": false, "size": 2, "data": "aGk=", "fields": {"13": 105}}],
            }),
            "{kind}"
        );
    }
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
fn an_upgraded_request_is_answered_on_stream_1() {
    let (request, granted) = upgrade(b"");
    let protocols = enabled(&["http"]).0;
    for saved in [false, true] {
        let mut feed = feed();
        feed.at(Timestamp::from_nanos(1000)).chunk(UP, &request);
        feed.at(Timestamp::from_nanos(2000)).chunk(DOWN, &granted);
        if saved {
            feed.hand_over(&protocols);
        }
        feed.chunk(DOWN, &frame(SETTINGS, 0, 0, b""));
        if saved {
            feed.hand_over(&protocols);
        }
        feed.at(Timestamp::from_nanos(4000));
        feed.chunk(DOWN, &[answer(0, 1, "200"), data(END, 1, b"ok")].concat());
        assert_eq!(feed.protocol(), Some(NAME));
        feed.chunk(UP, &[hello(), ask(END, 3, "/next")].concat());
        feed.chunk(DOWN, &answer(END, 3, "204"));
        let items = feed.end();
        assert_eq!(
            lines(&items),
            ["POST /up 101", "POST /up 200", "GET /next 204"]
        );
        assert_eq!(items[1].kind.abbr, "HTTP/2");
        assert_eq!(
            (items[1].elapsed_nanos, items[1].request_size),
            (3000, request.len() as u64)
        );
        let told = shown(&items[1].request);
        assert_eq!(told["httpVersion"], "HTTP/1.1");
        assert_eq!(told["headers"][":authority"], "shop");
        assert_eq!(told["postData"]["text"], "hi");
        assert_eq!(body_of(&items[1]), b"ok");
    }
}

#[test]
fn settings_of_an_upgrade_bind_the_server() {
    let larger = b"\0\x01\0\0\x20\0\0\x05\0\0\x80\0";
    let (request, granted) = upgrade(larger);
    let mut feed = feed();
    feed.chunk(UP, &request).chunk(DOWN, &granted);
    // A table of 8192 bytes, then a frame longer than 16384.
    let mut block = b"\x3f\xe1\x3f".to_vec();
    block.extend(b"\x88");
    feed.chunk(DOWN, &frame(HEADERS, WHOLE, 1, &block));
    feed.chunk(DOWN, &data(END, 1, &[b'x'; 20_000]));
    let items = feed.end();
    assert_eq!(lines(&items[1..]), ["POST /up 200"]);
    assert_eq!(body_of(&items[1]).len(), 20_000);
}

#[test]
fn a_gap_within_data_is_passed_over_and_marked() {
    let mut feed = feed();
    feed.chunk(
        UP,
        &[hello(), ask(END, 1, "/a"), ask(END, 3, "/b")].concat(),
    );
    feed.chunk(
        DOWN,
        &[
            answer(0, 1, "200"),
            data(END, 1, &[b'x'; 100])[..30].to_vec(),
        ]
        .concat(),
    );
    feed.gap(DOWN, 79);
    feed.chunk(DOWN, &answer(END, 3, "204"));
    let items = feed.end();
    assert_eq!(
        lines(&items),
        [
            "GET /a 200 dissection: 79 bytes of the response's body were not captured",
            "GET /b 204",
        ]
    );
    assert_eq!(shown(&items[0].response)["bodySize"], 100);
    assert!(items[0].response.is_cut());
}

#[test]
fn a_gap_within_a_header_block_costs_that_block() {
    let (first, second) = (ask(END, 1, "/a"), ask(END, 3, "/b"));
    let mut feed = feed();
    feed.chunk(UP, &hello()).chunk(UP, &first[..20]).gap(UP, 10);
    feed.chunk(UP, &first[30..]).chunk(UP, &second);
    feed.chunk(
        DOWN,
        &[answer(END, 1, "200"), answer(END, 3, "204")].concat(),
    );
    let items = feed.end();
    assert_eq!(
        lines(&items),
        [
            "  200 dissection: bytes of a header block were not captured",
            "GET /b 204"
        ]
    );
}

#[test]
fn behind_a_gap_the_next_frames_are_found() {
    let mut feed = feed();
    feed.chunk(
        UP,
        &[hello(), ask(END, 1, "/a"), ask(END, 3, "/b")].concat(),
    );
    feed.chunk(
        DOWN,
        &[answer(0, 1, "200"), data(0, 1, &[b'x'; 100])[..30].to_vec()].concat(),
    );
    feed.gap(DOWN, 2000);
    // The end of some frame, and then whole ones.
    let rest = [
        b"the tail of something".to_vec(),
        answer(END, 3, "204"),
        data(END, 1, b"z"),
    ];
    feed.chunk(DOWN, &rest.concat());
    feed.chunk(DOWN, &frame(PING, 0, 0, b"12345678"));
    let items = feed.end();
    assert_eq!(
        lines(&items),
        [
            "GET /b 204",
            "GET /a 200 dissection: 79 bytes of the response's body were not captured",
        ]
    );
}

#[test]
fn a_connection_joined_late_shows_what_it_can() {
    let mut late = Late::new();
    // The middle of a body, then a request whose path is in a table that nobody saw.
    late.chunk(
        DOWN,
        &[&[b'x'; 40][..], &frame(PING, 0, 0, b"12345678")].concat(),
    );
    let mut block = b"\x83\x86\xbe\x7f\x00\x03new".to_vec();
    block.extend(b"\x40\x03own\x01v\xbe");
    late.chunk(UP, &frame(HEADERS, WHOLE | END, 7, &block));
    late.chunk(UP, &frame(WINDOW_UPDATE, 0, 0, b"\0\0\x10\0"));
    late.chunk(DOWN, &[answer(0, 7, "200"), data(END, 7, b"ok")].concat());
    // The end of a call that began before.
    late.chunk(DOWN, &data(0, 5, &message(0, b"last")));
    late.chunk(DOWN, &headers(END, 5, &[("grpc-status", "0")]));
    let items = late.end();
    assert_eq!(
        lines(&items),
        [
            "POST  200 dissection: 2 header fields of the request refer to bytes that were not captured",
            "- - 0 dissection: the head of the response was not captured",
        ]
    );
    let told = shown(&items[0].request);
    assert_eq!(
        told["headers"],
        serde_json::json!({
            ":method": "POST", ":scheme": "http", "<unknown>": "<unknown>,new", "own": "v,v",
        })
    );
    assert_eq!(items[1].kind.abbr, "gRPC");
    assert_eq!(shown(&items[1].response)["grpc"]["statusName"], "OK");
}

#[test]
fn every_field_that_refers_to_what_was_not_captured_is_marked() {
    let mut late = Late::new();
    late.chunk(UP, &frame(PING, ACK, 0, b"12345678"));
    // Three fields of a table that nobody saw, one of them twice, among those that are known.
    let block = b"\x83\xbe\xbf\x86\xbf\x0f\x31\x01w";
    late.chunk(UP, &frame(HEADERS, WHOLE | END, 7, block));
    // The answer refers to two; its status is in the static table.
    late.chunk(DOWN, &frame(HEADERS, WHOLE | END, 7, b"\x88\xbe\xc0"));
    let items = late.end();
    assert_eq!(
        lines(&items),
        [
            "POST  200 dissection: 4 header fields of the request refer to bytes that were not \
             captured; 2 header fields of the response refer to bytes that were not captured"
        ]
    );
    assert_eq!(
        shown(&items[0].request)["headers"],
        serde_json::json!({
            ":method": "POST", "<unknown>": "<unknown>,<unknown>,<unknown>,w", ":scheme": "http",
        })
    );
    assert_eq!(
        shown(&items[0].response)["headers"],
        serde_json::json!({":status": "200", "<unknown>": "<unknown>,<unknown>"})
    );
}

#[test]
fn sides_taken_for_each_other_are_set_right() {
    let mut late = Late::new();
    late.chunk(UP, &frame(PING, ACK, 0, b"12345678"));
    late.chunk(UP, &[data(0, 3, b"abc"), answer(END, 1, "200")].concat());
    late.chunk(
        DOWN,
        &[ask(END, 5, "/a"), frame(PING, 0, 0, b"12345678")].concat(),
    );
    late.chunk(UP, &answer(END, 5, "200"));
    late.chunk(UP, &headers(END, 3, &[("grpc-status", "0")]));
    let items = late.end();
    assert_eq!(
        lines(&items),
        [
            "- - 200 pair-not-found: no request was captured for this response",
            "GET /a 200",
            "- - 0 dissection: the head of the response was not captured",
        ]
    );
    assert!(items.iter().all(|item| !item.from_client));
}

#[test]
fn a_graphql_operation_is_of_its_own_kind() {
    let asks = |body: &[u8]| {
        let fields = [
            (":method", "POST"),
            (":path", "/graphql"),
            ("content-type", "application/json"),
        ];
        let request = [headers(WHOLE, 1, &fields), frame(DATA, END, 1, body)].concat();
        let response = headers(WHOLE | END, 1, &[(":status", "200")]);
        let items = run(&[(UP, &request), (DOWN, &response)]);
        assert_eq!(items.len(), 1);
        (items[0].kind.abbr, items[0].kind.version)
    };
    assert_eq!(asks(br#"{"query":"{ cart { id } }"}"#), ("GQL", "2.0"));
    assert_eq!(asks(br#"{"query":"shoes"}"#), ("HTTP/2", "2.0"));
}

#[test]
fn open_streams_are_bounded() {
    let mut feed = feed();
    feed.chunk(UP, &hello());
    for turn in 0..1100u32 {
        feed.chunk(UP, &ask(END, 2 * turn + 1, "/many"));
    }
    assert_eq!(feed.drafts.0.len(), 1100 - 1024);
    assert_eq!(
        lines(&feed.drafts.0[..1]),
        ["GET /many 0 pair-not-found: too many streams were open to await the end of this one"]
    );
    assert_eq!(feed.end().len(), 1100);
}

#[test]
fn kept_bytes_are_bounded() {
    let mut feed = feed();
    feed.chunk(UP, &hello());
    for stream in 0..40u32 {
        feed.chunk(UP, &ask(0, 2 * stream + 1, "/big"));
        for _ in 0..20 {
            feed.chunk(UP, &data(0, 2 * stream + 1, &[b'x'; 16_384]));
        }
    }
    let state = feed.conversation().save().len();
    assert!(state < 5 << 20, "{state}");
    for stream in 0..40u32 {
        feed.chunk(DOWN, &answer(END, 2 * stream + 1, "200"));
        feed.chunk(UP, &data(END, 2 * stream + 1, b""));
    }
    let items = feed.end();
    assert_eq!(items.len(), 40);
    for item in &items {
        let request = shown(&item.request);
        assert_eq!(
            (request["bodySize"].as_u64(), item.request.is_cut()),
            (Some(20 * 16_384), true)
        );
        assert!(request["postData"]["text"].as_str().unwrap().len() <= MAX_ITEM_BODY);
    }
}

#[test]
fn trailers_without_end_are_bounded() {
    let mut feed = feed();
    feed.chunk(UP, &[hello(), ask(0, 1, "/a")].concat());
    let value = "v".repeat(10_000);
    for _ in 0..1000 {
        feed.chunk(UP, &headers(0, 1, &[("x-more", &value)]));
    }
    let state = feed.conversation().save().len();
    assert!(state < 200_000, "{state}");
    // What was left out counts for nothing: the next body is kept.
    feed.chunk(UP, &[ask(0, 3, "/b"), data(END, 3, b"body")].concat());
    feed.chunk(
        DOWN,
        &[answer(END, 3, "200"), answer(END, 1, "431")].concat(),
    );
    let items = feed.end();
    assert_eq!(shown(&items[0].request)["postData"]["text"], "body");
    assert!(lines(&items[1..])[0].starts_with("GET /a 431 connection: "));
}

#[test]
fn a_header_block_beyond_the_cap_keeps_the_table_in_step() {
    // Fields are kept up to a cap; those behind it still go into the table.
    let mut large = b"\x82\x84".to_vec();
    for _ in 0..20 {
        large.extend(b"\x00\x01x");
        literal(&[b'v'; 5000], false, &mut large);
    }
    large.extend(b"\x40\x05later\x04seen");
    let mut frames = frame(HEADERS, END, 1, &large[..10_000]);
    let parts: Vec<&[u8]> = large[10_000..].chunks(16_000).collect();
    for (index, part) in parts.iter().enumerate() {
        let flags = if index + 1 == parts.len() { WHOLE } else { 0 };
        frames.extend(frame(CONTINUATION, flags, 1, part));
    }
    let items = run(&[
        (UP, &frames),
        (UP, &frame(HEADERS, WHOLE | END, 3, b"\x82\x84\xbe")),
        (
            DOWN,
            &[answer(END, 1, "431"), answer(END, 3, "200")].concat(),
        ),
    ]);
    assert_eq!(
        lines(&items),
        [
            "GET / 431 dissection: the header fields of the request are not all there",
            "GET / 200",
        ]
    );
    assert_eq!(shown(&items[1].request)["headers"]["later"], "seen");
}

#[test]
fn a_field_without_end_costs_its_block_and_no_more() {
    let mut feed = feed();
    feed.chunk(UP, &hello());
    let mut open = b"\x82\x00\x01x".to_vec();
    open.extend(b"\x7f\xff\xff\xff\x7f");
    feed.chunk(UP, &frame(HEADERS, END, 1, &open));
    for _ in 0..500 {
        feed.chunk(UP, &frame(CONTINUATION, 0, 1, &[b'v'; 16_000]));
    }
    let state = feed.conversation().save().len();
    assert!(state < 100_000, "{state}");
    feed.chunk(UP, &frame(CONTINUATION, WHOLE, 1, b"v"));
    feed.chunk(UP, &ask(END, 3, "/next"));
    feed.chunk(DOWN, &answer(END, 3, "200"));
    feed.fin(DOWN);
    assert_eq!(
        lines(&feed.end()),
        [
            "GET /next 200",
            "GET  0 dissection: a header block has a field or a frame that is too long"
        ]
    );
}

#[test]
fn malformed_blocks_are_told_and_cost_only_the_table() {
    let items = run(&[
        (UP, &frame(HEADERS, WHOLE | END, 1, b"\x82\x84\xff\x20")),
        (UP, &frame(HEADERS, END, 3, b"\x82\x84")),
        (UP, &ask(END, 5, "/c")),
        (
            DOWN,
            &[
                answer(END, 1, "400"),
                answer(END, 3, "400"),
                answer(END, 5, "200"),
            ]
            .concat(),
        ),
    ]);
    assert_eq!(
        lines(&items),
        [
            "GET / 400 dissection: a header block has an index that stands for no field",
            "GET / 400 dissection: a header block ends too early",
            "GET /c 200",
        ]
    );
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
