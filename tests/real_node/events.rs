//! Recordings that wait for what happens to pods, with a hub and without.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tapedeck::hub::FOUND_WITHIN;
use tapedeck::time::Timestamp;

use super::lives::End;
use super::node::{Node, wait};
use super::now;
use super::release::{NAMESPACE, Release, said, said_after};
use super::shop::{Call, Shop};

/// What a pod answered through its service in the minute before something happened to it, as its client
/// says.
#[derive(Debug)]
pub(super) struct Story {
    recording: &'static str,
    pod: String,
    calls: Vec<Call>,
}

impl Story {
    fn of(recording: &'static str, shop: &Shop<'_>, pod: &str, at: Timestamp) -> Story {
        let begin = at - Duration::from_secs(59);
        let mut calls = shop.calls();
        calls.retain(|call| {
            call.kind == "service" && call.server == pod && call.at >= begin && call.at <= at
        });
        assert!(calls.len() > 5, "{calls:?}");
        Story {
            recording,
            pod: pod.to_owned(),
            calls,
        }
    }
}

fn of_pod(pod: &str) -> String {
    format!("/api/v1/namespaces/shop/pods/{pod}")
}

/// Waits until other pods than this one are behind the service.
fn wait_for_another(shop: &Shop<'_>, pod: &str) {
    wait(
        || format!("another pod than {pod}: {:?}", shop.web()),
        || {
            let ready = shop.web();
            (ready.len() == 2 && !ready.contains(pod)).then_some(())
        },
    );
}

/// Deletes a pod behind the service.
pub(super) fn a_pod_is_deleted(node: &Node, shop: &Shop<'_>) -> Story {
    let pod = shop.web().first().unwrap().clone();
    let at = now();
    node.delete(&of_pod(&pod));
    wait_for_another(shop, &pod);
    Story::of("deleted", shop, &pod, at)
}

/// Deletes a pod behind the service just after a worker was started anew: the minute before is in the spool
/// of the run before, but for what that one lost.
pub(super) fn a_pod_is_deleted_after(node: &Node, shop: &Shop<'_>, end: &End) -> Story {
    let mut story = a_pod_is_deleted(node, shop);
    story
        .calls
        .retain(|call| call.at < end.from - Duration::from_secs(2));
    assert!(story.calls.len() > 5, "{story:?} {end:?}");
    story
}

/// A rollout and the restart of a container while there is no hub, and the end of a pod while the hub is
/// started again. Answers the pods that the rollout made too.
pub(super) fn happen_without_a_hub(node: &Node, shop: &Shop<'_>) -> (Vec<Story>, BTreeSet<String>) {
    let deployment = format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/td-tapedeck-hub");
    let scale = |replicas: u32| node.patch(&deployment, &json!({"spec": {"replicas": replicas}}));
    scale(0);
    wait(
        || "the end of the hub".to_owned(),
        || {
            (!node
                .names(NAMESPACE)
                .iter()
                .any(|name| name.contains("hub")))
            .then_some(())
        },
    );
    // This hub keeps nothing of the next one's past: the revisions of the deployment tell of it.
    shop.roll_out(3);
    let rolled_out = shop.web();
    let pod = rolled_out.first().unwrap().clone();
    let at = now();
    node.kill(&node.get(&of_pod(&pod)));
    wait(
        || format!("a restart of {pod}"),
        || {
            let status = &node.get(&of_pod(&pod))["status"]["containerStatuses"][0];
            (status["restartCount"] == 1 && status["ready"] == true).then_some(())
        },
    );
    let restarted = Story::of("restarts", shop, &pod, at);
    scale(1);
    said(node, "hub", "The worker of node-a is connected");

    // It has asked which pods there are by then, and written it down.
    std::thread::sleep(FOUND_WITHIN + Duration::from_secs(15));
    let pod = shop.web().last().unwrap().clone();
    let at = now();
    node.kill(&node.pod(NAMESPACE, "hub").unwrap());
    node.delete(&format!("{}?gracePeriodSeconds=0", of_pod(&pod)));
    said_after(node, at, "hub", "The worker of node-a is connected");
    wait_for_another(shop, &pod);
    let deleted = Story::of("deleted", shop, &pod, at);
    (vec![restarted, deleted], rolled_out)
}

/// A rollout that was told when the hub was there again has calls of the pods that it made.
pub(super) fn rollouts_are_in_the_bucket(release: &Release, pods: &BTreeSet<String>) {
    wait(
        || format!("a reel about the rollout that made {pods:?}"),
        || {
            let items = release.items("http and record(\"rollouts\")");
            let of_them = items.iter().filter(|item| {
                let pod = item["dst"]["pod"]["metadata"]["name"].as_str();
                pod.is_some_and(|pod| pods.contains(pod))
            });
            let count = of_them.count();
            (count > 0).then(|| println!("rollouts: {count} calls of {pods:?} made without a hub"))
        },
    );
}

/// They are in the bucket while everything goes on: each call once, under the name of its time.
pub(super) fn are_in_the_bucket(release: &Release, shop: &Shop<'_>, stories: &[Story]) {
    let of = |recording: &str| release.items(&format!("http and record(\"{recording}\")"));
    for story in stories {
        let is_of_pod = |url: &str| {
            story
                .calls
                .iter()
                .any(|call| url.ends_with(&format!("?{}", call.name)))
        };
        let kept = wait(
            || format!("a reel of {} about {}", story.recording, story.pod),
            || {
                let mut items = of(story.recording);
                items.retain(|item| is_of_pod(item["request"]["url"].as_str().unwrap_or_default()));
                Some(items).filter(|items| !items.is_empty())
            },
        );
        for call in &story.calls {
            let mut found = kept.iter().filter(|item| {
                let url = item["request"]["url"].as_str().unwrap_or_default();
                url.ends_with(&format!("?{}", call.name))
            });
            let item = found
                .next()
                .unwrap_or_else(|| panic!("{call:?} is not in the reel of {}", story.recording));
            assert!(found.next().is_none(), "{call:?} is in the reel twice");
            assert_eq!(item["src"]["name"], call.client.as_str(), "{item}");
            let pod = &item["dst"]["pod"]["metadata"]["name"];
            assert_eq!(pod, story.pod.as_str(), "{item}");
        }
        println!(
            "{}: all {} calls of the minute before are in the reel about {}",
            story.recording,
            story.calls.len(),
            story.pod
        );
    }
    // The rollout was seen as one, and has the calls of pods that are gone and of pods that came.
    let rolled = wait(
        || "a reel about the rollout".to_owned(),
        || Some(of("rollouts")).filter(|items| !items.is_empty()),
    );
    let mut servers: Vec<&str> = rolled
        .iter()
        .filter_map(|item| item["dst"]["pod"]["metadata"]["name"].as_str())
        .collect();
    servers.sort_unstable();
    servers.dedup();
    assert!(servers.len() >= 3, "{servers:?}, and now {:?}", shop.web());
}
