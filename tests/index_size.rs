//! What the index of a reel takes beside its packets.

use std::time::Duration;

use tapedeck::synth::{self, Frame};
use tapedeck::time::Timestamp;

use super::lake::{files, recorded};

const CONNECTIONS: u64 = 150;
const EXCHANGES: u64 = 54;

/// Calls of JSON over HTTP/1.1 as services make them: three clients, a thousand orders that change,
/// an id for each request.
fn calls() -> Vec<Frame> {
    let mut draw = Draw(0x9e37_79b9_7f4a_7c15);
    let connections = (0..CONNECTIONS).map(|number| {
        let agent = ["mobile/8.4 (build 1184)", "okhttp/4.12.0", "Go-http-client/1.1"][(number % 3) as usize];
        let port = 40_000 + u16::try_from(number).unwrap();
        let start = Timestamp::from_secs(1_700_000_000, 0) + Duration::from_micros(draw.below(200_000));
        let mut tcp = synth::tcp(([10, 0, 0, 1], port), ([10, 0, 0, 2], 80)).at(start);
        for _ in 0..EXCHANGES {
            let order = draw.below(1000);
            let page = draw.below(20);
            let path = match draw.below(4) {
                0 => format!("/api/orders?page={page}"),
                1 => "/health".to_owned(),
                _ => format!("/api/orders/{order}"),
            };
            let status = match draw.below(50) {
                0 => "500 Internal Server Error",
                1 => "404 Not Found",
                _ => "200 OK",
            };
            let body = body(order, &mut draw);
            tcp = tcp
                .to_server(format!(
                    "GET {path} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: {agent}\r\n\
                     Accept: application/json\r\nX-Request-Id: {:016x}\r\n\r\n",
                    draw.next()
                ))
                .wait(Duration::from_micros(300 + draw.below(1500)))
                .to_client(format!(
                    "HTTP/1.1 {status}\r\nServer: nginx/1.26.0\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\n\
                     Content-Type: application/json\r\nContent-Length: {}\r\n\
                     Connection: keep-alive\r\n\r\n{body}",
                    body.len()
                ))
                .wait(Duration::from_micros(draw.below(4000)));
        }
        tcp.fin()
    });
    synth::merge(connections.collect::<Vec<_>>())
}

fn body(order: u64, draw: &mut Draw) -> String {
    let lines: Vec<String> = (0..8 + draw.below(12))
        .map(|_| {
            format!(
                "{{\"sku\":\"{:08x}\",\"count\":{}}}",
                draw.next() >> 32,
                draw.below(9)
            )
        })
        .collect();
    format!(
        "{{\"id\":{order},\"customer\":\"{:012x}\",\"total\":{}.{:02},\"lines\":[{}]}}",
        draw.next() >> 16,
        draw.below(900),
        draw.below(100),
        lines.join(",")
    )
}

/// Numbers that look random and are the same each time (xorshift64*, Vigna 2016).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

#[test]
fn an_index_takes_a_tenth_of_its_packets_at_most() {
    let dir = tempfile::tempdir().unwrap();
    let archive = recorded(dir.path(), vec![calls()]);
    let bytes = |ending: &str| -> u64 {
        let found = files(&archive, ending);
        assert_eq!(found.len(), 1, "{ending}");
        found[0].metadata().unwrap().len()
    };
    let (index, packets) = (bytes(".items.parquet"), bytes(".pcapng.zst"));
    let items = CONNECTIONS * EXCHANGES;
    assert!(
        index * 10 <= packets,
        "{index} bytes of index, {packets} of packets, {items} items"
    );
}
