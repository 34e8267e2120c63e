//! Objects as API servers of several versions give them.

use serde_json::json;

use super::*;

fn ips(list: &[IpAddr]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

/// A running pod of a deployment; what the API server adds and nobody reads here is left out.
fn cart() -> Json {
    json!({
        "metadata": {
            "name": "cart-6d5f9c7b8-x2x7q", "namespace": "shop", "uid": "a-1",
            "creationTimestamp": "2026-01-02T03:04:00Z",
            "labels": {"app": "cart", "pod-template-hash": "6d5f9c7b8"},
            "annotations": {
                "team": "orders",
                "kubectl.kubernetes.io/last-applied-configuration": "{\"a\": 1}",
            },
            "ownerReferences": [
                {"kind": "Other", "name": "other"},
                {"kind": "ReplicaSet", "name": "cart-6d5f9c7b8", "controller": true},
            ],
        },
        "spec": {
            "nodeName": "worker-1",
            "containers": [
                {"name": "app", "image": "cart:1", "ports": [
                    {"containerPort": 8080, "hostPort": 30080}, {"containerPort": 0}, {"name": "none"},
                ]},
                {"name": "proxy", "image": "envoy:1", "ports": [{"containerPort": 15001}]},
            ],
        },
        "status": {
            "phase": "Running", "hostIP": "192.0.2.11", "podIP": "10.244.1.7",
            "podIPs": [{"ip": "10.244.1.7"}, {"ip": "fd00::7"}, {"ip": "nonsense"}],
            "startTime": "2026-01-02T03:04:05Z",
            "containerStatuses": [
                {
                    "name": "app", "restartCount": 2, "containerID": "containerd://8f3c",
                    "state": {"running": {"startedAt": "2026-01-02T03:05:00Z"}},
                    "lastState": {"terminated": {
                        "reason": "OOMKilled",
                        "startedAt": "2026-01-02T03:04:08Z", "finishedAt": "2026-01-02T03:04:58Z",
                    }},
                },
                {"name": "proxy", "state": {"waiting": {"reason": "ContainerCreating"}}},
            ],
        },
    })
}

#[test]
fn a_pod_tells_addresses_owner_containers_and_times() {
    let pod = Pod::of(&cart()).unwrap();
    assert_eq!(pod.key.to_string(), "shop/cart-6d5f9c7b8-x2x7q");
    assert_eq!(ips(&pod.ips), ["10.244.1.7", "fd00::7"]);
    assert_eq!(
        pod.owner,
        Some(Owner {
            kind: "Deployment".to_owned(),
            name: "cart".to_owned()
        })
    );
    assert_eq!(pod.annotations.keys().collect::<Vec<_>>(), ["team"]);
    let app = &pod.containers[0];
    assert_eq!(app.ports, [(8080, 30080)]);
    assert_eq!((app.id.as_str(), app.restarts), ("8f3c", 2));
    assert_eq!(app.last_end, "OOMKilled");
    let at = |text: &str| Some(Timestamp::parse(text).unwrap().secs());
    assert_eq!(pod.from, at("2026-01-02T03:04:05Z"));
    assert_eq!(pod.ran, at("2026-01-02T03:04:08Z"));
    assert!(!pod.is_over && !pod.host_network);
    assert_eq!(pod.ended, None);
}

#[test]
fn a_pod_that_is_over_says_since_when() {
    let mut json = cart();
    json["status"]["phase"] = "Succeeded".into();
    for index in 0..2 {
        json["status"]["containerStatuses"][index]["state"] = json!({"terminated": {
            "startedAt": "2026-01-02T03:05:00Z", "finishedAt": format!("2026-01-02T03:06:0{index}Z"),
        }});
    }
    let pod = Pod::of(&json).unwrap();
    assert!(pod.is_over);
    let ended = Timestamp::parse("2026-01-02T03:06:01Z").unwrap().secs();
    assert_eq!(pod.ended, Some(ended));
}

#[test]
fn owners_other_than_deployments_stay_as_they_are() {
    let owner = |kind: &str, name: &str, hash: Option<&str>| {
        let json = json!({"metadata": {
            "name": "p", "labels": {"pod-template-hash": hash},
            "ownerReferences": [{"kind": kind, "name": name, "controller": true}],
        }});
        let owner = Pod::of(&json).unwrap().owner.unwrap();
        format!("{} {}", owner.kind, owner.name)
    };
    assert_eq!(owner("StatefulSet", "db", None), "StatefulSet db");
    assert_eq!(owner("Job", "report-28", None), "Job report-28");
    // A replica set that no deployment made has no hash.
    assert_eq!(owner("ReplicaSet", "web-abc", None), "ReplicaSet web-abc");
    assert_eq!(
        owner("ReplicaSet", "web-abc", Some("xyz")),
        "ReplicaSet web-abc"
    );
    assert_eq!(
        owner("ReplicaSet", "web-abc", Some("abc")),
        "Deployment web"
    );
}

#[test]
fn services_of_all_types() {
    let service = Service::of(&json!({
        "metadata": {"name": "cart", "namespace": "shop"},
        "spec": {
            "type": "LoadBalancer", "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9", "fd00:1::9"],
            "externalIPs": ["198.51.100.9"],
            "ports": [{"port": 80, "nodePort": 30080}, {"port": 443}],
        },
        "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}, {"hostname": "LB.example.com."}]}},
    }))
    .unwrap();
    assert_eq!(ips(&service.cluster_ips), ["10.96.0.9", "fd00:1::9"]);
    assert_eq!(ips(&service.outer_ips), ["203.0.113.9", "198.51.100.9"]);
    assert_eq!(service.hosts, ["lb.example.com"]);
    assert_eq!(
        (service.ports, service.node_ports),
        (vec![80, 443], vec![30080])
    );
    // Before 1.20 there is one address, and a headless service says "None".
    let old = |ip: &str| {
        let json = json!({"metadata": {"name": "a"}, "spec": {"clusterIP": ip}});
        ips(&Service::of(&json).unwrap().cluster_ips)
    };
    assert_eq!(old("10.96.0.1"), ["10.96.0.1"]);
    assert!(old("None").is_empty());
    let external = json!({"metadata": {"name": "a"}, "spec": {"externalName": "db.example.com"}});
    assert_eq!(Service::of(&external).unwrap().hosts, ["db.example.com"]);
}

#[test]
fn slices_and_endpoints_say_the_same() {
    let pod = json!({"kind": "Pod", "namespace": "shop", "name": "cart-1"});
    let slice = Slice::of(&json!({
        "metadata": {"name": "cart-x7k", "namespace": "shop", "labels": {"kubernetes.io/service-name": "cart"}},
        "addressType": "IPv4",
        "endpoints": [
            {"addresses": ["10.244.1.7"], "conditions": {"ready": true}, "targetRef": pod},
            {"addresses": ["10.244.1.8"], "conditions": {"ready": false}},
        ],
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
    }));
    let endpoints = Slice::of(&json!({
        "metadata": {"name": "cart", "namespace": "shop"},
        "subsets": [{
            "addresses": [{"ip": "10.244.1.7", "targetRef": pod}],
            "notReadyAddresses": [{"ip": "10.244.1.8"}],
            "ports": [{"port": 8080}],
        }],
    }));
    let (slice, endpoints) = (slice.unwrap(), endpoints.unwrap());
    assert_eq!(slice.endpoints.len(), 2);
    assert_eq!(
        slice.endpoints[0].pod.as_ref().unwrap().to_string(),
        "shop/cart-1"
    );
    assert_eq!(slice.endpoints, endpoints.endpoints);
    assert_eq!(
        (&slice.service, &slice.ports),
        (&endpoints.service, &endpoints.ports)
    );
    // Endpoints without subsets have no member of that name, and no label of slices.
    let empty = Slice::of(&json!({"metadata": {"name": "cart", "namespace": "shop"}})).unwrap();
    assert!(empty.endpoints.is_empty());
}

#[test]
fn nodes_tell_addresses_and_networks() {
    let node = Node::of(&json!({
        "metadata": {"name": "worker-1"},
        "spec": {"podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24", "fd00:1::/64", "10.0.0.0/99"]},
        "status": {"addresses": [
            {"type": "InternalIP", "address": "192.0.2.11"}, {"type": "Hostname", "address": "worker-1"},
        ]},
    }))
    .unwrap();
    assert_eq!(ips(&node.ips), ["192.0.2.11"]);
    assert_eq!(node.networks.len(), 2);
}

#[test]
fn what_is_missing_or_of_another_type_does_no_harm() {
    let odd = [
        json!(null),
        json!([]),
        json!({"metadata": 7}),
        json!({"metadata": {"name": ""}}),
    ];
    for json in &odd {
        assert!(Pod::of(json).is_none() && Service::of(json).is_none());
        assert!(Slice::of(json).is_none() && Node::of(json).is_none());
    }
    let strange = json!({
        "metadata": {"name": "a", "labels": [1], "ownerReferences": {"a": 1}, "creationTimestamp": 5},
        "spec": {"containers": [7, {"ports": "x"}], "ports": [{"port": 99999}, {"port": -1}], "podCIDR": "x/y"},
        "status": {"podIPs": "x", "containerStatuses": [null], "addresses": [{}]},
        "endpoints": [{"addresses": [7], "targetRef": "x"}], "subsets": null,
    });
    assert_eq!(Pod::of(&strange).unwrap().ips, [] as [IpAddr; 0]);
    assert!(Service::of(&strange).unwrap().ports.is_empty());
    assert!(Slice::of(&strange).unwrap().ports.is_empty());
    assert!(Node::of(&strange).unwrap().networks.is_empty());
}

#[test]
fn what_one_object_holds_is_bounded() {
    let ports: Vec<Json> = (1..5000)
        .map(|port| json!({"containerPort": port}))
        .collect();
    let ips: Vec<Json> = (0..5000)
        .map(|at| json!({"ip": format!("10.0.{}.{}", at / 256, at % 256)}))
        .collect();
    let containers: Vec<Json> = (0..3)
        .map(|at| json!({"name": format!("c{at}"), "ports": ports}))
        .collect();
    let json = json!({
        "metadata": {"name": "a"}, "spec": {"containers": containers}, "status": {"podIPs": ips},
    });
    let pod = Pod::of(&json).unwrap();
    assert_eq!(pod.ips.len(), MAX_ADDRESSES);
    let ports: usize = pod.containers.iter().map(|one| one.ports.len()).sum();
    assert_eq!(ports, MAX_PORTS);
}
