//! What a packet costs between its headers and its items: flow table, reassembly, DNS.
//!
//! Made traffic, one thread. Run with `cargo bench --bench flow`.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tapedeck::dissect::{Conversation, Draft, Output, Protocols};
use tapedeck::flow::{Budget, Limits, Reassembly, Segment, StreamInfo, Table};
use tapedeck::packet::headers::{Decoder, Found};
use tapedeck::packet::{Decoded, Direction, Layers, Packet, Record};
use tapedeck::synth::{self, Frame};

/// Bytes of a response that is reassembled.
const RESPONSE: usize = 1 << 20;

/// Packets as the ingest thread holds them.
struct Read {
    record: Record,
    layers: Layers,
    payload: Bytes,
}

fn decode(frames: &[Frame]) -> Vec<Read> {
    let (bytes, records) = synth::records(frames);
    let bytes = Bytes::from(bytes);
    let mut decoder = Decoder::new();
    let mut found = Found::default();
    let mut packets = Vec::new();
    for (ordinal, record) in (0..).zip(records) {
        let start = record.start as usize;
        let packet = bytes.slice(start..start + record.caplen as usize);
        let Decoded::Flow(layers) = decoder.decode(ordinal, &record, &packet, &mut found) else {
            continue;
        };
        let payload = layers.payload_start as usize;
        packets.push(Read {
            record,
            layers,
            payload: packet.slice(payload..payload + layers.payload_len as usize),
        });
    }
    packets
}

/// So many connections at the same time, a packet of each in turn.
fn interleaved(connections: u16) -> Vec<Read> {
    let conversations = (0..connections).map(|index| {
        let [high, low] = index.to_be_bytes();
        synth::tcp(([10, 1, high, low], 40000), ([10, 0, 0, 2], 80))
            .to_server("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .to_client("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .fin()
    });
    decode(&synth::merge(conversations))
}

fn table(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("table");
    for connections in [100, 20_000] {
        let packets = interleaved(connections);
        group.throughput(Throughput::Elements(packets.len() as u64));
        group.bench_function(
            format!("assign, {connections} flows at a time"),
            |bencher| {
                bencher.iter_batched(
                    || Table::new(Limits::default()),
                    |mut table| {
                        for (ordinal, packet) in (0..).zip(&packets) {
                            black_box(table.assign(ordinal, packet.record.ts, &packet.layers));
                        }
                        table
                    },
                    BatchSize::LargeInput,
                );
            },
        );
    }
    group.finish();
}

/// One response of a megabyte; every n-th pair of its segments is swapped.
fn segments(swap_every: Option<usize>) -> Vec<Segment> {
    let frames = synth::tcp(([10, 1, 0, 1], 40000), ([10, 0, 0, 2], 80))
        .to_server("GET / HTTP/1.1\r\n\r\n")
        .without_acks()
        .to_client(vec![b'x'; RESPONSE])
        .fin();
    let mut segments: Vec<Segment> = (0..)
        .zip(decode(&frames))
        .map(|(ordinal, packet)| Segment {
            direction: if packet.layers.tuple.src.port == 80 {
                Direction::ToClient
            } else {
                Direction::ToServer
            },
            tcp: packet.layers.tcp.expect("the frames are TCP"),
            wire_len: packet.layers.payload_wire_len,
            payload: packet.payload,
            ts: packet.record.ts,
            ordinal,
        })
        .collect();
    if let Some(every) = swap_every {
        for index in (8..segments.len() - 8).step_by(every) {
            segments.swap(index, index + 1);
        }
    }
    segments
}

fn reassembly(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reassembly");
    group.throughput(Throughput::Bytes(RESPONSE as u64));
    for (name, swap_every) in [("in order", None), ("every tenth swapped", Some(10))] {
        let segments = segments(swap_every);
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || segments.clone(),
                |segments| {
                    let mut stream = Reassembly::new(Budget::new(Budget::DEFAULT_BYTES));
                    let mut events = Vec::new();
                    for segment in segments {
                        stream.push(segment, &mut events);
                        black_box(&events);
                        events.clear();
                    }
                    stream
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

struct Count(usize);

impl Output for Count {
    fn item(&mut self, draft: Draft) {
        black_box(&draft);
        self.0 += 1;
    }
}

/// A query with its response.
fn lookup(id: u16) -> (Vec<u8>, Vec<u8>) {
    let [high, low] = id.to_be_bytes();
    let question = b"\x04cart\x04shop\x03svc\x07cluster\x05local\0\0\x01\0\x01";
    let query = [&[high, low, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0], &question[..]].concat();
    let answer = b"\xc0\x0c\0\x01\0\x01\0\0\0\x05\0\x04\x0a\x60\x03\x04";
    let head = [high, low, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    (query, [&head[..], question, answer].concat())
}

fn dns(criterion: &mut Criterion) {
    const LOOKUPS: u16 = 1000;
    let mut made = synth::udp(([10, 1, 0, 1], 40000), ([10, 0, 0, 2], 53));
    for id in 0..LOOKUPS {
        let (query, response) = lookup(id);
        made = made.to_server(query).to_client(response);
    }
    let packets = decode(&made.wait(Duration::from_secs(1)).end());
    let mut table = Table::new(Limits::default());
    let assigned: Vec<(StreamInfo, Packet)> = (0..)
        .zip(&packets)
        .map(|(ordinal, packet)| {
            let assigned = table.assign(ordinal, packet.record.ts, &packet.layers);
            let stream = (assigned.info.name.stream, assigned.direction);
            let packet = Packet {
                ordinal,
                record: packet.record,
                decoded: Decoded::Flow(packet.layers),
                stream: Some(stream),
            };
            (assigned.info, packet)
        })
        .collect();
    let mut group = criterion.benchmark_group("dns");
    group.throughput(Throughput::Elements(packets.len() as u64));
    group.bench_function("lookups over UDP, unread", |bencher| {
        bencher.iter(|| {
            let budget = Budget::new(Budget::DEFAULT_BYTES);
            let mut stream = Conversation::new(&assigned[0].0, &Protocols::all(), &budget);
            let mut count = Count(0);
            for ((_, packet), decoded) in assigned.iter().zip(&packets) {
                stream.packet(packet, decoded.payload.clone(), &mut count);
            }
            assert_eq!(count.0, usize::from(LOOKUPS));
        });
    });
    group.finish();
}

criterion_group!(benches, table, reassembly, dns);
criterion_main!(benches);
