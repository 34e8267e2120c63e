//! A recording process that is killed at random moments, over and over.
//!
//! The process is this test binary itself, started again with the environment of a life: it opens
//! spool, recorder and outbox as `tap` does, records conversations as fast as it can into a folder
//! store, and says on stdout which of them it has. Nothing of what it said may be lost, nothing may
//! be there twice, and the archive must prove itself afterwards.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use tapedeck::investigate::verify::{self, Options};
use tapedeck::kfl::{self, Schema};
use tapedeck::packet::Batch;
use tapedeck::packet::savefile::{Entry, Records};
use tapedeck::record::manifest::Manifest;
use tapedeck::record::{self, Outbox, Recorder, Wish, outbox};
use tapedeck::spool::{self, Writer};
use tapedeck::store::Store;
use tapedeck::store::conformance::{keys, read};
use tapedeck::store::folder::FolderStore;
use tapedeck::synth::{self, Frame};
use tapedeck::time::{Clock, SystemClock, Timestamp};

use crate::recording::batch;

/// Names the folder of a life, and its number behind a colon.
const LIFE: &str = "TAPEDECK_TEST_LIFE";

/// Kills at random points.
const KILLS: u64 = 100;

/// Where filesystems in memory are: a killed process loses nothing that it handed to the system, so
/// memory does as well as a disk, and no seal waits for one.
const MEMORY: &str = "/dev/shm";

/// Free bytes that it takes there.
const ROOM: u64 = 1 << 30;

/// A folder for all lives.
fn folder() -> tempfile::TempDir {
    let free = rustix::fs::statvfs(MEMORY).map_or(0, |found| found.f_bavail * found.f_frsize);
    match free >= ROOM {
        true => tempfile::tempdir_in(MEMORY).unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

/// Longest life, in milliseconds, counted from its start or from its first conversation.
const LONGEST: u64 = 100;

/// One life in so many is killed while it starts, finds what the one before left, and seals it.
const STARTING: u64 = 4;

/// Conversations of one life at most, so that a slow kill fills no disk.
const MOST: u16 = 2000;

/// A wait for uploads; a busy machine needs seconds.
const PATIENCE: Duration = Duration::from_secs(120);

fn conversation(run: u64, number: u16) -> Vec<Frame> {
    let [.., high, low] = run.to_be_bytes();
    synth::tcp(([10, high, low, 1], 1024 + number), ([10, 0, 0, 2], 80))
        .at(Timestamp::from_secs(
            1_700_000_000 + i64::try_from(run).unwrap(),
            0,
        ))
        .to_server("GET / HTTP/1.1\r\nHost: cart\r\n\r\n")
        .to_client("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        .fin()
}

/// One life: runs until it is killed, or until all is uploaded when it is the last.
fn live(dir: &Path, run: u64, is_last: bool) {
    let clock = Arc::new(SystemClock);
    let (mut spool, reader) = Writer::open(spool::Options::new(dir.join("spool"), run)).unwrap();
    let archive = dir.join("archive");
    let resolve = Arc::new(move |_: &str| {
        let store: Arc<dyn Store> = Arc::new(FolderStore::create(&archive)?);
        Ok(store)
    });
    let options = outbox::Options::new(dir.join("outbox"), 1 << 30);
    let outbox = Outbox::start(options, clock.clone(), resolve).unwrap();
    let options = record::Options::new(dir.join("record"), run, "node-a", "test");
    let mut recorder =
        Recorder::open(options, Some(reader), clock.clone(), outbox.clone()).unwrap();
    let query = kfl::compile("http", &Schema::empty()).unwrap();
    let mut wish = Wish::new("web", query, "archive");
    wish.sealing.bytes = 5000;
    recorder.set(vec![wish]);
    let mut first = 0;
    let most = if is_last { 10 } else { MOST };
    for number in 0..most {
        let frames = conversation(run, number);
        let (mut begin, names) = batch(first, &frames);
        first += frames.len() as u64;
        // A reel may end between both halves.
        let mut end = Batch {
            bytes: begin.bytes.clone(),
            packets: begin.packets.split_off(frames.len() / 2),
            ..Batch::default()
        };
        spool.append(&mut begin).unwrap();
        // Half of them are taken before their packets come, the others with a look-back.
        let before = number % 2 == 0;
        if before {
            assert!(recorder.take(names[0], None));
        }
        recorder.on_batch(&Arc::new(begin), &[]);
        if !before {
            assert!(recorder.take(names[0], None));
        }
        spool.append(&mut end).unwrap();
        recorder.on_batch(&Arc::new(end), &[]);
        recorder.tick(clock.now());
        println!("recorded {number}");
    }
    if is_last {
        recorder.finish();
        assert_eq!(outbox.drain(PATIENCE).waiting, 0);
        outbox.stop();
        println!("finished");
        return;
    }
    // Waits for its end.
    std::thread::sleep(PATIENCE);
}

/// The recording process; does nothing unless it was started as one.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the life of the process comes with its environment"
)]
fn a_life() {
    let Ok(life) = std::env::var(LIFE) else {
        return;
    };
    let (dir, run) = life.rsplit_once(':').unwrap();
    let run: u64 = run.parse().unwrap();
    live(Path::new(dir), run, run == KILLS + 1);
}

/// When a life is killed.
#[derive(Clone, Copy)]
enum End {
    AfterStart(Duration),
    AfterFirst(Duration),
    ByItself,
}

/// Starts a life and ends it; answers what it recorded.
fn start(dir: &Path, run: u64, end: End) -> u16 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::a_life", "--nocapture", "--test-threads=1"])
        .env(LIFE, format!("{}:{run}", dir.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let (first, begun) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut recorded = 0;
        for line in out.lines().map_while(Result::ok) {
            // The first stands behind the name of the test.
            if let Some((_, number)) = line.split_once("recorded ") {
                recorded = number.parse::<u16>().unwrap() + 1;
                let _ = first.send(());
            }
        }
        recorded
    });
    match end {
        End::AfterStart(time) | End::AfterFirst(time) => {
            if matches!(end, End::AfterFirst(_)) {
                begun.recv_timeout(PATIENCE).unwrap();
            }
            std::thread::sleep(time);
            child.kill().unwrap();
            child.wait().unwrap();
        }
        End::ByItself => {
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{said}");
        }
    }
    reader.join().unwrap()
}

/// Packets by run and conversation, of all reels.
fn packets(store: &dyn Store) -> BTreeMap<(u64, u16), usize> {
    let mut found = BTreeMap::new();
    for key in keys(store, "reels/") {
        if !key.ends_with(".manifest.json") {
            continue;
        }
        let manifest = Manifest::parse(&read(store, &key, None)).unwrap();
        for part in &manifest.parts {
            let packed = read(store, &part.key, part.version.as_deref());
            let plain = zstd::stream::decode_all(packed.as_slice()).unwrap();
            let mut records = Records::new(plain.as_slice());
            while let Some(entry) = records.advance().unwrap() {
                let Entry::Packet { bytes, .. } = entry else {
                    continue;
                };
                // Ethernet, then IPv4 without options: the client is the side in 10.x.y.1.
                let to_server = bytes[33] == 2;
                let (address, port) = match to_server {
                    true => (&bytes[26..30], &bytes[34..36]),
                    false => (&bytes[30..34], &bytes[36..38]),
                };
                let run = u64::from(u16::from_be_bytes([address[1], address[2]]));
                let port = u16::from_be_bytes([port[0], port[1]]);
                *found.entry((run, port - 1024)).or_default() += 1;
            }
        }
    }
    found
}

#[test]
fn kills_lose_nothing_and_double_nothing() {
    let begun = Instant::now();
    let home = folder();
    let dir: PathBuf = home.path().into();
    // Numerical Recipes' generator: the same moments in every run of the test.
    let mut seed: u64 = 7;
    let mut said: BTreeMap<u64, u16> = BTreeMap::new();
    for run in 1..=KILLS {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223) % (1 << 32);
        let time = Duration::from_millis((seed >> 8) % LONGEST);
        let end = match run % STARTING {
            0 => End::AfterStart(time),
            _ => End::AfterFirst(time),
        };
        said.insert(run, start(&dir, run, end));
    }
    said.insert(KILLS + 1, start(&dir, KILLS + 1, End::ByItself));
    let store = FolderStore::open(&dir.join("archive")).unwrap();
    let found = packets(&store);
    let whole = conversation(1, 0).len();
    for (run, recorded) in &said {
        for number in 0..*recorded {
            let packets = found.get(&(*run, number)).copied().unwrap_or(0);
            assert_eq!(packets, whole, "conversation {number} of the run {run}");
        }
    }
    // What was not said any more may be there or not, in part too, and never twice.
    for ((run, number), packets) in &found {
        assert!(*packets <= whole, "conversation {number} of the run {run}");
    }
    let options = Options {
        deep: true,
        now: SystemClock.now(),
        ..Options::default()
    };
    let report = verify::check(&store, &options, &|| true).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(report.chains.len(), 1);
    assert!(
        report
            .remarks
            .iter()
            .all(|remark| !remark.contains("begins anew")),
        "{:?}",
        report.remarks
    );
    let (read, findings) = verify::read_parts(&store, &report.parts, &|_| true);
    assert_eq!(findings, []);
    let recorded: u64 = said.values().map(|count| u64::from(*count)).sum();
    let busy = said.values().filter(|count| **count > 0).count();
    assert!(busy > 15, "only {busy} lives recorded anything");
    let _ = writeln!(
        std::io::stdout(),
        "{} kills, {busy} while recording: {recorded} conversations, {read} reels, {} manifests in {:?}",
        KILLS,
        report.counts.manifests,
        begun.elapsed()
    );
}
