//! One parcel to its store: parts, then the manifest, then the chain's new head.
//!
//! In: a parcel's folder. Out: objects, and the manifest with what the store confirmed. Never: an
//! object put twice under two names: a retry finds its own objects by their content hash.

use std::fs;
use std::io;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::keys;
use super::manifest::{Coverage, LockNote, Lockedness, MAX_MANIFEST_BYTES, Manifest, Previous};
use super::outbox::{Parcel, local};
use super::seal::write_whole;
use crate::store::{Body, Digest, Lock, PutOptions, Store, StoreError, hex};
use crate::time::Timestamp;

/// Uploads a parcel; what an earlier attempt confirmed is confirmed again, not written again.
///
/// # Errors
/// What the store says; the parcel is then as it was, or its manifest is final.
pub(crate) fn parcel(
    store: &dyn Store,
    parcel: &Parcel,
    folder: &Path,
    head: &Path,
    extra: &Coverage,
    now: Timestamp,
) -> Result<(), StoreError> {
    let path = folder.join("manifest.json");
    if !path.exists() {
        let manifest = parts(store, parcel, folder, now)?;
        let manifest = complete(manifest, head, extra);
        write_whole(&path, &manifest.to_bytes()).map_err(|error| local(&path, &error))?;
    }
    let bytes = read_capped(&path).map_err(|error| local(&path, &error))?;
    let sha256: Digest = Sha256::digest(&bytes).into();
    let key = keys::key(&parcel.stem, &sha256, "manifest.json");
    let options = put_options(parcel, sha256, "application/json", now);
    store.put(&key, Body::Bytes(&bytes), &options)?;
    let new_head = Previous {
        sha256: hex(&sha256),
        key,
        run: parcel.manifest.run,
    };
    let new_head = serde_json::to_vec(&new_head).expect("three plain values have a JSON");
    write_whole(head, &new_head).map_err(|error| local(head, &error))
}

/// Uploads the parts; answers the manifest with what the store said of them.
fn parts(
    store: &dyn Store,
    parcel: &Parcel,
    folder: &Path,
    now: Timestamp,
) -> Result<Manifest, StoreError> {
    let mut manifest = parcel.manifest.clone();
    let mut remarks = Vec::new();
    for (part, file) in manifest.parts.iter_mut().zip(&parcel.files) {
        let path = folder.join(file);
        let sha256 = digest_of(&part.sha256)
            .ok_or_else(|| StoreError::Io(format!("{} has no SHA-256", path.display())))?;
        let options = put_options(parcel, sha256, content_type_of(&part.key), now);
        let receipt = store.put(&part.key, Body::File(&path), &options)?;
        part.version = receipt.version;
        part.lock = LockNote::from(receipt.lock);
        remarks.extend(receipt.remarks);
        remarks.extend(match part.lock.state {
            Lockedness::Locked => None,
            Lockedness::NotLocked => Some(format!(
                "not immutable: {} keeps this reel without a lock",
                store.name()
            )),
            Lockedness::NotVerified => Some(format!(
                "lock not verified: {} did not let the recorder read the lock back",
                store.name()
            )),
        });
    }
    for remark in remarks {
        if !manifest.remarks.contains(&remark) {
            manifest.remarks.push(remark);
        }
    }
    Ok(manifest)
}

/// The MIME type of a part, by its ending.
pub(crate) fn content_type_of(key: &str) -> &'static str {
    match key.rsplit('.').next() {
        Some("zst") => "application/zstd",
        Some("parquet") => "application/vnd.apache.parquet",
        Some("jsonl") => "application/x-ndjson",
        _ => "application/vnd.tcpdump.pcap",
    }
}

fn complete(mut manifest: Manifest, head: &Path, extra: &Coverage) -> Manifest {
    manifest.coverage.extend(extra.clone());
    manifest.previous = read_capped(head)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    manifest
}

fn put_options(
    parcel: &Parcel,
    sha256: Digest,
    content_type: &'static str,
    now: Timestamp,
) -> PutOptions {
    PutOptions {
        sha256,
        content_type,
        lock: parcel.retention().map(|retention| Lock {
            mode: retention.mode,
            until: now + retention.period,
        }),
        legal_hold: parcel.legal_hold,
        write_once: true,
    }
}

fn read_capped(path: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.len() > MAX_MANIFEST_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    fs::read(path)
}

fn digest_of(text: &str) -> Option<Digest> {
    let mut digest = Digest::default();
    if text.len() != 64 {
        return None;
    }
    for (index, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(digest)
}
