//! Workers that end in all the ways in which pods do, one after the other on the same folder.

use std::fs;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tapedeck::time::Timestamp;

use super::node::{Node, wait};
use super::now;
use super::release::{NAMESPACE, said_after};

/// A time without a worker.
#[derive(Debug)]
pub(super) struct End {
    /// How it ended.
    pub(super) how: &'static str,
    /// Just before it was made to end.
    pub(super) from: Timestamp,
    /// When the next one captured.
    pub(super) to: Timestamp,
    /// Whether it had time to seal what was open.
    pub(super) is_graceful: bool,
}

/// Bytes beyond what the chart gives `/tmp` of a worker.
const TOO_MUCH: usize = 300 << 20;

/// Ends workers; each is followed by another one, and by what is done `then`.
pub(super) fn of_the_worker_end(node: &Node, then: &mut dyn FnMut(&End)) -> Vec<End> {
    let mut ends = Vec::new();
    let mut end = |how, is_graceful: Option<bool>, act: &dyn Fn(&Node, &Json)| {
        let worker = worker(node);
        let from = now();
        act(node, &worker);
        let to = next(node, from);
        // Until it is told the names again, and some calls came.
        std::thread::sleep(Duration::from_secs(8));
        let is_graceful = match is_graceful {
            Some(is_graceful) => is_graceful,
            None => !found_open_reels(node, from),
        };
        let end = End {
            how,
            from,
            to,
            is_graceful,
        };
        then(&end);
        ends.push(end);
    };
    end("killed", Some(false), &kill);
    // The kubelet gives it two seconds, which a busy machine may not let it have.
    end("deleted by force", None, &delete_by_force);
    end("evicted for its storage", Some(false), &fill);
    end("evicted by a drain", Some(true), &drain);
    ends
}

/// Waits until the last one, which is asked to end, has uploaded all that it has.
pub(super) fn the_last_worker_uploads(node: &Node) {
    let worker = worker(node);
    let from = now();
    drain(node, &worker);
    next(node, from);
}

fn worker(node: &Node) -> Json {
    wait(
        || format!("a worker: {}", node.states(NAMESPACE)),
        || {
            let worker = node.pod(NAMESPACE, "worker")?;
            let name = worker["metadata"]["name"].as_str()?;
            node.ready(NAMESPACE).contains_key(name).then_some(worker)
        },
    )
}

fn name(pod: &Json) -> &str {
    pod["metadata"]["name"].as_str().unwrap()
}

/// When the worker after `from` began to capture.
fn next(node: &Node, from: Timestamp) -> Timestamp {
    said_after(node, from, "worker", "Capturing live")
}

/// Whether the worker after `from` sealed what the one before had left open.
fn found_open_reels(node: &Node, from: Timestamp) -> bool {
    let worker = worker(node);
    let log = node.log(NAMESPACE, name(&worker));
    let mut lines = log.iter().filter(|(at, _)| *at > from);
    lines.any(|(_, line)| line.contains("was not ended"))
}

fn kill(node: &Node, worker: &Json) {
    node.kill(worker);
}

fn delete_by_force(node: &Node, worker: &Json) {
    node.delete(&format!(
        "/api/v1/namespaces/{NAMESPACE}/pods/{}?gracePeriodSeconds=0",
        name(worker)
    ));
}

/// Fills the worker's `/tmp`, for which the kubelet evicts it.
fn fill(node: &Node, worker: &Json) {
    let uid = worker["metadata"]["uid"].as_str().unwrap();
    let volumes = format!("kubelet/pods/{uid}/volumes/kubernetes.io~empty-dir/tmp/full");
    fs::write(node.folder.join(volumes), vec![0; TOO_MUCH]).unwrap();
    wait(
        || format!("the eviction: {}", node.states(NAMESPACE)),
        || {
            let pods = node.pods(NAMESPACE);
            let is_gone =
                |pod: &Json| pod["metadata"]["uid"] == uid && pod["status"]["reason"] != "Evicted";
            (!pods.iter().any(is_gone)).then_some(())
        },
    );
}

fn drain(node: &Node, worker: &Json) {
    let eviction = json!({
        "apiVersion": "policy/v1beta1", "kind": "Eviction",
        "metadata": {"name": name(worker), "namespace": NAMESPACE},
    });
    node.make(
        &format!(
            "/api/v1/namespaces/{NAMESPACE}/pods/{}/eviction",
            name(worker)
        ),
        &eviction,
    );
}
