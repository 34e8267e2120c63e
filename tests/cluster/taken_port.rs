//! A worker whose port for probes and Prometheus another program has, and what it says to a probe that runs
//! a command.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;

use super::kept_query::{hub, probe};
use super::kept_targets::machine;
use super::release::{PATIENCE, dashboard, get, text};
use crate::road::may_capture;

/// Below the folder in which all run.
const SOCKET: &str = "probe.sock";

#[test]
fn a_worker_whose_port_is_taken_records_on_says_so_and_serves_once_it_is_free() {
    if !may_capture() {
        return;
    }
    let machine = machine();
    let (mut hub, metrics) = hub(&machine, &[]);
    let said = hub.says("?token=");
    let (address, token) = dashboard(&said);
    let link = said.split("Waiting for workers on ").nth(1).unwrap();
    let link = link.split(';').next().unwrap();
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let setting = format!("tap.metrics.port={port}");
    let arguments = ["worker", "--tls", "certs/worker", "--hub", link, "-i", "lo"];
    let data = format!("tap.dataDir={}", machine.folder().join("worker").display());
    let more = [
        "--node",
        "node-a",
        "--set",
        &setting,
        "--set",
        &data,
        "--probe-socket",
        SOCKET,
    ];
    // The exit code, and what is said.
    let probes = |what: &str| {
        let asked = machine.run(&["probe", what, "--socket", SOCKET, "--within", "3"]);
        let said = text(&asked.stdout) + &text(&asked.stderr);
        (asked.status.code().unwrap(), said)
    };
    let (code, said) = probes("alive");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("does not answer"), "{said}");
    let mut worker = machine.start("worker", &[&arguments[..], &more].concat());
    worker.says("Connected with the hub");
    let said = worker.says("(tap.metrics.port) cannot be had");
    assert!(said.contains("set tap.metrics.port to a port"), "{said}");
    let wait = |what: &str, is_over: &dyn Fn(&Json) -> bool| {
        let late = Instant::now() + PATIENCE;
        loop {
            let status = get(&address, &token, "/api/v1/status");
            if is_over(&status) {
                return;
            }
            assert!(Instant::now() < late, "{what}: {status}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    let is_told = |status: &Json| {
        status["run"]["remarks"]
            .to_string()
            .contains("node-a: port ")
    };
    wait("the hub names it", &is_told);
    wait("its packets come", &|status| {
        status["counts"]["packets"].as_u64() > Some(0)
    });
    let figure = |count: u8| {
        let line = format!("\ntapedeck_hub_workers_unserved {count}\n");
        probe(metrics, "/metrics").1.contains(&line)
    };
    assert!(figure(1));
    assert_eq!(probes("alive"), (0, "alive\n".to_owned()));
    let (code, said) = probes("ready");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("set tap.metrics.port to a port"), "{said}");
    drop(taken);
    worker.says("is free: probes and Prometheus are answered from now on");
    assert_eq!(probe(port, "/healthz").0, 200);
    wait("the hub forgets it", &|status| !is_told(status));
    assert!(figure(0));
    assert_eq!(probes("ready").0, 0);

    // Stopped, it answers nothing.
    let pid = Pid::from_raw(i32::try_from(worker.child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let begun = Instant::now();
    let (code, said) = probes("alive");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("no answer within 3 s"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(30));
    kill_process(pid, Signal::CONT).unwrap();
    wait("it goes on", &|_| probes("alive").0 == 0);
    assert_eq!(worker.end(), Some(0));
    assert!(!machine.folder().join(SOCKET).exists());
    assert_eq!(hub.end(), Some(0));
}
