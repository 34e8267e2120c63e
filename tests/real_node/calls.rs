//! What the pods called, beside what is in the bucket.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value as Json;
use tapedeck::time::Timestamp;

use super::lives::End;
use super::release::Release;
use super::shop::{Call, Shop};

/// What a worker that had no time to seal may lose.
const UNSEALED: Duration = Duration::from_secs(2);

/// Between the beginning of a call and the line that tells of it.
const CALL: Duration = Duration::from_millis(500);

/// Every call that came while a worker captured is there once, with the names of both pods, also of
/// those that are gone; nothing of tapedeck's own is.
pub(super) fn are_recorded_once_with_both_names(
    release: &Release,
    calls: &[Call],
    ends: &[End],
    until: Timestamp,
) {
    let items = release.items("http and record(\"recording\")");
    let mut found: HashMap<&str, Vec<&Json>> = HashMap::new();
    for item in &items {
        let url = item["request"]["url"].as_str().unwrap_or_default();
        let call = url.split_once('?').map_or(url, |(_, call)| call);
        found.entry(call).or_default().push(item);
        let is_own = |side: &str| {
            let name = item[side]["name"].as_str();
            name.is_some_and(|name| name.contains("tapedeck"))
        };
        let at = item["timestamp"].as_i64().unwrap();
        let is_met = calls.first().is_some_and(|call| at > call.at.millis())
            && ends
                .iter()
                .all(|end| at < end.from.millis() || at > end.to.millis());
        let is_own = is_own("src") || is_own("dst");
        assert!(!is_own || !is_met, "tapedeck's own: {item}");
    }
    let mut missing: Vec<&Call> = Vec::new();
    let (mut seen, mut kinds) = (0, HashMap::<&str, u32>::new());
    for call in calls.iter().filter(|call| call.at <= until) {
        let one = match found.get(call.name.as_str()).map(Vec::as_slice) {
            None => {
                missing.push(call);
                continue;
            }
            Some([one]) => one,
            Some(many) => panic!("{call:?} is there {} times: {many:?}", many.len()),
        };
        seen += 1;
        *kinds.entry(&call.kind).or_default() += 1;
        named(call, one);
    }
    println!("{seen} of {} calls are recorded, {kinds:?}", calls.len());
    assert!(
        kinds.len() == 4 && kinds.values().all(|count| *count > 50),
        "{kinds:?}"
    );
    // What is missing came while there was no worker, or just before one was killed.
    for end in ends {
        let mut lost: Vec<&Call> = Vec::new();
        missing.retain(|call| {
            let is_of_gap = call.at > end.from && call.at < end.to + CALL;
            let is_lost = call.at <= end.from && call.at >= end.from - UNSEALED;
            if is_lost && !end.is_graceful {
                lost.push(call);
            }
            !is_of_gap && (!is_lost || end.is_graceful)
        });
        let first = lost.iter().map(|call| call.at).min();
        println!(
            "{} (ended as asked: {}): nothing is captured for {:.1} s; of the time before, {:.0} ms are lost ({} calls)",
            end.how,
            end.is_graceful,
            end.to.since(end.from).as_secs_f64(),
            first.map_or(0.0, |first| end.from.since(first).as_secs_f64() * 1000.0),
            lost.len()
        );
    }
    assert!(missing.is_empty(), "{missing:?} of {ends:?}");
}

/// Reels hold which process of which container answered, by the process numbers of the node; not of calls
/// to the address of a service, which is no socket's.
pub(super) fn have_their_processes(release: &Release, shop: &Shop<'_>) {
    for (pod, container) in shop.called_by_address() {
        let items = release.items(&format!(
            "http and record(\"recording\") and dst.name == \"{pod}\""
        ));
        let is_known = |item: &&Json| {
            item["dst"]["containerId"] == container.as_str()
                && item["dst"]["processName"] == "httpd"
        };
        let (known, all) = (items.iter().filter(is_known).count(), items.len());
        println!("{pod}: the process of {known} of {all} answers is known");
        assert!(known * 2 > all, "{:?}", items.first());
    }
}

/// The item has the names that the pods say.
fn named(call: &Call, item: &Json) {
    let (src, dst) = (&item["src"], &item["dst"]);
    assert_eq!(src["name"], call.client.as_str(), "{item}");
    assert_eq!(item["node"]["name"], "node-a", "{item}");
    match call.kind.as_str() {
        // Seen first before the node chose a pod: the service's name, and the pod's where that is seen.
        "service" | "nodeport" => {
            let service = &dst["service"]["metadata"]["name"];
            assert!(dst["name"] == "web" || service == "web", "{item}");
            let pod = &dst["pod"]["metadata"]["name"];
            assert!(pod.is_null() || pod == call.server.as_str(), "{item}");
        }
        _ => assert_eq!(dst["name"], call.server.as_str(), "{item}"),
    }
}
