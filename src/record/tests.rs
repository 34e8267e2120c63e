//! Tests of recordings from match to store.

mod kill;
mod losses;
mod restart;
mod sealing;
mod small_disk;
mod streams;
mod uploads;
mod waiting;
mod wishes;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

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

fn custom_data<'b>(block: &pcapng::Block<'b>) -> Option<&'b [u8]> {
    let (enterprise, data) = pcapng::custom(block)?;
    (enterprise == ENTERPRISE).then_some(data)
}
