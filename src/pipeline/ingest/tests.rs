//! Ingest: sights of a packet, a clock that is set back, a spool on a full disk.

use std::net::IpAddr;
use std::path::Path;

use super::*;
use crate::capture::SourceCounts;
use crate::capture::file::{self, FileSource};
use crate::dissect::Protocols;
use crate::item::Item;
use crate::packet::LinkType;
use crate::packet::savefile::pcap;
use crate::packet::savefile::pcapng::write;
use crate::pipeline::Counts;
use crate::pipeline::worker::Worker;
use crate::synth::{self, Frame};
use crate::time::SetClock;

/// Ingest of a source, live when it has a clock, and its counters.
fn ingest(
    source: Box<dyn Source>,
    live: Option<Arc<dyn Clock>>,
    spool: Option<spool::Writer>,
) -> (Ingest, Arc<Counters>) {
    let counters: Arc<Counters> = Arc::default();
    let ingest = Ingest::new(Setup {
        source,
        spool,
        origin: Arc::default(),
        names: None,
        live,
        limits: Limits::default(),
        stop: Stop::default(),
        counters: counters.clone(),
        secrets: Arc::default(),
        cuts: Cuts::default(),
        failure: Failure::default(),
    });
    (ingest, counters)
}

/// Items of a capture of the cluster, and what was counted.
fn items_of(name: &str) -> Option<(Vec<Item>, Counts)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/captures/k8s");
    let Ok(source) = file::open(&Path::new(folder).join(name)) else {
        println!("skipped: the sample captures are not beside the repository");
        return None;
    };
    Some(items_in(source))
}

fn items_in(source: Box<dyn Source>) -> (Vec<Item>, Counts) {
    let (mut ingest, counters) = ingest(source, None, None);
    let mut worker = Worker::new(0, 1, Protocols::all(), counters.clone());
    let mut items = Vec::new();
    while let Some(step) = ingest.next(None) {
        items.extend(worker.find(&step).items);
    }
    (items, counters.now())
}

#[test]
fn a_capture_tells_which_calls_its_machine_made() {
    let calls = || {
        let call = |client: &str, port: u16| {
            let client: IpAddr = client.parse().unwrap();
            synth::tcp((client, port), ([192, 0, 2, 80], 80))
                .to_server("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                .to_client("HTTP/1.1 204 No Content\r\n\r\n")
                .fin()
        };
        [call("192.0.2.8", 40_001), call("192.0.2.9", 40_002)].concat()
    };
    let outgoing = |file: Vec<u8>| {
        let reader = Box::new(std::io::Cursor::new(file));
        let source = file::FileSource::new("made", reader, 0).unwrap();
        let (items, _) = items_in(Box::new(source));
        let mut found: Vec<_> = items
            .iter()
            .map(|item| (item.src.endpoint.ip.to_string(), item.is_outgoing()))
            .collect();
        found.sort();
        found
    };
    // By the addresses of its interface.
    let of_interface = |addresses: &[IpAddr]| {
        let mut file = Vec::new();
        write::section(&mut file, &write::Section::default());
        let interface = write::Interface {
            name: "eth0",
            addresses,
            ..write::Interface::of(LinkType::ETHERNET)
        };
        write::interface(&mut file, &interface);
        for frame in calls() {
            let len = u32::try_from(frame.bytes.len()).unwrap();
            write::packet(&mut file, 0, frame.ts, len, &frame.bytes);
        }
        outgoing(file)
    };
    let told = |first, second| {
        [("192.0.2.8", first), ("192.0.2.9", second)].map(|(ip, is)| (ip.to_owned(), is))
    };
    assert_eq!(of_interface(&[]), told(false, false));
    assert_eq!(
        of_interface(&["192.0.2.8".parse().unwrap()]),
        told(true, false)
    );
    // By the headers of cooked packets: the second machine was asked, and is this one.
    let mut file = Vec::new();
    pcap::write_header(&mut file, LinkType::LINUX_SLL, 0, pcap::Precision::Nanos);
    for frame in calls() {
        let is_first =
            frame.bytes[26..30] == [192, 0, 2, 8] || frame.bytes[30..34] == [192, 0, 2, 8];
        let is_request = frame.bytes[30..34] == [192, 0, 2, 80];
        let sent = is_first == is_request;
        let mut cooked = vec![0, if sent { 4 } else { 0 }, 0, 1, 0, 6];
        cooked.extend([0; 8]);
        cooked.extend_from_slice(&frame.bytes[12..]);
        let len = u32::try_from(cooked.len()).unwrap();
        pcap::write_packet(&mut file, pcap::Precision::Nanos, frame.ts, len, &cooked);
    }
    assert_eq!(outgoing(file), told(true, false));
}

#[test]
fn each_call_of_a_node_is_shown_once() {
    // As many as the pod and the bridge saw (`constructed.json`). The node's recording begins with one
    // more, and has nothing of another one.
    for (name, calls) in [
        ("pod-client-eth0.pcap", 46),
        ("bridge-cni0.pcap", 49),
        ("node-any-sll2.pcap", 49),
    ] {
        let Some((items, _)) = items_of(name) else {
            return;
        };
        let http: Vec<_> = items
            .iter()
            .filter(|item| item.protocol.name == "http")
            .collect();
        let mut clients: Vec<u16> = http.iter().map(|item| item.src.endpoint.port).collect();
        clients.sort_unstable();
        clients.dedup();
        assert_eq!((http.len(), clients.len()), (calls, calls), "{name}");
    }
}

#[test]
fn a_node_that_sees_a_packet_on_several_interfaces_shows_it_once() {
    let Some((items, counts)) = items_of("node-any-sll2.pcap") else {
        return;
    };
    // Three errors of ICMP, each seen on the bridge and on the pod's interface; tshark has 6.
    let icmp = items.iter().filter(|item| item.protocol.name == "icmp");
    assert_eq!(icmp.count(), 3);
    assert!(counts.duplicates > 264, "{}", counts.duplicates);
    assert!(counts.translated > 30, "{}", counts.translated);
    assert_eq!(counts.packets, 1444);
}

/// A live source whose clock is set back between two batches.
struct SetBack {
    clock: Arc<SetClock>,
    /// Frames of the first batch, and of each later one.
    first: Vec<Frame>,
    later: Vec<Frame>,
    batches: usize,
    /// Time between two batches, and how far the clock is set back before the third.
    pause: Duration,
    back: Duration,
    given: usize,
}

impl Source for SetBack {
    fn fill(&mut self, batch: &mut RawBatch) -> Result<Filled, CaptureError> {
        if self.given == self.batches {
            return Ok(Filled::End);
        }
        if self.given == 2 {
            self.clock.set(self.clock.now() - self.back);
        }
        self.clock.set(self.clock.now() + self.pause);
        let mut frames = self.later.clone();
        if self.given == 0 {
            frames.extend(self.first.clone());
        }
        // The kernel may hand out later what it had from before.
        let before = self.given == 3;
        for frame in &mut frames {
            frame.ts = self.clock.now() + self.back * u32::from(before);
        }
        let (bytes, records) = synth::records(&frames);
        (batch.bytes, batch.records) = (bytes, records);
        self.given += 1;
        Ok(Filled::More)
    }

    fn counts(&mut self) -> SourceCounts {
        SourceCounts::default()
    }
}

const NOON: Timestamp = Timestamp::from_secs(1_700_000_000, 0);

fn request() -> Vec<Frame> {
    synth::tcp(([10, 0, 0, 1], 4000), ([10, 0, 0, 2], 80))
        .to_server("GET / HTTP/1.1\r\n\r\n")
        .end()
}

/// How far the clock is set back.
const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn a_clock_that_is_set_back_ends_no_stream() {
    let clock = Arc::new(SetClock::at(NOON));
    let source = Box::new(SetBack {
        clock: clock.clone(),
        first: Vec::new(),
        later: request().into_iter().cycle().take(300).collect(),
        batches: 12,
        pause: Duration::from_millis(10),
        back: DAY,
        given: 0,
    });
    let (mut ingest, counters) = ingest(source, Some(clock.clone()), None);
    let mut opened = 0;
    for batch in 0..12 {
        let step = ingest.next(None).unwrap();
        opened += step.opened.len();
        assert_eq!(step.batch.ended, [], "batch {batch}");
        assert_eq!(step.batch.now, clock.now(), "batch {batch}");
    }
    assert_eq!(opened, 1);
    let warnings = counters.now().warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("set back by 86400 seconds"),
        "{warnings:?}"
    );
}

#[test]
fn after_the_clock_was_set_back_silence_ends_streams_all_the_same() {
    let clock = Arc::new(SetClock::at(NOON));
    let source = Box::new(SetBack {
        clock: clock.clone(),
        first: synth::udp(([10, 0, 0, 1], 5000), ([10, 0, 0, 2], 9999))
            .to_server("silence follows")
            .end(),
        later: request()[..1].to_vec(),
        batches: 300,
        pause: Duration::from_secs(1),
        back: DAY,
        given: 0,
    });
    let (mut ingest, _) = ingest(source, Some(clock), None);
    let mut ended = Vec::new();
    for batch in 0..300 {
        let step = ingest.next(None).unwrap();
        let reasons = step.batch.ended.iter().map(|ended| ended.reason);
        ended.extend(reasons.map(|reason| (batch, reason)));
    }
    // It takes some packets before the table believes that the clock was set back.
    assert!(
        matches!(ended[..], [(60..250, EndReason::Idle)]),
        "{ended:?}"
    );
}

#[test]
fn the_end_of_many_streams_is_told_in_many_steps() {
    let clock = Arc::new(SetClock::at(NOON));
    let many = |port: u16| {
        synth::udp(([10, 0, 0, 1], port), ([10, 0, 0, 2], 9999))
            .to_server("silence follows")
            .end()
    };
    let source = Box::new(SetBack {
        clock: clock.clone(),
        first: (5000..6000).flat_map(many).collect(),
        later: request()[..1].to_vec(),
        batches: 2,
        pause: Duration::from_millis(10),
        back: Duration::ZERO,
        given: 0,
    });
    let (mut ingest, _) = ingest(source, Some(clock), None);
    let mut worker = Worker::new(0, 1, Protocols::all(), Arc::default());
    let (mut opened, mut ended) = (0, 0);
    while let Some(step) = ingest.next(None) {
        opened += step.opened.len();
        ended += step.batch.ended.len();
        assert!(step.batch.ended.len() <= MAX_ENDED + step.batch.packets.len());
        worker.find(&step);
    }
    assert_eq!((opened, ended), (1001, 1001));
    assert!(ingest.next(None).is_none());
}

/// A disk of its own that is full; needs the right to mount.
#[test]
fn packets_that_the_spool_could_not_write_are_counted_and_said() {
    let dir = tempfile::tempdir().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
        .arg(dir.path())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        println!("skipped: mounting a small tmpfs needs root");
        return;
    }
    let outcome = std::panic::catch_unwind(|| {
        let (writer, reader) =
            spool::Writer::open(spool::Options::new(dir.path().join("spool"), 7)).unwrap();
        let _ = std::fs::write(dir.path().join("ballast"), vec![0; 300 << 10]);
        let clock = Arc::new(SetClock::at(NOON));
        let source = Box::new(SetBack {
            clock: clock.clone(),
            first: Vec::new(),
            later: request(),
            batches: 3,
            pause: Duration::from_secs(1),
            back: Duration::ZERO,
            given: 0,
        });
        let (mut ingest, counters) = ingest(source, Some(clock), Some(writer));
        while ingest.next(None).is_some() {}
        (counters.now(), reader.counts())
    });
    let _ = std::process::Command::new("umount")
        .arg(dir.path())
        .status();
    let (counts, spool) = outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    assert_eq!(counts.packets, 3 * request().len() as u64);
    assert_eq!(spool.not_written.packets, counts.packets);
    assert_eq!(counts.spool_not_written, counts.packets);
    assert!(
        counts.warnings[0].contains("packets can no longer be written to the spool"),
        "{:?}",
        counts.warnings
    );
}

/// A file of one interface with a name for each packet.
fn of_interfaces(packets: &[(LinkType, &str, &[u8])]) -> Vec<u8> {
    let mut file = Vec::new();
    write::section(&mut file, &write::Section::default());
    for (linktype, name, _) in packets {
        let interface = write::Interface {
            name,
            ..write::Interface::of(*linktype)
        };
        write::interface(&mut file, &interface);
    }
    for (number, (_, _, bytes)) in packets.iter().enumerate() {
        let len = u32::try_from(bytes.len()).unwrap();
        let number = u32::try_from(number).unwrap();
        write::packet(&mut file, number, NOON, len, bytes);
    }
    file
}

/// Reads a capture to its end: the streams that were opened, and what was counted.
fn run_through(file: Vec<u8>) -> (usize, Counts) {
    let source = FileSource::new("made", Box::new(std::io::Cursor::new(file)), 0).unwrap();
    let (mut ingest, counters) = ingest(Box::new(source), None, None);
    let mut opened = 0;
    while let Some(step) = ingest.next(None) {
        opened += step.opened.len();
    }
    (opened, counters.now())
}

#[test]
fn what_was_not_read_is_told_at_the_end() {
    const IEEE802_15_4: LinkType = LinkType(195);
    let request = &request()[0].bytes;
    let (opened, counts) = run_through(of_interfaces(&[
        (IEEE802_15_4, "wpan0", &[1, 2, 3]),
        (LinkType::ETHERNET, "eth0", request),
        (IEEE802_15_4, "", &[1, 2, 3]),
        // No IP, which is nothing that was not read; and an IP header that is cut off.
        (
            LinkType::ETHERNET,
            "eth1",
            &[&[0; 12][..], &[0x08, 0x06, 0, 1]].concat(),
        ),
        (LinkType::RAW, "tun0", &[0x45, 0, 0, 40]),
    ]));
    assert_eq!(opened, 1);
    assert_eq!(
        counts.warnings,
        [
            "1 packet of interface wpan0 is not read: tapedeck does not know link type 195",
            "1 packet of interface 2 is not read: tapedeck does not know link type 195",
            "1 packet is not read: headers that are cut off or against their standard"
        ]
    );
    let (_, counts) = run_through(of_interfaces(&[(LinkType::ETHERNET, "eth0", request)]));
    assert_eq!(counts.warnings, Vec::<String>::new());
}

#[test]
fn a_packet_of_two_interfaces_of_a_file_is_in_its_stream_once() {
    let request = &request()[0].bytes;
    let one = (LinkType::ETHERNET, "eth0", &request[..]);
    let (opened, counts) = run_through(of_interfaces(&[one, (LinkType::ETHERNET, "br0", request)]));
    assert_eq!((opened, counts.packets, counts.duplicates), (1, 2, 1));
    let mut twice = of_interfaces(&[one]);
    write::packet(&mut twice, 0, NOON, request.len() as u32, request);
    let (opened, counts) = run_through(twice);
    assert_eq!((opened, counts.packets, counts.duplicates), (1, 2, 0));
}
