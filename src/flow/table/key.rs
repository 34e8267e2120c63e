//! What packets of one flow have in common.
//!
//! In: a five-tuple, and perhaps a virtual network. Out: the key that both directions share. Never:
//! what is known of the flow.

use std::net::IpAddr;

use crate::packet::{Endpoint, FiveTuple, Transport};

/// A flow key: the five-tuple without direction, the smaller endpoint first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    low: u128,
    high: u128,
    ports: u32,
    /// Protocol number, with bit 8 for IPv6.
    protocol: u16,
    /// Virtual network plus one, where another one has the key without.
    network: u32,
}

impl Key {
    /// The key, and whether the sender is the smaller endpoint.
    pub(super) fn of(tuple: &FiveTuple) -> (Key, bool) {
        let number = |endpoint: &Endpoint| match endpoint.ip {
            IpAddr::V4(ip) => u128::from(u32::from(ip)),
            IpAddr::V6(ip) => u128::from(ip),
        };
        let src = (number(&tuple.src), tuple.src.port);
        let dst = (number(&tuple.dst), tuple.dst.port);
        let from_low = src <= dst;
        let (low, high) = if from_low { (src, dst) } else { (dst, src) };
        let number = match tuple.transport {
            Transport::Tcp => 6,
            Transport::Udp => 17,
            Transport::Other(number) => u16::from(number),
        };
        let key = Key {
            low: low.0,
            high: high.0,
            ports: u32::from(low.1) << 16 | u32::from(high.1),
            protocol: number | u16::from(tuple.src.ip.is_ipv6()) << 8,
            network: 0,
        };
        (key, from_low)
    }

    /// The key of the same five-tuple in a virtual network.
    pub(super) fn within(self, vni: u32) -> Key {
        Key {
            network: vni.saturating_add(1),
            ..self
        }
    }
}
