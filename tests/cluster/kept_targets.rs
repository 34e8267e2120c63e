//! Roles that start with targets that cannot be used: they run, with those that were in force last.

use std::fs;

use super::release::{Laptop, dashboard, get};
use crate::road::may_capture;

/// A machine whose cluster does not answer.
pub(super) fn machine() -> Laptop {
    let home = tempfile::tempdir().unwrap();
    let kubeconfig = home.path().join("kubeconfig");
    let config = "{current-context: a, contexts: [{name: a, context: {cluster: a, user: a}}], \
                  clusters: [{name: a, cluster: {server: 'http://127.0.0.1:1'}}], users: [{name: a, user: {}}]}";
    fs::write(&kubeconfig, config).unwrap();
    let laptop = Laptop {
        home,
        kubeconfig,
        path: "/usr/bin:/bin".into(),
    };
    assert!(laptop.run(&["certs", "--out", "certs"]).status.success());
    laptop
}

#[test]
fn a_hub_starts_with_targets_that_cannot_be_used() {
    let machine = machine();
    let wanted = |targets: &[&str], words: &str| {
        let mut arguments = vec!["hub", "--tls", "certs/hub", "--listen", "127.0.0.1:0"];
        arguments.extend(["--proxy-front-port", "0", "--headless"]);
        arguments.extend(["--set", "tap.metrics.port=0"]);
        arguments.extend(targets.iter().flat_map(|set| ["--set", set]));
        let mut hub = machine.start("hub", &arguments);
        let said = hub.says("?token=");
        assert!(said.contains(words), "{said}");
        let (address, token) = dashboard(&said);
        let wanted = get(&address, &token, "/api/v1/targets")["wanted"].clone();
        assert_eq!(hub.end(), Some(0));
        wanted
    };
    for bad in ["tap.regex=cart(", "tap.bpfOverride=port ("] {
        let nothing = wanted(&[bad], "everything is captured until it is corrected");
        assert_eq!(
            (&nothing["regex"], &nothing["bpf"]),
            (&"".into(), &"".into())
        );
    }
    let good = wanted(&["tap.regex=^cart", "tap.namespaces=shop"], "");
    assert_eq!(good["regex"], "^cart");
    for bad in ["tap.regex=cart(", "tap.bpfOverride=port ("] {
        let last = wanted(&[bad], "what was in force last stays until it is corrected");
        assert_eq!(last, good, "{bad}");
    }
}

#[test]
fn a_worker_starts_with_a_capture_filter_that_is_none() {
    if !may_capture() {
        return;
    }
    let machine = machine();
    let says = |bpf: &str, words: &str| {
        let arguments = [
            "worker",
            "--tls",
            "certs/worker",
            "--hub",
            "127.0.0.1:1",
            "-i",
            "lo",
        ];
        let more = ["--node", "a", "--bpf", bpf, "--set", "tap.metrics.port=0"];
        let mut worker = machine.start("worker", &[&arguments[..], &more].concat());
        let said = worker.says("Capturing live on lo");
        assert!(said.contains(words), "{said}");
        assert_eq!(worker.end(), Some(0));
    };
    says(
        "port (",
        "captures without a filter of its own until it is corrected",
    );
    says("udp port 53", "");
    says(
        "port (",
        r#"what was in force last stays until it is corrected: tap.bpfOverride: "udp port 53""#,
    );
}
