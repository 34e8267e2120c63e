//! What it costs to write every packet once: the spool beside a plain loop of writes.
//!
//! Each sample appends one batch as a source hands it on: 256 KiB of packets of 200 streams. The
//! plain loop writes the same bytes, without side file, blocks or ring.

use std::hint::black_box;
use std::io::{Seek, Write};
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tapedeck::packet::{
    Batch, Decoded, Direction, Endpoint, FiveTuple, Layers, LinkType, Packet, Position, Record,
    StreamId, Transport,
};
use tapedeck::spool::{Options, Writer};
use tapedeck::time::Timestamp;

const BATCH_BYTES: usize = 256 * 1024;
const STREAMS: u64 = 200;
/// Bytes that a plain file may reach before it starts again, as a segment does.
const FILE_BYTES: u64 = 64 << 20;

fn batch(first: u64, packet_bytes: usize) -> Batch {
    let endpoint = |last| Endpoint {
        ip: [10, 0, 0, last].into(),
        port: 80,
    };
    let layers = Layers {
        tuple: FiveTuple {
            src: endpoint(1),
            dst: endpoint(2),
            transport: Transport::Tcp,
        },
        payload_start: 54,
        payload_len: 0,
        payload_wire_len: 0,
        tcp: None,
        identification: 0,
        udp_checksum: 0,
        vlan: None,
        vni: None,
        tunnel: None,
        datagram: None,
    };
    let count = BATCH_BYTES / packet_bytes;
    let caplen = packet_bytes as u32;
    Batch {
        bytes: vec![7; count * packet_bytes].into(),
        packets: (0..count as u64)
            .map(|index| Packet {
                ordinal: first + index,
                record: Record {
                    ts: Timestamp::from_nanos((first + index) as i64 * 1000),
                    start: index as u32 * caplen,
                    caplen,
                    len: caplen,
                    linktype: LinkType::ETHERNET,
                    interface: 0,
                    position: Position::default(),
                },
                decoded: Decoded::Flow(layers),
                stream: Some((StreamId((first + index) % STREAMS), Direction::ToServer)),
            })
            .collect(),
        ..Batch::default()
    }
}

fn append(c: &mut Criterion) {
    for packet_bytes in [100, 600, 1500] {
        let mut group = c.benchmark_group(format!("packets of {packet_bytes} bytes"));
        let count = BATCH_BYTES / packet_bytes;
        group.throughput(Throughput::ElementsAndBytes {
            elements: count as u64,
            bytes: (count * packet_bytes) as u64,
        });
        group.measurement_time(Duration::from_secs(3));

        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut options = Options::new(dir.path(), 1);
        options.max_bytes = 1 << 30;
        let (mut writer, _reader) = Writer::open(options).expect("a new spool");
        let mut made = batch(0, packet_bytes);
        let mut next = 0;
        group.bench_function("spool", |bencher| {
            bencher.iter(|| {
                for packet in &mut made.packets {
                    packet.ordinal = next;
                    next += 1;
                }
                writer.append(&mut made).expect("room on the disk");
                black_box(&made);
            });
        });

        let mut file = tempfile::tempfile_in(dir.path()).expect("a temporary file");
        let bytes = made.bytes.clone();
        let mut written = 0;
        group.bench_function("plain write", |bencher| {
            bencher.iter(|| {
                file.write_all(&bytes).expect("room on the disk");
                written += bytes.len() as u64;
                if written > FILE_BYTES {
                    file.set_len(0).expect("a file of our own");
                    file.rewind().expect("a file of our own");
                    written = 0;
                }
            });
        });
        group.finish();
    }
}

criterion_group!(benches, append);
criterion_main!(benches);
