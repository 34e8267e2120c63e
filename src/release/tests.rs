//! What the API server tells, read; the requests themselves are tested against doubles and a real one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Request;
use serde_json::json;

use super::find::waits_for;
use super::{Api, Named, collect, event_lines, find};
use crate::cluster::to_double;

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

#[tokio::test]
async fn one_log_is_taken_before_the_next_is_asked_for() {
    let taken = Arc::new(AtomicUsize::new(0));
    let (answered, ahead) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = (taken.clone(), answered.clone(), ahead.clone());
    let app = Router::new().fallback(move |request: Request| {
        let (taken, answered, ahead) = seen.clone();
        async move {
            let path = request.uri().path().to_owned();
            if path.ends_with("/log") {
                let before = answered.fetch_add(1, Ordering::SeqCst);
                ahead.fetch_max(before - taken.load(Ordering::SeqCst), Ordering::SeqCst);
                return "a line\n".to_owned();
            }
            let items = match path.rsplit('/').next().unwrap() {
                "deployments" => vec![json!({
                    "metadata": {"namespace": "default", "labels": {"app.kubernetes.io/instance": "tapedeck"}},
                    "spec": {"template": {"spec": {
                        "containers": [{"ports": [{"name": "dashboard", "containerPort": 1}]}],
                        "volumes": [{"name": "token", "secret": {"secretName": "token"}}],
                    }}},
                })],
                "pods" => (0..5).map(|pod| json!({
                    "metadata": {"name": format!("worker-{pod}")},
                    "spec": {"containers": [{"name": "worker"}]},
                    "status": {"containerStatuses": [{"name": "worker", "restartCount": pod % 2}]},
                })).collect(),
                _ => Vec::new(),
            };
            json!({"items": items}).to_string()
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let api = Api::new(&to_double(&server).await);
    let wanted = Named {
        name: "tapedeck",
        name_is_said: false,
        namespace: "default",
        namespace_is_said: false,
    };
    let release = find(&api, wanted).await.unwrap();
    let mut names = Vec::new();
    let each = |member: super::Collected| {
        if member.text.unwrap() == "a line\n" {
            taken.fetch_add(1, Ordering::SeqCst);
        }
        names.push(member.name);
    };
    collect(&api, &release, each).await.unwrap();
    assert_eq!(names.len(), 5 + 2 + 1);
    assert_eq!(names.last().unwrap(), "default_events.log");
    assert_eq!(
        (
            answered.load(Ordering::SeqCst),
            ahead.load(Ordering::SeqCst)
        ),
        (7, 0)
    );
}
