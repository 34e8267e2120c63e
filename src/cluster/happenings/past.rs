//! What happened while nobody watched, as far as it still shows.
//!
//! In: pods of a first list, and those that were known before the watches began. Out: happenings of the
//! last hour. Never: a guess at the moment; where only a time is known, it is told from when on.

use serde::{Deserialize, Serialize};

use super::super::objects::{Key, Owner, Pod};
use super::super::who::Who;
use super::{Ends, Happening, MAX_AGE, What, of_pod, shared, told};
use crate::time::Timestamp;

/// What a pod tells that nobody knew yet: ends of its containers, and that it is being deleted.
pub(in crate::cluster) fn of_first(pod: &Pod, who: &Who, now: Timestamp) -> Vec<Happening> {
    let is_late = |at: Option<i64>| at.is_some_and(|at| at >= now.secs() - MAX_AGE);
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

/// A pod as it is kept over restarts: what it takes to say that it is gone.
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
