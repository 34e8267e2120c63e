//! Names, targets and rights against a real API server.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value as Json, json};

use tapedeck::capture::targets::SharedTargets;
use tapedeck::cluster::{Cluster, Connection, Kind, Options, Pace, PodTeller, Targets, Wanted};
use tapedeck::packet::Endpoint;
use tapedeck::resolve::LiveHistory;
use tapedeck::time::{Clock, SystemClock, Timestamp};

use super::real::{READER, Real};

fn options(targets: Targets, on_pod: Option<PodTeller>) -> Options {
    Options {
        namespaces: Vec::new(),
        pace: Pace {
            first: Duration::from_millis(50),
            longest: Duration::from_millis(500),
            denied: Duration::from_millis(500),
            ..Pace::default()
        },
        history: Arc::new(LiveHistory::new()),
        addresses: SharedTargets::default(),
        targets,
        on_pod,
        on_updates: None,
        on_happening: None,
        before: None,
        wants: None,
        clock: Arc::new(SystemClock),
    }
}

pub fn follow(connection: Connection, options: Options) -> Cluster {
    Cluster::start(&tokio::runtime::Handle::current(), connection, options)
}

/// `namespace/name`, and the service, of an endpoint now.
fn look(cluster: &Cluster, endpoint: &str) -> String {
    let end: std::net::SocketAddr = endpoint.parse().unwrap();
    let end = Endpoint {
        ip: end.ip(),
        port: end.port(),
    };
    let named = cluster
        .history()
        .read(|history| history.lookup(end, SystemClock.now()));
    named.map_or("-".to_owned(), |named| {
        let who: Json = named
            .identity
            .map(|who| serde_json::from_str(who.text()).unwrap())
            .unwrap_or_default();
        let service = who.pointer("/service/metadata/name").and_then(Json::as_str);
        format!(
            "{}/{} {}",
            named.namespace,
            named.name,
            service.unwrap_or("-")
        )
    })
}

/// Waits until `seen` is what it should be.
pub async fn until<T: PartialEq + std::fmt::Debug>(expected: T, seen: impl Fn() -> T) {
    let late = Instant::now() + Duration::from_secs(60);
    loop {
        let now = seen();
        if now == expected {
            return;
        }
        assert!(Instant::now() < late, "{now:?} is not {expected:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn prepare(real: &Real) {
    for namespace in ["shop", "web"] {
        let labels = json!({"team": namespace});
        let namespace = json!({"metadata": {"name": namespace, "labels": labels}});
        real.make("/api/v1/namespaces", &namespace).await;
    }
    let node = json!({"metadata": {"name": "worker-1"}, "spec": {"podCIDR": "10.244.1.0/24"}});
    let mut node = real.make("/api/v1/nodes", &node).await;
    node["status"] = json!({"addresses": [{"type": "InternalIP", "address": "192.0.2.11"}]});
    real.ask(Method::PUT, "/api/v1/nodes/worker-1/status", &node)
        .await;
    let service = json!({
        "metadata": {"name": "cart", "namespace": "shop"},
        "spec": {
            "type": "NodePort", "clusterIP": "10.96.7.7",
            "ports": [{"port": 80, "targetPort": 8080, "nodePort": 30123}],
        },
    });
    real.make("/api/v1/namespaces/shop/services", &service)
        .await;
    let slice = json!({
        "metadata": {"name": "cart-x", "labels": {"kubernetes.io/service-name": "cart"}},
        "addressType": "IPv4", "ports": [{"name": "", "port": 8080}],
        "endpoints": [{
            "addresses": ["10.244.1.7"],
            "targetRef": {"kind": "Pod", "namespace": "shop", "name": "cart-1"},
        }],
    });
    let path = "/apis/discovery.k8s.io/v1beta1/namespaces/shop/endpointslices";
    real.make(path, &slice).await;
    let labels = json!({"labels": {"app": "cart"}, "annotations": {"note": "first"}});
    real.make_pod("shop", "cart-1", "10.244.1.7", &labels).await;
    real.make_pod("web", "front-1", "10.244.1.8", &Json::Null)
        .await;
}

/// Names of objects that are there before, and of those that come while the API server is away.
async fn names_and_restart(real: &mut Real) {
    let events: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = events.clone();
    let on_pod: PodTeller = Arc::new(move |change, pod| {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        heard
            .lock()
            .unwrap()
            .push(format!("{} {name}", change.name()));
    });
    let wanted = Wanted {
        regex: "cart".to_owned(),
        ..Wanted::default()
    };
    let options = options(Targets::parse(&wanted).unwrap(), Some(on_pod));
    let cluster = follow(real.admin().await, options);
    until(true, || cluster.is_ready()).await;
    until("shop/cart-1 cart".to_owned(), || {
        look(&cluster, "10.244.1.7:8080")
    })
    .await;
    assert_eq!(look(&cluster, "10.244.1.7:9"), "shop/cart-1 -");
    assert_eq!(look(&cluster, "10.244.1.8:8080"), "web/front-1 -");
    assert_eq!(look(&cluster, "10.96.7.7:80"), "shop/cart cart");
    assert_eq!(look(&cluster, "192.0.2.11:30123"), "shop/cart cart");
    assert_eq!(look(&cluster, "192.0.2.11:22"), "/worker-1 -");
    // 1.20 has slices of v1beta1 only.
    let requests = || {
        let counts = cluster.counts();
        (counts.others, counts.lists, counts.watches)
    };
    until((1, 5, 5), requests).await;
    let targeted = cluster.targeted();
    assert_eq!(
        targeted["targets"][0]["metadata"]["name"], "cart-1",
        "{targeted}"
    );
    assert_eq!(targeted["excluded"][0]["metadata"]["name"], "front-1");
    {
        let heard = events.lock().unwrap();
        let mut added: Vec<&str> = heard.iter().map(String::as_str).collect();
        added.sort_unstable();
        assert_eq!(added, ["ADDED cart-1", "ADDED front-1"]);
    }

    real.make_pod("shop", "cart-2", "10.244.1.9", &Json::Null)
        .await;
    until("shop/cart-2 -".to_owned(), || {
        look(&cluster, "10.244.1.9:1")
    })
    .await;
    real.delete_pod("web", "front-1").await;
    until(true, || {
        events
            .lock()
            .unwrap()
            .contains(&"DELETED front-1".to_owned())
    })
    .await;

    real.stop_api();
    until(true, || {
        let states = cluster.json();
        states["watches"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["state"] == "away")
    })
    .await;
    assert_eq!(look(&cluster, "10.244.1.7:8080"), "shop/cart-1 cart");
    assert_eq!(look(&cluster, "10.244.1.9:1"), "shop/cart-2 -");
    real.start_api().await;
    real.delete_pod("shop", "cart-2").await;
    real.make_pod("web", "front-2", "10.244.1.9", &Json::Null)
        .await;
    until("web/front-2 -".to_owned(), || {
        look(&cluster, "10.244.1.9:1")
    })
    .await;
    let said: Mutex<Vec<String>> = Mutex::default();
    until(Some("the API server answers again".to_owned()), || {
        let mut said = said.lock().unwrap();
        said.extend(cluster.sentences());
        said.last().cloned()
    })
    .await;
    let said = said.into_inner().unwrap();
    let away = "the API server cannot be asked";
    assert!(
        said.iter().any(|sentence| sentence.starts_with(away)),
        "{said:?}"
    );
    real.delete_pod("web", "front-2").await;
    until(1, || cluster.with_who(|who| who.count(Kind::Pods))).await;
}

/// A version that the restarted API server does not keep any more: objects that went meanwhile are
/// found gone.
async fn expired(real: &mut Real) {
    let cluster = follow(real.admin().await, options(Targets::default(), None));
    real.make_pod("web", "old", "10.244.1.20", &Json::Null)
        .await;
    until("web/old -".to_owned(), || look(&cluster, "10.244.1.20:1")).await;
    // A version from before everything, as after a long time away, is not kept.
    let asked = http::Request::get("/api/v1/pods?watch=true&resourceVersion=1").body(Vec::new());
    let client = real.admin().await.client;
    let refused = client.request_text(asked.unwrap());
    let refused = tokio::time::timeout(Duration::from_secs(10), refused).await;
    let said = format!("{refused:?}");
    assert!(said.contains("410"), "{said}");
    // Something else changes, so that the last pod's version is an old one for the next API server.
    let other = json!({"metadata": {"name": "other"}});
    real.make("/api/v1/namespaces/web/configmaps", &other).await;
    real.stop_api();
    real.start_api().await;
    until(true, || cluster.counts().relists > 0).await;
    for round in 0..60 {
        let name = format!("burst-{round}");
        real.make_pod("web", &name, "10.244.1.21", &Json::Null)
            .await;
        real.delete_pod("web", &name).await;
    }
    real.delete_pod("web", "old").await;
    until(false, || {
        cluster.with_who(|who| who.pods().any(|pod| pod.key.name == "old"))
    })
    .await;
}

/// A user that may read two kinds in one namespace.
async fn rights(real: &Real) {
    let rule = json!({
        "apiGroups": ["", "discovery.k8s.io"], "resources": ["pods", "endpointslices"],
        "verbs": ["list", "watch"],
    });
    let all = "/apis/rbac.authorization.k8s.io/v1/namespaces";
    let rbac = format!("{all}/shop");
    let role = json!({"metadata": {"name": "reader"}, "rules": [rule]});
    real.make(&format!("{rbac}/roles"), &role).await;
    let binding = json!({
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "reader"}],
    });
    real.make(&format!("{rbac}/rolebindings"), &binding).await;
    real.make_pod("web", "hidden", "10.244.1.30", &Json::Null)
        .await;
    let cluster = follow(
        real.connection(READER).await,
        options(Targets::default(), None),
    );
    until("shop/cart-1 cart".to_owned(), || {
        look(&cluster, "10.244.1.7:8080")
    })
    .await;
    until(true, || cluster.is_ready()).await;
    assert_eq!(look(&cluster, "10.244.1.30:1"), "-");
    assert_eq!(look(&cluster, "192.0.2.11:22"), "-");
    // The last refusal: the namespace is asked for services once the whole cluster was.
    let last = "services of the namespace shop may not be listed";
    let said = RefCell::new(Vec::new());
    until(true, || {
        let mut said = said.borrow_mut();
        said.extend(cluster.sentences());
        said.iter().any(|one: &String| one.starts_with(last))
    })
    .await;
    let said = said.into_inner();
    let starts = |start: &str| said.iter().filter(|one| one.starts_with(start)).count();
    // A sentence for each kind, twice for one that the namespace does not give either.
    assert_eq!(starts("pods are watched in shop only"), 1, "{said:#?}");
    assert_eq!(
        starts("endpointslices are watched in shop only"),
        1,
        "{said:#?}"
    );
    assert_eq!(
        starts(
            "nodes of the cluster may not be listed and watched, so addresses of nodes have no names: nodes is forbidden: User \"reader\""
        ),
        1,
        "{said:#?}"
    );
    assert_eq!(starts(last), 1, "{said:#?}");
    // More rights are found without a restart.
    let mut more = real
        .ask(Method::GET, &format!("{rbac}/roles/reader"), &Json::Null)
        .await;
    more["rules"][0]["resources"] = json!(["pods", "endpointslices", "services"]);
    real.ask(Method::PUT, &format!("{rbac}/roles/reader"), &more)
        .await;
    until("shop/cart cart".to_owned(), || {
        look(&cluster, "10.96.7.7:80")
    })
    .await;
    drop(cluster);
    real.make(&format!("{all}/web/roles"), &role).await;
    real.make(&format!("{all}/web/rolebindings"), &binding)
        .await;
    confined_targets(real).await;
    real.delete_pod("web", "hidden").await;
}

/// Of a user with rights in two namespaces the pods of the targeted one are captured, and of the other one when
/// it is targeted instead.
async fn confined_targets(real: &Real) {
    let of = |namespace: &str| {
        let namespaces = vec![namespace.to_owned()];
        let wanted = Wanted {
            namespaces: namespaces.clone(),
            ..Wanted::default()
        };
        (namespaces, Targets::parse(&wanted).unwrap())
    };
    let (namespaces, targets) = of("shop");
    let addresses = SharedTargets::default();
    let options = Options {
        namespaces,
        addresses: addresses.clone(),
        ..options(targets, None)
    };
    let cluster = follow(real.connection(READER).await, options);
    let captured = || {
        let set = addresses.get().1?;
        let mut ips: Vec<String> = set.ips.iter().map(ToString::to_string).collect();
        ips.sort();
        // No unknown address is one of a new pod: those of the other namespace stay unknown.
        Some((ips.join(" "), set.networks.len()))
    };
    until(Some(("10.244.1.7".to_owned(), 0)), captured).await;
    until(true, || cluster.is_ready()).await;
    assert_eq!(look(&cluster, "10.244.1.30:1"), "-");
    let (namespaces, targets) = of("web");
    cluster.set_namespaces(namespaces);
    cluster.set_targets(targets);
    until(true, || {
        captured().is_some_and(|(ips, networks)| {
            ips.contains("10.244.1.30") && !ips.contains("10.244.1.7") && networks == 0
        })
    })
    .await;
    assert_eq!(look(&cluster, "10.244.1.30:1"), "web/hidden -");
}

/// Pods come and go, and give their addresses on; each address was at each moment that of the pod that
/// had it then.
async fn churn(real: &Real, rounds: usize, at_a_time: usize) {
    let cluster = follow(real.admin().await, options(Targets::default(), None));
    until(true, || cluster.is_ready()).await;
    // By address: from when on which pod had it, in Unix seconds.
    let mut truth: BTreeMap<IpAddr, Vec<(i64, String)>> = BTreeMap::new();
    let ip_of = |place: usize| format!("10.244.{}.{}", 2 + place / 250, 1 + place % 250);
    for round in 0..rounds {
        let names: Vec<String> = (0..at_a_time)
            .map(|place| format!("churn-{round}-{place}"))
            .collect();
        let made = names.iter().enumerate().map(|(place, name)| {
            let ip = ip_of(place);
            async move {
                real.make_pod("web", name, &ip, &Json::Null).await;
                (ip, SystemClock.now().secs())
            }
        });
        let made: Vec<_> = in_turns(made).await;
        for (name, (ip, at)) in names.iter().zip(made) {
            truth
                .entry(ip.parse().unwrap())
                .or_default()
                .push((at, name.clone()));
        }
        // Long enough for a moment in the middle that is surely one pod's.
        tokio::time::sleep(Duration::from_secs(3)).await;
        in_turns(names.iter().map(|name| real.delete_pod("web", name))).await;
    }
    until(false, || {
        cluster.with_who(|who| who.pods().any(|pod| pod.key.name.starts_with("churn")))
    })
    .await;
    let mut looked = 0;
    for (ip, pods) in &truth {
        for (at, name) in pods {
            let at = Timestamp::from_secs(at + 2, 0);
            let named = cluster.history().read(|history| history.lookup_ip(*ip, at));
            let found = named.map(|named| named.name.to_string());
            assert_eq!(found.as_deref(), Some(name.as_str()), "{ip} at {at}");
            looked += 1;
        }
    }
    assert_eq!(looked, rounds * at_a_time);
}

/// Some at a time, as a controller does.
async fn in_turns<T>(tasks: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    use futures_util::StreamExt as _;
    futures_util::stream::iter(tasks)
        .buffered(16)
        .collect()
        .await
}

#[test]
fn a_real_api_server_names_addresses_at_each_moment() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let Some(mut real) = Real::start().await else {
            return;
        };
        prepare(&real).await;
        names_and_restart(&mut real).await;
        rights(&real).await;
        super::isolate::pods(&real, || options(Targets::default(), None)).await;
        super::meanwhile::nobody_watches(&real, || options(Targets::default(), None)).await;
        expired(&mut real).await;
        churn(&real, 3, 40).await;
        if std::env::var_os("TAPEDECK_SLOW").is_some() {
            churn(&real, 4, 1000).await;
            many(&real, 5000).await;
        }
    });
}

/// What many pods cost: requests, bytes, memory.
async fn many(real: &Real, count: usize) {
    let ip_of = |place: usize| format!("10.245.{}.{}", place / 250, 1 + place % 250);
    let labels = json!({
        "labels": {"app": "many", "tier": "back", "pod-template-hash": "6d5f9c7b8"},
        "annotations": {"prometheus.io/scrape": "true", "team": "orders", "checksum/config": "0123456789abcdef0123456789abcdef"},
    });
    let names: Vec<String> = (0..count).map(|place| format!("many-{place}")).collect();
    let made = names.iter().enumerate().map(|(place, name)| {
        let (ip, labels) = (ip_of(place), &labels);
        async move { real.make_pod("shop", name, &ip, labels).await }
    });
    in_turns(made).await;
    let before = resident();
    let began = Instant::now();
    let cluster = follow(real.admin().await, options(Targets::default(), None));
    until(true, || cluster.is_ready()).await;
    let ready = began.elapsed();
    let (counts, after) = (cluster.counts(), resident());
    println!(
        "{count} pods: ready after {ready:?}, {counts:?}, {} KiB more memory, {}",
        after.saturating_sub(before),
        cluster.json()["names"]
    );
    assert_eq!(
        look(&cluster, &format!("{}:8080", ip_of(count - 1))),
        format!("shop/many-{} -", count - 1)
    );
    assert!(counts.lists < 30, "{counts:?}");
}

/// Resident memory of this process, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
