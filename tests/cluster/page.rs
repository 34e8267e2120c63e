//! The dialog of targets over a run with a real API server, in Chromium: what is chosen there is what
//! is captured.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value as Json, json};

use super::tap::{Loopback, Tap, configure, said, traffic, wait_for};
use crate::dashboard::{browser_tools, drive, text};

/// The address that the program printed.
fn printed(folder: &std::path::Path) -> String {
    wait_for(folder, "err", "/?token=");
    let (address, token) = super::release::dashboard(&said(folder, "err"));
    format!("http://{address}/?token={token}")
}

/// Rows among these that speak of a pod.
fn of(rows: &Json, pod: &str) -> usize {
    let rows = rows.as_array().unwrap().iter();
    rows.filter(|row| row.as_str().unwrap().contains(pod))
        .count()
}

#[test]
fn pods_that_are_chosen_in_the_page_are_captured() {
    if browser_tools().is_none() {
        return;
    }
    let Some(loopback) = Loopback::start() else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    std::fs::create_dir(folder.join("scripts")).unwrap();
    configure(folder, "^cart");
    let mut tap = Tap::start(folder, &loopback.real);
    let url = printed(folder);
    wait_for(folder, "err", "1 pod is targeted: shop/cart-1");
    let done = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                traffic(loopback.port, "page");
            }
        });
        let driving = scope.spawn(|| drive("targets.mjs", &[&url]));
        let seen = driving.join();
        done.store(true, Ordering::Relaxed);
        seen
    });
    let seen = seen.unwrap().unwrap();
    assert_eq!(tap.end(), Some(0), "{}", said(folder, "err"));
    assert_eq!(seen["errors"], json!([]), "{seen:#}");
    assert_eq!(seen["foreign"], json!([]));
    assert_eq!(seen["axe"], json!([]), "{seen:#}");
    assert_eq!(seen["banner"], "1 pod in shop");
    assert!(
        of(&seen["first"], "cart-1") > 0 && of(&seen["first"], "pay-1") == 0,
        "{seen:#}"
    );
    assert_eq!(
        seen["wanted"],
        json!({"regex": "^cart", "namespaces": "shop"})
    );
    assert!(text(&seen, "pods").contains("cart-1") && !text(&seen, "pods").contains("pay-1"));
    // What is no expression changes nothing.
    assert_eq!(seen["expected"], 400);
    assert!(text(&seen, "refused").contains("("), "{seen:#}");
    assert!(
        text(&seen, "question").contains("\"regex\": \"^pay\""),
        "{seen:#}"
    );
    assert!(
        of(&seen["second"], "pay-1") > 10 && of(&seen["second"], "cart-1") == 0,
        "{seen:#}"
    );
    // So does what is no capture filter.
    assert_eq!(seen["badFilter"], 400);
    let refused = text(&seen, "filterRefused");
    assert!(refused.contains("`tcp port` is not valid"), "{refused}");
    assert_eq!(seen["filterKept"]["bpf"], "", "{seen:#}");
    assert_eq!(seen["filterKept"]["regex"], "^pay", "{seen:#}");
    assert!(
        text(&seen, "filterQuestion").contains("passes this filter"),
        "{seen:#}"
    );
    let map = |by: &str| seen["map"][by].to_string();
    for pod in ["cart-1.shop", "front-1.web", "pay-1.shop"] {
        assert!(map("pod").contains(pod), "{seen:#}");
    }
    assert!(map("node").contains("worker-1"), "{seen:#}");
    assert!(
        text(&seen, "ofNode").contains("src.pod.spec.nodeName == \"worker-1\""),
        "{seen:#}"
    );
    let err = said(folder, "err");
    assert!(err.contains("1 pod is targeted: shop/pay-1"), "{err}");
}
