//! Traffic that is targeted: packets to or from addresses that somebody chose.
//!
//! In: a batch as it was captured, and the addresses, which may change at any time. Out: the batch
//! without the rest. Never: leaving out what may belong to a pod that is not known yet: its first
//! packets come before the cluster tells its name, so an unknown address in a network of pods is
//! taken until it is known.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::capture::RawBatch;
use crate::packet::{Endpoint, headers};

type Set<T> = HashSet<T, ahash::RandomState>;

/// The addresses to capture.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TargetSet {
    /// Addresses with all their ports.
    pub ips: Set<IpAddr>,
    /// Ports of addresses that others share, such as those of nodes.
    #[serde(with = "as_pairs")]
    pub endpoints: Set<Endpoint>,
    /// Addresses of which it is known who has them.
    pub known: Set<IpAddr>,
    /// Networks whose unknown addresses may be those of new pods.
    pub networks: Vec<(IpAddr, u8)>,
}

/// Endpoints as pairs of address and port.
mod as_pairs {
    use super::{Deserialize, Endpoint, IpAddr, Serialize, Set};

    pub(super) fn serialize<S: serde::Serializer>(
        endpoints: &Set<Endpoint>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let pairs: Vec<(IpAddr, u16)> = endpoints.iter().map(|end| (end.ip, end.port)).collect();
        pairs.serialize(to)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        from: D,
    ) -> Result<Set<Endpoint>, D::Error> {
        let pairs = Vec::<(IpAddr, u16)>::deserialize(from)?;
        Ok(pairs
            .into_iter()
            .map(|(ip, port)| Endpoint { ip, port })
            .collect())
    }
}

/// The targets of a source; clones share them.
#[derive(Debug, Clone, Default)]
pub struct SharedTargets(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    version: AtomicU64,
    set: Mutex<Option<Arc<TargetSet>>>,
}

impl SharedTargets {
    /// Captures `set` from the next batch on; `None` captures everything.
    pub fn set(&self, set: Option<TargetSet>) {
        let mut held = self.0.set.lock().unwrap_or_else(PoisonError::into_inner);
        *held = set.map(Arc::new);
        self.0.version.fetch_add(1, Ordering::Release);
    }

    /// The number that rises whenever the targets are set anew.
    pub(crate) fn version(&self) -> u64 {
        self.0.version.load(Ordering::Acquire)
    }

    /// What is captured now, with a number that rises whenever it is set anew; `None` is everything.
    pub fn get(&self) -> (u64, Option<Arc<TargetSet>>) {
        let held = self.0.set.lock().unwrap_or_else(PoisonError::into_inner);
        (self.0.version.load(Ordering::Acquire), held.clone())
    }
}

/// Takes what is not targeted out of batches.
#[derive(Debug)]
pub(crate) struct TargetFilter {
    shared: SharedTargets,
    version: u64,
    set: Option<Ready>,
}

/// The targets as packets are compared with them.
#[derive(Debug)]
struct Ready {
    set: Arc<TargetSet>,
    /// Bases of the networks by their length.
    networks: Vec<(u8, Set<IpAddr>)>,
    /// Addresses of the endpoints.
    shared: Set<IpAddr>,
}

impl TargetFilter {
    pub(crate) fn new(shared: SharedTargets) -> TargetFilter {
        TargetFilter {
            shared,
            version: 0,
            set: None,
        }
    }

    /// Takes what is not targeted out of `batch`, from record `from` on; gives its count of packets.
    ///
    /// The bytes stay, unused, until the batch is cleared.
    pub(crate) fn leave_out(&mut self, batch: &mut RawBatch, from: usize) -> u64 {
        let shared = &self.shared.0;
        let version = shared.version.load(Ordering::Acquire);
        if version != self.version {
            self.version = version;
            let set = shared.set.lock().unwrap_or_else(PoisonError::into_inner);
            self.set = set.clone().map(Ready::of);
        }
        let Some(ready) = &self.set else {
            return 0;
        };
        let before = batch.records.len();
        let bytes = &batch.bytes;
        let mut index = 0;
        batch.records.retain(|record| {
            index += 1;
            if index <= from {
                return true;
            }
            let start = record.start as usize;
            let packet = bytes.get(start..start + record.caplen as usize);
            packet.is_some_and(|packet| {
                if let Some((layers, _)) = headers::peek(record.linktype, packet) {
                    return ready.wants(layers.tuple.src, layers.tuple.dst);
                }
                let ends = headers::addresses(record.linktype, packet);
                ends.is_some_and(|(src, dst)| ready.wants_fragment(src, dst))
            })
        });
        u64::try_from(before - batch.records.len()).unwrap_or(0)
    }
}

impl Ready {
    fn of(set: Arc<TargetSet>) -> Ready {
        let mut networks: Vec<(u8, Set<IpAddr>)> = Vec::new();
        for (base, bits) in &set.networks {
            let base = base_of(*base, *bits);
            match networks.iter_mut().find(|(known, _)| known == bits) {
                Some((_, bases)) => {
                    bases.insert(base);
                }
                None => networks.push((*bits, [base].into_iter().collect())),
            }
        }
        Ready {
            shared: set.endpoints.iter().map(|end| end.ip).collect(),
            set,
            networks,
        }
    }

    /// A fragment has addresses, and no ports that could be told: it may belong to any of them.
    fn wants_fragment(&self, src: IpAddr, dst: IpAddr) -> bool {
        let end = |ip| Endpoint { ip, port: 0 };
        self.wants(end(src), end(dst)) || [src, dst].iter().any(|ip| self.shared.contains(ip))
    }

    fn wants(&self, src: Endpoint, dst: Endpoint) -> bool {
        let set = &self.set;
        [src, dst].iter().any(|end| {
            set.ips.contains(&end.ip) || set.endpoints.contains(end) || self.may_be_new(end.ip)
        })
    }

    fn may_be_new(&self, ip: IpAddr) -> bool {
        !self.set.known.contains(&ip)
            && self
                .networks
                .iter()
                .any(|(bits, bases)| bases.contains(&base_of(ip, *bits)))
    }
}

/// Whether a packet of raw IP belongs to the targets.
#[cfg(test)]
pub(crate) fn keeps(set: &TargetSet, packet: &[u8]) -> bool {
    let ready = Ready::of(Arc::new(set.clone()));
    let peeked = headers::peek(crate::packet::LinkType::RAW, packet);
    peeked.is_some_and(|(layers, _)| ready.wants(layers.tuple.src, layers.tuple.dst))
}

/// The first address of the network of `bits` bits that an address is in.
pub fn base_of(ip: IpAddr, bits: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX
                .checked_shl(32 - u32::from(bits.min(32)))
                .unwrap_or(0);
            IpAddr::V4((u32::from(ip) & mask).into())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX
                .checked_shl(128 - u32::from(bits.min(128)))
                .unwrap_or(0);
            IpAddr::V6((u128::from(ip) & mask).into())
        }
    }
}

#[cfg(test)]
pub(in crate::capture) mod tests {
    use super::*;
    use crate::packet::savefile::PacketHead;
    use crate::packet::{LinkType, Position};
    use crate::time::Timestamp;

    fn packet(src: [u8; 4], dst: [u8; 4], dst_port: u16, fragment: bool) -> Vec<u8> {
        let flags = if fragment { [0x20, 0x10] } else { [0, 0] };
        let mut out = vec![0x45, 0, 0, 28, 0, 1, flags[0], flags[1], 64, 17, 0, 0];
        out.extend_from_slice(&src);
        out.extend_from_slice(&dst);
        out.extend_from_slice(&4000u16.to_be_bytes());
        out.extend_from_slice(&dst_port.to_be_bytes());
        out.extend_from_slice(&[0, 8, 0, 0]);
        out
    }

    fn batch(packets: &[Vec<u8>]) -> RawBatch {
        let mut batch = RawBatch::default();
        for bytes in packets {
            let head = PacketHead {
                ts: Timestamp::from_secs(1, 0),
                caplen: 28,
                len: 28,
                linktype: LinkType::RAW,
                interface: 0,
            };
            batch.push(&head, Position::default(), bytes);
        }
        batch
    }

    pub(in crate::capture) const POD: [u8; 4] = [10, 244, 1, 7];
    pub(in crate::capture) const OTHER: [u8; 4] = [10, 244, 1, 8];
    const NEW: [u8; 4] = [10, 244, 1, 9];
    pub(in crate::capture) const NODE: [u8; 4] = [192, 0, 2, 1];
    const FAR: [u8; 4] = [198, 51, 100, 1];

    /// A pod and a port of a node, in a network where other pods are.
    pub(in crate::capture) fn set() -> TargetSet {
        let mut set = TargetSet {
            networks: vec![([10, 244, 1, 0].into(), 24)],
            ..TargetSet::default()
        };
        set.ips.insert(POD.into());
        set.endpoints.insert(Endpoint {
            ip: NODE.into(),
            port: 9100,
        });
        set.known
            .extend([IpAddr::from(POD), OTHER.into(), NODE.into()]);
        set
    }

    #[test]
    fn what_neither_side_makes_a_target_is_left_out_and_counted() {
        let shared = SharedTargets::default();
        let mut filter = TargetFilter::new(shared.clone());
        let packets = [
            packet(POD, FAR, 80, false),
            packet(FAR, POD, 80, false),
            packet(OTHER, FAR, 80, false),
            packet(NEW, FAR, 80, false),
            packet(FAR, NODE, 9100, false),
            packet(FAR, NODE, 22, false),
            packet(FAR, POD, 80, true),
            packet(FAR, OTHER, 80, true),
            packet(FAR, NODE, 9100, true),
        ];
        let mut kept = |batch: &mut RawBatch| {
            let out = filter.leave_out(batch, 0);
            let kept: Vec<usize> = batch
                .records
                .iter()
                .map(|one| one.start as usize / 28)
                .collect();
            (kept, out)
        };
        assert_eq!(kept(&mut batch(&packets)), ((0..9).collect(), 0));
        let mut set = set();
        shared.set(Some(set.clone()));
        assert_eq!(kept(&mut batch(&packets)), (vec![0, 1, 3, 4, 6, 8], 3));
        // Once it is known whose the new address is, it counts like any other.
        set.known.insert(NEW.into());
        shared.set(Some(set));
        assert_eq!(kept(&mut batch(&packets)), (vec![0, 1, 4, 6, 8], 4));
        shared.set(None);
        assert_eq!(kept(&mut batch(&packets)).1, 0);
    }

    #[test]
    fn what_was_in_the_batch_before_stays() {
        let shared = SharedTargets::default();
        shared.set(Some(TargetSet::default()));
        let mut filter = TargetFilter::new(shared);
        let mut batch = batch(&[packet(POD, FAR, 1, false), packet(POD, FAR, 1, false)]);
        assert_eq!(filter.leave_out(&mut batch, 1), 1);
        assert_eq!(batch.records.len(), 1);
    }

    #[test]
    fn a_set_travels_as_json() {
        let mut set = TargetSet {
            networks: vec![([10, 244, 1, 0].into(), 24)],
            ..TargetSet::default()
        };
        set.ips.insert(POD.into());
        set.known.insert(POD.into());
        set.endpoints.insert(Endpoint {
            ip: NODE.into(),
            port: 9100,
        });
        let text = serde_json::to_string(&set).unwrap();
        assert_eq!(serde_json::from_str::<TargetSet>(&text).unwrap(), set);
    }

    #[test]
    fn bases_of_networks() {
        let base = |ip: &str, bits| base_of(ip.parse().unwrap(), bits).to_string();
        assert_eq!(base("10.244.3.9", 24), "10.244.3.0");
        assert_eq!(base("10.244.3.9", 32), "10.244.3.9");
        assert_eq!(base("10.244.3.9", 0), "0.0.0.0");
        assert_eq!(base("fd00::1:2", 64), "fd00::");
        assert_eq!(base("fd00::1:2", 0), "::");
    }
}
