//! What happens to pods and nodes, as far as recordings wait for it (`recordings.on`).
//!
//! In: pods and nodes as they were and as they are, events of failed probes. Out: [`Happening`]s, each
//! with the addresses that it is about. Never: the past without its time; what a first list tells of it
//! says when it was, or since when it may have been (`past.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::objects::{Key, Node, Owner, Pod};
use super::who::Who;
use crate::packet::Endpoint;
use crate::time::Timestamp;

mod past;
mod revisions;

pub use past::Remembered;
pub(super) use past::{of_first, of_first_node, of_lost, of_rollouts};
pub(super) use revisions::{KINDS as REVISIONS, Revisions};

/// Addresses of one kind that a happening names: those of the pods of a large deployment.
const MAX_ADDRESSES: usize = 4096;

/// Bytes of a message that are kept.
const MAX_MESSAGE: usize = 512;

/// Seconds that the clock of a node may be before ours, and after which what it tells is old.
const MAX_AHEAD: i64 = 5;
pub(super) const MAX_AGE: i64 = 3600;

/// Seconds within which the same revision of the same owner is one rollout: when its first pod is gone, a
/// later one tells of it.
const ONE_ROLLOUT: i64 = 120;

/// What may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum What {
    /// A container of a pod was started again.
    #[serde(rename = "podRestart")]
    PodRestart,
    /// A container was ended because it took too much memory.
    #[serde(rename = "OOMKilled")]
    OomKilled,
    /// A pod is being deleted, or was evicted.
    #[serde(rename = "podDeleted")]
    PodDeleted,
    /// A liveness, readiness or startup probe failed.
    #[serde(rename = "failedProbe")]
    FailedProbe,
    /// The first pod of a new revision of a deployment, stateful set or daemon set is there.
    #[serde(rename = "rollout")]
    Rollout,
    /// A node is short of memory, disk or process numbers.
    #[serde(rename = "nodePressure")]
    NodePressure,
}

impl What {
    /// All of them.
    pub const ALL: [What; 6] = [
        What::PodRestart,
        What::OomKilled,
        What::PodDeleted,
        What::FailedProbe,
        What::Rollout,
        What::NodePressure,
    ];

    /// Its name in configurations and manifests.
    pub fn name(self) -> &'static str {
        match self {
            What::PodRestart => "podRestart",
            What::OomKilled => "OOMKilled",
            What::PodDeleted => "podDeleted",
            What::FailedProbe => "failedProbe",
            What::Rollout => "rollout",
            What::NodePressure => "nodePressure",
        }
    }

    /// By its name, whatever its case.
    pub fn named(name: &str) -> Option<What> {
        What::ALL
            .into_iter()
            .find(|what| what.name().eq_ignore_ascii_case(name))
    }
}

/// Where traffic is found.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ends {
    /// Addresses, with all their ports.
    pub ips: Vec<IpAddr>,
    /// Single ports of addresses that others have too.
    pub ports: Vec<(IpAddr, u16)>,
}

impl Ends {
    /// Where the traffic of these pods is.
    fn of<'p>(pods: impl Iterator<Item = &'p Pod>) -> Ends {
        let (mut ips, mut ports) = (BTreeSet::new(), BTreeSet::new());
        for pod in pods {
            let (own, shared) = pod.ends();
            ips.extend(own.iter().copied());
            ports.extend(shared.into_iter().map(|end| (end.ip, end.port)));
            if ips.len() >= MAX_ADDRESSES || ports.len() >= MAX_ADDRESSES {
                break;
            }
        }
        Ends::bounded(ips, ports)
    }

    /// Not more of them than belong to a happening.
    fn bounded(ips: BTreeSet<IpAddr>, ports: BTreeSet<(IpAddr, u16)>) -> Ends {
        Ends {
            ips: ips.into_iter().take(MAX_ADDRESSES).collect(),
            ports: ports.into_iter().take(MAX_ADDRESSES).collect(),
        }
    }

    /// Whether an end of a stream is one of them.
    pub fn has(&self, end: Endpoint) -> bool {
        self.ips.contains(&end.ip) || self.ports.contains(&(end.ip, end.port))
    }
}

/// Something that happened to a pod or a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Happening {
    /// What.
    pub what: What,
    /// When, in Unix nanoseconds.
    pub at_nanos: i64,
    /// The earliest moment at which it may have been, where `at_nanos` is only when it was noticed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_nanos: Option<i64>,
    /// The unique id of the pod; empty when it is about none.
    #[serde(default)]
    pub uid: String,
    /// Namespace and name of the pod; of a node the name alone; of a rollout those of its first pod.
    #[serde(default)]
    pub namespace: String,
    /// See `namespace`.
    #[serde(default)]
    pub name: String,
    /// The node; empty when not known.
    #[serde(default)]
    pub node: String,
    /// The container; empty when it is about the pod.
    #[serde(default)]
    pub container: String,
    /// What made the pod, as `Deployment/cart`; empty when nothing did.
    #[serde(default)]
    pub owner: String,
    /// What is said of it.
    #[serde(default)]
    pub message: String,
    /// Where the traffic of the pod is, or of all pods of the node or the revision's owner.
    #[serde(default)]
    pub pod: Ends,
    /// Where the traffic of all pods with the same owner is.
    #[serde(default)]
    pub all: Ends,
    /// Addresses that are nobody's peer: those of nodes and their bridges.
    #[serde(default)]
    pub shared: Vec<IpAddr>,
}

impl Happening {
    /// When.
    pub fn at(&self) -> Timestamp {
        Timestamp::from_nanos(self.at_nanos)
    }

    /// Since when it may have been.
    pub fn since(&self) -> Timestamp {
        self.since_nanos.map_or(self.at(), |nanos| {
            Timestamp::from_nanos(nanos).min(self.at())
        })
    }

    /// Whether this tells of the same as another one, which was told before.
    pub fn is_same(&self, other: &Happening) -> bool {
        if self.what != other.what || self.namespace != other.namespace {
            return false;
        }
        let is_of_it = self.uid == other.uid && self.name == other.name;
        match self.what {
            // A pod goes once, whoever notices it when.
            What::PodDeleted if !self.uid.is_empty() => is_of_it,
            What::Rollout => {
                let apart = (self.at().secs() - other.at().secs()).abs();
                self.owner == other.owner && self.message == other.message && apart <= ONE_ROLLOUT
            }
            _ => is_of_it && self.at_nanos == other.at_nanos && self.container == other.container,
        }
    }

    fn of_pod(what: What, pod: &Pod, at: Timestamp, who: &Who) -> Happening {
        let own = Ends::of(std::iter::once(pod));
        let all = match &pod.owner {
            Some(owner) => {
                let others = siblings(who, pod, owner);
                Ends::of(std::iter::once(pod).chain(others))
            }
            None => own.clone(),
        };
        Happening {
            what,
            at_nanos: at.nanos(),
            since_nanos: None,
            uid: pod.uid.clone(),
            namespace: pod.key.namespace.clone(),
            name: pod.key.name.clone(),
            node: pod.node.clone(),
            container: String::new(),
            owner: shown(pod.owner.as_ref()),
            message: String::new(),
            pod: own,
            all,
            shared: shared(who),
        }
    }
}

fn shown(owner: Option<&Owner>) -> String {
    owner.map_or_else(String::new, |owner| {
        format!("{}/{}", owner.kind, owner.name)
    })
}

/// The other pods of an owner.
fn siblings<'w>(who: &'w Who, pod: &Pod, owner: &Owner) -> impl Iterator<Item = &'w Pod> {
    let (key, owner) = (pod.key.clone(), owner.clone());
    who.pods().filter(move |one| {
        one.key.namespace == key.namespace
            && one.key.name != key.name
            && one.owner.as_ref() == Some(&owner)
    })
}

fn shared(who: &Who) -> Vec<IpAddr> {
    let of_node = |node: &Node| {
        let bridges = node
            .networks
            .iter()
            .map(|(base, _)| super::who::first_of(*base));
        node.ips.iter().copied().chain(bridges).collect::<Vec<_>>()
    };
    who.nodes().flat_map(of_node).take(MAX_ADDRESSES).collect()
}

/// A moment that a node told, where it can be meant so.
fn told(secs: Option<i64>, now: Timestamp) -> Timestamp {
    match secs {
        Some(secs) if (now.secs() - MAX_AGE..=now.secs() + MAX_AHEAD).contains(&secs) => {
            Timestamp::from_secs(secs, 0)
        }
        _ => now,
    }
}

/// What happened to a pod that was `before` and is `after` at `now`.
pub(super) fn of_pod(before: &Pod, after: &Pod, who: &Who, now: Timestamp) -> Vec<Happening> {
    let mut found = Vec::new();
    if before.uid != after.uid {
        return found;
    }
    for container in &after.containers {
        let known = before
            .containers
            .iter()
            .find(|one| one.name == container.name);
        let ended = told(container.ended_at, now);
        let mut note = |what, message: String| {
            found.push(Happening {
                container: container.name.clone(),
                message,
                ..Happening::of_pod(what, after, ended, who)
            });
        };
        let restarts = known.map_or(0, |known| known.restarts);
        let is_new = known.is_none_or(|known| {
            known.last_end != container.last_end || known.ended_at != container.ended_at
        });
        if container.last_end == "OOMKilled" && is_new {
            note(
                What::OomKilled,
                format!("restarts so far: {}", container.restarts),
            );
        }
        if container.restarts > restarts {
            let why = match container.last_end.as_str() {
                "" => String::new(),
                why => format!("the container before ended: {why}"),
            };
            note(What::PodRestart, why);
        }
    }
    let is_evicted = |pod: &Pod| pod.is_over && pod.reason == "Evicted";
    if after.is_leaving && !before.is_leaving || is_evicted(after) && !is_evicted(before) {
        let why = match is_evicted(after) {
            true => "Evicted",
            false => "",
        };
        found.push(Happening {
            message: why.to_owned(),
            ..Happening::of_pod(What::PodDeleted, after, now, who)
        });
    }
    found
}

/// What the end of a pod is, of which nobody said before that it is to go.
pub(super) fn of_gone(pod: &Pod, who: &Who, now: Timestamp) -> Option<Happening> {
    let is_told = pod.is_leaving || pod.is_over;
    (!is_told).then(|| Happening::of_pod(What::PodDeleted, pod, now, who))
}

/// What a pod that is new at `now` begins: the first of a revision while there are pods of another. It
/// began when the pod was made.
pub(super) fn of_new(pod: &Pod, who: &Who, now: Timestamp) -> Option<Happening> {
    let (owner, revision) = (pod.owner.as_ref()?, pod.revision()?);
    let mut others = siblings(who, pod, owner)
        .filter(|one| !one.is_over)
        .peekable();
    others.peek()?;
    if others.any(|one| one.revision() == Some(revision)) {
        return None;
    }
    Some(begun(pod, revision, told(pod.made, now), who))
}

/// The rollout of a revision, whose first pod this is.
fn begun(first: &Pod, revision: &str, at: Timestamp, who: &Who) -> Happening {
    let begun = Happening::of_pod(What::Rollout, first, at, who);
    Happening {
        message: format!("revision {revision}"),
        pod: begun.all.clone(),
        ..begun
    }
}

/// What happened to a node: one happening for all that it gets short of at one moment.
pub(super) fn of_node(before: &Node, after: &Node, who: &Who, now: Timestamp) -> Vec<Happening> {
    let is_new = |kind: &str| !before.pressures.iter().any(|one| one.kind == kind);
    let mut moments: BTreeMap<Timestamp, Vec<&str>> = BTreeMap::new();
    for one in after.pressures.iter().filter(|one| is_new(&one.kind)) {
        let at = told(one.since, now);
        moments.entry(at).or_default().push(&one.kind);
    }
    if moments.is_empty() {
        return Vec::new();
    }
    let name = &after.key.name;
    let ends = Ends::of(who.pods().filter(|pod| pod.node == *name && !pod.is_over));
    let of = |(at, kinds): (Timestamp, Vec<&str>)| Happening {
        what: What::NodePressure,
        at_nanos: at.nanos(),
        since_nanos: None,
        uid: String::new(),
        namespace: String::new(),
        name: name.clone(),
        node: name.clone(),
        container: String::new(),
        owner: String::new(),
        message: kinds.join(", "),
        pod: ends.clone(),
        all: ends.clone(),
        shared: shared(who),
    };
    moments.into_iter().map(of).collect()
}

/// The failed probe that an event of core/v1 with the reason `Unhealthy` tells of, unless it was before
/// `since`.
pub(super) fn of_probe(
    event: &Json,
    who: &Who,
    since: Timestamp,
    now: Timestamp,
) -> Option<Happening> {
    let text = |of: &Json, member: &str| of.get(member).and_then(Json::as_str).map(str::to_owned);
    let about = event.get("involvedObject")?;
    let reason = text(event, "reason");
    if text(about, "kind")? != "Pod" || reason.as_deref() != Some("Unhealthy") {
        return None;
    }
    let series = event
        .get("series")
        .and_then(|series| text(series, "lastObservedTime"));
    let last = series
        .or_else(|| text(event, "lastTimestamp"))
        .or_else(|| text(event, "eventTime"));
    let at = Timestamp::parse(&last?)?;
    if at.secs() < since.secs() {
        return None;
    }
    let key = Key {
        namespace: text(about, "namespace").unwrap_or_default(),
        name: text(about, "name")?,
    };
    let pod = who.pod(&key)?;
    let mut message = text(event, "message").unwrap_or_default();
    let end = (0..=MAX_MESSAGE.min(message.len()))
        .rev()
        .find(|end| message.is_char_boundary(*end));
    message.truncate(end.unwrap_or_default());
    // `spec.containers{app}` says which container.
    let field = text(about, "fieldPath").unwrap_or_default();
    let container = field
        .split_once('{')
        .and_then(|(_, name)| name.strip_suffix('}'));
    Some(Happening {
        container: container.unwrap_or_default().to_owned(),
        message,
        ..Happening::of_pod(What::FailedProbe, pod, told(Some(at.secs()), now), who)
    })
}

#[cfg(test)]
mod tests;
