//! Workers and the hub in one process, and which script sees which value.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use tapedeck::script::environment::Environment;
use tapedeck::script::folder::HubInstances;
use tapedeck::script::host::HostCall;
use tapedeck::time::{SetClock, Timestamp};

use crate::scripts::{Rig, item, tell};

const START: Timestamp = Timestamp::from_secs(1_706_933_106, 0);

/// Runs scripts over twenty items in packet time; answers the console lines.
fn run(scripts: &[(&str, &str)], hub: HubInstances) -> Rig {
    let rig = Rig::new(scripts);
    let mut options = rig.options(true);
    options.hub = hub;
    let clock = Arc::new(SetClock::at(START));
    let running = rig.start(options, clock.clone());
    for step in 0..20_u64 {
        let at = START + std::time::Duration::from_secs(step);
        clock.advance(at);
        tell(&running, &[item(step, 200, at)], at);
    }
    running.tell_pod("ADDED", &json!({"metadata": {"name": "web-1"}}));
    running.finish(true);
    drop(running);
    rig
}

const COUNTS: &str = "// counts
var seen = 0, total = {};
function onItemCaptured(data) { seen++ }
function onHubAction(action, map) {
  if (action !== 'counts') return;
  total = wrapper.joinMaps(total, map);
  console.log(utils.nodeName(), JSON.stringify(total));
}
if (utils.nodeName() !== 'hub') {
  jobs.schedule('send', '0 0 * * * *', function () { hub.action('counts', {items: seen}) });
}";

#[test]
fn a_worker_sends_to_the_hub_and_every_script_there_hears_it() {
    let other = "function onHubAction(action) { console.log('heard ' + action) }";
    let rig = run(&[("a.js", COUNTS), ("b.js", other)], HubInstances::Aware);
    let mut lines = rig.lines();
    lines.sort();
    let counted: Vec<&String> = lines.iter().filter(|line| line.contains("items")).collect();
    assert_eq!(counted, ["[hub-0] hub {\"items\":20}"]);
    assert!(
        lines.contains(&"[hub-1] heard counts".to_owned()),
        "{lines:#?}"
    );
    assert!(
        !lines.iter().any(|line| line.starts_with("[n-1]")),
        "{lines:#?}"
    );
}

#[test]
fn only_scripts_that_know_the_hub_are_there_unless_told_otherwise() {
    let plain = "console.log('loaded'); // utils.nodeName only in a comment";
    let loaded = |hub| {
        let rig = run(&[("a.js", plain)], hub);
        let mut lines = rig.lines();
        lines.sort();
        lines
    };
    assert_eq!(loaded(HubInstances::Aware), ["[n-0] loaded"]);
    assert_eq!(
        loaded(HubInstances::All),
        ["[hub-0] loaded", "[n-0] loaded"]
    );
    let rig = run(&[("a.js", COUNTS)], HubInstances::None);
    assert!(rig.lines().iter().all(|line| line.starts_with("[n-0]")));
}

#[test]
fn a_script_that_throws_at_the_hub_still_works_on_workers() {
    let errors = "if (utils.nodeName() === 'hub') throw 'not here';
        function onItemCaptured(data) { if (data.index === 0 && data.stream === '000000000000.pcap') console.log('works') }
        function onPodEvent(event, pod) { console.log(event, pod.ObjectMeta.Name) }";
    let rig = run(&[("a.js", errors)], HubInstances::Aware);
    let lines = rig.lines();
    let at_hub: Vec<&String> = lines
        .iter()
        .filter(|line| line.starts_with("[hub-0"))
        .collect();
    assert_eq!(at_hub.len(), 1, "{lines:#?}");
    assert!(
        at_hub[0].starts_with("[hub-0:ERROR]") && at_hub[0].contains("not here"),
        "{lines:#?}"
    );
    assert!(lines.contains(&"[n-0] works".to_owned()), "{lines:#?}");
    assert!(
        lines.contains(&"[n-0] ADDED web-1".to_owned()),
        "{lines:#?}"
    );
}

#[test]
fn the_hub_keeps_files_of_its_own() {
    let code = "file.delete('dfir'); utils.nodeName()";
    let rig = run(&[("a.js", code)], HubInstances::Aware);
    let deleted = |call: &HostCall| matches!(call, HostCall::FileDelete { .. });
    let calls = rig.calls();
    assert_eq!(calls.iter().filter(|call| deleted(call)).count(), 2);
}

/// The program itself over a recorded exchange, with nobody who looks at items.
#[test]
fn every_item_is_queried_when_the_configuration_says_so() {
    let home = tempfile::tempdir().unwrap();
    let talk = tapedeck::synth::tcp(([10, 0, 0, 1], 40_000), ([10, 0, 0, 2], 80))
        .to_server("GET /a HTTP/1.1\r\nHost: shop\r\n\r\n")
        .to_client("HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno")
        .to_server("GET /b HTTP/1.1\r\nHost: shop\r\n\r\n")
        .to_client("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let at = |name: &str| home.path().join(name);
    std::fs::write(at("in.pcap"), tapedeck::synth::savefile(&talk.fin())).unwrap();
    let rule = "function onItemQueried(data, query) {
        console.log(data.request.path, data.response.status, '(' + query + ')');
        return data.response.status === 500 ? test.fail(data) : test.pass(data);
    }";
    std::fs::write(at("rule.js"), rule).unwrap();
    let lines = |setting: &str| {
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_tapedeck"));
        program.current_dir(home.path()).env("HOME", home.path());
        program.args(["run", "rule.js", "--pcap", "in.pcap", "--set", setting]);
        let ran = program.output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
        String::from_utf8_lossy(&ran.stdout).into_owned()
    };
    assert!(!lines("scripting.queryEveryItem=false").contains("/a"));
    let said = lines("scripting.queryEveryItem=true");
    let asked: Vec<&str> = said
        .lines()
        .filter_map(|line| line.split_once("] "))
        .map(|(_, text)| text)
        .collect();
    assert_eq!(asked, ["/a 500 ()", "/b 200 ()"], "{said}");
}

#[test]
fn a_secret_is_seen_by_the_script_it_is_for() {
    let code = "console.log(env.TOKEN_A === undefined, env.REGION, typeof TOKEN_A)";
    let rig = Rig::new(&[("alert.js", code), ("other.js", code)]);
    let mut options = rig.options(true);
    let map = |value: Json| value.as_object().unwrap().clone();
    options.env = Environment {
        all: map(json!({"REGION": "r"})),
        each: map(json!({"alert": {"TOKEN_A": "very-secret", "REGION": "own"}})),
    };
    let running = rig.start(options, Arc::new(SetClock::at(START)));
    running.finish(false);
    let mut lines = rig.lines();
    lines.sort();
    assert_eq!(lines, ["[n-0] false own string", "[n-1] true r undefined"]);
}
