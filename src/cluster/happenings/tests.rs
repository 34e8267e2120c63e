//! What changes of objects mean.

use serde_json::json;

use super::*;
use crate::cluster::kinds::Kind;

pub(super) const NOW: Timestamp = Timestamp::from_secs(1_700_000_100, 0);

pub(super) fn pod(name: &str, ip: &str, hash: &str) -> Json {
    json!({
        "metadata": {
            "name": name, "namespace": "shop", "uid": name, "labels": {"pod-template-hash": hash},
            "ownerReferences": [{"kind": "ReplicaSet", "name": format!("cart-{hash}"), "controller": true}],
        },
        "spec": {"nodeName": "worker-1", "containers": [{"name": "app"}]},
        "status": {
            "phase": "Running", "podIP": ip, "hostIP": "192.0.2.11",
            "containerStatuses": [{"name": "app", "restartCount": 0, "state": {"running": {}}}],
        },
    })
}

pub(super) fn who() -> Who {
    let mut who = Who::new();
    for object in [
        pod("cart-1", "10.244.1.7", "aaa"),
        pod("cart-2", "10.244.1.8", "aaa"),
    ] {
        who.apply(Kind::Pods, &object, NOW);
    }
    let node = json!({
        "metadata": {"name": "worker-1"}, "spec": {"podCIDR": "10.244.1.0/24"},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.11"}]},
    });
    who.apply(Kind::Nodes, &node, NOW);
    who
}

pub(super) fn shown(found: &[Happening]) -> Vec<String> {
    let one = |one: &Happening| {
        let since = one.at().secs() - NOW.secs();
        format!(
            "{} {}/{} {} {since}",
            one.what.name(),
            one.namespace,
            one.name,
            one.container
        )
    };
    found.iter().map(one).collect()
}

/// What each change of `cart-1` means, one after the other.
fn told(changes: &[Json]) -> Vec<Vec<String>> {
    let who = who();
    let mut before = Pod::of(&pod("cart-1", "10.244.1.7", "aaa")).unwrap();
    let mut all = Vec::new();
    for change in changes {
        let mut object = pod("cart-1", "10.244.1.7", "aaa");
        for (path, value) in change.as_object().unwrap() {
            *object.pointer_mut(path).unwrap() = value.clone();
        }
        let after = Pod::of(&object).unwrap();
        all.push(shown(&of_pod(&before, &after, &who, NOW)));
        before = after;
    }
    all
}

#[test]
fn a_container_that_is_killed_for_memory_is_told_once_and_its_restart_too() {
    let ended =
        json!({"terminated": {"reason": "OOMKilled", "finishedAt": "2023-11-14T22:14:50Z"}});
    let statuses = |restarts: i64, state: &Json, last: &Json| {
        json!({"/status/containerStatuses": [
            {"name": "app", "restartCount": restarts, "state": state, "lastState": last},
        ]})
    };
    let none = json!({});
    let running = json!({"running": {}});
    let again =
        json!({"terminated": {"reason": "OOMKilled", "finishedAt": "2023-11-14T22:14:58Z"}});
    let seen = told(&[
        statuses(0, &ended, &none),
        statuses(1, &running, &ended),
        statuses(1, &running, &ended),
        statuses(1, &again, &ended),
    ]);
    assert_eq!(
        seen,
        [
            vec!["OOMKilled shop/cart-1 app -10"],
            vec!["podRestart shop/cart-1 app -10"],
            vec![],
            vec!["OOMKilled shop/cart-1 app -2"],
        ]
    );
}

#[test]
fn a_pod_that_goes_is_told_once_whichever_way() {
    let mut leaving = pod("cart-1", "10.244.1.7", "aaa");
    leaving["metadata"]["deletionTimestamp"] = "2023-11-14T22:15:30Z".into();
    let before = Pod::of(&pod("cart-1", "10.244.1.7", "aaa")).unwrap();
    let after = Pod::of(&leaving).unwrap();
    let who = who();
    assert_eq!(
        shown(&of_pod(&before, &after, &who, NOW)),
        ["podDeleted shop/cart-1  0"]
    );
    assert!(of_pod(&after, &after, &who, NOW).is_empty());
    assert_eq!(of_gone(&after, &who, NOW), None);
    assert!(of_gone(&before, &who, NOW).is_some());
    let mut evicted = pod("cart-1", "10.244.1.7", "aaa");
    evicted["status"]["phase"] = "Failed".into();
    evicted["status"]["reason"] = "Evicted".into();
    let found = of_pod(&before, &Pod::of(&evicted).unwrap(), &who, NOW);
    assert_eq!((found.len(), found[0].message.as_str()), (1, "Evicted"));
}

#[test]
fn the_first_pod_of_another_revision_begins_a_rollout() {
    let mut who = who();
    let new = Pod::of(&pod("cart-3", "10.244.1.9", "bbb")).unwrap();
    let same = Pod::of(&pod("cart-4", "10.244.1.10", "aaa")).unwrap();
    let begun = of_new(&new, &who, NOW).unwrap();
    assert_eq!(begun.owner, "Deployment/cart");
    assert_eq!(begun.message, "revision bbb");
    assert_eq!(begun.pod.ips.len(), 3);
    assert_eq!(of_new(&same, &who, NOW), None);
    who.apply(Kind::Pods, &pod("cart-3", "10.244.1.9", "bbb"), NOW);
    let second = Pod::of(&pod("cart-5", "10.244.1.11", "bbb")).unwrap();
    assert_eq!(of_new(&second, &who, NOW), None);
    assert_eq!(of_new(&new, &Who::new(), NOW), None);
}

#[test]
fn addresses_are_those_of_the_pod_its_owner_and_never_of_nodes() {
    let who = who();
    let pod = who.pods().find(|pod| pod.key.name == "cart-1").unwrap();
    let told = Happening::of_pod(What::PodRestart, pod, NOW, &who);
    let end = |ip: [u8; 4]| Endpoint {
        ip: ip.into(),
        port: 80,
    };
    assert!(told.pod.has(end([10, 244, 1, 7])) && !told.pod.has(end([10, 244, 1, 8])));
    assert!(told.all.has(end([10, 244, 1, 8])) && !told.all.has(end([192, 0, 2, 11])));
    assert_eq!(
        told.shared,
        [
            "192.0.2.11".parse::<IpAddr>().unwrap(),
            "10.244.1.1".parse().unwrap()
        ]
    );
    let text = serde_json::to_string(&told).unwrap();
    assert_eq!(serde_json::from_str::<Happening>(&text).unwrap(), told);
}

#[test]
fn a_node_that_gets_short_of_something_is_told_with_its_pods() {
    let who = who();
    let node = |status: &str| {
        let condition = json!({"type": "MemoryPressure", "status": status});
        let ready = json!({"type": "Ready", "status": "True"});
        Node::of(&json!({"metadata": {"name": "worker-1"}, "status": {"conditions": [condition, ready]}})).unwrap()
    };
    let told = of_node(&node("False"), &node("True"), &who, NOW);
    assert_eq!(
        (told[0].message.as_str(), told[0].pod.ips.len()),
        ("MemoryPressure", 2)
    );
    assert_eq!((told.len(), told[0].at()), (1, NOW));
    assert_eq!(of_node(&node("True"), &node("True"), &who, NOW), []);
    assert_eq!(of_node(&node("True"), &node("False"), &who, NOW), []);
}

#[test]
fn events_of_failed_probes_count_from_the_beginning_on() {
    let who = who();
    let event = |reason: &str, at: &str| {
        json!({
            "reason": reason, "message": "Liveness probe failed: HTTP probe failed with statuscode: 500",
            "lastTimestamp": at,
            "involvedObject": {
                "kind": "Pod", "namespace": "shop", "name": "cart-1", "fieldPath": "spec.containers{app}",
            },
        })
    };
    let since = NOW - std::time::Duration::from_secs(60);
    let of = |event: &Json| of_probe(event, &who, since, NOW);
    let told = of(&event("Unhealthy", "2023-11-14T22:14:50Z")).unwrap();
    assert_eq!(
        shown(std::slice::from_ref(&told)),
        ["failedProbe shop/cart-1 app -10"]
    );
    assert!(told.message.starts_with("Liveness probe failed"));
    assert_eq!(of(&event("Unhealthy", "2023-11-14T22:10:00Z")), None);
    assert_eq!(of(&event("Pulled", "2023-11-14T22:14:50Z")), None);
    assert_eq!(of(&json!({"reason": "Unhealthy"})), None);
    let mut long = event("Unhealthy", "2023-11-14T22:14:50Z");
    long["message"] = "é".repeat(1000).into();
    assert_eq!(of(&long).unwrap().message.len(), MAX_MESSAGE);
}

#[test]
fn every_name_is_read_in_any_case() {
    for what in What::ALL {
        assert_eq!(What::named(&what.name().to_uppercase()), Some(what));
        assert_eq!(serde_json::to_value(what).unwrap(), what.name());
    }
    assert_eq!(What::named("reboot"), None);
}
