//! One reel or sign of life: its manifest, its parts, their names, sizes, checksums and locks.

use std::collections::HashMap;
use std::io::Read;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::{Counts, Finding, Options, SealedPart, What};
use crate::record::manifest::{
    ChainHead, Keep, Kind, LockNote, Lockedness, MAX_MANIFEST_BYTES, Manifest, Part, Previous,
};
use crate::record::sign::{self, Signed};
use crate::record::{MANIFEST, digest_of, manifest_key};
use crate::store::{
    Digest, Entry, Lock, LockMode, LockState, Oddity, State, Store, StoreError, hex,
};
use crate::time::Timestamp;

/// Age below which a part without a manifest may still get one: it is uploaded behind its parts.
const UPLOADING: Duration = Duration::from_secs(600);

/// A manifest's place in its chain.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) cluster: String,
    pub(super) node: String,
    pub(super) recording: String,
    pub(super) run: u64,
    pub(super) sealed: Timestamp,
    pub(super) key: String,
    pub(super) sha256: Digest,
    pub(super) previous: Option<Previous>,
    pub(super) due: Option<Timestamp>,
    /// What a roll-up names.
    pub(super) heads: Vec<ChainHead>,
}

/// What the workers saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) counts: Counts,
    pub(super) findings: Vec<Finding>,
    pub(super) more_findings: u64,
    pub(super) links: Vec<Link>,
    /// Objects that no manifest beside them names, and whether they are old enough to miss one.
    pub(super) unnamed: HashMap<String, bool>,
    /// Parts that lie elsewhere than beside their manifest.
    pub(super) far: Vec<String>,
    pub(super) parts: Vec<SealedPart>,
}

impl Seen {
    /// Adds what another worker saw; of findings at most `most`.
    pub(super) fn add(&mut self, mut other: Seen, most: usize) {
        self.counts.add(&other.counts);
        self.more_findings += other.more_findings;
        for finding in other.findings.drain(..) {
            if self.findings.len() < most {
                self.findings.push(finding);
            } else {
                self.more_findings += 1;
            }
        }
        self.links.append(&mut other.links);
        self.unnamed.extend(other.unnamed);
        self.far.append(&mut other.far);
        self.parts.append(&mut other.parts);
    }

    fn find(&mut self, what: What, key: &str, sentence: String) {
        self.findings.push(Finding {
            what,
            key: key.to_owned(),
            sentence,
        });
    }
}

/// Looks at the objects of one group.
pub(super) fn look(store: &dyn Store, options: &Options, group: Vec<Entry>) -> Seen {
    let mut seen = Seen::default();
    seen.counts.objects = group.len() as u64;
    let (manifests, mut parts): (Vec<Entry>, Vec<Entry>) = group
        .into_iter()
        .partition(|entry| entry.key.ends_with(MANIFEST));
    for entry in manifests.iter().chain(&parts) {
        covered(entry, &mut seen);
    }
    for entry in &manifests {
        seen.counts.manifests += 1;
        if let Some((manifest, bytes)) = read(store, options, entry, &mut seen) {
            let look = Look {
                store,
                options,
                entry,
                manifest: &manifest,
            };
            look.signature(&bytes, &mut seen);
            look.own_lock(&mut seen);
            for part in &manifest.parts {
                let beside = parts.iter().position(|entry| entry.key == part.key);
                let beside = beside.map(|at| parts.swap_remove(at));
                look.part(part, beside, &mut seen);
            }
        }
    }
    for entry in parts {
        let is_old = options.now.since(entry.modified) > UPLOADING;
        seen.unnamed.insert(entry.key, is_old);
    }
    seen
}

/// Says what lies over an object.
fn covered(entry: &Entry, seen: &mut Seen) {
    let key = &entry.key;
    let sentence = match entry.oddity {
        None => return,
        Some(Oddity::HiddenByMarker) => format!(
            "{key} is hidden by a delete marker; the version that was written first is still there"
        ),
        Some(Oddity::NewerVersions(newer)) => format!(
            "{key} has {newer} newer versions over it; the one that was written first is still there"
        ),
    };
    seen.find(What::Covered, key, sentence);
}

/// Reads a manifest and notes its place in the chain.
fn read(
    store: &dyn Store,
    options: &Options,
    entry: &Entry,
    seen: &mut Seen,
) -> Option<(Manifest, Vec<u8>)> {
    let key = &entry.key;
    let bytes = match bytes_of(store, key, entry.version.as_deref()) {
        Ok(bytes) => bytes,
        Err(error) => {
            seen.find(
                What::Unreadable,
                key,
                format!("{key} cannot be read: {error}"),
            );
            return None;
        }
    };
    let sha256: Digest = Sha256::digest(&bytes).into();
    let is_own_name = hex(&sha256)
        .get(..16)
        .is_some_and(|hash| key.ends_with(&format!("-{hash}.{MANIFEST}")));
    if !is_own_name {
        seen.find(
            What::Changed,
            key,
            format!("{key} was changed: its name holds another hash than its bytes have"),
        );
    }
    let manifest = match Manifest::parse(&bytes) {
        Ok(manifest) => manifest,
        Err(error) => {
            seen.find(What::Changed, key, format!("{key} is {error}"));
            return None;
        }
    };
    if is_own_name && let Some(sealed) = manifest_key(&manifest, &sha256).filter(|own| own != key) {
        seen.find(
            What::OutOfOrder,
            key,
            format!("{key} lies under another name than it was sealed with, which is {sealed}"),
        );
    }
    let Some(sealed) = Timestamp::parse(&manifest.sealed) else {
        let sentence = format!("{key} does not say when it was sealed");
        seen.find(What::Changed, key, sentence);
        return None;
    };
    let time = |text: &Option<String>| text.as_deref().and_then(Timestamp::parse);
    seen.links.push(Link {
        cluster: manifest.cluster.clone(),
        node: manifest.node.clone(),
        recording: manifest.recording.clone(),
        run: manifest.run,
        sealed,
        key: key.clone(),
        sha256,
        previous: manifest.previous.clone(),
        due: time(&manifest.due),
        heads: manifest.heads.clone(),
    });
    seen.counts.reels += u64::from(manifest.kind == Kind::Reel);
    if options.deep {
        seen.parts.extend(manifest.parts.iter().filter_map(to_read));
    }
    Some((manifest, bytes))
}

fn to_read(part: &Part) -> Option<SealedPart> {
    Some(SealedPart {
        key: part.key.clone(),
        version: part.version.clone(),
        size: part.size,
        sha256: digest_of(&part.sha256)?,
    })
}

/// All of a small object.
pub(super) fn bytes_of(
    store: &dyn Store,
    key: &str,
    version: Option<&str>,
) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    store
        .get(key, version, None)?
        .take(MAX_MANIFEST_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|error| StoreError::Io(format!("{key}: {error}")))?;
    Ok(bytes)
}

/// A manifest while its objects are compared with it.
struct Look<'a> {
    store: &'a dyn Store,
    options: &'a Options,
    entry: &'a Entry,
    manifest: &'a Manifest,
}

impl Look<'_> {
    fn signature(&self, bytes: &[u8], seen: &mut Seen) {
        let key = &self.entry.key;
        let keys = &self.options.keys;
        match sign::check(bytes, self.manifest, keys) {
            Signed::Valid => seen.counts.signed += 1,
            Signed::ByOther(_) if keys.is_empty() => seen.counts.not_checked += 1,
            Signed::Not if keys.is_empty() => {}
            Signed::Not => seen.find(What::Unsigned, key, format!("{key} has no signature")),
            Signed::ByOther(id) => seen.find(
                What::Unsigned,
                key,
                format!("{key} is signed by the key {id}, which is none of --public-key"),
            ),
            Signed::Broken(id) => seen.find(
                What::Unsigned,
                key,
                format!("{key} was changed after the key {id} signed it"),
            ),
        }
    }

    /// The manifest's own lock: it is put behind its parts, with the same options.
    fn own_lock(&self, seen: &mut Seen) {
        let Entry { key, version, .. } = self.entry;
        match self.store.state(key, version.as_deref()) {
            Ok(Some(state)) => {
                let first = self.manifest.parts.first();
                let noted = first.map(|part| part.lock.clone()).unwrap_or_default();
                self.lock(key, &noted, &state, seen);
            }
            Ok(None) => seen.find(What::Missing, key, format!("{key} is missing")),
            Err(error) => seen.find(
                What::Unreadable,
                key,
                format!("{key} cannot be looked at: {error}"),
            ),
        }
    }

    fn part(&self, part: &Part, beside: Option<Entry>, seen: &mut Seen) {
        let Part { key, size, .. } = part;
        seen.counts.parts += 1;
        seen.counts.bytes += size;
        if beside.is_none() {
            seen.far.push(key.clone());
        }
        let listed = beside.as_ref().and_then(|entry| entry.version.as_deref());
        let wanted = part.version.as_deref().or(listed);
        let state = match self.store.state(key, wanted) {
            Ok(Some(state)) => state,
            Ok(None) => return self.gone(part, listed, seen),
            Err(error) => {
                let sentence = format!("{key} cannot be looked at: {error}");
                return seen.find(What::Unreadable, key, sentence);
            }
        };
        let sealed = digest_of(&part.sha256);
        if state.size != *size {
            seen.find(
                What::Changed,
                key,
                format!(
                    "{key} was changed: it has {} bytes, sealed were {size}",
                    state.size
                ),
            );
        } else if let Some(kept) = state.sha256 {
            if sealed == Some(kept) {
                seen.counts.checksums += 1;
            } else {
                seen.find(
                    What::Changed,
                    key,
                    format!(
                        "{key} was changed: the store keeps the SHA-256 {}, sealed was {}",
                        hex(&kept),
                        part.sha256
                    ),
                );
            }
        }
        if part.sha256.get(..16).is_none_or(|hash| !key.contains(hash)) {
            let manifest = &self.entry.key;
            seen.find(
                What::Changed,
                manifest,
                format!("{manifest} names {key} with a hash that is not the one in its name"),
            );
        }
        self.lock(key, &part.lock, &state, seen);
    }

    /// Says that a part is not there, or not in the version that was sealed.
    fn gone(&self, part: &Part, listed: Option<&str>, seen: &mut Seen) {
        let key = &part.key;
        match (&part.version, listed) {
            (Some(sealed), Some(other)) if sealed != other => seen.find(
                What::Missing,
                key,
                format!("{key} is missing in the version {sealed} that was sealed; another, {other}, lies in its place"),
            ),
            _ => {
                let Manifest { node, recording, .. } = self.manifest;
                let time = |at: &Option<String>| at.clone().unwrap_or_default();
                let (from, to) = (time(&self.manifest.from), time(&self.manifest.to));
                seen.find(
                    What::Missing,
                    key,
                    format!("{key} is missing: {} bytes of the recording {recording} of the node {node}, {from} to {to}", part.size),
                );
            }
        }
    }

    /// Compares the lock of an object with the one that was asked for and read back.
    fn lock(&self, key: &str, noted: &LockNote, state: &State, seen: &mut Seen) {
        let now = self.options.now;
        let keep = self.manifest.keep.as_ref();
        let expected = self.expected(noted);
        match (expected, state.lock) {
            (_, LockState::NotVerified) => seen.counts.lock_unknown += 1,
            (Some(lock), _) if lock.until <= now => seen.counts.lock_ended += 1,
            (None, LockState::NotLocked) => seen.counts.not_locked += 1,
            (Some(lock), LockState::NotLocked) => seen.find(
                What::Unlocked,
                key,
                format!(
                    "{key} is no longer locked: it was to be locked with {} until {}",
                    lock.mode.name(),
                    lock.until
                ),
            ),
            (Some(asked), LockState::Locked(found)) if found.mode < asked.mode => seen.find(
                What::Unlocked,
                key,
                format!(
                    "the lock of {key} was weakened: it is {}, it was {}",
                    found.mode.name(),
                    asked.mode.name()
                ),
            ),
            (Some(asked), LockState::Locked(found)) if found.until.secs() < asked.until.secs() => {
                seen.find(
                    What::Unlocked,
                    key,
                    format!(
                        "the retention of {key} was shortened: it ends at {}, it was to end at {}",
                        found.until, asked.until
                    ),
                );
            }
            (_, LockState::Locked(found)) if found.until <= now => seen.counts.lock_ended += 1,
            (_, LockState::Locked(_)) => seen.counts.locked += 1,
        }
        let was_held = keep.is_some_and(|keep| keep.legal_hold) && noted.legal_hold != Some(false);
        match state.legal_hold {
            Some(true) => seen.counts.held += 1,
            Some(false) if was_held => seen.find(
                What::Unlocked,
                key,
                format!("the legal hold of {key} was removed"),
            ),
            Some(false) | None => {}
        }
    }

    /// The lock that an object must have at least: as it was read back, else as it was asked for,
    /// else as the bucket gave it by default.
    fn expected(&self, noted: &LockNote) -> Option<Lock> {
        if noted.state == Lockedness::NotLocked {
            return None;
        }
        let mode = |name: &Option<String>| name.as_deref().and_then(LockMode::named);
        if noted.state == Lockedness::Locked {
            return Some(Lock {
                mode: mode(&noted.mode)?,
                until: Timestamp::parse(noted.until.as_deref()?)?,
            });
        }
        let sealed = Timestamp::parse(&self.manifest.sealed)?;
        if let Some(keep) = &self.manifest.keep
            && let Keep { seconds, .. } = keep
            && let Some(mode) = mode(&keep.mode)
        {
            return Some(Lock {
                mode,
                until: sealed + Duration::from_secs(*seconds),
            });
        }
        default_lock(self.manifest.store.get("default retention")?, sealed)
    }
}

/// The lock that a bucket's default, as `GOVERNANCE for 30 days`, gives what is put at `at`.
fn default_lock(text: &str, at: Timestamp) -> Option<Lock> {
    let mut words = text.split(' ');
    let mode = LockMode::named(words.next()?)?;
    let number: u64 = words.nth(1)?.parse().ok()?;
    let days = match words.next()? {
        "days" => number,
        // A leap year has a day more; a lock is never expected to last longer than it does.
        "years" => number.saturating_mul(365),
        _ => return None,
    };
    let seconds = days.saturating_mul(86_400);
    Some(Lock {
        mode,
        until: at + Duration::from_secs(seconds),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_retention_is_read_as_the_facts_say_it() {
        let at = Timestamp::from_secs(0, 0);
        let lock = |mode, days: i64| {
            Some(Lock {
                mode,
                until: Timestamp::from_secs(days * 86_400, 0),
            })
        };
        let cases = [
            ("GOVERNANCE for 3 days", lock(LockMode::Governance, 3)),
            ("COMPLIANCE for 1 years", lock(LockMode::Compliance, 365)),
            ("none", None),
            ("unknown (denied)", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(default_lock(text, at), wanted, "{text}");
        }
    }
}
