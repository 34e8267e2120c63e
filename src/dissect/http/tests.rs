//! Traffic in, items out.

mod bodies;
mod framing;
mod gaps;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::dissect::{Draft, GiveUp, Outcome, Output, Stream, truth};
use crate::flow::{Chunk, Gap, Opening, StreamInfo};
use crate::item::{ItemNode, Value, json};
use crate::packet::{Direction, Endpoint, StreamId, StreamName};
use crate::time::Timestamp;

use Direction::{ToClient, ToServer};

#[derive(Default)]
struct Items(Vec<Draft>);

impl Output for Items {
    fn item(&mut self, draft: Draft) {
        self.0.push(draft);
    }
}

/// Feeds one stream the way a conversation does: what is left is offered again with what follows.
struct Wire {
    dissector: Box<dyn Dissector>,
    left: [Vec<u8>; 2],
    wanted: [usize; 2],
    sent: u64,
    gave_up: Option<GiveUp>,
    items: Items,
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
        server: endpoint(80),
        opening,
        first: Timestamp::default(),
    })
}

impl Wire {
    fn new(opening: Opening) -> Wire {
        Wire {
            dissector: Http1.start(&info(opening)),
            left: Default::default(),
            wanted: [0; 2],
            sent: 0,
            gave_up: None,
            items: Items::default(),
        }
    }

    fn send(&mut self, direction: Direction, bytes: &[u8]) {
        let side = usize::from(direction == ToClient);
        self.sent += 1;
        self.left[side].extend_from_slice(bytes);
        if self.gave_up.is_some() || self.left[side].len() < self.wanted[side] {
            return;
        }
        let chunk = Chunk {
            direction,
            offset: 0,
            bytes: Bytes::copy_from_slice(&self.left[side]),
            ts: Timestamp::from_nanos(self.sent.cast_signed() * 1000),
            ordinal: self.sent,
        };
        self.wanted[side] = 0;
        match self.dissector.on_chunk(&chunk, &mut self.items) {
            Outcome::Consumed(count) => drop(self.left[side].drain(..count)),
            Outcome::NeedMore(count) => self.wanted[side] = count,
            Outcome::GiveUp(why) => self.gave_up = Some(why),
        }
    }

    fn gap(&mut self, direction: Direction, len: u64) {
        self.sent += 1;
        let side = usize::from(direction == ToClient);
        self.left[side].clear();
        self.wanted[side] = 0;
        let ts = Timestamp::from_nanos(self.sent.cast_signed() * 1000);
        let gap = Gap {
            direction,
            offset: 0,
            len,
            ts,
            ordinal: self.sent,
        };
        self.dissector.on_gap(&gap, &mut self.items);
    }

    fn fin(&mut self, direction: Direction) {
        let rest = Bytes::from(self.left[usize::from(direction == ToClient)].clone());
        self.dissector.on_fin(direction, &rest, &mut self.items);
    }

    fn end(mut self) -> Vec<Draft> {
        self.dissector.on_end(&mut self.items);
        self.items.0
    }
}

/// Runs a whole exchange of bytes, seen from the handshake on.
fn run(parts: &[(Direction, &[u8])]) -> Vec<Draft> {
    let mut wire = Wire::new(Opening::Syn);
    for (direction, bytes) in parts {
        wire.send(*direction, bytes);
    }
    wire.fin(ToServer);
    wire.fin(ToClient);
    wire.end()
}

fn json_of(value: &Value) -> serde_json::Value {
    serde_json::from_str(&json::to_string(ItemNode::of_value(value))).unwrap()
}

/// `METHOD target status error`, one line an item.
fn lines(items: &[Draft]) -> Vec<String> {
    items
        .iter()
        .map(|item| {
            let (request, response) = (json_of(&item.request), json_of(&item.response));
            format!(
                "{} {} {}{}",
                request["method"].as_str().unwrap_or("-"),
                request["url"].as_str().unwrap_or("-"),
                response["status"],
                item.error
                    .as_ref()
                    .map_or(String::new(), |error| format!(" {}", error.kind)),
            )
        })
        .collect()
}

fn body_of(item: &Draft) -> Vec<u8> {
    match item
        .response
        .member("content")
        .and_then(|content| content.member("text"))
    {
        Some(Value::Base64(bytes)) => bytes.to_vec(),
        _ => Vec::new(),
    }
}

#[test]
fn an_exchange_has_the_shape_of_the_reference() {
    let items = run(&[
        (
            ToServer,
            b"POST /orders/7?dry=1&tag=a&tag=b%20c+d HTTP/1.1\r\nhost: cart.shop\r\n\
              Content-Type: application/json\r\ncookie: sid=z1; theme=dark\r\nX-A: 1\r\nx-a: 2\r\n\
              Content-Length: 9\r\n\r\n{\"qty\":2}",
        ),
        (
            ToClient,
            b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\n\
              Set-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\nLocation: /x\r\n\
              Content-Length: 4\r\n\r\noops",
        ),
    ]);
    assert_eq!(items.len(), 1);
    let item = &items[0];
    assert_eq!(
        json_of(&item.request),
        serde_json::json!({
            "method": "POST", "url": "/orders/7?dry=1&tag=a&tag=b%20c+d",
            "targetUri": "/orders/7?dry=1&tag=a&tag=b%20c+d", "path": "/orders/7",
            "pathSegments": ["orders", "7"], "httpVersion": "HTTP/1.1",
            "headers": {
                "Host": "cart.shop", "Content-Type": "application/json",
                "Cookie": "sid=z1; theme=dark", "X-A": "1,2", "Content-Length": "9",
            },
            "cookies": {"sid": "z1", "theme": "dark"},
            "queryString": {"dry": "1", "tag": ["a", "b c d"]},
            "headersSize": -1, "bodySize": 9,
            "postData": {"mimeType": "application/json", "params": [], "text": "{\"qty\":2}"},
        })
    );
    assert_eq!(
        json_of(&item.response),
        serde_json::json!({
            "status": 500, "statusText": "Internal Server Error", "httpVersion": "HTTP/1.1",
            "headers": {
                "Content-Type": "text/plain", "Set-Cookie": "a=1; Path=/,b=2",
                "Location": "/x", "Content-Length": "4",
            },
            "cookies": {"a": "1", "b": "2"},
            "content": {"size": 4, "mimeType": "text/plain", "encoding": "base64", "text": "b29wcw=="},
            "redirectURL": "/x", "headersSize": -1, "bodySize": 4,
        })
    );
    assert_eq!((item.elapsed_nanos, item.error.as_ref()), (1000, None));
    assert_eq!((item.request_size, item.response_size), (172, 143));
    assert_eq!((item.kind.version, item.kind.abbr), ("1.1", "HTTP"));
    assert!(item.from_client && !item.request.is_cut() && !item.response.is_cut());
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let items = run(&[
        (
            ToServer,
            b"GET /1 HTTP/1.1\r\n\r\nHEAD /2 HTTP/1.1\r\n\r\nGET /3 HTTP/1.0\r\n\r\n",
        ),
        (
            ToClient,
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n",
        ),
        (
            ToClient,
            b"Content-Length: 99\r\n\r\nHTTP/1.0 404 Not Found\r\n\r\ngone",
        ),
    ]);
    assert_eq!(lines(&items), ["GET /1 200", "HEAD /2 200", "GET /3 404"]);
    assert_eq!(body_of(&items[2]), b"gone");
    assert_eq!(items[2].kind.version, "1.0");
}

#[test]
fn an_upgrade_gives_the_stream_away_after_the_exchange() {
    let mut wire = Wire::new(Opening::Syn);
    wire.send(ToServer, b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n");
    wire.send(
        ToClient,
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x02hi",
    );
    assert_eq!(wire.left[1], b"\x81\x02hi");
    assert_eq!(
        (lines(&wire.items.0), wire.gave_up),
        (vec!["GET /ws 101".to_owned()], None)
    );
    wire.send(ToServer, b"\x81\x80");
    assert_eq!(wire.gave_up, Some(GiveUp::Upgraded));
    assert_eq!(wire.end().len(), 1);
}

#[test]
fn a_websocket_is_handed_over_with_what_was_agreed_on() {
    let handover = |request: &[u8], response: &[u8], save: bool| {
        let mut wire = Wire::new(Opening::Syn);
        wire.send(ToServer, request);
        wire.send(ToClient, response);
        if save {
            let state = wire.dissector.save();
            wire.dissector = Http1.restore(&info(Opening::Syn), &state).unwrap();
        }
        wire.send(ToServer, b"\x81\x80");
        assert_eq!(wire.gave_up, Some(GiveUp::Upgraded));
        wire.dissector.handover()
    };
    let request = b"GET /chat?a=1 HTTP/1.1\r\nUpgrade: websocket\r\n\r\n";
    let response = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\n\
          Sec-WebSocket-Extensions: a\r\nSec-WebSocket-Protocol: v1\r\n\
          Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    for save in [false, true] {
        let found = handover(request, response, save).unwrap();
        assert_eq!(found.protocol, "ws");
        assert_eq!(
            &found.note[..],
            b"\x01\0\0\0\x09/chat?a=1\0\0\0\x02v1\0\0\0\x14a,permessage-deflate"
        );
    }
    let bare = b"HTTP/1.1 101 X\r\n\r\n";
    assert!(handover(request, bare, false).is_some());
    let other = b"HTTP/1.1 101 X\r\nUpgrade: other\r\n\r\n";
    assert!(handover(request, other, true).is_none());
}

#[test]
fn a_graphql_request_makes_another_kind_of_item() {
    let exchange = |content_type: &str, body: &str| {
        let length = body.len();
        let request = format!(
            "POST /graphql HTTP/1.1\r\nContent-Type: {content_type}\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        let items = run(&[
            (ToServer, request.as_bytes()),
            (ToClient, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
        ]);
        assert_eq!(lines(&items), ["POST /graphql 200"]);
        assert_eq!(json_of(&items[0].request)["postData"]["text"], body);
        items[0].kind
    };
    let kind = exchange("application/json", r#"{"query":"{ cart { id } }"}"#);
    assert_eq!(
        (kind.name, kind.version, kind.abbr, kind.macro_name),
        ("http", "1.1", "GQL", "gql")
    );
    let kind = exchange("application/json", r#"{"query":"select 1"}"#);
    assert_eq!((kind.abbr, kind.version), ("HTTP", "1.1"));
    let unanswered = run(&[(ToServer, b"GET /?query={a} HTTP/1.0\r\n\r\n")]);
    assert_eq!(unanswered[0].kind.abbr, "GQL");
}

#[test]
fn graphql_of_the_sample_captures_is_all_found() {
    let count = |drafts: &[Draft]| {
        let found = drafts.iter().filter(|item| item.kind.macro_name == "gql");
        found.count()
    };
    truth::assert_counts("http", count, |name, _| match name {
        // `constructed.json`: 14 queries and a mutation.
        "graphql/own-graphql-http-ws.pcap" => 15,
        _ => 0,
    });
}

#[test]
fn a_tunnel_is_given_away_only_when_it_is_granted() {
    let mut wire = Wire::new(Opening::Syn);
    wire.send(
        ToServer,
        b"CONNECT a:443 HTTP/1.1\r\n\r\nGET /inside HTTP/1.1\r\n\r\n",
    );
    wire.send(
        ToClient,
        b"HTTP/1.1 200 Connected\r\nContent-Length: 9\r\n\r\n",
    );
    wire.send(ToServer, b"x");
    assert_eq!(wire.gave_up, Some(GiveUp::Upgraded));
    assert_eq!(lines(&wire.end()), ["CONNECT a:443 200"]);

    let items = run(&[
        (ToServer, b"CONNECT a:443 HTTP/1.1\r\n\r\n"),
        (ToClient, b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n"),
        (ToServer, b"GET / HTTP/1.1\r\n\r\n"),
        (ToClient, b"HTTP/1.1 204 No\r\n\r\n"),
    ]);
    assert_eq!(lines(&items), ["CONNECT a:443 407", "GET / 204"]);
}

fn compress(coding: &str, plain: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let best = flate2::Compression::best();
    match coding {
        "gzip" => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), best);
            out.write_all(plain).unwrap();
            out.finish().unwrap()
        }
        "zlib" => {
            let mut out = flate2::write::ZlibEncoder::new(Vec::new(), best);
            out.write_all(plain).unwrap();
            out.finish().unwrap()
        }
        "raw" => {
            let mut out = flate2::write::DeflateEncoder::new(Vec::new(), best);
            out.write_all(plain).unwrap();
            out.finish().unwrap()
        }
        "zstd" => zstd::encode_all(plain, 3).unwrap(),
        _ => plain.to_vec(),
    }
}

fn answered_with(coding: &str, body: &[u8]) -> Draft {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let answer = [head.as_bytes(), body].concat();
    run(&[(ToServer, b"GET / HTTP/1.1\r\n\r\n"), (ToClient, &answer)]).remove(0)
}

#[test]
fn targets_of_every_form_have_their_path() {
    let path = |target: &str| {
        let request = format!("X {target} HTTP/1.1\r\n\r\n");
        let items = run(&[(ToServer, request.as_bytes())]);
        let request = json_of(&items[0].request);
        (
            request["path"].as_str().unwrap().to_owned(),
            request["queryString"].to_string(),
        )
    };
    assert_eq!(path("/a?b=c#d"), ("/a".into(), "{\"b\":\"c\"}".into()));
    assert_eq!(
        path("http://h:1/a/b?c"),
        ("/a/b".into(), "{\"c\":\"\"}".into())
    );
    assert_eq!(path("http://h"), ("".into(), "{}".into()));
    assert_eq!(path("*"), ("*".into(), "{}".into()));
}

#[test]
fn probing_goes_by_content() {
    let probe = |opening, client: &[u8], server: &[u8]| {
        let stream = info(opening);
        Http1.probe(&Probe {
            stream: &stream,
            ports: &[],
            to_server: client,
            to_client: server,
        })
    };
    assert_eq!(
        probe(Opening::Syn, b"GET / HTTP/1.1\r\n", b""),
        Verdict::Certain
    );
    assert_eq!(probe(Opening::Syn, b"GET /a/long/pa", b""), Verdict::Likely);
    assert_eq!(probe(Opening::Syn, b"GET", b""), Verdict::Unsure);
    assert_eq!(
        probe(Opening::Syn, b"nonsense\r\n", b"HTTP/1.1 400 "),
        Verdict::Certain
    );
    assert_eq!(
        probe(Opening::Syn, b"PRI * HTTP/2.0\r\n\r\n", b""),
        Verdict::No
    );
    assert_eq!(probe(Opening::Syn, b"", b"SSH-2.0-x\r\n"), Verdict::No);
    assert_eq!(
        probe(Opening::Syn, b"EHLO x\r\n", b"220 mail\r\n"),
        Verdict::No
    );
    assert_eq!(
        probe(Opening::Port, b"", b"xxxHTTP/1.1 200 OK\r\n"),
        Verdict::Likely
    );
    assert_eq!(probe(Opening::Port, b"\0\x01", b"xx"), Verdict::Unsure);
    assert_eq!(
        probe(Opening::FirstPacket, b"HTTP/1.1 200 OK", b""),
        Verdict::Certain
    );
}

/// A conversation with every kind of framing, as one flow of bytes a direction.
const ASKED: &[u8] = b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n\
    POST /2?q=%41 HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello\
    POST /3 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: v\r\n\r\n\
    \r\nHEAD /4 HTTP/1.1\r\nX: a\r\n b\r\n\r\nnonsense\r\n\
    GET /5 HTTP/1.0\r\n\r\n";
const ANSWERED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n\
    HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nabc\
    HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n\
    HTTP/1.0 404 Not Found\r\n\r\nuntil close";

/// Conversations for the robustness suite.
pub(super) fn samples() -> Vec<Sample> {
    let sample = |name, turns: &[(Direction, &[u8])], items| Sample {
        name,
        transport: Transport::Tcp,
        server_port: 8080,
        turns: turns
            .iter()
            .map(|(direction, bytes)| (*direction, bytes.to_vec()))
            .collect(),
        items,
    };
    let packed = compress("gzip", b"{\"total\": 3}");
    let mut zipped = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        packed.len()
    )
    .into_bytes();
    zipped.extend_from_slice(&packed);
    vec![
        sample(
            "every framing, pipelined",
            &[(ToServer, ASKED), (ToClient, ANSWERED)],
            5,
        ),
        sample(
            "one after the other",
            &[
                (ToServer, b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"),
                (ToClient, b"HTTP/1.1 304 Not Modified\r\n\r\n"),
                (
                    ToServer,
                    b"POST /b HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
                ),
                (ToClient, b"HTTP/1.1 100 Continue\r\n\r\n"),
                (ToServer, b"hi"),
                (ToClient, &zipped),
            ],
            2,
        ),
        sample(
            "an upgrade to what nobody knows",
            &[
                (ToServer, b"GET /ws HTTP/1.1\r\nUpgrade: tunnel\r\n\r\n"),
                (
                    ToClient,
                    b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x02hi",
                ),
                (ToServer, b"\x81\x80\0\0\0\0"),
            ],
            1,
        ),
    ]
}

/// Items without what depends on how the bytes were cut.
fn told(items: &[Draft]) -> Vec<String> {
    items
        .iter()
        .map(|item| {
            format!(
                "{} {} {} {} {:?}",
                json_of(&item.request),
                json_of(&item.response),
                item.request_size,
                item.response_size,
                item.error
            )
        })
        .collect()
}

fn recut(cuts: &[u16], reload: bool) -> Vec<String> {
    let mut wire = Wire::new(Opening::Syn);
    let (mut asked, mut answered) = (ASKED, ANSWERED);
    for cut in cuts.iter().chain(std::iter::repeat(&7)) {
        let (direction, left) = match (asked.is_empty(), answered.is_empty()) {
            (true, true) => break,
            (false, _) => (ToServer, &mut asked),
            (true, _) => (ToClient, &mut answered),
        };
        let (part, rest) = left.split_at(left.len().min(usize::from(*cut) % 90 + 1));
        *left = rest;
        wire.send(direction, part);
        if reload {
            let state = wire.dissector.save();
            wire.dissector = Http1.restore(&info(Opening::Syn), &state).unwrap();
        }
    }
    wire.fin(ToServer);
    wire.fin(ToClient);
    told(&wire.end())
}

proptest! {
    #[test]
    fn any_cut_of_the_bytes_gives_the_same_items(cuts in proptest::collection::vec(any::<u16>(), 0..200)) {
        let whole = told(&run(&[(ToServer, ASKED), (ToClient, ANSWERED)]));
        prop_assert_eq!(whole.len(), 5);
        prop_assert_eq!(recut(&cuts, false), whole);
    }

    #[test]
    fn a_saved_state_goes_on_as_if_nothing_happened(cuts in proptest::collection::vec(any::<u16>(), 0..60)) {
        prop_assert_eq!(recut(&cuts, true), recut(&cuts, false));
    }

    #[test]
    fn restoring_refuses_garbage(mut state in proptest::collection::vec(any::<u8>(), 0..300), at in 0usize..40) {
        let _ = Http1.restore(&info(Opening::Syn), &state);
        let mut wire = Wire::new(Opening::Syn);
        wire.send(ToServer, b"POST /2 HTTP/1.1\r\nContent-Length: 5\r\n\r\nhe");
        let saved = wire.dissector.save();
        prop_assert!(Http1.restore(&info(Opening::Syn), &saved[..saved.len() - 1]).is_none());
        state.splice(..state.len().min(at), saved.into_iter().take(at));
        if let Some(mut http) = Http1.restore(&info(Opening::Syn), &state) {
            http.on_end(&mut Items::default());
        }
    }

    #[test]
    fn no_bytes_and_no_gaps_make_it_panic(
        parts in proptest::collection::vec(
            (any::<bool>(), 0usize..12, proptest::collection::vec(any::<u8>(), 0..40)), 0..40),
        opening in 0usize..4,
    ) {
        let pieces: [&[u8]; 11] = [
            b"GET / HTTP/1.1\r\n", b"HTTP/1.1 200 OK\r\n", b"\r\n", b"Content-Length: 4\r\n",
            b"Transfer-Encoding: chunked\r\n", b"5\r\n", b"0\r\n\r\n", b"HTTP/1.1 101 X\r\n\r\n",
            b"CONNECT a HTTP/1.1\r\n\r\n", b"Content-Encoding: gzip, br\r\n", b"POST /x HTTP/1.0\n",
        ];
        let opening = [Opening::Syn, Opening::SynAck, Opening::Port, Opening::FirstPacket][opening];
        let mut wire = Wire::new(opening);
        for (to_server, kind, noise) in parts {
            let direction = if to_server { ToServer } else { ToClient };
            match pieces.get(kind) {
                Some(piece) if noise.len() % 3 > 0 => wire.send(direction, piece),
                Some(_) => wire.send(direction, &noise),
                None => wire.gap(direction, noise.len() as u64 + 1),
            }
            let client = &wire.left[0];
            let stream = info(opening);
            Http1.probe(&Probe { stream: &stream, ports: &[], to_server: client, to_client: &noise });
        }
        wire.fin(ToClient);
        for item in wire.end() {
            let _ = told(&[item]);
        }
    }
}
