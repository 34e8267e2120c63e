//! Frames of a conversation within VXLAN, as an overlay network carries them (RFC 7348 section 5).

use std::net::{IpAddr, Ipv4Addr};

use etherparse::{NetSlice, PacketBuilder, SlicedPacket};

use super::{Frame, length};

/// The same frames between two hosts of an overlay, in the network `vni` (24 bits). The smaller inner
/// address lives on `low`, the larger one on `high`.
pub fn vxlan(frames: &[Frame], vni: u32, low: [u8; 4], high: [u8; 4]) -> Vec<Frame> {
    const PORT: u16 = 4789;
    const TTL: u8 = 64;
    let wrapped = frames.iter().map(|frame| {
        let (src, dst) = match from_low(&frame.bytes) {
            true => (low, high),
            false => (high, low),
        };
        let mut payload = vec![0x08, 0, 0, 0];
        payload.extend_from_slice(&(vni << 8).to_be_bytes());
        payload.extend_from_slice(&frame.bytes);
        let mut bytes = Vec::new();
        PacketBuilder::ethernet2([2, 0, 0, 0, 1, 1], [2, 0, 0, 0, 1, 2])
            .ipv4(src, dst, TTL)
            .udp(50_000, PORT)
            .write(&mut bytes, &payload)
            .expect("a frame fits in a datagram");
        let cut = frame.len - length(&frame.bytes);
        Frame {
            ts: frame.ts,
            len: length(&bytes) + cut,
            bytes,
        }
    });
    wrapped.collect()
}

fn from_low(bytes: &[u8]) -> bool {
    let packet = SlicedPacket::from_ethernet(bytes);
    let none = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let (src, dst) = match packet.ok().and_then(|packet| packet.net) {
        Some(NetSlice::Ipv4(ip)) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
        ),
        Some(NetSlice::Ipv6(ip)) => (
            IpAddr::V6(ip.header().source_addr()),
            IpAddr::V6(ip.header().destination_addr()),
        ),
        _ => (none, none),
    };
    src <= dst
}
