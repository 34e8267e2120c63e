//! Reading packets: records of a savefile beside a plain read of the same bytes, and headers.

use std::hint::black_box;
use std::io::Read;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tapedeck::packet::headers::{Decoder, Found};
use tapedeck::packet::savefile::pcapng::write;
use tapedeck::packet::savefile::{Entry, Records, pcap};
use tapedeck::packet::{LinkType, Position, Record};
use tapedeck::time::Timestamp;

const PACKETS: u32 = 20_000;

/// An Ethernet packet with IPv4, TCP and `payload` bytes.
fn packet(payload: u16) -> Vec<u8> {
    let mut out = vec![0; 12];
    out.extend_from_slice(&[8, 0, 0x45, 0]);
    out.extend_from_slice(&(40 + payload).to_be_bytes());
    out.extend_from_slice(&[0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    out.extend_from_slice(&[0xc3, 0x50, 0, 80, 0, 0, 0, 7, 0, 0, 0, 9]);
    out.extend_from_slice(&[0x50, 0x18, 1, 0, 0, 0, 0, 0]);
    out.resize(out.len() + usize::from(payload), b'x');
    out
}

/// Mixed sizes: acknowledgements, requests, full segments.
fn packets() -> Vec<Vec<u8>> {
    [0, 200, 1460].map(packet).into()
}

fn savefile() -> Vec<u8> {
    let mut file = Vec::new();
    pcap::write_header(
        &mut file,
        LinkType::ETHERNET,
        65_535,
        pcap::Precision::Nanos,
    );
    let kinds = packets();
    for (number, bytes) in (0..PACKETS).zip(kinds.iter().cycle()) {
        let ts = Timestamp::from_secs(number.into(), 0);
        let len = bytes.len() as u32;
        pcap::write_packet(&mut file, pcap::Precision::Nanos, ts, len, bytes);
    }
    file
}

fn pcapng() -> Vec<u8> {
    let mut file = Vec::new();
    write::section(&mut file, &write::Section::default());
    let interface = write::Interface {
        linktype: LinkType::ETHERNET,
        snaplen: 65_535,
        name: "eth0",
        description: "",
        filter: "",
        addresses: &[],
    };
    write::interface(&mut file, &interface);
    let kinds = packets();
    for (number, bytes) in (0..PACKETS).zip(kinds.iter().cycle()) {
        let ts = Timestamp::from_secs(number.into(), 0);
        write::packet(&mut file, 0, ts, bytes.len() as u32, bytes);
    }
    file
}

fn read_records(file: &[u8]) -> u64 {
    let mut records = Records::new(file);
    let mut bytes_read = 0;
    while let Ok(Some(entry)) = records.advance() {
        if let Entry::Packet { bytes, .. } = entry {
            bytes_read += bytes.len() as u64;
        }
    }
    bytes_read
}

fn read_plain(mut file: &[u8]) -> u64 {
    let mut window = vec![0; 1 << 20];
    let mut bytes_read = 0;
    while let Ok(count @ 1..) = file.read(&mut window) {
        bytes_read += black_box(count) as u64;
    }
    bytes_read
}

fn savefiles(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("savefile");
    for (name, file) in [("pcap", savefile()), ("pcapng", pcapng())] {
        group.throughput(Throughput::Bytes(file.len() as u64));
        group.bench_function(name, |bench| bench.iter(|| read_records(black_box(&file))));
        group.bench_function(format!("{name}, plain read"), |bench| {
            bench.iter(|| read_plain(black_box(&file)));
        });
    }
    group.finish();
}

fn headers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("headers");
    group.throughput(Throughput::Elements(1));
    let bytes = packet(200);
    let record = Record {
        ts: Timestamp::from_secs(1, 0),
        start: 0,
        caplen: bytes.len() as u32,
        len: bytes.len() as u32,
        linktype: LinkType::ETHERNET,
        interface: 0,
        position: Position::default(),
    };
    let mut decoder = Decoder::new();
    let mut found = Found::default();
    group.bench_function("ethernet, ipv4, tcp", |bench| {
        bench.iter(|| decoder.decode(0, black_box(&record), black_box(&bytes), &mut found));
    });
    group.finish();
}

criterion_group!(benches, savefiles, headers);
criterion_main!(benches);
