//! An archive of several reels as a table, by tapedeck's own queries.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tapedeck::capture::{CaptureError, Filled, RawBatch, Source, SourceCounts};
use tapedeck::dissect::Protocols;
use tapedeck::flow::Limits;
use tapedeck::item::{Item, Origin};
use tapedeck::kfl::{self, Schema};
use tapedeck::pipeline::{self, Consumer, Cuts, Encoded, Indexing, Step, Stop};
use tapedeck::record::{Options, Outbox, Recorder, Wish, outbox};
use tapedeck::resolve::{Address, History, Names};
use tapedeck::store::Store;
use tapedeck::store::folder::FolderStore;
use tapedeck::synth::{self, Frame};
use tapedeck::time::{SetClock, Timestamp};

const START: i64 = 1_700_000_000;

/// Reels given as batches of packets.
pub struct Reels(pub Vec<Vec<Frame>>);

impl Source for Reels {
    fn fill(&mut self, batch: &mut RawBatch) -> Result<Filled, CaptureError> {
        if self.0.is_empty() {
            return Ok(Filled::End);
        }
        (batch.bytes, batch.records) = synth::records(&self.0.remove(0));
        Ok(Filled::More)
    }

    fn counts(&mut self) -> SourceCounts {
        SourceCounts::default()
    }

    fn progress(&self) -> Option<(u64, u64)> {
        None
    }

    fn interface_name(&self, _interface: u32) -> Option<String> {
        None
    }
}

/// Seals what each batch brought.
struct Keeper(Arc<Mutex<Recorder>>, Arc<SetClock>);

impl Consumer for Keeper {
    fn on_step(&mut self, step: &Step, items: &[Item], _encoded: &Encoded<'_>) {
        self.1.advance(step.batch.now);
        let mut recorder = self.0.lock().unwrap();
        recorder.on_batch(&step.batch, items);
        if !step.batch.packets.is_empty() {
            recorder.seal(None, "age");
        }
    }
}

/// A folder with one reel a batch, recorded through the pipeline.
pub fn recorded(dir: &Path, batches: Vec<Vec<Frame>>) -> PathBuf {
    let archive = dir.join("archive");
    let clock = Arc::new(SetClock::at(Timestamp::from_secs(START, 0)));
    let store: Arc<dyn Store> = Arc::new(FolderStore::create(&archive).unwrap());
    let outbox = Outbox::start(
        outbox::Options::new(dir.join("outbox"), 1 << 30),
        clock.clone(),
        Arc::new(move |_| Ok(store.clone())),
    )
    .unwrap();
    let mut options = Options::new(dir.join("record"), 1_699_999_000, "node-a", "test");
    options.indexer = Some(Arc::new(Indexing::new(Protocols::all(), Limits::default())));
    let mut recorder = Recorder::open(options, None, clock.clone(), outbox.clone()).unwrap();
    let query = kfl::compile("true", &Schema::empty()).unwrap();
    recorder.set(vec![Wish::new("all", query, "folder")]);
    let recorder = Arc::new(Mutex::new(recorder));
    let mut history = History::new();
    for (address, name) in [("10.0.0.1", "web"), ("10.0.0.2", "cart")] {
        let address = Address::parse(address).unwrap();
        history.set(address, Timestamp::from_secs(0, 0), Some((name, "shop")));
    }
    let names = Arc::new(Names::of(Arc::new(history)));
    let running = pipeline::start(
        Box::new(Reels(batches)),
        pipeline::Options {
            workers: 1,
            protocols: Protocols::all(),
            limits: Limits::default(),
            origin: Arc::new(Origin::default()),
            names: Some(Box::new(move |_| Some(names.clone()))),
            spool: None,
            live: false,
            clock: clock.clone(),
            stop: Stop::default(),
            counters: Arc::default(),
            cuts: Cuts::default(),
            consumers: vec![Box::new(Keeper(recorder.clone(), clock))],
        },
    );
    running.join().unwrap();
    recorder.lock().unwrap().finish();
    assert_eq!(outbox.drain(Duration::from_secs(20)).waiting, 0);
    outbox.stop();
    archive
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: cart.shop\r\n\r\n")
}

fn response(status: u16) -> String {
    let body = format!("{{\"status\":{status}}}");
    format!(
        "HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Three reels: calls of their own, and one connection on which a request is answered in the reel
/// behind it.
pub fn traffic() -> Vec<Vec<Frame>> {
    let call = |port: u16, second: i64, status: u16| {
        synth::tcp(([10, 0, 0, 1], port), ([10, 0, 0, 2], 80))
            .at(Timestamp::from_secs(START + second, 5))
            .to_server(request(&format!("/calls/{port}")))
            .wait(Duration::from_millis(u64::from(port % 50)))
            .to_client(response(status))
            .fin()
    };
    let long = synth::tcp(([10, 0, 0, 1], 4000), ([10, 0, 0, 2], 80))
        .at(Timestamp::from_secs(START + 1, 0))
        .to_server(request("/first"))
        .to_client(response(200))
        .wait(Duration::from_secs(100))
        .to_server(request("/straddles"))
        .wait(Duration::from_secs(100))
        .to_client(response(503))
        .fin();
    let of = |reel: usize| {
        let second = i64::try_from(reel).unwrap() * 150;
        let port = 5000 + u16::try_from(reel).unwrap() * 100;
        let calls = (0..20u16).map(|n| {
            let status = if n % 5 == 0 { 500 } else { 200 };
            call(port + n, second + i64::from(n), status)
        });
        let end = Timestamp::from_secs(START + second + 150, 0);
        let begin = Timestamp::from_secs(START + second, 0);
        let part = long
            .iter()
            .filter(|frame| begin <= frame.ts && frame.ts < end);
        synth::merge(calls.chain([part.cloned().collect()]))
    };
    (0..3).map(of).collect()
}

pub fn query(archive: &Path, args: &[&str]) -> Vec<Value> {
    let out = Command::new(env!("CARGO_BIN_EXE_tapedeck"))
        .arg("query")
        .arg(archive)
        .args(["--format", "json"])
        .args(args)
        .env("XDG_CACHE_HOME", archive.parent().unwrap().join("cache"))
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    let text = String::from_utf8(out.stdout).unwrap();
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().unwrap()
}

/// Items without what depends on how they were read: numbers of streams and of items in them.
pub fn comparable(items: &[Value]) -> Vec<String> {
    let shown = items.iter().map(|item| {
        let mut item = item.clone();
        for name in ["id", "stream", "index", "entryFile"] {
            item.as_object_mut().unwrap().remove(name);
        }
        item.to_string()
    });
    let mut shown: Vec<String> = shown.collect();
    shown.sort();
    shown
}

fn counts(items: &[Value], path: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for item in items {
        let value = item.pointer(path).unwrap();
        let value = value.as_str().map_or(value.to_string(), str::to_owned);
        *counts.entry(value).or_default() += 1;
    }
    counts
}

/// Groups of a query, by the values of one field.
pub fn grouped(archive: &Path, args: &[&str], field: &str) -> BTreeMap<String, u64> {
    let rows = query(archive, args);
    let row = |row: &Value| {
        let value = row[field].as_str().unwrap().to_owned();
        (value, row["count"].as_u64().unwrap())
    };
    rows.iter().map(row).collect()
}

pub fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn an_index_gives_what_the_packets_give() {
    let dir = tempfile::tempdir().unwrap();
    let archive = recorded(dir.path(), traffic());
    let by_packets = query(&archive, &[]);
    assert_eq!(by_packets.len(), 62);

    let newest = query(&archive, &["--newest"]);
    assert_eq!(comparable(&newest), comparable(&by_packets));
    let times: Vec<i64> = newest
        .iter()
        .map(|item| item["timestamp"].as_i64().unwrap())
        .collect();
    assert!(times.is_sorted_by(|later, earlier| later >= earlier));
    let first = &newest[0];
    assert_eq!(first["src"]["namespace"], "shop");
    assert_eq!(first["dst"]["name"], "cart");

    let straddles = query(
        &archive,
        &["--newest", "--kfl", "request.path == \"/straddles\""],
    );
    assert_eq!(straddles.len(), 1);
    assert_eq!(straddles[0]["response"]["status"], 503);

    for kfl in [
        "response.status == 500",
        "response.status >= 500 and request.path.startsWith(\"/calls/52\")",
        "status_code == 503 || src.port == 5101",
        // Bodies are in the packets alone.
        "response.content.text.contains(\"OjUwMH0\")",
        "dst.name == \"nobody\"",
    ] {
        assert_eq!(
            comparable(&query(&archive, &["--newest", "--kfl", kfl])),
            comparable(&query(&archive, &["--kfl", kfl])),
            "{kfl}"
        );
    }
    assert_eq!(
        grouped(
            &archive,
            &["--count-by", "response.status"],
            "response.status"
        ),
        counts(&by_packets, "/response/status")
    );
    let span = ["--from", "1700000150", "--to", "1700000299"];
    let within: Vec<Value> = by_packets
        .iter()
        .filter(|item| {
            (1_700_000_150_000..=1_700_000_299_000).contains(&item["timestamp"].as_i64().unwrap())
        })
        .cloned()
        .collect();
    assert_eq!(comparable(&query(&archive, &span)), comparable(&within));
}

#[test]
fn requests_that_nobody_answered_are_in_the_last_index() {
    let dir = tempfile::tempdir().unwrap();
    let mut batches = traffic();
    let open = synth::tcp(([10, 0, 0, 1], 4900), ([10, 0, 0, 2], 80))
        .at(Timestamp::from_secs(START + 10, 0))
        .to_server(request("/answered"))
        .to_client(response(200))
        .to_server(request("/never"))
        .end();
    batches[0] = synth::merge([std::mem::take(&mut batches[0]), open]);
    let archive = recorded(dir.path(), batches);
    let by_packets = query(&archive, &[]);
    let never = |items: &[Value]| {
        let found = items
            .iter()
            .filter(|item| item["request"]["path"] == "/never");
        found.cloned().collect::<Vec<_>>()
    };
    let found = never(&by_packets);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["error"]["type"], "pair-not-found");
    let by_indexes = query(&archive, &["--newest"]);
    assert_eq!(comparable(&by_indexes), comparable(&by_packets));
}

#[test]
fn pages_follow_each_other_without_gap_or_overlap() {
    let dir = tempfile::tempdir().unwrap();
    let archive = recorded(dir.path(), traffic());
    let mut paged = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tapedeck"));
        command
            .arg("query")
            .arg(&archive)
            .args(["--newest", "--limit", "7", "--format", "json"])
            .env("XDG_CACHE_HOME", dir.path().join("cache"));
        if let Some(after) = &after {
            command.args(["--after", after]);
        }
        let out = command.output().unwrap();
        let lines = String::from_utf8(out.stdout).unwrap();
        paged.extend(
            lines
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap()),
        );
        let told = String::from_utf8(out.stderr).unwrap();
        let cursor = told
            .lines()
            .find_map(|line| line.strip_prefix("more: --after "));
        match cursor {
            Some(cursor) => after = Some(cursor.to_owned()),
            None => break,
        }
    }
    assert_eq!(
        comparable(&paged),
        comparable(&query(&archive, &["--newest"]))
    );
}

#[test]
fn manifests_name_index_and_names_with_their_hashes() {
    let dir = tempfile::tempdir().unwrap();
    let archive = recorded(dir.path(), traffic());
    let mut roles = BTreeMap::new();
    for path in files(&archive, ".manifest.json") {
        let manifest: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let remarks = manifest["remarks"].to_string();
        assert!(!remarks.contains("no index"), "{remarks}");
        for part in manifest["parts"].as_array().unwrap() {
            *roles
                .entry(part["role"].as_str().unwrap().to_owned())
                .or_insert(0) += 1;
            let bytes = std::fs::read(archive.join(part["key"].as_str().unwrap())).unwrap();
            let hash: [u8; 32] = Sha256::digest(&bytes).into();
            assert_eq!(part["sha256"], tapedeck::store::hex(&hash));
            assert_eq!(part["size"], bytes.len());
        }
    }
    let wanted = ["index", "names", "packets"].map(|role| (role.to_owned(), 3));
    assert_eq!(roles, BTreeMap::from(wanted));
}

#[test]
fn a_reel_without_its_index_is_read_from_its_packets() {
    let dir = tempfile::tempdir().unwrap();
    let archive = recorded(dir.path(), traffic());
    let before = grouped(&archive, &["--count-by", "dst.name"], "dst.name");
    let indexes = files(&archive, "items.parquet");
    assert_eq!(indexes.len(), 3);
    std::fs::remove_file(&indexes[2]).unwrap();
    assert_eq!(
        grouped(&archive, &["--count-by", "dst.name"], "dst.name"),
        before
    );
}

#[test]
fn half_written_and_empty_reels_hide_nothing_and_are_said() {
    let dir = tempfile::tempdir().unwrap();
    let archive = recorded(dir.path(), traffic());
    let wanted = comparable(&query(&archive, &["--newest"]));
    // One index is cut off, one manifest is missing, and one reel is of empty objects.
    let index = files(&archive, ".items.parquet").pop().unwrap();
    let bytes = std::fs::read(&index).unwrap();
    std::fs::remove_file(&index).unwrap();
    std::fs::write(&index, &bytes[..bytes.len() / 2]).unwrap();
    let reels = files(&archive, ".pcapng.zst");
    let manifest = files(&archive, ".manifest.json");
    let of_reel = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.rsplit_once('-').unwrap().0.to_owned()
    };
    let second = of_reel(&reels[1]);
    let manifest = manifest.iter().find(|path| of_reel(path) == second);
    std::fs::remove_file(manifest.unwrap()).unwrap();
    for ending in ["pcapng.zst", "1699999999_1700000000.items.parquet"] {
        let name = format!("20231114T221500Z-1699999000-000900-0123456789abcdef.{ending}");
        std::fs::write(reels[0].with_file_name(name), b"").unwrap();
    }
    let output = Command::new(env!("CARGO_BIN_EXE_tapedeck"))
        .arg("query")
        .arg(&archive)
        .args(["--newest", "--format", "json"])
        .env("XDG_CACHE_HOME", dir.path().join("other"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("its packets are read"), "{told}");
    assert!(told.contains("000900"), "{told}");
    let text = String::from_utf8(output.stdout).unwrap();
    let found: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(comparable(&found), wanted);
}
