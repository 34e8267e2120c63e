//! What happens while nobody watches, as far as the objects of a real API server tell of it later.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use serde_json::{Value as Json, json};
use tapedeck::cluster::{Cluster, Connection, Happening, Options, Remembered, What};
use tapedeck::time::{Clock, SystemClock, Timestamp};

use super::names::{follow, until};
use super::real::{READER, Real};

/// A cluster that is followed, and what it says that happened.
struct Life {
    cluster: Cluster,
    found: Arc<Mutex<Vec<Happening>>>,
}

impl Life {
    async fn begin(
        connection: Connection,
        options: Options,
        before: Option<(Timestamp, Vec<Remembered>)>,
    ) -> Life {
        let found: Arc<Mutex<Vec<Happening>>> = Arc::default();
        let heard = found.clone();
        let options = Options {
            on_happening: Some(Arc::new(move |one| heard.lock().unwrap().push(one.clone()))),
            wants: Some(Arc::new(|what| what == What::Rollout)),
            before,
            ..options
        };
        let cluster = follow(connection, options);
        until(true, || cluster.is_ready()).await;
        Life { cluster, found }
    }

    /// What happened to the till and to nodes.
    fn found(&self) -> Vec<Happening> {
        let found = self.found.lock().unwrap();
        let is_ours =
            |one: &&Happening| one.what == What::NodePressure || one.owner == "Deployment/till";
        let mut ours: Vec<Happening> = found.iter().filter(is_ours).cloned().collect();
        ours.sort_by_key(|one| one.what);
        ours
    }

    async fn finds(&self, expected: &[&str]) -> Vec<Happening> {
        let shown = |one: Happening| format!("{} {} {}", one.what.name(), one.name, one.message);
        until(
            expected.iter().map(ToString::to_string).collect::<Vec<_>>(),
            || self.found().into_iter().map(shown).collect(),
        )
        .await;
        self.found()
    }
}

/// A revision of the deployment `till`.
async fn make_revision(real: &Real, hash: &str) {
    let labels = json!({"app": "till", "pod-template-hash": hash});
    let owner = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "till", "uid": "d", "controller": true});
    let set = json!({
        "metadata": {"name": format!("till-{hash}"), "labels": labels, "ownerReferences": [owner]},
        "spec": {
            "replicas": 0, "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "app", "image": "app:1"}]},
            },
        },
    });
    real.make("/apis/apps/v1/namespaces/shop/replicasets", &set)
        .await;
}

async fn make_pod(real: &Real, name: &str, ip: &str, hash: &str) {
    let set = format!("till-{hash}");
    let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set, "uid": "r", "controller": true});
    let of = json!({
        "labels": {"app": "till", "pod-template-hash": hash}, "ownerReferences": [owner],
    });
    real.make_pod("shop", name, ip, &of).await;
}

/// Says as the kubelet would that the node is short of memory; answers since when.
async fn press(real: &Real) -> String {
    let now = SystemClock
        .now()
        .utc()
        .format("%Y-%m-%dT%H:%M:%SZ")
        .to_string();
    let mut node = real
        .ask(Method::GET, "/api/v1/nodes/worker-1", &Json::Null)
        .await;
    node["status"]["conditions"] = json!([{
        "type": "MemoryPressure", "status": "True", "lastTransitionTime": now,
        "lastHeartbeatTime": now, "reason": "KubeletHasInsufficientMemory", "message": "",
    }]);
    real.ask(Method::PUT, "/api/v1/nodes/worker-1/status", &node)
        .await;
    now
}

/// A rollout is complete and a node under pressure before somebody watches again.
pub async fn nobody_watches(real: &Real, options: impl Fn() -> Options) {
    make_revision(real, "aaa").await;
    make_pod(real, "till-1", "10.244.1.51", "aaa").await;
    let life = Life::begin(real.admin().await, options(), None).await;
    // The first revision of all is no rollout.
    life.finds(&[]).await;
    let known = (SystemClock.now(), life.cluster.remembered().unwrap());
    drop(life);

    // The API server tells when in whole seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    make_revision(real, "bbb").await;
    make_pod(real, "till-2", "10.244.1.52", "bbb").await;
    real.delete_pod("shop", "till-1").await;
    let pressed = press(real).await;

    let rollout = "rollout till-2 revision bbb";
    let pressure = "nodePressure worker-1 MemoryPressure";
    let life = Life::begin(real.admin().await, options(), Some(known)).await;
    let gone = "podDeleted till-1 it was gone when the cluster was watched again";
    let found = life.finds(&[gone, rollout, pressure]).await;
    let path = "/api/v1/namespaces/shop/pods/till-2";
    let pod = real.ask(Method::GET, path, &Json::Null).await;
    let made = pod["metadata"]["creationTimestamp"].as_str().unwrap();
    assert_eq!(found[1].at(), Timestamp::parse(made).unwrap());
    assert_eq!(found[2].at(), Timestamp::parse(&pressed).unwrap());
    // The pods of before have traffic around a rollout too.
    let ips: Vec<String> = found[1].pod.ips.iter().map(ToString::to_string).collect();
    assert_eq!(ips, ["10.244.1.51", "10.244.1.52"]);
    drop(life);

    // Who kept nothing of before asks for the revisions that the cluster keeps.
    let life = Life::begin(real.admin().await, options(), None).await;
    let again = life.finds(&[rollout, pressure]).await;
    assert!(again[0].is_same(&found[1]) && again[1].is_same(&found[2]));
    // As it is seen while it happens.
    make_revision(real, "ccc").await;
    make_pod(real, "till-3", "10.244.1.53", "ccc").await;
    life.finds(&[rollout, "rollout till-3 revision ccc", pressure])
        .await;
    drop(life);
    real.delete_pod("shop", "till-3").await;

    // And who may not is told what that costs.
    let life = Life::begin(real.connection(READER).await, options(), None).await;
    until(true, || {
        let said = life.cluster.sentences();
        said.iter().any(|one| {
            one.starts_with("rollouts of the last hour are told as far as pods still show them, replicasets cannot be listed: replicasets.apps is forbidden")
        })
    })
    .await;
    life.finds(&[]).await;
}
