//! What is kept of an object of the API server: what names addresses, nothing else.
//!
//! In: JSON of core/v1 and discovery.k8s.io. Out: small structs. Never: more than [`MAX_PORTS`] ports
//! or [`MAX_ADDRESSES`] addresses of one object; an error for what is missing or of another type.

use std::net::IpAddr;

use serde_json::{Map, Value as Json, json};

use crate::packet::Endpoint;
use crate::time::Timestamp;

/// Ports of one object that are read.
const MAX_PORTS: usize = 256;

/// Addresses of one object that are read; an endpoint slice has at most 1000 endpoints.
const MAX_ADDRESSES: usize = 1024;

/// The annotation in which kubectl keeps the whole object once more.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Namespace (empty for objects without one) and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The namespace; empty for nodes and namespaces.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Key {
    /// The key of an object; `None` when it has no name.
    pub fn of(object: &Json) -> Option<Key> {
        let metadata = object.get("metadata")?;
        Some(Key {
            namespace: text(metadata, "namespace").to_owned(),
            name: Some(text(metadata, "name"))
                .filter(|name| !name.is_empty())?
                .to_owned(),
        })
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.namespace.is_empty() {
            true => f.write_str(&self.name),
            false => write!(f, "{}/{}", self.namespace, self.name),
        }
    }
}

/// What made a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// `Deployment`, `StatefulSet`, `DaemonSet`, `Job`, ...
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// A container of a pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    /// Its name in the pod.
    pub name: String,
    /// Its image.
    pub image: String,
    /// Its id without the runtime's prefix; empty before it was made.
    pub id: String,
    /// Ports that it declares, each with the port of the node that leads there; 0 when none.
    pub ports: Vec<(u16, u16)>,
    /// Restarts so far.
    pub restarts: i64,
    /// Why it ended last, such as `OOMKilled`; empty when it never did.
    pub last_end: String,
    /// When that was (Unix seconds).
    pub ended_at: Option<i64>,
}

/// A pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Pod {
    /// Namespace and name.
    pub key: Key,
    /// Its unique id; a pod that is made again under the same name has another one.
    pub uid: String,
    /// The node that runs it; empty before one does.
    pub node: String,
    /// Whether it uses the addresses of its node.
    pub host_network: bool,
    /// Its addresses.
    pub ips: Vec<IpAddr>,
    /// The address of its node.
    pub host_ip: Option<IpAddr>,
    /// Its labels.
    pub labels: Map<String, Json>,
    /// Its annotations, without kubectl's copy of the object.
    pub annotations: Map<String, Json>,
    /// What made it, seen through the replica sets of deployments.
    pub owner: Option<Owner>,
    /// Its containers.
    pub containers: Vec<Container>,
    /// When it was made (Unix seconds).
    pub made: Option<i64>,
    /// When its node took it on (Unix seconds); it has no address before.
    pub from: Option<i64>,
    /// When a container of it first ran: it had its addresses then.
    pub ran: Option<i64>,
    /// Whether it is over: its addresses are free though the object is still there.
    pub is_over: bool,
    /// Whether it is being deleted.
    pub is_leaving: bool,
    /// Since when (Unix seconds), by the API server's clock.
    pub leaves: Option<i64>,
    /// When its last container ended, where all of them have. One that is to run again keeps its
    /// addresses meanwhile.
    pub ended: Option<i64>,
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: String,
    /// Why it is in that phase, such as `Evicted`; mostly empty.
    pub reason: String,
}

impl Pod {
    /// Reads a pod; `None` when it has no name.
    pub fn of(object: &Json) -> Option<Pod> {
        let key = Key::of(object)?;
        let metadata = object.get("metadata")?;
        let spec = object.get("spec").unwrap_or(&Json::Null);
        let status = object.get("status").unwrap_or(&Json::Null);
        let listed = list(status, "podIPs").filter_map(|one| ip(text(one, "ip")));
        let mut ips: Vec<IpAddr> = listed.take(MAX_ADDRESSES).collect();
        if ips.is_empty() {
            ips.extend(ip(text(status, "podIP")));
        }
        let statuses = || {
            ["initContainerStatuses", "containerStatuses"]
                .into_iter()
                .flat_map(|member| list(status, member))
        };
        let began = |state: &Json| {
            let states = [
                &["state", "running"],
                &["state", "terminated"],
                &["lastState", "terminated"],
            ];
            let of = |path: &[&str; 2]| moment(state.get(path[0])?.get(path[1])?.get("startedAt"));
            states.into_iter().filter_map(of).min()
        };
        let ends: Vec<Option<i64>> = list(status, "containerStatuses")
            .map(|one| moment(one.get("state")?.get("terminated")?.get("finishedAt")))
            .collect();
        let all_ended: Option<Vec<i64>> = ends.into_iter().collect();
        let mut annotations = map(metadata, "annotations");
        annotations.remove(LAST_APPLIED);
        let labels = map(metadata, "labels");
        Some(Pod {
            uid: text(metadata, "uid").to_owned(),
            node: text(spec, "nodeName").to_owned(),
            host_network: spec.get("hostNetwork").and_then(Json::as_bool) == Some(true),
            host_ip: ip(text(status, "hostIP")),
            owner: owner(metadata, &labels),
            containers: containers(spec, status),
            made: creation(metadata),
            from: moment(status.get("startTime")).or_else(|| creation(metadata)),
            ran: statuses().filter_map(began).min(),
            is_over: matches!(text(status, "phase"), "Succeeded" | "Failed"),
            phase: text(status, "phase").to_owned(),
            reason: text(status, "reason").to_owned(),
            is_leaving: metadata
                .get("deletionTimestamp")
                .is_some_and(Json::is_string),
            leaves: moment(metadata.get("deletionTimestamp")).map(|at| {
                let grace = metadata.get("deletionGracePeriodSeconds");
                at.saturating_sub(grace.and_then(Json::as_i64).unwrap_or(0))
            }),
            ended: all_ended.and_then(|ends| ends.into_iter().max()),
            key,
            ips,
            labels,
            annotations,
        })
    }

    /// The pod as core/v1 has it, as far as it is kept; what `hub.targeted()` of scripts lists.
    pub fn json(&self) -> Json {
        let ips: Vec<Json> = self
            .ips
            .iter()
            .map(|ip| json!({"ip": ip.to_string()}))
            .collect();
        let ports = |container: &Container| -> Vec<Json> {
            let of = |(port, host): &(u16, u16)| match host {
                0 => json!({"containerPort": port}),
                host => json!({"containerPort": port, "hostPort": host}),
            };
            container.ports.iter().map(of).collect()
        };
        let containers: Vec<Json> = self
            .containers
            .iter()
            .map(|one| json!({"name": one.name, "image": one.image, "ports": ports(one)}))
            .collect();
        let mut shown = json!({
            "metadata": {
                "name": self.key.name, "namespace": self.key.namespace, "uid": self.uid,
                "labels": self.labels,
            },
            "spec": {"nodeName": self.node, "containers": containers},
            "status": {
                "phase": self.phase,
                "podIP": self.ips.first().map_or_else(String::new, ToString::to_string),
                "podIPs": ips,
                "hostIP": self.host_ip.map_or_else(String::new, |ip| ip.to_string()),
            },
        });
        if self.host_network {
            shown["spec"]["hostNetwork"] = true.into();
        }
        shown
    }

    /// Where its traffic is found: its own addresses, and ports of its node's that lead to it.
    pub fn ends(&self) -> (&[IpAddr], Vec<Endpoint>) {
        let ips: &[IpAddr] = match self.host_network {
            true => &[],
            false => self.ips.as_slice(),
        };
        let outer = |(port, host_port): &(u16, u16)| match self.host_network {
            true => *port,
            false => *host_port,
        };
        let ports = self.containers.iter().flat_map(|one| &one.ports).map(outer);
        let ports = ports.filter(|port| *port > 0);
        let ends = ports.filter_map(|port| {
            Some(Endpoint {
                ip: self.host_ip?,
                port,
            })
        });
        (ips, ends.collect())
    }

    /// The revision of its owner that it was made from, by the label that deployments, stateful sets
    /// and daemon sets give it.
    pub fn revision(&self) -> Option<&str> {
        let label = |name: &str| self.labels.get(name).and_then(Json::as_str);
        label("pod-template-hash").or_else(|| label("controller-revision-hash"))
    }
}

impl Owner {
    /// What controls an object, by its metadata; `None` when nothing does.
    pub(super) fn of(metadata: &Json) -> Option<Owner> {
        let controls = |one: &&Json| one.get("controller").and_then(Json::as_bool) == Some(true);
        let reference = list(metadata, "ownerReferences").find(controls)?;
        Some(Owner {
            kind: text(reference, "kind").to_owned(),
            name: text(reference, "name").to_owned(),
        })
    }
}

/// What made a pod. A replica set of a deployment is called after it, with the hash that the pod
/// carries as a label behind.
fn owner(metadata: &Json, labels: &Map<String, Json>) -> Option<Owner> {
    let owner = Owner::of(metadata)?;
    if owner.kind == "ReplicaSet"
        && let Some(hash) = labels.get("pod-template-hash").and_then(Json::as_str)
        && let Some(deployment) = owner
            .name
            .strip_suffix(hash)
            .and_then(|name| name.strip_suffix('-'))
    {
        return Some(Owner {
            kind: "Deployment".to_owned(),
            name: deployment.to_owned(),
        });
    }
    Some(owner)
}

fn containers(spec: &Json, status: &Json) -> Vec<Container> {
    let mut left = MAX_PORTS;
    let of = |one: &Json| {
        let name = text(one, "name");
        let state = list(status, "containerStatuses").find(|state| text(state, "name") == name);
        let state = state.unwrap_or(&Json::Null);
        let id = text(state, "containerID");
        let ports: Vec<(u16, u16)> = list(one, "ports")
            .filter_map(|port| {
                Some((
                    port_of(port, "containerPort")?,
                    port_of(port, "hostPort").unwrap_or(0),
                ))
            })
            .take(left)
            .collect();
        left -= ports.len();
        let ended = |member: &str| state.get(member).and_then(|of| of.get("terminated"));
        let last = ended("state").or_else(|| ended("lastState"));
        let ended_at = last.and_then(|last| Timestamp::parse(text(last, "finishedAt")));
        Container {
            name: name.to_owned(),
            image: text(one, "image").to_owned(),
            id: id.split_once("://").map_or(id, |(_, id)| id).to_owned(),
            ports,
            restarts: state
                .get("restartCount")
                .and_then(Json::as_i64)
                .unwrap_or(0),
            last_end: last.map_or("", |last| text(last, "reason")).to_owned(),
            ended_at: ended_at.map(Timestamp::secs),
        }
    };
    list(spec, "containers").take(MAX_PORTS).map(of).collect()
}

/// A service.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Namespace and name.
    pub key: Key,
    /// `ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`.
    pub kind: String,
    /// Its labels.
    pub labels: Map<String, Json>,
    /// Addresses inside the cluster; none for headless services.
    pub cluster_ips: Vec<IpAddr>,
    /// Addresses of load balancers, and external ones.
    pub outer_ips: Vec<IpAddr>,
    /// Names outside the cluster that stand for it, or that it stands for.
    pub hosts: Vec<String>,
    /// Its ports.
    pub ports: Vec<u16>,
    /// Ports of every node that lead to it.
    pub node_ports: Vec<u16>,
    /// When it was made (Unix seconds).
    pub from: Option<i64>,
}

impl Service {
    /// Reads a service; `None` when it has no name.
    pub fn of(object: &Json) -> Option<Service> {
        let key = Key::of(object)?;
        let metadata = object.get("metadata")?;
        let spec = object.get("spec").unwrap_or(&Json::Null);
        let ingress = || {
            let balancer = object
                .get("status")
                .and_then(|status| status.get("loadBalancer"));
            balancer
                .into_iter()
                .flat_map(|balancer| list(balancer, "ingress"))
        };
        let mut cluster_ips: Vec<IpAddr> = texts(spec, "clusterIPs").filter_map(ip).collect();
        if cluster_ips.is_empty() {
            cluster_ips.extend(ip(text(spec, "clusterIP")));
        }
        let outer = ingress().filter_map(|one| ip(text(one, "ip")));
        let outer = outer.chain(texts(spec, "externalIPs").filter_map(ip));
        let external = Some(text(spec, "externalName"));
        let hosts = ingress().map(|one| text(one, "hostname")).chain(external);
        let hosts = hosts.filter(|host| !host.is_empty());
        Some(Service {
            kind: text(spec, "type").to_owned(),
            labels: map(metadata, "labels"),
            cluster_ips,
            outer_ips: outer.take(MAX_ADDRESSES).collect(),
            hosts: hosts
                .take(MAX_ADDRESSES)
                .map(|host| host.trim_end_matches('.').to_ascii_lowercase())
                .collect(),
            ports: ports_of(spec, "port"),
            node_ports: ports_of(spec, "nodePort"),
            from: creation(metadata),
            key,
        })
    }
}

/// One endpoint of a slice.
#[derive(Debug, Clone, PartialEq)]
pub struct SliceEndpoint {
    /// Its addresses.
    pub ips: Vec<IpAddr>,
    /// The pod that it is; `None` for endpoints that are none.
    pub pod: Option<Key>,
}

/// What ties a service to addresses: an endpoint slice, or an endpoints object.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice {
    /// Namespace and name.
    pub key: Key,
    /// The service's name.
    pub service: String,
    /// Its endpoints, ready or not.
    pub endpoints: Vec<SliceEndpoint>,
    /// Ports of each of them.
    pub ports: Vec<u16>,
    /// When it was made (Unix seconds).
    pub from: Option<i64>,
}

impl Slice {
    /// Reads an endpoint slice of `discovery.k8s.io`, or endpoints of core/v1.
    ///
    /// Endpoints with several subsets have all ports at all addresses here.
    pub fn of(object: &Json) -> Option<Slice> {
        let key = Key::of(object)?;
        let metadata = object.get("metadata")?;
        let from = creation(metadata);
        let pod = |endpoint: &Json| {
            let target = endpoint.get("targetRef")?;
            (text(target, "kind") == "Pod").then(|| Key {
                namespace: text(target, "namespace").to_owned(),
                name: text(target, "name").to_owned(),
            })
        };
        if object.get("subsets").is_some() {
            let subsets = || list(object, "subsets");
            let addresses = subsets().flat_map(|subset| {
                ["addresses", "notReadyAddresses"]
                    .into_iter()
                    .flat_map(|member| list(subset, member))
            });
            let endpoints = addresses.take(MAX_ADDRESSES).map(|address| SliceEndpoint {
                ips: ip(text(address, "ip")).into_iter().collect(),
                pod: pod(address),
            });
            let mut ports: Vec<u16> = subsets()
                .flat_map(|subset| ports_of(subset, "port"))
                .collect();
            ports.sort_unstable();
            ports.dedup();
            return Some(Slice {
                service: key.name.clone(),
                endpoints: endpoints.collect(),
                ports,
                from,
                key,
            });
        }
        let service = metadata
            .get("labels")
            .map_or("", |labels| text(labels, "kubernetes.io/service-name"));
        let endpoints = list(object, "endpoints")
            .take(MAX_ADDRESSES)
            .map(|endpoint| SliceEndpoint {
                ips: texts(endpoint, "addresses")
                    .filter_map(ip)
                    .take(MAX_ADDRESSES)
                    .collect(),
                pod: pod(endpoint),
            });
        Some(Slice {
            service: service.to_owned(),
            endpoints: endpoints.collect(),
            ports: ports_of(object, "port"),
            from,
            key,
        })
    }
}

/// Something that a node is short of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pressure {
    /// `MemoryPressure`, `DiskPressure` or `PIDPressure`.
    pub kind: String,
    /// Since when (Unix seconds), by the node's clock.
    pub since: Option<i64>,
}

/// A node.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its name.
    pub key: Key,
    /// Its addresses.
    pub ips: Vec<IpAddr>,
    /// Networks of its pods, as `10.244.1.0/24`.
    pub networks: Vec<(IpAddr, u8)>,
    /// What it is short of.
    pub pressures: Vec<Pressure>,
    /// When it was made (Unix seconds).
    pub from: Option<i64>,
}

impl Node {
    /// Reads a node; `None` when it has no name.
    pub fn of(object: &Json) -> Option<Node> {
        let key = Key::of(object)?;
        let metadata = object.get("metadata")?;
        let spec = object.get("spec").unwrap_or(&Json::Null);
        let status = object.get("status").unwrap_or(&Json::Null);
        let addresses = list(status, "addresses").filter_map(|one| ip(text(one, "address")));
        let presses =
            |one: &&Json| text(one, "type").ends_with("Pressure") && text(one, "status") == "True";
        let pressures = list(status, "conditions").filter(presses);
        let mut networks: Vec<_> = texts(spec, "podCIDRs").filter_map(network).collect();
        if networks.is_empty() {
            networks.extend(network(text(spec, "podCIDR")));
        }
        Some(Node {
            ips: addresses.take(MAX_ADDRESSES).collect(),
            pressures: pressures
                .take(MAX_PORTS)
                .map(|one| Pressure {
                    kind: text(one, "type").to_owned(),
                    since: moment(one.get("lastTransitionTime")),
                })
                .collect(),
            networks,
            from: creation(metadata),
            key,
        })
    }
}

fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (base, length) = text.split_once('/')?;
    let (base, length): (IpAddr, u8) = (base.parse().ok()?, length.parse().ok()?);
    (length <= if base.is_ipv4() { 32 } else { 128 }).then_some((base, length))
}

/// When an object was made (Unix seconds).
pub(super) fn creation(metadata: &Json) -> Option<i64> {
    moment(metadata.get("creationTimestamp"))
}

/// A time (Unix seconds).
fn moment(at: Option<&Json>) -> Option<i64> {
    Some(Timestamp::parse(at?.as_str()?)?.secs())
}

/// A text member; empty where it is missing or none.
pub(super) fn text<'j>(of: &'j Json, member: &str) -> &'j str {
    of.get(member).and_then(Json::as_str).unwrap_or_default()
}

fn list<'j>(of: &'j Json, member: &str) -> impl Iterator<Item = &'j Json> {
    of.get(member)
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
}

fn texts<'j>(of: &'j Json, member: &str) -> impl Iterator<Item = &'j str> {
    list(of, member).filter_map(Json::as_str)
}

fn map(of: &Json, member: &str) -> Map<String, Json> {
    of.get(member)
        .and_then(Json::as_object)
        .cloned()
        .unwrap_or_default()
}

fn ip(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

/// A port that is set; 0 stands for none.
fn port_of(of: &Json, member: &str) -> Option<u16> {
    let port = of.get(member).and_then(Json::as_u64)?;
    u16::try_from(port).ok().filter(|port| *port > 0)
}

fn ports_of(of: &Json, member: &str) -> Vec<u16> {
    list(of, "ports")
        .take(MAX_PORTS)
        .filter_map(|port| port_of(port, member))
        .collect()
}

#[cfg(test)]
mod tests;
