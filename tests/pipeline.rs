//! The whole path: the same capture through any number of workers, and through a sealed reel,
//! gives equal items.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use tapedeck::dissect::Protocols;
use tapedeck::flow::Limits;
use tapedeck::item::{Item, Origin, json};
use tapedeck::pipeline::{self, Consumer, Encoded, Step, Stop};
use tapedeck::time::SystemClock;

/// Keeps the JSON of every item.
struct Keep(Arc<Mutex<Vec<String>>>);

impl Consumer for Keep {
    fn on_step(&mut self, _step: &Step, items: &[Item], encoded: &Encoded<'_>) {
        let mut kept = self.0.lock().unwrap();
        for (item, record) in items
            .iter()
            .zip(tapedeck::item::flat::records(encoded.records()))
        {
            let text = json::to_string(item.node());
            assert_eq!(
                text,
                json::to_string(record),
                "the flat encoding reads as the item does"
            );
            assert_eq!(
                item.number,
                kept.len() as u64,
                "numbers rise by one over the run"
            );
            kept.push(text);
        }
    }
}

fn items(path: &Path, workers: usize) -> Vec<String> {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let source = tapedeck::capture::folder::open_all(&[path.to_owned()]).unwrap();
    let options = pipeline::Options {
        workers,
        protocols: Protocols::all(),
        limits: Limits::default(),
        origin: Arc::new(Origin::default()),
        names: None,
        spool: None,
        live: false,
        clock: Arc::new(SystemClock),
        stop: Stop::default(),
        counters: Arc::default(),
        consumers: vec![Box::new(Keep(kept.clone()))],
    };
    pipeline::start(source, options).join().unwrap();
    Arc::into_inner(kept).unwrap().into_inner().unwrap()
}

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/demo.pcap")
}

#[test]
fn items_do_not_depend_on_the_number_of_workers() {
    let one = items(&demo(), 1);
    assert_eq!(one.len(), 320, "200 HTTP exchanges and 120 DNS exchanges");
    assert_eq!(items(&demo(), 2), one);
    assert_eq!(items(&demo(), 5), one);
}

/// What a sealed reel may tell otherwise: where an item was captured, and its stream's number.
fn without_origin(text: &str) -> serde_json::Value {
    let mut item: serde_json::Value = serde_json::from_str(text).unwrap();
    for name in ["id", "stream", "entryFile", "worker", "node", "record"] {
        item.as_object_mut().unwrap().remove(name);
    }
    item
}

#[test]
fn a_replay_through_a_sealed_reel_gives_the_same_items() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_tapedeck"))
            .args(args)
            .env("HOME", folder.path())
            .env("NO_COLOR", "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    };
    let dir = folder.path().join("demo").display().to_string();
    run(&["demo", "--replay", "--record-only", "--dir", &dir]);
    let sealed = run(&[
        "query",
        &format!("{dir}/reels-of-the-demo"),
        "--format",
        "json",
    ]);
    let sort = |texts: &mut dyn Iterator<Item = &str>| {
        let mut all: Vec<String> = texts.map(|text| without_origin(text).to_string()).collect();
        all.sort();
        all
    };
    let direct = items(&demo(), 2);
    assert_eq!(
        sort(&mut sealed.lines()),
        sort(&mut direct.iter().map(String::as_str))
    );
}
