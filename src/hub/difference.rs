//! What changed between two tellings of the targets.
//!
//! In: targets as they were told and as they are; differences, one behind the other. Out: a difference, which
//! makes the one of the other. Never: one between targets that are of another nature, such as everything and
//! some addresses, or of another capture filter: those are told whole.
//!
//! ```text
//! {"ips": {"come": [address], "gone": [address]}, "known": the same, "endpoints": of [address, port],
//!  "networks": of [address, bits], "targets": {"come": [pod], "gone": [[namespace, name]]}, "excluded": the same}
//! ```
//!
//! What did not change is left out. A pod that changed comes.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value as Json;

use super::targeted::{MAX_BYTES, MAX_PODS, PAIRED, Pod, PodName, Pods, Targeted, bytes_of};
use crate::packet::Endpoint;

/// What changed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Difference {
    #[serde(skip_serializing_if = "Moved::is_empty")]
    ips: Moved<IpAddr>,
    #[serde(skip_serializing_if = "Moved::is_empty")]
    known: Moved<IpAddr>,
    #[serde(skip_serializing_if = "Moved::is_empty")]
    endpoints: Moved<(IpAddr, u16)>,
    #[serde(skip_serializing_if = "Moved::is_empty")]
    networks: Moved<(IpAddr, u8)>,
    #[serde(skip_serializing_if = "MovedPods::is_empty")]
    targets: MovedPods,
    #[serde(skip_serializing_if = "MovedPods::is_empty")]
    excluded: MovedPods,
}

/// Why a difference makes nothing of some targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It is about addresses, and everything is captured.
    #[error("it changes addresses where there are none")]
    Everything,
    /// The targets would be more than a hub tells whole.
    #[error("the lists become too long")]
    TooLong,
}

impl Difference {
    /// What makes `after` of `before`; `None` when that is told whole.
    pub fn between(before: &Targeted, after: &Targeted) -> Option<Difference> {
        if before.bpf() != after.bpf() {
            return None;
        }
        let pods = Difference {
            targets: MovedPods::between(&before.targets, &after.targets),
            excluded: MovedPods::between(&before.excluded, &after.excluded),
            ..Difference::default()
        };
        let (before, after) = match (before.set(), after.set()) {
            (None, None) => return Some(pods),
            (Some(before), Some(after)) => (before, after),
            _ => return None,
        };
        let pairs = |ends: &HashSet<Endpoint, _>| -> BTreeSet<(IpAddr, u16)> {
            ends.iter().map(|end| (end.ip, end.port)).collect()
        };
        let networks =
            |networks: &[(IpAddr, u8)]| -> BTreeSet<_> { networks.iter().copied().collect() };
        Some(Difference {
            ips: Moved::between(&before.ips, &after.ips),
            known: Moved::between(&before.known, &after.known),
            endpoints: Moved::of_sets(&pairs(&before.endpoints), &pairs(&after.endpoints)),
            networks: Moved::of_sets(&networks(&before.networks), &networks(&after.networks)),
            ..pods
        })
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.is_of_pods() && self.targets.is_empty() && self.excluded.is_empty()
    }

    fn is_of_pods(&self) -> bool {
        self.ips.is_empty()
            && self.known.is_empty()
            && self.endpoints.is_empty()
            && self.networks.is_empty()
    }

    /// Takes `next` up: what both make, one behind the other, this one makes alone then.
    pub fn then(&mut self, next: &Difference) {
        self.ips.then(&next.ips);
        self.known.then(&next.known);
        self.endpoints.then(&next.endpoints);
        self.networks.then(&next.networks);
        self.targets.then(&next.targets);
        self.excluded.then(&next.excluded);
    }

    /// What it makes of `before`. What comes may be there, and what goes may not be.
    ///
    /// # Errors
    /// When it does not fit, or there would be more than [`MAX_BYTES`] or [`MAX_PODS`] allow.
    pub fn of(&self, before: &Targeted) -> Result<Targeted, Unfit> {
        let mut after = before.clone();
        self.targets.change(&mut after.targets);
        self.excluded.change(&mut after.excluded);
        match &mut after.set {
            None if !self.is_of_pods() => return Err(Unfit::Everything),
            None => {}
            Some(set) => {
                let mut networks: BTreeSet<_> = set.networks.drain(..).collect();
                let bytes = &mut after.address_bytes;
                let pair = |ip: &IpAddr| bytes_of(ip) + PAIRED;
                let ends = &mut set.endpoints;
                self.ips
                    .change(bytes, bytes_of, |ip, comes| moved(&mut set.ips, *ip, comes));
                self.known.change(bytes, bytes_of, |ip, comes| {
                    moved(&mut set.known, *ip, comes)
                });
                self.endpoints.change(
                    bytes,
                    |(ip, _)| pair(ip),
                    |(ip, port), comes| {
                        moved(
                            ends,
                            Endpoint {
                                ip: *ip,
                                port: *port,
                            },
                            comes,
                        )
                    },
                );
                self.networks.change(
                    bytes,
                    |(ip, _)| pair(ip),
                    |network, comes| match comes {
                        true => networks.insert(*network),
                        false => networks.remove(network),
                    },
                );
                set.networks.extend(networks);
            }
        }
        match after.pod_bytes() > MAX_PODS || after.bytes() > MAX_BYTES {
            true => Err(Unfit::TooLong),
            false => Ok(after),
        }
    }
}

/// Has one come or go; whether it was not there, or was.
fn moved<T: Eq + Hash>(all: &mut HashSet<T, impl BuildHasher>, one: T, comes: bool) -> bool {
    match comes {
        true => all.insert(one),
        false => all.remove(&one),
    }
}

/// What came and what went. Nothing is in both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, bound(deserialize = "T: Ord + Deserialize<'de>"))]
struct Moved<T: Ord> {
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    come: BTreeSet<T>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    gone: BTreeSet<T>,
}

impl<T: Ord> Default for Moved<T> {
    fn default() -> Moved<T> {
        Moved {
            come: BTreeSet::new(),
            gone: BTreeSet::new(),
        }
    }
}

impl<T: Ord + Copy> Moved<T> {
    fn between<S: BuildHasher>(before: &HashSet<T, S>, after: &HashSet<T, S>) -> Moved<T>
    where
        T: Eq + Hash,
    {
        Moved {
            come: after.difference(before).copied().collect(),
            gone: before.difference(after).copied().collect(),
        }
    }

    fn of_sets(before: &BTreeSet<T>, after: &BTreeSet<T>) -> Moved<T> {
        Moved {
            come: after.difference(before).copied().collect(),
            gone: before.difference(after).copied().collect(),
        }
    }

    fn then(&mut self, next: &Moved<T>) {
        self.come.retain(|one| !next.gone.contains(one));
        self.gone.retain(|one| !next.come.contains(one));
        self.come.extend(&next.come);
        self.gone.extend(&next.gone);
    }

    /// Has each come or go with `moves`, and counts the bytes of those that did.
    fn change(
        &self,
        bytes: &mut usize,
        bytes_of: impl Fn(&T) -> usize,
        mut moves: impl FnMut(&T, bool) -> bool,
    ) {
        for one in &self.gone {
            if moves(one, false) {
                *bytes = bytes.saturating_sub(bytes_of(one));
            }
        }
        for one in &self.come {
            if moves(one, true) {
                *bytes = bytes.saturating_add(bytes_of(one));
            }
        }
    }
}

impl<T: Ord> Moved<T> {
    fn is_empty(&self) -> bool {
        self.come.is_empty() && self.gone.is_empty()
    }
}

/// Pods of a list that came or changed, and those that went. None is in both.
#[derive(Debug, Clone, Default, PartialEq)]
struct MovedPods {
    come: BTreeMap<Arc<PodName>, Arc<Pod>>,
    gone: BTreeSet<Arc<PodName>>,
}

impl MovedPods {
    fn between(before: &Pods, after: &Pods) -> MovedPods {
        let (before, after) = (&before.by_name, &after.by_name);
        let is_new = |(name, pod): &(&Arc<PodName>, &Arc<Pod>)| before.get(*name) != Some(*pod);
        let come = after.iter().filter(is_new);
        let gone = before.keys().filter(|name| !after.contains_key(*name));
        MovedPods {
            come: come
                .map(|(name, pod)| (name.clone(), pod.clone()))
                .collect(),
            gone: gone.cloned().collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.come.is_empty() && self.gone.is_empty()
    }

    fn then(&mut self, next: &MovedPods) {
        self.come.retain(|name, _| !next.gone.contains(name));
        self.gone.retain(|name| !next.come.contains_key(name));
        let come = next.come.iter();
        self.come
            .extend(come.map(|(name, pod)| (name.clone(), pod.clone())));
        self.gone.extend(next.gone.iter().cloned());
    }

    fn change(&self, pods: &mut Pods) {
        self.gone.iter().for_each(|name| pods.remove(name));
        self.come.iter().for_each(|(name, pod)| pods.put(name, pod));
    }
}

impl Serialize for MovedPods {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Listed<'p> {
            #[serde(skip_serializing_if = "Vec::is_empty")]
            come: Vec<&'p Json>,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            gone: Vec<&'p PodName>,
        }
        let listed = Listed {
            come: self.come.values().map(|pod| &pod.json).collect(),
            gone: self.gone.iter().map(Arc::as_ref).collect(),
        };
        listed.serialize(to)
    }
}

impl<'de> Deserialize<'de> for MovedPods {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<MovedPods, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Listed {
            come: Vec<Json>,
            gone: Vec<PodName>,
        }
        let listed = Listed::deserialize(from)?;
        let read = |json: Json| match Pod::read(json) {
            Some((name, pod)) => Ok((Arc::new(name), Arc::new(pod))),
            None => Err(de::Error::custom("a pod has no name")),
        };
        let come: BTreeMap<_, _> = listed
            .come
            .into_iter()
            .map(read)
            .collect::<Result<_, _>>()?;
        let gone = listed.gone.into_iter().map(Arc::new);
        Ok(MovedPods {
            gone: gone.filter(|name| !come.contains_key(name)).collect(),
            come,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::capture::targets::TargetSet;

    /// Some targets, of few addresses and pods, so that they meet again.
    pub(in crate::hub) fn some() -> impl Strategy<Value = Targeted> {
        let ip = |last: u8| IpAddr::from([10, 0, 0, last]);
        let few = || prop::collection::vec(0_u8..6, 0..6);
        let set = (few(), few(), few(), few()).prop_map(move |(ips, known, ends, networks)| {
            let mut set = TargetSet::default();
            set.ips.extend(ips.into_iter().map(ip));
            set.known.extend(known.into_iter().map(ip));
            let end = |last: u8| Endpoint {
                ip: ip(last % 3),
                port: u16::from(last),
            };
            set.endpoints.extend(ends.into_iter().map(end));
            set.networks
                .extend(networks.into_iter().map(|bits| (ip(0), 24 + bits)));
            set
        });
        let list = || prop::collection::vec((0_u8..8, 0_u8..3), 0..8);
        let pod = |(name, state): (u8, u8)| {
            let metadata = json!({"namespace": format!("n{}", name % 2), "name": name.to_string()});
            json!({"metadata": metadata, "state": "s".repeat(state.into())})
        };
        let pods = move |list: Vec<(u8, u8)>| list.into_iter().map(pod).collect::<Vec<_>>();
        let bpf = prop::option::weighted(0.1, Just("udp".to_owned()));
        let everything = (prop::option::weighted(0.9, set), list(), list(), bpf);
        everything.prop_map(move |(set, targets, excluded, bpf)| {
            let pods = json!({"targets": pods(targets), "excluded": pods(excluded)});
            Targeted::new(set, pods, bpf).unwrap()
        })
    }

    fn travelled(difference: &Difference) -> Difference {
        serde_json::from_str(&serde_json::to_string(difference).unwrap()).unwrap()
    }

    proptest! {
        #[test]
        fn a_difference_makes_the_one_of_the_other(before in some(), after in some()) {
            if let Some(difference) = Difference::between(&before, &after) {
                let read = travelled(&difference);
                prop_assert_eq!(&read, &difference);
                prop_assert_eq!(read.of(&before), Ok(after.clone()));
                prop_assert_eq!(difference.is_empty(), before == after);
            }
        }

        #[test]
        fn differences_one_behind_the_other_are_one(all in prop::collection::vec(some(), 2..8)) {
            let mut together = Difference::default();
            for pair in all.windows(2) {
                let Some(difference) = Difference::between(&pair[0], &pair[1]) else {
                    return Ok(());
                };
                together.then(&difference);
            }
            let (first, last) = (&all[0], &all[all.len() - 1]);
            prop_assert_eq!(travelled(&together).of(first), Ok(last.clone()));
        }

        #[test]
        fn any_difference_is_taken_or_refused_and_counted_right(before in some(), other in some(), text in "[a-z0-9\\[\\]{}\",: ]{0,60}") {
            let _ = serde_json::from_str::<Difference>(&text);
            // One that was made for others.
            let Some(difference) = Difference::between(&other, &before) else { return Ok(()) };
            if let Ok(after) = difference.of(&other).and_then(|after| difference.of(&after)) {
                let text = serde_json::to_value(&after).unwrap();
                let counted = Targeted::read(text).unwrap();
                prop_assert_eq!(counted.bytes(), after.bytes());
            }
        }
    }

    #[test]
    fn what_is_no_difference_is_not_read() {
        for damaged in [
            json!(7),
            json!({"ips": ["10.0.0.1"]}),
            json!({"ips": {"come": ["nobody"]}}),
            json!({"networks": {"come": [["10.0.0.0", 256]]}}),
            json!({"targets": {"come": [{"metadata": {"name": "cart"}}]}}),
            json!({"targets": {"gone": ["cart"]}}),
        ] {
            let read = serde_json::from_value::<Difference>(damaged.clone());
            assert!(read.is_err(), "{damaged}");
        }
        let newer = json!({"weather": {"come": ["sun"]}});
        assert!(
            serde_json::from_value::<Difference>(newer)
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn differences_do_not_make_lists_longer_than_they_may_be() {
        let pod = |index: usize| {
            let metadata = json!({"name": format!("cart-{index}"), "namespace": "shop"});
            json!({"metadata": metadata, "status": "s".repeat(1 << 20)})
        };
        let come = |pod: Json| -> Difference {
            serde_json::from_value(json!({"excluded": {"come": [pod]}})).unwrap()
        };
        let mut told = Targeted::default();
        for index in 0..3 {
            told = come(pod(index)).of(&told).unwrap();
        }
        // The same once more is none more.
        assert_eq!(come(pod(2)).of(&told).as_ref(), Ok(&told));
        assert_eq!(come(pod(3)).of(&told), Err(Unfit::TooLong));
        let addresses = |from: u32| -> Difference {
            let ips = (from..from + 200_000).map(|ip| IpAddr::from(ip.to_be_bytes()));
            let come: Vec<IpAddr> = ips.collect();
            serde_json::from_value(json!({"known": {"come": come}})).unwrap()
        };
        assert_eq!(addresses(1 << 30).of(&told), Err(Unfit::Everything));
        let mut told = Targeted::new(Some(TargetSet::default()), json!({}), None).unwrap();
        let mut refused = None;
        for step in 0..6 {
            match addresses((1 << 30) + step * 200_000).of(&told) {
                Ok(after) => told = after,
                Err(why) => refused = Some(why),
            }
        }
        assert_eq!(refused, Some(Unfit::TooLong));
        assert!(told.bytes() <= MAX_BYTES);
    }
}
