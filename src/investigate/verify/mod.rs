//! Proof of an archive: nothing is missing, changed, unlocked or out of order, or what is.
//!
//! In: a store that recordings went to. Out: a [`Report`]: chains, counts, one finding for each
//! object that is not as it was sealed, and what cannot be seen this way. Never: writing, trust in
//! a listing (what it lacks is asked for by name), bytes of reels unless asked (`deep`).
//!
//! ```text
//! listing ─▶ groups (one reel or heartbeat each) ─▶ workers (object) ─▶ chain ─▶ report
//! ```
//!
//! What holds the proof together: the name of every object holds its hash, a manifest holds the
//! hashes of its parts and of the manifest before it. So only the newest end of a chain can vanish
//! unseen, and only a whole chain can be made anew; an anchor ([`Anchor`]) shows the first, a
//! signature the second.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::record::manifest::ChainHead;
use crate::record::sign::PublicKey;
use crate::store::{Digest, Store, StoreError};
use crate::time::Timestamp;

mod chain;
mod deep;
mod listing;
mod object;

pub use deep::read_parts;

/// Findings that are kept; further ones are counted.
pub const MAX_FINDINGS: usize = 10_000;

/// Version of the anchor's format; a reader refuses a later one.
const ANCHOR_FORMAT: u32 = 1;

/// What to look for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Keys that manifests must be signed by; none checks no signature.
    pub keys: Vec<PublicKey>,
    /// Nodes that must be there and not silent.
    pub expect_nodes: Vec<String>,
    /// Only what began at or after this time.
    pub since: Option<Timestamp>,
    /// Heads that were noted earlier.
    pub anchor: Option<Anchor>,
    /// Whether to note parts for [`read_parts`].
    pub deep: bool,
    /// The present.
    pub now: Timestamp,
}

/// What is wrong with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// It is not there.
    Missing,
    /// It is not what was sealed.
    Changed,
    /// Its lock or legal hold is weaker than it was.
    Unlocked,
    /// It lies where it does not belong in its chain, or under another name.
    OutOfOrder,
    /// A delete marker or a newer version lies over it; it is still there.
    Covered,
    /// It has no signature by a key at hand, or one that does not hold.
    Unsigned,
    /// No manifest names it.
    Unnamed,
    /// It could not be looked at.
    Unreadable,
    /// Nothing came from a node that was to be there.
    Silent,
}

impl What {
    /// In upper case, for people.
    pub fn title(self) -> &'static str {
        match self {
            What::Missing => "MISSING",
            What::Changed => "CHANGED",
            What::Unlocked => "UNLOCKED",
            What::OutOfOrder => "OUT OF ORDER",
            What::Covered => "COVERED",
            What::Unsigned => "UNSIGNED",
            What::Unnamed => "UNNAMED",
            What::Unreadable => "UNREADABLE",
            What::Silent => "SILENT",
        }
    }
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What.
    pub what: What,
    /// The object, or the node when there is none.
    pub key: String,
    /// A sentence that names it.
    pub sentence: String,
}

/// What was counted.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Objects looked at.
    pub objects: u64,
    /// Manifests among them.
    pub manifests: u64,
    /// Reels.
    pub reels: u64,
    /// Their parts.
    pub parts: u64,
    /// Bytes of their parts.
    pub bytes: u64,
    /// Parts whose SHA-256 the store keeps, equal to the sealed one.
    pub checksums: u64,
    /// Objects under a lock that has not ended.
    pub locked: u64,
    /// Objects whose lock ended when it was to end.
    pub lock_ended: u64,
    /// Objects that were never locked.
    pub not_locked: u64,
    /// Objects whose lock may not be read.
    pub lock_unknown: u64,
    /// Objects under legal hold.
    pub held: u64,
    /// Manifests with a signature that holds.
    pub signed: u64,
    /// Manifests with a signature that was not checked, for want of its key.
    pub not_checked: u64,
    /// Parts whose bytes were read and hashed.
    pub read: u64,
}

impl Counts {
    /// Whether the bytes of all reels are known to be what was sealed: they were read, or the store
    /// keeps their checksums.
    pub fn has_bytes(&self) -> bool {
        self.read.max(self.checksums) >= self.parts
    }

    fn add(&mut self, other: &Counts) {
        self.objects += other.objects;
        self.manifests += other.manifests;
        self.reels += other.reels;
        self.parts += other.parts;
        self.bytes += other.bytes;
        self.checksums += other.checksums;
        self.locked += other.locked;
        self.lock_ended += other.lock_ended;
        self.not_locked += other.not_locked;
        self.lock_unknown += other.lock_unknown;
        self.held += other.held;
        self.signed += other.signed;
        self.not_checked += other.not_checked;
        self.read += other.read;
    }
}

/// One node's chain of manifests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Chain {
    /// Its newest manifest.
    pub head: ChainHead,
    /// Manifests that were looked at.
    pub manifests: u64,
    /// Runs that wrote them.
    pub runs: u64,
    /// When the first of them was sealed, RFC 3339.
    pub from: String,
    /// When the newest was.
    pub to: String,
    /// Whether the newest says that the recording ended.
    pub ended: bool,
}

/// The heads of all chains, to be kept where whoever may change the archive may not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Anchor {
    /// Version of the format.
    pub format: u32,
    /// The store, by its name.
    pub store: String,
    /// When it was taken, RFC 3339.
    pub taken: String,
    /// The heads.
    pub chains: Vec<ChainHead>,
}

impl Anchor {
    /// Longest file that is read.
    pub const MAX_BYTES: u64 = 64 << 20;

    /// Reads an anchor.
    ///
    /// # Errors
    /// A sentence when it is none, or of a later format.
    pub fn parse(bytes: &[u8]) -> Result<Anchor, String> {
        let anchor: Anchor = serde_json::from_slice(bytes)
            .map_err(|error| format!("not an anchor as --print-head writes it: {error}"))?;
        if anchor.format > ANCHOR_FORMAT {
            return Err(format!(
                "the anchor has format {}, written by a later tapedeck; update this one",
                anchor.format
            ));
        }
        Ok(anchor)
    }
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The store, by its name.
    pub store: String,
    /// When it was looked at, RFC 3339.
    pub at: String,
    /// Its settings.
    pub facts: BTreeMap<&'static str, String>,
    /// The chains, by cluster and node.
    pub chains: Vec<Chain>,
    /// Counts.
    pub counts: Counts,
    /// What is wrong, by key; [`MAX_FINDINGS`] at most.
    pub findings: Vec<Finding>,
    /// Findings beyond those.
    pub more_findings: u64,
    /// What should be known and proves nothing.
    pub remarks: Vec<String>,
    /// What this look could not see, and what would show it.
    pub blind_spots: Vec<String>,
    /// Parts to read, when asked for.
    #[serde(skip)]
    pub parts: Vec<SealedPart>,
}

impl Report {
    /// Whether all is as it was sealed.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// The heads of all chains.
    pub fn anchor(&self) -> Anchor {
        Anchor {
            format: ANCHOR_FORMAT,
            store: self.store.clone(),
            taken: self.at.clone(),
            chains: self.chains.iter().map(|chain| chain.head.clone()).collect(),
        }
    }

    /// Adds findings, the same once.
    pub fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        for finding in findings {
            if self.findings.len() < MAX_FINDINGS {
                self.findings.push(finding);
            } else {
                self.more_findings += 1;
            }
        }
        self.findings
            .sort_by(|a, b| (&a.key, a.what, &a.sentence).cmp(&(&b.key, b.what, &b.sentence)));
        self.findings
            .dedup_by(|later, first| later.what == first.what && later.key == first.key);
    }
}

/// A part whose bytes can be read and compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedPart {
    /// Its key.
    pub key: String,
    /// Version that was sealed.
    pub version: Option<String>,
    /// Size that was sealed.
    pub size: u64,
    /// SHA-256 that was sealed.
    pub sha256: Digest,
}

/// Looks at everything but the bytes of reels, as long as `more` answers true.
///
/// # Errors
/// When the store cannot be listed, or holds more than can be looked at at once, and when `more` ended it.
pub fn check(
    store: &dyn Store,
    options: &Options,
    more: &(dyn Fn() -> bool + Sync),
) -> Result<Report, StoreError> {
    let facts = store.facts();
    let seen = listing::walk(store, options, more)?;
    let mut report = Report {
        store: store.name(),
        at: options.now.to_string(),
        facts,
        chains: Vec::new(),
        counts: seen.counts.clone(),
        findings: Vec::new(),
        more_findings: seen.more_findings,
        remarks: Vec::new(),
        blind_spots: Vec::new(),
        parts: Vec::new(),
    };
    let judged = chain::judge(store, options, seen);
    report.chains = judged.chains;
    report.remarks = judged.remarks;
    report.parts = judged.parts;
    report.extend(judged.findings);
    report.remarks.extend(locks_told(&report));
    Ok(report)
}

/// What the counts of locks and the bucket's settings mean.
fn locks_told(report: &Report) -> Vec<String> {
    let counts = &report.counts;
    let mut told = Vec::new();
    if counts.not_locked > 0 {
        told.push(format!(
            "not immutable: {} of {} objects were never locked, so who may delete can delete them",
            counts.not_locked, counts.objects
        ));
    }
    if counts.lock_ended > 0 {
        told.push(format!(
            "the lock of {} objects has ended, as it was to",
            counts.lock_ended
        ));
    }
    if counts.lock_unknown > 0 {
        told.push(format!(
            "the lock of {} objects may not be read; grant s3:GetObjectRetention and \
             s3:GetObjectLegalHold (tapedeck store policy verifier)",
            counts.lock_unknown
        ));
    }
    told
}

/// Sentences on what `report` cannot show, given how it came about.
pub fn blind_spots(report: &Report, options: &Options) -> Vec<String> {
    let mut spots = Vec::new();
    let counts = &report.counts;
    if options.keys.is_empty() {
        spots.push(match counts.not_checked {
            0 => "no manifest is signed: whoever can write here could have made a whole chain; \
                  set recording.signing.key for what is recorded from now on"
                .to_owned(),
            signed => format!(
                "{signed} manifests are signed and the signatures were not checked: whoever can \
                 write here could have made a whole chain; give --public-key"
            ),
        });
    }
    if options.anchor.is_none() {
        spots.push(
            "the newest manifests of a chain, or a whole chain, could be missing: keep what \
             --print-head prints elsewhere and give it with --head, and name nodes with \
             --expect-nodes"
                .to_owned(),
        );
    }
    if !counts.has_bytes() {
        spots.push(
            "the bytes of reels were not read, and the store keeps no checksum of some: --deep \
             reads and hashes them"
                .to_owned(),
        );
    }
    if let Some(since) = options.since {
        spots.push(format!("what began before {since} was not looked at"));
    }
    spots
}
