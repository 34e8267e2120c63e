//! Tests of the flow table.

use std::net::Ipv4Addr;
use std::path::Path;

use super::clock::STEP_BACK_PACKETS;
use super::*;
use crate::flow::Opening;
use crate::packet::headers::{Decoder, Found};
use crate::packet::savefile::{Entry, Records};
use crate::packet::{Decoded, Endpoint, Position, Record, WindowScale};

const SYN: u8 = TcpFlags::SYN;
const ACK: u8 = TcpFlags::ACK;
const FIN: u8 = TcpFlags::FIN;
const RST: u8 = TcpFlags::RST;

/// A table under test; packets go between 10.0.0.1:40000 (client) and 10.0.0.2:80.
struct Bench {
    table: Table,
    ordinal: u64,
    now: Timestamp,
    /// Virtual network of the packets that follow.
    vni: Option<u32>,
}

impl Bench {
    fn new() -> Bench {
        Bench::with(Limits::default())
    }

    fn with(limits: Limits) -> Bench {
        Bench {
            table: Table::new(limits),
            ordinal: 0,
            now: Timestamp::from_secs(1_700_000_000, 0),
            vni: None,
        }
    }

    fn wait(&mut self, seconds: u64) -> &mut Bench {
        self.now = self.now + Duration::from_secs(seconds);
        self
    }

    fn packet(&mut self, tuple: FiveTuple, tcp: Option<TcpHeader>, payload: u32) -> Assigned {
        let layers = Layers {
            tuple,
            payload_start: 54,
            payload_len: payload,
            payload_wire_len: payload,
            tcp,
            identification: 0,
            udp_checksum: 0,
            vlan: None,
            vni: self.vni,
            tunnel: None,
            datagram: None,
        };
        let assigned = self.table.assign(self.ordinal, self.now, &layers);
        self.ordinal += 1;
        assigned
    }

    fn tcp(&mut self, from_client: bool, flags: u8, seq: u32, ack: u32, payload: u32) -> Assigned {
        let tuple = tuple(40000, 80, Transport::Tcp);
        let tuple = if from_client { tuple } else { tuple.reversed() };
        let header = TcpHeader {
            seq,
            ack,
            flags: TcpFlags(flags),
            window: 1,
            scale: WindowScale::UNKNOWN,
        };
        self.packet(tuple, Some(header), payload)
    }

    fn handshake(&mut self, isn: u32) -> StreamId {
        let first = self.tcp(true, SYN, isn, 0, 0);
        self.tcp(false, SYN | ACK, 900, isn.wrapping_add(1), 0);
        self.tcp(true, ACK, isn.wrapping_add(1), 901, 0);
        first.info.name.stream
    }

    fn ended(&mut self) -> Vec<(u64, EndReason)> {
        let mut out = Vec::new();
        self.table.sweep(self.now, &mut out);
        out.iter()
            .map(|ended| (ended.stream.0, ended.reason))
            .collect()
    }
}

fn tuple(src: u16, dst: u16, transport: Transport) -> FiveTuple {
    let endpoint = |last, port| Endpoint {
        ip: Ipv4Addr::new(10, 0, 0, last).into(),
        port,
    };
    FiveTuple {
        src: endpoint(1, src),
        dst: endpoint(2, dst),
        transport,
    }
}

#[test]
fn both_directions_are_one_stream_named_after_its_first_packet() {
    let mut bench = Bench::new();
    bench.packet(tuple(1, 2, Transport::Udp), None, 9);
    let syn = bench.tcp(true, SYN, 7, 0, 0);
    assert!(syn.new);
    assert_eq!(syn.direction, Direction::ToServer);
    assert_eq!(syn.info.name.to_string(), "000000000001.pcap");
    assert_eq!(syn.info.opening, Opening::Syn);
    let answer = bench.tcp(false, SYN | ACK, 1, 8, 0);
    assert!(!answer.new);
    assert_eq!(answer.direction, Direction::ToClient);
    assert_eq!(answer.info, syn.info);
    assert_eq!(bench.table.len(), 2);
}

#[test]
fn without_a_syn_the_opening_is_guessed() {
    let answer = Bench::new().tcp(false, SYN | ACK, 1, 1, 0);
    assert_eq!(
        (answer.info.opening, answer.direction),
        (Opening::SynAck, Direction::ToClient)
    );
    let data = Bench::new().tcp(false, ACK, 1, 1, 10);
    assert_eq!(
        (data.info.opening, data.info.server.port),
        (Opening::Port, 80)
    );
    let mut bench = Bench::new();
    let dns = bench.packet(tuple(53, 5353, Transport::Udp), None, 10);
    assert_eq!(
        (dns.info.opening, dns.info.server.port),
        (Opening::Port, 53)
    );
    let game = bench.packet(tuple(7000, 8000, Transport::Udp), None, 10);
    assert_eq!(
        (game.info.opening, game.info.server.port),
        (Opening::FirstPacket, 8000)
    );
}

#[test]
fn a_closed_stream_lingers_for_late_packets() {
    let mut bench = Bench::new();
    let stream = bench.handshake(7);
    bench.tcp(true, FIN | ACK, 8, 901, 0);
    bench.tcp(false, FIN | ACK, 901, 9, 0);
    assert!(!bench.wait(3).tcp(true, ACK, 9, 902, 0).new);
    assert_eq!(bench.ended(), []);
    assert_eq!(bench.wait(13).ended(), [(stream.0, EndReason::Fin)]);
    assert!(bench.table.is_empty());
}

#[test]
fn a_new_syn_after_the_close_opens_a_new_stream() {
    let mut bench = Bench::new();
    let first = bench.handshake(7);
    bench.tcp(true, FIN | ACK, 8, 901, 0);
    bench.tcp(false, FIN | ACK, 901, 9, 0);
    let second = bench.tcp(true, SYN, 70_000, 0, 0);
    assert!(second.new);
    assert_eq!(second.info.name.stream, StreamId(5));
    assert_eq!(bench.ended(), [(first.0, EndReason::Fin)]);
}

#[test]
fn a_syn_sent_again_is_the_same_stream_also_after_a_reset() {
    let mut bench = Bench::new();
    bench.tcp(true, SYN, 7, 0, 0);
    assert!(!bench.wait(1).tcp(true, SYN, 7, 0, 0).new);
    assert!(!bench.tcp(false, RST | ACK, 0, 8, 0).new);
    assert!(!bench.wait(2).tcp(true, SYN, 7, 0, 0).new);
    assert!(bench.tcp(true, SYN, 8000, 0, 0).new);
    assert_eq!(bench.ended(), [(0, EndReason::Rst)]);
}

#[test]
fn a_syn_with_another_number_after_silence_opens_a_new_stream() {
    let mut bench = Bench::new();
    let first = bench.handshake(7);
    bench.tcp(true, ACK, 8, 901, 100);
    assert!(!bench.wait(1).tcp(true, SYN, 5_000_000, 0, 0).new);
    assert!(bench.wait(20).tcp(true, SYN, 9_000_000, 0, 0).new);
    assert_eq!(bench.ended(), [(first.0, EndReason::Reused)]);
}

#[test]
fn a_stray_syn_splits_a_busy_stream_only_when_it_is_answered() {
    let mut bench = Bench::new();
    let first = bench.handshake(7);
    assert!(!bench.tcp(true, SYN, 5_000_000, 0, 0).new);
    assert!(!bench.tcp(true, ACK, 8, 901, 100).new);
    let answer = bench.tcp(false, SYN | ACK, 44_444, 5_000_001, 0);
    assert!(answer.new);
    assert_eq!(answer.direction, Direction::ToClient);
    assert_eq!(bench.ended(), [(first.0, EndReason::Reused)]);
}

#[test]
fn silence_ends_streams_each_kind_in_its_time() {
    let mut bench = Bench::new();
    bench.handshake(7);
    bench.packet(tuple(5000, 53, Transport::Udp), None, 30);
    bench.packet(tuple(0, 0, Transport::Other(1)), None, 30);
    let lone = FiveTuple {
        src: tuple(1, 1, Transport::Tcp).dst,
        ..tuple(40001, 80, Transport::Tcp)
    };
    let header = TcpHeader {
        seq: 1,
        ack: 0,
        flags: TcpFlags(SYN),
        window: 1,
        scale: WindowScale::UNKNOWN,
    };
    bench.packet(lone, Some(header), 0);
    assert_eq!(bench.wait(59).ended(), []);
    assert_eq!(
        bench.wait(3).ended(),
        [(3, EndReason::Idle), (4, EndReason::Idle)]
    );
    assert_eq!(bench.wait(12).ended(), [(5, EndReason::Idle)]);
    assert_eq!(bench.wait(1200).ended(), [(0, EndReason::Idle)]);
}

#[test]
fn silence_counts_without_a_sweep_too() {
    let mut bench = Bench::new();
    let udp = tuple(5000, 53, Transport::Udp);
    bench.packet(udp, None, 30);
    assert!(!bench.wait(50).packet(udp, None, 30).new);
    assert!(bench.wait(62).packet(udp, None, 30).new);
    assert_eq!(bench.ended(), [(0, EndReason::Idle)]);
}

#[test]
fn a_clock_that_goes_back_ends_nothing() {
    let mut bench = Bench::new();
    let udp = tuple(5000, 53, Transport::Udp);
    bench.packet(udp, None, 30);
    bench.now = bench.now - Duration::from_secs(86_400);
    assert!(!bench.packet(udp, None, 30).new);
    assert_eq!(bench.ended(), []);
    // Set back for good: time goes on from where it stood.
    for _ in 0..STEP_BACK_PACKETS {
        bench.packet(tuple(6000, 53, Transport::Udp), None, 30);
    }
    bench.wait(63);
    bench.packet(tuple(6001, 53, Transport::Udp), None, 30);
    assert_eq!(bench.ended().len(), 2);
}

#[test]
fn a_full_table_lets_the_one_idle_longest_go() {
    let mut bench = Bench::with(Limits {
        max_flows: 2,
        ..Limits::default()
    });
    let first = tuple(5000, 53, Transport::Udp);
    let second = tuple(5001, 53, Transport::Udp);
    bench.packet(first, None, 1);
    bench.wait(1).packet(second, None, 1);
    bench.wait(1).packet(first, None, 1);
    bench.packet(tuple(5002, 53, Transport::Udp), None, 1);
    assert_eq!(bench.ended(), [(1, EndReason::Evicted)]);
    assert_eq!(bench.table.len(), 2);
    assert_eq!(bench.table.counts().evicted, 1);
}

#[test]
fn the_end_of_the_source_ends_all() {
    let mut bench = Bench::new();
    bench.handshake(7);
    bench.packet(tuple(5000, 53, Transport::Udp), None, 30);
    let mut out = Vec::new();
    bench.table.end_all(&mut out);
    assert!(out.iter().all(|ended| ended.reason == EndReason::SourceEnd));
    assert_eq!(out.len(), 2);
    assert!(bench.table.is_empty());
    assert!(bench.tcp(true, ACK, 9, 9, 9).new);
}

/// TCP and UDP streams of a capture.
fn streams(path: &Path) -> (usize, usize) {
    let mut records = Records::new(std::fs::File::open(path).unwrap());
    let mut decoder = Decoder::new();
    let mut found = Found::default();
    let mut table = Table::new(Limits::default());
    let (mut tcp, mut udp) = (0, 0);
    let mut ordinal = 0;
    // A file that is cut off gives what stands before the cut.
    while let Ok(Some(entry)) = records.advance() {
        let Entry::Packet { head, bytes, .. } = entry else {
            continue;
        };
        let record = Record {
            ts: head.ts,
            start: 0,
            caplen: head.caplen,
            len: head.len,
            linktype: head.linktype,
            interface: head.interface,
            position: Position::default(),
        };
        if let Decoded::Flow(layers) = decoder.decode(ordinal, &record, bytes, &mut found)
            && table.assign(ordinal, head.ts, &layers).new
        {
            match layers.tuple.transport {
                Transport::Tcp => tcp += 1,
                Transport::Udp => udp += 1,
                Transport::Other(_) => {}
            }
        }
        ordinal += 1;
    }
    (tcp, udp)
}

/// Captures in which we see other streams than `truth.json`, with ours and the reason.
const DIFFERENCES: &[(&str, (usize, usize), &str)] = &[
    (
        "dns/arkime-dns-wiresharkrepo.pcap",
        (0, 9),
        "both are: after a minute of silence a conversation is a new one for us",
    ),
    (
        "dns/zeek-long-connection.pcap",
        (0, 2),
        "both are: after a minute of silence a conversation is a new one for us",
    ),
    (
        "k8s/bridge-cni0.pcap",
        (50, 0),
        "we are: the answers of three calls (packet 524 is the first) go to the address before translation",
    ),
    (
        "k8s/node-any-sll2.pcap",
        (93, 0),
        "we are: of eight calls one sight has no SYN (packet 30 is the first), and is part of the other",
    ),
    (
        "overlays/tcpdump-bigtcp-ipv4-vxlan-ipv4.pcap",
        (1, 0),
        "we are right: packet 1 is longer than the length field of UDP can say, so that it holds zero",
    ),
    (
        "fragments/zeek-fragmented-1.pcap",
        (0, 0),
        "we are right: the fragments do not make up a datagram without holes",
    ),
    (
        "icmp/zeek-icmp-destunreach-udp.pcap",
        (0, 0),
        "we are right: the datagram is quoted in an ICMP error",
    ),
    (
        "icmp/zeek-icmp-timeexceeded.pcap",
        (0, 0),
        "we are right: the datagram is quoted in an ICMP error",
    ),
    (
        "icmp/zeek-icmp6-toobig.pcap",
        (0, 0),
        "we are right: the datagram is quoted in an ICMP error",
    ),
    (
        "malformed/ndpi-badpackets.pcap",
        (0, 0),
        "both are: only first fragments were captured; tshark reads those alone, we wait for all",
    ),
    (
        "malformed/ndpi-ossfuzz_seed_fake_traces_1.pcapng",
        (6, 5),
        "both are: after a minute of silence a conversation is a new one for us",
    ),
];

#[test]
fn streams_of_the_sample_captures_are_told_apart() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/captures"));
    let Ok(truth) = std::fs::read_to_string(folder.join("truth.json")) else {
        println!("skipped: no sample captures in {}", folder.display());
        return;
    };
    let truth: serde_json::Value = serde_json::from_str(&truth).unwrap();
    let mut differ = Vec::new();
    for (name, facts) in truth["files"].as_object().unwrap() {
        let number = |kind: &str| facts[kind]["streams"].as_u64().unwrap_or(0) as usize;
        let mut expected = (number("tcp"), number("udp"));
        if name.starts_with("overlays/") {
            // tshark counts the conversations of the tunnels too.
            expected.1 = streams(&folder.join(name)).1;
        }
        if let Some((_, ours, _)) = DIFFERENCES.iter().find(|(path, ..)| path == name) {
            assert_ne!(expected, *ours, "{name} no longer differs");
            expected = *ours;
        }
        let ours = streams(&folder.join(name));
        if ours != expected {
            differ.push(format!("{name}: {ours:?}, expected {expected:?}"));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

#[test]
fn a_stream_behind_address_translation_names_the_one_before() {
    let server = |last, port| Endpoint {
        ip: Ipv4Addr::new(10, 96, 0, last).into(),
        port,
    };
    let syn = |isn: u32, window| TcpHeader {
        seq: isn,
        ack: 0,
        flags: TcpFlags(SYN),
        window,
        scale: WindowScale::UNKNOWN,
    };
    let to = |dst| FiveTuple {
        dst,
        ..tuple(40000, 80, Transport::Tcp)
    };
    let mut bench = Bench::new();
    let service = bench.packet(to(server(1, 80)), Some(syn(7, 64)), 0);
    let pod = bench.packet(to(server(2, 8080)), Some(syn(7, 64)), 0);
    assert_eq!(service.translated, None);
    assert_eq!(pod.translated, Some(service.info.name.stream));
    // Sent again, it is the same stream; with another number or window it is another call.
    let again = bench.packet(to(server(2, 8080)), Some(syn(7, 64)), 0);
    assert_eq!((again.new, again.translated), (false, None));
    for other in [syn(8, 64), syn(7, 65)] {
        let next = bench.packet(to(server(3, other.window)), Some(other), 0);
        assert_eq!((next.new, next.translated), (true, None));
    }
    // Another client with the same number by chance.
    let stranger = FiveTuple {
        src: server(9, 40000),
        ..to(server(2, 8080))
    };
    let met = bench.packet(stranger, Some(syn(7, 64)), 0);
    assert_eq!((met.new, met.translated), (true, None));
    // Long after.
    let late = bench
        .wait(60)
        .packet(to(server(4, 80)), Some(syn(7, 64)), 0);
    assert_eq!((late.new, late.translated), (true, None));
    assert_eq!(bench.table.counts().translated, 1);
}

#[test]
fn translated_datagrams_are_known_by_their_identification() {
    let mut bench = Bench::new();
    let mut ask = |last, identification, len| {
        let layers = Layers {
            tuple: FiveTuple {
                dst: Endpoint {
                    ip: Ipv4Addr::new(10, 96, 0, last).into(),
                    port: 53,
                },
                ..tuple(40000, 53, Transport::Udp)
            },
            payload_start: 42,
            payload_len: len,
            payload_wire_len: len,
            tcp: None,
            identification,
            udp_checksum: 0,
            vlan: None,
            vni: None,
            tunnel: None,
            datagram: None,
        };
        bench.ordinal += 1;
        let assigned = bench.table.assign(bench.ordinal, bench.now, &layers);
        assigned.translated.is_some()
    };
    assert!(!ask(10, 77, 30));
    assert!(ask(2, 77, 30));
    // Without a number of its own: a resolver that asks several servers at once.
    assert!(!ask(3, 0, 30));
    assert!(!ask(4, 0, 30));
    assert!(!ask(5, 77, 31));
}

#[test]
fn the_same_addresses_in_two_virtual_networks_are_two_conversations() {
    let mut bench = Bench::new();
    bench.vni = Some(107);
    let one = bench.handshake(7);
    bench.vni = Some(108);
    let other = bench.handshake(5000);
    assert_ne!(one, other);
    for (vni, stream, isn) in [(107, one, 7), (108, other, 5000), (107, one, 7)] {
        bench.vni = Some(vni);
        let data = bench.tcp(true, ACK, isn + 1, 901, 10);
        assert_eq!((data.info.name.stream, data.new), (stream, false));
        let answer = bench.tcp(false, ACK, 901, isn + 11, 10);
        assert_eq!(answer.info.name.stream, stream);
        assert_eq!(answer.direction, Direction::ToClient);
    }
    // The first one ends; the other one keeps its packets.
    bench.vni = Some(107);
    bench.tcp(true, RST, 18, 0, 0);
    bench.wait(60);
    assert_eq!(bench.ended(), [(one.0, EndReason::Rst)]);
    bench.vni = Some(108);
    let data = bench.tcp(true, ACK, 5011, 911, 10);
    assert_eq!((data.info.name.stream, data.new), (other, false));
}

#[test]
fn a_conversation_seen_within_its_tunnel_and_without_is_one() {
    for sights in [[None, Some(107)], [Some(107), None]] {
        let mut bench = Bench::new();
        bench.vni = sights[0];
        let syn = bench.tcp(true, SYN, 7, 0, 0);
        bench.vni = sights[1];
        let answer = bench.tcp(false, SYN | ACK, 900, 8, 0);
        assert!(!answer.new, "{sights:?}");
        // From then on the network is known, and another one is another conversation.
        bench.vni = Some(108);
        assert!(bench.tcp(true, SYN, 9, 0, 0).new, "{sights:?}");
        bench.vni = None;
        let data = bench.tcp(true, ACK, 8, 901, 3);
        assert_eq!(data.info.name.stream, syn.info.name.stream);
    }
}

#[test]
fn the_way_back_may_have_a_virtual_network_of_its_own() {
    let mut bench = Bench::new();
    bench.vni = Some(10);
    let syn = bench.tcp(true, SYN, 7, 0, 0);
    bench.vni = Some(11);
    let answer = bench.tcp(false, SYN | ACK, 900, 8, 0);
    assert_eq!((answer.info.name, answer.new), (syn.info.name, false));
    // What acknowledges nothing of it is no answer.
    let mut bench = Bench::new();
    bench.vni = Some(10);
    bench.tcp(true, SYN, 7, 0, 0);
    bench.vni = Some(11);
    assert!(bench.tcp(false, SYN | ACK, 900, 1 << 30, 0).new);
}

/// A SYN seen on its way to a service, and what comes of it under the addresses of a pod.
#[test]
fn packets_under_translated_addresses_are_part_of_the_stream_whose_syn_was_seen() {
    let pod = |last, port| Endpoint {
        ip: Ipv4Addr::new(10, 244, 0, last).into(),
        port,
    };
    let segment = |flags, seq, ack| TcpHeader {
        seq,
        ack,
        flags: TcpFlags(flags),
        window: 64,
        scale: WindowScale::UNKNOWN,
    };
    let service = tuple(40000, 80, Transport::Tcp);
    // The answer comes from the pod itself, or goes to the address that the node put in.
    let behind = FiveTuple {
        dst: pod(5, 9000),
        ..service
    };
    let masked = FiveTuple {
        src: pod(1, 60_794),
        ..service
    };
    for other in [behind, masked] {
        // The stream is one flow, whatever its packets go by.
        let mut bench = Bench::with(Limits {
            max_flows: 1,
            ..Limits::default()
        });
        let syn = bench.packet(service, Some(segment(SYN, 7, 0)), 0);
        let answer = bench.packet(other.reversed(), Some(segment(SYN | ACK, 900, 8)), 0);
        assert_eq!((answer.info.name, answer.new), (syn.info.name, false));
        assert_eq!(answer.direction, Direction::ToClient);
        for (tuple, direction) in [
            (other, Direction::ToServer),
            (other.reversed(), Direction::ToClient),
        ] {
            let data = bench.packet(tuple, Some(segment(ACK, 8, 901)), 5);
            assert_eq!((data.info.name, data.direction), (syn.info.name, direction));
        }
        assert_eq!(bench.table.len(), 1);
        let ends = bench.packet(other.reversed(), Some(segment(RST, 901, 0)), 0);
        assert_eq!(ends.info.name, syn.info.name);
        bench.wait(60);
        assert_eq!(bench.ended(), [(0, EndReason::Rst)]);
        assert!(bench.table.is_empty());
        assert_eq!(bench.table.counts().joined, 1);
    }
    // Data whose SYN was lost, near in sequence and far from it; and an answer to another SYN.
    let mut bench = Bench::new();
    let syn = bench.packet(service, Some(segment(SYN, 7, 0)), 0);
    let data = bench.packet(behind.reversed(), Some(segment(ACK, 5000, 96)), 231);
    assert_eq!(
        (data.info.name, data.direction),
        (syn.info.name, Direction::ToClient)
    );
    let mut bench = Bench::new();
    bench.packet(service, Some(segment(SYN, 7, 0)), 0);
    assert!(
        bench
            .packet(behind, Some(segment(ACK, 1 << 20, 900)), 9)
            .new
    );
    let mut bench = Bench::new();
    bench.packet(service, Some(segment(SYN, 7, 0)), 0);
    assert!(
        bench
            .packet(behind.reversed(), Some(segment(SYN | ACK, 900, 9)), 0)
            .new
    );
}
