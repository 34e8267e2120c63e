//! What packets may cost: no allocation for each, and memory for the open streams only.

use std::collections::HashMap;
use std::io::Cursor;

use bytes::Bytes;
use tapedeck::capture::file::FileSource;
use tapedeck::capture::{Filled, RawBatch, Source};
use tapedeck::dissect::{Conversation, Draft, Output, Protocols};
use tapedeck::flow::{Budget, Limits, Table};
use tapedeck::packet::headers::{Decoder, Found};
use tapedeck::packet::{Batch, Decoded, Packet, StreamId};
use tapedeck::synth;

struct Count(u64);

impl Output for Count {
    fn item(&mut self, _: Draft) {
        self.0 += 1;
    }
}

/// Counts of one reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading {
    packets: u64,
    batches: u64,
    items: u64,
    allocations: u64,
}

/// Reads a savefile of TCP connections the way the pipeline does, in one thread.
fn read(file: Vec<u8>) -> Reading {
    let mut source = FileSource::new("made.pcap", Box::new(Cursor::new(file)), 0).unwrap();
    let (mut decoder, mut found) = (Decoder::new(), Found::default());
    let mut table = Table::new(Limits::default());
    let mut streams: HashMap<StreamId, Conversation> = HashMap::new();
    let (mut raw, mut out, mut packets) = (RawBatch::default(), Count(0), Vec::new());
    let (mut ordinal, mut batches) = (0, 0);
    let info = allocation_counter::measure(|| {
        loop {
            raw.clear();
            let filled = source.fill(&mut raw).unwrap();
            let bytes = Bytes::from(std::mem::take(&mut raw.bytes));
            packets.clear();
            for record in &raw.records {
                let start = record.start as usize;
                let captured = &bytes[start..start + record.caplen as usize];
                let decoded = decoder.decode(ordinal, record, captured, &mut found);
                let Decoded::Flow(layers) = &decoded else {
                    panic!("a frame without a flow");
                };
                let assigned = table.assign(ordinal, record.ts, layers);
                streams.entry(assigned.info.name.stream).or_insert_with(|| {
                    let budget = Budget::new(Budget::DEFAULT_BYTES);
                    Conversation::new(&assigned.info, &Protocols::all(), &budget)
                });
                packets.push(Packet {
                    ordinal,
                    record: *record,
                    decoded,
                    stream: Some((assigned.info.name.stream, assigned.direction)),
                });
                ordinal += 1;
            }
            let batch = Batch {
                bytes,
                packets: std::mem::take(&mut packets),
                ..Batch::default()
            };
            for packet in &batch.packets {
                let (name, _) = packet.stream.unwrap();
                let stream = streams.get_mut(&name).unwrap();
                stream.packet(packet, batch.payload_of(packet), &mut out);
            }
            for stream in streams.values_mut() {
                stream.settle();
            }
            batches += 1;
            raw.bytes = batch.bytes.try_into_mut().unwrap().into();
            packets = batch.packets;
            if filled == Filled::End {
                break;
            }
        }
    });
    Reading {
        packets: ordinal,
        batches,
        items: out.0,
        allocations: info.count_total,
    }
}

/// One connection with a response of so many megabytes, each segment acknowledged.
fn download(megabytes: usize) -> Vec<u8> {
    let size = megabytes << 20;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
    let frames = synth::tcp(([10, 1, 0, 1], 40_000), ([10, 0, 0, 2], 80))
        .to_server("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .to_client(head)
        .to_client(vec![b'x'; size])
        .fin();
    synth::savefile(&frames)
}

const ASKED: &str = "POST /orders?page=7 HTTP/1.1\r\nHost: shop\r\nContent-Length: 4\r\n\r\nmore";

/// Exchanges over connections that are open at the same time, their bodies in segments of so many
/// bytes, each acknowledged.
fn exchanges(connections: u16, each: usize, mss: usize) -> Vec<u8> {
    let body = vec![b'j'; 4 << 10];
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    let made = (0..connections).map(|index| {
        let client = ([10, 1, 0, 1], 20_000 + index);
        let mut stream = synth::tcp(client, ([10, 0, 0, 2], 80));
        for _ in 0..each {
            let heads = stream.mss(1460).to_server(ASKED).to_client(&head);
            stream = heads.mss(mss).to_client(&body);
        }
        stream.fin()
    });
    synth::savefile(&synth::merge(made))
}

#[test]
fn more_packets_of_a_message_cost_no_allocation() {
    let (few, many) = (read(download(2)), read(download(6)));
    assert_eq!((few.items, many.items), (1, 1));
    no_allocation_between(few, many, (1, 0));
}

#[test]
fn more_packets_of_small_exchanges_cost_no_allocation() {
    let streams = 8;
    let few = read(exchanges(streams, 100, 128));
    let many = read(exchanges(streams, 100, 32));
    assert_eq!((few.items, many.items), (800, 800));
    // What grows by doubling from a quarter of the size is doubled twice more.
    no_allocation_between(few, many, (streams, 2 * many.items));
}

/// That `many` packets cost no allocation that `few` of the same content do not, beside some for each
/// batch and those that go with the items.
#[track_caller]
fn no_allocation_between(few: Reading, many: Reading, (streams, of_items): (u16, u64)) {
    let packets = many.packets - few.packets;
    let batches = many.batches - few.batches;
    let allocations = many.allocations.saturating_sub(few.allocations);
    assert!(
        packets > 100 * batches,
        "{packets} packets, {batches} batches"
    );
    // A batch is shared, which costs one for itself and few for what is shared of it; a stream that is
    // within a message at its end keeps that as its own.
    let of_batches = 4 * batches * (1 + u64::from(streams));
    assert!(
        allocations <= of_batches + of_items,
        "{allocations} allocations for {packets} packets in {batches} batches"
    );
}

#[cfg(target_os = "linux")]
mod memory {
    use std::process::Command;
    use std::time::Duration;

    use tapedeck::synth;

    /// Keep-alive connections one after the other, a second between them.
    fn traffic(connections: u16) -> Vec<u8> {
        let body = vec![b'j'; 16 << 10];
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        let made = (0..connections).map(|index| {
            let start = synth::START + Duration::from_secs(index.into());
            let mut stream =
                synth::tcp(([10, 1, 0, 1], 20_000 + index), ([10, 0, 0, 2], 80)).at(start);
            for _ in 0..16 {
                stream = stream
                    .to_server("GET /orders?page=7 HTTP/1.1\r\nHost: shop\r\n\r\n")
                    .to_client(&head)
                    .to_client(&body);
            }
            stream.fin()
        });
        synth::savefile(&synth::merge(made))
    }

    /// Peak memory of `tapedeck query` over a capture, in KiB, and the items it printed.
    fn peak(capture: &[u8]) -> (u64, usize) {
        let file = tempfile::NamedTempFile::with_suffix(".pcap").unwrap();
        std::fs::write(file.path(), capture).unwrap();
        let printed = tempfile::NamedTempFile::new().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_tapedeck"))
            .arg("query")
            .arg(file.path())
            .args([
                "--format",
                "csv",
                "--kfl",
                "http and response.status == 200",
            ])
            .args(["--set", "tap.workers=1"])
            .stdout(printed.reopen().unwrap())
            .spawn()
            .unwrap();
        let status = format!("/proc/{}/status", child.id());
        let mut most = 0;
        // The peak never falls, so the last look before the end is nearly the whole truth.
        let ended = loop {
            let now = std::fs::read_to_string(&status).unwrap_or_default();
            let peak = now.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let peak = peak.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok());
            most = most.max(peak.unwrap_or(0));
            if let Some(ended) = child.try_wait().unwrap() {
                break ended;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        assert!(ended.success() && most > 0);
        let text = std::fs::read_to_string(printed.path()).unwrap();
        (most, text.lines().count() - 1)
    }

    #[test]
    fn ten_times_the_traffic_takes_the_same_memory() {
        let (short, long) = (peak(&traffic(30)), peak(&traffic(300)));
        assert_eq!((short.1, long.1), (30 * 16, 300 * 16));
        assert!(
            long.0 * 10 <= short.0 * 12,
            "{} KiB for ten times the traffic, {} KiB for once",
            long.0,
            short.0
        );
    }
}
