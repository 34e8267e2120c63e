//! What the hub asks others for is no traffic of the cluster, from its first packet on.

use super::view::waits_for;
use super::*;

/// A script with an instance at the hub, which calls out as soon as it runs.
const CALLS_OUT: &str = "// calls out
if (utils.nodeName() === 'hub') vendor.webhook('GET', 'http://10.77.0.12/hook', '');
function onHubAction() {}
";

#[test]
fn what_a_hub_asks_is_left_out_however_often_it_is_started_anew() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    cluster.script(CALLS_OUT);
    // It stands in for an API server, and answers nothing that the hub could use.
    let _servers = ["a", "b"].map(|node| cluster.server(node));
    let kubeconfig = cluster.path("kubeconfig");
    let server = format!("http://{}", address("b"));
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "clusters": [{"name": "it", "cluster": {"server": server}}],
        "users": [{"name": "it", "user": {}}],
    });
    fs::write(&kubeconfig, config.to_string()).unwrap();
    let workers = ["a", "b"].map(|node| cluster.worker_without_hub(node));
    for worker in &workers {
        worker.says("the hub is tried again");
    }
    // By now they try as seldom as they ever do.
    std::thread::sleep(Duration::from_secs(8));
    let both = [("a", 2), ("b", 2)];
    for life in ["first", "second", "third"] {
        let hub = cluster.hub_with(&[
            ("TAPEDECK_POD_IP", "10.77.0.1"),
            ("KUBECONFIG", kubeconfig.to_str().unwrap()),
        ]);
        wait("the API server is asked", || {
            let requests = &hub.get("/api/v1/status")["run"]["cluster"]["requests"];
            requests["others"].as_u64() > Some(0)
        });
        wait("the script runs", || {
            let scripts = hub.get("/api/v1/scripts");
            let mut all = scripts.as_array().into_iter().flatten();
            all.any(|script| script["state"] == "running")
        });
        cluster.call("a", "b", life, 2);
        waits_for(&hub, life, &both);
        let query = "http and (dst.ip == \"10.77.0.1\" or src.ip == \"10.77.0.1\")";
        let asked = super::view::search(&hub, query).0;
        assert_eq!(asked, [] as [Json; 0], "{life}");
        let Hub { running, .. } = hub;
        match life {
            "first" => running.kill(),
            _ => assert_eq!(running.end(), Some(0)),
        }
        // Its disk is gone with its pod.
        if life == "second" {
            fs::remove_dir_all(cluster.path("hub")).unwrap();
        }
    }
    for (worker, node) in workers.into_iter().zip(["a", "b"]) {
        assert_eq!(worker.end(), Some(0));
        let recorded = cluster.recorded(node);
        let paths: Vec<&String> = recorded.keys().collect();
        let is_call = |path: &&String| {
            ["/first-", "/second-", "/third-"]
                .iter()
                .any(|name| path.starts_with(name))
        };
        assert!(paths.iter().all(is_call), "{node}: {paths:?}");
    }
}
