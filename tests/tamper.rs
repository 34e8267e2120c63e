//! Archives that somebody tampered with: each way is found by `tapedeck verify`, by the object's
//! name. What a chain alone cannot show is shown to pass without, and to be found with, an anchor,
//! a signature or the names of nodes.
//!
//! Every case records an archive of its own: two nodes, the first with two runs over two days. The
//! table of what was found is printed (`cargo test tamper -- --show-output`).

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};
use tapedeck::investigate::verify::{self, Options, Report, What};
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

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

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

fn signer(key: usize) -> Arc<Signer> {
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        KEYS[key].0
    );
    Arc::new(Signer::from_pem(&pem).unwrap())
}

fn public_pem(key: usize) -> String {
    format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        KEYS[key].1
    )
}

fn public(key: usize) -> PublicKey {
    PublicKey::from_pem(&public_pem(key)).unwrap()
}

/// Where an archive lies, with the hands of somebody who may do everything there.
enum Place {
    Folder(tempfile::TempDir),
    Bucket(&'static Seaweed, S3Options),
}

impl Place {
    fn folder() -> Place {
        Place::Folder(tempfile::tempdir().unwrap())
    }

    fn bucket(server: &'static Seaweed) -> Place {
        Place::Bucket(server, server.bucket("tamper", true))
    }

    fn store(&self) -> Arc<dyn Store> {
        match self {
            Place::Folder(folder) => Arc::new(FolderStore::open(folder.path()).unwrap()),
            Place::Bucket(_, options) => Arc::new(S3Store::new(options.clone()).unwrap()),
        }
    }

    fn remove(&self, key: &str) {
        match self {
            Place::Folder(folder) => std::fs::remove_file(folder.path().join(key)).unwrap(),
            Place::Bucket(server, options) => server.purge(options, key),
        }
    }

    fn put(&self, key: &str, bytes: &[u8]) {
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
                    write_once: false,
                };
                let put = self.store().put(key, Body::Bytes(bytes), &options);
                put.unwrap();
            }
        }
    }

    /// Other bytes in place of those that were sealed, and no version of these left.
    fn replace(&self, key: &str, bytes: &[u8]) {
        self.remove(key);
        self.put(key, bytes);
    }
}

/// A recorded archive.
struct Archive {
    place: Place,
    /// Present of whoever looks: long enough after the last object.
    now: Timestamp,
    manifests: Vec<(String, Manifest)>,
}

/// How an archive is recorded.
#[derive(Default)]
struct How {
    lock: bool,
    hold: bool,
    signed: bool,
    only_first_day: bool,
}

impl Archive {
    fn record(place: Place, how: &How) -> Archive {
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
            assert_eq!(outbox.drain(PATIENCE).waiting, 0);
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
    fn reel(&self, number: isize) -> (&str, &Manifest) {
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
    fn packets(&self, number: isize) -> String {
        self.reel(number).1.parts[0].key.clone()
    }

    fn bytes(&self, key: &str) -> Vec<u8> {
        read(&*self.place.store(), key, None)
    }

    /// Removes the manifests that are asked for, with their parts.
    fn drop_all(&self, which: impl Fn(&Manifest) -> bool) -> Vec<String> {
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
    fn forge(&self, instead_of: &str, manifest: &Manifest) -> String {
        let bytes = manifest.to_bytes();
        let sha256: Digest = Sha256::digest(&bytes).into();
        let key = manifest_key(manifest, &sha256).unwrap();
        self.place.remove(instead_of);
        self.place.put(&key, &bytes);
        key
    }

    fn look(&self, change: impl FnOnce(&mut Options)) -> Report {
        let store = self.place.store();
        let mut options = Options {
            now: self.now,
            ..Options::default()
        };
        change(&mut options);
        let mut report = verify::check(&*store, &options).unwrap();
        if options.deep {
            let (read, findings) = verify::read_parts(&*store, &report.parts, &|_| true);
            report.counts.read = read;
            report.extend(findings);
        }
        report.blind_spots = verify::blind_spots(&report, &options);
        report
    }
}

/// With what a look is made.
#[derive(Debug, Clone, Copy, PartialEq)]
enum With {
    Nothing,
    Deep,
    Anchor,
    Nodes,
    Key,
}

/// One way to tamper.
struct Way {
    name: &'static str,
    how: How,
    /// Looks that do not see it, and the first that does.
    unseen: &'static [With],
    seen: With,
    what: What,
    /// Tampers; answers the key, or the node, that must be named.
    tamper: fn(&Archive) -> String,
}

fn way(name: &'static str, what: What, tamper: fn(&Archive) -> String) -> Way {
    Way {
        name,
        how: How::default(),
        unseen: &[],
        seen: With::Nothing,
        what,
        tamper,
    }
}

/// Ways that need no more than the right to write and delete.
fn ways() -> Vec<Way> {
    vec![
        Way {
            unseen: &[With::Nothing],
            seen: With::Deep,
            ..way("flip a byte of a reel", What::Changed, |archive| {
                let key = archive.packets(0);
                let mut bytes = archive.bytes(&key);
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                archive.place.replace(&key, &bytes);
                key
            })
        },
        way("truncate a reel", What::Changed, |archive| {
            let key = archive.packets(1);
            let bytes = archive.bytes(&key);
            archive.place.replace(&key, &bytes[..bytes.len() - 1]);
            key
        }),
        way("drop the packets of a reel", What::Missing, |archive| {
            let key = archive.packets(2);
            archive.place.remove(&key);
            key
        }),
        way("drop a reel with its manifest", What::Missing, |archive| {
            let (key, wanted) = archive.reel(2);
            archive.drop_all(|manifest| manifest == wanted);
            key.to_owned()
        }),
        way("drop a manifest alone", What::Unnamed, |archive| {
            archive.place.remove(archive.reel(-1).0);
            archive.packets(-1)
        }),
        Way {
            unseen: &[With::Nothing],
            seen: With::Deep,
            ..way("swap two reels of equal size", What::Changed, |archive| {
                let (one, other) = (archive.packets(0), archive.packets(1));
                let mut bytes = [archive.bytes(&one), archive.bytes(&other)];
                let longest = bytes[0].len().max(bytes[1].len());
                if bytes[0].len() != bytes[1].len() {
                    // Compression gave other lengths: cut and fill to what the listing shows.
                    let sizes = [bytes[0].len(), bytes[1].len()];
                    for bytes in &mut bytes {
                        bytes.resize(longest, 0);
                    }
                    bytes[1].truncate(sizes[0]);
                    bytes[0].truncate(sizes[1]);
                }
                let [of_one, of_other] = bytes;
                archive.place.replace(&one, &of_other);
                archive.place.replace(&other, &of_one);
                one
            })
        },
        way("rewrite a manifest in place", What::Changed, |archive| {
            let (key, manifest) = archive.reel(1);
            let mut manifest = manifest.clone();
            manifest.counts.packets = 1;
            archive.place.replace(key, &manifest.to_bytes());
            key.to_owned()
        }),
        way(
            "rewrite a manifest and its name",
            What::Missing,
            |archive| {
                let (key, manifest) = archive.reel(1);
                let mut manifest = manifest.clone();
                manifest.kfl = "dns".to_owned();
                archive.forge(key, &manifest);
                key.to_owned()
            },
        ),
        way("rename a reel", What::Missing, |archive| {
            let key = archive.packets(1);
            let bytes = archive.bytes(&key);
            archive.place.remove(&key);
            archive
                .place
                .put(&key.replace("recording=web", "recording=other"), &bytes);
            key
        }),
        way("rename a manifest", What::OutOfOrder, |archive| {
            let (key, _) = archive.reel(1);
            let bytes = archive.bytes(key);
            let other = key
                .replace("-000002-", "-000009-")
                .replace("-000001-", "-000008-");
            archive.place.remove(key);
            archive.place.put(&other, &bytes);
            other
        }),
        way(
            "replay an old manifest as a newer one",
            What::OutOfOrder,
            |archive| {
                let bytes = archive.bytes(archive.reel(0).0);
                let hash: Digest = Sha256::digest(&bytes).into();
                let hash = &tapedeck::store::hex(&hash)[..16];
                let (newer, _) = archive.reel(-1);
                let stem = newer.rsplit_once('-').unwrap().0;
                let key = format!("{stem}-{hash}.manifest.json");
                archive.place.put(&key, &bytes);
                key
            },
        ),
        way(
            "put a second manifest behind another",
            What::OutOfOrder,
            |archive| {
                let (_, manifest) = archive.reel(-1);
                let mut manifest = manifest.clone();
                manifest.remarks.push("all is well".to_owned());
                let bytes = manifest.to_bytes();
                let sha256: Digest = Sha256::digest(&bytes).into();
                let key = manifest_key(&manifest, &sha256).unwrap();
                archive.place.put(&key, &bytes);
                archive.reel(-1).1.previous.clone().unwrap().key
            },
        ),
        way("slip an object in", What::Unnamed, |archive| {
            let key = archive.packets(0).replace("-000001-", "-000007-");
            archive.place.put(&key, b"no reel");
            key
        }),
        way("drop a whole run", What::Missing, |archive| {
            let first = archive.manifests[0].1.run;
            archive.drop_all(|manifest| manifest.node == "node-a" && manifest.run == first);
            let second = archive
                .manifests
                .iter()
                .find(|(_, manifest)| manifest.node == "node-a" && manifest.run != first);
            second.unwrap().1.previous.clone().unwrap().key
        }),
        Way {
            unseen: &[With::Nothing, With::Deep],
            seen: With::Anchor,
            ..way("drop the newest reels", What::Missing, |archive| {
                let (_, third) = archive.reel(-3);
                let from = third.sealed.clone();
                let newest = archive.drop_all(|manifest| manifest.sealed >= from);
                newest.last().unwrap().clone()
            })
        },
        way(
            "drop a whole node that a roll-up knows",
            What::Missing,
            |archive| {
                let gone = archive.drop_all(|manifest| manifest.node == "node-b");
                gone.last().unwrap().clone()
            },
        ),
        Way {
            how: How {
                only_first_day: true,
                ..How::default()
            },
            unseen: &[With::Nothing, With::Deep],
            seen: With::Nodes,
            ..way(
                "drop a whole node that no roll-up knows",
                What::Silent,
                |archive| {
                    archive.drop_all(|manifest| manifest.node == "node-b");
                    "node-b".to_owned()
                },
            )
        },
        Way {
            unseen: &[With::Nothing, With::Deep, With::Nodes],
            seen: With::Anchor,
            ..way("drop the newest run", What::Missing, |archive| {
                let newest = archive.manifests.last().unwrap().1.run;
                let gone = archive.drop_all(|manifest| manifest.run == newest);
                gone.last().unwrap().clone()
            })
        },
        Way {
            how: How {
                signed: true,
                ..How::default()
            },
            unseen: &[With::Nothing, With::Deep, With::Nodes],
            seen: With::Key,
            ..way(
                "rewrite the newest manifest, name and all",
                What::Unsigned,
                |archive| {
                    let (key, manifest) = archive.manifests.last().unwrap();
                    let mut manifest = manifest.clone();
                    manifest.kfl = "nothing".to_owned();
                    archive.forge(key, &manifest)
                },
            )
        },
        Way {
            how: How {
                signed: true,
                ..How::default()
            },
            unseen: &[With::Nothing, With::Deep, With::Nodes],
            seen: With::Key,
            ..way("leave the signature out", What::Unsigned, |archive| {
                let (key, manifest) = archive.manifests.last().unwrap();
                let mut manifest = manifest.clone();
                manifest.signature = None;
                archive.forge(key, &manifest)
            })
        },
        Way {
            how: How {
                signed: true,
                ..How::default()
            },
            unseen: &[With::Nothing, With::Deep, With::Nodes],
            seen: With::Key,
            ..way("sign with another key", What::Unsigned, |archive| {
                let (key, manifest) = archive.manifests.last().unwrap();
                let mut manifest = manifest.clone();
                signer(1).sign(&mut manifest);
                archive.forge(key, &manifest)
            })
        },
    ]
}

fn bucket(archive: &Archive) -> (&'static Seaweed, &S3Options) {
    match &archive.place {
        Place::Bucket(server, options) => (server, options),
        Place::Folder(_) => unreachable!("this way needs a bucket"),
    }
}

const LOCKED: How = How {
    lock: true,
    hold: true,
    signed: false,
    only_first_day: false,
};

/// Ways that only a bucket with versions and locks knows.
fn ways_of_buckets() -> Vec<Way> {
    let mut ways = vec![
        way(
            "lay a delete marker over a reel",
            What::Covered,
            |archive| {
                let (server, options) = bucket(archive);
                let key = archive.packets(0);
                server.delete(options, &key);
                key
            },
        ),
        way(
            "lay a delete marker over a manifest",
            What::Covered,
            |archive| {
                let (server, options) = bucket(archive);
                let (key, _) = archive.reel(0);
                server.delete(options, key);
                key.to_owned()
            },
        ),
        way(
            "lay a newer version over a reel",
            What::Covered,
            |archive| {
                let (server, options) = bucket(archive);
                let key = archive.packets(1);
                server.overwrite(options, &key, b"nothing happened");
                key
            },
        ),
        way(
            "lay a newer version over a manifest",
            What::Covered,
            |archive| {
                let (server, options) = bucket(archive);
                let (key, manifest) = archive.reel(1);
                let mut manifest = manifest.clone();
                manifest.counts.packets = 0;
                server.overwrite(options, key, &manifest.to_bytes());
                key.to_owned()
            },
        ),
        way(
            "shorten the retention of a reel",
            What::Unlocked,
            |archive| {
                let (server, options) = bucket(archive);
                let part = &archive.reel(0).1.parts[0];
                let until = (SystemClock.now() + HOUR * 2).secs();
                server.shorten(options, &part.key, part.version.as_ref().unwrap(), until);
                part.key.clone()
            },
        ),
        way(
            "shorten the retention of a manifest",
            What::Unlocked,
            |archive| {
                let (server, options) = bucket(archive);
                let (key, _) = archive.reel(0);
                let version = server.versions(options, key).remove(0);
                let until = (SystemClock.now() + HOUR * 2).secs();
                server.shorten(options, key, &version, until);
                key.to_owned()
            },
        ),
        way(
            "take the legal hold off a reel",
            What::Unlocked,
            |archive| {
                let (server, options) = bucket(archive);
                let part = &archive.reel(1).1.parts[0];
                server.release(options, &part.key, part.version.as_ref().unwrap());
                part.key.clone()
            },
        ),
        way(
            "put equal bytes again without a lock",
            What::Missing,
            |archive| {
                let key = archive.packets(1);
                let bytes = archive.bytes(&key);
                let (server, options) = bucket(archive);
                server.purge(options, &key);
                server.overwrite(options, &key, &bytes);
                key
            },
        ),
        way(
            "put an equal manifest again without a lock",
            What::Unlocked,
            |archive| {
                let (key, _) = archive.reel(1);
                let bytes = archive.bytes(key);
                let (server, options) = bucket(archive);
                server.purge(options, key);
                server.overwrite(options, key, &bytes);
                key.to_owned()
            },
        ),
    ];
    for way in &mut ways {
        way.how = LOCKED;
    }
    ways
}

/// Records, looks, tampers, looks again; answers the line of the table.
fn try_way(way: &Way, place: Place) -> String {
    let where_ = match place {
        Place::Folder(_) => "folder",
        Place::Bucket(..) => "bucket",
    };
    let archive = Archive::record(place, &way.how);
    let keyed = way.how.signed.then(|| public(0));
    let clean = archive.look(|options| {
        options.deep = true;
        options.keys = keyed.clone().into_iter().collect();
        options.expect_nodes = vec!["node-a".into(), "node-b".into()];
    });
    assert_eq!(clean.findings, [], "{} in a {where_}", way.name);
    assert!(clean.counts.read == clean.counts.reels && clean.counts.reels > 0);
    let anchor = clean.anchor();
    let wanted = (way.tamper)(&archive);
    let look = |with| {
        archive.look(|options| match with {
            With::Nothing => {}
            With::Deep => options.deep = true,
            With::Anchor => options.anchor = Some(anchor.clone()),
            With::Nodes => options.expect_nodes = vec!["node-a".into(), "node-b".into()],
            With::Key => options.keys = vec![public(0)],
        })
    };
    // In a bucket a version that was replaced is missed before any byte is read.
    let in_versions = where_ == "bucket" && way.what == What::Changed;
    for with in way.unseen.iter().filter(|_| !in_versions) {
        let report = look(*with);
        assert_eq!(report.findings, [], "{} was seen with {with:?}", way.name);
    }
    let report = look(way.seen);
    let found = report.findings.iter().find(|finding| {
        let what = finding.what == way.what || (in_versions && finding.what == What::Missing);
        what && (finding.key == wanted || finding.sentence.contains(&wanted))
    });
    let found = found.unwrap_or_else(|| {
        panic!(
            "{} in a {where_}: {:?} of {wanted} is not in {:#?}",
            way.name, way.what, report.findings
        )
    });
    assert!(found.sentence.contains(&found.key), "{found:?}");
    let seen = match way.unseen {
        [] => "always".to_owned(),
        _ if in_versions => "always".to_owned(),
        _ => format!("with {:?}", way.seen).to_lowercase(),
    };
    format!(
        "{:44} {where_} {seen:12} {:12} {}",
        way.name,
        found.what.title(),
        found.sentence
    )
}

#[test]
fn every_way_to_tamper_with_a_folder_is_found() {
    for way in ways() {
        println!("{}", try_way(&way, Place::folder()));
    }
}

#[test]
fn every_way_to_tamper_with_a_lock_bucket_is_found() {
    let Some(server) = Seaweed::shared() else {
        return;
    };
    for mut way in ways().into_iter().chain(ways_of_buckets()) {
        way.how.lock = true;
        println!("{}", try_way(&way, Place::bucket(server)));
    }
}

/// The program: exit codes, JSON, anchor, key, and that much is not read unasked.
#[test]
fn the_command_says_what_it_found_by_its_exit_code() {
    let how = How {
        signed: true,
        ..How::default()
    };
    let archive = Archive::record(Place::folder(), &how);
    let Place::Folder(folder) = &archive.place else {
        unreachable!()
    };
    let home = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| -> PathBuf {
        let path = home.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let tapedeck = |args: &[&str]| -> (Option<i32>, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_tapedeck"))
            .env_clear()
            .env("HOME", home.path())
            .arg("verify")
            .arg(folder.path())
            .args(args)
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let public = file("public.pem", &public_pem(0));
    let public = public.to_str().unwrap();
    let (code, said, _) = tapedeck(&[]);
    assert_eq!(code, Some(0), "{said}");
    for words in [
        "not immutable",
        "--public-key",
        "--print-head",
        "as it was sealed",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let (code, heads, told) = tapedeck(&["--print-head"]);
    assert_eq!(code, Some(0));
    assert!(told.contains("node-b"), "{told}");
    let heads = file("heads.json", &heads);
    let heads = heads.to_str().unwrap();
    let all = [
        "--head",
        heads,
        "--public-key",
        public,
        "--deep",
        "--format",
        "json",
    ];
    let (code, said, told) = tapedeck(&all);
    assert_eq!(code, Some(0), "{told}");
    let report: Json = serde_json::from_str(&said).unwrap();
    assert_eq!(report["findings"], Json::Array(Vec::new()));
    assert_eq!(report["blindSpots"], Json::Array(Vec::new()));
    assert_eq!(report["counts"]["read"], report["counts"]["reels"]);
    assert!(told.starts_with("Reading "), "{told}");
    let (code, _, told) = tapedeck(&["--deep", "--max-read", "1"]);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("--yes"), "{told}");
    let (code, _, _) = tapedeck(&["--deep", "--max-read", "1", "--yes"]);
    assert_eq!(code, Some(0));
    let (code, _, told) = tapedeck(&["--public-key", heads]);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("openssl"), "{told}");
    // Only the second day, whose first manifest follows one of the first.
    let (code, said, _) = tapedeck(&["--since", "12h", "--format", "json"]);
    assert_eq!(code, Some(0), "{said}");
    let recent: Json = serde_json::from_str(&said).unwrap();
    assert_eq!(recent["counts"]["reels"], 3);
    let (key, _) = archive.reel(-1);
    archive.place.remove(key);
    let (code, said, _) = tapedeck(&["--expect-nodes", "node-a,node-c"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains(&format!("MISSING: {key}")), "{said}");
    assert!(
        said.contains("SILENT: the node node-c is missing"),
        "{said}"
    );
    let empty = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_tapedeck"))
        .env_clear()
        .env("HOME", home.path())
        .arg("verify")
        .arg(empty.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
}
