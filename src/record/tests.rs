//! Tests of recordings from match to store.

mod losses;
mod restart;
mod sealing;
mod small_disk;
mod uploads;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::manifest::{Kind, Manifest};
use super::*;
use crate::item::{Item, Value, sample};
use crate::kfl::{self, Schema};
use crate::packet::savefile::{Entry as FileEntry, Records, pcapng};
use crate::packet::{Batch, StreamId, StreamName, Transport};
use crate::spool::feed::{Feed, bytes_of, time_of};
use crate::spool::{self, Writer};
use crate::store::memory::MemoryStore;
use crate::store::{Body, Entry, PutOptions, Receipt, Store, StoreError};
use crate::time::{Clock, SetClock};

const LONG: Duration = Duration::from_secs(20);

type Fault = dyn Fn(&str) -> Option<StoreError> + Send;

/// What one process sees of a store: it dies with the process, and can fail after some puts.
struct Gate {
    store: Arc<MemoryStore>,
    puts_left: Mutex<Option<u32>>,
    put: Mutex<Vec<String>>,
    /// What the store says to a put of a key instead of taking it.
    fault: Mutex<Option<Box<Fault>>>,
    /// Where reels are open, and those that were while their parts were put.
    watched: Mutex<Option<PathBuf>>,
    open: Mutex<Vec<String>>,
}

impl Gate {
    fn new(store: &Arc<MemoryStore>) -> Arc<Gate> {
        Arc::new(Gate {
            store: store.clone(),
            puts_left: Mutex::new(None),
            put: Mutex::default(),
            fault: Mutex::default(),
            watched: Mutex::default(),
            open: Mutex::default(),
        })
    }

    fn allow(&self, puts: Option<u32>) {
        *self.puts_left.lock().unwrap() = puts;
    }

    /// Says no to some puts from now on.
    fn refuse(&self, fault: impl Fn(&str) -> Option<StoreError> + Send + 'static) {
        *self.fault.lock().unwrap() = Some(Box::new(fault));
    }

    fn refuse_nothing(&self) {
        *self.fault.lock().unwrap() = None;
    }
}

impl Store for Gate {
    fn name(&self) -> String {
        "gate".into()
    }

    fn put(&self, key: &str, body: Body<'_>, options: &PutOptions) -> Result<Receipt, StoreError> {
        let mut left = self.puts_left.lock().unwrap();
        match &mut *left {
            Some(0) => return Err(StoreError::Unavailable("the store is away".into())),
            Some(left) => *left -= 1,
            None => {}
        }
        assert!(options.write_once);
        if let Some(error) = self
            .fault
            .lock()
            .unwrap()
            .as_ref()
            .and_then(|fault| fault(key))
        {
            return Err(error);
        }
        if let Some(folder) = &*self.watched.lock().unwrap() {
            let names = fs::read_dir(folder).unwrap();
            let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let open = names.filter(|name| key.contains(name.as_str()));
            self.open.lock().unwrap().extend(open);
        }
        self.put.lock().unwrap().push(key.to_owned());
        self.store.put(key, body, options)
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(Entry) -> bool) -> Result<(), StoreError> {
        self.store.list(prefix, each)
    }

    fn get(
        &self,
        key: &str,
        version: Option<&str>,
        range: Option<(u64, u64)>,
    ) -> Result<Box<dyn Read + Send>, StoreError> {
        self.store.get(key, version, range)
    }

    fn head(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        self.store.head(key)
    }

    fn state(
        &self,
        key: &str,
        version: Option<&str>,
    ) -> Result<Option<crate::store::State>, StoreError> {
        self.store.state(key, version)
    }

    fn clear(&self, _prefix: &str) -> Result<u64, StoreError> {
        panic!("a recorder never clears")
    }

    fn facts(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::new()
    }
}

/// One life of a recording process.
struct Life {
    dir: PathBuf,
    spool: Writer,
    recorder: Recorder,
    outbox: Arc<Outbox>,
    gate: Arc<Gate>,
    clock: Arc<SetClock>,
}

impl Life {
    fn start(dir: &Path, run: u64, store: &Arc<MemoryStore>) -> Life {
        Life::with(dir, run, store, |_| {})
    }

    fn with(
        dir: &Path,
        run: u64,
        store: &Arc<MemoryStore>,
        change: impl FnOnce(&mut Options),
    ) -> Life {
        let clock = Arc::new(SetClock::at(time_of(0)));
        let gate = Gate::new(store);
        let (spool, reader) = Writer::open(spool::Options {
            max_bytes: 4 << 20,
            segment_bytes: 32 << 10,
            ..spool::Options::new(dir.join("spool"), run)
        })
        .unwrap();
        let resolved = gate.clone();
        let outbox = Outbox::start(
            outbox::Options::new(dir.join("outbox"), 1 << 30),
            clock.clone(),
            Arc::new(move |_| Ok(resolved.clone())),
        )
        .unwrap();
        let mut options = Options::new(dir.join("record"), run, "node-a", "test");
        change(&mut options);
        let recorder =
            Recorder::open(options, Some(reader), clock.clone(), outbox.clone()).unwrap();
        Life {
            dir: dir.to_owned(),
            spool,
            recorder,
            outbox,
            gate,
            clock,
        }
    }

    fn feed(&mut self, mut batch: Batch, items: &[Item]) {
        self.spool.append(&mut batch).unwrap();
        self.clock.advance(batch.now);
        self.recorder.on_batch(&Arc::new(batch), items);
    }

    /// Moves the clock and looks what is due.
    fn wait(&mut self, time: Duration) {
        let now = self.clock.now() + time;
        self.clock.advance(now);
        self.recorder.tick(now);
    }

    fn finish(mut self) {
        self.recorder.finish();
        assert_eq!(self.outbox.drain(LONG).waiting, 0);
        self.outbox.stop();
    }

    /// The process is killed: what lies on its disk, and a store that it can no longer reach.
    fn kill(self) -> tempfile::TempDir {
        self.recorder.settle();
        self.cut_off()
    }

    /// The same while reels wait to be sealed.
    fn cut_off(self) -> tempfile::TempDir {
        self.gate.allow(Some(0));
        self.outbox.stop();
        self.outbox.wait_until_still();
        let copy = tempfile::tempdir().unwrap();
        copy_folder(&self.dir, copy.path());
        copy
    }
}

/// Copies what is there; what the seal thread deletes meanwhile is gone in the copy too.
fn copy_folder(from: &Path, to: &Path) {
    let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    fs::create_dir_all(to).unwrap();
    let entries = match fs::read_dir(from) {
        Err(error) if gone(&error) => return,
        entries => entries.unwrap(),
    };
    for entry in entries {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
            continue;
        }
        match fs::copy(&path, &target) {
            Err(error) if gone(&error) => {}
            copied => drop(copied.unwrap()),
        }
    }
}

/// Waits until something holds.
fn until(what: &str, holds: impl Fn() -> bool) {
    let end = std::time::Instant::now() + LONG;
    while !holds() {
        assert!(std::time::Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Folders of open reels.
fn open_reels(dir: &Path) -> Vec<PathBuf> {
    let open = fs::read_dir(dir.join("record/open")).unwrap();
    let mut found: Vec<PathBuf> = open.map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

fn wish(kfl: &str) -> Wish {
    Wish::new(
        "errors",
        kfl::compile(kfl, &Schema::empty()).unwrap(),
        "memory",
    )
}

fn item(stream: StreamId, status: i64) -> Item {
    let mut item = sample::http();
    item.stream = StreamName {
        stream,
        transport: Transport::Tcp,
    };
    item.response = Value::Object(vec![(
        crate::item::Key::Static("status"),
        Value::Int(status),
    )]);
    item
}

/// A manifest with its key and bytes.
struct Found {
    key: String,
    bytes: Vec<u8>,
    manifest: Manifest,
}

fn manifests(store: &MemoryStore) -> Vec<Found> {
    let mut found = Vec::new();
    for key in crate::store::conformance::keys(store, PREFIX) {
        if key.ends_with(".manifest.json") {
            let bytes = crate::store::conformance::read(store, &key, None);
            let manifest = Manifest::parse(&bytes).unwrap();
            found.push(Found {
                key,
                bytes,
                manifest,
            });
        }
    }
    found
}

fn reels(store: &MemoryStore) -> Vec<Found> {
    let mut reels = manifests(store);
    reels.retain(|found| found.manifest.kind == Kind::Reel);
    reels.sort_by_key(|found| (found.manifest.run, found.manifest.sequence));
    reels
}

fn plain(store: &MemoryStore, found: &Found) -> Vec<u8> {
    let parts = || found.manifest.parts.iter();
    let [part] = parts()
        .filter(|part| part.role == "packets")
        .collect::<Vec<_>>()[..]
    else {
        panic!("{:?}", found.manifest.parts);
    };
    let bytes = crate::store::conformance::read(store, &part.key, part.version.as_deref());
    assert_eq!(bytes.len() as u64, part.size);
    let sha256: crate::store::Digest = Sha256::digest(&bytes).into();
    assert_eq!(crate::store::hex(&sha256), part.sha256);
    assert!(part.key.contains(&part.sha256[..16]));
    if part.key.ends_with(".zst") {
        zstd::stream::decode_all(bytes.as_slice()).unwrap()
    } else {
        bytes
    }
}

fn packets(bytes: &[u8]) -> Vec<u64> {
    let mut records = Records::new(bytes);
    let mut found = Vec::new();
    while let Some(entry) = records.advance().unwrap() {
        if let FileEntry::Packet { bytes, .. } = entry {
            let ordinal = u64::from_le_bytes(bytes[..8].try_into().unwrap());
            assert_eq!(bytes, bytes_of(ordinal, bytes.len()));
            found.push(ordinal);
        }
    }
    found
}

/// Packets of all reels of a run, in the order of the reels.
fn recorded(store: &MemoryStore, run: u64) -> Vec<u64> {
    let mut all = Vec::new();
    for found in reels(store)
        .iter()
        .filter(|found| found.manifest.run == run)
    {
        let ordinals = packets(&plain(store, found));
        assert_eq!(ordinals.len() as u64, found.manifest.counts.packets);
        all.extend(ordinals);
    }
    all
}

/// Every manifest but the first names the one before it by its hash.
fn chain_holds(store: &MemoryStore) {
    let found = manifests(store);
    let mut firsts = 0;
    for one in &found {
        match &one.manifest.previous {
            None => firsts += 1,
            Some(previous) => {
                let before = found
                    .iter()
                    .find(|other| other.key == previous.key)
                    .unwrap();
                let sha256: crate::store::Digest = Sha256::digest(&before.bytes).into();
                assert_eq!(crate::store::hex(&sha256), previous.sha256);
                assert_eq!(before.manifest.run, previous.run);
            }
        }
    }
    assert_eq!(firsts, 1);
    let mut links: Vec<_> = found
        .iter()
        .filter_map(|one| one.manifest.previous.as_ref().map(|previous| &previous.key))
        .collect();
    links.sort();
    links.dedup();
    assert_eq!(links.len(), found.len() - 1, "the chain forks");
}

#[test]
fn a_match_keeps_the_whole_stream_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    let said = life.recorder.set(vec![wish("response.status == 500")]);
    assert_eq!(
        said,
        ["the recording errors is on: response.status == 500 to memory"]
    );
    let mut feed = Feed::default();
    let batch = feed.batch("ababc", 100);
    let (a, b) = (feed.id('a'), feed.id('b'));
    life.feed(batch, &[item(a, 200), item(b, 200)]);
    let batch = feed.batch("aab", 100);
    life.feed(batch, &[item(a, 500), item(b, 404)]);
    let mut batch = feed.batch("bca", 100);
    feed.end(&mut batch, 'a');
    life.feed(batch, &[item(a, 500)]);
    life.feed(feed.batch("ab", 100), &[]);
    let status = &life.recorder.status()[0];
    assert_eq!(
        (status.streams, status.packets, status.open_streams),
        (1, 5, 0)
    );
    life.finish();

    assert_eq!(recorded(&store, 1000), [0, 2, 5, 6, 10]);
    let reel = &reels(&store)[0];
    assert_eq!(reel.manifest.kfl, "response.status == 500");
    assert_eq!(reel.manifest.counts.streams, 1);
    assert_eq!(reel.manifest.counts.items, 2);
    assert_eq!(
        reel.manifest.from.as_deref(),
        Some(&*time_of(0).to_string())
    );
    assert_eq!(reel.manifest.remarks.len(), 1);
    assert!(reel.manifest.remarks[0].starts_with("not immutable: "));
    assert!(reel.key.starts_with(
        "reels/cluster=test/date=2023-11-14/hour=22/node=node-a/recording=errors/20231114T221320Z-1000-"
    ));
    // Names of the items are in the file.
    let bytes = plain(&store, reel);
    assert!(bytes.windows(13).any(|text| text == b"web-7d9.shop\0"));
    chain_holds(&store);
}

#[test]
fn a_stream_that_lives_long_goes_over_many_reels_with_its_state() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let asked: Arc<Mutex<Vec<StreamId>>> = Arc::default();
    let mut life = Life::with(dir.path(), 1000, &store, |options| {
        let asked = asked.clone();
        options.want_states = Some(Arc::new(move |streams| {
            asked.lock().unwrap().extend(streams)
        }));
    });
    life.recorder.set(vec![wish("response.status == 500")]);
    let mut feed = Feed::default();
    let mut wanted = Vec::new();
    for round in 0..6 {
        wanted.push(feed.next + 1);
        let batch = feed.batch("xa", 100);
        let items = [item(feed.id('a'), 500)];
        let wanted: Vec<StreamId> = std::mem::take(&mut *asked.lock().unwrap());
        if !wanted.is_empty() {
            let end = |port| crate::packet::Endpoint {
                ip: [10, 0, 0, 1].into(),
                port,
            };
            let tuple = crate::packet::FiveTuple {
                src: end(4000),
                dst: end(80),
                transport: crate::packet::Transport::Tcp,
            };
            let state = |stream: &StreamId| (*stream, (tuple, stream.0.to_be_bytes().to_vec()));
            let states = States {
                states: wanted.iter().map(state).collect(),
                asked: wanted.into_iter().collect(),
            };
            let first = batch.packets.first().map(|packet| packet.ordinal);
            life.recorder.on_states(&states, first);
        }
        life.feed(batch, &items[..usize::from(round == 1)]);
        life.wait(Duration::from_secs(90));
    }
    // The first reel is due after 60 seconds, the others after five minutes; the second one waits for
    // the states that its stream goes on with.
    life.recorder.settle();
    assert_eq!(life.recorder.status()[0].reels, 1);
    life.finish();
    assert_eq!(recorded(&store, 1000), wanted);
    let reels = reels(&store);
    assert_eq!(reels[0].manifest.counts.continued, 0);
    assert_eq!(reels[1].manifest.counts.continued, 1);
    let bytes = plain(&store, &reels[1]);
    let mut records = Records::new(bytes.as_slice());
    let mut states = 0;
    while let Some(entry) = records.advance().unwrap() {
        if let FileEntry::Block { block, .. } = entry
            && let Some(data) = custom_data(&block)
        {
            let Some((name, state)) = parse_state(data) else {
                continue;
            };
            assert_eq!(name.stream, StreamId(1));
            assert_eq!(state, 1u64.to_be_bytes());
            states += 1;
        }
    }
    assert_eq!(states, 1);
}

#[test]
fn frames_can_be_read_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.recorder.set(vec![wish("true")]);
    let mut feed = Feed::default();
    for _ in 0..10 {
        let batch = feed.batch(&"a".repeat(40), 8000);
        let items = [item(feed.id('a'), 200)];
        life.feed(batch, &items);
    }
    life.finish();
    let reel = &reels(&store)[0];
    let part = &reel.manifest.parts[0];
    assert_eq!(part.frames.len(), 4);
    assert_eq!(
        part.frames.iter().map(|frame| frame.packets).sum::<u64>(),
        400
    );
    let bytes = crate::store::conformance::read(&*store, &part.key, None);
    let mut all = Vec::new();
    for frame in &part.frames {
        let range = frame.offset as usize..(frame.offset + frame.size) as usize;
        let plain = zstd::stream::decode_all(&bytes[range]).unwrap();
        assert_eq!(plain.len() as u64, frame.plain);
        // Each frame begins at a block: its first length leads to another copy of itself.
        let length = u32::from_le_bytes(plain[4..8].try_into().unwrap()) as usize;
        assert_eq!(plain[length - 4..length], plain[4..8]);
        all.extend(plain);
    }
    assert_eq!(packets(&all), (0..400).collect::<Vec<_>>());
}

#[test]
fn classic_savefiles_are_written_when_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.recorder.set(vec![Wish {
        format: Format::Pcap,
        ..wish("true")
    }]);
    let mut feed = Feed::default();
    let batch = feed.batch("aaa", 50);
    let items = [item(feed.id('a'), 200)];
    life.feed(batch, &items);
    life.finish();
    assert!(reels(&store)[0].manifest.parts[0].key.ends_with(".pcap"));
    assert_eq!(recorded(&store, 1000), [0, 1, 2]);
}

#[test]
fn switching_off_seals_what_is_open_and_says_how_much() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.recorder.set(vec![wish("true")]);
    let mut feed = Feed::default();
    let batch = feed.batch("aaa", 50);
    let a = feed.id('a');
    life.feed(batch, &[item(a, 200)]);
    let said = life.recorder.set(Vec::new());
    assert_eq!(
        said,
        [
            "the recording errors is off: 3 packets that were open are sealed for upload; in all it \
          recorded 1 streams with 3 packets and 150 bytes"
        ]
    );
    life.feed(feed.batch("aaa", 50), &[item(a, 200)]);
    assert!(life.recorder.status().is_empty());
    life.finish();
    assert_eq!(recorded(&store, 1000), [0, 1, 2]);
    let whys: Vec<String> = manifests(&store)
        .into_iter()
        .map(|found| found.manifest.why)
        .collect();
    assert!(
        ["start", "removed", "stop"]
            .iter()
            .all(|why| whys.iter().any(|found| found == why))
    );
}

#[test]
fn a_changed_query_is_followed_and_named_in_the_next_reel() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.recorder.set(vec![wish("response.status == 500")]);
    let mut feed = Feed::default();
    let batch = feed.batch("ab", 50);
    let (a, b) = (feed.id('a'), feed.id('b'));
    life.feed(batch, &[item(a, 500), item(b, 404)]);
    assert!(
        life.recorder
            .set(vec![wish("response.status == 500")])
            .is_empty()
    );
    assert_eq!(
        life.recorder
            .set(vec![wish("response.status == 404")])
            .len(),
        1
    );
    life.feed(feed.batch("ab", 50), &[item(a, 500), item(b, 404)]);
    life.finish();
    let reels = reels(&store);
    assert_eq!(reels.len(), 2);
    assert_eq!(reels[0].manifest.kfl, "response.status == 500");
    assert_eq!(packets(&plain(&store, &reels[0])), [0]);
    // What was taken stays whole, and the new match brings its look-back.
    assert_eq!(reels[1].manifest.kfl, "response.status == 404");
    assert_eq!(packets(&plain(&store, &reels[1])), [1, 2, 3]);
}

#[test]
fn now_is_when_the_query_was_asked() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    let at = |stream, at| Item {
        start: at,
        ..item(stream, 200)
    };
    let second = Duration::from_secs(1);
    let asked = life.clock.now();
    life.recorder.set(vec![wish("timestamp >= now()")]);
    life.wait(10 * second);
    let mut feed = Feed::default();
    let batch = feed.batch("abcd", 50);
    let [a, b, c, d] = ['a', 'b', 'c', 'd'].map(|name| feed.id(name));
    life.feed(batch, &[at(a, asked - second), at(b, asked + second)]);
    assert_eq!(life.recorder.status()[0].streams, 1);
    // The same query again is no new one; another one is asked at its own time.
    life.recorder.set(vec![wish("timestamp >= now()")]);
    life.feed(feed.batch("c", 50), &[at(c, asked + second)]);
    assert_eq!(life.recorder.status()[0].streams, 2);
    life.recorder.set(vec![wish("timestamp > now()")]);
    life.feed(feed.batch("d", 50), &[at(d, asked + second)]);
    assert_eq!(life.recorder.status()[0].streams, 2);
    life.feed(feed.batch("d", 50), &[at(d, asked + 11 * second)]);
    assert_eq!(life.recorder.status()[0].streams, 3);
    life.finish();
}

#[test]
fn a_stream_about_which_nothing_can_be_told_is_kept_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.recorder.set(vec![wish("response.* <= response.*")]);
    let mut feed = Feed::default();
    let batch = feed.batch("ab", 50);
    let (a, b) = (feed.id('a'), feed.id('b'));
    // Every element is compared with every other before the answer is no.
    let costly = Item {
        response: Value::List((0..3000).map(|_| Value::Text("x".into())).collect()),
        ..item(a, 200)
    };
    life.feed(batch, &[costly, item(b, 200)]);
    let status = &life.recorder.status()[0];
    assert_eq!((status.undecided, status.last_match.is_some()), (1, true));
    life.finish();
    let reels = reels(&store);
    let remarks = &reels[0].manifest.remarks;
    assert!(
        remarks[0].starts_with("1 streams were kept because the query could not be decided"),
        "{remarks:?}"
    );
}

#[test]
fn nothing_matched_leaves_signs_of_life_and_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.recorder.set(vec![wish("response.status == 500")]);
    let mut feed = Feed::default();
    let batch = feed.batch("a", 50);
    let a = feed.id('a');
    life.feed(batch, &[item(a, 200)]);
    life.wait(Duration::from_secs(3601));
    let warnings = life.recorder.warnings();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("matched none of 1 items"));
    life.finish();
    let whys: Vec<String> = manifests(&store)
        .into_iter()
        .map(|found| found.manifest.why)
        .collect();
    assert_eq!(whys.len(), 3, "{whys:?}");
    assert!(reels(&store).is_empty());
    chain_holds(&store);
}

#[test]
fn after_kill_the_open_reel_is_sealed_under_its_old_run_and_made_whole_from_the_spool() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.recorder.set(vec![wish("response.status == 500")]);
    let mut feed = Feed::default();
    let batch = feed.batch("aba", 100);
    let a = feed.id('a');
    life.feed(batch, &[item(a, 500)]);
    life.wait(Duration::from_secs(61));
    life.recorder.settle();
    assert_eq!(life.outbox.drain(LONG).waiting, 0);
    life.feed(feed.batch("ab", 100), &[]);
    // The spool is ahead of the recorder when the process dies.
    life.spool.append(&mut feed.batch("aab", 100)).unwrap();
    let copy = life.kill();
    for torn in ["packets.pcapng", "packets.side", "takes.journal"] {
        let open = fs::read_dir(copy.path().join("record/open")).unwrap();
        let path = open
            .map(|entry| entry.unwrap().path())
            .next()
            .unwrap()
            .join(torn);
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend_from_slice(b"{torn");
        fs::write(&path, bytes).unwrap();
    }
    let mut life = Life::start(copy.path(), 2000, &store);
    assert_eq!(life.recorder.warnings().len(), 1);
    life.recorder.set(vec![wish("response.status == 500")]);
    let mut feed = Feed::default();
    let batch = feed.batch("a", 100);
    let a = feed.id('a');
    life.feed(batch, &[item(a, 500)]);
    life.finish();
    assert_eq!(recorded(&store, 1000), [0, 2, 3, 5, 6]);
    assert_eq!(recorded(&store, 2000), [0]);
    chain_holds(&store);
}

#[test]
fn a_kill_between_sealing_and_cleaning_up_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.recorder.set(vec![wish("true")]);
    life.gate.allow(Some(0));
    let mut feed = Feed::default();
    let batch = feed.batch("aa", 100);
    let a = feed.id('a');
    life.feed(batch, &[item(a, 200)]);
    let open = tempfile::tempdir().unwrap();
    copy_folder(&dir.path().join("record/open"), open.path());
    life.recorder.seal(None, "asked");
    let copy = life.kill();
    copy_folder(open.path(), &copy.path().join("record/open"));
    fs::create_dir_all(copy.path().join("outbox/half-0000001000-000001")).unwrap();
    Life::start(copy.path(), 2000, &store).finish();
    assert_eq!(recorded(&store, 1000), [0, 1]);
    assert_eq!(reels(&store).len(), 1);
}

#[test]
fn uploads_wait_for_a_store_that_is_away_and_go_up_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.gate.allow(Some(0));
    life.recorder.set(vec![wish("true")]);
    let mut feed = Feed::default();
    let mut a = StreamId(0);
    for _ in 0..3 {
        let batch = feed.batch("a", 100);
        a = feed.id('a');
        life.feed(batch, &[item(a, 200)]);
        life.recorder.seal(None, "asked");
    }
    life.recorder.settle();
    let status = life.outbox.drain(Duration::from_millis(50));
    assert_eq!(status.waiting, 4);
    assert_eq!(
        status.last_error.as_deref(),
        Some("uploading to memory failed: the store is away")
    );
    assert!(store.is_empty());
    assert_eq!(life.outbox.warnings().len(), 1);
    life.gate.allow(None);
    let status = life.outbox.drain(LONG);
    assert_eq!(
        (status.waiting, status.uploaded, status.last_error),
        (0, 3, None)
    );
    let mut said = life.outbox.warnings();
    said.sort();
    assert_eq!(
        said,
        [
            "memory keeps reels without a lock: not immutable",
            "uploads to memory work again",
        ]
    );
    life.feed(feed.batch("a", 100), &[item(a, 200)]);
    life.finish();
    assert_eq!(recorded(&store, 1000), [0, 1, 2, 3]);
    chain_holds(&store);
}

#[test]
fn a_kill_after_any_upload_leads_to_the_same_objects() {
    for puts in 0..10 {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(MemoryStore::new());
        let mut life = Life::start(dir.path(), 1000, &store);
        life.gate.allow(Some(puts));
        life.recorder.set(vec![wish("true")]);
        let mut feed = Feed::default();
        for _ in 0..3 {
            let batch = feed.batch("a", 100);
            let items = [item(feed.id('a'), 200)];
            life.feed(batch, &items);
            life.recorder.seal(None, "asked");
        }
        life.recorder.settle();
        while life.outbox.status().last_error.is_none() {
            std::thread::yield_now();
        }
        let copy = life.kill();
        let before: Vec<String> = crate::store::conformance::keys(&*store, "");
        assert_eq!(before.len(), puts as usize);
        Life::start(copy.path(), 2000, &store).finish();
        let after = crate::store::conformance::keys(&*store, "");
        // One heartbeat, and three reels of packets, names and manifest.
        assert_eq!(after.len(), 10);
        assert!(before.iter().all(|key| after.contains(key)));
        assert_eq!(recorded(&store, 1000), [0, 1, 2]);
        chain_holds(&store);
    }
}

#[test]
fn what_a_reel_was_made_from_is_gone_before_it_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 7, &store);
    life.recorder.set(vec![wish("true")]);
    let open = life.dir.join("record").join("open");
    *life.gate.watched.lock().unwrap() = Some(open.clone());
    let mut feed = Feed::default();
    for _ in 0..20 {
        let batch = feed.batch("a", 1000);
        let items = [item(feed.id('a'), 200)];
        life.feed(batch, &items);
        life.recorder.seal(None, "asked");
        life.recorder.settle();
    }
    assert_eq!(life.outbox.drain(LONG).waiting, 0);
    assert!(life.gate.put.lock().unwrap().len() > 20);
    // A process that is killed after an upload would seal such a reel again.
    let none: Vec<String> = Vec::new();
    assert_eq!(*life.gate.open.lock().unwrap(), none);
    // Neither does what is half deleted become one.
    let sealed = open.join("sealed-7-99");
    fs::create_dir_all(&sealed).unwrap();
    fs::write(sealed.join("takes.journal"), "{}").unwrap();
    let before = life.gate.put.lock().unwrap().len();
    life.finish();
    let next = Life::start(dir.path(), 8, &store);
    assert!(!sealed.exists());
    assert!(before > 0 && next.recorder.status().is_empty());
    next.finish();
}

#[test]
fn an_outbox_over_its_share_drops_the_oldest_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let clock = Arc::new(SetClock::at(time_of(0)));
    let gate = Gate::new(&store);
    gate.allow(Some(0));
    let resolved = gate.clone();
    let outbox = Outbox::start(
        outbox::Options::new(dir.path().join("outbox"), 20_000),
        clock.clone(),
        Arc::new(move |_| Ok(resolved.clone())),
    )
    .unwrap();
    let options = Options::new(dir.path(), 1000, "n", "c");
    let mut recorder = Recorder::open(options, None, clock.clone(), outbox.clone()).unwrap();
    recorder.set(vec![wish("true")]);
    let mut feed = Feed::default();
    for round in 0..20 {
        let batch = feed.batch("a", 2000);
        let items = [item(feed.id('a'), 200)];
        recorder.on_batch(&Arc::new(batch), &items);
        clock.advance(time_of(1000 * round));
        recorder.seal(None, "asked");
        recorder.settle();
    }
    let status = outbox.status();
    assert!(status.waiting_bytes <= 20_000);
    assert!(status.dropped > 0);
    assert!(
        outbox
            .warnings()
            .iter()
            .any(|said| said.contains("the outbox is full"))
    );
    gate.allow(None);
    recorder.finish();
    assert_eq!(outbox.drain(LONG).waiting, 0);
    let last = reels(&store).pop().unwrap();
    assert_eq!(packets(&plain(&store, &last)), [19]);
    assert!(last.manifest.coverage["outbox_dropped"].packets > 0);
}

#[test]
fn a_full_outbox_stops_recording_when_it_is_to_keep_what_waits() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let clock = Arc::new(SetClock::at(time_of(0)));
    let gate = Gate::new(&store);
    gate.allow(Some(0));
    let resolved = gate.clone();
    let mut options = outbox::Options::new(dir.path().join("outbox"), 20_000);
    options.on_full = outbox::OnFull::Stop;
    let outbox = Outbox::start(
        options,
        clock.clone(),
        Arc::new(move |_| Ok(resolved.clone())),
    )
    .unwrap();
    let options = Options::new(dir.path(), 1000, "n", "c");
    let mut recorder = Recorder::open(options, None, clock.clone(), outbox.clone()).unwrap();
    recorder.set(vec![wish("true")]);
    let mut feed = Feed::default();
    let mut round = |recorder: &mut Recorder| {
        let batch = feed.batch("a", 2000);
        let items = [item(feed.id('a'), 200)];
        recorder.on_batch(&Arc::new(batch), &items);
        recorder.seal(None, "asked");
        recorder.settle();
    };
    for _ in 0..30 {
        round(&mut recorder);
    }
    let status = outbox.status();
    assert!(status.is_full && status.waiting_bytes > 20_000);
    assert_eq!(status.dropped, 0);
    let stopped = recorder.status().remove(0);
    assert!(stopped.not_written > 0 && stopped.packets + stopped.not_written == 30);
    assert!(stopped.error.unwrap().contains("recording has stopped"));
    let said = recorder.warnings();
    assert!(
        said.iter()
            .any(|said| said.contains("recording has stopped"))
    );
    gate.allow(None);
    assert_eq!(outbox.drain(LONG).waiting, 0);
    round(&mut recorder);
    assert!(recorder.warnings()[0].contains("recording goes on"));
    recorder.finish();
    assert_eq!(outbox.drain(LONG).waiting, 0);
    let kept = recorded(&store, 1000);
    assert_eq!(kept.len() as u64, stopped.packets + 1);
    assert_eq!(kept.last(), Some(&30));
    let last = reels(&store).pop().unwrap().manifest;
    assert_eq!(last.coverage["outbox_full"].packets, stopped.not_written);
    chain_holds(&store);
}

#[test]
fn a_day_ends_with_a_roll_up_of_all_heads() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut other = Life::with(dir.path().join("b").as_path(), 1000, &store, |options| {
        options.node = "node-b".into();
    });
    other.recorder.set(vec![wish("true")]);
    other.finish();
    let of_b = manifests(&store).pop().unwrap();
    let day = Duration::from_secs(86_400);
    let mut life = Life::start(&dir.path().join("a"), 1000, &store);
    life.recorder.set(vec![wish("true")]);
    life.wait(Duration::from_secs(60));
    life.wait(day);
    life.wait(Duration::from_secs(60));
    life.finish();
    // Another process on the same day knows that the day was summed up.
    let mut life = Life::start(&dir.path().join("a"), 2000, &store);
    life.clock.advance(time_of(0) + day);
    life.recorder.set(vec![wish("true")]);
    life.wait(Duration::from_secs(120));
    life.wait(day);
    life.finish();
    let mut rollups = manifests(&store);
    rollups.retain(|found| found.manifest.kind == Kind::Rollup);
    let runs: Vec<u64> = rollups.iter().map(|found| found.manifest.run).collect();
    assert_eq!(runs, [1000, 2000]);
    let heads = &rollups[0].manifest.heads;
    let previous = rollups[0].manifest.previous.clone().unwrap();
    assert_eq!(
        (&heads[0].key, &heads[0].sha256),
        (&previous.key, &previous.sha256)
    );
    let sha256: crate::store::Digest = Sha256::digest(&of_b.bytes).into();
    assert_eq!(heads[1].node, "node-b");
    assert_eq!(
        (&heads[1].key, &heads[1].sha256),
        (&of_b.key, &crate::store::hex(&sha256))
    );
    assert_eq!(
        rollups[1].manifest.heads.len(),
        1,
        "that node is silent for two days"
    );
}

#[test]
fn a_script_takes_a_stream_by_name_and_never_twice() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.recorder.set(vec![wish("response.status == 500")]);
    let mut feed = Feed::default();
    let mut batch = feed.batch("abab", 100);
    let a = feed.id('a');
    let b = feed.id('b');
    feed.end(&mut batch, 'a');
    life.feed(batch, &[]);
    let name = |stream| StreamName {
        stream,
        transport: Transport::Tcp,
    };
    assert!(life.recorder.take(name(a), None));
    assert!(!life.recorder.take(name(a), Some("errors")));
    assert!(!life.recorder.take(name(b), Some("nobody")));
    assert!(life.recorder.take(name(b), Some("errors")));
    assert_eq!(life.recorder.status()[0].open_streams, 1);
    life.feed(feed.batch("ba", 100), &[item(a, 500)]);
    life.finish();
    assert_eq!(recorded(&store, 1000), [0, 1, 2, 3, 4]);
}

#[test]
fn what_the_look_back_could_not_reach_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let mut life = Life::start(dir.path(), 1000, &store);
    life.recorder.set(vec![wish("response.status == 500")]);
    let mut feed = Feed::default();
    for _ in 0..20 {
        // More than the ring holds.
        life.feed(feed.batch(&"ab".repeat(150), 1000), &[]);
    }
    let (a, last) = (feed.id('a'), feed.next);
    let batch = feed.batch("ac", 100);
    let items = [item(a, 500), item(feed.id('c'), 500)];
    life.feed(batch, &items);
    assert_eq!(life.recorder.status()[0].beheaded, 1);
    life.finish();
    let kept = recorded(&store, 1000);
    assert_eq!(kept[kept.len() - 3..], [last - 2, last, last + 1]);
    assert!(kept[0] > 0 && kept.len() > 1000);
    let remarks = &reels(&store)[0].manifest.remarks;
    assert!(
        remarks
            .iter()
            .any(|remark| remark.starts_with("1 streams lack"))
    );
    let coverage = &reels(&store)[0].manifest.coverage;
    assert!(coverage["spool_overwritten"].packets > 0);
}

fn custom_data<'b>(block: &pcapng::Block<'b>) -> Option<&'b [u8]> {
    let (enterprise, data) = pcapng::custom(block)?;
    (enterprise == ENTERPRISE).then_some(data)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the order of packets, matches, ends, seals and kills: of each stream that matched,
    /// every packet is in the store exactly once, and of the others none.
    #[test]
    fn matched_streams_are_recorded_whole_and_once(
        steps in proptest::collection::vec(
            ("[a-d]{1,12}", proptest::option::of(0usize..12), proptest::option::of(0usize..12), 0u8..8),
            1..12,
        ),
    ) {
        let mut dir = tempfile::tempdir().unwrap();
        let store = Arc::new(MemoryStore::new());
        let mut run = 1000;
        let mut life = Life::start(dir.path(), run, &store);
        life.recorder.set(vec![wish("response.status == 500")]);
        let mut feed = Feed::default();
        let mut of_stream: BTreeMap<(u64, StreamId), Vec<u64>> = BTreeMap::new();
        let mut matched = std::collections::BTreeSet::new();
        for (letters, hit, end, what) in steps {
            let mut batch = feed.batch(&letters, 300);
            for packet in &batch.packets {
                let stream = packet.stream.unwrap().0;
                of_stream.entry((run, stream)).or_default().push(packet.ordinal);
            }
            let mut items = Vec::new();
            if let Some(name) = hit.and_then(|at| letters.chars().nth(at)) {
                items.push(item(feed.id(name), 500));
                matched.insert((run, feed.id(name)));
            }
            if let Some(name) = end.and_then(|at| letters.chars().nth(at)) {
                feed.end(&mut batch, name);
            }
            life.feed(batch, &items);
            match what {
                0 | 1 => {
                    life.recorder.seal(None, "asked");
                }
                2 => {
                    let copy = life.kill();
                    run += 1000;
                    feed = Feed::default();
                    life = Life::start(copy.path(), run, &store);
                    life.recorder.set(vec![wish("response.status == 500")]);
                    dir = copy;
                }
                3 => life.wait(Duration::from_secs(61)),
                _ => {}
            }
        }
        life.finish();
        drop(dir);
        let mut found: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        let mut wanted: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for run in (1000..=run).step_by(1000) {
            let mut ordinals = recorded(&store, run);
            ordinals.sort_unstable();
            found.insert(run, ordinals);
            wanted.entry(run).or_default();
        }
        for key in matched {
            wanted.get_mut(&key.0).unwrap().extend(&of_stream[&key]);
        }
        for ordinals in wanted.values_mut() {
            ordinals.sort_unstable();
        }
        prop_assert_eq!(found, wanted);
        chain_holds(&store);
    }
}
