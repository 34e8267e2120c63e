//! A worker, on steps of made traffic.

use super::*;
use crate::flow::{Limits, Table};
use crate::item::Origin;
use crate::packet::headers::{Decoder, Found as Headers};
use crate::packet::{Ended, StreamName};
use crate::synth::{self, Frame};

fn step(frames: &[Frame], ended: impl Fn(StreamName) -> Vec<Ended>) -> Step {
    let (bytes, records) = synth::records(frames);
    let (mut decoder, mut found) = (Decoder::new(), Headers::default());
    let mut table = Table::new(Limits::default());
    let mut batch = Batch::default();
    let mut opened = Vec::new();
    for (ordinal, record) in (0..).zip(&records) {
        let start = record.start as usize;
        let packet = &bytes[start..start + record.caplen as usize];
        let decoded = decoder.decode(ordinal, record, packet, &mut found);
        let Decoded::Flow(layers) = &decoded else {
            panic!("a frame without a flow");
        };
        let assigned = table.assign(ordinal, record.ts, layers);
        let stream = Some((assigned.info.name.stream, assigned.direction));
        if assigned.new {
            batch.ended.extend(ended(assigned.info.name));
            opened.push(assigned.info);
        }
        batch.packets.push(Packet {
            ordinal,
            record: *record,
            decoded,
            stream,
        });
    }
    batch.bytes = bytes.into();
    batch.tunnels = found.tunnels;
    Step {
        batch: Arc::new(batch),
        opened,
        origin: Arc::new(Origin::default()),
        names: None,
        record: Arc::from(""),
        progress: None,
        wanted: None,
        links: Default::default(),
    }
}

fn found() -> Found {
    Found {
        items: Vec::new(),
        lines: Lines::default(),
        states: Vec::new(),
    }
}

fn worker() -> Worker {
    let (protocols, _) = crate::dissect::enabled(&["http", "dns"]);
    Worker::new(0, 1, protocols, Arc::default())
}

#[test]
fn streams_that_open_in_step_are_spread_over_the_workers() {
    for step in [1, 2, 3, 4, 8, 10] {
        for of in [2, 3, 4] {
            let mut shares = vec![0; of];
            for stream in 0..3000u64 {
                let stream = StreamId(stream * step);
                let has = |index: &usize| {
                    Share {
                        index: *index as u64,
                        of: of as u64,
                    }
                    .has(stream)
                };
                let owners: Vec<usize> = (0..of).filter(has).collect();
                let [owner] = owners[..] else {
                    panic!("{owners:?}");
                };
                shares[owner] += 1;
            }
            let fair = 3000 / of;
            let near = fair * 9 / 10..=fair * 11 / 10;
            assert!(
                shares.iter().all(|share| near.contains(share)),
                "{step}: {shares:?}"
            );
        }
    }
}

fn ssh() -> Vec<Frame> {
    synth::tcp(([10, 0, 0, 1], 40_000), ([10, 0, 0, 2], 22))
        .to_server(b"SSH-2.0-OpenSSH_9.6\r\n")
        .to_client(b"SSH-2.0-OpenSSH_9.6\r\n")
        .end()
}

#[test]
fn an_item_knows_its_outer_flow_and_overlays_keep_apart() {
    let call = |path: &str| {
        synth::tcp(([10, 0, 0, 1], 40_000), ([10, 0, 0, 2], 80))
            .to_server(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .to_client("HTTP/1.1 204 No Content\r\n\r\n")
            .fin()
    };
    let hosts = |last| [192, 168, 0, last];
    let frames = synth::merge([
        synth::vxlan(&call("/one"), 107, hosts(1), hosts(2)),
        synth::vxlan(&call("/two"), 108, hosts(3), hosts(4)),
    ]);
    let mut found = found();
    worker().step(&step(&frames, |_| Vec::new()), &mut found);
    let told: Vec<String> = found
        .items
        .iter()
        .map(|item| {
            let text = |path| crate::item::shown(item.node(), path).into_owned();
            [
                "request.path",
                "tunnel.type",
                "tunnel.id",
                "tunnel.src.ip",
                "tunnel.dst.ip",
            ]
            .map(text)
            .join(" ")
        })
        .collect();
    assert_eq!(
        told,
        [
            "/one vxlan 107 192.168.0.1 192.168.0.2",
            "/two vxlan 108 192.168.0.3 192.168.0.4",
        ]
    );
}

#[test]
fn nothing_is_kept_of_a_stream_that_is_left_alone() {
    let mut worker = worker();
    worker.step(&step(&ssh(), |_| Vec::new()), &mut found());
    assert_eq!(worker.streams.len(), 1);
    assert!(
        worker
            .streams
            .values()
            .all(|place| matches!(place, Place::Alone))
    );
    assert_eq!(worker.counters.now().streams_open, 1);
}

#[test]
fn a_stream_that_is_left_alone_ends_like_others() {
    let mut worker = worker();
    let end = |name: StreamName| {
        vec![Ended {
            stream: name.stream,
            ordinal: 100,
            reason: crate::packet::EndReason::Idle,
        }]
    };
    worker.step(&step(&ssh(), end), &mut found());
    assert!(worker.streams.is_empty());
}

/// The first connection that the tests of TLS have, and its key log.
fn tls() -> (Vec<Frame>, String) {
    let text = include_str!("../../dissect/tls/tests/connections.txt");
    let mut lines = text
        .lines()
        .skip_while(|line| !line.starts_with("connection"));
    let mut secrets = String::new();
    let mut stream = synth::tcp(([10, 0, 0, 1], 40_000), ([10, 0, 0, 2], 443));
    lines.next();
    for line in lines.take_while(|line| !line.starts_with("connection")) {
        let (word, hex) = line.split_once(' ').unwrap();
        let bytes: Vec<u8> = (0..hex.len() / 2)
            .filter_map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).ok())
            .collect();
        match word {
            ">" => stream = stream.to_server(&bytes),
            "<" => stream = stream.to_client(&bytes),
            _ => secrets += &format!("{line}\n"),
        }
    }
    (stream.fin(), secrets)
}

#[test]
fn what_was_decrypted_is_marked_on_its_item() {
    let (frames, log) = tls();
    for (log, expected) in [(log.as_str(), &[false, true][..]), ("", &[false])] {
        let secrets = Arc::new(crate::dissect::Secrets::default());
        secrets.insert(log.as_bytes());
        let (protocols, _) = crate::dissect::enabled(&["tlsx", "http"]);
        let protocols = protocols.with_secrets(secrets);
        let mut worker = Worker::new(0, 1, protocols, Arc::default());
        let mut found = found();
        worker.step(&step(&frames, |_| Vec::new()), &mut found);
        let marks: Vec<bool> = found.items.iter().map(|item| item.tls).collect();
        assert_eq!(marks, expected);
    }
}

#[test]
fn a_stream_that_nobody_reads_is_counted_to_its_end() {
    let (protocols, _) = crate::dissect::enabled(&["http", "tcp-flow"]);
    let mut worker = Worker::new(0, 1, protocols, Arc::default());
    let mut found = found();
    worker.step(&step(&ssh(), |_| Vec::new()), &mut found);
    assert!(
        worker
            .streams
            .values()
            .all(|place| matches!(place, Place::Counted(_)))
    );
    let mut last = step(&[], |_| Vec::new());
    let stream = worker.streams.keys().next().copied().unwrap_or_default();
    last.batch = Arc::new(Batch {
        ended: vec![Ended {
            stream,
            ordinal: 100,
            reason: crate::packet::EndReason::Idle,
        }],
        ..Batch::default()
    });
    worker.step(&last, &mut found);
    assert!(worker.streams.is_empty());
    assert_eq!(found.items.len(), 1);
    assert_eq!(found.items[0].protocol.name, "tcp");
    assert_eq!(found.items[0].response_size, 21);
}

#[test]
fn a_stream_that_is_read_is_kept() {
    let mut worker = worker();
    let frames = synth::tcp(([10, 0, 0, 1], 40_000), ([10, 0, 0, 2], 80))
        .to_server(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .to_client(b"HTTP/1.1 204 No Content\r\n\r\n")
        .end();
    let mut found = found();
    worker.step(&step(&frames, |_| Vec::new()), &mut found);
    assert_eq!(found.items.len(), 1);
    assert!(
        worker
            .streams
            .values()
            .all(|place| matches!(place, Place::Read(_)))
    );
}

/// A step in two, the second of which begins with the packet `at`.
fn in_two(whole: Step, at: usize) -> [Step; 2] {
    let batch = Arc::into_inner(whole.batch).unwrap();
    let mut early = batch.packets;
    let late = early.split_off(at);
    [(early, whole.opened), (late, Vec::new())].map(|(packets, opened)| Step {
        batch: Arc::new(Batch {
            bytes: batch.bytes.clone(),
            packets,
            ..Batch::default()
        }),
        opened,
        ..step(&[], |_| Vec::new())
    })
}

#[test]
fn a_stream_that_is_given_up_is_read_anew_unless_nothing_is_read() {
    let frames = synth::tcp(([10, 0, 0, 1], 40_000), ([10, 0, 0, 2], 80))
        .without_acks()
        .to_server(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nhalf")
        .to_server(b"more")
        .to_client(b"HTTP/1.1 204 No Content\r\n\r\n")
        .to_server(b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n")
        .to_client(b"HTTP/1.1 204 No Content\r\n\r\n")
        .end();
    let is_rest = |frame: &Frame| frame.bytes.ends_with(b"more");
    let at = frames.iter().position(is_rest).unwrap();
    for is_short in [false, true] {
        let [early, late] = in_two(step(&frames, |_| Vec::new()), at);
        let mut worker = worker();
        worker.step(&early, &mut found());
        worker.counters.relief.ask();
        worker.counters.relief.set_short(is_short);
        let mut found = found();
        worker.step(&late, &mut found);
        let paths: Vec<String> = found
            .items
            .iter()
            .map(|item| crate::item::shown(item.node(), "request.path").into_owned())
            .collect();
        let counts = worker.counters.now();
        assert_eq!((counts.given_up, counts.streams_open), (1, 1));
        assert_eq!(paths.contains(&"/b".to_owned()), !is_short, "{paths:?}");
        assert!(!paths.contains(&"/a".to_owned()), "{paths:?}");
        let unread = if is_short { frames.len() - at } else { 0 };
        assert_eq!(counts.memory_short, unread as u64);
    }
}

#[test]
fn those_that_were_silent_longest_are_given_up_first() {
    let open = |port: u16| {
        synth::tcp(([10, 0, 0, 1], port), ([10, 0, 0, 2], 80))
            .without_acks()
            .to_server(b"GET / HTTP/1.1\r\nHost: a\r\n")
            .end()
    };
    let (first, second) = (open(40_000), open(40_001));
    let frames = [first.clone(), second].concat();
    let [early, late] = in_two(step(&frames, |_| Vec::new()), first.len());
    let mut worker = worker();
    let silent = early.opened[0].name.stream;
    worker.step(&early, &mut found());
    worker.step(&late, &mut found());
    worker.counters.relief.ask();
    worker.step(&step(&[], |_| Vec::new()), &mut found());
    for (stream, place) in &worker.streams {
        assert_eq!(matches!(place, Place::GivenUp(_)), *stream == silent);
    }
    assert_eq!(worker.counters.now().given_up, 1);
}
