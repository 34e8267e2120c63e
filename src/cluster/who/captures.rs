//! Recordings of a node with the objects of its API server at three moments: each packet has the names
//! that its addresses had when it was captured.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::*;
use crate::capture::{Filled, RawBatch, file};
use crate::packet::headers;
use crate::resolve::{LiveHistory, Names};

/// Who had an address in the recordings, as the events of the cluster tell, with the service of the port
/// where one was answered.
const TRUTH: &[(&str, &str, &str)] = &[
    ("10.244.0.2", "shop/web-c965867db-lwpqf", "web"),
    ("10.244.0.3", "shop/web-c965867db-zllkb", "web"),
    ("10.244.0.4", "shop/client", "-"),
    ("10.244.0.5", "shop/api-846b7fc8cd-jf74w", "api"),
    ("10.244.0.6", "shop/web-c965867db-lpfkb", "web"),
    ("10.244.0.7", "shop/web-c965867db-5dbt5", "web"),
    ("10.96.203.33", "shop/web", "web"),
    ("10.96.254.210", "shop/api", "api"),
    // The bridge, whose node does not tell the network of its pods.
    ("10.244.0.1", "-", "-"),
];

/// Second in which the rollout made the pods of `.6` and `.7`; those of `.2` and `.3` were gone before
/// the second moment.
const ROLLOUT: i64 = 1_795_473_383;

fn folder() -> Option<PathBuf> {
    let folder = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../shared/captures/k8s"
    ));
    if folder.is_dir() {
        return Some(folder.to_owned());
    }
    println!("skipped: the sample captures are not beside the repository");
    None
}

/// The names that the three lists tell, one after the other.
fn names(folder: &Path) -> Names {
    let (mut who, history) = (Who::new(), Arc::new(LiveHistory::new()));
    for moment in 1..=3 {
        let text = |ending: &str| {
            std::fs::read_to_string(folder.join(format!("objects-{moment}.{ending}"))).unwrap()
        };
        let at: f64 = text("time").trim().parse().unwrap();
        let at = Timestamp::from_secs(at as i64, 0);
        let list: Json = serde_json::from_str(&text("json")).unwrap();
        for kind in Kind::ALL {
            history.apply(&who.list(kind, &list, at), at);
        }
    }
    Names::live(history)
}

fn shown(names: &Names, end: Endpoint, at: Timestamp) -> (String, String) {
    let Some(named) = names.lookup(end, at) else {
        return ("-".to_owned(), "-".to_owned());
    };
    let who: Json = named
        .identity
        .map(|who| serde_json::from_str(who.text()).unwrap())
        .unwrap_or_default();
    let service = who.pointer("/service/metadata/name").and_then(Json::as_str);
    let name = match named.namespace.is_empty() {
        true => named.name.to_string(),
        false => format!("{}/{}", named.namespace, named.name),
    };
    (name, service.unwrap_or("-").to_owned())
}

#[test]
fn every_packet_of_the_node_has_the_names_of_its_time() {
    let Some(folder) = folder() else {
        return;
    };
    let names = names(&folder);
    // By address and port, 0 for all those that clients take: packets, and what they were called.
    let mut seen: BTreeMap<(String, u16), BTreeMap<(String, String), usize>> = BTreeMap::new();
    for capture in ["bridge-cni0", "node-any-sll2", "pod-client-eth0"] {
        let mut source = file::open(&folder.join(format!("{capture}.pcap"))).unwrap();
        loop {
            let mut batch = RawBatch::default();
            let filled = source.fill(&mut batch).unwrap();
            for record in &batch.records {
                let start = record.start as usize;
                let bytes = &batch.bytes[start..start + record.caplen as usize];
                let Some((layers, _)) = headers::peek(record.linktype, bytes) else {
                    continue;
                };
                for end in [layers.tuple.src, layers.tuple.dst] {
                    let told = shown(&names, end, record.ts);
                    let port = match end.port {
                        80 | 8080 | 9000 => end.port,
                        _ => 0,
                    };
                    *seen
                        .entry((end.ip.to_string(), port))
                        .or_default()
                        .entry(told)
                        .or_default() += 1;
                }
            }
            if filled == Filled::End {
                break;
            }
        }
    }
    let mut looked = 0;
    for ((ip, port), told) in &seen {
        let Some((_, name, service)) = TRUTH.iter().find(|(known, ..)| known == ip) else {
            continue;
        };
        // On other ports a pod is a pod, and a service is itself on all of them.
        let of_port = *port != 0 || *name == format!("shop/{service}");
        let service = if of_port { *service } else { "-" };
        let expected = ((*name).to_owned(), service.to_owned());
        assert_eq!(told.keys().collect::<Vec<_>>(), [&expected], "{ip}:{port}");
        looked += told.values().sum::<usize>();
    }
    assert!(looked > 4000, "{looked} ends of packets were looked at");
}

#[test]
fn an_address_has_no_name_before_its_pod_nor_long_after_it() {
    let Some(folder) = folder() else {
        return;
    };
    let names = names(&folder);
    let look = |ip: &str, at: i64| {
        let end = Endpoint {
            ip: ip.parse().unwrap(),
            port: 8080,
        };
        shown(&names, end, Timestamp::from_secs(at, 0)).0
    };
    assert_eq!(look("10.244.0.6", ROLLOUT - 1), "-");
    assert_eq!(look("10.244.0.6", ROLLOUT + 2), "shop/web-c965867db-lpfkb");
    assert_eq!(look("10.244.0.2", ROLLOUT - 1), "shop/web-c965867db-lwpqf");
    assert_eq!(look("10.244.0.2", ROLLOUT + 3600), "-");
    // The client was deleted between the second moment and the third.
    assert_eq!(look("10.244.0.4", ROLLOUT + 20), "shop/client");
    assert_eq!(look("10.244.0.4", ROLLOUT + 3600), "-");
    // A node port is the service's; the node's other ports are the node's.
    let node = |port| {
        let end = Endpoint {
            ip: [10, 200, 0, 1].into(),
            port,
        };
        shown(&names, end, Timestamp::from_secs(ROLLOUT, 0))
    };
    assert_eq!(node(31927).0, "shop/api");
    assert_eq!(
        node(6443),
        ("default/kubernetes".to_owned(), "kubernetes".to_owned())
    );
    assert_eq!(node(22).0, "node-a");
}
