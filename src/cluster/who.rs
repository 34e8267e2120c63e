//! Which object has which addresses.
//!
//! In: objects as lists and watches give them, in any order of kinds. Out: [`Update`]s of the
//! history; the pods, for targets and pages. Never: an object that the API server does not have any
//! more, beyond the next list.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::holders::{Claim, Holders, Rank};
use super::kinds::Kind;
use super::objects::{Container, Key, Node, Pod, Service, Slice};
use crate::item::Identity;
use crate::packet::Endpoint;
use crate::resolve::{Address, Name, Update};
use crate::time::Timestamp;

/// Ports of one pod that are named.
const MAX_PORTS: usize = 256;

/// Objects of one kind that are kept; a cluster of the largest size supported has 150,000 pods.
const MAX_OBJECTS: usize = 200_000;

/// Seconds between two looks for claims that ended long ago, and how long ago that is.
const SWEEP_EVERY: i64 = 60;
const SWEEP_AFTER: i64 = 600;

type Map<V> = HashMap<Key, V, ahash::RandomState>;

/// The objects of a cluster, and who has which address.
#[derive(Debug, Default)]
pub struct Who {
    pods: Map<Pod>,
    services: Map<Service>,
    slices: Map<Slice>,
    nodes: Map<Node>,
    namespaces: Map<BTreeMap<String, String>>,
    /// Slices that list a pod.
    of_pod: Map<BTreeSet<Key>>,
    /// Services by the names outside the cluster that they stand for.
    hosts: HashMap<String, Key, ahash::RandomState>,
    holders: Holders,
    listed: HashSet<Kind>,
    /// Kinds that will not be told for now.
    without: HashSet<Kind>,
    swept: i64,
}

impl Who {
    /// Nothing is known yet.
    pub fn new() -> Who {
        Who::default()
    }

    /// Takes in an object that is there at `at`.
    pub fn apply(&mut self, kind: Kind, object: &Json, at: Timestamp) -> Vec<Update> {
        let now = at.secs();
        let Some(key) = Key::of(object) else {
            return Vec::new();
        };
        if self.count(kind) >= MAX_OBJECTS && !self.has(kind, &key) {
            return Vec::new();
        }
        match kind {
            Kind::Pods => Pod::of(object).map(|pod| self.put_pod(pod, now)),
            Kind::Services => Service::of(object).map(|service| self.put_service(service, now)),
            Kind::EndpointSlices => Slice::of(object).map(|slice| self.put_slice(slice, now)),
            Kind::Nodes => Node::of(object).map(|node| self.put_node(node, now)),
            Kind::Namespaces => {
                let labels = object
                    .get("metadata")
                    .and_then(|metadata| metadata.get("labels"));
                let labels = labels.and_then(Json::as_object).into_iter().flatten();
                let labels = labels
                    .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
                self.namespaces.insert(key, labels.collect());
                None
            }
            Kind::Events => None,
        }
        .unwrap_or_default()
    }

    /// Takes out an object that is gone at `at`.
    pub fn remove(&mut self, kind: Kind, key: &Key, at: Timestamp) -> Vec<Update> {
        let now = at.secs();
        match kind {
            Kind::Pods => match self.pods.remove(key) {
                Some(pod) => {
                    let ended = end_of(&pod, now);
                    self.holders.end(&owner_of_pod(&pod), ended)
                }
                None => Vec::new(),
            },
            Kind::Services => {
                self.services.remove(key);
                self.hosts.retain(|_, service| service != key);
                self.holders.end(&owner("service", key), now)
            }
            Kind::EndpointSlices => match self.slices.remove(key) {
                Some(slice) => {
                    let mut updates = self.holders.end(&owner("slice", key), now);
                    self.untie(&slice, now, &mut updates);
                    updates
                }
                None => Vec::new(),
            },
            Kind::Nodes => {
                self.nodes.remove(key);
                self.holders.end(&owner("node", key), now)
            }
            Kind::Namespaces => {
                self.namespaces.remove(key);
                Vec::new()
            }
            Kind::Events => Vec::new(),
        }
    }

    /// A list is complete: what it did not have, in its namespace or in all, is gone. Answers the
    /// keys of what went with the updates.
    pub fn complete(
        &mut self,
        kind: Kind,
        namespace: Option<&str>,
        there: &HashSet<Key>,
        at: Timestamp,
    ) -> (Vec<Key>, Vec<Update>) {
        let within = |key: &&Key| namespace.is_none_or(|namespace| key.namespace == namespace);
        let known: Vec<&Key> = match kind {
            Kind::Pods => self.pods.keys().collect(),
            Kind::Services => self.services.keys().collect(),
            Kind::EndpointSlices => self.slices.keys().collect(),
            Kind::Nodes => self.nodes.keys().collect(),
            Kind::Namespaces => self.namespaces.keys().collect(),
            Kind::Events => Vec::new(),
        };
        let gone = known
            .into_iter()
            .filter(within)
            .filter(|key| !there.contains(key));
        let gone: Vec<Key> = gone.cloned().collect();
        let mut updates = Vec::new();
        for key in &gone {
            updates.extend(self.remove(kind, key, at));
        }
        self.listed.insert(kind);
        (gone, updates)
    }

    /// Takes in a whole list as of `at`: the API server's answer, or what `kubectl get -o json` wrote.
    /// Objects of other kinds in it are passed over.
    pub fn list(&mut self, kind: Kind, list: &Json, at: Timestamp) -> Vec<Update> {
        let items = list.get("items").and_then(Json::as_array);
        let is_of_kind = |object: &&Json| match object.get("kind").and_then(Json::as_str) {
            Some(named) => {
                named == kind.object() || (kind, named) == (Kind::EndpointSlices, "Endpoints")
            }
            None => true,
        };
        let mut there = HashSet::new();
        let mut updates = Vec::new();
        for object in items.into_iter().flatten().filter(is_of_kind) {
            there.extend(Key::of(object));
            updates.extend(self.apply(kind, object, at));
        }
        updates.extend(self.complete(kind, None, &there, at).1);
        updates
    }

    /// Whether a kind was listed once.
    pub fn is_listed(&self, kind: Kind) -> bool {
        self.listed.contains(&kind)
    }

    /// Says that a kind will not be told: what is known without it counts.
    pub fn give_up(&mut self, kind: Kind) {
        self.without.insert(kind);
    }

    /// Drops what ended long ago; cheap when there is nothing to do.
    pub fn sweep(&mut self, at: Timestamp) {
        if at.secs() - self.swept >= SWEEP_EVERY {
            self.swept = at.secs();
            self.holders.forget_before(at.secs() - SWEEP_AFTER);
        }
    }

    /// The pods.
    pub fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods.values()
    }

    /// One node.
    pub fn node(&self, key: &Key) -> Option<&Node> {
        self.nodes.get(key)
    }

    /// One pod.
    pub fn pod(&self, key: &Key) -> Option<&Pod> {
        self.pods.get(key)
    }

    /// The nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// The services.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.values()
    }

    /// Labels of a namespace; `None` when it is not known.
    pub fn namespace(&self, name: &str) -> Option<&BTreeMap<String, String>> {
        let key = Key {
            namespace: String::new(),
            name: name.to_owned(),
        };
        self.namespaces.get(&key)
    }

    /// The service that stands for a name outside the cluster (`ExternalName`, or the host of a load
    /// balancer), without the last dot.
    pub fn service_of_host(&self, host: &str) -> Option<&Key> {
        self.hosts.get(host)
    }

    /// Objects of a kind.
    pub fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Pods => self.pods.len(),
            Kind::Services => self.services.len(),
            Kind::EndpointSlices => self.slices.len(),
            Kind::Nodes => self.nodes.len(),
            Kind::Namespaces => self.namespaces.len(),
            Kind::Events => 0,
        }
    }

    /// Addresses that somebody claims, and claims to them.
    pub fn claims(&self) -> (usize, usize) {
        self.holders.size()
    }

    fn has(&self, kind: Kind, key: &Key) -> bool {
        match kind {
            Kind::Pods => self.pods.contains_key(key),
            Kind::Services => self.services.contains_key(key),
            Kind::EndpointSlices => self.slices.contains_key(key),
            Kind::Nodes => self.nodes.contains_key(key),
            Kind::Namespaces => self.namespaces.contains_key(key),
            Kind::Events => false,
        }
    }

    /// Until all kinds are there, what is told belongs to the beginning.
    fn is_settling(&self) -> bool {
        let told = |kind| self.listed.contains(kind) || self.without.contains(kind);
        !Kind::ALL.iter().all(told)
    }

    fn put_pod(&mut self, mut pod: Pod, now: i64) -> Vec<Update> {
        let mut updates = Vec::new();
        if let Some(before) = self.pods.get(&pod.key) {
            if before.uid != pod.uid {
                let ended = end_of(before, now);
                updates.extend(self.holders.end(&owner_of_pod(before), ended));
            } else if !before.ips.is_empty() {
                // The first time it had addresses is when it surely held them.
                pod.ran = [pod.ran, before.ran].into_iter().flatten().min();
            }
        }
        if !pod.ips.is_empty() {
            pod.ran = Some(pod.ran.map_or(now, |ran| ran.min(now)));
        }
        if pod.is_over && pod.ended.is_none() {
            let known = self.pods.get(&pod.key).and_then(|before| before.ended);
            pod.ended = Some(known.unwrap_or(now));
        }
        updates.extend(self.claim_pod(&pod, now));
        self.pods.insert(pod.key.clone(), pod);
        updates
    }

    fn claim_pod(&mut self, pod: &Pod, now: i64) -> Vec<Update> {
        let services = self.services_of(pod);
        let claims = pod_claims(pod, &services, now);
        let settling = self.is_settling();
        self.holders.put(&owner_of_pod(pod), claims, now, settling)
    }

    /// Service and slice by port of a pod.
    fn services_of(&self, pod: &Pod) -> BTreeMap<u16, (&str, &Key)> {
        let mut services = BTreeMap::new();
        for key in self.of_pod.get(&pod.key).into_iter().flatten() {
            let Some(slice) = self.slices.get(key) else {
                continue;
            };
            for port in &slice.ports {
                let named = services
                    .entry(*port)
                    .or_insert((slice.service.as_str(), key));
                // Of several services the first by name, so that it is always the same one.
                if slice.service.as_str() < named.0 {
                    *named = (slice.service.as_str(), key);
                }
            }
        }
        services
    }

    fn put_service(&mut self, service: Service, now: i64) -> Vec<Update> {
        self.hosts.retain(|_, known| *known != service.key);
        for host in &service.hosts {
            if self.hosts.len() < MAX_OBJECTS {
                self.hosts.insert(host.clone(), service.key.clone());
            }
        }
        let identity = identity_of(&json!({"service": service_json(&service)}));
        let from = service.from.unwrap_or(now);
        let claim = |rank| Claim {
            rank,
            from,
            sure: from,
            to: None,
            name: name(&service.key, identity.clone()),
        };
        let mut claims = BTreeMap::new();
        for ip in service.cluster_ips.iter().chain(&service.outer_ips) {
            claims.insert(Address::Ip(*ip), claim(Rank::Service));
            // A load balancer may give a node's address away; its ports are the service's all the same.
            for port in &service.ports {
                let at = Endpoint {
                    ip: *ip,
                    port: *port,
                };
                claims.insert(Address::Endpoint(at), claim(Rank::Service));
            }
        }
        for port in &service.node_ports {
            claims.insert(Address::NodePort(*port), claim(Rank::Service));
        }
        let owner = owner("service", &service.key);
        let settling = self.is_settling();
        self.services.insert(service.key.clone(), service);
        let claims = claims.into_iter().collect();
        self.holders.put(&owner, claims, now, settling)
    }

    fn put_slice(&mut self, slice: Slice, now: i64) -> Vec<Update> {
        let mut updates = Vec::new();
        let before = self.slices.insert(slice.key.clone(), slice.clone());
        let from = slice.from.unwrap_or(now);
        let service = Key {
            namespace: slice.key.namespace.clone(),
            name: slice.service.clone(),
        };
        let identity = identity_of(&json!({
            "service": {"metadata": metadata(&service)},
            "endpointSlice": {"metadata": metadata(&slice.key)},
        }));
        let mut claims = BTreeMap::new();
        let others = slice
            .endpoints
            .iter()
            .filter(|endpoint| endpoint.pod.is_none());
        for ip in others.flat_map(|endpoint| &endpoint.ips) {
            for port in &slice.ports {
                let at = Endpoint {
                    ip: *ip,
                    port: *port,
                };
                let claim = Claim {
                    rank: Rank::Endpoint,
                    from,
                    sure: from,
                    to: None,
                    name: name(&service, identity.clone()),
                };
                claims.insert(Address::Endpoint(at), claim);
            }
        }
        let settling = self.is_settling();
        let owner = owner("slice", &slice.key);
        updates.extend(
            self.holders
                .put(&owner, claims.into_iter().collect(), now, settling),
        );
        let pods: BTreeSet<Key> = pods_of(&slice);
        for pod in &pods {
            self.of_pod
                .entry(pod.clone())
                .or_default()
                .insert(slice.key.clone());
        }
        let (old_pods, same) = match &before {
            Some(before) => (
                pods_of(before),
                before.ports == slice.ports && before.service == slice.service,
            ),
            None => (BTreeSet::new(), false),
        };
        for gone in old_pods.difference(&pods) {
            self.untie_pod(gone, &slice.key);
        }
        let changed: Vec<Key> = match same {
            true => pods.symmetric_difference(&old_pods).cloned().collect(),
            false => pods.union(&old_pods).cloned().collect(),
        };
        self.claim_again(&changed, now, &mut updates);
        updates
    }

    fn untie(&mut self, slice: &Slice, now: i64, updates: &mut Vec<Update>) {
        let pods = pods_of(slice);
        for pod in &pods {
            self.untie_pod(pod, &slice.key);
        }
        let pods: Vec<Key> = pods.into_iter().collect();
        self.claim_again(&pods, now, updates);
    }

    fn untie_pod(&mut self, pod: &Key, slice: &Key) {
        if let Some(slices) = self.of_pod.get_mut(pod) {
            slices.remove(slice);
            if slices.is_empty() {
                self.of_pod.remove(pod);
            }
        }
    }

    fn claim_again(&mut self, pods: &[Key], now: i64, updates: &mut Vec<Update>) {
        for key in pods {
            if let Some(pod) = self.pods.get(key).cloned() {
                updates.extend(self.claim_pod(&pod, now));
            }
        }
    }

    fn put_node(&mut self, node: Node, now: i64) -> Vec<Update> {
        let identity = identity_of(&json!({"node": {"metadata": {"name": node.key.name}}}));
        let from = node.from.unwrap_or(now);
        let mut claims = BTreeMap::new();
        let claim = |rank| Claim {
            rank,
            from,
            sure: from,
            to: None,
            name: name(&node.key, identity.clone()),
        };
        for (base, _) in &node.networks {
            claims.insert(Address::Ip(first_of(*base)), claim(Rank::Gateway));
        }
        for ip in &node.ips {
            claims.insert(Address::Ip(*ip), claim(Rank::Node));
        }
        let owner = owner("node", &node.key);
        let settling = self.is_settling();
        self.nodes.insert(node.key.clone(), node);
        self.holders
            .put(&owner, claims.into_iter().collect(), now, settling)
    }
}

/// What a pod claims: its addresses, and ports of them of which more is known.
fn pod_claims(
    pod: &Pod,
    services: &BTreeMap<u16, (&str, &Key)>,
    now: i64,
) -> Vec<(Address, Claim)> {
    let from = pod.from.unwrap_or(now);
    let sure = pod.ran.unwrap_or(now).max(from);
    let base = pod_json(pod);
    let claim = |container: Option<&Container>, service: Option<&(&str, &Key)>| {
        let mut shown = base.clone();
        if let Some(container) = container {
            shown["container"] = json!({
                "name": container.name, "image": container.image, "id": container.id,
            });
        }
        let mut who = json!({"pod": shown});
        if let Some((service, slice)) = service {
            let service = Key {
                namespace: slice.namespace.clone(),
                name: (*service).to_owned(),
            };
            who["service"] = json!({"metadata": metadata(&service)});
            who["endpointSlice"] = json!({"metadata": metadata(slice)});
        }
        Claim {
            rank: Rank::Pod,
            from,
            sure,
            to: pod.ended.filter(|_| pod.is_over),
            name: name(&pod.key, identity_of(&who)),
        }
    };
    let mut claims = BTreeMap::new();
    if !pod.host_network {
        for ip in &pod.ips {
            claims.insert(Address::Ip(*ip), claim(None, None));
        }
    }
    // One container alone is the one that listens, whatever it declares.
    let only = match pod.containers.as_slice() {
        [only] => Some(only),
        _ => None,
    };
    let mut ports: BTreeMap<u16, Option<&Container>> = BTreeMap::new();
    for container in &pod.containers {
        for (port, host_port) in &container.ports {
            ports.entry(*port).or_insert(Some(container));
            if *host_port > 0
                && !pod.host_network
                && let Some(ip) = pod.host_ip
            {
                let at = Endpoint {
                    ip,
                    port: *host_port,
                };
                claims.insert(
                    Address::Endpoint(at),
                    claim(Some(container), services.get(port)),
                );
            }
        }
    }
    for port in services.keys() {
        ports.entry(*port).or_insert(only);
    }
    let host = pod
        .host_ip
        .filter(|_| pod.host_network && pod.ips.is_empty());
    let ips: Vec<IpAddr> = pod.ips.iter().copied().chain(host).collect();
    for (port, container) in ports.into_iter().take(MAX_PORTS) {
        for ip in &ips {
            let at = Endpoint { ip: *ip, port };
            claims.insert(Address::Endpoint(at), claim(container, services.get(&port)));
        }
    }
    claims.into_iter().collect()
}

fn pod_json(pod: &Pod) -> Json {
    let mut shown = json!({
        "metadata": {
            "name": pod.key.name,
            "namespace": pod.key.namespace,
            "uid": pod.uid,
            "labels": pod.labels,
            "annotations": pod.annotations,
        },
        "spec": {"nodeName": pod.node},
    });
    if pod.host_network {
        shown["spec"]["hostNetwork"] = true.into();
    }
    if let Some(owner) = &pod.owner {
        shown["owner"] = json!({"kind": owner.kind, "name": owner.name});
    }
    shown
}

fn service_json(service: &Service) -> Json {
    let mut metadata = metadata(&service.key);
    metadata["labels"] = service.labels.clone().into();
    json!({"metadata": metadata, "spec": {"type": service.kind}})
}

fn metadata(key: &Key) -> Json {
    json!({"name": key.name, "namespace": key.namespace})
}

fn identity_of(json: &Json) -> Option<Arc<Identity>> {
    Identity::from_json(json).map(Arc::new)
}

fn name(key: &Key, identity: Option<Arc<Identity>>) -> Name {
    Name {
        identity,
        ..Name::plain(&key.name, &key.namespace)
    }
}

fn owner(kind: &str, key: &Key) -> String {
    format!("{kind}/{key}")
}

fn owner_of_pod(pod: &Pod) -> String {
    format!("pod/{}/{}", pod.key, pod.uid)
}

/// When a pod that is gone at `now` ended.
fn end_of(pod: &Pod, now: i64) -> i64 {
    let is_told = pod.is_over || pod.is_leaving;
    let ended = pod.ended.filter(|ended| is_told && *ended <= now);
    ended.unwrap_or(now)
}

fn pods_of(slice: &Slice) -> BTreeSet<Key> {
    let pods = slice
        .endpoints
        .iter()
        .filter_map(|endpoint| endpoint.pod.clone());
    pods.collect()
}

/// The first address of a network behind its base, which bridges of a node have.
pub(super) fn first_of(base: IpAddr) -> IpAddr {
    match base {
        IpAddr::V4(ip) => IpAddr::V4((u32::from(ip).saturating_add(1)).into()),
        IpAddr::V6(ip) => IpAddr::V6((u128::from(ip).saturating_add(1)).into()),
    }
}

#[cfg(test)]
mod captures;
#[cfg(test)]
mod tests;
