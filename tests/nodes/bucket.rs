//! A bucket that all nodes record to: searched beside rows and spools, and looked at from the hub.

use tapedeck::store::s3::S3Options;

use super::view::{found, search, waits_for};
use super::*;
use crate::relay;
use crate::seaweed::Seaweed;

impl Cluster {
    /// Both roles record to this bucket from now on, whose server is on this machine's loopback.
    fn record_to(&mut self, bucket: &S3Options) {
        let server = bucket.endpoint.as_ref().unwrap();
        let server = server.trim_start_matches("http://").parse().unwrap();
        let relay = relay::start_in(&self.net.of("hub"), "10.77.0.1", server);
        let keys = bucket.keys.as_ref().unwrap();
        self.store = json!({
            "recording": {"destination": format!("s3://{}/", bucket.bucket)},
            "s3": {"endpoint": format!("http://{relay}"), "region": "us-east-1", "pathStyle": true},
            "scripting": {"env": {
                "AWS_ACCESS_KEY_ID": keys.access_key_id,
                "AWS_SECRET_ACCESS_KEY": keys.secret_access_key,
            }},
        });
    }
}

#[test]
fn what_is_in_the_bucket_is_found_when_its_node_and_the_rows_are_gone() {
    let Some(mut cluster) = Cluster::new() else {
        return;
    };
    let Some(server) = Seaweed::start() else {
        return;
    };
    let bucket = server.bucket("nodes", false);
    cluster.record_to(&bucket);
    let store = format!("s3://{}/", bucket.bucket);
    let hub = cluster.hub();
    let worker = cluster.worker("a");
    let other = cluster.worker("b");
    let _servers = ["a", "b"].map(|node| cluster.server(node));
    cluster.call("a", "b", "early", 12);
    let both = [("a", 12), ("b", 12)];
    assert_eq!(waits_for(&hub, "early", &both), ["live"]);
    let sealed = hub.ask("/api/v1/recordings/seal", &["-X", "POST"]);
    assert!(serde_json::from_slice::<Json>(&sealed).unwrap().as_u64() >= Some(2));
    wait("the reels are uploaded", || {
        let outbox = &hub.get("/api/v1/status")["run"]["outbox"];
        outbox["waiting"] == 0 && outbox["uploaded"].as_u64() >= Some(2)
    });

    // One node is gone with its disk, and the hub is another one.
    other.kill();
    wait("it is missing", || hub.node("b")["connected"] == false);
    let Hub { running, .. } = hub;
    assert_eq!(running.end(), Some(0));
    let hub = cluster.hub();
    wait("the worker is back", || hub.node("a")["connected"] == true);
    assert_eq!(waits_for(&hub, "early", &both), ["live", store.as_str()]);
    // What was not sealed there is not found, and the node is named as missing.
    let query = "node.name == \"b\" and http";
    let (rows, missing) = search(&hub, query);
    assert!(rows.iter().all(|row| row["from"] == store), "{rows:?}");
    assert!(missing.iter().any(|one| one["what"] == "b"), "{missing:?}");
    // A row of the bucket has its bodies there.
    let row = rows
        .iter()
        .find(|row| row["summary"].as_str().unwrap().contains("/early-3"));
    let paths: Vec<&str> = rows
        .iter()
        .filter_map(|row| row["summary"].as_str())
        .collect();
    let row = row.unwrap_or_else(|| panic!("{paths:?}"));
    let item = hub.get(&format!("/api/v1/item/{}", row["id"].as_str().unwrap()));
    assert!(item.to_string().contains("/early-3"), "{row} {item}");

    // The page of archives shows it: days, reels of both nodes, a manifest, the proof.
    assert_eq!(hub.get("/api/v1/archive/stores")["stores"], json!([store]));
    let coded =
        |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02x}")).collect() };
    let of_store = coded(&store);
    let days = hub.get(&format!("/api/v1/archive/days?store={of_store}"));
    let day = days["days"][0].as_str().unwrap_or_else(|| panic!("{days}"));
    let day = coded(day);
    let reels = hub.get(&format!("/api/v1/archive/reels?store={of_store}&day={day}"));
    let nodes: Vec<&str> = reels["reels"]
        .as_array()
        .unwrap_or_else(|| panic!("{reels}"))
        .iter()
        .filter_map(|reel| reel["node"].as_str())
        .collect();
    assert!(nodes.contains(&"a") && nodes.contains(&"b"), "{reels}");
    hub.ask(
        &format!("/api/v1/archive/verify?store={of_store}"),
        &["-X", "POST"],
    );
    let proof = format!("/api/v1/archive/proof?store={of_store}");
    wait("the proof", || hub.get(&proof)["state"] == "done");

    // A bucket that does not answer keeps nobody from the rest.
    server.stop();
    let (seen, _) = found(&hub, "early");
    assert_eq!(seen["a"], 12);
    assert_eq!(worker.end(), Some(0));
}
