//! What the API server tells, read; the requests themselves are tested against a real one.

use serde_json::json;

use super::event_lines;
use super::find::waits_for;

#[test]
fn a_pod_that_is_not_ready_says_why() {
    let ready = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    assert_eq!(waits_for(&ready), None);
    let pulls = json!({"status": {"phase": "Pending", "containerStatuses": [
        {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}},
    ]}});
    assert_eq!(waits_for(&pulls).unwrap(), "ImagePullBackOff no such image");
    let starts = json!({"status": {"phase": "Running"}});
    assert_eq!(
        waits_for(&starts).unwrap(),
        "its pod is Running and not ready"
    );
    assert_eq!(
        waits_for(&json!({})).unwrap(),
        "its pod is Pending and not ready"
    );
}

#[test]
fn events_stand_in_the_order_of_their_time() {
    let events = [
        json!({"lastTimestamp": "2024-01-01T00:00:02Z", "type": "Warning", "reason": "BackOff", "count": 3,
               "involvedObject": {"kind": "Pod", "name": "b"}, "message": "again\nand again"}),
        json!({"eventTime": "2024-01-01T00:00:01Z", "type": "Normal", "reason": "Pulled",
               "involvedObject": {"kind": "Pod", "name": "a"}, "message": "image"}),
    ];
    assert_eq!(
        event_lines(&events),
        "2024-01-01T00:00:01Z Normal Pulled Pod/a image\n\
         2024-01-01T00:00:02Z Warning BackOff Pod/b again and again (3 times)\n"
    );
}
