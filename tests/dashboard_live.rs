//! The dashboard over a live run that records to a real S3 server, and over the bucket afterwards, in
//! Chromium.
//!
//! Skips by name without the right to capture, SeaweedFS, nginx, node or Chromium.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value as Json, json};
use tapedeck::store::s3::S3Options;

use crate::dashboard::{browser_tools, drive, send, start_live, text};
use crate::road::may_capture;
use crate::seaweed::Seaweed;
use crate::site::{FAILS, ON_A_CONNECTION, Site};

const VIEW: &str = "view-0123456789abcdef";

const SCRIPT: &str = "// Counts answers\n\nvar seen = 0;\n\nfunction onItemCaptured(data) {\n  seen += 1;\n}\n\
     jobs.schedule(\"tell\", \"0 0 0 * * *\", function () {\n  console.log(\"seen some answers\");\n});\n";

/// Requests in the background until dropped.
struct Load {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<Site>>,
}

impl Load {
    fn start(site: Site) -> Load {
        let ended = Arc::new(AtomicBool::new(false));
        let stop = ended.clone();
        let thread = thread::spawn(move || {
            let mut next = 0;
            while !stop.load(Ordering::Relaxed) {
                // One connection, and on it a failure.
                site.http_load(next..next + ON_A_CONNECTION);
                next += ON_A_CONNECTION * FAILS;
                thread::sleep(Duration::from_millis(250));
            }
            site
        });
        Load {
            ended,
            thread: Some(thread),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The program; it ends with the value.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Program {
    /// Ctrl+C: what is open is sealed and uploaded.
    fn end(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        self.0.wait().unwrap();
    }
}

/// Where the program serves.
struct Served {
    address: SocketAddr,
    token: String,
    url: String,
}

fn start(home: &Path, arguments: &[&str], s3: &S3Options) -> (Program, Served) {
    let keys = s3.keys.as_ref().unwrap();
    let endpoint = format!("s3.endpoint={}", s3.endpoint.as_ref().unwrap());
    let mut all = vec!["--set", "s3.pathStyle=true", "--set", "s3.region=us-east-1"];
    all.extend(["--set", &endpoint]);
    all.extend(arguments);
    let variables = [
        ("AWS_ACCESS_KEY_ID", keys.access_key_id.as_str()),
        ("AWS_SECRET_ACCESS_KEY", keys.secret_access_key.as_str()),
    ];
    let (child, address, token) = start_live(home, &all, &variables);
    let url = format!("http://{address}/?token={token}");
    (
        Program(child),
        Served {
            address,
            token,
            url,
        },
    )
}

fn assert_quiet(seen: &Json) {
    assert_eq!(seen["errors"], json!([]), "{seen:#}");
    assert_eq!(seen["foreign"], json!([]));
    assert_eq!(seen["axe"], json!([]), "{seen:#}");
}

fn assert_has(seen: &Json, name: &str, parts: &[&str]) {
    let said = text(seen, name);
    for part in parts {
        assert!(said.contains(part), "{name} without {part:?}: {said}");
    }
}

/// What every view showed of HTTP with failures.
fn assert_round(round: &Json) {
    assert_has(round, "both", &["request", "response", "/"]);
    assert!(round["packets"].as_u64().unwrap() > 3, "{round:#}");
    let turns = round["turns"].as_array().unwrap();
    assert!(
        turns.contains(&json!("client")) && turns.contains(&json!("server")),
        "{turns:?}"
    );
    assert_has(
        round,
        "dragged",
        &["http and timestamp >= datetime(", "timestamp < datetime("],
    );
    assert!(round["endpoints"].as_u64().unwrap() > 0, "{round:#}");
    assert_has(round, "ofGroup", &["response.status == 500"]);
    assert_has(round, "map", &["node", "pair"]);
    assert_has(round, "ofEdge", &["src.", "dst."]);
    assert_has(round, "flows", &["flow", "connection"]);
    assert_has(round, "connection", &["HTTP"]);
    assert_has(
        round,
        "ofConnection",
        &["http and worker == ", "stream == "],
    );
    assert_has(round, "compared", &["items before"]);
    assert_has(round, "health", &["Items"]);
}

/// What clients of other programs ask of a live run: its spool bounded, streams of the spool.
fn assert_asked(served: &Served) {
    let ask = |line: &str, body: &Json| send(served.address, &served.token, line, body);
    let limit = json!({"limit": "2Gi"});
    let (status, answer) = ask("POST /api/pcaps/set-storage-limit", &limit);
    let answer: Json = serde_json::from_slice(&answer).unwrap();
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["limit"], 2_u64 << 30);
    assert!(answer["spool"].as_u64().unwrap() >= 1 << 29, "{answer}");
    let query = json!({"query": "response.status == 500"});
    let (status, archive) = ask("POST /api/pcaps/merge", &query);
    assert_eq!(status, 200);
    let archive = flate2::read::GzDecoder::new(archive.as_slice());
    let mut archive = tar::Archive::new(archive);
    let names = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        (entry.path().unwrap().display().to_string(), entry.size())
    });
    let names: Vec<(String, u64)> = names.collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(
        names[0].0.ends_with(".pcap") && names[0].1 > 1000,
        "{names:?}"
    );
    assert!(names[1].0.ends_with("/name_resolution_history.json"));
}

#[test]
fn a_run_is_operated_and_its_bucket_read_in_a_browser() {
    if !may_capture() || browser_tools().is_none() {
        return;
    }
    let Some(seaweed) = Seaweed::shared() else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let Some(site) = Site::start(home.path()) else {
        return;
    };
    let s3 = seaweed.bucket("page", true);
    let store = format!("s3://{}/{}", s3.bucket, s3.prefix);
    let scripts = home.path().join("scripts");
    std::fs::create_dir(&scripts).unwrap();
    std::fs::write(scripts.join("count.js"), SCRIPT).unwrap();
    let bpf = format!("tcp port {}", site.http);
    let _load = Load::start(site);
    let tokens = format!("tap.dashboard.tokens={}", json!({"view": VIEW}));
    let source = format!("scripting.source={}", scripts.display());
    let keys = [
        &tokens,
        &source,
        "tap.dashboard.editScripts=true",
        "tap.dashboard.replay=true",
        "recording.sealFirst=2s",
    ];
    let mut arguments = vec!["-i", "lo", "--bpf", &bpf];
    arguments.extend(keys.iter().flat_map(|key| ["--set", key]));
    let (mut program, served) = start(home.path(), &arguments, &s3);
    let folder = scripts.display().to_string();
    let Some(seen) = drive("operate.mjs", &[&served.url, &store, &folder, VIEW]) else {
        return;
    };
    assert_quiet(&seen);
    // The list: live, sorted, with columns of one's own.
    assert_eq!(seen["grew"], true);
    assert!(!text(&seen, "pressed").is_empty(), "{seen:#}");
    assert_eq!(seen["sortedStatuses"][0], "500");
    assert_eq!(seen["sortedLinks"], json!(["-status", null]));
    assert_eq!(seen["columns"]["before"], false);
    assert_eq!(seen["columns"]["after"], true);
    assert_round(&seen["round"]);
    // A recording is tried, confirmed, sealed and stopped.
    assert_eq!(seen["begun"], "response.status == 500");
    let stopped = seen["lookStopped"].as_str().unwrap();
    assert!(!stopped.contains("could not"), "{stopped}");
    assert_has(&seen, "triedOverStore", &[&store, "streams", "a day"]);
    assert_has(&seen, "tried", &["streams", "a day"]);
    assert_has(&seen, "wrongForm", &["1 to 63 of a to z"]);
    assert_has(
        &seen,
        "confirmed",
        &[
            "Streams with an item that matches",
            "bypass GOVERNANCE",
            "locked for 1 day:",
            &store,
        ],
    );
    assert_has(&seen, "recording", &["errors", "response.status == 500"]);
    assert_has(
        &seen,
        "sealQuestion",
        &["cannot be deleted until its lock ends"],
    );
    assert_has(&seen, "stopQuestion", &["What was recorded stays in"]);
    assert_eq!(seen["stopped"], true);
    // What it left is locked, and proved.
    assert_has(
        &seen,
        "reel",
        &[
            "errors",
            "GOVERNANCE, cannot be deleted until",
            "packets",
            "index",
        ],
    );
    assert_has(&seen, "toRead", &["reel", "fetched and hashed"]);
    assert_has(&seen, "proof", &["is as it was sealed"]);
    assert_has(&seen, "verified", &["as it was sealed"]);
    assert_has(&seen, "exported", &[".tar.gz"]);
    assert_has(&seen, "nothingFound", &["recording=nobody"]);
    assert!(seen["downloaded"].as_u64().unwrap() > 100, "{seen:#}");
    assert_has(&seen, "cover", &["reels", "uploads"]);
    let place = &seen["place"];
    assert_eq!(
        (&place["link"], &place["back"]),
        (&json!(store), &Json::Null),
        "{seen:#}"
    );
    assert_has(place, "told", &[&store, "of the live run"]);
    assert!(!text(place, "title").is_empty(), "{seen:#}");
    assert_eq!(place["linked"], place["title"], "{seen:#}");
    // Scripts: findings, proposals, saving, conflicts, switching, jobs.
    assert_has(&seen, "scriptLink", &["count.js"]);
    assert_has(&seen, "finding", &["Line"]);
    assert_has(&seen, "proposal", &["console"]);
    let saved = std::fs::read_to_string(scripts.join("count.js")).unwrap();
    assert!(saved.contains("// saved by the page"), "{saved}");
    assert_has(&seen, "conflict", &["changed meanwhile"]);
    assert_has(&seen, "removeQuestion", &["runs no more"]);
    assert_has(&seen, "deleteQuestion", &["removed from its folder"]);
    assert!(!scripts.join("fresh.js").exists());
    assert_eq!(seen["switchedOff"], "off");
    assert_has(&seen, "console", &["seen some answers"]);
    // A request is shown before it is sent, and answered.
    assert_has(
        &seen,
        "replayQuestion",
        &["GET /", "HTTP/1.1", "cannot be taken back"],
    );
    assert_has(
        &seen,
        "replayAnswer",
        &["answered after", "sent 3 times: 3 with", "HTTP/1.1"],
    );
    assert_has(
        &seen,
        "audit",
        &["/replay/", "/scripts/save", "/recordings/add", "downloaded"],
    );
    // Somebody who may only look.
    assert_has(
        &seen,
        "viewDetails",
        &["Your token does not allow this", "investigate"],
    );
    let may = &seen["viewMay"];
    assert_eq!(
        (&may["make"], &may["verify"], &may["links"], &may["record"]),
        (&json!(false), &json!(false), &json!(0), &json!(false)),
        "{seen:#}"
    );
    assert_has(may, "why", &["needs the role operate, and yours is view"]);
    assert_has(&seen, "viewAudit", &["needs the role operate"]);
    assert_has(&seen, "viewScripts", &["Your token does not allow this"]);

    assert_asked(&served);

    program.end();
    let (_program, served) = start(home.path(), &["--pcap", &store], &s3);
    let Some(seen) = drive("archive.mjs", &[&served.url, &store]) else {
        return;
    };
    assert_quiet(&seen);
    assert!(seen["rows"].as_u64().unwrap() > 0, "{seen:#}");
    assert_has(&seen, "reel", &["errors", "GOVERNANCE"]);
    assert_has(&seen, "opened", &["timestamp >="]);
    assert_round(&seen["round"]);
    assert_has(&seen, "tried", &["streams", "a day"]);
    assert_has(&seen, "scripts", &["tapedeck run SCRIPT"]);
    assert_has(&seen, "audit", &["/packets/"]);
    assert_has(&seen, "cover", &["reels"]);
    assert_has(
        &seen,
        "otherLink",
        &["This link was made for s3://elsewhere/"],
    );
}
