//! What happened while nobody watched, as far as it still shows.
//!
//! In: pods and nodes of a first list, those that were known before the watches began, and the revisions
//! that the cluster keeps. Out: happenings of the last hour. Never: a guess at the moment; where only a
//! time is known, it is told from when on.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use super::super::objects::{Key, Node, Owner, Pod};
use super::super::who::Who;
use super::revisions::Revisions;
use super::{Ends, Happening, MAX_AGE, What, begun, of_node, of_pod, shared, told};
use crate::time::Timestamp;

/// Whether a moment is one of the last hour.
fn is_late(at: Option<i64>, now: Timestamp) -> bool {
    at.is_some_and(|at| at >= now.secs() - MAX_AGE)
}

/// What a pod tells that nobody knew yet: ends of its containers, and that it is being deleted.
pub(in crate::cluster) fn of_first(pod: &Pod, who: &Who, now: Timestamp) -> Vec<Happening> {
    let is_late = |at: Option<i64>| is_late(at, now);
    // As if it had been seen just before all that.
    let mut before = pod.clone();
    before.containers.retain(|one| !is_late(one.ended_at));
    if is_late(pod.leaves) {
        before.is_leaving = false;
    }
    if is_late(pod.ended) {
        before.is_over = false;
    }
    let mut found = of_pod(&before, pod, who, now);
    for one in &mut found {
        if one.what == What::PodDeleted {
            one.at_nanos = told(pod.leaves.or(pod.ended), now).nanos();
        }
    }
    found
}

/// What a node tells that nobody knew yet: what it is short of since a moment of the last hour. A pressure
/// that is over leaves no trace in it.
pub(in crate::cluster) fn of_first_node(node: &Node, who: &Who, now: Timestamp) -> Vec<Happening> {
    let mut before = node.clone();
    before.pressures.retain(|one| !is_late(one.since, now));
    of_node(&before, node, who, now)
}

/// The rollouts that began in the last hour while nobody watched: first pods of revisions among pods
/// that were not known (`new`).
///
/// That there was a revision before is known by pods of before; of an owner that had none then by the
/// revisions that the cluster keeps; where they may not be listed by pods of another revision that are
/// there still and were made earlier.
pub(in crate::cluster) fn of_rollouts(
    new: &HashSet<Key>,
    before: &[Remembered],
    revisions: &Revisions,
    who: &Who,
    now: Timestamp,
) -> Vec<Happening> {
    type Of<'w> = BTreeMap<(&'w str, &'w str, &'w str), BTreeMap<&'w str, Vec<&'w Pod>>>;
    let mut owners: Of<'_> = BTreeMap::new();
    for pod in who.pods() {
        if let (Some(owner), Some(revision)) = (&pod.owner, pod.revision()) {
            let of = (
                pod.key.namespace.as_str(),
                owner.kind.as_str(),
                owner.name.as_str(),
            );
            let pods = owners.entry(of).or_default().entry(revision).or_default();
            pods.push(pod);
        }
    }
    let mut known: BTreeMap<(&str, &str, &str), Vec<&Remembered>> = BTreeMap::new();
    for pod in before {
        if let Some((kind, name)) = &pod.owner {
            let of = (pod.namespace.as_str(), kind.as_str(), name.as_str());
            known.entry(of).or_default().push(pod);
        }
    }
    let mut found = Vec::new();
    for (of, pods) in &owners {
        let made = |pods: &[&Pod]| pods.iter().filter_map(|pod| pod.made).min();
        let earliest = pods.values().filter_map(|pods| made(pods)).min();
        let known = known.get(of).map_or(&[][..], Vec::as_slice);
        for (revision, pods) in pods {
            let first = pods.iter().min_by_key(|pod| (pod.made, &pod.key));
            let Some((first, owner)) = first.and_then(|pod| Some((*pod, pod.owner.as_ref()?)))
            else {
                continue;
            };
            let is_new = pods.iter().all(|pod| new.contains(&pod.key));
            let since = match known.is_empty() {
                false => {
                    let had = |one: &&Remembered| one.revision.as_deref() == Some(*revision);
                    // What kept no revisions says nothing of them.
                    let tells = known.iter().all(|one| one.revision.is_some());
                    (tells && !known.iter().any(had))
                        .then_some(first.made)
                        .flatten()
                }
                true if revisions.knows(of.0, owner) => {
                    let newest = revisions.newest(of.0, owner, revision);
                    newest
                        .and(first.made.max(newest))
                        .filter(|_| is_late(newest, now))
                }
                true => first.made.filter(|made| Some(*made) > earliest),
            };
            if !is_new || !is_late(since, now) {
                continue;
            }
            let mut rollout = begun(first, revision, told(since, now), who);
            // Pods of before have traffic around it too.
            let Ends { mut ips, mut ports } = std::mem::take(&mut rollout.all);
            for pod in known {
                ips.extend(&pod.ends.ips);
                ports.extend(&pod.ends.ports);
            }
            rollout.all = Ends::bounded(ips.into_iter().collect(), ports.into_iter().collect());
            rollout.pod = rollout.all.clone();
            found.push(rollout);
        }
    }
    found
}

/// A pod as it is kept over restarts: what it takes to say that it is gone, and of which revision it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Remembered {
    namespace: String,
    name: String,
    /// Its unique id.
    pub uid: String,
    node: String,
    /// Kind and name of what made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<(String, String)>,
    /// The revision of its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    ends: Ends,
}

impl Remembered {
    /// What is kept of a pod; `None` of one that is over, or has no address yet.
    pub(in crate::cluster) fn of(pod: &Pod) -> Option<Remembered> {
        let ends = Ends::of(std::iter::once(pod));
        let is_there = !pod.is_over && ends != Ends::default();
        is_there.then(|| Remembered {
            namespace: pod.key.namespace.clone(),
            name: pod.key.name.clone(),
            uid: pod.uid.clone(),
            node: pod.node.clone(),
            owner: pod
                .owner
                .as_ref()
                .map(|owner| (owner.kind.clone(), owner.name.clone())),
            revision: pod.revision().map(str::to_owned),
            ends,
        })
    }
}

/// The end of a pod that was there at `since`, and at `now` is no longer.
pub(in crate::cluster) fn of_lost(
    pod: &Remembered,
    who: &Who,
    since: Timestamp,
    now: Timestamp,
) -> Happening {
    let owner = pod.owner.clone().map(|(kind, name)| Owner { kind, name });
    let key = Key {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
    };
    let others = who
        .pods()
        .filter(|one| owner.is_some() && one.owner == owner && one.key.namespace == key.namespace);
    let mut all = Ends::of(others);
    all.ips.extend(&pod.ends.ips);
    all.ports.extend(&pod.ends.ports);
    Happening {
        what: What::PodDeleted,
        at_nanos: now.nanos(),
        since_nanos: Some(since.nanos()),
        uid: pod.uid.clone(),
        namespace: key.namespace,
        name: key.name,
        node: pod.node.clone(),
        container: String::new(),
        owner: super::shown(owner.as_ref()),
        message: "it was gone when the cluster was watched again".to_owned(),
        pod: pod.ends.clone(),
        all,
        shared: shared(who),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::super::tests::{NOW, pod, shown, who};
    use super::*;
    use crate::cluster::kinds::Kind;

    /// Pods of `cart` by name, revision and the time before `NOW` at which each was made.
    fn world(pods: &[(&str, &str, i64)]) -> (Who, HashSet<Key>) {
        let mut who = Who::new();
        let mut new = HashSet::new();
        for (number, (name, hash, ago)) in pods.iter().enumerate() {
            let mut object = pod(name, &format!("10.244.1.{number}"), hash);
            let made = Timestamp::from_secs(NOW.secs() - ago, 0);
            object["metadata"]["creationTimestamp"] = made.to_string().into();
            new.extend(Key::of(&object));
            who.apply(Kind::Pods, &object, NOW);
        }
        (who, new)
    }

    fn remembered(name: &str, hash: &str) -> Remembered {
        Remembered::of(&Pod::of(&pod(name, "10.244.1.99", hash)).unwrap()).unwrap()
    }

    fn set(hash: &str, ago: i64) -> Json {
        let made = Timestamp::from_secs(NOW.secs() - ago, 0).to_string();
        json!({"metadata": {
            "namespace": "shop", "name": format!("cart-{hash}"), "creationTimestamp": made,
            "labels": {"pod-template-hash": hash},
            "ownerReferences": [{"kind": "Deployment", "name": "cart", "controller": true}],
        }})
    }

    #[test]
    fn a_rollout_is_known_by_the_pods_of_before() {
        // The pods of before are gone, and there is nothing else to tell it by.
        let (who, new) = world(&[("cart-8", "bbb", 100), ("cart-7", "bbb", 300)]);
        let of =
            |before: &[Remembered]| of_rollouts(&new, before, &Revisions::default(), &who, NOW);
        let found = of(&[remembered("cart-1", "aaa"), remembered("cart-2", "aaa")]);
        assert_eq!(shown(&found), ["rollout shop/cart-7  -300"]);
        assert_eq!(
            (found[0].message.as_str(), found[0].owner.as_str()),
            ("revision bbb", "Deployment/cart")
        );
        // With the address of the pods of before, once.
        assert_eq!((found[0].pod.ips.len(), found[0].all.ips.len()), (3, 3));
        assert_eq!(
            of(&[remembered("cart-1", "aaa"), remembered("cart-9", "bbb")]),
            []
        );
        assert_eq!(of(&[]), []);
        // Older files do not say of which revision a pod was.
        let mut silent = remembered("cart-1", "aaa");
        silent.revision = None;
        assert_eq!(of(&[silent]), []);
        let (who, new) = world(&[("cart-7", "bbb", MAX_AGE + 10)]);
        let old = of_rollouts(
            &new,
            &[remembered("cart-1", "aaa")],
            &Revisions::default(),
            &who,
            NOW,
        );
        assert_eq!(old, []);
    }

    #[test]
    fn without_memory_a_rollout_is_known_by_the_revisions_that_the_cluster_keeps() {
        let (who, new) = world(&[("cart-7", "bbb", 295), ("cart-8", "bbb", 100)]);
        let of = |sets: &[Json], new: &HashSet<Key>| {
            let mut revisions = Revisions::default();
            sets.iter().for_each(|set| revisions.add(set));
            shown(&of_rollouts(new, &[], &revisions, &who, NOW))
        };
        assert_eq!(
            of(&[set("aaa", 90_000), set("bbb", 296)], &new),
            ["rollout shop/cart-7  -295"]
        );
        // Pods that were made again are no rollout, nor is the first revision of all.
        assert_eq!(
            of(&[set("aaa", 90_000), set("bbb", 80_000)], &new),
            [] as [&str; 0]
        );
        assert_eq!(of(&[set("bbb", 296)], &new), [] as [&str; 0]);
        // What was watched was told.
        assert_eq!(
            of(&[set("aaa", 90_000), set("bbb", 296)], &HashSet::new()),
            [] as [&str; 0]
        );
    }

    #[test]
    fn without_either_a_rollout_is_known_by_the_pods_of_both_revisions() {
        let of = |pods: &[(&str, &str, i64)]| {
            let (who, new) = world(pods);
            shown(&of_rollouts(&new, &[], &Revisions::default(), &who, NOW))
        };
        assert_eq!(
            of(&[("cart-1", "aaa", 9000), ("cart-7", "bbb", 40)]),
            ["rollout shop/cart-7  -40"]
        );
        assert_eq!(
            of(&[("cart-1", "aaa", 9000), ("cart-7", "bbb", 8000)]),
            [] as [&str; 0]
        );
        assert_eq!(
            of(&[("cart-1", "aaa", 40), ("cart-2", "aaa", 30)]),
            [] as [&str; 0]
        );
    }

    #[test]
    fn a_rollout_that_was_told_as_it_happened_is_the_same_when_it_is_told_again() {
        let (who, new) = world(&[("cart-1", "aaa", 9000), ("cart-7", "bbb", 40)]);
        let first = who.pods().find(|pod| pod.key.name == "cart-7").unwrap();
        let live = super::super::of_new(first, &who, NOW).unwrap();
        let again = of_rollouts(&new, &[], &Revisions::default(), &who, NOW);
        assert!(again[0].is_same(&live) && again[0].at() == live.at());
        // Its first pod is gone by then.
        let later = Happening {
            name: "cart-8".to_owned(),
            uid: "u".to_owned(),
            at_nanos: live.at_nanos + 90_000_000_000,
            ..live.clone()
        };
        assert!(later.is_same(&live));
        let other = Happening {
            message: "revision ccc".to_owned(),
            ..live.clone()
        };
        assert!(!other.is_same(&live));
    }

    #[test]
    fn what_a_node_is_short_of_is_told_since_when_it_is() {
        let who = who();
        let of = |since: [&str; 2]| {
            let condition = |kind: &str, since: &str| json!({"type": kind, "status": "True", "lastTransitionTime": since});
            let object = json!({"metadata": {"name": "worker-1"}, "status": {"conditions": [
                condition("MemoryPressure", since[0]), condition("DiskPressure", since[1]),
                {"type": "PIDPressure", "status": "False", "lastTransitionTime": "2023-11-14T22:10:00Z"},
            ]}});
            let found = of_first_node(&Node::of(&object).unwrap(), &who, NOW);
            let told = found
                .iter()
                .map(|one| format!("{} {}", one.message, one.at().secs() - NOW.secs()));
            told.collect::<Vec<_>>()
        };
        let (late, later, old) = (
            "2023-11-14T22:10:00Z",
            "2023-11-14T22:12:00Z",
            "2023-11-14T12:12:00Z",
        );
        assert_eq!(of([late, late]), ["MemoryPressure, DiskPressure -300"]);
        assert_eq!(
            of([later, late]),
            ["DiskPressure -300", "MemoryPressure -180"]
        );
        assert_eq!(of([old, late]), ["DiskPressure -300"]);
        assert_eq!(of([old, ""]), [] as [&str; 0]);
    }

    fn of(changes: &Json) -> Vec<String> {
        let mut object = pod("cart-1", "10.244.1.7", "aaa");
        for (path, value) in changes.as_object().unwrap() {
            let (parent, member) = path.rsplit_once('/').unwrap();
            object.pointer_mut(parent).unwrap()[member] = value.clone();
        }
        shown(&of_first(&Pod::of(&object).unwrap(), &who(), NOW))
    }

    #[test]
    fn ends_of_the_last_hour_are_told_with_their_time_and_older_ones_not() {
        let status = |finished: &str| {
            let ended = json!({"terminated": {"reason": "OOMKilled", "finishedAt": finished}});
            json!({"/status/containerStatuses": [
                {"name": "app", "restartCount": 3, "state": {"running": {}}, "lastState": ended},
            ]})
        };
        assert_eq!(
            of(&status("2023-11-14T22:00:00Z")),
            [
                "OOMKilled shop/cart-1 app -900",
                "podRestart shop/cart-1 app -900"
            ]
        );
        assert_eq!(of(&status("2023-11-14T20:00:00Z")), [] as [&str; 0]);
        assert_eq!(of(&json!({})), [] as [&str; 0]);
    }

    #[test]
    fn a_pod_on_its_way_out_was_deleted_when_somebody_asked_for_it() {
        let leaving = json!({
            "/metadata/deletionTimestamp": "2023-11-14T22:15:20Z",
            "/metadata/deletionGracePeriodSeconds": 30,
        });
        assert_eq!(of(&leaving), ["podDeleted shop/cart-1  -10"]);
        let evicted = json!({
            "/status/phase": "Failed", "/status/reason": "Evicted",
            "/status/containerStatuses": [{"name": "app", "restartCount": 0,
                "state": {"terminated": {"reason": "Error", "finishedAt": "2023-11-14T22:14:40Z"}}}],
        });
        assert_eq!(of(&evicted), ["podDeleted shop/cart-1  -20"]);
    }

    #[test]
    fn a_pod_that_is_lost_is_told_with_its_owners_others() {
        let gone = Pod::of(&pod("cart-9", "10.244.1.19", "aaa")).unwrap();
        let kept = Remembered::of(&gone).unwrap();
        let kept: Remembered = serde_json::from_value(serde_json::to_value(kept).unwrap()).unwrap();
        let since = Timestamp::from_secs(NOW.secs() - 600, 0);
        let lost = of_lost(&kept, &who(), since, NOW);
        assert_eq!((lost.since(), lost.at()), (since, NOW));
        assert_eq!(
            (lost.owner.as_str(), lost.node.as_str()),
            ("Deployment/cart", "worker-1")
        );
        assert_eq!(lost.pod.ips.len(), 1);
        assert_eq!(lost.all.ips.len(), 3);
        let mut again = lost.clone();
        again.at_nanos += 1;
        assert!(again.is_same(&lost));
        again.uid = "another".to_owned();
        assert!(!again.is_same(&lost));
        let over = json!({"metadata": {"name": "a"}, "status": {"phase": "Succeeded", "podIP": "10.0.0.1"}});
        assert_eq!(Remembered::of(&Pod::of(&over).unwrap()), None);
    }
}
