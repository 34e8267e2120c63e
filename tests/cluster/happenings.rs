//! Recordings that wait for what happens to pods: the minute before is in the sealed reel.

use std::path::Path;
use std::time::Duration;

use http::Method;
use serde_json::{Value as Json, json};
use tapedeck::record::manifest::Manifest;
use tapedeck::time::{Clock, SystemClock};

use super::real::Real;
use super::tap::{Loopback, REQUESTS, Tap, recorded, said, traffic, wait_for};

fn configure(folder: &Path) {
    let waits = |name: &str, on: &str| json!({"name": name, "on": [on], "before": "1m", "after": "2s", "scope": "pod"});
    let config = json!({
        "tap": {"dataDir": folder.join("data")},
        "recording": {"destination": folder.join("kept")},
        "recordings": [waits("crashes", "OOMKilled"), waits("probes", "failedProbe")],
    });
    std::fs::write(folder.join("tapedeck.yaml"), config.to_string()).unwrap();
}

fn now() -> String {
    SystemClock
        .now()
        .utc()
        .format("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

/// Says as the node of a pod would that its container was ended for its memory.
async fn kill_for_memory(real: &Real, pod: &str) {
    let path = format!("/api/v1/namespaces/shop/pods/{pod}");
    let mut object = real.ask(Method::GET, &path, &Json::Null).await;
    object["status"]["containerStatuses"] = json!([{
        "name": "app", "image": "app:1", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": now()}},
    }]);
    real.ask(Method::PUT, &format!("{path}/status"), &object)
        .await;
}

async fn fail_probe(real: &Real, pod: &str) {
    let event = json!({
        "metadata": {"name": format!("{pod}.1"), "namespace": "shop"},
        "involvedObject": {
            "kind": "Pod", "namespace": "shop", "name": pod, "fieldPath": "spec.containers{app}",
        },
        "reason": "Unhealthy", "type": "Warning", "count": 1, "lastTimestamp": now(),
        "message": "Liveness probe failed: connection refused",
    });
    real.make("/api/v1/namespaces/shop/events", &event).await;
}

/// The manifests of reels below a folder.
fn reels(folder: &Path, into: &mut Vec<Manifest>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            reels(&path, into);
        } else if path.to_string_lossy().ends_with(".manifest.json") {
            let manifest = Manifest::parse(&std::fs::read(path).unwrap()).unwrap();
            if manifest.counts.packets > 0 {
                into.push(manifest);
            }
        }
    }
}

#[test]
fn the_minute_before_a_pod_was_killed_is_in_the_sealed_reel() {
    let Some(loopback) = Loopback::start() else {
        return;
    };
    let (runtime, real, port) = (&loopback.runtime, &loopback.real, loopback.port);
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    configure(folder);
    let mut tap = Tap::start(folder, real);
    wait_for(folder, "err", "the recording crashes is on: on OOMKilled");
    wait_for(folder, "err", "Capturing live on lo");
    // Names are there some moments later.
    std::thread::sleep(Duration::from_secs(2));
    traffic(port, "before");
    std::thread::sleep(Duration::from_millis(500));
    runtime.block_on(kill_for_memory(real, "cart-1"));
    wait_for(
        folder,
        "err",
        "the recording crashes takes the streams around OOMKilled of shop/cart-1",
    );
    traffic(port, "after");
    runtime.block_on(fail_probe(real, "pay-1"));
    wait_for(
        folder,
        "err",
        "the recording probes takes the streams around failedProbe of shop/pay-1",
    );
    // Both are over, and what comes now belongs to neither.
    std::thread::sleep(Duration::from_secs(5));
    traffic(port, "late");
    std::thread::sleep(Duration::from_secs(1));
    let code = tap.end();
    let err = said(folder, "err");
    assert_eq!(code, Some(0), "{err}");

    let items = recorded(folder);
    let count = |recording: &str, tag: &str, pod: &str| {
        let is = |item: &&Json| {
            item["record"] == recording
                && item["request"]["path"].as_str().unwrap().starts_with(tag)
                && item["dst"]["pod"]["metadata"]["name"] == pod
        };
        items.iter().filter(is).count()
    };
    assert_eq!(count("crashes", "/before/", "cart-1"), REQUESTS, "{err}");
    assert_eq!(count("crashes", "/after/", "cart-1"), REQUESTS);
    assert_eq!(count("probes", "/before/", "pay-1"), REQUESTS);
    assert_eq!(count("probes", "/after/", "pay-1"), REQUESTS);
    assert_eq!(items.len(), 4 * REQUESTS);
    assert!(
        items
            .iter()
            .all(|item| item["src"]["pod"]["metadata"]["name"] == "front-1")
    );

    let mut sealed = Vec::new();
    reels(&folder.join("kept"), &mut sealed);
    let of = |recording: &str| {
        let mut found = sealed
            .iter()
            .filter(|manifest| manifest.recording == recording);
        found.next().unwrap_or_else(|| panic!("{recording}: {err}"))
    };
    let [event] = of("crashes").events.as_slice() else {
        panic!("{sealed:?}")
    };
    assert_eq!(
        (
            event.what.as_str(),
            event.namespace.as_str(),
            event.name.as_str()
        ),
        ("OOMKilled", "shop", "cart-1")
    );
    assert_eq!(
        (event.container.as_str(), event.node.as_str()),
        ("app", "worker-1")
    );
    let [probe] = of("probes").events.as_slice() else {
        panic!("{sealed:?}")
    };
    assert_eq!(probe.message, "Liveness probe failed: connection refused");
}
