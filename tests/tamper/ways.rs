//! The ways to tamper with an archive: with any store, and with buckets that keep versions and locks.

use sha2::{Digest as _, Sha256};
use tapedeck::investigate::verify::What;
use tapedeck::record::manifest_key;
use tapedeck::store::Digest;
use tapedeck::store::s3::S3Options;
use tapedeck::time::{Clock, SystemClock};

use super::archive::{Archive, HOUR, How, Place, signer};
use crate::seaweed::Seaweed;

/// With what a look is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum With {
    Nothing,
    Deep,
    Anchor,
    Nodes,
    Key,
}

/// One way to tamper.
pub struct Way {
    pub name: &'static str,
    pub how: How,
    /// Looks that do not see it, and the first that does.
    pub unseen: &'static [With],
    pub seen: With,
    pub what: What,
    /// Tampers; answers the key, or the node, that must be named.
    pub tamper: fn(&Archive) -> String,
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

/// A way that only a signature shows.
fn signed(name: &'static str, tamper: fn(&Archive) -> String) -> Way {
    Way {
        how: How {
            signed: true,
            ..How::default()
        },
        unseen: &[With::Nothing, With::Deep, With::Nodes],
        seen: With::Key,
        ..way(name, What::Unsigned, tamper)
    }
}

/// Ways that need no more than the right to write and delete.
pub fn ways() -> Vec<Way> {
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
        signed("rewrite the newest manifest, name and all", |archive| {
            let (key, manifest) = archive.manifests.last().unwrap();
            let mut manifest = manifest.clone();
            manifest.kfl = "nothing".to_owned();
            archive.forge(key, &manifest)
        }),
        signed("leave the signature out", |archive| {
            let (key, manifest) = archive.manifests.last().unwrap();
            let mut manifest = manifest.clone();
            manifest.signature = None;
            archive.forge(key, &manifest)
        }),
        signed("sign with another key", |archive| {
            let (key, manifest) = archive.manifests.last().unwrap();
            let mut manifest = manifest.clone();
            signer(1).sign(&mut manifest);
            archive.forge(key, &manifest)
        }),
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
pub fn ways_of_buckets() -> Vec<Way> {
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
