//! One parcel to its store: parts, then the manifest, then the chain's new head.
//!
//! In: a parcel's folder. Out: objects, and the manifest with what the store confirmed. Never: an
//! object put twice under two names: a retry finds its own objects by their content hash.

use std::fs;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::files::{read_capped, read_json, write_json, write_whole};
use super::keys;
use super::manifest::{
    Coverage, Kind, LockNote, Lockedness, MAX_MANIFEST_BYTES, Manifest, Previous,
};
use super::outbox::local;
use super::parcel::Parcel;
use super::rollup;
use super::sign::Signer;
use crate::store::{Body, Digest, Lock, PutOptions, Store, StoreError, hex};
use crate::time::Timestamp;

/// What an upload needs beside the parcel.
pub(crate) struct Upload<'a> {
    pub(crate) store: &'a dyn Store,
    /// Folder of the heads of all destinations.
    pub(crate) heads: &'a Path,
    /// File of this destination's head among them.
    pub(crate) head: &'a Path,
    /// Losses of the outbox itself.
    pub(crate) extra: &'a Coverage,
    pub(crate) signer: Option<&'a Signer>,
    pub(crate) now: Timestamp,
}

impl Upload<'_> {
    /// Uploads a parcel; what an earlier attempt confirmed is confirmed again, not written again.
    /// Answers its manifest as it was put.
    ///
    /// # Errors
    /// What the store says; the parcel is then as it was, or its manifest is final.
    pub(crate) fn parcel(&self, parcel: &Parcel, folder: &Path) -> Result<Manifest, StoreError> {
        let path = folder.join(FINAL);
        let was_final = path.exists();
        if !was_final {
            let manifest = self.complete(parts(self.store, parcel, folder, self.now)?);
            write_whole(&path, &manifest.to_bytes()).map_err(|error| local(&path, &error))?;
        }
        let bytes = read_capped(&path, MAX_MANIFEST_BYTES).map_err(|error| local(&path, &error))?;
        let sha256: Digest = Sha256::digest(&bytes).into();
        let key = keys::key(&parcel.stem, &sha256, keys::MANIFEST);
        let manifest = Manifest::parse(&bytes).ok();
        self.mark_late(parcel)?;
        let options = put_options(parcel, sha256, "application/json", self.now);
        if let Err(error) = self.store.put(&key, Body::Bytes(&bytes), &options) {
            if self.is_not_put(&key, &error, was_final) {
                // Made anew, it may follow another manifest than before.
                fs::remove_file(&path).map_err(|error| local(&path, &error))?;
            }
            return Err(error);
        }
        let new_head = Previous {
            sha256: hex(&sha256),
            key,
            run: parcel.manifest.run,
        };
        // One that was put by an earlier process, and could not be deleted then, is no head any more.
        let follows = match (self.known_head(), &manifest) {
            (Some(known), Some(manifest)) => known == new_head || Some(known) == manifest.previous,
            _ => true,
        };
        if follows {
            write_json(self.head, &new_head).map_err(|error| local(self.head, &error))?;
        }
        Ok(manifest.unwrap_or_else(|| parcel.manifest.clone()))
    }

    /// Whether a manifest whose put failed is surely not in the store: it was refused, also by earlier
    /// puts, of which nobody knows when there was one.
    fn is_not_put(&self, key: &str, error: &StoreError, had_earlier: bool) -> bool {
        match error {
            StoreError::Exists(_) => true,
            error if error.is_transient() => false,
            _ => !had_earlier || matches!(self.store.state(key, None), Ok(None)),
        }
    }

    /// The manifest that was put last.
    fn known_head(&self) -> Option<Previous> {
        read_json(self.head, MAX_MANIFEST_BYTES)
    }

    /// Marks the folder of a parcel that comes after its hour was over: whoever has listed the folder
    /// looks again. Before the manifest is there, since nobody would put the mark later. Where it may
    /// not be put, the archive is as complete without.
    fn mark_late(&self, parcel: &Parcel) -> Result<(), StoreError> {
        let manifest = &parcel.manifest;
        let start = match manifest.kind {
            Kind::Reel => manifest.from.as_ref().unwrap_or(&manifest.sealed),
            Kind::Heartbeat | Kind::Rollup => &manifest.sealed,
        };
        let start = Timestamp::parse(start);
        let late = start.and_then(|start| keys::late_mark(&parcel.stem, start, self.now));
        let Some((folder, key)) = late else {
            return Ok(());
        };
        let body = format!("{folder}\n");
        let options = PutOptions {
            sha256: Sha256::digest(&body).into(),
            content_type: "text/plain",
            write_once: true,
            ..PutOptions::default()
        };
        match self.store.put(&key, Body::Bytes(body.as_bytes()), &options) {
            Ok(_) | Err(StoreError::Exists(_)) => Ok(()),
            Err(error) if error.is_transient() => Err(error),
            Err(error) => {
                tracing::warn!(key, %error, "a late reel could not be marked");
                Ok(())
            }
        }
    }

    /// Adds what is known only now: losses, the chain, and who vouches for it.
    fn complete(&self, mut manifest: Manifest) -> Manifest {
        manifest.coverage.extend(self.extra.clone());
        manifest.previous = self.known_head();
        match manifest.kind {
            Kind::Reel => {}
            Kind::Heartbeat => {
                let facts = self.store.facts();
                manifest.store = facts
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect();
                manifest.remarks.extend(not_immutable(&manifest));
            }
            Kind::Rollup => {
                let own = manifest.previous.clone();
                rollup::fill(
                    self.store,
                    &mut manifest,
                    own.as_ref(),
                    self.heads,
                    self.head,
                );
            }
        }
        if let Some(signer) = self.signer {
            signer.sign(&mut manifest);
        }
        manifest
    }
}

/// The manifest's file in a parcel: there once it is final.
pub(crate) const FINAL: &str = "manifest.json";

/// A sentence when the store cannot lock what it keeps, as its settings say.
fn not_immutable(manifest: &Manifest) -> Option<String> {
    let lock = manifest.store.get("object lock")?;
    let none = lock == "off" || lock.starts_with("none");
    none.then(|| "not immutable: the store has no object lock".to_owned())
}

/// Uploads the parts; answers the manifest with what the store said of them. Names go first: a reel is
/// found as soon as its packets or its index are there.
fn parts(
    store: &dyn Store,
    parcel: &Parcel,
    folder: &Path,
    now: Timestamp,
) -> Result<Manifest, StoreError> {
    let mut manifest = parcel.manifest.clone();
    let mut remarks = Vec::new();
    let mut ordered: Vec<_> = manifest.parts.iter_mut().zip(&parcel.files).collect();
    ordered.sort_by_key(|(part, _)| part.role != "names");
    for (part, file) in ordered {
        let path = folder.join(file);
        let sha256 = digest_of(&part.sha256)
            .ok_or_else(|| StoreError::Io(format!("{} has no SHA-256", path.display())))?;
        let options = put_options(parcel, sha256, content_type_of(&part.key), now);
        let receipt = store.put(&part.key, Body::File(&path), &options)?;
        part.version = receipt.version;
        part.lock = LockNote {
            legal_hold: receipt.legal_hold,
            ..LockNote::from(receipt.lock)
        };
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
        storage_class: parcel.storage_class.clone(),
    }
}

/// A SHA-256 in hexadecimal, read.
pub fn digest_of(text: &str) -> Option<Digest> {
    let mut digest = Digest::default();
    if text.len() != 64 {
        return None;
    }
    for (index, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(digest)
}
