//! A feed that is faster than a list can be read: the page shows a sample and says so.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tapedeck::packet::LinkType;
use tapedeck::packet::savefile::pcap::{Precision, write_header, write_packet};
use tapedeck::time::{Clock as _, SystemClock};

use crate::dashboard::{browser_tools, drive, printed_url, text};

/// Exchanges a second: more than the hundred of one message, ten messages a second.
const RATE: u32 = 4000;

/// A DNS question (RFC 1035 section 4.1), or the answer to it without a record, in UDP, IPv4 and
/// Ethernet.
fn packet(number: u32, is_answer: bool) -> Vec<u8> {
    let mut dns = u16::to_be_bytes(number as u16).to_vec();
    dns.extend([if is_answer { 0x81 } else { 1 }, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in [format!("q{}", number % 1000).as_str(), "test"] {
        dns.push(label.len() as u8);
        dns.extend(label.as_bytes());
    }
    dns.extend([0, 0, 1, 0, 1]);
    let client = ([10, 0, 0, 1], 40_000 + (number % 64) as u16);
    let server = ([10, 0, 0, 2], 53);
    let (src, dst) = if is_answer {
        (server, client)
    } else {
        (client, server)
    };
    let udp_len = 8 + dns.len() as u16;
    let mut bytes = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    bytes.extend([0x45, 0]);
    bytes.extend((20 + udp_len).to_be_bytes());
    bytes.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    bytes.extend(src.0);
    bytes.extend(dst.0);
    for word in [src.1, dst.1, udp_len, 0] {
        bytes.extend(word.to_be_bytes());
    }
    bytes.extend(dns);
    bytes
}

/// A socket of `/wsFull` (RFC 6455), as older clients open it.
pub struct Full(TcpStream);

impl Full {
    pub fn open(address: SocketAddr, token: &str) -> Full {
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        write!(
            stream,
            "GET /api/wsFull HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "));
        Full(stream)
    }

    /// Sends a query as one text frame, masked with zeros.
    pub fn ask(&mut self, query: &str) {
        let length = u16::try_from(query.len()).unwrap();
        let mut frame = vec![0x81];
        match u8::try_from(length) {
            Ok(short) if short < 126 => frame.push(0x80 | short),
            _ => {
                frame.push(0x80 | 126);
                frame.extend(length.to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(query.as_bytes());
        self.0.write_all(&frame).unwrap();
    }

    /// The next message; all are one frame.
    fn next(&mut self) -> Json {
        self.message().unwrap()
    }

    /// The same; `None` when the server closes.
    pub fn message(&mut self) -> Option<Json> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).unwrap();
        if head[0] == 0x88 {
            return None;
        }
        assert_eq!(head[0], 0x81);
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.0.read_exact(&mut length).unwrap();
                u16::from_be_bytes(length).into()
            }
            127 => {
                let mut length = [0; 8];
                self.0.read_exact(&mut length).unwrap();
                usize::try_from(u64::from_be_bytes(length)).unwrap()
            }
            short => usize::from(short),
        };
        let mut text = vec![0; length];
        self.0.read_exact(&mut text).unwrap();
        Some(serde_json::from_slice(&text).unwrap())
    }
}

#[test]
fn a_feed_that_is_too_fast_is_sampled_and_said_so() {
    if browser_tools().is_none() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_tapedeck"))
        .args([
            "tap",
            "--headless",
            "--proxy-front-port",
            "0",
            "--pcap",
            "-",
        ])
        .args(["--set", &format!("tap.dataDir={}", home.path().display())])
        .env("HOME", home.path())
        .env_remove("XDG_CACHE_HOME")
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut feed = child.stdin.take().unwrap();
    let ended = Arc::new(AtomicBool::new(false));
    let stop = ended.clone();
    let feeding = thread::spawn(move || {
        let mut out = Vec::new();
        write_header(&mut out, LinkType::ETHERNET, 262_144, Precision::Micros);
        let (began, mut sent) = (Instant::now(), 0);
        while !stop.load(Ordering::Relaxed) {
            let due = (began.elapsed().as_secs_f64() * f64::from(RATE)) as u32;
            for number in sent..due {
                for is_answer in [false, true] {
                    let bytes = packet(number, is_answer);
                    let now = SystemClock.now();
                    write_packet(&mut out, Precision::Micros, now, bytes.len() as u32, &bytes);
                }
            }
            sent = due;
            // The program may be gone when the test fails.
            if feed.write_all(&out).is_err() {
                break;
            }
            out.clear();
            thread::sleep(Duration::from_millis(20));
        }
        sent
    });
    let (address, token, _) = printed_url(&mut child);
    let mut full = Full::open(address, &token);
    full.ask("dns and (");
    let told = full.next();
    assert!(
        told["error"].as_str().unwrap().contains("expected"),
        "{told}"
    );
    full.ask("request.questions[0].name == \"q7.test\"");
    let item = full.next();
    assert_eq!(item["protocol"]["abbr"], "DNS", "{item}");
    assert_eq!(item["request"]["questions"][0]["name"], "q7.test");
    drop(full);
    let seen = drive("feed.mjs", &[&format!("http://{address}/?token={token}")]);
    ended.store(true, Ordering::Relaxed);
    let sent = feeding.join().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let seen = seen.unwrap();
    assert_eq!(seen["errors"], json!([]), "{seen:#}");
    assert!(text(&seen, "sampled").contains("All are counted and kept"));
    // Fewer rows than came are held, and no more than a list of a sample has.
    let held = seen["sampleHeld"].as_u64().unwrap();
    assert!(held < 1200, "{seen:#}");
    assert!(seen["last"].as_u64().unwrap() > held, "{seen:#}");
    assert_eq!(
        (&seen["moved"], &seen["wholeGaps"]),
        (&json!(false), &json!(0)),
        "{seen:#}"
    );
    assert_eq!(seen["fewTold"], false);
    assert_eq!(seen["ended"], json!(["ended", "ended"]), "{seen:#}");
    assert!(text(&seen, "endedTold").contains("limit(3)"), "{seen:#}");
    // The head of the list is a row too.
    assert_eq!(seen["endedHeld"], 4, "{seen:#}");
    let counted = seen["counted"].as_u64().unwrap();
    assert!(
        counted > 10_000 && counted <= u64::from(sent),
        "{counted} of {sent}"
    );
}
