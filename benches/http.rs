//! HTTP/1.x exchanges a second on one core: reading only, and with what a script or a filter asks for.

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

/// One message a packet, all in one buffer as a batch has them.
fn stream(response: &[u8]) -> Vec<Chunk> {
    let turns = [
        (Direction::ToServer, REQUEST.as_bytes()),
        (Direction::ToClient, response),
    ];
    let mut all = Vec::new();
    for _ in 0..EXCHANGES {
        for (_, bytes) in turns {
            all.extend_from_slice(bytes);
        }
    }
    let all = Bytes::from(all);
    let mut at = 0;
    let mut ordinal = 0;
    let mut chunks = Vec::new();
    for _ in 0..EXCHANGES {
        for (direction, bytes) in turns {
            ordinal += 1;
            chunks.push(Chunk {
                direction,
                offset: 0,
                bytes: all.slice(at..at + bytes.len()),
                ts: Timestamp::from_nanos(at as i64),
                ordinal,
            });
            at += bytes.len();
        }
    }
    chunks
}

/// Reads a part of each item, as the users of items do.
struct Asks(fn(&Draft));

impl Output for Asks {
    fn item(&mut self, draft: Draft) {
        self.0(black_box(&draft));
    }
}

fn read(http: &dyn Protocol, info: &StreamInfo, chunks: &[Chunk], asks: fn(&Draft)) {
    let mut dissector = http.start(info);
    let mut out = Asks(asks);
    for chunk in chunks {
        let outcome = dissector.on_chunk(chunk, &mut out);
        assert_eq!(outcome, Outcome::Consumed(chunk.bytes.len()));
    }
}

fn exchanges(c: &mut Criterion) {
    let http = PROTOCOLS.iter().find(|protocol| protocol.name() == "http");
    let http = *http.expect("HTTP is among the protocols");
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
}

criterion_group!(benches, exchanges);
criterion_main!(benches);
