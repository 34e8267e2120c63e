//! Stand-ins for addresses.
//!
//! In: an IP address. Out: another one of the same family, always the same for it and a key; two
//! addresses that share a prefix have stand-ins that share one of the same length, as in Crypto-PAn
//! (Xu, Fan, Ammar, Moon 2002), with SHA-256 as the function. Never: a way back without the key.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ahash::RandomState;
use sha2::{Digest, Sha256};

/// Stand-ins that are remembered; each costs up to 128 hashes to make.
const MAX_KNOWN: usize = 65_536;

/// Makes stand-ins.
#[derive(Clone)]
pub(super) struct Addresses {
    key: [u8; 32],
    known: HashMap<IpAddr, IpAddr, RandomState>,
}

impl Addresses {
    pub(super) fn new(key: &[u8]) -> Addresses {
        Addresses {
            key: Sha256::digest(key).into(),
            known: HashMap::default(),
        }
    }

    /// The stand-in of `ip`.
    pub(super) fn of(&mut self, ip: IpAddr) -> IpAddr {
        if let Some(known) = self.known.get(&ip) {
            return *known;
        }
        let made = match ip {
            IpAddr::V4(v4) => {
                let bits = self.scrambled(u128::from(v4.to_bits()) << 96, 32);
                IpAddr::V4(Ipv4Addr::from_bits((bits >> 96) as u32))
            }
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(self.scrambled(v6.to_bits(), 128))),
        };
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert(ip, made);
        made
    }

    /// Each bit is turned, or not, by what stands before it.
    fn scrambled(&self, bits: u128, count: u32) -> u128 {
        let mut out = bits;
        for place in 0..count {
            let front = match place {
                0 => 0,
                place => bits & (u128::MAX << (128 - place)),
            };
            let mut hash = Sha256::new();
            hash.update(self.key);
            hash.update([(count == 128).into(), (place & 0xff) as u8]);
            hash.update(front.to_be_bytes());
            let turn = hash.finalize().first().copied().unwrap_or(0) & 1;
            out ^= u128::from(turn) << (127 - place);
        }
        out
    }
}
