//! A recorded archive, with the hands of somebody who may do everything to it.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tapedeck::investigate::verify::{self, Options, Report};
use tapedeck::kfl::{self, Schema};
use tapedeck::record::manifest::{Kind, Manifest};
use tapedeck::record::sign::{PublicKey, Signer};
use tapedeck::record::{self, Outbox, Recorder, Retention, Wish, manifest_key, outbox};
use tapedeck::store::conformance::{keys, read};
use tapedeck::store::folder::FolderStore;
use tapedeck::store::s3::{S3Options, S3Store};
use tapedeck::store::{Body, Digest, Lock, LockMode, PutOptions, Store};
use tapedeck::synth;
use tapedeck::time::{Clock, SetClock, SystemClock, Timestamp};

use crate::recording::batch;
use crate::seaweed::Seaweed;

pub const HOUR: Duration = Duration::from_secs(3600);
pub const DAY: Duration = Duration::from_secs(86_400);

/// A wait for uploads; a busy machine needs seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Made by openssl, for these tests alone: `(private, public)`.
const KEYS: [(&str, &str); 2] = [
    (
        "MC4CAQAwBQYDK2VwBCIEIOld5/h0g2hrhnW++SQNqO5VyRODNAaJTMgjHPh7kETI",
        "MCowBQYDK2VwAyEA8umTV8xKkcl/iKhgHijirICJaSQOi6djYt44jLmcZhg=",
    ),
    (
        "MC4CAQAwBQYDK2VwBCIEIG3Upv7OkA4JM3vOZVgCmDgn2ZYzgTvlr6E0cUo6bG/w",
        "MCowBQYDK2VwAyEABwaw58O0SlDkhlHfNGSX17wuJY4tZINLuriJFq4ipBs=",
    ),
];

pub fn signer(key: usize) -> Arc<Signer> {
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        KEYS[key].0
    );
    Arc::new(Signer::from_pem(&pem).unwrap())
}

pub fn public_pem(key: usize) -> String {
    format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        KEYS[key].1
    )
}

pub fn public(key: usize) -> PublicKey {
    PublicKey::from_pem(&public_pem(key)).unwrap()
}

/// Where an archive lies, with the hands of somebody who may do everything there.
pub enum Place {
    Folder(tempfile::TempDir),
    Bucket(&'static Seaweed, Box<S3Options>),
}

impl Place {
    pub fn folder() -> Place {
        Place::Folder(tempfile::tempdir().unwrap())
    }

    pub fn bucket(server: &'static Seaweed) -> Place {
        Place::Bucket(server, Box::new(server.bucket("tamper", true)))
    }

    pub fn store(&self) -> Arc<dyn Store> {
        match self {
            Place::Folder(folder) => Arc::new(FolderStore::open(folder.path()).unwrap()),
            Place::Bucket(_, options) => Arc::new(S3Store::new(S3Options::clone(options)).unwrap()),
        }
    }

    pub fn remove(&self, key: &str) {
        match self {
            Place::Folder(folder) => std::fs::remove_file(folder.path().join(key)).unwrap(),
            Place::Bucket(server, options) => server.purge(options, key),
        }
    }

    pub fn put(&self, key: &str, bytes: &[u8]) {
        match self {
            Place::Folder(folder) => {
                let path = folder.path().join(key);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, bytes).unwrap();
            }
            // Whoever forges knows how to lock.
            Place::Bucket(..) => {
                let options = PutOptions {
                    sha256: Sha256::digest(bytes).into(),
                    content_type: "application/json",
                    lock: Some(Lock {
                        mode: LockMode::Governance,
                        until: SystemClock.now() + DAY * 31,
                    }),
                    legal_hold: false,
                    storage_class: String::new(),
                    write_once: false,
                };
                let put = self.store().put(key, Body::Bytes(bytes), &options);
                put.unwrap();
            }
        }
    }

    /// Other bytes in place of those that were sealed, and no version of these left.
    pub fn replace(&self, key: &str, bytes: &[u8]) {
        self.remove(key);
        self.put(key, bytes);
    }
}

/// A recorded archive.
pub struct Archive {
    pub place: Place,
    /// Present of whoever looks: long enough after the last object.
    pub now: Timestamp,
    pub manifests: Vec<(String, Manifest)>,
}

/// How an archive is recorded.
#[derive(Default)]
pub struct How {
    pub lock: bool,
    pub hold: bool,
    pub signed: bool,
    pub only_first_day: bool,
}

impl Archive {
    pub fn record(place: Place, how: &How) -> Archive {
        let home = tempfile::tempdir().unwrap();
        let now = SystemClock.now();
        let store = place.store();
        let run = |node: &str, at: Timestamp, first: u64, reels: u64| {
            let clock = Arc::new(SetClock::at(at));
            let dir = home.path().join(node);
            let mut options = outbox::Options::new(dir.join("outbox"), 1 << 30);
            options.signer = how.signed.then(|| signer(0));
            let resolved = store.clone();
            let resolve = Arc::new(move |_: &str| Ok(resolved.clone()));
            let outbox = Outbox::start(options, clock.clone(), resolve).unwrap();
            let run = u64::try_from(at.secs()).unwrap();
            let options = record::Options::new(dir, run, node, "test");
            let mut recorder =
                Recorder::open(options, None, clock.clone(), outbox.clone()).unwrap();
            let query = kfl::compile("http", &Schema::empty()).unwrap();
            let mut wish = Wish::new("web", query, "archive");
            wish.retention = how.lock.then_some(Retention {
                mode: LockMode::Governance,
                period: DAY * 30,
            });
            wish.legal_hold = how.hold;
            recorder.set(vec![wish]);
            recorder.tick(clock.now());
            for reel in 0..reels {
                clock.advance(clock.now() + Duration::from_secs(60));
                let port = u16::try_from(4000 + first + reel).unwrap();
                let frames = synth::tcp(([10, 0, 0, 1], port), ([10, 0, 0, 2], 80))
                    .at(clock.now())
                    .to_server("GET / HTTP/1.1\r\nHost: cart\r\n\r\n")
                    .to_client("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    .fin();
                let (batch, names) = batch(1000 * reel, &frames);
                assert!(recorder.take(names[0], None));
                recorder.on_batch(&Arc::new(batch), &[]);
                recorder.seal(None, "asked");
            }
            recorder.finish();
            let status = outbox.drain(PATIENCE);
            assert_eq!(status.waiting, 0, "{status:?}");
            outbox.stop();
        };
        run("node-a", now - DAY - HOUR, 0, 2);
        run("node-b", now - DAY, 10, 1);
        if !how.only_first_day {
            run("node-a", now - HOUR, 20, 3);
        }
        let mut manifests = Vec::new();
        for key in keys(&*store, "reels/") {
            if key.ends_with(".manifest.json") {
                let manifest = Manifest::parse(&read(&*store, &key, None)).unwrap();
                manifests.push((key, manifest));
            }
        }
        manifests.sort_by(|(a, left), (b, right)| (&left.sealed, a).cmp(&(&right.sealed, b)));
        Archive {
            place,
            now: now + HOUR,
            manifests,
        }
    }

    /// The manifest of the `number`th reel of node-a, with its key; negative counts from the end.
    pub fn reel(&self, number: isize) -> (&str, &Manifest) {
        let reels: Vec<_> = self
            .manifests
            .iter()
            .filter(|(_, manifest)| manifest.kind == Kind::Reel && manifest.node == "node-a")
            .collect();
        let at = number.rem_euclid(isize::try_from(reels.len()).unwrap());
        let (key, manifest) = reels[usize::try_from(at).unwrap()];
        (key, manifest)
    }

    /// The key of its packets.
    pub fn packets(&self, number: isize) -> String {
        self.reel(number).1.parts[0].key.clone()
    }

    pub fn bytes(&self, key: &str) -> Vec<u8> {
        read(&*self.place.store(), key, None)
    }

    /// Removes the manifests that are asked for, with their parts.
    pub fn drop_all(&self, which: impl Fn(&Manifest) -> bool) -> Vec<String> {
        let mut gone = Vec::new();
        for (key, manifest) in &self.manifests {
            if which(manifest) {
                self.place.remove(key);
                gone.push(key.clone());
                for part in &manifest.parts {
                    self.place.remove(&part.key);
                }
            }
        }
        assert!(!gone.is_empty());
        gone
    }

    /// Puts a manifest in place of another, as somebody would who knows how names are made.
    pub fn forge(&self, instead_of: &str, manifest: &Manifest) -> String {
        let bytes = manifest.to_bytes();
        let sha256: Digest = Sha256::digest(&bytes).into();
        let key = manifest_key(manifest, &sha256).unwrap();
        self.place.remove(instead_of);
        self.place.put(&key, &bytes);
        key
    }

    pub fn look(&self, change: impl FnOnce(&mut Options)) -> Report {
        let store = self.place.store();
        let mut options = Options {
            now: self.now,
            ..Options::default()
        };
        change(&mut options);
        let mut report = verify::check(&*store, &options, &|| true).unwrap();
        if options.deep {
            let (read, findings) = verify::read_parts(&*store, &report.parts, &|_| true);
            report.counts.read = read;
            report.extend(findings);
        }
        report.blind_spots = verify::blind_spots(&report, &options);
        report
    }
}
