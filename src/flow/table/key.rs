//! What packets of one flow have in common.
//!
//! In: a five-tuple, and perhaps a virtual network. Out: the key that both directions share. Never:
//! what is known of the flow.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use crate::packet::{Endpoint, FiveTuple, Transport};

/// A flow key: the five-tuple without direction, the smaller endpoint first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    low: u128,
    high: u128,
    ports: u32,
    /// Protocol number, with bit 8 for IPv6.
    protocol: u16,
    /// Virtual network plus one, where another one has the key without.
    network: u32,
}

/// Set in `protocol` for IPv6.
const IPV6: u16 = 1 << 8;

/// Of IPv4 all but the network is one number of 112 bits: each packet is looked up once.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let rest = u128::from(self.ports) << 64 | u128::from(self.protocol) << 96;
        if self.protocol & IPV6 == 0 {
            state.write_u128(self.low | self.high << 32 | rest);
        } else {
            state.write_u128(self.low);
            state.write_u128(self.high);
            state.write_u128(rest);
        }
        if self.network != 0 {
            state.write_u32(self.network);
        }
    }
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
            protocol: match tuple.src.ip.is_ipv6() {
                true => number | IPV6,
                false => number,
            },
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
