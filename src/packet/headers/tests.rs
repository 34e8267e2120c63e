//! Tests of reading headers.

use proptest::prelude::*;

use super::ip::{DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP};
use super::*;
use crate::packet::{MAX_SNAPLEN, TunnelKind};
use crate::time::Timestamp;

fn record(linktype: LinkType, bytes: &[u8], len: usize) -> Record {
    Record {
        ts: Timestamp::from_secs(1, 0),
        start: 0,
        caplen: bytes.len() as u32,
        len: len as u32,
        linktype,
        interface: 0,
        position: Default::default(),
    }
}

fn decode(linktype: LinkType, bytes: &[u8], len: usize) -> Decoded {
    Decoder::new().decode(
        0,
        &record(linktype, bytes, len),
        bytes,
        &mut Found::default(),
    )
}

fn flow(decoded: Decoded) -> Layers {
    match decoded {
        Decoded::Flow(layers) => layers,
        other => panic!("{other:?}"),
    }
}

fn ipv4(total: u16, protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0x45, 0];
    out.extend_from_slice(&total.to_be_bytes());
    out.extend_from_slice(&[0, 9]);
    out.extend_from_slice(&fragment.to_be_bytes());
    out.extend_from_slice(&[64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    out.extend_from_slice(payload);
    out
}

fn ipv6(next: u8, payload_len: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0x60, 0, 0, 0];
    out.extend_from_slice(&payload_len.to_be_bytes());
    out.extend_from_slice(&[next, 64]);
    out.extend_from_slice(&[1; 16]);
    out.extend_from_slice(&[2; 16]);
    out.extend_from_slice(payload);
    out
}

fn tcp(payload: &[u8]) -> Vec<u8> {
    let mut out = vec![
        0x30, 0x39, 0, 80, 0, 0, 0, 7, 0, 0, 0, 9, 0x60, 0x18, 1, 0, 0, 0, 0, 0,
    ];
    out.extend_from_slice(&[1, 1, 1, 1]);
    out.extend_from_slice(payload);
    out
}

fn udp(len: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 53, 0, 54];
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(payload);
    out
}

#[test]
fn ethernet_padding_is_no_payload() {
    let mut bytes = ipv4(44, TCP, 0, &tcp(b""));
    bytes.extend_from_slice(&[0; 6]);
    let layers = flow(decode(LinkType::IPV4, &bytes, bytes.len()));
    assert_eq!((layers.payload_len, layers.payload_wire_len), (0, 0));
    assert_eq!(layers.tuple.src.to_string(), "10.0.0.1:12345");
    assert_eq!(layers.tcp.map(|tcp| (tcp.seq, tcp.ack)), Some((7, 9)));
}

#[test]
fn a_cut_packet_keeps_its_length_on_the_wire() {
    let bytes = ipv4(144, TCP, 0, &tcp(b"GET"));
    let layers = flow(decode(LinkType::RAW, &bytes, 144));
    assert_eq!((layers.payload_len, layers.payload_wire_len), (3, 100));
    assert_eq!(layers.payload_start, 44);
}

#[test]
fn cut_tcp_options_still_give_the_flow() {
    let bytes = ipv4(144, TCP, 0, &tcp(b"")[..21]);
    let layers = flow(decode(LinkType::RAW, &bytes, 144));
    assert_eq!((layers.payload_len, layers.payload_wire_len), (0, 100));
    assert_eq!(layers.payload_start as usize, bytes.len());
}

#[test]
fn a_total_length_of_zero_takes_what_was_captured() {
    let bytes = ipv4(0, TCP, 0, &tcp(&[7; 70_000]));
    let layers = flow(decode(LinkType::RAW, &bytes, bytes.len()));
    assert_eq!(layers.payload_len, 70_000);
    let bytes = ipv6(TCP, 0, &tcp(&[7; 70_000]));
    let layers = flow(decode(LinkType::RAW, &bytes, bytes.len()));
    assert_eq!(layers.payload_wire_len, 70_000);
}

#[test]
fn extension_headers_are_passed_over() {
    let mut payload = vec![DESTINATION_OPTIONS, 0, 0, 0, 0, 0, 0, 0];
    payload.extend_from_slice(&[FRAGMENT, 1]);
    payload.extend_from_slice(&[0; 14]);
    // An atomic fragment is a whole datagram.
    payload.extend_from_slice(&[UDP, 0, 0, 0, 0, 0, 0, 1]);
    payload.extend_from_slice(&udp(11, b"abc"));
    let bytes = ipv6(HOP_BY_HOP, payload.len() as u16, &payload);
    let layers = flow(decode(LinkType::RAW, &bytes, bytes.len()));
    assert_eq!((layers.payload_start, layers.payload_len), (80, 3));
    assert_eq!(layers.tuple.transport, Transport::Udp);
}

#[test]
fn a_chain_of_extension_headers_ends() {
    let payload = [0; 8 * 40];
    let bytes = ipv6(HOP_BY_HOP, payload.len() as u16, &payload);
    assert_eq!(
        decode(LinkType::RAW, &bytes, bytes.len()),
        Decoded::Malformed
    );
}

#[test]
fn tagged_fragments_become_one_datagram() {
    let whole = udp(8 + 24, b"012345670123456701234567");
    let mut front = vec![0; 12];
    front.extend_from_slice(&[0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 8, 0]);
    let mut decoder = Decoder::new();
    let mut found = Found::default();
    let pieces = [(0u16, true, &whole[..16]), (16, false, &whole[16..])];
    let mut last = Decoded::NotIp;
    for (ordinal, (offset, more, bytes)) in pieces.into_iter().enumerate() {
        let field = (offset / 8) | (u16::from(more) << 13);
        let mut packet = front.clone();
        packet.extend(ipv4(20 + bytes.len() as u16, UDP, field, bytes));
        let record = record(LinkType::ETHERNET, &packet, packet.len());
        last = decoder.decode(ordinal as u64 + 4, &record, &packet, &mut found);
        assert_eq!(ordinal == 0, last == Decoded::Fragment);
    }
    let layers = flow(last);
    assert_eq!((layers.datagram, layers.vlan), (Some(0), Some(2)));
    assert_eq!(found.earlier, [4]);
    assert_eq!(found.datagrams[0][8..], *b"012345670123456701234567");
}

#[test]
fn lengths_that_contradict_each_other_are_malformed() {
    let bytes = ipv4(10, TCP, 0, &tcp(b""));
    assert_eq!(decode(LinkType::RAW, &bytes, 44), Decoded::Malformed);
    let bytes = ipv4(28, UDP, 0, &udp(5, b""));
    assert_eq!(decode(LinkType::RAW, &bytes, 28), Decoded::Malformed);
}

/// An Ethernet frame in VXLAN network `id`, behind the headers of `outer`.
fn vxlan(id: u8, inner: &[u8]) -> Vec<u8> {
    let mut out = vec![8, 0, 0, 0, 0, 0, id, 0];
    out.extend_from_slice(&[0; 12]);
    out.extend_from_slice(&[8, 0]);
    out.extend_from_slice(inner);
    let mut datagram = udp(8 + out.len() as u16, &out);
    datagram[2..4].copy_from_slice(&4789u16.to_be_bytes());
    datagram
}

#[test]
fn a_fragmented_tunnel_gives_the_flow_inside() {
    let inner = ipv4(44, TCP, 0, &tcp(b""));
    let whole = vxlan(7, &inner);
    let mut decoder = Decoder::new();
    let mut found = Found::default();
    let mut last = Decoded::NotIp;
    for (ordinal, range) in [0..32, 32..whole.len()].into_iter().enumerate() {
        let more = u16::from(ordinal == 0) << 13;
        let part = &whole[range.clone()];
        let field = (range.start as u16 / 8) | more;
        let packet = ipv4(20 + part.len() as u16, UDP, field, part);
        let record = record(LinkType::RAW, &packet, packet.len());
        last = decoder.decode(ordinal as u64, &record, &packet, &mut found);
    }
    let layers = flow(last);
    assert_eq!(layers.tuple.transport, Transport::Tcp);
    assert_eq!((layers.datagram, layers.tunnel), (Some(0), Some(0)));
    assert_eq!(found.earlier, [0]);
    assert_eq!(found.datagrams.len(), 1);
    let tunnel = found.tunnels[0];
    assert_eq!((tunnel.kind, tunnel.id), (TunnelKind::Vxlan, Some(7)));
    assert_eq!(tunnel.tuple.unwrap().dst.port, 4789);
    assert_eq!(layers.vni, Some(7));
    assert_eq!(layers.payload_start as usize, whole.len());
}

#[test]
fn tunnels_within_tunnels_are_opened_to_a_cap() {
    let mut bytes = ipv4(44, TCP, 0, &tcp(b""));
    for depth in 1..MAX_TUNNELS + 4 {
        bytes = ipv4(20 + bytes.len() as u16, 4, 0, &bytes);
        let mut found = Found::default();
        let record = record(LinkType::RAW, &bytes, bytes.len());
        let layers = flow(Decoder::new().decode(0, &record, &bytes, &mut found));
        assert_eq!(found.tunnels.len(), depth.min(MAX_TUNNELS));
        let whole = depth <= MAX_TUNNELS;
        assert_eq!(layers.tuple.transport == Transport::Tcp, whole);
        let batch = crate::packet::Batch {
            tunnels: found.tunnels,
            ..Default::default()
        };
        let packet = crate::packet::Packet {
            ordinal: 0,
            record,
            decoded: Decoded::Flow(layers),
            stream: None,
        };
        assert_eq!(batch.tunnels_of(&packet).count(), depth.min(MAX_TUNNELS));
    }
}

#[test]
fn a_cut_packet_within_a_tunnel_keeps_its_length_on_the_wire() {
    let inner = ipv4(144, TCP, 0, &tcp(&[7; 100]));
    let outer = vxlan(7, &inner);
    let bytes = ipv4(20 + outer.len() as u16, UDP, 0, &outer);
    let cut = &bytes[..bytes.len() - 90];
    let layers = flow(decode(LinkType::RAW, cut, bytes.len()));
    assert_eq!((layers.payload_len, layers.payload_wire_len), (10, 100));
}

const LINKTYPES: [u16; 10] = [0, 1, 12, 14, 101, 108, 113, 228, 239, 276];

proptest! {
    #[test]
    fn payload_lies_within_the_packet_whatever_the_bytes(
        linktype in prop::sample::select(&LINKTYPES[..]),
        front in prop::sample::select(vec![
            vec![],
            vec![0x45],
            vec![0x60, 0, 0, 0, 0, 40],
            [&[0; 12][..], &[8, 0, 0x45, 0]].concat(),
            [&[0; 12][..], &[0x86, 0xdd, 0x60]].concat(),
            [&[0; 12][..], &[0x81, 0, 0, 1, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 60, 44]].concat(),
            ipv4(0, 47, 0, &[0x30, 0, 0x88, 0xbe]),
            ipv4(0, 47, 0, &[0, 0, 8, 0, 0x45]),
            ipv4(0, 4, 0, &ipv6(41, 0, &[0x60])),
            ipv4(0, UDP, 0, &vxlan(1, &[0x45, 0])),
            ipv4(0, UDP, 0, &[0, 1, 8, 104, 0, 0, 0, 0, 0x34, 255, 0, 0, 0, 0, 0, 1]),
            ipv4(0, UDP, 0, &[0, 1, 0x17, 0xc1, 0, 0, 0, 0, 1, 0, 0x65, 0x58]),
        ]),
        tail in prop::collection::vec(any::<u8>(), 0..200),
        more in 0usize..MAX_SNAPLEN as usize,
    ) {
        let bytes = [front, tail].concat();
        let record = record(LinkType(linktype), &bytes, bytes.len() + more);
        let mut found = Found::default();
        let decoded = Decoder::new().decode(0, &record, &bytes, &mut found);
        if let Decoded::Flow(layers) = decoded {
            let whole = match layers.datagram {
                Some(index) => found.datagrams[index as usize].len(),
                None => bytes.len(),
            };
            prop_assert!((layers.payload_start + layers.payload_len) as usize <= whole);
            prop_assert!(layers.payload_len <= layers.payload_wire_len);
        }
    }
}
