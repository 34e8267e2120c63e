//! Write-once objects: a folder, S3, the clouds of Google and Microsoft, and memory for tests.
//!
//! In: keys and bytes. Out: receipts that say what the store really keeps. Never: packets, items,
//! overwriting. One conformance suite (`conformance.rs`) holds every store to this contract:
//! a key is written once; a second put of equal bytes succeeds, of other bytes fails; what was
//! confirmed is there after a crash; a listing is complete however many keys there are.
//!
//! Calls block; they come from upload and download threads, never from the packet path.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::time::Timestamp;

pub mod cloud;
pub mod conformance;
pub mod folder;
pub mod memory;
pub mod policy;
pub mod s3;

/// A SHA-256.
pub type Digest = [u8; 32];

/// What an object is made of.
#[derive(Debug, Clone, Copy)]
pub enum Body<'a> {
    /// Bytes at hand.
    Bytes(&'a [u8]),
    /// A file, read while it is sent.
    File(&'a Path),
}

/// How an object is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// SHA-256 of the body, computed by whoever sealed it and compared before anything is sent;
    /// all zeros when nobody computed one.
    pub sha256: Digest,
    /// MIME type.
    pub content_type: &'static str,
    /// Lock asked for; `None` leaves the bucket's own default.
    pub lock: Option<Lock>,
    /// Legal hold asked for.
    pub legal_hold: bool,
    /// Whether the key must not exist yet. Scripts' own uploads are plain puts.
    pub write_once: bool,
    /// Storage class asked for, as `STANDARD_IA`; empty leaves the store's own. Stores without
    /// classes ignore it.
    pub storage_class: String,
}

/// A retention asked for or found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lock {
    /// Who may lift it.
    pub mode: LockMode,
    /// Until when.
    pub until: Timestamp,
}

/// Object Lock modes, the weaker first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockMode {
    /// Can be lifted with `s3:BypassGovernanceRetention`.
    Governance,
    /// Nobody can lift it.
    Compliance,
}

impl LockMode {
    /// Its name in the API of S3.
    pub fn name(self) -> &'static str {
        match self {
            LockMode::Governance => "GOVERNANCE",
            LockMode::Compliance => "COMPLIANCE",
        }
    }

    /// The mode of a name.
    pub fn named(name: &str) -> Option<LockMode> {
        [LockMode::Governance, LockMode::Compliance]
            .into_iter()
            .find(|mode| mode.name() == name)
    }
}

/// What is known of the lock of an object after it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockState {
    /// Read back from the store.
    Locked(Lock),
    /// Read back: there is none.
    NotLocked,
    /// Reading it back was denied, or the store has no locks to ask for.
    NotVerified,
}

/// What a put led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Version of the object; `None` where the store keeps none.
    pub version: Option<String>,
    /// Lock as read back.
    pub lock: LockState,
    /// Legal hold as read back; `None` when none was asked for or it may not be asked.
    pub legal_hold: Option<bool>,
    /// Whether an equal object was there already.
    pub existed: bool,
    /// Sentences about what the store did not keep (a condition ignored, a checksum not kept).
    pub remarks: Vec<String>,
}

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Size in bytes.
    pub size: u64,
    /// Version to read; `None` where the store keeps none.
    pub version: Option<String>,
    /// When it was written.
    pub modified: Timestamp,
    /// What hides or doubles it.
    pub oddity: Option<Oddity>,
}

/// What a store says of an object without giving its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Size in bytes.
    pub size: u64,
    /// Version that was asked; `None` where the store keeps none.
    pub version: Option<String>,
    /// SHA-256 that the store checked at the upload and keeps; `None` where it keeps none.
    pub sha256: Option<Digest>,
    /// Lock as it is now.
    pub lock: LockState,
    /// Legal hold as it is now; `None` when it may not be asked.
    pub legal_hold: Option<bool>,
}

/// Why a listing entry is not simply there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Oddity {
    /// A delete marker hides it from plain listings.
    HiddenByMarker,
    /// Later versions lie over the first one.
    NewerVersions(usize),
}

/// A place for write-once objects.
pub trait Store: Send + Sync {
    /// What people call it: `s3://bucket/prefix`, a folder's path.
    fn name(&self) -> String;

    /// Writes an object, once and for good when `options.write_once`.
    fn put(&self, key: &str, body: Body<'_>, options: &PutOptions) -> Result<Receipt, StoreError>;

    /// Calls `each` for every object whose key starts with `prefix`, in key order, looking through
    /// delete markers to the first version where the rights allow; `each` answers whether to go on.
    fn list(&self, prefix: &str, each: &mut dyn FnMut(Entry) -> bool) -> Result<(), StoreError>;

    /// Opens an object, or `range` (start, end exclusive) of it.
    ///
    /// Without a version this is the first one that was written, whatever came later: a delete
    /// marker or a later put by somebody else neither hides nor replaces it.
    fn get(
        &self,
        key: &str,
        version: Option<&str>,
        range: Option<(u64, u64)>,
    ) -> Result<Box<dyn Read + Send>, StoreError>;

    /// Opens an object, or `range` of it, as a listing told it: nothing is looked up again.
    fn get_listed(
        &self,
        entry: &Entry,
        range: Option<(u64, u64)>,
    ) -> Result<Box<dyn Read + Send>, StoreError> {
        self.get(&entry.key, entry.version.as_deref(), range)
    }

    /// The folders directly below `prefix`, which is empty or ends with a slash: each with a closing
    /// slash, in key order.
    fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut folders: Vec<String> = Vec::new();
        self.list(prefix, &mut |entry| {
            let below = entry.key.get(prefix.len()..).unwrap_or_default();
            if let Some((name, _)) = below.split_once('/') {
                let folder = format!("{prefix}{name}/");
                if folders.last() != Some(&folder) {
                    folders.push(folder);
                }
            }
            true
        })?;
        Ok(folders)
    }

    /// Opens what was written last under a key that is meant to be written again and again, such
    /// as the name history of a script.
    fn get_latest(&self, key: &str) -> Result<Box<dyn Read + Send>, StoreError> {
        self.get(key, None, None)
    }

    /// Whether exactly this key exists; its entry.
    fn head(&self, key: &str) -> Result<Option<Entry>, StoreError>;

    /// What the store keeps of an object: of `version`, or, without one, of the first that was
    /// written; `None` when there is none.
    fn state(&self, key: &str, version: Option<&str>) -> Result<Option<State>, StoreError>;

    /// Deletes every object below the folder `prefix` (`a` means `a/…`, not `ab/…`), for
    /// `vendor.s3.clear` alone; recorders never call it. Refuses the empty prefix and `reels`.
    /// Answers how many objects went.
    fn clear(&self, prefix: &str) -> Result<u64, StoreError>;

    /// What the store is: region, lock, versioning, default retention, encryption, public access.
    fn facts(&self) -> BTreeMap<&'static str, String>;
}

/// Why a store did not do what it was asked.
///
/// Every variant carries the sentence for people, with bucket, key and, where it can be known, the
/// identity used and the permission that is missing.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is other content under the key.
    #[error("{0}")]
    Exists(String),
    /// No such object, bucket or folder.
    #[error("{0}")]
    Missing(String),
    /// The identity has not the right.
    #[error("{0}")]
    Denied(String),
    /// No usable credentials: none found, expired, refused.
    #[error("{0}")]
    Credentials(String),
    /// The request or its target is wrong (region, name, key, archived object) and trying again
    /// will not help.
    #[error("{0}")]
    Refused(String),
    /// Network, throttling, server error: trying again may help.
    #[error("{0}")]
    Unavailable(String),
    /// Disk or file.
    #[error("{0}")]
    Io(String),
}

impl StoreError {
    /// Whether trying again may help.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            StoreError::Unavailable(_) | StoreError::Io(_) | StoreError::Credentials(_)
        )
    }
}

/// How a store is reached; what a URL does not say.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// For `s3://`; bucket and prefix come from the URL.
    pub s3: s3::S3Options,
    /// For `gs://` and `az://`.
    pub cloud: cloud::CloudOptions,
}

/// Opens `s3://bucket[/prefix]`, `gs://bucket[/prefix]`, `az://container[/prefix]`, `file:///path`, or a folder by its path, which is made when it is
/// missing. Buckets are connected to when they are first used.
///
/// # Errors
/// `Refused` for a URL of another kind or a bad bucket name, else as the store says.
pub fn open(url: &str, options: &OpenOptions) -> Result<Arc<dyn Store>, StoreError> {
    if let Some((bucket, prefix)) = s3_parts(url) {
        let mut s3 = options.s3.clone();
        s3.bucket = bucket.to_owned();
        s3.prefix = prefix.to_owned();
        return Ok(Arc::new(s3::S3Store::new(s3)?));
    }
    if let Some((scheme, bucket, prefix)) = cloud::parts(url) {
        let store = cloud::CloudStore::new(scheme, bucket, prefix, &options.cloud)?;
        return Ok(Arc::new(store));
    }
    Ok(Arc::new(folder::FolderStore::create(folder_of(url)?)?))
}

/// Whether [`open`] knows such a URL; whether the store is there, it does not ask.
///
/// # Errors
/// `Refused` for a URL of another kind, or one that names nothing.
pub fn check(url: &str) -> Result<(), StoreError> {
    let bucket = s3_parts(url).map(|(bucket, _)| bucket);
    match bucket.or_else(|| cloud::parts(url).map(|(_, bucket, _)| bucket)) {
        Some("") => Err(nameless()),
        Some(_) => Ok(()),
        None => folder_of(url).map(|_| ()),
    }
}

/// The path of a URL that is no bucket's.
fn folder_of(url: &str) -> Result<&Path, StoreError> {
    let path = url.strip_prefix("file://").unwrap_or(url);
    if let Some((scheme, _)) = path.split_once("://") {
        return Err(StoreError::Refused(format!(
            "{scheme}:// is not a store; use s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or the path of a folder"
        )));
    }
    match path {
        "" => Err(nameless()),
        path => Ok(Path::new(path)),
    }
}

fn nameless() -> StoreError {
    StoreError::Refused(
        "the store has no name; use s3://BUCKET/PREFIX or the path of a folder".into(),
    )
}

/// Bucket and what follows it in `s3://bucket/rest`; `None` for other URLs.
pub fn s3_parts(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("s3://")?;
    Some(rest.split_once('/').unwrap_or((rest, "")))
}

/// Hexadecimal digits of a body's hash in its name that stand for its content when the object may
/// not be read: 64 bits.
const NAME_HASH_DIGITS: usize = 16;

/// Whether a key holds the hash of a body, and so tells what lies under it.
fn is_named_by(key: &str, sha256: &Digest) -> bool {
    let hash = hex(sha256);
    hash.get(..NAME_HASH_DIGITS)
        .is_some_and(|digits| key.contains(digits))
}

/// What a receipt says when that had to do.
fn named_remark(place: &str) -> String {
    format!(
        "{place} was there already and may not be read to compare; its name holds the hash of this body"
    )
}

/// Folder of sealed reels, which no store ever clears.
const REELS: &str = "reels";

/// The prefix of a clear with its closing slash.
fn clear_prefix(prefix: &str) -> Result<String, StoreError> {
    let folder = prefix.trim_matches('/');
    if folder.is_empty() {
        return Err(StoreError::Refused(
            "clearing a whole store is refused; name the folder to clear".into(),
        ));
    }
    if folder == REELS || folder.starts_with("reels/") {
        return Err(StoreError::Refused(format!(
            "clearing {folder} is refused; sealed reels are never deleted"
        )));
    }
    Ok(format!("{folder}/"))
}

/// The SHA-256 of all that a reader gives.
fn digest_of(reader: &mut dyn Read) -> io::Result<Digest> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let taken = reader.read(&mut buffer)?;
        match buffer.get(..taken) {
            Some(bytes) if !bytes.is_empty() => hash.update(bytes),
            _ => return Ok(hash.finalize().into()),
        }
    }
}

/// A digest in hexadecimal.
pub fn hex(digest: &Digest) -> String {
    use std::fmt::Write;
    digest
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}
