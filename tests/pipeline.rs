//! The whole path: the same capture through any number of workers, and through a sealed reel,
//! gives equal items.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tapedeck::capture::{CaptureError, Filled, RawBatch, Source, SourceCounts};
use tapedeck::dissect::Protocols;
use tapedeck::flow::Limits;
use tapedeck::item::{Item, Origin, json};
use tapedeck::kfl;
use tapedeck::packet::Record;
use tapedeck::pipeline::{self, Consumer, Cuts, Encoded, Step, Stop};
use tapedeck::record::{self, Outbox, Recorder, States, outbox};
use tapedeck::spool::{self, Writer};
use tapedeck::store::Store;
use tapedeck::store::folder::FolderStore;
use tapedeck::synth;
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

fn options(workers: usize) -> pipeline::Options {
    pipeline::Options {
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
        cuts: Default::default(),
        consumers: Vec::new(),
    }
}

fn items(path: &Path, workers: usize) -> Vec<String> {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let source = tapedeck::capture::folder::open_all(&[path.to_owned()]).unwrap();
    let options = pipeline::Options {
        consumers: vec![Box::new(Keep(kept.clone()))],
        ..options(workers)
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

/// Cannot go on.
struct Fails;

impl Consumer for Fails {
    fn on_step(&mut self, _step: &Step, _items: &[Item], _encoded: &Encoded<'_>) {
        panic!("what a consumer met");
    }
}

#[test]
fn a_run_whose_consumer_fails_ends_all_its_threads() {
    for workers in [1, 3] {
        let source = tapedeck::capture::folder::open_all(&[demo()]).unwrap();
        let options = pipeline::Options {
            consumers: vec![Box::new(Fails)],
            ..options(workers)
        };
        let running = pipeline::start(source, options);
        let joined = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| running.join()));
        assert!(joined.is_err());
    }
}

/// Gives one packet a step, so that a recording can be cut anywhere.
struct OneByOne {
    inner: Box<dyn Source>,
    waiting: RawBatch,
    next: usize,
    last: Filled,
}

impl Source for OneByOne {
    fn fill(&mut self, batch: &mut RawBatch) -> Result<Filled, CaptureError> {
        if self.next >= self.waiting.records.len() {
            if self.last == Filled::End {
                return Ok(Filled::End);
            }
            self.waiting.clear();
            self.next = 0;
            self.last = self.inner.fill(&mut self.waiting)?;
        }
        if let Some(record) = self.waiting.records.get(self.next) {
            self.next += 1;
            let start = record.start as usize;
            batch
                .bytes
                .extend_from_slice(&self.waiting.bytes[start..start + record.caplen as usize]);
            batch.records.push(Record {
                start: 0,
                ..*record
            });
        }
        Ok(Filled::More)
    }

    fn counts(&mut self) -> SourceCounts {
        self.inner.counts()
    }
}

/// Records everything, and cuts as often as states come.
struct Cutter {
    recorder: Recorder,
    is_cutting: bool,
    cuts: Arc<AtomicUsize>,
}

impl Consumer for Cutter {
    fn on_states(&mut self, step: &Step, states: &States) {
        let first = step.batch.packets.first().map(|packet| packet.ordinal);
        self.recorder.on_states(states, first);
        self.is_cutting = false;
        self.cuts.fetch_add(1, Ordering::Relaxed);
    }

    fn mark(&mut self, step: &Step, items: &mut [Item]) {
        self.recorder.on_batch(&step.batch, items);
        if !self.is_cutting && !self.recorder.is_idle() {
            self.is_cutting = self.recorder.seal(None, "asked") > 0;
        }
    }

    fn on_step(&mut self, _step: &Step, _items: &[Item], _encoded: &Encoded<'_>) {}

    fn on_end(&mut self) {
        self.recorder.finish();
    }
}

/// Reels of a capture, cut again and again; answers their files and how often states were asked for.
fn cut(capture: &Path, dir: &Path) -> (Vec<PathBuf>, usize) {
    let clock = Arc::new(SystemClock);
    let archive = dir.join("archive");
    let store: Arc<dyn Store> = Arc::new(FolderStore::create(&archive).unwrap());
    let outbox = Outbox::start(
        outbox::Options::new(dir.join("outbox"), 1 << 30),
        clock.clone(),
        Arc::new(move |_| Ok(store.clone())),
    )
    .unwrap();
    let (writer, reader) = Writer::open(spool::Options::new(dir.join("spool"), 1000)).unwrap();
    let cuts = Cuts::default();
    let mut settings = record::Options::new(dir, 1000, "node-a", "test");
    let wanted = cuts.clone();
    settings.want_states = Some(Arc::new(move |streams| wanted.want(streams)));
    let mut recorder = Recorder::open(
        settings,
        Some(reader.clone()),
        clock.clone(),
        outbox.clone(),
    )
    .unwrap();
    let query = kfl::compile("true", &kfl::Schema::empty()).unwrap();
    recorder.set(vec![record::Wish::new("all", query, "folder")]);
    let count = Arc::new(AtomicUsize::new(0));
    let source = OneByOne {
        inner: tapedeck::capture::folder::open_all(&[capture.to_owned()]).unwrap(),
        waiting: RawBatch::default(),
        next: 0,
        last: Filled::More,
    };
    let options = pipeline::Options {
        workers: 2,
        protocols: Protocols::all(),
        limits: Limits::default(),
        origin: Arc::new(Origin::default()),
        names: None,
        spool: Some((writer, reader)),
        live: false,
        clock,
        stop: Stop::default(),
        counters: Arc::default(),
        cuts,
        consumers: vec![Box::new(Cutter {
            recorder,
            is_cutting: false,
            cuts: count.clone(),
        })],
    };
    pipeline::start(Box::new(source), options).join().unwrap();
    assert_eq!(outbox.drain(Duration::from_secs(30)).waiting, 0);
    outbox.stop();
    let count = count.load(Ordering::Relaxed);
    (crate::recording::files(&archive, ".pcapng.zst"), count)
}

#[test]
fn reels_of_long_connections_give_the_same_items_each_alone() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/captures");
    if !shared.exists() {
        println!("skipped: the sample captures are not beside the repository");
        return;
    }
    let sort = |items: Vec<String>| {
        let mut all: Vec<String> = items
            .iter()
            .map(|text| without_origin(text).to_string())
            .collect();
        all.sort();
        all
    };
    let captures = [
        "grpc/own-grpc-all-call-types.pcap",
        "grpc/wireshark-grpc_stream_reassembly_sample.pcapng",
        "http2",
        "redis",
    ];
    let mut most = 0;
    for name in captures {
        let path = shared.join(name);
        let files = match path.is_dir() {
            true => crate::recording::files(&path, ""),
            false => vec![path],
        };
        for file in files
            .iter()
            .filter(|file| file.to_string_lossy().contains(".pcap"))
        {
            let whole = items(file, 1);
            if whole.iter().any(|text| text.contains("\"tls\":true")) {
                // What was decrypted is in no reel, since no secret is.
                continue;
            }
            let dir = tempfile::tempdir().unwrap();
            let (reels, cuts) = cut(file, dir.path());
            let alone: Vec<String> = reels.iter().flat_map(|reel| items(reel, 1)).collect();
            most = most.max(reels.len());
            // Streams that nobody reads are told with their last packet, reel by reel.
            let is_read = |text: &String| {
                !["\"name\":\"tcp\"", "\"name\":\"udp\""]
                    .iter()
                    .any(|other| text.contains(other))
            };
            let (whole, alone) = (
                sort(whole.into_iter().filter(is_read).collect()),
                sort(alone.into_iter().filter(is_read).collect()),
            );
            assert_eq!(
                alone.len(),
                whole.len(),
                "{} in {} reels, {cuts} cuts",
                file.display(),
                reels.len()
            );
            assert_eq!(alone, whole, "{}", file.display());
        }
    }
    assert!(most >= 10, "{most}");
}

#[test]
fn items_of_a_stream_are_numbered_on_from_reel_to_reel() {
    let dir = tempfile::tempdir().unwrap();
    let mut call = synth::tcp(([10, 0, 0, 1], 4000), ([10, 0, 0, 2], 80));
    for number in 0..60 {
        call = call
            .to_server(format!("GET /{number} HTTP/1.1\r\nHost: shop\r\n\r\n"))
            .to_client("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
    // Packets in between whose streams no recording takes, so that cuts fall where nothing comes.
    let start = call.clone().fin()[0].ts;
    let others = (0..200u16).map(|n| {
        synth::udp(([10, 0, 1, 1], 20_000 + n), ([10, 0, 1, 2], 9999))
            .at(start + synth::STEP * u32::from(n) + synth::STEP / 2)
            .to_server("?")
            .end()
    });
    let frames = synth::merge(others.chain([call.fin()]));
    let capture = dir.path().join("long.pcap");
    std::fs::write(&capture, synth::savefile(&frames)).unwrap();
    for round in 0..4 {
        let place = dir.path().join(round.to_string());
        std::fs::create_dir(&place).unwrap();
        let (reels, cuts) = cut(&capture, &place);
        let mut numbers = Vec::new();
        for reel in &reels {
            let found = items(reel, 1);
            let number = |text: &String| {
                let item: serde_json::Value = serde_json::from_str(text).unwrap();
                let path = item["request"]["path"].as_str()?.to_owned();
                Some((path, item["index"].as_u64()?))
            };
            numbers.extend(found.iter().filter_map(number));
        }
        let wanted: Vec<(String, u64)> = (0..60).map(|n| (format!("/{n}"), n)).collect();
        assert_eq!(numbers, wanted, "{} reels, {cuts} cuts", reels.len());
    }
}

#[test]
fn messages_of_a_subscription_are_in_every_reel_that_it_goes_on_in() {
    let dir = tempfile::tempdir().unwrap();
    let resp = |words: &[&str]| {
        let words = words
            .iter()
            .map(|word| format!("${}\r\n{word}\r\n", word.len()));
        let words: Vec<String> = words.collect();
        format!("*{}\r\n{}", words.len(), words.concat())
    };
    let mut subscriber = synth::tcp(([10, 0, 0, 1], 4000), ([10, 0, 0, 2], 6379))
        .to_server(resp(&["SUBSCRIBE", "news"]))
        .to_client("*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
    let mut publisher =
        synth::tcp(([10, 0, 0, 3], 4001), ([10, 0, 0, 2], 6379)).wait(synth::STEP / 2);
    for number in 0..20 {
        let text = format!("text {number}");
        publisher = publisher
            .to_server(resp(&["PUBLISH", "news", &text]))
            .to_client(":1\r\n");
        subscriber = subscriber
            .wait(synth::STEP)
            .to_client(resp(&["message", "news", &text]));
    }
    let frames = synth::merge([subscriber.fin(), publisher.fin()]);
    let capture = dir.path().join("pubsub.pcap");
    std::fs::write(&capture, synth::savefile(&frames)).unwrap();
    let sorted = |items: Vec<String>| {
        let mut all: Vec<String> = items
            .iter()
            .map(|text| without_origin(text).to_string())
            .collect();
        all.sort();
        all
    };
    let whole = sorted(items(&capture, 1));
    assert!(whole.len() >= 40, "{}", whole.len());
    for round in 0..4 {
        let place = dir.path().join(round.to_string());
        std::fs::create_dir(&place).unwrap();
        let (reels, cuts) = cut(&capture, &place);
        let alone = reels.iter().flat_map(|reel| items(reel, 1)).collect();
        assert_eq!(sorted(alone), whole, "{} reels, {cuts} cuts", reels.len());
    }
}

/// What a sealed reel may tell otherwise: where an item was captured, its stream's number, and its
/// number within the stream.
fn without_origin(text: &str) -> serde_json::Value {
    let mut item: serde_json::Value = serde_json::from_str(text).unwrap();
    for name in [
        "id",
        "index",
        "stream",
        "entryFile",
        "worker",
        "node",
        "record",
    ] {
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
