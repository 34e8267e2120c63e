//! A worker on a node of its own: the processes at the ends of its traffic, and what a kill costs.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value as Json, json};

use crate::road::may_capture;

/// A wait for anything; a busy machine is slow, but not that slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// Answers `/up` and all else with 200 on a port of the system's choice, which it says first; then a
/// client of its own calls `/N` every few milliseconds and says N when the answer is there.
const TRAFFIC: &str = r#"
import http.client, http.server, sys, threading, time
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        self.send_response(200); self.send_header('Content-Length', '2'); self.end_headers(); self.wfile.write(b'ok')
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(('127.0.8.8', 0), Answer)
threading.Thread(target=server.serve_forever, daemon=True).start()
port, n = server.server_address[1], 0
print('port', port, flush=True)
while True:
    c = http.client.HTTPConnection('127.0.8.8', port, source_address=('127.0.8.9', 0))
    for _ in range(20):
        c.request('GET', f'/{n}'); c.getresponse().read()
        print(n, flush=True)
        n += 1
        time.sleep(0.005)
    c.close()
"#;

/// A program that is killed with the value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap()
    }

    fn end(mut self) -> Option<i32> {
        kill_process(self.pid(), Signal::INT).unwrap();
        self.0.wait().unwrap().code()
    }
}

/// The traffic, with the numbers of the calls that it prints.
struct Traffic {
    _running: Running,
    said: Receiver<u64>,
}

impl Traffic {
    fn start() -> Traffic {
        let mut command = Command::new("python3");
        let child = command.args(["-c", TRAFFIC]).stdout(Stdio::piped()).spawn();
        let mut running = Running(child.unwrap());
        let mut said = BufReader::new(running.0.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert!(line.starts_with("port "), "{line}");
        let (tell, told) = channel();
        std::thread::spawn(move || {
            let numbers = said.lines().map_while(Result::ok);
            for number in numbers.map_while(|line| line.trim().parse().ok()) {
                if tell.send(number).is_err() {
                    return;
                }
            }
        });
        Traffic {
            _running: running,
            said: told,
        }
    }

    /// The number of the next call that was answered.
    fn next(&mut self) -> u64 {
        self.said.recv().unwrap()
    }

    /// The number of the next call from this moment on.
    fn now(&mut self) -> u64 {
        while self.said.try_recv().is_ok() {}
        self.next()
    }
}

struct Node {
    home: tempfile::TempDir,
}

/// Certificates of a hub and its workers, in `certs` of the folder.
pub fn make_certs(home: &Path) {
    let made = Command::new(env!("CARGO_BIN_EXE_tapedeck"))
        .args(["certs", "--out"])
        .arg(home.join("certs"))
        .env("HOME", home)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
}

impl Node {
    fn new() -> Node {
        let home = tempfile::tempdir().unwrap();
        make_certs(home.path());
        Node { home }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A worker on the same host folder, whose hub is away; `name` is that of its log.
    fn worker(&self, name: &str, kfl: &str) -> Running {
        let config = json!({
            "tap": {"dataDir": self.path("data"), "interface": "lo"},
            "recording": {"destination": self.path("kept"), "sealFirst": "1h", "sealEvery": "1h"},
            "scripting": {"env": {"RECORDING_KFL": kfl}},
        });
        fs::write(self.path("worker.yaml"), config.to_string()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tapedeck"));
        command
            .env_clear()
            .env("HOME", self.home.path())
            .args(["worker", "--node", "node-a", "--hub", "127.0.0.1:9"])
            .arg("--tls")
            .arg(self.path("certs/worker"))
            .arg("--config-path")
            .arg(self.path("worker.yaml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(self.path(name)).unwrap());
        let running = Running(command.spawn().unwrap());
        self.wait_for(name, "Capturing live on lo");
        running
    }

    fn wait_for(&self, log: &str, words: &str) {
        let late = Instant::now() + PATIENCE;
        let said = || fs::read_to_string(self.path(log)).unwrap_or_default();
        while !said().contains(words) {
            assert!(Instant::now() < late, "{words}: {}", said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn items(&self) -> Vec<Json> {
        let found = self.run("query", &["--format", "json"]);
        let text = String::from_utf8(found).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn run(&self, command: &str, arguments: &[&str]) -> Vec<u8> {
        let out = Command::new(env!("CARGO_BIN_EXE_tapedeck"))
            .env_clear()
            .env("HOME", self.home.path())
            .arg(command)
            .arg(self.path("kept"))
            .args(arguments)
            .output()
            .unwrap();
        assert!(out.status.success(), "{out:?}");
        out.stdout
    }
}

/// The numbers of the calls among the items.
fn calls(items: &[Json]) -> BTreeSet<u64> {
    let paths = items
        .iter()
        .filter_map(|item| item["request"]["path"].as_str());
    paths
        .filter_map(|path| path.trim_start_matches('/').parse().ok())
        .collect()
}

/// A recording may ask for the process, which is looked up beside the packets.
#[test]
fn the_process_at_an_end_of_this_node_is_known_while_its_connection_lasts() {
    if !may_capture() || !is_root() {
        return;
    }
    let node = Node::new();
    let worker = node.worker(
        "log",
        r#"http and dst.processName == "python3" and src.processName == "python3""#,
    );
    let mut traffic = Traffic::start();
    while traffic.next() < 100 {}
    drop(traffic);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(worker.end(), Some(0));
    let taken = calls(&node.items()).len();
    // Whole streams of twenty calls each are taken once one of them names its process.
    assert!(taken >= 80, "{taken} of 100 calls are recorded");
    let worker = node.worker("log-2", r#"local_process_name == "nobody-is-called-so""#);
    let mut traffic = Traffic::start();
    while traffic.next() < 40 {}
    drop(traffic);
    assert_eq!(worker.end(), Some(0));
    assert_eq!(
        calls(&node.items()).len(),
        taken,
        "nothing else is recorded"
    );
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: processes of others are seen by root alone");
    }
    root
}

/// A worker that is killed by force loses what is not on the disk of its node by then; the next one on
/// the same folder seals the rest.
#[test]
fn a_worker_that_is_killed_loses_less_than_a_second() {
    if !may_capture() {
        return;
    }
    let node = Node::new();
    let mut traffic = Traffic::start();
    let first = node.worker("log-1", "http");
    traffic.now();
    // A connection that was open before is joined late, and may lack its first calls.
    while traffic.next() % 20 != 19 {}
    let mut times: Vec<(u64, Instant)> = Vec::new();
    while times.len() < 400 {
        times.push((traffic.next(), Instant::now()));
    }
    let killed = Instant::now();
    kill_process(first.pid(), Signal::KILL).unwrap();
    drop(first);
    assert!(
        !kept_reels(&node.path("kept")),
        "nothing was sealed before the kill"
    );
    // Nobody captures for a while; that is no loss of the kill.
    for _ in 0..50 {
        traffic.next();
    }
    let second = node.worker("log-2", "http");
    node.wait_for("log-2", "was not ended: what it held is sealed now");
    let back = traffic.now();
    while traffic.next() < back + 100 {}
    drop(traffic);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(second.end(), Some(0));
    let recorded = calls(&node.items());
    let is_kept = |number: &u64| recorded.contains(number);
    let kept: Vec<&(u64, Instant)> = times.iter().filter(|(number, _)| is_kept(number)).collect();
    let (last, at) = kept.last().unwrap();
    let lost = times
        .iter()
        .filter(|(number, _)| !is_kept(number) && number > last)
        .count();
    let loss = killed.duration_since(*at);
    println!(
        "the kill cost the calls of the last {loss:?}: {lost} of {}",
        times.len()
    );
    assert!(loss < Duration::from_secs(1), "{loss:?}");
    // What is before that is whole: no call between the first and the last that were kept is missing.
    let holes = times
        .iter()
        .filter(|(number, _)| number < last && !is_kept(number));
    assert_eq!(holes.count(), 0);
    assert!(recorded.contains(&(back + 50)), "the second worker records");
    assert!(kept.len() > 300);
    node.run("verify", &["--deep"]);
}

/// Whether the archive holds packets.
fn kept_reels(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let path = entry.path();
        match path.is_dir() {
            true => kept_reels(&path),
            false => path.to_string_lossy().contains(".pcapng"),
        }
    })
}
