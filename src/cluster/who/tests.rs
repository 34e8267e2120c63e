//! Objects come and go, and addresses with them.

use super::*;
use crate::resolve::LiveHistory;

/// A cluster as a test tells it.
struct Told {
    who: Who,
    history: LiveHistory,
}

impl Told {
    /// All kinds are listed; what is told from now on happens then.
    fn new() -> Told {
        let mut who = Who::new();
        for kind in Kind::ALL {
            who.complete(kind, None, &HashSet::new(), at(0));
        }
        Told {
            who,
            history: LiveHistory::new(),
        }
    }

    fn apply(&mut self, kind: Kind, object: &Json, now: i64) {
        let updates = self.who.apply(kind, object, at(now));
        self.history.apply(&updates, at(now));
    }

    fn remove(&mut self, kind: Kind, namespace: &str, name: &str, now: i64) {
        let key = Key {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        let updates = self.who.remove(kind, &key, at(now));
        self.history.apply(&updates, at(now));
    }

    /// `namespace/name`, pod, service and container of an endpoint.
    fn look(&self, endpoint: &str, now: i64) -> String {
        let end: std::net::SocketAddr = endpoint.parse().unwrap();
        let end = Endpoint {
            ip: end.ip(),
            port: end.port(),
        };
        self.shown(self.history.read(|history| history.lookup(end, at(now))))
    }

    fn look_ip(&self, ip: &str, now: i64) -> String {
        let ip = ip.parse().unwrap();
        self.shown(self.history.read(|history| history.lookup_ip(ip, at(now))))
    }

    fn shown(&self, found: Option<crate::resolve::Named>) -> String {
        let Some(named) = found else {
            return "-".to_owned();
        };
        let mut shown = format!("{}/{}", named.namespace, named.name);
        let who: Json = named
            .identity
            .map(|who| serde_json::from_str(who.text()).unwrap())
            .unwrap_or_default();
        for (label, path) in [
            ("pod", "/pod/metadata/name"),
            ("service", "/service/metadata/name"),
            ("container", "/pod/container/name"),
        ] {
            if let Some(name) = who.pointer(path).and_then(Json::as_str) {
                shown += &format!(" {label}={name}");
            }
        }
        shown
    }
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + secs, 0)
}

fn time(secs: i64) -> String {
    at(secs).to_string()
}

/// A pod with one container that listens on 8080, taken on at `from` and running a second later.
fn pod(name: &str, ip: &str, from: i64) -> Json {
    json!({
        "metadata": {"name": name, "namespace": "shop", "uid": format!("{name}-{from}")},
        "spec": {"nodeName": "worker-1", "containers": [{"name": "app", "ports": [{"containerPort": 8080}]}]},
        "status": {
            "phase": "Running", "podIP": ip, "hostIP": "192.0.2.11", "startTime": time(from),
            "containerStatuses": [{"name": "app", "state": {"running": {"startedAt": time(from + 1)}}}],
        },
    })
}

fn slice(name: &str, service: &str, pods: &[(&str, &str)], port: u16) -> Json {
    let endpoints = pods.iter().map(|(pod, ip)| match *pod {
        "" => json!({"addresses": [ip]}),
        pod => {
            json!({"addresses": [ip], "targetRef": {"kind": "Pod", "namespace": "shop", "name": pod}})
        }
    });
    json!({
        "metadata": {"name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": service}},
        "endpoints": endpoints.collect::<Vec<_>>(), "ports": [{"port": port}],
    })
}

fn service(name: &str, spec: Json) -> Json {
    json!({
        "metadata": {"name": name, "namespace": "shop", "creationTimestamp": time(0)}, "spec": spec,
    })
}

fn node() -> Json {
    json!({
        "metadata": {"name": "worker-1", "creationTimestamp": time(0)},
        "spec": {"podCIDR": "10.244.1.0/24"},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.11"}]},
    })
}

#[test]
fn a_pod_is_named_with_service_and_container_by_port() {
    let mut told = Told::new();
    told.apply(Kind::Pods, &pod("cart-1", "10.244.1.7", 10), 11);
    told.apply(
        Kind::EndpointSlices,
        &slice("cart-x", "cart", &[("cart-1", "10.244.1.7")], 8080),
        12,
    );
    assert_eq!(
        told.look("10.244.1.7:8080", 13),
        "shop/cart-1 pod=cart-1 service=cart container=app"
    );
    assert_eq!(told.look("10.244.1.7:9999", 13), "shop/cart-1 pod=cart-1");
    assert_eq!(told.look_ip("10.244.1.7", 13), "shop/cart-1 pod=cart-1");
    // Not ready any more is still a member; out of the slice is not, from then on.
    told.apply(
        Kind::EndpointSlices,
        &slice("cart-x", "cart", &[], 8080),
        50,
    );
    assert_eq!(
        told.look("10.244.1.7:8080", 49),
        "shop/cart-1 pod=cart-1 service=cart container=app"
    );
    assert_eq!(
        told.look("10.244.1.7:8080", 50),
        "shop/cart-1 pod=cart-1 container=app"
    );
}

#[test]
fn the_slice_may_come_before_its_pod() {
    let mut told = Told::new();
    told.apply(
        Kind::EndpointSlices,
        &slice("cart-x", "cart", &[("cart-1", "10.244.1.7")], 9000),
        9,
    );
    told.apply(Kind::Pods, &pod("cart-1", "10.244.1.7", 10), 11);
    assert_eq!(
        told.look("10.244.1.7:9000", 12),
        "shop/cart-1 pod=cart-1 service=cart container=app"
    );
}

#[test]
fn an_address_goes_to_the_pod_that_runs() {
    let mut told = Told::new();
    told.apply(Kind::Pods, &pod("a", "10.244.1.7", 10), 11);
    let mut ended = pod("a", "10.244.1.7", 10);
    ended["status"]["phase"] = "Succeeded".into();
    ended["status"]["containerStatuses"][0]["state"] =
        json!({"terminated": {"startedAt": time(11), "finishedAt": time(20)}});
    told.apply(Kind::Pods, &ended, 21);
    told.apply(Kind::Pods, &pod("b", "10.244.1.7", 30), 31);
    // The finished pod stays in the API, and is deleted much later.
    told.apply(Kind::Pods, &ended, 100);
    told.remove(Kind::Pods, "shop", "a", 200);
    let seen = [15, 25, 30, 101, 300].map(|now| told.look_ip("10.244.1.7", now));
    let (a, b) = ("shop/a pod=a", "shop/b pod=b");
    assert_eq!(seen, [a, a, b, b, b]);
}

#[test]
fn a_pod_whose_container_is_started_again_keeps_its_address() {
    let mut told = Told::new();
    told.apply(Kind::Pods, &pod("a", "10.244.1.7", 10), 11);
    let mut crashed = pod("a", "10.244.1.7", 10);
    crashed["status"]["containerStatuses"][0]["state"] = json!({"terminated": {"startedAt": time(11), "finishedAt": time(20), "reason": "OOMKilled"}});
    told.apply(Kind::Pods, &crashed, 21);
    assert_eq!(told.look_ip("10.244.1.7", 200), "shop/a pod=a");
    told.remove(Kind::Pods, "shop", "a", 300);
    assert_eq!(told.look_ip("10.244.1.7", 299), "shop/a pod=a");
    // One that is deleted ends with its last container.
    told.apply(Kind::Pods, &pod("b", "10.244.1.8", 10), 11);
    let mut leaving = crashed;
    leaving["metadata"] = json!({
        "name": "b", "namespace": "shop", "uid": "b-10", "deletionTimestamp": time(50),
    });
    leaving["status"]["podIP"] = "10.244.1.8".into();
    told.apply(Kind::Pods, &leaving, 21);
    told.remove(Kind::Pods, "shop", "b", 300);
    assert_eq!(told.look_ip("10.244.1.8", 79), "shop/b pod=b");
    assert_eq!(told.look_ip("10.244.1.8", 80), "-");
}

#[test]
fn a_pod_made_again_under_its_name_is_another_one() {
    let mut told = Told::new();
    told.apply(Kind::Pods, &pod("db-0", "10.244.1.7", 10), 11);
    // The deletion was not heard of.
    told.apply(Kind::Pods, &pod("db-0", "10.244.1.8", 40), 41);
    told.apply(Kind::Pods, &pod("web", "10.244.1.7", 42), 43);
    assert_eq!(told.look_ip("10.244.1.7", 30), "shop/db-0 pod=db-0");
    assert_eq!(told.look_ip("10.244.1.8", 41), "shop/db-0 pod=db-0");
    assert_eq!(told.look_ip("10.244.1.7", 44), "shop/web pod=web");
}

#[test]
fn host_network_pods_are_known_by_their_ports_and_the_rest_is_the_node() {
    let mut told = Told::new();
    told.apply(Kind::Nodes, &node(), 1);
    let mut exporter = pod("exporter", "192.0.2.11", 10);
    exporter["spec"]["hostNetwork"] = true.into();
    exporter["spec"]["containers"][0]["ports"] = json!([{"containerPort": 9100, "hostPort": 9100}]);
    told.apply(Kind::Pods, &exporter, 11);
    let mut mapped = pod("mapped", "10.244.1.9", 10);
    mapped["spec"]["containers"][0]["ports"] = json!([{"containerPort": 80, "hostPort": 8888}]);
    told.apply(Kind::Pods, &mapped, 11);
    assert_eq!(
        told.look("192.0.2.11:9100", 12),
        "shop/exporter pod=exporter container=app"
    );
    assert_eq!(
        told.look("192.0.2.11:8888", 12),
        "shop/mapped pod=mapped container=app"
    );
    assert_eq!(told.look("192.0.2.11:22", 12), "/worker-1");
    assert_eq!(told.look_ip("192.0.2.11", 12), "/worker-1");
    // Bridges of the node have the first address of its pods' network.
    assert_eq!(told.look_ip("10.244.1.1", 12), "/worker-1");
}

#[test]
fn services_have_addresses_node_ports_and_names_outside() {
    let mut told = Told::new();
    told.apply(Kind::Nodes, &node(), 1);
    let spec = json!({
        "type": "NodePort", "clusterIP": "10.96.0.9", "externalIPs": ["192.0.2.11"],
        "ports": [{"port": 80, "nodePort": 30080}],
    });
    told.apply(Kind::Services, &service("cart", spec), 1);
    told.apply(
        Kind::Services,
        &service(
            "mail",
            json!({"type": "ExternalName", "externalName": "MX.example.com"}),
        ),
        1,
    );
    told.apply(
        Kind::EndpointSlices,
        &slice("far-x", "far", &[("", "203.0.113.5")], 5432),
        1,
    );
    assert_eq!(told.look("10.96.0.9:80", 2), "shop/cart service=cart");
    assert_eq!(told.look("192.0.2.11:30080", 2), "shop/cart service=cart");
    // The node keeps its own address although a service has it too.
    assert_eq!(told.look("192.0.2.11:80", 2), "shop/cart service=cart");
    assert_eq!(told.look("192.0.2.11:22", 2), "/worker-1");
    assert_eq!(told.look("198.51.100.1:30080", 2), "-");
    assert_eq!(told.look("203.0.113.5:5432", 2), "shop/far service=far");
    let host = told.who.service_of_host("mx.example.com").unwrap();
    assert_eq!(host.to_string(), "shop/mail");
    told.remove(Kind::Services, "shop", "mail", 3);
    assert!(told.who.service_of_host("mx.example.com").is_none());
    told.remove(Kind::Services, "shop", "cart", 10);
    assert_eq!(told.look("192.0.2.11:30080", 80), "/worker-1");
}

#[test]
fn headless_services_name_their_pods_and_load_balancers_their_addresses() {
    let mut told = Told::new();
    told.apply(
        Kind::Services,
        &service(
            "db",
            json!({"clusterIP": "None", "ports": [{"port": 5432}]}),
        ),
        1,
    );
    told.apply(Kind::Pods, &pod("db-0", "10.244.1.7", 10), 11);
    told.apply(
        Kind::EndpointSlices,
        &slice("db-x", "db", &[("db-0", "10.244.1.7")], 5432),
        12,
    );
    assert_eq!(
        told.look("10.244.1.7:5432", 13),
        "shop/db-0 pod=db-0 service=db container=app"
    );
    let mut balanced = service(
        "front",
        json!({"type": "LoadBalancer", "clusterIP": "10.96.0.7", "ports": [{"port": 443, "nodePort": 30443}]}),
    );
    balanced["status"] = json!({"loadBalancer": {"ingress": [
        {"ip": "203.0.113.7"}, {"hostname": "Front-1.elb.example.com."},
    ]}});
    told.apply(Kind::Services, &balanced, 20);
    told.apply(Kind::Nodes, &node(), 20);
    for end in [
        "203.0.113.7:443",
        "203.0.113.7:1",
        "10.96.0.7:443",
        "192.0.2.11:30443",
    ] {
        assert_eq!(told.look(end, 21), "shop/front service=front", "{end}");
    }
    let host = told.who.service_of_host("front-1.elb.example.com").unwrap();
    assert_eq!(host.to_string(), "shop/front");
}

/// As other tools have it: an address and the address with each port, both names and namespaces.
#[test]
fn the_history_of_a_service_has_its_address_and_each_of_its_ports() {
    let mut told = Told::new();
    let spec = json!({"clusterIP": "10.96.14.7", "ports": [{"port": 8080}, {"port": 9090}]});
    told.apply(Kind::Services, &service("orders", spec), 1);
    let written = told.history.json(at(1), at(100));
    let table = written.as_object().unwrap().values().next_back().unwrap();
    let row = json!({"FullAddress": "orders.shop", "Namespace": "shop", "name": "orders", "namespace": "shop"});
    for key in [
        "10.96.14.7",
        "10.96.14.7:8080",
        "10.96.14.7:9090",
        "orders.shop",
    ] {
        assert_eq!(table[key], row, "{key}");
    }
}

#[test]
fn a_list_ends_what_it_does_not_have() {
    let mut told = Told::new();
    for (name, ip) in [("a", "10.244.1.7"), ("b", "10.244.1.8")] {
        told.apply(Kind::Pods, &pod(name, ip, 10), 11);
    }
    let mut other = pod("c", "10.244.1.9", 10);
    other["metadata"]["namespace"] = "web".into();
    told.apply(Kind::Pods, &other, 11);
    let there: HashSet<Key> = Key::of(&pod("a", "", 0)).into_iter().collect();
    let (gone, updates) = told.who.complete(Kind::Pods, Some("shop"), &there, at(20));
    told.history.apply(&updates, at(20));
    assert_eq!(
        gone.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["shop/b"]
    );
    let seen = ["10.244.1.7", "10.244.1.8", "10.244.1.9"].map(|ip| told.look_ip(ip, 100));
    assert_eq!(seen, ["shop/a pod=a", "-", "web/c pod=c"]);
    assert_eq!(told.who.count(Kind::Pods), 2);
}

#[test]
fn what_the_first_lists_tell_holds_from_the_beginning() {
    let mut who = Who::new();
    let history = LiveHistory::new();
    // Pods are listed long before slices are.
    history.apply(
        &who.apply(Kind::Pods, &pod("cart-1", "10.244.1.7", 10), at(1000)),
        at(1000),
    );
    let slice = slice("cart-x", "cart", &[("cart-1", "10.244.1.7")], 8080);
    history.apply(&who.apply(Kind::EndpointSlices, &slice, at(1050)), at(1050));
    let told = Told { who, history };
    assert_eq!(
        told.look("10.244.1.7:8080", 20),
        "shop/cart-1 pod=cart-1 service=cart container=app"
    );
}

/// What `kubectl get pods,services,... -o json` wrote at three moments of a rollout; what happened
/// between them is told by the times in the objects.
#[test]
fn three_lists_name_what_happened_between_them() {
    let mut told = Told {
        who: Who::new(),
        history: LiveHistory::new(),
    };
    let kinded = |kind: &str, mut object: Json| {
        object["kind"] = kind.into();
        object
    };
    let mut list = |now: i64, pods: Vec<Json>, members: &[(&str, &str)]| {
        let mut items = vec![
            kinded("Node", node()),
            kinded(
                "Service",
                service("cart", json!({"clusterIP": "10.96.0.9"})),
            ),
            kinded("EndpointSlice", slice("cart-x", "cart", members, 8080)),
        ];
        items.extend(pods.into_iter().map(|pod| kinded("Pod", pod)));
        let list = json!({"kind": "List", "items": items});
        for kind in Kind::ALL {
            let updates = told.who.list(kind, &list, at(now));
            told.history.apply(&updates, at(now));
        }
    };
    let (old, new) = ("10.244.1.7", "10.244.1.8");
    // A job that is over has the address that the new pod gets later.
    let mut job = pod("job", new, 50);
    job["status"]["phase"] = "Succeeded".into();
    job["status"]["containerStatuses"][0]["state"] =
        json!({"terminated": {"startedAt": time(51), "finishedAt": time(60)}});
    list(
        100,
        vec![pod("cart-old", old, 10), job.clone()],
        &[("cart-old", old)],
    );
    list(
        200,
        vec![
            pod("cart-old", old, 10),
            job.clone(),
            pod("cart-new", new, 150),
        ],
        &[("cart-old", old), ("cart-new", new)],
    );
    // The old pod is gone, and its address was given on before the third look.
    list(
        300,
        vec![job, pod("cart-new", new, 150), pod("web", old, 270)],
        &[("cart-new", new)],
    );
    let seen = |ip: &str, times: &[i64]| -> Vec<String> {
        let name = |now: &i64| told.look_ip(ip, *now);
        let names = times.iter().map(name);
        names
            .map(|name| name.split(' ').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        seen(old, &[10, 100, 210, 269, 272, 300, 400]),
        [
            "shop/cart-old",
            "shop/cart-old",
            "shop/cart-old",
            "shop/cart-old",
            "shop/web",
            "shop/web",
            "shop/web"
        ]
    );
    assert_eq!(
        seen(new, &[55, 119, 120, 149, 151, 250, 400]),
        [
            "shop/job",
            "shop/job",
            "-",
            "-",
            "shop/cart-new",
            "shop/cart-new",
            "shop/cart-new"
        ]
    );
    assert_eq!(told.look("10.96.0.9:80", 20), "shop/cart service=cart");
    assert!(told.look("10.244.1.8:8080", 250).contains("service=cart"));
}

/// The state that is told in any order is the same.
#[test]
fn the_order_of_kinds_does_not_matter() {
    let objects = [
        (Kind::Nodes, node()),
        (
            Kind::Services,
            service("cart", json!({"clusterIP": "10.96.0.9"})),
        ),
        (
            Kind::EndpointSlices,
            slice(
                "cart-x",
                "cart",
                &[("a", "10.244.1.7"), ("b", "10.244.1.8")],
                8080,
            ),
        ),
        (
            Kind::EndpointSlices,
            slice("api-x", "api", &[("a", "10.244.1.7")], 8080),
        ),
        (Kind::Pods, pod("a", "10.244.1.7", 10)),
        (Kind::Pods, pod("b", "10.244.1.8", 10)),
    ];
    let mut seen = BTreeSet::new();
    for turn in 0..objects.len() {
        let mut told = Told::new();
        let mut order: Vec<_> = objects.iter().collect();
        order.rotate_left(turn);
        if turn % 2 == 1 {
            order.reverse();
        }
        for (kind, object) in order {
            told.apply(*kind, object, 12);
        }
        let looked = ["10.244.1.7:8080", "10.244.1.8:8080", "10.96.0.9:80"];
        seen.insert(looked.map(|end| told.look(end, 20)));
    }
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen.first().unwrap()[0].contains("service=api"));
}

/// Pods come and go for a day; what is kept does not grow with them.
#[test]
fn churn_does_not_add_up() {
    let mut told = Told::new();
    for index in 0..20_000_i64 {
        let now = index * 4;
        let name = format!("p-{index}");
        let ip = format!(
            "10.{}.{}.{}",
            index >> 16 & 255,
            index >> 8 & 255,
            index & 255
        );
        told.apply(Kind::Pods, &pod(&name, &ip, now), now + 1);
        if index >= 50 {
            told.remove(Kind::Pods, "shop", &format!("p-{}", index - 50), now + 2);
        }
        told.who.sweep(at(now));
    }
    assert_eq!(told.who.count(Kind::Pods), 50);
    let (addresses, claims) = told.who.claims();
    assert!(
        addresses < 1000 && claims < 1000,
        "{addresses} addresses, {claims} claims"
    );
    let (named, changes) = told.history.size();
    // Six hours of one pod every four seconds, each with an address and a port.
    assert!(
        named < 12_000 && changes < 24_000,
        "{named} addresses, {changes} changes"
    );
}
