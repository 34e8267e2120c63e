//! What is to be captured, as the hub tells it: addresses, lists of pods for scripts, a capture filter.
//!
//! In: what the hub found, or JSON of a hub. Out: lists of a bounded size, the same at both ends. Never: lists
//! that no frame holds; addresses that are left out because the lists of pods are long.
//!
//! ```text
//! {"set": null for everything, or {"ips": [address], "endpoints": [[address, port]], "known": [address],
//!                                  "networks": [[address, bits]]},
//!  "pods": {"targets": [pod], "excluded": [pod]}, "bpf": capture filter or null}
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;

use serde::de::Error as _;
use serde::ser::SerializeStruct as _;
use serde::{Deserialize as _, Serialize, Serializer};
use serde_json::{Value as Json, json};

use super::frame::{MAX_FRAME, TooLong};
use crate::capture::targets::TargetSet;

/// Bytes of the lists of pods as text; what is longer is told by names alone.
pub const MAX_PODS: usize = 4 << 20;

/// Bytes of everything as text, so that a frame holds it with what a message has around it.
pub const MAX_BYTES: usize = MAX_FRAME - 1024;

/// Namespace and name.
pub(super) type PodName = (String, String);

/// What is to be captured.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Targeted {
    pub(super) set: Option<TargetSet>,
    bpf: Option<String>,
    pub(super) targets: Pods,
    pub(super) excluded: Pods,
    /// Bytes of the addresses as text, at most.
    pub(super) address_bytes: usize,
}

impl Targeted {
    /// Addresses to capture, none for everything; `{"targets": [pod], "excluded": [pod]}`, of which pods without
    /// a name are left out; the capture filter that goes before that of the workers' configuration. Where the
    /// lists of pods are longer than [`MAX_PODS`] pods are told by their names and nodes alone, as many as fit.
    ///
    /// # Errors
    /// When addresses and filter are more than a message holds.
    pub fn new(
        set: Option<TargetSet>,
        pods: Json,
        bpf: Option<String>,
    ) -> Result<Targeted, TooLong> {
        let mut told = Targeted::of(set, pods, bpf);
        if told.pod_bytes() > MAX_PODS {
            // Addresses must come through, whatever the lists are.
            let mut left = MAX_PODS;
            told.targets = told.targets.brief(&mut left);
            told.excluded = told.excluded.brief(&mut left);
        }
        match told.bytes() {
            length if length > MAX_BYTES => Err(TooLong {
                length,
                most: MAX_BYTES,
            }),
            _ => Ok(told),
        }
    }

    /// Reads what a hub told, which wrote it with [`Targeted`] or in an older version. What it does not say of a
    /// filter or of pods is none.
    ///
    /// # Errors
    /// When the addresses cannot be read, or nothing is said of them.
    pub fn read(mut told: Json) -> Result<Targeted, serde_json::Error> {
        // Nothing said is no word to capture everything.
        let set = told
            .get("set")
            .ok_or_else(|| serde_json::Error::missing_field("set"))?;
        let set = Option::<TargetSet>::deserialize(set)?;
        let bpf = told["bpf"].as_str().map(str::to_owned);
        let pods = told.get_mut("pods").map(Json::take).unwrap_or_default();
        Ok(Targeted::of(set, pods, bpf))
    }

    fn of(mut set: Option<TargetSet>, mut pods: Json, bpf: Option<String>) -> Targeted {
        if let Some(set) = &mut set {
            let sorted: BTreeSet<_> = set.networks.drain(..).collect();
            set.networks.extend(sorted);
        }
        let mut list = |name: &str| match pods.get_mut(name).map(Json::take) {
            Some(Json::Array(list)) => Pods::of(list),
            _ => Pods::default(),
        };
        Targeted {
            address_bytes: set.as_ref().map_or(0, bytes_of_set),
            targets: list("targets"),
            excluded: list("excluded"),
            set,
            bpf,
        }
    }

    /// The addresses; none for everything. Networks are in order, each of them once.
    pub fn set(&self) -> Option<&TargetSet> {
        self.set.as_ref()
    }

    /// The capture filter; none leaves it to the worker's configuration.
    pub fn bpf(&self) -> Option<&str> {
        self.bpf.as_deref()
    }

    /// Pods inside and outside, each list in the order of namespaces and names: `{"targets": [pod], "excluded":
    /// [pod]}`.
    pub fn pods(&self) -> Json {
        json!({"targets": &self.targets, "excluded": &self.excluded})
    }

    /// Bytes as text, at most.
    pub fn bytes(&self) -> usize {
        // In JSON a letter may take six.
        let filter = self.bpf.as_ref().map_or(0, |bpf| 6 * bpf.len());
        self.address_bytes + self.pod_bytes() + filter
    }

    /// Bytes of the lists of pods as text.
    pub fn pod_bytes(&self) -> usize {
        self.targets.bytes + self.excluded.bytes
    }
}

impl Serialize for Targeted {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Lists<'p> {
            targets: &'p Pods,
            excluded: &'p Pods,
        }
        let mut fields = to.serialize_struct("Targeted", 3)?;
        fields.serialize_field("set", &self.set)?;
        let pods = Lists {
            targets: &self.targets,
            excluded: &self.excluded,
        };
        fields.serialize_field("pods", &pods)?;
        fields.serialize_field("bpf", &self.bpf)?;
        fields.end()
    }
}

/// A pod as the API server has it, without annotations.
#[derive(Debug, PartialEq)]
pub(super) struct Pod {
    pub(super) json: Json,
    /// Bytes as text, with a comma.
    bytes: usize,
}

impl Pod {
    /// The pod with its name; `None` when it has none.
    pub(super) fn read(json: Json) -> Option<(PodName, Pod)> {
        let metadata = &json["metadata"];
        let text = |name: &str| metadata[name].as_str().map(str::to_owned);
        let name = (text("namespace")?, text("name")?);
        let mut counted = Counted(0);
        serde_json::to_writer(&mut counted, &json).ok()?;
        let bytes = counted.0 + 1;
        Some((name, Pod { json, bytes }))
    }

    /// Its names alone.
    fn brief(&self) -> Option<(PodName, Pod)> {
        let metadata = &self.json["metadata"];
        let metadata = json!({"name": metadata["name"], "namespace": metadata["namespace"]});
        let node = &self.json["spec"]["nodeName"];
        Pod::read(json!({"metadata": metadata, "spec": {"nodeName": node}}))
    }
}

/// A list of pods; clones share the pods.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Pods {
    pub(super) by_name: BTreeMap<Arc<PodName>, Arc<Pod>>,
    bytes: usize,
}

impl Pods {
    fn of(list: Vec<Json>) -> Pods {
        let mut pods = Pods::default();
        for (name, pod) in list.into_iter().filter_map(Pod::read) {
            pods.put(&Arc::new(name), &Arc::new(pod));
        }
        pods
    }

    /// Takes a pod up, in place of one of its name.
    pub(super) fn put(&mut self, name: &Arc<PodName>, pod: &Arc<Pod>) {
        self.bytes += pod.bytes;
        if let Some(before) = self.by_name.insert(name.clone(), pod.clone()) {
            self.bytes -= before.bytes;
        }
    }

    /// Takes a pod out.
    pub(super) fn remove(&mut self, name: &PodName) {
        if let Some(before) = self.by_name.remove(name) {
            self.bytes -= before.bytes;
        }
    }

    /// The first ones by their names alone, as many as `left` bytes hold, which are fewer behind it.
    fn brief(&self, left: &mut usize) -> Pods {
        let mut pods = Pods::default();
        for (name, pod) in self.by_name.values().filter_map(|pod| pod.brief()) {
            let Some(rest) = left.checked_sub(pod.bytes) else {
                // The second list has no room that the first one lacked.
                *left = 0;
                break;
            };
            *left = rest;
            pods.put(&Arc::new(name), &Arc::new(pod));
        }
        pods
    }
}

impl Serialize for Pods {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.by_name.values().map(|pod| &pod.json))
    }
}

fn bytes_of_set(set: &TargetSet) -> usize {
    let addresses = set.ips.iter().chain(&set.known).map(bytes_of);
    let endpoints = set.endpoints.iter().map(|end| bytes_of(&end.ip) + PAIRED);
    let networks = set.networks.iter().map(|(base, _)| bytes_of(base) + PAIRED);
    addresses.chain(endpoints).chain(networks).sum()
}

/// Bytes that an address has more at most when it stands with a port or a length.
pub(super) const PAIRED: usize = 8;

/// Bytes of an address as text, with quotes and comma.
pub(super) fn bytes_of(ip: &IpAddr) -> usize {
    let mut counted = Counted(3);
    // Counting never fails.
    let _ = write!(counted, "{ip}");
    counted.0
}

/// Counts what is written.
struct Counted(usize);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Endpoint;

    fn pod(index: usize, label: usize) -> Json {
        json!({
            "metadata": {"name": format!("cart-{index:06}"), "namespace": "shop", "labels": {"a": "l".repeat(label)}},
            "spec": {"nodeName": "worker-1"}, "status": {"podIP": "10.0.0.1"},
        })
    }

    fn pods(count: usize, label: usize) -> Json {
        let list: Vec<Json> = (0..count).map(|index| pod(index, label)).collect();
        json!({"targets": list, "excluded": []})
    }

    #[test]
    fn lists_of_pods_become_brief_before_they_are_too_long() {
        let of = |count: usize, label: usize| {
            let told = Targeted::new(None, pods(count, label), None).unwrap();
            assert!(told.pod_bytes() <= MAX_PODS);
            told.pods()
        };
        assert_eq!(of(10, 10), pods(10, 10));
        let brief = of(10_000, 1000);
        let told = brief["targets"].as_array().unwrap();
        assert_eq!(told.len(), 10_000);
        let node = json!({"nodeName": "worker-1"});
        let metadata = json!({"name": "cart-000009", "namespace": "shop"});
        assert_eq!(told[9], json!({"metadata": metadata, "spec": node}));
        let cut = of(60_000, 10)["targets"].as_array().unwrap().len();
        assert!((30_000..60_000).contains(&cut), "{cut}");
    }

    #[test]
    fn what_is_told_is_read_as_it_was_and_is_no_longer_than_it_says() {
        let ip = |last: u16| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0xffff, last]);
        let mut set = TargetSet::default();
        for last in 0..100 {
            set.ips.insert(ip(last));
            set.known.insert(IpAddr::from([203, 0, 113, 200]));
            set.endpoints.insert(Endpoint {
                ip: ip(last),
                port: 65_535,
            });
            set.networks.push((ip(99 - last), 128));
        }
        set.networks.push((ip(7), 128));
        let filter = "\u{1}".repeat(50);
        let told = Targeted::new(Some(set), pods(10, 10), Some(filter)).unwrap();
        let text = serde_json::to_string(&told).unwrap();
        let read = Targeted::read(serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!(read, told);
        assert_eq!(read.set().unwrap().networks.len(), 100);
        let around = 100;
        assert!(
            text.len() <= told.bytes() + around,
            "{} {}",
            text.len(),
            told.bytes()
        );
        assert!(told.bytes() < text.len() + 1000);
    }

    #[test]
    fn addresses_that_no_message_holds_are_refused() {
        let mut set = TargetSet::default();
        set.known.extend(
            (0..600_000_u32).map(|last| IpAddr::from((3_000_000_000 + last).to_be_bytes())),
        );
        let refused = Targeted::new(Some(set), json!({}), None).err().unwrap();
        assert!(refused.to_string().contains("too long"), "{refused}");
    }

    #[test]
    fn what_a_hub_does_not_say_is_none_and_what_cannot_be_read_is_an_error() {
        let told = Targeted::read(json!({"set": null})).unwrap();
        assert_eq!(told, Targeted::default());
        assert_eq!(told.pods(), json!({"targets": [], "excluded": []}));
        let lists = json!({"targets": [1, {"metadata": {"name": "n"}}, pod(3, 1)], "excluded": 7});
        let told = Targeted::read(json!({"set": {"ips": ["10.0.0.7"]}, "pods": lists})).unwrap();
        assert_eq!(told.pods()["targets"], json!([pod(3, 1)]));
        for damaged in [
            json!({"set": {"ips": "all"}}),
            json!({"set": {"networks": [["10.0.0.0", 999]]}}),
            json!({"set": 7}),
        ] {
            assert!(Targeted::read(damaged.clone()).is_err(), "{damaged}");
        }
        for nothing in [
            json!(7),
            json!([1]),
            json!("x"),
            json!({"pods": {}}),
            Json::Null,
        ] {
            assert!(Targeted::read(nothing.clone()).is_err(), "{nothing}");
        }
    }
}
