//! HTTP exchanges a second on one core: reading only, and with what a script or a filter asks for.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tapedeck::dissect::{Draft, Outcome, Output, PROTOCOLS, Protocol};
use tapedeck::flow::{Chunk, Opening, StreamInfo};
use tapedeck::item::{ItemNode, Value, lookup};
use tapedeck::packet::{Direction, Endpoint, StreamId, StreamName, Transport};
use tapedeck::time::Timestamp;

/// Exchanges of one stream.
const EXCHANGES: u64 = 1000;

const REQUEST: &str = "GET /api/orders/1234?expand=items&page=2 HTTP/1.1\r\n\
    Host: orders.shop.svc.cluster.local:8080\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n\
    Accept: application/json\r\nAccept-Encoding: gzip, deflate, br\r\n\
    Cookie: session=0123456789abcdef; theme=dark\r\nX-Request-Id: 4f1c2a9e-0c55-4a7e-8f3b\r\n\
    Connection: keep-alive\r\n\r\n";

const BODY: &str = "{\"id\":1234,\"items\":[{\"sku\":\"a-1\",\"qty\":2},{\"sku\":\"b-7\",\"qty\":1}],\
    \"total\":59.9,\"state\":\"paid\",\"customer\":{\"id\":77,\"name\":\"Ada\"}}";

fn response(coding: &str, body: &[u8]) -> Vec<u8> {
    let mut all = format!(
        "HTTP/1.1 200 OK\r\nServer: nginx/1.26.0\r\nDate: Tue, 15 Nov 2022 08:12:31 GMT\r\n\
         Content-Type: application/json; charset=utf-8\r\nCache-Control: no-store\r\n\
         Vary: Accept-Encoding\r\n{coding}Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    all.extend_from_slice(body);
    all
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = flate2::read::GzEncoder::new(plain, flate2::Compression::default());
    std::io::copy(&mut encoder, &mut out).expect("memory takes all that is written");
    out
}

/// The same exchange again and again.
fn stream(response: &[u8]) -> Vec<Chunk> {
    let turns = [
        (Direction::ToServer, REQUEST.as_bytes().to_vec()),
        (Direction::ToClient, response.to_vec()),
    ];
    packets((0..EXCHANGES).flat_map(|_| turns.clone()))
}

/// One message a packet, all in one buffer as a batch has them.
fn packets(turns: impl Iterator<Item = (Direction, Vec<u8>)>) -> Vec<Chunk> {
    let turns: Vec<_> = turns.collect();
    let all: Vec<u8> = turns.iter().flat_map(|(_, bytes)| bytes).copied().collect();
    let all = Bytes::from(all);
    let mut at = 0;
    let mut chunks = Vec::new();
    for (ordinal, (direction, bytes)) in (1..).zip(turns) {
        chunks.push(Chunk {
            direction,
            offset: 0,
            bytes: all.slice(at..at + bytes.len()),
            ts: Timestamp::from_nanos(at as i64),
            ordinal,
        });
        at += bytes.len();
    }
    chunks
}

/// Calls of gRPC as clients write them: the first puts most fields into the table, the others point
/// there; what differs from call to call is Huffman coded.
fn calls() -> Vec<Chunk> {
    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        bytes
    }
    fn added(fields: &[(&str, &str)]) -> Vec<u8> {
        let mut block = Vec::new();
        for (name, value) in fields {
            block.extend([0x40, name.len() as u8]);
            block.extend(name.bytes());
            block.push(value.len() as u8);
            block.extend(value.bytes());
        }
        block
    }
    // ":path: /shop.v1.Cart/Add" stands first in the table once all are added, the content type last.
    let asked = [
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("user-agent", "grpc-go/1.66.0"),
        ("grpc-accept-encoding", "identity,deflate,gzip"),
        (":authority", "cart.shop.svc.cluster.local:50051"),
        (":path", "/shop.v1.Cart/Add"),
    ];
    let answered = [("content-type", "application/grpc"), ("grpc-status", "0")];
    // "date: Mon, 21 Oct 2013 20:13:21 GMT" (RFC 7541 appendix C.6.1), not indexed.
    let date = b"\x0f\x12\x96\xd0\x7a\xbe\x94\x10\x54\xd4\x44\xa8\x20\x05\x95\x04\x0b\x81\x66\xe0\x82\xa6\x2d\x1b\xff";
    let message = b"\0\0\0\0\x0a\x0a\x03a-1\x10\x02\x18\x01\x20";
    packets((0..EXCHANGES).flat_map(|turn| {
        let stream = 2 * turn as u32 + 1;
        let (mut up, mut head, mut tail) = (Vec::new(), vec![0x88], Vec::new());
        let mut block = vec![0x83, 0x86];
        match turn {
            0 => {
                up.extend(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
                block.extend(added(&asked));
                head.extend(added(&answered));
                tail.push(0xbe);
            }
            _ => {
                block.extend([0xbe, 0xbf, 0xc0, 0xc1, 0xc2, 0xc3]);
                head.push(0xbf);
                tail.push(0xbe);
            }
        }
        block.extend(date);
        head.extend(date);
        up.extend(frame(1, 4, stream, &block));
        up.extend(frame(0, 1, stream, message));
        let mut down = frame(1, 4, stream, &head);
        down.extend(frame(0, 0, stream, message));
        down.extend(frame(1, 5, stream, &tail));
        [(Direction::ToServer, up), (Direction::ToClient, down)]
    }))
}

/// Reads a part of each item, as the users of items do.
struct Asks(fn(&Draft));

impl Output for Asks {
    fn item(&mut self, draft: Draft) {
        self.0(black_box(&draft));
    }
}

fn read(http: &dyn Protocol, info: &StreamInfo, chunks: &[Chunk], asks: fn(&Draft)) {
    let mut dissector = http.start(&(*info).into());
    let mut out = Asks(asks);
    for chunk in chunks {
        let outcome = dissector.on_chunk(chunk, &mut out);
        assert_eq!(outcome, Outcome::Consumed(chunk.bytes.len()));
    }
}

fn named(name: &str) -> &'static dyn Protocol {
    let found = PROTOCOLS.iter().find(|protocol| protocol.name() == name);
    *found.expect("HTTP is among the protocols")
}

fn exchanges(c: &mut Criterion) {
    let http = named("http");
    let endpoint = |port| Endpoint {
        ip: [10, 0, 0, 1].into(),
        port,
    };
    let info = StreamInfo {
        name: StreamName {
            stream: StreamId(1),
            transport: Transport::Tcp,
        },
        client: endpoint(40_000),
        server: endpoint(8080),
        opening: Opening::Syn,
        first: Timestamp::default(),
    };
    let plain = stream(&response("", BODY.as_bytes()));
    let zipped = stream(&response(
        "Content-Encoding: gzip\r\n",
        &gzip(BODY.as_bytes()),
    ));
    let mut group = c.benchmark_group("http");
    group.throughput(Throughput::Elements(EXCHANGES));
    group.bench_function("read", |b| b.iter(|| read(http, &info, &plain, |_| {})));
    group.bench_function("read, ask for a header", |b| {
        b.iter(|| {
            read(http, &info, &plain, |draft| {
                let request = ItemNode::of_value(&draft.request);
                black_box(lookup(request, "headers.Host").is_some());
            });
        });
    });
    group.bench_function("read, decode gzip bodies", |b| {
        b.iter(|| {
            read(http, &info, &zipped, |draft| {
                let content = draft.response.member("content").map(Value::force);
                black_box(content.is_some());
            });
        });
    });
    group.finish();

    let http2 = named("http2");
    let calls = calls();
    let mut group = c.benchmark_group("grpc");
    group.throughput(Throughput::Elements(EXCHANGES));
    group.bench_function("read", |b| b.iter(|| read(http2, &info, &calls, |_| {})));
    group.bench_function("read, ask for the status", |b| {
        b.iter(|| {
            read(http2, &info, &calls, |draft| {
                let response = ItemNode::of_value(&draft.response);
                black_box(lookup(response, "headers.grpc-status").is_some());
            });
        });
    });
    group.finish();
}

criterion_group!(benches, exchanges);
criterion_main!(benches);
