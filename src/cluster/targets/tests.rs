//! Which pods are meant.

use std::collections::HashSet;

use serde_json::json;

use super::*;
use crate::cluster::kinds::Kind;
use crate::time::Timestamp;

fn pod(namespace: &str, name: &str, ip: &str, labels: Json) -> Json {
    json!({
        "metadata": {"name": name, "namespace": namespace, "uid": name, "labels": labels},
        "spec": {"nodeName": "worker-1", "containers": [{"name": "app", "ports": [{"containerPort": 9100, "hostPort": 9100}]}]},
        "status": {"phase": "Running", "podIP": ip, "hostIP": "192.0.2.11"},
    })
}

fn cluster() -> Who {
    let mut who = Who::new();
    let at = Timestamp::from_secs(1_700_000_000, 0);
    let mut host = pod("web", "host-1", "192.0.2.11", json!({"app": "host"}));
    host["spec"]["hostNetwork"] = true.into();
    let mut over = pod("shop", "cart-job", "10.244.1.9", json!({}));
    over["status"]["phase"] = "Succeeded".into();
    for object in [
        pod(
            "shop",
            "cart-1",
            "10.244.1.7",
            json!({"app": "cart", "tier": "api"}),
        ),
        pod("shop", "pay-1", "10.244.1.8", json!({"app": "pay"})),
        pod(
            "web",
            "cart-2",
            "10.244.1.9",
            json!({"app": "cart", "canary": "yes"}),
        ),
        host,
        over,
    ] {
        who.apply(Kind::Pods, &object, at);
    }
    for (name, team) in [("shop", "orders"), ("web", "front")] {
        let namespace = json!({"metadata": {"name": name, "labels": {"team": team}}});
        who.apply(Kind::Namespaces, &namespace, at);
    }
    let node = json!({
        "metadata": {"name": "worker-1"}, "spec": {"podCIDR": "10.244.1.0/24"},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.11"}]},
    });
    who.apply(Kind::Nodes, &node, at);
    who.complete(
        Kind::Pods,
        None,
        &who.pods()
            .map(|pod| pod.key.clone())
            .collect::<HashSet<_>>(),
        at,
    );
    who
}

fn inside(wanted: &Wanted) -> Vec<String> {
    let json = Targets::parse(wanted).unwrap().json(&cluster());
    let list = json["targets"].as_array().unwrap().iter();
    list.map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

fn wanted() -> Wanted {
    Wanted::default()
}

#[test]
fn pods_are_chosen_by_name_namespace_and_labels() {
    let names = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let regex = |regex: &str| Wanted {
        regex: regex.to_owned(),
        ..wanted()
    };
    let labels = |labels: &str| Wanted {
        labels: labels.to_owned(),
        ..wanted()
    };
    assert_eq!(inside(&wanted()).len(), 5);
    assert_eq!(inside(&regex("cart-[0-9]")), ["cart-1", "cart-2"]);
    assert_eq!(inside(&regex("^pay")), ["pay-1"]);
    let shop = Wanted {
        namespaces: names(&["shop"]),
        ..regex("cart")
    };
    assert_eq!(inside(&shop), ["cart-1", "cart-job"]);
    let not_shop = Wanted {
        excluded: names(&["shop"]),
        ..wanted()
    };
    assert_eq!(inside(&not_shop), ["cart-2", "host-1"]);
    assert_eq!(inside(&labels("app=cart")), ["cart-1", "cart-2"]);
    assert_eq!(
        inside(&labels("app in (cart, pay), !canary")),
        ["cart-1", "pay-1"]
    );
    assert_eq!(inside(&labels("app != cart,app")), ["pay-1", "host-1"]);
    assert_eq!(
        inside(&labels("app notin (cart,host)")),
        ["cart-job", "pay-1"]
    );
    let team = Wanted {
        namespace_labels: "team==front".to_owned(),
        ..wanted()
    };
    assert_eq!(inside(&team), ["cart-2", "host-1"]);
}

#[test]
fn an_unknown_address_is_no_target_where_pods_of_other_namespaces_are_never_known() {
    let wanted = Wanted {
        namespaces: vec!["shop".to_owned()],
        ..wanted()
    };
    let targets = Targets::parse(&wanted).unwrap();
    let mut confined = Who::new();
    let at = Timestamp::from_secs(1_700_000_000, 0);
    let cart = pod("shop", "cart-1", "10.244.1.7", json!({}));
    confined.apply(Kind::Pods, &cart, at);
    let there = confined.pods().map(|pod| pod.key.clone()).collect();
    confined.complete(Kind::Pods, Some("shop"), &there, at);
    for who in [confined, cluster()] {
        let set = targets.set(&who, true).unwrap();
        assert!(set.ips.contains(&"10.244.1.7".parse().unwrap()));
        assert!(set.networks.is_empty(), "{:?}", set.networks);
        assert!(!targets.set(&who, false).unwrap().networks.is_empty());
    }
}

#[test]
fn targets_become_addresses() {
    let who = cluster();
    let of = |wanted: &Wanted| Targets::parse(wanted).unwrap().set(&who, false);
    assert!(
        of(&Wanted {
            regex: ".*".to_owned(),
            ..wanted()
        })
        .is_none()
    );
    let set = of(&Wanted {
        regex: "cart|host".to_owned(),
        ..wanted()
    })
    .unwrap();
    let mut ips: Vec<String> = set.ips.iter().map(ToString::to_string).collect();
    ips.sort();
    // The job is over: its address is that of another pod by now, which is a target itself.
    assert_eq!(ips, ["10.244.1.7", "10.244.1.9"]);
    assert!(set.endpoints.iter().any(|end| end.port == 9100));
    assert_eq!(set.networks, [("10.244.1.0".parse().unwrap(), 24)]);
    for ip in ["10.244.1.8", "192.0.2.11", "10.244.1.1"] {
        assert!(set.known.contains(&ip.parse().unwrap()), "{ip}");
    }
}

#[test]
fn patterns_are_those_of_re2_found_anywhere_in_the_name() {
    for (pattern, expected) in [
        ("art", vec!["cart-1", "cart-2", "cart-job"]),
        ("^art", vec![]),
        (r"-\d$", vec!["cart-1", "cart-2", "host-1", "pay-1"]),
        (r"\Qpay-1\E|host", vec!["host-1", "pay-1"]),
        ("(?i)CART-1", vec!["cart-1"]),
        // Names alone are looked at, never namespaces.
        ("shop", vec![]),
        (
            ".*",
            vec!["cart-1", "cart-2", "cart-job", "host-1", "pay-1"],
        ),
    ] {
        let mut found = inside(&Wanted {
            regex: pattern.to_owned(),
            ..wanted()
        });
        found.sort();
        assert_eq!(found, expected, "{pattern}");
    }
    for pattern in ["(?=cart)", r"(a)\1", "["] {
        let wanted = Wanted {
            regex: pattern.to_owned(),
            ..wanted()
        };
        assert!(Targets::parse(&wanted).is_err(), "{pattern}");
    }
}

#[test]
fn the_preview_has_running_pods_alone() {
    let targets = Targets::parse(&Wanted {
        regex: "cart".to_owned(),
        namespaces: vec!["web".to_owned(), "shop".to_owned(), "shop".to_owned()],
        ..wanted()
    });
    assert_eq!(
        targets.unwrap().running(&cluster()),
        ["shop/cart-1", "web/cart-2"]
    );
}

#[test]
fn scripts_are_told_pods_as_the_api_server_has_them() {
    let wanted = Wanted {
        regex: "^cart-1$".to_owned(),
        ..wanted()
    };
    let told = Targets::parse(&wanted).unwrap().json(&cluster());
    let cart = &told["targets"][0];
    assert_eq!(cart["metadata"]["name"], "cart-1");
    assert_eq!(cart["metadata"]["namespace"], "shop");
    assert_eq!(cart["metadata"]["labels"]["tier"], "api");
    assert_eq!(cart["spec"]["nodeName"], "worker-1");
    assert_eq!(
        cart["spec"]["containers"][0]["ports"][0]["containerPort"],
        9100
    );
    assert_eq!(cart["status"]["phase"], "Running");
    assert_eq!(cart["status"]["podIP"], "10.244.1.7");
    assert_eq!(told["targets"].as_array().unwrap().len(), 1);
    assert_eq!(told["excluded"].as_array().unwrap().len(), 4);
}

#[test]
fn other_names_keep_the_labels() {
    let labelled = Wanted {
        labels: "app=cart".to_owned(),
        namespaces: vec!["shop".to_owned()],
        ..wanted()
    };
    let targets = Targets::parse(&labelled).unwrap();
    let other = targets.with("cart-", &["web".to_owned()], &[], "").unwrap();
    let json = other.json(&cluster());
    let names: Vec<&str> = json["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pod| pod["metadata"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["cart-2"]);
    let wanted = json!({"regex": "cart-", "namespaces": ["web"], "excluded": [], "bpf": ""});
    assert_eq!(other.wanted(), wanted);
    assert!(targets.with("(", &[], &[], "").is_err());
    // A capture filter goes before all of them, and they are there again after it.
    let filtered = other.with("cart-", &[], &[], " tcp port 80 ").unwrap();
    assert_eq!(filtered.bpf(), "tcp port 80");
    assert!(filtered.is_all());
    assert_eq!(filtered.set(&cluster(), false), None);
    assert_eq!(filtered.json(&cluster())["excluded"], json!([]));
    let again = filtered.with("", &[], &[], "").unwrap();
    assert!(!again.is_all());
    assert_eq!(
        again.json(&cluster())["targets"][0]["metadata"]["labels"]["app"],
        "cart"
    );
}

#[test]
fn what_is_not_understood_is_named() {
    let regex = Wanted {
        regex: "cart(".to_owned(),
        ..wanted()
    };
    let error = Targets::parse(&regex).unwrap_err();
    assert!(
        error.starts_with("cart( is no regular expression for names of pods: "),
        "{error}"
    );
    for labels in ["app in cart", "a b", "=x", "app near (a,b)", "app in (a"] {
        let labels = Wanted {
            labels: labels.to_owned(),
            ..wanted()
        };
        let error = Targets::parse(&labels).unwrap_err();
        assert!(error.contains("is no requirement to labels"), "{error}");
    }
}

proptest::proptest! {
    #[test]
    fn no_selector_makes_reading_panic(text in "[a-z()=!, \u{e9}]{0,40}") {
        let _ = Selector::parse(&text);
    }
}
