//! The capture filter made from a query lets pass every packet of a stream whose item matches.
//!
//! The filter is compiled and run by libpcap itself, on made packets in every wrapping that the
//! header reader takes off.

use std::net::{IpAddr, SocketAddr};

use etherparse::PacketBuilder;
use pcap::{Capture, Linktype};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use tapedeck::item::ENVELOPE;
use tapedeck::item::json::JsonNode;
use tapedeck::kfl::prefilter::{Link, bpf};
use tapedeck::kfl::{Dialect, Schema, Verdict, compile_as};
use tapedeck::time::Timestamp;

/// Raw IP as libpcap's compiler numbers it, unlike savefiles.
const DLT_RAW: Linktype = Linktype(12);

const ADDRESSES: &[&str] = &[
    "10.1.0.7",
    "10.1.2.3",
    "192.168.0.1",
    "fd00::1",
    "2001:db8::2",
];
const PORTS: &[u16] = &[0, 53, 80, 443, 8080, 9000, 65535];
const PROTOCOLS: &[(&str, &str)] = &[
    ("http", "tcp"),
    ("dns", "udp"),
    ("dns", "tcp"),
    ("redis", "tcp"),
    ("udp", "udp"),
];

/// One item of one stream, with both ends.
#[derive(Debug, Clone)]
struct Stream {
    src: SocketAddr,
    dst: SocketAddr,
    protocol: &'static str,
    transport: &'static str,
}

fn stream() -> impl Strategy<Value = Stream> {
    let addresses = prop::sample::select(vec![(0, 1), (1, 2), (2, 0), (3, 4), (4, 3)]);
    let port = || prop::sample::select(PORTS.to_vec());
    (
        addresses,
        port(),
        port(),
        prop::sample::select(PROTOCOLS.to_vec()),
    )
        .prop_map(|((src, dst), from, to, (protocol, transport))| {
            let at = |index: usize, port| SocketAddr::new(ADDRESSES[index].parse().unwrap(), port);
            Stream {
                src: at(src, from),
                dst: at(dst, to),
                protocol,
                transport,
            }
        })
}

impl Stream {
    fn item(&self) -> Json {
        let peer = |at: SocketAddr| json!({"ip": at.ip().to_string(), "port": at.port().to_string(), "name": "", "namespace": ""});
        json!({"protocol": {"name": self.protocol, "abbr": self.protocol.to_uppercase(), "version": "1.1"},
            "src": peer(self.src), "dst": peer(self.dst), "request": {}, "response": {"status": 200}})
    }

    /// Packets in both directions, in every wrapping, as whole frames.
    fn frames(&self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        for (from, to) in [(self.src, self.dst), (self.dst, self.src)] {
            let frame = self.frame(from, to);
            frames.extend(fragments(&frame));
            frames.push(extended(&frame));
            frames.push(tagged(&frame, &[0x8100]));
            frames.push(tagged(&frame, &[0x88a8, 0x8100]));
            frames.push(tagged(&frame, &[0x8100, 0x8100, 0x8100]));
            frames.push(pppoe(&frame));
            frames.push(frame);
        }
        frames
    }

    fn frame(&self, from: SocketAddr, to: SocketAddr) -> Vec<u8> {
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]);
        let builder = match (from.ip(), to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => builder.ipv4(from.octets(), to.octets(), 64),
            (IpAddr::V6(from), IpAddr::V6(to)) => builder.ipv6(from.octets(), to.octets(), 64),
            _ => unreachable!("both ends are of one family"),
        };
        let mut out = Vec::new();
        let payload = [7; 40];
        if self.transport == "tcp" {
            builder
                .tcp(from.port(), to.port(), 1, 100)
                .write(&mut out, &payload)
                .unwrap();
        } else {
            builder
                .udp(from.port(), to.port())
                .write(&mut out, &payload)
                .unwrap();
        }
        out
    }
}

fn is_v4(frame: &[u8]) -> bool {
    frame[12..14] == [0x08, 0x00]
}

/// The first and a later fragment of a packet.
fn fragments(frame: &[u8]) -> Vec<Vec<u8>> {
    if is_v4(frame) {
        let mut first = frame.to_vec();
        first[20] = 0x20;
        let mut later = frame[..34].to_vec();
        later[20..22].copy_from_slice(&[0x00, 0x03]);
        later.extend([9; 24]);
        return vec![first, later];
    }
    let piece = |offset: [u8; 2], rest: &[u8]| {
        let mut piece = frame[..54].to_vec();
        piece[20] = 44;
        piece.extend([frame[20], 0, offset[0], offset[1], 0, 0, 0, 1]);
        piece.extend(rest);
        let length = u16::try_from(piece.len() - 54).unwrap();
        piece[18..20].copy_from_slice(&length.to_be_bytes());
        piece
    };
    vec![piece([0, 1], &frame[54..]), piece([0, 24], &[9; 24])]
}

/// With a destination options header in IPv6, which libpcap does not pass over.
fn extended(frame: &[u8]) -> Vec<u8> {
    if is_v4(frame) {
        return frame.to_vec();
    }
    let mut longer = frame[..54].to_vec();
    longer[20] = 60;
    longer.extend([frame[20], 0, 1, 4, 0, 0, 0, 0]);
    longer.extend(&frame[54..]);
    let length = u16::try_from(longer.len() - 54).unwrap();
    longer[18..20].copy_from_slice(&length.to_be_bytes());
    longer
}

fn tagged(frame: &[u8], tags: &[u16]) -> Vec<u8> {
    let mut out = frame[..12].to_vec();
    for tag in tags {
        out.extend(tag.to_be_bytes());
        out.extend([0, 5]);
    }
    out.extend(&frame[12..]);
    out
}

fn pppoe(frame: &[u8]) -> Vec<u8> {
    let mut out = frame[..12].to_vec();
    let length = u16::try_from(frame.len() - 14 + 2).unwrap().to_be_bytes();
    out.extend([0x88, 0x64, 0x11, 0, 0, 1, length[0], length[1]]);
    out.extend(if is_v4(frame) {
        [0x00, 0x21]
    } else {
        [0x00, 0x57]
    });
    out.extend(&frame[14..]);
    out
}

fn text(dialect: Dialect) -> impl Strategy<Value = String> {
    let leaves: Vec<&'static str> = match dialect {
        Dialect::V1 => vec![
            "http",
            "dns",
            "redis",
            "udp",
            "tcp",
            "src.port == 80",
            "dst.port == \"443\"",
            "dst.port > 443",
            "8080 >= src.port",
            "src.port < 53",
            "src.ip == \"10.1.0.7\"",
            "dst.ip == \"fd00::1\"",
            "src.ip.startsWith(\"10.1.\")",
            "dst.ip.startsWith(\"192.\")",
            "response.status == 200",
            "src.port != 80",
            "limit(2)",
            "redact(\"src.ip\")",
            "nope == 1",
            "src.name == \"\"",
        ],
        Dialect::V2 => vec![
            "http",
            "dns",
            "redis",
            "udp",
            "tcp",
            "icmp",
            "src.port == 80",
            "443 == dst.port",
            "dst.port > 443",
            "dst.port >= 80 && dst.port <= 8080",
            "src.port < 53",
            "dst.port in [53, 9000]",
            "src.ip == \"10.1.0.7\"",
            "dst.ip == \"fd00::1\"",
            "src.ip.startsWith(\"10.1.\")",
            "dst.ip.startsWith(\"192.\")",
            "status_code == 200",
            "src.port != 80",
            "dst.ip in [\"10.1.2.3\", \"2001:db8::2\"]",
            "src.name == \"\"",
            "true",
        ],
    };
    let (and, or) = match dialect {
        Dialect::V1 => ("and", "or"),
        Dialect::V2 => ("&&", "||"),
    };
    prop::sample::select(leaves)
        .prop_map(str::to_owned)
        .prop_recursive(3, 12, 2, move |inner| {
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(move |(l, r)| format!("({l}) {and} {r}")),
                (inner.clone(), inner.clone()).prop_map(move |(l, r)| format!("{l} {or} ({r})")),
                inner.prop_map(|e| format!("!({e})")),
            ]
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_packet_of_a_matching_stream_is_left_out(
        v1 in text(Dialect::V1), v2 in text(Dialect::V2), streams in prop::collection::vec(stream(), 1..8),
    ) {
        let schema = Schema::new(ENVELOPE, []);
        for (text, dialect) in [(&v1, Dialect::V1), (&v2, Dialect::V2)] {
            let query = compile_as(text, dialect, &schema).unwrap();
            let Some(condition) = query.packet_condition() else { continue };
            let filters = [(Linktype::ETHERNET, Link::Ethernet, 0), (DLT_RAW, Link::Other, 14)].map(|(linktype, link, skip)| {
                let written = bpf(&condition, link);
                let program = Capture::dead(linktype).unwrap().compile(&written, true);
                let program = program.unwrap_or_else(|error| panic!("{written}: {error}"));
                (program, written, skip)
            });
            for stream in &streams {
                if query.matches(JsonNode(&stream.item()), Timestamp::default()) != Verdict::Match {
                    continue;
                }
                for frame in stream.frames() {
                    for (program, written, skip) in &filters {
                        let is_plain = matches!(frame[12..14], [0x08, 0x00] | [0x86, 0xdd]);
                        if *skip > 0 && !is_plain {
                            continue;
                        }
                        prop_assert!(program.filter(&frame[*skip..]), "{} as {} leaves out {:?} of {:?}", text, written, frame, stream);
                    }
                }
            }
        }
    }
}

#[test]
fn what_cannot_belong_is_left_out() {
    let query = compile_as(
        "http && dst.port == 80",
        Dialect::V2,
        &Schema::new(ENVELOPE, []),
    )
    .unwrap();
    let written = bpf(&query.packet_condition().unwrap(), Link::Ethernet);
    let program = Capture::dead(Linktype::ETHERNET)
        .unwrap()
        .compile(&written, true)
        .unwrap();
    let stream = |transport, port| Stream {
        src: "10.1.0.7:40000".parse().unwrap(),
        dst: SocketAddr::new("10.1.2.3".parse().unwrap(), port),
        protocol: "http",
        transport,
    };
    // What a tunnel carries is not seen by the filter.
    let talk = tapedeck::synth::tcp(([10, 1, 0, 7], 40_000), ([10, 1, 2, 3], 80)).fin();
    let overlay = tapedeck::synth::vxlan(&talk, 7, [192, 168, 0, 1], [192, 168, 0, 2]);
    assert!(overlay.iter().all(|frame| program.filter(&frame.bytes)));
    for (transport, port, passes) in [("tcp", 80, true), ("tcp", 443, false), ("udp", 80, false)] {
        let stream = stream(transport, port);
        let frame = stream.frame(stream.dst, stream.src);
        assert_eq!(program.filter(&frame), passes, "{transport} {port}");
        assert_eq!(
            program.filter(&tagged(&frame, &[0x8100])),
            passes,
            "{transport} {port} tagged"
        );
    }
}
