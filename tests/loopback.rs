//! Capture on the loopback interface: everything once, nothing of our own, nothing lost at the end.
//!
//! The traffic is made by programs that are no children of the test, since children count as ours.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use tapedeck::capture::live::narrowing::{Narrow, Narrowing};
use tapedeck::capture::live::{self, LiveOptions};
use tapedeck::capture::own::OwnSockets;
use tapedeck::capture::{CaptureError, Filled, RawBatch, Source, SourceCounts};
use tapedeck::packet::headers::{Decoder, Found};
use tapedeck::packet::{Decoded, Endpoint, Layers, Transport};

/// Opens a capture, or says why the test is skipped.
fn open(options: &LiveOptions) -> Option<Box<dyn Source>> {
    match live::open(options) {
        Ok(source) => Some(source),
        Err(CaptureError::NoRight { .. }) => {
            println!("skipped: capturing needs CAP_NET_RAW");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn on(interface: &str, bpf: String, capture_self: bool) -> LiveOptions {
    LiveOptions {
        interface: interface.to_owned(),
        bpf,
        capture_self,
        ..LiveOptions::default()
    }
}

/// Finishes the capture and gives what it saw: headers with payload.
fn drain(source: &mut dyn Source) -> (Vec<(Layers, Vec<u8>)>, SourceCounts) {
    source.finish();
    let mut seen = Vec::new();
    let started = Instant::now();
    loop {
        let mut batch = RawBatch::default();
        let filled = source.fill(&mut batch).unwrap();
        for record in &batch.records {
            let start = record.start as usize;
            let bytes = &batch.bytes[start..start + record.caplen as usize];
            let decoded = Decoder::new().decode(0, record, bytes, &mut Found::default());
            if let Decoded::Flow(layers) = decoded {
                let from = layers.payload_start as usize;
                let payload = &bytes[from..from + layers.payload_len as usize];
                seen.push((layers, payload.to_vec()));
            }
        }
        if filled == Filled::End {
            return (seen, source.counts());
        }
        assert!(started.elapsed() < Duration::from_secs(20), "never drained");
    }
}

fn free_port() -> u16 {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.local_addr().unwrap().port()
}

/// Runs a Python program that is nobody's child, and waits for its end.
fn run_apart(program: &str) {
    let folder = tempfile::tempdir().unwrap();
    let done = folder.path().join("done");
    let started = Command::new("sh")
        .arg("-c")
        .arg("(python3 -c \"$1\"; echo done > \"$2\") > /dev/null 2>&1 &")
        .args(["sh", program])
        .arg(&done)
        .status()
        .unwrap();
    assert!(started.success());
    let begun = Instant::now();
    while !done.exists() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "python3 never ended"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

const COUNT: usize = 2000;

fn burst(port: u16) -> String {
    format!(
        "import socket\n\
         s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
         r = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
         r.bind(('127.0.0.1', {port}))\n\
         for n in range({COUNT}): s.sendto(n.to_bytes(4, 'big'), ('127.0.0.1', {port}))\n"
    )
}

#[test]
fn a_burst_is_seen_exactly_once_and_drained_at_the_end() {
    for interface in ["lo", "any"] {
        let port = free_port();
        let Some(mut source) = open(&on(interface, format!("udp port {port}"), false)) else {
            return;
        };
        // Nothing is read while the burst runs: all of it must come out of the drain.
        run_apart(&burst(port));
        let (seen, counts) = drain(&mut *source);
        let numbers: Vec<usize> = seen
            .iter()
            .map(|(_, payload)| u32::from_be_bytes(payload[..4].try_into().unwrap()) as usize)
            .collect();
        assert_eq!(
            numbers,
            (0..COUNT).collect::<Vec<_>>(),
            "{interface}: {counts:?}"
        );
        assert_eq!(counts.received, COUNT as u64);
        assert_eq!((counts.own, counts.kernel_dropped), (0, 0));
    }
}

#[test]
fn a_narrowing_filter_may_change_while_the_capture_runs() {
    let (wanted, other) = (free_port(), free_port());
    let only = |port: u16| Narrow {
        ethernet: format!("port {port}"),
        other: format!("port {port}"),
    };
    let narrowing = Narrowing::default();
    narrowing.set(only(wanted));
    let options = LiveOptions {
        narrowing: narrowing.clone(),
        ..on(
            "lo",
            format!("udp port {wanted} or udp port {other}"),
            false,
        )
    };
    let Some(mut source) = open(&options) else {
        return;
    };
    run_apart(&burst(wanted));
    run_apart(&burst(other));
    // What waits already is not lost to the next filter.
    narrowing.set(only(other));
    let mut first = 0;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        let mut batch = RawBatch::default();
        source.fill(&mut batch).unwrap();
        first += batch.records.len();
    }
    run_apart(&burst(other));
    run_apart(&burst(wanted));
    let (seen, _) = drain(&mut *source);
    assert_eq!((first, seen.len()), (COUNT, COUNT));
    assert!(
        seen.iter()
            .all(|(layers, _)| layers.tuple.dst.port == other)
    );
}

#[test]
fn a_foreign_tcp_conversation_is_seen_exactly_once() {
    let port = free_port();
    let Some(mut source) = open(&on("any", format!("tcp port {port}"), false)) else {
        return;
    };
    run_apart(&format!(
        "import socket\n\
         l = socket.create_server(('127.0.0.1', {port}))\n\
         for n in range(50):\n\
         \x20   c = socket.create_connection(('127.0.0.1', {port}))\n\
         \x20   a, _ = l.accept()\n\
         \x20   c.sendall(b'question %d' % n)\n\
         \x20   a.recv(100)\n\
         \x20   a.sendall(b'answer %d' % n)\n\
         \x20   c.recv(100)\n\
         \x20   a.close()\n\
         \x20   c.close()\n"
    ));
    let (seen, _) = drain(&mut *source);
    let mut texts: Vec<String> = seen
        .iter()
        .filter(|(layers, payload)| layers.tuple.transport == Transport::Tcp && !payload.is_empty())
        .map(|(_, payload)| String::from_utf8_lossy(payload).into_owned())
        .collect();
    texts.sort();
    let mut expected: Vec<String> = (0..50)
        .flat_map(|n| [format!("question {n}"), format!("answer {n}")])
        .collect();
    expected.sort();
    assert_eq!(texts, expected);
}

/// Conversations of many flows at a time, each message with its number.
fn many_flows(port: u16, flows: usize, messages: usize) -> String {
    format!(
        "import socket\n\
         l = socket.create_server(('127.0.0.1', {port}), backlog=500)\n\
         pairs = []\n\
         for n in range({flows}):\n\
         \x20   c = socket.create_connection(('127.0.0.1', {port}))\n\
         \x20   pairs.append((c, l.accept()[0]))\n\
         for m in range({messages}):\n\
         \x20   for c, a in pairs:\n\
         \x20       c.sendall(m.to_bytes(4, 'big'))\n\
         \x20       a.recv(100)\n\
         \x20       a.sendall((m + 1000).to_bytes(4, 'big'))\n\
         \x20       c.recv(100)\n"
    )
}

#[test]
fn several_threads_see_every_packet_once_and_each_flow_in_order() {
    const FLOWS: usize = 60;
    const MESSAGES: usize = 40;
    for interface in ["lo", "any"] {
        let port = free_port();
        let options = LiveOptions {
            threads: 3,
            ..on(interface, format!("tcp port {port}"), false)
        };
        let Some(mut source) = open(&options) else {
            return;
        };
        assert_eq!(source.warnings(), [""; 0]);
        run_apart(&many_flows(port, FLOWS, MESSAGES));
        let (seen, counts) = drain(&mut *source);
        assert_eq!((counts.kernel_dropped, counts.own), (0, 0));
        let mut flows: HashMap<u16, Vec<u32>> = HashMap::new();
        for (layers, payload) in seen.iter().filter(|(_, payload)| payload.len() == 4) {
            let (src, dst) = (layers.tuple.src.port, layers.tuple.dst.port);
            let client = if src == port { dst } else { src };
            let number = u32::from_be_bytes(payload[..4].try_into().unwrap());
            flows.entry(client).or_default().push(number);
        }
        let expected: Vec<u32> = (0..MESSAGES as u32).flat_map(|m| [m, m + 1000]).collect();
        assert_eq!(flows.len(), FLOWS, "{interface}: {counts:?}");
        assert!(flows.values().all(|seen| *seen == expected), "{interface}");
    }
}

/// A server that is nobody's child, answers each connection at once and closes it.
fn foreign_server(port: u16, connections: usize) -> String {
    format!(
        "import socket\n\
         l = socket.create_server(('127.0.0.1', {port}), backlog=100)\n\
         for n in range({connections}):\n\
         \x20   a, _ = l.accept()\n\
         \x20   a.recv(100)\n\
         \x20   a.sendall(b'answer')\n\
         \x20   a.close()\n"
    )
}

fn ask(port: u16) -> Option<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.write_all(b"question").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
    Some(())
}

#[test]
fn nothing_of_our_own_is_seen_however_short_the_connection() {
    const CONNECTIONS: usize = 200;
    let port = free_port();
    let own = OwnSockets::default();
    let options = LiveOptions {
        own: own.clone(),
        ..on("lo", format!("tcp port {port}"), false)
    };
    let Some(mut source) = open(&options) else {
        return;
    };
    let reader = std::thread::spawn(move || {
        let program = foreign_server(port, CONNECTIONS);
        run_apart(&program);
    });
    let remote = Endpoint {
        ip: Ipv4Addr::LOCALHOST.into(),
        port,
    };
    let mut asked = 0;
    let begun = Instant::now();
    while asked < CONNECTIONS {
        let _expected = own.expect(remote);
        match ask(port) {
            Some(()) => asked += 1,
            // The server is not up yet.
            None => std::thread::sleep(Duration::from_millis(5)),
        }
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
    reader.join().unwrap();
    let (seen, counts) = drain(&mut *source);
    let left: Vec<_> = seen.iter().map(|(layers, _)| layers.tuple).collect();
    assert!(left.is_empty(), "{left:?} {counts:?}");
    assert!(counts.own >= 9 * CONNECTIONS as u64, "{counts:?}");
}

#[test]
fn our_own_server_and_an_open_connection_are_left_out_without_a_word() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let filter = format!("tcp port {port}");
    let Some(mut source) = open(&on("lo", filter.clone(), false)) else {
        return;
    };
    let Some(mut all) = open(&on("lo", filter, true)) else {
        return;
    };
    // Somebody else talks to our listener.
    let client = std::thread::spawn(move || {
        run_apart(&format!(
            "import socket\n\
             c = socket.create_connection(('127.0.0.1', {port}))\n\
             c.sendall(b'question')\n\
             c.recv(100)\n"
        ));
    });
    let (mut stream, _) = listener.accept().unwrap();
    let mut question = [0; 8];
    stream.read_exact(&mut question).unwrap();
    stream.write_all(b"answer").unwrap();
    client.join().unwrap();
    let (seen, counts) = drain(&mut *source);
    assert!(seen.is_empty(), "{counts:?}");
    assert!(counts.own >= 6, "{counts:?}");
    let (seen, counts) = drain(&mut *all);
    assert!(seen.len() >= 6);
    assert_eq!(counts.own, 0);
}

#[test]
fn what_cannot_be_captured_is_said_with_what_to_do() {
    let refused = |options: &LiveOptions| live::open(options).err().map(|error| error.to_string());
    let Some(_) = open(&on("lo", String::new(), false)) else {
        return;
    };
    let error = refused(&on("none0", String::new(), false)).unwrap();
    assert!(
        error.starts_with("there is no interface none0; there are "),
        "{error}"
    );
    assert!(error.contains("lo"), "{error}");
    let error = refused(&on("lo", "tcp prot 80".to_owned(), false)).unwrap();
    assert!(
        error.starts_with("the capture filter `tcp prot 80` is not valid: "),
        "{error}"
    );
    assert!(
        live::interfaces()
            .unwrap()
            .iter()
            .any(|known| known.loopback)
    );
}
