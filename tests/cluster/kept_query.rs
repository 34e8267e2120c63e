//! A hub whose query is invalid goes on with the last valid one, and its probes say what it waits for.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::kept_targets::machine;
use super::release::{Laptop, PATIENCE, Running, dashboard, get};

/// A hub of a machine whose cluster does not answer, and the port of its metrics.
pub(super) fn hub(machine: &Laptop, more: &[&str]) -> (Running, u16) {
    let port = free_port();
    let metrics = format!("tap.metrics.port={port}");
    let mut arguments = vec!["hub", "--tls", "certs/hub", "--listen", "127.0.0.1:0"];
    arguments.extend(["--proxy-front-port", "0", "--headless", "--set", &metrics]);
    arguments.extend(more.iter().flat_map(|set| ["--set", set]));
    (machine.start("hub", &arguments), port)
}

pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Status and text of an answer beside the dashboard.
pub(super) fn probe(port: u16, path: &str) -> (u16, String) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let mut answer = agent
        .get(format!("http://127.0.0.1:{port}{path}"))
        .call()
        .unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    (answer.status().as_u16(), text)
}

#[test]
fn an_invalid_query_leaves_the_last_valid_one_in_force() {
    let machine = machine();
    let starts = |query: &str| {
        let query = format!("scripting.env.RECORDING_KFL={query}");
        let (mut hub, port) = hub(&machine, &[&query]);
        let said = hub.says("?token=");
        (hub, port, said)
    };
    let is_invalid = |port| {
        let (status, figures) = probe(port, "/metrics");
        assert_eq!(status, 200);
        figures.contains("\ntapedeck_recordings_invalid 1\n")
    };
    let (hub, port, said) = starts("http and (");
    let unknown = "workers go on with what they recorded last until it is corrected";
    assert!(said.contains(unknown), "{said}");
    assert!(is_invalid(port));
    assert_eq!(hub.end(), Some(0));
    let (hub, port, _) = starts("http");
    assert!(!is_invalid(port));
    assert_eq!(hub.end(), Some(0));
    let (hub, port, said) = starts("http and (");
    let last = "workers go on with the last valid one: http";
    assert!(said.contains(last), "{said}");
    assert!(is_invalid(port));
    let (address, token) = dashboard(&said);
    let status = get(&address, &token, "/api/v1/status");
    assert!(
        status["run"]["remarks"].to_string().contains(last),
        "{status}"
    );
    // It looks each second, and says so once.
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(hub.said().matches(last).count(), 1, "{}", hub.said());
    // An API server that is away is another matter, which the probe tells until the names are there.
    let (status, why) = probe(port, "/readyz");
    assert_eq!(status, 503);
    assert!(
        why.contains("the names of the cluster are not known yet"),
        "{why}"
    );
    assert_eq!(hub.end(), Some(0));
}

#[test]
fn a_hub_with_an_invalid_list_and_no_other_serves_and_takes_it_once_it_is_valid() {
    let machine = machine();
    let file = machine.home.path().join("hub.yaml");
    let write = |kfl: &str| {
        let text = format!("recordings: [{{name: errors, kfl: '{kfl}'}}]");
        std::fs::write(&file, text).unwrap();
    };
    write("response.status ==");
    let port = free_port();
    let metrics = format!("tap.metrics.port={port}");
    let mut arguments = vec!["hub", "--tls", "certs/hub", "--listen", "127.0.0.1:0"];
    arguments.extend(["--proxy-front-port", "0", "--headless", "--set", &metrics]);
    arguments.extend(["--config-path", file.to_str().unwrap()]);
    let mut hub = machine.start("hub", &arguments);
    let said = hub.says("?token=");
    let fault = "workers go on with the list that they had last until it is corrected";
    assert!(said.contains(fault), "{said}");
    let (address, token) = dashboard(&said);
    let status = || get(&address, &token, "/api/v1/status")["run"]["remarks"].to_string();
    assert!(status().contains(fault));
    let invalid = |flag: u8| {
        let line = format!("\ntapedeck_recordings_invalid {flag}\n");
        probe(port, "/metrics").1.contains(&line)
    };
    assert!(invalid(1));
    write("response.status == 500");
    let late = Instant::now() + PATIENCE;
    while !invalid(0) {
        assert!(Instant::now() < late, "{}", hub.said());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(!status().contains(fault));
    assert_eq!(hub.end(), Some(0));
}

#[test]
fn a_hub_that_waits_for_what_was_added_to_it_is_alive_and_not_ready() {
    let machine = machine();
    let (mut hub, port) = hub(&machine, &["cluster.kept=tap/hub-kept"]);
    hub.says("workers go on with what they were told last");
    assert_eq!(probe(port, "/healthz"), (200, "alive".to_owned()));
    assert_eq!(probe(port, "/metrics").0, 200);
    let (status, why) = probe(port, "/readyz");
    assert_eq!(status, 503);
    assert!(why.contains("the API server does not answer"), "{why}");
    assert_eq!(hub.end(), Some(0));
}
